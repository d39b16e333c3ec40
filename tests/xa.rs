//! XA transactions on real servers: held from their prepare, written by their outcome, whatever dies in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use support::bridge::{Bridge, PATIENCE};
use support::fixture::Fixture;
use support::load::Random;
use support::servers::Servers;

const TABLES: &str = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(50));
    CREATE TABLE u (a VARCHAR(20) NOT NULL, b DOUBLE NOT NULL, v INT, PRIMARY KEY (b, a));
    CREATE TABLE plain (id INT NOT NULL PRIMARY KEY, n INT);";

/// A prepared transaction keeps its locks: those on gaps would stop the others.
const FEW_LOCKS: &str = "SET SESSION transaction_isolation = 'READ-COMMITTED'";

/// The statements of one XA transaction up to its prepare.
fn prepare(xid: &str, work: &str) -> String {
    format!("XA START {xid};\n{work};\nXA END {xid};\nXA PREPARE {xid};")
}

fn xa(test: &Fixture, xid: &str, work: &str) {
    sql(test, &prepare(xid, work));
}

/// Runs SQL in which `{db}` is the database: xids are the whole server's.
fn sql(test: &Fixture, text: &str) {
    test.sql(&text.replace("{db}", &test.database));
}

fn caught_up_and_equal(test: &Fixture, bridge: &mut Bridge) {
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
}

