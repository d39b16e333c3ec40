//! Wiring: prepare, spawn, join, and the order of the end. No logic of its own.
//!
//! ```text
//! reader ──chunks──▶ router ──jobs──▶ writers 1..N      signals ──commands──▶ router      http ◀── status ── router
//!    ▲─used buffers─────┘  ◀──acks───────┘           snapshot 1..N ──bodies──▶ router
//! lock ──lost──▶ claim ──commands──▶ router
//! ```
//! Only here are threads spawned (I9). The router ends first, with everything flushed and saved; the others see their
//! channels close. A thread that still waits for a server then is left to the end of the process: whatever it holds is
//! either acked or above the saved position, so the next start brings it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Sender, bounded, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::checkpoint::Store;
use crate::config::{Config, MysqlConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{self, Guard};
use crate::http::{self, Interface};
use crate::message::{Budget, Command, FromReader, ToSnapshot};
use crate::metrics::Status;
use crate::mysql::lock::Lock;
use crate::position::Position;
use crate::progress;
use crate::reader::Reader;
use crate::router::batch::Pace;
use crate::router::copy::Copy;
use crate::router::saves::SavePace;
use crate::router::{Beginning, Router, Settings, Wiring};
use crate::schema::mapping::TargetFeatures;
use crate::snapshot::Snapshot;
use crate::start::{self, Prepared, SourceRules};
use crate::transcode::Limits;
use crate::writer;

/// Chunks between reader and router; with recycled buffers this is what the reader may run ahead.
const CHUNKS: usize = 8;

/// Copied bodies on their way to the router.
const BODIES: usize = 2;

/// Runs the pipeline until it is told to stop.
///
/// # Errors
/// What stopped it.
pub fn run(config: Config) -> Result<()> {
    let (commands, from_engine) = unbounded();
    let is_running = Arc::new(AtomicBool::new(false));
    watch_signals(commands.clone(), Arc::clone(&is_running))?;
    let status = Arc::new(Status::starting());
    let stop = Arc::new(AtomicBool::new(false));
    serve(&config, &status, commands.clone())?;
    let prepared = start::prepare(&config)?;
    tell_progress(&status, &stop)?;
    let budget = Arc::new(Budget::new(config.pipeline.memory_limit_bytes));

    let (to_router, inbox) = bounded(CHUNKS);
    let (used_buffers, recycled) = bounded(CHUNKS);
    let (jobs, to_writers) = bounded(0);
    let (to_acks, acks) = unbounded();
    let Prepared { client, store, claim, tables, copies, resyncs, wanted, rules, lock, server_id } = prepared;
    guard(&config, lock, &store, commands, &status, &stop)?;
    let features = client.target_features();
    for number in 0..config.pipeline.worker_count {
        let (client, store) = (Arc::clone(&client), Arc::clone(&store));
        let (jobs, acks) = (to_writers.clone(), to_acks.clone());
        spawn(&format!("writer-{number}"), move || writer::run(&client, &store, jobs, acks))?;
    }
    // The clones with the writers are the only ones left: when they end, the router's channels close.
    drop((to_writers, to_acks));
    let reader = Reader {
        config: MysqlConfig { server_id, ..config.mysql.clone() },
        budget: Arc::clone(&budget),
        to_router,
        recycled,
        stop: Arc::clone(&stop),
    };
    let start = claim.position.clone();
    let (orders, to_snapshot) = unbounded();
    let (from_snapshot, copied) = bounded(BODIES);
    let snapshot = {
        let (budget, stop) = (Arc::clone(&budget), Arc::clone(&stop));
        Arc::new(Snapshot::new(config.clone(), client, limits(&config), budget, stop, status.counts(), to_snapshot))
    };
    for number in 0..config.snapshot.connections {
        let (snapshot, to_router) = (Arc::clone(&snapshot), from_snapshot.clone());
        spawn(&format!("snapshot-{number}"), move || snapshot.run(&to_router))?;
    }
    let progress = copies.iter().map(|order| (order.index, Copy::new(&order.saved, Arc::clone(&order.flag)))).collect();
    // The stage lives as long as the process.
    copies.into_iter().for_each(|order| drop(orders.send(ToSnapshot::Copy(Box::new(order)))));
    spawn("reader", move || read(reader, start))?;
    let beginning = Beginning { claim, tables, copies: progress, resyncs, wanted };
    let router = Router::new(settings(&config, rules, features), Arc::clone(&budget), Arc::clone(&status), beginning);
    // From here on there is somebody who obeys.
    is_running.store(true, Ordering::SeqCst);
    let wiring = Wiring { inbox, copies: copied, orders, used_buffers, jobs, acks, commands: from_engine };
    let router = spawn("router", move || router.run(&wiring))?;

    let ended = router.join().unwrap_or_else(|_| Err(Error::new(ErrorKind::TableShape, "the router panicked")));
    stop.store(true, Ordering::Relaxed);
    budget.close();
    ended
}

/// Keeps the lock and looks after the claim.
fn guard(
    config: &Config,
    lock: Lock,
    store: &Arc<Store>,
    commands: Sender<Command>,
    status: &Arc<Status>,
    stop: &Arc<AtomicBool>,
) -> Result<()> {
    let (lost, lost_lock) = bounded(1);
    let (status, stop, store) = (Arc::clone(status), Arc::clone(stop), Arc::clone(store));
    let guard = Guard { config: config.mysql.clone(), lock, lost, status, stop };
    spawn("lock", move || guard.run())?;
    spawn("claim", move || guard::watch_claim(&store, &lost_lock, &commands))?;
    Ok(())
}

/// Runs the reader; its error is the last thing that the router hears of it.
fn read(reader: Reader, start: Position) {
    let to_router = reader.to_router.clone();
    if let Err(error) = reader.run(start) {
        // A router that is gone has stopped for a reason of its own.
        let _ = to_router.send(FromReader::Ended(error));
    }
}

fn limits(config: &Config) -> Limits {
    Limits { rows: config.pipeline.batch_size, bytes: config.pipeline.batch_bytes }
}

/// What the router is made from.
pub fn settings(config: &Config, source: SourceRules, features: TargetFeatures) -> Settings {
    let pipeline = &config.pipeline;
    Settings {
        pace: Pace {
            limits: limits(config),
            batch_timeout: pipeline.batch_timeout,
            gap_min: pipeline.min_insert_interval,
            inserts_per_second: pipeline.max_inserts_per_second,
            in_flight_max: pipeline.worker_count.saturating_sub(1).max(1),
        },
        save_pace: SavePace { interval: config.state.checkpoint_interval, events: config.state.checkpoint_events },
        retry_attempts: pipeline.retry_attempts,
        retry_max_interval: pipeline.retry_max_interval,
        shutdown_timeout: pipeline.shutdown_timeout,
        replicate: config.replicate.clone(),
        ddl: config.ddl,
        ddl_flush_timeout: pipeline.ddl_flush_timeout,
        logs_cascades: source.logs_cascades,
        may_repeat_hours: source.may_repeat_hours,
        allows_zero_dates: source.allows_zero_dates,
        features,
        ignores_case: source.ignores_case,
        lowers_names: source.lowers_names,
    }
}

/// SIGTERM and SIGINT stop the router; a second one ends the process at once. So does the first while the start is still at
/// work, which may wait for a server for long: nothing is to be flushed then, and a start may be killed at any moment.
fn watch_signals(commands: Sender<Command>, is_running: Arc<AtomicBool>) -> Result<()> {
    let signals = Signals::new([SIGTERM, SIGINT]);
    let mut signals =
        signals.map_err(|error| Error::new(ErrorKind::Config, format!("signals cannot be caught: {error}")))?;
    spawn("signals", move || {
        for (count, signal) in signals.forever().enumerate() {
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            if !is_running.load(Ordering::SeqCst) {
                log::info!("{name} while starting: nothing is to be saved");
                std::process::exit(0);
            }
            if count > 0 || commands.send(Command::Stop).is_err() {
                log::warn!("{name}: ending at once");
                std::process::exit(1);
            }
            log::info!("{name}: flushing, saving, ending; a second signal ends at once");
        }
    })?;
    Ok(())
}

fn serve(config: &Config, status: &Arc<Status>, commands: Sender<Command>) -> Result<()> {
    let Some(listener) = http::bind(&config.http.listen)? else { return Ok(()) };
    let interface = Interface::new(Arc::clone(status), commands, config.http.clone());
    spawn("http", move || listener.run(&interface))?;
    Ok(())
}

fn tell_progress(status: &Arc<Status>, stop: &Arc<AtomicBool>) -> Result<()> {
    let (status, stop) = (Arc::clone(status), Arc::clone(stop));
    spawn("progress", move || progress::run(&status, &stop))?;
    Ok(())
}

fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    let spawned = Builder::new().name(name.to_owned()).spawn(body);
    spawned.map_err(|error| Error::new(ErrorKind::Config, format!("thread {name} cannot be started: {error}")))
}
