//! Unpacking a tar stream into a folder, trusting it with nothing.
//!
//! This module does not restore owners, times or modes: files are 0600 and folders 0700.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use super::BLOCK;
use crate::stream::file::unwritten;
use crate::stream::reader::{Reader, unwrap_read};
use crate::stream::{Stream, StreamError};

/// The zeros that end an archive, in bytes (POSIX.1-2017, pax: two blocks of 512).
const END: u64 = 1024;

/// What came out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// How many regular files.
    pub files: u64,
    /// How many bytes they hold.
    pub bytes: u64,
}

/// Unpacks an archive of regular files and folders into a folder that is there, overwriting nothing.
///
/// A name that leads out of the folder, a link, a device, a name that comes twice and an archive without its end are
/// [`StreamError::Corrupt`]. What was unpacked before an error stays for the caller to remove.
pub fn untar(input: Stream, into: &Path) -> Result<Unpacked, StreamError> {
    let mut archive = Archive::new(Counted { reader: Reader::new(input), bytes: 0, zeros: 0 });
    let (mut unpacked, mut end) = (Unpacked::default(), 0);
    for entry in archive.entries().map_err(|error| broken(&error))? {
        let mut entry = entry.map_err(|error| broken(&error))?;
        unpack(&mut entry, into, &mut unpacked)?;
        end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|error| broken(&error))?;
    // What follows the last entry is the mark of the end and nothing else. A content's own zeros do not count for it.
    let after = rest.bytes.saturating_sub(end);
    if after < END || rest.zeros < after || !rest.bytes.is_multiple_of(BLOCK) {
        return Err(StreamError::corrupt("archive", "the archive has no end, or something follows it"));
    }
    Ok(unpacked)
}

/// Counts what is read, and the zeros at its end.
struct Counted {
    reader: Reader,
    bytes: u64,
    zeros: u64,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let amount = self.reader.read(into)?;
        let zeros = into[..amount].iter().rev().take_while(|byte| **byte == 0).count();
        self.bytes += amount as u64;
        self.zeros = if zeros == amount { self.zeros + zeros as u64 } else { zeros as u64 };
        Ok(amount)
    }
}

fn broken(error: &io::Error) -> StreamError {
    // The tar crate wraps what its reader said.
    let inner = error.get_ref().and_then(std::error::Error::source).and_then(|source| source.downcast_ref::<io::Error>());
    unwrap_read("archive", inner.unwrap_or(error))
}

fn unpack(entry: &mut Entry<'_, Counted>, into: &Path, unpacked: &mut Unpacked) -> Result<(), StreamError> {
    let path = into.join(safe_name(entry)?);
    match entry.header().entry_type() {
        EntryType::Directory => match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made.map_err(|error| unwritten(&path, &error)),
        },
        EntryType::Regular | EntryType::Continuous => {
            unpacked.bytes += write(entry, &path)?;
            unpacked.files += 1;
            Ok(())
        }
        other => {
            let name = path.display();
            Err(StreamError::corrupt("archive", format_args!("{name} is neither a regular file nor a folder ({other:?})")))
        }
    }
}

/// The entry's name if all of it leads downwards.
fn safe_name(entry: &Entry<'_, Counted>) -> Result<PathBuf, StreamError> {
    let bytes = entry.path_bytes();
    let shown = String::from_utf8_lossy(&bytes).into_owned();
    let unsafe_name = |why: &str| StreamError::corrupt("archive", format_args!("the name `{shown}` {why}"));
    let name = std::str::from_utf8(&bytes).map_err(|_| unsafe_name("is not UTF-8"))?;
    let parts: Vec<Component<'_>> = Path::new(name).components().filter(|part| *part != Component::CurDir).collect();
    if name.contains('\0') || !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
        return Err(unsafe_name("leads out of the folder"));
    }
    Ok(parts.iter().collect())
}

fn write(entry: &mut Entry<'_, Counted>, path: &Path) -> Result<u64, StreamError> {
    let expected = entry.size();
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(StreamError::corrupt("archive", format_args!("{} comes twice, or was there before", path.display())));
        }
        made => made.map_err(|error| unwritten(path, &error))?,
    };
    let mut buffer = vec![0; 128 * 1024];
    let mut bytes = 0;
    loop {
        let amount = entry.read(&mut buffer).map_err(|error| broken(&error))?;
        if amount == 0 {
            break;
        }
        io::Write::write_all(&mut file, &buffer[..amount]).map_err(|error| unwritten(path, &error))?;
        bytes += amount as u64;
    }
    if bytes == expected { Ok(bytes) } else { Err(StreamError::corrupt("archive", format_args!("{} is cut short", path.display()))) }
}
