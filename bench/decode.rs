//! Part 1: rows per CPU-second of one thread, from the binlog file to values.
//!
//! Ours (`stream-bridge replay`: every checksum, every row to RowBinary), also without reading the file, against other
//! readers of the same file, and against what no decoder can beat: the walk over the events, and a copy of the row images,
//! both from memory.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::report::{self, Table};
use crate::workload::Workload;
use crate::{Size, clock, record, walk};

/// A reader: its name, and the CPU seconds that it takes for a file of so many rows; None when it is not here.
type Reader = (&'static str, fn(&Path, u64) -> Option<f64>);

const READERS: &[Reader] = &[
    ("stream-bridge replay", replay),
    ("the same from memory", decode),
    ("copy of the images (limit)", copy_images),
    ("walk over the events (limit)", walk_events),
    ("mysql-replication", |path, rows| peer("mysql-replication", path, rows)),
    ("mysql_common", |path, rows| peer("mysql_common", path, rows)),
    ("mysqlbinlog -v", mysqlbinlog),
];

/// All loads.
pub fn run(size: Size) {
    for workload in Workload::ALL {
        let rows = size.of(workload.full_rows());
        let path = record::binlog(workload, rows);
        let mut seconds = vec![Vec::new(); READERS.len()];
        for _ in 0..size.runs {
            for ((_, read), seconds) in READERS.iter().zip(&mut seconds) {
                seconds.extend(read(&path, rows));
            }
        }
        let bytes = std::fs::metadata(&path).unwrap().len();
        print(workload, rows, bytes, &seconds);
    }
}

fn print(workload: Workload, rows: u64, bytes: u64, seconds: &[Vec<f64>]) {
    let mut table = Table::new(&["reader", "M rows/s of CPU", "MB/s of CPU", "ours is so many times as fast"]);
    for ((name, _), these) in READERS.iter().zip(seconds) {
        if these.is_empty() {
            println!("skipped: {name} is not on this machine");
            continue;
        }
        let rates = |amount: f64| these.iter().map(|seconds| amount / seconds / 1e6).collect::<Vec<_>>();
        let times = report::ratios(these, &seconds[0]);
        let (rows, bytes) = (rates(rows as f64), rates(bytes as f64));
        table.row(&[
            (*name).to_owned(),
            report::spread(&rows, 3),
            report::spread(&bytes, 0),
            report::spread(&times, 2),
        ]);
    }
    table.print(&format!("decode {}: {rows} rows, {bytes} bytes of binlog", workload.name()));
}

/// The program beside this one.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("stream-bridge")
}

fn replay(path: &Path, rows: u64) -> Option<f64> {
    let output = Command::new(program()).args(["replay", "--json"]).arg(path).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rows"], rows);
    report["cpu_seconds"].as_f64()
}

fn decode(path: &Path, rows: u64) -> Option<f64> {
    let file = std::fs::read(path).unwrap();
    let (counted, seconds) = clock::timed(|| stream_bridge::replay::decode(&file));
    assert_eq!(counted, Ok(rows));
    Some(seconds)
}

fn copy_images(path: &Path, _: u64) -> Option<f64> {
    let (file, mut buffer) = (std::fs::read(path).unwrap(), Vec::new());
    Some(clock::timed(|| walk::copy_images(&file, &mut buffer)).1)
}

fn walk_events(path: &Path, _: u64) -> Option<f64> {
    let file = std::fs::read(path).unwrap();
    Some(clock::timed(|| black_box(walk::walk(&file))).1)
}

/// Another library, by `bench/peers`, which `bench/run` builds if it can.
fn peer(library: &str, path: &Path, rows: u64) -> Option<f64> {
    let program = std::env::var_os("STREAM_BRIDGE_BENCH_PEERS").filter(|path| !path.is_empty())?;
    let output = Command::new(program).arg(library).arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{library}: {}", String::from_utf8_lossy(&output.stderr));
    let (counted, seconds) = text.trim().split_once(' ').unwrap();
    assert_eq!(counted.parse(), Ok(rows), "{library} counts other rows");
    seconds.parse().ok()
}

fn mysqlbinlog(path: &Path, _: u64) -> Option<f64> {
    let begin = clock::of_commands();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers");
    let arguments = ["tool", "mysqlbinlog", "--no-defaults", "-v", "--base64-output=decode-rows"];
    let mut command = Command::new(script);
    let status = command.args(arguments).arg(path).stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    status.success().then(|| clock::of_commands() - begin)
}
