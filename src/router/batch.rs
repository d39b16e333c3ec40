//! Bodies that grow until a writer asks, and the order in which tables get a writer (DESIGN 5).
//!
//! Each table is idle, due at some instant, or ready. [`Batcher::reschedule`] derives which from the table's own state,
//! and is called whenever that state changes, never per row. Ready tables are served by their oldest row: batch numbers
//! rise with the arrival of first rows, so the lowest number is the oldest and no table starves. Nothing here waits,
//! sends or knows ClickHouse; time comes in as an argument.
//!
//! Order does not matter for the result: versions decide (I2). So a hot table may have several inserts in flight, and a
//! failed batch may land after newer ones.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::{Batch, Origin, TableIndex};
use crate::rowbinary::Body;
use crate::schema::target::InsertColumns;
use crate::transcode::Limits;

/// An insert that takes longer than this slows its table down.
const SLOW_INSERT: Duration = Duration::from_secs(1);
const GAP_MAX: Duration = Duration::from_secs(5);
/// Active parts above which a table's gap doubles, and below which it halves.
const PARTS_HIGH: u64 = 300;
const PARTS_LOW: u64 = 100;

/// The pace, from `[pipeline]`.
#[derive(Debug, Clone)]
pub struct Pace {
    /// `batch_size` and `batch_bytes`.
    pub limits: Limits,
    /// `batch_timeout`.
    pub batch_timeout: Duration,
    /// `min_insert_interval`.
    pub gap_min: Duration,
    /// `max_inserts_per_second`, all tables together.
    pub inserts_per_second: u32,
    /// Inserts of one table in flight at most: `worker_count - 1`, so that one table never takes every writer.
    pub in_flight_max: usize,
}

/// The open and closed batches of all tables.
#[derive(Debug)]
pub struct Batcher {
    pace: Pace,
    queues: Vec<Queue>,
    /// Tables with rows that may not start yet, by the instant from which they may.
    due: BTreeSet<(Instant, TableIndex)>,
    /// Tables that may start now, by the number of their oldest batch.
    ready: BTreeSet<(u64, TableIndex)>,
    bucket: Bucket,
    /// Stopping: gaps no longer count.
    flushing: bool,
}

/// One table's batches.
#[derive(Debug)]
struct Queue {
    open: Option<Open>,
    /// Closed: full, of an older plan, or failed and to be sent again.
    closed: VecDeque<Batch>,
    /// Numbers of the batches that a writer has.
    in_flight: Vec<u64>,
    gap: Duration,
    last_start: Option<Instant>,
    /// Back-off after a failure.
    not_before: Option<Instant>,
    /// The first of the attempts that failed, until one succeeds.
    failing_since: Option<Instant>,
    /// Active parts of the target, as counted last.
    parts: Option<u64>,
    /// No insert of a batch with a higher number starts: the target is about to be changed or exchanged.
    held_above: Option<u64>,
    slot: Slot,
}

#[derive(Debug)]
struct Open {
    batch: Batch,
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Idle,
    Due(Instant),
    Ready(u64),
}

impl Batcher {
    /// No tables yet.
    pub fn new(pace: Pace, now: Instant) -> Self {
        let bucket = Bucket::new(pace.inserts_per_second, now);
        Self { pace, queues: Vec::new(), due: BTreeSet::new(), ready: BTreeSet::new(), bucket, flushing: false }
    }

    /// Room for one more table; tables are numbered from 0.
    pub fn add_table(&mut self) {
        self.queues.push(Queue {
            open: None,
            closed: VecDeque::new(),
            in_flight: Vec::new(),
            gap: self.pace.gap_min,
            last_start: None,
            not_before: None,
            failing_since: None,
            parts: None,
            held_above: None,
            slot: Slot::Idle,
        });
    }

    /// Size limits of one batch.
    pub fn limits(&self) -> Limits {
        self.pace.limits
    }

