//! TLS to real servers: what each mode of `mysql.tls` takes and refuses, for the dump and for plain SQL alike.
//!
//! The shared server shows its own certificate (`CN=MySQL_Server_.._Auto_Generated_..`, no host name in it); a server of
//! the test's own shows certificates made here, with any name and any date.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use stream_bridge::config::{Config, MysqlConfig};
use stream_bridge::error::{Error, ErrorKind, Result};
use stream_bridge::message::Budget;
use stream_bridge::mysql::connection::Connection;
use stream_bridge::mysql::dump::{Dump, Incoming};
use stream_bridge::mysql::source::{Source, text};
use stream_bridge::position::Position;
use support::authority::{Authority, DAY};
use support::bridge::{Bridge, PATIENCE, run_command};
use support::fixture::Fixture;
use support::servers::{MySql, Servers};
use uuid::Uuid;

// --- Configurations -----------------------------------------------------------------------------------------------

/// What a configuration file with these keys under `[mysql]` says.
fn config(keys: &str) -> Result<MysqlConfig> {
    let text = format!("[mysql]\nserver_id = 9300\n{keys}\n[replicate]\ntables = [\"a.b\"]\n");
    let read_file = |path: &str| std::fs::read_to_string(path).map_err(|error| error.to_string());
    Config::resolve(&text, &|_| None, &read_file).map(|config| config.mysql)
}

/// The administrator of this server, with these keys.
fn admin(server: &MySql, keys: &str) -> MysqlConfig {
    let address = &server.address;
    let login = format!("user = {:?}\npassword = {:?}\nport = {}", address.user, address.password, address.port);
    let host = if keys.contains("host = ") { String::new() } else { format!("host = {:?}\n", address.host) };
    config(&format!("{login}\n{host}{keys}")).unwrap()
}

fn account(server: &MySql, user: &str, keys: &str) -> MysqlConfig {
    MysqlConfig { user: user.to_owned(), password: stream_bridge::config::Secret::new("secret"), ..admin(server, keys) }
}

fn key(name: &str, path: &Path) -> String {
    format!("{name} = {:?}\n", path.display().to_string())
}

fn tls(mode: &str) -> String {
    format!("tls = {mode:?}\n")
}

/// A file that the server keeps in its data folder.
fn of_server(server: &MySql, file: &str) -> PathBuf {
    let folder: String = server.connect().query_first("SELECT @@datadir").unwrap().unwrap();
    Path::new(&folder).join(file)
}

/// The cipher of a connection of each kind; empty when plain. Both must be the same.
fn cipher(config: &MysqlConfig) -> Result<String> {
    const SQL: &str = "SHOW SESSION STATUS LIKE 'Ssl_cipher'";
    let own = Connection::open(config).and_then(|mut connection| connection.rows(SQL));
    let plain = Source::connect(config).and_then(|mut source| source.rows("asking for the cipher", SQL));
    match (own, plain) {
        (Ok(own), Ok(plain)) => {
            assert_eq!(own, plain, "dump and plain SQL differ");
            Ok(text(&own[0], 1))
        }
        (Err(own), Err(plain)) => {
            assert_eq!(own.kind, plain.kind, "{own}\n{plain}");
            Err(own)
        }
        (own, plain) => panic!("dump and plain SQL differ: {own:?}, {plain:?}"),
    }
}

fn assert_encrypted(config: &MysqlConfig) {
    let cipher = cipher(config).unwrap_or_else(|error| panic!("{error}"));
    assert!(cipher.starts_with("TLS_"), "{cipher:?}");
}

fn assert_refused(config: &MysqlConfig, words: &[&str]) {
    let error: Error = cipher(config).expect_err(words[0]);
    assert_eq!(error.kind, ErrorKind::SourceRefused, "{error}");
    for word in words {
        assert!(error.text.contains(word), "{word:?} is not in: {error}");
    }
}

