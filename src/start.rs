//! Where to go on: from the newest checkpoint, or from a first position; and with which tables.
//!
//! Order matters here. Everything that may refuse comes first, so a refused start has created nothing. Then the targets
//! are created, the tables' states saved, and last the claim is saved: the first checkpoint, before the first row.
//!
//! A first start with `start = "snapshot"` takes its position **before** it looks whether the tables are empty: rows that
//! come between the two are in the stream. Tables with rows are copied while the stream goes on. A transaction that is
//! prepared (XA) at the position is in neither until it is decided; so that is waited for, before a copy reads anything.
//! With another start the rows below the position are missing, and the tables say so: `unverified`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::check::{self, Inspected, Inspection};
use crate::checkpoint::{Checkpoint, CopyChunk, Store, TableState};
use crate::clickhouse::{Client, tables as targets};
use crate::config::{Config, Start};
use crate::error::{Error, ErrorKind, Result};
use crate::gtid::GtidSet;
use crate::message::TableIndex;
use crate::mysql::source::Source;
use crate::position::{Position, Timeline, Version, file_number};
use crate::router::tables::{Shape, State, Table};
use crate::schema::types::TableName;
use crate::snapshot::CopyTable;

/// How long prepared transactions may take to be decided.
const PREPARED_PATIENCE: Duration = Duration::from_secs(60);
const PREPARED_INTERVAL: Duration = Duration::from_millis(100);

/// What the engine wires.
#[derive(Debug)]
pub struct Prepared {
    /// The target.
    pub client: Arc<Client>,
    /// The pipeline's saved state.
    pub store: Arc<Store>,
    /// The checkpoint to go on from, saved as this process's own.
    pub claim: Checkpoint,
    /// The chosen tables.
    pub tables: Vec<Table>,
    /// Those of them whose rows are to be copied.
    pub copies: Vec<CopyTable>,
    /// Whether the source compares table names without case.
    pub ignores_case: bool,
}

/// Looks at both servers, decides where to go on, creates what is missing, and claims the pipeline.
///
/// # Errors
/// Everything that stands in the way; nothing was created then, unless a server failed half-way.
pub fn prepare(config: &Config) -> Result<Prepared> {
    let inspection = check::inspect(config);
    inspection.refuse_as_a_whole()?;
    let (Some(client), Some(facts)) = (&inspection.client, &inspection.facts) else {
        return Err(Error::new(ErrorKind::SourceRefused, "a server did not answer"));
    };
    let mut source = Source::connect(&config.mysql)?;
    let store = Store::new(Arc::clone(client), &config.state.database, &config.name, Uuid::new_v4());
    let (checkpoint, chosen) = match store.load()? {
        Some(saved) => {
            check_still_there(&mut source, &saved.position, &facts.server_uuid)?;
            let states = store.load_table_states()?;
            let chosen = resumed_tables(client, &inspection, &states)?;
            store.create(config.state.checkpoint_ttl)?;
            set_aside_unchosen(&store, &chosen, states)?;
            (saved, chosen)
        }
        None => {
            inspection.refuse()?;
            let (mut checkpoint, mut chosen) = first_start(config, &mut source, client, &inspection.tables)?;
            let decided = wait_for_prepared(&mut source, &chosen)?;
            if !decided.is_empty() {
                // They may have written to a table that looked empty before.
                chosen.iter_mut().for_each(|table| table.state = State::Snapshot);
            }
            // The copies see them.
            checkpoint.position.settled_xids = decided;
            store.create(config.state.checkpoint_ttl)?;
            // Whoever begins anew may have left the chunks of copies before: those are not ours.
            let before = store.load_chunks()?.iter().map(|chunk| Version(chunk.version).timeline()).max();
            let timeline = &mut checkpoint.timeline;
            timeline.number = timeline.number.max(before.unwrap_or_default() + 1);
            (checkpoint, chosen)
        }
    };
    let saved = if chosen.iter().any(Chosen::is_copied) { store.load_chunks()? } else { Vec::new() };
    let version = checkpoint.timeline.first_version();
    let (mut tables, mut copies) = (Vec::new(), Vec::new());
    for table in chosen {
        let (table, copy) = table.create(client, &store, tables.len(), version, &saved)?;
        tables.push(table);
        copies.extend(copy);
    }
    let claim = store.claim(checkpoint)?;
    log::info!("going on from {}:{} as checkpoint {}", claim.position.file, claim.position.offset, claim.seq);
    Ok(Prepared {
        client: Arc::clone(client),
        store: Arc::new(store),
        claim,
        tables,
        copies,
        ignores_case: facts.lower_case_table_names != 0,
    })
}

