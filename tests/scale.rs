//! A copy of many rows under constant writes, killed five times: equal at the end, and nothing that was done is done again.
//!
//! `STREAM_BRIDGE_TEST_COPY_ROWS` is the size of the big table (60,000; the figure that counts is 10,000,000, which takes
//! minutes and 5 GB of disk). All tables are compared value by value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use support::bridge::{Bridge, PATIENCE, Status};
use support::fixture::Fixture;
use support::load::{Random, allow_many_numbers, numbers};

const KILLS: u64 = 5;
const SMALL_TABLES: u64 = 20;
const ROWS_STEP: u64 = 500_000;
const COPY: Duration = Duration::from_secs(1800);

/// The big table's keys are multiples of 4 at first.
fn create(test: &Fixture, rows: u64) {
    allow_many_numbers(test);
    test.sql(
        "SET SESSION sql_log_bin = 0;
         CREATE TABLE big (id BIGINT NOT NULL PRIMARY KEY, n INT NOT NULL, name VARCHAR(40), price DECIMAL(10,2),
           created DATETIME, changed TIMESTAMP(3) NULL, weight DOUBLE, kind ENUM('a', 'b', 'c') NOT NULL)",
    );
    for first in (1..=rows).step_by(usize::try_from(ROWS_STEP).unwrap()) {
        let numbers = numbers(first, rows.min(first + ROWS_STEP - 1));
        test.execute(&format!(
            "INSERT INTO big {numbers} SELECT i * 4, i, CONCAT('row ', i), i % 100000 / 7, '2020-01-01' + INTERVAL i SECOND,
             IF(i % 9, '2021-01-01' + INTERVAL i SECOND, NULL), i / 3, 1 + i % 3 FROM n"
        ));
    }
    for table in 0..SMALL_TABLES {
        let key = ["id", "name, id", "at, id"][usize::try_from(table % 3).unwrap()];
        test.sql(&format!(
            "CREATE TABLE small{table} (id INT NOT NULL, name VARCHAR(30) NOT NULL, at DATETIME(3) NOT NULL, n INT, PRIMARY KEY ({key}))"
        ));
        let numbers = numbers(1, rows / 1000 + table);
        test.execute(&format!(
            "INSERT INTO small{table} {numbers} SELECT i, CONCAT('n', i % 97), '2020-01-01' + INTERVAL i * 7000 MICROSECOND, i FROM n"
        ));
    }
    test.sql("SET SESSION sql_log_bin = 1");
}

/// Sessions that never rest: inserts, updates, changed keys, deletes, in all tables.
struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Writers {
    fn start(test: &Fixture, rows: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..3).map(|seed| {
            let (mut connection, stop) = (test.connect(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut random, mut done) = (Random::new(seed), 0);
                while !stop.load(Ordering::Relaxed) {
                    // Two of them may lock each other out.
                    done += u64::from(connection.query_drop(statement(&mut random, rows)).is_ok());
                }
                done
            })
        });
        Self { threads: threads.collect(), stop }
    }

    /// Statements that succeeded.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

fn statement(random: &mut Random, rows: u64) -> String {
    let (id, other) = (random.below(rows * 4), random.below(rows * 4));
    let (small, row) = (random.below(SMALL_TABLES), random.below(rows / 1000));
    match random.below(8) {
        0 => format!("DELETE FROM big WHERE id BETWEEN {id} AND {id} + 7"),
        1 | 2 => {
            format!("UPDATE IGNORE big SET id = {other}, name = 'moved' WHERE id BETWEEN {id} AND {id} + 4 LIMIT 1")
        }
        3 => format!("INSERT IGNORE INTO big VALUES ({id}, {other} % 1000, NULL, 0.25, NOW(), NULL, 0.1, 'b')"),
        4 => format!("UPDATE big SET n = n + 1, weight = weight * 1.1 WHERE id BETWEEN {id} AND {id} + 20"),
        5 => format!("DELETE FROM small{small} WHERE id = {row}"),
        6 => format!("INSERT IGNORE INTO small{small} VALUES ({row}, 'new', NOW(3), {other} % 1000)"),
        _ => format!("UPDATE IGNORE small{small} SET id = id + 1, name = CONCAT('m', n), n = n + 1 WHERE id = {row}"),
    }
}

