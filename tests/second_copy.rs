//! The same pipeline started twice: the second is refused, or the first has lost it and ends; never both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::{Duration, Instant};

use support::bridge::{Bridge, Config, Ended, PATIENCE, Stopped, run_command};
use support::fixture::Fixture;
use support::mysql_proxy::MysqlProxy;
use support::wait_until;

/// What a restart may take at most; a lock that nobody gives back lasts longer.
const SOON: Duration = Duration::from_secs(8);

fn table(name: &str) -> Fixture {
    let test = Fixture::new(name);
    test.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(100)); INSERT INTO t VALUES (1, 'one')"
            .replace("; ", ";\n")
            .as_str(),
    );
    test
}

fn run(config: &Config) -> Ended {
    run_command("run", config)
}

fn session_of_lock(test: &Fixture) -> Option<u64> {
    let name = format!("stream-bridge-{}", &test.database);
    // A lock's name is cut where it would be too long.
    let name: String = name.chars().take(47).collect();
    let holders: Vec<u64> = test.rows(&format!(
        "SELECT t.processlist_id FROM performance_schema.metadata_locks l JOIN performance_schema.threads t \
         ON t.thread_id = l.owner_thread_id WHERE l.object_type = 'USER LEVEL LOCK' AND l.object_name LIKE '{name}%'"
    ));
    assert!(holders.len() <= 1);
    holders.first().copied()
}

#[test]
fn a_second_copy_is_refused_and_told_by_whom() {
    let test = table("second_refused");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    let saved = bridge.status().unwrap().checkpoint_seq();
    let ended = run(&config.separate());
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let process = format!("process {} on {}, running since 20", bridge.pid(), host.trim());
    let session = format!("MySQL session {} from ", session_of_lock(&test).unwrap());
    for word in ["is run already by", &process, &session, "its own `name`", &test.database] {
        assert!(ended.stderr.contains(word), "{word:?} is not in {}", ended.stderr);
    }
    let check = run_command("check", &config.separate());
    assert_eq!(check.code, Some(0), "a running pipeline is no problem: {}", check.text());
    assert!(check.stdout.contains(&process), "{}", check.stdout);
    // The first has not noticed.
    assert_eq!(bridge.status().unwrap().checkpoint_seq(), saved);
    test.sql("INSERT INTO t VALUES (2, 'two')");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
    assert_eq!(session_of_lock(&test), None);
    let check = run_command("check", &config);
    assert!(check.code == Some(0) && !check.stdout.contains("process "), "{}", check.stdout);
}

