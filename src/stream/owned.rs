//! Temp folders that say whose they are, so that what a killed run left is found and removed by the next one.
//!
//! The name holds the owner's process id, the time that process started and the namespace that both are of, so that a folder is
//! recognisable from its first moment and a reused id is no owner; a lock held by the owner protects it from sweepers that see other
//! processes (another container over the same temp folder). This module does not know what is in the folders, and stops nobody who works there.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// A folder in memory, for what must not reach a disk; not every system has it.
pub const IN_MEMORY: &str = "/dev/shm";

/// The kinds of folder that hold nothing but files: password files, staged dumps, homes of `gpg`.
const KINDS: [&str; 3] = ["pass", "stage", "gpg"];

/// The file that the owner keeps locked.
const LOCK: &str = "owner.lock";

/// How long a folder without a lock is left alone whose owner lives where its processes are not seen: it may just be making it.
const GRACE: Duration = Duration::from_mins(1);

/// A folder of ours with mode 0700, removed when dropped.
#[derive(Debug)]
pub struct OwnedFolder {
    temp: TempDir,
    // Locked as long as this is open, even by `kill -9` not longer.
    _lock: File,
}

impl OwnedFolder {
    /// Makes `runner-<kind>-<pid>-<start time>-<namespace>-<random>` in a folder.
    ///
    /// # Errors
    /// When it can not be made or locked.
    pub fn create(kind: &str, parent: &Path) -> io::Result<Self> {
        let pid = std::process::id();
        let start = start_time(pid).unwrap_or(0);
        let name = format!("{}{pid}-{start}-{}-", prefix(kind), namespace());
        // Said here, for unless it is asked for another mode, tempfile leaves that to the umask.
        let temp = tempfile::Builder::new().prefix(&name).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)?;
        let lock = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(temp.path().join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { temp, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }
}

/// A folder whose owner is dead; while this is held, nobody else sweeps it.
#[derive(Debug)]
pub struct Abandoned {
    _lock: Option<File>,
}

/// Removes the folders of files that dead owners of our own account left in `parent`. Answers what was removed.
pub fn sweep_stale(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |uid: u32| uid == rustix::process::geteuid().as_raw();
    let stale = entries.filter(|path| KINDS.iter().any(|kind| is_stale(path, kind, ours)));
    stale.filter(|path| abandoned(path).is_some_and(|_held| std::fs::remove_dir_all(path).is_ok())).collect()
}

/// Whether a path is a folder of this kind, of an account that is ours, whose owner is dead.
pub fn is_stale(path: &Path, kind: &str, is_ours: impl Fn(u32) -> bool) -> bool {
    let Some((pid, start)) = path.file_name().and_then(|name| name.to_str()).and_then(|name| owner(name, kind)) else { return false };
    path.symlink_metadata().is_ok_and(|found| found.is_dir() && is_ours(found.uid())) && start_time(pid) != Some(start)
}

/// Takes a stale folder over, unless its owner lives elsewhere or may just be making it.
pub fn abandoned(path: &Path) -> Option<Abandoned> {
    match File::open(path.join(LOCK)) {
        Ok(file) => file.try_lock().is_ok().then_some(Abandoned { _lock: Some(file) }),
        Err(_) => (is_of_here(path) || age(path) >= GRACE).then_some(Abandoned { _lock: None }),
    }
}

fn prefix(kind: &str) -> String {
    format!("runner-{kind}-")
}

/// The owner's process id and start time in a folder's name.
fn owner(name: &str, kind: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_prefix(&prefix(kind))?.splitn(3, '-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether the owner of a folder is a process that would be seen here if it lived: one that is dead is not making it any more.
fn is_of_here(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let told = name.split('-').nth(4).and_then(|told| told.parse().ok());
    told.is_some_and(|told: u64| told == namespace() && told != 0)
}

/// Which processes are seen here: the inode of the process namespace (namespaces(7)); 0 where that is not known.
fn namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
}

/// When a living process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat` (proc(5)), counted behind the
/// name, which may hold anything. A zombie (field 3) is not living: it only waits for a parent to take note.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let living = !matches!(fields.next()?, "Z" | "X");
    fields.nth(18)?.parse().ok().filter(|_| living)
}

fn age(path: &Path) -> Duration {
    let modified = path.symlink_metadata().and_then(|found| found.modified());
    modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_their_owner() {
        assert_eq!(owner("runner-pg-123-4567-aB3x", "pg"), Some((123, 4567)));
        for other in ["runner-pg-", "runner-pg-x-1-y", "runner-pass-1-2-3", "postgresql-1-2-3"] {
            assert_eq!(owner(other, "pg"), None, "{other}");
        }
    }

    #[test]
    fn a_living_owners_folder_stays_and_a_dead_ones_goes() {
        let parent = tempfile::tempdir().unwrap();
        let ours = OwnedFolder::create("pass", parent.path()).unwrap();
        let mode = |path: PathBuf| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(ours.path().to_owned()), mode(ours.path().join(LOCK))), (0o700, 0o600), "whatever the umask");
        let make = |name: &str| {
            let folder = parent.path().join(format!("runner-{name}"));
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let me = std::process::id();
        let (dead, young, locked) = (make("pass-1-1-dead"), make("stage-1-1-young"), make("gpg-1-1-locked"));
        // Killed between the making of its folder and that of its lock.
        let unfinished = make(&format!("stage-1-1-{}-unfinished", namespace()));
        let unlocked = make(&format!("stage-{me}-{}-unlocked", start_time(me).unwrap()));
        let (reused, other) = (make(&format!("gpg-{me}-1-reused")), make("pg-1-1-other"));
        let locks = [&dead, &locked, &unlocked, &reused, &other].map(|folder| File::create(folder.join(LOCK)).unwrap());
        locks[1].try_lock().unwrap();
        let mut swept = sweep_stale(parent.path());
        swept.sort();
        let mut expected = [dead, reused, unfinished];
        expected.sort();
        assert_eq!(swept, expected);
        assert!([ours.path(), &young, &locked, &unlocked, &other].iter().all(|kept| kept.exists()));
    }
}
