//! `bench/run`: the parts of the benchmark, each in the file of its name; `bench/README.md` says what they measure.
//!
//! `bench PART..` runs parts by name. Sizes are those of the full benchmark times `STREAM_BRIDGE_BENCH_PERCENT`, and each
//! figure is the median of `STREAM_BRIDGE_BENCH_RUNS` runs, in each of which everything that is compared takes its turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark may fail loudly"
)]

mod catch_up;
mod clock;
mod copy;
mod decode;
mod drain;
mod growth;
mod latency;
mod peer;
mod record;
mod report;
mod walk;
mod workload;

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use support::env_number;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    percent: u64,
    runs: u64,
}

impl Size {
    /// This part of the full size; at least one.
    fn of(self, full: u64) -> u64 {
        (full * self.percent / 100).max(1)
    }
}

type Part = (&'static str, fn(Size));

const PARTS: &[Part] = &[
    ("decode", decode::run),
    ("drain", drain::run),
    ("catch_up", catch_up::run),
    ("latency", latency::run),
    ("growth", growth::run),
    ("copy", copy::run),
    ("peer", peer::run),
    ("small_binlogs", |_| record::small()),
];

fn main() -> ExitCode {
    let size = Size {
        percent: env_number("STREAM_BRIDGE_BENCH_PERCENT", 100),
        runs: env_number("STREAM_BRIDGE_BENCH_RUNS", 5).max(1),
    };
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let unknown = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != name));
    if let Some(name) = unknown.map(String::as_str).or(wanted.is_empty().then_some("nothing")) {
        let parts: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        eprintln!("bench PART..: {name} is no part; there are {}", parts.join(", "));
        return ExitCode::from(2);
    }
    for (part, run) in PARTS.iter().filter(|(part, _)| wanted.iter().any(|name| name == part)) {
        println!("\n# {part}: {} % of the full size, {} runs", size.percent, size.runs);
        run(size);
    }
    ExitCode::SUCCESS
}
