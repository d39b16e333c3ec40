//! A proxy in front of ClickHouse that does to single requests what networks do: a rule picks a request, its fate follows.
//!
//! Requests are told apart by `Content-Length`, so a client may keep its connection; answers are passed on as they come,
//! unread. What was kept of a request is all of its bytes: [`Proxy::release`] delivers exactly them, whenever the test says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::bridge::PATIENCE;
use super::servers::{ClickHouse, unescape};
use super::wait_until;

/// So much of a body is shown to the rules: statements are shorter, rows do not matter.
const BODY_HEAD_BYTES: usize = 64 << 10;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is delivered and answered.
    Pass,
    /// The same, and a copy is kept.
    Copy,
    /// The client's connection is reset without an answer; the request is kept and not delivered.
    Hold,
}

/// One HTTP request, whole.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    body_start: usize,
}

impl Request {
    /// URL, parameters in plain text, and the beginning of the body: the statement is in one of them.
    pub fn text(&self) -> String {
        let (head, body) = self.bytes.split_at(self.body_start);
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let body = &body[..body.len().min(BODY_HEAD_BYTES)];
        format!("{}\n{}", unescape(&String::from_utf8_lossy(line)), String::from_utf8_lossy(body))
    }
}

/// The server's answer to a request that was released.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `X-ClickHouse-Exception-Code`.
    pub code: Option<u32>,
    /// All of it, for messages.
    pub text: String,
}

/// A rule is good for one request.
struct Rule {
    fate: Fate,
    matches: Box<dyn Fn(&str) -> bool + Send>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    kept: Vec<Request>,
}

/// Listens until the process ends.
pub struct Proxy {
    port: u16,
    server: String,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// In front of this server; everything passes.
    pub fn start(clickhouse: &ClickHouse) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = format!("{}:{}", clickhouse.address.host, clickhouse.address.port);
        let proxy = Self { port, server, state: Arc::default() };
        let (server, state) = (proxy.server.clone(), Arc::clone(&proxy.state));
        thread::spawn(move || accept(&listener, &server, &state));
        proxy
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server as it is reached through the proxy.
    pub fn clickhouse(&self, clickhouse: &ClickHouse) -> ClickHouse {
        let mut through = clickhouse.clone();
        "127.0.0.1".clone_into(&mut through.address.host);
        through.address.port = self.port;
        through
    }

    /// The fate of the next request whose [`Request::text`] is so.
    pub fn next(&self, fate: Fate, matches: impl Fn(&str) -> bool + Send + 'static) {
        self.state.lock().rules.push(Rule { fate, matches: Box::new(matches) });
    }

    /// The oldest request that was kept; waits for it.
    pub fn kept(&self) -> Request {
        wait_until("a request that is kept", PATIENCE, || !self.state.lock().kept.is_empty());
        self.state.lock().kept.remove(0)
    }

    /// Delivers a request that was kept, over a connection of its own.
    pub fn release(&self, request: &Request) -> Answer {
        let mut server = TcpStream::connect(&self.server).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        server.write_all(&request.bytes).unwrap();
        // No further request comes: the server closes after its answer.
        server.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).unwrap();
        Answer::parse(&String::from_utf8_lossy(&answer))
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let code = header(text, "X-ClickHouse-Exception-Code").and_then(|code| code.parse().ok());
        Self { status: status.unwrap_or_else(|| panic!("no HTTP answer: {text:?}")), code, text: text.to_owned() }
    }
}

fn accept(listener: &TcpListener, server: &str, state: &Mutex<State>) {
    thread::scope(|scope| {
        for client in listener.incoming() {
            scope.spawn(move || {
                // Either side may end its connection at any time, as without us.
                let _ = client.and_then(|client| serve(client, server, state));
            });
        }
    });
}

/// One connection, until either side ends it or a request is held.
fn serve(mut client: TcpStream, server: &str, state: &Mutex<State>) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let answers = (server.try_clone()?, client.try_clone()?);
    let answers = thread::spawn(move || pass_on(answers.0, &answers.1));
    let held = relay(&mut client, &mut server, state);
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
    // The last byte of a request that is held still lies unread: closing the socket now resets the connection.
    drop(client);
    state.lock().kept.extend(held?);
    Ok(())
}

fn pass_on(mut server: TcpStream, mut client: &TcpStream) {
    let _ = io::copy(&mut server, &mut client);
    // Ends the wait for a further request, and says nothing to the client yet.
    let _ = client.shutdown(Shutdown::Read);
}

/// Delivers request after request; the one that is to be held.
fn relay(client: &mut TcpStream, server: &mut TcpStream, state: &Mutex<State>) -> io::Result<Option<Request>> {
    loop {
        let request = read_request(client)?;
        let fate = fate(state, &request.text());
        if fate == Fate::Hold {
            return Ok(Some(request));
        }
        if request.bytes.len() > request.body_start {
            client.read_exact(&mut [0])?;
        }
        if fate == Fate::Copy {
            state.lock().kept.push(request.clone());
        }
        server.write_all(&request.bytes)?;
    }
}

fn fate(state: &Mutex<State>, text: &str) -> Fate {
    let rules = &mut state.lock().rules;
    let rule = rules.iter().position(|rule| (rule.matches)(text));
    rule.map_or(Fate::Pass, |rule| rules.remove(rule).fate)
}

/// A whole request; the last byte of its body is looked at and stays in the socket.
fn read_request(client: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        bytes.extend(byte);
    }
    let body_start = bytes.len();
    let length = header(&String::from_utf8_lossy(&bytes), "Content-Length").map(|length| length.parse());
    let Some(last) = length.transpose().map_err(io::Error::other)?.unwrap_or(0_usize).checked_sub(1) else {
        return Ok(Request { bytes, body_start });
    };
    bytes.resize(body_start + last, 0);
    client.read_exact(&mut bytes[body_start..])?;
    let mut byte = [0];
    if client.peek(&mut byte)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    bytes.extend(byte);
    Ok(Request { bytes, body_start })
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.split("\r\n\r\n").next()?;
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}
