//! The MySQL side against a real server: logins, dumps, reconnects, refusals, facts and checks.
//!
//! Each test has a database, accounts and replica ids of its own; other tests may write to the same binary log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder};
use stream_bridge::config::{Files, MysqlConfig, OnLostPosition, Secret, Start, Tls};
use stream_bridge::error::{Error, ErrorKind, Result};
use stream_bridge::gtid::{Gtid, GtidSet, Tag};
use stream_bridge::message::{Budget, Chunk, FromReader};
use stream_bridge::mysql::checks;
use stream_bridge::mysql::connection::Connection;
use stream_bridge::mysql::dump::{self, Dump, Incoming};
use stream_bridge::mysql::source::Source;
use stream_bridge::mysql::tables;
use stream_bridge::position::Position;
use stream_bridge::reader::Reader;
use stream_bridge::schema::types::{Charset, SourceType, TableName};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);
const GTID: u8 = 33;
const XID: u8 = 16;
const WRITE_ROWS: u8 = 30;

// --- The server ---------------------------------------------------------------------------------------------------

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests by `make test`, which starts the servers"))
}

fn root_options() -> Opts {
    Opts::from_url(&variable("STREAM_BRIDGE_TEST_MYSQL")).expect("STREAM_BRIDGE_TEST_MYSQL is a URL")
}

fn root() -> Conn {
    Conn::new(OptsBuilder::from_opts(root_options()).prefer_socket(false)).expect("root logs in")
}

/// As root over TCP, with a replica id of its own.
fn config(server_id: u32) -> MysqlConfig {
    let options = root_options();
    MysqlConfig {
        host: options.get_ip_or_hostname().into_owned(),
        port: options.get_tcp_port(),
        socket: None,
        user: options.get_user().unwrap_or_default().to_owned(),
        password: Secret::new(options.get_pass().unwrap_or_default()),
        server_id,
        tls: Tls::Disabled,
        files: Files::default(),
        start: Start::Current,
        on_lost_position: OnLostPosition::Fail,
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(5),
    }
}

fn account(user: &str, password: &str) -> MysqlConfig {
    MysqlConfig { user: user.to_owned(), password: Secret::new(password), ..config(9000) }
}

/// An empty database with `t (id, v)`.
fn database(name: &str) -> Conn {
    let mut conn = root();
    for statement in [
        format!("DROP DATABASE IF EXISTS {name}"),
        format!("CREATE DATABASE {name}"),
        format!("USE {name}"),
        "CREATE TABLE t (id BIGINT PRIMARY KEY, v LONGTEXT)".to_owned(),
    ] {
        conn.query_drop(statement).unwrap();
    }
    conn
}

fn user(conn: &mut Conn, name: &str, password: &str, grants: &[&str]) {
    conn.query_drop(format!("DROP USER IF EXISTS '{name}'@'%'")).unwrap();
    conn.query_drop(format!("CREATE USER '{name}'@'%' IDENTIFIED WITH caching_sha2_password BY '{password}'")).unwrap();
    for grant in grants {
        conn.query_drop(format!("GRANT {grant} TO '{name}'@'%'")).unwrap();
    }
}

fn position() -> Position {
    Source::connect(&config(9001)).unwrap().current_position(false).unwrap()
}

fn without_gtid(position: Position) -> Position {
    Position { gtid_set: None, ..position }
}

// --- Dumps --------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    kind: u8,
    offset: u64,
    bytes: Vec<u8>,
}

