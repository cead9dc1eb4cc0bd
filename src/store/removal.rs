//! Removing a restore point: its manifest first, so that it is none from then on; then its objects; its tombstone last, so that
//! whoever comes after a crash knows what is left to do.
//!
//! What another manifest names stays. What the store refuses to delete, such as an object under lock, is told, and the tombstone
//! stays with it. This module does not decide which point goes.

use std::cmp::Reverse;

use super::claims::Claims;
use super::manifest::manifest_key;
use super::mark::{Kind, parsed};
use super::{ObjectStore, Refusal, StoreError};
use crate::ids::{PipelineName, RunId};

/// A restore point that goes.
#[derive(Debug, Clone, Copy)]
pub struct Doomed<'a> {
    /// Its pipeline.
    pub pipeline: &'a PipelineName,
    /// Its run.
    pub run: &'a RunId,
    /// Its objects in this store.
    pub objects: &'a [String],
    /// What lies beside its manifest, the manifest included.
    pub beside: &'a [String],
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The keys deleted, in this order.
    pub deleted: Vec<String>,
    /// Keys that another manifest names, with that manifest.
    pub shared: Vec<(String, String)>,
    /// Keys that the store refused to delete, with what it said; the rest of the point waits for another run.
    pub refused: Vec<(String, String)>,
}

/// Removes a restore point, or what is left of one.
///
/// # Errors
/// A failure that a new attempt may not meet again, such as a store that does not answer. What was deleted is deleted.
pub fn remove(store: &dyn ObjectStore, point: Doomed<'_>, claims: &mut Claims) -> Result<Removed, StoreError> {
    let mut removed = Removed::default();
    let manifest = manifest_key(point.pipeline, point.run);
    if point.beside.contains(&manifest) {
        delete(store, &manifest, &mut removed)?;
        if !removed.refused.is_empty() {
            return Ok(removed);
        }
    }
    claims.release(&manifest);
    for key in point.objects {
        // Nothing but what a run uploads is an object of its point, whatever a tombstone says.
        let owner = if key.starts_with(".runner/") { Some("the records of the store") } else { claims.claimant(key, &manifest) };
        match owner {
            Some(owner) => removed.shared.push((key.clone(), owner.to_owned())),
            None => delete(store, key, &mut removed)?,
        }
    }
    let mut beside: Vec<&String> = point.beside.iter().filter(|key| **key != manifest).collect();
    beside.sort_by_key(|key| Reverse(rank(key, point.run)));
    for key in beside {
        // The tombstone is what the rest is found by.
        if removed.refused.is_empty() || rank(key, point.run) > 1 {
            delete(store, key, &mut removed)?;
        }
    }
    Ok(removed)
}

/// Tombstones 0, other marks 1, all else 2: the lowest go last.
fn rank(key: &str, run: &RunId) -> u8 {
    let name = key.rsplit('/').next().unwrap_or_default();
    match name.strip_prefix(run.as_str()).and_then(|rest| parsed(rest.trim_start_matches('.'))) {
        Some((Kind::Tombstone, _)) => 0,
        Some(_) => 1,
        None => 2,
    }
}

fn delete(store: &dyn ObjectStore, key: &str, removed: &mut Removed) -> Result<(), StoreError> {
    match store.delete(key) {
        Ok(()) => removed.deleted.push(key.to_owned()),
        Err(StoreError::Refused { kind: Refusal::Denied | Refusal::Other, detail, .. }) => removed.refused.push((key.to_owned(), detail)),
        Err(error) => return Err(error),
    }
    Ok(())
}
