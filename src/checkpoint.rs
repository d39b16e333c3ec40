//! Replication state in ClickHouse: checkpoints and table states.
//!
//! Three tables in `state.database`: `checkpoints` (history, with a TTL), `checkpoint_latest` (one row per pipeline and
//! timeline, which no TTL takes) and `table_states`. The newest checkpoint is the one with the highest
//! `(timeline, seq)` in either of the first two, never the one with the latest clock.
//!
//! **Why a killed process cannot move its successor's checkpoint back.** One save is in flight at a time, so a process
//! whose newest visible save is `seq = n` has at most `n + 1` on its way. A fresh process loads `n` (or `n + 1`) and
//! claims the pipeline with `n + 2`, then `n + 3` ([`Store::claim`]), before it changes anything that was there. A late copy
//! of `n + 1` is then below ours, and below is never newest. So is a predecessor's own claim, killed in flight: whoever loads
//! `n` while its `n + 2` is still on its way has `n + 3` in the end, and its own `n + 3` was never sent.
//!
//! **Why two living processes do not go on side by side.** The newest checkpoint's owner is the one process that may change
//! something. Each save first reads the newest. If that is another owner's and not below what is to be saved, the other
//! process claimed after us: [`ErrorKind::SecondCopy`]. Before whatever else changes a state or a target, [`Store::check_owner`]
//! asks the same ([`Client::fence`]). After our claim at `n + 2` the elder's next save, `n + 1`, meets this, and so does its
//! next statement. A claim counts from what was loaded: one that comes late, by a process that had been stopped
//! meanwhile, is below what its successor has saved since. Two that claim in the same instant go on to save one and the
//! same `seq`, and the later finds the earlier's. That two come to claim at all, [`crate::mysql::lock`] prevents.
//!
//! Reading before writing is no lock, and needs none: rows are safe by their versions, saves by their order. A statement
//! whose process is stopped between the question and the sending is like one of a killed process that lands late: at most
//! one for each thread, and each kind is made to land late (see [`crate::clickhouse::barrier`]).

pub mod dead_letters;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clickhouse::{Client, sql, tables};
use crate::error::{Error, ErrorKind, Result};
use crate::gtid::GtidSet;
use crate::position::{Position, Timeline};
use crate::schema::catalog::{Definition, Known};
use crate::schema::target::Ddl;
use crate::schema::types::TableName;

/// How far the first save of a claim lies above what was loaded: beyond any save still on its way.
const CLAIM_STEP: u64 = 2;

/// The columns of both checkpoint tables that are written; `id` and `created_at` have defaults.
const COLUMNS: &str = "`pipeline`, `owner`, `seq`, `file`, `offset`, `gtid_set`, `server_uuid`, `file_timestamp`, \
                       `timeline`, `base_file`, `last_binlog_timestamp_us`, `settled_xids`, \
                       `owner_host`, `owner_process`, `owner_since`";

/// Where a pipeline stands: everything below `position` is in ClickHouse (I4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Rises by one with every save, never restarts; newest = highest (timeline, seq), never a clock.
    pub seq: u64,
    /// A transaction end.
    pub position: Position,
    /// The run of comparable positions it lies in.
    pub timeline: Timeline,
}

/// What a restart must know of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableState {
    /// `database.table` of the source.
    pub table: String,
    /// `streaming`, `quarantined`, `unverified`, ..
    pub state: String,
    /// Why, for a person.
    pub reason: String,
    /// The version below which the stream's rows are in the target already.
    #[serde(default)]
    pub floor: u64,
    /// Its copy into a shadow.
    #[serde(flatten)]
    pub shadow: Shadow,
    /// Its definition as far as DDL was followed, and a DDL that is about to be carried out: a [`SavedSchema`] as JSON,
    /// or empty.
    #[serde(default)]
    pub schema: String,
}

/// What a restart must know of a table's schema.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavedSchema {
    /// Its definition, if it is followed.
    pub known: Option<Known>,
    /// What may not be done yet; every row from before it is in the target.
    pub pending: Option<Box<Ddl>>,
    /// The definition that its shadow was made for.
    pub shadow: Option<Definition>,
}

