//! `binlog_row_metadata=MINIMAL`, MySQL's default, on real servers: rows that come without names, labels and key get them
//! from the catalog, or their table is copied anew. Every type is in tests/types.rs, random schema changes in
//! tests/schema_changes.rs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use support::bridge::{Bridge, Config, PATIENCE, run_command};
use support::fixture::Fixture;
use support::servers::Servers;

/// How long copies may take.
const COPY: Duration = Duration::from_secs(120);

fn minimal(name: &str) -> Fixture {
    let servers = Servers::own_mysql(&format!("minimal-{name}"), &["--binlog-row-metadata=MINIMAL"]);
    Fixture::on(servers, &format!("minimal_{name}"))
}

/// What a kill leaves is read again from the first position on.
fn without_checkpoints(test: &Fixture) -> Config {
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1h").set("state.checkpoint_events", 1_000_000);
    config
}

fn all_equal(bridge: &mut Bridge, test: &Fixture) {
    bridge.wait_all_streaming(test, COPY);
    test.assert_all_equal();
}

/// Copies beside targets that were made until now.
fn copies(test: &Fixture) -> u64 {
    let select = "SELECT uniqExact(shadow) FROM `{db}_state`.copy_chunks WHERE toUInt128(shadow) != 0";
    test.clickhouse(select).trim().parse().unwrap()
}

