//! Tables that are copied anew beside their targets, on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mysql::prelude::Queryable;

use support::bridge::{Bridge, Config, Ended, PATIENCE, run_with};
use support::fixture::Fixture;
use support::load::{Random, allow_many_numbers, numbers};
use support::servers::Servers;
use support::writers::Writers;

/// How long a copy may take.
const COPY: Duration = Duration::from_secs(240);

fn create_big(test: &Fixture, rows: u64) {
    test.sql("CREATE TABLE big (id INT NOT NULL PRIMARY KEY, n INT NOT NULL, name VARCHAR(40), price DECIMAL(10,2))");
    allow_many_numbers(test);
    let select = "SELECT i * 3, i, CONCAT('row ', i), i / 7 FROM n";
    test.sql(&format!("INSERT INTO big (id, n, name, price) {} {select}", numbers(1, rows)));
}

/// `stream-bridge COMMAND TABLE`.
fn command(command: &str, config: &Config, table: &str) -> Ended {
    let folder = tempfile::TempDir::new().unwrap();
    run_with(&[command, table, "--config", config.write().to_str().unwrap()], folder.path())
}

fn resync(bridge: &Bridge, test: &Fixture, table: &str) {
    let ended = command("resync", bridge.config(), &format!("{}.{table}", test.database));
    assert_eq!(ended.code, Some(0), "{}", ended.text());
}

fn wait_state(bridge: &mut Bridge, test: &Fixture, table: &str, state: &str) {
    let name = format!("{}.{table}", test.database);
    bridge.wait_for(&format!("{name} {state}"), COPY, |status| status.table_state(&name) == state);
}

