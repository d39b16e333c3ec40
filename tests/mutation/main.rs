//! Hostile bytes: recorded ones, damaged by a seed, through every public way in. No panic, no hang, and no more memory
//! than a small multiple of the input (`targets.rs` says how much).
//!
//! A minute of it by default. `STREAM_BRIDGE_MUTATION_INPUTS` tries so many inputs instead (10 million of them in a
//! release build take a few minutes), `STREAM_BRIDGE_MUTATION_SEED` repeats a run, `STREAM_BRIDGE_MUTATION_FIRST` begins
//! it at that input: an input is made by the seed and its number alone. A finding is printed with all three and written
//! to a file. What kills the process (no stack, no memory, the watchdog after 10 s) leaves the input's number in
//! `tmp/mutation-number` of the target folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

mod client;
mod corpus;
mod events;
mod mutate;
mod record;
mod router;
#[path = "../support/mod.rs"]
mod support;
mod targets;
mod watch;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corpus::{Form, Item};
use mutate::Random;
use targets::{Rig, TARGETS, Target};
use watch::Watch;

const DEFAULT_TIME: Duration = Duration::from_secs(60);
const HANG: Duration = Duration::from_secs(10);
/// Of the whole process, zstd's windows included (128 MiB for the largest that MySQL can choose).
const RESIDENT_MAX_BYTES: u64 = 400 << 20;

/// Memory is counted for the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What is tried.
#[derive(Debug, Clone, Copy)]
struct Campaign {
    seed: u64,
    first: u64,
    /// No limit: the time decides.
    inputs: Option<u64>,
}

/// An input that did harm.
#[derive(Debug)]
struct Finding {
    target: &'static str,
    number: u64,
    what: String,
    input: Vec<u8>,
}

/// What was tried of one target, and the most that an input took.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    inputs: u64,
    peak_bytes: usize,
    longest: Duration,
}

#[test]
fn mutated_inputs_do_no_harm() {
    let _alone = ALONE.lock();
    let campaign = Campaign {
        seed: number("SEED").unwrap_or_else(clock_seed),
        first: number("FIRST").unwrap_or_default(),
        inputs: number("INPUTS"),
    };
    say(&format!("STREAM_BRIDGE_MUTATION_SEED={} from input {}", campaign.seed, campaign.first));
    let (items, clock) = (corpus::load(), Instant::now());
    let tallies = run(&items, &TARGETS, campaign, abort).unwrap_or_else(|finding| report(&finding, campaign.seed));
    for (target, tally) in TARGETS.iter().zip(tallies) {
        println!(
            "{:>12}: {} inputs, at most {} bytes and {:?}",
            target.name, tally.inputs, tally.peak_bytes, tally.longest
        );
    }
    let (seconds, resident) = (clock.elapsed().as_secs_f64(), watch::resident_peak_bytes());
    println!("{seconds:.1} s, at most {} MiB resident", resident >> 20);
    assert!(resident < RESIDENT_MAX_BYTES, "{resident} bytes resident: C code took memory by a length it read");
}

fn number(name: &str) -> Option<u64> {
    let name = format!("STREAM_BRIDGE_MUTATION_{name}");
    let text = std::env::var(&name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a whole number")))
}

fn clock_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// Past the capture of tests, which an aborted process never prints.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn abort(seed: u64, number: u64) {
    say(&format!("STREAM_BRIDGE_MUTATION_SEED={seed} STREAM_BRIDGE_MUTATION_FIRST={number} hangs"));
    std::process::abort();
}

fn report(finding: &Finding, seed: u64) -> ! {
    let Finding { target, number, what, input } = finding;
    let path = temporary(&format!("mutation-{target}-{seed}-{number}"));
    std::fs::write(&path, input).unwrap();
    let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
    panic!(
        "{target}: {what}\ninput {hex}\nin {}\nSTREAM_BRIDGE_MUTATION_SEED={seed} STREAM_BRIDGE_MUTATION_FIRST={number} \
         STREAM_BRIDGE_MUTATION_INPUTS=1",
        path.display()
    )
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Tries inputs until one does harm, or as many as asked for.
fn run(items: &[Item], targets: &[Target], campaign: Campaign, hangs: fn(u64, u64)) -> Result<Vec<Tally>, Finding> {
    let (rig, watch, clock) =
        (Rig::new(), Watch::start(HANG, move |number| hangs(campaign.seed, number)), Instant::now());
    let mut tallies = vec![Tally::default(); targets.len()];
    let trace = File::create(temporary("mutation-number")).unwrap();
    let end = campaign.inputs.map_or(u64::MAX, |inputs| campaign.first.saturating_add(inputs));
    for number in campaign.first..end {
        if campaign.inputs.is_none() && clock.elapsed() > DEFAULT_TIME {
            break;
        }
        // Before anything can go wrong with it.
        trace.write_all_at(format!("{} {number:20}\n", campaign.seed).as_bytes(), 0).unwrap();
        watch.begins(number);
        let mut random = Random::of(campaign.seed, number);
        let index = choose(targets, &mut random);
        let (item, parts) = input(items, &targets[index], &mut random);
        tallies[index].add(attempt(&rig, &targets[index], item, &parts, number)?);
    }
    Ok(tallies)
}

fn choose(targets: &[Target], random: &mut Random) -> usize {
    let mut at = random.below(targets.iter().map(|target| target.weight).sum());
    targets.iter().position(|target| at.checked_sub(target.weight).map(|rest| at = rest).is_none()).unwrap_or_default()
}

fn input<'a>(items: &'a [Item], target: &Target, random: &mut Random) -> (&'a Item, Vec<Vec<u8>>) {
    let fitting: Vec<&Item> = items.iter().filter(|item| item.form == target.form).collect();
    let mut item = *random.pick(&fitting);
    if item.is_large() && !random.one_in(20) {
        item = *random.pick(&fitting);
    }
    let donor = if random.one_in(4) { random.pick(items) } else { *random.pick(&fitting) };
    (item, mutate::mutant(item, donor, random))
}

