//! One started process, its group, and the promise that nobody signals a process id that is no longer ours.
//!
//! Once a process has been reaped its id may belong to a stranger. So reaping and signalling happen under one lock, and
//! waiting happens without it: the exit is first only looked at (`WNOWAIT`), which leaves the id taken. A program that
//! failed or was told to stop takes its whole group with it. This module knows neither pipes nor what an exit means.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group, waitid};

/// How long a cancelled program may take to clean up after SIGTERM before its group gets SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(3);

pub(super) struct Process {
    pid: Pid,
    life: Mutex<Life>,
    reaped: Condvar,
}

struct Life {
    child: Child,
    status: Option<ExitStatus>,
    /// Whether this program asked it to stop: an exit with 0 is then no success.
    told: bool,
}

impl Process {
    /// Takes over a child that leads its own process group.
    pub(super) fn new(child: Child) -> Arc<Self> {
        let pid = Pid::from_child(&child);
        Arc::new(Self { pid, life: Mutex::new(Life { child, status: None, told: false }), reaped: Condvar::new() })
    }

    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this program asked it to stop.
    pub(super) fn was_told(&self) -> bool {
        self.life().told
    }

    /// Signals the process alone; does nothing once it was reaped.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let life = self.life();
        if life.status.is_some() { Ok(()) } else { Ok(kill_process(self.pid, signal)?) }
    }

    /// SIGTERM to the group now and SIGKILL after [`GRACE`], without waiting for either.
    pub(super) fn terminate(self: &Arc<Self>) {
        if !self.tell(Signal::TERM) {
            return;
        }
        let me = Arc::clone(self);
        let watch = std::thread::Builder::new().name("kill-grace".into()).spawn(move || me.kill_after(GRACE));
        if watch.is_err() {
            self.kill_after(Duration::ZERO);
        }
    }

    /// SIGTERM to the group, SIGKILL after the grace, and reaps.
    pub(super) fn end(&self, grace: Duration) {
        self.tell(Signal::TERM);
        if !matches!(self.wait_for(grace), Ok(Some(_))) {
            self.kill_after(Duration::ZERO);
            // SIGKILL can not be refused, and a child that can not be waited for is not there to be reaped.
            let _status = self.wait();
        }
    }

    /// Signals the group and notes that it was told; false if it was told before or is gone.
    fn tell(&self, signal: Signal) -> bool {
        let mut life = self.life();
        if life.status.is_some() || std::mem::replace(&mut life.told, true) {
            return false;
        }
        // The leader is at least a zombie, so the group exists.
        let _gone = kill_process_group(self.pid, signal);
        true
    }

    fn kill_after(&self, grace: Duration) {
        let waited = self.reaped.wait_timeout_while(self.life(), grace, |life| life.status.is_none());
        let (life, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if life.status.is_none() {
            let _gone = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Waits until it ends, however long that takes.
    pub(super) fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.life().status {
                return Ok(status);
            }
            match self.look(WaitIdOptions::empty()) {
                Ok(Some(exit)) => return self.reap(&exit),
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until it ends, but no longer than this.
    pub(super) fn wait_for(&self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let until = Instant::now() + limit;
        let mut nap = Duration::from_millis(1);
        loop {
            if let Some(status) = self.life().status {
                return Ok(Some(status));
            }
            if let Some(exit) = self.look(WaitIdOptions::NOHANG)? {
                return self.reap(&exit).map(Some);
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(nap.min(until.saturating_duration_since(Instant::now())));
            nap = (nap * 2).min(Duration::from_millis(20));
        }
    }

    /// Looks for the exit and leaves it waitable, so that the id stays ours.
    fn look(&self, options: WaitIdOptions) -> Result<Option<WaitIdStatus>, rustix::io::Errno> {
        waitid(WaitId::Pid(self.pid), options | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    }

    fn reap(&self, exit: &WaitIdStatus) -> io::Result<ExitStatus> {
        let mut life = self.life();
        if let Some(status) = life.status {
            return Ok(status);
        }
        if life.told || exit.exit_status() != Some(0) {
            // What it left behind would go on writing to pipes and folders that are being cleaned up.
            let _gone = kill_process_group(self.pid, Signal::KILL);
        }
        let status = life.child.wait()?;
        life.status = Some(status);
        drop(life);
        self.reaped.notify_all();
        Ok(status)
    }
}
