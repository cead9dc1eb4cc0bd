//! What one store keeps of a pipeline and another has missed: the restore points that are newer than all it has, those that were committed
//! after its newest was copied, and those that it is [`owed`](super::owed).
//!
//! The others that it lacks are left alone: they were there once, or were left out on purpose, and retention there has let them go. Ids
//! alone do not tell: a run that took long, was resumed, or ran on a host whose clock is behind commits after one with a later id. This
//! module copies nothing, and looks at no objects.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::catalog::{self, Beside, listed, named, point};
use super::manifest::Manifest;
use super::owed::owed;
use super::{ObjectStore, StoreError, pool};
use crate::ids::{PipelineName, RefName, RunId};

/// How far clocks may differ. A point that was committed by so much before a copy may have come after it.
const SKEW: SignedDuration = SignedDuration::from_mins(30);

/// What a store has missed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The newest restore point that it keeps, or has begun to let go; none where it never had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<RunId>,
    /// The points that it lacks, oldest first.
    pub points: Vec<MissedPoint>,
    /// Points that it lacks and whose manifests can not be used, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfit: Vec<(RunId, String)>,
    /// What is noted there as owed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub owed: BTreeSet<RunId>,
    /// What of that is there by now, or can never be had.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub settled: BTreeSet<RunId>,
    /// The newest point there, if it is a copy without any receipt: whoever made it was killed before it could say what it had read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<RunId>,
}

/// A restore point that a store lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedPoint {
    /// The point.
    pub run: RunId,
    /// Bytes of its objects in the store that keeps it.
    pub bytes: u64,
}

/// What decides about one point.
struct There {
    runs: BTreeMap<RunId, Beside>,
    newest: Option<RunId>,
    /// What was committed later can not have been there when the newest was copied.
    since: Option<Timestamp>,
    untold: Option<RunId>,
    owed: BTreeSet<RunId>,
}

/// Looks what `to` has missed of `from`, which is called by this name. Points on the way out are passed over.
///
/// # Errors
/// Whatever the stores say.
pub fn missed((from, name): (&dyn ObjectStore, &RefName), to: &dyn ObjectStore, pipeline: &PipelineName) -> Result<Missed, StoreError> {
    let there = There::look(to, pipeline)?;
    let here = listed(from, pipeline)?;
    let gone = |run: &&RunId| there.had(run) || !here.get(*run).is_some_and(|beside| beside.committed);
    let settled = there.owed.iter().filter(gone).cloned().collect();
    let untold = there.untold.clone().filter(|run| here.get(run).is_some_and(|beside| beside.committed && !beside.leaving()));
    let lacks: Vec<_> = here.into_iter().filter(|(run, beside)| there.may_lack(run, beside)).collect();
    let read = pool::each(from.is_remote(), &lacks, |(run, beside)| match point(from, pipeline, run, beside) {
        // Pruned by another host between the listing and the reading.
        Err(StoreError::Missing { .. }) => Ok(None),
        other => other.map(Some),
    })?;
    let (mut points, mut unfit) = (Vec::new(), Vec::new());
    for point in read.into_iter().flatten() {
        let run = point.summary.run;
        match point.manifest {
            Ok(manifest) if there.lacks(&run, manifest.committed) => {
                let bytes = named(&manifest, name).iter().map(|named| named.bytes).fold(0, u64::saturating_add);
                points.push(MissedPoint { run, bytes });
            }
            Ok(_) => {}
            Err(why) => unfit.push((run, why)),
        }
    }
    Ok(Missed { newest: there.newest, points, unfit, owed: there.owed, settled, untold })
}

impl There {
    fn look(to: &dyn ObjectStore, pipeline: &PipelineName) -> Result<Self, StoreError> {
        let runs = listed(to, pipeline)?;
        // One from a clock that is far ahead is newer than all to come, and would hide them.
        let now = Timestamp::now();
        let newest = runs.iter().rev().find(|(run, beside)| had(beside) && !run.is_ahead(now)).map(|(run, _)| run.clone());
        let committed = runs.iter().rev().find(|(run, beside)| beside.committed && !run.is_ahead(now));
        let manifest = committed.map(|(run, _)| readable(to, pipeline, run)).transpose()?.flatten();
        // When whoever brought it here had looked what there was to copy.
        let since = manifest.as_ref().map(|manifest| manifest.copied.as_ref().map_or(manifest.committed, |copied| copied.at));
        let silent = |beside: &Beside| beside.receipts.is_empty() && beside.marks.is_empty();
        let copied = manifest.is_some_and(|manifest| manifest.copied.is_some());
        let untold = committed.filter(|(_, beside)| copied && silent(beside)).map(|(run, _)| run.clone());
        Ok(Self { newest, since, untold, owed: owed(to, pipeline)?, runs })
    }

    fn had(&self, run: &RunId) -> bool {
        self.runs.get(run).is_some_and(had)
    }

    /// As far as a listing tells: what was written long before was committed long before.
    fn may_lack(&self, run: &RunId, beside: &Beside) -> bool {
        let written = beside.written.unwrap_or(Timestamp::MAX);
        beside.committed && !beside.leaving() && !self.had(run) && self.lacks(run, written)
    }

    fn lacks(&self, run: &RunId, committed: Timestamp) -> bool {
        let late = |since: Timestamp| committed.saturating_add(SKEW).is_ok_and(|committed| committed > since);
        self.newest.as_ref().is_none_or(|newest| run > newest) || self.owed.contains(run) || self.since.is_some_and(late)
    }
}

fn had(beside: &Beside) -> bool {
    beside.committed || !beside.marks.is_empty()
}

/// A manifest, if it is there and can be used.
pub(super) fn readable(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId) -> Result<Option<Manifest>, StoreError> {
    match catalog::manifest(store, pipeline, run) {
        Err(StoreError::Missing { .. }) => Ok(None),
        read => Ok(read?.ok()),
    }
}
