//! Rows by the binary protocol, as bytes: prepared SELECTs, one after the other on one connection.
//!
//! [`Select::next_row`] lends each row's packet from a buffer of its own that the socket is read into ahead, so that a
//! narrow row costs neither a system call nor a copy. A row of several 16 MiB packets is joined in place, by closing the
//! gaps of the inner headers; the buffer grows by doubling as it fills, never by what a length alone claims, and shrinks
//! when the result ends. Rows end with the server's EOF packet and with nothing else: what the server refuses in their
//! midst, a lost connection, a packet out of order are errors. A connection whose answer was not read to its end is of no
//! use for anything else and says so.
//!
//! Formats: COM_STMT_PREPARE, COM_STMT_EXECUTE, COM_STMT_CLOSE of
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase_ps.html>, without parameters, without
//! cursors, without CLIENT_DEPRECATE_EOF.

use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connection::Connection;
use crate::mysql::packet::{self, Fields, PACKET_MAX};
use crate::mysql::refusal::server_error;
use crate::mysql::socket::lost;
use crate::mysql::source::quoted_name;
use crate::schema::types::SourceColumn;
use crate::transcode::packet::{ResultColumn, Selected};

/// The session that [`PacketPlan`](crate::transcode::packet::PacketPlan) relies on: UTC, the columns' own bytes, no SQL
/// mode that pads CHAR; and no limit of the server's that cuts a long read short, none of which a copy may inherit.
pub const SESSION: &str = "SET time_zone='+00:00', character_set_results=NULL, sql_mode='', net_write_timeout=600, \
                           max_execution_time=0, sql_select_limit=18446744073709551615, sql_big_selects=1, autocommit=1, \
                           transaction_isolation='READ-COMMITTED'";

/// As long as the server waits for us, it may let us wait: for the first row, most of all.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a server may take to see what it has said it has executed.
const EXECUTED_SECONDS: u32 = 60;
const BUFFER_BYTES: usize = 512 << 10;
/// The limit of `max_allowed_packet` is 1 GiB.
const ROW_BYTES_MAX: usize = (1 << 30) + (1 << 20);
const HEADER_BYTES: usize = 4;

const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;
const UNSIGNED_FLAG: u64 = 32;
const MORE_RESULTS: u64 = 8;

/// What to select of a table, column by column, for its rows to be what
/// [`PacketPlan`](crate::transcode::packet::PacketPlan) expects: see [`Selected`].
pub fn select_list(columns: &[SourceColumn]) -> String {
    let item = |column: &SourceColumn| {
        let name = quoted_name(&column.name);
        match Selected::of(&column.ty) {
            Selected::Value => name,
            Selected::Number => format!("CAST({name} AS UNSIGNED)"),
            Selected::Label => format!("CONVERT({name} USING utf8mb4)"),
        }
    };
    columns.iter().map(item).collect::<Vec<_>>().join(", ")
}

/// A session that reads rows.
#[derive(Debug)]
pub struct Select {
    connection: Connection,
    packets: Packets,
    columns: Vec<ResultColumn>,
    /// To be closed when its rows have ended.
    statement: Option<u32>,
    /// From a command until its answer was read to its end.
    is_answering: bool,
}

impl Select {
    /// Connects, with the settings of [`SESSION`].
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open(config: &MysqlConfig) -> Result<Self> {
        let mut connection = Connection::open(config)?;
        connection.execute(SESSION)?;
        connection.set_timeout(PATIENCE)?;
        let (packets, columns) = (Packets::default(), Vec::new());
        Ok(Self { connection, packets, columns, statement: None, is_answering: false })
    }

    /// Makes sure that this is the server with this uuid, and that SELECTs from now on see all transactions of `gtid_set`.
    ///
    /// # Errors
    /// [`ErrorKind::LostPosition`] when it is another server, [`ErrorKind::SourceDown`] when it does not see them in time.
    pub fn see(&mut self, server_uuid: &str, gtid_set: Option<&str>) -> Result<()> {
        let connection = self.connection()?;
        if connection.rows("SELECT @@server_uuid")? != [[Some(server_uuid.to_owned())]] {
            let text = format!("reading rows reached another server than the stream, whose uuid is {server_uuid}");
            return Err(Error::new(ErrorKind::LostPosition, text));
        }
        let Some(set) = gtid_set else { return Ok(()) };
        let query = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{set}', {EXECUTED_SECONDS})");
        if connection.rows(&query)? == [[Some("0".to_owned())]] {
            return Ok(());
        }
        let text = format!("the source has not executed {set} after {EXECUTED_SECONDS} s");
        Err(Error::new(ErrorKind::SourceDown, text))
    }

