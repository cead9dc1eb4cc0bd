//! Leases: of the runs that would write to one place, one at a time does, and one that was overtaken can not commit any more.
//!
//! A lease is one small object of the store, `.runner-leases/<group>.json`. It is the only object that is ever replaced, so it lies under
//! a prefix of its own, away from restore points and their locks. It is made create-only and changed only by compare-and-swap
//! ([`ObjectStore::put_if`]). Each holder has a *fencing token*, which only grows; a lease that is let go of is marked free and kept, for
//! the token's sake.
//!
//! Time: a holder renews at a third of its time to live, and whoever waits judges by how long *it* has seen the very same tag, on its own
//! monotonic clock. No two clocks are ever compared; times in the record are for people.
//!
//! Fencing: a commit renews first, which fails for a holder that was overtaken. A holder that is stopped between that renewal and the
//! writing of its manifest is ruled out as well: whoever takes over puts an empty object in the manifest's place ([`rule_out`]), and since
//! both are create-only exactly one of them is there in the end.
//!
//! A run that commits to several stores writes the same manifest into each, one after the other. Killed between two of them it *has*
//! committed: whoever comes next finishes the commit in the others, and rules a run out only in all of them.
//!
//! This module does not run anything, and does not decide which stores a run writes to.

mod acquire;
mod fenced;
mod held;
mod process;
mod settle;
mod together;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ObjectStore, StoreError, Tag};
use crate::ids::{PipelineName, RefName, RunId};
use crate::stream::StreamError;

pub use acquire::acquire;
pub use held::Held;
pub use process::Process;
pub use settle::{Fate, clear_away, rule_out, settle};

/// The version of the form of a lease.
pub const VERSION: u32 = 1;

/// How long a lease holds without being renewed, unless something else is asked for.
pub const TTL: Duration = Duration::from_mins(1);

/// The shortest time to live: below it a store's ordinary delays would lose leases.
pub const TTL_LEAST: Duration = Duration::from_secs(1);

/// The largest lease in bytes that is read: some thousand keys.
const LIMIT: u64 = 1 << 20;

/// The prefix of all leases of a store.
pub const PREFIX: &str = ".runner-leases/";

/// The key of a group's lease.
pub fn lease_key(group: &PipelineName) -> String {
    format!("{PREFIX}{group}.json")
}

/// What a lease says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this document: [`VERSION`].
    pub version: u32,
    /// The fencing token: larger for each holder than for all before it.
    pub token: u64,
    /// Whether the holder still has it.
    pub state: State,
    /// How long it holds without being renewed, in milliseconds.
    pub ttl_ms: u64,
    /// How often this holder has changed it: no two writes are of the same bytes.
    pub beat: u64,
    /// Who has it, or had it last.
    pub holder: Holder,
    /// Runs that may have left objects which no restore point names, the holder's own among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Unsettled>,
}

/// Whether a lease is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// By its holder, as long as it renews it.
    Held,
    /// By nobody.
    Free,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The pipeline that runs.
    pub pipeline: PipelineName,
    /// The run.
    pub run: RunId,
    /// The host's name.
    pub host: String,
    /// The process, on that host.
    pub pid: u32,
    /// When it took the lease, by its own clock: for people.
    pub since: Timestamp,
    /// Which process exactly, where the system tells: on the same host its death can then be proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

impl Holder {
    /// This process, as it runs a pipeline.
    pub fn here(pipeline: PipelineName, run: RunId, host: String) -> Self {
        Self { pipeline, run, host, pid: std::process::id(), since: Timestamp::now(), process: Process::this() }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "run {} of {} (host {}, process {}, since {})", self.run, self.pipeline, self.host, self.pid, self.since)
    }
}

/// A run that may have left objects behind, with the keys it meant to write, noted before it wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// Its pipeline.
    pub pipeline: PipelineName,
    /// The run.
    pub run: RunId,
    /// The keys.
    pub keys: Vec<String>,
    /// It was ruled out and cleared away once. It is forgotten after the second time, for a request of its may have been on its way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swept: bool,
    /// The run that was copying it from another store. It is committed there, so it is never ruled out here, and what is whole of it is left
    /// for the next one to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_by: Option<RunId>,
    /// All stores that the run commits to, by their names in its pipeline, each in its own words; empty where this is the only one. One
    /// manifest names the objects of all of them, so a run that has committed in one of them has committed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stores: BTreeMap<RefName, String>,
}

