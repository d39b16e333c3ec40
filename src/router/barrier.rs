//! Barriers: a schema change waits for the rows from before it, the rows from behind it wait for the change (I5).
//!
//! Rows behind a change are made for the target as it will be, so nothing is parked: they stay in bodies that are held
//! until the change is done. Other tables keep flowing. Before a target is touched, what is about to be done is saved
//! together with the floor: every row of the table from before is acked then, so a restart passes over them, carries the
//! change out again, which is harmless, and goes on behind it. A change that is not carried out counts in the ledger like a
//! batch, so no checkpoint passes it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Router;
use super::tables::{DROPPED, GONE, State};
use crate::backoff;
use crate::checkpoint::TableState;
use crate::error::{Action, Error, ErrorKind};
use crate::message::{Save, TableIndex};
use crate::position::{Position, Version};
use crate::schema::catalog::Known;
use crate::schema::target::{Ddl, DdlAction};
use crate::schema::types::TableName;

/// Each table's changes that are not carried out yet, in order.
pub type Barriers = BTreeMap<TableIndex, VecDeque<Barrier>>;

/// A change that is not carried out yet.
#[derive(Debug)]
pub struct Barrier {
    /// Its place among the batches, in the ledger.
    number: u64,
    ddl: Arc<Ddl>,
    /// The table from then on.
    known: Known,
    /// What the table was called in the source before, if this changes its name.
    renamed_from: Option<TableName>,
    is_out: bool,
    /// After a failure that may pass.
    not_before: Option<Instant>,
    attempts: u32,
    /// What failed last.
    failure: String,
    since: Instant,
    /// Whether the log says how long it takes.
    is_told: bool,
}

impl Barrier {
    /// The change.
    pub fn ddl(&self) -> &Ddl {
        &self.ddl
    }

    /// The table behind it.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Its place among the changes of all tables.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn has_begun(&self) -> bool {
        self.is_out || self.attempts > 0
    }
}

impl Router {
    /// `ddl` is carried out once every row of the table from before `now` is in its target. `start` lies below it.
    pub(super) fn begin_barrier(
        &mut self,
        table: TableIndex,
        ddl: Ddl,
        known: Known,
        renamed_from: Option<TableName>,
        start: &Arc<Position>,
        now: Instant,
    ) {
        self.batcher.close(table, now);
        let number = self.ledger.enter(start);
        let barrier = Barrier {
            number,
            ddl: Arc::new(ddl),
            known,
            renamed_from,
            is_out: false,
            not_before: None,
            attempts: 0,
            failure: String::new(),
            since: now,
            is_told: false,
        };
        self.barriers.entry(table).or_default().push_back(barrier);
        self.advance_barrier(table, now);
    }

    /// The table's definition behind all its changes.
    pub(super) fn known(&self, table: TableIndex) -> Option<&Known> {
        last_known(&self.barriers, table).or(self.tables.list()[table].known.as_ref())
    }

    /// The table's definition has changed, its target has not. Rows from before that come again, after a restart, must say
    /// themselves what they are.
    pub(super) fn redefine(&mut self, table: TableIndex, known: Known) {
        if let Some(last) = self.barriers.get_mut(&table).and_then(VecDeque::back_mut) {
            last.known = known;
            return;
        }
        self.tables.get_mut(table).known = Some(known);
        self.save_state(table);
    }

    /// The table's definition is not known from here on; false while changes of it are under way.
    pub(super) fn undefine(&mut self, table: TableIndex) -> bool {
        let is_quiet = !self.barriers.contains_key(&table);
        if is_quiet && self.tables.get_mut(table).known.take().is_some() {
            self.save_state(table);
        }
        is_quiet
    }

    /// What acks bring about.
    pub(super) fn advance_barriers(&mut self, now: Instant) {
        for table in self.barriers.keys().copied().collect::<Vec<_>>() {
            self.advance_barrier(table, now);
            self.tell_long_barrier(table, now);
        }
    }

    /// One line in the log when a change waits for longer than `pipeline.ddl_flush_timeout`. It goes on waiting.
    fn tell_long_barrier(&mut self, table: TableIndex, now: Instant) {
        let limit = self.settings.ddl_flush_timeout;
        let is_long = |barrier: &Barrier| !barrier.is_told && now.duration_since(barrier.since) >= limit;
        if !self.barriers.get(&table).and_then(VecDeque::front).is_some_and(is_long) {
            return;
        }
        let told = self.barrier_told(table).unwrap_or_default();
        log::warn!("{}: a schema change has waited for {} s: {told}", self.tables.list()[table].name, limit.as_secs());
        if let Some(barrier) = self.barriers.get_mut(&table).and_then(VecDeque::front_mut) {
            barrier.is_told = true;
        }
    }

