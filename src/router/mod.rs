//! The router: one thread that owns all replication state (I3).
//!
//! It takes chunks of events from the reader, walks them in place, transcodes rows into one open body per table, and
//! gives the writers jobs over a channel of capacity 0: a job is built only when a writer has come for it, so a batch
//! grows until then. Acks settle the ledger; the ledger says how far a checkpoint may go. It does no IO, and it never
//! waits for one channel without hearing acks (I7). Each state has its file: [`transaction`] the stream's position,
//! [`tables`] the plans, [`batch`] the bodies and their turn, [`ledger`] what is not acked, [`saves`] what is not saved;
//! `policy` is what `[ddl]` says, `payload` is the way of compressed transactions, `xa` that of XA transactions; [`copy`]
//! counts a copy's rows, and [`resync`] puts one in its target's place; `letters` keeps the rows that are refused; [`rehearsal`] tells what a statement would do.
//!
//! It ends by a command, by the reader's end, or by an error that stops the engine; always the same way: flush, wait for
//! acks, save, return.

pub mod barrier;
pub mod batch;
pub mod copy;
pub mod ledger;
mod letters;
mod mutations;
mod payload;
mod picture;
pub mod policy;
pub mod rehearsal;
pub mod resync;
pub mod saves;
mod statement;
pub mod tables;
pub mod transaction;
mod xa;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select_biased};

use crate::backoff;
use crate::binlog::event::Event;
use crate::binlog::rows::RowsEvent;
use crate::checkpoint::{Checkpoint, SavedSchema, TableState};
use crate::config::{DdlConfig, ReplicateConfig};
use crate::error::{Action, Error, ErrorKind, Result};
use crate::message::{
    Ack, Batch, Budget, CHUNK_BYTES, Chunk, Command, EventSpan, FromReader, FromSnapshot, Job, Origin, Save,
    TableIndex, ToSnapshot,
};
use crate::metrics::Status;
use crate::position::{Timeline, Version};
use crate::rowbinary::ChunkPool;
use crate::schema::mapping::TargetFeatures;
use crate::schema::target::Mutation;
use crate::schema::types::TableName;
use crate::transcode::{RowsCursor, Stride};

use barrier::{Barrier, Barriers};
use batch::{Batcher, Pace};
use copy::Copy;
use ledger::Ledger;
use payload::Unzip;
use picture::Progress;
use resync::{BegunResync, Resync};
use saves::{SavePace, Saver};
use tables::{Mapped, State, Table, TablePlan, Tables};
use transaction::{Step, Stream};

/// `_version` and `_is_deleted`.
const OWN_COLUMNS: usize = 2;
/// How often active parts are counted.
const INSPECT_INTERVAL: Duration = Duration::from_secs(5);
/// A server that refuses us is asked again no sooner than this.
const DENIED_DELAY: Duration = Duration::from_secs(5);
/// A network that loses every other request makes some table fail several times in a row, but not for so long.
const FAILING_MAX: Duration = Duration::from_secs(10);
/// Of a spent budget, the part that bodies may hold while a compressed transaction in hand is gone on with.
const FEW_BODIES: usize = 8;

/// The router's channels.
#[derive(Debug)]
pub struct Wiring {
    /// Chunks in stream order.
    pub inbox: Receiver<FromReader>,
    /// Copies of tables.
    pub copies: Receiver<FromSnapshot>,
    /// What is asked of the snapshot stage.
    pub orders: Sender<ToSnapshot>,
    /// Used buffers go back to the reader.
    pub used_buffers: Sender<Vec<u8>>,
    /// Jobs, capacity 0.
    pub jobs: Sender<Job>,
    /// The writers' answers; unbounded, bounded by the jobs out.
    pub acks: Receiver<Ack>,
    /// From the engine.
    pub commands: Receiver<Command>,
}