// --- Modes --------------------------------------------------------------------------------------------------------

#[test]
fn every_mode_against_the_certificate_that_the_server_made() {
    let server = Servers::shared().mysql.clone();
    let ca = key("tls_ca", &of_server(&server, "ca.pem"));
    let check = |keys: &str| admin(&server, keys);
    assert_eq!(cipher(&check(&tls("disabled"))).unwrap(), "");
    assert_encrypted(&check(""));
    assert_encrypted(&check(&tls("preferred")));
    assert_encrypted(&check(&tls("required")));
    assert_encrypted(&check(&(tls("verify_ca") + &ca)));
    // It is no certificate for 127.0.0.1, nor for any other name.
    let by_name = tls("verify_identity") + &ca;
    assert_refused(&check(&by_name), &["subjectAltName", "127.0.0.1", "mysql.host", "verify_ca"]);
    assert_refused(&check(&(by_name + "host = \"localhost\"\n")), &["subjectAltName", "localhost"]);
    let other = Authority::new();
    let wrong = key("tls_ca", &other.path("ca.pem"));
    assert_refused(&check(&(tls("verify_ca") + &wrong)), &["mysql.tls_ca", "ca.pem"]);
    assert_refused(&check(&(tls("verify_identity") + &wrong)), &["mysql.tls_ca", "ca.pem"]);
    let socket = key("socket", Path::new(server.socket.as_ref().unwrap()));
    for mode in [tls("preferred"), tls("required"), tls("verify_identity") + &wrong] {
        assert_eq!(cipher(&check(&(mode + &socket))).unwrap(), "", "a socket stays plain");
    }
}

#[test]
fn names_and_dates_of_certificates_and_servers_that_demand_or_lack_tls() {
    let authority = Authority::new();
    authority.sign(&["127.0.0.1", "localhost"], DAY);
    let option = |name: &str, file| format!("--{name}={}", authority.path(file).display());
    let options = [option("ssl-ca", "ca.pem"), option("ssl-cert", "cert.pem"), option("ssl-key", "key.pem")];
    let servers = Servers::own_mysql("tls", &options.each_ref().map(String::as_str));
    let server = &servers.mysql;
    let mut root = server.connect();
    let check = |keys: &str| admin(server, keys);
    let ca = key("tls_ca", &authority.path("ca.pem"));
    let (by_ca, by_name) = (tls("verify_ca") + &ca, tls("verify_identity") + &ca);

    assert_encrypted(&check(&by_ca));
    assert_encrypted(&check(&by_name));
    assert_encrypted(&check(&(by_name.clone() + "host = \"localhost\"\n")));

    root.query_drop("SET GLOBAL require_secure_transport = ON").unwrap();
    assert_encrypted(&check(&tls("preferred")));
    assert_refused(&check(&tls("disabled")), &["3159", "require_secure_transport", "mysql.tls = \"required\""]);
    let socket = key("socket", Path::new(server.socket.as_ref().unwrap()));
    assert_eq!(cipher(&check(&(tls("disabled") + &socket))).unwrap(), "");

    authority.sign(&["db.example.com"], DAY);
    root.query_drop("ALTER INSTANCE RELOAD TLS").unwrap();
    assert_encrypted(&check(&by_ca));
    assert_refused(&check(&by_name), &["subjectAltName", "127.0.0.1", "db.example.com"]);

    // The server loads no certificate that is over, so this one ends while it is in use.
    authority.sign(&["127.0.0.1"], Duration::from_secs(5));
    root.query_drop("ALTER INSTANCE RELOAD TLS").unwrap();
    assert_encrypted(&check(&by_name));
    thread::sleep(Duration::from_secs(6));
    for mode in [&by_ca, &by_name] {
        assert_refused(&check(mode), &["past its date", "ALTER INSTANCE RELOAD TLS"]);
    }
    assert_encrypted(&check(&tls("required")));

    root.query_drop("SET GLOBAL require_secure_transport = OFF").unwrap();
    std::fs::write(authority.path("cert.pem"), "no certificate").unwrap();
    root.query_drop("ALTER INSTANCE RELOAD TLS NO ROLLBACK ON ERROR").unwrap();
    assert_eq!(cipher(&check(&tls("preferred"))).unwrap(), "", "the server has no TLS");
    for mode in [tls("required"), by_ca, by_name] {
        assert_refused(&check(&mode), &["offers no TLS", "ssl_cert", "preferred"]);
    }
}

