//! What the router tells of itself: the picture behind `/status` and a summary line per stage every 10 s.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::copy::Copy;
use super::{Router, Stopping};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Chunk, Place, TableIndex, Whereabouts};
use crate::metrics::{CheckpointPicture, Picture, PositionPicture, TablePicture};
use crate::position::Position;
use crate::rowbinary::Body;

const DRAW_INTERVAL: Duration = Duration::from_millis(200);
const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);
/// Tables and changes that a text names.
const NAMED_MAX: usize = 10;

/// Counters since the start, and those of the current summary.
#[derive(Debug)]
pub struct Progress {
    rows: u64,
    bytes: u64,
    draw_at: Instant,
    summary_at: Instant,
    /// The oldest batch not acked, and since when it is that one.
    oldest: Option<u64>,
    moved_at: Instant,
    /// The last table whose insert succeeded, and when that began.
    last_success: Option<(TableIndex, Instant)>,
    /// Failures by ClickHouse's code.
    retries: BTreeMap<Option<u32>, u64>,
    /// The last failure of an insert or a save, until something succeeds.
    failure: Option<String>,
    /// Why there is no connection to the source, until it sends again.
    outage: Option<String>,
    rate: Rate,
    window: Window,
}

/// Rows per second over the last second or more.
#[derive(Debug)]
struct Rate {
    since: Instant,
    rows: u64,
    per_second: f64,
}

#[derive(Debug, Default)]
struct Window {
    chunks: u64,
    events: u64,
    event_bytes: u64,
    inserts: u64,
    rows: u64,
    failures: u64,
    slowest: Duration,
}

impl Progress {
    pub fn new(now: Instant) -> Self {
        Self {
            rows: 0,
            bytes: 0,
            draw_at: now,
            summary_at: now + SUMMARY_INTERVAL,
            oldest: None,
            moved_at: now,
            last_success: None,
            retries: BTreeMap::new(),
            failure: None,
            outage: None,
            rate: Rate { since: now, rows: 0, per_second: 0.0 },
            window: Window::default(),
        }
    }

    pub fn draw_at(&self) -> Instant {
        self.draw_at
    }

    pub fn is_draw_due(&self, now: Instant) -> bool {
        now >= self.draw_at
    }

    pub fn is_summary_due(&self, now: Instant) -> bool {
        now >= self.summary_at
    }

    pub fn chunk(&mut self, chunk: &Chunk) {
        self.outage = None;
        self.window.chunks += 1;
        self.window.events += chunk.events.len() as u64;
        self.window.event_bytes += chunk.events.iter().map(|span| span.len as u64).sum::<u64>();
    }

    pub fn source_lost(&mut self, outage: &Error) {
        if self.outage.is_none() {
            log::warn!("reconnecting: {outage}");
        }
        self.outage = Some(outage.to_string());
    }

    pub fn inserted(&mut self, table: TableIndex, body: &Body, took: Duration, now: Instant) {
        self.rows += body.rows() as u64;
        self.bytes += body.bytes() as u64;
        self.last_success = Some((table, now - took));
        self.failure = None;
        self.window.inserts += 1;
        self.window.rows += body.rows() as u64;
        self.window.slowest = self.window.slowest.max(took);
    }

    pub fn failed(&mut self, error: &Error) {
        if self.failure.is_none() {
            log::warn!("will be tried again: {error}");
        }
        self.failure = Some(error.to_string());
        self.window.failures += 1;
        *self.retries.entry(error.code).or_default() += 1;
    }

    /// A save succeeded.
    pub fn saved(&mut self) {
        self.failure = None;
    }

    /// Whether another table's insert was begun after this instant, and succeeded.
    pub fn others_succeed(&self, table: TableIndex, since: Instant) -> bool {
        self.last_success.is_some_and(|(other, begun)| other != table && begun > since)
    }

