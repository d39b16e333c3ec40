//! Sources that come back different from what they were: never gone on with in silence.
//!
//! In each case the source gives the GTIDs that were replicated again, to other transactions, and more than there were: so
//! GTIDs alone would say that nothing is missing. Where it is proved that the position itself is purged: `resync.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::bridge::{Bridge, Config, PATIENCE, SourcePosition, Stopped};
use support::fixture::Fixture;
use support::servers::Servers;
use tempfile::TempDir;

/// A source with rows that are replicated, and then more of them.
struct Source {
    test: Fixture,
    config: Config,
}

impl Source {
    fn new(name: &str) -> Self {
        let test = Fixture::on(Servers::own_mysql(name, &[]), name);
        test.sql("CREATE TABLE t (id INT PRIMARY KEY, v INT);\nINSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
        let mut config = test.config();
        config.set("state.checkpoint_interval", "100ms").set("mysql.on_lost_position", "fail");
        Self { test, config }
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(self.test.row::<String>("SELECT @@datadir"))
    }

    fn write(&self, transactions: u32, v: u32) {
        for id in 10..10 + transactions {
            self.test.sql(&format!("REPLACE INTO t VALUES ({id}, {v})"));
        }
    }

    fn start(&mut self) {
        self.test.servers.start_mysql(&[]);
        self.test.reconnect();
    }

    fn executed(&self) -> String {
        self.test.row("SELECT @@gtid_executed")
    }

    /// The source has come back: a start ends with this reason, changes nothing, and repairs when it may.
    fn assert_told_and_repaired(&mut self, word: &str) {
        let before = self.test.clickhouse("SELECT * FROM {db}.t FINAL ORDER BY id");
        let mut refused = Bridge::spawn(&self.config);
        assert_eq!(refused.wait_end(), Some(1), "it went on in silence");
        let log = refused.log();
        assert!(log.contains(word) && log.contains("on_lost_position"), "{word:?} is not in {log}");
        assert_eq!(self.test.clickhouse("SELECT * FROM {db}.t FINAL ORDER BY id"), before);
        self.config.set("mysql.on_lost_position", "snapshot");
        let mut bridge = Bridge::spawn(&self.config);
        bridge.wait_streaming();
        bridge.wait_all_streaming(&self.test, PATIENCE);
        self.test.assert_all_equal();
        self.write(3, 77);
        bridge.wait_caught_up(&self.test, PATIENCE);
        self.test.assert_all_equal();
        assert_eq!(bridge.sigterm(), Some(0));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    let done = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}

/// What was executed then is a part of what is executed now: GTIDs show no difference.
fn assert_contained(source: &Source, executed: &str) {
    let (now, then) = (source.executed(), executed.replace('\n', ""));
    assert!(source.test.row::<bool>(&format!("SELECT GTID_SUBSET('{then}', '{now}')")), "{then} {now}");
}

/// The bridge, if it is to be connected when the source comes back.
fn connected(bridge: Bridge, is_running: bool) -> Option<Bridge> {
    if is_running {
        return Some(bridge);
    }
    assert_eq!(bridge.sigterm(), Some(0));
    None
}

/// A bridge that is connected ends by itself.
fn assert_told_at_once(bridge: Option<Bridge>) {
    let Some(mut bridge) = bridge else { return };
    assert_eq!(bridge.wait_end(), Some(1), "it went on in silence");
    assert!(bridge.log().contains("mysql.on_lost_position"), "{}", bridge.log());
}

fn a_reset(name: &str, is_running: bool) {
    let mut source = Source::new(name);
    let mut bridge = Bridge::start(&source.config);
    source.write(3, 5);
    bridge.wait_caught_up(&source.test, PATIENCE);
    let executed = source.executed();
    let bridge = connected(bridge, is_running);
    source.test.sql("FLUSH BINARY LOGS;\nRESET BINARY LOGS AND GTIDS");
    source.write(60, 6);
    source.test.sql("DELETE FROM t WHERE id = 2");
    assert_contained(&source, &executed);
    assert_told_at_once(bridge);
    source.assert_told_and_repaired("the checkpoint");
}

#[test]
fn reset_while_we_were_away() {
    a_reset("came_reset", false);
}

#[test]
fn reset_while_we_were_connected() {
    a_reset("came_reset_running", true);
}

/// Its numbers begin anew and may be higher than the position's by now.
#[test]
fn another_log_name_while_we_were_away() {
    let mut source = Source::new("came_renamed");
    let mut bridge = Bridge::start(&source.config);
    source.test.sql("FLUSH BINARY LOGS;\nFLUSH BINARY LOGS");
    source.write(60, 5);
    bridge.wait_caught_up(&source.test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
    source.test.servers.stop_mysql();
    source.test.servers.start_mysql(&["--log-bin=other"]);
    source.test.reconnect();
    source.write(3, 6);
    (0..6).for_each(|_| source.test.execute("FLUSH BINARY LOGS"));
    source.assert_told_and_repaired("the checkpoint is in binlog.");
}

fn a_restored_folder(name: &str, is_running: bool) {
    let mut source = Source::new(name);
    let folder = source.folder();
    let kept = TempDir::new().unwrap();
    source.test.servers.stop_mysql();
    copy(&folder, kept.path());
    source.start();
    let mut bridge = Bridge::start(&source.config);
    source.write(5, 5);
    source.test.sql("DELETE FROM t WHERE id = 1");
    bridge.wait_caught_up(&source.test, PATIENCE);
    let executed = source.executed();
    let bridge = connected(bridge, is_running);
    source.test.servers.stop_mysql();
    copy(kept.path(), &folder);
    source.start();
    source.write(60, 6);
    assert_contained(&source, &executed);
    assert_told_at_once(bridge);
    source.assert_told_and_repaired("the checkpoint");
}

#[test]
fn an_older_data_folder_while_we_were_away() {
    a_restored_folder("came_restored", false);
}

#[test]
fn an_older_data_folder_while_we_were_connected() {
    a_restored_folder("came_restored_running", true);
}

/// A server without `sync_binlog=1` whose machine went down.
fn a_lost_tail(name: &str, is_running: bool) {
    let mut source = Source::new(name);
    let mut bridge = Bridge::start(&source.config);
    source.write(3, 4);
    let kept = SourcePosition::now(&source.test);
    source.test.sql("INSERT INTO t VALUES (5, 5);\nINSERT INTO t VALUES (6, 6);\nDELETE FROM t WHERE id = 1");
    bridge.wait_caught_up(&source.test, PATIENCE);
    let (executed, folder) = (source.executed(), source.folder());
    let bridge = connected(bridge, is_running);
    source.test.servers.kill_mysql();
    let file = std::fs::File::options().write(true).open(folder.join(&kept.file)).unwrap();
    file.set_len(kept.offset).unwrap();
    source.start();
    // Its tables have lost them too.
    source.test.sql(
        "SET sql_log_bin = 0;\nDELETE FROM t WHERE id IN (5, 6);\nINSERT INTO t VALUES (1, 1);\nSET sql_log_bin = 1",
    );
    source.write(60, 7);
    assert_contained(&source, &executed);
    assert_told_at_once(bridge);
    source.assert_told_and_repaired("the checkpoint is at");
}

#[test]
fn a_binlog_without_its_tail_while_we_were_away() {
    a_lost_tail("came_tail", false);
}

#[test]
fn a_binlog_without_its_tail_while_we_were_connected() {
    a_lost_tail("came_tail_running", true);
}

/// As a machine goes down that has not written all to its disk: the tables have lost what the binary log has lost. The
/// checkpoint is from before, so nothing is wrong with it.
#[test]
fn a_binlog_without_its_tail_after_the_checkpoint() {
    let mut source = Source::new("came_tail_killed");
    source.config.set("state.checkpoint_interval", "1h");
    let (mut bridge, folder) = (Bridge::start(&source.config), source.folder());
    let disk = TempDir::new().unwrap();
    {
        let _stopped = Stopped::new(source.test.servers.mysql.pid.expect("an own server has a pid"));
        copy(&folder, disk.path());
    }
    source.test.sql("INSERT INTO t VALUES (5, 5);\nINSERT INTO t VALUES (6, 6);\nDELETE FROM t WHERE id = 1");
    bridge.wait_caught_up(&source.test, PATIENCE);
    let executed = source.executed();
    bridge.kill9();
    source.test.servers.kill_mysql();
    copy(disk.path(), &folder);
    source.start();
    source.write(60, 8);
    assert_contained(&source, &executed);
    source.assert_told_and_repaired("the checkpoint is at");
}

#[test]
fn another_server_at_the_same_address() {
    let mut source = Source::new("came_other");
    let mut bridge = Bridge::start(&source.config);
    source.write(3, 5);
    bridge.wait_caught_up(&source.test, PATIENCE);
    // It has another identity, and rows of its own.
    let folder = source.folder();
    source.test.servers.stop_mysql();
    std::fs::remove_file(folder.join("auto.cnf")).unwrap();
    source.start();
    source.test.sql("SET sql_log_bin = 0;\nUPDATE t SET v = 9;\nSET sql_log_bin = 1");
    assert_eq!(bridge.wait_end(), Some(1), "it went on in silence");
    assert!(bridge.log().contains("this is another server"), "{}", bridge.log());
    source.assert_told_and_repaired("the checkpoint is from the server");
}