    /// From now on it sees one snapshot, until [`end_snapshot`](Self::end_snapshot).
    ///
    /// # Errors
    /// When the source is away.
    pub fn begin_snapshot(&mut self) -> Result<()> {
        let connection = self.connection()?;
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        connection.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    }

    /// It sees what is committed again.
    ///
    /// # Errors
    /// When the source is away.
    pub fn end_snapshot(&mut self) -> Result<()> {
        self.connection()?.execute("COMMIT")
    }

    /// The connection, for other statements between two results.
    ///
    /// # Errors
    /// When the last answer was not read to its end.
    pub fn connection(&mut self) -> Result<&mut Connection> {
        if self.is_answering {
            return Err(Error::new(ErrorKind::SourceDown, "the rows before were not read to their end: connect again"));
        }
        Ok(&mut self.connection)
    }

    /// Starts a SELECT. The rows of the one before must have been read.
    ///
    /// # Errors
    /// When the connection is lost or the server refuses; [`ErrorKind::TableShape`] when the table is not (or no longer)
    /// there as the statement has it.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        self.begin(&[&[COM_STMT_PREPARE], sql.as_bytes()].concat())?;
        let statement = self.prepared()?;
        self.is_answering = false;
        self.statement = Some(statement);
        let [a, b, c, d] = statement.to_le_bytes();
        // No cursor; an iteration count, always 1.
        self.begin(&[COM_STMT_EXECUTE, a, b, c, d, 0, 1, 0, 0, 0])?;
        let head = self.packet()?;
        let count = Fields(self.packets.get(head)).packed_uint().filter(|&count| count > 0);
        self.read_columns(count.ok_or_else(|| unexpected("no rows where a SELECT has some"))?)
    }

    /// What the server says of the columns of the rows to come.
    pub fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }

    /// The next row's packet; `None` once at the end.
    ///
    /// # Errors
    /// When the rows break off: the server says why, or the connection is lost. Those before were whole.
    pub fn next_row(&mut self) -> Result<Option<&[u8]>> {
        if !self.is_answering {
            return Ok(None);
        }
        let row = self.packet()?;
        if packet::is_eof(self.packets.get(row.clone())) {
            self.check_last(row)?;
            self.finish()?;
            return Ok(None);
        }
        Ok(Some(self.packets.get(row)))
    }

    fn begin(&mut self, command: &[u8]) -> Result<()> {
        self.connection()?.command(command)?;
        self.is_answering = true;
        self.packets.sequence = 1;
        Ok(())
    }

    /// The statement's number. What is told of its columns is told again with the rows, and may differ by then.
    fn prepared(&mut self) -> Result<u32> {
        let head = self.packet()?;
        let mut fields = Fields(self.packets.get(head));
        let mut next = |bytes| fields.uint(bytes).ok_or_else(|| unexpected("a prepared statement that cannot be read"));
        let (status, statement, columns, parameters) = (next(1)?, next(4)?, next(2)?, next(2)?);
        if status != 0 || columns == 0 || parameters > 0 {
            return Err(unexpected("no prepared SELECT without parameters"));
        }
        self.read_columns(columns)?;
        u32::try_from(statement).map_err(|_| unexpected("a prepared statement that cannot be read"))
    }

    /// `count` column definitions and the EOF packet behind them.
    fn read_columns(&mut self, count: u64) -> Result<()> {
        self.columns.clear();
        for _ in 0..count {
            let definition = self.packet()?;
            let column = result_column(self.packets.get(definition));
            self.columns.push(column.ok_or_else(|| unexpected("a column definition that cannot be read"))?);
        }
        let end = self.packet()?;
        if packet::is_eof(self.packets.get(end)) {
            return Ok(());
        }
        Err(unexpected("more columns than it said"))
    }

    fn check_last(&self, eof: Range<usize>) -> Result<()> {
        let mut fields = Fields(self.packets.get(eof));
        fields.take(3); // 0xfe, warnings
        match fields.uint(2) {
            Some(status) if status & MORE_RESULTS == 0 => Ok(()),
            Some(_) | None => Err(unexpected("more than one result of a SELECT")),
        }
    }

    /// The next packet of the answer. An error of the server's ends the answer.
    fn packet(&mut self) -> Result<Range<usize>> {
        let packet = self.packets.next(self.connection.socket())?;
        match packet::err_packet(self.packets.get(packet.clone())) {
            None => Ok(packet),
            Some((code, message)) => {
                self.finish()?;
                Err(refused(code, &message))
            }
        }
    }

    /// The answer has ended.
    fn finish(&mut self) -> Result<()> {
        self.packets.end()?;
        self.is_answering = false;
        match self.statement.take() {
            Some(statement) => self.connection.command(&[&[COM_STMT_CLOSE], &statement.to_le_bytes()[..]].concat()),
            None => Ok(()),
        }
    }
}

