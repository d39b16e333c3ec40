//! The replicated tables: their states, and the plan for the rows of each table id.
//!
//! Row decoding trusts TABLE_MAP: it carries names, types and key of the very rows that follow (full metadata), and a
//! plan is compiled once per map. A map whose body is known keeps its plan without being parsed again. What does not fit
//! the target, or has another key than the table was created with, sets the table aside; it never shifts a column.
//! A map without names takes them from the table's definition at its position, if that one is known and is of the same
//! types ([`crate::binlog::minimal`]); what is not known is not guessed.
//!
//! While a table is copied anew its rows go to two targets: its own and the copy's, which is a table of its own here, its
//! *shadow*. In the end the shadow takes the name over, and what it replaced is set aside for good.
//!
//! A table has a *floor*: what lies below it in the stream is contained in the target already, whatever shape it had then.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::shape_error;
use crate::binlog::event::Event;
use crate::binlog::table_map::{TableMap, TableMapHead};
use crate::error::{Action, Error, ErrorKind, Result};
use crate::message::TableIndex;
use crate::metrics::bad_values::{BadValue, Counts};
use crate::position::Version;
use crate::rowbinary::Body;
use crate::schema::catalog::{Definition, Known, SourceTable};
use crate::schema::choices::Choices;
use crate::schema::target::{InsertColumns, TargetTable};
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
    /// The stream's rows below it are in the target already, and are passed over.
    pub floor: Version,
    /// Its definition in the source, as far as its DDL has been carried out; `None` when it is not followed.
    pub known: Option<Known>,
    /// Whether rows of it came without column names since the start: then those that come again need the definition of
    /// their position, and no change of it may lie above the floor.
    pub is_unnamed: bool,
    /// The target; `None` for a table that was never copied or created.
    shape: Option<Shape>,
}

/// A table's state, as `/status` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its rows flow.
    Streaming,
    /// Its rows flow, while those from before the start are being copied.
    Snapshot,
    /// Its rows flow, but those from before the start were not copied.
    Unverified,
    /// Its rows flow, but a schema change of it was not carried out.
    Drifted,
    /// Set aside.
    Quarantined,
}

/// Saved as the state of a name that no table has any more: dropped, or renamed. Whatever reads it back as a state takes
/// it for set aside.
pub const GONE: &str = "gone";

/// Why a table is set aside whose drop was carried out.
pub const DROPPED: &str = "it was dropped in the source";

/// What a table was created or checked as at the start.
#[derive(Debug)]
pub struct Shape {
    /// Names of the key columns.
    pub key: Vec<String>,
    /// The target's columns.
    pub target: TargetTable,
    /// What the user says of its columns.
    pub choices: Choices,
}

/// How the rows of one table id become rows of the target.
#[derive(Debug, PartialEq)]
pub struct TablePlan {
    /// Column by column.
    pub rows: RowPlan,
    /// The columns that they carry.
    pub columns: Arc<InsertColumns>,
}

/// All tables, and the table ids of the stream.
#[derive(Debug, Default)]
pub struct Tables {
    list: Vec<Table>,
    by_name: HashMap<TableName, TableIndex>,
    by_target: HashMap<TableName, TableIndex>,
    /// The shadows of tables that have one.
    shadows: HashMap<TableIndex, TableIndex>,
    maps: FxHashMap<u64, Map>,
    /// Values that became NULL.
    counts: Arc<Counts>,
}

/// Where the rows of a table id go.
pub type Destinations = Arc<[(TableIndex, Arc<TablePlan>)]>;

/// What a TABLE_MAP told.
#[derive(Debug)]
pub enum Mapped {
    /// Its rows go to their table, or are passed over.
    Settled,
    /// Rows of these cannot be followed, and why: they must be set aside.
    Refused(Vec<(TableIndex, Error)>),
    /// A table that is not known.
    Unknown(TableName),
}