fn events(chunk: &Chunk) -> Vec<Event> {
    let event = |bytes: &[u8], offset| Event { kind: bytes[4], offset, bytes: bytes.to_vec() };
    chunk.events.iter().map(|span| event(&chunk.bytes[span.start..span.start + span.len], span.offset)).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Reads until an event satisfies `last`; returns all up to it.
fn read_until(dump: &mut Dump, last: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
    let budget = Budget::new(64 << 20);
    let (deadline, mut seen) = (Instant::now() + PATIENCE, Vec::new());
    while Instant::now() < deadline {
        if let Incoming::Chunk(chunk) = dump.read(&budget, || None)? {
            budget.release_chunk(chunk.charged_bytes);
            seen.extend(events(&chunk));
            if let Some(at) = seen.iter().position(&last) {
                seen.truncate(at + 1);
                return Ok(seen);
            }
        }
    }
    panic!("not seen within {PATIENCE:?}; {} events", seen.len());
}

fn start(config: &MysqlConfig, position: &Position) -> Result<Dump> {
    Dump::start(config, Uuid::new_v4(), position)
}

/// The error that a dump from here ends in.
fn refusal(config: &MysqlConfig, position: &Position) -> Error {
    let result = start(config, position).and_then(|mut dump| read_until(&mut dump, |_| false));
    result.expect_err("an error")
}

fn check(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.text.contains(word), "{word:?} is not in: {error}");
    }
}

// --- Logins -------------------------------------------------------------------------------------------------------

#[test]
fn both_paths_of_caching_sha2_password() {
    let mut conn = root();
    let password = format!("päß'wort-{}", "x".repeat(150)).replace('\'', "");
    user(&mut conn, "source_login", &password, &[]);
    let tcp = account("source_login", &password);
    let socket = MysqlConfig { socket: Some(variable("STREAM_BRIDGE_TEST_MYSQL_SOCKET")), ..tcp.clone() };
    for config in [&tcp, &socket] {
        // Without a cached hash the server cannot do with the scramble: it asks for the password itself.
        conn.query_drop("FLUSH PRIVILEGES").unwrap();
        for path in ["full", "fast"] {
            let mut session = Connection::open(config).unwrap_or_else(|error| panic!("{path}: {error}"));
            let rows = session.rows("SELECT CURRENT_USER(), NULL, ''").unwrap();
            assert_eq!(rows, [[Some("source_login@%".to_owned()), None, Some(String::new())]], "{path}");
        }
        let wrong = MysqlConfig { password: Secret::new("wrong"), ..config.clone() };
        check(
            &Connection::open(&wrong).unwrap_err(),
            ErrorKind::SourceRefused,
            &["1045", "source_login", "mysql.password"],
        );
        conn.query_drop("FLUSH PRIVILEGES").unwrap();
        check(&Connection::open(&wrong).unwrap_err(), ErrorKind::SourceRefused, &["1045"]);
    }
    user(&mut conn, "source_empty", "", &[]);
    Connection::open(&account("source_empty", "")).unwrap();
}

#[test]
fn unreachable_servers_are_named() {
    let unknown = MysqlConfig { host: "no-such-host.invalid".to_owned(), ..config(9000) };
    let closed = MysqlConfig { port: 1, ..config(9000) };
    let no_socket = MysqlConfig { socket: Some("/no/such.sock".to_owned()), ..config(9000) };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let silent = MysqlConfig {
        host: "127.0.0.1".to_owned(),
        port: silent_port,
        connect_timeout: Duration::from_millis(300),
        ..config(9000)
    };
    for (config, word) in [
        (&unknown, "no-such-host.invalid"),
        (&closed, "mysql.port"),
        (&no_socket, "/no/such.sock"),
        (&silent, "does not answer"),
    ] {
        check(&Connection::open(config).unwrap_err(), ErrorKind::SourceDown, &[word]);
    }
}

#[test]
fn missing_privileges_name_the_grant() {
    let mut conn = root();
    user(&mut conn, "source_poor", "secret", &[]);
    let poor = account("source_poor", "secret");
    check(&refusal(&poor, &position()), ErrorKind::SourceRefused, &["GRANT REPLICATION SLAVE"]);
    let error = Source::connect(&poor).unwrap().current_position(false).unwrap_err();
    check(&error, ErrorKind::SourceRefused, &["1227", "REPLICATION CLIENT"]);
}

// --- Dumps --------------------------------------------------------------------------------------------------------

