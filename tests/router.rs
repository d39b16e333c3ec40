//! The router alone, between channels: what real servers cannot be made to show at will.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded, never, unbounded};
use stream_bridge::checkpoint::Checkpoint;
use stream_bridge::config::{DdlConfig, ReplicateConfig};
use stream_bridge::error::{Error, ErrorKind, Result};
use stream_bridge::message::{Ack, Budget, Chunk, Command, FromReader, Job};
use stream_bridge::metrics::Status;
use stream_bridge::position::{Position, Timeline};
use stream_bridge::router::batch::Pace;
use stream_bridge::router::saves::SavePace;
use stream_bridge::router::{Beginning, Router, Settings, Wiring};
use stream_bridge::schema::mapping::TargetFeatures;
use stream_bridge::transcode::Limits;

const PATIENCE: Duration = Duration::from_secs(10);
const LIMIT_BYTES: usize = 1 << 20;

struct Rig {
    budget: Arc<Budget>,
    status: Arc<Status>,
    to_router: Sender<FromReader>,
    commands: Sender<Command>,
    thread: std::thread::JoinHandle<Result<()>>,
}

fn settings() -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        pace: Pace {
            limits: Limits { rows: 100, bytes: 1 << 20 },
            batch_timeout: second,
            gap_min: Duration::ZERO,
            inserts_per_second: 100,
            in_flight_max: 1,
        },
        save_pace: SavePace { interval: 30 * second, events: 1000 },
        retry_attempts: 0,
        retry_max_interval: second,
        shutdown_timeout: 5 * second,
        replicate: ReplicateConfig::default(),
        ddl: DdlConfig::default(),
        ddl_flush_timeout: Duration::from_secs(60),
        allows_zero_dates: false,
        lowers_names: false,
        logs_cascades: true,
        may_repeat_hours: false,
        features: TargetFeatures { time64: true },
        ignores_case: false,
    }
}

/// A router without tables, and one writer to whom everything succeeds.
fn start() -> Rig {
    let (budget, status) = (Arc::new(Budget::new(LIMIT_BYTES)), Arc::new(Status::starting()));
    let ((to_router, inbox), (used_buffers, _)) = (bounded(8), bounded(8));
    let ((jobs, to_writer), (to_acks, acks)) = (bounded(0), unbounded());
    let (commands, from_engine) = unbounded();
    std::thread::spawn(move || {
        for job in to_writer {
            let ack = match job {
                Job::Save(save) => Ack::Saved(save, Ok(())),
                Job::Inspect => Ack::Inspected { parts: Ok(Vec::new()), mutations: Ok(Vec::new()) },
                Job::Insert(_, batch) => Ack::Inserted(batch, Duration::ZERO, Ok(())),
            };
            to_acks.send(ack).unwrap();
        }
    });
    let position = Position { file: "binlog.000001".to_owned(), offset: 4, ..Position::default() };
    let claim = Checkpoint { seq: 2, position, timeline: Timeline { number: 1, base_file: 0 } };
    let beginning =
        Beginning { claim, tables: Vec::new(), copies: BTreeMap::new(), resyncs: Vec::new(), wanted: Vec::new() };
    let router = Router::new(settings(), Arc::clone(&budget), Arc::clone(&status), beginning);
    let wiring =
        Wiring { inbox, copies: never(), orders: unbounded().0, used_buffers, jobs, acks, commands: from_engine };
    let thread = std::thread::spawn(move || router.run(&wiring));
    Rig { budget, status, to_router, commands, thread }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// It comes alone, because the reader waited for everything else to drain; the router must take it though the budget is
/// spent, also when it has been waiting in between.
#[test]
fn an_event_larger_than_the_budget_is_taken() {
    let rig = start();
    let charged_bytes = 2 * LIMIT_BYTES;
    assert!(rig.budget.grow_chunk(0, charged_bytes));
    let drawn = || rig.status.picture().memory_bytes == charged_bytes as u64;
    wait_until("the router has gone round with the budget spent", drawn);
    rig.to_router.send(FromReader::Chunk(Chunk { charged_bytes, ..Chunk::default() })).unwrap();
    wait_until("the chunk is taken", || rig.budget.used_bytes() == 0);
    rig.commands.send(Command::Stop).unwrap();
    rig.thread.join().unwrap().unwrap();
}

#[test]
fn the_readers_last_word_is_the_routers_error() {
    let rig = start();
    let lost = Error::new(ErrorKind::LostPosition, "gone");
    rig.to_router.send(FromReader::Ended(lost.clone())).unwrap();
    assert_eq!(rig.thread.join().unwrap(), Err(lost));
}