/// Waits until every table flows, and compares all.
fn assert_all_flow_and_equal(bridge: &mut Bridge, test: &Fixture) {
    bridge.wait_all_streaming(test, COPY);
    test.assert_all_equal();
    let left: Vec<String> = test.clickhouse_tables().into_iter().filter(|name| name.contains("__")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Counts rows again and again; the counts that fell.
fn watch_count(test: &Fixture, stop: &Arc<AtomicBool>) -> JoinHandle<(usize, Vec<(u64, u64)>)> {
    let (clickhouse, stop) = (test.servers.clickhouse.clone(), Arc::clone(stop));
    let select = format!("SELECT count() FROM `{}`.big FINAL", test.database);
    std::thread::spawn(move || {
        let (mut highest, mut looks, mut falls) = (0, 0, Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let count: u64 = clickhouse.query(&select).trim().parse().unwrap();
            if count < highest {
                falls.push((highest, count));
            }
            highest = highest.max(count);
            looks += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
        (looks, falls)
    })
}

#[test]
fn readers_see_all_rows_while_a_table_is_copied_anew() {
    let rows = std::env::var("STREAM_BRIDGE_TEST_RESYNC_ROWS").map_or(150_000, |rows| rows.parse().unwrap());
    let test = Fixture::new("resync");
    create_big(&test, rows);
    let mut bridge = Bridge::spawn(&test.config());
    wait_state(&mut bridge, &test, "big", "streaming");
    bridge.wait_caught_up(&test, PATIENCE);
    // A row that the source does not have, as if somebody had written it by hand.
    test.clickhouse("INSERT INTO `{db}`.big VALUES (-5, 1, 'by hand', 1, 1, 0)");
    let writers = Writers::start(&test, rows * 3, false);
    let stop = Arc::new(AtomicBool::new(false));
    let watch = watch_count(&test, &stop);
    resync(&bridge, &test, "big");
    wait_state(&mut bridge, &test, "big", "resync");
    wait_state(&mut bridge, &test, "big", "streaming");
    stop.store(true, Ordering::Relaxed);
    let (looks, falls) = watch.join().unwrap();
    writers.stop();
    // The row by hand is gone with the exchange: one fall by one.
    println!("{rows} rows, {looks} looks, falls: {falls:?}");
    assert!(looks > 5, "only {looks} looks");
    assert!(falls.iter().all(|(before, now)| before - now <= 1), "{falls:?}");
    assert_all_flow_and_equal(&mut bridge, &test);
}

#[test]
fn a_table_that_was_set_aside_comes_back() {
    let test = Fixture::new("resync_back");
    create_big(&test, 2000);
    let mut bridge = Bridge::spawn(&test.config());
    wait_state(&mut bridge, &test, "big", "streaming");
    test.clickhouse("ALTER TABLE `{db}`.big DROP COLUMN price");
    test.sql("UPDATE big SET n = n + 1 WHERE id < 300");
    let reason = bridge.wait_quarantined(&test, "big");
    assert!(reason.contains("price"), "{reason}");
    test.sql("UPDATE big SET n = n + 1 WHERE id > 300");
    resync(&bridge, &test, "big");
    assert_all_flow_and_equal(&mut bridge, &test);
    test.sql("DELETE FROM big WHERE id % 5 = 0");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("big");
    // A floor above everything: the target takes no row any more, and the one made like it must not have it.
    test.clickhouse(
        "ALTER TABLE `{db}`.big ADD CONSTRAINT stream_bridge_floor_high CHECK _version >= 18446744073709551615",
    );
    test.sql("UPDATE big SET n = 9 WHERE id < 60");
    let reason = bridge.wait_quarantined(&test, "big");
    assert!(reason.contains("469"), "{reason}");
    resync(&bridge, &test, "big");
    assert_all_flow_and_equal(&mut bridge, &test);
}

/// DDL is followed by copying: columns added and dropped, rows gone at once, a table of a new name.
#[test]
fn schema_changes_end_in_a_copy_of_the_new_shape() {
    let test = Fixture::new("resync_ddl");
    create_big(&test, 3000);
    test.sql("CREATE TABLE small (id INT PRIMARY KEY, v INT);\nINSERT INTO small VALUES (1, 1), (2, 2)");
    let mut bridge = Bridge::start(&test.config());
    let writers = Writers::start(&test, 9000, true);
    test.sql("ALTER TABLE big ADD COLUMN more VARCHAR(10) NOT NULL DEFAULT 'new' AFTER id");
    test.sql("TRUNCATE TABLE small");
    test.sql("INSERT INTO small VALUES (3, 3)");
    test.sql("CREATE TABLE later (id INT PRIMARY KEY, v VARCHAR(9));\nINSERT INTO later VALUES (1, 'a')");
    test.sql("ALTER TABLE small ADD COLUMN w INT DEFAULT 7, ADD INDEX (v)");
    test.sql("ALTER TABLE big DROP COLUMN price, MODIFY n BIGINT NOT NULL");
    test.sql("INSERT INTO later VALUES (2, 'b')");
    test.sql("ALTER TABLE big ADD COLUMN price DECIMAL(10, 2)");
    writers.stop();
    assert_all_flow_and_equal(&mut bridge, &test);
    let columns = test.clickhouse("SELECT name FROM system.columns WHERE database = '{db}' AND table = 'big'");
    assert_eq!(columns.lines().collect::<Vec<_>>(), ["id", "more", "n", "name", "price", "_version", "_is_deleted"]);
}

#[test]
fn rows_changed_by_statement_format_have_their_database_copied() {
    let test = Fixture::new("resync_statement");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20));\nCREATE TABLE u (id INT NOT NULL PRIMARY KEY)");
    // What else the statement changed by this trigger is nowhere in the binary log.
    test.sql("CREATE TRIGGER also AFTER UPDATE ON t FOR EACH ROW INSERT INTO u VALUES (NEW.id)");
    let mut bridge = Bridge::start(&test.config());
    test.sql("INSERT INTO t (id) VALUES (1), (2)");
    test.sql("SET SESSION binlog_format = 'STATEMENT';\nUPDATE t SET name = 'by statement' WHERE id = 1;\nSET SESSION binlog_format = 'ROW';");
    assert_all_flow_and_equal(&mut bridge, &test);
    assert!(bridge.log().contains("UPDATE t SET name"), "the statement is not in the log");
}

/// A table that is gone keeps what it had, and says so; its name comes back with another table.
#[test]
fn dropped_and_made_anew() {
    let test = Fixture::new("resync_drop");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY, v INT);\nINSERT INTO t VALUES (1, 1)");
    test.sql("CREATE TABLE u (id INT PRIMARY KEY);\nINSERT INTO u VALUES (1)");
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_caught_up(&test, PATIENCE);
    test.sql("DROP TABLE t;\nINSERT INTO u VALUES (2)");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(test.clickhouse_tables(), ["u"]);
    test.sql("CREATE TABLE t (key_ VARCHAR(9) PRIMARY KEY, w DATE);\nINSERT INTO t VALUES ('a', '2020-01-01')");
    assert_all_flow_and_equal(&mut bridge, &test);
    test.sql("RENAME TABLE t TO v;\nUPDATE v SET w = '2021-01-01'");
    bridge.wait_for("v streaming", COPY, |status| status.table_state(&format!("{}.v", test.database)) == "streaming");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("v");
}

