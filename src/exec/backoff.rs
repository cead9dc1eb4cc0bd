//! How long to wait before trying again: exponential, capped, with full jitter.
//!
//! Full jitter: a random part of the whole interval, so that many runners hit by one outage do not come back together
//! (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

use std::time::Duration;

use crate::pipeline::Retry;

/// No wait is longer than this.
const CAP: Duration = Duration::from_mins(10);

/// The wait after a failed attempt (from 1), for a random number.
pub(super) fn wait(retry: &Retry, attempt: u32, random: u32) -> Duration {
    let doubled = retry.backoff.std().saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    doubled.min(CAP).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// A random number; a machine without one waits the whole interval.
pub(super) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_capped_and_jittered() {
        let retry = Retry { attempts: 20, backoff: crate::quantity::Duration::seconds(30) };
        let most = |attempt| wait(&retry, attempt, u32::MAX).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 19].map(most), [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(wait(&retry, 5, 0), Duration::ZERO);
    }
}
