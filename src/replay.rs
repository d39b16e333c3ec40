//! `replay FILE..`: binlog files decoded without servers and without configuration; the measuring stick of the decoder.
//!
//! Every event is checked and parsed and every row transcoded, by the code that the stream uses, to nowhere or to a
//! file of RowBinary per table. Tables are what the TABLE_MAP events say, with the default target types; columns of
//! dates are taken for Nullable, for a file does not tell whether its server let zero dates in. A file without names
//! (before MySQL 8.0, or `binlog_row_metadata=MINIMAL`) gives what its images hold: columns `@1`, `@2`, .., ENUM and SET as
//! numbers; before 8.0 integers as signed and text as stored. A table that changes its shape goes on under a number of
//! its own. What the stream cannot follow yet ends the replay, with file and offset.

mod event_file;
#[cfg(test)]
mod old_files;
mod xa;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::binlog::control::{FormatDescription, XaPrepare};
use crate::binlog::event::{Event, EventKind, FILE_MAGIC, Header, verify_checksum};
use crate::binlog::payload::{PayloadReader, TransactionPayload};
use crate::binlog::query::{Query, QueryKind};
use crate::binlog::rows::RowsEvent;
use crate::binlog::table_map::{TableMap, TableMapHead};
use crate::error::{Error, ErrorKind, Result};
use crate::position::{Timeline, Version, file_number};
use crate::rowbinary::{Body, ChunkPool};
use crate::schema::mapping::{TargetFeatures, target_type};
use crate::schema::target::TargetColumn;
use crate::transcode::{Limits, RowPlan, RowsCursor, Stride};

use event_file::EventFile;
use xa::{Held, Xa};

/// A body of this size is written out, or used again.
const LIMITS: Limits = Limits { rows: usize::MAX, bytes: 256 << 10 };

/// Decodes `files` in order and prints what was in them and how fast it went, as text or as JSON; with `output` the rows
/// go to `output/database.table.rowbinary`.
///
/// # Errors
/// When a file cannot be read, is damaged, or holds what this version does not carry out.
pub fn run(files: &[PathBuf], output: Option<&Path>, json: bool) -> Result<()> {
    let (clock, cpu) = (Instant::now(), thread_cpu_time());
    let mut replay = Replay::new(output);
    for (index, path) in files.iter().enumerate() {
        replay.file(path, index)?;
    }
    replay.finish()?;
    let cpu = thread_cpu_time().zip(cpu).map(|(end, start)| end.saturating_sub(start));
    let report = replay.report(clock.elapsed(), cpu);
    let text = if json { report.json()? } else { report.text() };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| file_error("cannot write the report", error))
}

/// Decodes a file that is in memory to nowhere, by all that [`run`] does but the reading: how fast the decoder is by
/// itself. How many rows it holds.
///
/// # Errors
/// As [`run`].
pub fn decode(file: &[u8]) -> Result<u64> {
    let mut replay = Replay::new(None);
    let base = base_version("memory", 0, file.len() as u64)?;
    let (magic, mut rest) = file.split_first_chunk().unwrap_or((&[0; FILE_MAGIC.len()], &[]));
    if *magic != FILE_MAGIC {
        return Err(Error::new(ErrorKind::CorruptStream, "no binlog file: it does not begin with FE 'bin'"));
    }
    while !rest.is_empty() {
        let offset = file.len() - rest.len();
        let (event, behind) = rest.split_at_checked(Header::parse(rest)?.size()).ok_or_else(event_file::cut_off)?;
        replay.event(event, base.plus(offset as u64))?;
        rest = behind;
    }
    replay.finish()?;
    Ok(replay.tables.iter().map(|table| table.rows).sum())
}

/// What was decoded, and how fast. Field names are those of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    events: u64,
    transactions: u64,
    /// XA transactions that the files leave prepared: their rows are not among these.
    undecided_xa: usize,
    binlog_bytes: u64,
    rows: u64,
    rowbinary_bytes: u64,
    seconds: f64,
    cpu_seconds: Option<f64>,
    rows_per_second: f64,
    rows_per_cpu_second: Option<f64>,
    tables: Vec<TableReport>,
}

