//! A folder as a store: objects are files, written beside their place, synced, and renamed into it without replacing anything.
//!
//! Everything below the root is reached part by part from a folder held open, and symbolic links are never followed, so no
//! key leads out of the store. This module does not sweep or delete on its own.

mod conditional;
mod flush;
mod folder;
mod partial;
mod read;
mod refusal;
mod walk;

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;

use self::flush::Flusher;
use self::folder::Parents;
use self::partial::{Partial, Published};
use super::spec::LocalSpec;
use super::whole::{self, Tally};
use super::{Expect, ObjectMeta, ObjectStore, ProbeReport, PutOptions, Refusal, StoreError, Stored, Tag, key, probe};
use crate::stream::{Cancel, Stream};

/// How often a folder that a remover takes away is made again before giving up.
const MAKE_AGAIN: usize = 100;

/// A store in a folder.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    file_mode: Mode,
    folder_mode: Mode,
}

impl LocalStore {
    /// A store in this folder, which is made when the first object is written.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a mode is not octal text or would lock the owner out.
    pub fn open(spec: &LocalSpec) -> Result<Self, StoreError> {
        let words = || spec.path.display().to_string();
        let root = std::path::absolute(&spec.path).map_err(|error| refusal::of(words(), "finding the folder", &error))?;
        let file_mode = mode(&spec.file_mode, 0o400).ok_or_else(|| bad_mode(words(), "file_mode", &spec.file_mode, "0600"))?;
        let folder_mode = mode(&spec.folder_mode, 0o700).ok_or_else(|| bad_mode(words(), "folder_mode", &spec.folder_mode, "0750"))?;
        Ok(Self { root, file_mode, folder_mode })
    }

    fn refused(&self, doing: impl Into<String>, error: impl Into<std::io::Error>) -> StoreError {
        refusal::of(self.describe(), doing, &error.into())
    }

    fn exists(&self, key: &str) -> StoreError {
        StoreError::Exists { store: self.describe(), key: key.to_owned() }
    }

    /// The folder of a key and the key's last part; `None` when the folder is not there.
    fn parent<'k>(&self, key: &'k str) -> Result<Option<(OwnedFd, &'k str)>, StoreError> {
        key::check_local(key)?;
        let parents = Parents::of(key);
        match folder::open(&self.root, &parents.folders) {
            Ok(folder) => Ok(Some((folder, parents.name))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.refused(format!("opening the folder of {key}"), error)),
        }
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        let Some((folder, name)) = self.parent(key)? else { return Ok(None) };
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.refused(format!("looking at {key}"), error)),
        }
    }

    /// Begins the file of a new object. A folder emptied by a remover between its making and its use is made again.
    fn begin(&self, key: &str, secret: bool) -> Result<Partial, StoreError> {
        let parents = Parents::of(key);
        let mode = if secret { Mode::from_raw_mode(0o600) } else { self.file_mode };
        let nonce = whole::nonce(&self.describe())?;
        let mut left = MAKE_AGAIN;
        loop {
            let begun = folder::make(&self.root, &parents.folders, self.folder_mode)
                .and_then(|folder| Partial::create(folder, parents.name, &nonce, mode));
            match begun {
                Err(Errno::NOENT) if left > 0 => left -= 1,
                other => return other.map_err(|error| self.refused(format!("making a file for {key}"), error)),
            }
        }
    }

    fn fill(&self, partial: &mut Partial, mut body: Stream, cancel: &Cancel, sent: &dyn Fn(u64)) -> Result<Tally, StoreError> {
        let mut tally = Tally::new();
        let mut flusher = Flusher::of(&partial.file).map_err(|error| self.failed_write(partial, &error))?;
        loop {
            cancel.check()?;
            let Some(chunk) = body.pull()? else { break };
            let written = partial.file.write_all(&chunk).and_then(|()| flusher.wrote(chunk.len() as u64));
            written.map_err(|error| self.failed_write(partial, &error))?;
            tally.add(&chunk);
            sent(chunk.len() as u64);
        }
        flusher.finish().map_err(|error| self.failed_write(partial, &error))?;
        Ok(tally)
    }

    fn failed_write(&self, partial: &Partial, error: &std::io::Error) -> StoreError {
        let mut refused = refusal::of(self.describe(), format!("writing {}", partial.target), error);
        if let StoreError::Refused { kind: Refusal::Full, detail, .. } = &mut refused {
            let written = rustix::fs::fstat(&partial.file).map_or(0, |stat| stat.st_size);
            let free = rustix::fs::fstatvfs(&partial.file).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
            *detail =
                format!("{detail} after {written} bytes, with {free} bytes free: make room there, for example by pruning restore points");
        }
        refused
    }

    /// Makes a filled and synced file the object: its length checked, renamed without replacing, its folder synced.
    fn publish(&self, partial: Partial, key: &str, tally: Tally) -> Result<Stored, StoreError> {
        let length = rustix::fs::fstat(&partial.file).map_err(|error| self.refused(format!("checking {key}"), error))?.st_size;
        if u64::try_from(length) != Ok(tally.bytes()) {
            let detail = format!("{} bytes were written and the file has {length}", tally.bytes());
            return Err(StoreError::Lies { store: self.describe(), key: key.to_owned(), detail });
        }
        match partial.publish() {
            Ok(Published::Done) => Ok(Stored { key: key.to_owned(), bytes: tally.bytes(), sha256: tally.sha256(), version: None }),
            Ok(Published::Taken) => Err(self.exists(key)),
            Err(error) => Err(self.refused(format!("publishing {key}"), error)),
        }
    }

    /// All files below the folder in which such keys lie.
    fn files(&self, prefix: &str, visit: walk::Visit<'_>) -> Result<(), StoreError> {
        key::check_prefix(prefix)?;
        let parents = Parents::of(prefix);
        let walked = match folder::open(&self.root, &parents.folders) {
            Ok(folder) => walk::files(&folder, &prefix[..prefix.len() - parents.name.len()], prefix, visit),
            Err(error) => Err(error),
        };
        match walked {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.refused(format!("listing {prefix}"), error)),
        }
    }

    /// The root, or the nearest folder above it that is there.
    fn ground(&self) -> &Path {
        self.root.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(&self.root)
    }
}

