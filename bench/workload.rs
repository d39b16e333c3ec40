//! The three loads: (a) narrow rows in bulk, (b) sysbench's one-row updates, (c) rows of 40 mixed columns in bulk.

use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use crate::support::fixture::Fixture;
use crate::support::load::{Random, allow_many_numbers, numbers};

/// Rows of one transaction of a bulk load.
const BULK_ROWS: u64 = 100_000;
/// Connections that update.
const UPDATERS: u64 = 8;

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// (a) bigint, int, int, varchar(20), decimal(10,2), datetime; INSERT of 100,000 rows each.
    Narrow,
    /// (b) int, int, char(120), char(60); UPDATE of one row each, by eight connections.
    Updates,
    /// (c) 40 columns of every kind, some 900 bytes; INSERT of 100,000 rows each.
    Wide,
}

impl Workload {
    /// All.
    pub const ALL: [Self; 3] = [Self::Narrow, Self::Updates, Self::Wide];

    /// Its letter and name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Narrow => "a-narrow",
            Self::Updates => "b-updates",
            Self::Wide => "c-wide",
        }
    }

    /// The table that it writes to.
    pub fn table(self) -> &'static str {
        match self {
            Self::Narrow => "narrow",
            Self::Updates => "sbtest1",
            Self::Wide => "wide",
        }
    }

    /// Rows of the full size; of (b) as many transactions.
    pub fn full_rows(self) -> u64 {
        match self {
            Self::Narrow => 4_000_000,
            Self::Updates => 400_000,
            Self::Wide => 300_000,
        }
    }

    /// Makes the table. What has to be there before the load goes past the binary log.
    pub fn create(self, test: &Fixture) {
        match self {
            Self::Narrow => test.sql(NARROW),
            Self::Updates => create_sysbench(test, 1, 25_000),
            Self::Wide => test.sql(WIDE),
        }
    }

    /// Writes so many rows into the binary log.
    pub fn write(self, test: &Fixture, rows: u64) {
        match self {
            Self::Narrow => bulk(test, rows, BULK_ROWS, NARROW_ROWS),
            Self::Updates => drop(update(test, &Updates { tables: 1, keys: 25_000, until: Until::Count(rows) })),
            Self::Wide => bulk(test, rows, BULK_ROWS, WIDE_ROWS),
        }
    }
}

/// Narrow rows, in transactions of this many.
pub fn write_narrow(test: &Fixture, rows: u64, transaction_rows: u64) {
    bulk(test, rows, transaction_rows, NARROW_ROWS);
}

fn bulk(test: &Fixture, rows: u64, transaction_rows: u64, insert: &str) {
    allow_many_numbers(test);
    let mut first = 1;
    while first <= rows {
        let last = rows.min(first + transaction_rows - 1);
        test.execute(&insert.replace("{numbers}", &numbers(first, last)));
        first = last + 1;
    }
}

/// Makes sysbench's tables, `sbtest1` and on, filled past the binary log.
pub fn create_sysbench(test: &Fixture, tables: u64, keys: u64) {
    allow_many_numbers(test);
    test.sql("SET SESSION sql_log_bin = 0");
    for table in 1..=tables {
        test.sql(&format!(
            "CREATE TABLE sbtest{table} (id INT NOT NULL PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL,
             pad CHAR(60) NOT NULL, KEY (k))"
        ));
        test.execute(&format!(
            "INSERT INTO sbtest{table} {} SELECT i, 1 + i * 7919 % {keys}, LEFT(REPEAT(SHA2(i, 256), 2), 119),
             LEFT(SHA2(-i, 256), 59) FROM n",
            numbers(1, keys)
        ));
    }
    test.sql("SET SESSION sql_log_bin = 1");
}

/// Updates of sysbench's rows, one a transaction.
pub struct Updates {
    /// Tables, one at random each.
    pub tables: u64,
    /// Rows of each.
    pub keys: u64,
    /// When to end.
    pub until: Until,
}

/// When to end.
#[derive(Clone, Copy)]
pub enum Until {
    /// After so many transactions, as fast as it goes.
    Count(u64),
    /// After this time; so many transactions a second, or as fast as it goes.
    Time(Duration, Option<u64>),
}

