//! Tables without a key: compared as multisets, exactly as of one place.
//!
//! MySQL's rows are those of one snapshot, which has all changes of the table below V and no other, as a copy's
//! ([`crate::schema::keyless`]). The target is a log of changes, so it can say what it had at V whatever came later: the
//! sum of signs up to there, once the stream has passed V. So nothing is undecided, and one look is enough.
//!
//! Rows are first counted by [`BUCKETS`] buckets of a hash: how many, and the sum of their hashes. Only those of buckets
//! that differ are then read again, at another V, and counted one by one. What has been repaired by then is no difference.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::reader::RowReader;
use super::report::TableReport;
use super::source::{TAIL_BYTES, version};
use super::table::refuse_json;
use super::{PART_BYTES, Verifier};
use crate::clickhouse::keyless::sign;
use crate::clickhouse::sql;
use crate::clickhouse::tables::{self as targets, VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::select::{Select, select_list};
use crate::mysql::source::quoted;
use crate::mysql::table_lock;
use crate::rowbinary::{Body, ChunkPool};
use crate::schema::catalog::SourceTable;
use crate::schema::keyless::MULTIPLICITY;
use crate::schema::target::TargetTable;
use crate::schema::types::TableName;
use crate::transcode::layout::Layout;
use crate::transcode::packet::{PacketPlan, copy_columns};
use crate::transcode::{Limits, RowPlan, RowsCursor};

/// How finely rows are told apart at first.
const BUCKETS: usize = 1 << 16;
/// `_version` and `_is_deleted`, which are no values of the source.
const TAIL_COLUMNS: usize = 2;

/// A table without a key on both sides.
struct Log {
    name: TableName,
    select_list: String,
    packets: PacketPlan,
    rows: RowPlan,
    layout: Layout,
    target: TableName,
}

/// How many rows fell into a bucket, and the sum of their hashes. The source's count up, the target's down.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    rows: i64,
    sum: u64,
}

impl Log {
    fn new(source: &SourceTable, target: &TargetTable) -> Result<Self> {
        let copied = copy_columns(&source.columns);
        let rows = RowPlan::compile_chosen(&copied, &[], &target.columns, &source.choices, None)?;
        let columns = rows.insert_columns();
        refuse_json(&columns)?;
        let values = columns.get(..columns.len().saturating_sub(TAIL_COLUMNS)).unwrap_or_default();
        Ok(Self {
            name: source.name.clone(),
            select_list: select_list(&source.columns),
            packets: PacketPlan::compile(&source.columns, &[])?,
            layout: Layout::new(values, &[])?,
            rows,
            target: target.name.clone(),
        })
    }

    /// The rows that were there at a version, each once, with how often.
    fn target_query(&self, version: u64) -> String {
        let names = sql::identifiers(self.layout.columns.iter().map(|column| column.name.as_str()));
        let (sign, target) = (sign(), sql::table(&self.target));
        format!(
            "SELECT {names}, sum({sign}) AS {MULTIPLICITY} FROM {target} FINAL \
             WHERE {VERSION} <= {version} GROUP BY {names} HAVING {MULTIPLICITY} != 0 FORMAT RowBinary"
        )
    }
}

