//! Part 8: `mysql-ch-replicator`, a Python package that does our job, beside us on the same servers with the same load.
//!
//! Each is started on an empty table, shown one row, and stopped; then rows are written. Its catch-up is timed from the start
//! of its process until all rows are there. Then single rows are inserted, ten a second, each timed from the return of its
//! INSERT until a SELECT, repeated without pause, sees it: the same way for both, so the SELECT's own time is in both.
//! A run of theirs in which rows do not come in time is told, and counts for nothing else.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Size;
use crate::report::{Table, percentile, spread};
use crate::support::bridge::Bridge;
use crate::support::fixture::Fixture;
use crate::support::servers::Servers;
use crate::workload::Workload;

const DATABASE: &str = "bench";
const ROWS: u64 = 100_000;
const SINGLE_ROWS: u64 = 20;
/// For all rows; for a first or a single one.
const PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE_ROW: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// How one of them did in one run.
struct Run {
    rows_per_second: f64,
    delays_ms: Vec<f64>,
}

/// Both, one after the other in each run.
pub fn run(size: Size) {
    let Some(program) = std::env::var_os("STREAM_BRIDGE_BENCH_REPLICATOR").filter(|path| !path.is_empty()) else {
        println!("skipped: mysql-ch-replicator is not on this machine (`bench/run` installs it where pip can)");
        return;
    };
    let (program, rows) = (PathBuf::from(program), size.of(ROWS));
    let mut table = Table::new(&["replicator", "catch-up, rows/s", "delay p50 ms", "p99", "max"]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 1..=size.runs {
        ours.push(measured(rows, &|test| Replicator::Ours(Bridge::spawn(&test.config()))).unwrap());
        let folder = tempfile::tempdir().unwrap();
        match measured(rows, &|test| Replicator::start(test, &program, folder.path())) {
            Ok(run) => theirs.push(run),
            Err(missing) => println!("mysql-ch-replicator, run {run}: {missing} did not come"),
        }
    }
    let runs = [("stream-bridge", ours), ("mysql-ch-replicator", theirs)];
    for (name, runs) in runs.into_iter().filter(|(_, runs)| !runs.is_empty()) {
        let rates: Vec<f64> = runs.iter().map(|run| run.rows_per_second).collect();
        let delays: Vec<f64> = runs.into_iter().flat_map(|run| run.delays_ms).collect();
        let delay = |percent| format!("{:.1}", percentile(&delays, percent));
        table.row(&[name.to_owned(), spread(&rates, 0), delay(50.0), delay(99.0), delay(100.0)]);
    }
    table.print(&format!("end to end: {rows} narrow rows, then {SINGLE_ROWS} single ones"));
}

/// One run; or what did not come in time.
fn measured(rows: u64, start: &dyn Fn(&Fixture) -> Replicator) -> Result<Run, &'static str> {
    let test = Fixture::named(Servers::own("bench-peer", &[]), DATABASE.to_owned());
    Workload::Narrow.create(&test);
    let replicator = start(&test);
    let made = "SELECT count() FROM system.tables WHERE database = '{db}' AND name = 'narrow'";
    comes("the target", (PAUSE, PATIENCE_ROW), || test.clickhouse(made) == "1")?;
    single(&test, 0)?;
    replicator.stop();
    Workload::Narrow.write(&test, rows);
    let begin = Instant::now();
    let replicator = start(&test);
    comes("all rows", (PAUSE, PATIENCE), || count(&test) == rows + 1)?;
    let seconds = begin.elapsed().as_secs_f64();
    let delays_ms = (1..=SINGLE_ROWS).map(|number| {
        let delay = single(&test, number)?;
        std::thread::sleep(Duration::from_millis(100).saturating_sub(delay));
        Ok(delay.as_secs_f64() * 1e3)
    });
    let delays_ms = delays_ms.collect::<Result<Vec<f64>, &str>>()?;
    replicator.stop();
    Ok(Run { rows_per_second: rows as f64 / seconds, delays_ms })
}

/// Waits until it is there, and looks so often.
fn comes(
    what: &'static str,
    (pause, patience): (Duration, Duration),
    mut is_there: impl FnMut() -> bool,
) -> Result<(), &'static str> {
    let begin = Instant::now();
    while !is_there() {
        if begin.elapsed() > patience {
            return Err(what);
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

fn count(test: &Fixture) -> u64 {
    test.clickhouse("SELECT count() FROM `{db}`.narrow").parse().unwrap()
}

/// Inserts a row; how long it takes to be seen.
fn single(test: &Fixture, number: u64) -> Result<Duration, &'static str> {
    let before = count(test);
    test.execute(&format!("INSERT INTO narrow (id, name) VALUES (-{number}, 'single')"));
    let begin = Instant::now();
    comes("a single row", (Duration::ZERO, PATIENCE_ROW), || count(test) > before)?;
    Ok(begin.elapsed())
}

/// A running replicator.
enum Replicator {
    Ours(Bridge),
    Theirs(Group),
}

/// Its processes are a group, which ends with this.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.0.wait();
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Replicator {
    /// mysql-ch-replicator, with its state in `folder`.
    fn start(test: &Fixture, program: &Path, folder: &Path) -> Self {
        let (mysql, clickhouse) = (&test.servers.mysql.address, &test.servers.clickhouse.address);
        let config = folder.join("config.yaml");
        let text = format!(
            "mysql: {{host: '{}', port: {}, user: '{}', password: '{}'}}\n\
             clickhouse: {{host: '{}', port: {}, user: '{}', password: '{}'}}\n\
             binlog_replicator: {{data_dir: '{}', records_per_file: 100000}}\n\
             databases: '{DATABASE}'\nlog_level: warning\n",
            mysql.host,
            mysql.port,
            mysql.user,
            mysql.password,
            clickhouse.host,
            clickhouse.port,
            clickhouse.user,
            clickhouse.password,
            folder.join("binlog").display()
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(&config).args(["--db", DATABASE, "run_all"]).process_group(0);
        Self::Theirs(Group(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()))
    }

    fn stop(self) {
        match self {
            Self::Ours(bridge) => assert_eq!(bridge.sigterm(), Some(0)),
            Self::Theirs(group) => drop(group),
        }
    }
}