    /// What the table's next change is, and what it waits for; `None` without one.
    pub(super) fn barrier_told(&self, table: TableIndex) -> Option<String> {
        let barrier = self.barriers.get(&table).and_then(VecDeque::front)?;
        let before = self.batcher.numbers(table).filter(|&number| number < barrier.number).count();
        let waits_for = match () {
            () if before > 0 => format!("waits for {before} inserts of rows from before it"),
            () if !barrier.failure.is_empty() => format!("will be tried again: {}", barrier.failure),
            () if self.is_name_taken(table) => "waits for another table to give up the name".to_owned(),
            () => "is being carried out".to_owned(),
        };
        Some(format!("{} {waits_for}", barrier.ddl.statement))
    }

    pub(super) fn advance_barrier(&mut self, table: TableIndex, now: Instant) {
        let Some(barrier) = self.barriers.get_mut(&table).and_then(VecDeque::front_mut) else { return };
        self.batcher.hold_above(table, Some(barrier.number), now);
        let may_start = !barrier.is_out && barrier.not_before.is_none_or(|instant| instant <= now);
        let number = barrier.number;
        if !may_start || self.batcher.numbers(table).any(|batch| batch < number) || self.is_name_taken(table) {
            return;
        }
        let Some(barrier) = self.barriers.get_mut(&table).and_then(VecDeque::front_mut) else { return };
        barrier.is_out = true;
        let (ddl, renamed_from) = (Arc::clone(&barrier.ddl), barrier.renamed_from.clone());
        self.save_state(table);
        if let Some(old) = renamed_from.filter(|old| self.tables.find(old).is_none()) {
            self.saver.push(Save::TableState(renamed_away(&old)));
        }
        self.saver.push(Save::Ddl(ddl));
    }

    /// Whether an earlier change of another table is still to give up the name that this one takes.
    fn is_name_taken(&self, table: TableIndex) -> bool {
        let taker = self.barriers.get(&table).and_then(VecDeque::front);
        taker.is_some_and(|taker| self.is_to_be_left(&taker.ddl.table.name, table, taker.number))
    }

    /// Whether a change of another table than this one, from before `number`, is still to take a target away from its name.
    pub(super) fn is_to_be_left(&self, target: &TableName, table: TableIndex, number: u64) -> bool {
        let gives_up = |barrier: &Barrier| {
            let is_leaving = matches!(barrier.ddl.action, DdlAction::Rename { .. } | DdlAction::Drop { .. });
            is_leaving && barrier.number < number && *barrier.ddl.subject() == *target
        };
        self.barriers.iter().filter(|&(&other, _)| other != table).any(|(_, queue)| queue.iter().any(gives_up))
    }

    /// The table's next change, if it may be done already: it is saved with the table's state.
    pub(super) fn begun_barrier(&self, table: TableIndex) -> Option<&Barrier> {
        self.barriers.get(&table).and_then(VecDeque::front).filter(|barrier| barrier.has_begun())
    }

    /// The name that a table's state is saved under: what it was called before renames that have not begun.
    pub(super) fn saved_name(&self, table: TableIndex) -> &TableName {
        let mut queue = self.barriers.get(&table).into_iter().flatten().filter(|barrier| !barrier.has_begun());
        let before = queue.find_map(|barrier| barrier.renamed_from.as_ref());
        before.unwrap_or(&self.tables.list()[table].name)
    }

    /// The name of its target now, before what is not carried out.
    pub(super) fn target_name(&self, table: TableIndex) -> Option<&TableName> {
        let mut queue = self.barriers.get(&table).into_iter().flatten();
        let before = queue.find(|barrier| barrier.renamed_from.is_some()).map(|barrier| barrier.ddl.subject());
        before.or_else(|| self.tables.target_name(table))
    }

    /// A change is carried out.
    pub(super) fn carried_out(&mut self, ddl: &Arc<Ddl>, now: Instant) {
        let Some((table, barrier)) = self.take_barrier(ddl) else { return };
        self.ledger.settle(barrier.number);
        let changed = self.tables.get_mut(table);
        (changed.floor, changed.known) = (Version(ddl.floor), Some(barrier.known));
        log::info!("{}: its schema change is carried out", changed.name);
        // It may have left a mutation.
        self.inspect_at = self.inspect_at.map(|_| now);
        self.batcher.hold_above(table, None, now);
        match ddl.action {
            // What it was dropped for is saved with the next change.
            DdlAction::Drop { .. } if self.barriers.contains_key(&table) => changed.known = None,
            DdlAction::Drop { .. } => {
                changed.known = None;
                (changed.state, changed.reason) = (State::Quarantined, DROPPED.to_owned());
                let state = self.state_of(table);
                self.saver.push(Save::TableState(TableState { state: GONE.to_owned(), ..state }));
                self.tables.forget(table);
            }
            DdlAction::Alter(_) | DdlAction::Truncate | DdlAction::Create(_) | DdlAction::Rename { .. } => {
                self.save_state(table);
            }
        }
        self.advance_barrier(table, now);
    }

