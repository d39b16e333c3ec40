//! Faults: for 30 s everything goes wrong that a seed says, while MySQL works; then all must be equal.
//!
//! Kills, stops and restarts of the bridge, of MySQL and of ClickHouse; a bad cable to MySQL; a proxy before ClickHouse that
//! loses requests and answers, fails, hangs, and delivers requests seconds too late. Five fixed seeds run by default.
//! `STREAM_BRIDGE_TEST_FAULTS_SEEDS=1..200` (the last one included) chooses others and adds a line for each to
//! `schedules.log` (or to `STREAM_BRIDGE_TEST_FAULTS_LOG`); `STREAM_BRIDGE_TEST_FAULTS_LANES` is how many run side by side,
//! each lane with servers of its own. A failure names its seed, its schedule and the folder with the bridge's log. What the seed decides
//! is which fault comes when and what is written; how threads and servers meet is not repeated exactly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

mod cable;
mod lane;
mod load;
mod planted;
mod schedule;
mod supervisor;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use lane::{Lane, Program};

/// What `cargo test` runs; between them they have every kind of fault.
pub const FIXED_SEEDS: [u64; 5] = [1, 34, 41, 79, 81];

/// `7`, or `1..200`.
fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("STREAM_BRIDGE_TEST_FAULTS_SEEDS") else { return FIXED_SEEDS.to_vec() };
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{text}: give a seed, or FIRST..LAST"));
    let (first, last) = text.split_once("..").unwrap_or((&text, &text));
    (number(first)..=number(last)).collect()
}

/// The fixed seeds leave no line.
fn log_path() -> Option<String> {
    let chosen = std::env::var("STREAM_BRIDGE_TEST_FAULTS_LOG").ok();
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/schedules.log");
    chosen.or_else(|| std::env::var("STREAM_BRIDGE_TEST_FAULTS_SEEDS").is_ok().then(|| default.to_owned()))
}

fn log(line: &str) {
    println!("{line}");
    let Some(path) = log_path() else { return };
    let mut file =
        File::options().create(true).append(true).open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    writeln!(file, "{line}").unwrap();
}

/// Why the bridge ended by itself: a start with a server away does.
fn tell_ends(seed: u64, ends: &[String]) {
    let mut counts = BTreeMap::new();
    ends.iter().for_each(|words| *counts.entry(words).or_insert(0) += 1);
    counts.iter().for_each(|(words, count)| println!("  seed={seed} ended by itself, {count} times: {words}"));
}

#[test]
fn nothing_is_lost_whatever_goes_wrong() {
    let (seeds, lanes) = (seeds(), support::env_number("STREAM_BRIDGE_TEST_FAULTS_LANES", 3));
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for number in 0..lanes.min(seeds.len() as u64) {
            let (seeds, next, has_failed) = (&seeds, &next, &has_failed);
            scope.spawn(move || {
                let lane = Lane::new(&format!("faults-{number}"));
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed))
                    && !has_failed.load(Ordering::Relaxed)
                {
                    match lane.run(seed, &Program::default()) {
                        Ok(tally) => {
                            log(&tally.to_string());
                            tell_ends(seed, &tally.ends);
                        }
                        Err(failure) => {
                            has_failed.store(true, Ordering::Relaxed);
                            log(&format!("seed={seed} FAILED"));
                            eprintln!("{failure}");
                        }
                    }
                }
            });
        }
    });
    assert!(!has_failed.load(Ordering::Relaxed), "a schedule failed: see above");
}
