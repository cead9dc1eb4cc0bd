//! Replacing a file only if it still holds what it held: compared and renamed under a lock on the very file that is replaced.
//!
//! The new content is written and synced before the lock is taken, so the lock is held for microseconds; whoever waited for it finds
//! that the name leads to another file and looks again. A killed holder's lock ends with it. This module does not read for others.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::LocalStore;
use super::partial::Published;
use crate::store::whole::Tally;
use crate::store::{Expect, ObjectStore as _, Refusal, StoreError, Tag, key};

/// How long somebody else's lock is waited for. Only a process that was stopped at the wrong moment holds one longer.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(5);

/// The tag of a content: its SHA-256.
pub(super) fn tag(bytes: &[u8]) -> Tag {
    let mut tally = Tally::new();
    tally.add(bytes);
    Tag(tally.sha256())
}

/// Writes a file under a condition.
pub(super) fn put(store: &LocalStore, key: &str, body: &[u8], expect: &Expect<'_>) -> Result<Tag, StoreError> {
    key::check_local(key)?;
    let failed = |error: std::io::Error| store.refused(format!("writing {key}"), error);
    let mut partial = store.begin(key, false)?;
    partial.file.write_all(body).and_then(|()| partial.file.sync_all()).map_err(failed)?;
    let expected = match expect {
        Expect::Absent => {
            return match partial.publish() {
                Ok(Published::Done) => Ok(tag(body)),
                Ok(Published::Taken) => Err(store.exists(key)),
                Err(error) => Err(failed(error.into())),
            };
        }
        Expect::Matches(expected) => *expected,
    };
    // Held until this function ends, and so until the new file has the name.
    let mut current = lock(store, key)?;
    let mut bytes = Vec::new();
    current.read_to_end(&mut bytes).map_err(failed)?;
    if tag(&bytes) != *expected {
        return Err(changed(store, key));
    }
    partial.replace().map_err(|error| failed(error.into()))?;
    Ok(tag(body))
}

fn changed(store: &LocalStore, key: &str) -> StoreError {
    StoreError::Changed { store: store.describe(), key: key.to_owned() }
}

/// The file that has the key now, locked for this process alone.
fn lock(store: &LocalStore, key: &str) -> Result<File, StoreError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let (folder, name) = store.parent(key)?.ok_or_else(|| changed(store, key))?;
        match try_lock(&folder, name) {
            Ok(Some(file)) => return Ok(file),
            Ok(None) if Instant::now() < until => std::thread::sleep(PAUSE),
            Ok(None) => return Err(busy(store, key)),
            Err(Errno::NOENT) => return Err(changed(store, key)),
            Err(error) => return Err(store.refused(format!("locking {key}"), error)),
        }
    }
}

/// `None` when another process has the lock, or had it and replaced the file.
fn try_lock(folder: &OwnedFd, name: &str) -> Result<Option<File>, Errno> {
    // For writing, because NFS makes an exclusive flock of a lock that needs it.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        other => other?,
    }
    let (ours, named) = (rustix::fs::fstat(&file)?, rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?);
    Ok(((ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)).then(|| file.into()))
}

fn busy(store: &LocalStore, key: &str) -> StoreError {
    let detail = format!("another process holds it for {} s already; is that process stopped?", PATIENCE.as_secs());
    StoreError::Refused { store: store.describe(), doing: format!("locking {key}"), detail, kind: Refusal::Transient }
}
