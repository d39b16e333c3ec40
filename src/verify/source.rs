//! MySQL's side: a session that sees everything up to a version, a part's rows by key, and the end of the log.

use std::time::{Duration, Instant};

use super::compare::{Keys, Rows};
use super::part::Part;
use super::table::Table;
use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Place, Whereabouts};
use crate::mysql::chunks::Bound;
use crate::mysql::select::Select;
use crate::mysql::source::{Source, number, text};
use crate::position::{Timeline, Version};
use crate::rowbinary::{Body, ChunkPool};
use crate::schema::types::TableName;
use crate::transcode::{Limits, RowsCursor};

/// Bytes of `_version` and `_is_deleted` behind each row that a plan writes.
pub const TAIL_BYTES: usize = 9;
/// Rows that are transcoded at once.
const BATCH: Limits = Limits { rows: 1024, bytes: 1 << 20 };

/// The source.
#[derive(Debug)]
pub struct SourceSide {
    config: MysqlConfig,
    plain: Source,
    /// Reads rows; none after one was left in the midst of an answer.
    select: Option<Select>,
    /// 0: no limit.
    rows_per_second: u64,
    /// When the next rows may be read.
    pace: Instant,
}

impl SourceSide {
    /// Connects.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn connect(config: &MysqlConfig, rows_per_second: u64) -> Result<Self> {
        let mut plain = Source::connect(config)?;
        // Servers from 8.0 on keep the numbers of rows for a day.
        plain.try_execute("SET SESSION information_schema_stats_expiry=0");
        Ok(Self { config: config.clone(), plain, select: None, rows_per_second, pace: Instant::now() })
    }

    /// Plain SQL.
    pub fn plain(&mut self) -> &mut Source {
        &mut self.plain
    }

    /// Makes sure that SELECTs from now on see everything up to the version that is returned: the stream's own with GTID,
    /// one of this moment without.
    ///
    /// # Errors
    /// When the server is away, is not the stream's, or does not see it in time.
    pub fn see(&mut self, at: &Whereabouts) -> Result<u64> {
        let modes = self.plain.rows("reading @@gtid_mode", "SELECT @@GLOBAL.gtid_mode")?;
        // In any other mode there may be transactions without one.
        let has_gtids = modes.first().is_some_and(|row| text(row, 0) == "ON");
        let gtid_set = at.reached_gtid_set.as_deref().filter(|_| has_gtids);
        self.select()?.see(&at.server_uuid, gtid_set)?;
        if gtid_set.is_some() {
            return Ok(at.version);
        }
        let (file, offset) = self.plain.seen_position()?;
        Ok(version(at, &file, offset)?.0)
    }

    /// The end of the log.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn end(&mut self) -> Result<Place> {
        let (file, offset) = self.plain.end_of_log()?;
        Ok(Place { file, offset })
    }

    /// Whether no transaction lies between the file's beginning and `place`: only the file's own head.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn is_head(&mut self, place: &Place) -> Result<bool> {
        // FORMAT_DESCRIPTION and PREVIOUS_GTIDS.
        let query = format!("SHOW BINLOG EVENTS IN '{}' LIMIT 2", place.file.replace('\'', "''"));
        let rows = self.plain.rows("looking at the head of the binary log", &query)?;
        Ok(rows.last().is_some_and(|row| number(row, 4) >= place.offset))
    }

    /// About how many rows a table has, and the bytes of each.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn size(&mut self, table: &TableName) -> Result<(u64, u64)> {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        let query = format!(
            "SELECT TABLE_ROWS, AVG_ROW_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            quoted(&table.database),
            quoted(&table.table)
        );
        let rows = self.plain.rows("asking for the size of a table", &query)?;
        Ok(rows.first().map(|row| (number(row, 0), number(row, 1))).unwrap_or_default())
    }

    /// The end of the range of about `rows` rows above `lower`; `None` for the last one. See [`SourceSide::see`] before.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn next_end(&mut self, table: &Table, lower: Option<&Bound>, rows: u64) -> Result<Option<Bound>> {
        let found = self.select()?.connection()?.rows(&table.cutting.next_end(lower, rows))?;
        let Some(row) = found.into_iter().next() else { return Ok(None) };
        let bound: Option<Bound> = row.into_iter().collect();
        bound.map(Some).ok_or_else(|| Error::new(ErrorKind::TableShape, "a key column is NULL"))
    }

    /// The rows of a part, of `wanted` keys only; `None` when they take more than `bytes_max`.
    ///
    /// # Errors
    /// When the server is away or refuses, or a value cannot be carried over.
    pub fn read(
        &mut self,
        table: &Table,
        part: &Part,
        wanted: Option<&Keys>,
        bytes_max: usize,
    ) -> Result<Option<Rows>> {
        self.rows_of(&table.cutting.source_query(&table.select_list, part), table, wanted, bytes_max)
    }

    /// Those of them that the initial copy left out.
    ///
    /// # Errors
    /// As [`SourceSide::read`].
    pub fn left_out(
        &mut self,
        table: &Table,
        part: &Part,
        copied: &str,
        wanted: Option<&Keys>,
        bytes_max: usize,
    ) -> Result<Option<Rows>> {
        let query = table.cutting.left_out_query(&table.select_list, part, copied);
        self.rows_of(&query, table, wanted, bytes_max)
    }

    fn rows_of(&mut self, query: &str, table: &Table, wanted: Option<&Keys>, bytes_max: usize) -> Result<Option<Rows>> {
        // It comes back only when its answer was read to the end.
        let mut select = self.select.take().ok_or_else(not_connected)?;
        let rows = self.rows(&mut select, query, table, wanted, bytes_max)?;
        if rows.is_some() {
            self.select = Some(select);
        }
        Ok(rows)
    }

    fn rows(
        &mut self,
        select: &mut Select,
        query: &str,
        table: &Table,
        wanted: Option<&Keys>,
        bytes_max: usize,
    ) -> Result<Option<Rows>> {
        select.run(query)?;
        table.packets.check(select.columns())?;
        let (mut rows, mut pool, mut images, mut key) = (Rows::default(), ChunkPool::default(), Vec::new(), Vec::new());
        loop {
            let count = read_images(select, table, self.rows_per_second, &mut images)?;
            if count == 0 {
                return Ok(Some(rows));
            }
            let mut body = Body::default();
            let mut cursor = RowsCursor::copied(&images, Version::default());
            table.rows.append_rows(&mut cursor, &mut body, &mut pool, Limits::NONE)?;
            for chunk in body.chunks() {
                take_rows(chunk, table, wanted, &mut key, &mut rows)?;
            }
            pool.recycle(body);
            // A single row has to fit, however long it is.
            if rows.bytes() > bytes_max && rows.len() > 1 {
                return Ok(None);
            }
            self.keep_pace(count);
        }
    }

    fn select(&mut self) -> Result<&mut Select> {
        if self.select.is_none() {
            self.select = Some(Select::open(&self.config)?);
        }
        self.select.as_mut().ok_or_else(not_connected)
    }

    fn keep_pace(&mut self, rows: usize) {
        if self.rows_per_second > 0 {
            let now = Instant::now();
            let took = Duration::from_secs_f64(rows as f64 / self.rows_per_second as f64);
            self.pace = self.pace.max(now) + took;
            std::thread::sleep(self.pace.duration_since(now));
        }
    }
}

