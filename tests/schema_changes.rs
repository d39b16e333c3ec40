//! Schema changes through the whole bridge, on real servers: carried out in place, or by a copy, under load, with kills.
//! `STREAM_BRIDGE_TEST_DDL_STATEMENTS` and `STREAM_BRIDGE_TEST_SEED` choose how many random ones, and which.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mysql::prelude::Queryable;

use support::author::{self, Author};
use support::bridge::{Bridge, PATIENCE};
use support::fixture::Fixture;
use support::load::Random;
use support::proxy::{Fate, Proxy};
use support::servers::Servers;

/// How long copies may take.
const COPY: Duration = Duration::from_secs(240);

fn name(test: &Fixture, table: &str) -> String {
    format!("{}.{table}", test.database)
}

/// Waits until every table flows and no schema change waits, and compares all: columns in order, and values.
fn all_equal(bridge: &mut Bridge, test: &Fixture) {
    bridge.wait_all_streaming(test, COPY);
    for table in test.tables() {
        let report = test.compare(&table);
        assert!(report.is_equal(), "{table}: {report}");
        assert_eq!(target_columns(test, &table), source_columns(test, &table), "{table}");
    }
}

/// No target is left of what is no more.
fn nothing_left(test: &Fixture) {
    assert_eq!(test.clickhouse_tables(), test.tables());
}

fn source_columns(test: &Fixture, table: &str) -> Vec<String> {
    test.rows(&format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}' \
         ORDER BY ordinal_position"
    ))
}

fn target_columns(test: &Fixture, table: &str) -> Vec<String> {
    let select =
        format!("SELECT name FROM system.columns WHERE database = '{{db}}' AND table = '{table}' ORDER BY position");
    let names = test.clickhouse(&select);
    names.lines().filter(|name| !matches!(*name, "_version" | "_is_deleted")).map(str::to_owned).collect()
}

/// Copies beside targets that were made until now.
fn copies(test: &Fixture) -> u64 {
    let select = "SELECT uniqExact(shadow) FROM `{db}_state`.copy_chunks WHERE toUInt128(shadow) != 0";
    test.clickhouse(select).trim().parse().unwrap()
}

#[test]
fn in_place_without_a_copy() {
    let test = Fixture::new("ddl_in_place");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(10) NOT NULL DEFAULT 'b');");
    test.sql("CREATE TABLE v (id INT PRIMARY KEY, a INT, g INT AS (a * 2));\nCREATE TABLE p (id INT PRIMARY KEY);");
    test.sql("INSERT INTO t VALUES (1, 1, 'x'), (2, NULL, 'y'), (3, 3, 'z');\nINSERT INTO v (id, a) VALUES (1, 1);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    let statements = [
        "ALTER TABLE t ADD COLUMN c BIGINT NOT NULL DEFAULT 7 AFTER id",
        "ALTER TABLE t ADD COLUMN d VARCHAR(20) DEFAULT 'it''s', ADD COLUMN e DATETIME(3) FIRST",
        "ALTER TABLE t MODIFY a BIGINT",
        "ALTER TABLE t RENAME COLUMN a TO a2, ADD INDEX (a2)",
        "CREATE INDEX i ON t (c)",
        "ALTER TABLE t CHANGE b b2 VARCHAR(300) CHARACTER SET utf8mb4 NULL",
        "ALTER TABLE t DROP COLUMN c",
        "ALTER TABLE t COMMENT 'nothing', ENGINE = InnoDB",
        "ALTER TABLE v ADD COLUMN p INT AFTER id, ADD COLUMN b INT",
        "ALTER TABLE v ADD FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE, RENAME COLUMN b TO c",
        "ALTER TABLE t ADD COLUMN f DECIMAL(10, 3) NOT NULL, ADD COLUMN g DOUBLE DEFAULT -1.5",
    ];
    for (number, statement) in statements.iter().enumerate() {
        test.sql(&format!("INSERT INTO t (id) VALUES ({number} + 10);\n{statement};"));
        test.sql(&format!(
            "INSERT INTO t (id) VALUES ({number} + 100);\nUPDATE t SET id = id + 1000 WHERE id = {number} + 10;"
        ));
    }
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), 0, "{}", bridge.log());
    let floor = test.clickhouse(
        "SELECT count() FROM system.tables WHERE database = '{db}' AND name = 't' AND create_table_query LIKE '%stream_bridge_floor%'",
    );
    assert_eq!(floor.trim(), "1", "late copies have no constraint to meet");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// The columns of a table, its rows, and statements about it: what these do to the rows no row event tells.
