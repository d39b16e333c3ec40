//! A proxy in front of MySQL: bytes both ways, and the troubles of a long cable, for all connections at once.
//!
//! So that a connection can be reset and not only closed, the last byte that a client sent stays in the socket unread
//! (it is passed on all the same): closing then resets. A client that goes away is then noticed only when the server next
//! speaks to it, which a dump does with each heartbeat; of a connection that is silent for longer the byte is taken.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::support::servers::MySql;

/// How soon a connection notices that the weather has changed.
const TICK: Duration = Duration::from_millis(5);
const BUFFER_BYTES: usize = 64 << 10;
/// A trickle: so much per tick.
const DROP_BYTES: usize = 256;

/// Longer than a heartbeat.
const SILENCE: Duration = Duration::from_secs(2);

/// What the cable does to its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Each ends when so many more bytes came from the server, amid whatever that is.
    Cut { after_bytes: u64 },
    /// What comes from the server waits for so long.
    Delay { ms: u64 },
    /// It comes by drops.
    Trickle,
    /// Nothing comes or goes any more, for as long as the connection lives, and nobody is told.
    HalfOpen,
    /// Each is reset.
    Reset,
}

/// Listens until the process ends.
pub struct Cable {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    trouble: Trouble,
    links: Vec<Arc<Link>>,
}

/// A connection; both its threads have it, and closing is what the last of them does.
struct Link {
    client: TcpStream,
    server: TcpStream,
    has_ended: AtomicBool,
    is_dead: AtomicBool,
    /// When the server last spoke.
    spoke_at: Mutex<Instant>,
}

impl Cable {
    /// To this server, in fine weather.
    pub fn start(mysql: &MySql) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { trouble: Trouble::None, links: Vec::new() }));
        let (server, shared) = (format!("{}:{}", mysql.address.host, mysql.address.port), Arc::clone(&state));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is away: the client's connection ends at once.
                let _ = connect(client, &server, &shared);
            }
        });
        Self { port, state }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on.
    pub fn set(&self, trouble: Trouble) {
        self.state.lock().trouble = trouble;
    }

    /// Ends all connections: those whose client is gone, and half-open ones.
    pub fn hang_up(&self) {
        self.state.lock().links.drain(..).for_each(|link| link.close());
    }
}

fn connect(client: TcpStream, server: &str, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(10 * TICK))?;
    }
    let (has_ended, is_dead, spoke_at) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::new(Instant::now()));
    let link = Arc::new(Link { client, server, has_ended, is_dead, spoke_at });
    let links = &mut state.lock().links;
    links.retain(|link| !link.has_ended.load(Ordering::Relaxed));
    links.push(Arc::clone(&link));
    for direction in [down, up] {
        let (link, state) = (Arc::clone(&link), Arc::clone(state));
        thread::spawn(move || {
            let reset = direction(&link, &state).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
            if !reset {
                link.close();
            }
            link.has_ended.store(true, Ordering::Relaxed);
            // Its sockets are closed when nobody has them.
            state.lock().links.retain(|other| !Arc::ptr_eq(other, &link));
        });
    }
    Ok(())
}

impl Link {
    /// In order, not by a reset: nothing may lie unread.
    fn close(&self) {
        let _ = (&self.client).read(&mut [0; BUFFER_BYTES]);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// What the cable does now; an error once the connection is to end.
    fn weather(&self, state: &Mutex<State>) -> io::Result<Trouble> {
        let trouble = state.lock().trouble;
        match trouble {
            Trouble::Reset => return Err(ErrorKind::ConnectionReset.into()),
            Trouble::HalfOpen => self.is_dead.store(true, Ordering::Relaxed),
            _ => {}
        }
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.is_dead.load(Ordering::Relaxed) {
            thread::sleep(TICK);
            return Ok(Trouble::HalfOpen);
        }
        Ok(trouble)
    }
}

/// From the server to the client.
fn down(link: &Link, state: &Mutex<State>) -> io::Result<()> {
    let (mut buffer, mut since_cut) = (vec![0; BUFFER_BYTES], 0);
    loop {
        let trouble = link.weather(state)?;
        if trouble == Trouble::HalfOpen {
            continue;
        }
        let len = match (&link.server).read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        *link.spoke_at.lock() = Instant::now();
        let Trouble::Cut { after_bytes } = trouble else {
            since_cut = 0;
            drip(link, state, &buffer[..len])?;
            continue;
        };
        let left = usize::try_from(after_bytes - since_cut).unwrap();
        write(link, state, &buffer[..len.min(left)])?;
        if len >= left {
            return Ok(());
        }
        since_cut += len as u64;
    }
}

/// As fast as the weather lets it.
fn drip(link: &Link, state: &Mutex<State>, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = match link.weather(state)? {
            Trouble::Trickle => {
                thread::sleep(TICK);
                rest.len().min(DROP_BYTES)
            }
            Trouble::Delay { ms } => {
                thread::sleep(Duration::from_millis(ms));
                rest.len()
            }
            Trouble::HalfOpen => return Ok(()),
            Trouble::None | Trouble::Cut { .. } | Trouble::Reset => rest.len(),
        };
        write(link, state, &rest[..len])?;
        rest = &rest[len..];
    }
    Ok(())
}

/// A client that does not read may make us wait for long.
fn write(link: &Link, state: &Mutex<State>, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        if link.weather(state)? == Trouble::HalfOpen {
            return Ok(());
        }
        match (&link.client).write(rest) {
            Ok(len) => rest = &rest[len..],
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// From the client to the server, all but for the last byte taken out of the socket.
fn up(link: &Link, state: &Mutex<State>) -> io::Result<()> {
    let (mut buffer, mut passed) = (vec![0; BUFFER_BYTES], 0);
    loop {
        if link.weather(state)? == Trouble::HalfOpen {
            continue;
        }
        let len = match link.client.peek(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        if len == passed {
            if link.spoke_at.lock().elapsed() > SILENCE {
                (&link.client).read_exact(&mut buffer[..1])?;
                passed = 0;
            }
            thread::sleep(TICK);
            continue;
        }
        (&link.server).write_all(&buffer[passed..len])?;
        (&link.client).read_exact(&mut buffer[..len - 1])?;
        passed = 1;
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
