//! A connection of our own to MySQL: login, encrypted or not, then commands and their answers as text.
//!
//! It reads nothing ahead, so that whoever takes the socket over after a command ([`crate::mysql::dump`]) finds every
//! byte. All SQL goes through here too, so both logins are one: same TLS, same passwords, same errors. A failing socket
//! is an outage; what the server refuses is decided by [`crate::mysql::refusal`].

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::config::{MysqlConfig, Tls};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::auth;
use crate::mysql::packet::{self, Fields, Handshake, PACKET_MAX};
use crate::mysql::refusal::{missing_privilege, server_error};
use crate::mysql::socket::{Socket, lost};

const AUTH_MORE: u8 = 0x01;
const AUTH_SWITCH: u8 = 0xfe;
const FAST_AUTH_OK: u8 = 3;
const FULL_AUTH: u8 = 4;
const REQUEST_PUBLIC_KEY: u8 = 2;
const COM_QUERY: u8 = 3;
/// Far above the `information_schema` of any server.
const ANSWER_BYTES_MAX: usize = 1 << 30;
const ACCESS_DENIED: u16 = 1045;

const NO_TLS: &str = "the server offers no TLS, which mysql.tls demands: give it a certificate (ssl_cert, ssl_key; then ALTER INSTANCE RELOAD TLS), or write mysql.tls = \"preferred\"";

/// A row of an answer as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// Code and message of a statement that the server refused.
pub type Refusal = (u16, String);

/// A logged-in session.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    sequence: u8,
    handshake: Handshake,
}

impl Connection {
    /// Connects and logs in, with what the files of passwords and certificates hold now; `connect_timeout` bounds each step.
    ///
    /// # Errors
    /// `SourceDown` when the server cannot be reached, `SourceRefused` when it does not let us in.
    pub fn open(config: &MysqlConfig) -> Result<Self> {
        let config = &config.read_again(&read_file)?;
        let mut socket = Socket::connect(config)?;
        let (sequence, greeting) = read_packet(&mut socket)?;
        let handshake = Handshake::parse(unless_error(&greeting)?)?;
        let mut connection = Self { socket, sequence: sequence.wrapping_add(1), handshake };
        connection = connection.encrypt(config)?;
        connection.log_in(config)?;
        Ok(connection)
    }

    /// TLS from here on, as far as the configuration wants it and the server has it.
    fn encrypt(mut self, config: &MysqlConfig) -> Result<Self> {
        let client = match &config.tls {
            Tls::Required(client) | Tls::Preferred(client) => client,
            Tls::Disabled => return Ok(self),
        };
        if self.socket.is_private() || (!self.handshake.offers_tls && matches!(config.tls, Tls::Preferred(_))) {
            return Ok(self);
        }
        if !self.handshake.offers_tls {
            return Err(Error::new(ErrorKind::SourceRefused, NO_TLS));
        }
        self.write_packet(&packet::tls_request())?;
        self.socket = self.socket.encrypted(client, &config.host)?;
        Ok(self)
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

    /// Runs a query; its rows.
    ///
    /// # Errors
    /// When the socket fails or the server refuses.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.ask(sql)?.map_err(|(code, message)| server_error(code, &message))
    }

    /// Runs any statement: its rows, none without a result, or the server's refusal for the caller to decide on.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn ask(&mut self, sql: &str) -> Result<std::result::Result<Vec<Row>, Refusal>> {
        self.command(&[&[COM_QUERY], sql.as_bytes()].concat())?;
        let head = self.read_packet()?;
        if let Some(refusal) = packet::err_packet(&head) {
            return Ok(Err(refusal));
        }
        if head.first() == Some(&0) {
            return Ok(Ok(Vec::new()));
        }
        if let Err(refusal) = self.read_to_eof(|_| Ok(()))? {
            return Ok(Err(refusal)); // while it sent the columns
        }
        let mut rows = Vec::new();
        let end = self.read_to_eof(|packet| {
            rows.push(text_row(packet).ok_or_else(|| unexpected("a row that cannot be read"))?);
            Ok(())
        })?;
        Ok(end.map(|()| rows))
    }

    /// Gives every packet before the next EOF packet to `each`.
    fn read_to_eof(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<std::result::Result<(), Refusal>> {
        let mut bytes = 0;
        while bytes < ANSWER_BYTES_MAX {
            let packet = self.read_packet()?;
            if let Some(refusal) = packet::err_packet(&packet) {
                return Ok(Err(refusal));
            }
            if packet::is_eof(&packet) {
                return Ok(Ok(()));
            }
            each(&packet)?;
            // A row takes more memory here than on the wire.
            bytes += packet.len() + size_of::<Row>();
        }
        Err(unexpected("more than 1 GiB as one answer"))
    }

    /// How long one read or write may wait.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_timeout(&self, timeout: Duration) -> Result<()> {
        self.socket.set_timeout(timeout).map_err(|error| lost(&error))
    }

    /// The bare socket, to read the answer of a command from: the whole of it, and nothing behind it.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The bare socket, right behind the last answer.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    fn log_in(&mut self, config: &MysqlConfig) -> Result<()> {
        let mut nonce = self.handshake.nonce.clone();
        let answer = auth::scramble(auth::CACHING_SHA2, &nonce, config.password.expose())?;
        let is_tls = matches!(self.socket, Socket::Tls(_));
        self.write_packet(&packet::handshake_response(&config.user, auth::CACHING_SHA2, &answer, is_tls))?;
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

    /// The password itself, for a server that has no cached hash yet: in the clear inside TLS and over a Unix socket,
    /// under the server's RSA key over plain TCP.
    fn full_authentication(&mut self, nonce: &[u8], config: &MysqlConfig) -> Result<()> {
        if self.socket.is_private() {
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

fn read_file(path: &str) -> std::result::Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// One packet, which no other continues: its sequence number and payload. Memory grows with what arrives.
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
    if payload.len() == PACKET_MAX {
        return Err(unexpected("a value of 16 MiB or more where none can be"));
    }
    Ok((sequence, payload))
}

fn unless_error(answer: &[u8]) -> Result<&[u8]> {
    match packet::err_packet(answer) {
        Some((code, message)) => Err(server_error(code, &message)),
        None => Ok(answer),
    }
}

fn text_row(row: &[u8]) -> Option<Row> {
    let mut fields = Fields(row);
    let mut values = Vec::new();
    while let Some(first) = fields.0.first() {
        let is_null = *first == 0xfb;
        let value = if is_null { fields.take(1).map(|_| None) } else { fields.packed_string().map(Some) };
        values.push(value?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
    Some(values)
}

fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::CorruptStream, format!("MySQL sent {what}"))
}

fn too_long(len: usize) -> Error {
    Error::new(ErrorKind::SourceRefused, format!("a request of {len} bytes is too long for one packet"))
}