#[test]
fn nothing_is_seen_before_the_outcome_and_all_after_it() {
    let test = Fixture::new("xa");
    test.sql(TABLES);
    // Equal versions have no order across inserts.
    let mut config = test.config();
    config.set("pipeline.batch_size", 1);
    let mut bridge = Bridge::start(&config);
    test.sql(FEW_LOCKS);
    test.sql(
        "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three'), (9, 'wall');\nINSERT INTO plain VALUES (1, 1);",
    );

    // Every key several times, keys changed, swapped, freed and taken again.
    xa(
        &test,
        "'{db} a','branch',7",
        "UPDATE t SET name = 'x' WHERE id = 1;\nUPDATE t SET id = -1 WHERE id = 1;\nUPDATE t SET id = 1 WHERE id = 2;\nUPDATE t SET id = 2 WHERE id = -1;
        DELETE FROM t WHERE id = 3;\nINSERT INTO t VALUES (3, 'again'), (4, 'new'), (5, 'short');\nDELETE FROM t WHERE id = 5;
        INSERT INTO u VALUES ('k', 0.0, 1), ('K2', 1e300, 2);\nUPDATE u SET b = -0.0, v = 3 WHERE a = 'k'",
    );
    test.sql("INSERT INTO plain VALUES (2, 2);\nINSERT INTO t VALUES (10, 'beside');");
    caught_up_and_equal(&test, &mut bridge);
    sql(&test, "UPDATE plain SET n = n + 1;\nXA COMMIT '{db} a','branch',7;\nUPDATE t SET name = CONCAT(name, '!');");
    caught_up_and_equal(&test, &mut bridge);

    xa(&test, "'{db} gone'", "DELETE FROM t;\nINSERT INTO u VALUES ('gone', 9, 9)");
    sql(&test, "INSERT INTO plain VALUES (3, 3);\nXA ROLLBACK '{db} gone';");
    caught_up_and_equal(&test, &mut bridge);

    sql(
        &test,
        "XA START '{db} one';\nUPDATE t SET id = id + 100 ORDER BY id DESC;\nINSERT INTO u VALUES ('one', 2, 2);\nXA END '{db} one';\nXA COMMIT '{db} one' ONE PHASE;\nUPDATE t SET name = 'after' WHERE id = 101;",
    );
    caught_up_and_equal(&test, &mut bridge);

    // Two at once, decided in the other order, one of them with a part that was rolled back to a savepoint.
    xa(
        &test,
        "'{db} first'",
        "INSERT INTO t VALUES (200, 'a');\nSAVEPOINT s;\nINSERT INTO t VALUES (201, 'cut');\nROLLBACK TO s;\nINSERT INTO t VALUES (202, 'b')",
    );
    xa(&test, "X'00ff27','{db}''',4294967295", "INSERT INTO t VALUES (203, 'binary')");
    sql(&test, "XA COMMIT X'00ff27','{db}''',4294967295;\nXA COMMIT '{db} first';\nDELETE FROM t WHERE id = 200;");
    caught_up_and_equal(&test, &mut bridge);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// The rows are in files that the checkpoint has passed: the server must send their group again.
#[test]
fn kill_9_between_prepare_and_outcome() {
    let test = Fixture::new("xa_kill");
    test.sql(TABLES);
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1s");
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES (1, 'one'), (2, 'two');");
    xa(&test, "'{db} commit'", "UPDATE t SET name = 'by xa' WHERE id = 1;\nINSERT INTO t VALUES (3, 'by xa')");
    xa(&test, "'{db} roll back'", "UPDATE t SET name = 'never' WHERE id = 2;\nINSERT INTO t VALUES (4, 'never')");
    xa(&test, "'{db} left'", "INSERT INTO t VALUES (5, 'left prepared')");
    for step in ["INSERT INTO plain VALUES (1, 1)", "XA COMMIT '{db} commit'", "XA ROLLBACK '{db} roll back'"] {
        test.sql("FLUSH BINARY LOGS");
        test.sql("REPLACE INTO plain VALUES (2, 2)");
        caught_up_and_equal(&test, &mut bridge);
        let seq = bridge.status().unwrap().checkpoint_seq();
        test.sql("FLUSH BINARY LOGS");
        bridge.wait_for("a checkpoint in the new file", PATIENCE, |status| status.checkpoint_seq() > seq);
        bridge.kill9();
        sql(&test, step);
        bridge = Bridge::start(&config);
    }
    caught_up_and_equal(&test, &mut bridge);
    assert_eq!(bridge.sigterm(), Some(0));
    sql(&test, "XA COMMIT '{db} left';\nUPDATE t SET name = 'left and changed' WHERE id = 5;");
    let mut bridge = Bridge::start(&config);
    caught_up_and_equal(&test, &mut bridge);
    assert_eq!(test.clickhouse("SELECT name FROM `{db}`.t FINAL WHERE id = 5"), "left and changed");
}

/// The rows are all there, and the bridge knows it.
fn equal_and_streaming(test: &Fixture, bridge: &mut Bridge) {
    caught_up_and_equal(test, bridge);
    let status = bridge.status().unwrap();
    for table in ["t", "u", "plain"] {
        assert_eq!(status.table_state(&format!("{}.{table}", test.database)), "streaming", "{table}: {status}");
    }
}

fn without_gtid(server: &str, name: &str) -> Fixture {
    let servers = Servers::own_mysql(server, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
    let test = Fixture::on(servers, name);
    test.sql(TABLES);
    test.sql("GRANT BACKUP_ADMIN ON *.* TO bridge; GRANT SELECT ON performance_schema.log_status TO bridge;");
    test
}

/// A is prepared before B and committed while B is open: a restart comes to the commit of A, not to its prepare.
#[test]
fn without_gtid_what_was_committed_beyond_the_checkpoint_is_known() {
    let test = without_gtid("xa-settled", "xa_settled");
    let mut config = test.config();
    config.set("state.checkpoint_interval", "100ms");
    let mut bridge = Bridge::start(&config);
    xa(&test, "'{db} a'", "INSERT INTO t VALUES (1, 'a')");
    xa(&test, "'{db} b'", "INSERT INTO t VALUES (2, 'b')");
    xa(&test, "'{db} c'", "INSERT INTO t VALUES (3, 'c')");
    let steps = ["XA COMMIT '{db} a'", "INSERT INTO plain VALUES (1, 1)", "XA COMMIT '{db} b'", "XA COMMIT '{db} c'"];
    for step in steps {
        let seq = bridge.status().unwrap().checkpoint_seq();
        sql(&test, step);
        equal_and_streaming(&test, &mut bridge);
        bridge.wait_for("a checkpoint", PATIENCE, |status| status.checkpoint_seq() > seq);
        bridge.kill9();
        bridge = Bridge::start(&config);
        equal_and_streaming(&test, &mut bridge);
        sql(&test, &prepare("'{db} a'", "REPLACE INTO u VALUES ('again', 1, 1)"));
        sql(&test, "XA COMMIT '{db} a'");
        equal_and_streaming(&test, &mut bridge);
    }
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn without_gtid_the_checkpoint_waits_for_the_outcome() {
    let test = without_gtid("xa-no-gtid", "xa_no_gtid");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES (1, 'one');");
    xa(&test, "'{db} a'", "UPDATE t SET name = 'by xa' WHERE id = 1");
    xa(&test, "'{db} b'", "INSERT INTO t VALUES (2, 'b')");
    test.sql("FLUSH BINARY LOGS;\nINSERT INTO plain VALUES (1, 1);");
    caught_up_and_equal(&test, &mut bridge);
    bridge.kill9();
    sql(&test, "XA COMMIT '{db} b';\nINSERT INTO plain VALUES (2, 2);");
    let mut bridge = Bridge::start(&config);
    caught_up_and_equal(&test, &mut bridge);
    assert_eq!(bridge.sigterm(), Some(0));
    sql(&test, "XA COMMIT '{db} a';\nUPDATE t SET name = CONCAT(name, '!');");
    let mut bridge = Bridge::start(&config);
    caught_up_and_equal(&test, &mut bridge);
    assert_eq!(test.clickhouse("SELECT name FROM `{db}`.t FINAL WHERE id = 1"), "by xa!");
}

#[test]
fn compressed() {
    let test = Fixture::new("xa_compressed");
    test.sql(TABLES);
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.sql("SET SESSION binlog_transaction_compression = ON");
    xa(&test, "'{db} a'", "INSERT INTO t VALUES (1, 'one'), (2, 'two');\nUPDATE t SET name = 'x'");
    test.sql("INSERT INTO plain VALUES (1, 1)");
    caught_up_and_equal(&test, &mut bridge);
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    sql(
        &test,
        "XA COMMIT '{db} a';\nXA START '{db} b';\nUPDATE t SET id = id + 1 ORDER BY id DESC;\nXA END '{db} b';\nXA COMMIT '{db} b' ONE PHASE;\nUPDATE t SET name = 'y' WHERE id = 2;",
    );
    caught_up_and_equal(&test, &mut bridge);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// What a transaction that is never decided holds is bounded: its table is set aside, the others go on.
#[test]
fn a_transaction_that_holds_more_than_half_of_the_budget() {
    let test = Fixture::new("xa_memory");
    test.sql(TABLES);
    test.sql("CREATE TABLE big (id INT NOT NULL PRIMARY KEY, data LONGBLOB)");
    let mut config = test.config();
    config.set("pipeline.memory_limit", "64MiB");
    let mut bridge = Bridge::start(&config);
    let row = |id: u32| format!("INSERT INTO big VALUES ({id}, REPEAT('x', 8000000))");
    xa(&test, "'{db} fits'", &format!("{};\n{};\nINSERT INTO t VALUES (1, 'one')", row(1), row(2)));
    sql(&test, "INSERT INTO plain VALUES (1, 1);\nXA COMMIT '{db} fits';");
    caught_up_and_equal(&test, &mut bridge);
    let rows: Vec<String> = (10..15).map(row).collect();
    xa(&test, "'{db} too big'", &format!("INSERT INTO t VALUES (2, 'two');\n{}", rows.join(";\n")));
    let reason = bridge.wait_quarantined(&test, "big");
    assert!(reason.contains("XA") && reason.contains("memory_limit"), "{reason}");
    sql(&test, "XA COMMIT '{db} too big';\nINSERT INTO plain VALUES (2, 2);");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
    test.assert_equal("plain");
}

#[test]
fn prepared_before_the_first_start() {
    let test = Fixture::new("xa_before");
    test.sql(TABLES);
    xa(&test, "'{db} before'", "INSERT INTO t VALUES (1, 'unseen')");
    let mut bridge = Bridge::start(&test.config());
    sql(&test, "INSERT INTO plain VALUES (1, 1);\nXA COMMIT '{db} before';");
    let name = format!("{}.t", test.database);
    let status = bridge.wait_for("t unverified", PATIENCE, |status| status.table_state(&name) == "unverified");
    assert!(status.table_reason(&name).contains("XA COMMIT"), "{status}");
}

/// An outcome that `sql_log_bin=0` hides, and its xid used again: the rows of the first are not those of the second.
#[test]
fn an_xid_whose_outcome_was_not_logged() {
    let test = Fixture::new("xa_hidden");
    test.sql(TABLES);
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1s");
    let mut bridge = Bridge::start(&config);
    xa(&test, "'{db} x'", "INSERT INTO t VALUES (1, 'rolled back')");
    sql(&test, "SET SESSION sql_log_bin = 0;\nXA ROLLBACK '{db} x';\nSET SESSION sql_log_bin = 1;");
    xa(&test, "'{db} x'", "INSERT INTO t VALUES (2, 'kept')");
    test.sql("INSERT INTO plain VALUES (1, 1);\nFLUSH BINARY LOGS;\nINSERT INTO plain VALUES (2, 2);");
    bridge.wait_caught_up(&test, PATIENCE);
    let seq = bridge.status().unwrap().checkpoint_seq();
    test.sql("INSERT INTO plain VALUES (3, 3);");
    bridge.wait_for("a checkpoint", PATIENCE, |status| status.checkpoint_seq() > seq);
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    sql(&test, "XA COMMIT '{db} x';\nFLUSH BINARY LOGS;\nINSERT INTO plain VALUES (4, 4);");
    caught_up_and_equal(&test, &mut bridge);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Random ones: up to four are prepared at a time, each on keys of its own; the bridge is killed now and then.
#[test]
fn random_ones_with_kills() {
    let test = Fixture::new("xa_random");
    test.sql(TABLES);
    random_with_kills(&test);
}

#[test]
fn random_ones_with_kills_without_gtid() {
    let test = without_gtid("xa-random", "xa_random_no_gtid");
    let mut bridge = random_with_kills(&test);
    // On the shared server the transactions of other tests may be prepared before this one's start.
    equal_and_streaming(&test, &mut bridge);
}

fn random_with_kills(test: &Fixture) -> Bridge {
    let seed = std::env::var("STREAM_BRIDGE_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("STREAM_BRIDGE_TEST_SEED={seed}");
    let mut config = test.config();
    config.set("state.checkpoint_interval", "100ms");
    let mut bridge = Bridge::start(&config);
    test.sql(FEW_LOCKS);
    for slot in 0..=4 {
        test.sql(&format!("INSERT INTO t VALUES ({slot}00, 'wall');\nINSERT INTO u VALUES ('wall', {slot} - 0.5, 0);"));
    }
    let mut random = Random::new(seed);
    let mut prepared: [Option<u64>; 4] = [None; 4];
    let xid = |number: u64, slot: u64| format!("'{}','{number}',{slot}", test.database);
    for step in 0..300 {
        let slot = random.below(4);
        match prepared[usize::try_from(slot).unwrap()].take() {
            Some(number) if random.below(3) == 0 => test.sql(&format!("XA ROLLBACK {}", xid(number, slot))),
            Some(number) => test.sql(&format!("XA COMMIT {}", xid(number, slot))),
            None if random.below(3) == 0 => {
                let work = changes(&mut random, slot);
                let xid = xid(step, slot);
                test.sql(&format!("XA START {xid};\n{work};\nXA END {xid};\nXA COMMIT {xid} ONE PHASE;"));
            }
            None => {
                let work = changes(&mut random, slot);
                xa(test, &xid(step, slot), &work);
                prepared[usize::try_from(slot).unwrap()] = Some(step);
            }
        }
        test.sql(&format!("REPLACE INTO plain VALUES ({}, {step})", random.below(20)));
        if random.below(8) == 0 {
            test.sql("FLUSH BINARY LOGS");
        }
        if random.below(40) == 0 {
            bridge.kill9();
            bridge = Bridge::start(&config);
        }
    }
    caught_up_and_equal(test, &mut bridge);
    assert_eq!(bridge.sigterm(), Some(0));
    for (slot, number) in (0..).zip(prepared) {
        if let Some(number) = number {
            test.sql(&format!("XA COMMIT {}", xid(number, slot)));
        }
    }
    let mut bridge = Bridge::start(&config);
    caught_up_and_equal(test, &mut bridge);
    bridge
}

/// Changes to the keys of one slot: ten ids between two rows that no transaction touches.
fn changes(random: &mut Random, slot: u64) -> String {
    let mut work = Vec::new();
    for _ in 0..1 + random.below(6) {
        let (id, other) = (slot * 100 + 10 + random.below(10), slot * 100 + 10 + random.below(10));
        let text = random.below(1_000_000);
        work.push(match random.below(5) {
            0 => format!("DELETE FROM t WHERE id = {id}"),
            1 => format!("UPDATE t SET name = '{text}' WHERE id = {id}"),
            2 => format!("UPDATE IGNORE t SET id = {other}, name = '{text}' WHERE id = {id}"),
            3 => format!("INSERT INTO u VALUES ('{id}', {slot}, {text}) ON DUPLICATE KEY UPDATE v = {text}"),
            _ => format!("REPLACE INTO t VALUES ({id}, '{text}')"),
        });
    }
    work.join(";\n")
}