#[derive(Debug, Serialize)]
struct TableReport {
    table: String,
    /// The columns of a row, as a `structure` of ClickHouse.
    structure: String,
    rows: u64,
    rowbinary_bytes: u64,
}

impl Report {
    fn json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| file_error("cannot write the report", error.into()))
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} events, {} transactions, {} bytes\n{} rows (tombstones included), {} bytes of RowBinary\n",
            self.events, self.transactions, self.binlog_bytes, self.rows, self.rowbinary_bytes
        );
        if self.undecided_xa > 0 {
            let _ = writeln!(text, "{} XA transactions left prepared, their rows not counted", self.undecided_xa);
        }
        let _ = writeln!(text, "{:.3} s, {:.2} M rows per second", self.seconds, self.rows_per_second / 1e6);
        if let (Some(seconds), Some(rate)) = (self.cpu_seconds, self.rows_per_cpu_second) {
            let _ = writeln!(text, "{seconds:.3} s of CPU, {:.2} M rows per CPU-second", rate / 1e6);
        }
        for table in &self.tables {
            let _ = writeln!(text, "{}: {} rows, {} bytes", table.table, table.rows, table.rowbinary_bytes);
        }
        text
    }
}

/// No table id is as large: they have 48 bits.
const NO_TABLE: (u64, usize) = (u64::MAX, 0);

/// One shape of a table.
struct Table {
    /// `database.table`.
    table: String,
    /// The same, with a number from the second shape on.
    label: String,
    /// Body of its TABLE_MAP after the id.
    shape: Vec<u8>,
    columns: usize,
    plan: RowPlan,
    body: Body,
    sink: Option<File>,
    rows: u64,
    bytes: u64,
    /// The payload that its last images came in, by its version, and how many they were.
    images: (Version, u64),
}

/// Where an event lies.
#[derive(Clone, Copy)]
struct Place {
    /// The version of its first byte, or of the first byte of the payload that holds it.
    version: Version,
    /// The length of that payload.
    payload_bytes: Option<u64>,
}

struct Replay<'a> {
    output: Option<&'a Path>,
    tables: Vec<Table>,
    by_shape: FxHashMap<Vec<u8>, usize>,
    /// Of the present file; the last one found saves the look-up.
    by_id: FxHashMap<u64, usize>,
    last: (u64, usize),
    pool: ChunkPool,
    unzip: PayloadReader,
    xa: Xa,
    has_checksum: bool,
    in_group: bool,
    events: u64,
    transactions: u64,
    binlog_bytes: u64,
}

impl<'a> Replay<'a> {
    fn new(output: Option<&'a Path>) -> Self {
        Self {
            output,
            tables: Vec::new(),
            by_shape: FxHashMap::default(),
            by_id: FxHashMap::default(),
            last: NO_TABLE,
            pool: ChunkPool::default(),
            unzip: PayloadReader::default(),
            xa: Xa::default(),
            has_checksum: false,
            in_group: false,
            events: 0,
            transactions: 0,
            binlog_bytes: 0,
        }
    }

