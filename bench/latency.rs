//! Part 4: from COMMIT to the answer of the insert, at several rates and numbers of tables.
//!
//! Measured from outside, without any cost to what is measured. The binlog has the moment of each commit (the microseconds
//! of its GTID event), ClickHouse's query log the moment at which each insert was done and how many rows it had. Rows of a
//! table are inserted in the order of the binlog, so the first insert's rows are the first commits', and so on.
//!
//! The reference is a bare insert of one row by the same client, ten a second, timed from outside, in turn with our runs of
//! ten a second; it is also in the query log, which gives what lies between the log's moment and the client's having the
//! answer: that is added to ours.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use stream_bridge::binlog::event::{Event, EventKind};
use stream_bridge::binlog::gtid_event::GtidEvent;
use stream_bridge::binlog::table_map::TableMapHead;
use stream_bridge::clickhouse::{Client, tables as targets};
use stream_bridge::rowbinary::{self, Body, ChunkPool};
use stream_bridge::schema::target::InsertColumns;
use stream_bridge::schema::types::TableName;
use stream_bridge::writer::query_id_prefix;

use crate::drain::resolved;
use crate::record::{ONE_FILE, new_file};
use crate::report::{Table, median, percentile};
use crate::support::bridge::{Bridge, PATIENCE};
use crate::support::fixture::Fixture;
use crate::support::servers::Servers;
use crate::walk;
use crate::workload::{Until, Updates, create_sysbench, update};
use crate::{Size, clock};

const DATABASE: &str = "bench";
const KEYS: u64 = 1000;
/// Of the full size.
const SECONDS: u64 = 10;
const MIB: f64 = (1 << 20) as f64;

/// Rates (None: as fast as it goes) and tables, each with a line.
const RATES: [Option<u64>; 3] = [IDLE, Some(1000), None];
const IDLE: Option<u64> = Some(10);
const TABLES: [u64; 3] = [1, 10, 100];

const COLUMNS: [&str; 13] = [
    "trx/s",
    "tables",
    "p50 ms",
    "p90",
    "p99",
    "max",
    "parts/s",
    "peak MiB",
    "cores: ours",
    "MySQL",
    "ClickHouse",
    "MySQL trx/s",
    "alone",
];

/// One cell.
struct Live {
    lags_ms: Vec<f64>,
    parts_per_second: f64,
    per_second: f64,
    alone_per_second: Option<f64>,
    /// CPU seconds per second under the load: ours, MySQL's, ClickHouse's.
    cores: [f64; 3],
    peak_bytes: u64,
}

/// All rates with all numbers of tables; the lags of all runs together.
pub fn run(size: Size) {
    let seconds = Duration::from_secs(size.of(SECONDS).max(5));
    let mut table = Table::new(&COLUMNS);
    for tables in TABLES {
        let servers = Servers::own("bench-latency", &[ONE_FILE]);
        let test = Fixture::named(servers, DATABASE.to_owned());
        create_sysbench(&test, tables, KEYS);
        // The rows that are there are copied before anything is measured.
        Bridge::start(&test.config()).wait_all_streaming(&test, 10 * PATIENCE);
        let mut bare = Bare::default();
        for rate in RATES {
            let run = |_| {
                if rate == IDLE {
                    bare.measure(&test, seconds);
                }
                live(&test, rate, tables, seconds, bare.answer_ms)
            };
            let runs: Vec<Live> = (0..size.runs).map(run).collect();
            table.row(&line(rate, tables, &runs));
            if rate == IDLE {
                table.row(&bare.line());
            }
        }
    }
    table.print(&format!("COMMIT to the answer of the insert, {} s each", seconds.as_secs()));
}

