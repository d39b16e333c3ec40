//! Compares tables of MySQL with their targets byte by byte while both are written to, and repairs what differs.
//!
//! Nothing is locked (a table without a key apart). A table is read in parts ([`part`]), by the same plans as a copy, so equal values are equal bytes.
//! Of each part, in this order:
//! 1. V, a transaction end that the stream has passed, is noted, and the SELECT waits until MySQL shows all up to V.
//! 2. MySQL's rows are read into memory.
//! 3. W, the end of the log, is noted. It runs ahead of what a SELECT sees, so no row that was read is later than W. Then
//!    the stream's rows up to W are waited for.
//! 4. ClickHouse is read: what FINAL shows, with versions; for keys that it does not show, what it holds.
//!
//! Why the answer is true: a version is the position that wrote the row. If the highest stored version of a key is not
//! above V, then no event between V and W changed the key, for it would be there by now. So the key's state in MySQL was
//! the same from V until W, MySQL's row was read within, and what is stored must be equal to it; a key that is not shown must
//! not be there. A key with a higher version changed meanwhile: it stays open and the part is read again, from a new V,
//! for the open keys alone. What is open after [`PASSES_MAX`] passes is told as undecided, never as a difference.
//! The [`REPAIRS_MAX`] versions behind V are bytes of the next event's header, never a row's own place: they are free for
//! repairs, and count as V.
//!
//! A version above the end of the source's log is none of the stream's. It would hide later changes and is told apart. (The
//! stream's own position is no such limit: rows of a transaction that has not ended are stored already.)
//!
//! A row that MySQL has deleted since the SELECT is told as missing only if ClickHouse has cleaned its tombstone away in the
//! same moment, which it does when it is told to (`FINAL CLEANUP`).
//!
//! A table without a key is compared as a multiset ([`multiset`]).
//!
//! Memory: a part whose rows take more than [`PART_BYTES`] is cut in two by a hash of the key, and those again.

mod compare;
mod multiset;
mod part;
mod reader;
mod report;
mod source;
mod table;
mod target;

use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use crate::clickhouse::Client;
use crate::clickhouse::tables as targets;
use crate::config::Config;
use crate::error::{Action, Error, ErrorKind, Result};
use crate::message::{Place, Whereabouts};
use crate::mysql::chunks::Chunk;
use crate::mysql::tables as sources;
use crate::position::file_number;
use crate::schema::catalog::SourceTable;
use crate::schema::types::TableName;

use compare::{Finding, Keys, Pass};
use part::Part;
pub use report::{ColumnReport, KeyReport, TableReport};
use source::SourceSide;
use table::Table;
use target::Repair;

/// Bytes of an event's header, less one: no row begins there.
const REPAIRS_MAX: u64 = 18;
const PASSES_MAX: usize = 20;
/// Memory for the rows of a part.
const PART_BYTES: usize = 64 << 20;
/// A table that is not cut into ranges is scanned once for each bucket, so buckets are so many times larger than ranges.
const BUCKET_RANGES: u64 = 10;
/// Keys from the future that are looked for.
const FUTURE_MAX: usize = 1000;
/// How long the stream may stand still while its rows are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Of the first event in a binlog file.
const FIRST_OFFSET: u64 = 4;
/// States in which the stream carries every change of a table to its target.
const COMPARABLE: [&str; 3] = ["streaming", "drifted", "unverified"];

/// What the command line asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `database.table` of the source; empty for all that the configuration chooses.
    pub tables: Vec<String>,
    /// Whether to repair what differs.
    pub repair: bool,
    /// Percent of the parts to compare.
    pub sample: Option<f64>,
}

/// Asks the running process: a path of its HTTP interface, answered with JSON.
pub type Ask<'a> = &'a dyn Fn(&str) -> Result<Value>;

/// Verifies tables.
///
/// # Errors
/// When something is away or refuses, or a table is named that the configuration does not choose.
pub fn run(config: &Config, options: &Options, ask: Ask<'_>) -> Result<Vec<TableReport>> {
    let at = whereabouts(ask)?;
    let mut source = SourceSide::connect(&config.mysql, config.verify.max_rows_per_second)?;
    let chosen = choose(config, &mut source, &options.tables)?;
    let client = Client::connect(&config.clickhouse, 2)?;
    let mut verifier = Verifier { config, options, ask, at, client, source, told_at: Instant::now() };
    chosen.iter().map(|table| verifier.report(table)).collect()
}

