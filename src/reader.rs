//! The reader: keeps a binary log dump running and forwards its chunks to the router.
//!
//! It knows no event and no table. When the connection is lost it asks the router where to go on (its last transaction
//! end; what was read beyond it is forgotten there), so the position here is never the reader's own. It waits in three
//! places only: for the socket, for memory, and for the router; each of them ends when the process stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::backoff;
use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Budget, FromReader};
use crate::mysql::dump::{Dump, Incoming};
use crate::position::Position;

const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How soon a wait notices the stop flag.
const STOP_LATENCY: Duration = Duration::from_millis(20);

/// What the reader did so far, for the summary line.
#[derive(Debug, Default)]
pub struct ReaderCounters {
    /// Bytes of events.
    pub bytes: AtomicU64,
    /// Events, heartbeats included.
    pub events: AtomicU64,
    /// Lost connections.
    pub reconnects: AtomicU64,
    /// The dump's connection id on the server; 0 before the first.
    pub connection_id: AtomicU64,
    /// Why there is no connection now; `None` while data comes.
    pub outage: Mutex<Option<Error>>,
}

/// The stage's ends.
#[derive(Debug)]
pub struct Reader {
    /// The source; `server_id` is resolved (not 0).
    pub config: MysqlConfig,
    /// Memory shared by all stages.
    pub budget: Arc<Budget>,
    /// To the router; bounded.
    pub to_router: Sender<FromReader>,
    /// Buffers that the router is done with.
    pub recycled: Receiver<Vec<u8>>,
    /// Set when the process stops.
    pub stop: Arc<AtomicBool>,
    /// Shared with the engine.
    pub counters: Arc<ReaderCounters>,
}

impl Reader {
    /// Streams from `start` until `stop` is set, the budget is closed, or the router is gone.
    ///
    /// # Errors
    /// Whatever is no outage: another server, a lost position, a refusal, a damaged stream.
    pub fn run(self, start: Position) -> Result<()> {
        if self.config.server_id == 0 {
            return Err(Error::new(ErrorKind::Config, "a replica's server_id must not be 0: set mysql.server_id"));
        }
        let replica = Uuid::new_v4();
        let mut failures = 0_u32;
        let mut position = start;
        loop {
            match self.stream(replica, &position, &mut failures) {
                Err(error) if error.kind == ErrorKind::SourceDown => self.note_outage(error),
                other => return other,
            }
            match self.ask_position() {
                Some(answer) => position = answer,
                None => return Ok(()),
            }
            failures = failures.saturating_add(1);
            if !self.wait(backoff::delay(failures, BACKOFF_MAX)) {
                return Ok(());
            }
        }
    }

    /// One connection's life.
    fn stream(&self, replica: Uuid, position: &Position, failures: &mut u32) -> Result<()> {
        let mut dump = Dump::start(&self.config, replica, position)?;
        self.counters.connection_id.store(u64::from(dump.connection_id()), Ordering::Relaxed);
        let result = self.forward(&mut dump, failures);
        dump.release(&self.budget);
        result
    }

    fn forward(&self, dump: &mut Dump, failures: &mut u32) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            match dump.read(&self.budget, || self.recycled.try_recv().ok())? {
                Incoming::Quiet => {}
                Incoming::Closed => break,
                Incoming::Chunk(chunk) => {
                    self.note_data(chunk.events.len(), chunk.events.iter().map(|span| span.len).sum());
                    *failures = 0;
                    let charged_bytes = chunk.charged_bytes;
                    if self.to_router.send(FromReader::Chunk(chunk)).is_err() {
                        self.budget.release_chunk(charged_bytes);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn note_data(&self, events: usize, bytes: usize) {
        self.counters.events.fetch_add(events as u64, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut outage = self.counters.outage.lock();
        if outage.is_some() {
            *outage = None;
        }
    }

    fn note_outage(&self, error: Error) {
        self.counters.reconnects.fetch_add(1, Ordering::Relaxed);
        *self.counters.outage.lock() = Some(error);
    }

    /// The router's last transaction end; `None` when the router is gone.
    fn ask_position(&self) -> Option<Position> {
        let (reply, answer) = bounded(1);
        self.to_router.send(FromReader::Reconnecting(reply)).ok()?;
        answer.recv().ok()
    }

    /// False when the process stops meanwhile.
    fn wait(&self, duration: Duration) -> bool {
        let deadline = Instant::now() + duration;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(STOP_LATENCY));
        }
    }
}