    /// The table's open body for rows with these `columns`. Opens one if needed, with the number that `enter` gives; an open
    /// body of others is closed first.
    pub fn body(
        &mut self,
        table: TableIndex,
        columns: &Arc<InsertColumns>,
        now: Instant,
        enter: impl FnOnce() -> u64,
    ) -> &mut Body {
        let queue = &mut self.queues[table];
        if queue.open.as_ref().is_some_and(|open| open.batch.columns != *columns) {
            queue.close();
        }
        if queue.open.is_none() {
            let batch = Batch {
                table,
                number: enter(),
                columns: Arc::clone(columns),
                body: Body::default(),
                attempts: 0,
                origin: Origin::Stream,
                leaves_out: false,
            };
            queue.open = Some(Open { batch, since: now });
            self.reschedule(table, now);
        }
        match &mut self.queues[table].open {
            Some(open) => &mut open.batch.body,
            None => unreachable!("opened above"),
        }
    }

    /// Closes the table's open body when it has reached a limit: it is queued and the table goes on with a new one.
    pub fn close_if_full(&mut self, table: TableIndex, now: Instant) {
        let limits = self.pace.limits;
        if self.queues[table].open.as_ref().is_some_and(|open| limits.are_reached(&open.batch.body)) {
            self.queues[table].close();
            self.reschedule(table, now);
        }
    }

    /// A batch that was made elsewhere.
    pub fn add(&mut self, batch: Batch, now: Instant) {
        let table = batch.table;
        self.queues[table].closed.push_back(batch);
        self.reschedule(table, now);
    }

    /// Moves the tables that became due to the ready ones. The router calls it before it asks [`Batcher::has_ready`].
    pub fn tick(&mut self, now: Instant) {
        while let Some(&(instant, table)) = self.due.first() {
            if instant > now {
                break;
            }
            self.reschedule(table, now);
        }
    }

    /// Whether an insert may start now.
    pub fn has_ready(&self, now: Instant) -> bool {
        !self.ready.is_empty() && (self.flushing || self.bucket.next_start() <= now)
    }

    /// When [`Batcher::has_ready`] may turn true by time alone.
    pub fn next_instant(&self) -> Option<Instant> {
        let due = self.due.first().map(|&(instant, _)| instant);
        if self.ready.is_empty() { due } else { Some(self.bucket.next_start()) }
    }

    /// Takes the batch that is served next: the one with the oldest rows among the ready tables.
    pub fn take(&mut self, now: Instant) -> Option<Batch> {
        let (_, table) = self.ready.pop_first()?;
        let queue = &mut self.queues[table];
        queue.slot = Slot::Idle;
        let batch = queue.take_oldest()?;
        queue.in_flight.push(batch.number);
        queue.last_start = Some(now);
        self.bucket.spend(now);
        self.reschedule(table, now);
        Some(batch)
    }

    /// The table's insert of this batch succeeded in `took`.
    pub fn succeeded(&mut self, table: TableIndex, number: u64, took: Duration, now: Instant) {
        let queue = &mut self.queues[table];
        queue.landed(number);
        (queue.not_before, queue.failing_since) = (None, None);
        if took > SLOW_INSERT {
            queue.slow_down();
        }
        self.reschedule(table, now);
    }

    /// The table's insert failed and goes again, not before `not_before`; slower from now on when it failed because the
    /// target has too many parts.
    pub fn failed(&mut self, batch: Batch, has_too_many_parts: bool, not_before: Instant, now: Instant) {
        let table = batch.table;
        let queue = &mut self.queues[table];
        queue.landed(batch.number);
        queue.not_before = Some(not_before);
        queue.failing_since = queue.failing_since.or(Some(now));
        if has_too_many_parts {
            queue.slow_down();
        }
        queue.closed.push_front(batch);
        self.reschedule(table, now);
    }

    /// An insert of a table that was set aside came back, whatever its result.
    pub fn forgotten(&mut self, table: TableIndex, number: u64) {
        self.queues[table].landed(number);
    }

    /// The target's active parts, as ClickHouse counts them now.
    pub fn saw_parts(&mut self, table: TableIndex, parts: u64) {
        let gap_min = self.pace.gap_min;
        let queue = &mut self.queues[table];
        queue.parts = Some(parts);
        if parts > PARTS_HIGH {
            queue.slow_down();
        } else if parts < PARTS_LOW {
            queue.gap = (queue.gap / 2).max(gap_min);
        }
    }

    /// The target's active parts, as counted last.
    pub fn parts(&self, table: TableIndex) -> Option<u64> {
        self.queues[table].parts
    }