/// A restart reads the statement again that had the table copied: it is below what the copy has seen.
#[test]
fn a_schema_change_that_is_read_again_does_not_begin_its_copy_anew() {
    let test = Fixture::on(Servers::own_mysql("resync-ddl-again", &[]), "resync_again");
    create_big(&test, 20_000);
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 1000).set("state.checkpoint_events", 1_000_000);
    let mut bridge = Bridge::spawn(&config);
    wait_state(&mut bridge, &test, "big", "streaming");
    config.set("snapshot.max_rows_per_second", 8000);
    bridge.kill9();
    let bridge = Bridge::start(&config);
    test.sql("UPDATE big SET n = 1 WHERE id < 30");
    test.sql("ALTER TABLE big ADD COLUMN more INT DEFAULT (2 + 3)");
    test.sql("UPDATE big SET n = 2 WHERE id < 60");
    let done = |at_least: u64| {
        let query = "SELECT count() FROM `{db}_state`.copy_chunks FINAL WHERE done AND toUInt128(shadow) != 0";
        support::wait_until("chunks to be done", COPY, || {
            test.clickhouse(query).trim().parse::<u64>().unwrap() >= at_least
        });
    };
    done(3);
    bridge.kill9();
    let bridge = Bridge::start(&config);
    done(6);
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    assert_all_flow_and_equal(&mut bridge, &test);
    let shadows = "SELECT uniqExact(shadow) FROM `{db}_state`.copy_chunks WHERE toUInt128(shadow) != 0";
    assert_eq!(test.clickhouse(shadows).trim(), "1", "the copy began anew");
}

#[test]
fn a_copy_goes_on_after_kills() {
    let test = Fixture::new("resync_kills");
    create_big(&test, 60_000);
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 2000).set("pipeline.batch_size", 1000);
    let mut bridge = Bridge::spawn(&config);
    wait_state(&mut bridge, &test, "big", "streaming");
    test.clickhouse("INSERT INTO `{db}`.big VALUES (-5, 1, 'by hand', 1, 1, 0)");
    let writers = Writers::start(&test, 180_000, true);
    let mut random = Random::new(7);
    config.set("snapshot.max_rows_per_second", 40_000);
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    resync(&bridge, &test, "big");
    let mut kills = 0;
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(random.below(900)));
        let name = format!("{}.big", test.database);
        let is_copying = bridge.status().is_ok_and(|status| status.table_state(&name) == "resync");
        kills += u32::from(is_copying);
        bridge.kill9();
        bridge = Bridge::start(&config);
    }
    assert!(kills > 1, "only {kills} kills in mid-copy");
    wait_state(&mut bridge, &test, "big", "streaming");
    // Before the next checkpoint: the stream comes again from below the floor.
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    writers.stop();
    assert_all_flow_and_equal(&mut bridge, &test);
    let read = "SELECT count() FROM `{db}_state`.copy_chunks FINAL WHERE shadow != toUUID('00000000-0000-0000-0000-000000000000')";
    // Not its plans: a copy that is killed while it is cut goes on under another one.
    let shadows = test.clickhouse(&read.replace("count()", "uniqExact(shadow)"));
    assert!(shadows.trim().parse::<u32>().unwrap() <= 2, "the copy began anew: {shadows} shadows");
}

#[test]
fn xa_transactions_around_a_copy() {
    let test = Fixture::on(Servers::own_mysql("resync-xa", &[]), "resync_xa");
    create_big(&test, 5000);
    let mut bridge = Bridge::start(&test.config());
    wait_state(&mut bridge, &test, "big", "streaming");
    let xid = |name: &str| format!("'{}', '{name}'", test.database);
    let prepare = |name: &str, sql: &str| {
        let (mut connection, xid) = (test.connect(), xid(name));
        for statement in [&format!("XA START {xid}"), sql, &format!("XA END {xid}"), &format!("XA PREPARE {xid}")] {
            connection.query_drop(statement).unwrap();
        }
    };
    prepare("before", "UPDATE big SET name = 'prepared before' WHERE id = 3");
    bridge.wait_caught_up(&test, PATIENCE);
    test.clickhouse("ALTER TABLE `{db}`.big DROP COLUMN price");
    test.sql("UPDATE big SET n = n + 1 WHERE id = 30");
    bridge.wait_quarantined(&test, "big");
    resync(&bridge, &test, "big");
    let name = format!("{}.big", test.database);
    let told = bridge.wait_for("waiting for XA", PATIENCE, |status| status.table_reason(&name).contains("decided"));
    assert_eq!(told.table_state(&name), "resync");
    prepare("after", "UPDATE big SET name = 'prepared after' WHERE id = 6");
    test.sql(&format!("XA COMMIT {}", xid("before")));
    wait_state(&mut bridge, &test, "big", "streaming");
    test.sql(&format!("XA COMMIT {}", xid("after")));
    assert_all_flow_and_equal(&mut bridge, &test);
    let names: Vec<String> = test.rows("SELECT name FROM big WHERE id IN (3, 6) ORDER BY id");
    assert_eq!(names, ["prepared before", "prepared after"]);
}

