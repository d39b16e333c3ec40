//! A connection of our own to MySQL: TCP or Unix socket, login, commands and small answers.
//!
//! It reads nothing ahead, so that whoever takes the socket over after a command ([`crate::mysql::dump`]) finds every
//! byte. Answers here are small and bounded by one packet; the dump has its own reader. A failing socket is an
//! outage; what the server refuses is decided by [`crate::mysql::refusal`]. TLS is not built.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::auth;
use crate::mysql::packet::{self, Fields, Handshake, PACKET_MAX};
use crate::mysql::refusal::{missing_privilege, server_error};

const AUTH_MORE: u8 = 0x01;
const AUTH_SWITCH: u8 = 0xfe;
const FAST_AUTH_OK: u8 = 3;
const FULL_AUTH: u8 = 4;
const REQUEST_PUBLIC_KEY: u8 = 2;
const COM_QUERY: u8 = 3;
/// Far above what the few variables asked for here take.
const ANSWER_PACKETS_MAX: usize = 100;
const ACCESS_DENIED: u16 = 1045;

/// Either kind of stream.
#[derive(Debug)]
pub enum Socket {
    /// `mysql.host` and `mysql.port`.
    Tcp(TcpStream),
    /// `mysql.socket`.
    Unix(UnixStream),
}

impl Socket {
    /// How long one read may wait; then it fails with `WouldBlock`, and nothing is lost.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A logged-in session.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    sequence: u8,
    handshake: Handshake,
}

impl Connection {
    /// Connects and logs in; `connect_timeout` bounds each step.
    ///
    /// # Errors
    /// `SourceDown` when the server cannot be reached, `SourceRefused` when it does not let us in.
    pub fn open(config: &MysqlConfig) -> Result<Self> {
        let mut socket = connect(config)?;
        let (sequence, greeting) = read_packet(&mut socket)?;
        let handshake = Handshake::parse(unless_error(&greeting)?)?;
        let mut connection = Self { socket, sequence: sequence.wrapping_add(1), handshake };
        connection.log_in(config)?;
        Ok(connection)
    }

    /// The server's version as it greets.
    pub fn version(&self) -> &str {
        &self.handshake.version
    }

    /// Sends a command; its answer's first packet has sequence 1.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn command(&mut self, payload: &[u8]) -> Result<()> {
        self.sequence = 0;
        self.write_packet(payload)
    }

    /// Sends a command that is answered by OK.
    ///
    /// # Errors
    /// When the socket fails or the server refuses.
    pub fn command_ok(&mut self, payload: &[u8]) -> Result<()> {
        self.command(payload)?;
        let answer = self.read_packet()?;
        match packet::err_packet(&answer) {
            // The password was right long ago: so says a server that COM_REGISTER_SLAVE needs REPLICATION SLAVE.
            Some((ACCESS_DENIED, message)) => Err(missing_privilege(ACCESS_DENIED, &message)),
            Some((code, message)) => Err(server_error(code, &message)),
            None => Ok(()),
        }
    }

    /// Runs a statement without a result.
    ///
    /// # Errors
    /// When the socket fails or the server refuses.
    pub fn execute(&mut self, sql: &str) -> Result<()> {
        self.command_ok(&[&[COM_QUERY], sql.as_bytes()].concat())
    }

    /// Runs a query and returns its first row as text; NULL is an empty string.
    ///
    /// # Errors
    /// When the socket fails, the server refuses, or there is no row.
    pub fn query_row(&mut self, sql: &str) -> Result<Vec<String>> {
        self.command(&[&[COM_QUERY], sql.as_bytes()].concat())?;
        let head = self.read_packet()?;
        unless_error(&head)?;
        self.read_to_eof()?; // column definitions
        let first = self.read_to_eof()?;
        let row = first.ok_or_else(|| unexpected("a query that must give a row gave none"))?;
        text_row(&row).ok_or_else(|| unexpected("a row of a query that cannot be read"))
    }

    /// The first packet before the next EOF packet.
    fn read_to_eof(&mut self) -> Result<Option<Vec<u8>>> {
        let mut first = None;
        for _ in 0..ANSWER_PACKETS_MAX {
            let packet = self.read_packet()?;
            if packet::is_eof(unless_error(&packet)?) {
                return Ok(first);
            }
            first.get_or_insert(packet);
        }
        Err(unexpected("an answer without an end"))
    }

    /// The bare socket, right behind the last answer.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    fn log_in(&mut self, config: &MysqlConfig) -> Result<()> {
        let mut nonce = self.handshake.nonce.clone();
        let answer = auth::scramble(auth::CACHING_SHA2, &nonce, config.password.expose())?;
        self.write_packet(&packet::handshake_response(&config.user, auth::CACHING_SHA2, &answer))?;
        // Each turn reads one packet; a server may switch the plugin, ask for more, and must end with OK or ERR.
        for _ in 0..8 {
            let answer = self.read_packet()?;
            match unless_error(&answer)? {
                [0, ..] => return Ok(()),
                [AUTH_SWITCH, request @ ..] => nonce = self.switch_plugin(request, config)?,
                [AUTH_MORE, FAST_AUTH_OK] => {}
                [AUTH_MORE, FULL_AUTH] => self.full_authentication(&nonce, config)?,
                _ => return Err(unexpected("an unknown packet during login")),
            }
        }
        Err(unexpected("a login without an end"))
    }

    /// Answers under the plugin that the server asks for; returns the scramble it gave.
    fn switch_plugin(&mut self, request: &[u8], config: &MysqlConfig) -> Result<Vec<u8>> {
        let mut fields = Fields(request);
        let plugin = String::from_utf8_lossy(fields.nul_string()).into_owned();
        let nonce = fields.0.strip_suffix(&[0]).unwrap_or(fields.0).to_vec();
        let answer = auth::scramble(&plugin, &nonce, config.password.expose())?;
        self.write_packet(&answer)?;
        Ok(nonce)
    }

    /// The password itself, for a server that has no cached hash yet: in the clear over a Unix socket, under the
    /// server's RSA key over TCP.
    fn full_authentication(&mut self, nonce: &[u8], config: &MysqlConfig) -> Result<()> {
        if matches!(self.socket, Socket::Unix(_)) {
            return self.write_packet(&[config.password.expose().as_bytes(), b"\0"].concat());
        }
        self.write_packet(&[REQUEST_PUBLIC_KEY])?;
        let answer = self.read_packet()?;
        let [AUTH_MORE, pem @ ..] = unless_error(&answer)? else {
            return Err(unexpected("no public key, though it was asked for"));
        };
        let secret = auth::encrypt(config.password.expose(), nonce, pem)?;
        self.write_packet(&secret)
    }

    fn read_packet(&mut self) -> Result<Vec<u8>> {
        let (sequence, payload) = read_packet(&mut self.socket)?;
        if sequence != self.sequence {
            return Err(unexpected("a packet out of order"));
        }
        self.sequence = sequence.wrapping_add(1);
        Ok(payload)
    }

    fn write_packet(&mut self, payload: &[u8]) -> Result<()> {
        let mut out = Vec::with_capacity(payload.len() + 4);
        let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() < PACKET_MAX);
        let [a, b, c, _] = len.ok_or_else(|| too_long(payload.len()))?.to_le_bytes();
        out.extend([a, b, c, self.sequence]);
        out.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.write_all(&out).map_err(|error| lost(&error))
    }
}

