//! The snapshot: how fast existing rows are copied, against what the two servers can do side by side without us.
//!
//! In each run, one after the other on the same machine:
//! * the reference: MySQL's rows are read to nowhere (the same SELECTs, chunks and connections), **while** the same bodies,
//!   prepared before, are posted to a new table by as many writers. The slower of the two counts;
//! * `stream-bridge run` on an empty target, with the defaults, from the moment that its start is over (it has looked at both
//!   servers and made all tables, as the reference has before it is timed) until the table is copied. The start is printed.
//!
//! The process is charged all its CPU time, user and system, from its start on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stream_bridge::clickhouse::{Client, tables as targets};
use stream_bridge::config::Config;
use stream_bridge::message::CopyOrder;
use stream_bridge::metrics::bad_values::Counts;
use stream_bridge::mysql::chunks::{Chunk, Cuts};
use stream_bridge::mysql::select::{Select, select_list};
use stream_bridge::mysql::source::Source;
use stream_bridge::mysql::tables;
use stream_bridge::position::{Timeline, Version};
use stream_bridge::rowbinary::Body;
use stream_bridge::schema::catalog::SourceTable;
use stream_bridge::schema::target::InsertColumns;
use stream_bridge::schema::types::TableName;
use stream_bridge::snapshot::CopyTable;
use stream_bridge::transcode::Limits;

use uuid::Uuid;

use crate::report::{self, Table};
use crate::support::bridge::{Bridge, PATIENCE};
use crate::support::fixture::Fixture;
use crate::support::load::{allow_many_numbers, numbers};
use crate::support::servers::Servers;
use crate::support::wait_until;
use crate::{Size, clock};

const DATABASE: &str = "bench";
/// Of the full size.
const ROWS: u64 = 10_000_000;
const ROWS_STEP: u64 = 500_000;

/// The copy of narrow rows.
pub fn run(size: Size) {
    let rows = size.of(ROWS);
    let servers = Servers::own("bench-copy", &["--innodb-buffer-pool-size=2G"]);
    let test = Fixture::named(servers, DATABASE.to_owned());
    load(&test, rows);
    let rig = Rig::new(&test, rows);
    let runs: Vec<Run> = (1..=size.runs).map(|number| rig.run(number)).collect();
    let told = |figure: &dyn Fn(&Run) -> f64| report::spread(&runs.iter().map(figure).collect::<Vec<_>>(), 2);
    let mut table = Table::new(&[
        "MySQL's SELECT, M rows/s",
        "bodies posted",
        "copied",
        "of the slower",
        "M rows per s of our CPU",
        "start, ms",
    ]);
    table.row(&[
        told(&|run| run.read / 1e6),
        told(&|run| run.posted / 1e6),
        told(&|run| run.copied / 1e6),
        told(&Run::ratio),
        told(&|run| run.per_cpu_second / 1e6),
        told(&|run| run.start.as_secs_f64() * 1e3),
    ]);
    table.print(&format!("copy of {rows} narrow rows"));
}

fn load(test: &Fixture, rows: u64) {
    allow_many_numbers(test);
    test.sql(
        "SET SESSION sql_log_bin = 0;
         CREATE TABLE narrow (id BIGINT PRIMARY KEY, a INT, b INT, name VARCHAR(20), price DECIMAL(10, 2), created DATETIME)",
    );
    for first in (1..=rows).step_by(usize::try_from(ROWS_STEP).unwrap()) {
        let numbers = numbers(first, rows.min(first + ROWS_STEP - 1));
        test.execute(&format!(
            "INSERT INTO narrow {numbers} SELECT i, i % 100000, -i, CONCAT('name-', i % 100000), i % 100000 / 7,
             '2020-01-01' + INTERVAL i % 100000 * 61 SECOND FROM n"
        ));
    }
}

/// Rows per second.
struct Run {
    read: f64,
    posted: f64,
    copied: f64,
    per_cpu_second: f64,
    start: Duration,
}

impl Run {
    fn ratio(&self) -> f64 {
        self.copied / self.read.min(self.posted)
    }
}

/// All that is prepared before anything is measured.
struct Rig<'a> {
    test: &'a Fixture,
    config: Config,
    client: Client,
    source: SourceTable,
    chunks: Vec<Chunk>,
    bodies: Vec<Body>,
    columns: Arc<InsertColumns>,
    rows: u64,
}

