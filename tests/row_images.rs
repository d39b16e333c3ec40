//! Rows events that are not plain ones of version 2: images without all columns, and version 1, on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;

use support::bridge::{Bridge, PATIENCE, run_with};
use support::fixture::Fixture;
use support::servers::Servers;

const FULL: &str = "SET SESSION binlog_row_image = FULL";
const MINIMAL: &str = "SET SESSION binlog_row_image = MINIMAL";
const NOBLOB: &str = "SET SESSION binlog_row_image = NOBLOB";

fn session(test: &Fixture, setting: &str, sql: &str) {
    test.sql(&format!("{setting};\n{sql};\n{FULL};"));
}

const TABLES: &str = "CREATE TABLE pair (id INT NOT NULL PRIMARY KEY, name VARCHAR(50));
    CREATE TABLE timed (id INT NOT NULL PRIMARY KEY, name VARCHAR(50),
        changed DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6));
    CREATE TABLE made (id INT NOT NULL PRIMARY KEY, n INT, twice INT AS (n * 2) VIRTUAL, thrice INT AS (n * 3) STORED,
        said TEXT AS (CONCAT('n is ', n)) VIRTUAL);
    CREATE TABLE watched (id INT NOT NULL PRIMARY KEY, name VARCHAR(50), length INT);
    CREATE TRIGGER watch BEFORE UPDATE ON watched FOR EACH ROW SET NEW.length = LENGTH(NEW.name);
    CREATE TABLE parent (id INT NOT NULL PRIMARY KEY, name VARCHAR(50));
    CREATE TABLE child (id INT NOT NULL PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON UPDATE CASCADE);
    CREATE TABLE plain (k VARCHAR(20) NOT NULL, id INT NOT NULL, n DECIMAL(20,3), at DATETIME, kind ENUM('a', 'b'), PRIMARY KEY (id, k));
    CREATE TABLE wide (a BIGINT NOT NULL, b DOUBLE NOT NULL, c DECIMAL(40,2) NOT NULL, d DATE NOT NULL, e TIME(3) NOT NULL,
        f DATETIME NOT NULL, g BIT(9) NOT NULL, h SET('x', 'y') NOT NULL, i YEAR NOT NULL, j JSON NOT NULL, k BLOB, l TEXT NOT NULL,
        m BINARY(5) NOT NULL, n GEOMETRY NOT NULL, o TIMESTAMP(2) NOT NULL, id INT NOT NULL PRIMARY KEY, z FLOAT)";

const WIDE: &str = "1, 2.5, 3.25, '2024-01-02', '-01:02:03.004', '2024-01-02 03:04:05', 7, 'x', 2024, '{\"a\": [1]}', 'blob', 'text', \
     'bin', POINT(1, 2), '2024-01-02 03:04:05'";

/// Tables with rows, and a bridge that has them all.
fn streaming(name: &str) -> (Fixture, Bridge) {
    let test = Fixture::new(name);
    test.sql(TABLES);
    let mut bridge = Bridge::start(&test.config());
    for table in ["pair (id, name)", "timed (id, name)", "watched (id, name)", "parent (id, name)"] {
        test.sql(&format!("INSERT INTO {table} VALUES (1, 'one'), (2, 'two'), (3, NULL), (4, 'four')"));
    }
    test.sql(&format!(
        "INSERT INTO made (id, n) VALUES (1, 1), (2, 2), (3, NULL), (4, 4);
         INSERT INTO child VALUES (1, 1), (2, 1), (3, NULL);
         INSERT INTO plain VALUES ('x', 1, 1.5, NULL, 'a'), ('y', 2, NULL, '2024-01-02', 'b'), ('z', 3, 3, NULL, NULL);
         INSERT INTO wide VALUES ({WIDE}, 1, 0.5), ({WIDE}, 2, NULL), ({WIDE}, 3, 1), ({WIDE}, 4, 2);"
    ));
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    (test, bridge)
}

