//! Reading an object's file. This module does not check digests: whoever reads knows what to expect.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::fs::{Advice, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::stream::{CHUNK, Cancel, Chunk, Pool, Pull, Stream, StreamError};

struct FileStream {
    file: File,
    /// Bytes still to come, by the file's size when it was opened.
    left: u64,
    /// For messages: the store and the key.
    what: String,
    cancel: Cancel,
    pool: Pool,
}

/// Opens a file of the store as a stream.
pub(super) fn open(folder: &OwnedFd, name: &str, what: String, cancel: &Cancel) -> Result<Stream, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::NOENT);
    }
    // Only a hint: reading works without it.
    let _hint = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
    let left = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Box::new(FileStream { file: file.into(), left, what, cancel: cancel.clone(), pool: Pool::new(CHUNK) }))
}

impl Pull for FileStream {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.cancel.check()?;
        let mut buffer = self.pool.buffer();
        let read = Read::by_ref(&mut self.file).take(CHUNK as u64).read_to_end(&mut buffer);
        let read = read.map_err(|error| StreamError::io(format!("reading {}", self.what), &error))? as u64;
        self.left = self.left.checked_sub(read).ok_or_else(|| self.changed("grew"))?;
        if read > 0 {
            return Ok(Some(self.pool.chunk(buffer)));
        }
        if self.left > 0 {
            return Err(self.changed("ended too early"));
        }
        Ok(None)
    }
}

impl FileStream {
    fn changed(&self, how: &str) -> StreamError {
        StreamError::corrupt("local store", format!("{} {how} while it was read", self.what))
    }
}
