//! Asking running work to stop.
//!
//! A [`Cancel`] is shared by everything an attempt started. Loops ask it between chunks; whatever can not ask because it
//! blocks (a read from a child's pipe) registers an action that unblocks it, such as killing the child's process group.
//! This module does not decide when to stop and waits for nobody.

use std::sync::{Arc, Mutex, PoisonError};

use super::StreamError;

type Action = Box<dyn Fn() + Send>;

#[derive(Default)]
struct State {
    verdict: Option<StreamError>,
    next: u64,
    actions: Vec<(u64, Action)>,
}

/// A request to stop that many can look at and one can make. Clones are the same request.
#[derive(Clone, Default)]
pub struct Cancel {
    state: Arc<Mutex<State>>,
}

/// Keeps an action registered; dropping it takes the action back.
#[must_use = "dropping it takes the action back"]
pub struct Registered {
    cancel: Cancel,
    id: u64,
}

impl Cancel {
    /// A request nobody has made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the request. The first reason stays; `transient` says whether a new attempt may go better.
    pub fn cancel(&self, reason: impl Into<String>, transient: bool) {
        let actions = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.verdict.is_none() {
                state.verdict = Some(StreamError::Cancelled { reason: reason.into(), transient });
            }
            std::mem::take(&mut state.actions)
        };
        for (_, action) in actions {
            action();
        }
    }

    /// An error once the request has been made.
    pub fn check(&self) -> Result<(), StreamError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.verdict.clone().map_or(Ok(()), Err)
    }

    /// Runs an action when the request is made, or at once if it has been.
    pub fn on_cancel(&self, action: impl Fn() + Send + 'static) -> Registered {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let id = state.next;
        state.next += 1;
        if state.verdict.is_some() {
            drop(state);
            action();
        } else {
            state.actions.push((id, Box::new(action)));
        }
        Registered { cancel: self.clone(), id }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.cancel.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.actions.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn the_first_reason_stays_and_actions_run_once() {
        let (cancel, ran) = (Cancel::new(), Arc::new(AtomicU32::new(0)));
        assert!(cancel.check().is_ok());
        let count = Arc::clone(&ran);
        let kept = cancel.on_cancel(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let count = Arc::clone(&ran);
        drop(cancel.on_cancel(move || {
            count.fetch_add(100, Ordering::SeqCst);
        }));
        cancel.cancel("SIGTERM", false);
        cancel.cancel("later", true);
        assert_eq!(cancel.check().unwrap_err().to_string(), "cancelled: SIGTERM");
        let count = Arc::clone(&ran);
        let late = cancel.on_cancel(move || {
            count.fetch_add(10, Ordering::SeqCst);
        });
        assert_eq!(ran.load(Ordering::SeqCst), 11);
        drop((kept, late));
    }
}