impl SavedSchema {
    /// As it is saved; empty when nothing is known.
    pub fn to_text(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        // Strings, numbers and lists of them always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What was saved; `None` for nothing, and for what another version has saved.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// A copy beside the target, as it is saved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shadow {
    /// The shadow's UUID; nil when there is none.
    #[serde(rename = "shadow", default)]
    pub id: Uuid,
    /// The copied rows' version; 0 until it is noted.
    #[serde(rename = "shadow_version", default)]
    pub version: u64,
    /// The GTIDs that the copy's SELECTs must have seen; empty without GTID.
    #[serde(rename = "shadow_gtid_set", default)]
    pub gtid_set: String,
}

/// A key range of a table's copy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CopyChunk {
    /// `database.table` of the source.
    pub table: String,
    /// The version of the copy's rows.
    pub version: u64,
    /// The UUID of the shadow that is filled; nil when the target is.
    #[serde(default)]
    pub shadow: Uuid,
    /// Made up when the copy was cut: chunks of two cuts never mix.
    pub plan: Uuid,
    /// Its place among the table's chunks, from 0.
    pub chunk: u32,
    /// Where it ends, as SQL literals of the key; empty: with the table's last key.
    pub upper: Vec<String>,
    /// Rows when it was planned; 0 when they were not counted.
    pub rows: u64,
    /// 1 when all its rows are in the target.
    pub done: u8,
}

/// A checkpoint as both tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CheckpointRow {
    pipeline: String,
    owner: Uuid,
    seq: u64,
    file: String,
    offset: u64,
    /// NULL when the set is not complete.
    gtid_set: Option<String>,
    server_uuid: String,
    file_timestamp: u32,
    timeline: u16,
    base_file: u32,
    /// Microseconds since 1970.
    last_binlog_timestamp_us: u64,
    #[serde(default)]
    settled_xids: BTreeSet<String>,
    #[serde(flatten)]
    process: Process,
}

/// A process, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Process {
    /// The machine's name, where it is known.
    #[serde(default)]
    owner_host: String,
    #[serde(default)]
    owner_process: u32,
    /// When it began, in UTC: as a number when it is saved, as text when it is read.
    #[serde(default)]
    owner_since: Since,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Since {
    Seconds(u64),
    Text(String),
}

/// The state of one pipeline, as one process sees it.
#[derive(Debug)]
pub struct Store {
    client: Arc<Client>,
    database: String,
    pipeline: String,
    owner: Uuid,
    process: Process,
    /// Known after [`Store::create`].
    state_numbers: Mutex<StateNumbers>,
}

/// Numbers of table states. However often a save is tried, its number is one: so at most one is on its way that is not the
/// newest, and no process can leave behind a state that is above its successor's.
#[derive(Debug, Default)]
struct StateNumbers {
    next: u64,
    last: Option<(u64, TableState)>,
}

impl StateNumbers {
    fn of(&mut self, state: &TableState) -> u64 {
        if let Some((number, last)) = &self.last
            && last == state
        {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.last = Some((number, state.clone()));
        number
    }
}

#[derive(Deserialize)]
struct Newest {
    newest: u64,
}

impl Store {
    /// The state of `pipeline`, seen by the process `owner`. Asks and creates nothing.
    pub fn new(client: Arc<Client>, database: &str, pipeline: &str, owner: Uuid) -> Self {
        let (database, pipeline) = (database.to_owned(), pipeline.to_owned());
        Self { client, database, pipeline, owner, process: Process::own(), state_numbers: Mutex::default() }
    }

