//! What came as a statement, and so not as rows: which tables it changes, and what becomes of them.
//!
//! A schema change that is understood, and whose effect on the target is exact, is carried out at a barrier
//! ([`super::barrier`]); one without effect on the target only changes the table's definition. Everything else has its
//! tables copied anew beside their targets, in the source's new shape. What `[ddl]` has the engine stop at is looked for
//! first, in the whole statement ([`super::policy`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::tables::{Shape, State, Table};
use super::{Router, shape_error};
use crate::binlog::query::{Query, StatementContext};
use crate::clickhouse::tables as targets;
use crate::config::DropPolicy;
use crate::error::{Error, Result};
use crate::message::{EventSpan, TableIndex};
use crate::position::{Position, Version};
use crate::schema::catalog::{ColumnDefinition, Definition, Known, SourceTable};
use crate::schema::change::{AlterTable, CreateTable, CreatedShape, SchemaChange};
use crate::schema::ddl::{self, Touched};
use crate::schema::effect::{self, Effect, TargetChange};
use crate::schema::target::{Ddl, DdlAction, TargetTable};
use crate::schema::types::{SourceType, TableName};

/// Characters of a statement that a reason quotes.
const QUOTED_CHARS: usize = 300;

/// A table's reason is this, why, and the statement as it is [`quoted`].
const NOT_FOLLOWED: &str = "a statement that is not followed in place (";

/// STRICT_TRANS_TABLES and STRICT_ALL_TABLES in `sql_mode`.
const STRICT_MODES: u64 = 1 << 21 | 1 << 22;

/// A statement as the binary log has it.
pub(super) struct Written<'a> {
    pub(super) sql: &'a str,
    /// The default database.
    pub(super) database: &'a str,
    pub(super) context: StatementContext,
    /// Whether it used TEMPORARY tables.
    pub(super) uses_temporary: bool,
}

/// A statement that the source has run.
pub(super) struct Ran<'a> {
    pub(super) sql: &'a str,
    is_strict: bool,
    /// Whether it may have made one instant of two in rows that it made anew.
    joins_hours: bool,
    /// A transaction end below it.
    pub(super) start: &'a Arc<Position>,
    pub(super) span: EventSpan,
    /// Its version; each of several changes in one statement has its own.
    at: Version,
    /// From here on it has happened.
    end: Version,
    pub(super) now: Instant,
}

impl Ran<'_> {
    /// See [`quoted`].
    pub(super) fn quoted(&self) -> String {
        quoted(self.sql)
    }
}

impl Router {
    /// DDL, or a change that came as a statement; `start` lies below it.
    ///
    /// # Errors
    /// When the configuration has the engine stop here: nothing of the statement is done then.
    pub(super) fn statement(
        &mut self,
        query: &Query<'_>,
        start: &Arc<Position>,
        span: EventSpan,
        now: Instant,
    ) -> Result<()> {
        let (sql, context) = (query.text(), query.context());
        let written = Written { sql: &sql, database: query.database()?, context, uses_temporary: query.uses_temporary };
        self.ran(&written, start, span, now)
    }

    /// Follows what a statement has done, whoever read it.
    ///
    /// # Errors
    /// As [`Router::statement`].
    pub(super) fn ran(
        &mut self,
        written: &Written<'_>,
        start: &Arc<Position>,
        span: EventSpan,
        now: Instant,
    ) -> Result<()> {
        let Written { sql, database, ref context, uses_temporary } = *written;
        let sql_mode = context.sql_mode;
        let behind = EventSpan { offset: span.offset + span.len as u64, ..span };
        let (at, end, is_strict) = (self.version_of(span), self.version_of(behind), sql_mode & STRICT_MODES != 0);
        let joins_hours = context.time_zone.as_deref().is_some_and(|zone| self.may_repeat_hours(zone));
        let ran = Ran { sql, is_strict, joins_hours, start, span, at, end, now };
        // Inside a compressed transaction the rows behind a statement have lower versions than its end.
        let is_plain = !self.unzip.is_open() && !context.has_implicit_timestamps;
        let parsed = ddl::parse(sql, database, sql_mode).filter(|_| is_plain);
        let parsed = parsed.filter(|changes| !uses_temporary || !changes.iter().any(may_be_of_temporary));
        match parsed {
            Some(changes) => self.changes(&changes, &ran),
            None => {
                let touched = self.touched_tables(&ddl::touched(sql, database, sql_mode), context.databases.as_deref());
                if let Some(&first) = touched.iter().find(|&&table| self.concerns(table, &ran)) {
                    let name = self.tables.list()[first].name.clone();
                    self.stop_unread(ddl::verb(sql, sql_mode).as_deref(), &name, &ran)?;
                }
                for table in touched {
                    self.copy_concerned(table, "what it changes is not known", &ran);
                }
                Ok(())
            }
        }
    }

