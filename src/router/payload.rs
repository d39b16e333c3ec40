//! Compressed transactions (TRANSACTION_PAYLOAD): one event of the stream, the events inside it slice by slice.
//!
//! A small event may hold gigabytes. So the chunk that it came in stays in hand, and after each slice of decoded bytes
//! the router goes round: it takes acks, hands out jobs and looks at the budget (I7). The inner events go through the
//! same steps as outer ones; the group ends at the payload's end, so nothing can resume inside.
//!
//! The images have no place in the file. An image's version is the payload's offset plus its number among the images of
//! **its table** in the payload, from 1: a pure function of the position (I2). Numbers over all tables would not be:
//! tables that are not replicated cannot be counted, and the choice of tables may differ at a replay. The numbers must
//! stay below the payload's length, or they would reach into versions of the next event; a table that has more images
//! than that is set aside before any of those leaves the router.

use std::time::Instant;

use rustc_hash::FxHashMap;

use super::{Router, shape_error};
use crate::binlog::payload::{PayloadReader, TransactionPayload};
use crate::error::Result;
use crate::message::{EventSpan, TableIndex};
use crate::transcode::Stride;

/// Decoded bytes after which the router goes round; as much as a chunk of events that are not compressed.
const SLICE_BYTES: usize = 256 << 10;

/// The payload in hand, if any.
#[derive(Debug, Default)]
pub struct Unzip {
    reader: PayloadReader,
    /// Images so far, for each table in the payload.
    images: FxHashMap<TableIndex, u64>,
    slice_bytes: usize,
}

impl Unzip {
    /// Begins with a payload.
    pub fn open(&mut self, payload: &TransactionPayload) -> Result<()> {
        self.images.clear();
        self.reader.open(payload)
    }

    /// Whether a payload is not done yet.
    pub fn is_open(&self) -> bool {
        self.reader.is_open()
    }

    /// The router has gone round.
    pub fn begin_slice(&mut self) {
        self.slice_bytes = 0;
    }

    /// What a large event in the payload holds beyond the buffer that is always kept. That one is not charged: an event
    /// larger than the budget waits until nothing else is.
    pub fn held_bytes(&self) -> usize {
        self.reader.held_bytes()
    }

    /// The number of the table's next image.
    pub fn next_image(&self, table: TableIndex) -> u64 {
        self.images.get(&table).map_or(1, |count| count + 1)
    }

    /// The table's next image would now have the number `next`.
    ///
    /// # Errors
    /// When the numbers of the payload have run out.
    pub fn count_images(&mut self, table: TableIndex, next: u64, payload: EventSpan) -> Result<()> {
        if next > payload.len as u64 {
            return Err(shape_error(
                "a compressed transaction holds more row images of it than it has bytes, so that they cannot all have \
                 their place in the order of versions: SET SESSION binlog_transaction_compression=OFF for bulk changes \
                 that repeat themselves",
            ));
        }
        self.images.insert(table, next - 1);
        Ok(())
    }
}

impl Router {
    /// Goes on with the payload in hand, the event in `bytes`: to its end, or for a slice.
    pub(super) fn payload(&mut self, bytes: &[u8], span: EventSpan, now: Instant) -> Result<()> {
        // Taken out, for the events borrow from it.
        let mut reader = std::mem::take(&mut self.unzip.reader);
        let result = self.slice(&mut reader, bytes, span, now);
        self.unzip.reader = reader;
        result
    }

    fn slice(&mut self, reader: &mut PayloadReader, bytes: &[u8], span: EventSpan, now: Instant) -> Result<()> {
        while self.unzip.slice_bytes < SLICE_BYTES {
            let Some(event) = reader.next(bytes)? else { return Ok(()) };
            self.unzip.slice_bytes += event.header.size();
            let transactions = self.stream.transactions;
            let step = self.stream.advance_inside(&event, span)?;
            self.carry_out(step, transactions, span, Stride::Images, now)?;
        }
        Ok(())
    }
}