fn line(rate: Option<u64>, tables: u64, runs: &[Live]) -> Vec<String> {
    let lags: Vec<f64> = runs.iter().flat_map(|run| run.lags_ms.iter().copied()).collect();
    let middle = |figure: &dyn Fn(&Live) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    let name = rate.map_or("full speed".to_owned(), |rate| rate.to_string());
    let mut cells = vec![name, tables.to_string()];
    cells.extend(percentiles(&lags));
    cells.push(format!("{:.0}", middle(&|run| run.parts_per_second)));
    cells.push(format!("{:.1}", middle(&|run| run.peak_bytes as f64 / MIB)));
    cells.extend([0, 1, 2].map(|whose: usize| format!("{:.2}", middle(&|run| run.cores[whose]))));
    cells.push(format!("{:.0}", middle(&|run| run.per_second)));
    let alone: Vec<f64> = runs.iter().filter_map(|run| run.alone_per_second).collect();
    cells.push(if alone.is_empty() { "-".to_owned() } else { format!("{:.0}", median(&alone)) });
    cells
}

fn percentiles(times_ms: &[f64]) -> [String; 4] {
    [50.0, 90.0, 99.0, 100.0].map(|percent| format!("{:.1}", percentile(times_ms, percent)))
}

/// One cell once: the load beside the bridge, and at full speed the same load without it.
fn live(test: &Fixture, rate: Option<u64>, tables: u64, time: Duration, answer_ms: f64) -> Live {
    let updates = Updates { tables, keys: KEYS, until: Until::Time(time, rate) };
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_caught_up(test, 10 * PATIENCE);
    let ((path, _), begin_us) = (new_file(test), clock::now_us());
    let pids = [Some(bridge.pid()), test.servers.mysql.pid, test.servers.clickhouse.pid];
    let cpu = || pids.map(|pid| clock::of_process(pid.unwrap()));
    let (before, begin) = (cpu(), Instant::now());
    let per_second = update(test, &updates);
    let (after, seconds) = (cpu(), begin.elapsed().as_secs_f64());
    let cores = [0, 1, 2].map(|whose| (after[whose] - before[whose]) / seconds);
    bridge.wait_caught_up(test, 10 * PATIENCE);
    let peak_bytes = bridge.peak_memory_bytes();
    new_file(test);
    assert_eq!(bridge.sigterm(), Some(0));
    let inserts = inserts(test, begin_us);
    let mut lags_ms = lags_ms(commits(&std::fs::read(path).unwrap()), &inserts);
    lags_ms.iter_mut().for_each(|lag| *lag += answer_ms);
    let alone_per_second = rate.is_none().then(|| update(test, &updates));
    let parts_per_second = inserts.len() as f64 / time.as_secs_f64();
    Live { lags_ms, parts_per_second, per_second, alone_per_second, cores, peak_bytes }
}

/// An insert of the bridge.
struct Insert {
    table: String,
    done_us: f64,
    rows: usize,
}

/// Those since a moment, by their numbers.
fn inserts(test: &Fixture, after_us: f64) -> Vec<Insert> {
    test.clickhouse("SYSTEM FLUSH LOGS");
    let prefix = query_id_prefix(DATABASE, &TableName { database: DATABASE.to_owned(), table: "sbtest".to_owned() });
    let prefix = prefix.trim_end_matches('-');
    let told = test.clickhouse(&format!(
        "SELECT query_id, toUnixTimestamp64Micro(event_time_microseconds), written_rows FROM system.query_log
         WHERE type = 'QueryFinish' AND startsWith(query_id, '{prefix}')
         AND toUnixTimestamp64Micro(event_time_microseconds) > {after_us:.0}"
    ));
    let mut inserts: Vec<(u64, Insert)> = told
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let name: Vec<&str> = fields[0][prefix.len()..].split('-').collect();
            let insert = Insert {
                table: format!("sbtest{}", name[0]),
                done_us: fields[1].parse().unwrap(),
                rows: fields[2].parse().unwrap(),
            };
            (name[1].parse().unwrap(), insert)
        })
        .collect();
    inserts.sort_by_key(|(number, _)| *number);
    inserts.into_iter().map(|(_, insert)| insert).collect()
}