#[test]
fn client_certificates() {
    let server = Servers::shared().mysql.clone();
    let mut root = server.connect();
    for statement in [
        "DROP USER IF EXISTS 'tls_x509'@'%'",
        "CREATE USER 'tls_x509'@'%' IDENTIFIED WITH caching_sha2_password BY 'secret' REQUIRE X509",
    ] {
        root.query_drop(statement).unwrap();
    }
    let check = |keys: &str| account(&server, "tls_x509", keys);
    let files = |certificate: &Path, secret: &Path| key("tls_cert", certificate) + &key("tls_key", secret);
    let good = files(&of_server(&server, "client-cert.pem"), &of_server(&server, "client-key.pem"));
    let ca = key("tls_ca", &of_server(&server, "ca.pem"));
    assert_encrypted(&check(&(tls("required") + &good)));
    assert_encrypted(&check(&(tls("verify_ca") + &ca + &good)));
    assert_encrypted(&check(&good));
    assert_refused(&check(&tls("required")), &["1045", "X509", "mysql.tls_cert"]);
    assert_refused(&check(&tls("disabled")), &["1045", "X509", "mysql.tls"]);
    let other = Authority::new();
    other.sign(&["client"], DAY);
    let foreign = files(&other.path("cert.pem"), &other.path("key.pem"));
    assert_refused(&check(&(tls("required") + &foreign)), &["mysql.tls_cert", "ssl_ca"]);
    root.query_drop("DROP USER 'tls_x509'@'%'").unwrap();
}

/// Without a cached hash the server wants the password itself, which travels inside TLS; with one the scramble does.
#[test]
fn both_paths_of_caching_sha2_password_over_tls() {
    let server = Servers::shared().mysql.clone();
    let mut root = server.connect();
    root.query_drop("DROP USER IF EXISTS 'tls_login'@'%'").unwrap();
    root.query_drop("CREATE USER 'tls_login'@'%' IDENTIFIED WITH caching_sha2_password BY 'secret' REQUIRE SSL")
        .unwrap();
    let config = account(&server, "tls_login", &tls("required"));
    for _ in 0..3 {
        root.query_drop("FLUSH PRIVILEGES").unwrap();
        assert_encrypted(&config);
    }
    let wrong = MysqlConfig { password: stream_bridge::config::Secret::new("wrong"), ..config };
    assert_refused(&wrong, &["1045", "mysql.password"]);
    root.query_drop("DROP USER 'tls_login'@'%'").unwrap();
}