#[derive(Debug)]
struct Map {
    /// Empty when the map must be taken anew each time.
    body: Vec<u8>,
    destinations: Destinations,
}

impl State {
    /// The name in `/status` and in the state table.
    pub fn name(self) -> &'static str {
        match self {
            State::Streaming => "streaming",
            State::Snapshot => "snapshot",
            State::Unverified => "unverified",
            State::Drifted => "drifted",
            State::Quarantined => "quarantined",
        }
    }

    /// The state of this name; what is unknown was saved by a later version and is not to be trusted.
    pub fn from_name(name: &str) -> Self {
        match name {
            "streaming" => State::Streaming,
            "snapshot" => State::Snapshot,
            "unverified" => State::Unverified,
            "drifted" => State::Drifted,
            _ => State::Quarantined,
        }
    }
}

impl Shape {
    /// The shape of `source` in `target`.
    pub fn new(source: &SourceTable, target: TargetTable) -> Self {
        let key = source.key.iter().filter_map(|&index| source.columns.get(index)).map(|column| column.name.clone());
        Self { key: key.collect(), target, choices: source.choices.clone() }
    }
}

impl Table {
    /// A table in this state.
    pub fn new(name: TableName, state: State, reason: String, shape: Option<Shape>) -> Self {
        Self {
            name,
            state,
            reason,
            rows: 0,
            version: 0,
            floor: Version::default(),
            known: None,
            is_unnamed: false,
            shape,
        }
    }

    /// Rows of this body are in ClickHouse.
    pub fn count(&mut self, body: &Body) {
        self.rows += body.rows() as u64;
        self.version = self.version.max(body.version_max);
    }

    /// The name of its target; `None` when it has none.
    pub fn target_name(&self) -> Option<&TableName> {
        self.shape.as_ref().map(|shape| &shape.target.name)
    }

    /// Its target; `None` when it has none.
    pub fn target(&self) -> Option<&TargetTable> {
        self.shape.as_ref().map(|shape| &shape.target)
    }

    /// Whether its target is a log of changes.
    pub fn is_log(&self) -> bool {
        self.shape.as_ref().is_some_and(|shape| shape.key.is_empty())
    }

    /// Whether rows go to it.
    pub fn flows(&self) -> bool {
        self.state != State::Quarantined
    }

    /// The plan for the rows of a map of the version `at`, where the table is as it is `known` to be.
    fn plan(&self, map: TableMap, known: Option<&Known>, at: Version, counts: &Counts) -> Result<TablePlan> {
        let Some(Shape { key, target, choices }) = &self.shape else {
            return Err(shape_error("has no target yet"));
        };
        let map = if map.has_full_metadata { map } else { map.completed(definition_at(known, at)?)? };
        let map_key = map.primary_key.as_deref().unwrap_or_default();
        let names = map_key.iter().filter_map(|&index| map.columns.get(index)).map(|column| column.name.as_str());
        let names: Vec<&str> = names.collect();
        if names != *key || map.key_has_prefix {
            return Err(shape_error(&format!(
                "its key in the stream is {names:?}, but the target was made for {key:?}"
            )));
        }
        let bad_values = Some(counts.of(&self.name));
        let rows = RowPlan::compile_chosen(&map.columns, map_key, &target.columns, choices, bad_values)?;
        let columns = Arc::new(InsertColumns(rows.insert_columns()));
        Ok(TablePlan { rows, columns })
    }
}

/// A definition is that of all rows since a version.
fn definition_at(known: Option<&Known>, at: Version) -> Result<&Definition> {
    let known = known.filter(|known| known.since <= at).map(|known| &known.definition);
    known.ok_or_else(|| {
        shape_error(
            "its rows come without column names (binlog_row_metadata=MINIMAL), and what its columns were at this position \
             is not known: SET PERSIST binlog_row_metadata = 'FULL' has rows tell it themselves",
        )
    })
}