    /// The changes of one statement. A kill may come between two of them: each but the last ends where the next one
    /// begins, within the statement's event, which is longer than they are many.
    fn changes(&mut self, changes: &[SchemaChange], ran: &Ran<'_>) -> Result<()> {
        let mut at = ran.at;
        let each = changes.iter().enumerate().map(|(number, change)| {
            let rest = changes.get(number + 1..).unwrap_or_default();
            let end = if rest.is_empty() { ran.end } else { Version(at.0.saturating_add(1)) };
            let ran = Ran { at, end, ..*ran };
            at = end;
            (change, rest, ran)
        });
        let each: Vec<_> = each.collect();
        each.iter().try_for_each(|(change, _, ran)| self.stop_before(change, ran))?;
        each.iter().for_each(|(change, rest, ran)| self.change(change, rest, ran));
        Ok(())
    }

    /// One change of a statement, and those that follow it.
    fn change(&mut self, change: &SchemaChange, rest: &[SchemaChange], ran: &Ran<'_>) {
        let policy = self.settings.ddl;
        match change {
            SchemaChange::Alter(alter) if policy.alter_table.applies() => self.alter(alter, ran),
            SchemaChange::Truncate(name) if policy.truncate_table.applies() => self.truncate(name, ran),
            SchemaChange::Create(create) if policy.create_table.applies() => self.create(create, ran),
            SchemaChange::Rename { from, to } if policy.rename_table.applies() => {
                let is_taken_again =
                    rest.iter().any(|later| matches!(later, SchemaChange::Rename { to, .. } if to == from));
                self.rename(from, to, is_taken_again, ran);
            }
            SchemaChange::Rewrite(name, why) => self.copy_named(name, why, ran),
            SchemaChange::UniqueKeys(name) => self.unique_keys_changed(name, ran),
            SchemaChange::Rebuilt(name) => self.rebuilt(name, ran),
            SchemaChange::Cascades(name) if !self.settings.logs_cascades => {
                self.copy_named(name, "a foreign key of it changes rows by itself", ran);
            }
            SchemaChange::Drop(name) => self.dropped(self.find(name), ran),
            SchemaChange::DropDatabase(database) => {
                self.in_database(database).into_iter().for_each(|table| self.dropped(Some(table), ran));
            }
            SchemaChange::Alter(alter) => self.ignored(&alter.name, Some(alter), ran),
            SchemaChange::Rename { from, to } => [from, to].into_iter().for_each(|name| self.ignored(name, None, ran)),
            SchemaChange::Truncate(_)
            | SchemaChange::Create(_)
            | SchemaChange::Cascades(_)
            | SchemaChange::Database { .. } => {}
        }
    }

    fn alter(&mut self, alter: &AlterTable, ran: &Ran<'_>) {
        let Some(table) = self.known_or_chosen(&alter.name).filter(|&table| self.concerns(table, ran)) else {
            return;
        };
        let is_unnamed = self.tables.list()[table].is_unnamed;
        match self.effect(table, alter, ran) {
            Ok((known, Effect::Nothing)) if !is_unnamed => self.redefine(table, known),
            // Rows from before could not be told from those behind, if they came again.
            Ok((known, Effect::Nothing)) => self.alter_at_barrier(table, Vec::new(), known, ran),
            Ok((known, Effect::Alter(changes))) => self.alter_at_barrier(table, changes, known, ran),
            Ok((_, Effect::Copy(why))) | Err(why) => self.copy_concerned(table, &why, ran),
        }
    }

    fn alter_at_barrier(&mut self, table: TableIndex, changes: Vec<TargetChange>, known: Known, ran: &Ran<'_>) {
        let Some(target) = self.tables.list()[table].target().map(|target| target.after(&changes)) else { return };
        self.at_barrier(table, target, DdlAction::Alter(changes), known, ran);
    }

