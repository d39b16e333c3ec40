//! The end of a process, on real servers: SIGTERM under load, in mid-copy, in mid-change, with servers that hang or are
//! away; and a second signal. It ends in time, its exit code and its text tell what is acked, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::{Duration, Instant};

use support::bridge::{Bridge, Config, PATIENCE, SourcePosition, Status, Stopped, signal};
use support::fixture::Fixture;
use support::load::Sysbench;
use support::servers::Servers;
use support::wait_until;

/// `pipeline.shutdown_timeout` of the tests.
const TIMEOUT: Duration = Duration::from_secs(4);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(3);

fn with_timeout(test: &Fixture) -> Config {
    let mut config = test.config();
    config.set("pipeline.shutdown_timeout", "4s");
    config
}

/// Sends SIGTERM; exit code, how long it took, and what was logged since.
fn terminate(mut bridge: Bridge) -> (Option<i32>, Duration, String) {
    let (before, sent) = (bridge.log().len(), Instant::now());
    signal("TERM", bridge.pid());
    let code = bridge.wait_end();
    (code, sent.elapsed(), bridge.log()[before..].to_owned())
}

/// It could not be done in time: exit code 1, and a text with all these words.
fn assert_late(ended: &(Option<i32>, Duration, String), words: &[&str]) {
    let (code, took, log) = ended;
    assert_eq!(*code, Some(1), "{log}");
    // The router's clock is read a moment before it learns of the signal.
    let least = TIMEOUT - Duration::from_millis(100);
    assert!(*took >= least && *took < TIMEOUT + SLACK, "{took:?}: {log}");
    let said = log.lines().find(|line| line.contains("pipeline.shutdown_timeout (4 s) is over"));
    let said = said.unwrap_or_else(|| panic!("nothing is said: {log}"));
    assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
}

fn place(status: &Status) -> (String, u64) {
    let position = &status.0["position"];
    (position["file"].as_str().unwrap().to_owned(), position["offset"].as_u64().unwrap())
}

/// The position of the newest checkpoint, as ClickHouse has it.
fn saved_place(test: &Fixture) -> (String, u64) {
    let query =
        "SELECT file, offset FROM `{db}_state`.checkpoint_latest FINAL ORDER BY timeline DESC, seq DESC LIMIT 1";
    let saved = test.clickhouse(query);
    let (file, offset) = saved.split_once('\t').unwrap();
    (file.to_owned(), offset.parse().unwrap())
}

#[test]
fn under_full_load_all_that_was_read_is_flushed_and_saved() {
    let test = Fixture::on(Servers::own("stop-load", &[]), "stop_load");
    Sysbench::create(&test);
    let config = with_timeout(&test);
    let mut bridge = Bridge::start(&config);
    Sysbench::fill(&test);
    bridge.wait_caught_up(&test, PATIENCE);
    let mut load = Sysbench::start(&test, 30);
    for _ in 0..5 {
        let rows = bridge.status().unwrap().rows_total();
        let status = bridge.wait_for("load", PATIENCE, |status| status.rows_total() > rows + 2000);
        assert!(!load.has_ended());
        let (code, took, log) = terminate(bridge);
        assert!(code == Some(0) && took < TIMEOUT, "{code:?} {took:?} {log}");
        assert!(saved_place(&test) >= place(&status), "{:?} {:?}", saved_place(&test), place(&status));
        println!("ended in {:.3} s", took.as_secs_f64());
        bridge = Bridge::start(&config);
    }
    load.wait();
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    // Nothing is read again: what is saved is all that was acked.
    let end = SourcePosition::now(&test);
    assert_eq!(terminate(bridge).0, Some(0));
    assert!(saved_place(&test) >= (end.file, end.offset));
}

/// Rows of both tables.
const ROWS: &str = "INSERT INTO a (n) VALUES (1), (2), (3);\nINSERT INTO b (n) VALUES (1);";
const TABLES: &str = "CREATE TABLE a (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT);\nCREATE TABLE b LIKE a;";

#[test]
fn a_clickhouse_that_hangs_does_not_keep_it() {
    let test = Fixture::on(Servers::own("stop-hang", &[]), "stop_hang");
    test.sql(TABLES);
    let config = with_timeout(&test);
    let clickhouse = || test.servers.clickhouse.pid.unwrap();

    // ClickHouse hangs while rows wait for it.
    let mut bridge = Bridge::start(&config);
    test.sql(ROWS);
    bridge.wait_caught_up(&test, PATIENCE);
    let stopped = Stopped::new(clickhouse());
    let (before, noted) = (saved_text(&bridge), SourcePosition::now(&test));
    test.sql(ROWS);
    bridge.wait_for("the rows to be read", PATIENCE, |status| place(status) > (noted.file.clone(), noted.offset));
    let ended = terminate(bridge);
    let (a, b) = (format!("{}.a (", test.database), format!("{}.b (", test.database));
    assert_late(&ended, &[&a, &b, "inserts)", &before, "Nothing is lost"]);

    // It hangs at the start: nothing is to be flushed.
    let bridge = Bridge::spawn(&config);
    wait_until("the interface", PATIENCE, || bridge.status().is_ok_and(|status| status.state() == "starting"));
    let (code, took, log) = terminate(bridge);
    assert!(code == Some(0) && took < SLACK && log.contains("while starting"), "{code:?} {took:?} {log}");
    drop(stopped);

    // A schema change waits for it.
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    let stopped = Stopped::new(clickhouse());
    test.sql("ALTER TABLE a ADD COLUMN m INT;\nINSERT INTO a (n, m) VALUES (7, 8);");
    let name = format!("{}.a", test.database);
    bridge.wait_for("the change", PATIENCE, |status| status.table_state(&name) == "waiting_ddl");
    let ended = terminate(bridge);
    assert_late(&ended, &["ALTER TABLE a ADD COLUMN m INT", &a]);
    drop(stopped);

    // The same, and ClickHouse comes back while it ends.
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    let stopped = Stopped::new(clickhouse());
    test.sql("ALTER TABLE a ADD COLUMN o INT;\nINSERT INTO a (n, o) VALUES (9, 10);");
    bridge.wait_for("the change", PATIENCE, |status| status.table_state(&name) == "waiting_ddl");
    let ending = std::thread::spawn(move || terminate(bridge));
    std::thread::sleep(Duration::from_secs(1));
    drop(stopped);
    let (code, took, log) = ending.join().unwrap();
    assert!(code == Some(0) && took < TIMEOUT, "{code:?} {took:?} {log}");
    let end = SourcePosition::now(&test);
    assert!(saved_place(&test) >= (end.file, end.offset));
    test.assert_all_equal();
}

