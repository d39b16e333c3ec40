//! One process per pipeline: the lock that keeps a second copy out, and the claim that ends the first when it was lost.
//!
//! **The lock** is `GET_LOCK` on the source ([`crate::mysql::lock`]), named by pipeline and target. A start that does not get
//! it is refused. `kill -9` frees it at once, so that a restart need not wait; a session that nobody speaks for any more
//! (a machine that died, a process under SIGSTOP, a network that is cut) loses it after [`SILENCE_MAX`], and a start waits
//! a little longer than that. Pipelines of other names, or into other targets, have other locks.
//!
//! **The claim** ([`crate::checkpoint`]) is what safety rests on, for a lock can be lost unseen: its session may end at any
//! moment, and another MySQL (`mysql.host` after a failover) knows nothing of it. Whoever has the lock claims the pipeline
//! on the target before it changes anything there; from then on every statement of anybody else that changes a state or a
//! target, and every save of a checkpoint, finds that the newest claim is not its own, and that process stops. Rows
//! need no claim: whoever sends them, their versions keep them in order, and floors keep out those that come too late.
//!
//! So a process that lost the lock need not stop for that: it takes it again when it is free, and goes on unless
//! somebody has claimed the pipeline meanwhile. This thread looks after both while nothing is saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::checkpoint::{Checkpoint, Store};
use crate::clickhouse::Client;
use crate::config::{Config, MysqlConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Command;
use crate::mysql::lock::{self, Holder, Lock, SILENCE_MAX};
use crate::mysql::source::Source;

/// How long a start waits for the lock: longer than one is held that nobody speaks for any more.
const LOCK_PATIENCE: Duration = SILENCE_MAX.saturating_add(Duration::from_secs(2));
/// How often the lock's session speaks.
const LOCK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the claim is looked at while the lock is held: it takes another source to claim the pipeline then.
const CLAIM_INTERVAL: Duration = Duration::from_secs(10);
/// How soon a wait notices the stop flag.
const STOP_LATENCY: Duration = Duration::from_millis(100);

/// Takes the lock of the pipeline.
///
/// # Errors
/// [`ErrorKind::SecondCopy`], saying who runs it; or a server is away or refuses.
pub fn enter(config: &Config, client: &Client, store: &Store) -> Result<Lock> {
    let name = lock_name(config, client)?;
    match Lock::take(&config.mysql, &name, Duration::ZERO)? {
        Ok(lock) => return Ok(lock),
        Err(holder) => {
            let seconds = LOCK_PATIENCE.as_secs();
            log::info!("waiting up to {seconds} s for the end of another process: {}", told(&holder, store)?);
        }
    }
    Lock::take(&config.mysql, &name, LOCK_PATIENCE)?.or_else(|holder| {
        let text = format!(
            "not started: pipeline {:?} is run already by {}. Stop that one first, or give this one its own `name` in the \
             configuration",
            config.name,
            told(&holder, store)?
        );
        Err(Error::new(ErrorKind::SecondCopy, text))
    })
}

/// Who runs the pipeline, for people, if anybody does.
///
/// # Errors
/// When a server is away or refuses.
pub fn running(config: &Config, client: &Client, store: &Store) -> Result<Option<String>> {
    let holder = lock::holder(&mut Source::connect(&config.mysql)?, &lock_name(config, client)?)?;
    holder.map(|holder| told(&holder, store)).transpose()
}

/// The same target may be reached by many names: it says itself which it is.
fn lock_name(config: &Config, client: &Client) -> Result<String> {
    let target = client.ask("SELECT serverUUID()")?;
    Ok(lock::name(&config.name, &format!("{}/{}", target.trim(), config.state.database)))
}

fn told(holder: &Holder, store: &Store) -> Result<String> {
    let Holder { session, address } = holder;
    let process = store.last_owner()?.unwrap_or_else(|| "a process that has saved nothing yet".to_owned());
    let address = if address.is_empty() { String::new() } else { format!(" from {address}") };
    Ok(format!("{process} (its lock is held by MySQL session {session}{address})"))
}

/// From here on this process alone may change the pipeline's states and targets.
///
/// # Errors
/// As [`Store::claim`].
pub fn claim(ttl: Duration, client: &Client, store: &Arc<Store>, checkpoint: Checkpoint) -> Result<Checkpoint> {
    // What the tables of an earlier version lack.
    store.create(ttl)?;
    let claim = store.claim(checkpoint)?;
    let weak = Arc::downgrade(store);
    client.fence(move || weak.upgrade().map_or(Ok(()), |store| store.check_owner()));
    Ok(claim)
}

/// The thread that keeps the lock and looks after the claim.
#[derive(Debug)]
pub struct Guard {
    /// The source.
    pub config: MysqlConfig,
    /// The lock, as the start took it.
    pub lock: Lock,
    /// Has the claim.
    pub store: Arc<Store>,
    /// To the router.
    pub commands: Sender<Command>,
    /// Set when the process stops.
    pub stop: Arc<AtomicBool>,
}

impl Guard {
    /// Runs until the process stops, or has the router stop it.
    pub fn run(mut self) {
        let mut claim_at = Instant::now() + CLAIM_INTERVAL;
        while self.wait(LOCK_INTERVAL) {
            let is_held = self.keep_lock();
            if is_held && Instant::now() < claim_at {
                continue;
            }
            claim_at = Instant::now() + CLAIM_INTERVAL;
            // A target that does not answer lets nothing be changed either.
            if let Err(error) = self.store.check_owner()
                && error.kind == ErrorKind::SecondCopy
            {
                // A router that is gone has stopped already.
                let _ = self.commands.send(Command::Fail(error));
                return;
            }
        }
    }

    /// Whether the lock is held; one that was lost is taken again, if it is free.
    fn keep_lock(&mut self) -> bool {
        let lost = match self.lock.holds() {
            Ok(true) => return true,
            Ok(false) => "it is held by nobody or by another session".to_owned(),
            Err(error) => error.to_string(),
        };
        log::debug!("the pipeline's lock is lost: {lost}");
        match Lock::take(&self.config, self.lock.name(), Duration::ZERO) {
            Ok(Ok(lock)) => {
                log::info!("the pipeline's lock was lost and taken again: {lost}");
                self.lock = lock;
            }
            Ok(Err(Holder { session, .. })) => log::debug!("it is held by MySQL session {session}"),
            Err(error) => log::debug!("it cannot be taken again: {error}"),
        }
        // Whatever happened while nobody held it shows in the claim.
        false
    }

    /// False when the process stops meanwhile.
    fn wait(&self, duration: Duration) -> bool {
        let deadline = Instant::now() + duration;
        while Instant::now() < deadline && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(STOP_LATENCY);
        }
        !self.stop.load(Ordering::Relaxed)
    }
}
