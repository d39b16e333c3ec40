//! Dead letters: the rows for which a table is set aside, against the bytes in MySQL's own binary log files and against
//! what ClickHouse reads in the bytes that it refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use support::bridge::{Bridge, Config, Ended, PATIENCE, SourcePosition, run_with};
use support::fixture::Fixture;

/// `stream-bridge resync --dead-letters` with these arguments.
fn show(config: &Config, arguments: &[&str]) -> Ended {
    let (folder, file) = (TempDir::new().unwrap(), config.write());
    let command = ["resync", "--dead-letters", "--config", file.to_str().unwrap()];
    let ended = run_with(&[&command, arguments].concat(), folder.path());
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    ended
}

/// The letters of a table (by its name without the database), as `--json` shows them.
fn letters(test: &Fixture, config: &Config, table: &str) -> Vec<Value> {
    let ended = show(config, &["--json", &format!("{}.{table}", test.database)]);
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    json["dead_letters"].as_array().unwrap().clone()
}

/// The only letter of a table.
fn letter(test: &Fixture, config: &Config, table: &str) -> Value {
    let letters = letters(test, config, table);
    assert_eq!(letters.len(), 1, "{letters:#?}");
    letters[0].clone()
}

fn text<'a>(letter: &'a Value, key: &str) -> &'a str {
    letter[key].as_str().unwrap_or_else(|| panic!("{key}: {letter:#}"))
}

fn bytes(letter: &Value, key: &str) -> Vec<u8> {
    let hex = text(letter, key).as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A column's value as it was read.
fn value<'a>(letter: &'a Value, key: &str, column: &str) -> &'a str {
    let values = letter[key].as_array().unwrap();
    let found = values.iter().find(|pair| pair[0] == column);
    found.unwrap_or_else(|| panic!("{column}: {letter:#}"))[1].as_str().unwrap()
}

/// The event at the letter's place, from MySQL's own file.
fn event_of(test: &Fixture, letter: &Value) -> Vec<u8> {
    let folder: String = test.row("SELECT @@datadir");
    let file = std::fs::read(Path::new(&folder).join(text(letter, "file"))).unwrap();
    let start = usize::try_from(letter["offset"].as_u64().unwrap()).unwrap();
    let len = u32::from_le_bytes(file[start + 9..start + 13].try_into().unwrap()) as usize;
    file[start..start + len].to_vec()
}

fn holds(event: &[u8], image: &[u8]) -> bool {
    assert!(!image.is_empty());
    event.windows(image.len()).any(|window| window == image)
}

