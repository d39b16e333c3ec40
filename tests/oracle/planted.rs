//! The oracle proves itself: it must find five bugs that are planted into a copy of the program, and nothing in the copy
//! when none of them is switched on.
//!
//! The copy is built once into a folder of its own below the target folder, which stays, so dependencies are not built
//! again. A pattern that is not exactly once in its file fails the test: then the code has moved, and the bug must too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::round::{Program, run};
use crate::sessions::{Disturbance, case};
use crate::support::servers::Servers;

/// The variable that switches a bug of the copy on.
const SWITCH: &str = "STREAM_BRIDGE_PLANTED_BUG";
/// Rounds in which each must be found.
const ROUNDS: u64 = 60;
/// Rounds in which nothing must be found in the copy without a bug.
const CLEAN_ROUNDS: u64 = 5;

/// A mistake that a person could make.
struct Bug {
    name: &'static str,
    file: &'static str,
    /// What stands there once.
    right: &'static str,
    wrong: &'static str,
    disturbance: Disturbance,
}

const BUGS: [Bug; 5] = [
    Bug {
        name: "a MEDIUMINT without its sign",
        file: "src/transcode/plan.rs",
        right: "(3, false) => Op::Int24,",
        wrong: "(3, false) => if BUG { Op::UInt24 } else { Op::Int24 },",
        disturbance: Disturbance::None,
    },
    Bug {
        name: "TIMESTAMP in another time zone",
        file: "src/transcode/temporal.rs",
        right: "rowbinary::fixed(out, fraction.scale(seconds.into(), stored)?.to_le_bytes());\n    Ok(())\n}\n\n/// TIME(fsp) to",
        wrong: "let seconds = i64::from(seconds) + if BUG { 3600 } else { 0 };
    rowbinary::fixed(out, fraction.scale(seconds, stored)?.to_le_bytes());\n    Ok(())\n}\n\n/// TIME(fsp) to",
        disturbance: Disturbance::None,
    },
    Bug {
        name: "no tombstone for the old key",
        file: "src/transcode/mod.rs",
        right: "let key_changed = self.key_end > 0 &&",
        wrong: "let key_changed = !BUG && self.key_end > 0 &&",
        disturbance: Disturbance::None,
    },
    Bug {
        name: "one byte of a text",
        file: "src/transcode/text.rs",
        right: "rowbinary::string(out, prefix.take(input)?);",
        wrong: "let value = prefix.take(input)?;
    rowbinary::string(out, value);
    if let (true, 100.., Some(last)) = (BUG, value.len(), out.last_mut()) { *last ^= 1; }",
        disturbance: Disturbance::None,
    },
    Bug {
        name: "a checkpoint saved before its rows",
        file: "src/router/ledger.rs",
        right: "self.entries.first_key_value().map_or(end, |(_, start)| start)",
        wrong: "self.entries.first_key_value().filter(|_| !BUG).map_or(end, |(_, start)| start)",
        disturbance: Disturbance::Kills,
    },
];

/// Appended to the copy's root module.
const ASK: &str = "
/// Whether this bug is switched on.
pub fn planted(name: &str) -> bool {
    static BUG: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BUG.get_or_init(|| std::env::var(\"SWITCH\").ok()).as_deref() == Some(name)
}
";

#[test]
fn planted_bugs_are_found() {
    let binary = build();
    let servers = Servers::own_mysql("oracle-planted", &[]);
    let clean = Program { binary: Some(binary.clone()), environment: Vec::new() };
    for seed in 0..CLEAN_ROUNDS {
        let found = run(&servers, &case(seed, Disturbance::Any), &clean);
        assert!(found.is_ok(), "seed {seed}, no bug switched on: {}", found.unwrap_err());
    }
    for bug in BUGS {
        let program = Program { binary: Some(binary.clone()), environment: vec![(SWITCH, bug.name)] };
        let found =
            (0..ROUNDS).find_map(|seed| Some((seed, run(&servers, &case(seed, bug.disturbance), &program).err()?)));
        let (seed, failure) = found.unwrap_or_else(|| panic!("{}: not found in {ROUNDS} rounds", bug.name));
        let shown: String = failure.chars().take(300).collect();
        println!("{}: found in round {}: {shown}", bug.name, seed + 1);
        let is_difference = failure.contains("differences in");
        assert!(is_difference, "{}: found, but not as a difference: {failure}", bug.name);
    }
}

/// The program with all bugs, each asleep.
fn build() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    let (source, target) = (folder.join("source"), folder.join("target"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in ["Cargo.toml", "Cargo.lock", "src", "bench/decode.rs", "scripts/demo.rs"] {
        copy(&root.join(path), &source.join(path));
    }
    let status = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--locked", "--bin", "stream-bridge"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .unwrap();
    assert!(status.success(), "the copy with the planted bugs does not build");
    target.join("debug/stream-bridge")
}

/// Files that are as they were keep their time, so that cargo builds only what changed.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        return fs::read_dir(from).unwrap().for_each(|entry| {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        });
    }
    let text = plant(from, fs::read_to_string(from).unwrap());
    if fs::read_to_string(to).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, text).unwrap();
}

fn plant(path: &Path, text: String) -> String {
    let mut text = text;
    for bug in BUGS.iter().filter(|bug| path.ends_with(bug.file)) {
        let found = text.matches(bug.right).count();
        assert_eq!(found, 1, "{}: this must be in it once: {}", bug.file, bug.right);
        text = text.replace(bug.right, &bug.wrong.replace("BUG", &format!("crate::planted({:?})", bug.name)));
    }
    if path.ends_with("src/lib.rs") {
        text.push_str(&ASK.replace("SWITCH", SWITCH));
    }
    text
}
