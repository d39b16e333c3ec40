//! The copy of a table without a key: one SELECT in one snapshot, exactly as of V ([`crate::schema::keyless`]).
//!
//! Until the first row is told nothing is lost by another attempt. After it there is no way to go on where it broke off, so
//! the router is told to begin anew, with an empty shadow and another V.

use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::table::{CopyTable, Session};
use super::{Snapshot, tell, tell_read};
use crate::error::{Action, Result};
use crate::message::{CopyOrder, FromSnapshot};
use crate::mysql::chunks::Chunk;
use crate::mysql::table_lock;

impl Snapshot {
    /// Copies all of it.
    ///
    /// # Errors
    /// What kept it from beginning, or will keep it from ever ending.
    pub(super) fn copy_log(
        &self,
        order: &CopyOrder,
        session: &mut Session,
        to_router: &Sender<FromSnapshot>,
    ) -> Result<()> {
        let (config, name, uuid) = (&self.config.mysql, &order.source.name, &order.position.server_uuid);
        let chunk = Chunk::first();
        let (table, lock) = table_lock::read(config, name, uuid, &mut session.select, |select, file, offset| {
            let table = CopyTable::new(order, order.timeline.version(file, offset)?, &self.counts)?;
            table.begin(select, &chunk).map(|()| table)
        })?;
        tell(to_router, table.planned(&chunk, self.config.snapshot.chunk_rows));
        let done = self.copy_begun(&table, &chunk, session, to_router);
        drop(lock);
        match done {
            Err(error) if error.action() == Action::Retry => {
                // The session's rows were not read to their end either.
                order.flag.store(true, Ordering::Relaxed);
                tell(to_router, FromSnapshot::BrokenOff(order.index, error));
                Ok(())
            }
            done => done,
        }
    }

    fn copy_begun(
        &self,
        table: &CopyTable,
        chunk: &Chunk,
        session: &mut Session,
        to_router: &Sender<FromSnapshot>,
    ) -> Result<()> {
        if self.send_rows(table, chunk, session, to_router)? {
            session.select.end_snapshot()?;
            tell_read(table.index(), chunk.number, session, to_router)?;
        }
        Ok(())
    }
}
