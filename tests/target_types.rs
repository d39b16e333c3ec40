//! Columns in types that a user has chosen, in the configuration or by a table of his own: each value the same on both
//! sides, in the copy and in the stream, or refused, or NULL and counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Instant;

use support::bridge::{Bridge, Config, PATIENCE, run_command, run_with};
use support::fixture::Fixture;
use support::wait_until;

/// A type of MySQL in one of ClickHouse, and how each side is read: `{}` is the column.
struct Pair {
    source: &'static str,
    target: &'static str,
    values: &'static [&'static str],
    mysql: &'static str,
    clickhouse: &'static str,
}

const TEXT: &str = "CAST({} AS CHAR)";
const SHOWN: &str = "toString({})";

const fn pair(
    source: &'static str,
    target: &'static str,
    values: &'static [&'static str],
    mysql: &'static str,
    clickhouse: &'static str,
) -> Pair {
    Pair { source, target, values, mysql, clickhouse }
}

const PAIRS: &[Pair] = &[
    // --- integers ---
    pair("TINYINT", "Int16", &["-128", "127", "0"], TEXT, SHOWN),
    pair("TINYINT UNSIGNED", "Int16", &["255", "0"], TEXT, SHOWN),
    pair("SMALLINT", "Int64", &["-32768", "32767"], TEXT, SHOWN),
    pair("MEDIUMINT", "Int64", &["-8388608", "8388607"], TEXT, SHOWN),
    pair("MEDIUMINT UNSIGNED", "UInt64", &["16777215", "0"], TEXT, SHOWN),
    pair("INT", "Int128", &["-2147483648", "2147483647"], TEXT, SHOWN),
    pair("INT UNSIGNED", "Int64", &["4294967295", "0"], TEXT, SHOWN),
    pair("BIGINT", "Int256", &["-9223372036854775808", "9223372036854775807"], TEXT, SHOWN),
    pair("BIGINT UNSIGNED", "UInt128", &["18446744073709551615", "0"], TEXT, SHOWN),
    pair("BIGINT", "UInt8", &["0", "255"], TEXT, SHOWN),
    pair("TINYINT(1)", "Bool", &["0", "1"], TEXT, "toString(toUInt8({}))"),
    pair("BIT(1)", "Bool", &["0", "1"], "CAST({} + 0 AS CHAR)", "toString(toUInt8({}))"),
    pair("BIT(12)", "UInt16", &["0", "4095"], "CAST({} + 0 AS CHAR)", SHOWN),
    pair("YEAR", "Int32", &["0", "1901", "2155"], "CAST({} + 0 AS CHAR)", SHOWN),
    // --- decimals ---
    pair("DECIMAL(10, 2)", "Decimal(12, 2)", &["-99999999.99", "0", "0.01"], TEXT, "toDecimalString({}, 2)"),
    pair("DECIMAL(10, 2)", "Decimal(38, 10)", &["-99999999.99", "99999999.99"], TEXT, "toDecimalString({}, 2)"),
    pair("DECIMAL(30, 10)", "Decimal(76, 20)", &["-12345678901234567890.0123456789"], TEXT, "toDecimalString({}, 10)"),
    pair("DECIMAL(20, 4)", "Decimal(9, 2)", &["-1234567.8900", "0.0100"], TEXT, "toDecimalString({}, 4)"),
    pair(
        "DECIMAL(65, 30)",
        "Decimal(76, 30)",
        &["-99999999999999999999999999999999999.999999999999999999999999999999"],
        TEXT,
        "toDecimalString({}, 30)",
    ),
    // --- dates and times ---
    pair("DATETIME", "DateTime", &["'1970-01-01'", "'2106-02-07 06:28:15'"], TEXT, SHOWN),
    pair(
        "DATETIME(6)",
        "DateTime64(3)",
        &["'1000-01-01'", "'2024-02-29 23:59:59.987'"],
        "CAST(CAST({} AS DATETIME(3)) AS CHAR)",
        SHOWN,
    ),
    pair(
        "DATETIME(2)",
        "DateTime64(6)",
        &["'1000-01-01'", "'9999-12-31 23:59:59.99'"],
        "CAST(CAST({} AS DATETIME(6)) AS CHAR)",
        SHOWN,
    ),
    pair(
        "DATETIME(3)",
        "DateTime64(9, 'UTC')",
        &["'1950-01-01 00:00:00.001'", "'2200-12-31 23:59:59.999'"],
        "CONCAT(CAST({} AS CHAR), '000000')",
        SHOWN,
    ),
    pair(
        "TIMESTAMP(3)",
        "DateTime64(6, 'Asia/Tokyo')",
        &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999'"],
        "CAST(CAST({} AS DATETIME(6)) AS CHAR)",
        "toString({}, 'UTC')",
    ),
    pair("TIMESTAMP", "DateTime", &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"], TEXT, SHOWN),
    pair("DATE", "Date", &["'1970-01-01'", "'2149-06-06'"], TEXT, SHOWN),
    pair(
        "TIME",
        "Time64(3)",
        &["'-838:59:59'", "'838:59:59'", "'-00:00:01'"],
        "CONCAT(CAST({} AS CHAR), '.000')",
        SHOWN,
    ),
    pair(
        "TIME(6)",
        "Int64",
        &["'-838:59:58.999999'", "'00:00:00.000001'"],
        "CAST(ROUND(TIME_TO_SEC({}) * 1000000 + IF({} < 0, -1, 1) * MICROSECOND({})) AS SIGNED)",
        SHOWN,
    ),
    // --- MySQL's own text ---
    pair("TINYINT UNSIGNED", "String", &["255", "0"], TEXT, "{}"),
    pair("BIGINT", "String", &["-9223372036854775808", "0"], TEXT, "{}"),
    pair("MEDIUMINT", "String", &["-8388608", "-1"], TEXT, "{}"),
    pair(
        "DECIMAL(65, 30)",
        "String",
        &["-0.000000000000000000000000000001", "12345678901234567890123456789012345.5"],
        TEXT,
        "{}",
    ),
    pair("DECIMAL(5, 0)", "String", &["-99999", "0"], TEXT, "{}"),
    pair(
        "DATETIME(6)",
        "String",
        &["'0000-00-00'", "'2024-00-00 01:02:03.000004'", "'9999-12-31 23:59:59.999999'"],
        TEXT,
        "{}",
    ),
    pair("DATETIME(1)", "String", &["'2024-02-29 01:02:03.9'", "'0000-00-00'"], TEXT, "{}"),
    pair("DATETIME", "String", &["'2024-02-29 01:02:03'", "'2024-12-00'"], TEXT, "{}"),
    pair("TIMESTAMP(4)", "String", &["'0000-00-00'", "'2038-01-19 03:14:07.9999'"], TEXT, "{}"),
    pair("DATE", "String", &["'0000-00-00'", "'2024-00-31'", "'9999-12-31'"], TEXT, "{}"),
    pair("TIME(3)", "String", &["'-838:59:59.000'", "'-00:00:00.001'", "'00:00:00'"], TEXT, "{}"),
    pair("YEAR", "String", &["0", "2155"], TEXT, "{}"),
    pair("BIT(12)", "String", &["0", "4095"], "CAST({} + 0 AS CHAR)", "{}"),
    pair("DOUBLE", "String", &["0", "-0.1", "1e15", "123456", "-1.5e300", "1e-20"], TEXT, "{}"),
    pair("FLOAT", "String", &["0.5", "-0.1", "123456", "1e20", "1e-20"], TEXT, "{}"),
    // --- the rest ---
    pair("BINARY(16)", "UUID", &["UNHEX('00112233445566778899AABBCCDDEEFF')", "X'00'"], "BIN_TO_UUID({})", SHOWN),
    pair(
        "CHAR(36)",
        "UUID",
        &["'00112233-4455-6677-8899-aabbccddeeff'", "'00112233-4455-6677-8899-AABBCCDDEEFF'"],
        "LOWER({})",
        SHOWN,
    ),
    pair("VARCHAR(40) CHARACTER SET latin1", "UUID", &["'00112233-4455-6677-8899-aabbccddeeff'"], "LOWER({})", SHOWN),
    pair("ENUM('a', 'b', 'it''s')", "Enum8", &["'a'", "'it''s'", "''"], TEXT, SHOWN),
    pair("ENUM('x', 'ü')", "Enum16", &["'ü'", "'x'"], TEXT, SHOWN),
    pair("VARCHAR(40)", "LowCardinality(String)", &["'Grüße'", "''"], TEXT, "{}"),
    pair("ENUM('a', 'b')", "String", &["'a'", "''"], TEXT, "{}"),
];

fn column(index: usize) -> String {
    format!("c{index}")
}

/// Each row has one value of each pair, and one row is all NULL if that may be.
fn insert(test: &Fixture, table: &str, first_id: usize, nullable: bool) {
    let rows = PAIRS.iter().map(|pair| pair.values.len()).max().unwrap();
    for row in 0..rows {
        let values: Vec<&str> = PAIRS.iter().map(|pair| pair.values[row % pair.values.len()]).collect();
        test.execute(&format!("INSERT INTO {table} VALUES ({}, {})", first_id + row, values.join(", ")));
    }
    if nullable {
        test.execute(&format!("INSERT INTO {table} VALUES ({}{})", first_id + rows, ", NULL".repeat(PAIRS.len())));
    }
}

fn create(test: &Fixture, table: &str, nullability: &str) {
    let columns: Vec<String> =
        PAIRS.iter().enumerate().map(|(i, pair)| format!("{} {} {nullability}", column(i), pair.source)).collect();
    test.execute(&format!("CREATE TABLE {table} (id INT NOT NULL PRIMARY KEY, {})", columns.join(", ")));
}

/// All rows of all pairs, read by each server itself.
fn assert_pairs_equal(test: &Fixture, table: &str) {
    let mut wrong = Vec::new();
    for (index, pair) in PAIRS.iter().enumerate() {
        let name = column(index);
        let text = pair.mysql.replace("{}", &name);
        let source: Vec<(i64, Option<String>)> = test.rows(&format!("SELECT id, {text} FROM {table} ORDER BY id"));
        let source: Vec<String> =
            source.into_iter().map(|(id, text)| format!("{id}\t{}", text.unwrap_or("\\N".to_owned()))).collect();
        let text = pair.clickhouse.replace("{}", &name);
        let target = test.clickhouse(&format!("SELECT id, {text} FROM `{{db}}`.{table} FINAL ORDER BY id"));
        let target = target.replace("\\'", "'");
        if source.join("\n") != target {
            wrong.push(format!("{} in {}:\n{}\n--\n{target}", pair.source, pair.target, source.join("\n")));
        }
    }
    assert!(test.row::<u64>(&format!("SELECT COUNT(*) FROM {table}")) > 6);
    assert!(wrong.is_empty(), "{table}: {}", wrong.join("\n\n"));
}

fn rule(test: &Fixture, table: &str, key: &str, columns: &[(&str, &str)]) -> toml::Value {
    let columns = columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
    let keys = [
        ("table".to_owned(), format!("{}.{table}", test.database).into()),
        (key.to_owned(), toml::Value::Table(columns.collect())),
    ];
    toml::Value::Table(keys.into_iter().collect())
}

fn with_rules(test: &Fixture, rules: Vec<toml::Value>) -> Config {
    let mut config = test.config();
    config.set("replicate.rule", rules).clone()
}

fn all_types(test: &Fixture, table: &str) -> toml::Value {
    let names: Vec<String> = (0..PAIRS.len()).map(column).collect();
    let columns: Vec<_> = names.iter().zip(PAIRS).map(|(name, pair)| (name.as_str(), pair.target)).collect();
    rule(test, table, "types", &columns)
}

/// The same table as a user makes it, with numbers of his own in the Enums.
fn create_own(test: &Fixture, table: &str) {
    let columns: Vec<String> =
        PAIRS.iter().enumerate().map(|(i, pair)| format!("{} {}", column(i), own(pair))).collect();
    test.clickhouse("CREATE DATABASE IF NOT EXISTS `{db}`");
    test.clickhouse(&format!(
        "CREATE TABLE `{{db}}`.{table} (id Int32, {}, loaded DateTime DEFAULT now(), _version UInt64, _is_deleted UInt8)
         ENGINE = ReplacingMergeTree(_version, _is_deleted) ORDER BY id",
        columns.join(", ")
    ));
}

fn own(pair: &Pair) -> String {
    let ty = match pair.target {
        "Enum8" => "Enum8('' = 0, 'a' = 11, 'b' = 2, 'it\\'s' = -3)",
        "Enum16" => "Enum16('' = 0, 'x' = 1000, 'ü' = -1000)",
        other => other,
    };
    match ty.strip_prefix("LowCardinality(") {
        Some(inner) => format!("LowCardinality(Nullable({inner})"),
        None => format!("Nullable({ty})"),
    }
}

#[test]
fn chosen_types_in_copy_and_stream() {
    let test = Fixture::new("chosen");
    let tables = [("nulls", true), ("plain", false), ("own", true)];
    for (table, nullable) in tables {
        create(&test, table, if nullable { "NULL" } else { "NOT NULL" });
        insert(&test, table, 0, nullable);
    }
    create_own(&test, "own");
    let config = with_rules(&test, vec![all_types(&test, "nulls"), all_types(&test, "plain")]);
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, PATIENCE);
    for (table, nullable) in tables {
        insert(&test, table, 100, nullable);
        test.sql(&format!("UPDATE {table} SET c0 = -1 WHERE id = 1;\nDELETE FROM {table} WHERE id = 0;"));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    for (table, _) in tables {
        assert_pairs_equal(&test, table);
    }
    let verified = run_command("verify", bridge.config());
    assert_eq!(verified.code, Some(0), "{}", verified.text());
    let types = test.clickhouse(
        "SELECT DISTINCT type FROM system.columns WHERE database = '{db}' AND table = 'plain' ORDER BY type",
    );
    for expected in ["Bool", "DateTime(\\'UTC\\')", "Int256", "LowCardinality(String)", "UUID"] {
        assert!(types.lines().any(|ty| ty == expected), "{expected}: {types}");
    }
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Key columns of types that were chosen; each key moves on to another.
#[test]
fn keys_of_chosen_types() {
    let test = Fixture::new("chosen_keys");
    let keys = [
        ("INT", "Int64", ["-1", "7", "8"], TEXT, SHOWN),
        ("BIGINT UNSIGNED", "String", ["0", "18446744073709551615", "10"], TEXT, "{}"),
        ("DECIMAL(10, 2)", "Decimal(20, 4)", ["-0.01", "99999999.99", "1"], TEXT, "toDecimalString({}, 2)"),
        (
            "DATETIME(3)",
            "DateTime64(6)",
            ["'1000-01-01'", "'2024-01-01 00:00:00.001'", "'9999-12-31'"],
            "CAST(CAST({} AS DATETIME(6)) AS CHAR)",
            SHOWN,
        ),
        ("DATETIME", "String", ["'0000-00-00'", "'2024-02-00'", "'9999-12-31'"], TEXT, "{}"),
        (
            "BINARY(16)",
            "UUID",
            ["UNHEX(REPEAT('00', 16))", "UNHEX(REPEAT('01', 16))", "UNHEX(REPEAT('FF', 16))"],
            "BIN_TO_UUID({})",
            SHOWN,
        ),
        ("ENUM('z', 'a', 'm')", "Enum8", ["'z'", "'m'", "'a'"], TEXT, SHOWN),
        ("TINYINT(1)", "Bool", ["0", "1", "1"], TEXT, "toString(toUInt8({}))"),
    ];
    let mut rules = Vec::new();
    for (i, (source, target, values, ..)) in keys.iter().enumerate() {
        test.execute(&format!("CREATE TABLE k{i} (note INT, k {source} NOT NULL PRIMARY KEY)"));
        test.execute(&format!("INSERT INTO k{i} VALUES (1, {}), (2, {})", values[0], values[1]));
        rules.push(rule(&test, &format!("k{i}"), "types", &[("k", target)]));
    }
    let mut bridge = Bridge::start(&with_rules(&test, rules));
    bridge.wait_all_streaming(&test, PATIENCE);
    for (i, (.., values, _, _)) in keys.iter().enumerate() {
        test.execute(&format!("DELETE FROM k{i} WHERE k = {}", values[1]));
        test.execute(&format!("UPDATE k{i} SET k = {}, note = 3 WHERE k = {}", values[2], values[0]));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    for (i, (source, target, _, mysql, clickhouse)) in keys.iter().enumerate() {
        let key: (i64, String) = test.row(&format!("SELECT note, {} FROM k{i}", mysql.replace("{}", "k")));
        let found =
            test.clickhouse(&format!("SELECT note, {} FROM `{{db}}`.k{i} FINAL", clickhouse.replace("{}", "k")));
        assert_eq!(found, format!("{}\t{}", key.0, key.1), "{source} in {target}");
    }
    let verified = run_command("verify", bridge.config());
    assert_eq!(verified.code, Some(0), "{}", verified.text());
}

/// A value that the chosen type cannot hold sets its table aside, with column, value and remedy, in the stream and in the
/// copy; the others go on.
#[test]
fn values_out_of_range_set_their_table_aside() {
    let test = Fixture::new("chosen_bad");
    let bad = [
        ("INT", "Int8", "128", "128 is outside of the target column's range"),
        ("INT", "UInt32", "-1", "-1 is outside of the target column's range"),
        ("TINYINT(1)", "Bool", "2", "2 is neither 0 nor 1"),
        ("DECIMAL(10, 4)", "Decimal(9, 2)", "0.0001", "0.0001 has more decimals"),
        (
            "DATETIME(6)",
            "DateTime64(3)",
            "'2024-01-01 00:00:00.000001'",
            "2024-01-01 00:00:00.000001 has more decimals",
        ),
        ("DATETIME", "DateTime", "'2106-02-07 06:28:16'", "2106-02-07 06:28:16 is outside"),
        ("DATE", "Date", "'1969-12-31'", "1969-12-31 is outside"),
        ("CHAR(36)", "UUID", "'no uuid'", "'no uuid'"),
        ("ENUM('a', 'b')", "Enum8('a' = 1, 'b' = 2)", "''", "index 0 has no member in the target's Enum"),
    ];
    let tables = |prefix: &str| (0..bad.len()).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let mut rules = Vec::new();
    for prefix in ["streamed", "copied"] {
        for (table, (source, target, ..)) in tables(prefix).iter().zip(&bad) {
            test.execute(&format!("CREATE TABLE {table} (id INT NOT NULL PRIMARY KEY, c {source})"));
            rules.push(rule(&test, table, "types", &[("c", target)]));
        }
    }
    test.sql("CREATE TABLE good (id INT NOT NULL PRIMARY KEY);");
    let insert = |table: &str, value: &str| test.execute(&format!("INSERT INTO {table} VALUES (7, {value})"));
    tables("copied").iter().zip(&bad).for_each(|(table, (_, _, value, _))| insert(table, value));
    let mut bridge = Bridge::start(&with_rules(&test, rules));
    tables("streamed").iter().zip(&bad).for_each(|(table, (_, _, value, _))| insert(table, value));
    for prefix in ["streamed", "copied"] {
        for (table, (_, _, _, expected)) in tables(prefix).iter().zip(&bad) {
            let reason = bridge.wait_quarantined(&test, table);
            assert!(reason.contains(expected) && reason.contains("column c: "), "{table}: {reason}");
            assert!(reason.contains("choose another type for the column"), "{table}: {reason}");
        }
    }
    test.sql("INSERT INTO good VALUES (1);");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("good");
}

/// `on_bad_value`: NULL, counted and told once with its key; or MySQL's own text.
#[test]
fn bad_values_by_policy() {
    let test = Fixture::new("chosen_policy");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL, line INT NOT NULL, born DATE NOT NULL, small INT, seen DATETIME(3) NOT NULL, PRIMARY KEY (id, line));
         INSERT INTO t VALUES (1, 1, '2024-02-29', 1, '2024-01-01');
         SET sql_mode = 'ALLOW_INVALID_DATES';
         INSERT INTO t VALUES (2, 5, '2024-02-31', 300, '2024-02-31 01:02:03.004');
         CREATE TABLE failing LIKE t;
         CREATE TABLE dying LIKE t;",
    );
    let mut keys = toml::Table::new();
    let named = |pairs: &[(&str, &str)]| {
        toml::Value::Table(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).into())).collect())
    };
    keys.insert("table".to_owned(), format!("{}.t", test.database).into());
    keys.insert("types".to_owned(), named(&[("small", "UInt8")]));
    keys.insert("on_bad_value".to_owned(), named(&[("born", "null"), ("small", "null"), ("seen", "string")]));
    let mut bridge = Bridge::start(&with_rules(&test, vec![keys.into()]));
    bridge.wait_all_streaming(&test, PATIENCE);
    test.sql(
        "INSERT INTO t VALUES (3, 1, '2023-02-29', -1, '0000-00-00'), (4, 1, '2023-02-28', 255, '2024-13-01');
         UPDATE t SET small = 256 WHERE id = 1;
         INSERT INTO failing VALUES (9, 9, '2023-02-29', 0, '2024-01-01');
         SET sql_log_bin = 0;
         INSERT INTO dying VALUES (1, 1, '2023-02-29', 0, '2024-01-01'), (2, 2, '2023-02-29', 0, '2024-01-01'), (3, 3, '2023-02-29', 0, '2024-01-01');
         SET sql_log_bin = 1;
         INSERT INTO dying VALUES (4, 4, '2023-03-01', 0, '2024-01-01');
         DELETE FROM dying WHERE id = 1;
         UPDATE dying SET id = 5, born = '2023-03-02' WHERE id = 2;
         DELETE FROM dying WHERE id = 3;",
    );
    bridge.wait_caught_up(&test, PATIENCE);
    // What goes needs no more than its key to be good.
    assert_eq!(test.clickhouse("SELECT id, born FROM `{db}`.dying FINAL ORDER BY id"), "4\t2023-03-01\n5\t2023-03-02");
    let rows = test.clickhouse("SELECT id, born, small, seen FROM `{db}`.t FINAL ORDER BY id");
    assert_eq!(
        rows,
        "1\t2024-02-29\t\\N\t2024-01-01 00:00:00.000\n2\t\\N\t\\N\t2024-02-31 01:02:03.004\n\
         3\t\\N\t\\N\t0000-00-00 00:00:00.000\n4\t2023-02-28\t255\t0000-00-00 00:00:00.000"
    );
    let reason = bridge.wait_quarantined(&test, "failing");
    assert!(reason.contains("column born: '2023-02-29' is not in the calendar"), "{reason}");
    let name = format!("{}.t", test.database);
    let counted = |bridge: &Bridge| {
        let (_, text) = bridge.get("/status").unwrap();
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        let tables = status["tables"].as_array().unwrap().clone();
        tables.into_iter().find(|table| table["name"] == *name).unwrap()["bad_values"].to_string()
    };
    let expected = r#"[{"column":"born","reason":"no_such_day","values":2},{"column":"small","reason":"out_of_range","values":3}]"#;
    bridge.wait_for("the counts", PATIENCE, |status| status.to_string().contains(r#""values":3"#));
    assert_eq!(counted(&bridge), expected);
    let (_, metrics) = bridge.get("/metrics").unwrap();
    let line =
        format!("stream_bridge_table_bad_values_total{{table=\"{name}\",column=\"small\",reason=\"out_of_range\"}} 3");
    assert!(metrics.lines().any(|it| it == line), "{metrics}");
    let told = |column: &str, row: &str| format!("{name}: a value of {column} is NULL in ClickHouse ({row}");
    let born = told("born", "no_such_day, on_bad_value = \"null\"), the first: 2024-02-31 at id = 2, line = 5");
    let small = told("small", "out_of_range, on_bad_value = \"null\"), the first: 300 at id = 2, line = 5");
    let waited_since = Instant::now();
    while !bridge.log().contains(&small) && waited_since.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let log = bridge.log();
    assert!(log.matches(&born).count() == 1 && log.matches(&small).count() == 1, "{log}");
    let path = bridge.config().write();
    let verified = run_with(&["verify", "--config", path.to_str().unwrap(), &name], bridge.config().folder());
    assert_eq!(verified.code, Some(0), "{}", verified.text());
}

/// Days that a session does not let in become zero when MySQL makes the rows anew, unseen by row events.
#[test]
fn days_that_become_zero() {
    let test = Fixture::new("chosen_days");
    test.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, seen DATETIME(3) NOT NULL);
         SET sql_mode = 'ALLOW_INVALID_DATES';
         INSERT INTO t VALUES (1, '2024-02-31 01:02:03.004');",
    );
    let mut bridge = Bridge::start(&with_rules(&test, vec![rule(&test, "t", "on_bad_value", &[("seen", "string")])]));
    bridge.wait_all_streaming(&test, PATIENCE);
    let seen = || test.clickhouse("SELECT seen FROM `{db}`.t FINAL");
    assert_eq!(seen(), "2024-02-31 01:02:03.004");
    test.sql("SET sql_mode = '';\nALTER TABLE t FORCE, ALGORITHM = COPY;");
    wait_until("the zero day", PATIENCE, || seen() == "0000-00-00 00:00:00.000");
    assert_eq!(bridge.sigterm(), Some(0));
}

