//! Copies of tables as the router sees them: which chunks are in the target.
//!
//! The snapshot stage sends bodies of rows; they go out as the table's own batches do, but count in no ledger: a restart
//! reads a chunk again until it is saved as done, which it is once all its rows are acked. When all chunks are, the table
//! is as if it had been streamed from its first row on; unless it has a reason, saved with its state, why rows may be
//! missing: then it is `unverified`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Router;
use super::tables::State;
use crate::checkpoint::CopyChunk;
use crate::error::{Action, Error, ErrorKind};
use crate::message::{Batch, FromSnapshot, Origin, Save, TableIndex};
use crate::position::Version;

/// A table's copy.
#[derive(Debug)]
pub struct Copy {
    chunks: Vec<Progress>,
    /// Chunks that an earlier run has copied.
    done_before: usize,
    /// Raised when the stage is to end the copy.
    flag: Arc<AtomicBool>,
    /// Rows acked in this run, and since when.
    rows: u64,
    since: Option<Instant>,
    /// Why nothing comes at present.
    outage: String,
    /// How far the source had written when rows were read last, in this run.
    read_at: Option<Version>,
}

#[derive(Debug)]
struct Progress {
    saved: CopyChunk,
    /// Batches that are not acked.
    batches: usize,
    is_read: bool,
}

impl Copy {
    /// A copy, with its chunks if it was begun before.
    pub fn new(chunks: &[CopyChunk], flag: Arc<AtomicBool>) -> Self {
        let done_before = chunks.iter().filter(|chunk| chunk.done == 1).count();
        Self { chunks: progress(chunks), done_before, flag, rows: 0, since: None, outage: String::new(), read_at: None }
    }

    fn chunk(&mut self, number: u32) -> Option<&mut Progress> {
        self.chunks.get_mut(number as usize)
    }

    /// Whether all rows are in the target, and the stream has come to where they were read. Until then a schema change may
    /// come of which the rows know already: they may be those of another table that had the name by then.
    fn is_done(&self, end: Version) -> bool {
        let is_reached = self.read_at.is_some_and(|read_at| end >= read_at);
        is_reached && self.is_cut() && self.chunks.iter().all(|chunk| chunk.saved.done == 1)
    }

    /// Whether all chunks are known: the last one ends with the table.
    fn is_cut(&self) -> bool {
        self.chunks.last().is_some_and(|last| last.saved.upper.is_empty())
    }

    /// How far it is, for a person.
    pub fn told(&self, now: Instant) -> String {
        if !self.outage.is_empty() {
            return format!("copying: waits for the source: {}", self.outage);
        }
        let seconds = self.since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        let rate = if seconds > 0.0 { self.rows as f64 / seconds } else { 0.0 };
        let rows = format!("{} rows, {rate:.0} rows/s", self.rows);
        match self.percent() {
            Some(percent) => format!("copying: {percent} %, {rows}{}", self.time_left(seconds)),
            None => format!("copying: {rows}, still looking for its key ranges"),
        }
    }

    /// How much is done; `None` until it is known how much there is.
    pub fn percent(&self) -> Option<u8> {
        let percent = 100 * self.done() / self.chunks.len().max(1);
        u8::try_from(percent).ok().filter(|_| self.is_cut())
    }

    fn done(&self) -> usize {
        self.chunks.iter().filter(|chunk| chunk.saved.done == 1).count()
    }

    /// By chunks: a condition may leave out most of the rows that they were cut by.
    fn time_left(&self, seconds: f64) -> String {
        let done = self.done();
        match done.saturating_sub(self.done_before) {
            0 => String::new(),
            in_this_run => {
                let left = seconds / in_this_run as f64 * (self.chunks.len() - done) as f64;
                format!(", about {left:.0} s left")
            }
        }
    }
}

fn progress(chunks: &[CopyChunk]) -> Vec<Progress> {
    chunks.iter().map(|chunk| Progress { saved: chunk.clone(), batches: 0, is_read: false }).collect()
}