fn choose(config: &Config, source: &mut SourceSide, names: &[String]) -> Result<Vec<SourceTable>> {
    let selection = &config.replicate.selection;
    let found = sources::read(source.plain(), &|name, all| selection.chooses(name, all), false)?;
    let chosen: Vec<SourceTable> = found.into_iter().map(|found| found.table).collect();
    let has = |name: &String| chosen.iter().any(|table| table.name.to_string() == *name);
    if let Some(name) = names.iter().find(|name| !has(name)) {
        let text = format!(
            "{name} is not a table of the source that replicate.tables = {:?} chooses (written database.table)",
            config.replicate.tables
        );
        return Err(Error::new(ErrorKind::Config, text));
    }
    if chosen.is_empty() {
        let text = format!("no table matches replicate.tables = {:?}", config.replicate.tables);
        return Err(Error::new(ErrorKind::Config, text));
    }
    let is_named = |table: &SourceTable| names.is_empty() || names.contains(&table.name.to_string());
    Ok(chosen.into_iter().filter(is_named).collect())
}

fn whereabouts(ask: Ask<'_>) -> Result<Whereabouts> {
    serde_json::from_value(ask("/position")?).map_err(|error| {
        let text = format!("the running process says where it is in a way that this version does not know ({error})");
        Error::new(ErrorKind::SourceDown, text)
    })
}

/// A verification under way.
struct Verifier<'a> {
    config: &'a Config,
    options: &'a Options,
    ask: Ask<'a>,
    /// Where the stream was when it was last asked.
    at: Whereabouts,
    client: Client,
    source: SourceSide,
    told_at: Instant,
}

