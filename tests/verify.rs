//! `stream-bridge verify` on real servers: it finds what is wrong, mends it, and finds nothing where nothing is.
//!
//! Faults are seeded directly in ClickHouse, each in its own way. What `verify` says of its own repairs is not believed:
//! the rows are compared once more by the servers' own texts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use mysql::prelude::Queryable;
use serde_json::Value;
use support::bridge::{Bridge, Config, PATIENCE, run_with};
use support::fixture::Fixture;
use support::load::{Random, SHOP_TABLES, Shop, allow_many_numbers, create_shop, numbers};
use support::servers::Servers;
use tempfile::TempDir;

/// What `verify --json` ended with.
struct Verified {
    code: Option<i32>,
    json: Value,
    stderr: String,
}

impl Verified {
    fn table(&self, name: &str) -> &Value {
        let tables = self.json["tables"].as_array().unwrap_or_else(|| panic!("no tables: {self}"));
        let is_named = |table: &&Value| table["name"].as_str().unwrap().ends_with(&format!(".{name}"));
        tables.iter().find(is_named).unwrap_or_else(|| panic!("no table {name}: {self}"))
    }

    fn count(&self, table: &str, what: &str) -> u64 {
        self.table(table)[what].as_u64().unwrap_or_else(|| panic!("no {what}: {self}"))
    }

    /// Class and key of what is told, sorted.
    fn keys(&self, table: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let keys = self.table(table)["keys"].as_array().unwrap();
        let mut keys: Vec<_> = keys.iter().map(|key| (text(&key["key"]), text(&key["class"]))).collect();
        keys.sort();
        keys
    }

    fn assert_equal(&self) {
        assert!(self.code == Some(0) && self.json["equal"] == true, "{self}");
    }
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}: {:#}\n{}", self.code, self.json, self.stderr)
    }
}

fn verify(config: &Config, arguments: &[&str]) -> Verified {
    let (path, folder) = (config.write(), TempDir::new().unwrap());
    let command = [&["verify", "--json", "--config", path.to_str().unwrap()], arguments].concat();
    let ended = run_with(&command, folder.path());
    let json = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
    Verified { code: ended.code, json, stderr: ended.stderr }
}

/// A table of 300 rows that came by the stream, some of them changed and deleted.
fn faulty_table(test: &Fixture) {
    test.sql(&format!(
        "INSERT INTO t {} SELECT i, CONCAT('Zoë ', i), i / 7, '2024-02-29 01:02:03.000004' + INTERVAL i HOUR, i / 3,
           UNHEX(SHA2(i, 512)), i, -i FROM n;
         UPDATE t SET name = 'changed' WHERE id IN (3, 103);
         UPDATE t SET name = NULL WHERE id IN (9, 109);
         DELETE FROM t WHERE id IN (4, 104);",
        numbers(1, 300)
    ));
}

/// The 12 faults, with `first` added to their keys; class and key as `verify` is to tell them, sorted.
fn seed_faults(test: &Fixture, first: u32) -> Vec<(String, String)> {
    let id = |number: u32| number + first;
    let gone = |number| {
        test.clickhouse(&format!("ALTER TABLE {{db}}.t DELETE WHERE id = {} SETTINGS mutations_sync = 2", id(number)))
    };
    let again = |number, replaced: &str| {
        test.clickhouse(&format!(
            "INSERT INTO {{db}}.t SELECT * REPLACE({replaced}) FROM (SELECT * FROM {{db}}.t FINAL WHERE id = {})",
            id(number)
        ))
    };
    // Rows that were there once, from a row that stays.
    let old = |number: u32, replaced: &str| {
        test.clickhouse(&format!(
            "INSERT INTO {{db}}.t SELECT * REPLACE(toInt32({}) AS id, {replaced}) FROM (SELECT * FROM {{db}}.t FINAL WHERE id = 300)",
            id(number)
        ))
    };
    gone(1);
    gone(5002);
    old(5002, "'extra' AS name");
    gone(3);
    old(3, "'stale' AS name, _version - 10 AS _version");
    gone(4);
    old(4, "'undeleted' AS name");
    again(5, "amount + CAST('0.000000000000000000000000000001', 'Decimal(65, 30)') AS amount");
    again(6, "at + toIntervalMicrosecond(1) AS at");
    again(7, "reinterpretAsFloat64(bitXor(reinterpretAsUInt64(assumeNotNull(ratio)), 1)) AS ratio");
    again(8, "b AS a, a AS b");
    again(9, "'' AS name");
    again(
        10,
        "concat(substring(assumeNotNull(data), 1, 63), char(bitXor(reinterpretAsUInt8(substring(assumeNotNull(data), 64, 1)), 1))) AS data",
    );
    again(11, "1 AS _is_deleted, _version + 1 AS _version");
    again(12, "'ZoÃ« 12' AS name");
    let classes = [
        (1, "missing"),
        (5002, "extra"),
        (3, "differing"),
        (4, "extra"),
        (5, "differing"),
        (6, "differing"),
        (7, "differing"),
        (8, "differing"),
        (9, "differing"),
        (10, "differing"),
        (11, "missing"),
        (12, "differing"),
    ];
    let mut expected: Vec<_> =
        classes.iter().map(|&(number, class)| (format!("id = {}", id(number)), class.to_owned())).collect();
    expected.sort();
    expected
}

