//! What one store keeps of a pipeline and another has missed: the restore points that are newer than all it has.
//!
//! Older ones that it lacks are left alone: retention there may have let them go on purpose. This module copies nothing, and looks at
//! no objects.

use serde::{Deserialize, Serialize};

use super::catalog::{Beside, listed, named, point};
use super::{ObjectStore, StoreError, pool};
use crate::ids::{PipelineName, RefName, RunId};

/// What a store has missed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The newest restore point that it keeps, or has begun to let go; none where it never had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<RunId>,
    /// The points that it lacks, oldest first.
    pub points: Vec<MissedPoint>,
    /// Newer points whose manifests can not be used, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfit: Vec<(RunId, String)>,
}

/// A restore point that a store lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedPoint {
    /// The point.
    pub run: RunId,
    /// Bytes of its objects in the store that keeps it.
    pub bytes: u64,
}

/// Looks what `to` has missed of `from`, which is called by this name. Points on the way out are passed over.
///
/// # Errors
/// Whatever the stores say.
pub fn missed((from, name): (&dyn ObjectStore, &RefName), to: &dyn ObjectStore, pipeline: &PipelineName) -> Result<Missed, StoreError> {
    let had = |beside: &Beside| beside.committed || !beside.marks.is_empty();
    let newest = listed(to, pipeline)?.into_iter().rev().find(|(_, beside)| had(beside)).map(|(run, _)| run);
    let lacks = |run: &RunId, beside: &Beside| beside.committed && !beside.leaving() && newest.as_ref().is_none_or(|newest| run > newest);
    let newer: Vec<_> = listed(from, pipeline)?.into_iter().filter(|(run, beside)| lacks(run, beside)).collect();
    let read = pool::each(from.is_remote(), &newer, |(run, beside)| match point(from, pipeline, run, beside) {
        // Pruned by another host between the listing and the reading.
        Err(StoreError::Missing { .. }) => Ok(None),
        other => other.map(Some),
    })?;
    let mut found = Missed { newest, ..Missed::default() };
    for point in read.into_iter().flatten() {
        let run = point.summary.run;
        match point.manifest {
            Ok(manifest) => {
                let bytes = named(&manifest, name).iter().map(|named| named.bytes).fold(0, u64::saturating_add);
                found.points.push(MissedPoint { run, bytes });
            }
            Err(why) => found.unfit.push((run, why)),
        }
    }
    Ok(found)
}
