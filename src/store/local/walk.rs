//! Walking the files of a store. This module does not follow symbolic links and changes nothing.

use std::os::fd::OwnedFd;

use jiff::Timestamp;
use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::folder;
use crate::store::ObjectMeta;

/// A file found.
pub(super) struct Entry<'a> {
    pub(super) folder: &'a OwnedFd,
    pub(super) name: &'a str,
    /// Its path from the root, which is its key.
    pub(super) path: &'a str,
    pub(super) stat: &'a Stat,
}

/// What is told of each file.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&Entry<'_>);

/// Visits the regular files below a folder whose path is `above` (empty or ending in a slash), leaving out folders in which no
/// path begins with `prefix`. What vanishes meanwhile and names that are not UTF-8 (never written by a store) are passed over.
pub(super) fn files(folder: &OwnedFd, above: &str, prefix: &str, visit: Visit<'_>) -> Result<(), Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !matches!(name, "." | "..") {
            file_or_folder(folder, name, &format!("{above}{name}"), prefix, visit)?;
        }
    }
    Ok(())
}

/// The names of the folders right in a folder, sorted. Names that are not UTF-8 are passed over.
pub(super) fn folders(folder: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let is_folder = || match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            stat => stat.map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
        };
        if !matches!(name, "." | "..") && is_folder()? {
            found.push(name.to_owned());
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn file_or_folder(folder: &OwnedFd, name: &str, path: &str, prefix: &str, visit: Visit<'_>) -> Result<(), Errno> {
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => visit(&Entry { folder, name, path, stat: &stat }),
        FileType::Directory if path.starts_with(prefix) || prefix.starts_with(path) => match folder::enter(folder, name) {
            Err(Errno::NOENT) => {}
            inner => files(&inner?, &format!("{path}/"), prefix, visit)?,
        },
        _ => {}
    }
    Ok(())
}

/// What a listing says of a file.
pub(super) fn meta(key: String, stat: &Stat) -> ObjectMeta {
    let modified = Timestamp::from_second(stat.st_mtime).unwrap_or(Timestamp::UNIX_EPOCH);
    ObjectMeta { key, bytes: u64::try_from(stat.st_size).unwrap_or(0), modified }
}