/// Rows below the floor are passed over when they come again, also when an XA transaction came before them whose table
/// had to be looked at.
#[test]
fn after_a_kill_xa_transactions_from_before_the_copy_come_again() {
    let test = Fixture::new("resync_xa_again");
    create_big(&test, 100);
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1h");
    let mut bridge = Bridge::start(&config);
    wait_state(&mut bridge, &test, "big", "streaming");
    let xid = format!("'{}', 'again'", test.database);
    test.sql(&format!("XA START {xid};\nUPDATE big SET n = 5 WHERE id = 3;\nXA END {xid};\nXA PREPARE {xid};"));
    test.sql(&format!("XA COMMIT {xid};\nUPDATE big SET n = 7 WHERE id = 30;"));
    bridge.wait_caught_up(&test, PATIENCE);
    resync(&bridge, &test, "big");
    wait_state(&mut bridge, &test, "big", "streaming");
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    assert_all_flow_and_equal(&mut bridge, &test);
}

/// What readers see stays whole, and is replaced, when there is no way to go on from the saved position.
#[test]
fn a_lost_position_copies_all_tables_anew() {
    let test = Fixture::on(Servers::own_mysql("resync-lost", &[]), "resync_lost");
    create_big(&test, 4000);
    let mut config = test.config();
    config.set("state.checkpoint_interval", "100ms");
    let mut bridge = Bridge::start(&config);
    wait_state(&mut bridge, &test, "big", "streaming");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
    test.sql("DELETE FROM big WHERE id % 2 = 0;\nUPDATE big SET n = 5 WHERE id % 7 = 0;\nFLUSH BINARY LOGS");
    let last: String = test.rows::<(String, u64, String)>("SHOW BINARY LOGS").pop().unwrap().0;
    test.sql(&format!("PURGE BINARY LOGS TO '{last}'"));
    let before = test.clickhouse("SELECT count() FROM `{db}`.big FINAL");
    config.set("mysql.on_lost_position", "fail");
    let mut refused = Bridge::spawn(&config);
    assert_eq!(refused.wait_end(), Some(1));
    assert!(refused.log().contains("purged"), "{}", refused.log());
    assert_eq!(test.clickhouse("SELECT count() FROM `{db}`.big FINAL"), before);
    config.set("mysql.on_lost_position", "snapshot");
    let mut bridge = Bridge::spawn(&config);
    assert_all_flow_and_equal(&mut bridge, &test);
    bridge.kill9();
    let mut bridge = Bridge::start(&config);
    test.sql("UPDATE big SET n = 6 WHERE id % 11 = 0");
    assert_all_flow_and_equal(&mut bridge, &test);
}

#[test]
fn a_first_start_replaces_rows_that_are_in_the_target() {
    let test = Fixture::new("resync_filled");
    create_big(&test, 2000);
    test.clickhouse("CREATE DATABASE IF NOT EXISTS `{db}`");
    test.clickhouse(
        "CREATE TABLE `{db}`.big (id Int32, n Int32, name Nullable(String), price Nullable(Decimal(10, 2)), own String DEFAULT 'mine', \
         _version UInt64, _is_deleted UInt8) ENGINE = ReplacingMergeTree(_version, _is_deleted) ORDER BY id"
    );
    test.clickhouse("INSERT INTO `{db}`.big (id, n, _version) SELECT number, 1, 1 FROM numbers(50)");
    let mut bridge = Bridge::spawn(&test.config());
    assert_all_flow_and_equal(&mut bridge, &test);
    assert_eq!(test.clickhouse("SELECT DISTINCT own FROM `{db}`.big").trim(), "mine", "made like the one it replaces");
}