    /// Whether the table is there no more behind all its changes.
    pub(super) fn is_dropped(&self, table: TableIndex) -> bool {
        let last = self.barriers.get(&table).and_then(VecDeque::back);
        last.is_some_and(|barrier| matches!(barrier.ddl.action, DdlAction::Drop { .. }))
    }

    /// A change could not be carried out: later, if what is in its way may pass, unless what waits behind it takes half of
    /// the budget; else as `ddl.on_failure` says.
    pub(super) fn ddl_failed(&mut self, ddl: &Arc<Ddl>, error: &Error, now: Instant) {
        let Some(table) = self.barrier_of(ddl) else { return };
        let error = error.clone().at_table(&self.tables.list()[table].name);
        let is_heavy = self.batcher.held_bytes(table) > self.budget.limit_bytes() / 2;
        if error.action() == Action::Retry && error.kind != ErrorKind::TargetDenied && !is_heavy {
            self.progress.failed(&error);
            let front = self.barriers.get_mut(&table).and_then(VecDeque::front_mut);
            if let Some(barrier) = front {
                barrier.attempts += 1;
                barrier.failure = error.to_string();
                let delay = backoff::delay(barrier.attempts, self.settings.retry_max_interval);
                (barrier.is_out, barrier.not_before) = (false, Some(now + delay));
            }
            return;
        }
        self.refused(table, ddl, error, is_heavy, now);
    }

    fn barrier_of(&self, ddl: &Arc<Ddl>) -> Option<TableIndex> {
        let is_it = |queue: &VecDeque<Barrier>| queue.front().is_some_and(|barrier| Arc::ptr_eq(&barrier.ddl, ddl));
        self.barriers.iter().find(|(_, queue)| is_it(queue)).map(|(&table, _)| table)
    }

    /// The ledger's number of the table's next change.
    pub(super) fn barrier_number(&self, table: TableIndex) -> Option<u64> {
        self.barriers.get(&table).and_then(VecDeque::front).map(|barrier| barrier.number)
    }

    /// A change will not be carried out, and the table goes on as if it had been; its definition from then on.
    pub(super) fn give_up_barrier(&mut self, ddl: &Arc<Ddl>, now: Instant) -> Option<Known> {
        let (table, barrier) = self.take_barrier(ddl)?;
        self.ledger.settle(barrier.number);
        self.batcher.hold_above(table, None, now);
        Some(barrier.known)
    }

    fn take_barrier(&mut self, ddl: &Arc<Ddl>) -> Option<(TableIndex, Barrier)> {
        let table = self.barrier_of(ddl)?;
        let barrier = self.barriers.get_mut(&table).and_then(VecDeque::pop_front)?;
        self.barriers.retain(|_, queue| !queue.is_empty());
        Some((table, barrier))
    }

    /// The table is set aside: its changes are no longer made. Its target still follows its names, each in its turn, and
    /// goes with it, or it would stay under a name that is nobody's.
    pub(super) fn forget_barriers(&mut self, table: TableIndex, now: Instant) {
        let Some(queue) = self.barriers.remove(&table) else { return };
        let last = queue.back().map(|barrier| barrier.number);
        let (kept, forgotten): (VecDeque<_>, VecDeque<_>) =
            queue.into_iter().partition(|barrier| match barrier.ddl.action {
                DdlAction::Rename { .. } => true,
                DdlAction::Drop { .. } => last == Some(barrier.number),
                DdlAction::Alter(_) | DdlAction::Truncate | DdlAction::Create(_) => false,
            });
        forgotten.iter().for_each(|barrier| self.ledger.settle(barrier.number));
        self.batcher.hold_above(table, None, now);
        if !kept.is_empty() {
            self.barriers.insert(table, kept);
        }
    }
}

/// The definition of a table that waits for changes, as it is behind them.
pub(super) fn last_known(barriers: &Barriers, table: TableIndex) -> Option<&Known> {
    barriers.get(&table).and_then(VecDeque::back).map(|barrier| &barrier.known)
}

/// The state of a name that no table has any more.
fn renamed_away(name: &TableName) -> TableState {
    let (state, reason) = (GONE.to_owned(), "it was renamed in the source".to_owned());
    TableState { table: name.to_string(), state, reason, ..TableState::default() }
}