/// The images of the next rows, at most of those of a second; how many.
fn read_images(select: &mut Select, table: &Table, rows_per_second: u64, images: &mut Vec<u8>) -> Result<usize> {
    images.clear();
    let rows_max = usize::try_from(rows_per_second).ok().filter(|&rows| rows > 0).unwrap_or(BATCH.rows).min(BATCH.rows);
    let mut count = 0;
    while count < rows_max
        && images.len() < BATCH.bytes
        && let Some(packet) = select.next_row()?
    {
        table.packets.append_image(packet, images)?;
        count += 1;
    }
    Ok(count)
}

fn take_rows(mut bytes: &[u8], table: &Table, wanted: Option<&Keys>, key: &mut Vec<u8>, rows: &mut Rows) -> Result<()> {
    let unlike = || Error::new(ErrorKind::TableShape, "a row is not as its columns say");
    while !bytes.is_empty() {
        let len = table.layout.row_len(bytes).ok_or_else(unlike)?;
        let (row, rest) = bytes.split_at_checked(len).ok_or_else(unlike)?;
        bytes = rest.get(TAIL_BYTES..).ok_or_else(unlike)?;
        table.layout.key_of(row, key).ok_or_else(unlike)?;
        if wanted.is_none_or(|wanted| wanted.contains(key)) {
            rows.insert(key, row)?;
        }
    }
    Ok(())
}

/// The version of a place in the stream's timeline.
///
/// # Errors
/// When versions have run out.
pub fn version(at: &Whereabouts, file: &str, offset: u64) -> Result<Version> {
    Timeline { number: at.timeline, base_file: at.base_file }.version(file, offset)
}

fn not_connected() -> Error {
    Error::new(ErrorKind::SourceDown, "the connection that reads rows was lost")
}
