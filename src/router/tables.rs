//! The replicated tables: their states, and the plan for the rows of each table id.
//!
//! Row decoding trusts TABLE_MAP: it carries names, types and key of the very rows that follow (full metadata), and a
//! plan is compiled once per map. A map whose body is known keeps its plan without being parsed again. What does not fit
//! the target, or has another key than the table was created with, sets the table aside; it never shifts a column.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::binlog::event::Event;
use crate::binlog::table_map::{TableMap, TableMapHead};
use crate::error::{Action, Error, ErrorKind, Result};
use crate::message::TableIndex;
use crate::rowbinary::Body;
use crate::schema::catalog::SourceTable;
use crate::schema::target::{InsertTarget, TargetTable};
use crate::schema::types::TableName;
use crate::transcode::RowPlan;

/// A replicated table.
#[derive(Debug)]
pub struct Table {
    /// Its name in the source.
    pub name: TableName,
    /// Its state; other states of DESIGN 9 belong to what is not built yet.
    pub state: State,
    /// Why it is in this state; empty while all is well.
    pub reason: String,
    /// Rows acked since the start.
    pub rows: u64,
    /// The highest acked version.
    pub version: u64,
    /// The target; `None` for a table that was never copied or created.
    shape: Option<Shape>,
}

/// A table's state, as `/status` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its rows flow.
    Streaming,
    /// Its rows flow, but those from before the start were not copied.
    Unverified,
    /// Set aside.
    Quarantined,
}

/// What a table was created or checked as at the start.
#[derive(Debug)]
pub struct Shape {
    /// Names of the key columns.
    pub key: Vec<String>,
    /// The target's columns.
    pub target: TargetTable,
}

/// How the rows of one table id become rows of the target.
#[derive(Debug, PartialEq)]
pub struct TablePlan {
    /// Column by column.
    pub rows: RowPlan,
    /// Where they go.
    pub target: Arc<InsertTarget>,
}

/// All tables, and the table ids of the stream.
#[derive(Debug, Default)]
pub struct Tables {
    list: Vec<Table>,
    by_name: HashMap<TableName, TableIndex>,
    by_target: HashMap<TableName, TableIndex>,
    maps: FxHashMap<u64, Map>,
}

/// What a TABLE_MAP told.
#[derive(Debug)]
pub enum Mapped {
    /// Its rows go to their table, or are passed over.
    Settled,
    /// Its rows cannot be followed, and why: the table must be set aside.
    Refused(TableIndex, Error),
    /// A table that is not known.
    Unknown(TableName),
}

#[derive(Debug)]
struct Map {
    body: Vec<u8>,
    destination: Option<(TableIndex, Arc<TablePlan>)>,
}

impl State {
    /// The name in `/status` and in the state table.
    pub fn name(self) -> &'static str {
        match self {
            State::Streaming => "streaming",
            State::Unverified => "unverified",
            State::Quarantined => "quarantined",
        }
    }

    /// The state of this name; what is unknown was saved by a later version and is not to be trusted.
    pub fn from_name(name: &str) -> Self {
        match name {
            "streaming" => State::Streaming,
            "unverified" => State::Unverified,
            _ => State::Quarantined,
        }
    }
}

impl Shape {
    /// The shape of `source` in `target`.
    pub fn new(source: &SourceTable, target: TargetTable) -> Self {
        let key = source.key.iter().filter_map(|&index| source.columns.get(index)).map(|column| column.name.clone());
        Self { key: key.collect(), target }
    }
}

impl Table {
    /// A table in this state.
    pub fn new(name: TableName, state: State, reason: String, shape: Option<Shape>) -> Self {
        Self { name, state, reason, rows: 0, version: 0, shape }
    }

    /// Rows of this body are in ClickHouse.
    pub fn count(&mut self, body: &Body) {
        self.rows += body.rows() as u64;
        self.version = self.version.max(body.version_max);
    }