impl Unsettled {
    /// A run that has noted nothing yet.
    fn of(pipeline: &PipelineName, run: &RunId) -> Self {
        let (pipeline, run) = (pipeline.clone(), run.clone());
        Self { pipeline, run, keys: Vec::new(), swept: false, copied_by: None, stores: BTreeMap::new() }
    }

    /// Whether it is what this holder's run stores itself.
    fn is_of(&self, holder: &Holder) -> bool {
        self.copied_by.is_none() && self.is_about(&holder.pipeline, &holder.run)
    }

    fn is_about(&self, pipeline: &PipelineName, run: &RunId) -> bool {
        self.run == *run && self.pipeline == *pipeline
    }
}

/// What a run asks of a lease.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Runs of one group exclude each other; a pipeline is a group of its own unless it says otherwise.
    pub group: PipelineName,
    /// How long the lease holds without being renewed; [`TTL_LEAST`] at least.
    pub ttl: Duration,
    /// How long another holder's end is waited for. A holder that gives no sign of life is waited out whatever this says.
    pub wait: Duration,
    /// Whether a holder whose process is seen to live on this very host counts as alive at once, and not only when it renews.
    pub at_once: bool,
}

impl Terms {
    /// The terms of a group on its own: nobody is waited for.
    pub const fn of(group: PipelineName) -> Self {
        Self { group, ttl: TTL, wait: Duration::ZERO, at_once: false }
    }
}

/// Why a lease could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeaseError {
    /// Another run has it and is alive.
    #[error("{store}: the lease `{group}` is held by {holder}")]
    Taken {
        /// The store's words.
        store: String,
        /// The group.
        group: PipelineName,
        /// Who has it.
        holder: Box<Holder>,
    },
    /// What is there is no lease that this program can read.
    #[error("{store}: {key} can not be read as a lease: {detail}")]
    Unreadable {
        /// The store's words.
        store: String,
        /// Its key.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The store does not keep the conditions that a lease rests on.
    #[error("{store}: this store can not keep a lease: {detail}")]
    Unfit {
        /// The store's words.
        store: String,
        /// How that showed.
        detail: String,
    },
    /// The store's own failure.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run was asked to stop while it waited.
    #[error(transparent)]
    Stopped(#[from] StreamError),
}

/// Reads a lease; `None` when there was never one.
///
/// # Errors
/// [`LeaseError::Unreadable`], and whatever the store says.
pub fn read(store: &dyn ObjectStore, group: &PipelineName) -> Result<Option<(Record, Tag)>, LeaseError> {
    let key = lease_key(group);
    let (bytes, tag) = match store.get_tagged(&key, LIMIT) {
        Ok(found) => found,
        Err(StoreError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let unreadable = |detail: String| LeaseError::Unreadable { store: store.describe(), key: key.clone(), detail };
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    if record.version != VERSION {
        return Err(unreadable(format!("it has version {} and this program knows {VERSION}: use a newer `runner`", record.version)));
    }
    Ok(Some((record, tag)))
}

/// Reads a lease that is held, with when it was last renewed by the store's clock; `None` when nobody holds it.
///
/// # Errors
/// As [`read`].
pub fn held(store: &dyn ObjectStore, group: &PipelineName) -> Result<Option<(Record, Timestamp)>, LeaseError> {
    let Some((record, _)) = read(store, group)?.filter(|(record, _)| record.state == State::Held) else { return Ok(None) };
    // One that was removed in between is held by nobody.
    Ok(store.head(&lease_key(group))?.map(|found| (record, found.modified)))
}

impl Record {
    fn first(holder: &Holder, ttl: Duration) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Self { version: VERSION, token: 1, state: State::Held, ttl_ms, beat: 0, holder: holder.clone(), runs: Vec::new() }
    }

    /// The same lease in other hands.
    fn next(self, holder: &Holder, ttl: Duration) -> Self {
        Self { token: self.token + 1, runs: self.runs, ..Self::first(holder, ttl) }
    }

    /// By this very process: another one that goes on with the same run is another holder.
    fn is_held_by(&self, holder: &Holder) -> bool {
        self.state == State::Held && self.holder == *holder
    }

    /// How long it holds without being renewed.
    pub const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    fn bytes(&self, store: &dyn ObjectStore) -> Result<Vec<u8>, StoreError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| StoreError::Refused {
            store: store.describe(),
            doing: "writing a lease".to_owned(),
            detail: error.to_string(),
            kind: super::Refusal::Other,
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}
