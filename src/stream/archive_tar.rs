//! A folder as one tar stream, and back.
//!
//! Equal folders give equal streams: entries are sorted, and headers hold no times, owners or modes of their own. Only
//! regular files and folders with UTF-8 names travel; anything else is an error on the way in and on the way out. This
//! module does not compress.

mod unpack;

use std::io;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

pub use self::unpack::{Unpacked, untar};
use super::file::read_file;
use super::reader::Spill;
use super::{CHUNK, Chunk, Pool, Pull, Stream, StreamError, fused};

/// The unit of the format, in bytes.
const BLOCK: u64 = 512;

struct Entry {
    /// Relative to the folder.
    name: String,
    path: PathBuf,
    /// The length of a file; `None` for a folder.
    bytes: Option<u64>,
}

struct Archive {
    entries: std::vec::IntoIter<Entry>,
    headers: Option<Builder<Spill>>,
    spill: Spill,
    content: Option<(Stream, u64)>,
    pool: Pool,
}

/// Everything in a folder, without the folder itself, as one tar stream.
///
/// The folder must not change meanwhile: a file that does is an error.
pub fn archive(folder: &Path) -> Result<Stream, StreamError> {
    let mut entries = Vec::new();
    walk(folder, "", &mut entries)?;
    let spill = Spill::default();
    let headers = Some(Builder::new(spill.clone()));
    Ok(fused(Archive { entries: entries.into_iter(), headers, spill, content: None, pool: Pool::new(CHUNK) }))
}

fn walk(folder: &Path, prefix: &str, into: &mut Vec<Entry>) -> Result<(), StreamError> {
    let failed = |error: io::Error| StreamError::io(format!("reading {}", folder.display()), &error);
    let found: Result<Vec<_>, _> = std::fs::read_dir(folder).map_err(failed)?.collect();
    let mut found = found.map_err(failed)?;
    found.sort_by_key(std::fs::DirEntry::file_name);
    for entry in found {
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        let unfit = |why: &str| StreamError::corrupt("archive", format_args!("{} {why}", path.display()));
        let name = entry.file_name().into_string().map_err(|_| unfit("has a name that is not UTF-8"))?;
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            let below = format!("{name}/");
            into.push(Entry { name, path: path.clone(), bytes: None });
            walk(&path, &below, into)?;
        } else if kind.is_file() {
            let bytes = Some(entry.metadata().map_err(failed)?.len());
            into.push(Entry { name, path, bytes });
        } else {
            return Err(unfit("is neither a regular file nor a folder"));
        }
    }
    Ok(())
}

impl Archive {
    /// Writes the header of the next entry, or the end of the archive.
    fn next_entry(&mut self) -> Result<(), StreamError> {
        let failed = |error: io::Error| StreamError::corrupt("archive", error);
        let Some(entry) = self.entries.next() else {
            return match self.headers.take() {
                Some(builder) => builder.into_inner().map(drop).map_err(failed),
                None => Ok(()),
            };
        };
        let mut header = header(&entry);
        if let Some(builder) = &mut self.headers {
            // The builder also writes the extra entry that a long name needs; the content follows from here.
            builder.append_data(&mut header, &entry.name, io::empty()).map_err(failed)?;
        }
        self.content = match entry.bytes {
            Some(bytes) => Some((read_file(&entry.path, Some(bytes))?, bytes)),
            None => None,
        };
        Ok(())
    }

    /// Some content, then the zeros that fill its last block.
    fn content(&mut self) -> Result<Option<Chunk>, StreamError> {
        let Some((stream, bytes)) = &mut self.content else { return Ok(None) };
        if let Some(chunk) = stream.pull()? {
            return Ok(Some(chunk));
        }
        let fill = usize::try_from(bytes.next_multiple_of(BLOCK) - *bytes).unwrap_or_default();
        self.content = None;
        io::Write::write_all(&mut self.spill, &vec![0; fill]).map_err(|error| StreamError::corrupt("archive", error))?;
        Ok(None)
    }
}

fn header(entry: &Entry) -> Header {
    let mut header = Header::new_gnu();
    let (kind, mode) = if entry.bytes.is_some() { (EntryType::Regular, 0o600) } else { (EntryType::Directory, 0o700) };
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(entry.bytes.unwrap_or(0));
    header
}

impl Pull for Archive {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        loop {
            let waiting = self.spill.len();
            if waiting > 0 && (self.content.is_some() || self.headers.is_none() || waiting >= CHUNK / 2) {
                return Ok(Some(self.pool.chunk(self.spill.take(self.pool.buffer()))));
            }
            if self.content.is_some() {
                if let Some(chunk) = self.content()? {
                    return Ok(Some(chunk));
                }
            } else if self.headers.is_some() {
                self.next_entry()?;
            } else {
                return Ok(None);
            }
        }
    }
}