fn target_types(test: &Fixture, table: &str) -> String {
    let columns = format!(
        "SELECT concat(name, ' ', type) FROM system.columns WHERE database = '{{db}}' AND table = '{table}'
         AND name NOT LIKE '\\_%' ORDER BY position"
    );
    test.clickhouse(&columns).lines().collect::<Vec<_>>().join(", ").replace("\\'", "'")
}

/// A column that comes later gets the type that is written for it, and one that changes keeps it.
#[test]
fn chosen_types_and_schema_changes() {
    let test = Fixture::new("chosen_ddl");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a INT NOT NULL, e ENUM('x', 'y') NOT NULL, d DECIMAL(6, 2));
         CREATE TABLE own (id INT NOT NULL PRIMARY KEY, a INT, b INT, v VARCHAR(20));
         CREATE TABLE s (id INT NOT NULL PRIMARY KEY, a INT NOT NULL, e ENUM('x') NOT NULL);
         INSERT INTO s VALUES (1, 1, 'x');
         INSERT INTO t VALUES (1, 10, 'x', 1.5);
         INSERT INTO own VALUES (1, 10, 20, '30');",
    );
    test.clickhouse("CREATE DATABASE IF NOT EXISTS `{db}`");
    test.clickhouse(
        "CREATE TABLE `{db}`.own (id Int32, a Nullable(Int64), b Nullable(String), v Nullable(String), _version UInt64, _is_deleted UInt8)
         ENGINE = ReplacingMergeTree(_version, _is_deleted) ORDER BY id",
    );
    let columns = [("a", "Int64"), ("e", "Enum8"), ("d", "String"), ("later", "DateTime"), ("born", "String")];
    let default = [("a", "Int32"), ("e", "Enum8('x' = 5)")];
    let config = with_rules(&test, vec![rule(&test, "t", "types", &columns), rule(&test, "s", "types", &default)]);
    let planned = run_command("plan", &config).text();
    assert!(planned.contains("`e` Enum8('' = 0, 'x' = 1, 'y' = 2),\n    `d` Nullable(String),"), "{planned}");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, PATIENCE);
    assert_eq!(target_types(&test, "t"), "id Int32, a Int64, e Enum8('' = 0, 'x' = 1, 'y' = 2), d Nullable(String)");
    // In place: a wider source type, one more label, a new column that has a type.
    test.sql(
        "ALTER TABLE t MODIFY a BIGINT NOT NULL, MODIFY e ENUM('x', 'y', 'z') NOT NULL, ADD COLUMN later DATETIME;
         INSERT INTO t VALUES (2, 20, 'z', 2.5, '2024-01-01');",
    );
    bridge.wait_all_streaming(&test, PATIENCE);
    let expected = "id Int32, a Int64, e Enum8('' = 0, 'x' = 1, 'y' = 2, 'z' = 3), d Nullable(String), later Nullable(DateTime('UTC'))";
    assert_eq!(target_types(&test, "t"), expected);
    assert_eq!(test.clickhouse("SELECT count() FROM `{db}_state`.copy_chunks WHERE toUInt128(shadow) != 0"), "0");
    // Copied anew: a value's text changes, a default that only MySQL knows in that type.
    test.sql(
        "ALTER TABLE t MODIFY d DECIMAL(8, 4), ADD COLUMN born DATE NOT NULL DEFAULT '2024-02-29';
         INSERT INTO t VALUES (3, 30, 'x', 3.25, NULL, '2023-01-01');",
    );
    bridge.wait_all_streaming(&test, PATIENCE);
    assert_eq!(target_types(&test, "t"), format!("{expected}, born String"));
    let rows = "SELECT id, a, e, d, later, born FROM `{db}`.t FINAL ORDER BY id";
    assert_eq!(
        test.clickhouse(rows),
        "1\t10\tx\t1.5000\t\\N\t2024-02-29\n2\t20\tz\t2.5000\t2024-01-01 00:00:00\t2024-02-29\n\
         3\t30\tx\t3.2500\t\\N\t2023-01-01"
    );
    // A user's own table: what did not change keeps its type through a copy, what did gets the default one.
    test.sql("ALTER TABLE own MODIFY v INT, MODIFY b INT FIRST;\nINSERT INTO own VALUES (2, 2, 3, 4);");
    bridge.wait_all_streaming(&test, PATIENCE);
    assert_eq!(test.clickhouse("SELECT id, a, b, v FROM `{db}`.own FINAL ORDER BY id"), "1\t10\t20\t30\n2\t3\t2\t4");
    let types = target_types(&test, "own");
    assert!(types.contains("v Nullable(Int32)"), "{types}");
    // Where the default type was chosen it stays, too, and labels may come; both are what was chosen at a restart.
    test.sql("ALTER TABLE s MODIFY a BIGINT, MODIFY e ENUM('x', 'y');\nINSERT INTO s VALUES (2, -5, 'y');");
    bridge.wait_all_streaming(&test, PATIENCE);
    let kept = "id Int32, a Nullable(Int32), e Nullable(Enum8('x' = 5, 'y' = 6))";
    assert_eq!(target_types(&test, "s"), kept);
    assert_eq!(bridge.sigterm(), Some(0));
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO s VALUES (3, 6, 'x');");
    bridge.wait_all_streaming(&test, PATIENCE);
    assert_eq!(
        test.clickhouse("SELECT * EXCEPT (_version, _is_deleted) FROM `{db}`.s FINAL ORDER BY id"),
        "1\t1\tx\n2\t-5\ty\n3\t6\tx"
    );
    assert_eq!(bridge.sigterm(), Some(0));
}

