//! Every supported type, at its least, its greatest, NULL and odd values: text by text the same on both sides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use support::bridge::{Bridge, PATIENCE};
use support::fixture::Fixture;
use support::servers::Servers;
use support::values::{Type, Wide, decimal, integers, numbered, ty, wide};

/// Makes the tables, starts the bridge, and compares after each step.
fn compare_wide(test: &Fixture, tables: &[Wide]) {
    tables.iter().for_each(|table| table.create(test));
    let mut bridge = Bridge::start(&test.config());
    tables.iter().for_each(|table| table.insert(test));
    tables.iter().filter(|table| table.nullability == "NULL").for_each(|table| table.insert_nulls(test));
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
    tables.iter().for_each(|table| table.change(test));
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn every_type_with_null() {
    let test = Fixture::new("types_null");
    compare_wide(&test, &wide("NULL"));
    let columns =
        "SELECT name FROM system.columns WHERE database = '{db}' AND table = 'numbers' ORDER BY position DESC LIMIT 2";
    assert_eq!(test.clickhouse(columns), "_is_deleted\n_version");
}

/// On a server whose SQL mode allows zero dates, NOT NULL dates are Nullable in ClickHouse.
#[test]
fn every_type_without_null_where_zero_dates_are_allowed() {
    let test = Fixture::on(Servers::own_mysql("zero-dates", &["--sql-mode="]), "types_not_null");
    compare_wide(&test, &wide("NOT NULL"));
}

/// Doubles of every size, the neighbours of powers among them: JSON has each with the fewest digits that tell it.
#[test]
fn doubles_in_documents() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let random = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        f64::from_bits(seed)
    });
    let near = |number: f64| [number.to_bits().saturating_sub(1), number.to_bits(), number.to_bits() + 1];
    let twos = (-1074..1024).map(|exponent| 2f64.powi(exponent));
    let tens = (-323..309).map(|exponent| format!("1e{exponent}").parse::<f64>().unwrap());
    let mut numbers: Vec<f64> = twos.chain(tens).flat_map(near).map(f64::from_bits).collect();
    numbers.extend(random.take(10_000));
    // Those that have few digits, and the range where MySQL writes no exponent.
    numbers.extend((0..10_000u32).map(|i| f64::from(i * 7919) / 10f64.powi((i % 22).cast_signed())));
    numbers.extend((0..10_000u32).map(|i| (1.0 + f64::from(i) / 9999.7) * 10f64.powi((i % 36).cast_signed() - 18)));
    numbers.retain(|number| number.is_finite());
    let test = Fixture::new("types_doubles");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY AUTO_INCREMENT, j JSON NOT NULL)");
    let mut bridge = Bridge::start(&test.config());
    for numbers in numbers.chunks(500) {
        let list: Vec<String> =
            numbers.iter().map(|number| format!("{number:e}, -{number:e}").replace("--", "")).collect();
        test.sql(&format!("INSERT INTO t (j) VALUES (JSON_ARRAY({}))", list.join(", ")));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

/// A NOT NULL column that was never given a value: no bytes, which is JSON null, and a vector without elements.
#[test]
fn documents_and_vectors_that_were_never_given() {
    let test = Fixture::new("types_never_given");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, j JSON NOT NULL, v VECTOR(2) NOT NULL);
         CREATE TABLE altered (id INT NOT NULL PRIMARY KEY);
         INSERT INTO altered VALUES (1), (2), (3);
         ALTER TABLE altered ADD COLUMN j JSON NOT NULL, ADD COLUMN v VECTOR(2) NOT NULL;",
    );
    let mut config = test.config();
    config.set("mysql.start", "current");
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t (id) VALUES (1), (2);\nUPDATE t SET id = 3 WHERE id = 1;\nUPDATE altered SET id = -id;\nDELETE FROM altered WHERE id = -2;");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(test.clickhouse("SELECT DISTINCT j, v FROM `{db}`.t FINAL"), "null\t[]");
}