    /// Takes what the table holds, for a table that is set aside.
    pub fn discard(&mut self, table: TableIndex, now: Instant) -> Vec<Batch> {
        let queue = &mut self.queues[table];
        queue.close();
        let dropped = queue.closed.drain(..).collect();
        self.reschedule(table, now);
        dropped
    }

    /// Takes the batches of copies that no writer has.
    pub fn discard_copies(&mut self, now: Instant) -> Vec<Batch> {
        let mut dropped = Vec::new();
        for table in 0..self.queues.len() {
            let (copies, others) =
                self.queues[table].closed.drain(..).partition::<Vec<_>, _>(|batch| batch.origin != Origin::Stream);
            self.queues[table].closed = others.into();
            dropped.extend(copies);
            self.reschedule(table, now);
        }
        dropped
    }

    /// From now on every row may go at once: the process stops.
    pub fn flush(&mut self, now: Instant) {
        self.flushing = true;
        for table in 0..self.queues.len() {
            self.reschedule(table, now);
        }
    }

    /// Whether no insert of the table may start.
    pub fn hold(&mut self, table: TableIndex, is_held: bool, now: Instant) {
        self.hold_above(table, is_held.then_some(0), now);
    }

    /// The number above which no insert of the table may start; `None`: all may.
    pub fn hold_above(&mut self, table: TableIndex, number: Option<u64>, now: Instant) {
        self.queues[table].held_above = number;
        self.reschedule(table, now);
    }

    /// Closes the table's open body: rows to come belong to another batch.
    pub fn close(&mut self, table: TableIndex, now: Instant) {
        self.queues[table].close();
        self.reschedule(table, now);
    }

    /// Whether a writer has a batch of the table.
    pub fn is_sending(&self, table: TableIndex) -> bool {
        !self.queues[table].in_flight.is_empty()
    }

    /// Since when the table's inserts fail.
    pub fn failing_since(&self, table: TableIndex) -> Option<Instant> {
        self.queues[table].failing_since
    }

    /// Bytes that wait behind a failure of this table.
    pub fn retrying_bytes(&self, table: TableIndex) -> usize {
        let queue = &self.queues[table];
        if queue.failing_since.is_none() {
            return 0;
        }
        queue.waiting_bytes()
    }

    /// Bytes that wait for a writer.
    pub fn held_bytes(&self, table: TableIndex) -> usize {
        self.queues[table].waiting_bytes()
    }

    /// The numbers of the table's batches that are not acked.
    pub fn numbers(&self, table: TableIndex) -> impl Iterator<Item = u64> {
        let queue = &self.queues[table];
        queue.in_flight.iter().copied().chain(queue.waiting())
    }

    fn reschedule(&mut self, table: TableIndex, now: Instant) {
        let next = self.next_slot(&self.queues[table], now);
        let slot = std::mem::replace(&mut self.queues[table].slot, next);
        if slot == next {
            return;
        }
        match slot {
            Slot::Idle => {}
            Slot::Due(instant) => drop(self.due.remove(&(instant, table))),
            Slot::Ready(number) => drop(self.ready.remove(&(number, table))),
        }
        match next {
            Slot::Idle => {}
            Slot::Due(instant) => drop(self.due.insert((instant, table))),
            Slot::Ready(number) => drop(self.ready.insert((number, table))),
        }
    }

    fn next_slot(&self, queue: &Queue, now: Instant) -> Slot {
        match (queue.oldest_waiting(), self.may_start(queue, now)) {
            (Some(number), Some(instant)) if instant <= now => Slot::Ready(number),
            (Some(_), Some(instant)) => Slot::Due(instant),
            (Some(_), None) | (None, _) => Slot::Idle,
        }
    }

    /// From when the table's next insert may start; `None`: only after one of its acks.
    fn may_start(&self, queue: &Queue, now: Instant) -> Option<Instant> {
        if queue.in_flight.len() >= self.pace.in_flight_max {
            return None;
        }
        let after_gap = queue.last_start.map_or(now, |start| start + queue.gap);
        let paced = match &queue.open {
            _ if self.flushing => now,
            // A table that was slowed down keeps its gap whatever waits.
            _ if queue.gap > self.pace.gap_min => after_gap,
            _ if !queue.closed.is_empty() => now,
            Some(open) if !queue.in_flight.is_empty() => open.since + self.pace.batch_timeout,
            Some(_) | None => after_gap,
        };
        Some(queue.not_before.map_or(paced, |not_before| paced.max(not_before)))
    }
}

