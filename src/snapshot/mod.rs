//! The snapshot stage: copies the rows that were there before the stream began, while the stream goes on.
//!
//! All rows of a copy get the version below which the timeline has no row of the stream. So whatever the stream brings
//! wins over what a SELECT saw, early or late; and every transaction that the stream does not bring was committed before
//! any SELECT here starts: each connection first waits for the GTIDs that the stream started from. Nothing is locked.
//!
//! A table is cut into key ranges ([`crate::mysql::chunks`]), which several connections read side by side. A row packet
//! becomes the image that the binary log would have of it, and that becomes a row by the stream's own plan, so both ways
//! make the same bytes. A range that fails is read again from its beginning: the same rows, the same version, harmless.
//!
//! The stage decides nothing about state: bodies, chunks that were read and tables that failed are told to the router,
//! which sends the bodies, saves what is done, and raises a table's flag here when it is set aside.

mod table;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use crate::backoff;
use crate::config::{MysqlConfig, SnapshotConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Budget, FromSnapshot};
use crate::mysql::chunks::Chunk;
use crate::mysql::select::Select;
use crate::position::Position;
use crate::transcode::Limits;

pub use table::{CopyTable, connect};

const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How soon a wait notices the stop flag, and work that another thread has planned.
const LATENCY: Duration = Duration::from_millis(20);

/// The stage, shared by its threads.
#[derive(Debug)]
pub struct Snapshot {
    /// The source.
    pub mysql: MysqlConfig,
    /// Chunks and pace.
    pub config: SnapshotConfig,
    /// Size of a body.
    pub limits: Limits,
    /// Where the stream started from.
    pub start: Position,
    /// Memory shared by all stages.
    pub budget: Arc<Budget>,
    /// Set when the process stops.
    pub stop: Arc<AtomicBool>,
    tables: Vec<CopyTable>,
    tasks: Mutex<VecDeque<Task>>,
    /// Tasks that are not done: those taken, too.
    open: AtomicUsize,
    pace: Mutex<Instant>,
}

/// A piece of work on the table with this index in `tables`.
#[derive(Debug)]
enum Task {
    /// Find the end of this chunk, and those of the ones behind it.
    Cut(usize, Chunk),
    /// Copy one.
    Copy(usize, Chunk),
}

impl Task {
    fn table(&self) -> usize {
        match self {
            Task::Cut(table, _) | Task::Copy(table, _) => *table,
        }
    }
}

/// What the engine gives the stage.
#[derive(Debug)]
pub struct Ends {
    /// As [`Snapshot::budget`].
    pub budget: Arc<Budget>,
    /// As [`Snapshot::stop`].
    pub stop: Arc<AtomicBool>,
}

impl Snapshot {
    /// The copies of `tables`, of which those whose chunks are known go on where they stopped.
    pub fn new(
        mysql: MysqlConfig,
        config: SnapshotConfig,
        limits: Limits,
        start: Position,
        tables: Vec<CopyTable>,
        ends: Ends,
    ) -> Self {
        let tasks: VecDeque<Task> = (0..tables.len()).flat_map(|table| first_tasks(table, &tables[table])).collect();
        let bytes = limits.bytes.min(ends.budget.limit_bytes() / 16);
        // A slow pace must not let the server wait for longer than it does.
        let paced = usize::try_from(config.max_rows_per_second).unwrap_or(usize::MAX);
        let rows = if paced == 0 { limits.rows } else { limits.rows.min(paced) };
        let Ends { budget, stop } = ends;
        let (open, pace) = (AtomicUsize::new(tasks.len()), Mutex::new(Instant::now()));
        let (tasks, limits) = (Mutex::new(tasks), Limits { rows, bytes });
        Self { mysql, config, limits, start, budget, stop, tables, tasks, open, pace }
    }