/// The types that may be a key, with values that differ for MySQL.
fn keys() -> Vec<Type> {
    let mut keys = integers();
    keys.retain(|it| !it.definition.starts_with("BOOLEAN"));
    keys.extend([decimal(9, 2), decimal(38, 10), decimal(65, 30)]);
    keys.iter_mut().for_each(|it| it.values.truncate(4));
    keys.extend([
        ty("DOUBLE", &["0", "0.1", "-1e300", "1e300"]),
        ty("FLOAT", &["0", "0.1", "-1e30", "1e30"]),
        ty("CHAR(20)", &["''", "'a'", "'b'", "'🎁'"]),
        ty("VARCHAR(100)", &["''", "'a'", "'b'", "'Grüße – 日本語 🎁'"]),
        ty("VARCHAR(100) COLLATE utf8mb4_0900_bin", &["'a'", "'A'", "'á'", "'a '"]),
        ty("VARCHAR(50) CHARACTER SET latin1", &["'ü'", "'o'", "'€'", "''"]),
        ty("BINARY(4)", &["X''", "X'0001'", "X'01'", "X'FFFFFFFF'"]),
        ty("VARBINARY(20)", &["X''", "X'00'", "X'0000'", "X'FF'"]),
        ty("DATE", &["'1000-01-01'", "'9999-12-31'", "'1970-01-01'", "'2024-02-29'"]),
        ty("TIME(3)", &["'-838:59:59'", "'838:59:59'", "'-00:00:00.5'", "'00:00:00'"]),
        ty(
            "DATETIME(6)",
            &["'1000-01-01'", "'9999-12-31 23:59:59.999999'", "'1970-01-01'", "'1969-12-31 23:59:59.999999'"],
        ),
        ty(
            "TIMESTAMP(2)",
            &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.99'", "'2024-01-01'", "'2024-01-01 00:00:00.01'"],
        ),
        ty("BIT(10)", &["0", "1", "1023", "512"]),
        ty("ENUM('z', 'a', 'm', 'k')", &["'z'", "'a'", "'m'", "'k'"]),
        ty("SET('z', 'a', 'm')", &["''", "'z'", "'a'", "'z,a,m'"]),
        ty(format!("ENUM({})", numbered(300)), &["'label 0'", "'label 255'", "'label 256'", "'label 299'"]),
        ty(format!("SET({})", numbered(32)), &["''", "'label 16'", "'label 31'", "'label 0,label 31'"]),
        ty(format!("SET({})", numbered(64)), &["''", "'label 63'", "18446744073709551615", "4294967296"]),
        ty("BIT(64)", &["0", "18446744073709551615", "9223372036854775808", "1"]),
        ty("BINARY(4)", &["X'20'", "X''", "X'2020'", "'    '"]),
        ty("CHAR(255) COLLATE utf8mb4_bin", &["''", "REPEAT('🎁', 255)", "REPEAT('🎁', 254)", "'a'"]),
    ]);
    keys
}

/// Each key moves on to a free value and back to another's old one: deletions of old keys must not hit new rows.
fn move_keys(test: &Fixture, table: &str, values: &[String]) {
    let last = &values[values.len() - 1];
    test.sql(&format!("DELETE FROM {table} WHERE id = {}", values.len() - 1));
    for row in (0..values.len() - 1).rev() {
        let free = &values[row + 1];
        test.sql(&format!("UPDATE {table} SET k = {free} WHERE id = {row}"));
    }
    test.sql(&format!("DELETE FROM {table} WHERE id = 0;\nINSERT INTO {table} VALUES (7, 'again', {})", values[0]));
    test.sql(&format!("UPDATE {table} SET note = 'last' WHERE k = {last}"));
}

#[test]
fn keys_of_every_type_and_their_changes() {
    compare_keys(&Fixture::new("types_keys"));
}

/// All of it where the binary log has neither names nor labels nor keys.
#[test]
fn every_type_with_minimal_metadata() {
    let servers = Servers::own_mysql("types-minimal", &["--binlog-row-metadata=MINIMAL", "--sql-mode="]);
    let keys = Fixture::on(servers.lend(), "types_minimal_keys");
    compare_keys(&keys);
    no_copies(&keys);
    let wide_null = Fixture::on(servers.lend(), "types_minimal_null");
    compare_wide(&wide_null, &known_labels("NULL"));
    no_copies(&wide_null);
    let wide_not_null = Fixture::on(servers.lend(), "types_minimal");
    compare_wide(&wide_not_null, &known_labels("NOT NULL"));
    no_copies(&wide_not_null);
}

/// Without the labels that only full metadata tells.
fn known_labels(nullability: &'static str) -> Vec<Wide> {
    let is_known = |definition: &str| !definition.contains("größer 🎁");
    wide(nullability).into_iter().map(|table| table.only(is_known)).collect()
}

/// A table that is not what it is known to be is copied anew, and then equal as well.
fn no_copies(test: &Fixture) {
    assert_eq!(test.clickhouse("SELECT count() FROM `{db}_state`.copy_chunks WHERE toUInt128(shadow) != 0"), "0");
}

