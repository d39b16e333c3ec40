//! TLS over a connected TCP socket, for a reader that wants large pieces and must not lose any to a timeout.
//!
//! `rustls::Stream` gives at most one record a call, for four system calls of 4 KiB. Here one system call fills a
//! buffer of encrypted bytes, and a read decrypts as many records as are whole in it and fit. All that is unfinished
//! stays in the two buffers ([`BufReader`] and the session), so a read that times out leaves nothing half done, and
//! the next one goes on. What is verified was decided in [`crate::config`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection};

use crate::error::{Error, ErrorKind, Result};
use crate::mysql::socket::lost;

/// As much as a chunk of the dump.
const WIRE_BYTES: usize = 256 << 10;

/// An encrypted stream.
#[derive(Debug)]
pub struct TlsStream {
    wire: BufReader<TcpStream>,
    session: ClientConnection,
}

impl TlsStream {
    /// Shakes hands as the client of `host`.
    ///
    /// # Errors
    /// `SourceRefused` when one side does not take the other's certificate or versions; else as [`lost`].
    pub fn open(tcp: TcpStream, client: &Arc<ClientConfig>, host: &str) -> Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let text = format!("{host:?} is neither a host name nor an address, as TLS needs: check mysql.host");
            Error::new(ErrorKind::SourceRefused, text)
        })?;
        let session = ClientConnection::new(Arc::clone(client), name).map_err(|error| refused(&error))?;
        let mut stream = Self { wire: BufReader::with_capacity(WIRE_BYTES, tcp), session };
        stream.shake_hands().map_err(|error| lost(&error))?;
        Ok(stream)
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        self.send_pending()?;
        while self.session.is_handshaking() {
            self.receive()?;
        }
        Ok(())
    }

    /// The socket below, for its timeouts.
    pub fn tcp(&self) -> &TcpStream {
        self.wire.get_ref()
    }

    /// Waits until encrypted bytes are there, and decrypts some of them.
    fn receive(&mut self) -> io::Result<()> {
        let mut bytes = self.wire.fill_buf()?;
        // No bytes tell the session that nothing more comes; its reader then says whether that was a proper end.
        if bytes.is_empty() && self.session.is_handshaking() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = self.session.read_tls(&mut bytes)?;
        self.wire.consume(len);
        let processed = self.session.process_new_packets();
        // Answers (an alert among them) go out first: they tell the server why.
        let sent = self.send_pending();
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        sent
    }

    fn send_pending(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(self.wire.get_mut())?;
        }
        Ok(())
    }
}

impl Read for TlsStream {
    /// Waits only while it has nothing to give.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
            match self.session.reader().read(free) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return if filled > 0 { Ok(filled) } else { Err(error) };
                }
                Err(_) if filled > 0 && self.wire.buffer().is_empty() => break,
                Err(_) => self.receive()?,
            }
        }
        Ok(filled)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.session.writer().write(bytes)?;
        self.send_pending()?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_pending()
    }
}

/// What rustls refused, or heard that the server refuses. Anything else that breaks is an outage.
pub fn refused(error: &rustls::Error) -> Error {
    let remedy = if let rustls::Error::InvalidCertificate(error) = error {
        untrusted(error)
    } else if matches!(error, rustls::Error::AlertReceived(alert) if is_about_us(*alert)) {
        "the server does not take our certificate: mysql.tls_cert must be within its dates and signed by the authority of the server's ssl_ca"
    } else if matches!(error, rustls::Error::AlertReceived(alert) if is_no_agreement(*alert))
        || matches!(error, rustls::Error::PeerIncompatible(_))
    {
        "no common TLS version or cipher: the server must speak TLS 1.2 or 1.3 (@@tls_version, @@ssl_cipher), or mysql.tls be \"disabled\""
    } else {
        return Error::new(ErrorKind::SourceDown, format!("the TLS connection to MySQL broke: {error}"));
    };
    Error::new(ErrorKind::SourceRefused, format!("TLS with MySQL failed: {error} ({remedy})"))
}

fn untrusted(error: &CertificateError) -> &'static str {
    if matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        "the server's certificate is past its date: renew it, then ALTER INSTANCE RELOAD TLS"
    } else if matches!(error, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        "the server's certificate is not valid yet: compare the clocks of both machines"
    } else if matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
        "the server's certificate has no such subjectAltName: write mysql.host as a name that it has, give the server one with this name, or use mysql.tls = \"verify_ca\" (certificates that MySQL makes itself name no host)"
    } else if matches!(error, CertificateError::UnknownIssuer) {
        "no authority in mysql.tls_ca signed the server's certificate: use the ca.pem that did"
    } else {
        "the server's certificate cannot be verified against mysql.tls_ca: give the server one of X.509 version 3, signed by an authority, or use mysql.tls = \"required\", which verifies nothing"
    }
}

fn is_about_us(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

fn is_no_agreement(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity
    )
}
