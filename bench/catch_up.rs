//! Parts 3, 5 and 6: catching up end to end, with the memory and the CPU that it takes.
//!
//! In each run, one after the other on the same servers: our own drain (dump and decode to nowhere), the **bare poster**
//! (the same bodies, made before, posted to a new table by as many writers), and `stream-bridge run` on an empty target,
//! told to start where the load begins. By ClickHouse's query log it is timed from the end of its start, which looks at both
//! servers, makes the tables and saves a checkpoint, to the end of the last insert. Our CPU is counted
//! from the start of the process, the servers' from the end of the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use stream_bridge::clickhouse::{Client, tables as targets};
use stream_bridge::config::Config;
use stream_bridge::mysql::source::Source;
use stream_bridge::mysql::tables;
use stream_bridge::rowbinary::Body;
use stream_bridge::schema::catalog::SourceTable;
use stream_bridge::schema::target::InsertColumns;
use stream_bridge::schema::types::TableName;
use stream_bridge::transcode::Limits;
use stream_bridge::writer::query_id_prefix;

use crate::drain::{Piece, decoded, resolved};
use crate::record::{ONE_FILE, new_file};
use crate::report::{self, Table};
use crate::support::bridge::{Bridge, PATIENCE};
use crate::support::fixture::Fixture;
use crate::support::servers::Servers;
use crate::support::wait_until;
use crate::walk::{Decoder, events};
use crate::workload::{Workload, write_narrow};
use crate::{Size, clock};

const DATABASE: &str = "bench";
const MIB: f64 = (1 << 20) as f64;

/// What of the configuration is varied; the rest is the default.
#[derive(Debug, Clone, Copy)]
struct Setting {
    batch_rows: u32,
    batch_mib: u32,
    writers: u32,
    memory_mib: u32,
}

const DEFAULT: Setting = Setting { batch_rows: 100_000, batch_mib: 8, writers: 4, memory_mib: 256 };

/// One run.
struct Run {
    drain: f64,
    poster: Posted,
    caught: Caught,
}

/// What the bare poster took.
struct Posted {
    seconds: f64,
    cpu_clickhouse: f64,
}

/// How `stream-bridge run` caught up.
struct Caught {
    seconds: f64,
    cpu_ours: f64,
    cpu_mysql: f64,
    cpu_clickhouse: f64,
    peak_bytes: f64,
}

/// Batch sizes for each load, then writers, then budgets and one large transaction, for (a).
pub fn run(size: Size) {
    for workload in Workload::ALL {
        let rows = size.of(workload.full_rows());
        let rig = Rig::new(workload, rows, |test| workload.write(test, rows));
        let sizes = [1000, 5000, 20_000, 100_000].map(|batch_rows| Setting { batch_rows, ..DEFAULT });
        rig.compare(size, "batch size", &sizes, |setting| setting.batch_rows.to_string());
        if workload == Workload::Wide {
            let sizes = [4, 8, 16].map(|batch_mib| Setting { batch_mib, ..DEFAULT });
            rig.compare(size, "batch_bytes", &sizes, |setting| format!("{} MiB", setting.batch_mib));
        }
        if workload == Workload::Narrow {
            let writers = [1, 2, 4, 8].map(|writers| Setting { writers, ..DEFAULT });
            rig.compare(size, "writers", &writers, |setting| setting.writers.to_string());
            let budgets = [16, 64, 256].map(|memory_mib| Setting { memory_mib, ..DEFAULT });
            rig.compare(size, "memory_limit", &budgets, |setting| format!("{} MiB", setting.memory_mib));
        }
    }
    let rows = size.of(Workload::Narrow.full_rows());
    let rig = Rig::new(Workload::Narrow, rows, |test| write_narrow(test, rows, rows));
    rig.compare(size, "one transaction, memory_limit", &[DEFAULT], |setting| format!("{} MiB", setting.memory_mib));
}

