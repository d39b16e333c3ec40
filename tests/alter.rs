//! ALTER TABLE in MySQL and what it becomes in ClickHouse: what is done in place must leave both sides equal, value by
//! value, over the whole range of each type; before, while and after ClickHouse rewrites its parts.
//!
//! The bridge writes the rows, and has ended when the tables are altered. Definitions are read from
//! `information_schema` before and after each ALTER.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use stream_bridge::clickhouse::{Client, alter, tables};
use stream_bridge::config::{ClickHouseConfig, Files, Secret};
use stream_bridge::error::ErrorKind;
use stream_bridge::schema::catalog::{ColumnDefinition, Definition, KeyPart};
use stream_bridge::schema::change::{Altered, Initial, Origin};
use stream_bridge::schema::choices::Choices;
use stream_bridge::schema::column::ColumnType;
use stream_bridge::schema::effect::{Effect, TargetChange, effect};
use stream_bridge::schema::mapping::TargetFeatures;
use stream_bridge::schema::target::TargetTable;
use stream_bridge::schema::types::TableName;
use support::bridge::Bridge;
use support::fixture::Fixture;
use support::servers::{BRIDGE_PASSWORD, BRIDGE_USER};
use support::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);
const FEATURES: TargetFeatures = TargetFeatures { time64: true };

/// What is expected of an ALTER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    InPlace,
    Copied,
}
use Kind::{Copied, InPlace, Nothing};

