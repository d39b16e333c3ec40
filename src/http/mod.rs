//! The HTTP interface: what the pipeline does, for people and programs, and what an operator asks of it.
//!
//! One loop over connections, one request each; `interface` has the answers. Sockets do not block, so nobody waits for a
//! slow client: each has [`CLIENT_TIME`] from accept to the last byte of the answer, however it dribbles, and when there are
//! more than [`CLIENTS_MAX`], the one that has been there longest goes. While there is none the loop sleeps in accept.
//! Nothing that a client does ends the loop. The engine gives the loop its thread (I9) and ends it with [`Listener::stop`].

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
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
/// Clients at a time; 12 KiB each at most, and an answer.
const CLIENTS_MAX: usize = 64;
/// How often clients are looked at that are not done.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
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
        let mut clients = VecDeque::new();
        while !self.stopped.load(Ordering::Relaxed) {
            let is_new = self.accept(&mut clients);
            clients.retain_mut(|client| client.goes_on(interface, is_loopback));
            if !is_new && !clients.is_empty() {
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
    }

    /// Takes the next client, if there is one; waits for it only while nobody else is served.
    fn accept(&self, clients: &mut VecDeque<Client>) -> bool {
        let accepted = self.socket.set_nonblocking(!clients.is_empty()).and_then(|()| self.socket.accept());
        match accepted.and_then(|(socket, _)| socket.set_nonblocking(true).map(|()| socket)) {
            Ok(socket) => {
                if clients.len() == CLIENTS_MAX {
                    clients.pop_front();
                }
                clients.push_back(Client::new(socket));
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                std::thread::sleep(ACCEPT_PAUSE);
                false
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

/// A client that is not answered yet.
struct Client {
    socket: TcpStream,
    deadline: Instant,
    received: Vec<u8>,
    /// Empty until there is one.
    answer: Vec<u8>,
    sent: usize,
}

impl Client {
    fn new(socket: TcpStream) -> Self {
        let deadline = Instant::now() + CLIENT_TIME;
        Self { socket, deadline, received: Vec::new(), answer: Vec::new(), sent: 0 }
    }

    /// Does what can be done now; false once it is over. A client that fails harms only itself.
    fn goes_on(&mut self, interface: &Interface, is_loopback: bool) -> bool {
        let waits = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
        let served = self.serve(interface, is_loopback);
        served.is_err_and(|error| waits.contains(&error.kind())) && Instant::now() < self.deadline
    }

    fn serve(&mut self, interface: &Interface, is_loopback: bool) -> io::Result<()> {
        while self.answer.is_empty() {
            self.receive()?;
            if let Some(request) = request::parse(&self.received) {
                let answer = request.map_or_else(|refusal| refusal, |request| interface.answer(&request, is_loopback));
                self.answer = bytes_of(&answer);
            }
        }
        while let Some(rest) = self.answer.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.sent += self.socket.write(rest)?;
        }
        self.socket.shutdown(Shutdown::Write)
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut piece = [0; 1024];
        let length = self.socket.read(&mut piece)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received.extend(piece.iter().take(length));
        Ok(())
    }
}

fn bytes_of(answer: &Answer) -> Vec<u8> {
    let Answer { code, content_type, body, allow } = answer;
    let allow = allow.map_or(String::new(), |methods| format!("Allow: {methods}\r\n"));
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HttpConfig, Secret};
    use crate::metrics::{Picture, Status};
    use request::HEAD_BYTES_MAX;
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
            assert!(waited < CLIENT_TIME / 2, "{waited:?}");
        });
    }

    /// Each dribbles byte after byte, for ever: slowloris.
    #[test]
    fn many_slow_clients_do_not_keep_others_out() {
        with_listener(Status::starting(), |address| {
            let mut slow: Vec<_> = (0..3 * CLIENTS_MAX).map(|_| TcpStream::connect(address).unwrap()).collect();
            let mut served = Vec::new();
            for _ in 0..20 {
                // Those that were sent away fail.
                slow.iter_mut().for_each(|client| drop(client.write(b"G")));
                let asked = Instant::now();
                assert!(ask(address, "GET /status HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
                served.push(asked.elapsed());
            }
            assert!(served.iter().all(|waited| *waited < CLIENT_TIME / 2), "{served:?}");
        });
    }

    #[test]
    fn a_slow_client_is_served_within_its_time_and_no_longer() {
        with_listener(Status::starting(), |address| {
            let mut client = TcpStream::connect(address).unwrap();
            for byte in b"GET /status HTTP/1.1\r\n\r\n" {
                client.write_all(&[*byte]).unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            let (mut silent, begun) = (TcpStream::connect(address).unwrap(), Instant::now());
            assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "it is sent away");
            assert!(begun.elapsed() > CLIENT_TIME / 2, "{:?}", begun.elapsed());
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