impl Verifier<'_> {
    /// Compares a table without a key.
    pub(super) fn multiset(
        &mut self,
        source: &SourceTable,
        target: &TargetTable,
        report: &mut TableReport,
    ) -> Result<()> {
        let log = Log::new(source, target)?;
        if targets::max_version(&self.client, &log.target)? > self.last_version()? {
            report.not_compared =
                "its target has changes from above the end of the source's log: `resync` it".to_owned();
            return Ok(());
        }
        let mut buckets = vec![Bucket::default(); BUCKETS];
        report.rows = self.count(&log, |row, times| {
            let hash = hash(row);
            if let Some(bucket) = buckets.get_mut(bucket_of(hash)) {
                bucket.rows += times;
                bucket.sum = bucket.sum.wrapping_add(hash.wrapping_mul(times.cast_unsigned()));
            }
            Ok(())
        })?;
        if buckets.iter().all(|bucket| *bucket == Bucket::default()) {
            return Ok(());
        }
        self.tell_rows(&log, &buckets, report)?;
        if self.options.repair {
            log::warn!("{}: it has no key, so it is repaired by `stream-bridge resync` alone", log.name);
        }
        Ok(())
    }

    /// Reads the rows of buckets that differ again, and tells them.
    fn tell_rows(&mut self, log: &Log, buckets: &[Bucket], report: &mut TableReport) -> Result<()> {
        let (mut found, mut bytes) = (HashMap::<Box<[u8]>, (i64, i64)>::new(), 0);
        self.count(log, |row, times| {
            if buckets.get(bucket_of(hash(row))).is_none_or(|bucket| *bucket == Bucket::default()) {
                return Ok(());
            }
            if !found.contains_key(row) {
                bytes += row.len() + size_of::<(Box<[u8]>, (i64, i64))>();
                found.insert(row.into(), (0, 0));
            }
            let counts = found.get_mut(row).into_iter();
            counts.for_each(|(source, target)| if times > 0 { *source += times } else { *target -= times });
            let text = || format!("it differs in more rows than fit into {} MiB: `resync` it", PART_BYTES >> 20);
            if bytes > PART_BYTES { Err(Error::new(ErrorKind::TableShape, text())) } else { Ok(()) }
        })?;
        for (row, (source, target)) in found.iter().filter(|(_, (source, target))| source != target) {
            let values = log.layout.texts(row).into_iter().map(|(name, value)| format!("{name} = {value}"));
            let text = values.collect::<Vec<_>>().join(", ");
            report.add_row(&format!("{text} ({source} in MySQL, {target} in ClickHouse)"), source - target);
        }
        Ok(())
    }

    /// Gives each of MySQL's rows with 1, and each row of the target with minus its multiplicity, both as of one place;
    /// how many MySQL has.
    fn count(&mut self, log: &Log, mut each: impl FnMut(&[u8], i64) -> Result<()>) -> Result<u64> {
        self.look()?;
        let mut select = Select::open(&self.config.mysql)?;
        select.see(&self.at.server_uuid, None)?;
        let (config, uuid) = (&self.config.mysql, &self.at.server_uuid);
        let (version, lock) = table_lock::read(config, &log.name, uuid, &mut select, |select, file, offset| {
            select.run(&format!("SELECT {} FROM {}", log.select_list, quoted(&log.name)))?;
            log.packets.check(select.columns())?;
            version(&self.at, file, offset)
        })?;
        let rows = read_source(&mut select, log, self.config.verify.max_rows_per_second, &mut each)?;
        drop(lock);
        self.wait_acked()?;
        let query = log.target_query(version.0);
        let mut target = RowReader::new(self.client.stream(&query)?, &log.layout);
        while let Some((row, times)) = target.next_row()? {
            each(row, -times.cast_signed())?;
        }
        Ok(rows)
    }
}

fn read_source(
    select: &mut Select,
    log: &Log,
    rows_per_second: u64,
    each: &mut impl FnMut(&[u8], i64) -> Result<()>,
) -> Result<u64> {
    let unlike = || Error::new(ErrorKind::TableShape, "a row is not as its columns say");
    let (mut rows, mut pool, mut image) = (0, ChunkPool::default(), Vec::new());
    let started = std::time::Instant::now();
    while let Some(packet) = select.next_row()? {
        image.clear();
        log.packets.append_image(packet, &mut image)?;
        let mut body = Body::default();
        let mut cursor = RowsCursor::copied(&image, crate::position::Version::default());
        log.rows.append_rows(&mut cursor, &mut body, &mut pool, Limits::NONE)?;
        for chunk in body.chunks() {
            let row = chunk.len().checked_sub(TAIL_BYTES).and_then(|len| chunk.get(..len));
            each(row.ok_or_else(unlike)?, 1)?;
        }
        pool.recycle(body);
        rows += 1;
        if rows_per_second > 0 && rows % rows_per_second.min(1024) == 0 {
            let due = std::time::Duration::from_secs_f64(rows as f64 / rows_per_second as f64);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    Ok(rows)
}

fn hash(row: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish()
}

/// By other bits than differ in sums of few rows.
fn bucket_of(hash: u64) -> usize {
    usize::try_from(hash >> 48).unwrap_or_default()
}