    /// A change that is not carried out, as the configuration wants it: the target stays as it is, but rows that come
    /// without names need to know the table as it is.
    fn ignored(&mut self, name: &TableName, alter: Option<&AlterTable>, ran: &Ran<'_>) {
        let Some(table) = self.find(name).filter(|&table| self.concerns(table, ran)) else { return };
        let is_log = self.tables.list()[table].flows() && self.tables.list()[table].is_log();
        if let Some(alter) = alter.filter(|_| is_log) {
            return self.ignored_in_log(table, alter, ran);
        }
        if self.resyncs.get(&table).is_some_and(|resync| !resync.has_seen(ran.at)) {
            // Its shadow has a definition of its own.
            self.begin_resync(table, ran.now);
        }
        let altered =
            self.known(table).zip(alter).and_then(|(known, alter)| known.definition.altered(alter, None).ok());
        match altered {
            Some(altered) => self.redefine(table, Known { since: ran.end, definition: altered.definition }),
            None if self.undefine(table) => {}
            None => self.copy_concerned(table, "its definition behind it is not known", ran),
        }
    }

    /// A log of changes stays as it is, too, unless values change, or a column is written no more: what comes of a row
    /// would not be equal to what is there of it.
    fn ignored_in_log(&mut self, table: TableIndex, alter: &AlterTable, ran: &Ran<'_>) {
        match self.effect(table, alter, ran) {
            Ok((known, Effect::Nothing | Effect::Alter(_))) => self.redefine(table, known),
            Ok((_, Effect::Copy(why))) | Err(why) => self.copy_concerned(table, &why, ran),
        }
    }

    fn effect(
        &self,
        index: TableIndex,
        alter: &AlterTable,
        ran: &Ran<'_>,
    ) -> std::result::Result<(Known, Effect), String> {
        let old = self.followed(index)?;
        let table = &self.tables.list()[index];
        let target = table.target().ok_or("it has no target")?;
        let altered = old.altered(alter, None)?;
        let (zero_dates, features) = (self.settings.allows_zero_dates, self.settings.features);
        let choices = self.settings.replicate.choices(&table.name);
        let effect = effect::effect(old, &altered, ran.is_strict, zero_dates, target, features, &choices);
        Ok((Known { since: ran.end, definition: altered.definition }, effect))
    }