#[rustfmt::skip]
const UNSEEN: &[(&str, &str, &[&str])] = &[
    ("id INT PRIMARY KEY, a INT, g INT AS (a * 2) STORED", "(id, a) VALUES (1, 10), (2, NULL)", &["MODIFY g INT AS (a * 3) STORED"]),
    ("id INT PRIMARY KEY, a INT, g INT AS (a * 2) VIRTUAL", "(id, a) VALUES (1, 10), (2, NULL)", &["CHANGE g g2 INT AS (a * 3) VIRTUAL"]),
    (
        "id INT PRIMARY KEY, s VARCHAR(10) COLLATE utf8mb4_0900_ai_ci, g TINYINT AS (s = 'ACTIVE') STORED",
        "(id, s) VALUES (1, 'active'), (2, 'ACTIVE')",
        &["MODIFY s VARCHAR(10) COLLATE utf8mb4_bin"],
    ),
    (
        "id INT PRIMARY KEY, s VARCHAR(10) COLLATE utf8mb4_0900_ai_ci, g TINYINT AS (s = 'ACTIVE') VIRTUAL",
        "(id, s) VALUES (1, 'active'), (2, 'ACTIVE')",
        &["CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"],
    ),
    ("id INT PRIMARY KEY, a INT UNSIGNED, g VARCHAR(20) AS (CONCAT(a)) STORED", "(id, a) VALUES (1, 5)", &["MODIFY a INT(8) ZEROFILL"]),
    ("id INT PRIMARY KEY, a INT", "(id) VALUES (0), (5)", &["MODIFY id INT NOT NULL AUTO_INCREMENT"]),
    ("k INT PRIMARY KEY, id INT, KEY (id)", "(k, id) VALUES (1, NULL), (2, 7), (3, 0)", &["CHANGE id id2 INT NOT NULL AUTO_INCREMENT"]),
    ("id INT PRIMARY KEY, f FLOAT", "(id, f) VALUES (1, 1.236)", &["MODIFY f DOUBLE(10, 2)"]),
    ("id INT PRIMARY KEY", "(id) VALUES (1)", &["ADD f FLOAT(5, 1) NOT NULL DEFAULT 0.25"]),
    ("id INT PRIMARY KEY", "(id) VALUES (1)", &["ADD f FLOAT NOT NULL DEFAULT 0.1", "MODIFY f DOUBLE NOT NULL"]),
];

