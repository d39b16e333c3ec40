//! A proxy in front of MySQL that does to connections what networks do: it falls silent without closing anything.
//!
//! A silent connection is half open for both ends: what either sends is swallowed, and the end of one is not told to the
//! other. Connections that are made later pass. What the server sent through it is counted.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::bridge::Config;
use super::servers::MySql;

/// Listens until the process ends.
pub struct MysqlProxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// One for each connection so far: whether it is silent.
    connections: Mutex<Vec<Arc<AtomicBool>>>,
    bytes_from_server: AtomicU64,
}

impl MysqlProxy {
    /// In front of this server; everything passes.
    pub fn start(mysql: &MySql) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = format!("{}:{}", mysql.address.host, mysql.address.port);
        let state = Arc::<State>::default();
        let proxy = Self { port, state: Arc::clone(&state) };
        thread::spawn(move || listener.incoming().for_each(|client| accept(client.unwrap(), &server, &state)));
        proxy
    }

    /// Has the bridge reach MySQL through it.
    pub fn lead(&self, config: &mut Config) {
        config.set("mysql.host", "127.0.0.1").set("mysql.port", i64::from(self.port));
    }

    /// All connections that there are fall silent, for ever.
    pub fn silence(&self) {
        self.state.connections.lock().iter().for_each(|silent| silent.store(true, Ordering::SeqCst));
    }

    /// What the server has sent through it.
    pub fn bytes_from_server(&self) -> u64 {
        self.state.bytes_from_server.load(Ordering::SeqCst)
    }
}

fn accept(client: TcpStream, server: &str, state: &Arc<State>) {
    let server = TcpStream::connect(server).unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let silent = Arc::<AtomicBool>::default();
    state.connections.lock().push(Arc::clone(&silent));
    let (to_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (is_silent, counted) = (Arc::clone(&silent), Arc::clone(state));
    thread::spawn(move || forward(server, to_client, &is_silent, &counted.bytes_from_server));
    thread::spawn(move || forward(client, to_server, &silent, &AtomicU64::new(0)));
}

fn forward(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool, bytes: &AtomicU64) {
    let mut buffer = [0; 16 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if silent.load(Ordering::SeqCst) {
            continue;
        }
        bytes.fetch_add(len as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    if silent.load(Ordering::SeqCst) {
        // Neither end hears of it as long as the other is open.
        std::mem::forget(to);
    } else {
        let _ = to.shutdown(Shutdown::Both);
    }
}