fn connect(config: &MysqlConfig) -> Result<Socket> {
    let socket = match &config.socket {
        Some(path) => Socket::Unix(UnixStream::connect(path).map_err(|error| {
            Error::new(
                ErrorKind::SourceDown,
                format!("cannot connect to MySQL's socket {path}: {error}; check mysql.socket"),
            )
        })?),
        None => Socket::Tcp(connect_tcp(config)?),
    };
    let timeouts =
        socket.set_read_timeout(config.connect_timeout).and_then(|()| socket.set_write_timeout(config.connect_timeout));
    timeouts.map_err(|error| lost(&error))?;
    Ok(socket)
}

/// Tries every address of the host.
fn connect_tcp(config: &MysqlConfig) -> Result<TcpStream> {
    let (host, port) = (config.host.as_str(), config.port);
    let down = |what: String| Error::new(ErrorKind::SourceDown, what);
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| down(format!("unknown host {host:?}: {error}; check mysql.host")))?;
    let mut last = down(format!("host {host:?} has no address; check mysql.host"));
    for address in addresses {
        match TcpStream::connect_timeout(&address, config.connect_timeout) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|error| lost(&error))?;
                return Ok(stream);
            }
            Err(error) => {
                last = down(format!(
                    "cannot connect to MySQL at {host}:{port} ({address}): {error}; check mysql.host and mysql.port, and that the server runs"
                ))
            }
        }
    }
    Err(last)
}

/// One packet, not continued: its sequence number and payload. Memory grows with what arrives.
fn read_packet(socket: &mut Socket) -> Result<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    socket.read_exact(&mut header).map_err(|error| lost(&error))?;
    let [a, b, c, sequence] = header;
    let len = u32::from_le_bytes([a, b, c, 0]);
    let mut payload = Vec::new();
    Read::by_ref(socket).take(u64::from(len)).read_to_end(&mut payload).map_err(|error| lost(&error))?;
    if payload.len() as u64 != u64::from(len) {
        return Err(lost(&io::ErrorKind::UnexpectedEof.into()));
    }
    Ok((sequence, payload))
}

fn unless_error(answer: &[u8]) -> Result<&[u8]> {
    match packet::err_packet(answer) {
        Some((code, message)) => Err(server_error(code, &message)),
        None => Ok(answer),
    }
}

fn text_row(row: &[u8]) -> Option<Vec<String>> {
    let mut fields = Fields(row);
    let mut values = Vec::new();
    while let Some(first) = fields.0.first() {
        let is_null = *first == 0xfb;
        let value = if is_null { fields.take(1).map(|_| b"".as_slice()) } else { fields.packed_string() };
        values.push(String::from_utf8_lossy(value?).into_owned());
    }
    Some(values)
}

/// A socket that failed; a timeout says so in words.
pub fn lost(error: &io::Error) -> Error {
    let text = if is_timeout(error) {
        "MySQL does not answer (mysql.connect_timeout passed)".to_owned()
    } else if error.kind() == io::ErrorKind::UnexpectedEof {
        "MySQL closed the connection".to_owned()
    } else {
        format!("the connection to MySQL broke: {error}")
    };
    Error::new(ErrorKind::SourceDown, text)
}

/// Whether a read gave nothing within its timeout.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::CorruptStream, format!("MySQL sent {what}"))
}

fn too_long(len: usize) -> Error {
    Error::new(ErrorKind::SourceRefused, format!("a request of {len} bytes is too long for one packet"))
}