impl Router {
    pub(super) fn take_copied(&mut self, message: FromSnapshot, now: Instant) {
        match message {
            FromSnapshot::Prepared(table, new) => self.prepared(table, new, now),
            FromSnapshot::NotPrepared(table, id, error) => self.not_prepared(table, id, &error, now),
            FromSnapshot::Planned { table, version, gtid_set, chunk } => {
                if let Some(copy) = self.copies.get_mut(&table) {
                    copy.outage.clear();
                    copy.chunks.extend(progress(std::slice::from_ref(&chunk)));
                    copy.since.get_or_insert(now);
                    self.noted(table, version, gtid_set);
                    self.saver.push(Save::Chunks(Arc::new(vec![chunk])));
                }
            }
            FromSnapshot::Rows { table, chunk, columns, body, charged_bytes } => {
                let origin = Origin::Copy { chunk, charged_bytes };
                let number = self.ledger.number();
                let batch = Batch { table, number, columns, body, attempts: 0, origin, leaves_out: false };
                let copy = self.copies.get_mut(&table);
                match copy.and_then(|copy| {
                    copy.outage.clear();
                    copy.since.get_or_insert(now);
                    copy.chunk(chunk)
                }) {
                    Some(chunk) => {
                        chunk.batches += 1;
                        self.batcher.add(batch, now);
                    }
                    None => self.settle(batch),
                }
            }
            FromSnapshot::ChunkRead { table, chunk, read_at } => {
                match (self.stream.timeline().version(&read_at.0, read_at.1), self.copies.get_mut(&table)) {
                    (Ok(read_at), Some(copy)) => {
                        copy.outage.clear();
                        copy.read_at = copy.read_at.max(Some(read_at));
                        copy.chunk(chunk).into_iter().for_each(|chunk| chunk.is_read = true);
                        self.chunk_done(table, chunk);
                    }
                    (Err(error), Some(_)) => self.copy_failed(table, error, now),
                    (_, None) => {}
                }
            }
            FromSnapshot::Waiting(table, error) => {
                if let Some(copy) = self.copies.get_mut(&table) {
                    copy.outage = error.to_string();
                }
            }
            FromSnapshot::Refused { table, chunk, columns, row, error } => {
                self.keep_copied(table, chunk, &columns, *row, &error);
            }
            FromSnapshot::BrokenOff(shadow, error) => {
                if let Some(table) = self.tables.shadowed_by(shadow) {
                    log::warn!("{}: its copy begins anew: {error}", self.tables.list()[table].name);
                    self.begin_resync(table, now);
                }
            }
            FromSnapshot::Failed(table, error) => self.copy_failed(table, error, now),
        }
    }

    /// A table that cannot be copied is set aside; what concerns the source as a whole ends the engine.
    fn copy_failed(&mut self, table: TableIndex, error: Error, now: Instant) {
        let error = error.at_table(&self.tables.list()[table].name);
        match error.action() {
            Action::Stop if error.kind != ErrorKind::SourceRefused => self.stop(Some(error), now),
            Action::Stop | Action::Quarantine | Action::Retry => self.set_aside(table, &error, now),
        }
    }

    /// Rows of a chunk are in the target.
    pub(super) fn copied(&mut self, batch: Batch, chunk: u32) {
        let (table, rows) = (batch.table, batch.body.rows() as u64);
        self.settle(batch);
        if let Some(copy) = self.copies.get_mut(&table) {
            copy.rows += rows;
            if let Some(chunk) = copy.chunk(chunk) {
                chunk.batches -= 1;
            }
        }
        self.chunk_done(table, chunk);
    }

    fn chunk_done(&mut self, table: TableIndex, chunk: u32) {
        let Some(copy) = self.copies.get_mut(&table) else { return };
        let is_copied = |chunk: &&mut Progress| chunk.is_read && chunk.batches == 0 && chunk.saved.done == 0;
        if let Some(progress) = copy.chunk(chunk).filter(is_copied) {
            progress.saved.done = 1;
            self.saver.push(Save::Chunks(Arc::new(vec![progress.saved.clone()])));
        }
    }

    fn copy_done(&mut self, index: TableIndex, now: Instant) {
        let Some(copy) = self.copies.remove(&index) else { return };
        log::info!("copied {}: {} rows in this run", self.tables.list()[index].name, copy.rows);
        if let Some(table) = self.tables.shadowed_by(index) {
            return self.shadow_copied(table, now);
        }
        let table = self.tables.get_mut(index);
        table.state = if table.reason.is_empty() { State::Streaming } else { State::Unverified };
        self.save_state(index);
        if self.copies.is_empty() {
            log::info!("all tables are copied");
        }
    }

    /// The table's copy ends, unfinished.
    pub(super) fn forget_copy(&mut self, table: TableIndex) {
        if let Some(copy) = self.copies.remove(&table) {
            copy.flag.store(true, Ordering::Relaxed);
        }
    }

