//! How long the source keeps what a restart needs: shown, warned of, and kept fresh while the chosen tables are quiet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use support::bridge::{Bridge, PATIENCE, SourcePosition, Status, Stopped};
use support::fixture::Fixture;
use support::servers::Servers;
use support::wait_until;

const EXPIRY_SECONDS: f64 = 40.0;

fn seconds_left(status: &Status) -> Option<f64> {
    status.0["retention"]["seconds_left"].as_f64()
}

fn count(status: &Status, key: &str) -> u64 {
    status.0["retention"][key].as_u64().unwrap_or(u64::MAX)
}

/// Two more binary log files, with rows.
fn rotate(test: &Fixture, table: &str) {
    for _ in 0..2 {
        test.sql(&format!(
            "INSERT INTO {table} (v) SELECT REPEAT('x', 1000) FROM information_schema.columns LIMIT 100"
        ));
        test.sql("FLUSH BINARY LOGS");
    }
}

#[test]
fn what_is_needed_ages_while_nothing_can_be_written() {
    let expiry = format!("--binlog_expire_logs_seconds={EXPIRY_SECONDS}");
    let test = Fixture::on(Servers::own("retention", &[&expiry]), "retention");
    test.sql("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)");
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1s");
    let mut bridge = Bridge::start(&config);
    let status = bridge.wait_for("the retention", PATIENCE, |status| seconds_left(status).is_some());
    let newest = SourcePosition::now(&test).file;
    let retention = &status.0["retention"];
    assert_eq!(
        (retention["needed_file"].as_str(), retention["oldest_file"].is_string()),
        (Some(newest.as_str()), true)
    );
    assert_eq!(retention["expiry_seconds"].as_f64(), Some(EXPIRY_SECONDS));
    assert_eq!(count(&status, "files_behind"), 0);
    let left = seconds_left(&status).unwrap();
    assert!(left > EXPIRY_SECONDS - 7.0 && left <= EXPIRY_SECONDS, "{left}");

    let stopped = Stopped::new(test.servers.clickhouse.pid.unwrap());
    rotate(&test, "t");
    let status = bridge.wait_for("files behind", PATIENCE, |status| count(status, "files_behind") == 2);
    let sizes: Vec<(String, u64, String)> = test.rows("SHOW BINARY LOGS");
    let since = sizes.iter().filter(|(file, ..)| *file >= newest).map(|(_, bytes, _)| bytes).sum::<u64>();
    let position = &status.0["checkpoint"]["position"];
    assert_eq!(count(&status, "bytes_behind"), since - position["offset"].as_u64().unwrap());
    let first = seconds_left(&status).unwrap();
    bridge.wait_for("less time left", PATIENCE, |status| seconds_left(status).unwrap() < first - 5.0);
    assert!(!bridge.log().contains("may purge"), "it is not half gone");
    wait_until("the warning", PATIENCE, || bridge.log().contains("may purge the binary log"));
    let told = support::bridge::run_command("status", &config);
    assert!(told.stdout.contains("2 files behind; kept for 0.0 hours at least"), "{}", told.stdout);

    drop(stopped);
    bridge.wait_caught_up(&test, PATIENCE);
    let is_fresh = |status: &Status| count(status, "files_behind") == 0 && seconds_left(status).unwrap() > 33.0;
    bridge.wait_for("all the time again", PATIENCE, is_fresh);
    test.assert_all_equal();
    test.sql("SET GLOBAL binlog_expire_logs_auto_purge = OFF");
    bridge.wait_for("no purge", PATIENCE, |status| {
        status.0["retention"].is_object() && status.0["retention"]["seconds_left"].is_null()
    });
    assert_eq!(bridge.log().matches("may purge").count(), 1);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Others write, the chosen tables do not: the files behind are not needed, and may be purged.
#[test]
fn quiet_tables_need_no_old_files() {
    let test = Fixture::on(Servers::own_mysql("retention_quiet", &[]), "retention_quiet");
    test.sql("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT);\nINSERT INTO t (v) VALUES ('one')");
    test.sql("CREATE DATABASE busy;\nCREATE TABLE busy.t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)");
    let mut config = test.config();
    config.set("state.checkpoint_interval", "1s");
    let mut bridge = Bridge::start(&config);
    let rows = bridge.wait_caught_up(&test, PATIENCE).rows_total();
    for _ in 0..2 {
        rotate(&test, "busy.t");
        test.sql("INSERT INTO busy.t (v) VALUES ('last')");
        let newest = SourcePosition::now(&test);
        let is_there = |status: &Status| {
            status.checkpoint_file() == newest.file && status.0["checkpoint"]["position"]["offset"] == newest.offset
        };
        bridge.wait_for("a checkpoint at the end", Duration::from_secs(10), is_there);
        test.sql(&format!("PURGE BINARY LOGS TO '{}'", newest.file));
        bridge.kill9();
        bridge = Bridge::start(&config);
        bridge.wait_caught_up(&test, PATIENCE);
    }
    assert_eq!(rows, 1);
    assert!(!bridge.log().contains("lost"), "nothing was copied anew: {}", bridge.log());
    test.sql("INSERT INTO t (v) VALUES ('two')");
    assert_eq!(bridge.wait_caught_up(&test, PATIENCE).rows_total(), 1);
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
}