    fn file(&mut self, path: &Path, index: usize) -> Result<()> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let mut file = EventFile::open(path)?;
        let base = base_version(&name, index, file.length())?;
        loop {
            let offset = file.offset();
            let at = |error: Error| error.at_position(&name, offset);
            let Some(bytes) = file.next().map_err(at)? else { break };
            self.event(bytes, base.plus(offset)).map_err(at)?;
        }
        self.binlog_bytes += file.length();
        Ok(())
    }

    /// `version` is that of the event's first byte.
    fn event(&mut self, bytes: &[u8], version: Version) -> Result<()> {
        let event = Event::parse(bytes, self.has_checksum)?;
        if event.header.kind == EventKind::FormatDescription {
            self.format(&event)?;
        }
        if self.has_checksum {
            verify_checksum(bytes)?;
        }
        if event.header.kind == EventKind::TransactionPayload {
            self.events += 1;
            return self.payload(&event, bytes, version);
        }
        self.carry_out(&event, Place { version, payload_bytes: None })
    }

    /// The events inside count as well.
    #[inline(never)]
    fn payload(&mut self, event: &Event<'_>, bytes: &[u8], version: Version) -> Result<()> {
        let place = Place { version, payload_bytes: Some(bytes.len() as u64) };
        // Taken out, for the events borrow from it.
        let mut unzip = std::mem::take(&mut self.unzip);
        unzip.open(&TransactionPayload::parse(event)?)?;
        while let Some(event) = unzip.next(bytes)? {
            self.carry_out(&event, place)?;
        }
        self.unzip = unzip;
        Ok(())
    }

    /// Inlined, for most events are so small that a call counts.
    #[inline(always)]
    fn carry_out(&mut self, event: &Event<'_>, place: Place) -> Result<()> {
        self.events += 1;
        match event.header.kind {
            EventKind::WriteRows
            | EventKind::UpdateRows
            | EventKind::DeleteRows
            | EventKind::PartialUpdateRows
            | EventKind::WriteRowsV1
            | EventKind::UpdateRowsV1
            | EventKind::DeleteRowsV1 => self.rows(event, place)?,
            EventKind::TableMap => self.table_map(event)?,
            EventKind::Query => self.query(event, place)?,
            EventKind::XaPrepare => {
                if self.xa.open().is_none() {
                    return Err(Error::new(ErrorKind::CorruptStream, "an XA_PREPARE event without its XA START"));
                }
                let held = self.xa.prepare(XaPrepare::parse(event)?.one_phase);
                self.decided(held, place)?;
            }
            EventKind::Xid => self.commit()?,
            // What has no end did not happen; what an XA transaction holds goes with it.
            EventKind::Gtid | EventKind::AnonymousGtid | EventKind::GtidTagged => self.xa.abandon(),
            EventKind::FormatDescription
            | EventKind::PreviousGtids
            | EventKind::Rotate
            | EventKind::Stop
            | EventKind::Heartbeat
            | EventKind::HeartbeatV2
            | EventKind::RowsQuery
            | EventKind::TransactionContext
            | EventKind::ViewChange
            | EventKind::Ignorable => {}
            EventKind::StartV3
            | EventKind::Intvar
            | EventKind::Load
            | EventKind::Slave
            | EventKind::CreateFile
            | EventKind::AppendBlock
            | EventKind::ExecLoad
            | EventKind::DeleteFile
            | EventKind::NewLoad
            | EventKind::Rand
            | EventKind::UserVar
            | EventKind::BeginLoadQuery
            | EventKind::ExecuteLoadQuery
            | EventKind::PreGaWriteRows
            | EventKind::PreGaUpdateRows
            | EventKind::PreGaDeleteRows
            | EventKind::Incident
            | EventKind::TransactionPayload
            | EventKind::MariadbAnnotateRows
            | EventKind::MariadbBinlogCheckpoint
            | EventKind::MariadbGtid
            | EventKind::MariadbGtidList
            | EventKind::MariadbStartEncryption
            | EventKind::MariadbQueryCompressed
            | EventKind::MariadbRowsCompressed(_)
            | EventKind::Unknown(_) => refuse_unless_ignorable(&event.header)?,
        }
        Ok(())
    }

    /// A new file: the ids of the last one mean nothing any more.
    fn format(&mut self, event: &Event<'_>) -> Result<()> {
        let format = FormatDescription::parse(event)?;
        if format.is_mariadb() {
            return Err(unsupported(format!("the file is MariaDB's ({})", format.server_version)));
        }
        self.has_checksum = format.has_checksum;
        self.by_id.clear();
        self.last = NO_TABLE;
        Ok(())
    }

    fn query(&mut self, event: &Event<'_>, place: Place) -> Result<()> {
        let query = Query::parse(event)?;
        match query.kind() {
            QueryKind::Begin => {
                self.xa.abandon();
                self.in_group = true;
            }
            QueryKind::Commit => self.commit()?,
            QueryKind::Rollback => self.end_group(false),
            QueryKind::Savepoint | QueryKind::XaEnd => {}
            QueryKind::XaStart => {
                self.in_group = true;
                self.xa.start(query.xid());
            }
            QueryKind::XaRollback => {
                self.xa.decide(&query.xid());
                self.end_group(false);
            }
            QueryKind::XaCommit => {
                let held = self.xa.decide(&query.xid());
                let text = || unsupported(format!("{}: it was prepared in an earlier file", query.text()));
                return self.decided(Some(held.ok_or_else(text)?), place);
            }
            // DDL: tables are what their TABLE_MAP says. Within a group, CREATE .. SELECT and temporary tables.
            QueryKind::Other if !self.in_group => self.transactions += 1,
            QueryKind::Other if is_ddl(query.sql) => {}
            QueryKind::Other => return Err(unsupported(format!("statement-format DML ({})", query.text()))),
        }
        Ok(())
    }

    /// COMMIT or XID. An XA transaction does not end so: what it holds would be lost.
    fn commit(&mut self) -> Result<()> {
        if self.xa.open().is_some() {
            return Err(Error::new(ErrorKind::CorruptStream, "a COMMIT of what began with XA START"));
        }
        self.end_group(true);
        Ok(())
    }

    /// The end of an XA group, with the rows that it commits.
    fn decided(&mut self, held: Option<Held>, place: Place) -> Result<()> {
        self.end_group(held.is_some());
        for (index, body) in held.into_iter().flat_map(|held| held.bodies) {
            if let Some(table) = self.tables.get_mut(index) {
                table
                    .append_held(&body, place.version, &mut self.pool)
                    .map_err(|error| error.at_table(&table.table))?;
            }
        }
        Ok(())
    }

    fn end_group(&mut self, committed: bool) {
        self.xa.abandon();
        self.in_group = false;
        self.transactions += u64::from(committed);
    }

    fn table_map(&mut self, event: &Event<'_>) -> Result<()> {
        let (id, shape) = TableMapHead::split_id(event)?;
        let known = self.index_of(id).and_then(|index| self.tables.get(index));
        if known.is_some_and(|table| table.shape == shape) {
            return Ok(());
        }
        let index = match self.by_shape.get(shape) {
            Some(&index) => index,
            None => self.add_table(event, shape)?,
        };
        self.by_id.insert(id, index);
        self.last = NO_TABLE;
        Ok(())
    }

    fn add_table(&mut self, event: &Event<'_>, shape: &[u8]) -> Result<usize> {
        let map = TableMap::parse(event)?;
        let name = format!("{}.{}", map.database, map.table);
        let plan = default_plan(&map).map_err(|error| error.at_table(&name))?;
        let shapes = self.tables.iter().filter(|table| table.table == name).count();
        let label = if shapes == 0 { name.clone() } else { format!("{name}.{}", shapes + 1) };
        let sink =
            self.output.map(|folder| create(&folder.join(format!("{}.rowbinary", file_name(&label))))).transpose()?;
        let columns = map.columns.len();
        let body = Body::default();
        let (shape_of, images) = (shape.to_vec(), (Version::default(), 0));
        let table = Table { table: name, label, shape: shape_of, columns, plan, body, sink, rows: 0, bytes: 0, images };
        self.tables.push(table);
        self.by_shape.insert(shape.to_vec(), self.tables.len() - 1);
        Ok(self.tables.len() - 1)
    }

    fn rows(&mut self, event: &Event<'_>, place: Place) -> Result<()> {
        let rows = RowsEvent::parse(event)?;
        if rows.is_dummy() {
            return Ok(());
        }
        let index = self.index_of(rows.table_id);
        let Some(table) = index.and_then(|index| self.tables.get_mut(index)) else {
            let text = format!("rows of table id {}, which no TABLE_MAP in this file names", rows.table_id);
            return Err(Error::new(ErrorKind::CorruptStream, text));
        };
        let done = table.check(&rows).and_then(|()| match (index, self.xa.open()) {
            (Some(index), Some(held)) => held.hold(index, &table.plan, &rows),
            (_, None) | (None, _) => table.append(&rows, place, &mut self.pool),
        });
        done.map_err(|error| error.at_table(&table.table))
    }

    fn index_of(&mut self, id: u64) -> Option<usize> {
        if self.last.0 != id {
            self.last = (id, *self.by_id.get(&id)?);
        }
        Some(self.last.1)
    }

    fn finish(&mut self) -> Result<()> {
        self.tables.iter_mut().try_for_each(|table| table.flush(&mut self.pool))
    }

    fn report(&self, clock: Duration, cpu: Option<Duration>) -> Report {
        let tables = self.tables.iter().map(Table::report).collect();
        let rows = self.tables.iter().map(|table| table.rows).sum();
        Report {
            events: self.events,
            transactions: self.transactions,
            undecided_xa: self.xa.undecided(),
            binlog_bytes: self.binlog_bytes,
            rows,
            rowbinary_bytes: self.tables.iter().map(|table| table.bytes).sum(),
            seconds: clock.as_secs_f64(),
            cpu_seconds: cpu.map(|cpu| cpu.as_secs_f64()),
            rows_per_second: rows as f64 / clock.as_secs_f64(),
            rows_per_cpu_second: cpu.filter(|cpu| !cpu.is_zero()).map(|cpu| rows as f64 / cpu.as_secs_f64()),
            tables,
        }
    }
}