/// What the router is made from.
#[derive(Debug)]
pub struct Settings {
    /// Batching.
    pub pace: Pace,
    /// Checkpoints.
    pub save_pace: SavePace,
    /// `pipeline.retry_attempts`; 0 means no limit.
    pub retry_attempts: u32,
    /// `pipeline.retry_max_interval`.
    pub retry_max_interval: Duration,
    /// `pipeline.shutdown_timeout`.
    pub shutdown_timeout: Duration,
    /// The chosen tables, for those that appear later, and their targets' names.
    pub replicate: ReplicateConfig,
    /// What becomes of schema changes.
    pub ddl: DdlConfig,
    /// `pipeline.ddl_flush_timeout`
    pub ddl_flush_timeout: Duration,
    /// Whether the source stores names in lower case (`lower_case_table_names = 1`).
    pub lowers_names: bool,
    /// Whether rows that a foreign key changes by itself are in the binary log.
    pub logs_cascades: bool,
    /// Whether the source's own time zone may have hours that come twice.
    pub may_repeat_hours: bool,
    /// Whether the source lets zero and partial dates in.
    pub allows_zero_dates: bool,
    /// What the target can store.
    pub features: TargetFeatures,
    /// Whether the source compares table names without case (`lower_case_table_names`).
    pub ignores_case: bool,
}

/// Where the router begins.
#[derive(Debug)]
pub struct Beginning {
    /// The checkpoint, which this process has saved.
    pub claim: Checkpoint,
    /// The chosen tables.
    pub tables: Vec<Table>,
    /// The copies of those in the state `snapshot`.
    pub copies: BTreeMap<TableIndex, Copy>,
    /// Copies into shadows that were begun before; in this order the shadows follow the tables.
    pub resyncs: Vec<BegunResync>,
    /// Tables that are to be copied into shadows from now on.
    pub wanted: Vec<TableIndex>,
}

/// All replication state.
#[derive(Debug)]
pub struct Router {
    settings: Settings,
    budget: Arc<Budget>,
    status: Arc<Status>,
    stream: Stream,
    tables: Tables,
    batcher: Batcher,
    ledger: Ledger,
    saver: Saver,
    pool: ChunkPool,
    /// The chunk whose events are not all done.
    work: Option<Work>,
    unzip: Unzip,
    /// Tables whose rows from before the start are being copied.
    copies: BTreeMap<TableIndex, Copy>,
    /// Tables that are copied beside their targets.
    resyncs: BTreeMap<TableIndex, Resync>,
    barriers: Barriers,
    /// To be sent to the snapshot stage.
    orders: Vec<ToSnapshot>,
    /// Tables with rows in the open group, in order: a list keeps its memory for the next group.
    touched: Vec<TableIndex>,
    /// When parts are counted next; `None` while they are being counted.
    inspect_at: Option<Instant>,
    /// What runs in the background of the targets.
    mutations: BTreeMap<TableIndex, Mutation>,
    /// Tables that are taken for helpers of a schema change: the log has said so.
    helpers: BTreeSet<TableName>,
    stopping: Option<Stopping>,
    progress: Progress,
}

/// A chunk, and the event that comes next.
#[derive(Debug)]
struct Work {
    chunk: Chunk,
    next: usize,
}

#[derive(Debug)]
struct Stopping {
    deadline: Instant,
    cause: Option<Error>,
    /// What is in the ledger from this number on need not be acked: it comes again.
    pin: Option<u64>,
}