/// A chosen table and the state that it starts in.
struct Chosen {
    inspected: Inspected,
    state: State,
    reason: String,
    is_new: bool,
}

impl Chosen {
    fn new(inspected: Inspected, state: State, reason: &str) -> Self {
        Self { inspected, state, reason: reason.to_owned(), is_new: true }
    }

    fn is_copied(&self) -> bool {
        self.state == State::Snapshot
    }

    /// Creates the target unless it is there, saves the state of a table that is new to the pipeline, and prepares its
    /// copy, which goes on with its chunks among `saved`.
    fn create(
        self,
        client: &Client,
        store: &Store,
        index: TableIndex,
        version: Version,
        saved: &[CopyChunk],
    ) -> Result<(Table, Option<CopyTable>)> {
        let is_copied = self.is_copied();
        let Inspected { source, target_name, target } = self.inspected;
        let target = match target {
            Some(target) => Some(target),
            None if self.state == State::Quarantined => None,
            None => Some(targets::create_table(client, &source, &target_name)?),
        };
        if self.is_new {
            let (table, state) = (source.name.to_string(), self.state.name().to_owned());
            store.save_table_state(&TableState { table, state, reason: self.reason.clone() })?;
        }
        let copy = target.as_ref().filter(|_| is_copied).map(|target| {
            let name = source.name.to_string();
            let own = saved.iter().filter(|chunk| chunk.table == name && chunk.version == version.0);
            CopyTable::new(index, &source, target, version, own.cloned().collect())
        });
        let shape = target.map(|target| Shape::new(&source, target));
        Ok((Table::new(source.name, self.state, self.reason, shape), copy.transpose()?))
    }
}

// --- the first start ---

/// Every table of a first start, with the position taken before.
fn first_start(
    config: &Config,
    source: &mut Source,
    client: &Client,
    tables: &[Inspected],
) -> Result<(Checkpoint, Vec<Chosen>)> {
    let position = match &config.mysql.start {
        Start::Snapshot => {
            let position = source.current_position(true)?;
            check::refuse(&check::existing_rows(client, tables)?)?;
            position
        }
        Start::Current => source.current_position(false)?,
        Start::File { file, offset } => source.position_at(file, *offset)?,
        Start::Gtid(set) => position_after(source, set)?,
    };
    // Nothing older is waited for: until a transaction is acked, lag counts from here.
    let position = Position { last_commit_us: now_us(), ..position };
    let timeline =
        Timeline { number: next_timeline(client, tables)?, base_file: base_file(config, source, &position)? };
    let chosen = |table: &Inspected| match config.mysql.start {
        Start::Snapshot => Ok(Chosen::new(table.clone(), copied_if_filled(source, &table.source.name)?, "")),
        Start::Current | Start::File { .. } | Start::Gtid(_) => {
            Ok(Chosen::new(table.clone(), State::Unverified, "rows from before the start position were not copied"))
        }
    };
    let tables = tables.iter().map(chosen).collect::<Result<_>>()?;
    Ok((Checkpoint { seq: 0, position, timeline }, tables))
}

/// A table that is empty now is the same in the stream from the position on.
fn copied_if_filled(source: &mut Source, table: &TableName) -> Result<State> {
    Ok(if source.has_rows(table)? { State::Snapshot } else { State::Streaming })
}