    /// Creates what is missing of database and tables, and sets the history's TTL.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn create(&self, ttl: Duration) -> Result<()> {
        tables::create_database(&self.client, &self.database)?;
        self.create_table("checkpoints", &checkpoints_definition(ttl))?;
        self.create_table("checkpoint_latest", &latest_definition())?;
        for table in ["checkpoints", "checkpoint_latest"] {
            self.add_columns(table, LATER_CHECKPOINT_COLUMNS)?;
        }
        self.create_table(COPY_CHUNKS, COPY_CHUNKS_DEFINITION)?;
        self.add_columns(COPY_CHUNKS, &[("shadow", "UUID")])?;
        self.create_dead_letters(ttl)?;
        self.create_table(TABLE_STATES, TABLE_STATES_DEFINITION)?;
        self.add_columns(TABLE_STATES, LATER_STATE_COLUMNS)?;
        let newest = format!(
            "SELECT max(`number`) AS newest FROM {} WHERE `pipeline` = {}",
            self.quoted(TABLE_STATES),
            sql::text(&self.pipeline)
        );
        let newest = self.client.rows::<Newest>(&newest).map_err(of_state)?;
        let newest = newest.first().map_or(0, |row| row.newest);
        self.state_numbers.lock().next = newest + CLAIM_STEP;
        self.set_ttl("checkpoints", ttl)
    }

    /// The pipeline's name.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// This process.
    pub fn owner(&self) -> Uuid {
        self.owner
    }

    /// The newest checkpoint; `None` when the pipeline has none, or nothing was created yet.
    ///
    /// # Errors
    /// As [`Client::query`]; a GTID set that is none.
    pub fn load(&self) -> Result<Option<Checkpoint>> {
        if !self.is_created()? {
            return Ok(None);
        }
        self.newest(&["checkpoint_latest", "checkpoints"])?.map(CheckpointRow::into_checkpoint).transpose()
    }