impl Router {
    /// A router that goes on from `beginning`.
    pub fn new(settings: Settings, budget: Arc<Budget>, status: Arc<Status>, beginning: Beginning) -> Self {
        let Beginning { claim, tables, copies, resyncs, wanted } = beginning;
        let now = Instant::now();
        let mut router = Self {
            stream: Stream::new(claim.timeline, claim.position.clone()),
            tables: Tables::counting(status.counts()),
            batcher: Batcher::new(settings.pace.clone(), now),
            ledger: Ledger::default(),
            saver: Saver::new(settings.save_pace, claim, now),
            pool: ChunkPool::default(),
            work: None,
            unzip: Unzip::default(),
            copies,
            resyncs: BTreeMap::new(),
            barriers: BTreeMap::new(),
            orders: Vec::new(),
            touched: Vec::new(),
            inspect_at: Some(now + INSPECT_INTERVAL),
            mutations: BTreeMap::new(),
            helpers: BTreeSet::new(),
            stopping: None,
            progress: Progress::new(now),
            settings,
            budget,
            status,
        };
        for table in tables {
            router.add_table(table);
        }
        resyncs.into_iter().for_each(|begun| router.go_on_with(begun));
        wanted.into_iter().for_each(|table| router.begin_resync(table, now));
        router
    }

    /// Runs until it is told to stop, the reader is gone, or an error stops it.
    ///
    /// # Errors
    /// What stopped it; the state is flushed and saved before, as far as `shutdown_timeout` allows.
    pub fn run(mut self, wiring: &Wiring) -> Result<()> {
        let (nobody, _held) = bounded(0);
        let (nothing, no_copies) = (never(), never());
        loop {
            let now = Instant::now();
            self.turn(now);
            // A stage that is gone has ended with the process.
            self.orders.drain(..).for_each(|order| drop(wiring.orders.send(order)));
            if let Some(result) = self.finished(now) {
                return result;
            }
            let jobs = if self.has_job(now) { &wiring.jobs } else { &nobody };
            let inbox = if self.takes_input() { &wiring.inbox } else { &nothing };
            let copies = if self.stopping.is_none() { &wiring.copies } else { &no_copies };
            let works_on = self.works_on();
            let wait = if works_on { Duration::ZERO } else { self.next_instant(now).saturating_duration_since(now) };
            select_biased! {
                recv(wiring.acks) -> ack => match ack {
                    Ok(ack) => self.acked(ack, Instant::now()),
                    Err(_) => return Err(Error::new(ErrorKind::TargetBusy, "all writers have ended")),
                },
                recv(wiring.commands) -> command => self.obey(command.unwrap_or(Command::Stop), now),
                send(jobs, self.next_job(Instant::now())) -> sent => if sent.is_err() {
                    return Err(Error::new(ErrorKind::TargetBusy, "all writers have ended"));
                },
                recv(inbox) -> message => match message {
                    Ok(FromReader::Chunk(chunk)) => self.work(Work { chunk, next: 0 }, wiring),
                    Ok(FromReader::Reconnecting(outage, reply)) => {
                        self.progress.source_lost(&outage);
                        // A reader that no longer listens ends by itself.
                        let _ = reply.send(self.stream.reconnecting());
                    }
                    Ok(FromReader::Ended(error)) => self.stop(Some(error), now),
                    Err(_) => self.stop(None, now),
                },
                recv(copies) -> message => match message {
                    Ok(message) => self.take_copied(message, now),
                    Err(_) => return Err(Error::new(ErrorKind::TableShape, "the snapshot stage has ended")),
                },
                default(wait) => if let Some(work) = self.work.take_if(|_| works_on) {
                    self.work(work, wiring);
                },
            }
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Stop => self.stop(None, now),
            Command::Fail(error) => self.stop(Some(error), now),
            // Whoever asked may have given up.
            Command::Where(reply) => drop(reply.send(self.whereabouts())),
            Command::Copy { table, only_new, reply } => {
                let done = self.copy_by_command(&table, only_new, now);
                // Whoever asked may look at once.
                self.draw(now);
                drop(reply.send(done));
            }
        }
    }

    fn add_table(&mut self, table: Table) -> TableIndex {
        self.batcher.add_table();
        self.tables.add(table)
    }