    /// The definition of a table whose rows flow, and which is not being copied.
    fn followed(&self, table: TableIndex) -> std::result::Result<&Definition, &'static str> {
        if !self.tables.list()[table].flows() {
            return Err("it is set aside");
        }
        if self.copies.contains_key(&table) || self.resyncs.contains_key(&table) {
            return Err("it is being copied");
        }
        if self.stream.held_bytes(Some(table)) > 0 {
            return Err("an XA transaction that is not decided has rows of it");
        }
        self.known(table).map(|known| &known.definition).ok_or("its definition before it is not known")
    }

    /// They are nothing to a table with a PRIMARY KEY. Of any other the key may be another now, or none.
    fn unique_keys_changed(&mut self, name: &TableName, ran: &Ran<'_>) {
        let Some(table) = self.find(name).filter(|&table| self.concerns(table, ran)) else { return };
        if self.known(table).is_some_and(|known| !known.definition.has_primary_key()) {
            self.copy_concerned(table, "it has no PRIMARY KEY, and its UNIQUE keys may be others now", ran);
        }
    }

    /// Of the zones that a session may name; an offset has each hour once.
    fn may_repeat_hours(&self, time_zone: &str) -> bool {
        match time_zone {
            "SYSTEM" => self.settings.may_repeat_hours,
            "UTC" | "GMT" => false,
            _ => !time_zone.starts_with(['+', '-']),
        }
    }

    /// Of values that are computed, only those that are STORED are computed then. Dates and times go through the session:
    /// a TIMESTAMP through its time zone, where of the two hours at the end of summer one is left, and a day that its
    /// sql_mode does not let in becomes zero, which is the same to ClickHouse unless it has the text.
    fn rebuilt(&mut self, name: &TableName, ran: &Ran<'_>) {
        let Some(table) = self.find(name).filter(|&table| self.concerns(table, ran)) else { return };
        let target = self.tables.list()[table].target();
        let may_change = |column: &&ColumnDefinition| {
            use SourceType::{Date, DateTime, OldDateTime, OldTimestamp, Timestamp};
            let ty = column.ty.source_type();
            let loses_an_hour = ran.joins_hours && matches!(ty, Timestamp { .. } | OldTimestamp);
            let is_text =
                target.and_then(|target| target.column(&column.name)).is_some_and(|it| it.ty.contains("String"));
            let loses_a_day = is_text && matches!(ty, Date | DateTime { .. } | OldDateTime);
            if column.is_generated { !column.is_virtual } else { loses_an_hour || loses_a_day }
        };
        let columns = self.known(table).map(|known| known.definition.columns.as_slice()).unwrap_or_default();
        if let Some(column) = columns.iter().find(may_change) {
            let why = format!("its rows may have been made anew, with other values of {}", column.name);
            self.copy_concerned(table, &why, ran);
        }
    }

    fn truncate(&mut self, name: &TableName, ran: &Ran<'_>) {
        let Some(table) = self.known_or_chosen(name).filter(|&table| self.concerns(table, ran)) else { return };
        let target = self.tables.list()[table].target().cloned();
        match (self.followed(table).cloned(), target) {
            (Ok(definition), Some(target)) => {
                let known = Known { since: ran.end, definition };
                self.at_barrier(table, target, DdlAction::Truncate, known, ran);
            }
            (Err(why), _) => self.copy_concerned(table, why, ran),
            (Ok(_), None) => self.copy_concerned(table, "it has no target", ran),
        }
    }

    fn create(&mut self, create: &CreateTable, ran: &Ran<'_>) {
        let known = self.find(&create.name);
        let is_there = known.is_some_and(|table| !self.is_dropped(table));
        if !self.chooses(&create.name) {
            return;
        }
        if is_there && create.if_not_exists {
            // It did nothing, unless the table is one that we lost sight of.
            if known.is_some_and(|table| !self.tables.list()[table].flows()) {
                self.copy_named(&create.name, "it may have been created", ran);
            }
            return;
        }
        if known.is_some_and(|table| !self.concerns(table, ran)) {
            return;
        }
        // The copy that is begun instead is refused where nothing would tell of what a foreign key or an engine does.
        let is_sound = (self.settings.logs_cascades || !create.cascades) && !create.has_other_engine;
        let may_flow = !is_there && is_sound;
        match self.created(create).filter(|_| may_flow) {
            Some((definition, target)) => self.begin_table(definition, target, ran),
            None => self.copy_named(&create.name, "it was created after the start", ran),
        }
    }

    /// A new table's definition, and its target; `None` unless both are known.
    fn created(&self, create: &CreateTable) -> Option<(Definition, TargetTable)> {
        let like = match &create.shape {
            CreatedShape::Like(name) => self.find(name).and_then(|table| self.followed(table).ok()),
            CreatedShape::Written { .. } => None,
        };
        let mut definition = create.definition(like, None).ok()?;
        definition.name = self.stored(&create.name);
        let source = self.source_table(&definition);
        let has_whole_key = definition.key.iter().all(|part| !part.is_prefix);
        // It is looked at in the source, which tells whether they are VIRTUAL.
        let is_computed = definition.key.is_empty() && definition.columns.iter().any(|column| column.is_generated);
        let columns = targets::target_columns(&source, self.settings.features);
        let columns = columns.ok().filter(|_| has_whole_key && !is_computed)?;
        Some((definition, TargetTable { name: self.settings.replicate.target_name(&create.name), columns }))
    }

    fn source_table(&self, definition: &Definition) -> SourceTable {
        definition.source_table(self.settings.allows_zero_dates, self.settings.replicate.choices(&definition.name))
    }

    fn begin_table(&mut self, definition: Definition, target: TargetTable, ran: &Ran<'_>) {
        let name = &definition.name;
        let new = || Table::new(name.clone(), State::Streaming, String::new(), None);
        let table = self.find(name).unwrap_or_else(|| self.add_table(new()));
        if self.resyncs.contains_key(&table) {
            return self.copy_concerned(table, "it was created anew", ran);
        }
        let begun = self.tables.get_mut(table);
        (begun.state, begun.reason) = (State::Streaming, String::new());
        let source = Box::new(self.source_table(&definition));
        let known = Known { since: ran.end, definition };
        self.at_barrier(table, target, DdlAction::Create(source), known, ran);
    }

    fn rename(&mut self, from: &TableName, to: &TableName, is_taken_again: bool, ran: &Ran<'_>) {
        let to = &self.stored(to);
        let is_chosen = self.chooses(to);
        let table = self.find(from);
        if table.is_some_and(|table| !self.concerns(table, ran)) {
            return;
        }
        let followed = table.and_then(|table| Some((table, self.followed(table).ok()?.clone())));
        match followed.filter(|_| is_chosen && self.find(to).is_none()) {
            Some((table, definition)) => self.rename_in_place(table, definition, to, ran),
            None => {
                self.copy_named(to, "a table got its name", ran);
                if is_chosen && !is_taken_again {
                    self.dropped(table, ran);
                } else {
                    self.copy_named(from, "it was renamed", ran);
                }
            }
        }
    }

    fn rename_in_place(&mut self, table: TableIndex, definition: Definition, to: &TableName, ran: &Ran<'_>) {
        let listed = &self.tables.list()[table];
        let (old, Some(target)) = (listed.name.clone(), listed.target().cloned()) else { return };
        let from = target.name.clone();
        let target = TargetTable { name: self.settings.replicate.target_name(to), ..target };
        self.tables.rename(table, to.clone());
        let definition = Definition { name: to.clone(), ..definition };
        let known = Known { since: ran.end, definition };
        self.rename_at_barrier(table, target, DdlAction::Rename { from }, known, Some(old), ran);
    }

    fn dropped(&mut self, table: Option<TableIndex>, ran: &Ran<'_>) {
        let Some(table) = table.filter(|&table| self.concerns(table, ran)) else { return };
        let keep = match self.settings.ddl.drop_table {
            DropPolicy::Apply => false,
            DropPolicy::Rename => true,
            DropPolicy::Ignore | DropPolicy::Stop => return self.copy_concerned(table, "it was dropped", ran),
        };
        self.drop_shadow(table, ran.now);
        self.forget_copy(table);
        let name = self.settings.replicate.target_name(&self.tables.list()[table].name);
        let target = TargetTable { name, columns: Vec::new() };
        let known = Known { since: ran.end, definition: Definition::default() };
        self.at_barrier(table, target, DdlAction::Drop { keep }, known, ran);
    }

    fn at_barrier(&mut self, table: TableIndex, target: TargetTable, action: DdlAction, known: Known, ran: &Ran<'_>) {
        self.rename_at_barrier(table, target, action, known, None, ran);
    }

    fn rename_at_barrier(
        &mut self,
        table: TableIndex,
        target: TargetTable,
        action: DdlAction,
        known: Known,
        old: Option<TableName>,
        ran: &Ran<'_>,
    ) {
        let key = known.definition.key.iter().map(|part| part.column.clone()).collect();
        let choices = self.settings.replicate.choices(&self.tables.list()[table].name);
        self.tables.reshape(table, Shape { key, target: target.clone(), choices });
        let statement = format!("{} at {}:{}", ran.quoted(), self.stream.file(), ran.span.offset);
        let ddl = Ddl { table: target, floor: ran.end.0, action, statement };
        self.begin_barrier(table, ddl, known, old, ran.start, ran.now);
    }

    /// Whether the target does not contain the statement's effect already: then it has come again.
    pub(super) fn concerns(&self, table: TableIndex, ran: &Ran<'_>) -> bool {
        let since = self.known(table).map_or(Version::default(), |known| known.since);
        self.tables.list()[table].floor.max(since) <= ran.at
    }

    /// The name as the binary log will have it.
    fn stored(&self, name: &TableName) -> TableName {
        match self.settings.lowers_names {
            true => TableName { database: name.database.to_lowercase(), table: name.table.to_lowercase() },
            false => name.clone(),
        }
    }

    fn copy_named(&mut self, name: &TableName, why: &str, ran: &Ran<'_>) {
        if let Some(table) = self.known_or_chosen(name) {
            self.copy_concerned(table, why, ran);
        }
    }

    fn copy_concerned(&mut self, table: TableIndex, why: &str, ran: &Ran<'_>) {
        if self.concerns(table, ran) {
            let text = format!("{NOT_FOLLOWED}{why}): {}", ran.quoted());
            self.copy_anew(table, shape_error(&text), ran.span, ran.now);
        }
    }

    /// `databases` are those that the server says the statement used.
    fn touched_tables(&mut self, touched: &Touched, databases: Option<&[String]>) -> Vec<TableIndex> {
        match touched {
            Touched::Nothing => Vec::new(),
            Touched::Anything => self.tables.named(),
            // A table that is known exists, so that the statement did nothing.
            Touched::CreatedIfMissing(name) if self.find(name).is_some() => Vec::new(),
            Touched::CreatedIfMissing(name) => self.known_or_chosen(name).into_iter().collect(),
            Touched::Database(database) => self.in_database(database),
            Touched::Tables(names) => names.iter().filter_map(|name| self.known_or_chosen(name)).collect(),
            // Whatever it names, a view, a trigger, a cascade or a routine may lead from there to any table beside it, and
            // to other databases.
            Touched::Maybe(names) => {
                let Some(used) = databases else { return self.tables.named() };
                let named = names.iter().map(|name| name.database.as_str());
                let databases: BTreeSet<&str> = named.chain(used.iter().map(String::as_str)).collect();
                databases.into_iter().flat_map(|database| self.in_database(database)).collect()
            }
        }
    }

    pub(super) fn in_database(&self, database: &str) -> Vec<TableIndex> {
        let list = self.tables.list();
        let is_same = |name: &str| match self.settings.ignores_case {
            true => name.to_lowercase() == database.to_lowercase(),
            false => name == database,
        };
        self.tables.named().into_iter().filter(|&index| is_same(&list[index].name.database)).collect()
    }

    /// The table that a statement means by this name.
    pub(super) fn find(&self, name: &TableName) -> Option<TableIndex> {
        self.tables.find(name).or_else(|| self.tables.find_ignoring_case(name).filter(|_| self.settings.ignores_case))
    }

    /// The table of this name; one that the configuration chooses but that is new is taken up, to be set aside.
    pub(super) fn known_or_chosen(&mut self, name: &TableName) -> Option<TableIndex> {
        let known = self.find(name);
        if known.is_none() && self.chooses(name) {
            return Some(self.add_table(Table::new(name.clone(), State::Streaming, String::new(), None)));
        }
        known
    }

    pub(super) fn unknown_xa_commit(&mut self, xid: &str, at: Version, now: Instant) {
        let reason = format!(
            "XA COMMIT {xid} of a transaction prepared before the start: if it changed this table, those rows are missing"
        );
        for index in
            self.tables.named().into_iter().filter(|&index| self.tables.list()[index].floor <= at).collect::<Vec<_>>()
        {
            if self.resyncs.contains_key(&index) {
                // What the copy has seen is not known; what it will see is.
                self.begin_resync(index, now);
            }
            let table = self.tables.get_mut(index);
            (table.state, table.reason) = match table.state {
                State::Streaming => (State::Unverified, reason.clone()),
                // Until its copy is done.
                State::Snapshot if table.reason.is_empty() => (State::Snapshot, reason.clone()),
                State::Drifted => (State::Drifted, format!("{}; {reason}", table.reason)),
                State::Snapshot | State::Unverified | State::Quarantined => continue,
            };
            self.save_state(index);
        }
    }

    /// Rows of the transaction in hand, which may be written already, are not in the source.
    pub(super) fn rolled_back(&mut self, why: &str, span: EventSpan, now: Instant) {
        for table in std::mem::take(&mut self.touched) {
            self.copy_anew(table, shape_error(why), span, now);
        }
    }

    /// What the stream says of this table cannot be followed: what readers see stays as it is, and is replaced by a copy.
    pub(super) fn copy_anew(&mut self, table: TableIndex, error: Error, span: EventSpan, now: Instant) {
        // A shadow, and what one has replaced or been, have the name of the table that is meant.
        let table = self.tables.find(&self.tables.list()[table].name).unwrap_or(table);
        self.quarantine(table, error, span, now);
        // A copy whose SELECTs have seen it, before a restart, goes on.
        let at = self.version_of(span);
        if !self.resyncs.get(&table).is_some_and(|resync| resync.has_seen(at)) {
            self.begin_resync(table, now);
        }
    }
}

/// As much of a statement as a reason quotes.
pub(super) fn quoted(sql: &str) -> String {
    sql.chars().take(QUOTED_CHARS).collect()
}

/// Why a statement is not followed in place, from a table's reason.
pub(super) fn why_not_followed<'a>(reason: &'a str, sql: &str) -> &'a str {
    let told = reason.split_once(NOT_FOLLOWED).map_or(reason, |(_, told)| told);
    told.strip_suffix(&format!("): {}", quoted(sql))).unwrap_or(told)
}

/// Whether the table may be a TEMPORARY one that hides another of its name: what else is done to one says so, or is no
/// more than what is done to others.
fn may_be_of_temporary(change: &SchemaChange) -> bool {
    use SchemaChange::{
        Alter, Cascades, Create, Database, Drop, DropDatabase, Rebuilt, Rename, Rewrite, Truncate, UniqueKeys,
    };
    match change {
        Alter(_) | Rename { .. } | Truncate(_) | Rewrite(..) | UniqueKeys(_) | Rebuilt(_) | Cascades(_) => true,
        Create(_) | Drop(_) | Database { .. } | DropDatabase(_) => false,
    }
}