/// Columns that are not seen, keys in another order, labels, signs and character sets; copied first, then streamed.
#[test]
fn tables_of_every_kind() {
    let test = minimal("kinds");
    test.sql(
        "CREATE TABLE k (v VARCHAR(20), b BIGINT UNSIGNED NOT NULL, e ENUM('x', 'y', 'ü') NOT NULL, a INT NOT NULL, PRIMARY KEY (e, b, a));
         CREATE TABLE u (n TINYINT UNSIGNED NOT NULL UNIQUE, s SMALLINT UNSIGNED, m MEDIUMINT UNSIGNED, id INT PRIMARY KEY);
         CREATE TABLE c (id INT PRIMARY KEY, l VARCHAR(20) CHARACTER SET latin1, e ENUM('ä', 'o') CHARACTER SET latin1, s SET('p', 'q', 'ö'), t TEXT CHARACTER SET utf8mb3, b VARBINARY(20), a CHAR(3) CHARACTER SET ascii);
         CREATE TABLE g (id INT PRIMARY KEY, a INT, b INT AS (a * 2), d INT AS (a + 1) STORED, h INT DEFAULT 7 INVISIBLE, KEY fx ((a + 1)));
         CREATE TABLE m (id INT PRIMARY KEY, j JSON, n INT, KEY mv ((CAST(j->'$.z' AS UNSIGNED ARRAY))));
         SET SESSION sql_generate_invisible_primary_key = ON;
         CREATE TABLE gipk (a INT, b VARCHAR(10));",
    );
    let fill = |n: i32| {
        test.sql(&format!(
            "INSERT INTO k VALUES ('one', 18446744073709551615, 'ü', {n}), ('two', 0, 'x', -{n});
             INSERT INTO u VALUES (250 + {n}, 65535, 16777215, {n});
             INSERT INTO c VALUES ({n}, 'ä€', 'ä', 'p,ö', 'é', X'0080', 'a');
             INSERT INTO g (id, a, h) VALUES ({n}, 5, {n});
             INSERT INTO m VALUES ({n}, '{{\"z\": [1, 2], \"long\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}', 1);
             INSERT INTO gipk VALUES ({n}, 'x'), (NULL, NULL);"
        ));
    };
    fill(1);
    let ended = run_command("check", &test.config());
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert!(ended.stdout.contains("SET PERSIST binlog_row_metadata = 'FULL';"), "{}", ended.stdout);
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    fill(2);
    test.sql(
        "UPDATE k SET e = 'y', b = b - 1 WHERE b > 0;\nDELETE FROM k WHERE a = -1;\nUPDATE u SET n = 0 WHERE id = 1;
         UPDATE c SET e = 'o', s = 'q' WHERE id = 1;\nUPDATE g SET a = 9, h = NULL WHERE id = 2;\nUPDATE gipk SET b = 'y' WHERE a = 1;
         SET SESSION binlog_row_value_options = 'PARTIAL_JSON';
         UPDATE m SET j = JSON_SET(j, '$.z[1]', 7), n = 2 WHERE id = 2;
         UPDATE m SET j = JSON_REMOVE(j, '$.long') WHERE id = 1;
         SET SESSION binlog_row_value_options = '';
         XA START 'x';\nINSERT INTO k VALUES ('xa', 1, 'x', 1);\nUPDATE u SET n = 9 WHERE id = 2;\nXA END 'x';\nXA PREPARE 'x';",
    );
    bridge.wait_caught_up(&test, PATIENCE);
    let config = bridge.config().clone();
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    test.sql("XA COMMIT 'x';");
    fill(3);
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 0, "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Types that stay the same under names and labels that change: a kill has all rows of before come again.
#[test]
fn schema_changes_that_types_do_not_show() {
    let test = minimal("ddl");
    test.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, e ENUM('x', 'y', 'z'), s SET('p', 'q'));
         CREATE TABLE moved (id INT PRIMARY KEY, a INT, b INT);
         SET SESSION sql_mode = 'STRICT_TRANS_TABLES';",
    );
    let config = without_checkpoints(&test);
    let mut bridge = Bridge::start(&config);
    // Each with a column of before and one of behind.
    let statements = [
        ("ALTER TABLE t MODIFY e ENUM('z', 'y', 'x')", "a", "b"),
        ("ALTER TABLE t MODIFY e ENUM('z', 'w', 'y', 'x'), MODIFY s SET('r', 'p', 'q')", "a", "b"),
        ("ALTER TABLE t RENAME COLUMN a TO c", "a", "c"),
        ("ALTER TABLE t RENAME COLUMN b TO a", "b", "a"),
        ("ALTER TABLE t ADD COLUMN f INT NOT NULL DEFAULT 4 AFTER id", "a", "f"),
        ("ALTER TABLE t DROP COLUMN c", "c", "f"),
        ("ALTER TABLE t MODIFY a BIGINT, ADD COLUMN u INT UNSIGNED FIRST", "a", "u"),
        ("ALTER TABLE t ADD INDEX (a), DEFAULT CHARACTER SET latin1", "a", "u"),
    ];
    for (number, (statement, before, behind)) in (1..).zip(statements) {
        let id = number * 10;
        test.sql(&format!(
            "INSERT INTO t (id, {before}, e, s) VALUES ({id}, {id}, 'x', 'q'), ({id} + 1, {id} + 1, 'z', 'p,q');
             INSERT INTO moved VALUES ({id}, {id}, -{id});
             {statement};
             ALTER TABLE moved MODIFY a INT {};
             INSERT INTO t (id, {behind}, e, s) VALUES ({id} + 2, {id} + 2, 'x', 'q'), ({id} + 3, {id} + 3, 'y', 'p');
             UPDATE t SET e = 'z' WHERE id = {id};",
            if number % 2 == 0 { "AFTER id" } else { "AFTER b" }
        ));
        if number % 3 == 0 {
            all_equal(&mut bridge, &test);
            bridge.kill9();
            bridge = Bridge::start(&config);
        }
    }
    all_equal(&mut bridge, &test);
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 0, "{}", bridge.log());
    // Two names that change places are a copy.
    test.sql("ALTER TABLE moved RENAME COLUMN a TO b, RENAME COLUMN b TO a;\nINSERT INTO moved VALUES (7, 1, 2);");
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Changes that the binary log does not have show by the types: both shapes are named, and the table is copied anew.
#[test]
fn what_was_not_logged_is_noticed() {
    let test = minimal("hidden");
    test.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT UNSIGNED, v VARCHAR(10));\nINSERT INTO t VALUES (1, 1, 'one');",
    );
    let mut bridge = Bridge::start(&test.config());
    test.sql("INSERT INTO t VALUES (2, 2, 'two');");
    all_equal(&mut bridge, &test);
    let known = "known (id INT NOT NULL, a INT UNSIGNED, v VARCHAR of 40 bytes utf8mb4)";
    let hidden = [
        ("DROP COLUMN a", "in the stream (@1 INT NOT NULL, @2 VARCHAR of 40 bytes utf8mb4)"),
        ("ADD COLUMN a INT UNSIGNED AFTER id", "in the stream (@1 INT NOT NULL, @2 INT UNSIGNED, @3 VARCHAR"),
        ("MODIFY a INT", "in the stream (@1 INT NOT NULL, @2 INT, @3 VARCHAR"),
        ("MODIFY v VARCHAR(10) CHARACTER SET latin1", "@3 VARCHAR of 10 bytes latin1)"),
        ("MODIFY v VARCHAR(10) CHARACTER SET latin1 NOT NULL", "@3 VARCHAR of 10 bytes latin1 NOT NULL)"),
    ];
    for (number, (change, shape)) in (3..).zip(hidden) {
        test.sql(&format!(
            "SET SESSION sql_log_bin = 0;\nALTER TABLE t {change};\nSET SESSION sql_log_bin = 1;
             INSERT INTO t (id, v) VALUES ({number}, 'more');\nUPDATE t SET v = 'changed' WHERE id = 1;"
        ));
        all_equal(&mut bridge, &test);
        let log = bridge.log();
        assert!(log.contains(shape) && log.contains("`stream-bridge resync`"), "{change}: {shape}: {log}");
    }
    assert!(bridge.log().contains(known), "{}", bridge.log());
    assert_eq!(copies(&test), 5, "{}", bridge.log());
    // What the copy found is what is known from there on.
    test.sql("INSERT INTO t (id, v) VALUES (100, 'last');\nALTER TABLE t ADD COLUMN w INT;\nINSERT INTO t VALUES (101, 1, 'w', 2);");
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 5, "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Each map says itself what it has.
#[test]
fn metadata_may_change_while_streaming() {
    let test = minimal("switched");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'b'), n INT);");
    let config = without_checkpoints(&test);
    let mut bridge = Bridge::start(&config);
    for (number, value) in (0..).zip(["FULL", "MINIMAL", "FULL", "MINIMAL"]) {
        test.sql(&format!(
            "SET GLOBAL binlog_row_metadata = '{value}';\nINSERT INTO t (id, e) VALUES ({number}, 'b');
             ALTER TABLE t MODIFY e ENUM('b', 'a', 'c{number}');\nINSERT INTO t (id, e) VALUES ({number} + 10, 'b'), ({number} + 20, 'c{number}');
             UPDATE t SET e = 'a' WHERE e = 'c{number}';"
        ));
        all_equal(&mut bridge, &test);
    }
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t (id, e) VALUES (100, 'a');");
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// `information_schema` shows every character beyond U+FFFF as `?`: such a label is not guessed.
#[test]
fn labels_that_nothing_tells_are_refused() {
    let test = minimal("labels");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'ü 🎁'));\nCREATE TABLE u (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1, 'a'), (2, 'ü 🎁');");
    let ended = run_command("check", &test.config());
    assert_eq!(ended.code, Some(3), "{}", ended.text());
    let words = ["t column e: binlog_row_metadata is MINIMAL", "SET PERSIST binlog_row_metadata = 'FULL';"];
    assert!(words.iter().all(|word| ended.stdout.contains(word)), "{}", ended.stdout);
    test.sql("SET GLOBAL binlog_row_metadata = 'FULL';");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    test.sql("SET GLOBAL binlog_row_metadata = 'MINIMAL';\nINSERT INTO t VALUES (3, 'ü 🎁');");
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("may be another label"), "{reason}");
    test.sql("INSERT INTO u VALUES (1);\nINSERT INTO t VALUES (4, 'ü 🎁');\nSET GLOBAL binlog_row_metadata = 'FULL';");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("u");
    assert_eq!(bridge.post("/resync", &format!("{}.t", test.database)).unwrap(), 202);
    test.sql("INSERT INTO t VALUES (5, 'ü 🎁');");
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// What the columns were at a position of the past is not known: not guessed from what they are now.
#[test]
fn an_older_position_has_tables_copied() {
    let test = minimal("older");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT);\nCREATE TABLE u (id INT PRIMARY KEY);");
    let (file, offset, ..): (String, u64, String, String, String) = test.row("SHOW BINARY LOG STATUS");
    test.sql("INSERT INTO t VALUES (1, 1, -1);\nALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a;\nINSERT INTO t VALUES (2, -2, 2);");
    let mut config = test.config();
    let start = toml::Table::from_iter([
        ("file".to_owned(), toml::Value::from(file)),
        ("offset".to_owned(), i64::try_from(offset).unwrap().into()),
    ]);
    config.set("mysql.start", start);
    let mut bridge = Bridge::spawn(&config);
    let name = format!("{}.t", test.database);
    bridge.wait_for("t is copied", COPY, |status| status.table_state(&name) == "streaming");
    test.assert_equal("t");
    assert!(bridge.log().contains("what its columns were at this position is not known"), "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A copy that a kill interrupts goes on, and its table is known when it has taken its target's place.
#[test]
fn an_interrupted_copy_knows_its_table() {
    let test = minimal("interrupted");
    support::load::allow_many_numbers(&test);
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'b', 'c'), n INT);");
    test.sql(&format!("INSERT INTO t {} SELECT i, 1 + i % 3, i FROM n", support::load::numbers(1, 60_000)));
    let mut config = test.config();
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
    config.set("snapshot.max_rows_per_second", 10_000).set("snapshot.chunk_rows", 5_000);
    let mut bridge = Bridge::start(&config);
    let name = format!("{}.t", test.database);
    assert_eq!(bridge.post("/resync", &name).unwrap(), 202);
    let copied = "SELECT count() FROM `{db}_state`.copy_chunks FINAL WHERE toUInt128(shadow) != 0 AND done = 1";
    bridge.wait_for("a chunk", COPY, |_| test.clickhouse(copied).trim() != "0");
    bridge.kill9();
    config.set("snapshot.max_rows_per_second", 0);
    let mut bridge = Bridge::start(&config);
    test.sql("UPDATE t SET e = 'b' WHERE id < 100;\nINSERT INTO t VALUES (0, 'c', 0);");
    all_equal(&mut bridge, &test);
    test.sql(
        "UPDATE t SET e = 'c' WHERE id < 50;\nALTER TABLE t ADD COLUMN x INT;\nINSERT INTO t VALUES (-1, 'a', 0, 1);",
    );
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 1, "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A change that the configuration leaves out of the target still says what later rows are.
#[test]
fn a_change_that_is_ignored_is_followed_all_the_same() {
    let test = minimal("ignored");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'b'), n INT);\nINSERT INTO t VALUES (1, 'a', 1);");
    let mut config = test.config();
    config.set("ddl.alter_table", "ignore");
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES (2, 'b', 2);\nALTER TABLE t MODIFY e ENUM('b', 'a');\nINSERT INTO t VALUES (3, 'b', 3), (4, 'a', 4);");
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 0, "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