    /// Whether all tables are there: the one that is created last is.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn is_created(&self) -> Result<bool> {
        tables::has_table(&self.client, &self.name(TABLE_STATES))
    }

    /// Takes the pipeline over: saves `checkpoint` (the loaded one, or a first one with `seq` 0) two numbers above what was
    /// loaded, and once more, so that no claim of a killed process can tie with it. Returns it as saved.
    ///
    /// # Errors
    /// As [`Store::save`]: nothing is taken over that another process has taken over since it was loaded.
    pub fn claim(&self, mut checkpoint: Checkpoint) -> Result<Checkpoint> {
        checkpoint.seq += CLAIM_STEP;
        self.save(&checkpoint)?;
        checkpoint.seq += 1;
        self.save(&checkpoint)?;
        Ok(checkpoint)
    }

    /// Whether this process still is the one that may change something, after its claim.
    ///
    /// # Errors
    /// [`ErrorKind::SecondCopy`] when another process has claimed the pipeline since, or as [`Client::query`].
    pub fn check_owner(&self) -> Result<()> {
        match self.newest(&["checkpoint_latest"])? {
            Some(newest) if newest.owner != self.owner => Err(newest.second_copy()),
            Some(_) | None => Ok(()),
        }
    }

    /// The process that has claimed the pipeline last, for people; `None` when none has, or nothing is known of it.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn last_owner(&self) -> Result<Option<String>> {
        if !tables::has_table(&self.client, &self.name("checkpoint_latest"))? {
            return Ok(None);
        }
        Ok(self.newest(&["checkpoint_latest"])?.and_then(|newest| newest.process.told()))
    }

    /// Saves a checkpoint. Saving the same again is harmless.
    ///
    /// # Errors
    /// [`ErrorKind::SecondCopy`] when another process's is newer, or as [`Client::query`].
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let row = CheckpointRow::new(checkpoint, &self.pipeline, self.owner, &self.process);
        // It alone is read: it has whatever the history has, in a few rows.
        if let Some(newest) = self.newest(&["checkpoint_latest"])? {
            row.check_not_superseded(&newest)?;
        }
        self.insert(Client::ask, "checkpoint_latest", COLUMNS, [&row])?;
        self.insert(Client::ask, "checkpoints", COLUMNS, [&row])
    }

    /// Saves a table's state in place of the one before.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn save_table_state(&self, state: &TableState) -> Result<()> {
        #[derive(Serialize)]
        struct Row<'a> {
            pipeline: &'a str,
            number: u64,
            #[serde(flatten)]
            state: &'a TableState,
        }
        let number = self.state_numbers.lock().of(state);
        let row = Row { pipeline: &self.pipeline, number, state };
        let columns = "`pipeline`, `number`, `table`, `state`, `reason`, `floor`, `shadow`, `shadow_version`, `shadow_gtid_set`, `schema`";
        self.insert(Client::query, TABLE_STATES, columns, [row])
    }

    /// Saves chunks of copies. Saving the same again is harmless; one that is done stays so.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn save_chunks(&self, chunks: &[CopyChunk]) -> Result<()> {
        #[derive(Serialize)]
        struct Row<'a> {
            pipeline: &'a str,
            #[serde(flatten)]
            chunk: &'a CopyChunk,
        }
        let rows = chunks.iter().map(|chunk| Row { pipeline: &self.pipeline, chunk });
        self.insert(
            Client::query,
            COPY_CHUNKS,
            "`pipeline`, `table`, `version`, `shadow`, `plan`, `chunk`, `upper`, `rows`, `done`",
            rows,
        )
    }

    /// The chunks of all copies, each copy's in order.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn load_chunks(&self) -> Result<Vec<CopyChunk>> {
        let select = format!(
            "SELECT * EXCEPT (`pipeline`, `changed_at`) FROM {} FINAL WHERE `pipeline` = {} \
             ORDER BY `table`, `version`, `plan`, `chunk`",
            self.quoted(COPY_CHUNKS),
            sql::text(&self.pipeline)
        );
        Ok(one_plan_each(&self.client.rows::<CopyChunk>(&select).map_err(of_state)?))
    }

    /// The states of all tables, by name.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn load_table_states(&self) -> Result<Vec<TableState>> {
        let select = format!(
            "SELECT * EXCEPT (`pipeline`, `number`, `changed_at`) FROM {} FINAL WHERE `pipeline` = {} ORDER BY `table`",
            self.quoted(TABLE_STATES),
            sql::text(&self.pipeline)
        );
        self.client.rows(&select).map_err(of_state)
    }

    /// All shadows that chunks were copied into.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn filled_shadows(&self) -> Result<BTreeSet<Uuid>> {
        self.shadows(COPY_CHUNKS, "=")
    }

    /// The shadows of other pipelines.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn foreign_shadows(&self) -> Result<BTreeSet<Uuid>> {
        self.shadows(TABLE_STATES, "!=")
    }

    fn shadows(&self, table: &str, comparison: &str) -> Result<BTreeSet<Uuid>> {
        #[derive(Deserialize)]
        struct Row {
            shadow: Uuid,
        }
        let (table, pipeline, none) = (self.quoted(table), sql::text(&self.pipeline), Uuid::nil());
        let select = format!(
            "SELECT DISTINCT `shadow` FROM {table} FINAL WHERE `pipeline` {comparison} {pipeline} AND `shadow` != '{none}'"
        );
        let rows = self.client.rows::<Row>(&select).map_err(of_state)?;
        Ok(rows.into_iter().map(|row| row.shadow).collect())
    }

    /// Takes what columns there are: before [`Store::create`], tables of an earlier version lack some.
    fn newest(&self, tables: &[&str]) -> Result<Option<CheckpointRow>> {
        let mut newest: Option<CheckpointRow> = None;
        for table in tables {
            // The owner only makes the choice among equals the same for all who look.
            let select = format!(
                "SELECT * FROM {} WHERE `pipeline` = {} ORDER BY `timeline` DESC, `seq` DESC, `owner` DESC LIMIT 1",
                self.quoted(table),
                sql::text(&self.pipeline)
            );
            let found = self.client.rows::<CheckpointRow>(&select).map_err(of_state)?;
            newest = newest.into_iter().chain(found).max_by_key(|row| (row.timeline, row.seq, row.owner));
        }
        Ok(newest)
    }

    /// All rows or none: they are one block.
    fn insert(
        &self,
        run: fn(&Client, &str) -> Result<String>,
        table: &str,
        columns: &str,
        rows: impl IntoIterator<Item = impl Serialize>,
    ) -> Result<()> {
        let rows = rows.into_iter().map(|row| serde_json::to_string(&row)).collect::<std::result::Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| {
            Error::new(ErrorKind::TargetDenied, format!("{table}: a row has no JSON form: {error}"))
        })?;
        let rows = rows.join("\n");
        let statement = format!("INSERT INTO {} ({columns}) FORMAT JSONEachRow\n{rows}", self.quoted(table));
        run(&self.client, &statement).map(drop).map_err(|error| of_state(error.at_table(self.name(table))))
    }

    fn create_table(&self, table: &str, definition: &str) -> Result<()> {
        if !tables::has_table(&self.client, &self.name(table))? {
            let statement = format!("CREATE TABLE IF NOT EXISTS {} {definition}", self.quoted(table));
            self.client.query(&statement).map_err(|error| of_state(error.at_table(self.name(table))))?;
        }
        Ok(())
    }

    /// What an earlier version's table lacks.
    fn add_columns(&self, table: &str, columns: &[(&str, &str)]) -> Result<()> {
        let Some(existing) = tables::existing_table(&self.client, &self.name(table))? else { return Ok(()) };
        let is_missing = |name: &str| existing.table.columns.iter().all(|column| column.name != name);
        let missing = columns.iter().filter(|(name, _)| is_missing(name));
        let added: Vec<_> = missing.map(|(name, ty)| format!("ADD COLUMN IF NOT EXISTS `{name}` {ty}")).collect();
        if !added.is_empty() {
            let alter = format!("ALTER TABLE {} {}", self.quoted(table), added.join(", "));
            self.client.query(&alter).map_err(of_state)?;
        }
        Ok(())
    }

    /// Changing `state.checkpoint_ttl` changes the table that is there.
    fn set_ttl(&self, table: &str, ttl: Duration) -> Result<()> {
        let existing = tables::existing_table(&self.client, &self.name(table))?;
        let printed = format!("toIntervalSecond({})", ttl.as_secs());
        if existing.is_some_and(|existing| !existing.engine_full.contains(&printed)) {
            self.client.query(&format!("ALTER TABLE {} MODIFY {}", self.quoted(table), ttl_clause(ttl)))?;
        }
        Ok(())
    }

    fn name(&self, table: &str) -> TableName {
        TableName { database: self.database.clone(), table: table.to_owned() }
    }

    fn quoted(&self, table: &str) -> String {
        sql::table(&self.name(table))
    }
}

