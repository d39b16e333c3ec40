//! The snapshot stage: copies rows that are there, while the stream goes on.
//!
//! All rows of a copy get one version, V. Rows of the stream from before V lose against it, those after it win; so every
//! transaction before V must have been seen by the SELECTs, and each session first waits for that. At a first start V is
//! below everything in the stream. For a table that is copied anew it is a transaction end that the router has passed; or
//! without GTID a place that is taken here, before the first SELECT, and that lies ahead of the router. Nothing is locked, tables without a key apart.
//!
//! A table is cut into key ranges ([`crate::mysql::chunks`]), which several connections read side by side. A row packet
//! becomes the image that the binary log would have of it, and that becomes a row by the stream's own plan, so both ways
//! make the same bytes. A table without a key is one range, read at one instant (`keyless`). A range that fails is read again from its beginning: the same rows, the same version, harmless.
//!
//! The stage decides nothing about state: it carries out the router's orders, and tells it of bodies, chunks that were
//! read and tables that failed. The router sends the bodies, saves what is done, and raises a copy's flag when it is to end.

mod cut;
mod keyless;
mod prepare;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select_biased, unbounded};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::backoff;
use crate::clickhouse::Client;
use crate::config::Config;
use crate::error::{Action, Error, ErrorKind, Result};
use crate::message::{Budget, CopyOrder, FromSnapshot, TableIndex, ToSnapshot, wait_unless};
use crate::metrics::bad_values::Counts;
use crate::mysql::chunks::Chunk;
use crate::mysql::source::Source;
use crate::position::{Position, Version};
use crate::schema::catalog::Definition;
use crate::schema::types::TableName;
use crate::transcode::Limits;

pub use table::{CopyTable, Session, renew_plan};
use table::{begin, remaining};

const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A connection without work is kept for so long.
const IDLE: Duration = Duration::from_secs(1);

/// The stage, shared by its threads.
#[derive(Debug)]
pub struct Snapshot {
    config: Config,
    /// The target, where shadows are made.
    client: Arc<Client>,
    /// Size of a body.
    limits: Limits,
    budget: Arc<Budget>,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    orders: Receiver<ToSnapshot>,
    /// What orders have come to.
    tasks: (Sender<Task>, Receiver<Task>),
    /// The same, to be done first: others read the chunks that are found, and it is soon known how many there are.
    cuts: (Sender<Task>, Receiver<Task>),
    pace: Mutex<Instant>,
}

/// A piece of work.
#[derive(Debug)]
enum Task {
    /// Make a shadow.
    Prepare { table: TableIndex, name: TableName, id: Uuid, position: Arc<Position>, before: Option<Box<Definition>> },
    /// Begin a table's copy, or go on with it.
    Begin(Box<CopyOrder>),
    /// Find the end of this chunk, and those of the ones behind it.
    Cut(Arc<CopyTable>, Chunk),
    /// Copy one.
    Copy(Arc<CopyTable>, Chunk),
}

impl Task {
    fn of(order: ToSnapshot) -> Self {
        match order {
            ToSnapshot::Prepare { table, name, id, position, before } => {
                Task::Prepare { table, name, id, position: Arc::new(position), before }
            }
            ToSnapshot::Copy(order) => Task::Begin(order),
        }
    }

    fn name(&self) -> &TableName {
        match self {
            Task::Prepare { name, .. } => name,
            Task::Begin(order) => &order.source.name,
            Task::Cut(table, _) | Task::Copy(table, _) => table.name(),
        }
    }

    fn position(&self) -> &Arc<Position> {
        match self {
            Task::Prepare { position, .. } => position,
            Task::Begin(order) => &order.position,
            Task::Cut(table, _) | Task::Copy(table, _) => table.position(),
        }
    }

    /// Whether nobody wants it any more.
    fn is_over(&self) -> bool {
        match self {
            Task::Prepare { .. } => false,
            Task::Begin(order) => order.flag.load(Ordering::Relaxed),
            Task::Cut(table, _) | Task::Copy(table, _) => table.is_set_aside(),
        }
    }

    fn waits(&self, error: Error) -> Option<FromSnapshot> {
        match self {
            Task::Prepare { .. } => None,
            Task::Begin(order) => Some(FromSnapshot::Waiting(order.index, error)),
            Task::Cut(table, _) | Task::Copy(table, _) => Some(FromSnapshot::Waiting(table.index(), error)),
        }
    }