#[test]
fn a_clickhouse_that_is_away_and_a_mysql_that_hangs_do_not_keep_it() {
    let mut test = Fixture::on(Servers::own("stop-away", &[]), "stop_away");
    test.sql(TABLES);
    let config = with_timeout(&test);
    let a = format!("{}.a (", test.database);
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    test.servers.kill_clickhouse();
    test.sql(ROWS);
    bridge.wait_for("the outage", PATIENCE, |status| status.state() == "waiting");
    let ended = terminate(bridge);
    assert_late(&ended, &[&a, "is it running"]);
    test.servers.start_clickhouse();

    // MySQL hangs: what was read is flushed and saved.
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    let stopped = Stopped::new(test.servers.mysql.pid.unwrap());
    let (code, took, log) = terminate(bridge);
    assert!(code == Some(0) && took < TIMEOUT, "{code:?} {took:?} {log}");
    drop(stopped);
    test.assert_all_equal();
}

/// The saved position as the text writes it.
fn saved_text(bridge: &Bridge) -> String {
    let position = &bridge.status().unwrap().0["checkpoint"]["position"];
    format!("{}:{}", position["file"].as_str().unwrap(), position["offset"])
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let test = Fixture::on(Servers::own("stop-twice", &[]), "stop_twice");
    test.sql(TABLES);
    let mut config = test.config();
    config.set("pipeline.shutdown_timeout", "10m");
    let mut bridge = Bridge::start(&config);
    let stopped = Stopped::new(test.servers.clickhouse.pid.unwrap());
    test.sql("INSERT INTO a (n) VALUES (1)");
    let noted = SourcePosition::now(&test);
    bridge.wait_for("the row to be read", PATIENCE, |status| place(status) >= (noted.file.clone(), noted.offset));
    signal("TERM", bridge.pid());
    bridge.wait_for("its end to begin", PATIENCE, |status| status.state() == "stopping");
    let (code, took, log) = terminate(bridge);
    assert!(code == Some(1) && took < SLACK && log.contains("ending at once"), "{code:?} {took:?} {log}");
    drop(stopped);
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("a");
}

/// What is copied stays copied: the next process goes on where this one was.
#[test]
fn a_copy_in_progress_ends_at_once_and_goes_on_later() {
    let test = Fixture::new("stop_copy");
    test.sql("CREATE TABLE big (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT);\nINSERT INTO big (n) VALUES (1);");
    for _ in 0..14 {
        test.sql("INSERT INTO big (n) SELECT n + 1 FROM big");
    }
    let mut config = with_timeout(&test);
    config.set("snapshot.chunk_rows", 500).set("snapshot.max_rows_per_second", 2000);
    let mut bridge = Bridge::spawn(&config);
    let done = "SELECT countIf(done) FROM `{db}_state`.copy_chunks FINAL";
    wait_until("chunks to be done", PATIENCE, || {
        let has_table =
            test.clickhouse("SELECT count() FROM system.tables WHERE database = '{db}_state' AND name = 'copy_chunks'");
        has_table == "1" && test.clickhouse(done).parse::<u32>().unwrap() >= 4
    });
    bridge.wait_for("the copy", PATIENCE, |status| status.state() == "snapshot");
    let (code, took, log) = terminate(bridge);
    assert!(code == Some(0) && took < TIMEOUT, "{code:?} {took:?} {log}");
    let before: u32 = test.clickhouse(done).parse().unwrap();
    assert!((4..32).contains(&before), "{before} chunks");
    test.sql("UPDATE big SET n = -n WHERE id % 100 = 0");
    config.set("snapshot.max_rows_per_second", 0);
    let mut bridge = Bridge::spawn(&config);
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_equal("big");
    let log = bridge.log();
    let copied = log.lines().rev().find(|line| line.contains("copied ")).unwrap();
    let rows: u32 = copied.rsplit_once(": ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    assert!(rows <= 16_384 - before * 500 + 500, "{before} chunks were done: {copied}");
    assert_eq!(bridge.sigterm(), Some(0));
}
