//! Copies of existing rows while the stream goes on, on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use mysql::prelude::Queryable;

use support::bridge::{Bridge, Config, PATIENCE, run_command};
use support::fixture::Fixture;
use support::load::{allow_many_numbers, numbers};
use support::servers::Servers;
use support::writers::Writers;

/// How long a copy may take.
const COPY: Duration = Duration::from_secs(180);

const BIG: &str =
    "CREATE TABLE big (id INT NOT NULL PRIMARY KEY, n INT NOT NULL, name VARCHAR(40), price DECIMAL(10,2))";

fn fill_big(test: &Fixture, rows: u64) {
    allow_many_numbers(test);
    test.sql(&format!(
        "INSERT INTO big (id, n, name, price) {} SELECT i * 3, i, CONCAT('row ', i), i / 7 FROM n",
        numbers(1, rows)
    ));
}

/// Waits until no table is in the state `snapshot`.
fn wait_copied(bridge: &mut Bridge, test: &Fixture) {
    wait_until_copied(bridge);
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
}

fn small_chunks(test: &Fixture) -> Config {
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 1000).set("pipeline.batch_size", 700);
    config
}

/// The targets are there, empty, and their states are saved, but no checkpoint is: nobody but a person could go on, if the
/// source's tables are altered before the next start.
#[test]
fn a_first_start_that_was_not_finished_is_made_anew() {
    let test = Fixture::new("snapshot_unfinished");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE u (id INT PRIMARY KEY);");
    let bridge = Bridge::start(&test.config());
    let config = bridge.config().clone();
    bridge.kill9();
    for table in ["checkpoints", "checkpoint_latest"] {
        test.clickhouse(&format!("TRUNCATE TABLE `{{db}}_state`.{table}"));
    }
    test.sql("ALTER TABLE t ADD COLUMN b INT NOT NULL DEFAULT 7;\nINSERT INTO t VALUES (1, 1, 1);\nINSERT INTO u VALUES (1);");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    test.assert_equal("t");
    test.assert_equal("u");
    assert_eq!(bridge.sigterm(), Some(0));
    // What has rows is not replaced.
    for table in ["checkpoints", "checkpoint_latest"] {
        test.clickhouse(&format!("TRUNCATE TABLE `{{db}}_state`.{table}"));
    }
    test.sql("ALTER TABLE t ADD COLUMN c INT;");
    let mut bridge = Bridge::spawn(&config);
    assert_eq!(bridge.wait_end(), Some(1));
    assert!(bridge.log().contains("t: column `c` is missing"), "{}", bridge.log());
}

