//! What `[ddl]` says beyond `apply` and `ignore`: where the engine stops, and what becomes of a change that is refused.
//!
//! **Stop** before a statement: nothing of it is carried out, the rows before it are written and the position is saved.
//! An entry of the ledger that is never settled, the *pin*, keeps every checkpoint at or below the statement; so it comes
//! again after a restart, and is judged by what the configuration says then. The whole statement is looked at before any
//! of its changes is made.
//!
//! **A refused change** is one that ClickHouse would refuse again (what may pass is waited for, without end).
//! `quarantine`, the default: the table is set aside and copied anew beside its target. A copy is exact whatever could not
//! be done in place, and readers see the old table until it is whole; if it is refused too, the table stays set aside.
//! `stop`: the change is pinned. What was about to be done is saved already, so a restart tries it first.
//! `continue`: rows behind a change are made for the target as it should be, so the table goes on as if the change had been
//! made, and the server leaves out the columns that are not there. Nothing else is bent: when a column that is there has
//! another type than the rows, the first insert is refused and the table is copied anew after all. So `drifted` means
//! exactly this: every row is there, but the statement that the reason names had no effect, and columns that it added or
//! renamed are not carried. Only ALTER and TRUNCATE can be gone on without; a table that could not be made, named or dropped
//! is treated as by default, and so is one behind whose change too much waits.

use std::sync::Arc;
use std::time::Instant;

use super::Router;
use super::statement::Ran;
use super::tables::State;
use crate::config::{DdlPolicy, DropPolicy, OnFailure, helper_note};
use crate::error::{Error, ErrorKind, Result};
use crate::message::TableIndex;
use crate::position::Version;
use crate::schema::change::SchemaChange;
use crate::schema::target::{Ddl, DdlAction};
use crate::schema::types::TableName;

/// Why the engine stops at a change that ClickHouse refuses.
pub fn stopped_by_refusal(ddl: &Ddl, error: &Error) -> Error {
    let text = format!(
        "ddl.on_failure = \"stop\" and ClickHouse refuses what {} asks for: {}. The position is saved below it. Mend the \
         cause, or change the target by hand, and start again: it is tried again first. ddl.on_failure = \"quarantine\" \
         copies the table anew",
        ddl.statement, error.text
    );
    error.clone().with_kind(ErrorKind::StoppedByPolicy).with_text(text)
}

/// Whether a table can go on without this change.
pub fn can_go_on_without(ddl: &Ddl) -> bool {
    matches!(ddl.action, DdlAction::Alter(_) | DdlAction::Truncate)
}

/// The reason of a table that goes on without a change.
pub fn drifted_reason(before: &str, ddl: &Ddl, error: &Error) -> String {
    let this =
        format!("it goes on without {}, which ClickHouse refuses: {}; `resync` mends it", ddl.statement, error.text);
    if before.is_empty() { this } else { format!("{before}; {this}") }
}

impl Router {
    /// Whether the configuration chooses a table that is new here. The log tells once of one that is taken for a helper.
    pub(super) fn chooses(&mut self, name: &TableName) -> bool {
        let selection = &self.settings.replicate.selection;
        if !selection.selects(name) {
            return false;
        }
        let Some(base) = selection.helped_by(name, &|base| self.find(base).is_some()) else { return true };
        if self.helpers.insert(name.clone()) {
            log::info!("{}", helper_note(name, &base));
        }
        false
    }

    /// # Errors
    /// When the engine is to stop before this change.
    pub(super) fn stop_before(&mut self, change: &SchemaChange, ran: &Ran<'_>) -> Result<()> {
        let ddl = self.settings.ddl;
        let (key, policy, name) = match change {
            SchemaChange::Alter(alter) => ("alter_table", ddl.alter_table, &alter.name),
            SchemaChange::Cascades(_) if self.settings.logs_cascades => return Ok(()),
            SchemaChange::Rewrite(name, _) | SchemaChange::Cascades(name) => ("alter_table", ddl.alter_table, name),
            SchemaChange::Truncate(name) => ("truncate_table", ddl.truncate_table, name),
            SchemaChange::Rename { from, .. } => ("rename_table", ddl.rename_table, from),
            SchemaChange::Create(create) => ("create_table", ddl.create_table, &create.name),
            SchemaChange::Drop(name) => return self.stop_before_drop(self.find(name).into_iter().collect(), ran),
            SchemaChange::DropDatabase(database) => return self.stop_before_drop(self.in_database(database), ran),
            // The target's columns stay as they are.
            SchemaChange::UniqueKeys(_) | SchemaChange::Rebuilt(_) | SchemaChange::Database { .. } => return Ok(()),
        };
        let concerns = policy == DdlPolicy::Stop
            && match change {
                SchemaChange::Create(create) => {
                    let is_there = self.find(name).is_some_and(|table| self.tables.list()[table].flows());
                    !(is_there && create.if_not_exists) && self.chooses(name) && self.may_change(name, ran)
                }
                SchemaChange::Rename { to, .. } if self.find(name).is_none() => self.may_change(to, ran),
                SchemaChange::Alter(_)
                | SchemaChange::Rewrite(..)
                | SchemaChange::Cascades(_)
                | SchemaChange::UniqueKeys(_)
                | SchemaChange::Rebuilt(_)
                | SchemaChange::Truncate(_)
                | SchemaChange::Rename { .. }
                | SchemaChange::Drop(_)
                | SchemaChange::DropDatabase(_)
                | SchemaChange::Database { .. } => self.may_change(name, ran),
            };
        if concerns { Err(self.stopped(key, name, ran)) } else { Ok(()) }
    }