    /// What time alone brings about.
    fn turn(&mut self, now: Instant) {
        self.batcher.tick(now);
        self.end_done_copies(now);
        self.advance_resyncs(now);
        self.advance_barriers(now);
        if self.stopping.is_some() {
            // The last checkpoint is the one after the last ack.
            self.saver.want();
        }
        if self.budget.reader_waits() || self.budget.is_spent() {
            self.pool.trim();
            self.charge();
        }
        if self.progress.is_draw_due(now) {
            self.draw(now);
        }
        if self.progress.is_summary_due(now) {
            self.summarize(now);
            self.pool.trim();
            self.charge();
        }
    }

    /// What the router holds now is charged to the budget.
    fn charge(&self) {
        self.budget.set_bodies(self.pool.held_bytes() + self.unzip.held_bytes(), self.stream.held_bytes(None));
    }

    fn next_instant(&self, now: Instant) -> Instant {
        let low_water = self.ledger.low_water(self.stream.resume());
        let instants = [self.batcher.next_instant(), self.saver.next_instant(low_water), Some(self.progress.draw_at())];
        // What is due already waits for a writer: an ack will wake us, not the clock.
        instants.into_iter().flatten().filter(|&instant| instant > now).min().unwrap_or(now)
    }

    /// While the budget is spent, bodies go out first. Without any, an event larger than the budget has come alone.
    fn takes_input(&self) -> bool {
        self.work.is_none() && self.stopping.is_none() && !(self.budget.is_spent() && self.pool.held_bytes() > 0)
    }

    /// Whether the chunk in hand is gone on with. Its own bytes may have spent the budget: then a few bodies at a time.
    fn works_on(&self) -> bool {
        let few = self.budget.limit_bytes() / FEW_BODIES;
        self.work.is_some() && self.stopping.is_none() && !(self.budget.is_spent() && self.pool.held_bytes() > few)
    }

    fn has_job(&self, now: Instant) -> bool {
        self.saver.is_due(self.ledger.low_water(self.stream.resume()), now)
            || self.inspect_at.is_some_and(|instant| instant <= now)
            || self.batcher.has_ready(now)
    }

    /// The most urgent job. It is built when a writer has come for it, so it must cost nothing.
    fn next_job(&mut self, now: Instant) -> Job {
        let low_water = self.ledger.low_water(self.stream.resume());
        if self.saver.is_due(low_water, now) {
            return Job::Save(self.saver.take(low_water, self.stream.timeline()));
        }
        let inspect_is_due = self.inspect_at.is_some_and(|instant| instant <= now);
        if !inspect_is_due && let Some(mut batch) = self.batcher.take(now) {
            batch.leaves_out = self.tables.list()[batch.table].state == State::Drifted;
            let table = self.target_name(batch.table).cloned().unwrap_or_default();
            return Job::Insert(table, batch);
        }
        self.inspect_at = None;
        Job::Inspect
    }

    // --- events ---

    /// Goes through the chunk's events: to its end, or until a slice of compressed transactions has been decoded. Then
    /// acks, commands and writers come first, and what bodies hold is looked at, before the next slice (I7).
    fn work(&mut self, mut work: Work, wiring: &Wiring) {
        let now = Instant::now();
        self.unzip.begin_slice();
        while let Some(&span) = work.chunk.events.get(work.next) {
            let bytes = &work.chunk.bytes[span.start..span.start + span.len];
            match self.event(bytes, span, now) {
                Ok(()) if self.unzip.is_open() => {
                    self.work = Some(work);
                    self.charge();
                    return;
                }
                Ok(()) => work.next += 1,
                Err(error) => {
                    self.stop(Some(error.at_position(self.stream.file(), span.offset)), now);
                    break;
                }
            }
        }
        self.done(work.chunk, wiring);
    }

    fn done(&mut self, chunk: Chunk, wiring: &Wiring) {
        self.progress.chunk(&chunk);
        self.charge();
        self.budget.release_chunk(chunk.charged_bytes);
        if chunk.charged_bytes == CHUNK_BYTES {
            // A full or closed channel: the buffer is freed, as is a larger one.
            let _ = wiring.used_buffers.try_send(chunk.bytes);
        }
    }