    /// One thread's work: until all is copied, or the process stops. `to_router` is bounded, and closed by the last one.
    pub fn run(&self, to_router: &Sender<FromSnapshot>) {
        let (mut select, mut failures) = (None, 0_u32);
        while let Some(task) = self.next_task() {
            match self.carry_out(&task, &mut select, to_router) {
                Ok(()) => {
                    failures = 0;
                    if self.ends(&self.tables[task.table()]) {
                        // Its rows were not read to their end.
                        select = None;
                    }
                }
                Err(error) if error.kind == ErrorKind::SourceDown => {
                    log::warn!("the copy of {} is tried again: {error}", self.tables[task.table()].name());
                    tell(to_router, FromSnapshot::Waiting(self.tables[task.table()].index(), error));
                    self.tasks.lock().push_front(task);
                    select = None;
                    failures = failures.saturating_add(1);
                    self.wait(backoff::delay(failures, BACKOFF_MAX));
                    continue;
                }
                Err(error) => {
                    // What else is left of the answer is not read.
                    select = None;
                    tell(to_router, FromSnapshot::Failed(self.tables[task.table()].index(), error));
                }
            }
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits while others may still find work; `None` at the end.
    fn next_task(&self) -> Option<Task> {
        while !self.stop.load(Ordering::Relaxed) && self.open.load(Ordering::Relaxed) > 0 {
            match self.tasks.lock().pop_front() {
                Some(task) => return Some(task),
                None => std::thread::sleep(LATENCY),
            }
        }
        None
    }

    fn carry_out(&self, task: &Task, select: &mut Option<Select>, to_router: &Sender<FromSnapshot>) -> Result<()> {
        let table = &self.tables[task.table()];
        if table.is_set_aside() {
            return Ok(());
        }
        let select = match select {
            Some(select) => select,
            None => select.insert(table::connect(&self.mysql, &self.start).map_err(try_again)?),
        };
        match task {
            Task::Cut(number, begin) => self.cut(*number, begin, select, to_router),
            Task::Copy(_, chunk) => self.copy(table, chunk, select, to_router),
        }
    }

    /// Others read the chunk while the next one's end is looked for.
    fn cut(&self, number: usize, begin: &Chunk, select: &mut Select, to_router: &Sender<FromSnapshot>) -> Result<()> {
        let (table, chunk_rows) = (&self.tables[number], self.config.chunk_rows);
        let chunk = table.cut(select, begin.clone(), chunk_rows)?;
        tell(to_router, FromSnapshot::Planned(table.index(), vec![table.saved(&chunk, chunk_rows)]));
        let next = chunk.next().map(|next| Task::Cut(number, next));
        self.open.fetch_add(1 + usize::from(next.is_some()), Ordering::Relaxed);
        let mut tasks = self.tasks.lock();
        tasks.push_back(Task::Copy(number, chunk));
        next.into_iter().for_each(|next| tasks.push_front(next));
        Ok(())
    }

    /// Every body is charged before it is filled.
    fn copy(
        &self,
        table: &CopyTable,
        chunk: &Chunk,
        select: &mut Select,
        to_router: &Sender<FromSnapshot>,
    ) -> Result<()> {
        let mut rows = table.rows(select, chunk)?;
        loop {
            if self.ends(table) || !self.budget.enter_copy(self.limits.bytes) {
                return Ok(());
            }
            let filled = rows.fill(self.limits);
            let (body, bytes) = match filled {
                Ok(Some(filled)) => filled,
                done => {
                    self.budget.leave_copy(self.limits.bytes);
                    done?;
                    break;
                }
            };
            self.budget.recharge_copy(self.limits.bytes, bytes);
            self.keep_pace(body.rows());
            let target = table.target();
            let (table, chunk) = (table.index(), chunk.number);
            tell(to_router, FromSnapshot::Rows { table, chunk, target, body, charged_bytes: bytes });
        }
        tell(to_router, FromSnapshot::ChunkRead(table.index(), chunk.number));
        Ok(())
    }

    fn ends(&self, table: &CopyTable) -> bool {
        table.is_set_aside() || self.stop.load(Ordering::Relaxed)
    }

    /// `snapshot.max_rows_per_second`, of all threads together.
    fn keep_pace(&self, rows: usize) {
        if self.config.max_rows_per_second == 0 {
            return;
        }
        let took = Duration::from_secs_f64(rows as f64 / self.config.max_rows_per_second as f64);
        let until = {
            let mut pace = self.pace.lock();
            *pace = (*pace).max(Instant::now()) + took;
            *pace
        };
        self.wait(until.saturating_duration_since(Instant::now()));
    }

    fn wait(&self, duration: Duration) {
        let deadline = Instant::now() + duration;
        while !self.stop.load(Ordering::Relaxed) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LATENCY));
        }
    }
}

/// A login that is refused is not the fault of the table at hand.
fn try_again(mut error: Error) -> Error {
    if error.kind == ErrorKind::SourceRefused {
        error.kind = ErrorKind::SourceDown;
    }
    error
}

/// What is known is copied while the rest is cut.
fn first_tasks(number: usize, table: &CopyTable) -> Vec<Task> {
    let cut = table.begin().map(|begin| Task::Cut(number, begin));
    cut.into_iter().chain(table.remaining().into_iter().map(|chunk| Task::Copy(number, chunk))).collect()
}

/// A router that is gone ends the process.
fn tell(to_router: &Sender<FromSnapshot>, message: FromSnapshot) {
    let _ = to_router.send(message);
}