impl Table {
    /// Whether the images are of the plan's columns.
    fn check(&self, rows: &RowsEvent<'_>) -> Result<()> {
        if rows.column_count != self.columns {
            let text = format!("a rows event of {} columns after a TABLE_MAP of {}", rows.column_count, self.columns);
            return Err(Error::new(ErrorKind::CorruptStream, text));
        }
        Ok(())
    }

    fn append(&mut self, rows: &RowsEvent<'_>, place: Place, pool: &mut ChunkPool) -> Result<()> {
        let mut cursor = self.cursor(rows, place);
        while !cursor.rest.is_empty() {
            self.plan.append_rows(&mut cursor, &mut self.body, pool, LIMITS)?;
            if !cursor.rest.is_empty() {
                self.flush(pool)?;
            }
        }
        let Some(payload_bytes) = place.payload_bytes else { return Ok(()) };
        let images = cursor.version.0 - place.version.0 - 1;
        if images >= payload_bytes {
            return Err(refused("more row images in a compressed transaction than it has bytes"));
        }
        self.images = (place.version, images);
        Ok(())
    }

    /// Rows whose transaction was committed at `version`.
    fn append_held(&mut self, held: &Body, version: Version, pool: &mut ChunkPool) -> Result<()> {
        let mut last = self.plan.last_rows(held)?;
        while !last.is_done() {
            last.append(version, &mut self.body, pool, LIMITS);
            if !last.is_done() {
                self.flush(pool)?;
            }
        }
        Ok(())
    }

