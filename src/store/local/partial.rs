//! The unfinished file of an object: made beside its place, removed when dropped, renamed into place when whole.
//! This module does not decide when a file is whole.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::store::key::{PART_LIMIT, PARTIAL};

/// A file on its way to become an object.
pub(super) struct Partial {
    pub(super) file: File,
    /// The name it will have.
    pub(super) target: String,
    folder: OwnedFd,
    name: String,
    published: bool,
}

/// How a publication ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// The object is there and synced.
    Done,
    /// Another object has the name.
    Taken,
}

impl Partial {
    /// Makes the file with its final mode. It is locked while this process lives, so that a sweep elsewhere leaves it alone. Fails with
    /// `ENOENT` when a sweep removes it before it is locked; the caller tries again.
    pub(super) fn create(folder: OwnedFd, target: &str, nonce: &str, mode: Mode) -> Result<Self, Errno> {
        let name = partial_name(target, nonce);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&folder, name.as_str(), flags, mode)?);
        let partial = Self { file, target: target.to_owned(), folder, name, published: false };
        // The umask may have taken bits that the mode asks for.
        rustix::fs::fchmod(&partial.file, mode)?;
        // Only a sweep can have the lock of a file just made, and holds it while it removes the file. A file system without locks only
        // makes a sweep less sure; the age of the file still guards it.
        let _unsupported = retry_on_intr(|| rustix::fs::flock(&partial.file, FlockOperation::LockExclusive));
        if rustix::fs::fstat(&partial.file)?.st_nlink == 0 { Err(Errno::NOENT) } else { Ok(partial) }
    }

    /// Gives the file its name, replacing nothing, and syncs the folder.
    pub(super) fn publish(mut self) -> Result<Published, Errno> {
        let named = match self.rename() {
            // File systems that can not rename without replacing (NFS, some FUSE and overlay ones) say so in these ways.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link(),
            other => other,
        };
        match named {
            Ok(()) => self.published = true,
            Err(Errno::EXIST) => return Ok(Published::Taken),
            Err(error) => return Err(error),
        }
        rustix::fs::fsync(&self.folder).inspect_err(|_| {
            // A name that may not survive a power cut was never answered as stored; take it back.
            let _gone = rustix::fs::unlinkat(&self.folder, self.target.as_str(), AtFlags::empty());
        })?;
        Ok(Published::Done)
    }

    /// Gives the file its name in place of the object that has it, and syncs the folder. The caller holds that object's lock.
    pub(super) fn replace(mut self) -> Result<(), Errno> {
        rustix::fs::renameat(&self.folder, self.name.as_str(), &self.folder, self.target.as_str())?;
        self.published = true;
        rustix::fs::fsync(&self.folder)
    }

    fn rename(&self) -> Result<(), Errno> {
        rustix::fs::renameat_with(&self.folder, self.name.as_str(), &self.folder, self.target.as_str(), RenameFlags::NOREPLACE)
    }

    /// A second name is also create-only; the first is then taken away, or left to a sweep if that fails: the object is there.
    fn link(&self) -> Result<(), Errno> {
        rustix::fs::linkat(&self.folder, self.name.as_str(), &self.folder, self.target.as_str(), AtFlags::empty())?;
        let _swept_later = rustix::fs::unlinkat(&self.folder, self.name.as_str(), AtFlags::empty());
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.published {
            let _gone = rustix::fs::unlinkat(&self.folder, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// Removes an unfinished file whose writer is gone; answers whether it did. It is removed under its lock, so that a writer that has just
/// made it and waits for the lock finds it gone.
pub(super) fn remove_abandoned(folder: &OwnedFd, name: &str) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else { return false };
    let alive = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK);
    !alive && rustix::fs::unlinkat(folder, name, AtFlags::empty()).is_ok()
}

/// `.name.<nonce>.partial`, the name cut so that the whole fits a file name.
fn partial_name(target: &str, nonce: &str) -> String {
    let room = PART_LIMIT - PARTIAL.len() - nonce.len() - 2;
    let end = (0..=target.len().min(room)).rev().find(|at| target.is_char_boundary(*at)).unwrap_or(0);
    format!(".{}.{nonce}{PARTIAL}", &target[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key::is_partial;

    fn begin(path: &std::path::Path, target: &str) -> Partial {
        let folder = crate::store::local::folder::open(path, &[]).unwrap();
        Partial::create(folder, target, "0123456789abcdef", Mode::from_raw_mode(0o640)).unwrap()
    }

    #[test]
    fn names_of_unfinished_files_fit_and_are_recognised() {
        for target in ["a".to_owned(), "가".repeat(85), "x".repeat(255)] {
            let name = partial_name(&target, "0123456789abcdef");
            assert!(name.len() <= PART_LIMIT && is_partial(&name), "{name}");
        }
    }

    #[test]
    fn linking_is_create_only_where_renaming_is_not_possible() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = begin(folder.path(), "주문");
        assert_eq!(first.link(), Ok(()));
        first.published = true;
        let second = begin(folder.path(), "주문");
        assert_eq!(second.link(), Err(Errno::EXIST));
        drop((first, second));
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["주문"]);
    }

    #[test]
    fn a_living_writers_file_is_not_abandoned() {
        let path = tempfile::tempdir().unwrap();
        let folder = crate::store::local::folder::open(path.path(), &[]).unwrap();
        let partial = begin(path.path(), "a");
        assert!(!remove_abandoned(&folder, &partial.name));
        rustix::fs::flock(&partial.file, FlockOperation::Unlock).unwrap();
        assert!(remove_abandoned(&folder, &partial.name));
    }

    #[test]
    fn no_sweep_takes_a_file_from_a_writer_that_has_begun() {
        let path = tempfile::tempdir().unwrap();
        let folder = || crate::store::local::folder::open(path.path(), &[]).unwrap();
        let ended = std::sync::atomic::AtomicBool::new(false);
        let sweep = || {
            let (folder, mut swept) = (folder(), 0);
            while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                swept += u32::from(remove_abandoned(&folder, &partial_name("주문", "0123456789abcdef")));
            }
            swept
        };
        let write = || {
            let (mut begun, mut lost) = (0, 0);
            for _ in 0..20_000 {
                match Partial::create(folder(), "주문", "0123456789abcdef", Mode::from_raw_mode(0o640)) {
                    Ok(partial) => {
                        begun += 1;
                        lost += u32::from(rustix::fs::fstat(&partial.file).unwrap().st_nlink == 0);
                    }
                    Err(error) => assert_eq!(error, Errno::NOENT),
                }
            }
            ended.store(true, std::sync::atomic::Ordering::SeqCst);
            (begun, lost)
        };
        let (swept, (begun, lost)) = std::thread::scope(|scope| {
            let sweeper = scope.spawn(sweep);
            let written = write();
            (sweeper.join().unwrap(), written)
        });
        assert_eq!(lost, 0, "{begun} begun, {swept} swept");
    }
}