fn assert_found_and_repaired(test: &Fixture, config: &Config, first: u32) {
    let expected = seed_faults(test, first);
    let found = verify(config, &[]);
    assert_eq!(found.code, Some(3), "{found}");
    let counts = ["differing", "missing", "extra", "undecided", "from_future"].map(|what| found.count("t", what));
    assert_eq!(counts, [8, 2, 2, 0, 0], "{found}");
    let told = found.keys("t");
    assert!(told.len() == 10 && told.iter().all(|key| expected.contains(key)), "{found}\n{expected:?}");
    assert!(!test.compare("t").is_equal());
    let repaired = verify(config, &["--repair"]);
    assert_eq!(repaired.count("t", "repaired"), 12, "{repaired}");
    repaired.assert_equal();
    let after = verify(config, &[]);
    after.assert_equal();
    assert_eq!(after.count("t", "rows"), test.row::<u64>("SELECT COUNT(*) FROM t"));
    test.assert_equal("t");
}

#[test]
fn the_twelve_faults_are_found_and_repaired() {
    // On a server of its own, so that nothing moves the log between a repair and the next one.
    let test = Fixture::on(Servers::own_mysql("verify", &[]), "verify_faults");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(40), amount DECIMAL(65,30), at DATETIME(6), ratio DOUBLE,
           data BLOB, a INT, b INT);",
    );
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 50);
    let mut bridge = Bridge::start(&config);
    faulty_table(&test);
    bridge.wait_caught_up(&test, PATIENCE);
    verify(&config, &[]).assert_equal();
    let end = test.row::<(String, u64, String, String, String)>("SHOW BINARY LOG STATUS").1;
    for first in [0, 100, 0] {
        assert_found_and_repaired(&test, &config, first);
    }
    assert_eq!(test.row::<(String, u64, String, String, String)>("SHOW BINARY LOG STATUS").1, end, "not idle");
    // What is repaired is an older version than what the stream brings.
    test.sql("UPDATE t SET name = CONCAT(name, '!');\nDELETE FROM t WHERE id < 8;");
    bridge.wait_caught_up(&test, PATIENCE);
    verify(&config, &[]).assert_equal();
    test.assert_equal("t");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Writes without pause until it is dropped.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(test: &Fixture, write: impl Fn(&mut Random) -> String + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, mut connection, mut random) = (Arc::clone(&stop), test.connect(), Random::new(7));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                connection.query_drop(write(&mut random)).unwrap();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the writer failed");
    }
}

/// Inserts, updates, deletions and key changes among 20,000 keys.
fn change(random: &mut Random) -> String {
    let (id, other) = (random.below(20_000), random.below(20_000));
    match random.below(8) {
        0 | 1 => format!("REPLACE INTO w VALUES ({id}, {other}, REPEAT('x', {}))", random.below(200)),
        2..=4 => format!("UPDATE w SET v = v + 1 WHERE id BETWEEN {id} AND {}", id + random.below(30)),
        5 => format!("DELETE FROM w WHERE id = {id}"),
        6 => format!("UPDATE IGNORE w SET id = {other} WHERE id = {id}"),
        _ => format!("UPDATE IGNORE w SET id = id + 20000 WHERE id BETWEEN {id} AND {}", id + 5),
    }
}

