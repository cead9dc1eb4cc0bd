//! `compress`: makes a stream smaller, on as many cores as it is given.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AfterFilter, ApplyFilter, Cx, Problem, StepError, StepKind};
use crate::store::manifest::Applied;
use crate::stream::Stream;
use crate::stream::codec::{self, Codec, Compression};

/// The window of `long`, as a power of two: the largest that `zstd -d` takes without being asked.
const LONG_WINDOW: u32 = 27;

/// How many workers zstd gets where nobody said so.
const ZSTD_WORKERS: u32 = 8;

/// Compresses the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compress {
    /// The format.
    #[serde(default)]
    pub codec: CodecChoice,
    /// How hard to try: zstd 1 to 19 (3 unless given), gzip 1 to 9 (6 unless given); lz4 has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 19))]
    pub level: Option<u8>,
    /// Worker threads; one a core unless given, with zstd 8 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub threads: Option<u8>,
    /// Search matches up to 128 MiB back (zstd only): smaller output for repetitive data, more memory on both ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub long: bool,
}

/// A compression format, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CodecChoice {
    /// Zstandard: level 3 has the size of gzip 6 at a tenth of its CPU time.
    #[default]
    Zstd,
    /// Gzip, for tools that know nothing newer.
    Gzip,
    /// LZ4: fastest, largest.
    Lz4,
    /// Leave the stream as it is.
    None,
}

impl CodecChoice {
    /// The format, unless it is none.
    pub const fn codec(self) -> Option<Codec> {
        match self {
            Self::Zstd => Some(Codec::Zstd),
            Self::Gzip => Some(Codec::Gzip),
            Self::Lz4 => Some(Codec::Lz4),
            Self::None => None,
        }
    }

    /// The usual ending of a file so compressed.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::Lz4 => ".lz4",
            Self::None => "",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::None => "none",
        }
    }
}

impl Compress {
    /// The level in force; 0 where the format has none.
    pub fn level(&self) -> u8 {
        match self.codec {
            CodecChoice::Zstd => self.level.unwrap_or(3),
            CodecChoice::Gzip => self.level.unwrap_or(6),
            CodecChoice::Lz4 | CodecChoice::None => 0,
        }
    }
}

impl StepKind for Compress {
    fn words(&self) -> String {
        match (self.level(), self.long) {
            (0, _) => self.codec.word().to_owned(),
            (level, false) => format!("{} level {level}", self.codec.word()),
            (level, true) => format!("{} level {level}, long window", self.codec.word()),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(level) = self.level {
            let most = match self.codec {
                CodecChoice::Zstd => 19,
                CodecChoice::Gzip => 9,
                CodecChoice::Lz4 | CodecChoice::None => 0,
            };
            if most == 0 {
                let message = format!("{} has no levels", self.codec.word());
                problems.push(Problem::error("level-without-meaning", "/level", message).help("remove `level`"));
            } else if level > most {
                let message = format!("{} knows levels 1 to {most}, not {level}", self.codec.word());
                problems.push(Problem::error("out-of-range", "/level", message).help(format!("use `level: {most}` or lower")));
            }
        }
        if self.long && self.codec != CodecChoice::Zstd {
            let message = format!("{} has no long window; only zstd has", self.codec.word());
            problems.push(Problem::error("long-without-zstd", "/long", message).help("remove `long`, or set `codec: zstd`"));
        }
        problems
    }
}

impl Compress {
    /// How many threads work where nobody said so. A worker of zstd holds jobs and tables of its own, at high levels a hundred MB; eight
    /// outrun any dump at usual levels, and a host of many cores must not give its memory for the rest.
    fn workers(&self, cores: u32) -> u32 {
        if self.codec == CodecChoice::Zstd { cores.min(ZSTD_WORKERS) } else { cores }
    }
}

impl ApplyFilter for Compress {
    fn apply(&self, input: Stream, cx: &Cx<'_>) -> Result<(Stream, AfterFilter), StepError> {
        let Some(codec) = self.codec.codec() else { return Ok((input, Box::new(|_| Ok(None)))) };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.threads.map_or_else(|| self.workers(u32::try_from(cores).unwrap_or(1)), u32::from);
        let level = if self.level() == 0 { codec.default_level() } else { i32::from(self.level()) };
        let how = Compression { codec, level, threads, long_window: self.long.then_some(LONG_WINDOW) };
        let stream = codec::compress(input, &how, cx.cancel)?;
        Ok((stream, Box::new(move |bytes| Ok(Some(Applied::Compress { codec, bytes })))))
    }

    fn is_heavy(&self) -> bool {
        self.codec != CodecChoice::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_many_cores_does_not_give_its_memory_for_them() {
        let workers = |codec, cores| Compress { codec, level: None, threads: None, long: false }.workers(cores);
        assert_eq!([1, 4, 64].map(|cores| workers(CodecChoice::Zstd, cores)), [1, 4, 8]);
        assert_eq!(workers(CodecChoice::Gzip, 64), 64, "its blocks are small");
    }
}
