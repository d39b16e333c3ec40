//! Part 2: how fast a binlog comes over the network, from a real MySQL's dump thread.
//!
//! Our dump connection to nowhere (packets joined, checksums verified), the same with every row to RowBinary in the same
//! thread, and `mysqlbinlog --raw`, which writes the file down as it comes. By the clock, without TLS.

use std::process::{Command, Stdio};
use std::time::Instant;

use stream_bridge::config::{Config, MysqlConfig};
use stream_bridge::message::Budget;
use stream_bridge::mysql::dump::{Dump, Incoming};
use stream_bridge::position::Position;
use uuid::Uuid;

use crate::record::{ONE_FILE, new_file};
use crate::report::{self, Table};
use crate::support::fixture::Fixture;
use crate::support::servers::Servers;
use crate::walk::{Decoder, IN_CACHE};
use crate::workload::Workload;
use crate::{Size, clock};

/// A piece of the binary log: from the beginning of a file up to an offset in it.
pub struct Piece {
    /// The file's name.
    pub file: String,
    /// Its end.
    pub end: u64,
}

/// All loads.
pub fn run(size: Size) {
    for workload in Workload::ALL {
        let rows = size.of(workload.full_rows());
        let test = Fixture::named(Servers::own("bench-drain", &[ONE_FILE]), "bench".to_owned());
        workload.create(&test);
        let piece = written(&test, workload, rows);
        let config = resolved(&test).mysql;
        let mut seconds = [const { Vec::new() }; 3];
        let mut cpu = [const { Vec::new() }; 3];
        for _ in 0..size.runs {
            let readers = [
                Some(clocked(|| drained(&config, &piece))),
                Some(clocked(|| assert_eq!(decoded(&config, &piece), rows))),
                mysqlbinlog(&test, &piece),
            ];
            for (index, (clock, on_cpu)) in readers.into_iter().enumerate().filter_map(|(i, it)| Some((i, it?))) {
                seconds[index].push(clock);
                cpu[index].push(on_cpu);
            }
        }
        print(workload, rows, &piece, &seconds, &cpu);
    }
}

fn print(workload: Workload, rows: u64, piece: &Piece, seconds: &[Vec<f64>], cpu: &[Vec<f64>]) {
    let names = ["dump to nowhere", "dump, every row to RowBinary", "mysqlbinlog --raw"];
    let mut table = Table::new(&["reader", "seconds", "MB/s", "of mysqlbinlog's time", "CPU s of the reader"]);
    for (index, name) in names.iter().enumerate() {
        if seconds[index].is_empty() {
            println!("skipped: {name} is not on this machine");
            continue;
        }
        let rates: Vec<f64> = seconds[index].iter().map(|seconds| piece.end as f64 / seconds / 1e6).collect();
        let of = report::ratios(&seconds[index], &seconds[2]);
        let of = if of.is_empty() { "-".to_owned() } else { report::spread(&of, 2) };
        let cpu = report::spread(&cpu[index], 2);
        table.row(&[(*name).to_owned(), report::spread(&seconds[index], 3), report::spread(&rates, 0), of, cpu]);
    }
    table.print(&format!("drain {}: {rows} rows, {} bytes of binlog", workload.name(), piece.end));
}

/// Writes the load into a binlog file of its own.
pub fn written(test: &Fixture, workload: Workload, rows: u64) -> Piece {
    let (path, file) = new_file(test);
    workload.write(test, rows);
    // Only what is whole may be read to its end.
    new_file(test);
    Piece { file, end: std::fs::metadata(path).unwrap().len() }
}

/// The configuration of the bridge, for the parts of it that are used here by themselves.
pub fn resolved(test: &Fixture) -> Config {
    let mut config = test.config();
    config.set("mysql.server_id", 4711).set("mysql.tls", "disabled");
    let text = std::fs::read_to_string(config.write()).unwrap();
    Config::resolve(&text, &|_| None, &|_| Err("no files".to_owned())).unwrap()
}

/// Seconds of the clock, and of this thread's CPU.
fn clocked(work: impl FnOnce()) -> (f64, f64) {
    let begin = Instant::now();
    let ((), cpu) = clock::timed(work);
    (begin.elapsed().as_secs_f64(), cpu)
}

/// To nowhere.
fn drained(config: &MysqlConfig, piece: &Piece) {
    dump(config, piece, &mut |_, _| ());
}

/// Every row to RowBinary; how many.
pub fn decoded(config: &MysqlConfig, piece: &Piece) -> u64 {
    let mut decoder = Decoder::new(None, IN_CACHE);
    dump(config, piece, &mut |offset, event| decoder.event(offset, event, &mut Some));
    decoder.finish();
    decoder.rows
}

/// Reads the piece over a dump connection of its own; events come with their offsets.
pub fn dump(config: &MysqlConfig, piece: &Piece, each: &mut dyn FnMut(u64, &[u8])) {
    let budget = Budget::new(usize::MAX);
    let position = Position { file: piece.file.clone(), offset: 4, ..Position::default() };
    let mut dump = Dump::start(config, Uuid::new_v4(), &position).unwrap();
    let (mut end, mut used) = (0, None);
    while end < piece.end {
        let Incoming::Chunk(mut chunk) = dump.read(&budget, || used.take()).unwrap() else { continue };
        for span in &chunk.events {
            each(span.offset, &chunk.bytes[span.start..span.start + span.len]);
            end = end.max(span.offset + if span.offset > 0 { span.len as u64 } else { 0 });
        }
        used = Some(std::mem::take(&mut chunk.bytes));
    }
}

fn mysqlbinlog(test: &Fixture, piece: &Piece) -> Option<(f64, f64)> {
    let (folder, address) = (tempfile::tempdir().unwrap(), &test.servers.mysql.address);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers");
    let (begin, cpu) = (Instant::now(), clock::of_commands());
    let status = Command::new(script)
        .args(["tool", "mysqlbinlog", "--no-defaults", "--read-from-remote-server", "--raw", "--protocol=TCP"])
        .args(["--ssl-mode=DISABLED", "--get-server-public-key"])
        .arg(format!("--host={}", address.host))
        .arg(format!("--port={}", address.port))
        .arg(format!("--user={}", address.user))
        .arg(format!("--password={}", address.password))
        .arg(format!("--result-file={}/", folder.path().display()))
        .arg(&piece.file)
        .stderr(Stdio::null())
        .status()
        .ok()?;
    let times = (begin.elapsed().as_secs_f64(), clock::of_commands() - cpu);
    let fetched = std::fs::metadata(folder.path().join(&piece.file)).map(|it| it.len());
    (status.success() && fetched.is_ok_and(|bytes| bytes == piece.end)).then_some(times)
}
