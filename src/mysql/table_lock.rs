//! One table, closed to writers for as long as it takes to begin to read it.
//!
//! `LOCK TABLES .. READ` is granted when every transaction that changed the table is committed, in the binary log and in
//! the engine: it holds its metadata lock until then. So the end of the log under the lock lies above all changes of the
//! table so far, and below all to come; and a snapshot that is taken meanwhile has exactly the former. Whoever waits for
//! the lock holds up all writers of the table behind it, so it waits for a second only, and is tried again.

use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connection::Connection;
use crate::mysql::refusal::server_error;
use crate::mysql::select::Select;
use crate::mysql::source::{end_of_log, quoted, quoted_name};
use crate::schema::types::TableName;

/// How long writers may be held up behind a transaction that does not end: the least that MySQL takes.
const WAIT_SECONDS: u32 = 1;
/// Table and database access denied.
const DENIED: [u16; 2] = [1044, 1142];
/// Lock wait timeout exceeded.
const TIMED_OUT: u16 = 1205;

/// A session that holds the lock until it ends.
#[derive(Debug)]
pub struct TableLock {
    connection: Connection,
    /// Whether a snapshot keeps its rows when the lock is given back.
    has_snapshots: bool,
}

/// Begins to read the table, on the server of this uuid, in a snapshot that has exactly the changes below the end of the log.
/// `begin` is given that place and starts the statement, which holds the table's definition from then on, so that writers
/// may go on. The lock is to be kept until all is read: tables of engines without snapshots need it.
///
/// # Errors
/// When the server is away, another one, or refuses; [`ErrorKind::SourceDown`] when a transaction holds the table; and what
/// `begin` says. The session of `select` is of no use then.
pub fn read<T>(
    config: &MysqlConfig,
    table: &TableName,
    server_uuid: &str,
    select: &mut Select,
    begin: impl FnOnce(&mut Select, &str, u64) -> Result<T>,
) -> Result<(T, TableLock)> {
    let mut lock = TableLock::take(config, table, server_uuid)?;
    let (file, offset) = end_of_log(&mut lock.connection)?;
    select.begin_snapshot()?;
    let begun = begin(select, &file, offset)?;
    lock.release()?;
    Ok((begun, lock))
}

impl TableLock {
    fn take(config: &MysqlConfig, table: &TableName, server_uuid: &str) -> Result<Self> {
        let mut connection = Connection::open(config)?;
        if connection.rows("SELECT @@server_uuid")? != [[Some(server_uuid.to_owned())]] {
            let text = format!("locking {table} reached another server than the stream, whose uuid is {server_uuid}");
            return Err(Error::new(ErrorKind::LostPosition, text));
        }
        connection.execute(&format!("SET SESSION lock_wait_timeout = {WAIT_SECONDS}"))?;
        if let Err((code, message)) = connection.ask(&format!("LOCK TABLES {} READ", quoted(table)))? {
            return Err(refusal(table, code, &message));
        }
        let status = connection.rows(&format!("SHOW CREATE TABLE {}", quoted(table)))?;
        let definition = status.into_iter().next().and_then(|row| row.into_iter().nth(1)?).unwrap_or_default();
        Ok(Self { connection, has_snapshots: definition.contains(") ENGINE=InnoDB") })
    }

    /// The table is read from a snapshot now: writers may go on. Engines without snapshots keep them waiting until the
    /// session ends.
    fn release(&mut self) -> Result<()> {
        if self.has_snapshots { self.connection.execute("UNLOCK TABLES") } else { Ok(()) }
    }
}

fn refusal(table: &TableName, code: u16, message: &str) -> Error {
    if DENIED.contains(&code) {
        let text = format!(
            "it has no key, so that its copy needs an instant without writers: GRANT LOCK TABLES ON {}.* to the account ({message})",
            quoted_name(&table.database)
        );
        return Error::new(ErrorKind::TableShape, text).at_table(table);
    }
    if code == TIMED_OUT {
        let text = format!(
            "{table} has no key, and a transaction that changed it did not end within {WAIT_SECONDS} s, so that there was \
             no instant without writers"
        );
        return Error::new(ErrorKind::SourceDown, text);
    }
    server_error(code, message).at_table(table)
}
