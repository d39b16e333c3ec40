//! How long to wait before trying again: exponential, with jitter, so that many tables or processes do not knock at the
//! same instant. It computes; whoever asks does the waiting.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// The wait before attempt `failures + 1`: between half and all of `100 ms * 2^(failures - 1)`, at most `max`.
pub fn delay(failures: u32, max: Duration) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20));
    let full = doubled.min(max);
    full / 2 + full.mul_f64(jitter() / 2.0)
}

/// A random number in 0..1.
fn jitter() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    f64::from(u32::try_from(high >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_limit_with_jitter() {
        let max = Duration::from_secs(30);
        for (failures, full_ms) in [(1, 100), (2, 200), (5, 1600), (9, 25_600), (10, 30_000), (4_000_000, 30_000)] {
            let full = Duration::from_millis(full_ms);
            for _ in 0..20 {
                let delay = delay(failures, max);
                assert!(delay >= full / 2 && delay <= full, "{failures}: {delay:?}");
            }
        }
    }
}
