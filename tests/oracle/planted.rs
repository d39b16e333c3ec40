//! The oracle proves itself: it must find seven bugs that are planted into a copy of the program, and nothing in the copy
//! when none of them is switched on.

use crate::round::{Program, run};
use crate::sessions::{Disturbance, case};
use crate::support::plant::{self, Bug, SWITCH};
use crate::support::servers::Servers;

/// Rounds in which each must be found.
const ROUNDS: u64 = 60;
/// Rounds in which nothing must be found in the copy without a bug.
const CLEAN_ROUNDS: u64 = 5;

/// Each with what happens meanwhile.
const BUGS: [(Bug, Disturbance); 7] = [
    (
        Bug {
            name: "a MEDIUMINT without its sign",
            file: "src/transcode/plan.rs",
            right: "(3, false) => Op::Int24,",
            wrong: "(3, false) => if BUG { Op::UInt24 } else { Op::Int24 },",
        },
        Disturbance::None,
    ),
    (
        Bug {
            name: "TIMESTAMP in another time zone",
            file: "src/transcode/temporal.rs",
            right: "rowbinary::fixed(out, fraction.scale(seconds.into(), stored)?.to_le_bytes());\n    Ok(())\n}\n\n/// TIME(fsp) to",
            wrong: "let seconds = i64::from(seconds) + if BUG { 3600 } else { 0 };
    rowbinary::fixed(out, fraction.scale(seconds, stored)?.to_le_bytes());\n    Ok(())\n}\n\n/// TIME(fsp) to",
        },
        Disturbance::None,
    ),
    (
        Bug {
            name: "no tombstone for the old key",
            file: "src/transcode/mod.rs",
            right: "self.is_log || (self.key_end > 0 &&",
            wrong: "self.is_log || (!BUG && self.key_end > 0 &&",
        },
        Disturbance::None,
    ),
    (
        Bug {
            name: "one byte of a text",
            file: "src/transcode/text.rs",
            right: "charset.check_utf8(value)?;
    }
    rowbinary::string(out, value);",
            wrong: "charset.check_utf8(value)?;
    }
    rowbinary::string(out, value);
    if let (true, 100.., Some(last)) = (BUG, value.len(), out.last_mut()) { *last ^= 1; }",
        },
        Disturbance::None,
    ),
    (
        Bug {
            name: "the old row of an update without a key",
            file: "src/transcode/mod.rs",
            right: "                self.write_tombstone(before, rows.version, out)?;",
            wrong: "                self.write_row(before, rows.version, !(BUG && self.is_log), out)?;",
        },
        Disturbance::None,
    ),
    (
        Bug {
            name: "a fraction cut off for a chosen type",
            file: "src/transcode/chosen.rs",
            right: "false if found % factor == 0 =>",
            wrong: "false if BUG || found % factor == 0 =>",
        },
        Disturbance::None,
    ),
    (
        Bug {
            name: "a checkpoint saved before its rows",
            file: "src/router/ledger.rs",
            right: "self.entries.first_key_value().map_or(end, |(_, start)| start)",
            wrong: "self.entries.first_key_value().filter(|_| !BUG).map_or(end, |(_, start)| start)",
        },
        Disturbance::Kills,
    ),
];

#[test]
fn planted_bugs_are_found() {
    let binary = plant::build("oracle", &BUGS.map(|(bug, _)| bug));
    let servers = Servers::own_mysql("oracle-planted", &[]);
    let clean = Program { binary: Some(binary.clone()), environment: Vec::new() };
    for seed in 0..CLEAN_ROUNDS {
        let found = run(&servers, &case(seed, Disturbance::Any), &clean);
        assert!(found.is_ok(), "seed {seed}, no bug switched on: {}", found.unwrap_err());
    }
    for (bug, disturbance) in BUGS {
        let program = Program { binary: Some(binary.clone()), environment: vec![(SWITCH, bug.name)] };
        let found = (0..ROUNDS).find_map(|seed| Some((seed, run(&servers, &case(seed, disturbance), &program).err()?)));
        let (seed, failure) = found.unwrap_or_else(|| panic!("{}: not found in {ROUNDS} rounds", bug.name));
        let shown: String = failure.chars().take(300).collect();
        println!("{}: found in round {}: {shown}", bug.name, seed + 1);
        let is_difference = failure.contains("differences in");
        assert!(is_difference, "{}: found, but not as a difference: {failure}", bug.name);
    }
}