#[test]
fn both_dumps_give_the_same_events_at_the_same_offsets() {
    let mut conn = database("source_dump");
    let begin = position();
    for id in 0..20 {
        conn.query_drop(format!("INSERT INTO t VALUES ({id}, 'dump-{id}')")).unwrap();
    }
    let last = |event: &Event| event.kind == WRITE_ROWS && contains(&event.bytes, "dump-19");
    let by_file = read_until(&mut start(&config(9010), &without_gtid(begin.clone())).unwrap(), last).unwrap();
    let by_gtid = read_until(&mut start(&config(9011), &begin).unwrap(), last).unwrap();
    let in_file =
        |events: Vec<Event>| events.into_iter().filter(|event| event.offset >= begin.offset).collect::<Vec<_>>();
    let (by_file, by_gtid) = (in_file(by_file), in_file(by_gtid));
    assert!(by_file.len() >= 20 * 4 && by_file[0].offset == begin.offset);
    for pair in by_file.windows(2) {
        assert_eq!(pair[0].offset + pair[0].bytes.len() as u64, pair[1].offset, "no gap");
    }
    let rows =
        |events: &[Event]| events.iter().filter(|event| contains(&event.bytes, "dump-")).cloned().collect::<Vec<_>>();
    assert_eq!(rows(&by_file), rows(&by_gtid));
    assert_eq!(dump::file_timestamp(&config(9012), &begin.file).unwrap(), begin.file_timestamp);
    assert_ne!(begin.file_timestamp, 0);
}

#[test]
fn an_event_of_20_mb_comes_whole() {
    let mut conn = database("source_large");
    let begin = without_gtid(position());
    conn.query_drop("INSERT INTO t SELECT 1, REPEAT('0123456789abcdef', 20 << 16)").unwrap();
    conn.query_drop("INSERT INTO t VALUES (2, 'after-the-large')").unwrap();
    let mut dump = start(&config(9020), &begin).unwrap();
    let seen = read_until(&mut dump, |event| contains(&event.bytes, "after-the-large")).unwrap();
    let large = seen.iter().find(|event| event.bytes.len() > 20 << 20).expect("the large event");
    let text: Vec<u8> = b"0123456789abcdef".repeat(20 << 16);
    assert!(large.bytes.ends_with(&[&text[..], &large.bytes[large.bytes.len() - 4..]].concat()));
}

#[test]
fn an_event_above_the_budget_enters_alone() {
    let mut conn = database("source_budget");
    let begin = without_gtid(position());
    conn.query_drop("INSERT INTO t SELECT 1, REPEAT('x', 10 << 20)").unwrap();
    let budget = Budget::new(1 << 20);
    let mut dump = start(&config(9025), &begin).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "not seen");
        let Incoming::Chunk(chunk) = dump.read(&budget, || None).unwrap() else { continue };
        let is_large = chunk.events.iter().any(|span| span.len > 10 << 20);
        assert_eq!(is_large, budget.is_spent());
        budget.release_chunk(chunk.charged_bytes);
        if is_large {
            break;
        }
    }
    dump.release(&budget);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn an_idle_server_sends_heartbeats() {
    let mut dump = start(&MysqlConfig { heartbeat: Duration::from_millis(500), ..config(9030) }, &position()).unwrap();
    let seen = read_until(&mut dump, |event| matches!(event.kind, 27 | 41)).unwrap();
    assert_eq!(seen.last().unwrap().offset, 0, "it lies in no file");
}

#[test]
fn every_lost_position_is_told() {
    database("source_lost");
    let here = position();
    let file = |file: &str, offset| Position { file: file.to_owned(), offset, ..without_gtid(here.clone()) };
    let inside = refusal(&config(9040), &file(&here.file, here.offset - 7));
    check(&inside, ErrorKind::LostPosition, &["inside an event"]);
    check(&refusal(&config(9040), &file(&here.file, 4_000_000_000)), ErrorKind::LostPosition, &["> file size"]);
    check(&refusal(&config(9040), &file("binlog.999999", 4)), ErrorKind::LostPosition, &["no longer has"]);
    check(&refusal(&config(9040), &file(&here.file, 5 << 30)), ErrorKind::LostPosition, &["4 GiB", "gtid_mode"]);
    let elsewhere = Position { server_uuid: Uuid::nil().to_string(), ..here.clone() };
    check(&refusal(&config(9040), &elsewhere), ErrorKind::LostPosition, &["another server", &here.server_uuid]);
    let more = GtidSet::parse(&format!("{}:1-999999999", here.server_uuid)).unwrap();
    let ahead = Position { gtid_set: Some(more), ..here };
    check(&refusal(&config(9040), &ahead), ErrorKind::LostPosition, &["lost transactions"]);
}