/// Both servers, with the load in the binary log.
struct Rig {
    test: Fixture,
    piece: Piece,
    file: Vec<u8>,
    config: Config,
    client: Client,
    source: SourceTable,
    workload: Workload,
    rows: u64,
}

impl Rig {
    fn new(workload: Workload, rows: u64, write: impl Fn(&Fixture)) -> Self {
        let test = Fixture::named(Servers::own("bench-catch-up", &[ONE_FILE]), DATABASE.to_owned());
        workload.create(&test);
        let (path, file) = new_file(&test);
        write(&test);
        new_file(&test);
        let bytes = std::fs::read(path).unwrap();
        let piece = Piece { file, end: bytes.len() as u64 };
        let config = resolved(&test);
        let client = Client::connect(&config.clickhouse, 8).unwrap();
        let name = TableName { database: DATABASE.to_owned(), table: workload.table().to_owned() };
        let mut source = Source::connect(&config.mysql).unwrap();
        let source = tables::read(&mut source, &|found, _| *found == name, false).unwrap().remove(0).table;
        Self { test, piece, file: bytes, config, client, source, workload, rows }
    }

    fn compare(&self, size: Size, what: &str, settings: &[Setting], label: impl Fn(&Setting) -> String) {
        let mut table = Table::new(&[
            what,
            "caught up, s",
            "own drain, s",
            "bare poster, s",
            "of the larger",
            "M rows/s",
            "CPU s per M rows: ours",
            "MySQL",
            "ClickHouse",
            "and of the poster",
            "peak MiB",
        ]);
        for setting in settings {
            let runs: Vec<Run> = (0..size.runs).map(|_| self.run(*setting)).collect();
            table.row(&self.line(label(setting), &runs));
        }
        table.print(&format!("catch-up {} by {what}: {} rows", self.workload.name(), self.rows));
    }

    fn line(&self, label: String, runs: &[Run]) -> Vec<String> {
        let million = self.rows as f64 / 1e6;
        let told = |decimals: usize, figure: &dyn Fn(&Run) -> f64| {
            report::spread(&runs.iter().map(figure).collect::<Vec<_>>(), decimals)
        };
        vec![
            label,
            told(2, &|run| run.caught.seconds),
            told(2, &|run| run.drain),
            told(2, &|run| run.poster.seconds),
            told(2, &|run| run.caught.seconds / run.drain.max(run.poster.seconds)),
            told(2, &|run| million / run.caught.seconds),
            told(2, &|run| run.caught.cpu_ours / million),
            told(2, &|run| run.caught.cpu_mysql / million),
            told(2, &|run| run.caught.cpu_clickhouse / million),
            told(2, &|run| run.poster.cpu_clickhouse / million),
            told(1, &|run| run.caught.peak_bytes / MIB),
        ]
    }

    fn run(&self, setting: Setting) -> Run {
        let begin = Instant::now();
        assert_eq!(decoded(&self.config.mysql, &self.piece), self.rows);
        Run { drain: begin.elapsed().as_secs_f64(), poster: self.poster(setting), caught: self.catch_up(setting) }
    }

    fn poster(&self, setting: Setting) -> Posted {
        let name = TableName { table: "reference".to_owned(), ..self.source.name.clone() };
        let target = targets::create_table(&self.client, &self.source, &name, None).unwrap();
        let limits = Limits { rows: setting.batch_rows as usize, bytes: (setting.batch_mib as usize) << 20 };
        let mut decoder = Decoder::new(Some(&target.columns), limits);
        let mut bodies = Vec::new();
        for (offset, event) in events(&self.file) {
            decoder.event(offset, event, &mut |body| {
                bodies.push(body);
                None
            });
        }
        bodies.push(decoder.finish());
        bodies.retain(|body| !body.is_empty());
        let columns = Arc::new(InsertColumns(target.columns.clone()));
        let ([_, before], begin) = (self.cpu_of_servers(), Instant::now());
        self.post(&name, &columns, &bodies, setting.writers);
        let (seconds, [_, after]) = (begin.elapsed().as_secs_f64(), self.cpu_of_servers());
        self.test.clickhouse("DROP TABLE `{db}`.reference SYNC");
        Posted { seconds, cpu_clickhouse: after - before }
    }