/// Waits until the transactions that are prepared now are decided, if anything is to be copied; their xids as the binary
/// log has them. An account that may not see them goes on: the stream then says which tables may lack rows.
fn wait_for_prepared(source: &mut Source, tables: &[Chosen]) -> Result<BTreeSet<String>> {
    if !tables.iter().any(Chosen::is_copied) {
        return Ok(BTreeSet::new());
    }
    let prepared: BTreeSet<String> = source.prepared_xids()?.into_iter().collect();
    if !prepared.is_empty() {
        log::info!("waiting for XA transactions to be decided before the copy: {prepared:?}");
    }
    let deadline = Instant::now() + PREPARED_PATIENCE;
    loop {
        let now: BTreeSet<String> = source.prepared_xids()?.into_iter().collect();
        let open: Vec<&str> = prepared.intersection(&now).map(String::as_str).collect();
        if open.is_empty() {
            return Ok(prepared);
        }
        if Instant::now() > deadline {
            let text = format!(
                "XA transactions are prepared and not decided, so that their rows can be neither copied nor left out: {}; \
                 commit them or roll them back (XA RECOVER), then start again",
                open.join(" ")
            );
            return Err(Error::new(ErrorKind::SourceRefused, text));
        }
        std::thread::sleep(PREPARED_INTERVAL);
    }
}

fn position_after(source: &mut Source, set: &str) -> Result<Position> {
    let now = source.current_position(false)?;
    if now.gtid_set.is_none() {
        let text = "mysql.start = { gtid = .. } needs a source with gtid_mode = ON; name a file and an offset instead";
        return Err(Error::new(ErrorKind::Config, text));
    }
    Ok(Position { gtid_set: Some(GtidSet::parse(set)?), ..now })
}

fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// One above the highest timeline that the targets have rows of, so that new rows win.
fn next_timeline(client: &Client, tables: &[Inspected]) -> Result<u16> {
    let mut highest = 0;
    for target in tables.iter().filter_map(|table| table.target.as_ref()) {
        highest = highest.max(Version(targets::max_version(client, &target.name)?).timeline());
    }
    Ok(highest + 1)
}

/// The file number that counts as 0: below any file that the stream can start in. A dump by GTID may start in an
/// earlier file than the position's: the oldest that the source has.
fn base_file(config: &Config, source: &mut Source, position: &Position) -> Result<u32> {
    let first = match config.mysql.start {
        Start::Gtid(_) => source.binary_logs()?.into_iter().next().map(|(file, _)| file),
        Start::Snapshot | Start::Current | Start::File { .. } => None,
    };
    // One less: a transaction that was logged before a rotation may become visible after it.
    Ok(file_number(first.as_deref().unwrap_or(&position.file))?.saturating_sub(1))
}

// --- going on ---

/// Whether the source still has the position. What depends on the file's content the stream itself checks.
fn check_still_there(source: &mut Source, position: &Position, server_uuid: &str) -> Result<()> {
    let lost = |text: String| {
        let remedy = "its tables must be copied anew, which is not built yet (on_lost_position acts as \"fail\")";
        Err(Error::new(ErrorKind::LostPosition, format!("{text}: {remedy}")))
    };
    if position.server_uuid != server_uuid {
        return lost(format!("the checkpoint is from the server {}, this one is {server_uuid}", position.server_uuid));
    }
    // A restored source may have given out GTIDs of our set again: a file that is there must be as long as it was.
    match source.binary_logs()?.into_iter().find(|(file, _)| *file == position.file) {
        Some((_, size)) if size >= position.offset => Ok(()),
        Some((file, size)) => lost(format!("{file} has {size} bytes, the checkpoint is at {}", position.offset)),
        // The server compares the sets itself, and refuses what it has purged or never had.
        None if position.gtid_set.is_some() => Ok(()),
        None => lost(format!("the source no longer has {}", position.file)),
    }
}

/// A table that cannot be followed any more is set aside alone: the others go on.
fn resumed_tables(client: &Client, inspection: &Inspection, states: &[TableState]) -> Result<Vec<Chosen>> {
    let states: HashMap<&str, &TableState> = states.iter().map(|state| (state.table.as_str(), state)).collect();
    let resume = |table: &Inspected| {
        let reason = inspection.reason(&table.source.name);
        Ok(match states.get(table.source.name.to_string().as_str()) {
            Some(&saved) => resumed(table.clone(), saved.clone(), &reason),
            None if !reason.is_empty() => Chosen::new(table.clone(), State::Quarantined, &reason),
            None => added(client, table.clone())?,
        })
    };
    inspection.tables.iter().map(resume).collect()
}

