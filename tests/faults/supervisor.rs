//! The bridge as a service: started again whenever it ends by itself, and killed, stopped or restarted as faults say.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::support::bridge::{Bridge, Config, Stopped, signal};

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Between its end and its next start.
const AGAIN: Duration = Duration::from_millis(300);
/// After SIGTERM; then the second one comes, which ends it at once.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Why it did not start, or else the last line of its log.
fn last_words(bridge: &Bridge) -> String {
    let lines = bridge.log_end(3);
    let problem = lines.lines().find(|line| line.starts_with("- "));
    problem.or(lines.lines().last()).unwrap_or_default().to_owned()
}

/// One at a time does something with it.
pub struct Supervisor {
    bridge: Mutex<Option<Bridge>>,
    config: Config,
    /// The last words of each process that ended by itself.
    ends: Mutex<Vec<String>>,
    peak_bytes: AtomicU64,
}

impl Supervisor {
    /// Starts it.
    pub fn start(config: &Config) -> Self {
        let bridge = Mutex::new(Some(Bridge::spawn(config)));
        Self { bridge, config: config.clone(), ends: Mutex::default(), peak_bytes: AtomicU64::new(0) }
    }

    /// Starts it again when it has ended, until it is told that this is over.
    pub fn supervise(&self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let mut bridge = self.bridge.lock();
            if let Some(running) = bridge.as_mut() {
                self.note_memory(running);
                if running.ended().is_some() {
                    self.ends.lock().push(last_words(running));
                    thread::sleep(AGAIN);
                    *bridge = Some(Bridge::spawn(&self.config));
                }
            }
            drop(bridge);
            thread::sleep(TICK);
        }
    }

    fn note_memory(&self, bridge: &Bridge) {
        if let Some(bytes) = bridge.try_peak_memory_bytes() {
            self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// Waits for it, whichever process it is.
    pub fn wait_streaming(&self, timeout: Duration) {
        let started = Instant::now();
        loop {
            let status = self.bridge.lock().as_ref().map(Bridge::status);
            if matches!(&status, Some(Ok(status)) if status.state() == "streaming") {
                return;
            }
            assert!(started.elapsed() < timeout, "the bridge does not stream again: {status:?}");
            thread::sleep(TICK);
        }
    }

    /// kill -9, and a new one after a while.
    pub fn killed(&self, pause: Duration) {
        let mut bridge = self.bridge.lock();
        if let Some(running) = bridge.take() {
            self.note_memory(&running);
            running.kill9();
        }
        thread::sleep(pause);
        *bridge = Some(Bridge::spawn(&self.config));
    }

    /// SIGSTOP for a while.
    pub fn stopped(&self, pause: Duration) {
        let mut bridge = self.bridge.lock();
        if let Some(running) = bridge.as_mut()
            && running.ended().is_none()
        {
            let _stopped = Stopped::new(running.pid());
            thread::sleep(pause);
        }
    }

    /// SIGTERM, and a new one after a while.
    pub fn restarted(&self, pause: Duration) {
        let mut bridge = self.bridge.lock();
        if let Some(running) = bridge.as_mut()
            && running.ended().is_none()
        {
            signal("TERM", running.pid());
            let started = Instant::now();
            while running.ended().is_none() && started.elapsed() < STOP_PATIENCE {
                thread::sleep(TICK / 5);
            }
        }
        if let Some(running) = bridge.take() {
            self.note_memory(&running);
            running.kill9();
        }
        thread::sleep(pause);
        *bridge = Some(Bridge::spawn(&self.config));
    }

    /// Whoever takes it looks after it from then on.
    pub fn take(&self) -> Bridge {
        self.bridge.lock().take().expect("the bridge is there")
    }

    /// What it is started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Ends it, wherever it is.
    pub fn kill(&self) {
        if let Some(bridge) = self.bridge.lock().take() {
            bridge.kill9();
        }
    }

    /// The last words of each process that ended by itself.
    pub fn ends(&self) -> Vec<String> {
        self.ends.lock().clone()
    }

    /// The most memory that was seen resident.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }
}