impl ObjectStore for LocalStore {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn put(&self, key: &str, body: Stream, options: &PutOptions, cancel: &Cancel, sent: &dyn Fn(u64)) -> Result<Stored, StoreError> {
        // Asked before the first byte, so that a taken key does not cost the writing of a whole dump.
        if self.stat(key)?.is_some() {
            return Err(self.exists(key));
        }
        let mut partial = self.begin(key, options.secret)?;
        let tally = self.fill(&mut partial, body, cancel, sent)?;
        self.publish(partial, key, tally)
    }

    fn put_bytes(&self, key: &str, body: &[u8], options: &PutOptions) -> Result<Stored, StoreError> {
        self.put(key, whole::stream_of(body), options, &Cancel::new(), &|_| {})
    }

    fn get(&self, key: &str, cancel: &Cancel) -> Result<Stream, StoreError> {
        let missing = || StoreError::Missing { store: self.describe(), key: key.to_owned() };
        let (folder, name) = self.parent(key)?.ok_or_else(missing)?;
        match read::open(&folder, name, format!("{}/{key}", self.describe()), cancel) {
            Ok(stream) => Ok(stream),
            Err(Errno::NOENT) => Err(missing()),
            Err(error) => Err(self.refused(format!("opening {key}"), error)),
        }
    }

    fn get_bytes(&self, key: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        whole::read(self, key, limit)
    }

    fn get_tagged(&self, key: &str, limit: u64) -> Result<(Vec<u8>, Tag), StoreError> {
        let bytes = whole::read(self, key, limit)?;
        let tag = conditional::tag(&bytes);
        Ok((bytes, tag))
    }

    fn put_if(&self, key: &str, body: &[u8], expect: &Expect<'_>) -> Result<Tag, StoreError> {
        conditional::put(self, key, body, expect)
    }

    fn replace(&self, key: &str, body: &[u8], tag: &Tag, _options: &PutOptions) -> Result<Tag, StoreError> {
        conditional::put(self, key, body, &Expect::Matches(tag))
    }

    fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        let file = self.stat(key)?.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        Ok(file.map(|stat| walk::meta(key.to_owned(), &stat)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let mut found = Vec::new();
        self.files(prefix, &mut |entry| {
            if !key::is_partial(entry.name) && entry.path.starts_with(prefix) {
                found.push(walk::meta(entry.path.to_owned(), entry.stat));
            }
        })?;
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        key::check_prefix(prefix)?;
        match folder::open(&self.root, &Parents::of(prefix).folders).and_then(|folder| walk::folders(&folder)) {
            Err(Errno::NOENT) => Ok(Vec::new()),
            found => found.map_err(|error| self.refused(format!("listing the folders of {prefix}"), error)),
        }
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let Some((folder, name)) = self.parent(key)? else { return Ok(()) };
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(self.refused(format!("deleting {key}"), error)),
        }
        rustix::fs::fsync(&folder).map_err(|error| self.refused(format!("deleting {key}"), error))?;
        folder::clear(&self.root, &Parents::of(key).folders);
        Ok(())
    }

    fn sweep(&self, prefix: &str, older_than: Duration) -> Result<Vec<String>, StoreError> {
        let mut swept = Vec::new();
        let before = jiff::Timestamp::now().as_second() - i64::try_from(older_than.as_secs()).unwrap_or(i64::MAX);
        self.files(prefix, &mut |entry| {
            let old = key::is_partial(entry.name) && (older_than.is_zero() || entry.stat.st_mtime <= before);
            if old && partial::remove_abandoned(entry.folder, entry.name) {
                swept.push(entry.path.to_owned());
            }
        })?;
        swept.sort_unstable();
        Ok(swept)
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let stat = rustix::fs::statvfs(self.ground()).map_err(|error| self.refused("asking for free space", error))?;
        Ok(Some(stat.f_bavail * stat.f_frsize))
    }

    fn reach(&self) -> Result<(), StoreError> {
        let ground = self.ground();
        if !ground.is_dir() {
            let error = std::io::Error::from(Errno::NOTDIR);
            return Err(self.refused(format!("looking at {}", ground.display()), error));
        }
        let rights = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::access(ground, rights)
            .map_err(|error| self.refused(format!("looking whether {} can be written", ground.display()), error))
    }

    fn probe(&self) -> Result<ProbeReport, StoreError> {
        probe::run(self, &|key, body, options| self.put_bytes(key, body, options).map(drop), &|key| self.delete(key))
    }
}

fn mode(text: &str, least: u32) -> Option<Mode> {
    let bits = u32::from_str_radix(text, 8).ok()?;
    (bits <= 0o777 && bits & least == least).then(|| Mode::from_raw_mode(bits))
}

fn bad_mode(store: String, field: &str, text: &str, example: &str) -> StoreError {
    let detail = format!("{text:?} is not permission bits that let the owner in: write octal text such as {example:?}");
    StoreError::Refused { store, doing: format!("reading {field}"), detail, kind: Refusal::Other }
}