    fn plan(&self, map: &TableMap) -> Result<TablePlan> {
        let shape = |text: String| Error::new(ErrorKind::TableShape, text);
        let Some(Shape { key, target }) = &self.shape else {
            return Err(shape("has no target yet".to_owned()));
        };
        if !map.has_full_metadata {
            return Err(shape("its rows come without column names: SET PERSIST binlog_row_metadata='FULL'".to_owned()));
        }
        let map_key = map.primary_key.as_deref().unwrap_or_default();
        let names = map_key.iter().filter_map(|&index| map.columns.get(index)).map(|column| column.name.as_str());
        let names: Vec<&str> = names.collect();
        if names != *key || map.key_has_prefix {
            return Err(shape(format!("its key in the stream is {names:?}, but the target was made for {key:?}")));
        }
        let rows = RowPlan::compile(&map.columns, map_key, &target.columns)?;
        let insert = InsertTarget { table: target.name.clone(), columns: rows.insert_columns() };
        Ok(TablePlan { rows, target: Arc::new(insert) })
    }
}

impl Tables {
    /// Adds a table; its index is the number of tables before it.
    pub fn add(&mut self, table: Table) -> TableIndex {
        let index = self.list.len();
        self.by_name.insert(table.name.clone(), index);
        if let Some(shape) = &table.shape {
            self.by_target.insert(shape.target.name.clone(), index);
        }
        self.list.push(table);
        index
    }

    /// All tables in the order of their indexes.
    pub fn list(&self) -> &[Table] {
        &self.list
    }

    /// The table of this index, which `add` gave.
    pub fn get_mut(&mut self, index: TableIndex) -> &mut Table {
        &mut self.list[index]
    }

    /// The table of this name.
    pub fn find(&self, name: &TableName) -> Option<TableIndex> {
        self.by_name.get(name).copied()
    }

    /// The table whose name differs from this one in case only.
    pub fn find_ignoring_case(&self, name: &TableName) -> Option<TableIndex> {
        let folded = |name: &TableName| (name.database.to_lowercase(), name.table.to_lowercase());
        self.list.iter().position(|table| folded(&table.name) == folded(name))
    }

    /// The table whose target has this name.
    pub fn find_target(&self, name: &TableName) -> Option<TableIndex> {
        self.by_target.get(name).copied()
    }

    /// Table ids mean nothing any more: a new file, or a new connection.
    pub fn forget_maps(&mut self) {
        self.maps.clear();
    }

    /// Where rows of this table id go: `None` for tables that are not replicated or set aside.
    ///
    /// # Errors
    /// An id that no TABLE_MAP announced.
    pub fn destination(&self, table_id: u64) -> Result<Option<(TableIndex, &Arc<TablePlan>)>> {
        let Some(map) = self.maps.get(&table_id) else {
            let text = format!("rows of table id {table_id}, which no TABLE_MAP announced");
            return Err(Error::new(ErrorKind::CorruptStream, text));
        };
        let flows = |index: TableIndex| self.list[index].state != State::Quarantined;
        Ok(map.destination.as_ref().filter(|(index, _)| flows(*index)).map(|(index, plan)| (*index, plan)))
    }

    /// Takes a TABLE_MAP.
    ///
    /// # Errors
    /// An event that cannot be parsed.
    pub fn map(&mut self, event: &Event<'_>) -> Result<Mapped> {
        let head = TableMapHead::parse(event)?;
        if self.maps.get(&head.table_id).is_some_and(|map| map.body == event.body) {
            return Ok(Mapped::Settled);
        }
        let name = TableName { database: head.database.to_owned(), table: head.table.to_owned() };
        let (destination, mapped) = match self.find(&name) {
            None => (None, Mapped::Unknown(name)),
            Some(index) if self.list[index].state == State::Quarantined => (None, Mapped::Settled),
            Some(index) => match TableMap::parse(event).and_then(|map| self.list[index].plan(&map)) {
                Ok(plan) => (Some((index, Arc::new(plan))), Mapped::Settled),
                Err(error) if error.action() == Action::Quarantine => (None, Mapped::Refused(index, error)),
                Err(error) => return Err(error),
            },
        };
        self.maps.insert(head.table_id, Map { body: event.body.to_vec(), destination });
        Ok(mapped)
    }
}