#[test]
fn rows_of_every_key_are_copied_and_the_stream_goes_on() {
    let test = Fixture::new("snapshot");
    test.sql(BIG);
    fill_big(&test, 20_000);
    test.sql(
        "CREATE TABLE none (id INT PRIMARY KEY, v INT);
         CREATE TABLE pair (a VARCHAR(20) NOT NULL, b DECIMAL(12,3) NOT NULL, c DATETIME(3) NOT NULL, v INT, PRIMARY KEY (a, b, c));
         CREATE TABLE bytes (id VARBINARY(30) NOT NULL PRIMARY KEY, v TEXT);
         CREATE TABLE fixed (id BINARY(4) NOT NULL PRIMARY KEY, v INT);
         CREATE TABLE latin (id VARCHAR(20) CHARACTER SET latin1 NOT NULL PRIMARY KEY, v INT);
         CREATE TABLE days (d DATE NOT NULL, t TIME(2) NOT NULL, y YEAR NOT NULL, bits BIT(12) NOT NULL, v INT, PRIMARY KEY (y, d, bits, t));
         CREATE TABLE moments (ts TIMESTAMP(6) NOT NULL PRIMARY KEY, v INT);
         CREATE TABLE labels (e ENUM('x', 'a', 'm') NOT NULL, id INT NOT NULL, v INT, PRIMARY KEY (e, id));
         CREATE TABLE ids_first (id BIGINT UNSIGNED NOT NULL, e ENUM('x', 'a', 'm') NOT NULL, f DOUBLE NOT NULL, PRIMARY KEY (id, e, f));
         CREATE TABLE floats (f FLOAT NOT NULL PRIMARY KEY, v INT)",
    );
    allow_many_numbers(&test);
    let n = numbers(1, 5000);
    for insert in [
        "pair SELECT CONCAT(CHAR(64 + i % 37 USING utf8mb4), i % 11, IF(i % 2, '\\'', '€')), i / 8, '2020-01-01' + INTERVAL i * 1000 MICROSECOND, i FROM n",
        "bytes SELECT UNHEX(LEFT(SHA2(i, 256), 40)), CONCAT('é', i) FROM n",
        "fixed SELECT UNHEX(LPAD(HEX(i * 7), 8, '0')), i FROM n",
        "latin SELECT CONCAT(CHAR(192 + i % 60 USING latin1), i), i FROM n",
        "days SELECT '2001-01-01' + INTERVAL i % 700 DAY, SEC_TO_TIME(i / 4 - 500), 1901 + i % 200, i % 4000, i FROM n",
        "moments SELECT '2020-02-02 00:00:00.000001' + INTERVAL i * 1001 MICROSECOND, i FROM n",
        "labels SELECT 1 + i % 3, i, i FROM n",
        "ids_first SELECT 18446744073709551615 - i DIV 3, 1 + i % 3, i / 3 FROM n",
        "floats SELECT i / 3, i FROM n",
    ] {
        let (table, select) = insert.split_once(' ').unwrap();
        test.sql(&format!("INSERT INTO {table} {n} {select}"));
    }
    let mut bridge = Bridge::spawn(&small_chunks(&test));
    let writers = Writers::start(&test, 60_000, true);
    bridge
        .wait_for("the copy's progress", COPY, |status| status.state() == "snapshot" || status.state() == "streaming");
    wait_until_copied(&mut bridge);
    writers.stop();
    test.sql("INSERT INTO none VALUES (1, 1);\nUPDATE pair SET v = -v;\nDELETE FROM bytes LIMIT 100;");
    wait_copied(&mut bridge, &test);
    let chunks = test.servers.clickhouse.query(&format!(
        "SELECT count() FROM `{}_state`.copy_chunks FINAL WHERE table = '{}.big' AND done",
        test.database, test.database
    ));
    // 20 at first; the writers delete some rows before it is cut.
    assert!(chunks.parse::<u32>().unwrap() >= 10, "{chunks} chunks");
    assert_eq!(bridge.sigterm(), Some(0));
}

fn wait_until_copied(bridge: &mut Bridge) {
    bridge.wait_for("all tables copied", COPY, |status| {
        let tables = status.0["tables"].as_array().unwrap();
        !tables.is_empty() && tables.iter().all(|table| table["state"] == "streaming")
    });
}