#[test]
fn under_full_load_there_are_no_differences_but_real_ones() {
    let test = Fixture::new("verify_load");
    test.sql("CREATE TABLE w (id INT NOT NULL PRIMARY KEY, v INT NOT NULL, s VARCHAR(200));");
    create_shop(&test);
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 3000);
    let mut bridge = Bridge::start(&config);
    allow_many_numbers(&test);
    test.sql(&format!(
        "INSERT INTO w {} SELECT i, i, 'x' FROM n;\nINSERT INTO w VALUES (-6, 0, 'still');",
        numbers(0, 20_000)
    ));
    let shop = Shop::open(&test, 3);
    let writers = [Writer::start(&test, change), Writer::start(&test, change)];
    for _ in 0..3 {
        let found = verify(&config, &[]);
        for table in SHOP_TABLES.iter().chain(&["w"]) {
            let counts = ["differing", "missing", "extra", "from_future"].map(|what| found.count(table, what));
            assert_eq!(counts, [0; 4], "{found}");
            println!("{table}: {} rows, {} undecided", found.count(table, "rows"), found.count(table, "undecided"));
        }
    }
    println!("{} transactions of the shop", shop.transactions());
    // A row that nobody writes to, and one that was never there.
    test.clickhouse("ALTER TABLE {db}.w DELETE WHERE id = -6 SETTINGS mutations_sync = 2");
    test.clickhouse("INSERT INTO {db}.w VALUES (-5, 1, 'extra', 1, 0)");
    let found = verify(&config, &["--repair", &format!("{}.w", test.database)]);
    assert_eq!(
        (found.count("w", "missing"), found.count("w", "extra"), found.count("w", "repaired")),
        (1, 1, 2),
        "{found}"
    );
    drop(writers);
    shop.close();
    bridge.wait_caught_up(&test, PATIENCE);
    verify(&config, &[]).assert_equal();
    test.assert_all_equal();
}

#[test]
fn a_hot_row_is_never_a_difference() {
    let test = Fixture::new("verify_hot");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v INT NOT NULL);");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES (1, 0), (2, 0);");
    let writer = Writer::start(&test, |_| "UPDATE t SET v = v + 1 WHERE id = 1".to_owned());
    for _ in 0..5 {
        let found = verify(&config, &[]);
        let counts = ["differing", "missing", "extra", "from_future"].map(|what| found.count("t", what));
        assert_eq!(counts, [0; 4], "{found}");
        assert_eq!(found.count("t", "rows") + found.count("t", "undecided"), 2, "{found}");
        assert_eq!(found.code == Some(0), found.count("t", "undecided") == 0, "{found}");
    }
    drop(writer);
    bridge.wait_caught_up(&test, PATIENCE);
    verify(&config, &[]).assert_equal();
}

