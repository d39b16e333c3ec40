//! What the stages say to each other, and the one memory budget they share.
//!
//! Only chunks of whole events and whole batches cross threads: a message per event costs as much as decoding it.
//! No stage calls another; they know these types and the channels that the engine gives them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkpoint::dead_letters::DeadLetter;
use crate::checkpoint::{Checkpoint, CopyChunk, TableState};
use crate::error::{Error, Result};
use crate::position::{Position, Timeline, Version};
use crate::rowbinary::Body;
use crate::schema::catalog::{Definition, SourceTable};
use crate::schema::target::{Ddl, Exchange, InsertColumns, Mutation, TargetTable};
use crate::schema::types::TableName;
use crate::transcode::refused::RefusedRow;

/// How soon a wait notices that the process stops.
const STOP_LATENCY: Duration = Duration::from_millis(20);

/// Bytes of the reader's buffers, unless an event needs more; only such a buffer is used again.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Whole binlog events, checksums verified, in one buffer.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The socket's bytes; events lie where the spans say.
    pub bytes: Vec<u8>,
    /// The events in stream order.
    pub events: Vec<EventSpan>,
    /// What the budget was charged for this chunk; given back when the chunk is dropped.
    pub charged_bytes: usize,
}

/// One event in a [`Chunk`]: header, body and checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSpan {
    /// Index of its first byte in the chunk.
    pub start: usize,
    /// Its length in bytes, header and checksum included.
    pub len: usize,
    /// Byte offset of its first byte in the binlog file (64 bits); 0 for artificial events, which lie in no file.
    pub offset: u64,
}

/// What the reader tells the router.
#[derive(Debug)]
pub enum FromReader {
    /// The next events.
    Chunk(Chunk),
    /// The connection was lost, and why: forget the open transaction and say where to go on.
    Reconnecting(Error, Sender<Position>),
    /// The reader's last word: what it could not go on from.
    Ended(Error),
}

/// Index of a table in the router's list; stable while the process runs.
pub type TableIndex = usize;

/// Rows of one table on their way to ClickHouse.
#[derive(Debug)]
pub struct Batch {
    /// The router's table.
    pub table: TableIndex,
    /// Names the batch in the ledger and in `query_id`.
    pub number: u64,
    /// The columns of its rows.
    pub columns: Arc<InsertColumns>,
    /// The rows.
    pub body: Body,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Where its rows are from.
    pub origin: Origin,
    /// Whether its target may lack some of the columns, which are then left out.
    pub leaves_out: bool,
}

/// Where a batch's rows are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The stream: they count in the ledger.
    Stream,
    /// This chunk of the table's copy, which a restart reads again until it is saved as done; and what the budget was
    /// charged for them.
    Copy { chunk: u32, charged_bytes: usize },
}

/// What the snapshot stage tells the router of the table with this index.
#[derive(Debug)]
pub enum FromSnapshot {
    /// Its shadow was made.
    Prepared(TableIndex, Box<NewShadow>),
    /// The shadow of this UUID cannot be made.
    NotPrepared(TableIndex, Uuid, Error),
    /// The next of the chunks that its copy is cut into; the version of its rows, and the GTIDs that its SELECTs have seen,
    /// if there are any.
    Planned { table: TableIndex, version: Version, gtid_set: String, chunk: CopyChunk },
    /// Rows of a chunk; the budget was charged for them.
    Rows { table: TableIndex, chunk: u32, columns: Arc<InsertColumns>, body: Body, charged_bytes: usize },
    /// All rows of this chunk were sent.
    ChunkRead {
        /// The table.
        table: TableIndex,
        /// Number of the chunk.
        chunk: u32,
        /// File and offset up to which the source had written by then.
        read_at: (String, u64),
    },
    /// Its copy is tried again, and why.
    Waiting(TableIndex, Error),
    /// A row of this chunk cannot be carried over, for these columns of the target: its copy is about to fail.
    Refused { table: TableIndex, chunk: u32, columns: Arc<InsertColumns>, row: Box<RefusedRow>, error: Error },
    /// The copy of a table without a key broke off, and why: it must begin anew.
    BrokenOff(TableIndex, Error),
    /// It cannot be copied.
    Failed(TableIndex, Error),
}

/// What the router asks of the snapshot stage.
#[derive(Debug)]
pub enum ToSnapshot {
    /// Make the shadow `id` of a table, in the shape that the source has at this position or later.
    /// `before` is what is known of it until then.
    Prepare { table: TableIndex, name: TableName, id: Uuid, position: Position, before: Option<Box<Definition>> },
    /// Copy a table.
    Copy(Box<CopyOrder>),
}