#[test]
fn kills_in_mid_copy_do_not_start_it_over() {
    let test = Fixture::new("snapshot_kill");
    test.sql(BIG);
    fill_big(&test, 60_000);
    let mut config = small_chunks(&test);
    config.set("snapshot.max_rows_per_second", 5_000);
    let mut bridge = Bridge::spawn(&config);
    let writers = Writers::start(&test, 180_000, true);
    let done = || {
        // A copy that was killed while it was cut goes on under another plan, which has what is done, too.
        let query = format!(
            "SELECT max(done_chunks) FROM (SELECT countIf(done) AS done_chunks FROM `{}_state`.copy_chunks FINAL GROUP BY plan)",
            test.database
        );
        test.servers.clickhouse.try_query(&query).ok().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0)
    };
    let mut before = 0;
    for _ in 0..4 {
        support::wait_until("more chunks to be done", COPY, || done() >= before + 5);
        bridge.kill9();
        let now = done();
        assert!(now >= before + 5);
        before = now;
        bridge = Bridge::spawn(&config);
    }
    wait_until_copied(&mut bridge);
    let log = bridge.log();
    let copied = log.lines().rev().find(|line| line.contains("copied ")).unwrap_or_default();
    let rows: u64 = copied.rsplit_once(": ").and_then(|(_, text)| text.split(' ').next()?.parse().ok()).unwrap();
    assert!(rows < 50_000, "the last run copied only what was left: {copied}");
    writers.stop();
    wait_copied(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_table_that_is_chosen_later_is_copied_then() {
    let test = Fixture::new("snapshot_later");
    test.sql(BIG);
    test.sql("CREATE TABLE other (id INT PRIMARY KEY, v VARCHAR(10));\nINSERT INTO other VALUES (1, 'a'), (2, 'b');");
    fill_big(&test, 3000);
    let mut config = small_chunks(&test);
    config.set("replicate.exclude", vec![format!("{}.big", test.database)]);
    let mut bridge = Bridge::spawn(&config);
    bridge.wait_for("other copied", COPY, |status| {
        status.table_state(&format!("{}.other", test.database)) == "streaming"
    });
    test.sql("UPDATE big SET n = -n WHERE id < 600;\nUPDATE other SET v = 'c' WHERE id = 1;");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
    test.sql("DELETE FROM big WHERE id = 3;\nINSERT INTO other VALUES (3, 'd');");
    config.remove("replicate.exclude");
    let mut bridge = Bridge::spawn(&config);
    test.sql("UPDATE big SET name = 'x' WHERE id > 8000");
    wait_copied(&mut bridge, &test);
}

#[test]
fn prepared_transactions_are_waited_for() {
    let test = Fixture::on(Servers::own_mysql("snapshot-xa", &[]), "snapshot_xa");
    test.sql(BIG);
    fill_big(&test, 100);
    let xid = format!("'{}'", test.database);
    test.sql(&format!(
        "XA START {xid};\nUPDATE big SET name = 'by xa' WHERE id < 100;\nXA END {xid};\nXA PREPARE {xid};"
    ));
    test.sql("GRANT XA_RECOVER_ADMIN ON *.* TO bridge");
    let mut bridge = Bridge::spawn(&small_chunks(&test));
    support::wait_until("the start to wait", PATIENCE, || bridge.log().contains("XA"));
    test.sql(&format!("XA COMMIT {xid};\nUPDATE big SET n = 0 WHERE id = 3;"));
    wait_copied(&mut bridge, &test);
    assert_eq!(test.clickhouse("SELECT count() FROM `{db}`.big FINAL WHERE name = 'by xa'"), "33");
}

/// Rows that nobody sees yet, in a table that looks empty until they are committed.
#[test]
fn prepared_rows_of_an_empty_table_are_copied_too() {
    let test = Fixture::on(Servers::own_mysql("snapshot-xa-empty", &[]), "snapshot_xa_empty");
    test.sql(BIG);
    fill_big(&test, 100);
    test.sql("CREATE TABLE none (id INT PRIMARY KEY, v INT)");
    let xid = format!("'{}'", test.database);
    test.sql(&format!("XA START {xid};\nINSERT INTO none VALUES (1, 1), (2, 2);\nXA END {xid};\nXA PREPARE {xid};"));
    test.sql("GRANT XA_RECOVER_ADMIN ON *.* TO bridge");
    let mut bridge = Bridge::spawn(&small_chunks(&test));
    support::wait_until("the start to wait", PATIENCE, || bridge.log().contains("XA"));
    test.sql(&format!("XA COMMIT {xid};"));
    wait_copied(&mut bridge, &test);
}

/// A login that is refused for a while is not the fault of the table at hand.
#[test]
fn a_refused_login_sets_no_table_aside() {
    let test = Fixture::new("snapshot_login");
    test.sql(BIG);
    fill_big(&test, 10_000);
    let account = "'sb_snapshot_login'@'%'";
    test.sql(&format!(
        "DROP USER IF EXISTS {account};
         CREATE USER {account} IDENTIFIED BY 'pass-word';
         GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account};
         GRANT SELECT ON `{}`.* TO {account};",
        test.database
    ));
    let mut config = small_chunks(&test);
    config.set("mysql.user", "sb_snapshot_login").set("mysql.password", "pass-word");
    config.set("snapshot.max_rows_per_second", 1000).set("snapshot.connections", 1);
    let mut bridge = Bridge::spawn(&config);
    bridge.wait_for("rows", COPY, |status| status.0["rows_total"].as_u64() > Some(0));
    test.sql(&format!("ALTER USER {account} ACCOUNT LOCK"));
    let copying = "SELECT id FROM performance_schema.processlist WHERE user = 'sb_snapshot_login' \
                   AND command NOT LIKE 'Binlog Dump%'";
    for id in test.rows::<u64>(copying) {
        // It may have ended meanwhile.
        let _ = test.connect().query_drop(format!("KILL {id}"));
    }
    support::wait_until("the login to be refused", PATIENCE, || bridge.log().contains("says 3118"));
    test.sql(&format!("ALTER USER {account} ACCOUNT UNLOCK"));
    wait_copied(&mut bridge, &test);
    test.sql(&format!("DROP USER {account}"));
}

