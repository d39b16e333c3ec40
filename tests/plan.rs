//! `plan` tells beforehand what is then executed: its statements make the tables that a start makes, and those of a schema
//! change are the ones that ClickHouse's query log has afterwards. It changes nothing itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use serde_json::Value;

use support::bridge::{Bridge, Config, Ended, run_command, run_with};
use support::fixture::Fixture;
use support::servers::BRIDGE_USER;

/// How long copies may take.
const COPY: Duration = Duration::from_secs(120);
const CREATED: &str = "is created";
const USED: &str = "is there, and is used as it is";
const FLOOR: &str = "stream_bridge_floor_";
const NO_EFFECT: &str = "no effect on ClickHouse";
const COPIED: &str = "copied anew beside the target, then exchanged: ";

/// `stream-bridge plan` with these arguments.
fn plan(config: &Config, arguments: &[&str]) -> Ended {
    let path = config.write();
    run_with(&[&["plan", "--config", path.to_str().unwrap()], arguments].concat(), path.parent().unwrap())
}

/// Its items, and the exit code.
fn items(config: &Config, arguments: &[&str]) -> (Vec<Value>, Option<i32>) {
    let ended = plan(config, &[arguments, &["--json"]].concat());
    let items = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.text()));
    (items, ended.code)
}

/// The items of a statement that is to be run in the test's database.
fn items_of(test: &Fixture, config: &Config, statement: &str) -> Vec<Value> {
    let (items, code) = items(config, &["--sql", statement, "--database", &test.database]);
    assert_eq!(code, Some(0), "{statement}: {items:?}");
    items
}

/// The only item's note, which has no statements.
fn note_of(test: &Fixture, config: &Config, statement: &str) -> String {
    let items = items_of(test, config, statement);
    let [item] = items.as_slice() else { panic!("{statement}: {items:?}") };
    assert_eq!(statements(std::slice::from_ref(item)), Vec::<String>::new(), "{statement}");
    item["note"].as_str().unwrap_or_else(|| panic!("{statement}: {item}")).to_owned()
}

fn statements(items: &[Value]) -> Vec<String> {
    let lists = items.iter().flat_map(|item| item["statements"].as_array().unwrap());
    lists.map(|statement| without_tokens(statement.as_str().unwrap())).collect()
}

fn item<'a>(items: &'a [Value], test: &Fixture, table: &str) -> &'a Value {
    let name = format!("{}.{table}", test.database);
    items.iter().find(|item| item["table"] == *name).unwrap_or_else(|| panic!("no {name} in {items:?}"))
}

/// Columns, engine and key of every table in the target.
fn shapes(test: &Fixture) -> String {
    let columns = "SELECT table, position, name, type, default_kind, default_expression FROM system.columns \
                   WHERE database = '{db}' ORDER BY table, position";
    let tables =
        "SELECT name, engine_full, sorting_key, partition_key FROM system.tables WHERE database = '{db}' ORDER BY name";
    test.clickhouse(columns) + &test.clickhouse(tables)
}

/// What the bridge has changed in the test's database of ClickHouse since the beginning, in order; `what` is a condition.
fn executed(test: &Fixture, what: &str) -> Vec<String> {
    test.clickhouse("SYSTEM FLUSH LOGS");
    let select = format!(
        "SELECT query FROM system.query_log WHERE type = 'QueryFinish' AND user = '{BRIDGE_USER}' AND {what} \
         AND query_kind IN ('Alter', 'Create', 'Rename', 'Drop') AND position(query, '`{{db}}`') > 0 \
         ORDER BY event_time_microseconds FORMAT JSONEachRow"
    );
    let rows = test.clickhouse(&select);
    let query = |line: &str| serde_json::from_str::<Value>(line).unwrap()["query"].as_str().unwrap().to_owned();
    rows.lines().map(query).collect()
}

