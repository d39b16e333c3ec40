//! Replication state in ClickHouse: checkpoints and table states.

use crate::position::{Position, Timeline};

/// Where a pipeline stands: everything below `position` is in ClickHouse (I4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Rises by one with every save, never restarts; newest = highest (timeline, seq), never a clock.
    pub seq: u64,
    /// A transaction end.
    pub position: Position,
    /// The run of comparable positions it lies in.
    pub timeline: Timeline,
}

/// What a restart must know of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// `database.table` of the source.
    pub table: String,
    /// `streaming`, `quarantined`, `unverified`, ..
    pub state: String,
    /// Why, for a person.
    pub reason: String,
}