/// What cannot be is refused by name before the first row, with what may be instead.
#[test]
fn pairs_that_cannot_be_are_refused_by_name() {
    let test = Fixture::new("chosen_refused");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a DECIMAL(10, 2), b DATETIME, c DOUBLE NOT NULL, e ENUM('x'));
         CREATE TABLE f (k DOUBLE NOT NULL PRIMARY KEY, a INT NOT NULL);
         CREATE TABLE own (id INT NOT NULL PRIMARY KEY, a INT NOT NULL, b DATETIME NOT NULL);",
    );
    test.clickhouse("CREATE DATABASE IF NOT EXISTS `{db}`");
    test.clickhouse(
        "CREATE TABLE `{db}`.own (id Int32, a Float64, b DateTime('Asia/Tokyo'), _version UInt64, _is_deleted UInt8)
         ENGINE = ReplacingMergeTree(_version, _is_deleted) ORDER BY id",
    );
    let columns = [("a", "Float64"), ("b", "Date"), ("c", "Float32"), ("e", "Enum8('y' = 1)"), ("nope", "String")];
    let mut keyed = rule(&test, "f", "types", &[("k", "String")]);
    let null: toml::Table = [("a".to_owned(), "null".into()), ("k".to_owned(), "null".into())].into_iter().collect();
    keyed.as_table_mut().unwrap().insert("on_bad_value".to_owned(), null.into());
    let config = with_rules(&test, vec![rule(&test, "t", "types", &columns), keyed]);
    let checked = run_command("check", &config);
    assert_eq!(checked.code, Some(3), "{}", checked.text());
    for expected in [
        "column a: the target's type Nullable(Float64) does not take DECIMAL(10,2) NULL of the source: create the column as Nullable(Decimal(10, 2)), or as another Decimal or String",
        "column b: the target's type Nullable(Date) does not take DATETIME(0) NULL",
        "column c: the target's type Float32 does not take DOUBLE NOT NULL",
        "column e: the target's type Nullable(Enum8('y' = 1)) does not take ENUM of 1 labels NULL",
        "column k: on_bad_value = \"null\" in a key, which is never NULL: use fail or string",
        "mend `types` or `on_bad_value` in the [[replicate.rule]] of",
        "has no column nope yet",
        "column `a`: the target's type Float64 does not take INT NOT NULL of the source: create the column as Int32, or as another integer or String",
        "column `b`: the target's type DateTime('Asia/Tokyo') does not take DATETIME(0) NOT NULL",
    ] {
        assert!(checked.text().contains(expected), "{expected}: {}", checked.text());
    }
    assert_eq!(test.clickhouse_tables(), ["own"], "nothing was made");
}

