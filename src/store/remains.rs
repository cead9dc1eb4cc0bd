//! What an earlier process of a run left in a store: whether its restore point is there, whether its objects are, and the removal of what
//! it did not finish.
//!
//! Only what carries the run's id is removed, as for runs that are over ([`settle`](super::lease::settle)); a restore point never is. This
//! module does not decide what is kept.

use std::collections::BTreeSet;
use std::time::Duration;

use super::commit::{MANIFEST_LIMIT, read_manifest};
use super::manifest::{Applied, Artifact, Manifest, manifest_key};
use super::{ObjectStore, StoreError};
use crate::ids::{PipelineName, RunId};

/// What stands in the place of a run's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing: the run may still commit.
    Open,
    /// An empty object: another run has ruled this one out.
    RuledOut,
    /// Its manifest.
    Committed(Box<Manifest>),
}

/// Looks at the place of a run's manifest.
///
/// # Errors
/// [`StoreError::Lies`] when what is there is no manifest, and whatever the store says.
pub fn place(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId) -> Result<Place, StoreError> {
    let key = manifest_key(pipeline, run);
    match store.head(&key)? {
        None => Ok(Place::Open),
        Some(found) if found.bytes == 0 => Ok(Place::RuledOut),
        Some(_) => match read_manifest(&store.get_bytes(&key, MANIFEST_LIMIT)?) {
            Ok(manifest) => Ok(Place::Committed(Box::new(manifest))),
            Err(error) => Err(StoreError::Lies { store: store.describe(), key, detail: error.to_string() }),
        },
    }
}

/// The keys of an artifact: its object, its fingerprint, and the files of its digests, with their sizes where they were noted.
pub fn objects(artifact: &Artifact) -> Vec<(&str, Option<u64>)> {
    let whole = std::iter::once(&artifact.object).chain(artifact.fingerprint.iter().map(|sidecar| &sidecar.object));
    let digests = artifact.stages.iter().filter_map(|stage| match stage {
        Applied::Checksum { sidecar, .. } => sidecar.as_deref(),
        Applied::Compress { .. } | Applied::Encrypt { .. } => None,
    });
    whole.map(|object| (object.key.as_str(), Some(object.bytes))).chain(digests.map(|key| (key, None))).collect()
}

/// What of an artifact is no longer as it was stored, in words; `None` when all is there with the right size.
///
/// # Errors
/// Whatever the store says.
pub fn missing(store: &dyn ObjectStore, artifact: &Artifact) -> Result<Option<String>, StoreError> {
    for (key, bytes) in objects(artifact) {
        match (store.head(key)?, bytes) {
            (None, _) => return Ok(Some(format!("{key} is no longer in {}", store.describe()))),
            (Some(found), Some(bytes)) if found.bytes != bytes => {
                return Ok(Some(format!("{key} in {} has {} bytes, and had {bytes}", store.describe(), found.bytes)));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Removes what the run left under a key it meant to write and beside it, whole or not, but for what is kept. A key that does not carry
/// the run's id proves nothing, and is left. Answers what was removed, in words.
///
/// # Errors
/// Whatever the store says.
pub fn clear(store: &dyn ObjectStore, key: &str, run: &RunId, keep: &BTreeSet<String>) -> Result<Vec<String>, StoreError> {
    let Some(at) = key.find(run.as_str()) else { return Ok(Vec::new()) };
    let prefix = &key[..at + run.as_str().len()];
    let mut told: Vec<String> =
        store.sweep(prefix, Duration::ZERO)?.into_iter().map(|key| format!("removed an unfinished object of this run: {key}")).collect();
    for object in store.list(prefix)?.into_iter().filter(|object| !keep.contains(&object.key)) {
        store.delete(&object.key)?;
        told.push(format!("removed an object of this run whose node had not ended: {}", object.key));
    }
    Ok(told)
}
