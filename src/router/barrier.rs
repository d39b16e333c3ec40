//! Barriers: a schema change waits for the rows from before it, the rows from behind it wait for the change (I5).
//!
//! Rows behind a change are made for the target as it will be, so nothing is parked: they stay in bodies that are held
//! until the change is done. Other tables keep flowing. Before a target is touched, what is about to be done is saved
//! together with the floor: every row of the table from before is acked then, so a restart passes over them, carries the
//! change out again, which is harmless, and goes on behind it. A change that is not carried out counts in the ledger like a
//! batch, so no checkpoint passes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::Router;
use super::tables::State;
use crate::checkpoint::SavedSchema;
use crate::error::{Action, Error, ErrorKind};
use crate::message::{Save, TableIndex};
use crate::position::{Position, Version};
use crate::schema::catalog::Known;
use crate::schema::target::{Ddl, DdlAction};

/// A change that is not carried out yet.
#[derive(Debug)]
pub struct Barrier {
    /// Its place among the batches, in the ledger.
    number: u64,
    ddl: Arc<Ddl>,
    /// The table from then on.
    known: Known,
    is_out: bool,
}

impl Router {
    /// `ddl` is carried out once every row of the table from before `now` is in its target. `start` lies below it.
    pub(super) fn begin_barrier(
        &mut self,
        table: TableIndex,
        ddl: Ddl,
        known: Known,
        start: &Arc<Position>,
        now: Instant,
    ) {
        self.batcher.close(table, now);
        let number = self.ledger.enter(start);
        let barrier = Barrier { number, ddl: Arc::new(ddl), known, is_out: false };
        self.barriers.entry(table).or_default().push_back(barrier);
        self.advance_barrier(table, now);
    }

    /// The table's definition behind all its changes.
    pub(super) fn known(&self, table: TableIndex) -> Option<&Known> {
        let last = self.barriers.get(&table).and_then(VecDeque::back);
        last.map(|barrier| &barrier.known).or(self.tables.list()[table].known.as_ref())
    }

    /// The table's definition has changed, its target has not.
    pub(super) fn redefine(&mut self, table: TableIndex, known: Known) {
        if let Some(last) = self.barriers.get_mut(&table).and_then(VecDeque::back_mut) {
            last.known = known;
            return;
        }
        self.tables.get_mut(table).known = Some(known);
        self.save_state(table);
    }

    /// What acks bring about.
    pub(super) fn advance_barriers(&mut self, now: Instant) {
        for table in self.barriers.keys().copied().collect::<Vec<_>>() {
            self.advance_barrier(table, now);
        }
    }

    fn advance_barrier(&mut self, table: TableIndex, now: Instant) {
        let Some(barrier) = self.barriers.get_mut(&table).and_then(VecDeque::front_mut) else { return };
        self.batcher.hold_above(table, Some(barrier.number), now);
        if barrier.is_out || self.batcher.numbers(table).any(|number| number < barrier.number) {
            return;
        }
        barrier.is_out = true;
        let ddl = Arc::clone(&barrier.ddl);
        let schema = SavedSchema { known: barrier.known.clone(), pending: Some(Box::new(Ddl::clone(&ddl))) };
        let mut state = self.state_of(table);
        (state.floor, state.schema) = (ddl.floor, schema.to_text());
        self.saver.push(Save::TableState(state));
        self.saver.push(Save::Ddl(ddl));
    }

    /// A change is carried out.
    pub(super) fn carried_out(&mut self, ddl: &Arc<Ddl>, now: Instant) {
        let Some((table, barrier)) = self.take_barrier(ddl) else { return };
        self.ledger.settle(barrier.number);
        let changed = self.tables.get_mut(table);
        (changed.floor, changed.known) = (Version(ddl.floor), Some(barrier.known));
        log::info!("{}: its schema change is carried out", changed.name);
        self.batcher.hold_above(table, None, now);
        match ddl.action {
            // What it was dropped for is saved with the next change.
            DdlAction::Drop { .. } if self.barriers.contains_key(&table) => changed.known = None,
            DdlAction::Drop { .. } => {
                changed.known = None;
                (changed.state, changed.reason) = (State::Quarantined, "it was dropped in the source".to_owned());
                self.save_state(table);
                self.tables.forget(table);
            }
            DdlAction::Alter(_) | DdlAction::Truncate | DdlAction::Create(_) => self.save_state(table),
        }
        self.advance_barrier(table, now);
    }

    /// Whether the table is there no more behind all its changes.
    pub(super) fn is_dropped(&self, table: TableIndex) -> bool {
        let last = self.barriers.get(&table).and_then(VecDeque::back);
        last.is_some_and(|barrier| matches!(barrier.ddl.action, DdlAction::Drop { .. }))
    }

    /// Whether this error of a change is final: then what readers see stays as it is, and is replaced by a copy.
    pub(super) fn ddl_failed(&mut self, ddl: &Arc<Ddl>, error: &Error, now: Instant) -> bool {
        if error.action() == Action::Retry && error.kind != ErrorKind::TargetDenied {
            return false;
        }
        if let Some(table) = self.barrier_of(ddl) {
            self.set_aside(table, &error.clone().at_table(&self.tables.list()[table].name), now);
            self.begin_resync(table, now);
        }
        true
    }

    fn barrier_of(&self, ddl: &Arc<Ddl>) -> Option<TableIndex> {
        let is_it = |queue: &VecDeque<Barrier>| queue.front().is_some_and(|barrier| Arc::ptr_eq(&barrier.ddl, ddl));
        self.barriers.iter().find(|(_, queue)| is_it(queue)).map(|(&table, _)| table)
    }

    fn take_barrier(&mut self, ddl: &Arc<Ddl>) -> Option<(TableIndex, Barrier)> {
        let table = self.barrier_of(ddl)?;
        let barrier = self.barriers.get_mut(&table).and_then(VecDeque::pop_front)?;
        self.barriers.retain(|_, queue| !queue.is_empty());
        Some((table, barrier))
    }

    /// The table is set aside: its changes are no longer waited for.
    pub(super) fn forget_barriers(&mut self, table: TableIndex, now: Instant) {
        if let Some(queue) = self.barriers.remove(&table) {
            queue.iter().for_each(|barrier| self.ledger.settle(barrier.number));
            self.batcher.hold_above(table, None, now);
        }
    }
}
