//! A long-lived program, such as a scratch server.
//!
//! This module does not know what the program is or when it is ready.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::process::Process;
use crate::stream::StreamError;

/// How long a program that is simply dropped may take to end after SIGTERM.
const HASTE: Duration = Duration::from_secs(1);

/// A running program. Dropping it ends its whole process group and reaps it.
pub struct Running {
    name: String,
    process: Arc<Process>,
}

impl Running {
    pub(super) fn new(name: String, process: Arc<Process>) -> Self {
        Self { name, process }
    }

    /// The process id, which is also the id of its process group.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, or `None` while it lives.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, StreamError> {
        self.wait_for(Duration::ZERO)
    }

    /// Waits until it ends, but no longer than this.
    pub fn wait_for(&mut self, limit: Duration) -> Result<Option<ExitStatus>, StreamError> {
        self.process.wait_for(limit).map_err(|error| StreamError::io(format!("waiting for {}", self.name), &error))
    }

    /// Signals the program itself, not its group; does nothing once it has been seen to end.
    pub fn signal(&self, signal: Signal) -> Result<(), StreamError> {
        self.process.signal(signal).map_err(|error| StreamError::io(format!("signalling {}", self.name), &error))
    }

    /// SIGTERM, and SIGKILL to its group if it still lives after the grace. Says how it ended.
    pub fn stop(&mut self, grace: Duration) -> Result<ExitStatus, StreamError> {
        self.stop_with(Signal::TERM, grace)
    }

    /// As [`Running::stop`], beginning with another signal (PostgreSQL stops fast on `INT`, at once on `QUIT`).
    pub fn stop_with(&mut self, signal: Signal, grace: Duration) -> Result<ExitStatus, StreamError> {
        self.signal(signal)?;
        if let Some(status) = self.wait_for(grace)? {
            return Ok(status);
        }
        self.process.end(Duration::ZERO);
        self.process.wait().map_err(|error| StreamError::io(format!("waiting for {}", self.name), &error))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.end(HASTE);
    }
}