/// The column before, its values, the column after.
type Conversion = (&'static str, &'static [&'static str], &'static str, Kind);

const INTEGERS: &[&str] = &["-128", "-1", "0", "1", "127", "NULL"];
const TEXTS: &[&str] = &["''", "'a'", "' a  '", "'é€ü'", "REPEAT('x', 40)", "'tab\\t\\\\ line\\n'", "NULL"];
const TIMES: &[&str] = &["'-838:59:59'", "'838:59:59'", "'-00:00:00.999'", "'00:00:00.001'", "'00:00:00'", "NULL"];
const DATETIMES: &[&str] = &[
    "'1000-01-01 00:00:00'",
    "'1000-01-01 00:00:00.999'",
    "'1899-12-31 23:59:59.999'",
    "'1969-12-31 23:59:59.001'",
    "'1970-01-01 00:00:00'",
    "'2262-04-12 00:00:00'",
    "'2299-12-31 23:59:59.999'",
    "'2300-01-01 00:00:00'",
    "'9999-12-31 23:59:59'",
    "NULL",
];
const BYTES: &[&str] = &["''", "x'00'", "x'00ff2000'", "'ab '", "NULL"];

#[rustfmt::skip]
const CONVERSIONS: &[Conversion] = &[
    ("TINYINT", INTEGERS, "SMALLINT", InPlace),
    ("TINYINT", INTEGERS, "BIGINT", InPlace),
    ("TINYINT NOT NULL", &["-128", "0", "127"], "INT NULL", InPlace),
    ("TINYINT NOT NULL", &["-128", "0", "127"], "TINYINT NULL", InPlace),
    ("TINYINT", &["-128", "127"], "INT NOT NULL", InPlace),
    ("TINYINT", &["-128", "127"], "TINYINT NOT NULL DEFAULT 3", Nothing),
    ("MEDIUMINT", &["-8388608", "8388607", "NULL"], "INT", Nothing),
    ("TINYINT UNSIGNED", &["0", "255", "NULL"], "SMALLINT", InPlace),
    ("SMALLINT UNSIGNED", &["0", "65535", "NULL"], "MEDIUMINT", InPlace),
    ("INT UNSIGNED", &["0", "4294967295", "NULL"], "BIGINT", InPlace),
    ("INT UNSIGNED", &["0", "4294967295", "NULL"], "BIGINT UNSIGNED", InPlace),
    ("BIGINT UNSIGNED", &["0", "18446744073709551615"], "BIGINT UNSIGNED NULL COMMENT 'x'", Nothing),
    ("INT", &["0", "1"], "INT UNSIGNED", Copied),
    ("INT", &["0", "1"], "SMALLINT", Copied),
    ("INT UNSIGNED", &["1"], "INT", Copied),
    ("INT", &["1"], "VARCHAR(20)", Copied),
    ("INT", &["1"], "DECIMAL(20,2)", Copied),
    ("DECIMAL(9,2)", &["-9999999.99", "9999999.99", "0", "-0.01", "NULL"], "DECIMAL(10,3)", InPlace),
    ("DECIMAL(9,2)", &["-9999999.99", "9999999.99", "0", "NULL"], "DECIMAL(65,30)", InPlace),
    ("DECIMAL(18,0) NOT NULL", &["999999999999999999", "-999999999999999999"], "DECIMAL(38,20) NULL", InPlace),
    ("DECIMAL(38,10)", &["9999999999999999999999999999.9999999999"], "DECIMAL(39,10)", InPlace),
    ("DECIMAL(9,2)", &["1.25"], "DECIMAL(9,3)", Copied),
    ("DECIMAL(9,2)", &["1.25"], "DECIMAL(12,1)", Copied),
    ("DECIMAL(9,2)", &["1.25"], "DECIMAL(9,2) UNSIGNED", Copied),
    ("FLOAT", &["1.1", "-3.402823e38", "1.17549e-38", "1e-45", "-0e0", "16777217", "NULL"], "DOUBLE", InPlace),
    ("FLOAT(7,3)", &["1.1", "-1234.567", "NULL"], "DOUBLE", InPlace),
    ("FLOAT", &["1.1"], "FLOAT(7,0)", Copied),
    ("DOUBLE", &["1.1"], "FLOAT", Copied),
    ("BIT(3)", &["0", "7", "NULL"], "BIT(64)", Nothing),
    ("BIT(8)", &["7"], "BIT(3)", Copied),
    ("YEAR", &["1901", "2155", "0", "NULL"], "YEAR DEFAULT 2000", Nothing),
    ("YEAR", &["1901"], "INT", Copied),
    ("DATE NOT NULL", &["'1000-01-01'", "'9999-12-31'", "'1899-12-31'", "'1970-01-01'"], "DATE NULL", InPlace),
    ("DATE", &["'2000-01-01'"], "DATETIME", Copied),
    ("DATETIME", &["'2000-01-01'"], "DATE", Copied),
    ("DATETIME", DATETIMES, "DATETIME(6)", InPlace),
    ("DATETIME(3)", DATETIMES, "DATETIME(4)", InPlace),
    ("DATETIME(6)", DATETIMES, "DATETIME(3)", Copied),
    ("DATETIME", &["'2000-01-01'"], "TIMESTAMP", Copied),
    ("TIMESTAMP NULL", &["'1970-01-02 00:00:01'", "'2038-01-18 03:14:07'", "NULL"], "TIMESTAMP(6) NULL", InPlace),
    ("TIMESTAMP NULL", &["'1970-01-02 00:00:01'"], "TIMESTAMP NOT NULL", Copied),
    ("TIME", TIMES, "TIME(6)", InPlace),
    ("TIME(3) NOT NULL", &["'-838:59:58.999'", "'838:59:58.999'", "'-00:00:00.001'"], "TIME(5) NULL", InPlace),
    ("TIME(3)", TIMES, "TIME", Copied),
    ("VARCHAR(40)", TEXTS, "VARCHAR(41)", Nothing),
    ("VARCHAR(40)", TEXTS, "TEXT", Nothing),
    ("VARCHAR(40) NOT NULL", &["''", "' a '"], "LONGTEXT NULL", InPlace),
    ("VARCHAR(40)", TEXTS, "TINYTEXT", Nothing),
    ("VARCHAR(40)", &["'a'"], "VARCHAR(39)", Copied),
    ("VARCHAR(40)", TEXTS, "CHAR(40)", Copied),
    ("VARCHAR(64)", TEXTS, "TINYTEXT", Copied),
    ("TINYTEXT", TEXTS, "VARCHAR(255)", Nothing),
    ("TINYTEXT", TEXTS, "MEDIUMTEXT", Nothing),
    ("TEXT", TEXTS, "VARCHAR(255)", Copied),
    ("CHAR(40)", TEXTS, "CHAR(50)", Nothing),
    ("CHAR(40)", TEXTS, "VARCHAR(50)", Copied),
    ("VARCHAR(40) CHARACTER SET latin1", TEXTS, "VARCHAR(40) CHARACTER SET utf8mb4", Nothing),
    ("VARCHAR(40) CHARACTER SET latin1", TEXTS, "VARCHAR(40) CHARACTER SET utf8mb3", Nothing),
    ("TINYTEXT CHARACTER SET latin1", TEXTS, "TINYTEXT CHARACTER SET utf8mb4", Copied),
    ("TINYTEXT CHARACTER SET latin1", TEXTS, "TEXT CHARACTER SET utf8mb4", Nothing),
    ("CHAR(40) CHARACTER SET latin1", TEXTS, "CHAR(40) CHARACTER SET utf8mb4", Nothing),
    ("VARCHAR(40) CHARACTER SET utf8mb4", TEXTS, "VARCHAR(40) CHARACTER SET latin1", Nothing),
    ("VARCHAR(40)", TEXTS, "VARCHAR(40) COLLATE utf8mb4_bin", Nothing),
    ("VARCHAR(40)", &["'a'"], "VARBINARY(160)", Copied),
    ("VARBINARY(9)", BYTES, "VARBINARY(10)", Nothing),
    ("VARBINARY(9)", BYTES, "BLOB", Nothing),
    ("VARBINARY(9)", BYTES, "BINARY(9)", Copied),
    ("BINARY(9)", BYTES, "BINARY(10)", Copied),
    ("BINARY(9)", BYTES, "VARBINARY(10)", Copied),
    ("BINARY(4) NOT NULL", &["x'00'", "'ab'"], "BINARY(4) NULL", InPlace),
    ("VARBINARY(9)", &["'a'"], "VARCHAR(9)", Copied),
    ("ENUM('a','b') NOT NULL", &["'a'", "'b'"], "ENUM('a','b','c') NULL", InPlace),
    ("ENUM('a','b')", &["'a'", "'b'", "NULL"], "ENUM('x','b','a')", Nothing),
    ("ENUM('a','b')", &["'a'"], "ENUM('a')", Copied),
    ("ENUM('a','b')", &["'a'"], "VARCHAR(5)", Copied),
    ("SET('a','b','c')", &["''", "'a,c'", "'a,b,c'", "NULL"], "SET('a','x','b','y','c')", Nothing),
    ("SET('a','b')", &["'a,b'"], "SET('b','a')", Copied),
    ("JSON", &["'{\"a\": [1, null]}'", "NULL"], "JSON COMMENT 'x'", Nothing),
    ("JSON NOT NULL", &["'{\"a\": [1, null]}'"], "JSON NULL", InPlace),
    ("JSON", &["'1'"], "TEXT", Copied),
    ("POINT", &["POINT(1, 2)", "NULL"], "GEOMETRY", Nothing),
    ("VECTOR(2) NOT NULL", &["TO_VECTOR('[1,2]')"], "VECTOR(3) NULL", Nothing),
];

fn text(value: &str) -> Initial {
    Initial::Text(value.to_owned())
}

fn number(value: &str) -> Initial {
    Initial::Number(value.to_owned())
}

/// A column that is added, what its old rows get as the parser tells it, and whether that is done in place.
#[rustfmt::skip]
fn additions() -> Vec<(&'static str, Initial, Kind)> {
    use Initial::{Implicit, Null, Unknown};
    vec![
        ("INT", Implicit, InPlace),
        ("INT DEFAULT NULL", Null, InPlace),
        ("INT NOT NULL", Implicit, InPlace),
        ("INT DEFAULT 5", number("5"), InPlace),
        ("INT DEFAULT '-7'", text("-7"), InPlace),
        ("INT DEFAULT 1.6", number("1.6"), Copied),
        ("MEDIUMINT NOT NULL DEFAULT -8388608", number("-8388608"), InPlace),
        ("BIGINT UNSIGNED DEFAULT 18446744073709551615", number("18446744073709551615"), InPlace),
        ("BIGINT DEFAULT -9223372036854775808", number("-9223372036854775808"), InPlace),
        ("DECIMAL(9,2) NOT NULL", Implicit, InPlace),
        ("DECIMAL(65,30) DEFAULT -1.000000000000000000000000000001", number("-1.000000000000000000000000000001"), InPlace),
        ("DECIMAL(4,2) DEFAULT 00.5", number("00.5"), Copied),
        ("DECIMAL(4,2) DEFAULT 0.5", number("0.5"), InPlace),
        ("DECIMAL(4,2) DEFAULT -0.5", number("-0.5"), InPlace),
        ("DECIMAL(4,1) DEFAULT 0.55", number("0.55"), Copied),
        ("FLOAT NOT NULL DEFAULT 0.1", number("0.1"), InPlace),
        ("FLOAT DEFAULT '123.456'", text("123.456"), InPlace),
        ("FLOAT(5,1) DEFAULT 0.25", number("0.25"), Copied),
        ("DOUBLE DEFAULT 123456789012.345", number("123456789012.345"), InPlace),
        ("DOUBLE DEFAULT -1e300", number("-1e300"), Copied),
        ("DOUBLE NOT NULL", Implicit, InPlace),
        ("BIT(64) DEFAULT 5", number("5"), InPlace),
        ("BIT(2) NOT NULL", Implicit, InPlace),
        ("YEAR NOT NULL", Implicit, InPlace),
        ("YEAR DEFAULT 2155", number("2155"), InPlace),
        ("YEAR DEFAULT '70'", text("70"), Copied),
        ("DATE DEFAULT '2024-02-29'", text("2024-02-29"), InPlace),
        ("DATE NOT NULL DEFAULT '1900-01-01'", text("1900-01-01"), InPlace),
        ("DATE DEFAULT '1000-01-01'", text("1000-01-01"), Copied),
        ("DATE DEFAULT '2024-2-9'", text("2024-2-9"), Copied),
        ("DATETIME(3) DEFAULT '2299-12-31 23:59:59.5'", text("2299-12-31 23:59:59.5"), InPlace),
        ("DATETIME NOT NULL DEFAULT '1969-12-31 23:59:59'", text("1969-12-31 23:59:59"), InPlace),
        ("DATETIME DEFAULT '2024-01-01 00:00:00.6'", text("2024-01-01 00:00:00.6"), Copied),
        ("DATETIME DEFAULT '2024-01-01'", text("2024-01-01"), Copied),
        ("DATETIME DEFAULT CURRENT_TIMESTAMP", Unknown, Copied),
        ("TIMESTAMP NOT NULL DEFAULT '2024-01-01 00:00:00'", text("2024-01-01 00:00:00"), Copied),
        ("TIMESTAMP NULL", Implicit, InPlace),
        ("TIME NOT NULL", Implicit, Copied),
        ("TIME DEFAULT '-838:59:59'", text("-838:59:59"), InPlace),
        ("TIME(2) DEFAULT '-00:00:00.01'", text("-00:00:00.01"), InPlace),
        ("TIME(6) DEFAULT '100:00:00.000001'", text("100:00:00.000001"), InPlace),
        ("TIME DEFAULT '12'", text("12"), Copied),
        ("VARCHAR(9) NOT NULL", Implicit, InPlace),
        ("VARCHAR(20) DEFAULT 'it''s \\\\ é\\n\\0 '", text("it's \\ é\n\0 "), InPlace),
        ("VARCHAR(9) DEFAULT 12", number("12"), InPlace),
        ("VARCHAR(9) CHARACTER SET latin1 DEFAULT 'a '", text("a "), InPlace),
        ("VARCHAR(9) CHARACTER SET latin1 DEFAULT 'é'", text("é"), Copied),
        ("CHAR(9) NOT NULL DEFAULT 'a  '", text("a  "), InPlace),
        ("TEXT NOT NULL", Implicit, InPlace),
        ("BINARY(5) NOT NULL", Implicit, InPlace),
        ("BINARY(5) NOT NULL DEFAULT 'ab'", text("ab"), InPlace),
        ("VARBINARY(5) DEFAULT 'ab'", text("ab"), InPlace),
        ("VARBINARY(5) DEFAULT x'FF'", Unknown, Copied),
        ("BLOB NOT NULL", Implicit, InPlace),
        ("ENUM('o''n','off') NOT NULL", Implicit, InPlace),
        ("ENUM('on','off') DEFAULT 'off'", text("off"), InPlace),
        ("ENUM('on','off') DEFAULT 'OFF'", text("OFF"), Copied),
        ("SET('a','b','c') DEFAULT 'c,a'", text("c,a"), InPlace),
        ("SET('a','b','c') NOT NULL", Implicit, InPlace),
        ("JSON NOT NULL", Implicit, InPlace),
        ("JSON", Implicit, InPlace),
        ("POINT", Implicit, InPlace),
        ("VECTOR(3)", Implicit, InPlace),
        ("INT AS (z + 1) STORED", Unknown, Copied),
    ]
}

/// A table of its own for each case.
struct Case {
    table: String,
    alter: String,
    initial: Initial,
    kind: Kind,
}

#[test]
fn conversions_in_place_are_exact() {
    let test = Fixture::new("alter_conversions");
    test.execute("SET SESSION sql_mode = 'STRICT_TRANS_TABLES', time_zone = '+00:00'");
    let cases = CONVERSIONS.iter().enumerate().map(|(index, (before, values, after, kind))| {
        let table = format!("c{index}");
        test.execute(&format!("CREATE TABLE {table} (id INT AUTO_INCREMENT PRIMARY KEY, c {before}, z INT)"));
        let rows: Vec<String> = values.iter().map(|value| format!("({value}, 1)")).collect();
        test.execute(&format!("INSERT INTO {table} (c, z) VALUES {}", rows.join(", ")));
        Case { table, alter: format!("MODIFY c {after}"), initial: Initial::Unknown, kind: *kind }
    });
    judge(&test, cases.collect());
}

#[test]
fn additions_in_place_are_exact() {
    let test = Fixture::new("alter_additions");
    let cases = additions().into_iter().enumerate().map(|(index, (column, initial, kind))| {
        let table = format!("a{index}");
        test.execute(&format!("CREATE TABLE {table} (id INT AUTO_INCREMENT PRIMARY KEY, z INT)"));
        test.execute(&format!("INSERT INTO {table} (z) VALUES (1), (NULL)"));
        let place = ["", " FIRST", " AFTER id"][index % 3];
        Case { table, alter: format!("ADD n {column}{place}"), initial, kind }
    });
    judge(&test, cases.collect());
}

/// Runs the bridge until it has written all, then each case on its own.
fn judge(test: &Fixture, cases: Vec<Case>) {
    write_all(test);
    let client = client(test);
    let wrong: Vec<String> = cases.iter().filter_map(|case| judge_one(test, &client, case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn write_all(test: &Fixture) {
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_caught_up(test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
    test.assert_all_equal();
}

/// The rows are compared while the parts are old, then also with rows of the new shape, then rewritten.
fn judge_one(test: &Fixture, client: &Client, case: &Case) -> Result<(), String> {
    let Case { table, alter: clause, initial, kind } = case;
    let told = |what: &str| Err(format!("{table}: {clause}: {what}"));
    let (effect, target) = altered(test, client, table, clause, initial, &[]);
    let changes = match (effect, kind) {
        (Effect::Copy(_), Copied) => return Ok(()),
        (Effect::Nothing, Nothing) => Vec::new(),
        (Effect::Alter(changes), InPlace) => changes,
        (effect, _) => return told(&format!("{effect:?}, expected {kind:?}")),
    };
    let equal = |when: &str| match test.compare(table) {
        report if report.is_equal() && report.rows > 0 => Ok(()),
        report => told(&format!("{when}: {report}")),
    };
    test.clickhouse(&format!("SYSTEM STOP MERGES `{{db}}`.{table}"));
    let name = TableName { database: test.database.clone(), table: table.clone() };
    let after = alter::apply(client, &name, 0, &changes).unwrap();
    assert_eq!(after, target.after(&changes), "{table}: {clause}");
    equal("with old parts")?;
    test.clickhouse(&format!(
        "INSERT INTO `{{db}}`.{table} SELECT * REPLACE (_version + 1 AS _version) FROM `{{db}}`.{table} FINAL WHERE id % 2"
    ));
    equal("with new rows")?;
    assert_eq!(alter::apply(client, &name, 0, &changes).unwrap(), after, "{table}: {clause}: a second time");
    test.clickhouse(&format!("SYSTEM START MERGES `{{db}}`.{table}"));
    wait_until("mutations", PATIENCE, || mutations(test, table) == 0);
    test.clickhouse(&format!("OPTIMIZE TABLE `{{db}}`.{table} FINAL"));
    equal("with new parts")
}

fn mutations(test: &Fixture, table: &str) -> u64 {
    let select = "SELECT count() FROM system.mutations WHERE database = '{db}' AND NOT is_done AND table = ";
    test.clickhouse(&format!("{select}'{table}'")).parse().unwrap()
}

/// Alters the table in MySQL; what that does to the target, and the target before.
fn altered(
    test: &Fixture,
    client: &Client,
    table: &str,
    clause: &str,
    initial: &Initial,
    renames: &[(&str, &str)],
) -> (Effect, TargetTable) {
    let old = definition(test, table);
    test.execute(&format!("ALTER TABLE {table} {clause}"));
    let definition = definition(test, table);
    let origin = |column: &ColumnDefinition| {
        let renamed = renames.iter().find(|(_, to)| *to == column.name);
        let name = renamed.map_or(column.name.as_str(), |(from, _)| from);
        let index = old.columns.iter().position(|old| old.name == name);
        index.map_or(Origin::New(initial.clone()), Origin::Old)
    };
    let origins = definition.columns.iter().map(origin).collect();
    let altered = Altered { origins, definition, rewrites_columns: clause.contains("MODIFY") };
    let name = TableName { database: test.database.clone(), table: table.to_owned() };
    let target = tables::created(client, &name).unwrap();
    (effect(&old, &altered, true, false, &target, FEATURES, &Choices::default()), target)
}

fn definition(test: &Fixture, table: &str) -> Definition {
    type Row =
        (String, String, String, String, String, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<String>);
    let columns = test.rows::<Row>(&format!(
        "SELECT COLUMN_NAME, IS_NULLABLE, DATA_TYPE, COLUMN_TYPE, EXTRA, NUMERIC_PRECISION, NUMERIC_SCALE, \
         DATETIME_PRECISION, CHARACTER_OCTET_LENGTH, CHARACTER_SET_NAME FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION"
    ));
    let column = |(name, nullable, data_type, column_type, extra, precision, scale, fsp, octets, charset): Row| {
        let ty = ColumnType { data_type, column_type, precision, scale, fsp, octets, charset };
        ColumnDefinition {
            name,
            ty: ty.normalized(),
            nullable: nullable == "YES",
            is_generated: extra.contains("GENERATED"),
            is_virtual: extra.contains("VIRTUAL GENERATED"),
            is_auto_increment: extra.contains("auto_increment"),
        }
    };
    let key = test.rows::<String>(&format!(
        "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() \
         AND TABLE_NAME = '{table}' AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"
    ));
    Definition {
        name: TableName { database: test.database.clone(), table: table.to_owned() },
        columns: columns.into_iter().map(column).collect(),
        key: key.into_iter().map(|column| KeyPart { column, is_prefix: false }).collect(),
        key_is_unique: false,
        charset: "utf8mb4".to_owned(),
    }
}

/// The bridge's own account.
fn client(test: &Fixture) -> Client {
    let config = ClickHouseConfig {
        https: None,
        url: test.servers.clickhouse.url(),
        user: BRIDGE_USER.to_owned(),
        password: Secret::new(BRIDGE_PASSWORD),
        files: Files::default(),
        insert_quorum: 0,
        request_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
    };
    Client::connect(&config, 2).unwrap()
}

const MANY: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, a TINYINT, b VARCHAR(9) NOT NULL, `c``\\` INT, d DATE, e TIME(1))";
const MANY_ALTER: &str = "DROP d, RENAME COLUMN b TO b2, CHANGE a A2 BIGINT AFTER e, ADD n INT NOT NULL DEFAULT 7 AFTER id, \
     ADD m INT NOT NULL DEFAULT 7 AFTER n, MODIFY e TIME(6), RENAME COLUMN `c``\\` TO `ç '`";
const MANY_RENAMES: &[(&str, &str)] = &[("b", "b2"), ("a", "A2"), ("c`\\", "ç '")];

/// As a kill at any point leaves it: each prefix of the changes, then all.
#[test]
fn what_was_begun_is_finished() {
    let test = Fixture::new("alter_begun");
    test.execute(MANY);
    test.execute(
        "INSERT INTO t VALUES (1, -128, 'x', 5, '2000-01-01', '-838:59:58.9'), (2, NULL, '', NULL, NULL, NULL)",
    );
    write_all(&test);
    let client = client(&test);
    let (effect, target) = altered(&test, &client, "t", MANY_ALTER, &number("7"), MANY_RENAMES);
    let Effect::Alter(changes) = effect else { panic!("{effect:?}") };
    assert_eq!(changes.len(), 8, "{changes:?}");
    for begun in 0..=changes.len() {
        let name = TableName { database: test.database.clone(), table: format!("t{begun}") };
        test.clickhouse(&format!("CREATE TABLE `{{db}}`.t{begun} AS `{{db}}`.t"));
        test.clickhouse(&format!("INSERT INTO `{{db}}`.t{begun} SELECT * FROM `{{db}}`.t"));
        apply(&client, &name, &changes[..begun]);
        let after = apply(&client, &name, &changes);
        assert_eq!(after.columns, target.after(&changes).columns, "{begun}");
        test.execute(&format!("CREATE TABLE t{begun} LIKE t"));
        test.execute(&format!("INSERT INTO t{begun} SELECT * FROM t"));
        test.assert_equal(&format!("t{begun}"));
    }
}

/// A RENAME waits for the mutations before it.
fn apply(client: &Client, name: &TableName, changes: &[TargetChange]) -> TargetTable {
    let mut done = None;
    wait_until("an ALTER", PATIENCE, || match alter::apply(client, name, 0, changes) {
        Ok(table) => {
            done = Some(table);
            true
        }
        Err(error) if error.kind == ErrorKind::TargetBusy => false,
        Err(error) => panic!("{error}"),
    });
    done.unwrap()
}

/// What would hold the server's lock is put off; a column that is gone is told.
#[test]
fn a_rename_behind_a_mutation_is_busy() {
    let test = Fixture::new("alter_busy");
    test.execute("CREATE TABLE t (id INT PRIMARY KEY, a TINYINT, b INT)");
    test.execute("INSERT INTO t VALUES (1, -128, 5), (2, NULL, NULL)");
    write_all(&test);
    let client = client(&test);
    let name = TableName { database: test.database.clone(), table: "t".to_owned() };
    let change = |clause, renames| match altered(&test, &client, "t", clause, &Initial::Unknown, renames) {
        (Effect::Alter(changes), _) => changes,
        (effect, _) => panic!("{effect:?}"),
    };
    test.clickhouse("SYSTEM STOP MERGES `{db}`.t");
    alter::apply(&client, &name, 0, &change("MODIFY a INT", &[])).unwrap();
    let rename = change("RENAME COLUMN b TO c", &[("b", "c")]);
    let error = alter::apply(&client, &name, 0, &rename).unwrap_err();
    assert!(error.kind == ErrorKind::TargetBusy && error.to_string().contains("Nullable(Int32)"), "{error}");
    test.clickhouse("SYSTEM START MERGES `{db}`.t");
    apply(&client, &name, &rename);
    test.assert_equal("t");
    test.clickhouse("ALTER TABLE `{db}`.t DROP COLUMN c");
    let error = alter::apply(&client, &name, 0, &rename).unwrap_err();
    assert!(error.kind == ErrorKind::TableShape && error.to_string().contains("column b: "), "{error}");
}
