//! The way between streams and the standard library's readers and writers, on which many decoders and encoders stand.
//!
//! A reader knows only `io::Error` and takes an end for an end. So a stream's error travels inside an `io::Error` and is
//! taken out again by [`unwrap_read`], and the end a [`Reader`] shows is the stream's verified one. This module does not
//! interpret any byte.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::{CHUNK, Chunk, Pool, Pull, Stopper, Stream, StreamError};

/// A stream as a reader. After an error or the end it goes on answering the same.
pub struct Reader {
    input: Stream,
    chunk: Option<Chunk>,
    at: usize,
    ended: bool,
}

impl Reader {
    /// Reads from this stream.
    pub fn new(input: Stream) -> Self {
        Self { input, chunk: None, at: 0, ended: false }
    }

    /// Whether the stream's verified end was seen.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// What unblocks it; see [`Pull::stopper`].
    pub fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.as_ref().is_none_or(|chunk| self.at >= chunk.len()) {
            self.at = 0;
            self.chunk = self.input.pull().map_err(io::Error::other)?;
            self.ended = self.chunk.is_none();
        }
        Ok(self.chunk.as_ref().map_or(&[], |chunk| &chunk[self.at..]))
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let amount = from.len().min(into.len());
        into[..amount].copy_from_slice(&from[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

/// The stream's own error if that is what broke reading, otherwise damage noticed by this layer.
pub fn unwrap_read(layer: &str, error: &io::Error) -> StreamError {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<StreamError>()) {
        return inner.clone();
    }
    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
    StreamError::corrupt(layer, if cut { "the data ends too early".to_owned() } else { error.to_string() })
}

/// Fills one chunk from a decoder and says whether the decoder came to its end; it is not asked again after that.
pub(super) fn fill(decoder: &mut impl Read, pool: &Pool) -> io::Result<(Chunk, bool)> {
    let mut buffer = pool.buffer();
    buffer.resize(CHUNK, 0);
    let (mut filled, mut over) = (0, false);
    while filled < CHUNK && !over {
        match decoder.read(&mut buffer[filled..]) {
            Ok(n) => (filled, over) = (filled + n, n == 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok((pool.chunk(buffer), over))
}

/// Where an encoder that only knows writers puts its output, until it is taken.
#[derive(Clone, Default)]
pub(super) struct Spill(Arc<Mutex<Vec<u8>>>);

impl Spill {
    /// How much is waiting, in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes what is waiting and leaves an empty buffer.
    pub(super) fn take(&self, empty: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), empty)
    }
}

impl Write for Spill {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stage over an encoder that only knows writers.
pub(super) struct Written<W> {
    pub(super) layer: &'static str,
    pub(super) input: Stream,
    pub(super) writer: Option<W>,
    pub(super) finish: fn(W) -> io::Result<()>,
    pub(super) spill: Spill,
    pub(super) pool: Pool,
}

impl<W: Write + Send> Written<W> {
    fn encode(&mut self) -> Result<(), StreamError> {
        while let Some(mut writer) = self.writer.take() {
            let done = match self.input.pull()? {
                Some(chunk) => {
                    let written = writer.write_all(&chunk);
                    self.writer = Some(writer);
                    written
                }
                None => (self.finish)(writer),
            };
            done.map_err(|error| StreamError::io(format!("encoding {}", self.layer), &error))?;
            if self.spill.len() >= CHUNK / 2 {
                break;
            }
        }
        Ok(())
    }
}

impl<W: Write + Send> Pull for Written<W> {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.encode()?;
        let full = self.spill.take(self.pool.buffer());
        Ok((!full.is_empty()).then(|| self.pool.chunk(full)))
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}
