//! Secrets are never shown, the interface is for those who may, and a name is only a name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use tempfile::TempDir;

use support::bridge::{Bridge, Config, PATIENCE, free_port, run_with};
use support::compare::compare_tables;
use support::fixture::Fixture;
use support::servers::BRIDGE_PASSWORD;
use support::wait_until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stream-bridge");

/// All that the program says at the level `trace`, its dependencies included.
fn said(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).env("RUST_LOG", "trace").output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// None of the secrets, plain, in hexadecimal or in base64, or in the bytes that a library dumps in lines of 16.
fn assert_hidden(text: &str, secrets: &[&str], what: &str) {
    let dumped = text.lines().filter(|line| line.contains("_proto")).filter_map(|line| line.get(line.len() - 16..));
    let text = &format!("{text}\n{}", dumped.collect::<String>());
    for secret in secrets {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [(*secret).to_owned(), hex.to_uppercase(), hex, base64(secret)] {
            if let Some(at) = text.find(&form) {
                let line = text[..at].lines().last().unwrap_or_default();
                panic!("{what} shows {secret} behind: {line}");
            }
        }
    }
}

/// Without the last characters, which depend on what follows.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = text.as_bytes().chunks_exact(3);
    let digits = whole.flat_map(|bytes| {
        let number = bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[number >> shift & 63]))
    });
    digits.collect()
}

#[test]
fn secrets_are_never_shown_whatever_fails() {
    let test = Fixture::new("secrets");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY)");
    let secrets = ["MyS-wr0ng-s3cret", "ClH-wr0ng-s3cret", "T0ken-s3cret"];
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = test.config();
        config.set("http.token", secrets[2]).set("log.level", "trace");
        change(&mut config);
        config
    };
    let mysql = with(&|config| {
        config.set("mysql.password", secrets[0]);
    });
    let clickhouse = with(&|config| {
        config.set("clickhouse.password", secrets[1]);
    });
    let url = with(&|config| {
        config.set("clickhouse.url", format!("http://user:{}@127.0.0.1:8123", secrets[1]));
    });
    let port = i64::from(free_port());
    let nobody = with(&|config| {
        config.set("mysql.password", secrets[0]).set("mysql.port", port);
        config.set("clickhouse.password", secrets[1]).set("clickhouse.url", format!("http://127.0.0.1:{port}"));
    });
    let unreadable = with(&|config| {
        config.set("mysql.password", format!("{}${{NO_SUCH_VARIABLE}}", secrets[0]));
    });
    let table = format!("{}.t", test.database);
    for config in [mysql, clickhouse, url, nobody, unreadable] {
        let file = config.write();
        let file = file.to_str().unwrap();
        for command in [
            &["config"][..],
            &["config", "--json"],
            &["check"],
            &["run"],
            &["plan"],
            &["verify"],
            &["status"],
            &["resync", "--dead-letters"],
            &["resync", &table],
        ] {
            let text = said(&[command, &["--config", file]].concat());
            assert!(!text.is_empty(), "{command:?}");
            assert_hidden(&text, &secrets, &command.join(" "));
        }
    }
}

/// The same of a process at work, whose passwords are right.
#[test]
fn a_process_at_work_shows_no_secret() {
    let test = Fixture::new("secrets_run");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY);\nINSERT INTO t VALUES (1), (2);");
    let secrets = [BRIDGE_PASSWORD, "T0ken-s3cret"];
    let mut config = test.config();
    config.set("http.token", secrets[1]).set("log.level", "trace");
    config.use_program(Path::new(PROGRAM), &[("RUST_LOG", "trace")]);
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES (3);\nALTER TABLE t ADD COLUMN n INT;\nINSERT INTO t VALUES (4, 5);");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(bridge.post("/resync", &format!("{}.t", test.database)), Ok(202));
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_equal("t");
    for path in ["/status", "/healthz", "/position", "/nothing"] {
        assert_hidden(&bridge.get(path).unwrap().1, &secrets, path);
    }
    let arguments = std::fs::read(format!("/proc/{}/cmdline", bridge.pid())).unwrap();
    assert_hidden(&String::from_utf8_lossy(&arguments), &secrets, "the process's arguments");
    let file = config.write();
    let status = said(&["status", "--json", "--config", file.to_str().unwrap()]);
    assert_hidden(&status, &secrets, "status");
    let log = bridge.log();
    assert!(log.contains("TRACE") && log.contains("DEBUG"), "the log is not at the level trace");
    assert_hidden(&log, &secrets, "the log");
    // What is stored is no secret either.
    let stored = test.clickhouse("SELECT * FROM `{db}_state`.table_states FORMAT JSONEachRow");
    assert_hidden(&stored, &secrets, "table_states");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// One request of raw bytes; the answer as far as it comes.
