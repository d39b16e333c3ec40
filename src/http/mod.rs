//! `GET /status` and `GET /healthz`: a picture of the pipeline for people and programs.
//!
//! One blocking loop over connections, one request each, read only. A client has [`CLIENT_TIME`] from accept to the last
//! byte of the answer, however it dribbles, so a slow one cannot keep the others out for longer. Nothing that a client does ends
//! the loop. The engine gives the loop its thread (I9) and ends it with [`Listener::stop`].

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::metrics::Status;

/// From accept to the end of the answer.
const CLIENT_TIME: Duration = Duration::from_secs(2);
/// Request line and headers.
const HEAD_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;
/// After a failed accept (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    stopped: AtomicBool,
}

/// Binds `http.listen` (`host:port`); `None` when it is empty, which turns the interface off.
///
/// # Errors
/// The address is unknown or taken.
pub fn bind(listen: &str) -> Result<Option<Listener>> {
    if listen.is_empty() {
        return Ok(None);
    }
    let bound = TcpListener::bind(listen).and_then(|socket| Ok((socket.local_addr()?, socket)));
    let (address, socket) = bound.map_err(|error| {
        let text = format!(
            "cannot listen on {listen} ({error}): does another stream-bridge run? Set http.listen to a free address, or \"\" for none"
        );
        Error::new(ErrorKind::Config, text)
    })?;
    Ok(Some(Listener { socket, address, stopped: AtomicBool::new(false) }))
}

impl Listener {
    /// The bound address (its port when `http.listen` said 0).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until [`Listener::stop`].
    pub fn run(&self, status: &Status, stuck_after: Duration) {
        while !self.stopped.load(Ordering::Relaxed) {
            match self.socket.accept() {
                // A client that fails harms only itself.
                Ok((client, _)) => drop(serve(client, status, stuck_after)),
                Err(_) => std::thread::sleep(ACCEPT_PAUSE),
            }
        }
    }

    /// Ends [`Listener::run`]: accept has no timeout, so a connection of our own wakes it.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        // When it cannot connect because the queue is full, accept returns without it.
        drop(TcpStream::connect_timeout(&address, CLIENT_TIME));
    }
}

fn serve(mut client: TcpStream, status: &Status, stuck_after: Duration) -> io::Result<()> {
    let deadline = Instant::now() + CLIENT_TIME;
    let answer = match read_request(&mut client, deadline)? {
        Ok(request) => answer(&request, status, stuck_after),
        Err(refusal) => refusal,
    };
    write_answer(&mut client, &answer, deadline)
}

struct Request {
    method: String,
    path: String,
}

struct Answer {
    code: &'static str,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn text(code: &'static str, body: impl Into<String>) -> Self {
        Self { code, content_type: "text/plain; charset=utf-8", body: body.into() + "\n" }
    }
}

fn answer(request: &Request, status: &Status, stuck_after: Duration) -> Answer {
    let path = request.path.split('?').next().unwrap_or_default();
    match (path, request.method.as_str()) {
        ("/status", "GET") => match serde_json::to_string(&status.picture()) {
            Ok(body) => Answer { code: "200 OK", content_type: "application/json", body },
            Err(error) => Answer::text("500 Internal Server Error", error.to_string()),
        },
        ("/healthz", "GET") => match status.unhealthy(stuck_after) {
            None => Answer::text("200 OK", "ok"),
            Some(reason) => Answer::text("503 Service Unavailable", reason),
        },
        ("/status" | "/healthz", _) => Answer::text("405 Method Not Allowed", "only GET"),
        _ => Answer::text("404 Not Found", "there are /status and /healthz"),
    }
}

