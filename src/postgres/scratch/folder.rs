//! The folder of a scratch server: made, recognised, and swept when its owner is dead.
//!
//! Whose it is, is told by [`OwnedFolder`]; here are the processes that work in it. This module starts no server.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::postgres::account::Account;
use crate::stream::owned::{OwnedFolder, abandoned, is_stale};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The kind of these folders: `runner-pg-<pid>-<start time>-<random>`.
const KIND: &str = "pg";

/// The accounts that servers run as when this program is root, in order.
pub(super) const SERVER_ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// How long a left server may take to end after it was told.
const PATIENCE: Duration = Duration::from_secs(8);

/// A folder of ours, removed when dropped.
#[derive(Debug)]
pub(super) struct Folder(OwnedFolder);

impl Folder {
    pub(super) fn create(parent: &Path) -> io::Result<Self> {
        OwnedFolder::create(KIND, &parent.canonicalize()?).map(Self)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
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
    entries.map(|entry| entry.path()).filter(|path| is_stale(path, KIND, is_ours) && sweep(path)).collect()
}

/// Whether a folder's account is ours, or the one that servers run as when we are root.
fn is_ours(uid: u32) -> bool {
    let euid = rustix::process::geteuid();
    let for_servers = || SERVER_ACCOUNTS.iter().filter_map(|name| Account::named(name)).any(|account| account.uid == uid);
    uid == euid.as_raw() || euid.is_root() && for_servers()
}

fn sweep(path: &Path) -> bool {
    let Some(_held) = abandoned(path) else { return false };
    stop_left_server(path);
    remove(path)
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
    // A server that `initdb` was just using writes its id as a negative number (`miscinit.c`); the others are found below.
    if let Some(pid) = said.lines().next().and_then(|line| line.trim().parse().ok()).filter(|pid: &i32| *pid > 0) {
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
    fn a_folder_that_initdb_was_filling_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("runner-pg-1-1-initdb");
        std::fs::create_dir_all(data(&left)).unwrap();
        std::fs::File::create(left.join("owner.lock")).unwrap();
        std::fs::write(data(&left).join("postmaster.pid"), "-4711\n").unwrap();
        assert_eq!(sweep_stale(parent.path()), [left]);
    }

    #[test]
    fn a_process_elsewhere_is_never_signalled() {
        let (parent, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut child = std::process::Command::new("sleep").arg("30").current_dir(elsewhere.path()).spawn().unwrap();
        std::fs::write(elsewhere.path().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
        let planted = parent.path().join("runner-pg-1-1-planted");
        std::fs::create_dir(&planted).unwrap();
        std::fs::File::create(planted.join("owner.lock")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), planted.join("data")).unwrap();
        assert_eq!(sweep_stale(parent.path()), [planted]);
        assert!(child.try_wait().unwrap().is_none(), "neither a pid file nor a link must be believed");
        assert!(elsewhere.path().join("postmaster.pid").exists(), "what a link leads to must stay");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