impl Queue {
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed.push_back(open.batch);
        }
    }

    /// The open batch may be older than a closed one: copied rows never stop coming, and the stream's may not wait for
    /// the copy's end behind them.
    fn take_oldest(&mut self) -> Option<Batch> {
        let oldest = self.oldest_waiting()?;
        match self.open.take_if(|open| open.batch.number == oldest) {
            Some(open) => Some(open.batch),
            None => {
                let index = self.closed.iter().position(|batch| batch.number == oldest)?;
                self.closed.remove(index)
            }
        }
    }

    fn landed(&mut self, number: u64) {
        self.in_flight.retain(|&other| other != number);
    }

    fn waiting_bytes(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |open| open.batch.body.bytes());
        open + self.closed.iter().map(|batch| batch.body.bytes()).sum::<usize>()
    }

    /// The numbers of the batches that no writer has.
    fn waiting(&self) -> impl Iterator<Item = u64> {
        let open = self.open.as_ref().map(|open| open.batch.number);
        self.closed.iter().map(|batch| batch.number).chain(open)
    }

    /// The oldest batch that may start.
    fn oldest_waiting(&self) -> Option<u64> {
        let limit = self.held_above.unwrap_or(u64::MAX);
        self.waiting().filter(|&number| number <= limit).min()
    }

    fn slow_down(&mut self) {
        self.gap = (self.gap * 2).min(GAP_MAX);
    }
}

/// A token bucket that holds one second of inserts.
#[derive(Debug)]
struct Bucket {
    interval: Duration,
    /// When the bucket would be full again.
    full_at: Instant,
}

impl Bucket {
    const DEPTH: Duration = Duration::from_secs(1);