/// Tables with keys of every kind, and the rows of each.
const KEYS: &[(&str, &str, &str)] = &[
    ("pair", "a INT, b INT, PRIMARY KEY (a, b)", "SELECT i % 7, i FROM n"),
    (
        "tenant",
        "a BIGINT UNSIGNED, b VARCHAR(20), PRIMARY KEY (a, b)",
        "SELECT 18446744073709551615 - i % 2, CONCAT('k', i) FROM n",
    ),
    ("signed", "a TINYINT PRIMARY KEY", "SELECT i - 129 FROM n WHERE i <= 256"),
    ("wide", "a BIGINT PRIMARY KEY", "SELECT (i - 300) * 30000000000000000 FROM n"),
    ("filled", "a INT(8) ZEROFILL PRIMARY KEY", "SELECT i * 9 FROM n"),
    (
        "words",
        "a VARCHAR(30) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY",
        "SELECT CONCAT(CHAR(65 + i % 26), 'é', i, IF(i % 2, 'ß', 'Σ')) FROM n",
    ),
    (
        "latin",
        "a CHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci PRIMARY KEY",
        "SELECT CONCAT('ÄÖ€', i) FROM n",
    ),
    (
        "labels",
        "a ENUM('é', 'b', 'a'), b SET('x', 'y', 'z'), c DATE, PRIMARY KEY (a, b, c)",
        "SELECT 1 + i % 3, i % 8, DATE '1969-01-01' + INTERVAL i DAY FROM n",
    ),
    ("numbers", "a DECIMAL(30, 10) PRIMARY KEY", "SELECT (i - 300) * 12345678901234.0000000001 FROM n"),
    ("small", "a DECIMAL(5, 2) PRIMARY KEY", "SELECT (i - 300) / 100 FROM n"),
    ("days", "a DATE PRIMARY KEY", "SELECT DATE '1000-01-01' + INTERVAL i * 5000 DAY FROM n"),
    ("moments", "a DATETIME(3) PRIMARY KEY", "SELECT '1900-01-01 00:00:00.001' + INTERVAL i * 7919777 SECOND FROM n"),
    (
        "stamps",
        "a TIMESTAMP(6), b YEAR, c BIT(9), PRIMARY KEY (a, b, c)",
        "SELECT '1971-01-01 00:00:00.000001' + INTERVAL i DAY, 1901 + i % 200, i % 512 FROM n",
    ),
    ("times", "a TIME(2) PRIMARY KEY", "SELECT SEC_TO_TIME((i - 300) * 37.25) FROM n"),
    ("bytes", "a BINARY(6) PRIMARY KEY", "SELECT UNHEX(LEFT(SHA2(i, 256), 12 - i % 3 * 4)) FROM n"),
    ("varbytes", "a VARBINARY(40), PRIMARY KEY (a)", "SELECT UNHEX(LEFT(SHA2(i, 256), 64 - i % 3 * 2)) FROM n"),
    ("floats", "a DOUBLE PRIMARY KEY", "SELECT (i - 300) / 7 FROM n"),
    (
        "float_first",
        "a FLOAT, b DATETIME, PRIMARY KEY (a, b)",
        "SELECT i % 3 / 7, '2000-01-01' + INTERVAL i MINUTE FROM n",
    ),
];

#[test]
fn keys_of_every_kind() {
    let test = Fixture::new("verify_keys");
    for (name, columns, _) in KEYS {
        test.sql(&format!("CREATE TABLE {name} ({columns}, value VARCHAR(20) NOT NULL DEFAULT 'v');"));
    }
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 50);
    let mut bridge = Bridge::start(&config);
    for (name, columns, rows) in KEYS {
        let names = match (columns.contains(", b "), columns.contains(", c ")) {
            (_, true) => "a, b, c",
            (true, false) => "a, b",
            (false, false) => "a",
        };
        let rows = format!("{} {rows}", numbers(1, 600));
        test.execute(&format!("INSERT INTO {name} ({names}) {rows}"));
        test.execute(&format!("ANALYZE TABLE {name}"));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    let found = verify(&config, &[]);
    for (name, _, _) in KEYS {
        assert_eq!(
            found.count(name, "rows"),
            test.row::<u64>(&format!("SELECT COUNT(*) FROM {name}")),
            "{name}: {found}"
        );
    }
    found.assert_equal();
    for (name, _, _) in KEYS {
        let table = format!("{{db}}.{name}");
        test.clickhouse(&format!(
            "INSERT INTO {table} SELECT * REPLACE('w' AS value) FROM (SELECT * FROM {table} FINAL LIMIT 7)"
        ));
    }
    let found = verify(&config, &["--repair"]);
    for (name, _, _) in KEYS {
        assert_eq!((found.count(name, "differing"), found.count(name, "repaired")), (7, 7), "{name}: {found}");
    }
    found.assert_equal();
    test.assert_all_equal();
    let sample = verify(&config, &["--sample", "20%"]);
    sample.assert_equal();
    let rows: u64 = KEYS.iter().map(|(name, _, _)| sample.count(name, "rows")).sum();
    let all: u64 = KEYS.iter().map(|(name, _, _)| found.count(name, "rows")).sum();
    assert!(0 < rows && rows < all * 6 / 10, "{rows} of {all}: {sample}");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let test = Fixture::new("verify_bad");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v INT);
         CREATE TABLE set_aside (id INT NOT NULL PRIMARY KEY, v INT);",
    );
    let config = test.config();
    let nobody = verify(&config, &[]);
    assert!(nobody.code == Some(1) && nobody.stderr.contains("stream-bridge run"), "{nobody}");
    let mut bridge = Bridge::start(&config);
    let unknown = verify(&config, &["nowhere.t"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("nowhere.t is not a table"), "{unknown}");
    let odd = verify(&config, &["--sample", "0%"]);
    assert!(odd.code == Some(2) && odd.stderr.contains("above 0"), "{odd}");
    test.sql("INSERT INTO t VALUES (1, 1);\nINSERT INTO set_aside VALUES (1, 1);");
    bridge.wait_caught_up(&test, PATIENCE);
    // A row of which the binary log does not have all columns.
    test.sql("SET SESSION binlog_row_image = MINIMAL;\nINSERT INTO set_aside (id) VALUES (2);\nSET SESSION binlog_row_image = FULL;");
    bridge.wait_quarantined(&test, "set_aside");
    let found = verify(&config, &[]);
    assert!(found.code == Some(3) && found.count("t", "rows") == 1, "{found}");
    let reason = found.table("set_aside")["not_compared"].as_str().unwrap();
    assert!(reason.contains("quarantined"), "{reason}");
    verify(&config, &[&format!("{}.t", test.database)]).assert_equal();
    // A version that the stream will not come to for long.
    test.clickhouse("INSERT INTO {db}.t SELECT * REPLACE(_version + 1000000000000 AS _version) FROM {db}.t FINAL");
    let found = verify(&config, &["--repair", &format!("{}.t", test.database)]);
    assert!(found.code == Some(3) && found.count("t", "from_future") == 1, "{found}");
    assert!(found.keys("t") == [("id = 1".to_owned(), "from_future".to_owned())], "{found}");
}

