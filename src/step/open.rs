//! How work is opened: what a part of a node is given, and what it answers.
//!
//! The executor knows these traits and no kind. A source answers a stream, a filter a stream for a stream, a sink takes one
//! to its verified end, an effect acts. What a part learned only at the end (a digest, a size) it says afterwards.

use crate::archive::{self, Fingerprint};
use crate::ids::StepId;
use crate::runtime::Runtime;
use crate::store::manifest::{Applied, Completeness, Origin};
use crate::stream::meter::Meter;
use crate::stream::{Cancel, Stream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{StepError, Verdict};

/// What a part of a node is given.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    /// The live things of the run.
    pub runtime: &'a Runtime,
    /// The request to stop this attempt.
    pub cancel: &'a Cancel,
    /// The step this part came from.
    pub step: &'a StepId,
    /// About how many bytes the source will yield, where that is known.
    pub expected_bytes: Option<u64>,
    /// Where it says that it works without moving bytes, and what the reader should know.
    pub reports: &'a Reports,
}

/// What an attempt says about itself while it runs.
#[derive(Default)]
pub struct Reports {
    quiet: AtomicUsize,
    notes: Mutex<Vec<String>>,
    meters: Mutex<Vec<(&'static str, Meter)>>,
}

/// While it lives, the attempt may work without moving bytes: its stall limit rests.
#[must_use = "the stall limit rests only while this lives"]
pub struct Quiet<'a>(&'a Reports);

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        self.0.quiet.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Reports {
    /// Begins a time without moving bytes, such as a parallel restore from a staged file.
    pub fn quiet(&self) -> Quiet<'_> {
        self.quiet.fetch_add(1, Ordering::SeqCst);
        Quiet(self)
    }

    /// Whether the attempt is in such a time.
    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst) > 0
    }

    /// Counts bytes that an effect moves, which has no stream that is measured for it: `copied`. While the attempt is not quiet, they must
    /// move.
    pub fn meter(&self, what: &'static str) -> Meter {
        let meter = Meter::new();
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).push((what, meter.clone()));
        meter
    }

    /// What an effect counts, in the order in which it began to.
    pub fn meters(&self) -> Vec<(&'static str, Meter)> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says something that the reader should know.
    pub fn note(&self, words: impl Into<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(words.into());
    }

    /// Says several things, or none.
    pub fn note_all(&self, words: impl IntoIterator<Item = String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).extend(words);
    }

    /// What was said.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a filter says after the verified end, given the bytes counted behind it; `None` if it left no trace.
pub type AfterFilter = Box<dyn FnOnce(u64) -> Result<Option<Applied>, StepError> + Send>;

/// A source that was opened.
pub struct Opened {
    /// Its bytes.
    pub stream: Stream,
    /// Where they come from; the byte count is filled in at the end.
    pub origin: Origin,
    /// Where the fingerprint of its content appears at the end, if one is taken.
    pub contents: Option<archive::Handle>,
    /// Where it is told at the end what the content lacks, if that is checked.
    pub complete: Option<Verdict>,
}

/// What begins a stream.
pub trait OpenSource {
    /// Opens it.
    fn open(&self, cx: &Cx<'_>) -> Result<Opened, StepError>;

    /// What a failure of the flow it begins means, as far as it can tell by looking at where the bytes came from.
    fn explain(&self, error: StepError, _cx: &Cx<'_>) -> StepError {
        error
    }
}

/// What passes a stream on.
pub trait ApplyFilter {
    /// Wraps a stream.
    fn apply(&self, input: Stream, cx: &Cx<'_>) -> Result<(Stream, AfterFilter), StepError>;

    /// Whether it costs enough CPU to deserve a thread of its own.
    fn is_heavy(&self) -> bool {
        false
    }
}

/// What came before a sink, to be asked after the stream's verified end.
pub trait Upstream {
    /// What it learned.
    fn settle(&mut self) -> Result<Settled, StepError>;
}

/// What the parts before a sink learned.
pub struct Settled {
    /// Where the bytes came from.
    pub origin: Origin,
    /// The stages applied, first to last.
    pub stages: Vec<Applied>,
    /// What the source held, if that was read as it flowed.
    pub contents: Option<Arc<Fingerprint>>,
    /// What it lacked, if that was checked.
    pub completeness: Option<Completeness>,
}

/// What ends a stream.
pub trait AcceptSink {
    /// Takes the stream to its verified end, calling `sent` with bytes that have reached their destination.
    fn accept(&self, input: Stream, upstream: &mut dyn Upstream, cx: &Cx<'_>, sent: &dyn Fn(u64)) -> Result<(), StepError>;
}

/// What acts without a stream.
pub trait PerformEffect {
    /// Acts.
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError>;
}