    fn event(&mut self, bytes: &[u8], span: EventSpan, now: Instant) -> Result<()> {
        if self.unzip.is_open() {
            return self.payload(bytes, span, now);
        }
        let transactions = self.stream.transactions;
        let step = self.stream.advance(bytes, span)?;
        if let Step::Payload(payload) = &step {
            self.unzip.open(payload)?;
            return self.payload(bytes, span, now);
        }
        self.carry_out(step, transactions, span, Stride::Bytes, now)
    }

    /// Does what an event asks for; `transactions` is how many had ended before it.
    fn carry_out(
        &mut self,
        step: Step<'_>,
        transactions: u64,
        span: EventSpan,
        stride: Stride,
        now: Instant,
    ) -> Result<()> {
        match step {
            // Only payloads within payloads come here, and those are refused before.
            Step::Nothing | Step::Payload(_) => {}
            Step::ForgetMaps => self.tables.forget_maps(),
            Step::Map(event) => self.map(&event, span, now)?,
            Step::Rows(event) => self.rows(&event, span, stride, now)?,
            Step::Statement(query, start) => self.statement(&query, &start, span, now)?,
            Step::RolledBack(why) => self.rolled_back(why, span, now),
            Step::XaCommitted(transaction, start) => self.xa_committed(transaction, &start, span, now)?,
            Step::UnknownXaCommit(xid) => self.unknown_xa_commit(&xid, self.version_of(span), now),
        }
        if self.stream.transactions != transactions {
            self.touched.clear();
            self.advance_resyncs(now);
        }
        Ok(())
    }

    fn map(&mut self, event: &Event<'_>, span: EventSpan, now: Instant) -> Result<()> {
        let (at, in_xa, barriers) = (self.version_of(span), self.stream.in_xa(), &self.barriers);
        match self.tables.map(event, at, in_xa, |table| barrier::last_known(barriers, table))? {
            Mapped::Settled => {}
            Mapped::Refused(tables) => {
                for (table, error) in tables {
                    self.copy_anew(table, error, span, now);
                }
            }
            Mapped::Unknown(name) => {
                if let Some(table) = self.known_or_chosen(&name) {
                    self.copy_anew(table, shape_error("it appeared after the start"), span, now);
                }
            }
        }
        Ok(())
    }

    /// The version of an event; the highest where there is none.
    fn version_of(&self, span: EventSpan) -> Version {
        Timeline::check_offset(span.offset).map_or(Version(u64::MAX), |()| self.stream.version(span.offset))
    }

    fn rows(&mut self, event: &RowsEvent<'_>, span: EventSpan, stride: Stride, now: Instant) -> Result<()> {
        if event.is_dummy() {
            return Ok(());
        }
        let destinations = Arc::clone(self.tables.destinations(event.table_id)?);
        for (table, plan) in destinations.iter() {
            if self.tables.list()[*table].flows() {
                self.rows_of(event, span, stride, *table, plan, now)?;
            }
        }
        Ok(())
    }

    fn rows_of(
        &mut self,
        event: &RowsEvent<'_>,
        span: EventSpan,
        stride: Stride,
        table: TableIndex,
        plan: &Arc<TablePlan>,
        now: Instant,
    ) -> Result<()> {
        self.saver.count_event();
        let done = if self.stream.in_xa() {
            self.hold(event, span, table, plan)
        } else {
            if let Err(place) = self.touched.binary_search(&table) {
                self.touched.insert(place, table);
            }
            self.append(event, span, stride, table, plan, now)
        };
        match done {
            Err(error) if error.action() == Action::Quarantine => self.quarantine(table, error, span, now),
            Ok(()) if self.stream.in_xa() => self.relieve_held(span, now),
            result => return result,
        }
        Ok(())
    }