#[test]
fn what_cannot_be_copied_says_why() {
    let test = Fixture::new("resync_no");
    test.sql("CREATE TABLE t (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1)");
    let bridge = Bridge::start(&test.config());
    let check = |how: &str, table: &str, part: &str| {
        let ended = command(how, bridge.config(), table);
        assert_eq!(ended.code, Some(1), "{}", ended.text());
        assert!(ended.stderr.contains(part), "{}", ended.text());
    };
    check("resync", "elsewhere.t", "is not chosen");
    check("snapshot", &format!("{}.t", test.database), "replicated already");
    check("resync", "no table", "must be one table");
    // It is chosen, but the source does not have it.
    let ended = command("snapshot", bridge.config(), &format!("{}.nothing", test.database));
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let mut bridge = bridge;
    let name = format!("{}.nothing", test.database);
    bridge.wait_for("why it is not there", PATIENCE, |status| status.table_reason(&name).contains("no such table"));
}

/// The position that the SELECTs have seen comes from `performance_schema.log_status` here, ahead of the stream.
#[test]
fn without_gtid_too() {
    let options = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    let test = Fixture::on(Servers::own_mysql("resync-no-gtid", &options), "resync_no_gtid");
    test.sql("GRANT BACKUP_ADMIN ON *.* TO bridge;\nGRANT SELECT ON performance_schema.log_status TO bridge");
    create_big(&test, 20_000);
    let mut bridge = Bridge::spawn(&test.config());
    wait_state(&mut bridge, &test, "big", "streaming");
    let writers = Writers::start(&test, 60_000, true);
    for round in 0..3 {
        if round == 2 {
            // The new file's PREVIOUS_GTIDS is empty, which says nothing.
            test.sql("FLUSH BINARY LOGS");
        }
        resync(&bridge, &test, "big");
        wait_state(&mut bridge, &test, "big", "resync");
        wait_state(&mut bridge, &test, "big", "streaming");
    }
    test.sql("ALTER TABLE big ADD COLUMN more INT DEFAULT 3");
    writers.stop();
    assert_all_flow_and_equal(&mut bridge, &test);
    test.sql("FLUSH BINARY LOGS");
    let config = bridge.config().clone();
    assert_eq!(bridge.sigterm(), Some(0));
    let mut bridge = Bridge::start(&config);
    test.sql("UPDATE big SET n = 8 WHERE id < 300");
    assert_all_flow_and_equal(&mut bridge, &test);
}

/// Waits until chunks of a table's copy into a shadow are done, but not all.
fn wait_half_copied(bridge: &mut Bridge, test: &Fixture, table: &str) {
    let name = format!("{}.{table}", test.database);
    let is_half = |reason: &str| reason.contains(" %, ") && !reason.contains("copying: 0 %");
    bridge.wait_for("half of a copy", COPY, |status| is_half(&status.table_reason(&name)));
}

/// The shadow has its floor already, and the stream comes again from below it.
#[test]
fn a_kill_between_floor_and_exchange_does_not_end_the_copy() {
    let test = Fixture::new("resync_floor");
    create_big(&test, 4000);
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1h").set("snapshot.chunk_rows", 500);
    let mut bridge = Bridge::spawn(&config);
    wait_state(&mut bridge, &test, "big", "streaming");
    assert_eq!(bridge.sigterm(), Some(0));
    config.set("snapshot.max_rows_per_second", 500);
    let mut bridge = Bridge::start(&config);
    test.sql("UPDATE big SET n = n + 1 WHERE id < 300");
    bridge.wait_caught_up(&test, PATIENCE);
    resync(&bridge, &test, "big");
    wait_half_copied(&mut bridge, &test, "big");
    bridge.kill9();
    let saved = "SELECT concat('big__copy_', substring(toString(shadow), 1, 8), '` ADD CONSTRAINT stream_bridge_floor \
                 CHECK _version >= ', toString(shadow_version)) FROM `{db}_state`.table_states FINAL WHERE table = '{db}.big'";
    let floor = test.clickhouse(saved).trim().to_owned();
    test.clickhouse(&format!("ALTER TABLE `{{db}}`.`{floor}"));
    config.remove("snapshot.max_rows_per_second");
    let mut bridge = Bridge::spawn(&config);
    assert_all_flow_and_equal(&mut bridge, &test);
    assert!(!bridge.log().contains("ended"), "{}", bridge.log());
    assert_eq!(bridge.status().unwrap().table_reason(&format!("{}.big", test.database)), "");
}