/// Packets read ahead of the socket.
#[derive(Debug, Default)]
struct Packets {
    /// Initialised to its whole length; data from `next` to `filled`.
    bytes: Vec<u8>,
    /// Where the next packet's header begins.
    next: usize,
    filled: usize,
    sequence: u8,
}

impl Packets {
    fn get(&self, packet: Range<usize>) -> &[u8] {
        self.bytes.get(packet).unwrap_or_default()
    }

    /// Where the payload of the next packet lies, joined with those of the packets that continue it.
    #[inline]
    fn next(&mut self, from: &mut impl Read) -> Result<Range<usize>> {
        let mut joined = self.whole(from, 0)?;
        let mut len = joined;
        while len == PACKET_MAX {
            len = self.whole(from, HEADER_BYTES + joined)?;
            let gap = self.next + HEADER_BYTES + joined;
            self.bytes.copy_within(gap + HEADER_BYTES..self.filled, gap);
            self.filled -= HEADER_BYTES;
            joined += len;
            if joined > ROW_BYTES_MAX {
                return Err(unexpected("a row larger than 1 GiB"));
            }
        }
        let start = self.next + HEADER_BYTES;
        self.next = start + joined;
        Ok(start..self.next)
    }

    /// Waits until the packet that begins `at` bytes behind `next` is whole; its payload's length.
    #[inline]
    fn whole(&mut self, from: &mut impl Read, at: usize) -> Result<usize> {
        self.fill(from, at + HEADER_BYTES)?;
        let mut header = Fields(self.get(self.next + at..self.filled));
        let (len, sequence) = (header.uint(3).unwrap_or_default(), header.uint(1).unwrap_or_default());
        if sequence != u64::from(self.sequence) {
            return Err(unexpected("a packet out of order"));
        }
        self.sequence = self.sequence.wrapping_add(1);
        let len = usize::try_from(len).unwrap_or_default();
        self.fill(from, at + HEADER_BYTES + len)?;
        Ok(len)
    }

