//! The stream below a connection: TCP, TLS over it, or a Unix socket; and what its failures mean.
//!
//! A Unix socket stays plain: nothing leaves the machine. It reads nothing ahead of what TLS needs.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::tls::{self, TlsStream};

/// Any of the streams.
#[derive(Debug)]
pub enum Socket {
    /// `mysql.host` and `mysql.port`.
    Tcp(TcpStream),
    /// The same, encrypted.
    Tls(Box<TlsStream>),
    /// `mysql.socket`.
    Unix(UnixStream),
}

impl Socket {
    /// Connects, without TLS yet; `connect_timeout` bounds this and each read and write after it.
    ///
    /// # Errors
    /// `SourceDown` when nothing answers there.
    pub fn connect(config: &MysqlConfig) -> Result<Self> {
        let socket = match &config.socket {
            Some(path) => Self::Unix(UnixStream::connect(path).map_err(|error| {
                Error::new(
                    ErrorKind::SourceDown,
                    format!("cannot connect to MySQL's socket {path}: {error}; check mysql.socket"),
                )
            })?),
            None => Self::Tcp(connect_tcp(config)?),
        };
        socket.set_timeout(config.connect_timeout).map_err(|error| lost(&error))?;
        Ok(socket)
    }

    /// Encrypts TCP from here on; the other streams stay as they are.
    ///
    /// # Errors
    /// When one side does not trust the other, or the connection fails.
    pub fn encrypted(self, client: &Arc<ClientConfig>, host: &str) -> Result<Self> {
        match self {
            Self::Tcp(stream) => Ok(Self::Tls(Box::new(TlsStream::open(stream, client, host)?))),
            Self::Tls(_) | Self::Unix(_) => Ok(self),
        }
    }

    /// Whether nobody on the way can read what is sent.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Unix(_))
    }

    /// How long one read may wait; then it fails with `WouldBlock`, and nothing is lost.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Tls(stream) => stream.tcp().set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// How long one read or one write may wait.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Self::Tls(stream) => stream.tcp().set_write_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

/// A socket that failed; a timeout and a refusal of TLS say so in words.
pub fn lost(error: &io::Error) -> Error {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls::refused(error);
    }
    let text = if is_timeout(error) {
        "MySQL does not answer in time (mysql.connect_timeout while logging in)".to_owned()
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
