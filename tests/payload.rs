//! Compressed transactions (`binlog_transaction_compression=ON`) on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use support::bridge::{Bridge, PATIENCE, SourcePosition};
use support::fixture::Fixture;
use support::load::{Random, allow_many_numbers, numbers};

/// How long a transaction of millions of rows may take.
const LONG: Duration = Duration::from_secs(300);
const ON: &str = "SET SESSION binlog_transaction_compression = ON";
const OFF: &str = "SET SESSION binlog_transaction_compression = OFF";

const TABLES: &str = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(50));
    CREATE TABLE u (a VARCHAR(20) NOT NULL, b INT NOT NULL, v DOUBLE, PRIMARY KEY (b, a));
    CREATE TABLE blobs (id INT NOT NULL PRIMARY KEY, data LONGBLOB)";

fn assert_compressed(test: &Fixture, noted: &SourcePosition) {
    let kinds = noted.event_kinds_since(test);
    assert!(kinds.iter().any(|kind| kind == "Transaction_payload"), "nothing was compressed: {kinds:?}");
}

#[test]
fn changes_of_all_kinds_between_uncompressed_ones() {
    let test = Fixture::new("payload");
    test.sql(TABLES);
    let mut bridge = Bridge::start(&test.config());
    let noted = SourcePosition::now(&test);
    test.sql(ON);
    let mut step = |sql: &str| {
        test.sql(sql);
        bridge.wait_caught_up(&test, PATIENCE);
        test.assert_all_equal();
    };
    step(
        "BEGIN;\nINSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL);\nINSERT INTO u VALUES ('x', 1, 0.5), ('y', 2, NULL);\nCOMMIT;",
    );
    step(
        "BEGIN;\nUPDATE t SET id = -1 WHERE id = 1;\nUPDATE t SET id = 1 WHERE id = 2;\nUPDATE t SET id = 2 WHERE id = -1;\nUPDATE u SET a = 'z' WHERE b = 1;\nDELETE FROM t WHERE id = 3;\nINSERT INTO t VALUES (3, 'again');\nUPDATE t SET name = 'three' WHERE id = 3;\nCOMMIT;",
    );
    step("UPDATE t SET id = id + 1 ORDER BY id DESC");
    step(&format!(
        "{OFF};\nUPDATE t SET name = 'plain';\nDELETE FROM t WHERE id = 2;\n{ON};\nINSERT INTO t VALUES (2, 'compressed');\nUPDATE t SET name = CONCAT(name, '!');\n{OFF};\nUPDATE t SET name = CONCAT(name, '?') WHERE id = 2;\n{ON};"
    ));
    step(
        "BEGIN;\nINSERT INTO t VALUES (50, 'kept');\nSAVEPOINT s;\nINSERT INTO t VALUES (51, 'cut');\nROLLBACK TO s;\nDELETE FROM u;\nCOMMIT;",
    );
    step(
        "INSERT INTO blobs VALUES (1, REPEAT('x', 3000000)), (2, ''), (3, NULL), (4, REPEAT(RANDOM_BYTES(1000), 900));\nUPDATE blobs SET id = id + 10, data = CONCAT(data, 'y');",
    );
    step("REPLACE INTO t VALUES (50, 'replaced'), (60, 'new');\nDELETE FROM t WHERE id < 50;");
    test.sql("FLUSH BINARY LOGS");
    step("SET SESSION binlog_transaction_compression_level_zstd = 22;\nINSERT INTO t VALUES (70, 'level 22')");
    assert_compressed(&test, &noted);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Compressed and plain transactions over few keys, with `kill -9` in between: everything is read again from the last
/// checkpoint, and versions of the two kinds must keep their order.
#[test]
fn kills_in_between_lose_nothing() {
    let test = Fixture::new("payload_kill");
    test.sql(TABLES);
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    let mut random = Random::new(11);
    for round in 0..6 {
        for _ in 0..40 {
            test.sql(if random.below(3) == 0 { OFF } else { ON });
            test.sql("BEGIN");
            for _ in 0..=random.below(6) {
                let (id, other) = (random.below(20), random.below(20));
                test.sql(&match random.below(4) {
                    0 => format!("REPLACE INTO t VALUES ({id}, 'r{round}-{other}')"),
                    1 => format!("DELETE FROM t WHERE id = {id}"),
                    2 => format!(
                        "UPDATE t SET name = CONCAT(IFNULL(name, ''), {other}) WHERE id < {id} AND LENGTH(name) < 40"
                    ),
                    _ => format!("UPDATE IGNORE t SET id = {other} WHERE id = {id}"),
                });
                test.sql(&format!("REPLACE INTO u VALUES ('k{id}', {other}, {id})"));
            }
            test.sql("COMMIT");
        }
        bridge.kill9();
        bridge = Bridge::start(&config);
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
    test.assert_equal("u");
}

/// A database with an empty table `big`, and a session that compresses.
fn big(name: &str) -> Fixture {
    let test = Fixture::new(name);
    test.sql("CREATE TABLE big (id BIGINT NOT NULL PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, name VARCHAR(40))");
    allow_many_numbers(&test);
    test.sql(ON);
    test
}

fn insert_random(test: &Fixture, rows: u64) {
    test.sql(&format!(
        "INSERT INTO big (id, a, b, name) {} SELECT i, RAND() * 1000000, RAND() * 1000000, SUBSTR(SHA2(RAND(), 256), 1, 24) FROM n",
        numbers(1, rows)
    ));
}

#[test]
fn a_kill_amid_a_payload() {
    let test = big("payload_amid");
    let mut config = test.config();
    // Hundreds of inserts, of which some are in when it is killed.
    config.set("pipeline.batch_size", 1000);
    let mut bridge = Bridge::start(&config);
    let noted = SourcePosition::now(&test);
    insert_random(&test, 400_000);
    for _ in 0..2 {
        bridge.wait_for("some rows", PATIENCE, |status| status.rows_total() > 0);
        bridge.kill9();
        bridge = Bridge::spawn(&config);
    }
    bridge.wait_streaming();
    bridge.wait_caught_up(&test, LONG);
    assert_compressed(&test, &noted);
    test.assert_equal("big");
}

/// The most resident memory, in MiB, while one compressed transaction of 2 million rows streams through.
fn peak_mib(name: &str, memory_limit: Option<&str>) -> u64 {
    let test = big(name);
    let mut config = test.config();
    if let Some(limit) = memory_limit {
        config.set("pipeline.memory_limit", limit);
    }
    let mut bridge = Bridge::start(&config);
    let noted = SourcePosition::now(&test);
    insert_random(&test, 2_000_000);
    bridge.wait_caught_up(&test, LONG);
    let peak = bridge.peak_memory_bytes() >> 20;
    let bytes = SourcePosition::now(&test).offset.saturating_sub(noted.offset);
    println!("memory_limit {}: {bytes} bytes, peak {peak} MiB", memory_limit.unwrap_or("by default"));
    assert_compressed(&test, &noted);
    test.assert_equal("big");
    peak
}

#[test]
fn a_transaction_of_2_million_rows_within_the_default_memory() {
    let peak = peak_mib("payload_big", None);
    assert!(peak < 300, "{peak} MiB");
}

/// The compressed event alone, 50 MB, is larger than the limit. Without slices 100 MB of bodies would come on top.
#[test]
fn a_transaction_of_2_million_rows_within_32_mib_and_its_event() {
    let peak = peak_mib("payload_big32", Some("32MiB"));
    assert!(peak < 130, "{peak} MiB");
}

#[test]
fn more_images_than_bytes_quarantine_the_table_alone() {
    let test = big("payload_same");
    test.sql("CREATE TABLE u (id INT NOT NULL PRIMARY KEY, v INT)");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    // Events of the same 200 rows again and again: each is little more than a reference to the one before.
    let rows: Vec<String> = (1..=200).map(|id| format!("({id}, 0, 0, NULL)")).collect();
    test.sql(&format!("BEGIN;\nINSERT INTO u VALUES (1, 1);\nINSERT INTO big VALUES {};", rows.join(", ")));
    for _ in 0..40 {
        test.sql("UPDATE big SET a = 1 - a");
    }
    test.sql("INSERT INTO u VALUES (2, 2);\nCOMMIT;");
    let reason = bridge.wait_quarantined(&test, "big");
    assert!(reason.contains("more row images") && reason.contains("binlog_transaction_compression=OFF"), "{reason}");
    test.sql("INSERT INTO u VALUES (3, 3)");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("u");
    assert_eq!(bridge.sigterm(), Some(0));
}
