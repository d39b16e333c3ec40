//! XA transactions between their rows and their outcome.
//!
//! Their rows are in the binary log at XA PREPARE, before anybody knows whether they will be; other transactions follow
//! until XA COMMIT or XA ROLLBACK comes as a group of its own. So the rows are written to bodies that are held. At
//! XA COMMIT the last row of each key goes out with the version of that event: it is above everything that other
//! transactions wrote before, which the row locks kept away from these keys anyway, and it is a function of the position
//! (I2). After XA ROLLBACK nothing was ever sent.
//!
//! A restart must see the rows again, so [`Stream::resume`] stays below them: the prepare's GTID is missing from the
//! set, and the server sends that group again; without GTID the position is the end before the oldest undecided prepare.
//!
//! Then the outcome of a transaction may come again whose prepare does not: prepare A, prepare B, commit A, restart before
//! B's prepare. So the position lists A in [`Position::settled_xids`], and the stream from there passes over its XA COMMIT.
//! - The list is whole: a position becomes the one to go on from when what was prepared before it is decided, and by then
//!   each of those that was decided after it, and only those, has been told to it. It does not change any more.
//! - A's rows are in ClickHouse when it is saved (I4): they entered the ledger with the position of that moment, which lies
//!   below A's prepare, and the ledger gives out no higher one before they are acked.
//! - An xid that is used again is prepared again after the outcome that is passed over, which took it off the list. One that
//!   is listed though its prepare comes has its rows taken: the list is asked for unknown ones only.
//! - A restart that is killed before it has come to A's XA COMMIT leaves A listed, as each end on the way is made from the
//!   one before.
//!
//! What is held counts in the budget. When it passes half of it, the table that holds most is set aside.
//!
//! [`Position::settled_xids`]: crate::position::Position::settled_xids
//! [`Stream::resume`]: super::transaction::Stream::resume

use std::sync::Arc;
use std::time::Instant;

use super::tables::TablePlan;
use super::{Router, check_columns, shape_error};
use crate::binlog::rows::RowsEvent;
use crate::error::{Action, Error, ErrorKind, Result};
use crate::gtid::{Gtid, GtidSet};
use crate::message::{EventSpan, TableIndex};
use crate::position::{Position, Timeline, Version};
use crate::retention::Needed;
use crate::rowbinary::{Body, ChunkPool};
use crate::transcode::{Limits, RowsCursor, Stride};

/// The longest xid: two parts of 64 bytes in hexadecimal digits, quotes, and a number.
const XID_BYTES_MAX: usize = 300;
/// More undecided transactions than any server keeps.
const UNDECIDED_MAX: usize = 10_000;
/// Committed transactions that a position may have to list, 300 kB of text. What is beyond is not listed: a restart then
/// takes its XA COMMIT for one of rows never seen, and marks the tables `unverified`.
const SETTLED_MAX: usize = 1000;

/// An XA transaction and the rows of it that are replicated.
#[derive(Debug, Default)]
pub struct XaTransaction {
    xid: String,
    rows: Vec<HeldRows>,
}

/// Rows of one table; their versions mean nothing yet.
#[derive(Debug)]
struct HeldRows {
    table: TableIndex,
    plan: Arc<TablePlan>,
    body: Body,
    /// Its own, so that what is dropped is free.
    pool: ChunkPool,
}

/// Prepared transactions, in the order of their prepares.
#[derive(Debug, Default)]
pub struct Undecided {
    list: Vec<Prepared>,
    held_bytes: usize,
    /// Committed while one was undecided that was prepared between their prepare and their commit.
    settled: Vec<Settled>,
    /// Prepares and commits so far, which numbers them.
    number: u64,
}

#[derive(Debug)]
struct Prepared {
    number: u64,
    transaction: XaTransaction,
    gtid: Option<Gtid>,
    /// The last transaction end before it.
    before: Arc<Position>,
    /// When that was committed.
    since_us: u64,
}

/// A committed transaction, and the numbers of its prepare and its commit.
#[derive(Debug)]
struct Settled {
    xid: String,
    prepared: u64,
    committed: u64,
}

