//! Compression and its undoing.
//!
//! Every frame that is written carries a checksum of its content, and what is read must be whole frames and nothing
//! else: cut, damaged or followed by anything, it is [`StreamError::Corrupt`] and not an end. Several frames in a row
//! are one stream, as for the standard tools. This module does not choose where threads go in a chain.

mod gzip;
mod lz4;
mod zstd;

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cancel, Chunk, Pull, Stopper, Stream, StreamError};

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Gzip (RFC 1952).
    Gzip,
    /// The LZ4 frame format.
    Lz4,
}

impl Codec {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
        }
    }

    /// The usual ending of a file's name, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zstd => "zst",
            Self::Gzip => "gz",
            Self::Lz4 => "lz4",
        }
    }

    /// The levels it has; higher is smaller and slower. LZ4 is made for speed and has one.
    pub fn levels(self) -> RangeInclusive<i32> {
        match self {
            Self::Zstd => 1..=19,
            Self::Gzip => 1..=9,
            Self::Lz4 => 1..=1,
        }
    }

    /// The level taken when none is given.
    pub fn default_level(self) -> i32 {
        match self {
            Self::Zstd => 3,
            Self::Gzip => 6,
            Self::Lz4 => 1,
        }
    }
}

/// The window logs that `long_window` may name. Every decoder takes up to 27 (128 MiB) without being asked to.
pub const LONG_WINDOW: RangeInclusive<u32> = 20..=27;

/// How to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// The format.
    pub codec: Codec,
    /// The level, within [`Codec::levels`].
    pub level: i32,
    /// How many threads compress; 1 compresses on the thread that pulls.
    pub threads: u32,
    /// For zstd: the binary logarithm of the distance in bytes over which repetitions are found (`zstd --long`). It
    /// costs that much memory on both sides.
    pub long_window: Option<u32>,
}

impl Compression {
    /// This format at its default level, on one thread.
    pub fn new(codec: Codec) -> Self {
        Self { codec, level: codec.default_level(), threads: 1, long_window: None }
    }

    /// Whether the settings make sense together, or what is wrong in words for the one who wrote them.
    pub fn check(&self) -> Result<(), String> {
        let (name, levels) = (self.codec.name(), self.codec.levels());
        if !levels.contains(&self.level) {
            return Err(format!("{name} has the levels {} to {}, not {}", levels.start(), levels.end(), self.level));
        }
        match self.long_window {
            Some(_) if self.codec != Codec::Zstd => Err(format!("a long window is for zstd, {name} has none")),
            Some(log) if !LONG_WINDOW.contains(&log) => {
                Err(format!("a long window is {} to {}, not {log}", LONG_WINDOW.start(), LONG_WINDOW.end()))
            }
            _ => Ok(()),
        }
    }
}

struct Cancellable {
    input: Stream,
    cancel: Cancel,
}

impl Pull for Cancellable {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.cancel.check()?;
        self.input.pull()
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

/// Compresses a stream into one frame.
pub fn compress(input: Stream, how: &Compression, cancel: &Cancel) -> Result<Stream, StreamError> {
    let doing = || format!("compressing with {}", how.codec.name());
    how.check().map_err(|detail| StreamError::Io { doing: doing(), detail, transient: false, denied: false })?;
    let input: Stream = Box::new(Cancellable { input, cancel: cancel.clone() });
    match how.codec {
        Codec::Zstd => zstd::compress(input, how),
        Codec::Gzip => gzip::compress(input, how),
        Codec::Lz4 => Ok(lz4::compress(input)),
    }
    .map_err(|error| StreamError::io(doing(), &error))
}

/// Decompresses a stream of one or more whole frames.
pub fn decompress(input: Stream, codec: Codec) -> Result<Stream, StreamError> {
    match codec {
        Codec::Zstd => zstd::decompress(input).map_err(|error| StreamError::io("decompressing with zstd", &error)),
        Codec::Gzip => Ok(gzip::decompress(input)),
        Codec::Lz4 => Ok(lz4::decompress(input)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_explained() {
        let with = |codec, level, long_window| Compression { codec, level, threads: 1, long_window }.check();
        assert_eq!(with(Codec::Zstd, 3, Some(27)), Ok(()));
        assert_eq!(with(Codec::Zstd, 20, None).unwrap_err(), "zstd has the levels 1 to 19, not 20");
        assert_eq!(with(Codec::Gzip, 0, None).unwrap_err(), "gzip has the levels 1 to 9, not 0");
        assert_eq!(with(Codec::Zstd, 3, Some(31)).unwrap_err(), "a long window is 20 to 27, not 31");
        assert_eq!(with(Codec::Gzip, 6, Some(27)).unwrap_err(), "a long window is for zstd, gzip has none");
    }
}