#[test]
fn files_are_checked_before_anything_connects() {
    let authority = Authority::new();
    authority.sign(&["x"], DAY);
    let (ca, certificate, secret) = (authority.path("ca.pem"), authority.path("cert.pem"), authority.path("key.pem"));
    let other = Authority::new();
    other.sign(&["x"], DAY);
    let damaged = authority.path("damaged.pem");
    let whole = std::fs::read_to_string(&certificate).unwrap();
    std::fs::write(&damaged, whole.replacen("MII", "MJJ", 1)).unwrap();
    let identity = |certificate: &Path, secret: &Path| key("tls_cert", certificate) + &key("tls_key", secret);
    let check = |keys: String, words: &[&str]| {
        let error = config(&keys).expect_err(words[1]);
        assert_eq!(error.kind, ErrorKind::Config);
        for word in words {
            assert!(error.text.contains(word), "{word:?} is not in: {error}");
        }
        assert!(!error.text.contains("PRIVATE KEY-----\n"), "{error}");
    };
    let missing = Path::new("no/such/ca.pem");
    check(tls("verify_ca") + &key("tls_ca", missing), &["mysql.tls_ca", "no/such/ca.pem", "cannot be read"]);
    check(tls("verify_ca"), &["mysql.tls_ca", "is needed"]);
    check(tls("verify_identity"), &["mysql.tls_ca", "is needed"]);
    check(tls("required") + &key("tls_ca", &ca), &["mysql.tls_ca", "verify nothing"]);
    check(tls("verify_ca") + &key("tls_ca", &secret), &["mysql.tls_ca", "no certificate"]);
    check(tls("verify_ca") + &key("tls_ca", &damaged), &["mysql.tls_ca", "damaged.pem", "cannot be used"]);
    check(tls("required") + &key("tls_cert", &certificate), &["mysql.tls_key", "is needed"]);
    check(tls("required") + &key("tls_key", &secret), &["mysql.tls_cert", "is needed"]);
    check(tls("required") + &identity(&certificate, &certificate), &["mysql.tls_key", "no private key"]);
    check(tls("required") + &identity(&certificate, &other.path("key.pem")), &["mysql.tls_key", "tls_cert"]);
    check(tls("disabled") + &identity(&certificate, &secret), &["mysql.tls_cert", "without TLS"]);
    check(tls("sometimes"), &["mysql.tls", "verify_identity"]);
    let good = config(&(tls("verify_ca") + &key("tls_ca", &ca) + &identity(&certificate, &secret))).unwrap();
    let private = std::fs::read_to_string(&secret).unwrap();
    assert!(!format!("{good:?}").contains(private.lines().nth(1).unwrap()), "the key is not printed");
}

// --- The dump -----------------------------------------------------------------------------------------------------

/// The whole events up to one that holds `last`, with how often there was nothing yet.
fn read_until(dump: &mut Dump, last: &str) -> (Vec<Vec<u8>>, usize) {
    let budget = Budget::new(256 << 20);
    let (deadline, mut events, mut quiet) = (Instant::now() + PATIENCE, Vec::new(), 0);
    while Instant::now() < deadline {
        let incoming = dump.read(&budget, || None).unwrap_or_else(|error| panic!("{error}"));
        let Incoming::Chunk(chunk) = incoming else {
            quiet += 1;
            continue;
        };
        budget.release_chunk(chunk.charged_bytes);
        for span in &chunk.events {
            let event = &chunk.bytes[span.start..span.start + span.len];
            // Heartbeats and what begins a connection are not in the log.
            if span.offset > 0 && !matches!(event[4], 4 | 15 | 27 | 41) {
                events.push(event.to_vec());
            }
            if event.windows(last.len()).any(|window| window == last.as_bytes()) {
                return (events, quiet);
            }
        }
    }
    panic!("{last} not seen within {PATIENCE:?}; {} events", events.len());
}

fn position(config: &MysqlConfig) -> Position {
    Source::connect(config).unwrap().current_position(false).unwrap()
}

/// Forwards connections; what the server sends arrives in odd pieces, some with pauses longer than a tick.
fn stutter(to: (String, u16)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(std::result::Result::ok) {
            let server = TcpStream::connect((to.0.as_str(), to.1)).unwrap();
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
            thread::spawn(move || forward_in_pieces(server, client));
        }
    });
    port
}