fn compare_keys(test: &Fixture) {
    let keys = keys();
    for (i, key) in keys.iter().enumerate() {
        test.sql(&format!(
            "CREATE TABLE k{i} (id INT NOT NULL, note VARCHAR(20), k {} NOT NULL, PRIMARY KEY (k))",
            key.definition
        ));
    }
    let mut bridge = Bridge::start(&test.config());
    for (i, key) in keys.iter().enumerate() {
        let rows: Vec<String> = key.values.iter().enumerate().map(|(id, k)| format!("({id}, 'row', {k})")).collect();
        test.sql(&format!("INSERT INTO k{i} VALUES {}", rows.join(", ")));
    }
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
    keys.iter().enumerate().for_each(|(i, key)| move_keys(test, &format!("k{i}"), &key.values));
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
}

#[test]
fn composite_keys_in_another_order_than_the_columns() {
    let test = Fixture::new("types_composite");
    test.sql(
        "CREATE TABLE pairs (note TEXT, b VARCHAR(30) NOT NULL, a INT NOT NULL, PRIMARY KEY (a, b));
         CREATE TABLE triples (c DATETIME(6) NOT NULL, v INT, b BIGINT UNSIGNED NOT NULL, a ENUM('x', 'y') NOT NULL,
           PRIMARY KEY (b, a, c));",
    );
    let mut bridge = Bridge::start(&test.config());
    test.sql(
        "INSERT INTO pairs VALUES ('one', 'x', 1), ('two', 'y', 1), ('three', 'x', 2), ('four', '', -1);
         UPDATE pairs SET a = 3 WHERE b = 'y';
         UPDATE pairs SET b = 'Y' WHERE b = 'y';
         UPDATE pairs SET note = NULL WHERE a = 2;
         DELETE FROM pairs WHERE a = -1;
         INSERT INTO triples VALUES ('2024-01-01', 1, 18446744073709551615, 'x'), ('2024-01-01 00:00:00.000001', 2, 0, 'y');
         UPDATE triples SET a = 'y' WHERE v = 1;
         UPDATE triples SET c = '9999-12-31 23:59:59.999999' WHERE v = 2;",
    );
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
}