#[test]
fn a_second_copy_ends_the_first() {
    let (uuid, here) = (Uuid::new_v4(), position());
    let mut first = Dump::start(&config(9050), uuid, &here).unwrap();
    read_until(&mut first, |_| true).unwrap();
    let mut second = Dump::start(&config(9050), uuid, &here).unwrap();
    read_until(&mut second, |_| true).unwrap();
    let error = read_until(&mut first, |_| false).unwrap_err();
    check(&error, ErrorKind::SecondCopy, &["second copy"]);
}

// --- The reader ---------------------------------------------------------------------------------------------------

/// A router that keeps only what was committed: rows by their marker, and where the last transaction ended.
struct FakeRouter {
    inbox: Receiver<FromReader>,
    recycled: Sender<Vec<u8>>,
    budget: Arc<Budget>,
    position: Position,
    gtid: Option<Gtid>,
    open: Vec<String>,
    committed: BTreeSet<String>,
    reconnects: usize,
}

impl FakeRouter {
    fn run_until(&mut self, rows: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.committed.len() < rows {
            match self.inbox.recv_deadline(deadline).expect("the reader goes on") {
                FromReader::Chunk(chunk) => {
                    events(&chunk).iter().for_each(|event| self.event(event));
                    self.budget.release_chunk(chunk.charged_bytes);
                    self.recycled.send(chunk.bytes).unwrap();
                }
                FromReader::Ended(error) => panic!("{error}"),
                FromReader::Reconnecting(_, reply) => {
                    self.reconnects += 1;
                    self.open.clear();
                    reply.send(self.position.clone()).unwrap();
                }
            }
        }
    }

    fn event(&mut self, event: &Event) {
        let body = &event.bytes[19..event.bytes.len() - 4];
        match event.kind {
            4 => {
                (self.position.file, self.position.offset) = (String::from_utf8(body[8..].to_vec()).unwrap(), 4);
                self.position.file_timestamp = 0;
            }
            GTID => {
                self.gtid = Some(Gtid {
                    sid: body[1..17].try_into().unwrap(),
                    tag: Tag::default(),
                    gno: u64::from_le_bytes(body[17..25].try_into().unwrap()),
                })
            }
            WRITE_ROWS if contains(body, "kill-") => {
                self.open.push(String::from_utf8_lossy(&body[body.len() - 9..]).into_owned())
            }
            XID => {
                self.position.offset = event.offset + event.bytes.len() as u64;
                self.committed.extend(self.open.drain(..));
                if let (Some(set), Some(gtid)) = (&mut self.position.gtid_set, self.gtid.take()) {
                    set.add(&gtid);
                }
            }
            _ => {}
        }
    }
}

struct Running {
    router: FakeRouter,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<()>>,
}

fn run_reader(config: MysqlConfig, position: Position) -> Running {
    let (to_router, inbox) = bounded(4);
    let (recycled, used) = unbounded();
    let (budget, stop) = (Arc::new(Budget::new(64 << 20)), Arc::default());
    let reader = Reader { config, budget: Arc::clone(&budget), to_router, recycled: used, stop: Arc::clone(&stop) };
    let router = FakeRouter {
        inbox,
        recycled,
        budget,
        position: position.clone(),
        gtid: None,
        open: Vec::new(),
        committed: BTreeSet::new(),
        reconnects: 0,
    };
    Running { router, stop, thread: thread::spawn(move || reader.run(position)) }
}