/// A statement without what no plan knows: the version, and the tokens in the names of floors.
fn without_version(statement: &str) -> String {
    let mut text = without_tokens(statement);
    for marker in ["_version >= ", "_version < ", "__dropped_"] {
        let Some(start) = text.find(marker).map(|at| at + marker.len()) else { continue };
        let digits = text[start..].chars().take_while(char::is_ascii_hexdigit).count();
        assert!(digits > 8, "no version in {statement}");
        text.replace_range(start..start + digits, "<version>");
    }
    text
}

fn without_tokens(statement: &str) -> String {
    let mut parts = statement.split(FLOOR);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let token = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        assert_eq!(token, 32, "no token in {statement}");
        text + FLOOR + &part[token..]
    })
}

#[test]
fn what_a_start_would_make_is_what_it_makes() {
    let test = Fixture::new("plan_start");
    test.sql(
        "CREATE TABLE a (id BIGINT UNSIGNED, `o``dd` VARCHAR(10), d DECIMAL(20, 3), t TIMESTAMP(3) NULL, j JSON, PRIMARY KEY (id));
         CREATE TABLE b (x VARCHAR(20) CHARACTER SET latin1, y DATE NOT NULL, e ENUM('p', 'q'), v TIME(2), PRIMARY KEY (y, x));
         CREATE TABLE `c'c\\d` (id INT PRIMARY KEY, b BINARY(4), g GEOMETRY, f FLOAT);
         INSERT INTO a (id) VALUES (1);",
    );
    let config = test.config();
    let (planned, code) = items(&config, &[]);
    assert_eq!((planned.len(), code), (3, Some(0)), "{planned:?}");
    assert!(planned.iter().all(|item| item["note"] == CREATED && item["problem"].is_null()), "{planned:?}");
    let statements = statements(&planned);
    let databases: Vec<&String> = statements.iter().filter(|text| text.starts_with("CREATE DATABASE")).collect();
    assert_eq!((databases.len(), statements.len()), (1, 4), "{statements:?}");
    assert_eq!(test.clickhouse_tables(), Vec::<String>::new());
    statements.iter().for_each(|statement| drop(test.clickhouse(statement)));
    let by_hand = shapes(&test);
    let text = plan(&config, &[]).stdout;
    assert_eq!(text.matches(USED).count(), 3, "{text}");
    test.clickhouse("DROP DATABASE `{db}` SYNC");
    let text = plan(&config, &[]).stdout;
    assert!(statements.iter().all(|statement| text.contains(&format!("{statement};\n"))), "{text}");
    assert!(text.lines().all(|line| line.starts_with("-- ") || text.contains(&format!("\n{line}\n"))), "{text}");

    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, COPY);
    assert_eq!(shapes(&test), by_hand);
    assert_eq!(executed(&test, "query_kind = 'Create'"), statements);
    let (planned, code) = items(&config, &[]);
    assert!(code == Some(0) && planned.iter().all(|item| item["note"] == USED), "{planned:?}");
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn what_a_start_finds_decides_what_it_would_do() {
    let test = Fixture::new("plan_found");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE gone (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1, 1);");
    let mut config = test.config();
    let (planned, _) = items(&config, &[]);
    statements(&planned).iter().for_each(|statement| drop(test.clickhouse(statement)));
    test.clickhouse("INSERT INTO `{db}`.t VALUES (7, 7, 1, 0)");
    let (planned, _) = items(&config, &[]);
    let note = item(&planned, &test, "t")["note"].as_str().unwrap();
    assert_eq!(note, format!("{COPIED}its target had rows at the first start"));
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    assert_eq!(executed(&test, "query LIKE 'EXCHANGE%'").len(), 1);
    assert_eq!(bridge.sigterm(), Some(0));

    test.clickhouse("DROP TABLE `{db}`.gone SYNC");
    // The stream comes to it first: the start takes the table as it was.
    test.sql(
        "ALTER TABLE t ADD COLUMN n INT;\nCREATE TABLE late (id INT PRIMARY KEY);\nCREATE TABLE keyless (id INT, _n INT);",
    );
    let rule = [("table", format!("{}.late", test.database)), ("rename", format!("{}.later", test.database))];
    config.set("replicate.rule", vec![toml::Table::from_iter(rule.map(|(key, name)| (key.to_owned(), name.into())))]);
    let chosen = ["t", "gone", "late", "keyless"].map(|table| format!("{}.{table}", test.database));
    config.set("replicate.tables", chosen.to_vec());
    let (planned, code) = items(&config, &[]);
    assert_eq!(code, Some(3), "{planned:?}");
    assert_eq!(item(&planned, &test, "t")["note"], USED);
    let late = item(&planned, &test, "late");
    assert!(late["note"].as_str().unwrap().contains("it was chosen after the first start"), "{late}");
    assert_eq!(late["target"], format!("{}.later", test.database));
    let problem = |table: &str| item(&planned, &test, table)["problem"].as_str().unwrap().to_owned();
    assert!(problem("gone").contains("is gone: an empty one in its place would be wrong"), "{}", problem("gone"));
    assert!(
        problem("keyless").contains("_n is taken") && problem("keyless").contains("(repair: "),
        "{}",
        problem("keyless")
    );
    let check = run_command("check", &config);
    assert!(check.stdout.contains(problem("keyless").split(" (repair").next().unwrap()), "{}", check.stdout);
    assert_eq!(items(&config, &["--sql", &format!("ALTER TABLE {}.keyless ADD x INT", test.database)]).1, Some(3));
}