/// A shadow: an empty table beside the target of a table that is to be copied anew.
#[derive(Debug)]
pub struct NewShadow {
    /// Its UUID.
    pub id: Uuid,
    /// The table's definition in the source, as it was when it was read: the stream may be far from there.
    pub definition: Definition,
    /// A place of the binary log, its file and offset: what changed the definition before it was read lies below.
    pub read_at: (String, u64),
    /// What of it concerns rows.
    pub source: SourceTable,
    /// The name that it takes in the end.
    pub name: TableName,
    /// The shadow.
    pub target: TargetTable,
    /// Which rows are copied.
    pub copy_where: Option<String>,
}

/// A table to be copied.
#[derive(Debug)]
pub struct CopyOrder {
    /// What is filled, among the router's tables: the table, or its shadow.
    pub index: TableIndex,
    /// The shadow's UUID; nil when the table's own target is filled.
    pub shadow: Uuid,
    /// The table's shape in the source.
    pub source: SourceTable,
    /// What is filled.
    pub target: TargetTable,
    /// Which rows are copied; `None`: all.
    pub copy_where: Option<String>,
    /// The version of the rows. `None`: that of a place which is found without GTID, later than `position`.
    pub version: Option<Version>,
    /// Of the versions.
    pub timeline: Timeline,
    /// The copy must see everything before it.
    pub position: Arc<Position>,
    /// The chunks of a copy that was begun before.
    pub saved: Vec<CopyChunk>,
    /// Raised when the copy is to end.
    pub flag: Arc<AtomicBool>,
}

/// What the router asks of the writers, most urgent first.
#[derive(Debug)]
pub enum Job {
    /// Save replication state.
    Save(Save),
    /// Count the targets' active parts, for the pace of their inserts, and see which mutations run.
    Inspect,
    /// Insert a batch into this table of the target.
    Insert(TableName, Batch),
}

/// State to save; one save is out at a time.
#[derive(Debug, Clone)]
pub enum Save {
    /// A checkpoint. Everything below its position is acked (I4).
    Checkpoint(Checkpoint),
    /// A table's state and reason, saved before the checkpoint that relies on it.
    TableState(TableState),
    /// Rows for which a table is set aside, saved before its state.
    DeadLetters(Arc<Vec<DeadLetter>>),
    /// Chunks of a copy, as planned or as done.
    Chunks(Arc<Vec<CopyChunk>>),
    /// Not state but what states rely on: a shadow takes its target's place.
    Exchange(Arc<Exchange>),
    /// Not state either: a target is changed, once every row from before is in it.
    Ddl(Arc<Ddl>),
    /// A shadow is not needed any more: the table of this name, if that is still its UUID.
    Drop(TableName, Uuid),
}

/// A writer's answer to a [`Job`].
#[derive(Debug)]
pub enum Ack {
    /// The save, and how it went.
    Saved(Save, Result<()>),
    /// What goes on in the target's tables, as far as it could be seen.
    Inspected {
        /// Active parts of every table.
        parts: Result<Vec<(TableName, u64)>>,
        /// Changes of columns and rows that are not through.
        mutations: Result<Vec<Mutation>>,
    },
    /// The batch comes back with its body, so that it can be sent again or its memory used again.
    Inserted(Batch, Duration, Result<()>),
}

/// What the engine and the HTTP interface ask of the router.
#[derive(Debug)]
pub enum Command {
    /// Flush, wait for acks, save, end.
    Stop,
    /// End for this reason.
    Fail(Error),
    /// Say where the stream is.
    Where(Sender<Result<Whereabouts>>),
    /// Copy this table of the source; one that is replicated already only unless `only_new`. The answer says what
    /// happens, or why it does not.
    Copy { table: TableName, only_new: bool, reply: Sender<Result<String>> },
}

/// Where the stream is: what a reader of both sides needs to tell a difference from a delay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The source.
    pub server_uuid: String,
    /// The run of comparable positions.
    pub timeline: u16,
    /// The binlog file number that counts as 0 in versions.
    pub base_file: u32,
    /// The router's last transaction end.
    pub end: Place,
    /// The version of that place: every row of the stream up to it has a lower one, every later row a higher one.
    pub version: u64,
    /// All GTIDs up to that place, of undecided XA transactions as well; `None` when the set is not complete.
    pub reached_gtid_set: Option<String>,
    /// Every row below it is in ClickHouse.
    pub acked: Place,
}

/// A place in the binary log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Binlog file.
    pub file: String,
    /// Byte offset.
    pub offset: u64,
}

