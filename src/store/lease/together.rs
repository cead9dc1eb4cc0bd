//! Runs that commit to several stores: one decision for all of them, because one manifest names the objects of all.
//!
//! This module removes nothing.

use super::settle::{Fate, rule_out};
use super::{Held, Unsettled};
use crate::store::commit::{MANIFEST_LIMIT, commit, commit_over};
use crate::store::manifest::{Manifest, manifest_key};
use crate::store::remains::{Place, missing, place};
use crate::store::{ObjectStore, StoreError, kit};

/// What became of a run that commits to several stores.
pub(super) enum Together {
    /// It has committed, in at least one of them.
    Committed(Box<Manifest>),
    /// It has not, and can not any more, in any of them.
    RuledOut,
}

/// Decides a run that is over; `None` when the run that holds the lease does not have all of its stores.
pub(super) fn decide(held: &Held, entry: &Unsettled) -> Result<Option<Together>, StoreError> {
    let Some(stores) = held.stores_of(entry) else { return Ok(None) };
    let committed = |store: &dyn ObjectStore| match place(store, &entry.pipeline, &entry.run)? {
        Place::Committed(manifest) => Ok::<_, StoreError>(Some(Together::Committed(manifest))),
        Place::Open | Place::RuledOut => Ok(None),
    };
    for store in stores.values() {
        if let Some(decided) = committed(&**store)? {
            return Ok(Some(decided));
        }
    }
    for store in stores.values() {
        // It was faster, in this very moment.
        if rule_out(&**store, &entry.pipeline, &entry.run)? == Fate::Committed {
            return committed(&**store);
        }
    }
    Ok(Some(Together::RuledOut))
}

/// Commits here what another of the run's stores has: it stored its objects everywhere before it committed anywhere. Answers what was
/// done, in words.
pub(super) fn finish(held: &Held, entry: &Unsettled, manifest: &Manifest) -> Result<Option<String>, StoreError> {
    let store = &**held.store();
    let run = &entry.run;
    let over = match place(store, &entry.pipeline, run)? {
        Place::Committed(_) => return Ok(None),
        Place::RuledOut => Some(store.get_tagged(&manifest_key(&entry.pipeline, run), MANIFEST_LIMIT)?.1),
        Place::Open => None,
    };
    for name in held.names().filter(|name| entry.stores.contains_key(*name)) {
        for artifact in manifest.artifacts.iter().filter(|artifact| artifact.store == *name) {
            if let Some(what) = missing(store, artifact)? {
                return Ok(Some(format!("restore point {run} is in another of its stores and can not be committed here: {what}")));
            }
        }
        kit::add_recipe(store, name, manifest)?;
    }
    held.confirm()?;
    over.map_or_else(|| commit(store, manifest).map(drop), |tag| commit_over(store, manifest, &tag))?;
    Ok(Some(format!("run {run} was stopped between its commits: its restore point is now in {} too", store.describe())))
}