/// INSERT, UPDATE with a good row before, in an XA transaction, in a compressed one: each its letter.
#[test]
fn a_bad_row_is_kept_with_its_bytes_and_what_can_be_read_of_it() {
    let test = Fixture::new("dead_rows");
    for table in ["inserted", "updated", "xa", "zipped"] {
        test.sql(&format!(
            "CREATE TABLE {table} (day DATE NOT NULL PRIMARY KEY, note VARCHAR(50), price DECIMAL(8,2));"
        ));
    }
    test.sql("CREATE TABLE well (id INT NOT NULL PRIMARY KEY)");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.sql(
        "INSERT INTO inserted VALUES ('2024-02-01', 'good', 1), ('0000-00-00', 'it''s bad', -12.5), ('2024-02-02', 'later', 3);
         INSERT INTO updated VALUES ('2024-02-01', 'before', 1);
         UPDATE updated SET day = '2024-00-03', note = NULL;
         XA START 'x1';
         INSERT INTO xa VALUES ('0000-00-00', 'prepared', 7);
         XA END 'x1';
         XA PREPARE 'x1';
         XA COMMIT 'x1';
         SET SESSION binlog_transaction_compression = ON;
         INSERT INTO zipped VALUES ('0000-00-00', 'packed', 7);
         SET SESSION binlog_transaction_compression = OFF;
         INSERT INTO well VALUES (1);",
    );
    for table in ["inserted", "updated", "xa", "zipped"] {
        let reason = bridge.wait_quarantined(&test, table);
        let names_all = ["column day", "binlog.", "-00-", "--dead-letters` shows the row"];
        assert!(names_all.iter().all(|word| reason.contains(word)), "{reason}");
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("well");

    let inserted = letter(&test, &config, "inserted");
    assert_eq!(
        [text(&inserted, "kind"), text(&inserted, "column"), text(&inserted, "format")],
        ["insert", "day", "binlog"]
    );
    assert_eq!(text(&inserted, "before"), "");
    assert!(holds(&event_of(&test, &inserted), &bytes(&inserted, "after")));
    // NULL bitmap, 3 bytes of the day, the note behind its length, 4 bytes of the price.
    assert_eq!(bytes(&inserted, "after")[..4 + 1 + 8], *b"\0\0\0\0\x08it's bad");
    assert_eq!(bytes(&inserted, "after").len(), 1 + 3 + 9 + 4);
    assert_eq!(value(&inserted, "after_values", "day"), "0000-00-00 (not carried over)");
    assert_eq!(value(&inserted, "after_values", "note"), "'it's bad'");
    assert_eq!(value(&inserted, "after_values", "price"), "-12.50");
    assert!(!text(&inserted, "gtid").is_empty());

    let updated = letter(&test, &config, "updated");
    assert_eq!(text(&updated, "kind"), "update");
    let event = event_of(&test, &updated);
    assert!(holds(&event, &[bytes(&updated, "before"), bytes(&updated, "after")].concat()));
    assert_eq!(value(&updated, "before_values", "day"), "2024-02-01");
    assert_eq!(value(&updated, "before_values", "note"), "'before'");
    assert_eq!(value(&updated, "after_values", "day"), "2024-00-03 (not carried over)");
    assert_eq!(value(&updated, "after_values", "note"), "NULL");

    let xa = letter(&test, &config, "xa");
    assert!(holds(&event_of(&test, &xa), &bytes(&xa, "after")));
    assert_eq!(value(&xa, "after_values", "note"), "'prepared'");
    let zipped = letter(&test, &config, "zipped");
    assert_eq!(value(&zipped, "after_values", "note"), "'packed'");

    let shown = show(&config, &[]).stdout;
    for part in
        ["inserted insert binlog.", "updated update binlog.", "before  day = 2024-02-01", "column day: '0000-00-00'"]
    {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert_eq!(show(&config, &[&format!("{}.well", test.database)]).stdout, "no rows were set aside\n");
}

/// `resync` brings a table back once the row is mended; the letter stays, with its time.
#[test]
fn a_mended_table_comes_back_and_keeps_its_letters() {
    let test = Fixture::new("dead_mended");
    test.sql("CREATE TABLE t (day DATE NOT NULL PRIMARY KEY, n INT)");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES ('0000-00-00', 1), ('2024-01-02', 2)");
    bridge.wait_quarantined(&test, "t");
    // A copy meets the same row.
    assert_eq!(bridge.post("/resync", &format!("{}.t", test.database)), Ok(202));
    bridge.wait_for("the copy to be refused", PATIENCE, |_| letters(&test, &config, "t").len() == 2);
    let copied = letters(&test, &config, "t").pop().unwrap();
    assert_eq!([text(&copied, "kind"), text(&copied, "column"), text(&copied, "file")], ["copy", "day", ""]);
    assert_eq!(value(&copied, "after_values", "n"), "1");
    test.sql("UPDATE t SET day = '2024-01-01' WHERE n = 1");
    bridge.wait_quarantined(&test, "t");
    assert_eq!(bridge.post("/resync", &format!("{}.t", test.database)), Ok(202));
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_equal("t");
    assert_eq!(letters(&test, &config, "t").len(), 2);
    assert_eq!(bridge.sigterm(), Some(0));
    assert_eq!(letters(&test, &config, "t").len(), 2, "no running process is needed");
}

/// The row that ClickHouse names, and those behind it, as ClickHouse itself reads their bytes.
#[test]
fn rows_that_clickhouse_refuses_are_kept() {
    let test = Fixture::new("dead_refused");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, note VARCHAR(50), price DECIMAL(8,2), born DATETIME(3));");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.clickhouse("ALTER TABLE `{db}`.t ADD CONSTRAINT cheap CHECK price < 1000 OR _is_deleted = 1");
    let rows = (1..=500).map(|id| {
        let price = if id == 300 { 5000 } else { id };
        format!("({id}, 'n{id}', {price}, '2024-05-06 07:08:09.123')")
    });
    test.sql(&format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(", ")));
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("469") && reason.contains("shows 100 of the 500 rows"), "{reason}");
    let kept = letters(&test, &config, "t");
    assert_eq!(kept.len(), 100);
    let first = &kept[0];
    assert_eq!([text(first, "kind"), text(first, "format")], ["write", "rowbinary"]);
    assert_eq!(value(first, "after_values", "id"), "300");
    assert_eq!(value(first, "after_values", "price"), "5000.00");
    assert_eq!(value(first, "after_values", "born"), "2024-05-06 07:08:09.123");
    let structure = text(first, "structure").replace('\'', "\\'");
    let read = format!(
        "SELECT id, note, price, born FROM format(RowBinary, '{structure}', unhex('{}'))",
        text(first, "after")
    );
    assert_eq!(test.clickhouse(&read), "300\tn300\t5000\t2024-05-06 07:08:09.123");
    // The row's image lies where its letter says: its key in the first bytes.
    let folder: String = test.row("SELECT @@datadir");
    let file = std::fs::read(Path::new(&folder).join(text(first, "file"))).unwrap();
    let start = usize::try_from(first["offset"].as_u64().unwrap()).unwrap();
    assert_eq!(file[start + 1..start + 5], 300_i32.to_le_bytes());

    test.clickhouse("ALTER TABLE `{db}`.t DROP CONSTRAINT cheap");
    assert_eq!(bridge.post("/resync", &format!("{}.t", test.database)), Ok(202));
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_equal("t");
}