/// The request, or the answer to what is none.
fn read_request(client: &mut TcpStream, deadline: Instant) -> io::Result<std::result::Result<Request, Answer>> {
    let mut head = Vec::with_capacity(1024);
    let mut piece = [0; 1024];
    while head.len() < HEAD_BYTES_MAX {
        client.set_read_timeout(Some(time_left(deadline)?))?;
        let length = client.read(&mut piece)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend(piece.iter().take(length));
        match parse_head(&head) {
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(error) => return Ok(Err(Answer::text("400 Bad Request", error.to_string()))),
        }
    }
    Ok(Err(Answer::text("431 Request Header Fields Too Large", "the request's head is above 8 KiB")))
}

/// The request once its head is complete.
fn parse_head(head: &[u8]) -> std::result::Result<Option<Request>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let is_complete = request.parse(head)?.is_complete();
    Ok(is_complete.then(|| Request {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
    }))
}

fn write_answer(client: &mut TcpStream, answer: &Answer, deadline: Instant) -> io::Result<()> {
    let Answer { code, content_type, body } = answer;
    let allow = if code.starts_with("405") { "Allow: GET\r\n" } else { "" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    let bytes = [head.as_bytes(), body.as_bytes()].concat();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        client.set_write_timeout(Some(time_left(deadline)?))?;
        let written = client.write(rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    client.shutdown(std::net::Shutdown::Write)
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Picture;

    const STUCK_AFTER: Duration = Duration::from_secs(60);

    /// Stops also when the client's assertions fail, so that the test ends.
    struct StopAtEnd<'a>(&'a Listener);

    impl Drop for StopAtEnd<'_> {
        fn drop(&mut self) {
            self.0.stop();
        }
    }

    /// Runs a listener around `client`, which gets its address; returns when both have ended.
    fn with_listener<T>(status: &Status, client: impl FnOnce(SocketAddr) -> T) -> T {
        let listener = bind("127.0.0.1:0").unwrap().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| listener.run(status, STUCK_AFTER));
            let _stop = StopAtEnd(&listener);
            client(listener.address())
        })
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn check(request: &str, code: &str, part: &str) {
        let answer = with_listener(&Status::starting(), |address| ask(address, request));
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(part), "{request:?}: {answer}");
    }

    #[test]
    fn answers_by_path_and_method() {
        check("GET /status HTTP/1.1\r\n\r\n", "200", "{\"state\":\"starting\"");
        check("GET /status?pretty HTTP/1.1\r\nHost: x\r\n\r\n", "200", "application/json");
        check("GET /healthz HTTP/1.1\r\n\r\n", "503", "state is starting");
        check("POST /status HTTP/1.1\r\n\r\n", "405", "Allow: GET");
        check("GET / HTTP/1.1\r\n\r\n", "404", "/healthz");
        check("\x01\x02\r\n\r\n", "400", "");
        let start = "GET / HTTP/1.1\r\nA: ";
        check(&format!("{start}{}", "x".repeat(HEAD_BYTES_MAX - start.len())), "431", "8 KiB");
    }

    #[test]
    fn healthy_while_streaming() {
        let status = Status::starting();
        let streaming = Picture { state: "streaming".to_owned(), ..Picture::default() };
        status.draw(streaming, Instant::now());
        let answer = with_listener(&status, |address| ask(address, "GET /healthz HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }

    #[test]
    fn a_silent_client_and_a_rude_one_do_not_keep_others_out() {
        with_listener(&Status::starting(), |address| {
            let _silent = TcpStream::connect(address).unwrap();
            drop(TcpStream::connect(address).unwrap());
            let asked = Instant::now();
            assert!(ask(address, "GET /status HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
            let waited = asked.elapsed();
            assert!(waited < CLIENT_TIME + Duration::from_secs(1), "{waited:?}");
        });
    }

    #[test]
    fn off_and_taken() {
        assert!(bind("").unwrap().is_none());
        let taken = bind("127.0.0.1:0").unwrap().unwrap();
        let error = bind(&taken.address().to_string()).unwrap_err();
        assert!(error.kind == ErrorKind::Config && error.text.contains("http.listen"), "{error}");
    }
}