/// Updates; the transactions per second.
pub fn update(test: &Fixture, updates: &Updates) -> f64 {
    let rate = if let Until::Time(_, rate) = updates.until { rate } else { None };
    let threads = UPDATERS.min(rate.unwrap_or(UPDATERS));
    let begin = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let run = |thread: u64| {
            let mut connection = test.connect();
            // They may be behind in their own past, not in each other's.
            let pause = rate.map(|rate| Duration::from_secs_f64(threads as f64 / rate as f64));
            scope.spawn(move || updater(&mut connection, updates, (thread, threads), pause))
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    count as f64 / begin.elapsed().as_secs_f64()
}

/// One connection's part; how many it made.
fn updater(
    connection: &mut mysql::Conn,
    updates: &Updates,
    (thread, threads): (u64, u64),
    pause: Option<Duration>,
) -> u64 {
    let (begin, mut random, mut count) = (Instant::now(), Random::new(thread), 0);
    // Not all at once.
    let mut next = begin + pause.unwrap_or_default().mul_f64(thread as f64 / threads as f64);
    let is_over = |count: u64| match updates.until {
        Until::Count(all) => count * threads + thread >= all,
        Until::Time(time, _) => begin.elapsed() >= time,
    };
    while !is_over(count) {
        if let Some(pause) = pause {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += pause;
        }
        let (table, id) = (1 + random.below(updates.tables), 1 + random.below(updates.keys));
        let groups: Vec<String> = (0..10).map(|_| format!("{:011}", random.below(100_000_000_000))).collect();
        connection.query_drop(format!("UPDATE sbtest{table} SET c = '{}' WHERE id = {id}", groups.join("-"))).unwrap();
        count += 1;
    }
    count
}

const NARROW: &str = "CREATE TABLE narrow (id BIGINT NOT NULL PRIMARY KEY, a INT, b INT, name VARCHAR(20),
  price DECIMAL(10, 2), created DATETIME)";

const NARROW_ROWS: &str = "INSERT INTO narrow {numbers} SELECT i, i % 100000, -i, CONCAT('name-', i % 100000),
  i % 100000 / 7, '2020-01-01' + INTERVAL i % 100000 * 61 SECOND FROM n";

const WIDE: &str = "CREATE TABLE wide (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, t1 TINYINT, t2 TINYINT UNSIGNED, s1 SMALLINT, s2 SMALLINT UNSIGNED,
  m1 MEDIUMINT, m2 MEDIUMINT UNSIGNED, i1 INT, i2 INT UNSIGNED, b1 BIGINT, b2 BIGINT, f FLOAT, d DOUBLE,
  n1 DECIMAL(10, 2), n2 DECIMAL(18, 6), n3 DECIMAL(30, 10), bits BIT(16), y YEAR, day DATE, at0 DATETIME, at3 DATETIME(3),
  at6 DATETIME(6), ts0 TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, tm0 TIME, tm6 TIME(6), kind ENUM('red', 'green', 'blue'),
  flags SET('a', 'b', 'c', 'd'), c1 CHAR(8), c2 CHAR(36), v1 VARCHAR(30), v2 VARCHAR(60), v3 VARCHAR(200), hash BINARY(32),
  vb VARBINARY(40), note TEXT, photo BLOB, doc JSON, e1 INT, e2 VARCHAR(10))";

const WIDE_ROWS: &str = "INSERT INTO wide {numbers} SELECT i, i % 100, i % 200, i % 30000, i % 60000, -i % 8000000,
  i % 16000000, i, i, i * 1000003, -i * 7919, i / 3, i / 7, i % 1000000 / 7, i / 11, i * 1000003 / 13, i % 65536,
  1950 + i % 150, '2000-01-01' + INTERVAL i % 9000 DAY, '2020-01-01' + INTERVAL i * 61 SECOND,
  '2020-01-01' + INTERVAL i * 61000 * 1000 MICROSECOND, '2020-01-01' + INTERVAL i * 1000003 MICROSECOND,
  '2021-01-01' + INTERVAL i * 59 SECOND, '2021-01-01' + INTERVAL i * 1000003 MICROSECOND, SEC_TO_TIME(i % 80000),
  SEC_TO_TIME(i % 80000 + 0.123456), 1 + i % 3, i % 16, LEFT(SHA2(i, 256), 8), CONCAT(LEFT(SHA2(i, 256), 32), '-abc'), CONCAT('name-', i),
  CONCAT('street ', i, ', door ', i % 99), REPEAT(CONCAT('w', i % 10), 40), UNHEX(SHA2(i, 256)), UNHEX(LEFT(SHA2(i, 256), 32)),
  REPEAT(LEFT(SHA2(i, 256), 25), 20), UNHEX(SHA2(i, 256)),
  JSON_OBJECT('id', i, 'name', CONCAT('n', i), 'tags', JSON_ARRAY('x', 'y', i % 10), 'price', i / 8), NULL, 'end' FROM n";