    /// Versions are those of the stream: by place in the file, or by number in the table's part of a payload.
    fn cursor<'b>(&self, rows: &RowsEvent<'b>, place: Place) -> RowsCursor<'b> {
        let (first, stride) = match place.payload_bytes {
            None => (rows.rows_start as u64, Stride::Bytes),
            Some(_) if self.images.0 == place.version => (self.images.1 + 1, Stride::Images),
            Some(_) => (1, Stride::Images),
        };
        RowsCursor::new(rows, place.version.plus(first), stride)
    }

    /// Counts the body, writes it out if it goes anywhere, and gives its memory back.
    fn flush(&mut self, pool: &mut ChunkPool) -> Result<()> {
        let body = std::mem::take(&mut self.body);
        self.rows += body.rows() as u64;
        self.bytes += body.bytes() as u64;
        if let Some(sink) = &mut self.sink {
            let written = body.chunks().iter().try_for_each(|chunk| sink.write_all(chunk));
            written.map_err(|error| file_error(&format!("cannot write the rows of {}", self.table), error))?;
        }
        pool.recycle(body);
        Ok(())
    }

    fn report(&self) -> TableReport {
        let columns: Vec<String> =
            self.plan.insert_columns().iter().map(|c| format!("`{}` {}", c.name, c.ty)).collect();
        let (table, structure) = (self.label.clone(), columns.join(", "));
        TableReport { table, structure, rows: self.rows, rowbinary_bytes: self.bytes }
    }
}