    /// The state of the whole, and why it waits.
    fn state(&self, copies: bool) -> (&'static str, String) {
        match self.outage.as_ref().or(self.failure.as_ref()) {
            Some(reason) => ("waiting", reason.clone()),
            None if copies => ("snapshot", String::new()),
            None => ("streaming", String::new()),
        }
    }
}

impl Rate {
    fn update(&mut self, rows: u64, now: Instant) -> f64 {
        let seconds = now.duration_since(self.since).as_secs_f64();
        if seconds >= 1.0 {
            // Exact up to 2^53 rows.
            self.per_second = (rows - self.rows) as f64 / seconds;
            (self.since, self.rows) = (now, rows);
        }
        self.per_second
    }
}

impl Router {
    /// Where the stream is now.
    ///
    /// # Errors
    /// When versions have run out.
    pub(super) fn whereabouts(&self) -> Result<Whereabouts> {
        let (end, timeline) = (self.stream.end(), self.stream.timeline());
        Ok(Whereabouts {
            server_uuid: end.server_uuid.clone(),
            timeline: timeline.number,
            base_file: timeline.base_file,
            end: Place::of(end),
            version: self.stream.end_version()?.0,
            reached_gtid_set: self.stream.reached().gtid_set.map(|set| set.to_string()),
            acked: Place::of(self.ledger.low_water(self.stream.end())),
        })
    }

    /// Redraws the picture behind `/status`.
    pub(super) fn draw(&mut self, now: Instant) {
        self.progress.draw_at = now + DRAW_INTERVAL;
        let oldest = self.ledger.oldest();
        if oldest.is_none() || oldest != self.progress.oldest {
            (self.progress.oldest, self.progress.moved_at) = (oldest, now);
        }
        let picture = self.picture(now);
        self.status.draw(picture, self.progress.moved_at);
    }

    fn picture(&mut self, now: Instant) -> Picture {
        let rows_per_second = self.progress.rate.update(self.progress.rows, now);
        let saved = &self.saver.saved;
        let (state, reason) = match &self.stopping {
            Some(Stopping { cause: Some(cause), .. }) => ("failed", cause.to_string()),
            Some(_) => ("stopping", String::new()),
            None => self.progress.state(self.copies.keys().any(|&index| self.tables.shadowed_by(index).is_none())),
        };
        Picture {
            state: state.to_owned(),
            reason,
            lag_seconds: self.lag_seconds(None),
            position: position(&self.stream.reached()),
            checkpoint: CheckpointPicture {
                seq: saved.seq,
                position: position(&saved.position),
                age_seconds: Some(now.duration_since(self.saver.saved_at).as_secs_f64()),
            },
            rows_total: self.progress.rows,
            bytes_total: self.progress.bytes,
            rows_per_second,
            memory_bytes: self.budget.used_bytes() as u64,
            memory_limit_bytes: self.budget.limit_bytes() as u64,
            batches_outstanding: self.ledger.outstanding() as u64,
            retries: self.progress.retries.iter().map(|(code, &count)| (code_name(*code), count)).collect(),
            retention: None,
            needed: self.stream.needed(&saved.position),
            tables: self.tables.named().into_iter().map(|index| self.table_picture(index)).collect(),
        }
    }

    fn table_picture(&self, index: TableIndex) -> TablePicture {
        let table = &self.tables.list()[index];
        let (state, reason) = self.told(index);
        TablePicture {
            name: table.name.to_string(),
            state: state.to_owned(),
            reason,
            rows: table.rows,
            version: table.version,
            lag_seconds: self.lag_seconds(Some(index)),
            parts: self.batcher.parts(index),
            copied_percent: self.copies.get(&index).and_then(Copy::percent),
            bad_values: self.tables.bad_values(index),
        }
    }

    /// A table's state and the reason for it.
    fn told(&self, index: TableIndex) -> (&'static str, String) {
        let table = &self.tables.list()[index];
        let copied = |index| self.copies.get(&index).map(|copy: &Copy| copy.told(Instant::now()));
        match self.resyncs.get(&index) {
            Some(resync) => ("resync", resync.told().or_else(|| copied(resync.shadow()?)).unwrap_or_default()),
            None if let Some(told) = self.barrier_told(index) => ("waiting_ddl", told),
            None => (table.state.name(), copied(index).unwrap_or_else(|| self.with_mutation(index, &table.reason))),
        }
    }