    /// What acks and the stream's progress bring about. Once a turn, so that no transaction pays for it.
    pub(super) fn end_done_copies(&mut self, now: Instant) {
        if self.copies.is_empty() {
            return;
        }
        let Ok(end) = self.stream.end_version() else { return };
        let done = self.copies.iter().filter(|(_, copy)| copy.is_done(end)).map(|(&index, _)| index);
        for index in done.collect::<Vec<_>>() {
            self.copy_done(index, now);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::checkpoint::{Checkpoint, TableState};
    use crate::config::{DdlConfig, ReplicateConfig};
    use crate::message::Budget;
    use crate::metrics::Status;
    use crate::position::{Position, Timeline, Version};
    use crate::router::batch::Pace;
    use crate::router::saves::SavePace;
    use crate::router::tables::Table;
    use crate::router::{Beginning, Settings};
    use crate::schema::mapping::TargetFeatures;
    use crate::schema::types::TableName;
    use crate::transcode::Limits;

    const SECOND: Duration = Duration::from_secs(1);

    pub fn chunk(done: u8) -> CopyChunk {
        CopyChunk { table: "d.t".to_owned(), done, ..CopyChunk::default() }
    }

    /// A router whose only table's copy has this one chunk, and was saved with this reason.
    pub fn router(chunk: CopyChunk, reason: &str) -> Router {
        let pace = Pace {
            limits: Limits { rows: 100, bytes: 1 << 20 },
            batch_timeout: SECOND,
            gap_min: Duration::ZERO,
            inserts_per_second: 100,
            in_flight_max: 1,
        };
        let settings = Settings {
            pace,
            save_pace: SavePace { interval: SECOND, events: 1000 },
            retry_attempts: 0,
            retry_max_interval: SECOND,
            shutdown_timeout: SECOND,
            replicate: ReplicateConfig::default(),
            ddl: DdlConfig::default(),
            ddl_flush_timeout: Duration::from_secs(60),
            allows_zero_dates: false,
            lowers_names: false,
            logs_cascades: true,
            may_repeat_hours: false,
            features: TargetFeatures { time64: true },
            ignores_case: false,
        };
        let name = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let position = Position { file: "binlog.000001".to_owned(), offset: 4, ..Position::default() };
        let claim = Checkpoint { seq: 2, position, timeline: Timeline { number: 1, base_file: 0 } };
        let beginning = Beginning {
            claim,
            tables: vec![Table::new(name, State::Snapshot, reason.to_owned(), None)],
            copies: BTreeMap::from([(0, Copy::new(&[chunk], Arc::default()))]),
            resyncs: Vec::new(),
            wanted: Vec::new(),
        };
        Router::new(settings, Arc::new(Budget::new(1 << 20)), Arc::new(Status::starting()), beginning)
    }

    /// The state that is saved next; `None` when another save comes first, or none.
    fn saved_state(router: &mut Router) -> Option<TableState> {
        let (position, timeline) = (Arc::default(), router.stream.timeline());
        match router.saver.take(&position, timeline) {
            Save::TableState(state) => Some(state),
            Save::Checkpoint(_)
            | Save::DeadLetters(_)
            | Save::Chunks(_)
            | Save::Exchange(_)
            | Save::Ddl(_)
            | Save::Drop(..) => None,
        }
    }

    /// The chunk was read when the source had written up to this offset; the stream is at 4.
    fn read_at(router: &mut Router, offset: u64) {
        let read_at = ("binlog.000001".to_owned(), offset);
        router.take_copied(FromSnapshot::ChunkRead { table: 0, chunk: 0, read_at }, Instant::now());
        router.turn(Instant::now());
    }

    #[test]
    fn a_copy_is_done_when_the_stream_has_come_to_where_it_was_read() {
        // Its last chunk was saved before a kill.
        let mut copied = router(chunk(1), "");
        assert_eq!(saved_state(&mut copied), None);
        read_at(&mut copied, 4);
        let state = saved_state(&mut copied).unwrap();
        assert_eq!((state.state.as_str(), state.reason.as_str()), ("streaming", ""));
        let mut ahead = router(chunk(1), "");
        read_at(&mut ahead, 5);
        assert_eq!(saved_state(&mut ahead), None);
    }

    #[test]
    fn rows_that_a_copy_may_miss_are_not_forgotten_by_a_restart() {
        let mut first = router(chunk(0), "");
        first.unknown_xa_commit("'x'", Version(9), Instant::now());
        let saved = saved_state(&mut first).unwrap();
        assert_eq!(saved.state, "snapshot");
        let mut second = router(chunk(1), &saved.reason);
        read_at(&mut second, 4);
        let state = saved_state(&mut second).unwrap();
        assert_eq!(state.state, "unverified");
        assert!(state.reason.contains("XA COMMIT 'x'"), "{}", state.reason);
    }
}
