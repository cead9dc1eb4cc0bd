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

use crate::postgres::account::Account;

/// What the names of these folders begin with: `runner-pg-<pid>-<start time>-<random>`.
const PREFIX: &str = "runner-pg-";

/// The accounts that servers run as when this program is root, in order.
pub(super) const SERVER_ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

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
        let parent = parent.canonicalize()?;
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
}

impl Drop for Folder {
    /// Ends whatever still runs in the folder (a server that did not stop when told, an `initdb` that was cancelled), for
    /// what is being written to can not be removed.
    fn drop(&mut self) {
        kill_all_in(self.path());
        remove(self.path());
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Stops the servers and removes the folders that dead owners left in `parent`. Answers what was removed; folders
/// that are in use, or of accounts that are not ours to clean up after, stay.
pub fn sweep_stale(parent: &Path) -> Vec<PathBuf> {
    // The real path: the folders of processes are compared with it as text, so that no link planted in a shared temp
    // folder can make another server look like a left one.
    let Ok(parent) = parent.canonicalize() else { return Vec::new() };
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| is_stale(path) && sweep(path)).collect()
}

fn is_stale(path: &Path) -> bool {
    let Some((pid, start)) = path.file_name().and_then(|name| name.to_str()).and_then(owner) else { return false };
    path.symlink_metadata().is_ok_and(|found| found.is_dir() && is_ours(found.uid())) && start_time(pid) != Some(start)
}

/// Whether a folder's account is ours, or the one that servers run as when we are root.
fn is_ours(uid: u32) -> bool {
    let euid = rustix::process::geteuid();
    let for_servers = || SERVER_ACCOUNTS.iter().filter_map(|name| Account::named(name)).any(|account| account.uid == uid);
    uid == euid.as_raw() || euid.is_root() && for_servers()
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
    stop_left_server(path);
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
fn stop_left_server(folder: &Path) {
    let said = std::fs::read_to_string(data(folder).join("postmaster.pid")).unwrap_or_default();
    if let Some(pid) = said.lines().next().and_then(|line| line.trim().parse().ok()) {
        signal_if_in(pid, folder, Signal::QUIT);
        wait_until_empty(folder, PATIENCE);
    }
    kill_all_in(folder);
}

fn kill_all_in(folder: &Path) {
    for pid in running_in(folder) {
        signal_if_in(pid, folder, Signal::KILL);
    }
    wait_until_empty(folder, PATIENCE);
}

/// The processes that work in the folder or, as servers always do, in its data folder.
fn running_in(folder: &Path) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|pid| works_in(*pid, folder)).collect()
}

/// Compared as text: the system tells the real path of a process's folder, whatever links lead there.
fn works_in(pid: i32, folder: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder || cwd == data(folder))
}

/// The handle is opened first and the folder checked then, so the signal can not reach another process with a reused id.
fn signal_if_in(pid: i32, folder: &Path, signal: Signal) {
    let Some(handle) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
    if works_in(pid, folder) {
        // A process that ended in between needs no signal.
        let _gone = pidfd_send_signal(handle, signal);
    }
}

fn wait_until_empty(folder: &Path, limit: Duration) {
    let until = Instant::now() + limit;
    while !running_in(folder).is_empty() && Instant::now() < until {
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
        let make = |name: &str| {
            let folder = parent.path().join(format!("{PREFIX}{name}"));
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let me = std::process::id();
        let (dead, young, locked) = (make("1-1-dead"), make("1-1-young"), make("1-1-locked"));
        let (unlocked, reused) = (make(&format!("{me}-{}-unlocked", start_time(me).unwrap())), make(&format!("{me}-1-reused")));
        let locks = [&dead, &locked, &unlocked, &reused].map(|folder| File::create(folder.join(LOCK)).unwrap());
        locks[1].try_lock().unwrap();
        let mut swept = sweep_stale(parent.path());
        swept.sort();
        let mut expected = [dead, reused];
        expected.sort();
        assert_eq!(swept, expected);
        assert!([ours.path(), &young, &locked, &unlocked].iter().all(|kept| kept.exists()));
        assert!(expected.iter().all(|gone| !gone.exists()));
    }

    #[test]
    fn a_process_elsewhere_is_never_signalled() {
        let (parent, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut child = std::process::Command::new("sleep").arg("30").current_dir(elsewhere.path()).spawn().unwrap();
        std::fs::write(elsewhere.path().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
        let planted = parent.path().join("runner-pg-1-1-planted");
        std::fs::create_dir(&planted).unwrap();
        File::create(planted.join(LOCK)).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), planted.join("data")).unwrap();
        assert_eq!(sweep_stale(parent.path()), [planted]);
        assert!(child.try_wait().unwrap().is_none(), "neither a pid file nor a link must be believed");
        assert!(elsewhere.path().join("postmaster.pid").exists(), "what a link leads to must stay");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
