//! What a statement would bring about: it is run through a router that nothing drives, by the router's own decisions.
//!
//! The tables are as the source has them now, all flow and none is being copied. What the router has then decided lies in
//! its state: changes that wait at barriers, copies that are about to begin, definitions that have moved on. Nothing of
//! it is ever carried out, since the router is used up.

use std::sync::Arc;
use std::time::Instant;

use super::barrier::Barrier;
use super::statement::{Written, why_not_followed};
use super::tables::{Shape, State, Table};
use super::{Beginning, Router, Settings};
use crate::binlog::query::StatementContext;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::message::{Budget, EventSpan, TableIndex};
use crate::metrics::Status;
use crate::position::{Position, Timeline, Version};
use crate::schema::catalog::{Definition, Known};
use crate::schema::change::SchemaChange;
use crate::schema::ddl::{self, Touched};
use crate::schema::target::{Ddl, TargetTable};
use crate::schema::types::TableName;

/// Where the statement stands in its binlog: behind the position that all tables are known from.
const OFFSET: u64 = 1_000;

/// What becomes of a table.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These changes of its target, in this order.
    Changed(Vec<Ddl>),
    /// It is copied anew beside its target, and why.
    Copied(String),
    /// The same, but the source no longer has it.
    SetAside(String),
    /// Its target fits as it is.
    NoEffect,
    /// The statement names it and is not carried out, by `[ddl]`, or because it does nothing.
    Left,
}

impl Router {
    /// A router for one rehearsal; the tables come with their targets, if those are there.
    pub fn for_rehearsal(settings: Settings, tables: Vec<(Definition, Option<TargetTable>)>) -> Self {
        let (zero_dates, replicate) = (settings.allows_zero_dates, settings.replicate.clone());
        let table = |(definition, target): (Definition, Option<TargetTable>)| {
            let choices = replicate.choices(&definition.name);
            let shape = target.map(|target| Shape::new(&definition.source_table(zero_dates, choices), target));
            let mut table = Table::new(definition.name.clone(), State::Streaming, String::new(), shape);
            table.known = Some(Known { since: Version::default(), definition });
            table
        };
        let timeline = Timeline { number: 1, base_file: 0 };
        let beginning = Beginning {
            claim: Checkpoint { seq: 0, position: Position::default(), timeline },
            tables: tables.into_iter().map(table).collect(),
            copies: Default::default(),
            resyncs: Vec::new(),
            wanted: Vec::new(),
        };
        Self::new(settings, Arc::new(Budget::new(usize::MAX)), Arc::new(Status::starting()), beginning)
    }

    /// What `sql`, run in `database` under `sql_mode`, would bring about, for each table that it concerns. Tables go by
    /// the names from before it.
    ///
    /// # Errors
    /// When the configuration has the engine stop there.
    pub fn rehearse(mut self, sql: &str, database: &str, sql_mode: u64) -> Result<Vec<(TableName, Outcome)>> {
        let before: Vec<TableName> = self.tables.list().iter().map(|table| table.name.clone()).collect();
        let named = self.surely_touched(&ddl::touched(sql, database, sql_mode));
        let changes = ddl::parse(sql, database, sql_mode).unwrap_or_default();
        let gone = self.gone(&changes);
        let span = EventSpan { start: 0, len: sql.len(), offset: OFFSET };
        let start = Arc::clone(self.stream.resume());
        // What it would use beyond the databases that it names, only the server knows.
        let context = StatementContext { sql_mode, databases: Some(Vec::new()), ..StatementContext::default() };
        let written = Written { sql, database, context, uses_temporary: false };
        self.ran(&written, &start, span, Instant::now())?;
        let mut tables: Vec<(TableIndex, &Table)> = self.tables.list().iter().enumerate().collect();
        tables.sort_by_key(|(index, _)| self.turn_of(*index));
        let concerned = tables.into_iter().filter_map(|(index, table)| {
            let untouched = || named.contains(&index).then(|| self.untouched(index, &changes));
            let outcome = self.decided(index, sql, gone.contains(&index)).or_else(untouched)?;
            Some((before.get(index).unwrap_or(&table.name).clone(), outcome))
        });
        Ok(concerned.collect())
    }