    fn stop_before_drop(&mut self, dropped: Vec<TableIndex>, ran: &Ran<'_>) -> Result<()> {
        if self.settings.ddl.drop_table != DropPolicy::Stop {
            return Ok(());
        }
        let concerned = |&table: &TableIndex| !self.is_dropped(table) && self.concerns(table, ran);
        match dropped.into_iter().find(concerned) {
            Some(table) => {
                let name = self.tables.list()[table].name.clone();
                Err(self.stopped("drop_table", &name, ran))
            }
            None => Ok(()),
        }
    }

    /// # Errors
    /// When the engine is to stop before a statement of this kind, which is not understood and may change a table.
    pub(super) fn stop_unread(&mut self, verb: Option<&str>, name: &TableName, ran: &Ran<'_>) -> Result<()> {
        let ddl = self.settings.ddl;
        let (key, stops) = match verb.unwrap_or_default() {
            "ALTER" => ("alter_table", ddl.alter_table == DdlPolicy::Stop),
            "RENAME" => ("rename_table", ddl.rename_table == DdlPolicy::Stop),
            "TRUNCATE" => ("truncate_table", ddl.truncate_table == DdlPolicy::Stop),
            "CREATE" => ("create_table", ddl.create_table == DdlPolicy::Stop),
            "DROP" => ("drop_table", ddl.drop_table == DropPolicy::Stop),
            _ => ("", false),
        };
        if stops { Err(self.stopped(key, name, ran)) } else { Ok(()) }
    }

    /// Whether a table is replicated and does not contain the statement's effect already, or is yet to be replicated.
    fn may_change(&mut self, name: &TableName, ran: &Ran<'_>) -> bool {
        match self.find(name) {
            Some(table) => self.concerns(table, ran),
            None => self.chooses(name),
        }
    }

    /// The error that stops the engine, once no checkpoint can pass the statement.
    fn stopped(&mut self, key: &str, name: &TableName, ran: &Ran<'_>) -> Error {
        let pin = self.ledger.enter(ran.start);
        self.stop_pinned(pin, None, ran.now);
        let others =
            if key == "drop_table" { "\"apply\", \"rename\" or \"ignore\"" } else { "\"apply\" or \"ignore\"" };
        let text = format!(
            "ddl.{key} = \"stop\", and this comes next: {}. Nothing of it is carried out; all before it is written and the \
             position is saved. Set ddl.{key} to {others} (change the target by hand before \"ignore\") and start again: \
             the statement comes again",
            ran.quoted()
        );
        Error::new(ErrorKind::StoppedByPolicy, text).at_table(name).at_position(self.stream.file(), ran.span.offset)
    }

    /// Stops; what is in the ledger from `pin` on comes again.
    fn stop_pinned(&mut self, pin: u64, cause: Option<Error>, now: Instant) {
        self.stop(cause, now);
        if let Some(stopping) = &mut self.stopping {
            stopping.pin = Some(stopping.pin.map_or(pin, |other| other.min(pin)));
        }
    }

    /// A change of the table was refused for good; or it was not, but too much waits behind it (`is_heavy`).
    pub(super) fn refused(&mut self, table: TableIndex, ddl: &Arc<Ddl>, error: Error, is_heavy: bool, now: Instant) {
        match (self.settings.ddl.on_failure, self.barrier_number(table)) {
            (OnFailure::Stop, Some(number)) if !is_heavy => {
                self.stop_pinned(number, Some(stopped_by_refusal(ddl, &error)), now);
            }
            (OnFailure::Continue, _) if !is_heavy && can_go_on_without(ddl) => {
                self.go_on_without(table, ddl, &error, now);
            }
            (OnFailure::Quarantine | OnFailure::Stop | OnFailure::Continue, _) => {
                let was_aside = !self.tables.list()[table].flows();
                self.give_up_barrier(ddl, now);
                if was_aside {
                    // A copy that is under way goes on.
                    log::warn!("the target of a table that is set aside stays under its name: {error}");
                    self.save_state(table);
                } else {
                    self.set_aside(table, &error, now);
                    self.begin_resync(table, now);
                }
            }
        }
    }

    fn go_on_without(&mut self, table: TableIndex, ddl: &Arc<Ddl>, error: &Error, now: Instant) {
        let Some(known) = self.give_up_barrier(ddl, now) else { return };
        let drifted = self.tables.get_mut(table);
        let reason = drifted_reason(&drifted.reason, ddl, error);
        log::warn!("drifted: {}: {reason}", drifted.name);
        (drifted.state, drifted.reason) = (State::Drifted, reason);
        (drifted.floor, drifted.known) = (Version(ddl.floor), Some(known));
        self.save_state(table);
        self.advance_barrier(table, now);
    }
}
