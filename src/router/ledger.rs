//! Which rows are not in ClickHouse yet, and so how far a checkpoint may go.
//!
//! A batch enters the ledger when its first row is decoded, with the end of the transaction before that row's: every row
//! of the batch lies above it. Numbers are given in that order, so the entry with the lowest number has the lowest
//! position, and all rows below that position are acked. Hence [`Ledger::low_water`] may be saved (I4): with entries it
//! is the first one's position, without any the last transaction end. Saving never waits for anything.
//!
//! A quarantined table's rows count until its state is saved; then the position may pass them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::position::Position;

/// Batches open, queued, in flight or waiting to be sent again.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<u64, Arc<Position>>,
    last_number: u64,
}

impl Ledger {
    /// Enters a batch whose first row's transaction starts at `start`; gives its number.
    pub fn enter(&mut self, start: &Arc<Position>) -> u64 {
        self.last_number += 1;
        self.entries.insert(self.last_number, Arc::clone(start));
        self.last_number
    }

    /// The number of a batch that does not count: its rows come again whatever is saved.
    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The number that was given last.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// The batch's rows are in ClickHouse, or its table's quarantine is saved.
    pub fn settle(&mut self, number: u64) {
        let known = self.entries.remove(&number).is_some();
        debug_assert!(known, "batch {number} settled twice");
    }

    /// The newest transaction end below every row that is not acked; `end` is the router's last transaction end.
    pub fn low_water<'a>(&'a self, end: &'a Arc<Position>) -> &'a Arc<Position> {
        self.entries.first_key_value().map_or(end, |(_, start)| start)
    }

    /// Whether this batch counts and is not acked.
    pub fn holds(&self, number: u64) -> bool {
        self.entries.contains_key(&number)
    }

    /// The number of the oldest batch that is not acked.
    pub fn oldest(&self) -> Option<u64> {
        self.entries.first_key_value().map(|(&number, _)| number)
    }

    /// The position below all rows of this batch.
    pub fn start_of(&self, number: u64) -> Option<&Arc<Position>> {
        self.entries.get(&number)
    }

    /// Whether every row below this entry is acked.
    pub fn is_clear_below(&self, number: u64) -> bool {
        self.oldest().is_none_or(|oldest| oldest >= number)
    }

    /// Whether every row is acked.
    pub fn is_clear(&self) -> bool {
        self.entries.is_empty()
    }

    /// Batches not acked yet.
    pub fn outstanding(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Arc<Position> {
        Arc::new(Position { offset, ..Position::default() })
    }

    #[test]
    fn the_low_water_is_below_everything_not_acked() {
        let mut ledger = Ledger::default();
        let (first, second, third) = (ledger.enter(&at(10)), ledger.enter(&at(10)), ledger.enter(&at(30)));
        let end = at(40);
        ledger.settle(second);
        assert_eq!(ledger.low_water(&end).offset, 10, "acks may come in any order");
        ledger.settle(first);
        assert_eq!(ledger.low_water(&end).offset, 30);
        ledger.settle(third);
        assert_eq!(ledger.low_water(&end).offset, 40);
        assert!(ledger.is_clear());
    }
}
