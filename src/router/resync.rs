//! Tables that are copied anew beside what readers see: command, shadow, exchange.
//!
//! ```text
//! recording ─▶ preparing ─▶ joining ─▶ waiting ─▶ copying ─▶ draining ─▶ holding ─▶ exchanging ─▶ the shadow is the table
//! ```
//! A *shadow* is an empty table of the target with the source's present shape. It joins the stream between two
//! transactions, once the stream has come to where that shape was looked at: a schema change on the way there has all begun
//! anew, so rows never meet a shape that is ahead of them, nor a shape its own change again. From there on the table's rows
//! go to both. Then V is noted, an end of a transaction of which the copy's SELECTs have seen everything before. Copied rows have the version V, so every row of the stream from before loses
//! against them and every later one wins; and what came between joining and V was seen by the SELECT. A transaction that
//! was prepared (XA) before the shadow joined has its rows nowhere in the shadow: V is noted after its outcome.
//!
//! Once all is copied, inserts into the old table are held. What it has, and every row from before V, must be in the
//! shadow too (*draining*): readers never see a row go, and a restart passes over what lies below the floor V. Then the
//! shadow's inserts are held until none is out (*holding*), and the two change names. What waits for the shadow goes to the
//! new table, what waits for the old one is dropped: the shadow has had the same rows. A late copy of an insert into the
//! old table meets the constraint `_version >= V`.
//!
//! A restart finds what was recorded: a shadow with V goes on where its chunks are, one without begins anew, and so does that
//! of a table without a key, whose rows from before V are taken out before the exchange ([`crate::schema::keyless`]).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use uuid::Uuid;

use super::Router;
use super::copy::Copy;
use super::tables::{Shape, State, Table};
use crate::checkpoint::{Shadow, TableState};
use crate::error::{Action, Error, ErrorKind, Result};
use crate::message::{CopyOrder, NewShadow, Save, TableIndex, ToSnapshot};
use crate::position::Version;
use crate::schema::catalog::Known;
use crate::schema::target::Exchange;
use crate::schema::types::TableName;

/// A table's copy into a shadow.
#[derive(Debug)]
pub struct Resync {
    /// The shadow's UUID, and part of its name.
    id: Uuid,
    phase: Phase,
    /// What was made, until the copy begins.
    new: Option<Box<NewShadow>>,
    /// The name that the shadow takes in the end, and the one that it has; known once it is there.
    names: Option<(TableName, TableName)>,
    /// The shadow among the tables, once it has joined.
    shadow: Option<TableIndex>,
    /// The copied rows' version, once it is noted, and the GTIDs that the SELECTs must have seen.
    noted: Option<(Version, String)>,
}

#[derive(Debug)]
enum Phase {
    Recording,
    Preparing,
    /// Until the stream has passed this version: what it comes to below may be in the shadow's shape already.
    Joining(Version),
    /// For the outcomes of these XA transactions.
    Waiting(HashSet<String>),
    Copying,
    /// Until every batch up to this number is acked; `None` until V has been passed and the old table's inserts rest.
    Draining(Option<u64>),
    Holding,
    Exchanging,
}

/// A shadow that was filled before the start, or whose V is known from the start.
#[derive(Debug)]
pub struct BegunResync {
    /// The table.
    pub table: TableIndex,
    /// What is saved of it.
    pub saved: Shadow,
    /// The name that it takes in the end.
    pub target: TableName,
    /// The shadow, which becomes the next table.
    pub shadow: Table,
}

impl Resync {
    /// What is saved of it.
    pub fn saved(&self) -> Shadow {
        let (version, gtid_set) = self.noted.clone().unwrap_or_default();
        Shadow { id: self.id, version: version.0, gtid_set }
    }

    /// Where it stands, for a person; `None` while rows are copied, which tells of itself.
    pub fn told(&self) -> Option<String> {
        Some(match &self.phase {
            Phase::Copying => return None,
            Phase::Recording | Phase::Preparing => "a copy is being prepared".to_owned(),
            Phase::Joining(_) => {
                "the copy waits until the stream has come to where the source was looked at".to_owned()
            }
            Phase::Waiting(xids) => {
                let xids = xids.iter().map(String::as_str).collect::<Vec<_>>();
                format!("the copy waits for XA transactions to be decided: {}", xids.join(" "))
            }
            Phase::Draining(_) | Phase::Holding | Phase::Exchanging => "copied, being exchanged".to_owned(),
        })
    }