impl Verifier<'_> {
    /// Verifies one table. What concerns that table alone is part of its report.
    fn report(&mut self, source: &SourceTable) -> Result<TableReport> {
        let mut report = TableReport::new(source.name.to_string(), self.options.sample.is_some());
        match self.table(source, &mut report) {
            Ok(()) => {}
            Err(error) if error.action() == Action::Quarantine => report.not_compared = error.to_string(),
            Err(error) => return Err(error.at_table(&source.name)),
        }
        // What was found in a table that was set aside meanwhile may be no difference.
        if report.not_compared.is_empty() {
            report.not_compared = self.reason(&source.name)?.unwrap_or_default();
        }
        Ok(report)
    }

    /// Why a table cannot be compared now.
    fn reason(&self, name: &TableName) -> Result<Option<String>> {
        let status = (self.ask)("/status")?;
        let tables = status["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
        let name = name.to_string();
        let Some(table) = tables.iter().find(|table| table["name"].as_str() == Some(&name)) else {
            return Ok(Some(
                "the running process does not replicate it: restart it with this configuration".to_owned(),
            ));
        };
        let (state, reason) = (table["state"].as_str().unwrap_or("?"), table["reason"].as_str().unwrap_or_default());
        if COMPARABLE.contains(&state) {
            return Ok(None);
        }
        Ok(Some(format!("it is in the state {state} {reason}").trim_end().to_owned()))
    }

    fn table(&mut self, source: &SourceTable, report: &mut TableReport) -> Result<()> {
        if let Some(reason) = self.reason(&source.name)? {
            report.not_compared = reason;
            return Ok(());
        }
        let choices = self.config.replicate.choices(&source.name);
        let source = &SourceTable { choices, ..source.clone() };
        let target_name = self.config.replicate.target_name(&source.name);
        let target = targets::existing_table(&self.client, &target_name)?.ok_or_else(|| {
            Error::new(ErrorKind::TableShape, format!("its target {target_name} is not there: `resync` the table"))
        })?;
        if source.key.is_empty() {
            return self.multiset(source, &target.table, report);
        }
        let table = Table::new(source, &target.table, self.config.replicate.copy_where(&source.name))?;
        let size = self.source.size(&table.name)?;
        let future = self.find_future(&table, report)?;
        match table.cutting.is_whole() {
            true => self.buckets(&table, size, &future, report),
            false => self.ranges(&table, size, &future, report),
        }
    }

    /// The parts of a table whose key has an order that both servers share.
    fn ranges(&mut self, table: &Table, size: (u64, u64), future: &Keys, report: &mut TableReport) -> Result<()> {
        let rows = rows_of_part(self.config.snapshot.chunk_rows, size.1);
        let (mut lower, mut compared, mut skipped) = (None, 0_u64, Vec::new());
        for number in 0.. {
            let upper = self.source.next_end(table, lower.as_ref(), rows)?;
            let part = Part::of(Chunk { number, lower, upper: upper.clone() });
            if self.is_sampled() {
                compared += 1;
                self.part(table, part, size.0, future, report)?;
            } else if skipped.is_empty() || random().is_multiple_of(u64::from(number) + 1) {
                // One of those that were passed over, each as likely.
                skipped = vec![part];
            }
            if upper.is_none() {
                break;
            }
            lower = upper;
        }
        let instead = skipped.into_iter().filter(|_| compared == 0);
        instead.into_iter().try_for_each(|part| self.part(table, part, size.0, future, report))
    }

    /// The parts of any other table.
    fn buckets(&mut self, table: &Table, size: (u64, u64), future: &Keys, report: &mut TableReport) -> Result<()> {
        let whole = Part::of(Chunk { number: 0, lower: None, upper: None });
        let rows = rows_of_part(self.config.snapshot.chunk_rows.saturating_mul(BUCKET_RANGES), size.1);
        let buckets = u32::try_from(size.0.div_ceil(rows).max(1)).unwrap_or(u32::MAX).min(1 << 10);
        let parts = if table.cutting.can_cut(&whole) { whole.cut(buckets) } else { vec![whole] };
        let mut sampled: Vec<Part> = parts.iter().filter(|_| self.is_sampled()).cloned().collect();
        if sampled.is_empty() {
            let index = usize::try_from(random() % parts.len() as u64).unwrap_or_default();
            sampled.extend(parts.into_iter().nth(index));
        }
        sampled.into_iter().try_for_each(|part| self.part(table, part, size.0, future, report))
    }

    fn is_sampled(&self) -> bool {
        const MILLION: u64 = 1_000_000;
        let drawn = (random() % MILLION) as f64 / MILLION as f64;
        self.options.sample.is_none_or(|percent| drawn * 100.0 < percent)
    }

    /// One part, cut as often as its size asks for.
    fn part(&mut self, table: &Table, part: Part, of_rows: u64, future: &Keys, report: &mut TableReport) -> Result<()> {
        let mut parts = vec![part];
        while let Some(part) = parts.pop() {
            let reading = Reading { table, part: &part, future };
            match self.passes(&reading, None, Role::Find, report)? {
                Some(repaired) if repaired.is_empty() => {}
                Some(repaired) => {
                    self.passes(&reading, Some(repaired), Role::Confirm, report)?;
                }
                None if table.cutting.can_cut(&part) => parts.extend(part.cut(2)),
                None => {
                    let text = format!(
                        "no column of its key tells rows into parts alike on both sides (FLOAT, DOUBLE, TIME and columns of \
                         a chosen type do not), and they take more than {} MiB",
                        PART_BYTES >> 20
                    );
                    return Err(Error::new(ErrorKind::TableShape, text));
                }
            }
            self.tell_progress(of_rows, report);
        }
        Ok(())
    }

    /// Passes until no key is open, or too many. The keys that were repaired; `None` when the part is too large.
    fn passes(
        &mut self,
        reading: &Reading<'_>,
        mut wanted: Option<Keys>,
        role: Role,
        report: &mut TableReport,
    ) -> Result<Option<Keys>> {
        let mut repaired = Keys::default();
        for _ in 0..PASSES_MAX {
            let Reading { table, part, .. } = *reading;
            let narrowed = wanted.as_ref().and_then(|keys| table.cutting.narrow(part, keys, &table.key_layout));
            let reading = Reading { part: narrowed.as_ref().unwrap_or(part), ..*reading };
            let Some((open, now_repaired)) = self.pass(&reading, wanted.as_ref(), role, report)? else {
                return Ok(None);
            };
            repaired.extend(now_repaired);
            let is_done = open.is_empty();
            wanted = Some(open);
            if is_done {
                break;
            }
        }
        wanted.unwrap_or_default().iter().for_each(|key| report.add_undecided(reading.table, key));
        Ok(Some(repaired))
    }

    /// One pass. The keys that are open, and those that were repaired.
    fn pass(
        &mut self,
        reading: &Reading<'_>,
        wanted: Option<&Keys>,
        role: Role,
        report: &mut TableReport,
    ) -> Result<Option<(Keys, Keys)>> {
        let Reading { table, part, future } = *reading;
        self.look()?;
        let version = self.source.see(&self.at)?;
        let bytes_max = if wanted.is_none() { PART_BYTES } else { usize::MAX };
        let Some(rows) = self.source.read(table, part, wanted, bytes_max)? else { return Ok(None) };
        self.wait_acked()?;
        let mut repair = Repair::new(&self.client, table, version);
        let mut sink = |finding: &Finding<'_>| match role {
            Role::Find => {
                report.add(table, finding);
                if self.options.repair { repair.add(finding) } else { Ok(()) }
            }
            Role::Confirm => {
                report.not_held += 1;
                Ok(())
            }
        };
        let mut pass = Pass::new(rows, wanted, future, version, PART_BYTES);
        target::shown(&self.client, table, part, |key, row, version| pass.shown(key, row, version, &mut sink))?;
        if pass.lacks_rows() {
            target::held(&self.client, table, part, version, |key, version| pass.held(key, version))?;
        }
        if let Some(copied) = table.copy_where.as_deref().filter(|_| pass.lacks_rows()) {
            let Some(left_out) = self.source.left_out(table, part, copied, wanted, bytes_max)? else { return Ok(None) };
            pass.leave_out(&left_out);
        }
        let (open, compared) = pass.end(&mut sink)?;
        repair.insert()?;
        match role {
            Role::Find => {
                report.rows += compared;
                report.repaired += repair.keys.len();
            }
            Role::Confirm => {}
        }
        Ok(Some((open, repair.keys)))
    }

    /// Keys with a version above the end of the source's log.
    fn find_future(&mut self, table: &Table, report: &mut TableReport) -> Result<Keys> {
        let mut future = Keys::default();
        let highest = targets::max_version(&self.client, &table.target)?;
        if highest <= self.last_version()? {
            return Ok(future);
        }
        let found = target::highest(&self.client, table, FUTURE_MAX)?;
        let last = self.last_version()?;
        for (key, _) in found.into_iter().filter(|(_, version)| *version > last) {
            if !future.contains(&key) {
                report.add_from_future(table, &key);
                future.insert(key.into());
            }
        }
        Ok(future)
    }

    /// The highest version that anything can have now.
    fn last_version(&mut self) -> Result<u64> {
        self.look()?;
        let end = self.source.end()?;
        Ok(source::version(&self.at, &end.file, end.offset)?.0.saturating_add(REPAIRS_MAX))
    }

    /// Asks where the stream is.
    fn look(&mut self) -> Result<()> {
        let at = whereabouts(self.ask)?;
        let is_same = at.server_uuid == self.at.server_uuid && at.timeline == self.at.timeline;
        self.at = at;
        if is_same {
            return Ok(());
        }
        let text = "the stream went over to another server or timeline meanwhile: start again";
        Err(Error::new(ErrorKind::LostPosition, text))
    }

    /// Waits until ClickHouse has everything up to the present end of the log.
    fn wait_acked(&mut self) -> Result<()> {
        let end = self.source.end()?;
        let wanted = ordered(&end)?;
        let (mut moved_at, mut acked) = (Instant::now(), ordered(&self.at.acked)?);
        loop {
            // In a file that has no transaction yet the stream stands at its first byte.
            let is_at_head = acked == (wanted.0, FIRST_OFFSET);
            if acked >= wanted || is_at_head && self.source.is_head(&end)? {
                return Ok(());
            }
            if moved_at.elapsed() > PATIENCE {
                let Place { file, offset } = &self.at.acked;
                let text = format!(
                    "the stream has stood at {file}:{offset} for {} s, while the source is at {}:{}: see `stream-bridge \
                     status`",
                    PATIENCE.as_secs(),
                    end.file,
                    end.offset
                );
                return Err(Error::new(ErrorKind::SourceDown, text));
            }
            std::thread::sleep(POLL_INTERVAL);
            self.look()?;
            let now = ordered(&self.at.acked)?;
            if now != acked {
                (moved_at, acked) = (Instant::now(), now);
            }
        }
    }

    fn tell_progress(&mut self, of_rows: u64, report: &TableReport) {
        if self.told_at.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.told_at = Instant::now();
        let found = report.differing + report.missing + report.extra;
        log::info!("{}: {} of about {of_rows} rows compared, {found} differences", report.name, report.rows);
    }
}

/// What is read.
#[derive(Clone, Copy)]
struct Reading<'a> {
    table: &'a Table,
    part: &'a Part,
    /// Keys that are told as such.
    future: &'a Keys,
}

/// What passes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// To find differences, and repair them if asked to.
    Find,
    /// To see that the repairs hold.
    Confirm,
}

/// Rows of a part, so that what they take fits twice over.
fn rows_of_part(rows_max: u64, row_bytes: u64) -> u64 {
    let bytes_max = PART_BYTES as u64 / 2;
    rows_max.min(bytes_max / (row_bytes + 128)).max(1)
}

/// 62 random bits.
fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().1 & (u64::MAX >> 2)
}

fn ordered(place: &Place) -> Result<(u32, u64)> {
    Ok((file_number(&place.file)?, place.offset))
}
