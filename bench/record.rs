//! Binlogs of the loads, recorded on a real MySQL and kept in `target/bench/`: made again when they are missing or damaged.

use std::path::{Path, PathBuf};

use crate::support::fixture::Fixture;
use crate::support::servers::Servers;
use crate::walk;
use crate::workload::Workload;

/// Room for a whole load in one file.
pub const ONE_FILE: &str = "--max-binlog-size=1073741824";

/// The path of a binlog file with this load alone.
pub fn binlog(workload: Workload, rows: u64) -> PathBuf {
    let path = folder().join(format!("{}-{rows}.binlog", workload.name()));
    let is_whole = || std::fs::read(&path).is_ok_and(|file| walk::checked_rows(&file) == Some(rows));
    if !is_whole() {
        record(workload, rows, &path);
        assert!(is_whole(), "{} does not hold what was written", path.display());
    }
    path
}

/// Records the small binlogs anew whose instructions are counted (`bench/instructions`).
pub fn small() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/bench/binlogs"));
    for (workload, rows) in Workload::ALL.into_iter().zip([2000, 100, 80]) {
        record(workload, rows, &folder.join(format!("{}.binlog", workload.name())));
    }
}

fn record(workload: Workload, rows: u64, path: &Path) {
    eprintln!("bench: recording {}", path.display());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let test = Fixture::named(Servers::own("bench-record", &[ONE_FILE]), "bench".to_owned());
    workload.create(&test);
    let begin = new_file(&test);
    workload.write(&test, rows);
    new_file(&test);
    let part = path.with_extension("part");
    std::fs::copy(begin.0, &part).unwrap();
    std::fs::rename(part, path).unwrap();
}

/// Begins a new binlog file: its path and its name.
pub fn new_file(test: &Fixture) -> (PathBuf, String) {
    test.sql("FLUSH BINARY LOGS");
    let row: mysql::Row = test.row("SHOW BINARY LOG STATUS");
    let name: String = row.get(0).unwrap();
    let base: String = test.row("SELECT @@log_bin_basename");
    (PathBuf::from(base).with_file_name(&name), name)
}

/// `target/bench`, beside the profile that this program was built in.
fn folder() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).unwrap().join("bench")
}