    /// Whether the shadow's shape and what is copied are from after this version. So it is only with GTID, where V is a
    /// place that the router had passed: without, a schema change may lie between the shape and V.
    pub fn has_seen(&self, version: Version) -> bool {
        self.noted.as_ref().is_some_and(|(noted, gtid_set)| !gtid_set.is_empty() && version < *noted)
    }

    /// The shadow among the tables.
    pub fn shadow(&self) -> Option<TableIndex> {
        self.shadow
    }
}

impl Router {
    /// Copies a table by command: anew, or (`only_new`) for the first time.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn copy_by_command(&mut self, name: &TableName, only_new: bool, now: Instant) -> Result<String> {
        let refuse = |text: String| Err(Error::new(ErrorKind::Config, text));
        if self.stopping.is_some() {
            return refuse("the process is stopping".to_owned());
        }
        let known = self.find(name);
        if known.is_none() && !self.settings.replicate.selection.selects(name) {
            return refuse(format!("{name} is not chosen by [replicate]: add it to replicate.tables and start again"));
        }
        if let Some(index) = known {
            let table = &self.tables.list()[index];
            if self.barriers.contains_key(&index) {
                return refuse(format!("a schema change of {name} is being carried out: try again"));
            }
            if self.copies.contains_key(&index) || self.resyncs.contains_key(&index) {
                return refuse(format!("{name} is being copied already"));
            }
            if only_new && table.flows() {
                return refuse(format!("{name} is replicated already: `resync` copies it anew"));
            }
        }
        let index = known.unwrap_or_else(|| {
            let reason = "it is copied for the first time".to_owned();
            self.add_table(Table::new(name.clone(), State::Quarantined, reason, None))
        });
        self.begin_resync(index, now);
        Ok(format!("{name} is being copied beside its target; `stream-bridge status` shows how far it is"))
    }

    /// Begins a table's copy; one that is under way begins anew.
    pub(super) fn begin_resync(&mut self, index: TableIndex, now: Instant) {
        self.drop_shadow(index, now);
        let id = Uuid::new_v4();
        let resync = Resync { id, phase: Phase::Recording, new: None, names: None, shadow: None, noted: None };
        self.resyncs.insert(index, resync);
        self.save_state(index);
    }

    /// Goes on with a copy that was begun before the start; its progress is among the copies already.
    pub(super) fn go_on_with(&mut self, begun: BegunResync) {
        let BegunResync { table, saved, target, shadow } = begun;
        let name = shadow.target_name().cloned().unwrap_or_default();
        self.batcher.add_table();
        let shadow = self.tables.add_shadow(table, shadow);
        let resync = Resync {
            id: saved.id,
            phase: Phase::Copying,
            new: None,
            names: Some((target, name)),
            shadow: Some(shadow),
            noted: Some((Version(saved.version), saved.gtid_set)),
        };
        self.resyncs.insert(table, resync);
    }

    /// A state is saved: if it records a shadow that is not there yet, the shadow may be made.
    pub(super) fn recorded(&mut self, state: &TableState) {
        let is_it = |resync: &Resync| resync.id == state.shadow.id && matches!(resync.phase, Phase::Recording);
        let Some((&table, resync)) = self.resyncs.iter_mut().find(|(_, resync)| is_it(resync)) else { return };
        resync.phase = Phase::Preparing;
        let name = self.tables.list()[table].name.clone();
        let before = self.tables.list()[table].known.as_ref().map(|known| Box::new(known.definition.clone()));
        self.orders.push(ToSnapshot::Prepare { table, name, id: resync.id, position: self.stream.reached(), before });
    }

    /// A shadow was made.
    pub(super) fn prepared(&mut self, table: TableIndex, new: Box<NewShadow>, now: Instant) {
        let Some(resync) = self.resyncs.get_mut(&table).filter(|resync| resync.id == new.id) else {
            return self.saver.push(Save::Drop(new.target.name, new.id));
        };
        resync.names = Some((new.name.clone(), new.target.name.clone()));
        match self.stream.timeline().version(&new.read_at.0, new.read_at.1) {
            Ok(read_at) => (resync.new, resync.phase) = (Some(new), Phase::Joining(read_at)),
            Err(error) => self.resync_failed(table, &error, now),
        }
    }

    /// A shadow cannot be made.
    pub(super) fn not_prepared(&mut self, table: TableIndex, id: Uuid, error: &Error, now: Instant) {
        if self.resyncs.get(&table).is_some_and(|resync| resync.id == id) {
            self.resync_failed(table, error, now);
        }
    }

    /// What the stream's progress and acks bring about.
    pub(super) fn advance_resyncs(&mut self, now: Instant) {
        for table in self.resyncs.keys().copied().collect::<Vec<_>>() {
            self.advance_resync(table, now);
        }
    }

    fn advance_resync(&mut self, table: TableIndex, now: Instant) {
        let (is_between, end) = (self.stream.is_between_groups(), self.stream.end_version().ok());
        let Some(resync) = self.resyncs.get_mut(&table).filter(|_| self.stopping.is_none()) else { return };
        match &mut resync.phase {
            Phase::Joining(read_at) if is_between && end.is_some_and(|end| end >= *read_at) => self.join(table),
            Phase::Waiting(xids) if is_between => {
                xids.retain(|xid| self.stream.is_undecided(xid));
                if xids.is_empty() {
                    self.order_copy(table);
                }
            }
            Phase::Draining(barrier) => {
                let barrier = *barrier;
                self.drain(table, barrier, now);
            }
            Phase::Holding => self.exchange_when_quiet(table),
            Phase::Recording
            | Phase::Preparing
            | Phase::Joining(_)
            | Phase::Waiting(_)
            | Phase::Copying
            | Phase::Exchanging => {}
        }
    }

    /// Table ids are announced again in the next transaction, and then lead to both.
    fn join(&mut self, table: TableIndex) {
        let Some(resync) = self.resyncs.get_mut(&table) else { return };
        let Some(new) = &resync.new else { return };
        let (name, shape) = (new.source.name.clone(), Shape::new(&new.source, new.target.clone()));
        self.batcher.add_table();
        let mut shadow = Table::new(name, State::Snapshot, String::new(), Some(shape));
        shadow.known = Some(Known { since: Version::default(), definition: new.definition.clone() });
        resync.shadow = Some(self.tables.add_shadow(table, shadow));
        self.tables.forget_maps();
        let xids = self.stream.undecided_xids();
        let waits = !xids.is_empty();
        resync.phase = Phase::Waiting(xids);
        if !waits {
            self.order_copy(table);
        }
    }

    fn order_copy(&mut self, table: TableIndex) {
        let position = self.stream.reached();
        let Some(resync) = self.resyncs.get_mut(&table) else { return };
        let (Some(shadow), Some(new)) = (resync.shadow, resync.new.take()) else { return };
        let flag = Arc::new(AtomicBool::new(false));
        resync.phase = Phase::Copying;
        self.copies.insert(shadow, Copy::new(&[], Arc::clone(&flag)));
        let version = self.stream.end_version().ok().filter(|_| position.gtid_set.is_some());
        let NewShadow { id, source, target, copy_where, .. } = *new;
        self.orders.push(ToSnapshot::Copy(Box::new(CopyOrder {
            index: shadow,
            shadow: id,
            source,
            target,
            copy_where,
            version,
            timeline: self.stream.timeline(),
            position: Arc::new(position),
            saved: Vec::new(),
            flag,
        })));
    }

    /// V was noted, and is saved before any chunk.
    pub(super) fn noted(&mut self, shadow: TableIndex, version: Version, gtid_set: String) {
        let Some(table) = self.tables.shadowed_by(shadow) else { return };
        let Some(resync) = self.resyncs.get_mut(&table).filter(|resync| resync.noted.is_none()) else { return };
        resync.noted = Some((version, gtid_set));
        self.save_state(table);
    }

    /// All rows of a shadow are in the target.
    pub(super) fn shadow_copied(&mut self, table: TableIndex, now: Instant) {
        if let Some(resync) = self.resyncs.get_mut(&table) {
            resync.phase = Phase::Draining(None);
        }
        self.advance_resync(table, now);
    }

    /// Without GTID V may be ahead of the stream.
    fn drain(&mut self, table: TableIndex, barrier: Option<u64>, now: Instant) {
        let end = self.stream.end_version();
        let Some(resync) = self.resyncs.get_mut(&table) else { return };
        let (Some(shadow), Some((version, _))) = (resync.shadow, &resync.noted) else { return };
        let has_passed = end.is_ok_and(|end| end >= *version);
        if has_passed {
            self.batcher.hold(table, true, now);
        }
        let rests = has_passed && !self.batcher.is_sending(table);
        let barrier = barrier.or_else(|| rests.then(|| self.ledger.last_number()));
        let is_drained = barrier.is_some_and(|barrier| self.batcher.numbers(shadow).all(|number| number > barrier));
        if !is_drained {
            resync.phase = Phase::Draining(barrier);
            return;
        }
        resync.phase = Phase::Holding;
        self.batcher.hold(shadow, true, now);
        self.exchange_when_quiet(table);
    }

    fn exchange_when_quiet(&mut self, table: TableIndex) {
        let Some(resync) = self.resyncs.get(&table) else { return };
        let (Some(shadow), Some((version, _)), Some((target, name))) = (resync.shadow, &resync.noted, &resync.names)
        else {
            return;
        };
        // A table that had the name before, and is renamed away too late, would take the copy with it; one that is yet to
        // get the name would find it taken.
        let is_name_unsettled = self.barriers.contains_key(&table) || self.is_to_be_left(target, table, u64::MAX);
        if self.batcher.is_sending(shadow) || is_name_unsettled {
            return;
        }
        let exchange = Exchange { id: resync.id, target: target.clone(), shadow: name.clone(), floor: version.0 };
        self.saver.push(Save::Exchange(Arc::new(exchange)));
        self.resyncs.get_mut(&table).into_iter().for_each(|resync| resync.phase = Phase::Exchanging);
    }

    /// The shadow is the table now.
    pub(super) fn exchanged(&mut self, exchange: &Exchange, now: Instant) {
        let found = self.resyncs.iter().find(|(_, resync)| resync.id == exchange.id);
        let Some((&table, _)) = found else { return };
        let Some(Resync { shadow: Some(shadow), .. }) = self.resyncs.remove(&table) else { return };
        for batch in self.batcher.discard(table, now) {
            self.settle(batch);
        }
        self.stream.forget_held(table);
        self.tables.replace(table, exchange.target.clone(), Version(exchange.floor));
        let replaced = self.tables.get_mut(shadow);
        replaced.state = if replaced.reason.is_empty() { State::Streaming } else { State::Unverified };
        log::info!("{}: the copy has taken its target's place", replaced.name);
        self.batcher.hold(shadow, false, now);
        self.save_state(shadow);
    }

    /// A copy into a shadow cannot go on: the table stays as it is.
    pub(super) fn resync_failed(&mut self, table: TableIndex, error: &Error, now: Instant) {
        if self.resyncs.remove(&table).map(|resync| self.discard_shadow(table, resync, now)).is_none() {
            return;
        }
        let failed = self.tables.get_mut(table);
        log::warn!("{}: the copy beside its target ended: {error}", failed.name);
        match failed.state {
            // Its reason still holds.
            State::Unverified | State::Drifted => {}
            State::Quarantined => failed.reason = format!("copying it anew failed: {error}"),
            State::Streaming | State::Snapshot => {
                failed.reason = format!("goes on as before, copying it anew failed: {error}");
            }
        }
        self.save_state(table);
    }

    /// Ends a copy into a shadow without a word, if there is one.
    pub(super) fn drop_shadow(&mut self, table: TableIndex, now: Instant) {
        if let Some(resync) = self.resyncs.remove(&table) {
            self.discard_shadow(table, resync, now);
        }
    }

    fn discard_shadow(&mut self, table: TableIndex, resync: Resync, now: Instant) {
        self.batcher.hold(table, false, now);
        if let Some(shadow) = resync.shadow {
            self.batcher.hold(shadow, false, now);
            self.stream.forget_held(shadow);
            self.forget_copy(shadow);
            self.tables.retire_shadow(shadow);
            for batch in self.batcher.discard(shadow, now) {
                self.settle(batch);
            }
        }
        if let Some((_, name)) = resync.names {
            self.saver.push(Save::Drop(name, resync.id));
        }
    }

    /// What is held for an exchange that will not come goes out: the process stops.
    pub(super) fn release_resyncs(&mut self, now: Instant) {
        for (&table, resync) in &self.resyncs {
            let is_exchanging = matches!(resync.phase, Phase::Exchanging);
            for index in [Some(table), resync.shadow].into_iter().flatten().filter(|_| !is_exchanging) {
                self.batcher.hold(index, false, now);
            }
        }
    }

    /// Whether this error of an exchange is final.
    pub(super) fn exchange_failed(&mut self, exchange: &Exchange, error: &Error, now: Instant) -> bool {
        if error.action() == Action::Retry && error.kind != ErrorKind::TargetDenied {
            return false;
        }
        let table = self.resyncs.iter().find(|(_, resync)| resync.id == exchange.id).map(|(&table, _)| table);
        if let Some(table) = table {
            self.resync_failed(table, error, now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::EventSpan;
    use crate::router::copy::tests::{chunk, router};
    use crate::router::transaction::Step;
    use crate::schema::catalog::{Definition, SourceTable};
    use crate::schema::choices::Choices;
    use crate::schema::target::TargetTable;
    use crate::transcode::Stride;

    fn name(table: &str) -> TableName {
        TableName { database: "d".to_owned(), table: table.to_owned() }
    }

    /// The shadow of the router's only table, which is being copied into it.
    fn copying(router: &mut Router) -> TableIndex {
        let now = Instant::now();
        router.begin_resync(0, now);
        let source = SourceTable {
            name: name("t"),
            columns: Vec::new(),
            key: Vec::new(),
            allows_zero_dates: false,
            choices: Choices::default(),
        };
        let target = TargetTable { name: name("shadow"), columns: Vec::new() };
        let id = router.resyncs[&0].id;
        router.prepared(
            0,
            Box::new(NewShadow {
                id,
                definition: Definition::default(),
                read_at: ("binlog.000001".to_owned(), 4),
                source,
                name: name("t"),
                target,
                copy_where: None,
            }),
            now,
        );
        router.advance_resyncs(now);
        router.resyncs[&0].shadow.unwrap()
    }

    #[test]
    fn a_group_that_began_before_an_exchange_and_rolls_back_copies_what_took_the_tables_place() {
        let mut router = router(chunk(1), "");
        let (shadow, now) = (copying(&mut router), Instant::now());
        router.touched.extend([0, shadow]);
        let exchange = Exchange { id: router.resyncs[&0].id, target: name("t"), shadow: name("shadow"), floor: 5 };
        router.exchanged(&exchange, now);
        let (span, transactions) = (EventSpan { start: 0, len: 30, offset: 700 }, router.stream.transactions);
        router.carry_out(Step::RolledBack("cut"), transactions, span, Stride::Bytes, now).unwrap();
        assert_eq!(router.resyncs.keys().collect::<Vec<_>>(), [&shadow], "what it replaced is nobody's table any more");
    }

    #[test]
    fn a_shadow_that_failed_is_not_gone_on_with_whatever_the_tables_state() {
        for state in [State::Streaming, State::Unverified, State::Quarantined] {
            let mut router = router(chunk(1), "");
            let shadow = copying(&mut router);
            router.tables.get_mut(0).state = state;
            router.noted(shadow, Version(5), String::new());
            router.resync_failed(0, &Error::new(ErrorKind::TableShape, "why"), Instant::now());
            let (position, timeline) = (Arc::default(), router.stream.timeline());
            let mut last = None;
            loop {
                match router.saver.take(&position, timeline) {
                    Save::Checkpoint(_) => break,
                    save @ (Save::TableState(_)
                    | Save::DeadLetters(_)
                    | Save::Chunks(_)
                    | Save::Exchange(_)
                    | Save::Ddl(_)
                    | Save::Drop(..)) => {
                        router.saver.done(&save, Instant::now());
                        last = if let Save::TableState(state) = save { Some(state.shadow.id) } else { last };
                    }
                }
            }
            assert_eq!(last, Some(Uuid::nil()), "{state:?}");
        }
    }
}
