//! MySQL's answers as the product's own connection reads them: login, answers to queries, a dump; over a Unix socket.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use stream_bridge::config::{Files, MysqlConfig, OnLostPosition, Secret, Start, Tls};
use stream_bridge::message::Budget;
use stream_bridge::mysql::connection::Connection;
use stream_bridge::mysql::dump::{Dump, Incoming};
use stream_bridge::position::Position;

const QUERIES: [&str; 3] = [
    "SELECT 1, NULL, 'text', repeat('x', 300)",
    "SELECT * FROM performance_schema.session_variables LIMIT 5",
    "no SQL",
];

/// What the client does once it has logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Asks [`QUERIES`].
    Queries,
    /// Reads the binary log.
    Dump,
}

/// A client over this socket.
pub fn config(socket: &Path, user: &str, password: &str, patience: Duration) -> MysqlConfig {
    MysqlConfig {
        host: "localhost".to_owned(),
        port: 0,
        socket: Some(socket.to_string_lossy().into_owned()),
        user: user.to_owned(),
        password: Secret::new(password),
        server_id: 9400,
        tls: Tls::Disabled,
        files: Files::default(),
        start: Start::Current,
        on_lost_position: OnLostPosition::Fail,
        heartbeat: Duration::from_millis(200),
        connect_timeout: patience,
    }
}

/// Runs the script to its end or to the first error; a dump also ends after `patience`. How many answers or chunks came.
pub fn run(script: Script, config: &MysqlConfig, position: &Position, patience: Option<Duration>) -> usize {
    match script {
        Script::Queries => queries(config),
        Script::Dump => dump(config, position, patience),
    }
}

fn queries(config: &MysqlConfig) -> usize {
    let Ok(mut connection) = Connection::open(config) else { return 0 };
    QUERIES.iter().map_while(|sql| connection.ask(sql).ok()).count()
}

fn dump(config: &MysqlConfig, position: &Position, patience: Option<Duration>) -> usize {
    let (started, budget, mut chunks) = (Instant::now(), Budget::new(usize::MAX), 0);
    let Ok(mut dump) = Dump::start(config, uuid::Uuid::nil(), position) else { return 0 };
    while patience.is_none_or(|patience| started.elapsed() < patience) {
        match dump.read(&budget, || None) {
            Ok(Incoming::Chunk(_)) => chunks += 1,
            Ok(Incoming::Quiet) => {}
            Ok(Incoming::Closed) | Err(_) => break,
        }
    }
    chunks
}

/// A server that says what it is told to whoever connects, whatever the client asks.
#[derive(Debug)]
pub struct Parrot {
    folder: tempfile::TempDir,
    words: Sender<Vec<u8>>,
}

impl Parrot {
    /// Starts listening.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let (words, to_say) = channel::<Vec<u8>>();
        std::thread::spawn(move || {
            for bytes in to_say {
                let (mut client, _) = listener.accept().unwrap();
                // The client may be gone before the end.
                let _ = client.write_all(&bytes);
                let _ = client.shutdown(Shutdown::Write);
                let _ = client.read_to_end(&mut Vec::new());
            }
        });
        Self { folder, words }
    }

    /// A client runs the script while the server says `bytes`, then nothing more.
    pub fn say(&self, bytes: Vec<u8>, script: Script) -> usize {
        self.words.send(bytes).unwrap();
        let config = config(&self.folder.path().join("socket"), "right", "secret", Duration::from_secs(5));
        let position = Position { file: "binlog.000002".to_owned(), offset: 4, ..Position::default() };
        run(script, &config, &position, None)
    }
}