/// Whoever begins anew need not know of the chunks that were copied before.
#[test]
fn a_first_start_takes_no_chunk_of_an_earlier_life_for_done() {
    let test = Fixture::new("snapshot_anew");
    test.sql(BIG);
    fill_big(&test, 3000);
    let config = small_chunks(&test);
    let mut bridge = Bridge::spawn(&config);
    wait_copied(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
    for table in
        ["{db}_state`.`checkpoints", "{db}_state`.`checkpoint_latest", "{db}_state`.`table_states", "{db}`.`big"]
    {
        test.clickhouse(&format!("TRUNCATE TABLE `{table}`"));
    }
    let mut bridge = Bridge::spawn(&config);
    bridge.wait_for("all copied again", PATIENCE, |status| {
        status.table_state(&format!("{}.big", test.database)) == "streaming"
    });
    wait_copied(&mut bridge, &test);
}

/// A rule's condition is for the copy alone: what the stream brings comes whole.
#[test]
fn a_rule_may_leave_rows_out_of_the_copy() {
    let test = Fixture::new("snapshot_where");
    test.sql(BIG);
    fill_big(&test, 5000);
    let mut rule = toml::Table::new();
    rule.insert("table".to_owned(), format!("{}.big", test.database).into());
    let mut config = small_chunks(&test);
    let mut with = |condition: &str| {
        rule.insert("where".to_owned(), condition.into());
        config.set("replicate.rule", vec![toml::Value::from(rule.clone())]).clone()
    };
    for wrong in ["n >", "nothing = 1", "n = 1) LIMIT 1 #", "COUNT(*) > 1"] {
        for command in ["check", "run"] {
            let ended = run_command(command, &with(wrong));
            let is_refused = ended.code != Some(0) && ended.text().contains("where = ");
            assert!(is_refused && ended.text().contains("MySQL says"), "{command} {wrong}: {}", ended.text());
        }
    }
    assert_eq!(test.clickhouse("SELECT count() FROM system.databases WHERE name = '{db}'"), "0", "nothing is created");
    let mut bridge = Bridge::spawn(&with("n <= 1000 OR n > 4900 # the oldest and the newest"));
    wait_until_copied(&mut bridge);
    assert_eq!(test.clickhouse("SELECT count(), sum(n) FROM `{db}`.big FINAL"), "1100\t995550");
    test.sql("UPDATE big SET name = 'changed' WHERE n = 2000;\nDELETE FROM big WHERE n = 4950;");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(test.clickhouse("SELECT count(), countIf(name = 'changed') FROM `{db}`.big FINAL"), "1100\t1");
}

/// The source refuses nothing, but a row cannot be carried over: that table alone is set aside.
#[test]
fn a_table_that_cannot_be_copied_is_set_aside_alone() {
    let test = Fixture::new("snapshot_bad");
    test.sql(BIG);
    fill_big(&test, 5000);
    test.sql("CREATE TABLE odd (e ENUM('a', '') NOT NULL PRIMARY KEY, v INT)");
    test.sql("SET SESSION sql_mode = '';\nINSERT IGNORE INTO odd VALUES ('nothing', 1);");
    let mut bridge = Bridge::spawn(&small_chunks(&test));
    let reason = bridge.wait_quarantined(&test, "odd");
    assert!(reason.contains("column e"), "{reason}");
    let name = format!("{}.big", test.database);
    bridge.wait_for("big copied", COPY, |status| status.table_state(&name) == "streaming");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("big");
}

/// The copies are done while the stream is still far behind a RENAME: what was read under a table's name is then another
/// table's rows.
#[test]
fn tables_that_swapped_names_before_a_copy_that_the_stream_has_not_come_to() {
    let test = Fixture::on(Servers::own_mysql("snapshot-swapped", &[]), "snapshot_swapped");
    test.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT);\nCREATE TABLE u LIKE t;\nCREATE TABLE big (id INT PRIMARY KEY, v INT);
         CREATE TABLE p (id INT PRIMARY KEY);
         INSERT INTO t VALUES (1, 1), (2, 2);\nINSERT INTO u VALUES (10, 10), (20, 20);
         XA START 'swapped';\nINSERT INTO p VALUES (1);\nXA END 'swapped';\nXA PREPARE 'swapped'",
    );
    test.sql("GRANT XA_RECOVER_ADMIN ON *.* TO bridge");
    let mut bridge = Bridge::spawn(&test.config());
    support::wait_until("the start to wait", PATIENCE, || bridge.log().contains("XA"));
    allow_many_numbers(&test);
    for part in 0..5 {
        let numbers = numbers(1 + part * 200_000, (1 + part) * 200_000);
        test.sql(&format!("INSERT INTO big {numbers} SELECT i, i FROM n"));
    }
    test.sql("RENAME TABLE t TO x, u TO t, x TO u;\nXA COMMIT 'swapped'");
    bridge.wait_all_streaming(&test, COPY);
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
}
