//! The HTTP interface: what the pipeline does, for people and programs, and what an operator asks of it.
//!
//! One blocking loop over connections, one request each; `interface` has the answers. A client has [`CLIENT_TIME`] from
//! accept to the last byte of the answer, however it dribbles, so a slow one cannot keep the others out for longer.
//! Nothing that a client does ends the loop. The engine gives the loop its thread (I9) and ends it with [`Listener::stop`].

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

mod interface;
mod prometheus;
mod request;
pub mod running;

use interface::Answer;
pub use interface::Interface;

/// From accept to the end of the answer.
const CLIENT_TIME: Duration = Duration::from_secs(2);
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
    pub fn run(&self, interface: &Interface) {
        let is_loopback = self.address.ip().is_loopback();
        while !self.stopped.load(Ordering::Relaxed) {
            match self.socket.accept() {
                // A client that fails harms only itself.
                Ok((client, _)) => drop(serve(client, interface, is_loopback)),
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

fn serve(mut client: TcpStream, interface: &Interface, is_loopback: bool) -> io::Result<()> {
    let deadline = Instant::now() + CLIENT_TIME;
    let answer = match request::read(&mut client, deadline)? {
        Ok(request) => interface.answer(&request, is_loopback),
        Err(refusal) => refusal,
    };
    write_answer(&mut client, &answer, deadline)
}

fn write_answer(client: &mut TcpStream, answer: &Answer, deadline: Instant) -> io::Result<()> {
    let Answer { code, content_type, body, allow } = answer;
    let allow = allow.map_or(String::new(), |methods| format!("Allow: {methods}\r\n"));
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
    use crate::config::{HttpConfig, Secret};
    use crate::metrics::{Picture, Status};
    use request::HEAD_BYTES_MAX;
    use std::io::Read;
    use std::sync::Arc;

    const STUCK_AFTER: Duration = Duration::from_secs(60);

    /// Stops also when the client's assertions fail, so that the test ends.
    struct StopAtEnd<'a>(&'a Listener);

    impl Drop for StopAtEnd<'_> {
        fn drop(&mut self) {
            self.0.stop();
        }
    }

    /// Runs a listener around `client`, which gets its address; returns when both have ended.
    fn with_listener<T>(status: Status, client: impl FnOnce(SocketAddr) -> T) -> T {
        let listener = bind("127.0.0.1:0").unwrap().unwrap();
        let config = HttpConfig { listen: String::new(), token: Secret::default(), stuck_after: STUCK_AFTER };
        let (commands, _inbox) = crossbeam_channel::unbounded();
        let interface = Interface::new(Arc::new(status), commands, config);
        std::thread::scope(|scope| {
            scope.spawn(|| listener.run(&interface));
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
        let answer = with_listener(Status::starting(), |address| ask(address, request));
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(part), "{request:?}: {answer}");
    }

    #[test]
    fn answers_by_path_and_method() {
        check("GET /status HTTP/1.1\r\n\r\n", "200", "{\"state\":\"starting\"");
        check("GET /status?pretty HTTP/1.1\r\nHost: x\r\n\r\n", "200", "application/json");
        check("GET /healthz HTTP/1.1\r\n\r\n", "503", "state is starting");
        check("POST /status HTTP/1.1\r\n\r\n", "405", "Allow: GET");
        check("GET / HTTP/1.1\r\n\r\n", "404", "/healthz");
        check("GET /resync HTTP/1.1\r\n\r\n", "405", "Allow: POST");
        check("POST /resync HTTP/1.1\r\nContent-Length: 3\r\n\r\na.b", "503", "starting");
        check("POST /resync HTTP/1.1\r\nContent-Length: 99999\r\n\r\na.b", "413", "Content-Length");
        check("\x01\x02\r\n\r\n", "400", "");
        let start = "GET / HTTP/1.1\r\nA: ";
        check(&format!("{start}{}", "x".repeat(HEAD_BYTES_MAX - start.len())), "431", "8 KiB");
    }

    #[test]
    fn healthy_while_streaming() {
        let status = Status::starting();
        let streaming = Picture { state: "streaming".to_owned(), ..Picture::default() };
        status.draw(streaming, Instant::now());
        let answer = with_listener(status, |address| ask(address, "GET /healthz HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }

    #[test]
    fn a_silent_client_and_a_rude_one_do_not_keep_others_out() {
        with_listener(Status::starting(), |address| {
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
