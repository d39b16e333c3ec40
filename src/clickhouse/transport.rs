//! POSTs over `ureq`: bodies from pieces of memory, answers judged.
//!
//! * A body is sent with its Content-Length, straight from the pieces it lies in: the server refuses it when fewer
//!   bytes arrive, so a connection that dies half-way commits nothing of a block.
//! * Success is status 200 **and** no `X-ClickHouse-Exception-Code` **and** a body that came whole and holds no
//!   exception; the status line alone can be sent before the server fails.
//! * Timeouts are set per phase: a limit over all phases would make `ureq` resolve the name in a new thread per request.
//! * Pooled connections are given up after 5 s: servers of 23.8 to 25 close idle ones after 10 s, so ours is first.
//! * Over https nothing but `clickhouse.tls_ca` is trusted, and the host's name is verified in every case.
//! * Proxies of the environment are not used: rows must not leave by another door than the configured one.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::crypto::ring;
use ureq::http::{HeaderValue, Response};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body, BodyReader, SendBody};

use crate::clickhouse::errors;
use crate::config::{ClickHouseConfig, Https};
use crate::error::{Error, ErrorKind, Result};

const IDLE_AGE_MAX: Duration = Duration::from_secs(5);
/// Answers are a few KiB (a save) to a few MiB (the columns of all tables).
const ANSWER_BYTES_MAX: u64 = 256 << 20;

const PASSWORD: &str = "clickhouse.password";
/// How `rustls` begins what it says of a certificate that it does not take.
const UNTRUSTED: &str = "invalid peer certificate";

/// The way to one server, with one account.
#[derive(Debug)]
pub struct Transport {
    agent: Agent,
    url: String,
    user: HeaderValue,
    password: RwLock<HeaderValue>,
    config: ClickHouseConfig,
}

/// An answer that means success.
#[derive(Debug)]
pub struct Answer {
    /// The body.
    pub text: String,
    /// `written_rows` of `X-ClickHouse-Summary`; `None` when the header is missing.
    pub written_rows: Option<u64>,
}

impl Transport {
    /// Prepares connections; makes none yet.
    ///
    /// # Errors
    /// A user or password that no HTTP header can carry.
    pub fn new(config: &ClickHouseConfig, connections: usize) -> Result<Self> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("stream-bridge/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .max_idle_age(IDLE_AGE_MAX)
            .tls_config(config.https.as_ref().map(tls_config).transpose()?.unwrap_or_default())
            .timeout_connect(Some(config.connect_timeout))
            .timeout_send_request(Some(config.request_timeout))
            .timeout_send_body(Some(config.request_timeout))
            .timeout_recv_response(Some(config.request_timeout))
            .timeout_recv_body(Some(config.request_timeout))
            .build()
            .new_agent();
        let user = header_value("clickhouse.user", &config.user)?;
        let password = RwLock::new(header_value(PASSWORD, config.password.expose())?);
        Ok(Self { agent, url: config.url.clone(), user, password, config: config.clone() })
    }

    /// Sends a POST whose body is `parts`, one after another, to `/?parameters`.
    pub fn send(&self, parameters: &str, parts: &[&[u8]]) -> std::result::Result<Response<Body>, ureq::Error> {
        let mut reader = Pieces::new(parts);
        self.agent
            .post(format!("{}/?{parameters}", self.url))
            .header("X-ClickHouse-User", &self.user)
            .header("X-ClickHouse-Key", self.password.read().clone())
            .header("Content-Length", reader.left_bytes)
            .send(SendBody::from_reader(&mut reader))
    }

    /// Reads and judges an answer.
    ///
    /// # Errors
    /// All but an answer that means success.
    pub fn receive(&self, mut response: Response<Body>) -> Result<Answer> {
        let status = response.status().as_u16();
        let header_code = header(&response, "X-ClickHouse-Exception-Code").and_then(|code| code.parse().ok());
        let written_rows = header(&response, "X-ClickHouse-Summary").and_then(written_rows);
        let (bytes, cut) = read(response.body_mut());
        let text = String::from_utf8_lossy(&bytes);
        let exception = errors::exception_after_rows(&text);
        if status != 200 || header_code.is_some() || exception.is_some() {
            let text = exception.unwrap_or(&text);
            return Err(errors::from_answer(status, header_code.or_else(|| errors::code_in(text)), text));
        }
        match cut {
            Some(error) => Err(self.no_answer(&error)),
            None => Ok(Answer { text: text.into_owned(), written_rows }),
        }
    }

    /// Judges an answer by its head and gives its body as a stream.
    ///
    /// # Errors
    /// As [`Transport::receive`], as far as the head tells.
    pub fn open(&self, response: Response<Body>) -> Result<BodyReader<'static>> {
        if response.status().as_u16() == 200 && header(&response, "X-ClickHouse-Exception-Code").is_none() {
            return Ok(response.into_body().into_reader());
        }
        match self.receive(response) {
            Err(error) => Err(error),
            Ok(answer) => Err(self.no_answer(&answer.text)),
        }
    }

    /// Sends a request, and once more when its login was refused and may not be now: a refused login has run nothing.
    pub fn renewing<T>(&self, send: impl Fn() -> Result<T>) -> Result<T> {
        send().or_else(|refusal| if self.is_renewed(&refusal) { send() } else { Err(refusal) })
    }

    /// Whether a refusal may be due to a password that has changed: `clickhouse.password_file` holds another one by now,
    /// which is used from here on.
    fn is_renewed(&self, refusal: &Error) -> bool {
        if refusal.kind != ErrorKind::TargetDenied {
            return false;
        }
        let read_file = |path: &str| std::fs::read_to_string(path).map_err(|error| error.to_string());
        // A file that cannot be read is no news: the refusal is what is told.
        let Ok(Some(now)) = self.config.read_password_again(&read_file) else { return false };
        let Ok(now) = header_value(PASSWORD, now.expose()) else { return false };
        let is_new = *self.password.read() != now;
        *self.password.write() = now;
        is_new
    }

    /// The error of a request that got no answer, or none that is whole.
    pub fn no_answer(&self, error: &dyn std::fmt::Display) -> Error {
        let error = error.to_string();
        let (kind, remedy) = match error.contains(UNTRUSTED) {
            true => (
                ErrorKind::TargetDenied,
                "the server's certificate must be signed by an authority of clickhouse.tls_ca, be within its dates, and \
                 name the host of clickhouse.url",
            ),
            false => (ErrorKind::TargetBusy, "is it running, and reachable from here?"),
        };
        Error::new(kind, format!("ClickHouse at {}: {error}; {remedy}", self.url))
    }
}

