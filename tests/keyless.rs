//! Tables without a PRIMARY KEY: by a UNIQUE key that stands in for it, or as multisets.
//!
//! Multisets are compared without the bridge: each server prints its rows as text of its own, and how often each text is
//! there is counted here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use support::bridge::{Bridge, Config, Ended, PATIENCE, run_command, run_with};
use support::fixture::Fixture;
use support::load::Random;
use support::wait_until;

/// How long a copy may take.
const COPY: Duration = Duration::from_secs(60);

const COLUMNS: &str = "a INT, b VARCHAR(20), c DECIMAL(9,2) NOT NULL, d DATETIME(3), e DOUBLE, f ENUM('x','y'), j JSON";

/// Rows of the columns above as text, on each side.
const SOURCE_TEXT: &str = "CONCAT_WS('|', IFNULL(a, 'N'), IFNULL(HEX(b), 'N'), c, \
    IFNULL(DATE_FORMAT(d, '%Y-%m-%d %H:%i:%s.%f'), 'N'), IFNULL(e * 8, 'N'), IFNULL(f, 'N'), IFNULL(HEX(j), 'N'))";
const TARGET_TEXT: &str = "concat(ifNull(toString(a), 'N'), '|', ifNull(hex(b), 'N'), '|', toDecimalString(c, 2), '|', \
    ifNull(toString(toDateTime64(d, 6, 'UTC')), 'N'), '|', ifNull(toString(e * 8), 'N'), '|', \
    ifNull(toString(f), 'N'), '|', ifNull(hex(j), 'N'))";

type Multiset = BTreeMap<String, i64>;

fn source(test: &Fixture, table: &str, text: &str) -> Multiset {
    let mut counts = Multiset::new();
    for row in test.rows::<String>(&format!("SELECT {text} FROM {table}")) {
        *counts.entry(row).or_default() += 1;
    }
    counts
}

fn target(test: &Fixture, table: &str, text: &str) -> Multiset {
    let view = format!("SELECT {text}, _multiplicity FROM {{db}}.`{table}__rows`");
    let mut counts = Multiset::new();
    for line in test.clickhouse(&view).lines() {
        let (row, count) = line.rsplit_once('\t').unwrap();
        *counts.entry(row.to_owned()).or_default() += count.parse::<i64>().unwrap();
    }
    counts
}

/// The view must have MySQL's rows, each as often.
fn assert_same(test: &Fixture, table: &str, source_text: &str, target_text: &str) {
    let (source, target) = (source(test, table, source_text), target(test, table, target_text));
    let differ = source.keys().chain(target.keys()).filter(|row| source.get(*row) != target.get(*row));
    let told: Vec<String> = differ
        .take(5)
        .map(|row| format!("{row}: {:?} in MySQL, {:?} in ClickHouse", source.get(row), target.get(row)))
        .collect();
    assert!(told.is_empty(), "{table}: {}", told.join("\n"));
}

fn assert_equal(test: &Fixture, table: &str) {
    assert_same(test, table, SOURCE_TEXT, TARGET_TEXT);
    let has_rows: u64 = test.row(&format!("SELECT COUNT(*) FROM {table}"));
    assert!(has_rows > 0, "nothing was compared");
}

/// The target of a table that has a key must have MySQL's rows, by two or three columns.
fn assert_final(test: &Fixture, table: &str, columns: &[&str]) {
    let source: Vec<String> = columns.iter().map(|name| format!("IFNULL({name}, 'N')")).collect();
    let target: Vec<String> = columns.iter().map(|name| format!("ifNull(toString({name}), 'N')")).collect();
    let mut source = test.rows::<String>(&format!("SELECT CONCAT_WS('|', {}) FROM {table}", source.join(", ")));
    source.sort();
    let target = test.clickhouse(&format!(
        "SELECT concatWithSeparator('|', {}) AS r FROM {{db}}.`{table}` FINAL ORDER BY r",
        target.join(", ")
    ));
    assert_eq!(target.lines().collect::<Vec<_>>(), source, "{table}");
    assert!(!source.is_empty(), "nothing was compared");
}

