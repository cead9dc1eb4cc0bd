//! The folder of a scratch server: made, recognised, and swept when its owner is dead.
//!
//! Its name holds the owner's process id and the time that process started, so that it is recognisable from its first
//! moment and a reused id is no owner; a lock held by the owner protects it from sweepers that see other processes (another container
//! over the same temp folder). This module starts no server.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

/// What the names of these folders begin with: `runner-pg-<pid>-<start time>-<random>`.
const PREFIX: &str = "runner-pg-";

/// The file that the owner keeps locked.
const LOCK: &str = "owner.lock";

/// How long a folder without a lock is left alone: its owner may just be making it.
const GRACE: Duration = Duration::from_mins(1);

/// How long a left server may take to end after it was told.
const PATIENCE: Duration = Duration::from_secs(8);

/// A folder of ours, removed when dropped.
#[derive(Debug)]
pub(super) struct Folder {
    temp: TempDir,
    // Locked as long as this is open, even by `kill -9` not longer.
    _lock: File,
}

impl Folder {
    pub(super) fn create(parent: &Path) -> io::Result<Self> {
        let pid = std::process::id();
        let start = start_time(pid).unwrap_or(0);
        let temp = tempfile::Builder::new().prefix(&format!("{PREFIX}{pid}-{start}-")).tempdir_in(parent)?;
        let lock = File::create_new(temp.path().join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { temp, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.temp.path()
    }

    /// Where the server's files are.
    pub(super) fn data(&self) -> PathBuf {
        data(self.path())
    }

    /// Ends whatever still runs in the folder. For a server that did not stop when told.
    pub(super) fn clear(&self) {
        for pid in running_in(&self.data()) {
            signal_if_in(pid, &self.data(), Signal::KILL);
        }
        wait_until_empty(&self.data(), PATIENCE);
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Stops the servers and removes the folders that dead owners left in `parent`. Answers what was removed; folders
/// that are in use, or another account's, stay.
pub fn sweep_stale(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| is_stale(path) && sweep(path)).collect()
}

fn is_stale(path: &Path) -> bool {
    let Some((pid, start)) = path.file_name().and_then(|name| name.to_str()).and_then(owner) else { return false };
    let real_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    real_folder && start_time(pid) != Some(start)
}

/// The owner's process id and start time in a folder's name.
fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// When a living process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat` (proc(5)), counted behind the
/// name, which may hold anything. A zombie (field 3) is not living: it only waits for a parent to take note.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let living = !matches!(fields.next()?, "Z" | "X");
    fields.nth(18)?.parse().ok().filter(|_| living)
}

fn sweep(path: &Path) -> bool {
    let lock = match File::open(path.join(LOCK)) {
        Ok(file) if file.try_lock().is_err() => return false,
        Ok(file) => Some(file),
        Err(_) if age(path) < GRACE => return false,
        Err(_) => None,
    };
    stop_left_server(&data(path));
    let removed = remove(path);
    drop(lock);
    removed
}

fn age(path: &Path) -> Duration {
    let modified = path.symlink_metadata().and_then(|found| found.modified());
    modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default()
}

/// Removes a folder in which a dying process may still write.
fn remove(path: &Path) -> bool {
    for _ in 0..5 {
        if std::fs::remove_dir_all(path).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    !path.exists()
}

/// Stops the server whose id `postmaster.pid` names, if that process really works in this folder, and what is left of it.
fn stop_left_server(data: &Path) {
    let said = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    if let Some(pid) = said.lines().next().and_then(|line| line.trim().parse().ok()) {
        signal_if_in(pid, data, Signal::QUIT);
        wait_until_empty(data, PATIENCE);
    }
    for pid in running_in(data) {
        signal_if_in(pid, data, Signal::KILL);
    }
    wait_until_empty(data, PATIENCE);
}

/// The processes whose working folder this is: a server's always is its data folder.
fn running_in(data: &Path) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|pid| works_in(*pid, data)).collect()
}

fn works_in(pid: i32, data: &Path) -> bool {
    // The path is compared as text, then by what it is: a folder that was removed and made again is another one.
    let link = PathBuf::from(format!("/proc/{pid}/cwd"));
    let same_path = std::fs::read_link(&link).is_ok_and(|cwd| cwd == data || data.canonicalize().is_ok_and(|real| real == cwd));
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    same_path && identity(&link).is_some() && identity(&link) == identity(data)
}

/// The handle is opened first and the folder checked then, so the signal can not reach another process with a reused id.
fn signal_if_in(pid: i32, data: &Path, signal: Signal) {
    let Some(handle) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
    if works_in(pid, data) {
        // A process that ended in between needs no signal.
        let _gone = pidfd_send_signal(handle, signal);
    }
}

fn wait_until_empty(data: &Path, limit: Duration) {
    let until = Instant::now() + limit;
    while !running_in(data).is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_their_owner() {
        assert_eq!(owner("runner-pg-123-4567-aB3x"), Some((123, 4567)));
        for other in ["runner-pg-", "runner-pg-x-1-y", "postgresql-1-2-3"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn a_living_owners_folder_stays_and_a_dead_ones_goes() {
        let parent = tempfile::tempdir().unwrap();
        let ours = Folder::create(parent.path()).unwrap();
        let (dead, young, locked) = (
            parent.path().join("runner-pg-1-1-dead"),
            parent.path().join("runner-pg-1-1-young"),
            parent.path().join("runner-pg-1-1-locked"),
        );
        for folder in [&dead, &young, &locked] {
            std::fs::create_dir(folder).unwrap();
        }
        File::create(dead.join(LOCK)).unwrap();
        let held = File::create(locked.join(LOCK)).unwrap();
        held.try_lock().unwrap();
        assert_eq!(sweep_stale(parent.path()), std::slice::from_ref(&dead));
        assert!(ours.path().exists() && young.exists() && locked.exists() && !dead.exists());
    }

    #[test]
    fn a_process_elsewhere_is_never_signalled() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
        stop_left_server(&data);
        assert!(child.try_wait().unwrap().is_none(), "a pid file must not be believed");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