/// Kills the dump of this account as soon as it is another connection than the last killed; returns its id.
fn kill_next(conn: &mut Conn, account: &str, killed: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let dump = format!(
        "SELECT id FROM information_schema.processlist \
         WHERE user = '{account}' AND command LIKE 'Binlog Dump%' AND id != {killed}"
    );
    loop {
        if let Some(id) = conn.query_first::<u64, _>(&dump).unwrap()
            && conn.query_drop(format!("KILL {id}")).is_ok()
        {
            return id;
        }
        assert!(Instant::now() < deadline, "no new connection");
        thread::sleep(Duration::from_millis(1));
    }
}

fn killed_connections_lose_nothing(name: &str, server_id: u32, uses_gtid: bool) {
    const ROWS: usize = 300;
    let mut conn = database(name);
    user(&mut conn, name, "secret", &["REPLICATION SLAVE ON *.*", "REPLICATION CLIENT ON *.*"]);
    let begin = if uses_gtid { position() } else { without_gtid(position()) };
    let mut running = run_reader(MysqlConfig { server_id, ..account(name, "secret") }, begin);
    let account = name.to_owned();
    let writer = thread::spawn(move || {
        let (mut killer, mut killed) = (root(), 0);
        for id in 0..ROWS {
            conn.query_drop(format!("INSERT INTO t VALUES ({id}, 'kill-{id:04}')")).unwrap();
            if id % 50 == 25 {
                killed = kill_next(&mut killer, &account, killed);
            }
        }
    });
    running.router.run_until(ROWS);
    writer.join().unwrap();
    let expected: BTreeSet<String> = (0..ROWS).map(|id| format!("kill-{id:04}")).collect();
    assert_eq!(running.router.committed, expected);
    assert!(running.router.reconnects >= 5);
    running.stop.store(true, Ordering::Relaxed);
    let router = thread::spawn(move || running.router.inbox.iter().for_each(drop));
    running.thread.join().unwrap().unwrap();
    router.join().unwrap();
}

#[test]
fn killed_connections_lose_nothing_by_file() {
    killed_connections_lose_nothing("source_kill_file", 9060, false);
}

#[test]
fn killed_connections_lose_nothing_by_gtid() {
    killed_connections_lose_nothing("source_kill_gtid", 9061, true);
}

#[test]
fn the_reader_returns_what_is_no_outage() {
    let lost = Position { file: "binlog.999999".to_owned(), offset: 4, ..without_gtid(position()) };
    let running = run_reader(config(9070), lost);
    check(&running.thread.join().unwrap().unwrap_err(), ErrorKind::LostPosition, &["no longer has"]);
    let running = run_reader(config(0), position());
    check(&running.thread.join().unwrap().unwrap_err(), ErrorKind::Config, &["server_id"]);
}

#[test]
fn a_reader_without_a_server_waits_and_stops_at_once() {
    let running = run_reader(MysqlConfig { port: 1, ..config(9071) }, position());
    for _ in 0..4 {
        let FromReader::Reconnecting(outage, reply) = running.router.inbox.recv_timeout(PATIENCE).unwrap() else {
            panic!("no data")
        };
        check(&outage, ErrorKind::SourceDown, &["mysql.port"]);
        reply.send(Position::default()).unwrap();
    }
    let stopped = Instant::now();
    running.stop.store(true, Ordering::Relaxed);
    drop(running.router);
    running.thread.join().unwrap().unwrap();
    assert!(stopped.elapsed() < Duration::from_millis(500));
}

/// Forwards connections until `cut`, then swallows what the server sends, as a dead network does.
fn proxy(to: String, cut: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(std::result::Result::ok) {
            let (server, cut) = (TcpStream::connect(&to).unwrap(), Arc::clone(&cut));
            let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || forward(from_client, to_server, &AtomicBool::new(false)));
            thread::spawn(move || forward(server, client, &cut));
        }
    });
    port
}

fn forward(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if !cut.load(Ordering::Relaxed) && to.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}

