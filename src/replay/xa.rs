//! XA transactions of the replayed files: rows are held until the outcome, as the stream does it.

use std::collections::HashMap;

use crate::binlog::rows::RowsEvent;
use crate::error::Result;
use crate::position::Version;
use crate::rowbinary::{Body, ChunkPool};
use crate::transcode::{Limits, RowPlan, RowsCursor, Stride};

/// The open XA transaction, and those that are prepared.
#[derive(Debug, Default)]
pub struct Xa {
    open: Option<(String, Held)>,
    undecided: HashMap<String, Held>,
}

/// Rows by the index of their table; their versions mean nothing yet.
#[derive(Debug, Default)]
pub struct Held {
    /// One body for each table.
    pub bodies: HashMap<usize, Body>,
    pool: ChunkPool,
}

impl Held {
    /// Writes the rows of an event.
    ///
    /// # Errors
    /// When a row cannot be carried over.
    pub fn hold(&mut self, table: usize, plan: &RowPlan, event: &RowsEvent<'_>) -> Result<()> {
        let body = self.bodies.entry(table).or_default();
        let mut rows = RowsCursor::new(event, Version::default(), Stride::Bytes);
        plan.append_rows(&mut rows, body, &mut self.pool, Limits::NONE)
    }
}

impl Xa {
    /// XA START.
    pub fn start(&mut self, xid: String) {
        self.open = Some((xid, Held::default()));
    }

    /// The open one has no end: it did not happen.
    pub fn abandon(&mut self) {
        self.open = None;
    }

    /// Where rows go while an XA transaction is open.
    pub fn open(&mut self) -> Option<&mut Held> {
        self.open.as_mut().map(|(_, held)| held)
    }

    /// XA_PREPARE: the rows, if they are committed with it.
    pub fn prepare(&mut self, one_phase: bool) -> Option<Held> {
        let (xid, held) = self.open.take()?;
        if one_phase {
            return Some(held);
        }
        self.undecided.insert(xid, held);
        None
    }

    /// XA COMMIT or XA ROLLBACK: the rows, unless they were prepared before the first file.
    pub fn decide(&mut self, xid: &str) -> Option<Held> {
        self.undecided.remove(xid)
    }

    /// Transactions without an outcome in the files.
    pub fn undecided(&self) -> usize {
        self.undecided.len()
    }
}