/// What images without all columns still tell exactly: deletions, and updates whose two images have all columns between
/// them. What a column's own rules change (generated, ON UPDATE, triggers, cascades) is in the images.
#[test]
fn what_lacks_nothing_is_exact() {
    let (test, mut bridge) = streaming("images");
    let mut step = |setting: &str, sql: &str| {
        session(&test, setting, sql);
        bridge.wait_caught_up(&test, PATIENCE);
        test.assert_all_equal();
    };
    step(MINIMAL, "UPDATE pair SET name = 'changed' WHERE id = 1");
    step(MINIMAL, "UPDATE pair SET name = NULL WHERE id = 2;\nUPDATE pair SET id = 5, name = 'moved' WHERE id = 3");
    step(MINIMAL, "INSERT INTO pair VALUES (6, 'six');\nINSERT INTO pair (id, name) VALUES (7, NULL)");
    step(MINIMAL, "UPDATE timed SET name = 'changed' WHERE id < 3");
    step(MINIMAL, "UPDATE watched SET name = 'changed' WHERE id < 3");
    step(MINIMAL, "UPDATE parent SET id = 10, name = 'ten' WHERE id = 1");
    step(MINIMAL, "UPDATE made SET n = n + 10 WHERE id < 3");
    step(MINIMAL, "DELETE FROM wide WHERE id = 1;\nDELETE FROM plain WHERE id = 1;\nDELETE FROM made WHERE id = 4");
    step(NOBLOB, "UPDATE plain SET n = 7 WHERE id = 2;\nUPDATE plain SET id = 30, k = 'moved' WHERE id = 3");
    step(NOBLOB, "UPDATE made SET n = n + 10 WHERE id < 3");
    step(NOBLOB, "UPDATE wide SET j = '[]', k = NULL, l = 'new', n = POINT(3, 4) WHERE id = 2");
    step(NOBLOB, "UPDATE wide SET j = '[]', k = 'x', l = 'new', n = POINT(3, 4), id = 20 WHERE id = 2");
    step(NOBLOB, "DELETE FROM wide WHERE id = 3");
    step(
        MINIMAL,
        "SET SESSION binlog_transaction_compression = ON;\nBEGIN;\nUPDATE pair SET name = 'compressed' WHERE id < 5;\nDELETE FROM wide WHERE id = 4;\nUPDATE pair SET id = 50, name = 'm' WHERE id = 5;\nCOMMIT;\nSET SESSION binlog_transaction_compression = OFF",
    );
    step(
        MINIMAL,
        &format!(
            "XA START 'm';\nUPDATE pair SET name = 'xa' WHERE id = 1;\nUPDATE pair SET name = 'xa 2' WHERE id = 1;\n\
             DELETE FROM pair WHERE id = 4;\nINSERT INTO pair VALUES (4, 'again');\n{FULL};\n\
             UPDATE pair SET name = 'full' WHERE id = 4;\nXA END 'm';\nXA PREPARE 'm';\nXA COMMIT 'm'"
        ),
    );
    step(
        "BEGIN",
        &format!(
            "UPDATE pair SET name = 'full' WHERE id = 1;\n{MINIMAL};\nUPDATE pair SET name = 'minimal' WHERE id = 1;\n\
             DELETE FROM pair WHERE id = 2;\n{FULL};\nINSERT INTO pair VALUES (2, 'again');\n{MINIMAL};\n\
             UPDATE pair SET name = 'last' WHERE id = 2;\nCOMMIT"
        ),
    );
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A row that is given no column has no bytes in the log.
#[test]
fn a_row_without_any_column_is_set_aside() {
    let test = Fixture::new("no_columns");
    test.sql("CREATE TABLE t (a INT DEFAULT 5, b INT)");
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_all_streaming(&test, PATIENCE);
    session(&test, MINIMAL, "INSERT INTO t () VALUES ()");
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("without any of its columns"), "{reason}");
}

/// What an event does not hold is not guessed: its table is set aside, and nothing else of the transaction.
#[test]
fn what_lacks_columns_is_set_aside() {
    let (test, mut bridge) = streaming("images_lack");
    let mut refused = |setting: &str, table: &str, sql: &str, words: &[&str]| {
        test.sql("BEGIN;\nUPDATE pair SET name = CONCAT(IFNULL(name, ''), '+');");
        session(&test, setting, sql);
        test.sql("UPDATE pair SET name = CONCAT(name, '-') WHERE id = 1;\nCOMMIT;");
        let reason = bridge.wait_quarantined(&test, table);
        for word in words {
            assert!(reason.contains(word), "nothing about {word} in: {reason}");
        }
        bridge.wait_caught_up(&test, PATIENCE);
        test.assert_equal("pair");
    };
    let full = "binlog_row_image='FULL'";
    refused(MINIMAL, "plain", "UPDATE plain SET n = 9 WHERE id = 2", &["an UPDATE", "without `at`, `kind`:", full]);
    refused(MINIMAL, "timed", "INSERT INTO timed (id) VALUES (9)", &["an INSERT", "without `name`:", full]);
    refused(NOBLOB, "wide", "UPDATE wide SET z = 9 WHERE id = 2", &["an UPDATE", "without `k`, `l`:", full]);
    test.assert_equal("watched");
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn diffs_without_their_document_are_set_aside() {
    let test = Fixture::new("images_diff");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, j JSON);\nCREATE TABLE u (id INT NOT NULL PRIMARY KEY, j JSON);",
    );
    let mut bridge = Bridge::start(&test.config());
    let document = r#"JSON_OBJECT('a', 1, 'b', REPEAT('x', 100))"#;
    test.sql(&format!("INSERT INTO t VALUES (1, {document});\nINSERT INTO u VALUES (1, {document}), (2, {document});"));
    test.sql("SET SESSION binlog_row_value_options = PARTIAL_JSON");
    session(&test, MINIMAL, "UPDATE u SET j = '[]' WHERE id = 1;\nDELETE FROM u WHERE id = 2");
    test.sql("UPDATE u SET j = JSON_ARRAY_APPEND(j, '$', 1), id = 3;\nUPDATE t SET j = JSON_SET(j, '$.a', 2);");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    session(&test, MINIMAL, "UPDATE t SET j = JSON_SET(j, '$.a', 3)");
    let reason = bridge.wait_quarantined(&test, "t");
    let words = ["column j", "binlog_row_value_options=''", "binlog_row_image='FULL'"];
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
    test.assert_equal("u");
    assert_eq!(bridge.sigterm(), Some(0));
}