    fn append(
        &mut self,
        event: &RowsEvent<'_>,
        span: EventSpan,
        stride: Stride,
        table: TableIndex,
        plan: &TablePlan,
        now: Instant,
    ) -> Result<()> {
        check_columns(event, plan)?;
        Timeline::check_offset(span.offset + span.len as u64)?;
        let first = match stride {
            Stride::Bytes => event.rows_start as u64,
            Stride::Images => self.unzip.next_image(table),
        };
        let version = self.stream.version(span.offset + first);
        let mut rows = RowsCursor::new(event, version, stride);
        let limits = self.batcher.limits();
        while !rows.rest.is_empty() {
            let (ledger, start) = (&mut self.ledger, self.stream.resume());
            let body = self.batcher.body(table, &plan.columns, now, || ledger.enter(start));
            let done = plan.rows.append_rows(&mut rows, body, &mut self.pool, limits);
            done.map_err(|error| {
                self.keep_row(table, (&plan.rows, &plan.columns), (&rows, rows.version), span, error)
            })?;
            self.batcher.close_if_full(table, now);
        }
        match stride {
            Stride::Bytes => Ok(()),
            Stride::Images => self.unzip.count_images(table, first + (rows.version.0 - version.0), span),
        }
    }

    /// Sets a table aside: its rows are dropped, and no longer count. The position may pass them because no checkpoint is
    /// saved before the state that tells of them.
    fn quarantine(&mut self, index: TableIndex, error: Error, span: EventSpan, now: Instant) {
        let error = error.at_table(&self.tables.list()[index].name).at_position(self.stream.file(), span.offset);
        self.set_aside(index, &error, now);
    }

    fn set_aside(&mut self, index: TableIndex, error: &Error, now: Instant) {
        if let Some(table) = self.tables.shadowed_by(index) {
            return self.resync_failed(table, error, now);
        }
        self.forget_barriers(index, now);
        let table = self.tables.get_mut(index);
        if table.state == State::Quarantined {
            return;
        }
        table.state = State::Quarantined;
        table.reason = error.to_string();
        log::warn!("quarantined: {error}");
        self.stream.forget_held(index);
        self.forget_copy(index);
        for batch in self.batcher.discard(index, now) {
            self.settle(batch);
        }
        self.save_state(index);
    }

    fn save_state(&mut self, index: TableIndex) {
        let state = self.state_of(index);
        self.saver.push(Save::TableState(state));
    }

    /// What is to be saved of a table.
    fn state_of(&self, index: TableIndex) -> TableState {
        let table = &self.tables.list()[index];
        let state = table.state.name().to_owned();
        let resync = self.resyncs.get(&index);
        let shadow = resync.and_then(Resync::shadow).and_then(|shadow| self.tables.list()[shadow].known.as_ref());
        let begun = self.begun_barrier(index);
        let schema = SavedSchema {
            known: begun.map(Barrier::known).or(table.known.as_ref()).cloned(),
            pending: begun.map(|barrier| Box::new(barrier.ddl().clone())),
            shadow: shadow.map(|known| known.definition.clone()),
        };
        TableState {
            table: self.saved_name(index).to_string(),
            state,
            reason: table.reason.clone(),
            floor: begun.map_or(table.floor.0, |barrier| barrier.ddl().floor),
            shadow: resync.map(Resync::saved).unwrap_or_default(),
            schema: schema.to_text(),
        }
    }

    /// The batch is done with: its rows are in ClickHouse, or its table was set aside.
    fn settle(&mut self, batch: Batch) {
        match batch.origin {
            Origin::Stream => {
                self.ledger.settle(batch.number);
                self.pool.recycle(batch.body);
            }
            Origin::Copy { charged_bytes, .. } => self.budget.leave_copy(charged_bytes),
        }
    }

    // --- acks ---

    fn acked(&mut self, ack: Ack, now: Instant) {
        match ack {
            Ack::Inserted(batch, took, result) => self.inserted(batch, took, result, now),
            Ack::Saved(save, result) => self.saved(&save, result, now),
            Ack::Inspected { parts, mutations } => {
                self.inspect_at = Some(now + INSPECT_INTERVAL);
                self.saw_mutations(mutations);
                for (name, parts) in parts.unwrap_or_default() {
                    if let Some(index) = self.tables.find_target(&name) {
                        self.batcher.saw_parts(index, parts);
                    }
                }
            }
        }
        self.charge();
    }

