//! The reader: keeps a binary log dump running and forwards its chunks to the router.
//!
//! It knows no event and no table. When the connection is lost it asks the router where to go on (its last transaction
//! end; what was read beyond it is forgotten there), so the position here is never the reader's own. It waits in three
//! places only: for the socket, for memory, and for the router; each of them ends when the process stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use uuid::Uuid;

use crate::backoff;
use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Budget, FromReader, wait_unless};
use crate::mysql::dump::{Dump, Incoming};
use crate::position::Position;

const BACKOFF_MAX: Duration = Duration::from_secs(30);

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
            let outage = match self.stream(replica, &position, &mut failures) {
                Err(error) if error.kind == ErrorKind::SourceDown => error,
                other => return other,
            };
            match self.ask_position(outage) {
                Some(answer) => position = answer,
                None => return Ok(()),
            }
            failures = failures.saturating_add(1);
            if !wait_unless(&self.stop, backoff::delay(failures, BACKOFF_MAX)) {
                return Ok(());
            }
        }
    }

    /// One connection's life.
    fn stream(&self, replica: Uuid, position: &Position, failures: &mut u32) -> Result<()> {
        let mut dump = Dump::start(&self.config, replica, position)?;
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
                    // What every connection begins with is no sign of health.
                    if chunk.events.iter().any(|span| span.offset > 0) {
                        *failures = 0;
                    }
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

    /// The router's last transaction end; `None` when the router is gone.
    fn ask_position(&self, outage: Error) -> Option<Position> {
        let (reply, answer) = bounded(1);
        self.to_router.send(FromReader::Reconnecting(outage, reply)).ok()?;
        answer.recv().ok()
    }
}