/// A view in a target's place holds no rows of ours.
#[test]
fn views_are_no_targets() {
    let test = Fixture::new("chosen_views");
    test.sql("CREATE TABLE v (id INT NOT NULL PRIMARY KEY);\nCREATE TABLE m (id INT NOT NULL PRIMARY KEY);");
    test.clickhouse("CREATE DATABASE IF NOT EXISTS `{db}`");
    test.clickhouse(
        "CREATE VIEW `{db}`.v AS SELECT toInt32(1) AS id, toUInt64(1) AS _version, toUInt8(0) AS _is_deleted",
    );
    test.clickhouse(
        "CREATE TABLE `{db}`.z_rows (id Int32, _version UInt64, _is_deleted UInt8) ENGINE = MergeTree ORDER BY id",
    );
    test.clickhouse(
        "CREATE MATERIALIZED VIEW `{db}`.m ENGINE = ReplacingMergeTree(_version, _is_deleted) ORDER BY id
         AS SELECT id, _version, _is_deleted FROM `{db}`.z_rows",
    );
    let checked = run_command("check", &test.config());
    assert_eq!(checked.code, Some(3), "{}", checked.text());
    for (name, engine) in [("v", "View"), ("m", "MaterializedView")] {
        let expected =
            format!("{}.{name}: its engine is {engine}, not ReplacingMergeTree(_version, _is_deleted)", test.database);
        assert!(checked.text().contains(&expected), "{expected}: {}", checked.text());
    }
    let ended = run_command("run", &test.config());
    assert!(ended.code == Some(1) && ended.text().contains("its engine is View"), "{}", ended.text());
}