    fn inserted(&mut self, batch: Batch, took: Duration, result: Result<()>, now: Instant) {
        let index = batch.table;
        if self.tables.list()[index].state == State::Quarantined {
            return self.inserted_aside(batch);
        }
        match result {
            Ok(()) => {
                self.tables.get_mut(index).count(&batch.body);
                self.progress.inserted(index, &batch.body, took, now);
                self.batcher.succeeded(index, batch.number, took, now);
                match batch.origin {
                    Origin::Stream => self.settle(batch),
                    Origin::Copy { chunk, .. } => self.copied(batch, chunk),
                }
            }
            Err(error) => self.insert_failed(batch, error, now),
        }
    }

    /// An insert of a table that was set aside meanwhile: whatever its result, its rows no longer count.
    fn inserted_aside(&mut self, batch: Batch) {
        self.batcher.forgotten(batch.table, batch.number);
        self.settle(batch);
    }

    fn insert_failed(&mut self, mut batch: Batch, error: Error, now: Instant) {
        let index = batch.table;
        let error = error.at_table(&self.tables.list()[index].name);
        batch.attempts += 1;
        match error.action() {
            Action::Retry if !self.is_last_attempt(batch.attempts) => {
                self.progress.failed(&error);
                let delay = self.delay(batch.attempts, &error);
                self.batcher.failed(batch, error.kind == ErrorKind::TargetCrowded, now + delay, now);
                self.relieve(now);
            }
            Action::Quarantine => {
                let has_drifted = self.tables.list()[index].state == State::Drifted && !self.is_dropped(index);
                let error = self.keep_batch(&batch, error);
                self.set_aside(index, &error, now);
                self.inserted_aside(batch);
                if has_drifted {
                    self.begin_resync(index, now);
                }
            }
            Action::Retry | Action::Stop => {
                self.batcher.failed(batch, false, now + self.settings.retry_max_interval, now);
                self.stop(Some(error), now);
            }
        }
    }

    /// When one table fails for [`FAILING_MAX`] while others succeed, and what waits behind it passes half the budget, apart
    /// from what XA transactions hold of it, it is set aside: one failing table does not hold the others for longer. While
    /// nothing succeeds it is an outage, and nobody is set aside.
    fn relieve(&mut self, now: Instant) {
        let indexes = 0..self.tables.list().len();
        let held: Vec<usize> = indexes.map(|index| self.batcher.retrying_bytes(index)).collect();
        let room_bytes = self.budget.limit_bytes().saturating_sub(self.stream.held_bytes(None));
        if held.iter().sum::<usize>() <= room_bytes / 2 {
            return;
        }
        let Some((index, &bytes)) = held.iter().enumerate().max_by_key(|&(_, &bytes)| bytes) else { return };
        let Some(since) = self.batcher.failing_since(index).filter(|since| now >= *since + FAILING_MAX) else { return };
        if self.progress.others_succeed(index, since) {
            let text =
                format!("its inserts fail while those of other tables succeed, and {bytes} bytes wait behind them");
            let error = Error::new(ErrorKind::TargetRefused, text).at_table(&self.tables.list()[index].name);
            self.set_aside(index, &error, now);
        }
    }