impl XaTransaction {
    /// A transaction without rows.
    ///
    /// # Errors
    /// When no xid is as long.
    pub fn new(xid: String) -> Result<Self> {
        if xid.len() > XID_BYTES_MAX {
            let text = format!("XA START with an xid of more than {XID_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::CorruptStream, text));
        }
        Ok(Self { xid, rows: Vec::new() })
    }

    /// Writes the rows of an event.
    ///
    /// # Errors
    /// When a row cannot be carried over, or the table has another shape than at the transaction's earlier rows.
    fn hold(&mut self, rows: &mut RowsCursor<'_>, table: TableIndex, plan: &Arc<TablePlan>) -> Result<()> {
        let index = self.rows.iter().position(|rows| rows.table == table).unwrap_or(self.rows.len());
        if index == self.rows.len() {
            let (body, pool) = (Body::default(), ChunkPool::default());
            self.rows.push(HeldRows { table, plan: Arc::clone(plan), body, pool });
        }
        let held = &mut self.rows[index];
        if !Arc::ptr_eq(&held.plan, plan) && held.plan != *plan {
            return Err(shape_error("its shape changed within an XA transaction"));
        }
        plan.rows.append_rows(rows, &mut held.body, &mut held.pool, Limits::NONE)
    }

    /// The memory that its rows take; of one table, or of all.
    pub fn held_bytes(&self, table: Option<TableIndex>) -> usize {
        let counts = |rows: &&HeldRows| table.is_none_or(|table| rows.table == table);
        self.rows.iter().filter(counts).map(|rows| rows.pool.held_bytes()).sum()
    }

    /// Drops the rows of a table that is set aside.
    pub fn forget(&mut self, table: TableIndex) {
        self.rows.retain(|rows| rows.table != table);
    }
}

impl Undecided {
    /// Adds a transaction that was prepared after the end `before`. One with the same xid must have had its outcome,
    /// which `sql_log_bin=0` hides: it goes, and the GTID of its prepare is returned.
    ///
    /// # Errors
    /// When they are too many.
    pub fn add(
        &mut self,
        transaction: XaTransaction,
        gtid: Option<Gtid>,
        before: Arc<Position>,
    ) -> Result<Option<Gtid>> {
        if self.list.len() >= UNDECIDED_MAX {
            let text = format!(
                "more than {UNDECIDED_MAX} XA transactions are prepared: see XA RECOVER, and commit or roll back those \
                 that were forgotten"
            );
            return Err(Error::new(ErrorKind::UnsupportedEvent, text));
        }
        let over = self.take(&transaction.xid).and_then(|(_, gtid)| gtid);
        self.held_bytes += transaction.held_bytes(None);
        self.number += 1;
        let since_us = before.last_commit_us;
        self.list.push(Prepared { number: self.number, transaction, gtid, before, since_us });
        Ok(over)
    }

    /// Takes the transaction out, and the GTID of its prepare.
    pub fn take(&mut self, xid: &str) -> Option<(XaTransaction, Option<Gtid>)> {
        let index = self.list.iter().position(|prepared| prepared.transaction.xid == xid)?;
        let prepared = self.list.remove(index);
        self.held_bytes -= prepared.transaction.held_bytes(None);
        self.settled.retain(|settled| settled.spans_any(&self.list));
        if index == 0 {
            self.tell_oldest();
        }
        Some((prepared.transaction, prepared.gtid))
    }

    /// A prepared transaction is committed: before it is taken out.
    pub fn settle(&mut self, xid: &str) {
        let prepared = self.list.iter().find(|prepared| prepared.transaction.xid == xid);
        if let Some(prepared) = prepared.filter(|_| self.settled.len() < SETTLED_MAX) {
            self.number += 1;
            self.settled.push(Settled { xid: xid.to_owned(), prepared: prepared.number, committed: self.number });
        }
    }

    /// The position before the oldest is where a restart goes on from now.
    fn tell_oldest(&mut self) {
        let Some(oldest) = self.list.first_mut() else { return };
        let mut across = self.settled.iter().filter(|settled| settled.spans(oldest.number)).peekable();
        if across.peek().is_some() {
            Arc::make_mut(&mut oldest.before).settled_xids.extend(across.map(|settled| settled.xid.clone()));
        }
    }

    /// Their xids.
    pub fn xids(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|prepared| prepared.transaction.xid.as_str())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The last transaction end before the oldest of them.
    pub fn before_oldest(&self) -> Option<&Arc<Position>> {
        self.list.first().map(|prepared| &prepared.before)
    }

    /// A restart needs the binary log from this place on, where this was the last commit.
    pub fn needed(&self) -> Option<Needed> {
        let Prepared { before, since_us, .. } = self.list.first()?;
        Some(Needed { file: before.file.clone(), offset: before.offset, commit_us: *since_us })
    }

    /// Where the stream stays meanwhile, another transaction was committed at this time: lag counts from there.
    pub fn committed_at(&mut self, commit_us: u64) {
        if let Some(oldest) = self.list.first_mut() {
            Arc::make_mut(&mut oldest.before).last_commit_us = commit_us;
        }
    }

    /// Adds the GTIDs of the prepares.
    pub fn add_gtids(&self, set: &mut GtidSet) {
        self.list.iter().filter_map(|prepared| prepared.gtid.as_ref()).for_each(|gtid| set.add(gtid));
    }

    /// The memory that the rows take; of one table, or of all.
    pub fn held_bytes(&self, table: Option<TableIndex>) -> usize {
        match table {
            Some(_) => self.list.iter().map(|prepared| prepared.transaction.held_bytes(table)).sum(),
            None => self.held_bytes,
        }
    }

