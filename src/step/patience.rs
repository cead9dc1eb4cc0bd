//! Waiting without being deaf: for work that may hang, and for time to pass, both given up as soon as the run is stopped.
//!
//! This module does not try anything again.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::stream::{Cancel, StreamError};

/// Does work on a thread of its own, so that what hangs can hold up neither the run nor whoever cancels it; `None` if it has
/// not ended by the limit.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, StreamError> {
    cancel.check()?;
    let (done, finished) = bounded(2);
    let stop = done.clone();
    let registered = cancel.on_cancel(move || _ = stop.try_send(None));
    std::thread::spawn(move || drop(done.send(Some(work()))));
    let result = finished.recv_timeout(limit);
    drop(registered);
    match result {
        Ok(Some(result)) => Ok(Some(result)),
        Ok(None) => cancel.check().map(|()| None),
        Err(_) => Ok(None),
    }
}

/// Lets time pass.
pub(super) fn pause(cancel: &Cancel, wait: Duration) -> Result<(), StreamError> {
    let (stop, stopped) = bounded::<()>(1);
    let keep_open = stop.clone();
    let registered = cancel.on_cancel(move || _ = stop.try_send(()));
    let waited = stopped.recv_timeout(wait);
    drop((registered, keep_open));
    match waited {
        Err(RecvTimeoutError::Timeout) => Ok(()),
        _ => cancel.check(),
    }
}
