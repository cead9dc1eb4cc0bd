//! Trying a delivery a few times, within bounds: what passes is waited out, what does not is told at once.
//!
//! This module does not know channels.

use std::time::Duration;

use super::error::NotifyError;
use crate::step::patience::{pause, within};
use crate::stream::Cancel;

/// How often a delivery is tried.
const TRIES: u32 = 3;

/// The wait before the second try; it grows fourfold, and a random part of up to half is taken off.
const BACKOFF: Duration = Duration::from_millis(400);

/// The longest wait that a server may ask for (`Retry-After`); a longer one is a matter for the next run.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that one try may take, whatever the network does.
pub(super) const TRY_LIMIT: Duration = Duration::from_secs(20);

/// What a try may take over [`TRY_LIMIT`]: mail servers are given a limit for each command, not for all together.
const GRACE: Duration = Duration::from_secs(10);

/// Whom a delivery goes to, as errors name it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// The channel, such as `slack`.
    pub(super) channel: &'static str,
    /// The server's host and port, and nothing else of its URL.
    pub(super) host: String,
}

impl Peer {
    /// The server could not be talked to.
    pub(super) fn unreachable(&self, detail: impl Into<String>, retryable: bool) -> NotifyError {
        NotifyError::Unreachable { channel: self.channel, host: self.host.clone(), detail: detail.into(), tries: 1, retryable }
    }

    /// The server is busy or broken.
    pub(super) fn busy(&self, said: impl Into<String>) -> NotifyError {
        NotifyError::Busy { channel: self.channel, host: self.host.clone(), said: said.into(), tries: 1 }
    }

    /// The server does not want it.
    pub(super) fn refused(&self, said: impl Into<String>, denied: bool) -> NotifyError {
        NotifyError::Refused { channel: self.channel, host: self.host.clone(), said: said.into(), denied }
    }
}

/// One failed try.
pub(super) struct Failure {
    /// Why it failed.
    pub(super) error: NotifyError,
    /// How long the server asked to wait.
    pub(super) wait: Option<Duration>,
}

impl From<NotifyError> for Failure {
    fn from(error: NotifyError) -> Self {
        Self { error, wait: None }
    }
}

/// Tries a delivery up to three times while its failure is retryable.
///
/// A request that hangs holds up neither the run nor whoever cancels it.
pub(super) fn deliver<F>(peer: &Peer, cancel: &Cancel, delivery: F) -> Result<(), NotifyError>
where
    F: Fn() -> Result<(), Failure> + Clone + Send + 'static,
{
    for tries in 1.. {
        let Err(failure) = one_try(peer, cancel, delivery.clone())? else { return Ok(()) };
        let wait = failure.wait.unwrap_or_else(|| backoff(tries));
        if tries >= TRIES || !failure.error.retryable() || wait > PATIENCE {
            return Err(counted(failure.error, tries));
        }
        pause(cancel, wait).map_err(NotifyError::Cancelled)?;
    }
    Ok(())
}

fn one_try<F>(peer: &Peer, cancel: &Cancel, delivery: F) -> Result<Result<(), Failure>, NotifyError>
where
    F: Fn() -> Result<(), Failure> + Send + 'static,
{
    let result = within(TRY_LIMIT + GRACE, cancel, delivery).map_err(NotifyError::Cancelled)?;
    Ok(result.unwrap_or_else(|| Err(peer.unreachable("it keeps the line open without an end", true).into())))
}

fn backoff(tries: u32) -> Duration {
    let full = BACKOFF * 4_u32.saturating_pow(tries - 1);
    let kept = 1000 - getrandom::u32().unwrap_or(0) % 500;
    full * kept / 1000
}

fn counted(error: NotifyError, count: u32) -> NotifyError {
    match error {
        NotifyError::Unreachable { channel, host, detail, retryable, .. } => {
            NotifyError::Unreachable { channel, host, detail, tries: count, retryable }
        }
        NotifyError::Busy { channel, host, said, .. } => NotifyError::Busy { channel, host, said, tries: count },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;

    fn peer() -> Peer {
        Peer { channel: "webhook", host: "h".into() }
    }

    fn busy(wait: Option<Duration>) -> Failure {
        Failure { error: peer().busy("503"), wait }
    }

    #[test]
    fn a_wait_longer_than_patience_is_not_waited_for() {
        let begun = Instant::now();
        let error = deliver(&peer(), &Cancel::new(), || Err(busy(Some(Duration::from_secs(31))))).unwrap_err();
        assert_eq!(error.to_string(), "webhook: h answered 503");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn cancelling_ends_the_wait_and_says_who_asked() {
        let (cancel, tries) = (Cancel::new(), Arc::new(AtomicU32::new(0)));
        let (later, counter) = (cancel.clone(), Arc::clone(&tries));
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            later.cancel("SIGTERM", false);
        });
        let begun = Instant::now();
        let error = deliver(&peer(), &cancel, move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Err(busy(Some(Duration::from_secs(29))))
        });
        assert_eq!(error.unwrap_err().to_string(), "cancelled: SIGTERM");
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(tries.load(Ordering::SeqCst), 1);
        canceller.join().unwrap();
    }

    #[test]
    fn cancelling_does_not_wait_for_a_request_that_hangs() {
        let cancel = Cancel::new();
        let later = cancel.clone();
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            later.cancel("SIGINT", false);
        });
        let begun = Instant::now();
        let result = deliver(&peer(), &cancel, || {
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        });
        assert!(matches!(result, Err(NotifyError::Cancelled(_))));
        assert!(begun.elapsed() < Duration::from_secs(5));
        canceller.join().unwrap();
    }
}