    /// Targets are changed in the statement's order.
    fn turn_of(&self, index: TableIndex) -> u64 {
        let first = self.barriers.get(&index).and_then(|queue| queue.front());
        first.map_or(u64::MAX, Barrier::number)
    }

    fn decided(&self, index: TableIndex, sql: &str, is_gone: bool) -> Option<Outcome> {
        if self.resyncs.contains_key(&index) {
            let why = why_not_followed(&self.tables.list()[index].reason, sql).to_owned();
            return Some(if is_gone { Outcome::SetAside(why) } else { Outcome::Copied(why) });
        }
        let changes = self.barriers.get(&index)?.iter().map(|barrier| barrier.ddl().clone());
        Some(Outcome::Changed(changes.collect()))
    }

    fn untouched(&self, index: TableIndex, changes: &[SchemaChange]) -> Outcome {
        use SchemaChange::{Cascades, Rebuilt, UniqueKeys};
        let has_moved_on = self.known(index).is_some_and(|known| known.since > Version::default());
        let is_followed = has_moved_on && !changes.iter().any(|change| self.ignores(change));
        let is_none = |change: &SchemaChange| matches!(change, UniqueKeys(_) | Rebuilt(_) | Cascades(_));
        let has_none = changes.iter().all(is_none);
        if has_none || is_followed { Outcome::NoEffect } else { Outcome::Left }
    }

    /// Whether a table's definition moves on with this change, and its target does not.
    fn ignores(&self, change: &SchemaChange) -> bool {
        let policy = self.settings.ddl;
        match change {
            SchemaChange::Alter(_) => !policy.alter_table.applies(),
            SchemaChange::Rename { .. } => !policy.rename_table.applies(),
            SchemaChange::Create(_)
            | SchemaChange::Truncate(_)
            | SchemaChange::Drop(_)
            | SchemaChange::DropDatabase(_)
            | SchemaChange::Rewrite(..)
            | SchemaChange::Cascades(_)
            | SchemaChange::UniqueKeys(_)
            | SchemaChange::Rebuilt(_)
            | SchemaChange::Database { .. } => false,
        }
    }

    /// Tables whose names are no table's any more.
    fn gone(&self, changes: &[SchemaChange]) -> Vec<TableIndex> {
        let is_taken = |name: &TableName| {
            changes.iter().any(|change| matches!(change, SchemaChange::Rename { to, .. } if to == name))
        };
        let of = |change: &SchemaChange| match change {
            SchemaChange::Drop(name) => self.find(name).into_iter().collect(),
            SchemaChange::DropDatabase(database) => self.in_database(database),
            SchemaChange::Rename { from, .. } if !is_taken(from) => self.find(from).into_iter().collect(),
            SchemaChange::Rename { .. }
            | SchemaChange::Alter(_)
            | SchemaChange::Create(_)
            | SchemaChange::Truncate(_)
            | SchemaChange::Rewrite(..)
            | SchemaChange::Cascades(_)
            | SchemaChange::UniqueKeys(_)
            | SchemaChange::Rebuilt(_)
            | SchemaChange::Database { .. } => Vec::new(),
        };
        changes.iter().flat_map(of).collect()
    }

    fn surely_touched(&self, touched: &Touched) -> Vec<TableIndex> {
        match touched {
            Touched::Tables(names) => names.iter().filter_map(|name| self.find(name)).collect(),
            Touched::CreatedIfMissing(name) => self.find(name).into_iter().collect(),
            Touched::Database(database) => self.in_database(database),
            Touched::Nothing | Touched::Maybe(_) | Touched::Anything => Vec::new(),
        }
    }
}