/// The plan of a TABLE_MAP's columns into the default target types.
fn default_plan(map: &TableMap) -> Result<RowPlan> {
    let key = map.primary_key.as_deref().unwrap_or_default();
    let features = TargetFeatures { time64: true };
    let mut target = Vec::with_capacity(map.columns.len() + 2);
    for (index, column) in map.columns.iter().enumerate() {
        let ty = target_type(column, key.contains(&index), true, features)?;
        target.push(TargetColumn { name: column.name.clone(), ty });
    }
    for (name, ty) in [("_version", "UInt64"), ("_is_deleted", "UInt8")] {
        target.push(TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
    }
    RowPlan::compile(&map.columns, key, &target)
}

/// A kind that is not known may say itself that it is safe to pass by.
fn refuse_unless_ignorable(header: &Header) -> Result<()> {
    let is_unknown = matches!(header.kind, EventKind::Unknown(_));
    if is_unknown && header.is_ignorable() {
        return Ok(());
    }
    Err(unsupported(format!("events of kind {:?}", header.kind)))
}

/// CREATE .. SELECT and the like, which carry no rows themselves.
fn is_ddl(sql: &[u8]) -> bool {
    let word: Vec<u8> = sql.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_alphabetic()).copied().collect();
    word.eq_ignore_ascii_case(b"CREATE") || word.eq_ignore_ascii_case(b"DROP")
}

/// The version of a file's first byte. A file whose name is not the server's counts by its place among the arguments.
fn base_version(name: &str, index: usize, length: u64) -> Result<Version> {
    let timeline = Timeline { number: 0, base_file: 0 };
    let numbered = if file_number(name).is_ok() { name.to_owned() } else { format!("{name}.{}", index + 1) };
    timeline.version(&numbered, length)?;
    timeline.version(&numbered, 0)
}

fn create(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|error| file_error(&format!("cannot create {}", folder.display()), error))?;
    }
    File::create(path).map_err(|error| file_error(&format!("cannot create {}", path.display()), error))
}

/// A table's name as a file's: whatever could lead elsewhere is replaced.
fn file_name(table: &str) -> String {
    table.replace(['/', '\\', '\0'], "_")
}

/// Time that this thread spent on a CPU: the first figure, in nanoseconds, of Linux's scheduler statistics.
fn thread_cpu_time() -> Option<Duration> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = statistics.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn unsupported(what: impl std::fmt::Display) -> Error {
    refused(format!("{what}: not carried out by this version"))
}

fn refused(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedEvent, text)
}