    /// Reads until `count` bytes stand behind `next`.
    #[inline]
    fn fill(&mut self, from: &mut impl Read, count: usize) -> Result<()> {
        while self.filled - self.next < count {
            self.make_room();
            match from.read(self.bytes.get_mut(self.filled..).unwrap_or_default()) {
                Ok(0) => return Err(lost(&io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => self.filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(&error)),
            }
        }
        Ok(())
    }

    /// Moves the beginning of a packet to the front; grows when it fills the buffer.
    fn make_room(&mut self) {
        if self.next > 0 {
            self.bytes.copy_within(self.next..self.filled, 0);
            self.filled -= self.next;
            self.next = 0;
        }
        if self.filled == self.bytes.len() {
            let len = (2 * self.filled).max(BUFFER_BYTES);
            self.bytes.reserve_exact(len - self.filled);
            self.bytes.resize(len, 0);
        }
    }

    /// After an answer: nothing may be left, and a large row's memory is given back.
    fn end(&mut self) -> Result<()> {
        if self.next != self.filled {
            return Err(unexpected("something behind the end of an answer"));
        }
        if self.bytes.len() > BUFFER_BYTES {
            *self = Self::default();
        }
        Ok(())
    }
}

/// Protocol::ColumnDefinition41, as far as it is needed.
fn result_column(definition: &[u8]) -> Option<ResultColumn> {
    let mut fields = Fields(definition);
    for _catalog_schema_table_table_name_name in 0..6 {
        fields.packed_string()?;
    }
    fields.packed_uint()?; // the length of what follows
    let collation = u16::try_from(fields.uint(2)?).ok()?;
    fields.uint(4)?; // the longest value
    let kind = u8::try_from(fields.uint(1)?).ok()?;
    let is_unsigned = fields.uint(2)? & UNSIGNED_FLAG != 0;
    let decimals = u8::try_from(fields.uint(1)?).ok()?;
    Some(ResultColumn { kind, is_unsigned, collation, decimals })
}

/// What the server says when a table is gone or has changed (1049, 1054, 1146, 1412, 1615) concerns that table alone.
fn refused(code: u16, message: &str) -> Error {
    match code {
        1049 | 1054 | 1146 | 1412 | 1615 => {
            let text = format!("MySQL says {code}: {message} (the table changed while it was read)");
            Error::new(ErrorKind::TableShape, text)
        }
        _ => server_error(code, message),
    }
}

fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::CorruptStream, format!("MySQL sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::types::SourceType;

    /// Gives at most `step` bytes at a time.
    struct Drip<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.step.min(buffer.len());
            self.bytes.read(&mut buffer[..len])
        }
    }

    /// A payload in as many packets as it needs; the sequence goes on.
    fn put(wire: &mut Vec<u8>, sequence: &mut u8, payload: &[u8]) {
        let mut rest = payload;
        loop {
            let (head, tail) = rest.split_at(rest.len().min(PACKET_MAX));
            wire.extend(&u32::try_from(head.len()).unwrap().to_le_bytes()[..3]);
            wire.push(*sequence);
            wire.extend(head);
            *sequence = sequence.wrapping_add(1);
            rest = tail;
            if head.len() < PACKET_MAX {
                return;
            }
        }
    }

    fn wire(payloads: &[Vec<u8>]) -> Vec<u8> {
        let (mut wire, mut sequence) = (Vec::new(), 1);
        payloads.iter().for_each(|payload| put(&mut wire, &mut sequence, payload));
        wire
    }

    fn started() -> Packets {
        Packets { sequence: 1, ..Packets::default() }
    }

    #[test]
    fn packets_survive_reads_of_every_size() {
        let payloads: Vec<Vec<u8>> = (0..300u16).map(|i| vec![i.to_le_bytes()[0]; usize::from(i)]).collect();
        let bytes = wire(&payloads);
        for step in [1, 2, 3, 5, 1000, bytes.len()] {
            let (mut packets, mut from) = (started(), Drip { bytes: &bytes, step });
            for payload in &payloads {
                let packet = packets.next(&mut from).unwrap();
                assert_eq!(packets.get(packet), payload, "step {step}");
            }
            packets.end().unwrap();
            assert_eq!(packets.next(&mut from).unwrap_err().kind, ErrorKind::SourceDown);
        }
    }

    #[test]
    fn rows_above_16_mib_are_joined() {
        let sized = |len: usize, seed: usize| (0..len).map(|i| ((i * seed) >> 3).to_le_bytes()[0]).collect::<Vec<u8>>();
        let sizes = [PACKET_MAX - 1, PACKET_MAX, PACKET_MAX + 1, 2 * PACKET_MAX, 2 * PACKET_MAX + 77, 5];
        let payloads: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, &len)| sized(len, 7 + i)).collect();
        let bytes = wire(&payloads);
        let (mut packets, mut from) = (started(), Drip { bytes: &bytes, step: 1 << 20 });
        for payload in &payloads {
            let packet = packets.next(&mut from).unwrap();
            assert!(packets.get(packet) == payload, "{} bytes", payload.len());
        }
        assert!(packets.bytes.len() <= 4 * 2 * PACKET_MAX);
        packets.end().unwrap();
        assert_eq!(packets.bytes.capacity(), 0);
    }

    #[test]
    fn a_length_alone_takes_no_memory() {
        let bytes = [&[0xfe, 0xff, 0xff, 1][..], &[7; 1000]].concat();
        let mut packets = started();
        assert_eq!(packets.next(&mut bytes.as_slice()).unwrap_err().kind, ErrorKind::SourceDown);
        assert_eq!(packets.bytes.capacity(), BUFFER_BYTES);
    }

    #[test]
    fn what_is_out_of_order_or_left_over_is_an_error() {
        let mut packets = started();
        let error = packets.next(&mut b"\x01\0\0\x02x".as_slice()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CorruptStream);
        let mut packets = started();
        packets.next(&mut b"\x01\0\0\x01xy".as_slice()).unwrap();
        assert_eq!(packets.end().unwrap_err().kind, ErrorKind::CorruptStream);
    }

    #[test]
    fn column_definitions() {
        let definition = b"\x03def\x01d\x01t\x01t\x01c\x01c\x0c\x3f\0\x0b\0\0\0\x03\x23\0\x02\0\0";
        let expected = ResultColumn { kind: 3, is_unsigned: true, collation: 63, decimals: 2 };
        assert_eq!(result_column(definition), Some(expected));
        for len in 0..definition.len() - 2 {
            assert_eq!(result_column(&definition[..len]), None);
        }
    }

    #[test]
    fn lists_name_every_column() {
        let column = |name: &str, ty| SourceColumn { name: name.to_owned(), ty, nullable: false };
        let columns = [
            column("a`b", SourceType::Date),
            column("e", SourceType::Enum { labels: Vec::new() }),
            column("s", SourceType::Set { labels: vec!["?".to_owned()] }),
            column("j", SourceType::Json),
        ];
        assert_eq!(select_list(&columns), "`a``b`, CAST(`e` AS UNSIGNED), CONVERT(`s` USING utf8mb4), `j`");
    }

    #[test]
    fn a_changed_table_is_that_tables_matter() {
        assert_eq!(refused(1146, "Table 'd.t' doesn't exist").kind, ErrorKind::TableShape);
        assert_eq!(refused(1317, "Query execution was interrupted").kind, ErrorKind::SourceDown);
    }
}