/// Altered by hand while rows flow: the table is set aside with what happened, and nothing else.
#[test]
fn targets_altered_by_hand_while_running() {
    let test = Fixture::new("chosen_by_hand");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a INT NOT NULL);\nCREATE TABLE good (id INT NOT NULL PRIMARY KEY);");
    let mut bridge = Bridge::start(&test.config());
    test.sql("INSERT INTO t VALUES (1, 1);");
    bridge.wait_all_streaming(&test, PATIENCE);
    test.clickhouse("ALTER TABLE `{db}`.t MODIFY COLUMN a Int64");
    test.sql("INSERT INTO t VALUES (2, 2);\nINSERT INTO good VALUES (1);");
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("Type of 'a' must be Int64, not Int32"), "{reason}");
    assert!(reason.contains("the target's columns changed: restore them, then `resync`"), "{reason}");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("good");
    // The type is one that takes the column: it stays, and the rows are there after a copy.
    bridge.post("/resync", &format!("{}.t", test.database)).unwrap();
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_equal("t");
}

/// Documents in ClickHouse's own type: the same members and values, or refused; never a member less.
#[test]
fn documents_in_json() {
    let test = Fixture::new("chosen_json");
    test.sql(
        r#"CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a JSON NOT NULL, b JSON);
           CREATE TABLE bad LIKE t;
           CREATE TABLE texts (id INT NOT NULL PRIMARY KEY, a LONGTEXT);
           CREATE TABLE policy LIKE t;
           CREATE TABLE diffs LIKE t;
           CREATE TABLE became LIKE t;
           INSERT INTO diffs VALUES (1, '{"a": 1}', '{"b": 2}');
           INSERT INTO policy VALUES (1, '{"a": 1}', '{"x.y": 1}');
           INSERT INTO t VALUES (1, '{}', NULL), (2, '{"a": 1, "ü": ["x", {"y": -2.5}], "d": "2024-01-01 00:00:00"}', '{"t": true}');"#,
    );
    let columns = [("a", "JSON"), ("b", "JSON")];
    let with_policy = |mut rule: toml::Value, policy: &str| {
        let policies: toml::Table = [("b".to_owned(), policy.into())].into_iter().collect();
        rule.as_table_mut().unwrap().insert("on_bad_value".to_owned(), policies.into());
        rule
    };
    let rules = |texts: &str| {
        let policy = with_policy(rule(&test, "policy", "types", &columns), "null");
        let texts = rule(&test, "texts", "types", &[("a", texts)]);
        let diffs = with_policy(rule(&test, "diffs", "types", &columns), "null");
        let became = rule(&test, "became", "types", &columns);
        vec![rule(&test, "t", "types", &columns), rule(&test, "bad", "types", &columns), texts, policy, diffs, became]
    };
    let checked = run_command("check", &with_rules(&test, rules("JSON")));
    assert!(checked.text().contains("does not take LONGTEXT utf8mb4 NULL of the source"), "{}", checked.text());
    let mut bridge = Bridge::start(with_rules(&test, rules("String")).set("ddl.alter_table", "ignore"));
    bridge.wait_all_streaming(&test, PATIENCE);
    // As text it may have a spelling that is not kept.
    test.sql("ALTER TABLE became MODIFY a LONGTEXT NOT NULL;\nINSERT INTO became VALUES (1, '{ \"a\": 1.50 }', NULL);");
    test.sql(
        r#"SET SESSION binlog_row_value_options = 'PARTIAL_JSON';
           UPDATE diffs SET b = JSON_SET(b, '$.b', NULL);
           SET SESSION binlog_row_value_options = '';"#,
    );
    test.sql(
        r#"INSERT INTO t VALUES (3, '{"n": 18446744073709551615, "m": -9223372036854775808, "deep": {"er": {"x": [1, 2]}}}', '{"e": []}');
           INSERT INTO t VALUES (4, '{"s": "12", "z": "1970-01-01"}', NULL);
           UPDATE t SET a = '{"changed": [null, {}, 1]}' WHERE id = 1;
           INSERT INTO policy VALUES (2, '{"a": 2}', '[1]'), (3, '{"a": 3}', '{"k": 1}');
           INSERT INTO bad VALUES (1, '{"gone": null}', NULL);"#,
    );
    let reason = bridge.wait_quarantined(&test, "bad");
    assert!(reason.contains("column a: the document is no object, or has null members"), "{reason}");
    let reason = bridge.wait_quarantined(&test, "became");
    assert!(reason.contains("does not take LONGTEXT utf8mb4 NOT NULL of the source"), "{reason}");
    bridge.wait_caught_up(&test, PATIENCE);
    let told = r#"diffs: a value of b is NULL in ClickHouse (not_kept, on_bad_value = "null"), the first: '{"b": null}' at id = 1"#;
    wait_until("the first bad document", PATIENCE, || bridge.log().contains(told));
    assert_eq!(test.clickhouse("SELECT id, toString(a), b IS NULL FROM `{db}`.diffs FINAL"), "1\t{\"a\":1}\t1");
    let source: Vec<(i64, String, Option<String>)> =
        test.rows("SELECT id, CAST(a AS CHAR), CAST(b AS CHAR) FROM t ORDER BY id");
    let target = test.clickhouse(
        "SELECT id, toString(a), ifNull(toString(b), 'NULL') FROM `{db}`.t FINAL ORDER BY id FORMAT TSVRaw",
    );
    let document = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    assert_eq!(target.lines().count(), source.len());
    for ((id, a, b), line) in source.iter().zip(target.lines()) {
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!(cells[0], id.to_string());
        assert_eq!(document(cells[1]), document(a), "{line}");
        assert_eq!(document(cells[2]), document(b.as_deref().unwrap_or("NULL")), "{line}");
    }
    let policy =
        test.clickhouse("SELECT id, ifNull(toString(b), 'NULL') FROM `{db}`.policy FINAL ORDER BY id FORMAT TSVRaw");
    assert_eq!(policy, "1\tNULL\n2\tNULL\n3\t{\"k\":1}");
}