#[test]
fn silence_is_an_outage() {
    let (direct, cut) = (config(9080), Arc::new(AtomicBool::new(false)));
    let port = proxy(format!("{}:{}", direct.host, direct.port), Arc::clone(&cut));
    let through = MysqlConfig { host: "127.0.0.1".to_owned(), port, ..direct };
    let mut dump = start(&through, &position()).unwrap();
    read_until(&mut dump, |event| matches!(event.kind, 27 | 41)).unwrap();
    cut.store(true, Ordering::Relaxed);
    let silent_since = Instant::now();
    check(&read_until(&mut dump, |_| false).unwrap_err(), ErrorKind::SourceDown, &["no heartbeat"]);
    assert!(silent_since.elapsed() < Duration::from_secs(5));
}

// --- Facts, tables, checks ----------------------------------------------------------------------------------------

#[test]
fn facts_and_positions_are_the_servers() {
    let mut conn = database("source_facts");
    let mut source = Source::connect(&config(9090)).unwrap();
    let facts = source.server_facts().unwrap();
    let version: String = conn.query_first("SELECT @@version").unwrap().unwrap();
    let uuid: String = conn.query_first("SELECT @@server_uuid").unwrap().unwrap();
    assert_eq!((&facts.version, &facts.server_uuid), (&version, &uuid));
    assert!(facts.log_bin && !facts.is_mariadb && facts.server_id != 0);
    assert_eq!(facts.binlog_row_metadata.as_deref(), Some("FULL"));
    let before = source.current_position(true).unwrap();
    conn.query_drop("INSERT INTO t VALUES (1, 'x')").unwrap();
    let after = source.current_position(false).unwrap();
    assert!((&before.file, before.offset) < (&after.file, after.offset));
    assert!(after.gtid_set.unwrap().contains_set(&before.gtid_set.unwrap()));
    assert!(source.binary_logs().unwrap().iter().any(|(name, size)| *name == after.file && *size >= after.offset));
    let table = |table: &str| TableName { database: "source_facts".to_owned(), table: table.to_owned() };
    conn.query_drop("CREATE TABLE `od``d` (id INT PRIMARY KEY)").unwrap();
    assert!(source.has_rows(&table("t")).unwrap() && !source.has_rows(&table("od`d")).unwrap());
}