/// Of each copy, the plan that got furthest. A plan whose save was on its way when its process was killed may land beside
/// its successor's, which begins and ends its chunks elsewhere. Whatever is done in either plan is done, so either will do.
fn one_plan_each(chunks: &[CopyChunk]) -> Vec<CopyChunk> {
    let done = |plan: &[CopyChunk]| plan.iter().filter(|chunk| chunk.done == 1).count();
    let mut copies: BTreeMap<(&str, u64, Uuid), &[CopyChunk]> = BTreeMap::new();
    for plan in chunks.chunk_by(|a, b| (&a.table, a.version, a.plan) == (&b.table, b.version, b.plan)) {
        let Some(CopyChunk { table, version, shadow, .. }) = plan.first() else { continue };
        let furthest = copies.entry((table, *version, *shadow)).or_insert(plan);
        if done(plan) > done(furthest) {
            *furthest = plan;
        }
    }
    copies.into_values().flatten().cloned().collect()
}

/// A state table that refuses concerns the whole pipeline: no replicated table is to be set aside for it, the save is
/// tried again until a person has mended it.
fn of_state(mut error: Error) -> Error {
    if error.kind == ErrorKind::TargetRefused {
        error.kind = ErrorKind::TargetDenied;
    }
    error
}

/// Commit times are stored as numbers: what a number in JSON means for a DateTime64 differs between server versions.
const CHECKPOINT_COLUMNS: &str = "\
    `id` UUID DEFAULT generateUUIDv4(), `pipeline` String, `owner` UUID, `seq` UInt64, `file` String, `offset` UInt64, \
    `gtid_set` Nullable(String) COMMENT 'NULL: not complete, only file and offset resume', `server_uuid` String, \
    `file_timestamp` UInt32, `timeline` UInt16, `base_file` UInt32, `last_binlog_timestamp_us` UInt64, \
    `last_binlog_timestamp` DateTime64(6, 'UTC') \
    ALIAS fromUnixTimestamp64Micro(toInt64(`last_binlog_timestamp_us`), 'UTC'), \
    `created_at` DateTime64(3, 'UTC') DEFAULT now64(3), `settled_xids` Array(String), \
    `owner_host` String, `owner_process` UInt32, `owner_since` DateTime('UTC')";