    fn post(&self, table: &TableName, columns: &InsertColumns, bodies: &[Body], writers: u32) {
        let (client, next) = (&self.client, AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..writers {
                scope.spawn(|| {
                    while let Some((index, body)) = take(bodies, &next) {
                        let id = format!("reference-{index}-{}", clock::now_us());
                        client.insert(table, columns, body, &id).unwrap();
                    }
                });
            }
        });
    }

    fn catch_up(&self, setting: Setting) -> Caught {
        for database in [DATABASE.to_owned(), format!("{DATABASE}_state")] {
            self.test.clickhouse(&format!("DROP DATABASE IF EXISTS `{database}` SYNC"));
        }
        let mut config = self.test.config();
        let start = [("file", self.piece.file.as_str().into()), ("offset", toml::Value::Integer(4))];
        config
            .set("mysql.start", start.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<toml::Table>());
        config.set("mysql.tls", "disabled").set("pipeline.batch_size", i64::from(setting.batch_rows));
        config.set("pipeline.batch_bytes", format!("{}MiB", setting.batch_mib));
        config.set("pipeline.worker_count", i64::from(setting.writers));
        config.set("pipeline.memory_limit", format!("{}MiB", setting.memory_mib));
        let spawned_us = clock::now_us();
        let mut bridge = Bridge::spawn(&config);
        wait_until("the end of the start", PATIENCE, || bridge.log().contains("going on from"));
        let before = self.cpu_of_servers();
        bridge.wait_for("all rows", 20 * PATIENCE, |status| status.rows_total() >= self.rows);
        let after = self.cpu_of_servers();
        let (cpu_ours, peak_bytes) = (clock::of_process(bridge.pid()), bridge.peak_memory_bytes() as f64);
        assert_eq!(bridge.sigterm(), Some(0));
        let seconds = self.inserting_seconds(spawned_us);
        let cpu = |index: usize| after[index] - before[index];
        Caught { seconds, cpu_ours, cpu_mysql: cpu(0), cpu_clickhouse: cpu(1), peak_bytes }
    }

    /// From the end of the start, whose last act is to save the first checkpoint, to the end of the last insert.
    fn inserting_seconds(&self, spawned_us: f64) -> f64 {
        self.test.clickhouse("SYSTEM FLUSH LOGS");
        let prefix = query_id_prefix(DATABASE, &self.source.name);
        let told = self.test.clickhouse(&format!(
            "SELECT maxIf(us, is_ours) - minIf(us, is_claim), sumIf(written_rows, is_ours) FROM (
               SELECT toUnixTimestamp64Micro(event_time_microseconds) AS us, written_rows,
                 startsWith(query_id, '{prefix}') AS is_ours,
                 query_kind = 'Insert' AND has(tables, '{DATABASE}_state.checkpoint_latest') AS is_claim
               FROM system.query_log WHERE type = 'QueryFinish') WHERE us > {spawned_us:.0}"
        ));
        let (micros, rows) = told.split_once('\t').unwrap();
        assert_eq!(rows, self.rows.to_string(), "the query log holds other inserts");
        micros.parse::<f64>().unwrap() / 1e6
    }

    /// MySQL's and ClickHouse's, in seconds.
    fn cpu_of_servers(&self) -> [f64; 2] {
        let servers = &self.test.servers;
        [servers.mysql.pid, servers.clickhouse.pid].map(|pid| clock::of_process(pid.expect("servers of our own")))
    }
}

fn take<'a>(bodies: &'a [Body], next: &AtomicUsize) -> Option<(usize, &'a Body)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    bodies.get(index).map(|body| (index, body))
}
