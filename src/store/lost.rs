//! Restore points that one store has lost: their manifest is gone there, or can not be used, and another store keeps them.
//!
//! A store that lacks a point may have let it go on purpose. That takes the manifest first and leaves a tombstone until all else is gone:
//! so what is there of a point, without manifest and without tombstone, was not let go. Where nothing at all is left, nobody can tell, and
//! the point is not called lost. This module copies nothing.

use std::collections::BTreeSet;

use super::catalog::{Beside, listed, named};
use super::manifest::Manifest;
use super::missed::readable;
use super::{ObjectStore, StoreError, pool};
use crate::ids::{PipelineName, RefName, RunId};

/// A restore point that is to be had again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its manifest, where it is whole.
    pub manifest: Manifest,
    /// Whether a manifest that can not be used is in its place, which is replaced.
    pub damaged: bool,
}

/// The points that `to` has lost and `from`, which is called by this name, keeps; oldest first. `unusable` are those of `to` whose manifests
/// can not be used.
///
/// # Errors
/// Whatever the stores say.
pub fn lost(
    (from, name): (&dyn ObjectStore, &RefName),
    to: &dyn ObjectStore,
    pipeline: &PipelineName,
    unusable: &BTreeSet<RunId>,
) -> Result<Vec<Lost>, StoreError> {
    let (here, there) = (listed(from, pipeline)?, listed(to, pipeline)?);
    let keys: BTreeSet<String> = to.list("")?.into_iter().map(|object| object.key).collect();
    let may = |run: &RunId, beside: &Beside| {
        let known = there.get(run);
        let whole = known.is_some_and(|known| known.committed) && !unusable.contains(run);
        beside.committed && !beside.leaving() && !whole && !known.is_some_and(Beside::leaving)
    };
    let runs: Vec<RunId> = here.iter().filter(|(run, beside)| may(run, beside)).map(|(run, _)| run.clone()).collect();
    let read = pool::each(from.is_remote(), &runs, |run| readable(from, pipeline, run))?;
    let left = |manifest: &Manifest| {
        let damaged = unusable.contains(&manifest.run);
        let traces = there.get(&manifest.run).is_some_and(has_traces);
        damaged || traces || named(manifest, name).iter().any(|named| keys.contains(&named.key))
    };
    let found = read.into_iter().flatten().filter(left);
    Ok(found.map(|manifest| Lost { damaged: unusable.contains(&manifest.run), manifest }).collect())
}

/// Whether more is there than what a run leaves that never committed.
fn has_traces(beside: &Beside) -> bool {
    let failure = [&beside.failed, &beside.ruled_out];
    beside.keys.iter().any(|key| !failure.into_iter().flatten().any(|object| object.key == *key))
}