/// Those that came later.
const LATER_CHECKPOINT_COLUMNS: &[(&str, &str)] = &[
    ("settled_xids", "Array(String)"),
    ("owner_host", "String"),
    ("owner_process", "UInt32"),
    ("owner_since", "DateTime('UTC')"),
];

const COPY_CHUNKS: &str = "copy_chunks";

/// A chunk that is done wins over the same as it was planned.
const COPY_CHUNKS_DEFINITION: &str = "\
    (`pipeline` String, `table` String, `version` UInt64, `shadow` UUID, `plan` UUID, `chunk` UInt32, `upper` Array(String), `rows` UInt64, \
    `done` UInt8, `changed_at` DateTime64(3, 'UTC') DEFAULT now64(3)) \
    ENGINE = ReplacingMergeTree(`done`) ORDER BY (`pipeline`, `table`, `version`, `plan`, `chunk`)";

const TABLE_STATES: &str = "table_states";

/// The state with the highest number counts. As with checkpoints, one save is in flight at a time and a fresh process
/// begins two above what it sees, so a request that lands late never undoes a later state.
const TABLE_STATES_DEFINITION: &str = "\
    (`pipeline` String, `number` UInt64, `table` String, `state` String, `reason` String, `floor` UInt64, \
    `shadow` UUID, `shadow_version` UInt64, `shadow_gtid_set` String, `schema` String, `changed_at` DateTime64(3, 'UTC') DEFAULT now64(3)) \
    ENGINE = ReplacingMergeTree(`number`) ORDER BY (`pipeline`, `table`)";

/// Those that came later.
const LATER_STATE_COLUMNS: &[(&str, &str)] = &[
    ("floor", "UInt64"),
    ("shadow", "UUID"),
    ("shadow_version", "UInt64"),
    ("shadow_gtid_set", "String"),
    ("schema", "String"),
];

fn checkpoints_definition(ttl: Duration) -> String {
    format!("({CHECKPOINT_COLUMNS}) ENGINE = MergeTree ORDER BY (`pipeline`, `timeline`, `seq`) {}", ttl_clause(ttl))
}

/// One row per timeline: a late save of an older timeline cannot replace the row of a newer one.
fn latest_definition() -> String {
    format!("({CHECKPOINT_COLUMNS}) ENGINE = ReplacingMergeTree(`seq`) ORDER BY (`pipeline`, `timeline`)")
}

fn ttl_clause(ttl: Duration) -> String {
    format!("TTL toDateTime(`created_at`) + toIntervalSecond({})", ttl.as_secs())
}

impl CheckpointRow {
    fn new(checkpoint: &Checkpoint, pipeline: &str, owner: Uuid, process: &Process) -> Self {
        let Checkpoint { seq, position, timeline } = checkpoint;
        Self {
            pipeline: pipeline.to_owned(),
            owner,
            seq: *seq,
            file: position.file.clone(),
            offset: position.offset,
            gtid_set: position.gtid_set.as_ref().map(ToString::to_string),
            server_uuid: position.server_uuid.clone(),
            file_timestamp: position.file_timestamp,
            timeline: timeline.number,
            base_file: timeline.base_file,
            last_binlog_timestamp_us: position.last_commit_us,
            settled_xids: position.settled_xids.clone(),
            process: process.clone(),
        }
    }

