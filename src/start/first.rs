//! Where nothing says where to go on: a first start, or one whose position the source no longer has.
//!
//! The position is taken between two looks at the tables. What is the same in both has the definition of the position; what
//! only the second has was created or renamed meanwhile, and the stream may say nothing of it any more.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Begun, Chosen};
use crate::check::{self, Inspected, Inspection};
use crate::checkpoint::Checkpoint;
use crate::clickhouse::{Client, tables as targets};
use crate::config::{Config, OnLostPosition, Start};
use crate::error::{Error, ErrorKind, Result};
use crate::gtid::GtidSet;
use crate::mysql::source::{ServerFacts, Source};
use crate::mysql::tables;
use crate::position::{Position, Timeline, Version, file_number};
use crate::router::tables::State;
use crate::schema::catalog::Definition;
use crate::schema::types::TableName;

/// How long prepared transactions may take to be decided.
const PREPARED_PATIENCE: Duration = Duration::from_secs(60);
const PREPARED_INTERVAL: Duration = Duration::from_millis(100);

/// Every table of a first start, with the position taken before.
pub(super) fn first_start(
    config: &Config,
    source: &mut Source,
    client: &Client,
    inspection: &Inspection,
    unfinished: &HashSet<TableName>,
) -> Result<Begun> {
    let tables = &inspection.tables;
    let position = match &config.mysql.start {
        Start::Snapshot => {
            let position = source.current_position(true)?;
            check::refuse(&check::bad_conditions(config, tables)?)?;
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
    let since = timeline.version(&position.file, position.offset)?;
    let (steady, new) = look_again(config, source, client, inspection)?;
    let is_steady = |table: &Inspected| steady.contains(&table.source.name);
    let chosen = |table: &Inspected| match config.mysql.start {
        Start::Snapshot if has_rows(client, table)? => {
            Ok(Chosen::wanted(table.clone(), "its target had rows at the first start"))
        }
        Start::Snapshot if unfinished.contains(&table.source.name) => {
            Ok(Chosen::wanted(table.clone(), "it was altered since a first start that was not finished"))
        }
        // What it looked like at the position is not known, if it is empty now.
        Start::Snapshot if table.source.key.is_empty() => {
            Ok(Chosen::wanted(table.clone(), "it has no key: it is copied at one instant"))
        }
        Start::Snapshot if !is_steady(table) => Ok(Chosen::wanted(table.clone(), "it was altered at the first start")),
        Start::Snapshot => {
            Ok(Chosen::new(table.clone(), copied_if_filled(source, &table.source.name)?, "").followed(since))
        }
        Start::Current | Start::File { .. } | Start::Gtid(_) => {
            let reason = "rows from before the start position were not copied";
            let table = Chosen::new(table.clone(), State::Unverified, reason);
            // Its definition at an older position is not known.
            let is_known = config.mysql.start == Start::Current && is_steady(&table.inspected);
            Ok(if is_known { table.followed(since) } else { table })
        }
    };
    let tables = tables.iter().chain(&new).map(chosen).collect::<Result<_>>()?;
    Ok(Begun { checkpoint: Checkpoint { seq: 0, position, timeline }, tables, is_new: true })
}

/// The chosen tables behind the position that was taken. First those whose definition is what it was before, so it is that
/// of the position. Then those that were not there before, or not by this name: the stream may say nothing of them any more.
fn look_again(
    config: &Config,
    source: &mut Source,
    client: &Client,
    inspection: &Inspection,
) -> Result<(HashSet<TableName>, Vec<Inspected>)> {
    let before = inspection.tables.iter().map(|table| (&table.source.name, &table.definition));
    let before: HashMap<&TableName, &Definition> = before.collect();
    let selection = &config.replicate.selection;
    let zero_dates = inspection.facts.as_ref().is_some_and(ServerFacts::allows_zero_dates);
    let now = tables::read(source, &|name, all| before.contains_key(name) || selection.chooses(name, all), zero_dates)?;
    let (there, new): (Vec<_>, Vec<_>) = now.into_iter().partition(|found| before.contains_key(&found.table.name));
    let steady = there.into_iter().filter(|found| before.get(&found.table.name) == Some(&&found.definition));
    let with_target = |found| {
        let table = Inspected::of(found, &config.replicate);
        Ok(Inspected { target: targets::existing_table(client, &table.target_name)?, ..table })
    };
    let new = new.into_iter().map(with_target).collect::<Result<_>>()?;
    Ok((steady.map(|found| found.table.name).collect(), new))
}

fn has_rows(client: &Client, table: &Inspected) -> Result<bool> {
    table.target.as_ref().map_or(Ok(false), |target| targets::has_rows(client, &target.table.name))
}

/// A table that is empty now is the same in the stream from the position on.
fn copied_if_filled(source: &mut Source, table: &TableName) -> Result<State> {
    Ok(if source.has_rows(table)? { State::Snapshot } else { State::Streaming })
}

/// Waits until the transactions that are prepared now are decided; their xids as the binary log has them.
pub(super) fn wait_for_prepared(source: &mut Source) -> Result<BTreeSet<String>> {
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
        highest = highest.max(Version(targets::max_version(client, &target.table.name)?).timeline());
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

/// From the present position, in a new timeline, as `mysql.on_lost_position` says.
pub(super) fn begin_anew(
    config: &Config,
    source: &mut Source,
    client: &Client,
    inspection: &Inspection,
    saved: &Checkpoint,
    why: &str,
) -> Result<Begun> {
    let for_snapshot = match config.mysql.on_lost_position {
        OnLostPosition::Snapshot => true,
        OnLostPosition::Current => false,
        OnLostPosition::Fail => {
            let text = format!("{why}, and mysql.on_lost_position = \"fail\": \"snapshot\" would copy all tables anew");
            return Err(Error::new(ErrorKind::LostPosition, text));
        }
    };
    inspection.refuse()?;
    log::warn!("the saved position is lost ({why}): beginning anew");
    let position = Position { last_commit_us: now_us(), ..source.current_position(for_snapshot)? };
    let base_file = file_number(&position.file)?.saturating_sub(1);
    let number = next_timeline(client, &inspection.tables)?.max(saved.timeline.number + 1);
    let timeline = Timeline { number, base_file };
    let since = timeline.version(&position.file, position.offset)?;
    let (steady, new) = look_again(config, source, client, inspection)?;
    let chosen = |table: &Inspected| match config.mysql.on_lost_position {
        OnLostPosition::Current => {
            let reason = format!("rows are missing that changed before the present position was taken: {why}");
            let is_known = steady.contains(&table.source.name);
            let table = Chosen::new(table.clone(), State::Unverified, &reason);
            if is_known { table.followed(since) } else { table }
        }
        OnLostPosition::Snapshot | OnLostPosition::Fail => Chosen::wanted(table.clone(), why),
    };
    let checkpoint = Checkpoint { seq: saved.seq, position, timeline };
    Ok(Begun { checkpoint, tables: inspection.tables.iter().chain(&new).map(chosen).collect(), is_new: true })
}