    /// Drops the rows of a table that is set aside.
    pub fn forget(&mut self, table: TableIndex) {
        self.list.iter_mut().for_each(|prepared| prepared.transaction.forget(table));
        self.held_bytes = self.list.iter().map(|prepared| prepared.transaction.held_bytes(None)).sum();
    }
}

impl Settled {
    /// Whether the prepare of this number lies between its own prepare and its commit.
    fn spans(&self, number: u64) -> bool {
        self.prepared < number && number < self.committed
    }

    /// Whether one of the list, which is in order, does.
    fn spans_any(&self, list: &[Prepared]) -> bool {
        let next = list.partition_point(|prepared| prepared.number <= self.prepared);
        list.get(next).is_some_and(|prepared| self.spans(prepared.number))
    }
}

impl Router {
    /// Rows of an XA transaction whose outcome is not known.
    pub(super) fn hold(
        &mut self,
        event: &RowsEvent<'_>,
        span: EventSpan,
        table: TableIndex,
        plan: &Arc<TablePlan>,
    ) -> Result<()> {
        check_columns(event, plan)?;
        let mut rows = RowsCursor::new(event, Version::default(), Stride::Bytes);
        let done = self.stream.open_xa().map_or(Ok(()), |transaction| transaction.hold(&mut rows, table, plan));
        done.map_err(|error| {
            let place = Version(self.version_of(span).0.saturating_add(event.rows_start as u64 + rows.version.0));
            self.keep_row(table, (&plan.rows, &plan.columns), (&rows, place), span, error)
        })
    }

    /// While held rows take more than half of the budget, the table that holds most is set aside.
    pub(super) fn relieve_held(&mut self, span: EventSpan, now: Instant) {
        while self.stream.held_bytes(None) > self.budget.limit_bytes() / 2 {
            let tables = 0..self.tables.list().len();
            let Some(table) = tables.max_by_key(|&table| self.stream.held_bytes(Some(table))) else { return };
            let text = format!(
                "its rows in XA transactions that are not decided take {} bytes, and all of them more than half of \
                 pipeline.memory_limit: raise it, or decide what XA RECOVER lists",
                self.stream.held_bytes(Some(table))
            );
            self.quarantine(table, shape_error(&text), span, now);
        }
    }

    /// The outcome: the last row of each key goes out with the version of the event that says so. `start` lies below
    /// the prepare.
    pub(super) fn xa_committed(
        &mut self,
        transaction: XaTransaction,
        start: &Arc<Position>,
        span: EventSpan,
        now: Instant,
    ) -> Result<()> {
        let version = Timeline::check_offset(span.offset).map(|()| self.stream.version(span.offset));
        for rows in transaction.rows {
            let table = &self.tables.list()[rows.table];
            if !table.flows() || version.as_ref().is_ok_and(|&version| version < table.floor) {
                continue;
            }
            if rows.plan.rows.is_log() {
                // All its rows would have one version, and no number that tells them apart.
                self.copy_anew(rows.table, shape_error("an XA transaction changed it, and it has no key"), span, now);
                continue;
            }
            match version.clone().and_then(|version| self.append_held(&rows, version, start, now)) {
                Err(error) if error.action() == Action::Quarantine => self.quarantine(rows.table, error, span, now),
                result => result?,
            }
        }
        Ok(())
    }

    fn append_held(&mut self, rows: &HeldRows, version: Version, start: &Arc<Position>, now: Instant) -> Result<()> {
        let mut last = rows.plan.rows.last_rows(&rows.body)?;
        while !last.is_done() {
            let (ledger, limits) = (&mut self.ledger, self.batcher.limits());
            let body = self.batcher.body(rows.table, &rows.plan.columns, now, || ledger.enter(start));
            last.append(version, body, &mut self.pool, limits);
            self.batcher.close_if_full(rows.table, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_stays_prepared_makes_no_list_without_end() {
        let mut undecided = Undecided::default();
        let add = |undecided: &mut Undecided, xid: usize, offset| {
            let before = Arc::new(Position { offset, ..Position::default() });
            undecided.add(XaTransaction::new(xid.to_string()).unwrap(), None, before).unwrap();
        };
        let count = SETTLED_MAX + 500;
        (0..count).for_each(|xid| add(&mut undecided, xid, 4));
        add(&mut undecided, count, 1000);
        for xid in 1..count {
            undecided.settle(&xid.to_string());
            undecided.take(&xid.to_string()).unwrap();
        }
        assert_eq!(undecided.settled.len(), SETTLED_MAX);
        assert!(undecided.before_oldest().unwrap().settled_xids.is_empty(), "all of them are prepared after it");
        undecided.take("0").unwrap();
        let before = undecided.before_oldest().unwrap();
        assert_eq!((before.offset, before.settled_xids.len()), (1000, SETTLED_MAX));
        undecided.take(&count.to_string()).unwrap();
        assert!(undecided.settled.is_empty());
    }
}