fn command(command: &str, config: &Config, table: &str) -> Ended {
    let folder = tempfile::TempDir::new().unwrap();
    run_with(&[command, table, "--config", config.write().to_str().unwrap()], folder.path())
}

fn resync(bridge: &mut Bridge, test: &Fixture, table: &str) {
    let name = format!("{}.{table}", test.database);
    let ended = command("resync", bridge.config(), &name);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    bridge.wait_for(&format!("{name} streaming"), COPY, |status| status.table_state(&name) == "streaming");
}

/// What `verify` says.
fn verify(bridge: &Bridge, test: &Fixture, table: &str) -> Ended {
    command("verify", bridge.config(), &format!("{}.{table}", test.database))
}

fn assert_verified(bridge: &Bridge, test: &Fixture, table: &str) {
    let ended = verify(bridge, test, table);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
}

const ROWS: &str = "(1, 'one', 1.50, '2024-01-01 00:00:00.123', 0.5, 'x', '{\"k\": [1, null]}')";

#[test]
fn rows_that_nothing_tells_apart_are_counted() {
    let test = Fixture::new("multiset");
    test.sql(&format!("CREATE TABLE t ({COLUMNS});\nINSERT INTO t VALUES {ROWS}, {ROWS}, {ROWS};\nINSERT INTO t VALUES (2, NULL, 0, NULL, -0e0, NULL, NULL), (NULL, '', -1.25, NULL, NULL, 'y', '[]');"));
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_all_streaming(&test, COPY);
    assert_equal(&test, "t");
    let mut step = |sql: &str| {
        test.sql(sql);
        bridge.wait_all_streaming(&test, COPY);
        assert_equal(&test, "t");
    };
    step(&format!("INSERT INTO t VALUES {ROWS}, {ROWS}"));
    step("DELETE FROM t WHERE a = 1 LIMIT 2");
    step("UPDATE t SET b = 'two', c = c + 1 WHERE a = 1 LIMIT 1");
    step("UPDATE t SET e = -e, j = JSON_SET(j, '$.k[1]', 'x') ORDER BY a LIMIT 4");
    step(
        "BEGIN;\nDELETE FROM t WHERE a = 2;\nINSERT INTO t (a, c) VALUES (2, 0), (2, 0);\nROLLBACK;\nINSERT INTO t (a, c) VALUES (7, 0), (7, 0);",
    );
    step(
        "SET SESSION binlog_row_image = 'MINIMAL', binlog_row_value_options = 'PARTIAL_JSON';\nUPDATE t SET b = 'minimal' WHERE a = 7 LIMIT 1;\nUPDATE t SET j = JSON_SET(j, '$.k[0]', 9) WHERE a = 1;\nDELETE FROM t WHERE a = 7 LIMIT 1;\nSET SESSION binlog_row_image = 'FULL', binlog_row_value_options = '';",
    );
    step(
        "SET SESSION binlog_transaction_compression = ON;\nINSERT INTO t (a, c) VALUES (8, 1), (8, 2), (8, 2);\nUPDATE t SET c = 2 WHERE a = 8;\nSET SESSION binlog_transaction_compression = OFF;",
    );
    step(
        "XA START 'k';\nINSERT INTO t (a, c) VALUES (9, 9), (9, 9);\nUPDATE t SET c = 8 WHERE a = 9 LIMIT 1;\nXA END 'k';\nXA PREPARE 'k';\nXA COMMIT 'k';",
    );
    step("INSERT INTO t (a, c) VALUES (10, 1), (10, 1);\nDELETE FROM t WHERE a = 10 LIMIT 1;");
    let rows = test.clickhouse("SELECT sum(_sign), max(_is_deleted) FROM {db}.t FINAL");
    assert_eq!(rows, format!("{}\t1", test.row::<u64>("SELECT COUNT(*) FROM t")));
    let config = bridge.config().clone();
    assert_eq!(bridge.sigterm(), Some(0));
    test.sql("DELETE FROM t WHERE a = 8 LIMIT 1");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    assert_equal(&test, "t");
    resync(&mut bridge, &test, "t");
    assert_equal(&test, "t");
    let log = test.clickhouse("SELECT count(), countIf(_sign < 0) FROM {db}.t FINAL");
    assert_eq!(log, format!("{}\t0", test.row::<u64>("SELECT COUNT(*) FROM t")), "a copy has no changes");
    assert_verified(&bridge, &test, "t");
    // As if somebody had written to it by hand: below the place that is compared.
    test.clickhouse("INSERT INTO {db}.t SELECT * REPLACE (1 AS _is_deleted, 77 AS _n) FROM {db}.t WHERE a = 8 LIMIT 1");
    test.clickhouse("INSERT INTO {db}.t SELECT * REPLACE (78 AS _n) FROM {db}.t WHERE a = 1 AND b = 'one' LIMIT 1");
    let ended = verify(&bridge, &test, "t");
    let text = ended.text();
    assert_eq!(ended.code, Some(3), "{text}");
    assert!(text.contains("1 missing") && text.contains("1 extra") && text.contains("a = 8"), "{text}");
    resync(&mut bridge, &test, "t");
    assert_verified(&bridge, &test, "t");
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn schema_changes_of_a_table_without_a_key() {
    let test = Fixture::new("keyless_ddl");
    test.sql(&format!("CREATE TABLE t ({COLUMNS});\nINSERT INTO t VALUES {ROWS}, {ROWS};"));
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_all_streaming(&test, COPY);
    let with_more = |test: &Fixture, table: &str| {
        let (source, target) =
            (format!("CONCAT_WS('|', {SOURCE_TEXT}, g)"), format!("concat({TARGET_TEXT}, '|', toString(g))"));
        assert_same(test, table, &source, &target);
    };
    test.sql("ALTER TABLE t ADD COLUMN g BIGINT NOT NULL DEFAULT 5 AFTER a;\nDELETE FROM t LIMIT 1;\nINSERT INTO t (a, c) VALUES (1, 2), (1, 2);");
    bridge.wait_all_streaming(&test, COPY);
    with_more(&test, "t");
    test.sql("ALTER TABLE t MODIFY a BIGINT, ADD KEY (a);\nUPDATE t SET g = 6 LIMIT 1;\nRENAME TABLE t TO u;\nDELETE FROM u WHERE g = 5 LIMIT 1;\nCREATE TABLE n LIKE u;\nINSERT INTO n SELECT * FROM u;\nINSERT INTO n SELECT * FROM u;");
    bridge.wait_all_streaming(&test, COPY);
    with_more(&test, "u");
    with_more(&test, "n");
    assert_eq!(test.clickhouse_tables(), ["n", "n__rows", "u", "u__rows"]);
    test.sql("TRUNCATE n;\nINSERT INTO n (a, c) VALUES (1, 1), (1, 1);\nDROP TABLE u;\nALTER TABLE n MODIFY a INT UNSIGNED;\nDELETE FROM n LIMIT 1;");
    bridge.wait_all_streaming(&test, COPY);
    with_more(&test, "n");
    assert_eq!(test.clickhouse_tables(), ["n", "n__rows"]);
    test.sql("ALTER TABLE n ADD COLUMN id INT AUTO_INCREMENT PRIMARY KEY;\nINSERT INTO n (a, c) VALUES (1, 1);");
    bridge.wait_all_streaming(&test, COPY);
    test.assert_equal("n");
    assert_eq!(test.clickhouse_tables(), ["n"], "a table with a key needs no view");
    test.sql("ALTER TABLE n DROP COLUMN id;\nINSERT INTO n (a, c) VALUES (1, 1);");
    bridge.wait_all_streaming(&test, COPY);
    with_more(&test, "n");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// What `[ddl]` ignores must not make the images of one row differ: by a column that is written no more, or other values.
#[test]
fn changes_that_are_ignored() {
    let test = Fixture::new("keyless_ignored");
    test.sql("CREATE TABLE t (a INT, b INT, c INT);\nINSERT INTO t VALUES (1, 10, 100), (1, 11, 100), (2, 20, 200), (3, 3, 3);");
    let mut config = test.config();
    config.set("ddl.alter_table", "ignore");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    let mut step = |sql: &str| {
        test.sql(sql);
        bridge.wait_all_streaming(&test, COPY);
        assert_same(&test, "t", "CONCAT_WS('|', a, c)", "concat(toString(a), '|', toString(c))");
    };
    step("ALTER TABLE t MODIFY b BIGINT;\nUPDATE t SET b = 12 WHERE b = 11;\nDELETE FROM t WHERE b = 10;");
    step(
        "ALTER TABLE t DROP COLUMN b;\nDELETE FROM t WHERE c = 100;\nUPDATE t SET c = 201 WHERE a = 2;\nINSERT INTO t VALUES (3, 4);",
    );
    step(
        "ALTER TABLE t RENAME COLUMN a TO c, RENAME COLUMN c TO a;\nDELETE FROM t WHERE c = 2;\nINSERT INTO t (a, c) VALUES (5, 6);",
    );
    step("ALTER TABLE t ADD COLUMN m INT NOT NULL DEFAULT 4;\nDELETE FROM t WHERE a = 4;");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A table that goes on without a refused change is written as if it had been made.
#[test]
fn changes_that_are_refused() {
    let test = Fixture::new("keyless_drifted");
    test.sql("CREATE TABLE t (a INT, b INT);\nINSERT INTO t VALUES (1, 10), (1, 11), (2, 20);");
    let mut config = test.config();
    config.set("ddl.on_failure", "continue");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    // It takes the name, and no rows can be written to it.
    test.clickhouse("ALTER TABLE {db}.t ADD COLUMN n Nullable(Int32) ALIAS b");
    test.sql("ALTER TABLE t RENAME COLUMN b TO n;\nDELETE FROM t WHERE n = 11;");
    let name = format!("{}.t", test.database);
    bridge.wait_for("drifted", PATIENCE, |status| status.table_state(&name) == "drifted");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_same(&test, "t", "CAST(a AS CHAR)", "toString(a)");
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    test.sql("ALTER TABLE t ADD COLUMN c INT NOT NULL DEFAULT 3;\nUPDATE t SET c = 4 WHERE a = 2;\nDELETE FROM t WHERE a = 1;");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_same(&test, "t", "CONCAT_WS('|', a, c)", "concat(toString(a), '|', toString(c))");
    assert_eq!(bridge.status().unwrap().table_state(&name), "drifted");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Writers that insert, change and delete rows of few values.
struct Writers {
    stop: Arc<AtomicBool>,
    statements: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    fn start(test: &Fixture, table: &'static str, count: u64) -> Self {
        let (stop, statements) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..count).map(|seed| {
            let (mut connection, stop, statements) = (test.connect(), Arc::clone(&stop), Arc::clone(&statements));
            std::thread::spawn(move || {
                let mut random = Random::new(seed);
                while !stop.load(Ordering::Relaxed) {
                    let (a, b) = (random.below(5), random.below(4));
                    let sql = match random.below(8) {
                        0 => format!("DELETE FROM {table} WHERE a = {a} LIMIT {b}"),
                        1 => format!("UPDATE {table} SET b = 'v{b}' WHERE a = {a} LIMIT 3"),
                        2 => format!("UPDATE {table} SET a = {b}, e = -0e0 WHERE a = {a} LIMIT 2"),
                        _ => format!("INSERT INTO {table} (a, b, c) VALUES ({a}, 'v{b}', 1.5), ({a}, NULL, 1.5), ({a}, NULL, 1.5)"),
                    };
                    // Writers may meet in a deadlock.
                    if connection.query_drop(sql).is_ok() {
                        statements.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { stop, statements, threads }
    }

    fn wait_for(&self, more: u64) {
        let until = self.statements.load(Ordering::Relaxed) + more;
        wait_until("statements", PATIENCE, || self.statements.load(Ordering::Relaxed) >= until);
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn five_kills_under_load_lose_and_double_no_row() {
    let test = Fixture::new("keyless_kills");
    test.sql(&format!("CREATE TABLE t ({COLUMNS}, KEY (a));"));
    for _ in 0..40 {
        test.sql(&format!("INSERT INTO t VALUES {}", vec![ROWS; 500].join(", ")));
    }
    let writers = Writers::start(&test, "t", 3);
    let mut config = test.config();
    config.set("snapshot.max_rows_per_second", 20_000);
    let name = format!("{}.t", test.database);
    let mut random = Random::new(7);
    for kill in 0..6 {
        let mut bridge = Bridge::spawn(&config);
        match kill {
            // Amid the first copy.
            0 => drop(bridge.wait_for("copying", COPY, |status| status.table_reason(&name).contains("rows/s"))),
            // Amid another one.
            2 => {
                bridge.wait_for("streaming", COPY, |status| status.table_state(&name) == "streaming");
                let ended = command("resync", bridge.config(), &name);
                assert_eq!(ended.code, Some(0), "{}", ended.text());
                bridge.wait_for("copying", COPY, |status| status.table_reason(&name).contains("rows/s"));
            }
            // While it streams, or catches up.
            _ => {
                bridge.wait_for("streaming", COPY, |status| status.table_state(&name) == "streaming");
                writers.wait_for(200 + random.below(400));
            }
        }
        println!("kill {kill} at {:?}", Instant::now());
        bridge.kill9();
    }
    let mut bridge = Bridge::start(&config);
    writers.wait_for(300);
    assert_verified(&bridge, &test, "t");
    resync(&mut bridge, &test, "t");
    assert_verified(&bridge, &test, "t");
    writers.wait_for(300);
    writers.end();
    bridge.wait_all_streaming(&test, COPY);
    assert_equal(&test, "t");
    let held = test.clickhouse(
        "SELECT count() FROM (SELECT a, b, c, d, e, f, j, sum(_sign) AS n FROM {db}.t FINAL GROUP BY ALL HAVING n < 0)",
    );
    assert_eq!(held, "0", "no row is there less than not at all");
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_unique_key_stands_in_for_a_primary_key() {
    let test = Fixture::new("unique_key");
    test.sql(
        "CREATE TABLE t (a INT, b INT NOT NULL, c VARCHAR(9) NOT NULL, UNIQUE KEY ka (a), UNIQUE KEY kc (c(2)), UNIQUE KEY kbc (b, c));
         INSERT INTO t VALUES (1, 1, 'x'), (NULL, 1, 'y');",
    );
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_all_streaming(&test, COPY);
    // Some versions print a key of one column in parentheses.
    let key = |table: &str| {
        test.clickhouse(&format!(
            "SELECT trim(BOTH '()' FROM sorting_key) FROM system.tables WHERE database = '{{db}}' AND name = '{table}'"
        ))
    };
    assert_eq!(key("t"), "b, c");
    let mut step = |sql: &str, table: &str, expected: &str| {
        test.sql(sql);
        bridge.wait_all_streaming(&test, COPY);
        let columns: &[&str] = if table == "t" { &["a", "b", "c"] } else { &["x", "y"] };
        assert_final(&test, table, columns);
        assert_eq!(key(table), expected, "{sql}");
    };
    step(
        "UPDATE t SET b = 2 WHERE c = 'x';\nDELETE FROM t WHERE c = 'y';\nINSERT INTO t VALUES (5, 2, 'z');",
        "t",
        "b, c",
    );
    step(
        "UPDATE t SET a = 9 WHERE a = 5;\nALTER TABLE t MODIFY a INT NOT NULL;\nUPDATE t SET c = 'w' WHERE a = 9;",
        "t",
        "b, c",
    );
    step("ALTER TABLE t DROP INDEX kbc;\nUPDATE t SET b = 7;", "t", "a");
    step(
        "CREATE TABLE n (x INT NOT NULL UNIQUE, y INT);\nINSERT INTO n VALUES (1, 1), (2, 2);\nUPDATE n SET x = 3 WHERE y = 2;",
        "n",
        "x",
    );
    step("ALTER TABLE n ADD PRIMARY KEY (y);\nUPDATE n SET x = 4 WHERE y = 2;", "n", "y");
    step("ALTER TABLE n DROP PRIMARY KEY;\nUPDATE n SET y = 4 WHERE x = 4;", "n", "x");
    test.sql("SET SESSION binlog_row_image = 'MINIMAL';\nUPDATE n SET y = 5 WHERE x = 4;\nDELETE FROM n WHERE x = 1;");
    bridge.wait_all_streaming(&test, COPY);
    assert_final(&test, "n", &["x", "y"]);
    test.sql("DROP INDEX x ON n;\nINSERT INTO n VALUES (4, 5), (4, 5);");
    bridge.wait_all_streaming(&test, COPY);
    assert_same(&test, "n", "CONCAT_WS('|', x, y)", "concat(toString(x), '|', toString(y))");
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn check_says_what_a_table_without_a_key_gets() {
    let test = Fixture::new("keyless_check");
    test.sql("CREATE TABLE t (a INT)");
    let ended = run_command("check", &test.config());
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let text = ended.text();
    assert!(text.contains("no PRIMARY KEY") && text.contains("t__rows") && text.contains("ADD COLUMN `id`"), "{text}");
}

/// A VIRTUAL column is computed by the session that changes the row: it cannot tell rows apart.
#[test]
fn virtual_columns_need_a_key() {
    let test = Fixture::new("keyless_virtual");
    test.sql(
        "CREATE TABLE t (a INT, ts TIMESTAMP NOT NULL, g DATETIME AS (CAST(ts AS DATETIME)) VIRTUAL NOT NULL, UNIQUE KEY (g));
         CREATE TABLE k (a INT NOT NULL, ts TIMESTAMP NOT NULL, g DATETIME AS (CAST(ts AS DATETIME)) VIRTUAL NOT NULL, UNIQUE KEY (g), UNIQUE KEY (a));
         INSERT INTO k (a, ts) VALUES (1, '2024-01-01 00:00:00'), (2, '2024-01-02 00:00:00');",
    );
    let expected = "t column g: it is VIRTUAL, so that its values depend on the session";
    let checked = run_command("check", &test.config());
    assert!(checked.code == Some(3) && checked.text().contains(expected), "{}", checked.text());
    test.sql("DROP TABLE t");
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_all_streaming(&test, COPY);
    test.sql(
        "CREATE TABLE t (a INT, ts TIMESTAMP NULL, g DATETIME AS (CAST(ts AS DATETIME)) VIRTUAL);
         CREATE TABLE s (a INT, ts TIMESTAMP NULL, g DATETIME AS (CAST(ts AS DATETIME)) STORED);
         INSERT INTO t (a, ts) VALUES (1, '2024-01-01 00:00:00');
         INSERT INTO s (a, ts) VALUES (1, '2024-01-01 00:00:00'), (1, '2024-01-01 00:00:00'), (2, '2024-01-01 00:00:00');
         SET time_zone = '+05:00';
         DELETE FROM s WHERE a = 1 LIMIT 1;
         UPDATE k SET a = 3 WHERE a = 1;
         DELETE FROM k WHERE a = 2;",
    );
    let name = format!("{}.t", test.database);
    bridge.wait_for("t aside", COPY, |status| status.table_reason(&name).contains(expected));
    bridge.wait_for("s streaming", COPY, |status| status.table_state(&format!("{}.s", test.database)) == "streaming");
    bridge.wait_caught_up(&test, COPY);
    assert_same(
        &test,
        "s",
        "CONCAT_WS('|', a, UNIX_TIMESTAMP(ts))",
        "concat(toString(a), '|', toString(toUnixTimestamp(ts)))",
    );
    assert_eq!(test.clickhouse("SELECT a FROM {db}.k FINAL"), "3");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A table that has the name of another one's view: one of them is refused, and names the other.
#[test]
fn names_that_are_taken() {
    let test = Fixture::new("keyless_names");
    test.sql("CREATE TABLE t (a INT);\nCREATE TABLE t__rows (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1);\nINSERT INTO t__rows VALUES (7);");
    let (view, name) = (format!("{}.t__rows", test.database), |table: &str| format!("{}.{table}", test.database));
    let expected =
        format!("{view}: {view} is the name of the view of the rows of {}.t, which has no key", test.database);
    let checked = run_command("check", &test.config());
    assert!(checked.code == Some(3) && checked.text().contains(&expected), "{}", checked.text());
    test.sql("DROP TABLE t__rows");
    test.clickhouse("CREATE DATABASE {db}");
    test.clickhouse("CREATE VIEW {db}.t__rows AS SELECT 1 AS mine");
    let checked = run_command("check", &test.config());
    let expected = format!("{}: {view}, the view of its rows (it has no key), is the name of another table", name("t"));
    assert!(checked.code == Some(3) && checked.text().contains(&expected), "{}", checked.text());
    assert_eq!(test.clickhouse("SELECT * FROM {db}.t__rows"), "1", "it stays");
    test.clickhouse("DROP VIEW {db}.t__rows");
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_all_streaming(&test, COPY);
    test.sql(
        "CREATE TABLE t__rows (id INT PRIMARY KEY);
         INSERT INTO t__rows VALUES (7);
         CREATE TABLE u__rows (id INT PRIMARY KEY);
         INSERT INTO u__rows VALUES (8);
         CREATE TABLE u (a INT);
         CREATE TABLE w (a INT);
         RENAME TABLE w TO v;
         CREATE TABLE x__rows (id INT PRIMARY KEY);
         INSERT INTO x__rows VALUES (9);
         RENAME TABLE v TO x;
         INSERT INTO t VALUES (2);",
    );
    let mut refused = |table: &str, part: &str| {
        let name = name(table);
        let is_it = |reason: &str| reason.contains(part);
        bridge.wait_for(&format!("{name} aside"), COPY, |status| is_it(&status.table_reason(&name)));
    };
    refused("t__rows", &format!("{view} is the view of the rows"));
    refused("u", "u__rows, the view of its rows (it has no key), is the name of another table");
    refused("x", "x__rows, the view of its rows (it has no key), is the name of another table");
    bridge.wait_caught_up(&test, COPY);
    assert_same(&test, "t", "CAST(a AS CHAR)", "toString(a)");
    test.assert_equal("u__rows");
    test.assert_equal("x__rows");
    // Mended.
    test.sql("RENAME TABLE t__rows TO t_rows;\nINSERT INTO t_rows VALUES (10);\nDROP TABLE u__rows, x__rows;");
    bridge.wait_caught_up(&test, COPY);
    resync(&mut bridge, &test, "u");
    resync(&mut bridge, &test, "x");
    bridge.wait_all_streaming(&test, COPY);
    test.assert_equal("t_rows");
    assert_eq!(test.clickhouse("SELECT count() FROM {db}.u__rows"), "0");
    assert_eq!(bridge.sigterm(), Some(0));
}