impl Tables {
    /// None yet; values that become NULL are counted in `counts`.
    pub fn counting(counts: Arc<Counts>) -> Self {
        Self { counts, ..Self::default() }
    }

    /// Values of this table that became NULL.
    pub fn bad_values(&self, index: TableIndex) -> Vec<BadValue> {
        self.counts.of(&self.list[index].name).all()
    }

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

    /// The tables that have a name: no shadows, and nothing that a shadow has replaced. In the order of their indexes.
    pub fn named(&self) -> Vec<TableIndex> {
        let mut named: Vec<_> = self.by_name.values().copied().collect();
        named.sort_unstable();
        named
    }

    /// The name of its target; `None` when it has none.
    pub fn target_name(&self, index: TableIndex) -> Option<&TableName> {
        self.list[index].target_name()
    }

    /// The table whose shadow this is.
    pub fn shadowed_by(&self, shadow: TableIndex) -> Option<TableIndex> {
        self.shadows.iter().find(|&(_, &index)| index == shadow).map(|(&table, _)| table)
    }

    /// Adds a shadow of `table`, to which its rows go as well from the next TABLE_MAP on; its index is the number of
    /// tables before it.
    pub fn add_shadow(&mut self, table: TableIndex, shadow: Table) -> TableIndex {
        let index = self.list.len();
        if let Some(shape) = &shadow.shape {
            self.by_target.insert(shape.target.name.clone(), index);
        }
        self.list.push(shadow);
        self.shadows.insert(table, index);
        index
    }

    /// From the next TABLE_MAP on the rows of `table` are made for this shape, under its target's old name.
    pub fn reshape(&mut self, table: TableIndex, shape: Shape) {
        self.by_target.insert(shape.target.name.clone(), table);
        self.list[table].shape = Some(shape);
        self.forget_maps();
    }

    /// The table is called `name` from here on; its shape follows.
    pub fn rename(&mut self, table: TableIndex, name: TableName) {
        self.by_name.retain(|_, &mut index| index != table);
        self.by_name.insert(name.clone(), table);
        self.list[table].name = name;
    }

    /// The table is gone from the source: nothing has its name.
    pub fn forget(&mut self, table: TableIndex) {
        self.by_name.retain(|_, &mut index| index != table);
        self.retire(table);
    }

    /// Sets a shadow aside for good.
    pub fn retire_shadow(&mut self, shadow: TableIndex) {
        self.shadows.retain(|_, &mut index| index != shadow);
        self.retire(shadow);
    }

    /// The shadow has become the target `name`: it takes the table's place, with this floor.
    pub fn replace(&mut self, table: TableIndex, name: TableName, floor: Version) {
        let Some(shadow) = self.shadows.remove(&table) else { return };
        self.retire(table);
        self.by_name.insert(self.list[shadow].name.clone(), shadow);
        self.list[shadow].floor = floor;
        if let Some(shape) = &mut self.list[shadow].shape {
            self.by_target.remove(&shape.target.name);
            self.by_target.insert(name.clone(), shadow);
            shape.target.name = name;
        }
    }

    fn retire(&mut self, index: TableIndex) {
        let table = &mut self.list[index];
        table.state = State::Quarantined;
        if let Some(shape) = table.shape.take() {
            self.by_target.remove(&shape.target.name);
        }
    }

    /// The table whose name differs from this one in case only.
    pub fn find_ignoring_case(&self, name: &TableName) -> Option<TableIndex> {
        let folded = |name: &TableName| (name.database.to_lowercase(), name.table.to_lowercase());
        // Not in the list: what a shadow has replaced is there too.
        self.by_name.iter().find(|(known, _)| folded(known) == folded(name)).map(|(_, &index)| index)
    }

    /// The table whose target has this name.
    pub fn find_target(&self, name: &TableName) -> Option<TableIndex> {
        self.by_target.get(name).copied()
    }