    fn into_checkpoint(self) -> Result<Checkpoint> {
        let position = Position {
            file: self.file,
            offset: self.offset,
            gtid_set: self.gtid_set.as_deref().map(GtidSet::parse).transpose()?,
            server_uuid: self.server_uuid,
            file_timestamp: self.file_timestamp,
            last_commit_us: self.last_binlog_timestamp_us,
            settled_xids: self.settled_xids,
        };
        let timeline = Timeline { number: self.timeline, base_file: self.base_file };
        Ok(Checkpoint { seq: self.seq, position, timeline })
    }

    /// Whether this row may be saved while `newest` is the newest.
    fn check_not_superseded(&self, newest: &Self) -> Result<()> {
        if newest.owner == self.owner || (newest.timeline, newest.seq) < (self.timeline, self.seq) {
            return Ok(());
        }
        Err(newest.second_copy())
    }

    /// What the process hears that this checkpoint is not of.
    fn second_copy(&self) -> Error {
        let process = self.process.told().unwrap_or_else(|| format!("the owner {}", self.owner));
        let text = format!(
            "pipeline {:?} has been taken over by another process: {process}, which saved checkpoint {} of timeline {}. This \
             one ends and changes nothing more. Stop one of the two, or give each its own `name` in the configuration, \
             and targets of its own",
            self.pipeline, self.seq, self.timeline
        );
        Error::new(ErrorKind::SecondCopy, text)
    }
}

impl Process {
    fn own() -> Self {
        // Elsewhere than on Linux the process's number must do.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            owner_host: host.trim().to_owned(),
            owner_process: std::process::id(),
            owner_since: Since::Seconds(since.as_secs()),
        }
    }

    /// `None` for one of an earlier version, which did not say.
    fn told(&self) -> Option<String> {
        let host = if self.owner_host.is_empty() { "a host without a name" } else { &self.owner_host };
        let since = match &self.owner_since {
            Since::Seconds(seconds) => format!("@{seconds}"),
            Since::Text(text) => text.clone(),
        };
        (self.owner_process != 0)
            .then(|| format!("process {} on {host}, running since {since} UTC", self.owner_process))
    }
}

impl Default for Since {
    fn default() -> Self {
        Self::Seconds(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_sent_again_keeps_its_number() {
        let mut numbers = StateNumbers { next: 12, last: None };
        let state = |table: &str| TableState { table: table.to_owned(), ..TableState::default() };
        let mut of = |table| numbers.of(&state(table));
        // Attempts of which none is acked, then a kill: the next process begins at 11 + 2, above all of them.
        assert_eq!([of("a"), of("a"), of("a")], [12, 12, 12]);
        assert_eq!([of("b"), of("a"), of("b"), of("b")], [13, 14, 15, 15]);
    }

    #[test]
    fn another_owners_newer_checkpoint_stops_us() {
        let (us, them) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let row = |owner, number, seq| {
            let timeline = Timeline { number, base_file: 0 };
            let checkpoint = Checkpoint { seq, position: Position::default(), timeline };
            CheckpointRow::new(&checkpoint, "main", owner, &Process::own())
        };
        let check = |newest: CheckpointRow, ok: bool| {
            let result = row(us, 1, 10).check_not_superseded(&newest);
            assert_eq!(result.is_ok(), ok, "{newest:?}");
            assert!(result.is_ok() || result.unwrap_err().kind == ErrorKind::SecondCopy);
        };
        check(row(them, 1, 9), true);
        check(row(them, 1, 10), false);
        check(row(them, 1, 11), false);
        check(row(them, 2, 1), false);
        check(row(them, 0, 99), true);
        check(row(us, 1, 10), true);
        check(row(us, 1, 11), true);
    }
}
