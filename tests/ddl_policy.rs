//! What `[ddl]` says of schema changes, on real servers: stopped at, refused by ClickHouse, waited for; and the mutations
//! that they leave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::{Duration, Instant};

use support::bridge::{Bridge, Config, PATIENCE, Status};
use support::fixture::Fixture;

/// How long copies may take.
const COPY: Duration = Duration::from_secs(120);

fn name(test: &Fixture, table: &str) -> String {
    format!("{}.{table}", test.database)
}

fn columns(test: &Fixture, table: &str) -> Vec<String> {
    let select = "SELECT name FROM system.columns WHERE database = '{db}' AND table = '{t}' AND name NOT LIKE '\\\\_%' \
                  ORDER BY position";
    test.clickhouse(&select.replace("{t}", table)).lines().map(str::to_owned).collect()
}

/// Waits until every table flows, and compares all: columns in order, and values.
fn all_equal(bridge: &mut Bridge, test: &Fixture) {
    bridge.wait_all_streaming(test, COPY);
    for table in test.tables() {
        let report = test.compare(&table);
        assert!(report.is_equal(), "{table}: {report}");
        let source: Vec<String> = test.rows(&format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}' \
             ORDER BY ordinal_position"
        ));
        assert_eq!(columns(test, &table), source, "{table}");
    }
}

fn copies(test: &Fixture) -> u64 {
    let select = "SELECT uniqExact(shadow) FROM `{db}_state`.copy_chunks WHERE toUInt128(shadow) != 0";
    test.clickhouse(select).trim().parse().unwrap()
}

fn ids(test: &Fixture, table: &str) -> String {
    test.clickhouse(&format!("SELECT arrayStringConcat(arraySort(groupArray(id)), ' ') FROM `{{db}}`.{table} FINAL"))
        .trim()
        .to_owned()
}

/// A statement at which `ddl.KEY = "stop"` stops, and what is written behind it.
struct Case {
    key: &'static str,
    statement: &'static str,
    behind: &'static str,
    /// The policy with which it then goes on.
    then: &'static str,
}

const CASES: [Case; 9] = [
    Case {
        key: "alter_table",
        statement: "ALTER TABLE t ADD COLUMN b INT NOT NULL DEFAULT 5",
        behind: "INSERT INTO t VALUES (9, 9, 9);",
        then: "apply",
    },
    Case {
        key: "alter_table",
        statement: "ALTER TABLE t ADD COLUMN b INT NOT NULL DEFAULT 5",
        behind: "INSERT INTO t VALUES (9, 9, 9);",
        then: "ignore",
    },
    Case {
        key: "alter_table",
        statement: "ALTER TABLE p DROP PARTITION p0",
        behind: "INSERT INTO t VALUES (9, 9);\nINSERT INTO p VALUES (25);",
        then: "apply",
    },
    Case {
        key: "truncate_table",
        statement: "TRUNCATE TABLE t",
        behind: "INSERT INTO t VALUES (9, 9);",
        then: "apply",
    },
    Case {
        key: "create_table",
        statement: "CREATE TABLE n (id INT PRIMARY KEY)",
        behind: "INSERT INTO n VALUES (1);\nINSERT INTO t VALUES (9, 9);",
        then: "apply",
    },
    Case {
        key: "create_table",
        statement: "CREATE TABLE n (id INT PRIMARY KEY)",
        behind: "INSERT INTO n VALUES (1);\nINSERT INTO t VALUES (9, 9);",
        then: "ignore",
    },
    Case {
        key: "rename_table",
        statement: "RENAME TABLE u TO u2, t TO x, u2 TO t",
        behind: "INSERT INTO t VALUES (9);\nINSERT INTO x VALUES (9, 9);",
        then: "apply",
    },
    Case { key: "drop_table", statement: "DROP TABLE `u`", behind: "INSERT INTO t VALUES (9, 9);", then: "apply" },
    Case {
        key: "drop_table",
        statement: "DROP TABLE IF EXISTS `u`,`nothing`",
        behind: "INSERT INTO t VALUES (9, 9);",
        then: "rename",
    },
];

