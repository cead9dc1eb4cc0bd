//! Bytes on their way: checked ends, taps, codecs, child processes.
//!
//! A [`Stream`] is pulled. The one rule that everything here keeps: `pull` answers `Ok(None)` only when the end has been
//! *verified* (every process in the chain exited 0, every count and authentication tag agreed), and from then on always.
//! A producer that dies, is cut short or vanishes is an `Err`, never an end. Whoever reads to `Ok(None)` may publish;
//! whoever drops a stream before has aborted it, and dropping stops the processes and threads behind it.
//!
//! Stages that cost CPU run on a thread of their own ([`prefetch`]), so that a chain takes as long as its slowest
//! stage; chunks are large and their buffers are reused. This module knows neither steps nor stores nor YAML.

pub mod archive_tar;
pub mod begun;
pub mod bytes;
pub mod cancel;
pub mod child;
pub mod chunk;
pub mod codec;
pub mod crypt;
pub mod detect;
pub mod digest;
pub mod expected;
pub mod file;
mod fused;
pub mod keep;
pub mod meter;
pub mod owned;
mod prefetch;
pub mod reader;

use std::sync::Arc;

pub use cancel::Cancel;
pub use chunk::{Chunk, Pool};
pub use fused::fused;
pub use meter::{Meter, metered};
pub use prefetch::prefetch;

/// The size of a chunk's buffer in bytes: large enough that a hand-over costs nothing, small enough that a handful of
/// stages with a few chunks each stay far below the memory bound of 128 MiB.
pub const CHUNK: usize = 256 * 1024;

/// One end of a chain of stages; see the module's rule on what an end means.
pub trait Pull: Send {
    /// The next bytes (never an empty chunk), or `None` at the verified end.
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError>;

    /// What unblocks a `pull` that waits, to be called from another thread before the stream is dropped there; the
    /// stream does not reach its end then. A stage hands on its input's, or dropping a chain may wait for a source
    /// that hangs. `None` where nothing can block for long.
    fn stopper(&self) -> Option<Stopper> {
        None
    }
}

/// Unblocks a stream; see [`Pull::stopper`].
pub type Stopper = Arc<dyn Fn() + Send + Sync>;

/// A stream of bytes.
pub type Stream = Box<dyn Pull>;

/// Why a stream did not reach a verified end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Reading or writing failed at the system's level.
    #[error("{doing}: {detail}")]
    Io {
        /// Which operation on which object, such as `writing /backups/x.dump`.
        doing: String,
        /// What the system said.
        detail: String,
        /// Whether the same may work in a moment.
        transient: bool,
        /// Whether permission was refused.
        denied: bool,
    },
    /// A program could not be started.
    #[error("starting {program}: {detail}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        detail: String,
    },
    /// A program ended with anything but success.
    #[error("{program} {status}{}{}", after(*bytes), said(stderr))]
    Child {
        /// The program.
        program: String,
        /// `exited with status 1`, `was killed by signal 9`.
        status: String,
        /// Bytes it had produced or taken.
        bytes: u64,
        /// The last lines it wrote to standard error.
        stderr: String,
        /// Whether what it said is known to pass (a lost connection, a starting server).
        transient: bool,
    },
    /// Data does not decode, decrypt or match its digest: it is damaged, cut short or not what it claims to be.
    #[error("{layer}: {detail}")]
    Corrupt {
        /// The layer that noticed: `zstd`, `age`, `sha256`, `archive`.
        layer: String,
        /// What it noticed.
        detail: String,
    },
    /// A key, recipient or passphrase does not fit.
    #[error("{layer}: {detail}")]
    Key {
        /// `age` or `gpg`.
        layer: String,
        /// What is wrong with it; never the key itself.
        detail: String,
    },
    /// The run or this attempt was cancelled.
    #[error("cancelled: {reason}")]
    Cancelled {
        /// Who asked, or which limit was passed.
        reason: String,
        /// Whether a limit passed (a stall, a timeout) that a new attempt may keep.
        transient: bool,
    },
    /// It ended whole and does not hold all that it should.
    #[error("{detail}")]
    Incomplete {
        /// What is missing, and what to do.
        detail: String,
    },
    /// The stage before went away without an end: a defect in this program, reported rather than taken for an end.
    #[error("the {stage} stage vanished before the end of its stream")]
    Vanished {
        /// The stage.
        stage: &'static str,
    },
}

impl StreamError {
    /// An I/O error, classified by what the system said.
    pub fn io(doing: impl Into<String>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        Self::Io {
            doing: doing.into(),
            detail: error.to_string(),
            transient: matches!(error.kind(), K::ConnectionReset | K::ConnectionAborted | K::TimedOut | K::Interrupted),
            denied: error.kind() == K::PermissionDenied,
        }
    }

    /// Damaged data, as noticed by a layer.
    pub fn corrupt(layer: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { layer: layer.into(), detail: detail.to_string() }
    }

    /// Whether trying again may help.
    pub fn transient(&self) -> bool {
        match self {
            Self::Io { transient, .. } | Self::Child { transient, .. } | Self::Cancelled { transient, .. } => *transient,
            _ => false,
        }
    }
}

/// Of a program that moved none, such as one that reads a file itself, nothing is to be said.
fn after(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!(" after {bytes} bytes") }
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}