    /// Now minus the commit time of the newest transaction whose rows are all acked, of one table or of all; 0 when
    /// nothing is outstanding and the source is read to its end.
    fn lag_seconds(&self, table: Option<TableIndex>) -> f64 {
        let oldest = match table {
            Some(index) => {
                let oldest = self.batcher.numbers(index).filter(|&number| self.ledger.holds(number)).min();
                oldest.and_then(|number| self.ledger.start_of(number))
            }
            None if self.ledger.is_clear() => None,
            None => Some(self.ledger.low_water(self.stream.resume())),
        };
        match oldest {
            None if self.stream.caught_up => 0.0,
            None => seconds_since(self.stream.end().last_commit_us),
            Some(position) => seconds_since(position.last_commit_us),
        }
    }

    /// The error of a stop that took too long: what is not acked, why, and where the next start goes on.
    pub(super) fn too_late(&self) -> Error {
        let saved = &self.saver.saved.position;
        let because = self.progress.failure.as_ref().map(|failure| format!(" ({failure})")).unwrap_or_default();
        let open = if self.ledger.is_clear() { "only the position is not saved".to_owned() } else { self.not_acked() };
        let text = format!(
            "pipeline.shutdown_timeout ({} s) is over, and {open}{because}. Nothing is lost: the next start goes on from \
             {}:{} and sends the rest again",
            self.settings.shutdown_timeout.as_secs_f64(),
            saved.file,
            saved.offset
        );
        Error::new(ErrorKind::TargetBusy, text)
    }

    fn not_acked(&self) -> String {
        let tables = self.tables.list().iter().enumerate().filter_map(|(index, table)| {
            let inserts = self.batcher.numbers(index).filter(|&number| self.ledger.holds(number)).count();
            (inserts > 0).then(|| format!("{} ({inserts} inserts)", table.name))
        });
        let changes = self.barriers.keys().filter_map(|&table| self.barrier_told(table));
        let named: Vec<String> = tables.chain(changes).collect();
        let more = named.len().saturating_sub(NAMED_MAX);
        let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("not acked are {}{and_more}", named.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", "))
    }

    /// One line per stage.
    pub(super) fn summarize(&mut self, now: Instant) {
        self.progress.summary_at = now + SUMMARY_INTERVAL;
        let window = std::mem::take(&mut self.progress.window);
        let end = self.stream.end();
        log::info!(
            "reader: chunks={} events={} mb={:.1}",
            window.chunks,
            window.events,
            window.event_bytes as f64 / 1e6
        );
        log::info!(
            "router: transactions={} position={}:{} lag_s={:.3} outstanding={} memory_mb={:.1}",
            self.stream.transactions,
            end.file,
            end.offset,
            self.lag_seconds(None),
            self.ledger.outstanding(),
            self.budget.used_bytes() as f64 / 1e6,
        );
        log::info!(
            "writer: inserts={} rows={} failures={} slowest_ms={} checkpoint_seq={}",
            window.inserts,
            window.rows,
            window.failures,
            window.slowest.as_millis(),
            self.saver.saved.seq,
        );
    }
}

fn code_name(code: Option<u32>) -> String {
    code.map_or_else(|| "none".to_owned(), |code| code.to_string())
}

fn position(position: &Position) -> PositionPicture {
    let gtid_set = position.gtid_set.as_ref().map(ToString::to_string).unwrap_or_default();
    PositionPicture { file: position.file.clone(), offset: position.offset, gtid_set }
}

fn seconds_since(commit_us: u64) -> f64 {
    let now_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let lag_us = now_us.saturating_sub(u128::from(commit_us));
    if commit_us == 0 { 0.0 } else { lag_us as f64 / 1e6 }
}