fn file_error(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Config, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::FILE_MAGIC;
    use crate::binlog::samples;

    /// A binlog file of these events, in a folder of its own.
    fn file(folder: &tempfile::TempDir, name: &str, events: &[&[u8]]) -> PathBuf {
        let path = folder.path().join(name);
        let bytes = [&FILE_MAGIC[..], &events.concat()].concat();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn replay<'a>(path: &Path, output: Option<&'a Path>) -> Result<Replay<'a>> {
        let mut replay = Replay::new(output);
        replay.file(path, 0)?;
        replay.finish()?;
        Ok(replay)
    }

    const TRANSACTION: [&[u8]; 7] = [
        samples::FORMAT_DESCRIPTION,
        samples::PREVIOUS_GTIDS,
        samples::GTID,
        samples::QUERY_BEGIN,
        samples::MAP_INTS,
        samples::WRITE_INTS,
        samples::XID,
    ];

    #[test]
    fn counts_and_rows_of_a_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "binlog.000007", &TRANSACTION);
        let output = folder.path().join("out");
        let replay = replay(&path, Some(&output)).unwrap();
        assert_eq!((replay.events, replay.transactions), (7, 1));
        let report = replay.report(Duration::from_secs(1), None);
        assert_eq!((report.rows, report.tables.len(), report.rows_per_second), (2, 1, 2.0));
        let rows = std::fs::read(output.join(format!("{}.rowbinary", report.tables[0].table))).unwrap();
        assert_eq!(rows.len() as u64, report.rowbinary_bytes);
        let before: usize = TRANSACTION[..5].iter().map(|event| event.len()).sum();
        // The second image lies 16 bytes behind the first, which lies 33 bytes into its event.
        let version = 7u64 << 34 | (FILE_MAGIC.len() + before + 33 + 16) as u64;
        assert_eq!(rows[rows.len() - 9..], [&version.to_le_bytes()[..], &[0]].concat());
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, bytes: &[u8], kind, expected: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = replay(&path, None).map(|_| ()).unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        let whole = [&FILE_MAGIC[..], &TRANSACTION.concat()].concat();
        let at_xid = whole.len() - samples::XID.len();
        let mut damaged = whole.clone();
        damaged[at_xid + 20] ^= 1;
        check("b.000001", &damaged, ErrorKind::CorruptStream, &format!("b.000001:{at_xid} checksum mismatch"));
        let cut = &whole[..whole.len() - 1];
        check("b.000001", cut, ErrorKind::CorruptStream, &format!("b.000001:{at_xid} the file ends inside"));
        check("b.000001", &whole[..at_xid + 5], ErrorKind::CorruptStream, "the file ends inside");
        let mut endless = whole.clone();
        endless[at_xid + 9..at_xid + 13].fill(0xff);
        check("b.000001", &endless, ErrorKind::CorruptStream, "the file ends inside");
        check("b.000001", b"\xfdbin1234", ErrorKind::UnsupportedEvent, "encrypted");
        check("b.000001", b"text", ErrorKind::CorruptStream, "no binlog file");
        check("b.000001", b"\xfe", ErrorKind::CorruptStream, "no binlog file");
    }

    #[test]
    fn what_is_not_built_ends_the_replay() {
        let folder = tempfile::tempdir().unwrap();
        let check = |events: &[&[u8]], kind, expected: &str| {
            let events = [&[samples::FORMAT_DESCRIPTION], events].concat();
            let error = replay(&file(&folder, "b.000001", &events), None).map(|_| ()).unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&[samples::XA_PREPARE], ErrorKind::CorruptStream, "without its XA START");
        let statement = [samples::QUERY_BEGIN, samples::QUERY_STATEMENT_DML];
        check(&statement, ErrorKind::UnsupportedEvent, "statement-format DML");
        let minimal = [samples::MAP_INTS, samples::UPDATE_MINIMAL];
        check(&minimal, ErrorKind::TableShape, "part_binlog.ints: an UPDATE was logged without `");
        check(&[samples::WRITE_INTS], ErrorKind::CorruptStream, "no TABLE_MAP");
    }

    #[test]
    fn a_known_shape_keeps_its_plan() {
        let folder = tempfile::tempdir().unwrap();
        let again = [&TRANSACTION[..], &TRANSACTION[2..], &TRANSACTION[..]].concat();
        let replay = replay(&file(&folder, "b.000001", &again), None).unwrap();
        assert_eq!((replay.tables.len(), replay.tables[0].rows, replay.transactions), (1, 6, 3));
    }

    /// Two events outside, and thirteen inside a payload: five images in one table, two in the other.
    #[test]
    fn a_compressed_transaction_counts_its_images() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "binlog.000007", &[samples::FORMAT_DESCRIPTION, samples::GTID, samples::PAYLOAD]);
        let output = folder.path().join("out");
        let replay = replay(&path, Some(&output)).unwrap();
        assert_eq!((replay.events, replay.transactions, replay.tables.len()), (16, 1, 2));
        let offset = FILE_MAGIC.len() + samples::FORMAT_DESCRIPTION.len() + samples::GTID.len();
        let tails = |table: &str, rows: &[(u64, u8)]| {
            let bytes = std::fs::read(output.join(format!("sb_payload_sample.{table}.rowbinary"))).unwrap();
            for &(image, deleted) in rows {
                let version = 7u64 << 34 | (offset as u64 + image);
                let tail = [&version.to_le_bytes()[..], &[deleted]].concat();
                assert_eq!(bytes.windows(tail.len()).filter(|at| *at == tail).count(), 1, "{table} {image}");
            }
        };
        // Two inserts; a key change (tombstone and row); an update, whose before image is counted but makes no row.
        tails("t", &[(1, 0), (2, 0), (3, 1), (4, 0), (6, 0)]);
        tails("u", &[(1, 0), (2, 1)]);
        assert_eq!(replay.tables.iter().map(|table| table.rows).collect::<Vec<_>>(), [5, 2]);
    }

    fn query(sql: &str) -> Vec<u8> {
        let body = [&[0; 13][..], &[0], sql.as_bytes()].concat();
        let size = u32::try_from(19 + body.len() + 4).unwrap().to_le_bytes();
        let mut event = [&[0; 4][..], &[2], &[0; 4], &size, &[0; 6], &body].concat();
        event.extend(crc32fast::hash(&event).to_le_bytes());
        event
    }

    #[test]
    fn xa_transactions_count_by_their_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let mut events: Vec<Vec<u8>> = vec![samples::FORMAT_DESCRIPTION.to_vec()];
        for number in 0..3 {
            let rows = [samples::MAP_INTS, samples::WRITE_INTS, samples::XA_PREPARE].map(<[u8]>::to_vec);
            events.push(query(&format!("XA START X'0{number}',X'',1")));
            events.extend(rows);
        }
        events.push(query("XA ROLLBACK X'00',X'',1"));
        events.push(query("XA COMMIT X'01',X'',1"));
        let refs: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
        let output = folder.path().join("out");
        let replay = replay(&file(&folder, "binlog.000007", &refs), Some(&output)).unwrap();
        let report = replay.report(Duration::from_secs(1), None);
        assert_eq!((report.rows, report.undecided_xa), (2, 1));
        assert!(report.text().contains("1 XA transactions left prepared"));
        let before: usize = events[..events.len() - 1].iter().map(Vec::len).sum();
        let tail = (7u64 << 34 | (FILE_MAGIC.len() + before) as u64).to_le_bytes();
        let rows = std::fs::read(output.join(format!("{}.rowbinary", report.tables[0].table))).unwrap();
        assert_eq!(rows.windows(8).filter(|at| *at == tail).count(), 2, "both with the version of XA COMMIT");
        let unknown = [samples::FORMAT_DESCRIPTION, &query("XA COMMIT X'09',X'',1")];
        let error = super::tests::replay(&file(&folder, "binlog.000008", &unknown), None).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("earlier file"), "{error}");
    }

    /// A file that was copied while its server wrote it may end anywhere.
    #[test]
    fn an_xa_transaction_without_an_end_holds_no_rows_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let start = query("XA START X'01',X'',1");
        let rows = [samples::MAP_INTS, samples::WRITE_INTS];
        let head = [&[samples::FORMAT_DESCRIPTION, &start][..], &rows].concat();
        let next = [&[samples::QUERY_BEGIN][..], &rows, &[samples::XID]].concat();
        let report = |events: &[&[u8]]| {
            replay(&file(&folder, "binlog.000007", events), None).map(|it| it.report(Duration::from_secs(1), None))
        };
        let report_of_both = report(&[&head[..], &next].concat()).unwrap();
        assert_eq!((report_of_both.rows, report_of_both.transactions), (2, 1));
        let error = report(&[&head[..], &[samples::XID]].concat()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("a COMMIT of what began with XA START"), "{error}");
    }

    #[test]
    fn file_names_stay_in_their_folder() {
        assert_eq!(file_name("a/b.c\\d"), "a_b.c_d");
    }
}
