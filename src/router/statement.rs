//! What came as a statement, and so not as rows: which tables it may touch, and what becomes of them.

use std::collections::BTreeSet;
use std::time::Instant;

use super::tables::{State, Table};
use super::{Router, shape_error};
use crate::binlog::query::Query;
use crate::error::Error;
use crate::message::{EventSpan, TableIndex};
use crate::position::Version;
use crate::schema::ddl::{self, Touched};
use crate::schema::types::TableName;

/// Characters of a statement that a reason quotes.
const QUOTED_CHARS: usize = 300;

impl Router {
    /// DDL, or a change that came as a statement: the tables that it touches are copied anew.
    pub(super) fn statement(&mut self, query: &Query<'_>, span: EventSpan, now: Instant) {
        let sql = query.text();
        let tables = self.touched_tables(&ddl::touched(&sql, query.database, query.context().sql_mode));
        let at = self.version_of(span);
        for table in tables.into_iter().filter(|&table| self.tables.list()[table].floor <= at).collect::<Vec<_>>() {
            let quoted: String = sql.chars().take(QUOTED_CHARS).collect();
            let text = format!("a schema change or a change in statement format, which may touch it: {quoted}");
            self.copy_anew(table, shape_error(&text), span, now);
        }
    }

    fn touched_tables(&mut self, touched: &Touched) -> Vec<TableIndex> {
        match touched {
            Touched::Nothing => Vec::new(),
            Touched::Anything => self.tables.named(),
            // A table that is known exists, so that the statement did nothing.
            Touched::CreatedIfMissing(name) if self.find(name).is_some() => Vec::new(),
            Touched::CreatedIfMissing(name) => self.known_or_chosen(name).into_iter().collect(),
            Touched::Database(database) => self.in_database(database),
            Touched::Tables(names) => names.iter().filter_map(|name| self.known_or_chosen(name)).collect(),
            // Whatever it names, a view, a trigger, a cascade or a routine may lead from there to any table beside it.
            Touched::Maybe(names) => {
                let databases: BTreeSet<&str> = names.iter().map(|name| name.database.as_str()).collect();
                databases.into_iter().flat_map(|database| self.in_database(database)).collect()
            }
        }
    }

    fn in_database(&self, database: &str) -> Vec<TableIndex> {
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
        let chosen = || self.settings.selection.selects(name);
        let known = self.find(name);
        if known.is_none() && chosen() {
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
            table.state = match table.state {
                State::Streaming => State::Unverified,
                // Until its copy is done.
                State::Snapshot if table.reason.is_empty() => State::Snapshot,
                State::Snapshot | State::Unverified | State::Quarantined => continue,
            };
            table.reason.clone_from(&reason);
            self.save_state(index);
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
