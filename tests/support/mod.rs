//! What the integration tests and the demo share: servers, a database per test, the running bridge, the comparison.
//!
//! Everything here speaks to the real programs from outside, through the interfaces that users have: SQL, HTTP, the
//! command line, signals. Nothing of the crate itself is used, so a mistake in it cannot hide itself here.
//! Failures are panics with a text for the person who runs the tests.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

pub mod author;
pub mod authority;
pub mod bridge;
pub mod compare;
pub mod fixture;
pub mod load;
pub mod mysql_proxy;
pub mod plant;
pub mod proxy;
pub mod servers;
pub mod values;
pub mod writers;

use std::time::{Duration, Instant};

/// Polls until `condition` holds.
///
/// # Panics
/// After `timeout`, naming `what` was waited for.
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < timeout, "waited {} s in vain for: {what}", timeout.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An environment variable as a number, or the default.
pub fn env_number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a whole number")),
        Err(_) => default,
    }
}