    fn saved(&mut self, save: &Save, result: Result<()>, now: Instant) {
        match result {
            Ok(()) => {
                self.saver.done(save, now);
                self.progress.saved();
                match save {
                    Save::TableState(state) => self.recorded(state),
                    Save::Exchange(exchange) => self.exchanged(exchange, now),
                    Save::Ddl(ddl) => self.carried_out(ddl, now),
                    Save::Checkpoint(_) | Save::DeadLetters(_) | Save::Chunks(_) | Save::Drop(..) => {}
                }
            }
            // Neither the table's fault nor anything that passes: another process does all this.
            Err(error) if error.kind == ErrorKind::SecondCopy => self.stop(Some(error), now),
            Err(error) if self.gives_up(save, &error, now) => self.saver.done(save, now),
            Err(error) => {
                self.progress.failed(&error);
                let delay = self.delay(self.saver.attempts + 1, &error);
                self.saver.failed(now + delay);
                let may_retry = error.kind != ErrorKind::TargetRefused;
                if !may_retry || self.is_last_attempt(self.saver.attempts) {
                    self.stop(Some(error), now);
                }
            }
        }
    }

    /// Whether a save is not worth another attempt, and nothing but a copy is lost.
    fn gives_up(&mut self, save: &Save, error: &Error, now: Instant) -> bool {
        match save {
            Save::Exchange(exchange) => self.exchange_failed(exchange, error, now),
            Save::Ddl(ddl) => {
                self.ddl_failed(ddl, error, now);
                true
            }
            Save::Drop(name, _) if error.kind != ErrorKind::TargetBusy => {
                log::warn!("{name}, a copy that is not needed any more, stays: {error}");
                true
            }
            Save::Checkpoint(_) | Save::TableState(_) | Save::DeadLetters(_) | Save::Chunks(_) | Save::Drop(..) => {
                false
            }
        }
    }

    fn delay(&self, attempts: u32, error: &Error) -> Duration {
        let delay = backoff::delay(attempts, self.settings.retry_max_interval);
        if error.kind == ErrorKind::TargetDenied { delay.max(DENIED_DELAY) } else { delay }
    }

    fn is_last_attempt(&self, attempts: u32) -> bool {
        self.settings.retry_attempts > 0 && attempts >= self.settings.retry_attempts
    }

    // --- the end ---

    /// Flush, save, end. The first cause stays.
    fn stop(&mut self, cause: Option<Error>, now: Instant) {
        let deadline = now + self.settings.shutdown_timeout;
        let stopping = self.stopping.get_or_insert(Stopping { deadline, cause: None, pin: None });
        if stopping.cause.is_none() {
            stopping.cause = cause;
        }
        self.release_resyncs(now);
        for batch in self.batcher.discard_copies(now) {
            self.settle(batch);
        }
        self.batcher.flush(now);
    }

    /// The end, once everything is acked and saved or the time for it is over.
    fn finished(&mut self, now: Instant) -> Option<Result<()>> {
        let stopping = self.stopping.as_ref()?;
        let is_lost = stopping.cause.as_ref().is_some_and(|cause| cause.kind == ErrorKind::SecondCopy);
        let low_water = self.ledger.low_water(self.stream.resume());
        let is_acked = stopping.pin.map_or(self.ledger.is_clear(), |pin| self.ledger.is_clear_below(pin));
        let is_clear = is_acked && self.saver.is_clear(low_water);
        if !is_clear && !is_lost && now < stopping.deadline {
            return None;
        }
        match stopping.cause.clone() {
            Some(cause) => Some(Err(cause)),
            None if is_clear => Some(Ok(())),
            None => Some(Err(self.too_late())),
        }
    }
}

/// Whether an event's images are of the plan's columns.
fn check_columns(event: &RowsEvent<'_>, plan: &TablePlan) -> Result<()> {
    if event.column_count + OWN_COLUMNS != plan.columns.0.len() {
        let text = format!("{} columns in a rows event, other than its TABLE_MAP has", event.column_count);
        return Err(Error::new(ErrorKind::CorruptStream, text));
    }
    if event.rows.is_empty() {
        return Err(shape_error(
            "a row was logged without any of its columns: SET PERSIST binlog_row_image='FULL', and in every session that has \
             another value",
        ));
    }
    Ok(())
}

fn shape_error(text: &str) -> Error {
    Error::new(ErrorKind::TableShape, text)
}