#[test]
fn rows_that_change_without_row_events() {
    let test = Fixture::new("ddl_unseen");
    let tables: Vec<String> = (0..UNSEEN.len()).map(|number| format!("u{number}")).collect();
    for (table, (columns, rows, _)) in tables.iter().zip(UNSEEN) {
        test.sql(&format!("CREATE TABLE {table} ({columns}) CHARACTER SET utf8mb4;\nINSERT INTO {table} {rows};"));
    }
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    test.execute("SET SESSION sql_mode = 'STRICT_TRANS_TABLES'");
    for (table, (_, _, clauses)) in tables.iter().zip(UNSEEN) {
        clauses.iter().for_each(|clause| test.execute(&format!("ALTER TABLE {table} {clause}")));
    }
    bridge.wait_all_streaming(&test, COPY);
    let wrong = tables.iter().zip(UNSEEN).filter_map(|(table, (_, _, clauses))| {
        let report = test.compare(table);
        (!report.is_equal()).then(|| format!("{clauses:?}: {report}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A table, a row of it, and what a session does to that in its own time zone, modes and defaults, unseen by row events.
#[rustfmt::skip]
const BY_SESSION: &[(&str, &str, &[&str])] = &[
    (DAYS, DAY, &["ALTER TABLE {t} PARTITION BY RANGE COLUMNS (d) (PARTITION p VALUES LESS THAN MAXVALUE)", "DELETE FROM {t}"]),
    (DAYS, DAY, &["ALTER TABLE {t} ORDER BY id", "ALTER TABLE {t} COMMENT 'x'"]),
    (DAYS, DAY, &["ALTER TABLE {t} ADD CHECK (id > 0)"]),
    (DAYS, DAY, &["ALTER TABLE {t} ADD n INT, ALGORITHM = COPY"]),
    (DAYS_WITH_TEXT, DAY, &["ALTER TABLE {t} ADD n INT"]),
    (DAYS_WITH_TEXT, DAY, &["OPTIMIZE TABLE {t}"]),
    ("id INT PRIMARY KEY, v VECTOR(8)", "(id, v) VALUES (1, TO_VECTOR('[1,2,3,4,5,6,7,8]'))", &["ALTER TABLE {t} MODIFY v VECTOR(4)"]),
    (HOURS, "VALUES (1, '2024-10-27 00:30:00', 1), (2, '2024-10-27 01:30:00', 1)", &[AUTUMN, "ALTER TABLE {t} MODIFY x BIGINT"]),
    (HOURS, "VALUES (1, '2024-10-27 00:30:00', 1), (2, '2024-10-27 01:30:00', 1)", &[AUTUMN, "ALTER TABLE {t} ADD CHECK (x > 0)"]),
    ("id INT PRIMARY KEY", "(id) VALUES (1)", &["ALTER TABLE {t} ADD COLUMN y TIMESTAMP"]),
    ("id INT PRIMARY KEY, x TIMESTAMP NULL", "(id) VALUES (1)", &["ALTER TABLE {t} MODIFY x TIMESTAMP"]),
];

const HOURS: &str = "id INT PRIMARY KEY, ts TIMESTAMP NULL, x INT";
const AUTUMN: &str = "SET SESSION time_zone = 'Test/Autumn'";
const DAYS: &str = "id INT, ts TIMESTAMP NOT NULL, d DATE AS (DATE(ts)) STORED, PRIMARY KEY (id, d)";
const DAYS_WITH_TEXT: &str =
    "id INT, ts TIMESTAMP NOT NULL, d DATE AS (DATE(ts)) STORED, PRIMARY KEY (id, d), s TEXT, FULLTEXT (s)";
const DAY: &str = "(id, ts) VALUES (1, '2024-01-01 22:00:00')";

/// An hour that comes twice, when summer time ends in 2024.
const ZONE: [&str; 4] = [
    "REPLACE INTO mysql.time_zone VALUES (9901, 'N')",
    "REPLACE INTO mysql.time_zone_name VALUES ('Test/Autumn', 9901)",
    "REPLACE INTO mysql.time_zone_transition_type VALUES (9901, 0, 3600, 0, 'W'), (9901, 1, 7200, 1, 'S')",
    "REPLACE INTO mysql.time_zone_transition VALUES (9901, 1711846800, 1), (9901, 1729990800, 0)",
];

#[test]
fn a_session_decides_what_rows_become_without_row_events() {
    let test = Fixture::new("ddl_session");
    let tables: Vec<String> = (0..BY_SESSION.len()).map(|number| format!("s{number}")).collect();
    ZONE.iter().for_each(|statement| test.execute(statement));
    test.execute("SET SESSION time_zone = '+00:00'");
    for (table, (columns, row, _)) in tables.iter().zip(BY_SESSION) {
        test.execute(&format!("CREATE TABLE {table} ({columns})"));
        test.execute(&format!("INSERT INTO {table} {row}"));
    }
    test.execute(&format!("CREATE TABLE in_place ({DAYS})"));
    test.execute(&format!("CREATE TABLE hours ({HOURS})"));
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    let before = copies(&test);
    test.execute("ALTER TABLE in_place ADD n INT, ALGORITHM = INSTANT");
    test.execute("ALTER TABLE hours MODIFY x BIGINT");
    all_equal(&mut bridge, &test);
    assert_eq!(copies(&test), before, "no value can be another");
    test.execute("SET SESSION time_zone = '+05:00', sql_mode = '', explicit_defaults_for_timestamp = 0");
    for (table, (.., statements)) in tables.iter().zip(BY_SESSION) {
        test.execute("SET SESSION time_zone = '+05:00'");
        statements.iter().for_each(|statement| test.execute(&statement.replace("{t}", table)));
    }
    bridge.wait_all_streaming(&test, COPY);
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_table_of_an_engine_that_keeps_no_rows_is_set_aside() {
    let test = Fixture::new("ddl_engines");
    test.sql("CREATE TABLE was (id INT PRIMARY KEY);\nINSERT INTO was VALUES (1);");
    let mut bridge = Bridge::start(&test.config());
    test.sql("CREATE TABLE made (id INT PRIMARY KEY) ENGINE = BLACKHOLE;\nINSERT INTO made VALUES (1);");
    test.sql("ALTER TABLE was ENGINE = BLACKHOLE;");
    for table in ["made", "was"] {
        let reason = bridge.wait_quarantined(&test, table);
        assert!(reason.contains("engine BLACKHOLE"), "{reason}");
    }
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Tables that get a foreign key whose effects the server does not log; the last two have none such.
const CHILDREN: &[(&str, &str)] = &[
    (
        "id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id)",
        "ADD FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE, DROP FOREIGN KEY {t}_ibfk_1",
    ),
    ("id INT PRIMARY KEY, p INT, CONSTRAINT c FOREIGN KEY (p) REFERENCES parent (id) ON UPDATE SET NULL", ""),
    ("id INT PRIMARY KEY, p INT REFERENCES parent (id) ON DELETE SET NULL", ""),
    ("id INT PRIMARY KEY, p INT", "ADD FOREIGN KEY (p) REFERENCES parent (id) ON DELETE RESTRICT ON UPDATE NO ACTION"),
    ("id INT PRIMARY KEY, p INT REFERENCES parent (id)", ""),
];

/// By a server that does it below its binary log.
#[test]
fn a_foreign_key_that_comes_later_and_changes_rows_by_itself_sets_its_table_aside() {
    let test = Fixture::on(Servers::own_mysql("ddl-native", &["--innodb-native-foreign-keys=ON"]), "ddl_native");
    test.sql("CREATE TABLE parent (id INT PRIMARY KEY);\nINSERT INTO parent VALUES (1), (2);");
    let altered = |(_, (_, clause)): &(usize, &(&str, &str))| !clause.is_empty();
    let create = |(number, (columns, _)): (usize, &(&str, &str))| {
        test.sql(&format!("CREATE TABLE c{number} ({columns});\nINSERT INTO c{number} VALUES (1, 1);"));
    };
    CHILDREN.iter().enumerate().filter(altered).for_each(create);
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    CHILDREN.iter().enumerate().filter(|child| !altered(child)).for_each(create);
    for (number, (_, clause)) in CHILDREN.iter().enumerate().filter(altered) {
        test.execute(&format!("ALTER TABLE c{number} {}", clause.replace("{t}", &format!("c{number}"))));
    }
    test.sql("INSERT INTO c3 VALUES (2, 2);\nINSERT INTO c4 VALUES (2, 2);");
    for table in ["c0", "c1", "c2"] {
        let reason = bridge.wait_quarantined(&test, table);
        assert!(reason.contains("its foreign key ") && reason.contains("does not write to its binary log"), "{reason}");
    }
    for table in ["parent", "c3", "c4"] {
        assert_eq!(bridge.wait_caught_up(&test, COPY).table_state(&name(&test, table)), "streaming");
        test.assert_equal(table);
    }
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A trigger's table is in a database that the statement does not name; a third one, which it does not use, stays as it is.
#[test]
fn what_comes_as_a_statement_may_change_tables_of_other_databases() {
    let test = Fixture::new("ddl_beyond");
    let [beyond, apart] =
        ["2", "3"].map(|number| Fixture::named(test.servers.lend(), format!("{}_{number}", test.database)));
    let all = [&test, &beyond, &apart];
    for there in all {
        there.sql("CREATE TABLE t (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1);");
    }
    let insert = format!("INSERT INTO {}.t VALUES (NEW.id)", beyond.database);
    test.execute(&format!("CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW {insert}"));
    let mut config = test.config();
    config.set("replicate.tables", all.map(|fixture| name(fixture, "*")).to_vec());
    let mut bridge = Bridge::start(&config);
    all.iter().for_each(|fixture| all_equal(&mut bridge, fixture));
    test.sql("SET SESSION binlog_format = 'STATEMENT';\nINSERT INTO t VALUES (7);");
    all.iter().for_each(|fixture| all_equal(&mut bridge, fixture));
    assert_eq!(copies(&test), 2, "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_temporary_table_of_the_same_name_is_another() {
    let test = Fixture::new("ddl_temporary");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1), (2);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    test.sql(
        "SET SESSION binlog_format = 'STATEMENT';\nCREATE TEMPORARY TABLE t (id INT PRIMARY KEY);\nTRUNCATE TABLE t;
         ALTER TABLE t ADD COLUMN a INT;\nDROP TABLE t;\nSET SESSION binlog_format = 'ROW';\nINSERT INTO t VALUES (3);",
    );
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn tables_come_are_emptied_and_go() {
    let test = Fixture::new("ddl_tables");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE gone (id INT PRIMARY KEY);");
    test.sql("INSERT INTO t VALUES (1, 1), (2, 2);\nINSERT INTO gone VALUES (1);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    test.sql("TRUNCATE TABLE t;\nINSERT INTO t VALUES (2, 20), (3, 30);\nDROP TABLE gone;");
    test.sql("CREATE TABLE n1 (id INT PRIMARY KEY, s VARCHAR(10) CHARACTER SET utf8mb4) CHARACTER SET utf8mb4;\nINSERT INTO n1 VALUES (1, 'é');");
    test.sql(
        "CREATE TABLE n2 LIKE n1;\nINSERT INTO n2 SELECT * FROM n1;\nTRUNCATE n1;\nINSERT INTO n1 VALUES (5, 'five');",
    );
    test.sql("DROP TABLE IF EXISTS t;\nCREATE TABLE t (id BIGINT PRIMARY KEY, other INT NOT NULL);\nINSERT INTO t VALUES (9, 9);");
    test.sql("CREATE TABLE IF NOT EXISTS t (id INT, nonsense INT);\nINSERT INTO t VALUES (10, 9);");
    all_equal(&mut bridge, &test);
    nothing_left(&test);
    assert_eq!(copies(&test), 0, "{}", bridge.log());
    test.sql("RENAME TABLE n1 TO x, n2 TO n1, x TO n2;\nINSERT INTO n1 VALUES (77, 'after');");
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn while_the_bridge_is_away() {
    let test = Fixture::new("ddl_away");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE gone (id INT PRIMARY KEY);");
    test.sql("INSERT INTO t VALUES (1, 1), (2, 2);\nINSERT INTO gone VALUES (1);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    let config = bridge.config().clone();
    bridge.kill9();
    test.sql("INSERT INTO t VALUES (3, 3);\nALTER TABLE t ADD COLUMN b INT NOT NULL DEFAULT 4;\nINSERT INTO t VALUES (4, 4, 5);");
    test.sql("INSERT INTO gone VALUES (2);\nDROP TABLE gone;\nALTER TABLE t DROP COLUMN a;\nUPDATE t SET b = 9 WHERE id = 1;");
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    nothing_left(&test);
    assert_eq!(copies(&test), 0, "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn create_if_not_exists_of_a_table_that_is_set_aside_is_no_new_table() {
    let test = Fixture::new("ddl_set_aside");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (1, 1), (2, 2);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    let config = bridge.config().clone();
    assert_eq!(bridge.sigterm(), Some(0));
    test.clickhouse("DROP TABLE `{db}`.t SYNC");
    let mut bridge = Bridge::start(&config);
    bridge.wait_quarantined(&test, "t");
    test.sql("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (3, 3);");
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A mutation that cannot end keeps the column from being dropped: a kill then, and the other tables go on.
#[test]
fn a_change_that_cannot_be_finished_keeps_no_other_table_from_starting() {
    let test = Fixture::new("ddl_stuck");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT);\nCREATE TABLE u (id INT PRIMARY KEY);");
    test.sql("INSERT INTO t VALUES (1, 1, 1);\nINSERT INTO u VALUES (1);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    let config = bridge.config().clone();
    test.clickhouse("SYSTEM STOP MERGES `{db}`.t");
    test.sql("ALTER TABLE t MODIFY a BIGINT;\nALTER TABLE t DROP COLUMN b;\nINSERT INTO t VALUES (2, 2);");
    let pending = "SELECT count() FROM `{db}_state`.table_states FINAL WHERE schema LIKE '%Drop%'";
    bridge.wait_for("the intent", PATIENCE, |_| test.clickhouse(pending).trim() == "1");
    bridge.kill9();
    test.sql("INSERT INTO u VALUES (2);");
    let mut bridge = Bridge::start(&config);
    bridge.wait_for("u flows", PATIENCE, |_| test.clickhouse("SELECT count() FROM `{db}`.u").trim() == "2");
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A row of before that lands late, as an insert whose connection was lost may.
fn insert_late(test: &Fixture, columns: &str, values: &str, version: &str) -> Result<String, String> {
    let statement =
        format!("INSERT INTO `{{db}}`.t ({columns}, _version, _is_deleted) VALUES ({values}, {version}, 0)");
    test.servers.clickhouse.try_query(&statement.replace("{db}", &test.database))
}

#[test]
fn rows_of_before_that_land_late_change_nothing() {
    let test = Fixture::new("ddl_late");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (1, 1), (2, 2);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    let newest = || test.clickhouse("SELECT max(_version) FROM `{db}`.t").trim().to_owned();
    let changes = [
        "ALTER TABLE t ADD COLUMN b INT DEFAULT 5",
        "TRUNCATE TABLE t",
        "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, a)",
    ];
    for change in changes {
        test.sql("REPLACE INTO t (id, a) VALUES (1, 1), (2, 2);");
        all_equal(&mut bridge, &test);
        let before = newest();
        test.sql(&format!("{change};\nREPLACE INTO t (id, a) VALUES (3, 3);"));
        all_equal(&mut bridge, &test);
        let error = insert_late(&test, "id, a", "1, 99", &before).unwrap_err();
        assert!(error.contains("stream_bridge_floor"), "{change}: {error}");
        all_equal(&mut bridge, &test);
    }
    assert_eq!(bridge.sigterm(), Some(0));
}

/// What pt-online-schema-change does, written out: a new table, triggers, chunks, the swap. `named` are tables that the
/// configuration names beside the database's pattern.
fn online_migration(name: &str, named: &[&str], excluded: Option<&str>) {
    let test = Fixture::new(name);
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, k INT NOT NULL DEFAULT 0, a INT);");
    let mut config = test.config();
    let patterns =
        |tables: &[&str]| tables.iter().map(|table| format!("{}.{table}", test.database)).collect::<Vec<_>>();
    config.set("replicate.tables", patterns(&[&["*"], named].concat()));
    config.set("replicate.exclude", patterns(excluded.as_slice()));
    let mut bridge = Bridge::start(&config);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write(&test, 1, &stop);
    test.sql("CREATE TABLE _t_new LIKE t;\nALTER TABLE _t_new MODIFY a BIGINT NOT NULL DEFAULT -1, ADD COLUMN b VARCHAR(20) DEFAULT 'b', ADD INDEX (k);");
    for (event, row) in [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")] {
        let copy = if event == "DELETE" { "" } else { "REPLACE INTO _t_new (id, k) VALUES (NEW.id, NEW.k);" };
        let old = if event == "INSERT" { row } else { "OLD" };
        let body = format!("BEGIN DELETE FROM _t_new WHERE id = {old}.id; {copy} END");
        test.execute(&format!("CREATE TRIGGER pt_{event} AFTER {event} ON t FOR EACH ROW {body}"));
    }
    for chunk in 0..6 {
        let range = format!("id BETWEEN {} AND {}", chunk * 50, chunk * 50 + 49);
        test.sql(&format!("INSERT IGNORE INTO _t_new (id, k) SELECT id, k FROM t WHERE {range} LOCK IN SHARE MODE;"));
    }
    test.sql("RENAME TABLE t TO _t_old, _t_new TO t;\nDROP TRIGGER pt_INSERT;\nDROP TRIGGER pt_UPDATE;\nDROP TRIGGER pt_DELETE;\nDROP TABLE _t_old;");
    // Rows of behind the swap, too.
    bridge.wait_caught_up(&test, COPY);
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 20);
    all_equal(&mut bridge, &test);
    nothing_left(&test);
    let is_told = bridge.log().contains(&format!("{} is not replicated", format_args!("{}._t_new", test.database)));
    assert_eq!(is_told, named.is_empty() && excluded.is_none(), "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn online_migrations_with_their_helpers() {
    online_migration("ddl_online", &["_t_new", "_t_old"], None);
}

#[test]
fn online_migrations_with_excluded_helpers() {
    online_migration("ddl_online_excluded", &[], Some("_*"));
}

#[test]
fn online_migrations_by_default() {
    online_migration("ddl_online_default", &[], None);
}

/// Waits until a statement of another connection waits for a lock on a table.
fn wait_for_lock(test: &Fixture, statement: &str) {
    let select = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE info = '{statement}' AND state LIKE 'Waiting for table%'"
    );
    support::wait_until(&format!("{statement} to wait"), PATIENCE, || test.row::<u64>(&select) == 1);
}

/// gh-ost's cut-over: the table is locked, and the RENAME waits for it, behind a sentry that has the old table's name.
fn cut_over(test: &Fixture) {
    const RENAME: &str = "rename /* gh-ost */ table t to _t_del, _t_gho to t";
    let (mut locking, mut renaming) = (test.connect(), test.connect());
    test.sql("create table _t_del (id int auto_increment primary key) engine=InnoDB comment='ghost-cut-over-sentry';");
    locking.query_drop("lock /* gh-ost */ tables t write, _t_del write").unwrap();
    // What was written until the lock is applied to the new table.
    let rows: Vec<(i32, i32)> = locking.query("SELECT id, k FROM t").unwrap();
    let rows: Vec<String> = rows.iter().map(|(id, k)| format!("({id}, {k})")).collect();
    test.sql(&format!("DELETE FROM _t_gho;\nREPLACE /* gh-ost */ INTO _t_gho (id, k) VALUES {};", rows.join(", ")));
    let renamed = std::thread::spawn(move || renaming.query_drop(RENAME));
    wait_for_lock(test, RENAME);
    locking.query_drop("drop /* gh-ost */ table if exists _t_del").unwrap();
    locking.query_drop("unlock tables").unwrap();
    renamed.join().unwrap().unwrap();
}

/// What gh-ost does, written out: changelog, new table, chunks, rows from the binary log, the cut-over.
#[test]
fn ghost_migrations_by_default() {
    let test = Fixture::new("ddl_ghost");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, k INT NOT NULL DEFAULT 0, a INT);\nCREATE TABLE _u_old (id INT PRIMARY KEY, k INT);");
    test.sql("INSERT INTO t (id, k) WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) SELECT i, 1 FROM n;");
    let mut bridge = Bridge::start(&test.config());
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write(&test, 1, &stop);
    test.sql("drop /* gh-ost */ table if exists _t_gho;\ndrop /* gh-ost */ table if exists _t_ghc;
        create /* gh-ost */ table _t_ghc (id bigint unsigned auto_increment, last_update timestamp not null DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, hint varchar(64) charset ascii not null, value varchar(4096) charset ascii not null, primary key(id), unique key hint_uidx(hint)) auto_increment=256;
        create /* gh-ost */ table _t_gho like t;
        alter /* gh-ost */ table _t_gho MODIFY a BIGINT NOT NULL DEFAULT -1, ADD COLUMN b VARCHAR(20) DEFAULT 'b', ADD INDEX (k);
        insert /* gh-ost */ into _t_ghc (id, hint, value) values (2, 'state', 'GhostTableMigrated') on duplicate key update last_update = NOW(), value = VALUES(value);");
    for chunk in 0..8 {
        let range = format!("id >= {} and id < {}", chunk * 200, chunk * 200 + 200);
        test.sql(&format!("insert /* gh-ost */ ignore into _t_gho (id, k) (select id, k from t force index (PRIMARY) where ({range}) lock in share mode);"));
        test.sql(&format!("replace /* gh-ost */ into _t_gho (id, k) values ({chunk}, 7);\ndelete /* gh-ost */ from _t_gho where id = {chunk};
            insert /* gh-ost */ into _t_ghc (hint, value) values ('heartbeat', NOW(6)) on duplicate key update value = VALUES(value);"));
    }
    bridge.wait_caught_up(&test, COPY);
    let status = bridge.status().unwrap();
    for helper in ["_t_gho", "_t_ghc"] {
        assert_eq!(status.table_state(&name(&test, helper)), "absent");
        let said = format!("{} is not replicated", name(&test, helper));
        assert_eq!(bridge.log().lines().filter(|line| line.contains(&said)).count(), 1, "{}", bridge.log());
    }
    // Beside no table u it is nobody's helper.
    assert_eq!(status.table_state(&name(&test, "_u_old")), "streaming");
    cut_over(&test);
    bridge.wait_caught_up(&test, COPY);
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 20);
    test.sql("drop /* gh-ost */ table if exists _t_ghc;\ndrop /* gh-ost */ table if exists _t_del;");
    all_equal(&mut bridge, &test);
    nothing_left(&test);
    assert!(test.row::<u64>("SELECT COUNT(*) FROM t") > 400);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// By a start, too; and one that is replicated before there is a table that it could be a helper of stays so.
#[test]
fn helpers_that_are_there_at_a_start() {
    let test = Fixture::new("ddl_helpers");
    for table in ["t", "_t_gho", "_v_old", "_w_old", "w"] {
        test.sql(&format!("CREATE TABLE {table} (id INT PRIMARY KEY);\nINSERT INTO {table} VALUES (1);"));
    }
    let mut config = test.config();
    config.set("replicate.tables", vec![name(&test, "*"), name(&test, "_w_old")]);
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, COPY);
    test.sql("CREATE TABLE v (id INT PRIMARY KEY);");
    bridge.wait_caught_up(&test, COPY);
    assert_eq!(bridge.sigterm(), Some(0));
    for table in ["t", "_t_gho", "_v_old", "_w_old", "v"] {
        test.sql(&format!("INSERT INTO {table} VALUES (2);"));
    }
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, COPY);
    assert_eq!(test.clickhouse_tables(), ["_v_old", "_w_old", "t", "v", "w"]);
    for table in ["_v_old", "_w_old", "t", "v", "w"] {
        test.assert_equal(table);
        assert_eq!(bridge.status().unwrap().table_state(&name(&test, table)), "streaming", "{table}");
    }
    assert!(bridge.log().contains(&format!("{} is not replicated", name(&test, "_t_gho"))), "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_prepared_transaction_of_another_table_waits_for_no_change() {
    let test = Fixture::on(Servers::own_mysql("ddl-xa", &[]), "ddl_xa");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE u (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (1, 1);");
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    let config = bridge.config().clone();
    test.sql("XA START 'x';\nINSERT INTO u VALUES (1, 1);\nXA END 'x';\nXA PREPARE 'x';");
    let mut other = test.connect();
    for statement in ["ALTER TABLE t ADD COLUMN b INT", "TRUNCATE TABLE t", "INSERT INTO t VALUES (2, 2, 2)"] {
        other.query_drop(statement).unwrap();
    }
    bridge.wait_for("t", COPY, |_| test.clickhouse("SELECT count() FROM `{db}`.t FINAL WHERE id = 2").trim() == "1");
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    other.query_drop("XA COMMIT 'x'").unwrap();
    all_equal(&mut bridge, &test);
    assert_eq!(test.clickhouse("SELECT count() FROM `{db}`.u FINAL").trim(), "1");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Milliseconds from the commit of single rows of `b` until a reader of ClickHouse sees them: median and p99.
fn commit_to_visible(test: &Fixture, ids: std::ops::Range<u32>) -> (u128, u128) {
    let mut connection = test.connect();
    let mut took: Vec<u128> = ids
        .map(|id| {
            connection.query_drop(format!("INSERT INTO b VALUES ({id})")).unwrap();
            let (committed, seen) =
                (std::time::Instant::now(), format!("SELECT count() FROM `{{db}}`.b WHERE id = {id}"));
            while test.clickhouse(&seen).trim() != "1" {
                assert!(committed.elapsed() < PATIENCE, "row {id} of b is not there");
            }
            committed.elapsed().as_millis()
        })
        .collect();
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// Also a change that waits for ever holds no other table. What it costs them is printed, not asserted.
#[test]
fn other_tables_flow_meanwhile() {
    let test = Fixture::new("ddl_meanwhile");
    test.sql(
        "CREATE TABLE a (id INT PRIMARY KEY, k INT NOT NULL, x INT, y INT);\nCREATE TABLE b (id INT PRIMARY KEY);",
    );
    support::load::allow_many_numbers(&test);
    test.sql(&format!("INSERT INTO a {} SELECT i, 1, i, i FROM n", support::load::numbers(1, 200_000)));
    let mut bridge = Bridge::start(&test.config());
    all_equal(&mut bridge, &test);
    let quiet = commit_to_visible(&test, 0..100);
    test.sql("ALTER TABLE a ADD COLUMN z INT NOT NULL DEFAULT 7;");
    let adding = commit_to_visible(&test, 100..200);
    test.clickhouse("SYSTEM STOP MERGES `{db}`.a");
    test.sql("ALTER TABLE a MODIFY x BIGINT;\nALTER TABLE a DROP COLUMN y;\nINSERT INTO a (id, k) VALUES (0, 0);");
    let waiting = commit_to_visible(&test, 200..300);
    let name = name(&test, "a");
    assert_eq!(bridge.status().unwrap().table_state(&name), "waiting_ddl");
    test.clickhouse("SYSTEM START MERGES `{db}`.a");
    test.sql("ALTER TABLE a DROP PRIMARY KEY, ADD PRIMARY KEY (id, k);");
    let copying = commit_to_visible(&test, 300..400);
    println!(
        "b, ms from commit to visible (median, p99): quiet {quiet:?}, ADD COLUMN {adding:?}, a mutation that does not end \
         {waiting:?}, a key change {copying:?}"
    );
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A bridge behind a proxy, all equal.
fn behind_a_proxy(test: &Fixture) -> (Bridge, Proxy) {
    let proxy = Proxy::start(&test.servers.clickhouse);
    let mut config = test.config();
    config.set("clickhouse.url", proxy.clickhouse(&test.servers.clickhouse).url());
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, test);
    (bridge, proxy)
}

/// The middle name of a swap is nobody's, whatever happens to the table that has it.
#[test]
fn a_table_that_is_set_aside_amid_a_swap_leaves_nothing() {
    let test = Fixture::new("ddl_amid_swap");
    test.sql(
        "CREATE TABLE a (id INT PRIMARY KEY, k INT NOT NULL);\nCREATE TABLE b (id INT PRIMARY KEY, k INT NOT NULL);",
    );
    test.sql("INSERT INTO a VALUES (1, 1);\nINSERT INTO b VALUES (2, 2);");
    let (mut bridge, proxy) = behind_a_proxy(&test);
    let is_closed = Arc::new(AtomicBool::new(true));
    for _ in 0..1000 {
        let (is_closed, insert) = (Arc::clone(&is_closed), format!("INSERT INTO `{}`.`b` ", test.database));
        proxy.next(Fate::Hold, move |text| is_closed.load(Ordering::Relaxed) && text.contains(&insert));
    }
    // While its rows are not in, b gives its name to nobody.
    test.sql("INSERT INTO b VALUES (3, 3);\nRENAME TABLE a TO x, b TO a, x TO b;");
    support::wait_until("x", PATIENCE, || test.clickhouse_tables().contains(&"x".to_owned()));
    test.sql("ALTER TABLE b DROP PRIMARY KEY, ADD PRIMARY KEY (id, k);\nINSERT INTO b VALUES (4, 4);");
    bridge.wait_for("the copy", PATIENCE, |status| status.table_state(&name(&test, "b")) == "resync");
    is_closed.store(false, Ordering::Relaxed);
    all_equal(&mut bridge, &test);
    nothing_left(&test);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Killed between an exchange and the end of what was exchanged.
#[test]
fn what_a_copy_has_replaced_does_not_outlive_its_name() {
    let test = Fixture::new("ddl_replaced");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, k INT NOT NULL);\nINSERT INTO t VALUES (1, 1);");
    let (bridge, proxy) = behind_a_proxy(&test);
    for _ in 0..100 {
        proxy.next(Fate::Hold, |text| text.contains("RENAME TABLE ") && text.contains("__before_"));
    }
    test.sql("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, k);");
    proxy.kept();
    let config = bridge.config().clone();
    bridge.kill9();
    test.sql("RENAME TABLE t TO u;");
    let mut bridge = Bridge::start(config.clone().set("clickhouse.url", test.servers.clickhouse.url()));
    all_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
    nothing_left(&test);
}

/// By the digits in its name, which are its UUID's: a table of the user's may be called nearly so.
#[test]
fn a_start_sweeps_copies_of_whatever_it_could_replicate_and_nothing_of_the_users() {
    let test = Fixture::new("ddl_sweep");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY);");
    let mut config = test.config();
    config.set("replicate.exclude", vec![name(&test, "other")]);
    test.clickhouse("CREATE DATABASE IF NOT EXISTS `{db}`");
    for name in ["gone__copy_0badc0de", "other__copy_0badc0df", "gone__copy_0badc0d0", "t__before_0badc0d1"] {
        let digits = if name == "gone__copy_0badc0d0" { "1badc0d0" } else { &name[name.len() - 8..] };
        let create = format!(
            "CREATE TABLE `{{db}}`.{name} UUID '{digits}-0000-4000-8000-{:012x}' (a Int8) ENGINE = Log",
            test.database.len()
        );
        test.clickhouse(&create);
    }
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, &test);
    assert_eq!(test.clickhouse_tables(), ["gone__copy_0badc0d0", "other__copy_0badc0df", "t", "t__before_0badc0d1"]);
    assert_eq!(bridge.sigterm(), Some(0));
}

// --- random ones ---

/// Writes to whatever tables there are.
fn write(test: &Fixture, seed: u64, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (mut connection, stop) = (test.connect(), Arc::clone(stop));
    std::thread::spawn(move || {
        let (mut random, mut done) = (Random::new(seed), 0);
        author::prepare_writer(&mut connection).unwrap();
        while !stop.load(Ordering::Relaxed) {
            done += author::write_some(&mut connection, &mut random, |_| true).unwrap();
        }
        done
    })
}

#[test]
fn random_ones_under_load_with_kills() {
    random_ones(&Fixture::new("ddl_random"), &[]);
}

/// Rows that come without names and labels, and every now and then with them.
#[test]
fn random_ones_with_minimal_metadata() {
    let minimal = ["--binlog-row-metadata=MINIMAL"];
    let test = Fixture::on(Servers::own_mysql("ddl-minimal", &minimal), "ddl_random_minimal");
    random_ones(&test, &["MINIMAL", "MINIMAL", "FULL", "MINIMAL"]);
}

/// With each kill the next of `metadata` begins.
fn random_ones(test: &Fixture, metadata: &[&str]) {
    let statements = support::env_number("STREAM_BRIDGE_TEST_DDL_STATEMENTS", 120);
    let seed = support::env_number("STREAM_BRIDGE_TEST_SEED", 1);
    println!("STREAM_BRIDGE_TEST_SEED={seed}");
    for number in 0..6 {
        test.sql(&format!(
            "CREATE TABLE t{number} (id INT PRIMARY KEY, k INT NOT NULL DEFAULT 1, a INT, b VARCHAR(20));"
        ));
    }
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1s");
    let mut bridge = Bridge::start(&config);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2).map(|seed| write(test, seed, &stop)).collect();
    let mut author = Author::new(seed, |_| true);
    let mut connection = test.connect();
    // A row that would be cut or refused ends the statement, not the test.
    let (mut done, mut refused, mut kills) = (0, 0, 0);
    while done < statements {
        let Some(statement) = author.statement(&mut connection).unwrap() else { continue };
        match connection.query_drop(&statement) {
            Ok(()) => done += 1,
            Err(_) => refused += 1,
        }
        assert!(refused < 5 * statements, "hardly a statement is accepted");
        if done * 6 / statements > kills && kills < 5 {
            kills += 1;
            bridge.kill9();
            if let Some(value) = metadata.get(usize::try_from(kills).unwrap() % metadata.len().max(1)) {
                test.sql(&format!("SET GLOBAL binlog_row_metadata = '{value}'"));
            }
            bridge = Bridge::start(&config);
        }
        std::thread::sleep(Duration::from_millis(author.random.below(60)));
    }
    stop.store(true, Ordering::Relaxed);
    let written: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    assert!(written > 100, "only {written} statements wrote");
    all_equal(&mut bridge, test);
    assert_eq!(bridge.sigterm(), Some(0));
    let mut bridge = Bridge::start(&config);
    all_equal(&mut bridge, test);
    let copies = copies(test);
    println!("{done} schema changes, {refused} refused by MySQL, {written} writes, {copies} copies");
    nothing_left(test);
    assert_eq!(bridge.sigterm(), Some(0));
}
