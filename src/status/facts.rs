//! What stores say of a pipeline, as its status needs it: plain values that somebody else reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::cause::Cause;
use super::complaint::Complaint;
use crate::ids::{PipelineName, RefName, RunId, StepId};
use crate::store::manifest::{Level, Recovery};

/// How far the clocks of hosts and stores may be apart, at least, before a lease that was not renewed is called stuck.
const SKEW: Duration = Duration::from_mins(15);

/// What one store says of a pipeline, or why it said nothing.
#[derive(Debug, Clone, Serialize)]
pub struct StoreFacts {
    /// Its name.
    pub store: RefName,
    /// Where it is: a path or an URL.
    pub place: String,
    /// What it says.
    pub seen: Result<Seen, String>,
}

/// What a store that answered says.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seen {
    /// Its restore points, newest first, as far as they were read whole. Those on the way out are among them.
    pub points: Vec<PointFacts>,
    /// Bytes of the dumps of its newest restore points before compression: of more points than were read whole.
    pub dumped: BTreeMap<RunId, u64>,
    /// The beginning of what was looked through for a proof; `None` when it was everything, or one was found.
    pub since: Option<Timestamp>,
    /// Runs that left word that they failed, before their commit or after it, or died and were ruled out; newest first.
    pub failed: Vec<Attempt>,
    /// Records that can not be used, each with the reason.
    pub troubles: Vec<String>,
    /// The run that holds the pipeline's lease in this store.
    pub lease: Option<LeaseFacts>,
}

/// A restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointFacts {
    /// Its run.
    pub run: RunId,
    /// When the run began: no data in it is older.
    pub started: Timestamp,
    /// When it was committed; `None` where its manifest can not be used.
    pub committed: Option<Timestamp>,
    /// Bytes of its dumps before compression.
    pub dumped: u64,
    /// Bytes of its objects in this store.
    pub stored: u64,
    /// The level it has earned; `None` where its manifest can not be used.
    pub level: Option<Level>,
    /// When the newest verification ended that earned the level `proven`.
    pub proven: Option<Timestamp>,
    /// The newest measured recovery.
    pub recovery: Option<Recovery>,
    /// Whether its content is known to be wrong.
    pub damaged: bool,
    /// What is wrong with it.
    pub complaint: Option<Complaint>,
    /// The steps whose objects lie in this store.
    pub holds: BTreeSet<StepId>,
    /// All the steps whose objects belong to it.
    pub parts: BTreeSet<StepId>,
    /// Since when it is on the way out.
    pub leaving: Option<Timestamp>,
    /// When it is deleted at the earliest, if it is on the way out.
    pub gone_after: Option<Timestamp>,
    /// Until when somebody wants it to stay.
    pub pinned: Option<Timestamp>,
}

/// A run that failed and left word of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` of one that died without a word.
    pub ended: Option<Timestamp>,
    /// The host that ran it; `None` of one that died without a word.
    pub host: Option<String>,
    /// Why it failed.
    pub cause: Cause,
}

/// A run that holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseFacts {
    /// The store.
    pub store: RefName,
    /// The pipeline that runs: another one of the same group, maybe.
    pub pipeline: PipelineName,
    /// The run.
    pub run: RunId,
    /// The host that runs it.
    pub host: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was last renewed, by the store's clock.
    pub renewed: Timestamp,
    /// How long it holds without being renewed.
    pub ttl: Duration,
}

impl PointFacts {
    /// Whether it can be used, as far as is known.
    pub const fn is_usable(&self) -> bool {
        self.level.is_some() && !self.damaged
    }
}

impl LeaseFacts {
    /// For how long it was not renewed.
    pub fn silent(&self, now: Timestamp) -> Duration {
        now.duration_since(self.renewed).try_into().unwrap_or_default()
    }

    /// Whether its run gives no sign of life, as far as clocks can tell that may differ.
    pub fn is_stuck(&self, now: Timestamp) -> bool {
        self.silent(now) > self.ttl.saturating_mul(2).saturating_add(SKEW)
    }
}
