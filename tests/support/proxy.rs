//! A proxy in front of ClickHouse that does to single requests what networks do: a rule picks a request, its fate follows.
//! Requests that no rule picks meet the weather, which is fine until [`Proxy::set_weather`] says otherwise.
//!
//! Requests are told apart by `Content-Length`, so a client may keep its connection; answers are passed on as they come,
//! unread. What was kept of a request is all of its bytes: [`Proxy::release`] delivers exactly them, whenever the test says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::bridge::PATIENCE;
use super::servers::{ClickHouse, unescape};
use super::wait_until;

/// So much of a body is shown to the rules: statements are shorter, rows do not matter.
const BODY_HEAD_BYTES: usize = 64 << 10;

/// How often it is looked for connections.
const POLL: Duration = Duration::from_millis(2);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is delivered and answered.
    Pass,
    /// The same, and a copy is kept.
    Copy,
    /// The client's connection is reset without an answer; the request is kept and not delivered.
    Hold,
    /// The same, and it is delivered after so many milliseconds: a request that outlives its connection.
    Zombie(u64),
    /// It is delivered and answered, and delivered once more after so many milliseconds.
    Twice(u64),
    /// The client's connection is reset without an answer; the request is not delivered.
    Drop,
    /// It is delivered; instead of the answer the client sees a reset.
    DropAnswer,
    /// It is not delivered, and never answered.
    Hang,
    /// It is delivered, and never answered.
    HangAnswer,
    /// Half of it is delivered before both connections end.
    Truncate,
    /// It is not delivered: this HTTP status is the answer, and ClickHouse's error code if one is named.
    Answer(u16, Option<u32>),
    /// It is not delivered: the answer has status 200 and an exception in its body, as when a server fails late.
    LateException,
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