#[test]
fn a_restart_after_a_kill_need_not_wait() {
    let test = table("second_kill");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    for round in 0..3 {
        bridge.kill9();
        let started = Instant::now();
        bridge = Bridge::start(&config);
        assert!(started.elapsed() < SOON, "round {round}: {:?}", started.elapsed());
    }
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn other_names_and_other_targets_run_side_by_side() {
    let test = table("second_names");
    let (config, mut named, mut elsewhere) = (test.config(), test.config(), test.config());
    named.set("name", "another").set("replicate.tables", vec![format!("{}.u", test.database)]);
    test.sql("CREATE TABLE u (id INT PRIMARY KEY, v INT)");
    // The same name with states elsewhere is another pipeline.
    elsewhere.set("state.database", format!("{}_state", named_database(&test)));
    elsewhere.set("replicate.tables", vec![format!("{}.u", test.database)]);
    let bridges = [Bridge::start(&config), Bridge::start(&named), Bridge::start(&elsewhere)];
    let ids: Vec<u64> =
        test.rows("SHOW REPLICAS").into_iter().map(|row: (u64, String, u64, u64, String)| row.0).collect();
    assert!(!ids.is_empty());
    bridges.into_iter().for_each(|bridge| assert_eq!(bridge.sigterm(), Some(0)));
    test.clickhouse(&format!("DROP DATABASE {}_state SYNC", named_database(&test)));
}

fn named_database(test: &Fixture) -> String {
    format!("{}_b", test.database)
}

/// A process that slept while another took its place: it may have been anywhere, and had schema changes before it.
#[test]
fn a_process_that_wakes_up_after_its_pipeline_was_taken_over_ends() {
    let test = table("second_sleep");
    let mut config = test.config();
    config.set("state.checkpoint_interval", "100ms");
    let mut first = Bridge::start(&config);
    test.sql("INSERT INTO t SELECT n, 'x' FROM (WITH RECURSIVE s AS (SELECT 2 n UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) q");
    let stopped = Stopped::new(first.pid());
    // They lie in its sockets, and it will begin with them when it wakes up.
    for round in 0..5 {
        test.sql(&format!("ALTER TABLE t ADD COLUMN c{round} INT;\nUPDATE t SET c{round} = id WHERE id % 7 = {round}"));
    }
    test.sql("TRUNCATE TABLE t;\nINSERT INTO t (id, v) VALUES (5, 'five')");
    let mut second = Bridge::start(&config.separate());
    second.wait_caught_up(&test, PATIENCE);
    test.sql("ALTER TABLE t DROP COLUMN c1;\nINSERT INTO t (id, v) VALUES (6, 'six')");
    second.wait_caught_up(&test, PATIENCE);
    let (rows, columns) = (test.clickhouse("SELECT * FROM {db}.t FINAL ORDER BY id"), columns(&test));
    drop(stopped);
    assert_eq!(first.wait_end(), Some(1));
    let process = format!("taken over by another process: process {} on", second.pid());
    assert!(first.log().contains(&process), "{}", first.log());
    assert_eq!(test.clickhouse("SELECT * FROM {db}.t FINAL ORDER BY id"), rows);
    assert_eq!(self::columns(&test), columns);
    test.sql("UPDATE t SET v = 'seven' WHERE id = 6");
    second.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(second.status().unwrap().table_state(&format!("{}.t", test.database)), "streaming");
    assert_eq!(second.sigterm(), Some(0));
}

fn columns(test: &Fixture) -> String {
    test.clickhouse("SELECT name, type FROM system.columns WHERE database = '{db}' AND table = 't' ORDER BY position")
}

#[test]
fn a_lock_that_was_lost_is_taken_again() {
    let test = table("second_again");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    let lost = session_of_lock(&test).unwrap();
    test.sql(&format!("KILL {lost}"));
    wait_until("the lock to be taken again", PATIENCE, || {
        session_of_lock(&test).is_some_and(|session| session != lost)
    });
    assert!(run(&config.separate()).stderr.contains("is run already by"));
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// Another MySQL, as after a failover, would give the lock to a second copy: then the claim alone tells, even when
/// nothing is to be saved.
#[test]
fn a_claim_by_another_way_ends_an_idle_process() {
    let test = table("second_claim");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    test.clickhouse(
        "INSERT INTO {db}_state.checkpoint_latest (pipeline, owner, seq, timeline, owner_host, owner_process) \
         SELECT pipeline, generateUUIDv4(), seq + 1000, timeline, 'elsewhere', 4711 FROM {db}_state.checkpoint_latest FINAL",
    );
    assert_eq!(bridge.wait_end(), Some(1));
    assert!(bridge.log().contains("process 4711 on elsewhere"), "{}", bridge.log());
}

/// The machine of the first is gone and has closed nothing.
#[test]
fn a_half_open_session_does_not_hold_the_lock_for_long() {
    let test = table("second_half_open");
    let config = test.config();
    let mut through = config.separate();
    let proxy = MysqlProxy::start(&test.servers.mysql);
    proxy.lead(&mut through);
    let bridge = Bridge::start(&through);
    proxy.silence();
    bridge.kill9();
    assert!(session_of_lock(&test).is_some());
    let started = Instant::now();
    let mut bridge = Bridge::start(&config);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(bridge.log().contains("waiting up to 12 s"), "{}", bridge.log());
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
}

/// What was created or renamed between a first start's look at the tables and its position, the stream says nothing of any
/// more. A start that waits for the lock is between the two.
#[test]
fn tables_that_come_while_a_first_start_waits_are_replicated() {
    let test = table("second_between");
    test.sql(
        "CREATE TABLE gone (id INT PRIMARY KEY);\nCREATE TABLE old (id INT PRIMARY KEY);\nINSERT INTO old VALUES (1)",
    );
    let config = test.config();
    let mut first = Bridge::start(&config);
    first.wait_caught_up(&test, PATIENCE);
    let mut second = Bridge::spawn(&config.separate());
    wait_until("the start to wait", PATIENCE, || second.log().contains("for the end of another process"));
    let _stopped = Stopped::new(first.pid());
    test.clickhouse("DROP DATABASE `{db}_state` SYNC");
    test.sql(
        "CREATE TABLE new (id INT PRIMARY KEY, v TEXT);\nINSERT INTO new VALUES (1, 'one');\nDROP TABLE gone;
         RENAME TABLE old TO renamed;\nALTER TABLE t ADD COLUMN w INT NOT NULL DEFAULT 5",
    );
    second.wait_all_streaming(&test, PATIENCE);
    assert!(second.log().contains("as checkpoint 3"), "it was no first start: {}", second.log());
    test.assert_all_equal();
    test.sql("INSERT INTO renamed VALUES (2);\nUPDATE new SET v = 'two'");
    second.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(second.sigterm(), Some(0));
}