/// What changed meanwhile is in no chunk that was done before.
#[test]
fn a_copy_whose_table_was_left_out_for_a_while_is_not_gone_on_with() {
    let test = Fixture::new("resync_left_out");
    create_big(&test, 4000);
    test.sql("CREATE TABLE other (id INT PRIMARY KEY)");
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 500);
    let mut bridge = Bridge::spawn(&config);
    wait_state(&mut bridge, &test, "big", "streaming");
    assert_eq!(bridge.sigterm(), Some(0));
    config.set("snapshot.max_rows_per_second", 500);
    let mut bridge = Bridge::start(&config);
    test.sql("ALTER TABLE big ADD COLUMN more INT DEFAULT (2 + 3)");
    wait_half_copied(&mut bridge, &test, "big");
    assert_eq!(bridge.sigterm(), Some(0));
    config.remove("snapshot.max_rows_per_second").set("replicate.exclude", vec![format!("{}.big", test.database)]);
    let mut bridge = Bridge::start(&config);
    test.sql("UPDATE big SET more = 5;\nINSERT INTO other VALUES (1)");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
    config.remove("replicate.exclude");
    let mut bridge = Bridge::spawn(&config);
    let reason = bridge.wait_quarantined(&test, "big");
    assert!(reason.contains("ALTER TABLE"), "{reason}");
    resync(&bridge, &test, "big");
    wait_state(&mut bridge, &test, "big", "streaming");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("big");
}

/// Both servers go away while rows are copied, first into the target and then into a shadow: both copies go on.
#[test]
fn servers_that_die_in_mid_copy() {
    let mut test = Fixture::on(Servers::own("resync-outage", &[]), "resync_outage");
    create_big(&test, 20_000);
    let mut config = test.config();
    config.set("snapshot.chunk_rows", 1000).set("snapshot.max_rows_per_second", 5000);
    let mut bridge = Bridge::spawn(&config);
    let name = format!("{}.big", test.database);
    for state in ["snapshot", "resync"] {
        bridge.wait_for("rows to be copied", COPY, |status| {
            status.table_state(&name) == state && status.table_reason(&name).contains(" rows/s")
        });
        test.servers.kill_clickhouse();
        test.servers.stop_mysql();
        test.servers.start_mysql(&[]);
        test.reconnect();
        test.sql("UPDATE big SET n = n + 1 WHERE id % 7 = 0");
        test.servers.start_clickhouse();
        wait_state(&mut bridge, &test, "big", "streaming");
        assert_all_flow_and_equal(&mut bridge, &test);
        if state == "snapshot" {
            resync(&bridge, &test, "big");
        }
    }
    assert_eq!(bridge.status().unwrap().table_reason(&name), "");
}

/// A table that is replicated, and whose name is that of a helper of a table that came later.
#[test]
fn a_copy_of_what_has_become_a_helper_by_its_name_is_not_forgotten_by_a_restart() {
    let test = Fixture::new("resync_helper");
    test.sql(
        "SET SESSION cte_max_recursion_depth = 10000;
         CREATE TABLE _t_old (id INT PRIMARY KEY, a INT NOT NULL);
         INSERT INTO _t_old WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000) SELECT n, n FROM n;",
    );
    let mut config = test.config();
    config.set("snapshot.max_rows_per_second", 300).set("snapshot.chunk_rows", 100);
    config.set("state.checkpoint_interval", "1s");
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, COPY);
    test.sql("ALTER TABLE _t_old DROP PRIMARY KEY, ADD PRIMARY KEY (a);\nCREATE TABLE t (id INT PRIMARY KEY);");
    let name = format!("{}._t_old", test.database);
    bridge.wait_for("a chunk", COPY, |status| status.table_reason(&name).contains(" rows/s"));
    // The statement is not to come again.
    let saved = bridge.status().unwrap().checkpoint_seq();
    test.sql("INSERT INTO t VALUES (1)");
    bridge.wait_for("a checkpoint", COPY, |status| status.checkpoint_seq() > saved);
    test.sql("INSERT INTO t VALUES (2)");
    bridge.wait_for("a checkpoint", COPY, |status| status.checkpoint_seq() > saved + 1);
    bridge.kill9();
    config.remove("snapshot.max_rows_per_second");
    let mut bridge = Bridge::start(&config);
    assert_all_flow_and_equal(&mut bridge, &test);
    assert_eq!(bridge.sigterm(), Some(0));
}