    fn failed(&self, error: Error) -> FromSnapshot {
        match self {
            Task::Prepare { table, id, .. } => FromSnapshot::NotPrepared(*table, *id, error),
            Task::Begin(order) => FromSnapshot::Failed(order.index, error),
            Task::Cut(table, _) | Task::Copy(table, _) => FromSnapshot::Failed(table.index(), error),
        }
    }
}

impl Snapshot {
    /// A stage that waits for `orders`, until `stop` is set.
    pub fn new(
        config: Config,
        client: Arc<Client>,
        limits: Limits,
        budget: Arc<Budget>,
        stop: Arc<AtomicBool>,
        counts: Arc<Counts>,
        orders: Receiver<ToSnapshot>,
    ) -> Self {
        let bytes = limits.bytes.min(budget.limit_bytes() / 16);
        // A slow pace must not let the server wait for longer than it does.
        let paced = usize::try_from(config.snapshot.max_rows_per_second).unwrap_or(usize::MAX);
        let rows = if paced == 0 { limits.rows } else { limits.rows.min(paced) };
        let (limits, pace) = (Limits { rows, bytes }, Mutex::new(Instant::now()));
        Self { config, client, limits, budget, stop, counts, orders, tasks: unbounded(), cuts: unbounded(), pace }
    }

    /// One thread's work: until the process stops. `to_router` is bounded.
    pub fn run(&self, to_router: &Sender<FromSnapshot>) {
        let (mut session, mut failures) = (None, 0_u32);
        while let Some(task) = self.next_task(&mut session) {
            match self.carry_out(&task, &mut session, to_router) {
                Ok(()) => {
                    failures = 0;
                    if task.is_over() {
                        // Its rows were not read to their end.
                        session = None;
                    }
                }
                Err(error) if error.action() == Action::Retry => {
                    log::warn!("the copy of {} is tried again: {error}", task.name());
                    task.waits(error).into_iter().for_each(|message| tell(to_router, message));
                    self.push(task);
                    session = None;
                    failures = failures.saturating_add(1);
                    wait_unless(&self.stop, backoff::delay(failures, BACKOFF_MAX));
                }
                Err(error) => {
                    // What else is left of the answer is not read.
                    session = None;
                    tell(to_router, task.failed(error));
                }
            }
        }
    }

    fn push(&self, task: Task) {
        let queue = if matches!(task, Task::Cut(..)) { &self.cuts } else { &self.tasks };
        // The stage itself holds both ends.
        let _ = queue.0.send(task);
    }

    /// The next task; `None` at the end. Without any the connection is closed after a while.
    fn next_task(&self, session: &mut Option<Session>) -> Option<Task> {
        let task = |patience| {
            select_biased! {
                recv(self.cuts.1) -> task => Some(task.ok()),
                recv(self.tasks.1) -> task => Some(task.ok()),
                recv(self.orders) -> order => Some(order.ok().map(Task::of)),
                default(patience) => None,
            }
        };
        let task = task(IDLE).unwrap_or_else(|| {
            *session = None;
            task(Duration::MAX).flatten()
        });
        task.filter(|_| !self.stop.load(Ordering::Relaxed))
    }

    fn carry_out(&self, task: &Task, session: &mut Option<Session>, to_router: &Sender<FromSnapshot>) -> Result<()> {
        if task.is_over() {
            return Ok(());
        }
        let session = match session {
            Some(session) => session,
            None => session.insert(Session::open(&self.config.mysql).map_err(try_again)?),
        };
        session.see(task.position())?;
        match task {
            Task::Prepare { table, name, id, before, .. } => {
                session.pass_schema_changes(name)?;
                let new = prepare::shadow(&self.config, &self.client, session, name, *id, before.as_deref())?;
                tell(to_router, FromSnapshot::Prepared(*table, Box::new(new)));
                Ok(())
            }
            Task::Begin(order) => self.begin(order, session, to_router),
            Task::Cut(table, begin) => self.cut(table, begin, session, to_router),
            Task::Copy(table, chunk) => self.copy(table, chunk, session, to_router),
        }
    }

    /// What is known is copied while the rest is cut.
    fn begin(&self, order: &CopyOrder, session: &mut Session, to_router: &Sender<FromSnapshot>) -> Result<()> {
        if order.source.key.is_empty() {
            return self.copy_log(order, session, to_router);
        }
        let version = match order.version {
            Some(version) => version,
            None => self.version_without_gtid(order)?,
        };
        let table = Arc::new(CopyTable::new(order, version, &self.counts)?);
        let cut = begin(&order.saved).map(|begin| Task::Cut(Arc::clone(&table), begin));
        let remaining = remaining(&order.saved);
        if let (None, true, Some(last)) = (&cut, remaining.is_empty(), order.saved.last()) {
            // All was read by an earlier process, and up to where it does not say.
            return tell_read(order.index, last.chunk, session, to_router);
        }
        let copies = remaining.into_iter().map(|chunk| Task::Copy(Arc::clone(&table), chunk));
        cut.into_iter().chain(copies).for_each(|task| self.push(task));
        Ok(())
    }

