//! What a SELECT has seen of the binary log: noting the end of the log alone loses rows, and what a copy notes does not.
//!
//! With `sync_binlog = 1` a transaction is in the log, and in `SHOW BINARY LOG STATUS`, before it is synced, and only then
//! visible; `binlog_group_commit_sync_delay` makes that time as long as a slow disk does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use stream_bridge::config::MysqlConfig;
use stream_bridge::mysql::source::Source;
use stream_bridge::position::Position;
use stream_bridge::snapshot;
use support::fixture::Fixture;
use support::servers::Servers;

/// Looks at a copy's own way: so many, or as many as there is time for on a busy machine.
const LOOKS: usize = 100;
const LOOKS_MIN: usize = 20;
const LOOKING: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
const COUNT: &str = "SELECT COUNT(*) FROM `seen`.`t`";
const OPTIONS: [&str; 3] =
    ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--binlog-group-commit-sync-delay=3000"];

/// Sessions that insert a row by each transaction, until dropped.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(test: &Fixture) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..4).map(|_| {
            let (mut connection, stop) = (test.connect(), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    connection.query_drop("INSERT INTO t () VALUES ()").unwrap();
                }
            })
        });
        Self { threads: threads.collect(), stop }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| assert!(thread.join().is_ok(), "a writer failed"));
    }
}

/// The configuration of the bridge's own account, as the program reads it.
fn config(test: &Fixture) -> MysqlConfig {
    let text = std::fs::read_to_string(test.config().write()).unwrap();
    stream_bridge::config::Config::resolve(&text, &|_| None, &|_| Err("no files".to_owned())).unwrap().mysql
}

/// Where transactions end in the file that the log is in since `anew`.
struct Log {
    file: String,
    ends: Vec<u64>,
}

impl Log {
    /// An empty table, and a new file for what will be in it; the file's name.
    fn anew(test: &Fixture) -> String {
        test.sql("TRUNCATE TABLE t;\nFLUSH BINARY LOGS;");
        test.row::<(String, u64, String, String, String)>("SHOW BINARY LOG STATUS").0
    }

    fn read(test: &Fixture, file: &str) -> Self {
        let events: Vec<(String, u64, String, u64, u64, String)> =
            test.rows(&format!("SHOW BINLOG EVENTS IN '{file}'"));
        let ends = events.iter().filter(|event| event.2 == "Xid").map(|event| event.4).collect();
        Self { file: file.to_owned(), ends }
    }

    /// Transactions, each of one row, below this offset.
    fn below(&self, file: &str, offset: u64) -> usize {
        assert_eq!(file, self.file);
        self.ends.iter().filter(|&&end| end <= offset).count()
    }
}

/// Looks until one lacks rows below what it noted.
fn assert_status_alone_loses_rows(test: &Fixture) {
    let file = Log::anew(test);
    let load = Load::start(test);
    let (mut noting, mut reading) = (test.connect(), test.connect());
    let mut look = || {
        let noted: (String, u64, String, String, String) =
            noting.query_first("SHOW BINARY LOG STATUS").unwrap().unwrap();
        let seen: usize = reading.query_first(COUNT).unwrap().unwrap();
        (noted.0, noted.1, seen)
    };
    support::wait_until("the end of the log to run ahead of what is seen", PATIENCE, || {
        let looks: Vec<(String, u64, usize)> = (0..20).map(|_| look()).collect();
        let log = Log::read(test, &file);
        looks.iter().any(|(file, offset, seen)| log.below(file, *offset) > *seen)
    });
    drop(load);
}

/// A copy's own way, many times under load: the position and the rows that its SELECT saw.
fn looks(test: &Fixture, config: &MysqlConfig) -> Vec<(Position, usize)> {
    let load = Load::start(test);
    let look = |_| {
        let position = Source::connect(config).unwrap().current_position(true).unwrap();
        let position = Arc::new(position);
        let mut session = snapshot::Session::open(config).unwrap();
        session.see(&position).unwrap();
        let rows = session.select.connection().unwrap().rows(COUNT).unwrap();
        (Position::clone(&position), rows[0][0].as_deref().unwrap().parse().unwrap())
    };
    let begin = Instant::now();
    let looks: Vec<(Position, usize)> =
        (0..LOOKS).take_while(|&number| number < LOOKS_MIN || begin.elapsed() < LOOKING).map(look).collect();
    drop(load);
    let (first, last) = (looks[0].1, looks[looks.len() - 1].1);
    assert!(last >= first + looks.len(), "there was hardly any load: {first} rows, then {last}");
    looks
}

fn assert_ours_loses_none(test: &Fixture, config: &MysqlConfig) {
    let file = Log::anew(test);
    let looks = looks(test, config);
    let log = Log::read(test, &file);
    for (position, seen) in looks {
        assert_eq!(position.gtid_set, None);
        let below = log.below(&position.file, position.offset);
        assert!(seen >= below, "{seen} rows seen, {below} below {}:{}", position.file, position.offset);
    }
}

/// The number of the last transaction of a set without gaps.
fn last_number(set: &str) -> usize {
    let (_, numbers) = set.split_once(":1-").unwrap_or_else(|| panic!("a set with gaps: {set}"));
    numbers.parse().unwrap_or_else(|_| panic!("a set with gaps: {set}"))
}

fn assert_ours_loses_none_by_gtid(test: &Fixture, config: &MysqlConfig) {
    Log::anew(test);
    let before = last_number(&test.row::<String>("SELECT @@gtid_executed"));
    for (position, seen) in looks(test, config) {
        let below = last_number(&position.gtid_set.unwrap().to_string()) - before;
        assert!(seen >= below, "{seen} rows seen, {below} in the set");
    }
}

#[test]
fn a_copy_has_seen_all_below_the_position_that_it_noted() {
    let test = Fixture::named(Servers::own_mysql("seen", &OPTIONS), "seen".to_owned());
    test.sql("CREATE TABLE t (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY)");
    let config = config(&test);
    assert_status_alone_loses_rows(&test);
    assert_ours_loses_none_by_gtid(&test, &config);

    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"] {
        test.sql(&format!("SET GLOBAL gtid_mode = {mode}"));
    }
    assert_status_alone_loses_rows(&test);
    let refused = Source::connect(&config).unwrap().current_position(true).unwrap_err().to_string();
    assert!(refused.contains("GRANT BACKUP_ADMIN") && refused.contains("GRANT RELOAD"), "{refused}");
    test.sql("GRANT RELOAD ON *.* TO bridge");
    assert_ours_loses_none(&test, &config);
    test.sql(
        "REVOKE RELOAD ON *.* FROM bridge;
         GRANT BACKUP_ADMIN ON *.* TO bridge;
         GRANT SELECT ON performance_schema.log_status TO bridge;",
    );
    assert_ours_loses_none(&test, &config);
}
