//! Files as the two ends of a chain.
//!
//! This module does not name, move or publish files: it writes under the name it is given, and only where there is none.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, fadvise};

use super::{CHUNK, Chunk, Pool, Pull, Stream, StreamError, fused};

struct FromFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    expected: u64,
    pool: Pool,
}

/// A file's bytes. A file that is not as long as expected is [`StreamError::Corrupt`]; without an expectation it must
/// keep the length it has when it is opened.
pub fn read_file(path: &Path, expected: Option<u64>) -> Result<Stream, StreamError> {
    let failed = |error: &io::Error| StreamError::io(format!("opening {}", path.display()), error);
    let file = File::open(path).map_err(|error| failed(&error))?;
    let found = file.metadata().map_err(|error| failed(&error))?;
    if !found.is_file() {
        return Err(StreamError::corrupt(path.display().to_string(), "this is not a regular file"));
    }
    // Reading ahead more is a favour, not a need.
    let _refused = fadvise(&file, 0, None, Advice::Sequential);
    let expected = expected.unwrap_or(found.len());
    Ok(fused(FromFile { file, path: path.to_owned(), bytes: 0, expected, pool: Pool::new(CHUNK) }))
}

impl FromFile {
    fn fill(&self) -> Result<Vec<u8>, StreamError> {
        let mut buffer = self.pool.buffer();
        while buffer.len() < buffer.capacity() {
            match rustix::io::read(&self.file, spare_capacity(&mut buffer)) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(StreamError::io(format!("reading {}", self.path.display()), &error.into())),
            }
        }
        Ok(buffer)
    }
}

impl Pull for FromFile {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let buffer = self.fill()?;
        self.bytes += buffer.len() as u64;
        if buffer.is_empty() && self.bytes != self.expected || self.bytes > self.expected {
            let detail = format!("{} bytes are there, {} were expected", self.bytes, self.expected);
            return Err(StreamError::corrupt(self.path.display().to_string(), detail));
        }
        Ok((!buffer.is_empty()).then(|| self.pool.chunk(buffer)))
    }
}

/// Writes a stream to its verified end into a new file of mode 0600; answers its length.
///
/// It is for files that nobody needs after a crash, so nothing is made to last (fsync): stores write theirs themselves. The
/// name must not exist yet. On any error the file is removed again.
pub fn write_file(input: &mut Stream, path: &Path) -> Result<u64, StreamError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = created.map_err(|error| unwritten(path, &error))?;
    let written = pour(input, &mut file, path);
    if written.is_err() {
        // The error at hand says more than a failure to clean up.
        let _left = std::fs::remove_file(path);
    }
    written
}

fn pour(input: &mut Stream, file: &mut File, path: &Path) -> Result<u64, StreamError> {
    let mut bytes = 0;
    while let Some(chunk) = input.pull()? {
        file.write_all(&chunk).map_err(|error| unwritten(path, &error))?;
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}

/// Writes bytes over others of a file that was written whole, each at its position.
///
/// # Errors
/// What the file system says: then the file is of no use.
pub fn write_over(path: &Path, bytes: &[(u64, Vec<u8>)]) -> Result<(), StreamError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(path).map_err(|error| unwritten(path, &error))?;
    bytes.iter().try_for_each(|(at, bytes)| file.write_all_at(bytes, *at)).map_err(|error| unwritten(path, &error))
}

/// An error of writing this file, which says what to do about a full disk.
pub fn unwritten(path: &Path, error: &io::Error) -> StreamError {
    let (doing, folder) = (format!("writing {}", path.display()), path.parent().unwrap_or(path).display());
    let detail = match error.kind() {
        io::ErrorKind::StorageFull => format!("no space is left on the file system of {folder}; free some or choose another place"),
        io::ErrorKind::QuotaExceeded => format!("the disk quota on the file system of {folder} is used up"),
        io::ErrorKind::FileTooLarge => format!("the file system of {folder} takes no file this large"),
        _ => return StreamError::io(doing, error),
    };
    StreamError::Io { doing, detail, transient: false, denied: false }
}