/// The source shows a table as it is now, the stream may be far behind: rows of before a change that it has yet to come to
/// are not those of what was read.
#[test]
fn a_copy_of_a_stream_that_lags_does_not_read_rows_by_a_later_definition() {
    let test = minimal("lag");
    test.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('x', 'y', 'z'), a INT, b INT);
         INSERT INTO t WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 60) SELECT n, 'y', 1, 2 FROM n;
         CREATE TABLE busy (id INT PRIMARY KEY AUTO_INCREMENT, p VARCHAR(200));",
    );
    let mut config = without_checkpoints(&test);
    config.set("replicate.tables", vec![format!("{}.busy", test.database)]);
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
    test.sql("SET SESSION cte_max_recursion_depth = 100000;");
    for id in 1..=60 {
        test.sql(&format!(
            "INSERT INTO busy (p) WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
             SELECT REPEAT('p', 100) FROM n;
             UPDATE t SET e = 'x', b = 7 WHERE id = {id};"
        ));
    }
    test.sql("ALTER TABLE t MODIFY e ENUM('z', 'y', 'x'), MODIFY a INT AFTER b;");
    config.set("replicate.tables", vec![format!("{}.*", test.database)]);
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// So is one that comes while the table is copied beside its target.
#[test]
fn a_change_that_is_ignored_begins_a_copy_anew() {
    let test = minimal("ignored_copy");
    test.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'b'), n INT);
         INSERT INTO t WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT n, 'a', n FROM n;",
    );
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_caught_up(&test, PATIENCE);
    let mut config = bridge.config().clone();
    assert_eq!(bridge.sigterm(), Some(0));
    config.set("ddl.alter_table", "ignore").set("snapshot.max_rows_per_second", 300).set("snapshot.chunk_rows", 100);
    let mut bridge = Bridge::start(&config);
    let name = format!("{}.t", test.database);
    assert_eq!(bridge.post("/resync", &name).unwrap(), 202);
    bridge.wait_for("a chunk", COPY, |status| status.table_reason(&name).contains(" rows/s"));
    test.sql("ALTER TABLE t MODIFY e ENUM('b', 'a');\nINSERT INTO t VALUES (-1, 'b', 3), (-2, 'a', 4);");
    bridge.wait_for("the copy", COPY, |status| status.table_reason(&name).is_empty());
    test.sql("INSERT INTO t VALUES (-3, 'b', 3), (-4, 'a', 4);");
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}
