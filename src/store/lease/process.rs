//! Which process holds a lease, precisely enough to prove on the same host that it is dead. This module does not ask other hosts.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::stream::owned::start_time;

/// A process among all that ever ran on hosts that were ever started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The id of the host's last start (`/proc/sys/kernel/random/boot_id`, random(4)).
    pub boot: String,
    /// The space of process ids it lives in (`/proc/self/ns/pid`, namespaces(7)): containers have their own.
    pub ids: String,
    /// When it started, in clock ticks since the host did: process ids are used again.
    pub started: u64,
}

impl Process {
    /// This process; `None` where `/proc` does not tell.
    pub fn this() -> Option<Self> {
        let (boot, ids) = place()?;
        Some(Self { boot, ids, started: start_time(std::process::id())? })
    }

    /// Whether this process, which had this id, is certainly there. One that can not be seen from here may live all the same.
    pub(super) fn is_alive(&self, pid: u32) -> bool {
        place().is_some_and(|(boot, ids)| boot == self.boot && ids == self.ids) && start_time(pid) == Some(self.started)
    }

    /// Whether this process, which had this id, is certainly dead. One that can not be seen from here may live.
    pub(super) fn is_dead(&self, pid: u32) -> bool {
        let here = place().is_some_and(|(boot, ids)| boot == self.boot && ids == self.ids);
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| here) else { return false };
        // Asked of the kernel, for /proc may be mounted so that it hides the processes of others.
        let gone = test_kill_process(pid) == Err(Errno::SRCH);
        gone || start_time(pid.as_raw_nonzero().get().unsigned_abs()).is_some_and(|started| started != self.started)
    }
}

fn place() -> Option<(String, String)> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let ids = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some((boot.trim().to_owned(), ids.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_this_very_place_is_known_to_be_dead() {
        let this = Process::this().unwrap();
        assert!(!this.is_dead(std::process::id()) && this.is_alive(std::process::id()));
        let earlier = Process { started: this.started - 1, ..this.clone() };
        assert!(earlier.is_dead(std::process::id()) && !earlier.is_alive(std::process::id()), "the id was used again");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(this.is_dead(child.id()));
        for elsewhere in [Process { boot: "another".to_owned(), ..this.clone() }, Process { ids: "pid:[1]".to_owned(), ..this }] {
            assert!(!elsewhere.is_dead(child.id()) && !elsewhere.is_alive(std::process::id()), "{elsewhere:?}");
        }
    }
}