fn tables_of_a_stop(test: &Fixture) {
    test.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE u (id INT PRIMARY KEY);
         CREATE TABLE p (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (100));",
    );
    test.sql("INSERT INTO t VALUES (1, 1), (2, 2);\nINSERT INTO u VALUES (1);\nINSERT INTO p VALUES (5), (15);");
}

fn stops(case: &Case, number: usize) {
    let Case { key, statement, behind, then } = case;
    let test = Fixture::new(&format!("ddl_stop{number}"));
    tables_of_a_stop(&test);
    let mut config = test.config();
    // Longer than anybody waits here: it must not be waited for.
    config.set("pipeline.shutdown_timeout", "10m").set(&format!("ddl.{key}"), "stop");
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    test.sql(&format!("INSERT INTO t VALUES (3, 3);\nINSERT INTO u VALUES (3);\n{statement};\n{behind}"));
    // A restart alone changes nothing.
    for _ in 0..2 {
        assert_eq!(bridge.wait_end(), Some(1), "{statement}");
        let log = bridge.log();
        let said = log.lines().rev().find(|line| line.contains(&format!("ddl.{key} = \"stop\""))).unwrap_or_default();
        for part in [*statement, &test.database, "binlog.", "start again", "ignore"] {
            assert!(said.contains(part), "{part} is not in: {said}\n{log}");
        }
        assert_eq!((ids(&test, "t"), ids(&test, "u")), ("1 2 3".to_owned(), "1 3".to_owned()), "{statement}");
        assert_eq!(columns(&test, "t"), ["id", "a"], "{statement}");
        bridge = Bridge::spawn(&config);
    }
    assert_eq!(bridge.wait_end(), Some(1), "{statement}");
    config.set(&format!("ddl.{key}"), *then);
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_stop_before_each_kind_of_change_loses_nothing() {
    CASES.iter().enumerate().for_each(|(number, case)| stops(case, number));
}

#[test]
fn what_is_not_replicated_or_changes_nothing_stops_nothing() {
    let test = Fixture::new("ddl_no_stop");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (1, 1);");
    let mut config = test.config();
    for key in ["create_table", "alter_table", "rename_table", "truncate_table", "drop_table"] {
        config.set(&format!("ddl.{key}"), "stop");
    }
    config.set("replicate.exclude", vec![format!("{}.x*", test.database)]);
    let mut bridge = Bridge::start(&config);
    test.sql("CREATE TABLE x (id INT PRIMARY KEY);\nALTER TABLE x ADD COLUMN a INT;\nTRUNCATE TABLE x;\nRENAME TABLE x TO x2;\nDROP TABLE x2;");
    test.sql("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY);\nDROP TABLE IF EXISTS nothing;\nALTER TABLE t ADD INDEX (a), COMMENT 'c';");
    test.sql("CREATE TABLE _t_gho LIKE t;\nALTER TABLE _t_gho ADD COLUMN b INT;\nDROP TABLE _t_gho;");
    test.sql("INSERT INTO t VALUES (2, 2);");
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_table_made_of_a_select_stops_and_rows_that_come_as_a_statement_do_not() {
    let test = Fixture::new("ddl_stop_select");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (1, 1);");
    let mut config = test.config();
    config.set("ddl.create_table", "stop");
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    // Its rows are logged as a statement.
    test.sql(
        "SET SESSION binlog_format = 'STATEMENT';\nINSERT INTO t VALUES (2, 2);\nSET SESSION binlog_format = 'ROW';",
    );
    all_equal(&mut bridge, &test);
    test.sql("CREATE TABLE c AS SELECT * FROM t;");
    let code = bridge.wait_end();
    assert!(code == Some(1) && bridge.log().contains("ddl.create_table"), "{code:?} {}", bridge.log());
}

// --- refused changes ---

/// The bridge with a table `t (id, a)` and a column `c` of its target that the source does not have.
fn with_column(test: &Fixture, on_failure: &str, c: &str) -> (Bridge, Config) {
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE u (id INT PRIMARY KEY);");
    test.sql("INSERT INTO t VALUES (1, 1), (2, 2);\nINSERT INTO u VALUES (1);");
    let mut config = test.config();
    config.set("pipeline.shutdown_timeout", "10m").set("ddl.on_failure", on_failure);
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, test);
    test.clickhouse(&format!("ALTER TABLE `{{db}}`.t ADD COLUMN c {c}"));
    (bridge, config)
}

const ADDED: &str = "INSERT INTO t VALUES (3, 3);\nALTER TABLE t ADD COLUMN c INT NOT NULL DEFAULT 7;\nINSERT INTO t VALUES (4, 4, 4);\nINSERT INTO u VALUES (2);";

#[test]
fn by_default_a_refused_change_has_its_table_copied_anew() {
    let test = Fixture::new("ddl_refused");
    let (mut bridge, _) = with_column(&test, "quarantine", "String AFTER a");
    test.sql(ADDED);
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 1);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_refused_change_may_stop_the_engine_and_is_tried_again_by_the_next_start() {
    let test = Fixture::new("ddl_refused_stop");
    let (mut bridge, config) = with_column(&test, "stop", "String AFTER a");
    test.sql(ADDED);
    for _ in 0..2 {
        assert_eq!(bridge.wait_end(), Some(1));
        let log = bridge.log();
        let said = log.lines().rev().find(|line| line.contains("ddl.on_failure = \"stop\"")).unwrap_or_default();
        for part in
            ["ALTER TABLE t ADD COLUMN c", &name(&test, "t"), "binlog.", "column c", "start again", "quarantine"]
        {
            assert!(said.contains(part), "{part} is not in: {said}\n{log}");
        }
        assert_eq!(ids(&test, "t"), "1 2 3");
        bridge = Bridge::spawn(&config);
    }
    assert_eq!(bridge.wait_end(), Some(1));
    test.clickhouse("ALTER TABLE `{db}`.t DROP COLUMN c");
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 0);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_stop_at_a_refused_change_may_end_in_a_copy() {
    let test = Fixture::new("ddl_refused_stop_copy");
    let (mut bridge, mut config) = with_column(&test, "stop", "String AFTER a");
    test.sql(ADDED);
    assert_eq!(bridge.wait_end(), Some(1));
    config.set("ddl.on_failure", "quarantine");
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    // A copy that begins before the stream has come to the statement again is followed by another.
    assert!(copies(&test) >= 1);
    assert_eq!(bridge.sigterm(), Some(0));
}

fn wait_drifted(bridge: &mut Bridge, test: &Fixture, parts: &[&str]) {
    let t = name(test, "t");
    let status = bridge.wait_for("drifted", PATIENCE, |status| status.table_state(&t) == "drifted");
    let reason = status.table_reason(&t);
    assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
}

#[test]
fn a_table_may_go_on_without_a_refused_change_and_says_so() {
    let test = Fixture::new("ddl_refused_continue");
    // No rows can be written to it.
    let (mut bridge, config) = with_column(&test, "continue", "Int64 ALIAS a * 2");
    test.sql(ADDED);
    wait_drifted(&mut bridge, &test, &["ALTER TABLE t ADD COLUMN c", "binlog.", "resync"]);
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(ids(&test, "t"), "1 2 3 4");
    assert_eq!(ids(&test, "u"), "1 2");
    bridge.kill9();
    test.sql("INSERT INTO t VALUES (5, 5, 5);\nDELETE FROM t WHERE id = 1;");
    // By hand it goes on lacking the column.
    test.clickhouse("ALTER TABLE `{db}`.t DROP COLUMN c");
    let mut bridge = Bridge::start(&config);
    wait_drifted(&mut bridge, &test, &["ALTER TABLE t ADD COLUMN c"]);
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(ids(&test, "t"), "2 3 4 5");
    // A later change is made as ever.
    test.sql("ALTER TABLE t ADD COLUMN d INT NOT NULL DEFAULT 8;\nINSERT INTO t VALUES (6, 6, 6, 6);");
    bridge.wait_caught_up(&test, PATIENCE);
    wait_drifted(&mut bridge, &test, &["ALTER TABLE t ADD COLUMN c"]);
    let shown = test.clickhouse("SELECT id, a, d FROM `{db}`.t FINAL WHERE id > 4 ORDER BY id");
    assert_eq!(shown, "5\t5\t8\n6\t6\t6");
    let reason = bridge.status().unwrap().table_reason(&name(&test, "t"));
    assert!(!reason.contains("COLUMN d"), "{reason}");
    assert_eq!(copies(&test), 0);
    bridge.post("/resync", &name(&test, "t")).unwrap();
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_column_that_cannot_go_stays_and_the_table_says_so() {
    let test = Fixture::new("ddl_refused_drop");
    let (mut bridge, _) = with_column(&test, "continue", "Nullable(Int32) DEFAULT a + 1");
    test.sql("ALTER TABLE t DROP COLUMN a;\nINSERT INTO t VALUES (3);");
    wait_drifted(&mut bridge, &test, &["ALTER TABLE t DROP COLUMN a"]);
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(test.clickhouse("SELECT id, a FROM `{db}`.t FINAL ORDER BY id"), "1\t1\n2\t2\n3\t\\N");
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn rows_that_do_not_fit_without_the_change_have_the_table_copied_after_all() {
    let test = Fixture::new("ddl_refused_misfit");
    let (mut bridge, _) = with_column(&test, "continue", "String AFTER a");
    test.sql(ADDED);
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 1);
    assert!(bridge.log().contains("drifted: "), "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

// --- waiting, and mutations ---

fn has_reason(status: &Status, table: &str, state: &str, parts: &[&str]) -> bool {
    let reason = status.table_reason(table);
    status.table_state(table) == state && parts.iter().all(|part| reason.contains(part))
}

#[test]
fn a_change_that_waits_for_long_is_told_once_and_is_never_made_early() {
    let test = Fixture::new("ddl_long");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT);\nINSERT INTO t VALUES (1, 1, 1), (2, 2, 2);");
    let mut config = test.config();
    config.set("pipeline.ddl_flush_timeout", "1s").set("pipeline.retry_max_interval", "500ms");
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    test.clickhouse("SYSTEM STOP MERGES `{db}`.t");
    test.sql("ALTER TABLE t MODIFY a BIGINT;\nALTER TABLE t DROP COLUMN b;\nINSERT INTO t VALUES (3, 3);");
    let (t, started) = (name(&test, "t"), Instant::now());
    let parts = ["ALTER TABLE t DROP COLUMN b at binlog.", "must end before columns are renamed or dropped"];
    bridge.wait_for("a change that waits", PATIENCE, |status| {
        has_reason(status, &t, "waiting_ddl", &parts) && started.elapsed() > Duration::from_secs(4)
    });
    let log = bridge.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("a schema change has waited for 1 s")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(&t) && parts.iter().all(|part| told[0].contains(part)), "{}", told[0]);
    assert_eq!((columns(&test, "t").join(" "), ids(&test, "t")), ("id a b".to_owned(), "1 2".to_owned()));
    test.clickhouse("SYSTEM START MERGES `{db}`.t");
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 0);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn mutations_are_shown_while_they_run_and_when_they_fail() {
    let test = Fixture::new("ddl_mutations");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (1, 1), (2, 2);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    test.clickhouse("SYSTEM STOP MERGES `{db}`.t");
    test.sql("ALTER TABLE t MODIFY a BIGINT;\nINSERT INTO t VALUES (3, 3000000000);");
    let t = name(&test, "t");
    let parts = ["mutation of ", " parts left: ", "MODIFY COLUMN"];
    bridge.wait_for("the mutation", PATIENCE, |status| has_reason(status, &t, "streaming", &parts));
    test.clickhouse("SYSTEM START MERGES `{db}`.t");
    bridge.wait_for("its end", PATIENCE, |status| status.table_reason(&t).is_empty());
    test.clickhouse("ALTER TABLE `{db}`.t UPDATE a = throwIf(id > 0, 'no way') WHERE 1 SETTINGS mutations_sync = 0");
    let parts = ["it fails: ", "no way", "KILL MUTATION WHERE database = ", "`resync`"];
    let status = bridge.wait_for("the failure", PATIENCE, |status| has_reason(status, &t, "streaming", &parts));
    assert_eq!(bridge.log().lines().filter(|line| line.contains("it fails: ")).count(), 1, "{}", bridge.log());
    // What it says to do ends it.
    let reason = status.table_reason(&t);
    test.clickhouse(&reason[reason.find("KILL MUTATION").unwrap()..]);
    bridge.wait_for("its end", PATIENCE, |status| status.table_reason(&t).is_empty());
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}