    /// Others read the chunk while the next one's end is looked for.
    fn cut(
        &self,
        table: &Arc<CopyTable>,
        begin: &Chunk,
        session: &mut Session,
        to_router: &Sender<FromSnapshot>,
    ) -> Result<()> {
        let chunk_rows = self.config.snapshot.chunk_rows;
        let chunk = table.cut(&mut session.select, begin.clone(), chunk_rows)?;
        tell(to_router, table.planned(&chunk, chunk_rows));
        let next = chunk.next().map(|next| Task::Cut(Arc::clone(table), next));
        self.push(Task::Copy(Arc::clone(table), chunk));
        next.into_iter().for_each(|next| self.push(next));
        Ok(())
    }

    /// A place that every SELECT from now on has seen.
    fn version_without_gtid(&self, order: &CopyOrder) -> Result<Version> {
        let position = Source::connect(&self.config.mysql).map_err(try_again)?.current_position(true)?;
        order.timeline.version(&position.file, position.offset)
    }

    fn copy(
        &self,
        table: &CopyTable,
        chunk: &Chunk,
        session: &mut Session,
        to_router: &Sender<FromSnapshot>,
    ) -> Result<()> {
        table.begin(&mut session.select, chunk)?;
        if self.send_rows(table, chunk, session, to_router)? {
            tell_read(table.index(), chunk.number, session, to_router)?;
        }
        Ok(())
    }

    /// Sends the rows of a chunk that is being read; whether they came to their end. Every body is charged before it is
    /// filled.
    fn send_rows(
        &self,
        table: &CopyTable,
        chunk: &Chunk,
        session: &mut Session,
        to_router: &Sender<FromSnapshot>,
    ) -> Result<bool> {
        let mut rows = table.rows(&mut session.select);
        loop {
            if self.ends(table) || !self.budget.enter_copy(self.limits.bytes) {
                return Ok(false);
            }
            let filled = rows.fill(self.limits);
            let (body, bytes) = match filled {
                Ok(Some(filled)) => filled,
                done => {
                    self.budget.leave_copy(self.limits.bytes);
                    if let (Err(error), Some(row)) = (&done, rows.refused.take()) {
                        let (table, columns, error) = (table.index(), table.columns(), error.clone());
                        tell(to_router, FromSnapshot::Refused { table, chunk: chunk.number, columns, row, error });
                    }
                    done?;
                    return Ok(true);
                }
            };
            self.budget.recharge_copy(self.limits.bytes, bytes);
            self.keep_pace(body.rows());
            let columns = table.columns();
            let (table, chunk) = (table.index(), chunk.number);
            tell(to_router, FromSnapshot::Rows { table, chunk, columns, body, charged_bytes: bytes });
        }
    }

    fn ends(&self, table: &CopyTable) -> bool {
        table.is_set_aside() || self.stop.load(Ordering::Relaxed)
    }

    /// `snapshot.max_rows_per_second`, of all threads together.
    fn keep_pace(&self, rows: usize) {
        if self.config.snapshot.max_rows_per_second == 0 {
            return;
        }
        let took = Duration::from_secs_f64(rows as f64 / self.config.snapshot.max_rows_per_second as f64);
        let until = {
            let mut pace = self.pace.lock();
            *pace = (*pace).max(Instant::now()) + took;
            *pace
        };
        wait_unless(&self.stop, until.saturating_duration_since(Instant::now()));
    }
}

/// All rows of a chunk are sent; so far the source has written by now.
fn tell_read(table: TableIndex, chunk: u32, session: &mut Session, to_router: &Sender<FromSnapshot>) -> Result<()> {
    let read_at = session.end_of_log()?;
    tell(to_router, FromSnapshot::ChunkRead { table, chunk, read_at });
    Ok(())
}

/// A login that is refused is not the fault of the table at hand.
fn try_again(mut error: Error) -> Error {
    if error.kind == ErrorKind::SourceRefused {
        error.kind = ErrorKind::SourceDown;
    }
    error
}

/// A router that is gone ends the process.
fn tell(to_router: &Sender<FromSnapshot>, message: FromSnapshot) {
    let _ = to_router.send(message);
}
