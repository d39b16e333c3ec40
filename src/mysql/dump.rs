//! The binary log as a replica gets it: session, registration, dump command, then chunks of whole events.
//!
//! The socket's read timeout is a short tick, so that the caller sees its stop flag; the partial state stays in
//! [`Frames`]. The server sends a heartbeat when it has nothing else to send, so silence for three heartbeat periods
//! means that it is gone. Which server this is, is asked on the very connection that dumps.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Budget, Chunk};
use crate::mysql::connection::Connection;
use crate::mysql::frames::Frames;
use crate::mysql::packet::{self, DUMP_HEARTBEAT_V2, DUMP_NON_BLOCK, Fields};
use crate::mysql::socket::{Socket, is_timeout, lost};
use crate::mysql::source::Source;
use crate::position::Position;

/// The longest that a read waits before the caller may look at its stop flag.
const TICK: Duration = Duration::from_millis(200);
/// Before the first byte the server may search many files for our GTID set, without heartbeats.
const FIRST_BYTE_PATIENCE: Duration = Duration::from_secs(60);
const FORMAT_DESCRIPTION: u8 = 15;
/// Offset of a file's first event.
const BINLOG_START: u32 = 4;

/// Where a dump begins.
#[derive(Debug, Clone, Copy)]
enum Start<'a> {
    File { file: &'a str, offset: u32 },
    Gtid(&'a [u8]),
}

/// A running dump.
#[derive(Debug)]
pub struct Dump {
    socket: Socket,
    frames: Frames,
    tick: Duration,
    patience: Duration,
    heartbeat: Duration,
    quiet: Duration,
}

/// What one read gave.
#[derive(Debug)]
pub enum Incoming {
    /// Whole events.
    Chunk(Chunk),
    /// Nothing whole yet: look at the stop flag, then read again.
    Quiet,
    /// The budget was closed: the process stops.
    Closed,
}

impl Dump {
    /// Connects and asks for everything after `position`: by its GTID set if it has one and the server uses GTIDs,
    /// else by file and offset. `replica` is our uuid, the same for every connection of this process.
    ///
    /// # Errors
    /// `LostPosition` when this is another server than the position's, or it no longer has the position (that may
    /// also come later, from [`Dump::read`]).
    pub fn start(config: &MysqlConfig, replica: Uuid, position: &Position) -> Result<Self> {
        let mut connection = Connection::open(config).map_err(|refusal| may_be_renewed(config, refusal))?;
        let gtid_mode = check_identity(&mut connection, &position.server_uuid)?;
        let encoded = position.gtid_set.as_ref().filter(|_| gtid_mode == "ON").map(|set| set.encode_for_dump());
        if encoded.is_some()
            && let Some(why) = other_log(config, position).map_err(|refusal| may_be_renewed(config, refusal))?
        {
            let text = format!(
                "the source was reset or restored, or lost the tail of its binary log: {why}; its tables must be copied again \
                 (mysql.on_lost_position)"
            );
            return Err(Error::new(ErrorKind::LostPosition, text));
        }
        let start = match &encoded {
            Some(set) => Start::Gtid(set),
            None => Start::File { file: &position.file, offset: file_offset(position)? },
        };
        Self::begin(connection, config, replica, start, 0)
    }

    fn begin(
        mut connection: Connection,
        config: &MysqlConfig,
        replica: Uuid,
        start: Start,
        flags: u16,
    ) -> Result<Self> {
        prepare_session(&mut connection, config, replica)?;
        connection.command_ok(&packet::register_replica(config.server_id))?;
        let flags = flags | DUMP_HEARTBEAT_V2;
        connection.command(&match start {
            Start::File { file, offset } => packet::binlog_dump(config.server_id, flags, file, offset),
            Start::Gtid(set) => packet::binlog_dump_gtid(config.server_id, flags, set),
        })?;
        let socket = connection.into_socket();
        let tick = config.heartbeat.min(TICK);
        socket.set_read_timeout(tick).map_err(|error| lost(&error))?;
        Ok(Self {
            socket,
            frames: Frames::new(matches!(start, Start::Gtid(_))),
            tick,
            patience: FIRST_BYTE_PATIENCE,
            heartbeat: config.heartbeat,
            quiet: Duration::ZERO,
        })
    }

    /// Reads once. Memory comes from `budget`, or `recycled` serves as the next buffer.
    ///
    /// # Errors
    /// When the stream ended, broke, or is damaged; the events before that were handed over.
    pub fn read(&mut self, budget: &Budget, recycled: impl FnOnce() -> Option<Vec<u8>>) -> Result<Incoming> {
        if let Some(end) = self.frames.take_end() {
            return Err(end);
        }
        let wanted = self.frames.wanted_bytes();
        if wanted > 0 {
            if !budget.grow_chunk(self.frames.held_bytes(), wanted) {
                return Ok(Incoming::Closed);
            }
            self.frames.grow(wanted, recycled());
        }
        match self.socket.read(self.frames.free()) {
            Ok(0) => Err(lost(&io::ErrorKind::UnexpectedEof.into())),
            Ok(len) => Ok(self.received(len)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Incoming::Quiet),
            Err(error) if is_timeout(&error) => self.nothing_came(),
            Err(error) => Err(lost(&error)),
        }
    }

    fn received(&mut self, len: usize) -> Incoming {
        (self.quiet, self.patience) = (Duration::ZERO, self.heartbeat * 3);
        self.frames.received(len);
        if self.frames.has_events() { Incoming::Chunk(self.frames.take_chunk()) } else { Incoming::Quiet }
    }

    fn nothing_came(&mut self) -> Result<Incoming> {
        // Only time spent in reads counts: while the router is slow we do not listen, and hear no heartbeat.
        self.quiet += self.tick;
        if self.quiet < self.patience {
            return Ok(Incoming::Quiet);
        }
        let text = format!("no heartbeat from MySQL for {} ms", self.quiet.as_millis());
        Err(Error::new(ErrorKind::SourceDown, text))
    }

    /// Gives the unfinished buffer's memory back; no read may follow.
    pub fn release(&mut self, budget: &Budget) {
        let rest = self.frames.take_chunk();
        budget.release_chunk(rest.charged_bytes);
    }
}

/// The header timestamp of `file`'s FORMAT_DESCRIPTION: tells it from another file of the same name.
///
/// # Errors
/// When the server is away, refuses, or has no such file.
pub fn file_timestamp(config: &MysqlConfig, file: &str) -> Result<u32> {
    file_timestamp_at(config, file, BINLOG_START)
}

/// The same, asked for where an event must begin or the log end, so that nothing before it is sent. The timestamp alone does
/// not tell apart two files that were created within one second, as a RESET makes them; where their events begin does.
///
/// # Errors
/// As [`file_timestamp`]; `LostPosition` when no event begins at that place.
pub fn file_timestamp_at(config: &MysqlConfig, file: &str, offset: u32) -> Result<u32> {
    let connection = Connection::open(config)?;
    let start = Start::File { file, offset };
    let mut dump = Dump::begin(connection, config, Uuid::new_v4(), start, DUMP_NON_BLOCK)?;
    let budget = Budget::new(usize::MAX);
    let (deadline, mut created) = (Instant::now() + FIRST_BYTE_PATIENCE, None);
    while Instant::now() < deadline {
        match dump.read(&budget, || None) {
            Ok(Incoming::Chunk(chunk)) => {
                created = created.or_else(|| created_at(&chunk));
                if let Some(created) = created.filter(|_| chunk.events.iter().any(|event| event.offset > 0)) {
                    return Ok(created);
                }
            }
            Ok(Incoming::Quiet | Incoming::Closed) => {}
            Err(error) => {
                return created.filter(|_| error.kind == ErrorKind::SourceDown).ok_or_else(|| misplaced(error));
            }
        }
    }
    Err(Error::new(ErrorKind::SourceDown, format!("MySQL sent no beginning of {file}")))
}

/// The header timestamp of the FORMAT_DESCRIPTION, if it is there.
fn created_at(chunk: &Chunk) -> Option<u32> {
    chunk.events.iter().find_map(|span| {
        let event = chunk.bytes.get(span.start..span.start + span.len)?;
        let timestamp = Fields(event).uint(4)?;
        u32::try_from(timestamp).ok().filter(|_| event.get(4) == Some(&FORMAT_DESCRIPTION))
    })
}

/// What the server sends from a place where no event begins is no event.
fn misplaced(mut error: Error) -> Error {
    if error.kind == ErrorKind::CorruptStream {
        error.kind = ErrorKind::LostPosition;
    }
    error
}

fn other_log(config: &MysqlConfig, position: &Position) -> Result<Option<String>> {
    let mut source = Source::connect(config)?;
    let logs = source.binary_logs()?;
    source.other_log(position, &logs)
}

/// A process that runs has been let in before: somebody is about to replace passwords or certificates. Those in files are
/// read again at the next attempt.
fn may_be_renewed(config: &MysqlConfig, mut refusal: Error) -> Error {
    if refusal.kind == ErrorKind::SourceRefused && !config.files.is_empty() {
        refusal.kind = ErrorKind::SourceDown;
        refusal.text.push_str("; the files that [mysql] names are read again at the next attempt");
    }
    refusal
}

/// Refuses another server than the one the position is from; returns `@@gtid_mode`.
fn check_identity(connection: &mut Connection, expected_uuid: &str) -> Result<String> {
    if connection.version().contains("MariaDB") {
        let text = format!(
            "this is MariaDB ({}), whose binary log differs from MySQL's; it is not supported",
            connection.version()
        );
        return Err(Error::new(ErrorKind::SourceRefused, text));
    }
    let rows = connection.rows("SELECT @@server_uuid, @@gtid_mode")?;
    let Some([Some(uuid), Some(gtid_mode)]) = rows.first().map(Vec::as_slice) else {
        return Err(Error::new(ErrorKind::CorruptStream, "MySQL answered two variables with something else"));
    };
    if !expected_uuid.is_empty() && !expected_uuid.eq_ignore_ascii_case(uuid) {
        let text = format!(
            "this is another server (server_uuid {uuid}) than the one that was replicated ({expected_uuid}): point mysql.host at that one, or copy the tables again from this one (mysql.on_lost_position)"
        );
        return Err(Error::new(ErrorKind::LostPosition, text));
    }
    Ok(gtid_mode.clone())
}

/// The variables of a replica: checksums in every event, heartbeats, our uuid, and a server that waits for a reader
/// that stalls (it cuts one after `net_write_timeout`, 60 s by default).
fn prepare_session(connection: &mut Connection, config: &MysqlConfig, replica: Uuid) -> Result<()> {
    let heartbeat_ns = config.heartbeat.as_nanos();
    connection.execute(&format!(
        "SET @source_binlog_checksum='CRC32', @master_binlog_checksum='CRC32', \
         @source_heartbeat_period={heartbeat_ns}, @master_heartbeat_period={heartbeat_ns}, \
         @replica_uuid='{replica}', @slave_uuid='{replica}', \
         SESSION net_write_timeout=86400, SESSION net_read_timeout=86400"
    ))
}

fn file_offset(position: &Position) -> Result<u32> {
    u32::try_from(position.offset).map_err(|_| {
        let text = "without GTID a dump cannot start above 4 GiB in a file: turn GTID on (gtid_mode=ON), or keep binlog files smaller (max_binlog_size)";
        Error::new(ErrorKind::LostPosition, text).at_position(&position.file, position.offset)
    })
}