impl<'a> Rig<'a> {
    fn new(test: &'a Fixture, rows: u64) -> Self {
        let text = std::fs::read_to_string(test.config().write()).unwrap();
        let config = Config::resolve(&text, &|_| None, &|_| Err("no files".to_owned())).unwrap();
        let client = Client::connect(&config.clickhouse, config.pipeline.worker_count).unwrap();
        let name = TableName { database: DATABASE.to_owned(), table: "narrow".to_owned() };
        let mut source = Source::connect(&config.mysql).unwrap();
        let source = tables::read(&mut source, &|found, _| *found == name, false).unwrap().remove(0).table;
        let target = targets::create_table(&client, &source, &name, None).unwrap();
        let version = Version(1 << 54);
        let order = CopyOrder {
            index: 0,
            shadow: Uuid::nil(),
            source: source.clone(),
            target,
            copy_where: None,
            version: Some(version),
            timeline: Timeline { number: 1, base_file: 0 },
            position: Arc::default(),
            saved: Vec::new(),
            flag: Arc::default(),
        };
        let table = CopyTable::new(&order, version, &Counts::default()).unwrap();
        let mut select = Select::open(&config.mysql).unwrap();
        let mut chunks: Vec<Chunk> = Vec::new();
        while let Some(begin) = chunks.last().map_or(Some(Chunk::first()), Chunk::next) {
            chunks.push(table.cut(&mut select, begin, config.snapshot.chunk_rows).unwrap());
        }
        let limits = Limits { rows: config.pipeline.batch_size, bytes: config.pipeline.batch_bytes };
        let mut bodies = Vec::new();
        for chunk in &chunks {
            table.begin(&mut select, chunk).unwrap();
            let mut rows = table.rows(&mut select);
            while let Some((body, _)) = rows.fill(limits).unwrap() {
                bodies.push(body);
            }
        }
        assert_eq!(bodies.iter().map(|body| body.rows() as u64).sum::<u64>(), rows);
        let columns = table.columns();
        Self { test, config, client, source, chunks, bodies, columns, rows }
    }

    fn run(&self, number: u64) -> Run {
        let (read, posted) = self.references(number);
        let (start, copied, cpu) = self.copy();
        let per_second = |seconds: f64| self.rows as f64 / seconds;
        Run {
            read: per_second(read.as_secs_f64()),
            posted: per_second(posted.as_secs_f64()),
            copied: per_second(copied.as_secs_f64()),
            per_cpu_second: per_second(cpu),
            start,
        }
    }

    /// How long the reads took, and the posts beside them.
    fn references(&self, number: u64) -> (Duration, Duration) {
        let name = TableName { table: format!("reference{number}"), ..self.source.name.clone() };
        targets::create_table(&self.client, &self.source, &name, None).unwrap();
        let (next_chunk, next_body, begin) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
        let Self { config, client, source, chunks, bodies, columns, .. } = self;
        let read = || {
            let mut select = Select::open(&config.mysql).unwrap();
            let (cuts, columns) = (Cuts::of(source), select_list(&source.columns));
            while let Some(chunk) = chunks.get(next_chunk.fetch_add(1, Ordering::Relaxed)) {
                select.run(&cuts.select(&columns, chunk)).unwrap();
                while select.next_row().unwrap().is_some() {}
            }
            begin.elapsed()
        };
        let post = || {
            loop {
                let index = next_body.fetch_add(1, Ordering::Relaxed);
                let Some(body) = bodies.get(index) else { return begin.elapsed() };
                client.insert(&name, columns, body, &format!("reference-{number}-{index}")).unwrap();
            }
        };
        let times = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..config.snapshot.connections).map(|_| scope.spawn(read)).collect();
            let writers: Vec<_> = (0..config.pipeline.worker_count).map(|_| scope.spawn(post)).collect();
            let last = |threads: Vec<std::thread::ScopedJoinHandle<'_, Duration>>| {
                threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
            };
            (last(readers), last(writers))
        });
        self.test.clickhouse(&format!("DROP TABLE `{{db}}`.`{}` SYNC", name.table));
        times
    }

    /// How long the start and the copy took, and the CPU time of the process in seconds.
    fn copy(&self) -> (Duration, Duration, f64) {
        for database in [DATABASE.to_owned(), format!("{DATABASE}_state")] {
            self.test.clickhouse(&format!("DROP DATABASE IF EXISTS `{database}` SYNC"));
        }
        let config = self.test.config();
        let begin = Instant::now();
        let bridge = Bridge::spawn(&config);
        let wait_for = |text: &str| wait_until(text, 10 * PATIENCE, || bridge.log().contains(text));
        wait_for("going on from");
        let start = begin.elapsed();
        wait_for("all tables are copied");
        let (took, cpu) = (begin.elapsed() - start, clock::of_process(bridge.pid()));
        assert_eq!(bridge.sigterm(), Some(0));
        assert_eq!(self.test.clickhouse("SELECT count() FROM `{db}`.narrow FINAL"), self.rows.to_string());
        (start, took, cpu)
    }
}