/// A key that changes only by case is the same row for MySQL and another one for ClickHouse.
#[test]
fn a_key_that_changes_only_its_case_leaves_one_row() {
    let test = Fixture::new("types_case");
    test.sql("CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_0900_ai_ci NOT NULL PRIMARY KEY, v INT)");
    let mut bridge = Bridge::start(&test.config());
    test.sql(
        "INSERT INTO t VALUES ('anna', 1), ('bert', 2);
         UPDATE t SET k = 'ANNA' WHERE v = 1;
         UPDATE t SET k = 'Änna' WHERE v = 1;",
    );
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

/// Both zeros are one key, for either server; the row shows the one that came last.
#[test]
fn a_key_that_moves_between_the_zeros_is_one_row() {
    let test = Fixture::new("types_zeros");
    for (table, ty) in [("f", "FLOAT"), ("d", "DOUBLE")] {
        test.sql(&format!("CREATE TABLE {table} (k {ty} NOT NULL PRIMARY KEY, v INT)"));
    }
    let mut bridge = Bridge::start(&test.config());
    for table in ["f", "d"] {
        test.sql(&format!(
            "INSERT INTO {table} VALUES (0, 1), (-1.5, 2);
             UPDATE {table} SET k = -0e0, v = 3 WHERE v = 1;
             UPDATE {table} SET v = 4 WHERE k = 0;
             UPDATE {table} SET k = 0e0, v = 5 WHERE k = 0;
             UPDATE {table} SET k = -0e0 WHERE v = 5;
             UPDATE {table} SET k = 7 WHERE v = 2;
             UPDATE {table} SET k = -0e0, v = v + 1 WHERE k = 0;"
        ));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    for table in ["f", "d"] {
        let rows = format!("SELECT k = 0, v FROM `{{db}}`.{table} FINAL ORDER BY v");
        assert_eq!(test.clickhouse(&rows), "1\t6\n0\t2".split('\n').rev().collect::<Vec<_>>().join("\n"));
        test.assert_equal(table);
        test.sql(&format!("DELETE FROM {table} WHERE k = 0"));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
}

/// Index 0 and a label '' read alike, so that as a key two rows of MySQL would be one: the table is set aside.
#[test]
fn an_enum_key_without_a_label_quarantines() {
    let test = Fixture::new("types_enum_key");
    test.sql("CREATE TABLE t (k ENUM('a', '') NOT NULL PRIMARY KEY, v INT)");
    let mut bridge = Bridge::start(&test.config());
    test.sql("INSERT INTO t VALUES ('a', 1), ('', 2);\nINSERT INTO t VALUES ('not a label', 3);");
    assert_eq!(test.row::<u64>("SELECT COUNT(*) FROM t IGNORE INDEX (PRIMARY) WHERE CONCAT(k) = ''"), 2);
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("column k"), "{reason}");
}

/// Rows above 16 MiB come as several packets.
#[test]
fn a_blob_of_20_mb() {
    let test = Fixture::new("types_blob");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, b LONGBLOB, s LONGTEXT)");
    let mut bridge = Bridge::start(&test.config());
    let rows = "INSERT INTO t VALUES (1, REPEAT(UNHEX(SHA2('x', 256)), 655360), NULL), (2, NULL, REPEAT('🎁', 4194304)), (3, X'00', '');
         UPDATE t SET b = REPEAT(UNHEX(SHA2('y', 256)), 655361) WHERE id = 1;";
    test.sql(rows);
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

/// Needs no bridge: the comparison itself must see every kind of difference, or no other test proves anything.
#[test]
fn the_comparison_finds_differences() {
    let test = Fixture::new("types_compare");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(20), d DOUBLE, at DATETIME(3), p DECIMAL(9,2), t TIME(1), b BIT(3), e ENUM('a'), j JSON, v VECTOR(2))");
    test.sql("INSERT INTO t VALUES (1, 'Zoë', 0.1, '1000-01-01', 1.5, '-00:00:00.5', 5, 'a', '{\"a\":1}', TO_VECTOR('[1,2]')), (2, NULL, NULL, '2024-00-01', NULL, NULL, NULL, NULL, NULL, NULL), (3, '', -0e0, '9999-12-31 23:59:59.999', -0.01, '838:59:59', 0, 'a', 'null', NULL), (-7, 'x', 1, NULL, 0, 0, 0, '', NULL, NULL)");
    test.clickhouse("CREATE DATABASE `{db}`");
    test.clickhouse(
        "CREATE TABLE `{db}`.t (id Int32, name Nullable(String), d Nullable(Float64), at Nullable(DateTime64(3, 'UTC')), p Nullable(Decimal(9, 2)),
           t Nullable(Time64(1)), b Nullable(UInt64), e LowCardinality(Nullable(String)), j Nullable(String), v Array(Float32), _version UInt64, _is_deleted UInt8)
         ENGINE = ReplacingMergeTree(_version, _is_deleted) ORDER BY id",
    );
    test.clickhouse(
        "INSERT INTO `{db}`.t VALUES (1, 'Zoë', 0.1, '1000-01-01 00:00:00', 1.5, '-00:00:00.5', 5, 'a', '{\"a\": 1}', [1, 2], 1, 0),
           (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, [], 1, 0), (3, '', -0., '9999-12-31 23:59:59.999', -0.01, '838:59:59', 0, 'a', 'null', [], 1, 0),
           (-7, 'x', 1, NULL, 0, '00:00:00', 0, '', NULL, [], 1, 0)",
    );
    let report = test.compare("t");
    assert!(report.is_equal() && report.rows == 4, "{report}");

    let corrupt = |version: u64, row: &str, told: &str| {
        test.clickhouse(&format!(
            "INSERT INTO `{{db}}`.t SELECT * REPLACE ({row}, {version} AS _version) FROM `{{db}}`.t FINAL WHERE id = 3"
        ));
        let report = test.compare("t").to_string();
        assert!(report.starts_with("1 differences") && report.contains(told), "{row}: {report}");
    };
    corrupt(2, "'y' AS name", "(id) = (3): column name is  in MySQL, 79 in ClickHouse");
    corrupt(3, "'' AS name, 0. AS d", "column d is 8000000000000000 in MySQL, 0000000000000000");
    corrupt(4, "-0. AS d, NULL AS p", "column p is -0.01 in MySQL, \\N in ClickHouse");
    corrupt(5, "toDecimal32('-0.01', 2) AS p, '9999-12-31 23:59:59.998' AS at", "column at is 9999-12-31 23:59:59.999");
    corrupt(6, "'9999-12-31 23:59:59.999' AS at, NULL AS j", "column j is 6E756C6C in MySQL, \\N in ClickHouse");
    corrupt(7, "'null' AS j, [-0.] AS v", "column v is  in MySQL, 00000080 in ClickHouse");
    test.clickhouse("INSERT INTO `{db}`.t SELECT * REPLACE ([] AS v, 8 AS _version) FROM `{db}`.t FINAL WHERE id = 3");
    test.clickhouse("INSERT INTO `{db}`.t (id, _version, _is_deleted) VALUES (4, 1, 0)");
    let report = test.compare("t").to_string();
    assert!(report.starts_with("1 differences") && report.contains("(id) = (4): only in ClickHouse"), "{report}");
    test.clickhouse("INSERT INTO `{db}`.t (id, _version, _is_deleted) VALUES (4, 7, 1), (-7, 7, 1)");
    let report = test.compare("t").to_string();
    assert!(report.starts_with("1 differences") && report.contains("(id) = (-7): only in MySQL"), "{report}");
}
