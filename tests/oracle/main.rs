//! The oracle: invents tables and statements from a seed, runs them on a real MySQL, lets the bridge stream them, and
//! compares every value, printed by both servers themselves. It finds what nobody thought of, and proves with planted
//! bugs that it would.
//!
//! `STREAM_BRIDGE_ORACLE_SEED` repeats rounds (the first one is the seed's, the next its neighbour's);
//! `STREAM_BRIDGE_ORACLE_SECONDS` says for how long new ones begin. A failure prints the round's seed and the least
//! script that was found to repeat it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::explicit_auto_deref,
    reason = "test code"
)]

mod dice;
mod documents;
mod kinds;
mod planted;
mod round;
mod sessions;
mod shrink;
mod statements;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod targets;
mod values;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mysql::prelude::Queryable;
use round::{Program, Tally, run};
use sessions::{Case, Disturbance, case};
use support::servers::Servers;

/// A round that takes longer is told.
const SLOW: Duration = Duration::from_secs(20);
/// How long a failing case is made smaller.
const SHRINK: Duration = Duration::from_secs(180);

fn time_as_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Every other seed does without names and labels, unless a label has characters that nothing else tells.
fn metadata(seed: u64, case: &Case) -> &'static str {
    let mut created = case.tables.iter().flat_map(|table| table.create());
    let is_known = seed.is_multiple_of(2) && !created.any(|sql| sql.chars().any(|c| c > '\u{ffff}'));
    if is_known { "MINIMAL" } else { "FULL" }
}

#[test]
fn random_cases_are_equal() {
    let seed = support::env_number("STREAM_BRIDGE_ORACLE_SEED", time_as_seed());
    let budget = Duration::from_secs(support::env_number("STREAM_BRIDGE_ORACLE_SECONDS", 120));
    println!("STREAM_BRIDGE_ORACLE_SEED={seed}");
    // Of its own: others' XA transactions and restarts have no business here.
    let servers = Servers::own_mysql("oracle", &[]);
    let (started, mut total, mut rounds, mut minimals) = (Instant::now(), Tally::default(), 0, 0);
    while rounds == 0 || started.elapsed() < budget {
        let (seed, program) = (seed + rounds, Program::default());
        let case = case(seed, Disturbance::Any);
        let (metadata, begun) = (metadata(seed, &case), Instant::now());
        servers.mysql.connect().query_drop(format!("SET GLOBAL binlog_row_metadata = {metadata}")).unwrap();
        minimals += u64::from(metadata == "MINIMAL");
        match run(&servers, &case, &program) {
            Ok(tally) => total.add(tally),
            Err(failure) => {
                let minimal = shrink::shrink(&servers, case, failure.clone(), &program, SHRINK);
                let (script, last) = (minimal.script(), &minimal.failure);
                panic!(
                    "STREAM_BRIDGE_ORACLE_SEED={seed} with {metadata} metadata found: {failure}\n\n{last}\n\nis left of it by:\n\n{script}"
                );
            }
        }
        rounds += 1;
        if begun.elapsed() > SLOW {
            println!("seed {seed} took {} s", begun.elapsed().as_secs());
        }
    }
    println!("{rounds} rounds, {minimals} with minimal metadata: {total:?}");
    assert!(total.succeeded > total.failed, "most statements failed: {total:?}");
    assert!(rounds < 10 || total.xa_commits > 0, "no XA transaction was committed: {total:?}");
    let is_all_drawn = total.without_key > 0 && total.chosen_columns > 0 && total.copied_before > 0;
    assert!(rounds < 20 || is_all_drawn, "not all kinds of tables were drawn: {total:?}");
    assert!(total.rows > 0, "nothing was compared: {total:?}");
}