impl Place {
    /// The place of a position.
    pub fn of(position: &Position) -> Self {
        Self { file: position.file.clone(), offset: position.offset }
    }
}

/// The memory that chunks and bodies may hold together, counted in capacity.
///
/// The reader waits in [`Budget::grow_chunk`]; the router takes no chunk while bodies alone can bring relief, and always
/// goes on sending bodies, so neither waits for what the other holds. The router may overshoot by one chunk's expansion.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: usize,
    used: Mutex<Used>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Used {
    chunk_bytes: usize,
    body_bytes: usize,
    parked_bytes: usize,
    copy_bytes: usize,
    reader_waits: bool,
    closed: bool,
}

impl Used {
    fn total(&self) -> usize {
        self.chunk_bytes + self.body_bytes + self.parked_bytes + self.copy_bytes
    }
}

/// Waits for `duration`, but no longer than until `stop` is raised: then it is false.
pub fn wait_unless(stop: &AtomicBool, duration: Duration) -> bool {
    let begun = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let left = duration.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(STOP_LATENCY));
    }
    false
}

impl Budget {
    /// A budget of `limit_bytes` (`pipeline.memory_limit`).
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used: Mutex::default(), freed: Condvar::new() }
    }

    /// The reader, whose chunk holds `own_bytes`, takes `more_bytes` for it: waits until they fit, or until nothing but
    /// that chunk is held, apart from what is parked (an event larger than the whole budget enters alone). Returns false
    /// when the budget was closed.
    #[must_use]
    pub fn grow_chunk(&self, own_bytes: usize, more_bytes: usize) -> bool {
        let mut used = self.used.lock();
        while !used.closed && !self.fits(&used, own_bytes, more_bytes) {
            used.reader_waits = true;
            self.freed.wait(&mut used);
        }
        used.reader_waits = false;
        used.chunk_bytes += more_bytes;
        !used.closed
    }

    fn fits(&self, used: &Used, own_bytes: usize, more_bytes: usize) -> bool {
        let passing = used.chunk_bytes + used.body_bytes;
        passing == own_bytes || used.total() + more_bytes <= self.limit_bytes
    }

    /// A body for rows of a copy may take `bytes`: waits until that fits into a quarter of the budget while the reader
    /// does not wait, for the stream goes first; or until no other copied rows are held. Returns false when the budget
    /// was closed.
    #[must_use]
    pub fn enter_copy(&self, bytes: usize) -> bool {
        let mut used = self.used.lock();
        while !used.closed && !self.copy_fits(&used, bytes) {
            self.freed.wait(&mut used);
        }
        used.copy_bytes += bytes;
        !used.closed
    }

    fn copy_fits(&self, used: &Used, bytes: usize) -> bool {
        let fits = used.copy_bytes + bytes <= self.limit_bytes / 4 && used.total() + bytes <= self.limit_bytes;
        used.copy_bytes == 0 || fits && !used.reader_waits
    }

    /// A body that was expected to take `expected_bytes` takes `bytes`: most take less, one with a large row more.
    pub fn recharge_copy(&self, expected_bytes: usize, bytes: usize) {
        self.used.lock().copy_bytes += bytes;
        self.leave_copy(expected_bytes);
    }

    /// Rows of a copy are gone.
    pub fn leave_copy(&self, bytes: usize) {
        self.used.lock().copy_bytes -= bytes;
        self.freed.notify_all();
    }

    /// Whether the reader waits for memory: the router then gives back what its pool keeps for later.
    pub fn reader_waits(&self) -> bool {
        self.used.lock().reader_waits
    }

    /// A chunk's `charged_bytes` are free again.
    pub fn release_chunk(&self, bytes: usize) {
        self.used.lock().chunk_bytes -= bytes;
        self.freed.notify_all();
    }

    /// The router's bodies, pool included, now hold `bytes`; and `parked_bytes` wait for an outcome in the stream, which
    /// nobody can hurry.
    pub fn set_bodies(&self, bytes: usize, parked_bytes: usize) {
        let mut used = self.used.lock();
        (used.body_bytes, used.parked_bytes) = (bytes, parked_bytes);
        drop(used);
        self.freed.notify_all();
    }

    /// Bytes held now.
    pub fn used_bytes(&self) -> usize {
        self.used.lock().total()
    }

    /// The limit (`pipeline.memory_limit`).
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Whether as much as the limit, or more, is held.
    pub fn is_spent(&self) -> bool {
        self.used_bytes() >= self.limit_bytes
    }

    /// Wakes a waiting reader for good: the process stops.
    pub fn close(&self) {
        self.used.lock().closed = true;
        self.freed.notify_all();
    }
}