/// The fates of requests that no rule picks, by their texts.
pub type Weather = Box<dyn FnMut(&str) -> Fate + Send>;

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    kept: Vec<Request>,
    weather: Option<Weather>,
    /// Nobody listens.
    refuses: bool,
    /// Requests that will still be delivered.
    late: usize,
    /// Those wait no longer.
    hurries: bool,
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
        thread::spawn(move || accept(port, listener, &server, &state));
        proxy
    }

    /// The fates of all requests from now on; None for fine weather.
    pub fn set_weather(&self, weather: Option<Weather>) {
        self.state.lock().weather = weather;
    }

    /// Whether connections are refused, and requests of those that there are reset.
    pub fn set_refuses(&self, refuses: bool) {
        self.state.lock().refuses = refuses;
    }

    /// Delivers now whatever is still to be delivered, and waits for it.
    ///
    /// # Panics
    /// When the server does not take it.
    pub fn deliver_late_ones(&self) {
        self.state.lock().hurries = true;
        wait_until("late requests to be delivered", PATIENCE, || self.state.lock().late == 0);
        self.state.lock().hurries = false;
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
        let answer = deliver(&self.server, &request.bytes).unwrap();
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

/// Over a connection of its own; the answer.
fn deliver(server: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(server)?;
    server.set_read_timeout(Some(PATIENCE))?;
    server.write_all(bytes)?;
    // No further request comes: the server closes after its answer.
    server.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Delivers a request after a while, as soon as the server is there.
fn deliver_late(server: String, state: Arc<Mutex<State>>, request: Request, after_ms: u64) {
    state.lock().late += 1;
    thread::spawn(move || {
        let due = Instant::now() + Duration::from_millis(after_ms);
        while Instant::now() < due && !state.lock().hurries {
            thread::sleep(POLL);
        }
        let deadline = Instant::now() + PATIENCE;
        while deliver(&server, &request.bytes).is_err() && Instant::now() < deadline {
            thread::sleep(10 * POLL);
        }
        state.lock().late -= 1;
    });
}

/// While connections are refused, nobody listens at the port.
fn accept(port: u16, listener: TcpListener, server: &str, state: &Arc<Mutex<State>>) {
    let mut open = Some(listener);
    thread::scope(|scope| {
        loop {
            if state.lock().refuses {
                open = None;
            } else if open.is_none() {
                open = TcpListener::bind(("127.0.0.1", port)).ok();
            }
            let client = open.as_ref().and_then(|listener| {
                listener.set_nonblocking(true).ok()?;
                Some(listener.accept().ok()?.0)
            });
            match client {
                // Either side may end its connection at any time, as without us.
                Some(client) => drop(scope.spawn(move || serve(client, server, state))),
                None => thread::sleep(POLL),
            }
        }
    });
}

/// One connection, until either side ends it or a request's fate does.
fn serve(mut client: TcpStream, server: &str, state: &Arc<Mutex<State>>) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let mut connection = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    connection.set_nodelay(true)?;
    let answers = (connection.try_clone()?, client.try_clone()?);
    let answers = thread::spawn(move || pass_on(answers.0, &answers.1));
    let ended = relay(&mut client, &mut connection, server, state);
    let _ = connection.shutdown(Shutdown::Both);
    let _ = answers.join();
    let held = ended.and_then(|(request, fate)| end(client, server, state, request, fate));
    state.lock().kept.extend(held?);
    Ok(())
}

fn pass_on(mut server: TcpStream, mut client: &TcpStream) {
    let _ = io::copy(&mut server, &mut client);
    // Ends the wait for a further request, and says nothing to the client yet.
    let _ = client.shutdown(Shutdown::Read);
}

/// Delivers request after request; the one whose fate ends the connection. The last byte of its body still lies unread.
fn relay(
    client: &mut TcpStream,
    connection: &mut TcpStream,
    server: &str,
    state: &Arc<Mutex<State>>,
) -> io::Result<(Request, Fate)> {
    loop {
        let request = read_request(client)?;
        let fate = fate(state, &request.text());
        match fate {
            Fate::Pass => {}
            Fate::Copy => state.lock().kept.push(request.clone()),
            Fate::Twice(after_ms) => {
                deliver_late(server.to_owned(), Arc::clone(state), request.clone(), after_ms);
            }
            _ => return Ok((request, fate)),
        }
        take_last_byte(client, &request)?;
        connection.write_all(&request.bytes)?;
    }
}

fn take_last_byte(client: &mut TcpStream, request: &Request) -> io::Result<()> {
    if request.bytes.len() > request.body_start {
        client.read_exact(&mut [0])?;
    }
    Ok(())
}

/// A fate that ends the client's connection; the request if it is to be kept. With the last byte unread, closing the
/// socket resets the connection.
fn end(
    mut client: TcpStream,
    server: &str,
    state: &Arc<Mutex<State>>,
    request: Request,
    fate: Fate,
) -> io::Result<Option<Request>> {
    match fate {
        Fate::Hold => {
            drop(client);
            return Ok(Some(request));
        }
        Fate::Zombie(after_ms) => {
            drop(client);
            deliver_late(server.to_owned(), Arc::clone(state), request, after_ms);
        }
        Fate::DropAnswer => {
            // Answered or not: the client does not learn it.
            let _ = deliver(server, &request.bytes);
        }
        Fate::HangAnswer => {
            let _ = deliver(server, &request.bytes);
            hang(client, &request)?;
        }
        Fate::Hang => hang(client, &request)?,
        Fate::Truncate => {
            let half = request.body_start + (request.bytes.len() - request.body_start) / 2;
            TcpStream::connect(server)?.write_all(&request.bytes[..half])?;
        }
        Fate::Answer(status, code) => {
            take_last_byte(&mut client, &request)?;
            client.write_all(refusal(status, code).as_bytes())?;
        }
        Fate::LateException => {
            take_last_byte(&mut client, &request)?;
            client.write_all(late_exception().as_bytes())?;
        }
        Fate::Drop | Fate::Pass | Fate::Copy | Fate::Twice(_) => {}
    }
    Ok(None)
}

/// Says nothing until the client has given up.
fn hang(mut client: TcpStream, request: &Request) -> io::Result<()> {
    take_last_byte(&mut client, request)?;
    client.read(&mut [0]).map(drop)
}

fn refusal(status: u16, code: Option<u32>) -> String {
    let Some(code) = code else {
        let page = format!("<html><head><title>{status}</title></head><body>nginx</body></html>");
        let bytes = page.len();
        return format!(
            "HTTP/1.1 {status} Away\r\nContent-Type: text/html\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{page}"
        );
    };
    let text = format!("Code: {code}. DB::Exception: Said by the tests' proxy. (CODE_{code})\n");
    let bytes = text.len();
    format!(
        "HTTP/1.1 {status} Failed\r\nX-ClickHouse-Exception-Code: {code}\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{text}"
    )
}

/// As a server of 25.11 and newer writes it, that has counted its rows already.
fn late_exception() -> String {
    let message = "Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)";
    let tag = "rnywjxudxfnkhdoy";
    let (text, summary) = (
        format!("\r\n__exception__\r\n{tag}\r\n{message}\n{} {tag}\r\n__exception__\r\n", message.len() + 1),
        r#"{"written_rows":"100000000","written_bytes":"1"}"#,
    );
    let bytes = text.len();
    format!(
        "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {summary}\r\nX-ClickHouse-Exception-Tag: {tag}\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{text}"
    )
}

fn fate(state: &Mutex<State>, text: &str) -> Fate {
    let mut state = state.lock();
    if let Some(rule) = state.rules.iter().position(|rule| (rule.matches)(text)) {
        return state.rules.remove(rule).fate;
    }
    if state.refuses {
        return Fate::Drop;
    }
    state.weather.as_mut().map_or(Fate::Pass, |weather| weather(text))
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