/// # Errors
/// A key that was taken as PEM before and is not now.
fn tls_config(https: &Https) -> Result<TlsConfig> {
    let owned = |der: &[u8]| Certificate::from_der(der).to_owned();
    let roots: Vec<Certificate<'static>> = https.authorities.iter().map(|der| owned(der)).collect();
    let identity = https.identity.as_ref().map(|(chain, key)| {
        let chain: Vec<Certificate<'static>> = chain.iter().map(|der| owned(der)).collect();
        let key = PrivateKey::from_pem(key.expose().as_bytes());
        key.map(|key| ClientCert::new_with_certs(&chain, key))
    });
    let identity = identity.transpose();
    let identity = identity
        .map_err(|error| Error::new(ErrorKind::Config, format!("clickhouse.tls_key cannot be used: {error}")))?;
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(identity)
        .build())
}

/// Whether the server may have answered before it had read all, and then closed: `ureq` loses such an answer.
pub fn upload_was_cut(error: &ureq::Error) -> bool {
    let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted];
    matches!(error, ureq::Error::Io(error) if kinds.contains(&error.kind()))
}

fn header_value(key: &str, value: &str) -> Result<HeaderValue> {
    let header = Some(value).filter(|value| value.trim() == *value);
    let Some(mut header) = header.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) else {
        let text =
            format!("{key} begins or ends in a space or holds control characters, which HTTP headers cannot carry");
        return Err(Error::new(ErrorKind::Config, text));
    };
    header.set_sensitive(true);
    Ok(header)
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn written_rows(summary: &str) -> Option<u64> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    let rows = summary.get("written_rows")?;
    rows.as_u64().or_else(|| rows.as_str()?.parse().ok())
}

/// The body as far as it came, and why it ended early.
fn read(body: &mut Body) -> (Vec<u8>, Option<io::Error>) {
    let mut bytes = Vec::new();
    let result = body.as_reader().take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes);
    let too_long = bytes.len() as u64 > ANSWER_BYTES_MAX;
    let cut = result.err().or_else(|| too_long.then(|| io::Error::other("the answer is longer than 256 MiB")));
    (bytes, cut)
}

/// Reads pieces of memory as one stream, filling the reader's buffer across their borders: each read becomes one write
/// to the socket.
struct Pieces<'a> {
    pieces: &'a [&'a [u8]],
    current: &'a [u8],
    left_bytes: usize,
}

impl<'a> Pieces<'a> {
    fn new(pieces: &'a [&'a [u8]]) -> Self {
        Self { pieces, current: &[], left_bytes: pieces.iter().map(|piece| piece.len()).sum() }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() && self.left_bytes > 0 {
            if self.current.is_empty() {
                // Never Ok(0) before the announced length: `ureq` would ask again without end.
                let Some((first, rest)) = self.pieces.split_first() else {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                };
                (self.current, self.pieces) = (first, rest);
            }
            let count = self.current.read(out.get_mut(filled..).unwrap_or_default())?;
            filled += count;
            self.left_bytes -= count;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fill_the_buffer_across_pieces() {
        let pieces: [&[u8]; 4] = [b"ab", b"", b"cde", b"f"];
        let mut reader = Pieces::new(&pieces);
        assert_eq!(reader.left_bytes, 6);
        let mut out = [0; 4];
        assert_eq!(reader.read(&mut out).unwrap(), 4);
        assert_eq!(&out, b"abcd");
        assert_eq!(reader.read(&mut out).unwrap(), 2);
        assert_eq!(&out[..2], b"ef");
        assert_eq!(reader.read(&mut out).unwrap(), 0);
    }

    #[test]
    fn a_short_body_is_an_error_and_no_endless_loop() {
        let pieces: [&[u8]; 1] = [b"ab"];
        let mut reader = Pieces { left_bytes: 3, ..Pieces::new(&pieces) };
        let error = reader.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn texts_that_a_header_would_change_are_refused() {
        for (value, ok) in [("", true), ("päss wörd:%", true), (" x", false), ("x ", false), ("x\ny: z", false)] {
            assert_eq!(header_value("clickhouse.password", value).is_ok(), ok, "{value:?}");
        }
    }

    #[test]
    fn the_summary_holds_numbers_as_texts() {
        assert_eq!(written_rows(r#"{"read_rows":"3","written_rows":"100000"}"#), Some(100_000));
        assert_eq!(written_rows(r#"{"written_rows":7}"#), Some(7));
        assert_eq!(written_rows("nonsense"), None);
    }
}
