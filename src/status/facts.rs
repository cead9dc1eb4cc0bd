//! What stores say of a pipeline, as its status needs it: plain values that somebody else reads.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::{RefName, RunId, StepId};
use crate::store::manifest::{Level, Recovery};

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
    /// Its restore points, newest first, as far back as they were read. Those on the way out are among them.
    pub points: Vec<PointFacts>,
    /// Runs that left word that they failed, newest first.
    pub failed: Vec<Attempt>,
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
    /// What the newest verification complained of, or why the manifest can not be used.
    pub complaint: Option<String>,
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
    /// When it ended.
    pub ended: Timestamp,
    /// The host that ran it.
    pub host: String,
    /// Why it failed.
    pub error: String,
}

/// A run that holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseFacts {
    /// The store.
    pub store: RefName,
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
