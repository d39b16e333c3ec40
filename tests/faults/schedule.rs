//! A schedule: which fault comes when, for how long, from a seed alone.

use std::fmt;

use crate::cable::Trouble;
use crate::support::load::Random;
use crate::support::proxy::Fate;

/// How long faults come.
pub const LENGTH_MS: u64 = 30_000;

/// A server, or what is between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Bridge,
    MySql,
    ClickHouse,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// kill -9; it comes again when the time is over.
    Kill(Process),
    /// SIGSTOP, and SIGCONT when the time is over.
    Stop(Process),
    /// SIGTERM; it comes again when the time is over.
    Restart(Process),
    /// On the way to MySQL.
    Source(Trouble),
    /// On the way to ClickHouse, to so many per cent of the requests.
    Target { fate: Fate, per_cent: u64, name: &'static str },
    /// ClickHouse is not there.
    Refuse,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub at_ms: u64,
    pub for_ms: u64,
    pub kind: Kind,
}

impl Kind {
    /// For the log: the same for all faults that are alike.
    pub fn name(&self) -> String {
        let process = |what: &str, process: &Process| format!("{what}-{process:?}").to_lowercase();
        match self {
            Self::Kill(it) => process("kill", it),
            Self::Stop(it) => process("stop", it),
            Self::Restart(it) => process("restart", it),
            Self::Source(Trouble::None) => "fine".to_owned(),
            Self::Source(Trouble::Cut { .. }) => "source-cut".to_owned(),
            Self::Source(Trouble::Delay { .. }) => "source-delay".to_owned(),
            Self::Source(Trouble::Trickle) => "source-trickle".to_owned(),
            Self::Source(Trouble::HalfOpen) => "source-half-open".to_owned(),
            Self::Source(Trouble::Reset) => "source-reset".to_owned(),
            Self::Target { name, .. } => format!("target-{name}"),
            Self::Refuse => "target-refuse".to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6} ms, for {:5} ms: {:?}", self.at_ms, self.for_ms, self.kind)
    }
}

/// ClickHouse's errors that pass: asked anew later, the server takes the same.
const PASSING_CODES: [u32; 10] = [159, 202, 209, 210, 241, 285, 319, 425, 473, 999];
/// The account is refused until somebody mends it.
const DENIED_CODES: [u32; 3] = [164, 201, 516];

const PROCESSES: [Process; 3] = [Process::Bridge, Process::MySql, Process::ClickHouse];
const TARGET_KINDS: u64 = 16;