const HEADER: usize = 19;
const CHECKSUM: usize = 4;

/// A binlog file whose rows events of version 2 become those of version 1, which is two bytes (or, of a partitioned
/// table, five) shorter: sizes, positions and checksums follow. How many they were.
fn to_version_1(file: &[u8]) -> (Vec<u8>, usize) {
    let (mut out, mut rest, mut changed) = (file[..4].to_vec(), &file[4..], 0);
    while !rest.is_empty() {
        let size = u32::from_le_bytes(rest[9..13].try_into().unwrap()) as usize;
        let (event, behind) = rest.split_at(size);
        rest = behind;
        let mut event = event[..size - CHECKSUM].to_vec();
        if (30..=32).contains(&event[4]) {
            let extra = HEADER + 8;
            let length = usize::from(u16::from_le_bytes(event[extra..extra + 2].try_into().unwrap()));
            event.drain(extra..extra + length);
            event[4] -= 7;
            changed += 1;
        }
        let (size, end) = (event.len() + CHECKSUM, out.len() + event.len() + CHECKSUM);
        event[9..13].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
        event[13..17].copy_from_slice(&u32::try_from(end).unwrap().to_le_bytes());
        // A file that is in use says so in a flag that its checksum does not count.
        let mut counted = event.clone();
        counted[17] &= !u8::from(event[4] == 15);
        let checksum = crc32fast::hash(&counted);
        out.extend(event);
        out.extend(checksum.to_le_bytes());
    }
    (out, changed)
}

/// A file of a real server with its rows events in version 1, through `replay` into ClickHouse.
#[test]
fn version_1() {
    let test = Fixture::on(Servers::own_mysql("rows-v1", &[]), "rows_v1");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(50), j JSON);
         CREATE TABLE parted (id INT NOT NULL PRIMARY KEY, v DECIMAL(12,3)) PARTITION BY HASH (id) PARTITIONS 3;
         FLUSH BINARY LOGS;
         INSERT INTO t VALUES (1, 'one', '[1]'), (2, NULL, NULL), (3, 'three', '{}');
         UPDATE t SET id = 10, name = 'ten' WHERE id = 1;
         UPDATE t SET j = '{\"a\": 1.50}' WHERE id = 3;
         DELETE FROM t WHERE id = 2;
         INSERT INTO parted SELECT id * 7, id FROM t;
         UPDATE parted SET id = id + 1, v = NULL WHERE v = 3;
         SET SESSION binlog_row_image = MINIMAL;
         UPDATE parted SET v = 9.125 WHERE v = 10;
         SET SESSION binlog_row_image = FULL;
         INSERT INTO parted VALUES (1000, 1), (1001, 2);
         DELETE FROM parted WHERE id = 1000;",
    );
    let file = test.row::<(String, u64, String, String, String)>("SHOW BINARY LOG STATUS").0;
    test.sql("FLUSH BINARY LOGS");
    let bytes = std::fs::read(Path::new(&test.row::<String>("SELECT @@datadir")).join(&file)).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let (path, output) = (folder.path().join(&file), folder.path().join("out"));
    let (bytes, changed) = to_version_1(&bytes);
    assert!(changed >= 9, "{changed}");
    std::fs::write(&path, bytes).unwrap();
    let arguments = ["replay", "--json", "--output", output.to_str().unwrap(), path.to_str().unwrap()];
    let ended = run_with(&arguments, folder.path());
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    test.clickhouse("CREATE DATABASE `{db}`");
    for table in report["tables"].as_array().unwrap() {
        let (name, structure) = (table["table"].as_str().unwrap(), table["structure"].as_str().unwrap());
        let rows = std::fs::read(output.join(format!("{name}.rowbinary"))).unwrap();
        let hex: String = rows.iter().map(|byte| format!("{byte:02x}")).collect();
        test.clickhouse(&format!(
            "CREATE TABLE {name} ({structure}) ENGINE = ReplacingMergeTree(_version, _is_deleted) ORDER BY id"
        ));
        test.clickhouse(&format!("INSERT INTO {name} SELECT * FROM format(RowBinary, '{structure}', unhex('{hex}'))"));
    }
    test.assert_equal("t");
    test.assert_equal("parted");
}
