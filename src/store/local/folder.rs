//! Folders inside the store, reached part by part from the root and never through a symbolic link.
//! This module does not touch files.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// A key taken apart.
pub(super) struct Parents<'k> {
    /// The parts before the last slash.
    pub(super) folders: Vec<&'k str>,
    /// What is behind it.
    pub(super) name: &'k str,
}

impl<'k> Parents<'k> {
    pub(super) fn of(key: &'k str) -> Self {
        match key.rsplit_once('/') {
            Some((folders, name)) => Self { folders: folders.split('/').collect(), name },
            None => Self { folders: Vec::new(), name: key },
        }
    }
}

/// Opens a folder of the store that is there.
pub(super) fn open(root: &Path, parts: &[&str]) -> Result<OwnedFd, Errno> {
    let root = rustix::fs::openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    parts.iter().try_fold(root, |folder, part| enter(&folder, *part))
}

/// Opens a folder of the store, making what is missing of it and of the root, each synced into the folder above it.
/// Fails with `ENOENT` when a remover takes away a folder just made; the caller tries again.
pub(super) fn make(root: &Path, parts: &[&str], mode: Mode) -> Result<OwnedFd, Errno> {
    make_root(root, mode)?;
    parts.iter().try_fold(open(root, &[])?, |folder, part| {
        let inner = match enter(&folder, *part) {
            Err(Errno::NOENT) => make_one(&folder, *part, mode)?,
            other => other?,
        };
        // Also when another writer made it: that writer may be killed before it has synced.
        rustix::fs::fsync(&folder)?;
        Ok(inner)
    })
}

/// Removes the innermost folder if it is empty, then the one above it, up to the root. Failing is no harm: a folder in use stays.
pub(super) fn clear(root: &Path, parts: &[&str]) {
    for depth in (0..parts.len()).rev() {
        let Ok(above) = open(root, &parts[..depth]) else { return };
        if rustix::fs::unlinkat(&above, parts[depth], AtFlags::REMOVEDIR).is_err() {
            return;
        }
    }
}

/// Opens a folder inside a folder; a symbolic link there fails with `ENOTDIR` or `ELOOP`.
pub(super) fn enter(folder: &OwnedFd, part: impl Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, part, flags, Mode::empty())
}

fn make_one(folder: &OwnedFd, part: impl Arg + Copy, mode: Mode) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(folder, part, mode) {
        Ok(()) => {
            let opened = enter(folder, part)?;
            // The umask may have taken bits that the mode asks for.
            rustix::fs::fchmod(&opened, mode)?;
            Ok(opened)
        }
        Err(Errno::EXIST) => enter(folder, part),
        Err(error) => Err(error),
    }
}

/// Makes the root and what is missing above it.
fn make_root(root: &Path, mode: Mode) -> Result<(), Errno> {
    let above = match root.parent() {
        Some(above) if !root.exists() => above,
        _ => return Ok(()),
    };
    make_root(above, mode)?;
    let above = open(above, &[])?;
    let name = root.file_name().ok_or(Errno::INVAL)?;
    make_one(&above, name, mode)?;
    rustix::fs::fsync(&above)
}