/// Gives the input to the target.
fn attempt(rig: &Rig, target: &Target, item: &Item, parts: &[Vec<u8>], number: u64) -> Result<Tally, Finding> {
    let finding = |what: String| Finding { target: target.name, number, what, input: parts.concat() };
    let clock = Instant::now();
    let run = || catch_unwind(AssertUnwindSafe(|| (target.run)(rig, item, parts)));
    let (result, peak_bytes) = watch::measured(run);
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        return Err(finding(format!("{} panics: {}", item.name, text.unwrap_or_default())));
    }
    let bytes: usize = parts.iter().map(Vec::len).sum();
    let most = target.fixed + target.per_byte * bytes;
    // Another thread's memory does not come again.
    let comes_again = || {
        rig.renew();
        watch::measured(run).1 > most
    };
    if peak_bytes > most && comes_again() {
        let name = &item.name;
        return Err(finding(format!("{name} takes {peak_bytes} bytes of memory for {bytes} of input, above {most}")));
    }
    Ok(Tally { inputs: 1, peak_bytes, longest: clock.elapsed() })
}

impl Tally {
    fn add(&mut self, one: Self) {
        self.inputs += one.inputs;
        self.peak_bytes = self.peak_bytes.max(one.peak_bytes);
        self.longest = self.longest.max(one.longest);
    }
}

/// Events with rows that the stream carries over.
const WITH_ROWS: [&str; 9] =
    ["numbers", "partial_json", "texts", "times", "documents", "others", "compressed", "cascades", "tagged"];

/// What the mutants start from is understood, so that they get deep.
#[test]
fn the_recorded_bytes_reach_every_target() {
    let _alone = ALONE.lock();
    let (items, rig) = (corpus::load(), Rig::new());
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    for target in &TARGETS {
        for item in items.iter().filter(|item| item.form == target.form) {
            let done = attempt(&rig, target, item, &item.parts, 0).unwrap_or_else(|finding| report(&finding, 0));
            assert_eq!(done.inputs, 1);
            let found = (target.run)(&rig, item, &item.parts);
            assert!(found > 0 || is_mute(target.name, &item.name), "{} makes nothing of {}", target.name, item.name);
        }
    }
    for name in WITH_ROWS.iter().chain(&["xa", "images", "statements", "login", "dump"]) {
        assert!(names.contains(name), "{name} is not in the corpus");
    }
}

/// Not what is recorded to be refused, nor events without rows that can be followed.
fn is_mute(target: &str, item: &str) -> bool {
    match target {
        "rows" | "stream" => !WITH_ROWS.contains(&item),
        "client" => ["denied", "other_plugin", "lost_dump"].contains(&item),
        _ => false,
    }
}

/// Each part cut at each length, its size and checksum made to fit.
#[test]
fn every_truncation_does_no_harm() {
    let _alone = ALONE.lock();
    let (items, rig) = (corpus::load(), Rig::new());
    for target in TARGETS.iter().filter(|target| !["client", "stream"].contains(&target.name)) {
        for item in items.iter().filter(|item| item.form == target.form) {
            for at in 0..item.parts.len() {
                truncations(&rig, target, item, at);
            }
        }
    }
}

/// With the part before it, for a TABLE_MAP precedes its rows.
fn truncations(rig: &Rig, target: &Target, item: &Item, at: usize) {
    let whole = &item.parts[at];
    let before = at.checked_sub(1).map(|before| item.parts[before].clone());
    for len in 0..whole.len().min(1000) {
        let mut cut = whole[..len].to_vec();
        events::seal(&mut cut, true);
        let parts: Vec<Vec<u8>> = before.clone().into_iter().chain([cut]).collect();
        attempt(rig, target, item, &parts, 0).unwrap_or_else(|finding| report(&finding, 0));
    }
}

/// The campaign finds what it looks for.
#[test]
fn planted_harm_is_found() {
    let _alone = ALONE.lock();
    let found = |run: targets::Run| {
        let planted = Target { name: "planted", form: Form::Document, run, weight: 1, per_byte: 8, fixed: 1 << 12 };
        let campaign = Campaign { seed: 7, first: 0, inputs: Some(100_000) };
        harm(&planted, campaign)
    };
    let by_index = found(|_, _, parts| {
        parts.iter().filter_map(|part| part.first()).map(|&at| usize::from([0_u8; 255][usize::from(at)])).sum()
    });
    assert!(by_index.what.contains("panics: index out of bounds"), "{by_index:?}");
    let by_length = found(|_, _, parts| {
        let claimed = parts.first().and_then(|part| part.first_chunk().copied()).map_or(0, u32::from_le_bytes);
        Vec::<u8>::with_capacity(claimed as usize).capacity() / usize::MAX
    });
    assert!(by_length.what.contains("bytes of memory for"), "{by_length:?}");
}

fn harm(planted: &Target, campaign: Campaign) -> Finding {
    let items = corpus::load();
    run(&items, std::slice::from_ref(planted), campaign, abort).expect_err("the harm was done and not found")
}

#[test]
fn a_hang_is_noticed() {
    let (says, said) = std::sync::mpsc::channel();
    let watch = Watch::start(Duration::from_millis(100), move |number| says.send(number).unwrap_or_default());
    watch.begins(3);
    watch.begins(4);
    assert_eq!(said.recv_timeout(HANG), Ok(4));
}
