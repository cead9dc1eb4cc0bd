//! Zstandard (RFC 8878) through the reference library.
//!
//! This module does not use dictionaries.

use std::io;

use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation as _, OutBuffer};

use super::Compression;
use crate::stream::{CHUNK, Chunk, Pool, Pull, Stopper, Stream, StreamError, fused};

/// The largest window that is decoded, as the binary logarithm of bytes: what `zstd -d` takes without `--long`.
const WINDOW_LOG_MAX: u32 = 27;
/// A chunk is handed on once it holds this much, in bytes.
const FULL: usize = CHUNK / 2;

/// The part of the input that was not taken yet.
struct Rest {
    input: Stream,
    chunk: Option<Chunk>,
    at: usize,
}

impl Rest {
    fn new(input: Stream) -> Self {
        Self { input, chunk: None, at: 0 }
    }

    /// Makes sure that there are bytes to take; false at the verified end.
    fn more(&mut self) -> Result<bool, StreamError> {
        if self.chunk.as_ref().is_none_or(|chunk| self.at >= chunk.len()) {
            (self.chunk, self.at) = (self.input.pull()?, 0);
        }
        Ok(self.chunk.is_some())
    }

    /// Lets an operation take some; answers what it hints.
    fn take(&mut self, operation: impl FnOnce(&mut InBuffer<'_>) -> io::Result<usize>) -> io::Result<usize> {
        let mut buffer = InBuffer::around(self.chunk.as_ref().map_or(&[], |chunk| &chunk[self.at..]));
        let hint = operation(&mut buffer);
        self.at += buffer.pos();
        hint
    }
}

fn corrupt(error: &io::Error) -> StreamError {
    StreamError::corrupt("zstd", error)
}

struct Compress {
    rest: Rest,
    encoder: Encoder<'static>,
    pool: Pool,
    finished: bool,
}

pub(super) fn compress(input: Stream, how: &Compression) -> io::Result<Stream> {
    let mut encoder = Encoder::new(how.level)?;
    encoder.set_parameter(CParameter::ChecksumFlag(true))?;
    if let Some(log) = how.long_window {
        encoder.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        encoder.set_parameter(CParameter::WindowLog(log))?;
    }
    if how.threads > 1 {
        encoder.set_parameter(CParameter::NbWorkers(how.threads))?;
        if how.long_window.is_none() {
            encoder.set_parameter(CParameter::JobSize(job_size(how.level)))?;
        }
    }
    Ok(fused(Compress { rest: Rest::new(input), encoder, pool: Pool::new(CHUNK), finished: false }))
}

/// How many bytes a worker takes at once. The library holds some more than two jobs a worker, and its own choice of four
/// windows a job is 8 MiB at level 3 and 32 at 19. About one window a job costs no size that could be measured.
const fn job_size(level: i32) -> u32 {
    if level < 10 { 2 << 20 } else { 8 << 20 }
}

impl Compress {
    fn step(&mut self, buffer: &mut Vec<u8>) -> Result<(), StreamError> {
        let at = buffer.len();
        let mut output = OutBuffer::around_pos(buffer, at);
        let done = if self.rest.more()? {
            self.rest.take(|input| self.encoder.run(input, &mut output))
        } else {
            self.encoder.finish(&mut output, true).inspect(|left| self.finished = *left == 0)
        };
        done.map(|_| ()).map_err(|error| StreamError::io("compressing with zstd", &error))
    }
}

impl Pull for Compress {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let mut buffer = self.pool.buffer();
        while !self.finished && buffer.len() < FULL {
            self.step(&mut buffer)?;
        }
        Ok((!buffer.is_empty()).then(|| self.pool.chunk(buffer)))
    }

    fn stopper(&self) -> Option<Stopper> {
        self.rest.input.stopper()
    }
}

struct Decompress {
    rest: Rest,
    decoder: Decoder<'static>,
    pool: Pool,
    /// Whether the last frame is complete, checksum included; at first there is none.
    whole: bool,
    ended: bool,
}

pub(super) fn decompress(input: Stream) -> io::Result<Stream> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
    Ok(fused(Decompress { rest: Rest::new(input), decoder, pool: Pool::new(CHUNK), whole: false, ended: false }))
}

impl Decompress {
    fn step(&mut self, buffer: &mut Vec<u8>) -> Result<(), StreamError> {
        let (at, more) = (buffer.len(), self.rest.more()?);
        if !more && self.whole {
            self.ended = true;
            return Ok(());
        }
        let mut output = OutBuffer::around_pos(buffer, at);
        let hint = self.rest.take(|input| self.decoder.run(input, &mut output)).map_err(|error| corrupt(&error))?;
        self.whole = hint == 0;
        if !more && !self.whole && output.pos() == at {
            return Err(StreamError::corrupt("zstd", "the data ends in the middle of a frame"));
        }
        Ok(())
    }
}

impl Pull for Decompress {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let mut buffer = self.pool.buffer();
        while !self.ended && buffer.len() < FULL {
            self.step(&mut buffer)?;
        }
        Ok((!buffer.is_empty()).then(|| self.pool.chunk(buffer)))
    }

    fn stopper(&self) -> Option<Stopper> {
        self.rest.input.stopper()
    }
}
