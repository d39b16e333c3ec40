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
//! somebody has claimed the pipeline meanwhile. Two threads look after both, also while nothing is to be saved.
//!
//! **The retention**: over the lock's session it also asks how long the source keeps what a restart needs
//! ([`crate::retention`]), shows it in `/status`, and warns when that is less than half of what the source gives.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::checkpoint::{Checkpoint, Store};
use crate::clickhouse::Client;
use crate::config::{Config, MysqlConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Command, wait_unless};
use crate::metrics::Status;
use crate::mysql::lock::{self, Holder, Lock, SILENCE_MAX};
use crate::mysql::source::Source;
use crate::retention::{Look, Needed, Pace, Retention};

/// How long a start waits for the lock: longer than one is held that nobody speaks for any more.
const LOCK_PATIENCE: Duration = SILENCE_MAX.saturating_add(Duration::from_secs(2));
/// How often the lock's session speaks.
const LOCK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the claim is looked at while the lock is held: it takes another source to claim the pipeline then.
const CLAIM_INTERVAL: Duration = Duration::from_secs(10);
/// How often the source's binary logs are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Paces are measured over at least this long.
const PACE_INTERVAL_US: u64 = 60_000_000;

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
             configuration, and targets of its own",
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
pub fn claim(client: &Client, store: &Arc<Store>, checkpoint: Checkpoint) -> Result<Checkpoint> {
    let claim = store.claim(checkpoint)?;
    let weak = Arc::downgrade(store);
    client.fence(move || weak.upgrade().map_or(Ok(()), |store| store.check_owner()));
    Ok(claim)
}

/// The thread that keeps the lock.
#[derive(Debug)]
pub struct Guard {
    /// The source.
    pub config: MysqlConfig,
    /// The lock, as the start took it.
    pub lock: Lock,
    /// To [`watch_claim`]: the lock was lost for a while. Of capacity 1.
    pub lost: Sender<()>,
    /// What is saved, and where the retention is shown.
    pub status: Arc<Status>,
    /// Set when the process stops.
    pub stop: Arc<AtomicBool>,
}

/// What was seen of the source's binary logs.
#[derive(Debug, Default)]
struct Watch {
    /// Where the present pace is measured from.
    since: Option<(Look, Needed)>,
    pace: Pace,
    has_warned: bool,
}

/// Looks after the claim until the process stops, or has the router stop it. A thread of its own: a target that hangs must
/// not keep the lock's session from speaking.
pub fn watch_claim(store: &Store, lost: &Receiver<()>, commands: &Sender<Command>) {
    while !matches!(lost.recv_timeout(CLAIM_INTERVAL), Err(RecvTimeoutError::Disconnected)) {
        // A target that does not answer lets nothing be changed either.
        if let Err(error) = store.check_owner()
            && error.kind == ErrorKind::SecondCopy
        {
            // A router that is gone has stopped already.
            let _ = commands.send(Command::Fail(error));
            return;
        }
    }
}

impl Guard {
    /// Runs until the process stops.
    pub fn run(mut self) {
        let (mut watch, mut look_at) = (Watch::default(), Instant::now());
        while wait_unless(&self.stop, LOCK_INTERVAL) {
            if !self.keep_lock() {
                // Whatever happened while nobody held it shows in the claim. One word is enough.
                let _ = self.lost.try_send(());
            } else if Instant::now() >= look_at {
                look_at = Instant::now() + LOOK_INTERVAL;
                self.look(&mut watch);
            }
        }
    }

    /// A source that does not answer now is asked again; what was seen of it stays.
    fn look(&mut self, watch: &mut Watch) {
        let needed = self.status.picture().needed;
        if needed.file.is_empty() {
            return; // the router has drawn nothing yet
        }
        match self.lock.source().kept_logs() {
            Ok(look) => self.status.keep(watch.seen(look, needed)),
            Err(error) => log::debug!("{error}"),
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
        false
    }
}

impl Watch {
    fn seen(&mut self, look: Look, needed: Needed) -> Retention {
        match &self.since {
            None => self.since = Some((look.clone(), needed.clone())),
            Some((earlier, before)) if look.now_us >= earlier.now_us + PACE_INTERVAL_US => {
                self.pace = look.pace_since(earlier, [before, &needed]);
                self.since = Some((look.clone(), needed.clone()));
            }
            Some(_) => {}
        }
        let retention = look.retention(&needed, self.pace);
        if retention.is_short() && !self.has_warned {
            log::warn!("{}", retention.warning());
        }
        self.has_warned = retention.is_short();
        retention
    }
}