#[test]
fn a_target_that_is_gone_stops_its_table_alone() {
    let test = Fixture::new("dead_gone");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY);\nCREATE TABLE u (id INT NOT NULL PRIMARY KEY);");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.clickhouse("DROP TABLE `{db}`.t SYNC");
    test.sql("INSERT INTO t VALUES (1), (2);\nDELETE FROM t WHERE id = 2;\nINSERT INTO u VALUES (1);");
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("60") && reason.contains("resync"), "{reason}");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("u");
    assert_eq!(value(&letters(&test, &config, "t")[0], "after_values", "id"), "1");
    assert_eq!(bridge.post("/resync", &format!("{}.t", test.database)), Ok(202));
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_all_equal();
}

/// Killed before a checkpoint passes the row, the next process comes to it again: still one letter. Then the position
/// moves on, and a restart goes on far beyond the row, whose table stays set aside.
#[test]
fn a_table_that_is_set_aside_for_long_does_not_hold_the_position() {
    let test = Fixture::new("dead_long");
    test.sql("CREATE TABLE t (day DATE NOT NULL PRIMARY KEY, n INT);\nCREATE TABLE u (id INT NOT NULL PRIMARY KEY);");
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1h");
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES ('0000-00-00', 0)");
    bridge.wait_quarantined(&test, "t");
    let bad = SourcePosition::now(&test);
    bridge.wait_for("its letter", PATIENCE, |_| letters(&test, &config, "t").len() == 1);
    bridge.kill9();

    config.set("state.checkpoint_interval", "1s");
    let mut bridge = Bridge::start(&config);
    bridge.wait_quarantined(&test, "t");
    for id in 0..200 {
        test.sql(&format!("INSERT INTO u VALUES ({id});\nINSERT INTO t VALUES ('2024-01-01' + INTERVAL {id} DAY, 1);"));
    }
    test.sql("FLUSH BINARY LOGS;\nINSERT INTO u VALUES (1000);");
    let passed = SourcePosition::now(&test).file;
    assert!(passed > bad.file);
    bridge
        .wait_for("a checkpoint beyond", Duration::from_secs(15), |status| status.checkpoint_file() >= passed.as_str());
    bridge.kill9();
    assert_eq!(letters(&test, &config, "t").len(), 1);

    // The file of the row is not there any more: nobody asks for it.
    test.sql(&format!("PURGE BINARY LOGS TO '{passed}'"));
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO u VALUES (1001)");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("u");
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("0000-00-00") && reason.contains(&bad.file), "the first reason stays: {reason}");
    test.sql("DELETE FROM t WHERE n = 0");
    assert_eq!(bridge.post("/resync", &format!("{}.t", test.database)), Ok(202));
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
}

/// A row of many megabytes leaves a letter of bounded size that says so.
#[test]
fn a_large_row_is_cut_in_its_letter() {
    let test = Fixture::new("dead_large");
    test.sql("CREATE TABLE t (day DATE NOT NULL PRIMARY KEY, note LONGTEXT)");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES ('0000-00-00', REPEAT('ab', 2000000))");
    bridge.wait_quarantined(&test, "t");
    bridge.wait_for("its letter", PATIENCE, |_| !letters(&test, &config, "t").is_empty());
    let letter = letter(&test, &config, "t");
    assert_eq!((bytes(&letter, "after").len(), letter["bytes"].as_u64().unwrap()), (256 << 10, 4_000_000 + 1 + 3 + 4));
    let note = value(&letter, "after_values", "note");
    assert!(note.len() < 5000 && note.ends_with("of 4000000)"), "{}", note.len());
}