fn forward_in_pieces(mut server: TcpStream, mut client: TcpStream) {
    let mut buffer = vec![0; 9973];
    for piece in 0.. {
        let len = server.read(&mut buffer).unwrap_or(0);
        if len == 0 || client.write_all(&buffer[..len]).is_err() {
            break;
        }
        if (10..25).contains(&piece) {
            thread::sleep(Duration::from_millis(250));
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn a_dump_over_tls_gives_the_same_events_whatever_the_pauses() {
    let test = Fixture::new("tls_dump");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)");
    let server = &test.servers.mysql;
    let plain = MysqlConfig { heartbeat: Duration::from_millis(300), ..admin(server, &tls("disabled")) };
    let ca = key("tls_ca", &of_server(server, "ca.pem"));
    let port = stutter((server.address.host.clone(), server.address.port));
    let encrypted = MysqlConfig { port, server_id: 9301, ..admin(server, &(tls("verify_ca") + &ca)) };
    let encrypted = MysqlConfig { heartbeat: Duration::from_millis(300), ..encrypted };
    let begin = position(&plain);
    test.sql("INSERT INTO t VALUES (1, REPEAT('a', 20000000))"); // two packets
    for id in 2..300 {
        test.sql(&format!("INSERT INTO t VALUES ({id}, REPEAT('b', {}))", id * 37));
    }
    test.sql("INSERT INTO t VALUES (1000, 'the-last-of-tls')");
    let mut dump = Dump::start(&plain, Uuid::new_v4(), &begin).unwrap();
    let (expected, _) = read_until(&mut dump, "the-last-of-tls");
    let mut dump = Dump::start(&encrypted, Uuid::new_v4(), &begin).unwrap();
    let (events, quiet) = read_until(&mut dump, "the-last-of-tls");
    assert!(events.len() >= 300 && events == expected, "{} events, {} expected", events.len(), expected.len());
    assert!(quiet >= 10, "the pauses were not seen: {quiet}");
    let ciphers: Vec<String> = test.rows(
        "SELECT s.variable_value FROM performance_schema.status_by_thread s \
         JOIN performance_schema.threads t USING (thread_id) \
         WHERE s.variable_name = 'Ssl_cipher' AND t.processlist_command LIKE 'Binlog Dump%' \
         AND s.variable_value <> ''",
    );
    assert!(!ciphers.is_empty(), "no dump thread is encrypted");
}

/// All connections: the account cannot log in without TLS.
#[test]
fn the_whole_way_over_verify_ca() {
    let test = Fixture::new("tls_run");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(50), v MEDIUMTEXT)");
    for statement in [
        "DROP USER IF EXISTS 'tls_run'@'%'",
        "CREATE USER 'tls_run'@'%' IDENTIFIED WITH caching_sha2_password BY 'secret' REQUIRE X509",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'tls_run'@'%'",
        &format!("GRANT SELECT ON {}.* TO 'tls_run'@'%'", test.database),
    ] {
        test.sql(statement);
    }
    let file = |name| of_server(&test.servers.mysql, name).display().to_string();
    let mut config = test.config();
    config.set("mysql.user", "tls_run").set("mysql.password", "secret").set("mysql.tls", "verify_ca");
    config.set("mysql.tls_ca", file("ca.pem"));
    config.set("mysql.tls_cert", file("client-cert.pem")).set("mysql.tls_key", file("client-key.pem"));
    assert_eq!(run_command("check", &config).code, Some(0));
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES (1, 'one', NULL), (2, 'zwei', REPEAT('ä', 500000))");
    test.sql("UPDATE t SET id = 3, name = 'three' WHERE id = 1");
    for id in 100..400 {
        test.sql(&format!("INSERT INTO t VALUES ({id}, 'row {id}', REPEAT('x', {id}))"));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
    assert_eq!(bridge.sigterm(), Some(0));
    config.set("mysql.tls", "verify_identity");
    let ended = run_command("run", &config);
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    assert!(ended.text().contains("subjectAltName"), "{}", ended.text());
    config.set("mysql.tls_ca", "no/such.pem");
    let ended = run_command("run", &config);
    assert_eq!(ended.code, Some(2), "{}", ended.text());
    assert!(ended.text().contains("mysql.tls_ca = \"no/such.pem\": cannot be read"), "{}", ended.text());
    test.sql("DROP USER 'tls_run'@'%'");
}