/// What is said of a statement before it is run.
enum Said {
    /// So many statements.
    Statements(usize),
    NoEffect,
    /// Copied, and why.
    Copied(&'static str),
}
use Said::{Copied, NoEffect, Statements};

#[rustfmt::skip]
const CHANGES: &[(&str, Said)] = &[
    ("ALTER TABLE t ADD COLUMN c BIGINT NOT NULL DEFAULT 7 AFTER id", Statements(2)),
    ("ALTER TABLE t ADD COLUMN d VARCHAR(20) CHARACTER SET utf8mb4 DEFAULT 'it''s \\\\ `', ADD COLUMN e DATETIME(3) FIRST", Statements(2)),
    ("ALTER TABLE t MODIFY a BIGINT", Statements(2)),
    ("ALTER TABLE t RENAME COLUMN a TO a2, DROP COLUMN c, MODIFY b VARCHAR(300) CHARACTER SET utf8mb4 NULL, ADD f INT", Statements(3)),
    ("ALTER TABLE t CHANGE b `b b` VARCHAR(301) CHARACTER SET utf8mb4 NULL;", Statements(2)),
    ("ALTER TABLE t CHANGE f f2 BIGINT NULL", Statements(3)),
    ("ALTER TABLE t DROP COLUMN d, DROP COLUMN e", Statements(2)),
    ("alter table t comment 'x', engine = InnoDB", NoEffect),
    ("CREATE INDEX i ON t (a2)", NoEffect),
    ("ALTER TABLE t ADD INDEX (a2), MODIFY `b b` VARCHAR(302) CHARACTER SET utf8mb4 NULL", NoEffect),
    ("DROP INDEX i ON t", NoEffect),
    ("ALTER TABLE t MODIFY a2 INT", Copied("a2")),
    ("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, a2)", Copied("the PRIMARY KEY changes")),
    ("ALTER TABLE t ADD COLUMN z DATETIME DEFAULT CURRENT_TIMESTAMP", Copied("z")),
    ("TRUNCATE TABLE t", Statements(2)),
    ("CREATE TABLE u (id INT PRIMARY KEY, s VARCHAR(9) CHARACTER SET utf8mb4)", Statements(2)),
    ("CREATE TABLE v LIKE u", Statements(2)),
    ("RENAME TABLE u TO w, v TO u", Statements(4)),
    ("ALTER TABLE w RENAME TO x, ADD COLUMN y INT", Statements(4)),
    ("DROP TABLE u, x", Statements(4)),
];

#[test]
fn what_a_schema_change_would_do_is_what_it_does() {
    let test = Fixture::new("plan_changes");
    test.sql("SET sql_mode = @@global.sql_mode;\nCREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL, b VARCHAR(10) CHARACTER SET utf8mb4 NOT NULL);");
    test.sql("INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'y');");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    for (statement, said) in CHANGES {
        let before = executed(&test, "1");
        let planned = items_of(&test, &config, statement);
        let notes =
            || planned.iter().map(|item| item["note"].as_str().unwrap_or_default()).collect::<Vec<_>>().join("; ");
        test.execute(statement.trim_end_matches(';'));
        bridge.wait_all_streaming(&test, COPY);
        let done: Vec<String> = executed(&test, "1").split_off(before.len());
        let written: Vec<String> = done.iter().map(|statement| without_version(statement)).collect();
        match said {
            Statements(number) => {
                assert_eq!(statements(&planned), written, "{statement}: {planned:?}");
                assert_eq!(written.len(), *number, "{statement}: {written:?}");
            }
            NoEffect => {
                assert!(notes() == NO_EFFECT && written.is_empty(), "{statement}: {planned:?} {written:?}")
            }
            Copied(why) => {
                let told = notes();
                let told = told.strip_prefix(COPIED).unwrap_or_else(|| panic!("{statement}: {planned:?}"));
                assert!(
                    told.contains(why) && bridge.log().contains(&format!("({told}): {statement}")),
                    "{statement}: {told}"
                );
                assert!(done.iter().any(|query| query.starts_with("EXCHANGE")), "{statement}: {done:?}");
            }
        }
    }
    // The server logs it with all columns.
    let statement = "CREATE TABLE s (id INT PRIMARY KEY) SELECT 5 AS id";
    let before = executed(&test, "1").len();
    assert!(note_of(&test, &config, statement).starts_with(COPIED));
    test.execute(statement);
    bridge.wait_all_streaming(&test, COPY);
    let done = executed(&test, "1").split_off(before);
    assert!(done.len() == 2 && done[0].starts_with("CREATE TABLE"), "{done:?}");
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn what_is_dropped_may_be_kept_and_what_is_ignored_is_left() {
    let test = Fixture::new("plan_policy");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1);");
    let mut config = test.config();
    config.set("ddl.drop_table", "rename").set("ddl.alter_table", "ignore");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    let note = note_of(&test, &config, "ALTER TABLE t ADD x INT");
    assert!(note.contains("[ddl]"), "{note}");
    let mut ignoring = config.clone();
    let note = note_of(&test, ignoring.set("ddl.drop_table", "ignore"), "DROP TABLE t");
    assert!(note.starts_with("set aside") && note.ends_with("it was dropped"), "{note}");
    let planned = statements(&items_of(&test, &config, &format!("DROP DATABASE {}", test.database)));
    let before = executed(&test, "1");
    test.execute("DROP TABLE t");
    let gone = format!("SELECT count() FROM system.tables WHERE database = '{}' AND name = 't'", test.database);
    support::wait_until("t gets another name", COPY, || test.clickhouse(&gone).trim() == "0");
    let done = executed(&test, "1").split_off(before.len());
    assert_eq!(planned, done.iter().map(|statement| without_version(statement)).collect::<Vec<_>>());
    assert_eq!(planned.len(), 1, "{planned:?}");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Definitions and rows of both sides.
fn all(test: &Fixture) -> String {
    let tables = test.tables().into_iter().map(|table| {
        let created: (String, String) = test.row(&format!("SHOW CREATE TABLE `{table}`"));
        let rows: Vec<(i64, Option<i64>)> = test.rows(&format!("SELECT id, a FROM `{table}` ORDER BY id"));
        format!("{}\n{rows:?}\n", created.1)
    });
    let select = "SELECT name, create_table_query, total_rows FROM system.tables WHERE startsWith(database, '{db}') ORDER BY ALL";
    tables.collect::<String>() + &test.clickhouse(select)
}

#[test]
fn nothing_is_changed_by_looking() {
    let test = Fixture::new("plan_looks");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE u (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (1, 1);");
    let config = test.config();
    let look = || {
        let before = (all(&test), executed(&test, "1").len());
        assert_eq!(plan(&config, &[]).code, Some(0));
        for statement in [
            "ALTER TABLE t ADD x INT",
            "TRUNCATE t",
            "DROP TABLE t",
            "RENAME TABLE t TO v",
            "CREATE TABLE n (id INT PRIMARY KEY)",
        ] {
            items_of(&test, &config, statement);
        }
        assert_eq!((all(&test), executed(&test, "1").len()), before);
    };
    look();
    assert_eq!(test.clickhouse("SELECT count() FROM system.databases WHERE startsWith(name, '{db}')").trim(), "0");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    assert!(executed(&test, "1").len() > 1, "the query log tells nothing");
    assert_eq!(bridge.sigterm(), Some(0));
    look();
}

#[test]
fn statements_that_change_no_target() {
    let test = Fixture::new("plan_odd");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);\nCREATE TABLE u (id INT PRIMARY KEY);");
    let config = test.config();
    let note = note_of(&test, &config, "ALTER TABLE t ADD x INT");
    assert!(note.contains("its target is not there yet"), "{note}");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    assert_eq!(bridge.sigterm(), Some(0));
    let check = |statement: &str, part: &str| {
        let note = note_of(&test, &config, statement);
        assert!(note.contains(part), "{statement}: {note}");
    };
    check("UPDATE t SET a = 1", "comes as rows");
    check("/* x */ insert into t values (1, 2); -- y", "comes as rows");
    check("what is this", "comes as rows");
    check("ALTER TABLE elsewhere.t ADD x INT", "concerns no replicated table");
    check("CREATE TEMPORARY TABLE t (id INT)", "concerns no replicated table");
    check("CREATE VIEW w AS SELECT 1", "concerns no replicated table");
    check(
        "ALTER TABLE t ADD SURPRISE x",
        "copied anew beside the target, then exchanged: what it changes is not known",
    );
    check("ALTER TABLE missing ADD x INT", "(it is not there now)");
    check("ALTER TABLE t DROP COLUMN missing", "has no column missing");
    check("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY)", "is left as it is");
    let sql_mode: String = test.row("SELECT @@global.sql_mode");
    assert!(!sql_mode.contains("ANSI_QUOTES"), "{sql_mode}");
    let quoted = items_of(&test, &config, "ALTER TABLE \"t\" ADD x INT");
    assert_eq!(quoted.len(), 2, "it may be any table: {quoted:?}");
    let qualified = format!("ALTER TABLE {}.t ADD x INT", test.database);
    assert_eq!(statements(&items(&config, &["--sql", &qualified]).0).len(), 2);
    let text = plan(&config, &["--sql", &qualified]).stdout;
    assert!(text.starts_with(&format!("-- {}.t\nALTER TABLE ", test.database)) && text.contains("<version>"), "{text}");
}

#[test]
fn what_cannot_be_planned_is_told() {
    let test = Fixture::new("plan_bad");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT);");
    let mut config = test.config();
    let refused = |config: &Config, arguments: &[&str], code: i32, part: &str| {
        let ended = plan(config, arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.text());
        assert!(ended.text().contains(part) && !ended.text().contains("panicked"), "{arguments:?}: {}", ended.text());
    };
    refused(&config, &["--sql", "ALTER TABLE t ADD x INT"], 2, "add --database NAME");
    refused(&config, &["--sql", " ; "], 2, "is empty");
    let two = "ALTER TABLE t ADD x INT; ALTER TABLE t ADD y INT";
    refused(&config, &["--sql", two, "--database", &test.database], 2, "more than one statement");
    refused(&config, &["--database", "x"], 2, "--sql");
    refused(&config, &["--sql"], 2, "--sql");
    config.set("mysql.password", "not-this-one");
    for arguments in [&[][..], &["--sql", "DROP TABLE a.b"]] {
        refused(&config, arguments, 3, "refused: ");
        refused(&config, arguments, 3, "ccess denied");
    }
    config.set("mysql.password", 1);
    refused(&config, &[], 2, "mysql.password");
}