    /// Table ids mean nothing any more: a new file, or a new connection.
    pub fn forget_maps(&mut self) {
        self.maps.clear();
    }

    /// Where rows of this table id go; nowhere for tables that are not replicated.
    ///
    /// # Errors
    /// An id that no TABLE_MAP announced.
    pub fn destinations(&self, table_id: u64) -> Result<&Destinations> {
        self.maps.get(&table_id).map(|map| &map.destinations).ok_or_else(|| {
            let text = format!("rows of table id {table_id}, which no TABLE_MAP announced");
            Error::new(ErrorKind::CorruptStream, text)
        })
    }

    /// Takes a TABLE_MAP of the version `at`. Rows of an XA transaction lie where its outcome does: then it is planned
    /// wherever it stands, but below the floor not for the next one. `changed` has the definitions of tables that wait for
    /// schema changes, as they are behind them.
    ///
    /// # Errors
    /// An event that cannot be parsed.
    pub fn map<'a>(
        &mut self,
        event: &Event<'_>,
        at: Version,
        in_xa: bool,
        changed: impl Fn(TableIndex) -> Option<&'a Known>,
    ) -> Result<Mapped> {
        let (id, _) = TableMapHead::split_id(event)?;
        if self.maps.get(&id).is_some_and(|map| map.body == event.body) {
            return Ok(Mapped::Settled);
        }
        let head = TableMapHead::parse(event)?;
        let name = TableName { database: head.database.to_owned(), table: head.table.to_owned() };
        let index = self.find(&name);
        let shadow = index.and_then(|index| self.shadows.get(&index).copied());
        let (mut planned, mut refused, mut is_whole) = (Vec::new(), Vec::new(), true);
        for index in index.into_iter().chain(shadow) {
            let table = &mut self.list[index];
            if !table.flows() {
                continue;
            }
            if at < table.floor {
                is_whole = false;
                if !in_xa {
                    continue;
                }
            }
            let plan = TableMap::parse(event).and_then(|map| {
                table.is_unnamed |= !map.has_full_metadata;
                table.plan(map, changed(index).or(table.known.as_ref()), at, &self.counts)
            });
            match plan {
                Ok(plan) => planned.push((index, Arc::new(plan))),
                Err(error) if error.action() == Action::Quarantine => {
                    is_whole = false;
                    refused.push((index, error));
                }
                Err(error) => return Err(error),
            }
        }
        let body = if is_whole { event.body.to_vec() } else { Vec::new() };
        self.maps.insert(id, Map { body, destinations: planned.into() });
        Ok(match index {
            None => Mapped::Unknown(name),
            Some(_) if refused.is_empty() => Mapped::Settled,
            Some(_) => Mapped::Refused(refused),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_not_that_of_rows_from_before() {
        let known = Known { since: Version(5), definition: Definition::default() };
        assert!(definition_at(Some(&known), Version(5)).is_ok());
        for (known, at) in [(Some(&known), Version(4)), (None, Version(9))] {
            let error = definition_at(known, at).unwrap_err();
            assert!(error.text.contains("at this position is not known"), "{error}");
        }
    }

    #[test]
    fn a_name_in_other_case_means_the_table_that_has_it_now() {
        let name = |table: &str| TableName { database: "d".to_owned(), table: table.to_owned() };
        let table = |target: &str| {
            let target = TargetTable { name: name(target), columns: Vec::new() };
            Table::new(
                name("t"),
                State::Streaming,
                String::new(),
                Some(Shape { key: Vec::new(), target, choices: Choices::default() }),
            )
        };
        let mut tables = Tables::default();
        let old = tables.add(table("t"));
        let shadow = tables.add_shadow(old, table("shadow"));
        assert_eq!(tables.find_ignoring_case(&name("T")), Some(old));
        tables.replace(old, name("t"), Version(5));
        assert_eq!(tables.find_ignoring_case(&name("T")), Some(shadow));
    }
}
