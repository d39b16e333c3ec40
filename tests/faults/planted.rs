//! The harness proves itself: each of five bugs that are planted into a copy of the program must be found as a difference.
//! What the copy does when none is switched on is what the other schedules show of the program.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::lane::{Lane, Program};
use crate::support::env_number;
use crate::support::plant::{self, Bug, SWITCH};

/// Schedules in which each must be found.
const SCHEDULES: u64 = 20;
/// It shows only when the process dies between the checkpoint and the acks, and a schedule kills it once at most.
const EARLY_CHECKPOINT: &str = "a checkpoint saved before its acks";
const KILLS: u64 = 4;

const BUGS: [Bug; 5] = [
    Bug {
        name: EARLY_CHECKPOINT,
        file: "src/router/ledger.rs",
        right: "self.entries.first_key_value().map_or(end, |(_, start)| start)",
        wrong: "self.entries.first_key_value().filter(|_| !BUG).map_or(end, |(_, start)| start)",
    },
    Bug {
        name: "an ack lost and not retried",
        file: "src/writer.rs",
        right: "Ack::Inserted(batch, start.elapsed(), result)",
        wrong: "let is_lost = result.as_ref().is_err_and(|error| error.text.contains(\"is it running\"));
            Ack::Inserted(batch, start.elapsed(), if BUG && is_lost { Ok(()) } else { result })",
    },
    Bug {
        name: "a retry with other bytes",
        file: "src/clickhouse/client.rs",
        right: "parts.extend(body.chunks().iter().map(Vec::as_slice));",
        wrong: "parts.extend(body.chunks().iter().map(Vec::as_slice));
        let mut last = body.chunks().last().cloned().unwrap_or_default();
        if let (true, Some(byte)) = (BUG && !query_id.contains(\"-0-\"), last.last_mut()) {
            *byte ^= 1;
            parts.pop();
            parts.push(&last);
        }",
    },
    Bug {
        name: "a dropped tombstone",
        file: "src/transcode/mod.rs",
        right: "self.is_log || (self.key_end > 0 &&",
        wrong: "self.is_log || (!BUG && self.key_end > 0 &&",
    },
    Bug {
        name: "a late copy accepted after TRUNCATE",
        file: "src/clickhouse/floor.rs",
        right: "ADD CONSTRAINT {next} CHECK {VERSION} >= {version}\")",
        wrong: "ADD CONSTRAINT {next} CHECK {VERSION} >= {}\", if BUG { \"0\".to_owned() } else { version.to_string() })",
    },
];

#[test]
#[ignore = "takes minutes: scripts/soak planted"]
fn planted_bugs_are_found() {
    let (binary, next) = (plant::build("faults", &BUGS), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..env_number("STREAM_BRIDGE_TEST_FAULTS_LANES", 2) {
            let (binary, next) = (&binary, &next);
            scope.spawn(move || {
                let lane = Lane::new(&format!("faults-planted-{number}"));
                while let Some(bug) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let kills = if bug.name == EARLY_CHECKPOINT { KILLS } else { 0 };
                    let program =
                        Program { binary: Some(binary.clone()), environment: vec![(SWITCH, bug.name)], kills };
                    let found = (1..=SCHEDULES).find_map(|seed| Some((seed, lane.run(seed, &program).err()?)));
                    let (seed, failure) =
                        found.unwrap_or_else(|| panic!("{}: not found in {SCHEDULES} schedules", bug.name));
                    let shown: String = failure.chars().take(400).collect();
                    println!("{}: found in schedule {seed}: {shown}", bug.name);
                    assert!(
                        failure.contains("tables differ"),
                        "{}: found, but not as a difference: {failure}",
                        bug.name
                    );
                }
            });
        }
    });
}