#[test]
fn without_gtid_and_after_a_rotation() {
    let options = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    let test = Fixture::on(Servers::own_mysql("verify_no_gtid", &options), "verify_no_gtid");
    test.sql("GRANT BACKUP_ADMIN ON *.* TO bridge; GRANT SELECT ON performance_schema.log_status TO bridge;");
    test.sql("CREATE TABLE w (id INT NOT NULL PRIMARY KEY, v INT NOT NULL, s VARCHAR(200));");
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 3000);
    let mut bridge = Bridge::start(&config);
    allow_many_numbers(&test);
    test.sql(&format!("INSERT INTO w {} SELECT i, i, 'x' FROM n;", numbers(0, 20_000)));
    let writer = Writer::start(&test, change);
    for _ in 0..3 {
        let found = verify(&config, &[]);
        let counts = ["differing", "missing", "extra", "from_future"].map(|what| found.count("w", what));
        assert_eq!(counts, [0; 4], "{found}");
    }
    drop(writer);
    bridge.wait_caught_up(&test, PATIENCE);
    // The source now stands in a file that has no transaction.
    test.sql("FLUSH BINARY LOGS;");
    let last: u64 = test.row("SELECT MAX(id) FROM w");
    test.clickhouse(&format!("ALTER TABLE {{db}}.w DELETE WHERE id = {last} SETTINGS mutations_sync = 2"));
    let found = verify(&config, &["--repair"]);
    assert_eq!((found.count("w", "missing"), found.count("w", "repaired")), (1, 1), "{found}");
    found.assert_equal();
    test.assert_equal("w");
}