/// The faults of a seed, in the order of their beginnings.
pub fn schedule(seed: u64) -> Vec<Fault> {
    let random = &mut Random::new(seed);
    // The first numbers of neighbouring seeds are alike.
    for _ in 0..16 {
        random.below(2);
    }
    let mut faults = Vec::new();
    faults.extend((0..3 + random.below(2)).map(|_| process_fault(random)));
    faults.extend((0..2 + random.below(3)).map(|_| source_fault(random)));
    faults.extend((0..6 + random.below(4)).map(|_| target_fault(random)));
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

/// Kills of the bridge at even distances.
pub fn add_kills(faults: &mut Vec<Fault>, count: u64) {
    let kill =
        |number| Fault { at_ms: number * LENGTH_MS / (count + 1), for_ms: 500, kind: Kind::Kill(Process::Bridge) };
    faults.extend((1..=count).map(kill));
    faults.sort_by_key(|fault| fault.at_ms);
}

fn between(random: &mut Random, from: u64, to: u64) -> u64 {
    from + random.below(to - from)
}

fn pick<T: Copy>(random: &mut Random, list: &[T]) -> T {
    list[usize::try_from(random.below(list.len() as u64)).unwrap()]
}

/// Ends with the schedule at the latest.
fn fault(random: &mut Random, for_ms: (u64, u64), kind: Kind) -> Fault {
    let for_ms = between(random, for_ms.0, for_ms.1);
    Fault { at_ms: between(random, 500, LENGTH_MS - for_ms), for_ms, kind }
}

fn process_fault(random: &mut Random) -> Fault {
    let process = pick(random, &PROCESSES);
    match random.below(3) {
        0 => fault(random, (0, 2000), Kind::Kill(process)),
        1 => fault(random, (500, 7000), Kind::Stop(process)),
        _ => fault(random, (0, 2000), Kind::Restart(process)),
    }
}

fn source_fault(random: &mut Random) -> Fault {
    let trouble = match random.below(5) {
        0 => Trouble::Cut { after_bytes: between(random, 1, 300_000) },
        1 => Trouble::Delay { ms: between(random, 50, 1500) },
        2 => Trouble::Trickle,
        3 => Trouble::HalfOpen,
        _ => Trouble::Reset,
    };
    let for_ms = if trouble == Trouble::Reset { (10, 500) } else { (500, 5000) };
    fault(random, for_ms, Kind::Source(trouble))
}

fn target_fault(random: &mut Random) -> Fault {
    let per_cent = pick(random, &[20, 50, 100]);
    let (name, fate, for_ms) = match random.below(TARGET_KINDS) {
        0 => ("code", Fate::Answer(500, Some(pick(random, &PASSING_CODES))), (500, 4000)),
        1 => ("gateway", Fate::Answer(pick(random, &[502, 503, 504]), None), (500, 4000)),
        2 => ("drop", Fate::Drop, (500, 4000)),
        3 | 4 => ("drop-answer", Fate::DropAnswer, (500, 4000)),
        5 => ("hang", Fate::Hang, (100, 4000)),
        6 => ("hang-answer", Fate::HangAnswer, (100, 4000)),
        7 => ("truncate", Fate::Truncate, (500, 4000)),
        8 => ("late-exception", Fate::LateException, (500, 4000)),
        9 => ("twice", Fate::Twice(between(random, 0, 9000)), (500, 5000)),
        10 | 11 => ("zombie", Fate::Zombie(between(random, 200, 9000)), (1000, 4000)),
        12 => ("disk-full", Fate::Answer(500, Some(243)), (3000, 9000)),
        13 => ("too-many-parts", Fate::Answer(500, Some(252)), (3000, 9000)),
        14 if random.below(2) == 0 => ("read-only", Fate::Answer(500, Some(242)), (3000, 9000)),
        14 => ("denied", Fate::Answer(500, Some(pick(random, &DENIED_CODES))), (500, 6000)),
        _ => return fault(random, (4000, 12_000), Kind::Refuse),
    };
    // Long stretches concern all.
    let per_cent = if for_ms.0 >= 3000 { 100 } else { per_cent };
    fault(random, for_ms, Kind::Target { fate, per_cent, name })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::FIXED_SEEDS;

    fn counted(seeds: impl IntoIterator<Item = u64>) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for fault in seeds.into_iter().flat_map(schedule) {
            *counts.entry(fault.kind.name()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn a_seed_always_gives_the_same_and_another_one_something_else() {
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
        let first = |seed| schedule(seed)[0].at_ms;
        assert_ne!((first(0), first(1)), (first(2), first(3)));
    }

    #[test]
    fn faults_come_in_order_and_end_with_the_schedule() {
        for faults in (0..200).map(schedule) {
            assert!(faults.len() >= 10, "{faults:?}");
            assert!(faults.is_sorted_by_key(|fault| fault.at_ms));
            assert!(faults.iter().all(|fault| fault.at_ms + fault.for_ms <= LENGTH_MS), "{faults:?}");
        }
    }

    #[test]
    fn every_kind_comes_again_and_again() {
        let counts = counted(0..200);
        assert_eq!(counts.len(), 9 + 5 + 15, "{counts:?}");
        assert!(counts.values().all(|&count| count >= 15), "{counts:?}");
    }

    #[test]
    fn the_fixed_seeds_have_every_kind() {
        let (all, fixed) = (counted(0..200), counted(FIXED_SEEDS));
        let missing: Vec<_> = all.keys().filter(|kind| !fixed.contains_key(*kind)).collect();
        assert!(missing.is_empty(), "{missing:?}: choose other seeds");
    }
}