/// The big table's chunks that are done, and when each was saved as such.
fn done_chunks(test: &Fixture) -> BTreeMap<String, String> {
    let query = format!(
        "SELECT concat(toString(plan), '/', toString(chunk)), changed_at FROM `{0}_state`.copy_chunks FINAL \
         WHERE table = '{0}.big' AND done",
        test.database
    );
    let lines = test.servers.clickhouse.query(&query);
    let pair = |line: &str| line.split_once('\t').map(|(chunk, at)| (chunk.to_owned(), at.to_owned()));
    lines.lines().map(|line| pair(line).unwrap()).collect()
}

fn percent(status: &Status, name: &str) -> Option<u64> {
    let tables = status.0["tables"].as_array()?;
    tables.iter().find(|table| table["name"] == name)?["copied_percent"].as_u64()
}

/// Rows of a text like `.. 1234 rows ..`.
fn rows_in(text: &str) -> u64 {
    let words: Vec<&str> = text.split_whitespace().collect();
    let before = words.iter().position(|word| word.starts_with("rows")).and_then(|at| words.get(at.checked_sub(1)?));
    before.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[test]
fn a_large_copy_that_is_killed_goes_on_under_constant_writes() {
    let rows = support::env_number("STREAM_BRIDGE_TEST_COPY_ROWS", 60_000);
    let chunk_rows = (rows / 60).min(100_000);
    let test = Fixture::new("scale");
    create(&test, rows);
    let mut config = test.config();
    config.set("snapshot.chunk_rows", i64::try_from(chunk_rows).unwrap());
    if rows < 1_000_000 {
        // Slow enough to be killed in time.
        config.set("snapshot.max_rows_per_second", i64::try_from(rows / 15).unwrap());
    }
    let name = format!("{}.big", test.database);
    let writers = Writers::start(&test, rows);
    let begin = Instant::now();
    let mut bridge = Bridge::spawn(&config);
    let (mut done, mut copied) = (BTreeMap::new(), 0);
    for kill in 1..=KILLS {
        let reached = bridge.wait_for("more of the copy", COPY, |status| {
            status.table_state(&name) == "snapshot" && percent(status, &name) >= Some(kill * 100 / (KILLS + 2))
        });
        support::wait_until("more chunks to be saved", COPY, || done_chunks(&test).len() > done.len());
        bridge.kill9();
        copied += rows_in(&reached.table_reason(&name));
        let now = done_chunks(&test);
        assert!(now.len() > done.len(), "nothing was done between two kills");
        assert!(done.iter().all(|(chunk, at)| now.get(chunk) == Some(at)), "a chunk was copied again");
        println!("kill {kill} after {:.1} s: {} chunks done", begin.elapsed().as_secs_f64(), now.len());
        done = now;
        bridge = Bridge::spawn(&config);
    }
    bridge.wait_for("all tables copied", COPY, |status| {
        let tables = status.0["tables"].as_array().unwrap();
        assert!(!tables.iter().any(|table| table["state"] == "quarantined"), "{status}");
        !tables.is_empty() && tables.iter().all(|table| table["state"] == "streaming")
    });
    let took = begin.elapsed();
    let now = done_chunks(&test);
    assert!(done.iter().all(|(chunk, at)| now.get(chunk) == Some(at)), "a chunk was copied again");
    let statements = writers.stop();
    assert!(statements > 100, "only {statements} statements succeeded");
    let log = bridge.log();
    let last = log.lines().rev().find(|line| line.contains(&format!("copied {name}"))).unwrap_or_default();
    copied += rows_in(last.rsplit_once(": ").unwrap_or_default().1);
    println!(
        "{rows} rows copied in {:.1} s with {KILLS} kills, {statements} statements meanwhile: {copied} rows read of {} chunks",
        took.as_secs_f64(),
        now.len()
    );
    bridge.wait_caught_up(&test, 10 * PATIENCE);
    let begin = Instant::now();
    test.assert_all_equal();
    println!("all tables equal, value by value, after {:.1} s of comparing", begin.elapsed().as_secs_f64());
    assert!(log.contains("caught up, lag ") || bridge.log().contains("caught up, lag "));
    assert_eq!(bridge.sigterm(), Some(0));
}