#[test]
fn parts_that_do_not_fit_are_cut() {
    let test = Fixture::new("verify_large");
    // On average a row is small, so the server's statistics do not tell that some ranges are large.
    test.sql(
        "CREATE TABLE skewed (id INT NOT NULL PRIMARY KEY, s LONGBLOB);
         CREATE TABLE bare (f DOUBLE NOT NULL PRIMARY KEY, s LONGBLOB);",
    );
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    allow_many_numbers(&test);
    test.sql(&format!("INSERT INTO skewed {} SELECT i, 'small' FROM n;", numbers(1, 20_000)));
    for first in (0..90).step_by(15) {
        let numbers = numbers(first + 1, first + 15);
        test.sql(&format!(
            "REPLACE INTO skewed {numbers} SELECT 500 + i, REPEAT(CHAR(65 + i % 26), 1000000) FROM n;
             INSERT INTO bare {numbers} SELECT i / 8, REPEAT(CHAR(65 + i % 26), 1000000) FROM n;"
        ));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.clickhouse(
        "INSERT INTO {db}.skewed SELECT * REPLACE(concat(substring(assumeNotNull(s), 1, 999999), '!') AS s)
         FROM (SELECT * FROM {db}.skewed FINAL WHERE id IN (501, 533, 590))",
    );
    let found = verify(&config, &["--repair"]);
    assert_eq!((found.count("skewed", "differing"), found.count("skewed", "repaired")), (3, 3), "{found}");
    assert_eq!(found.count("skewed", "rows"), 20_000);
    let reason = found.table("bare")["not_compared"].as_str().unwrap();
    assert!(found.code == Some(3) && reason.contains("64 MiB"), "{found}");
    verify(&config, &[&format!("{}.skewed", test.database)]).assert_equal();
}

/// `cargo test --release --test verify -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn rows_per_second() {
    let test = Fixture::new("verify_speed");
    test.sql(
        "CREATE TABLE narrow (id BIGINT PRIMARY KEY, a INT, b INT, name VARCHAR(20), price DECIMAL(10, 2), created DATETIME);
         CREATE TABLE words (word VARCHAR(20) PRIMARY KEY, a INT, price DECIMAL(10, 2), created DATETIME);",
    );
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    allow_many_numbers(&test);
    let numbers = numbers(1, 1_000_000);
    let values = "i, -i, CONCAT('name-', i), i / 7, '2020-01-01' + INTERVAL i SECOND";
    test.sql(&format!(
        "INSERT INTO narrow {numbers} SELECT i, {values} FROM n;
         INSERT INTO words {numbers} SELECT CONCAT('word-', i), i, i / 7, '2020-01-01' + INTERVAL i SECOND FROM n;
         ANALYZE TABLE narrow, words;"
    ));
    bridge.wait_caught_up(&test, 10 * PATIENCE);
    for table in ["narrow", "words", "narrow", "words"] {
        let started = std::time::Instant::now();
        let found = verify(&config, &[&format!("{}.{table}", test.database)]);
        found.assert_equal();
        let (rows, seconds) = (found.count(table, "rows"), started.elapsed().as_secs_f64());
        println!("{table}: {rows} rows, {:.0} rows/s, {}", rows as f64 / seconds, found.stderr.trim());
    }
}

/// What the initial copy left out is no difference, unless the stream brought it; what it took is.
#[test]
fn rows_that_a_condition_left_out() {
    let test = Fixture::new("verify_where");
    test.sql("CREATE TABLE w (id INT NOT NULL PRIMARY KEY, v INT, s VARCHAR(9) NOT NULL);");
    allow_many_numbers(&test);
    test.sql(&format!("INSERT INTO w {} SELECT i, IF(i % 3, i % 2, NULL), 'x' FROM n;", numbers(1, 600)));
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 50);
    let rule: toml::Table =
        toml::from_str(&format!("table = \"{}.w\"\nwhere = \"v = 1 OR id = 6\"", test.database)).unwrap();
    config.set("replicate.rule", vec![toml::Value::from(rule)]);
    let mut bridge = Bridge::spawn(&config);
    let name = format!("{}.w", test.database);
    bridge.wait_for("the copy", PATIENCE, |status| status.table_state(&name) == "streaming");
    test.sql("UPDATE w SET s = 'late' WHERE id IN (2, 3);");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(test.clickhouse("SELECT count() FROM {db}.w FINAL").trim(), "203");
    verify(&config, &[]).assert_equal();
    // One that was copied, and one that the stream brought.
    test.clickhouse("ALTER TABLE {db}.w DELETE WHERE id IN (7, 2) SETTINGS mutations_sync = 2");
    let found = verify(&config, &["--repair"]);
    // Nothing tells any more that the stream had brought the second one.
    assert_eq!((found.count("w", "missing"), found.count("w", "repaired")), (1, 1), "{found}");
    verify(&config, &[]).assert_equal();
}