/// A table that was replicated and is not any more (excluded, or dropped) misses rows from here on, and must say so if it
/// is ever chosen again.
fn set_aside_unchosen(store: &Store, chosen: &[Chosen], states: Vec<TableState>) -> Result<()> {
    let is_chosen =
        |state: &TableState| chosen.iter().any(|table| table.inspected.source.name.to_string() == state.table);
    for state in states {
        if State::from_name(&state.state) != State::Quarantined && !is_chosen(&state) {
            let reason = "it was not replicated for a while (not chosen, or not there): rows are missing".to_owned();
            store.save_table_state(&TableState { state: State::Quarantined.name().to_owned(), reason, ..state })?;
        }
    }
    Ok(())
}

fn resumed(table: Inspected, saved: TableState, problem: &str) -> Chosen {
    let state = State::from_name(&saved.state);
    if state == State::Quarantined {
        return Chosen { inspected: table, state, reason: saved.reason, is_new: false };
    }
    if table.target.is_none() {
        let reason = format!("its target {} is gone: an empty one in its place would be wrong", table.target_name);
        return Chosen::new(table, State::Quarantined, &reason);
    }
    if !problem.is_empty() {
        return Chosen::new(table, State::Quarantined, problem);
    }
    Chosen { inspected: table, state, reason: saved.reason, is_new: false }
}

/// A table that the pipeline has not known: it is copied, empty or not, for what the source shows now may be behind what
/// the stream has passed; the copy waits until it is not. The stream goes on from the checkpoint, so every row that
/// changes after it comes, and every other one is copied.
fn added(client: &Client, table: Inspected) -> Result<Chosen> {
    let target_has_rows = match &table.target {
        Some(target) => targets::has_rows(client, &target.name)?,
        None => false,
    };
    if target_has_rows {
        let reason =
            "chosen after the pipeline's first start, and its target has rows already: empty it, then start again";
        // Not saved, so that the next start looks again.
        let reason = reason.to_owned();
        return Ok(Chosen { inspected: table, state: State::Quarantined, reason, is_new: false });
    }
    Ok(Chosen::new(table, State::Snapshot, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::catalog::SourceTable;
    use crate::schema::target::TargetTable;

    fn inspected(has_target: bool) -> Inspected {
        let name = TableName { database: "shop".to_owned(), table: "orders".to_owned() };
        let source = SourceTable { name: name.clone(), columns: Vec::new(), key: Vec::new(), allows_zero_dates: false };
        let target = has_target.then(|| TargetTable { name: name.clone(), columns: Vec::new() });
        Inspected { source, target_name: name, target }
    }

    fn saved(state: &str) -> TableState {
        TableState { table: "shop.orders".to_owned(), state: state.to_owned(), reason: "why".to_owned() }
    }

    #[test]
    fn a_known_table_goes_on_as_it_was() {
        for (name, state) in
            [("streaming", State::Streaming), ("unverified", State::Unverified), ("later", State::Quarantined)]
        {
            let table = resumed(inspected(true), saved(name), "");
            assert_eq!((table.state, table.reason.as_str(), table.is_new), (state, "why", false));
        }
    }

    #[test]
    fn a_target_that_is_gone_is_never_made_anew() {
        let table = resumed(inspected(false), saved("streaming"), "");
        assert!(
            table.state == State::Quarantined && table.is_new && table.reason.contains("is gone"),
            "{}",
            table.reason
        );
    }

    #[test]
    fn a_table_that_no_longer_fits_is_set_aside_with_the_reason() {
        let table = resumed(inspected(true), saved("streaming"), "no key any more");
        assert_eq!((table.state, table.reason.as_str(), table.is_new), (State::Quarantined, "no key any more", true));
        let table = resumed(inspected(true), saved("quarantined"), "no key any more");
        assert_eq!(table.reason, "why", "the first reason stays");
    }
}