/// When each transaction of a table was committed, in the order of the binlog.
fn commits(file: &[u8]) -> BTreeMap<String, VecDeque<u64>> {
    let (mut commits, mut commit_us) = (BTreeMap::<String, VecDeque<u64>>::new(), 0);
    for (_, event) in walk::events(file) {
        let event = Event::parse(event, true).unwrap();
        match event.header.kind {
            EventKind::Gtid | EventKind::GtidTagged | EventKind::AnonymousGtid => {
                commit_us = GtidEvent::parse(&event).unwrap().commit_us;
            }
            EventKind::TableMap => {
                let table = TableMapHead::parse(&event).unwrap().table.to_owned();
                commits.entry(table).or_default().push_back(commit_us);
            }
            _ => {}
        }
    }
    commits
}

fn lags_ms(mut commits: BTreeMap<String, VecDeque<u64>>, inserts: &[Insert]) -> Vec<f64> {
    let mut lags = Vec::new();
    for insert in inserts {
        let waiting = commits.get_mut(&insert.table).unwrap();
        lags.extend(waiting.drain(..insert.rows).map(|commit| (insert.done_us - commit as f64) / 1e3));
    }
    assert!(commits.values().all(VecDeque::is_empty), "the query log holds fewer rows than the binlog");
    lags
}

/// Inserts of one row without us, of all runs.
#[derive(Default)]
struct Bare {
    times_ms: Vec<f64>,
    ends_us: Vec<f64>,
    /// Between the query log's moment and the client's having the answer.
    answer_ms: f64,
}

impl Bare {
    fn measure(&mut self, test: &Fixture, time: Duration) {
        test.clickhouse("CREATE TABLE `{db}`.bare AS `{db}`.sbtest1");
        let client = Client::connect(&resolved(test).clickhouse, 1).unwrap();
        let (name, begin) = (TableName { database: DATABASE.to_owned(), table: "bare".to_owned() }, Instant::now());
        let columns = InsertColumns(targets::created(&client, &name).unwrap().columns);
        while begin.elapsed() < time {
            let number = self.ends_us.len();
            let (body, start) = (row(number), Instant::now());
            client.insert(&name, &columns, &body, &format!("bare-{number}")).unwrap();
            self.times_ms.push(start.elapsed().as_secs_f64() * 1e3);
            self.ends_us.push(clock::now_us());
            std::thread::sleep(Duration::from_millis(100).saturating_sub(start.elapsed()));
        }
        test.clickhouse("DROP TABLE `{db}`.bare SYNC");
        self.answer_ms = answer_ms(test, &self.ends_us);
    }

    fn line(&self) -> Vec<String> {
        let mut cells = vec!["bare insert of one row".to_owned(), "1".to_owned()];
        cells.extend(percentiles(&self.times_ms));
        cells.resize(COLUMNS.len(), "-".to_owned());
        cells
    }
}

/// A row of sysbench's, as after an update.
fn row(number: usize) -> Body {
    let mut body = Body::default();
    body.has_changes = true;
    let write = |out: &mut Vec<u8>| {
        rowbinary::fixed(out, u32::try_from(number).unwrap().to_le_bytes());
        rowbinary::fixed(out, [1, 0, 0, 0]);
        rowbinary::string(out, &[b'c'; 119]);
        rowbinary::string(out, &[b'p'; 59]);
        rowbinary::version_and_deleted(out, number as u64, false);
    };
    body.append_exactly(&mut ChunkPool::default(), 4 + 4 + 120 + 60 + 9, write);
    body
}

fn answer_ms(test: &Fixture, ends_us: &[f64]) -> f64 {
    test.clickhouse("SYSTEM FLUSH LOGS");
    let told = test.clickhouse(
        "SELECT substring(query_id, 6), toUnixTimestamp64Micro(event_time_microseconds) FROM system.query_log
         WHERE type = 'QueryFinish' AND startsWith(query_id, 'bare-')",
    );
    let gap = |line: &str| {
        let (number, logged) = line.split_once('\t').unwrap();
        (ends_us[number.parse::<usize>().unwrap()] - logged.parse::<f64>().unwrap()) / 1e3
    };
    median(&told.lines().map(gap).collect::<Vec<_>>())
}