    fn new(per_second: u32, now: Instant) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), full_at: now }
    }

    fn next_start(&self) -> Instant {
        self.full_at.checked_sub(Self::DEPTH).map_or(self.full_at, |instant| instant + self.interval)
    }

    fn spend(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rowbinary::ChunkPool;

    const MS: Duration = Duration::from_millis(1);

    fn columns() -> Arc<InsertColumns> {
        Arc::new(InsertColumns(Vec::new()))
    }

    struct Rig {
        batcher: Batcher,
        pool: ChunkPool,
        columns: Arc<InsertColumns>,
        numbers: u64,
        now: Instant,
    }

    impl Rig {
        fn new(tables: usize) -> Self {
            let limits = Limits { rows: 3, bytes: 1 << 20 };
            let pace =
                Pace { limits, batch_timeout: 200 * MS, gap_min: 20 * MS, inserts_per_second: 100, in_flight_max: 2 };
            let now = Instant::now();
            let mut batcher = Batcher::new(pace, now);
            (0..tables).for_each(|_| batcher.add_table());
            Self { batcher, pool: ChunkPool::default(), columns: columns(), numbers: 0, now }
        }

        fn row(&mut self, table: TableIndex) {
            let numbers = &mut self.numbers;
            let body = self.batcher.body(table, &self.columns, self.now, || {
                *numbers += 1;
                *numbers
            });
            body.append(&mut self.pool, 1, |out| {
                out.push(1);
                Ok::<(), ()>(())
            })
            .unwrap();
            self.batcher.close_if_full(table, self.now);
        }

        fn copied(&mut self, table: TableIndex) {
            self.numbers += 1;
            let (number, columns) = (self.numbers, Arc::clone(&self.columns));
            let origin = Origin::Copy { chunk: 0, charged_bytes: 0 };
            let batch = Batch { table, number, columns, body: Body::default(), attempts: 0, origin, leaves_out: false };
            self.batcher.add(batch, self.now);
        }

        /// (table, rows) of the next insert, if one may start now.
        fn take(&mut self) -> Option<(TableIndex, usize)> {
            self.batcher.tick(self.now);
            if !self.batcher.has_ready(self.now) {
                return None;
            }
            self.batcher.take(self.now).map(|batch| (batch.table, batch.body.rows()))
        }
    }

    #[test]
    fn the_first_row_after_quiet_goes_at_once_and_the_next_after_the_gap() {
        let mut rig = Rig::new(1);
        rig.row(0);
        assert_eq!(rig.take(), Some((0, 1)));
        rig.batcher.succeeded(0, 1, MS, rig.now);
        rig.row(0);
        assert_eq!(rig.take(), None);
        rig.now += 20 * MS;
        assert_eq!(rig.take(), Some((0, 1)));
    }

    #[test]
    fn rows_gather_while_an_insert_is_out_until_full_or_too_old() {
        let mut rig = Rig::new(1);
        rig.row(0);
        assert_eq!(rig.take(), Some((0, 1)));
        rig.row(0);
        rig.now += 100 * MS;
        assert_eq!(rig.take(), None, "one is in flight");
        rig.row(0);
        rig.row(0);
        assert_eq!(rig.take(), Some((0, 3)), "full goes beside it");
        rig.row(0);
        rig.now += 1000 * MS;
        assert_eq!(rig.take(), None, "but one writer is left for the others");
        rig.batcher.succeeded(0, 1, MS, rig.now);
        assert_eq!(rig.take(), Some((0, 1)), "batch_timeout has passed");
    }

    #[test]
    fn the_oldest_row_is_served_first() {
        let mut rig = Rig::new(3);
        for table in [2, 0, 1, 2, 0] {
            rig.row(table);
        }
        assert_eq!([rig.take(), rig.take(), rig.take()], [Some((2, 2)), Some((0, 2)), Some((1, 1))]);
    }

    /// A copy always has bodies in the queue, more than may be in flight.
    #[test]
    fn rows_of_the_stream_do_not_wait_behind_those_of_a_copy() {
        let mut rig = Rig::new(1);
        rig.row(0);
        (0..4).for_each(|_| rig.copied(0));
        let mut taken = Vec::new();
        for _ in 0..20 {
            let batch = rig.batcher.take(rig.now).unwrap();
            rig.now += 100 * MS;
            rig.batcher.succeeded(0, batch.number, MS, rig.now);
            rig.copied(0);
            taken.push(batch.origin);
        }
        assert!(taken.contains(&Origin::Stream), "2 s later the stream's row still waits");
    }

    #[test]
    fn back_off_wins_and_holds_no_other_table() {
        let mut rig = Rig::new(2);
        rig.row(0);
        rig.batcher.tick(rig.now);
        let batch = rig.batcher.take(rig.now).unwrap();
        rig.batcher.failed(batch, false, rig.now + 500 * MS, rig.now);
        (0..3).for_each(|_| rig.row(0));
        rig.row(1);
        assert_eq!(rig.take(), Some((1, 1)));
        assert_eq!((rig.take(), rig.batcher.retrying_bytes(0)), (None, 4));
        rig.now += 500 * MS;
        assert_eq!(rig.take(), Some((0, 1)), "the failed one first");
    }

    #[test]
    fn all_tables_together_keep_the_rate() {
        let mut rig = Rig::new(300);
        (0..300).for_each(|table| rig.row(table));
        let started = std::iter::from_fn(|| rig.take()).count();
        assert!((99..=101).contains(&started), "one second of inserts at once, not {started}");
        rig.now += 100 * MS;
        assert_eq!(std::iter::from_fn(|| rig.take()).count(), 10);
    }

    #[test]
    fn a_table_set_aside_leaves_nothing() {
        let mut rig = Rig::new(1);
        (0..4).for_each(|_| rig.row(0));
        let dropped: Vec<u64> = rig.batcher.discard(0, rig.now).into_iter().map(|batch| batch.number).collect();
        assert_eq!(dropped, [1, 2]);
        assert_eq!((rig.take(), rig.batcher.next_instant()), (None, None));
    }

    #[test]
    fn a_slowed_table_keeps_its_gap_whatever_waits() {
        let mut rig = Rig::new(1);
        rig.row(0);
        rig.batcher.tick(rig.now);
        let batch = rig.batcher.take(rig.now).unwrap();
        rig.batcher.failed(batch, true, rig.now, rig.now);
        (0..6).for_each(|_| rig.row(0));
        assert_eq!(rig.take(), None);
        rig.now += 40 * MS;
        assert_eq!((rig.take(), rig.take()), (Some((0, 1)), None), "20 ms doubled, full batches or not");
    }
}