fn ask(address: &str, request: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A refusal may come before all is read: then the connection is reset behind it.
    let _ = client.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// On every address the token is asked for; slow and large requests keep nobody out.
#[test]
fn the_interface_is_for_those_who_may() {
    let test = Fixture::new("interface");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY)");
    let mut config = test.config();
    let port = free_port();
    config.set("http.listen", format!("0.0.0.0:{port}")).set("http.token", "T0ken-s3cret");
    let bridge = Bridge::spawn(&config);
    let address = format!("127.0.0.1:{port}");
    wait_until("the stream", PATIENCE, || {
        TcpStream::connect(&address).is_ok() && ask(&address, "GET /healthz HTTP/1.1\r\n\r\n").contains("200 OK")
    });
    let resync = |headers: &str| {
        let table = format!("{}.t", test.database);
        ask(&address, &format!("POST /resync HTTP/1.1\r\nContent-Length: {}\r\n{headers}\r\n{table}", table.len()))
    };
    assert!(resync("").starts_with("HTTP/1.1 401"));
    assert!(resync("Authorization: Bearer T0ken-s3cre\r\n").starts_with("HTTP/1.1 401"));
    assert!(resync("Authorization: Bearer T0ken-s3crex\r\n").starts_with("HTTP/1.1 401"));
    assert!(resync("Authorization: Bearer T0ken-s3cret\r\nOrigin: http://x\r\n").starts_with("HTTP/1.1 403"));
    assert!(resync("Authorization: Bearer T0ken-s3cret\r\n").starts_with("HTTP/1.1 202"));

    let many = format!("GET /status HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(!ask(&address, &many).contains("200 OK"));
    assert!(!ask(&address, "POST /resync HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx").contains("202"));

    let mut slow: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(5) {
        // Those that were sent away fail.
        slow.iter_mut().for_each(|client| drop(client.write(b"G")));
        let asked = Instant::now();
        assert!(ask(&address, "GET /healthz HTTP/1.1\r\n\r\n").contains("200 OK"));
        slowest = slowest.max(asked.elapsed());
    }
    println!("slowest answer beside 300 slow clients: {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// The default lets nobody else in.
#[test]
fn the_default_is_loopback() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "[replicate]\ntables = [\"a.b\"]\n").unwrap();
    let ended = run_with(&["config", "--config", file.to_str().unwrap()], folder.path());
    assert!(ended.stdout.contains("listen = \"127.0.0.1:9187\""), "{}", ended.text());
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Names that would be SQL, or end a text, if they were not quoted: of databases, tables, columns. (Those of the
/// pipeline and the state database are letters and digits, or refused.)
#[test]
fn names_are_only_names() {
    let test = Fixture::new("names");
    let process = std::process::id();
    let database = format!("o`d'd\"\\; DROP é {process}");
    let (first, second) = ("a`b; DROP TABLE x; --", "q'u\"o\\te ünï 表 %_*");
    let column = "c`o'l\"u\\mn -- é";
    let (db, one, two, col) = (quoted(&database), quoted(first), quoted(second), quoted(column));
    let mut mysql = test.connect();
    let mut run = |sql: &str| mysql.query_drop(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    run(&format!("CREATE DATABASE {db}"));
    run(&format!("GRANT SELECT ON {}.* TO 'bridge'@'%'", quoted(&database.replace('\\', "\\\\"))));
    run(&format!("USE {db}"));
    run(&format!("CREATE TABLE {one} ({col} INT NOT NULL PRIMARY KEY, `x'` ENUM('a''b', 'c\\\\d', '`') NOT NULL)"));
    run(&format!("CREATE TABLE {two} (day DATE NOT NULL, {col} VARCHAR(50) NOT NULL, PRIMARY KEY ({col}, day))"));
    run(&format!("INSERT INTO {one} VALUES (1, 'a''b'), (2, '`')"));
    let mut config = test.config();
    config.set("replicate.tables", vec![format!("{db}.*")]);
    let mut bridge = Bridge::start(&config);
    let all_flow = |bridge: &mut Bridge| {
        bridge.wait_caught_up(&test, PATIENCE);
        bridge.wait_for("all tables to flow", PATIENCE, |status| {
            status.0["tables"].as_array().unwrap().iter().all(|table| table["state"] == "streaming")
        });
        bridge.wait_caught_up(&test, PATIENCE);
    };
    let equal = |table: &str, rows: u64| {
        let report = compare_tables(&test.servers, &database, table);
        assert!(report.is_equal() && report.rows == rows, "{table}: {} rows, {report}", report.rows);
    };
    all_flow(&mut bridge);
    equal(first, 2);
    run(&format!("INSERT INTO {one} VALUES (3, 'c\\\\d')"));
    run(&format!("INSERT INTO {two} VALUES ('2024-01-01', 'x'), ('2024-01-02', '\\\\''`')"));
    run(&format!("ALTER TABLE {one} ADD COLUMN `n``e'w\\` VARCHAR(20) NOT NULL DEFAULT 'd''e\\\\f'"));
    run(&format!("INSERT INTO {one} VALUES (4, '`', 'y')"));
    all_flow(&mut bridge);
    equal(first, 4);
    equal(second, 2);
    let third = "r`e'n\\amed";
    run(&format!("RENAME TABLE {one} TO {}", quoted(third)));
    run(&format!("INSERT INTO {} VALUES (5, '`', 'z')", quoted(third)));
    run(&format!("TRUNCATE TABLE {two}"));
    run(&format!("INSERT INTO {two} VALUES ('2024-01-03', 'after')"));
    all_flow(&mut bridge);
    equal(third, 5);
    equal(second, 1);

    let (file, folder) = (config.write(), TempDir::new().unwrap());
    let command = |arguments: &[&str]| {
        let ended = run_with(&[arguments, &["--config", file.to_str().unwrap()]].concat(), folder.path());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.text());
        ended.stdout
    };
    let name = format!("{db}.{two}");
    command(&["resync", &name]);
    all_flow(&mut bridge);
    equal(second, 1);
    command(&["verify"]);
    run(&format!("INSERT INTO {two} VALUES ('0000-00-00', 'bad')"));
    bridge.wait_for("the letter", PATIENCE, |_| command(&["resync", "--dead-letters", &name]).contains("'bad'"));
    let log = bridge.log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(bridge.sigterm(), Some(0));
    run(&format!("DROP DATABASE {db}"));
    let escaped = database.replace('\\', "\\\\").replace('`', "\\`");
    test.clickhouse(&format!("DROP DATABASE `{escaped}` SYNC"));
}