#[test]
fn tables_are_read_with_every_type() {
    let mut conn = database("source_tables");
    conn.query_drop(
        "CREATE TABLE every (
           a INT UNSIGNED, b MEDIUMINT(5) ZEROFILL, c BIGINT NOT NULL, f FLOAT, d DOUBLE, n DECIMAL(65,30), bits BIT(10),
           y YEAR, dt DATE, t3 TIME(3), d6 DATETIME(6) NOT NULL, ts TIMESTAMP(2) NULL, c4 CHAR(255) CHARACTER SET utf8mb4,
           l1 VARCHAR(100) CHARACTER SET latin1, bin BINARY(16), vb VARBINARY(300), txt MEDIUMTEXT CHARACTER SET ascii,
           bl LONGBLOB, e ENUM('a','it''s','b\\\\c','', 'ü,\n') CHARACTER SET latin1, s SET('x','y''z'), j JSON, p POINT, v VECTOR(3),
           sj VARCHAR(10) CHARACTER SET sjis, bo BOOL, hidden INT INVISIBLE,
           g INT GENERATED ALWAYS AS (a + 1) VIRTUAL, PRIMARY KEY (d6, c))",
    )
    .unwrap();
    conn.query_drop("CREATE TABLE prefixed (v VARCHAR(100) PRIMARY KEY)").unwrap();
    conn.query_drop("ALTER TABLE prefixed DROP PRIMARY KEY, ADD PRIMARY KEY (v(10))").unwrap();
    conn.query_drop("CREATE VIEW no_table AS SELECT * FROM t").unwrap();
    let mut source = Source::connect(&config(9100)).unwrap();
    let found = tables::read(&mut source, &|name, _| name.database == "source_tables", true).unwrap();
    let names: Vec<&str> = found.iter().map(|found| found.table.name.table.as_str()).collect();
    assert_eq!(names, ["every", "prefixed", "t"]);
    assert_eq!(found[1].prefix_key_columns, ["v"]);
    let every = &found[0].table;
    let key: Vec<&str> = every.key.iter().map(|&column| every.columns[column].name.as_str()).collect();
    assert_eq!(key, ["d6", "c"]);
    let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    let expected = [
        ("a", SourceType::Int { bytes: 4, unsigned: true }),
        ("b", SourceType::Int { bytes: 3, unsigned: true }),
        ("c", SourceType::Int { bytes: 8, unsigned: false }),
        ("f", SourceType::Float),
        ("d", SourceType::Double),
        ("n", SourceType::Decimal { precision: 65, scale: 30 }),
        ("bits", SourceType::Bit { bits: 10 }),
        ("y", SourceType::Year),
        ("dt", SourceType::Date),
        ("t3", SourceType::Time { fsp: 3 }),
        ("d6", SourceType::DateTime { fsp: 6 }),
        ("ts", SourceType::Timestamp { fsp: 2 }),
        ("c4", SourceType::Char { max_bytes: 1020, charset: Charset::Utf8 }),
        ("l1", SourceType::VarChar { max_bytes: 100, charset: Charset::Latin1 }),
        ("bin", SourceType::Char { max_bytes: 16, charset: Charset::Binary }),
        ("vb", SourceType::VarChar { max_bytes: 300, charset: Charset::Binary }),
        ("txt", SourceType::Blob { length_bytes: 3, charset: Charset::Ascii }),
        ("bl", SourceType::Blob { length_bytes: 4, charset: Charset::Binary }),
        ("e", SourceType::Enum { labels: labels(&["a", "it's", "b\\c", "", "ü,\n"]) }),
        ("s", SourceType::Set { labels: labels(&["x", "y'z"]) }),
        ("j", SourceType::Json),
        ("p", SourceType::Geometry),
        ("v", SourceType::Vector),
        ("sj", SourceType::VarChar { max_bytes: 20, charset: Charset::Sjis }),
        ("bo", SourceType::Int { bytes: 1, unsigned: false }),
        ("hidden", SourceType::Int { bytes: 4, unsigned: false }),
        ("g", SourceType::Int { bytes: 4, unsigned: false }),
    ];
    for (column, (name, ty)) in every.columns.iter().zip(&expected) {
        assert_eq!((column.name.as_str(), &column.ty), (*name, ty));
        assert_eq!(column.nullable, !matches!(*name, "c" | "d6"), "{name}");
    }
    assert_eq!(every.columns.len(), expected.len());
}

#[test]
fn check_lists_every_problem_at_once() {
    let mut conn = database("source_check");
    conn.query_drop("CREATE TABLE keyless (j CHAR(9))").unwrap();
    user(&mut conn, "source_check", "secret", &["SELECT ON source_check.*", "REPLICATION CLIENT ON *.*"]);
    let wanted = |name: &TableName, _: &BTreeSet<TableName>| name.database == "source_check";
    let checked = checks::check(&account("source_check", "secret"), &wanted);
    let texts: Vec<&str> = checked.problems.iter().map(|problem| problem.text.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    for (text, word) in texts.iter().zip(["REPLICATION SLAVE", "keyless: it has no PRIMARY KEY"]) {
        assert!(text.contains(word), "{text} {word}");
    }
    // What a role gives counts.
    conn.query_drop("DROP ROLE IF EXISTS source_role").unwrap();
    for statement in [
        "CREATE ROLE source_role",
        "GRANT REPLICATION SLAVE ON *.* TO source_role",
        "GRANT source_role TO source_check",
        "SET DEFAULT ROLE ALL TO source_check",
        "DROP TABLE source_check.keyless",
    ] {
        conn.query_drop(statement).unwrap();
    }
    let checked = checks::check(&account("source_check", "secret"), &wanted);
    assert_eq!(checked.problems, []);
    let wrong = checks::check(&account("source_check", "wrong"), &wanted).problems;
    assert!(wrong.len() == 1 && wrong[0].text.contains("mysql.password"), "{wrong:?}");
}
