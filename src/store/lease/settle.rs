//! Ruling out runs that are over, and removing what they left: only what they noted themselves, and what carries their id.
//! This module does not touch restore points, and leaves what it can not prove to be a dead run's.

use std::time::Duration;

use super::together::{self, Together};
use super::{Held, PREFIX, Unsettled};
use crate::ids::{PipelineName, RunId};
use crate::store::manifest::{Manifest, manifest_key};
use crate::store::{ObjectStore, PutOptions, StoreError};

/// What became of a run in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has committed: its restore point is there.
    Committed,
    /// It has not, and can not any more.
    RuledOut,
}

/// Decides a run that is over: unless it has committed, an empty object takes the place of its manifest, create-only as a manifest is, so
/// that it never can. An empty object is no manifest and no restore point.
///
/// # Errors
/// Whatever the store says.
pub fn rule_out(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId) -> Result<Fate, StoreError> {
    let key = manifest_key(pipeline, run);
    match store.put_bytes(&key, b"", &PutOptions::default()) {
        Ok(_) => Ok(Fate::RuledOut),
        Err(StoreError::Exists { .. }) => match store.head(&key)? {
            Some(found) if found.bytes == 0 => Ok(Fate::RuledOut),
            Some(_) => Ok(Fate::Committed),
            None => Err(StoreError::Lies { store: store.describe(), key, detail: "it exists and is not there".to_owned() }),
        },
        Err(error) => Err(error),
    }
}

/// Removes what the runs before this one left without a commit, as far as that is proven, and finishes commits that reached only some of
/// a run's stores. Answers what was done, and what was left and why, in words. A failure is among them: it keeps no backup from being made.
pub fn settle(held: &Held) -> Vec<String> {
    let (mut words, mut left) = (sweep_own(held), Vec::new());
    let unsettled = held.unsettled();
    if unsettled.is_empty() {
        return words;
    }
    for entry in unsettled {
        match clear(held, &entry) {
            Ok(Cleared::Nothing) => {}
            Ok(Cleared::Removed(told)) => {
                words.extend(told);
                if !entry.swept {
                    left.push(Unsettled { swept: true, ..entry });
                }
            }
            Ok(Cleared::Half(manifest)) => match together::finish(held, &entry, &manifest) {
                Ok(told) => words.extend(told),
                Err(error) => {
                    words.push(format!(
                        "run {} has committed in another store and not yet here, the next run tries again: {error}",
                        entry.run
                    ));
                    left.push(entry);
                }
            },
            // A run of its own pipeline that commits has all of its stores, or shows that the pipeline has others now.
            Ok(Cleared::Unknown) if entry.pipeline != held.holder().pipeline || held.has_few_stores() => left.push(entry),
            Ok(Cleared::Unknown) => words.push(undecided(&entry)),
            Err(error) => {
                words.push(format!("what run {} left could not be removed, the next run tries again: {error}", entry.run));
                left.push(entry);
            }
        }
    }
    words.extend(held.settled(&left).err().map(|error| format!("noting what was removed: {error}")));
    words
}

/// Removes half-written files that killed processes left beside leases and restore points. Only a local store can have such: elsewhere they
/// are written by one request. Those of a living process are locked.
fn sweep_own(held: &Held) -> Vec<String> {
    let store = &**held.store();
    if store.is_remote() {
        return Vec::new();
    }
    let places = [PREFIX.to_owned(), format!(".runner/{}/", held.holder().pipeline)];
    let swept = places.iter().map(|place| store.sweep(place, Duration::ZERO));
    let told = |swept: Result<Vec<String>, StoreError>| match swept {
        Ok(swept) => swept.into_iter().map(|path| format!("removed a half-written file of a killed process: {path}")).collect(),
        Err(error) => vec![format!("half-written files of killed processes could not be looked for: {error}")],
    };
    swept.flat_map(told).collect()
}

/// Removes what the run of a lost lease wrote itself: it can not be committed any more. Answers what was done, in words.
pub fn clear_away(held: &Held) -> Vec<String> {
    let Some(own) = held.own() else { return Vec::new() };
    match clear(held, &own) {
        // Whoever has the lease now finishes what is half done.
        Ok(Cleared::Nothing | Cleared::Half(_) | Cleared::Unknown) => Vec::new(),
        Ok(Cleared::Removed(told)) => told,
        Err(error) => vec![format!("what this run stored could not be removed: {error}")],
    }
}

enum Cleared {
    /// Nothing: it wrote nothing, or has a restore point, which needs what it wrote.
    Nothing,
    /// This.
    Removed(Vec<String>),
    /// Nothing: it has committed, in another of its stores, and this is its manifest.
    Half(Box<Manifest>),
    /// Nothing: it may have committed in a store that this run does not have.
    Unknown,
}

fn clear(held: &Held, entry: &Unsettled) -> Result<Cleared, StoreError> {
    let (Unsettled { pipeline, run, keys, swept, copied_by, stores }, store) = (entry, &**held.store());
    // Who noted no key has written nothing, and can note none any more.
    if keys.is_empty() {
        return Ok(Cleared::Nothing);
    }
    if let Some(by) = copied_by {
        return unfinished(store, entry, by);
    }
    if !stores.is_empty() {
        match together::decide(held, entry)? {
            Some(Together::RuledOut) => {}
            Some(Together::Committed(manifest)) => return Ok(Cleared::Half(manifest)),
            None => return Ok(Cleared::Unknown),
        }
    } else if rule_out(store, pipeline, run)? == Fate::Committed {
        return Ok(Cleared::Nothing);
    }
    let mut told = Vec::new();
    for key in keys {
        if key.contains(run.as_str()) {
            told.extend(remove(store, key)?.map(|what| format!("removed {what} of run {run}, which never committed: {key}")));
        } else if !swept && store.head(key)?.is_some() {
            told.push(format!(
                "run {run} never committed and meant to write {key}, whose name does not prove that it did: left; if no restore point names it, delete it"
            ));
        }
    }
    Ok(Cleared::Removed(told))
}

/// What is told where nobody can decide any more what became of a run.
fn undecided(entry: &Unsettled) -> String {
    let Unsettled { run, keys, stores, .. } = entry;
    let names: Vec<String> = stores.iter().map(|(name, words)| format!("`{name}` ({words})")).collect();
    format!(
        "run {run} committed to {} together, and this pipeline has other stores now: {} is left here; if none of them has restore point {run}, delete it",
        names.join(" and "),
        keys.join(", ")
    )
}

/// A copy that was begun: what is whole of it stays, for the next one takes it as it is, and a copy that only stood still may yet commit
/// it. Only writes that were not finished are removed.
fn unfinished(store: &dyn ObjectStore, entry: &Unsettled, by: &RunId) -> Result<Cleared, StoreError> {
    let Unsettled { pipeline, run, keys, swept, .. } = entry;
    if store.head(&manifest_key(pipeline, run))?.is_some_and(|found| found.bytes > 0) {
        return Ok(Cleared::Nothing);
    }
    let mut whole = 0;
    for key in keys {
        store.sweep(key, Duration::ZERO)?;
        whole += usize::from(store.head(key)?.is_some());
    }
    let told =
        format!("run {by} did not finish its copy of {run}: {whole} of its objects are here whole, and the next copy goes on with them");
    Ok(Cleared::Removed((whole > 0 && !swept).then_some(told).into_iter().collect()))
}

/// Removes an object and unfinished writes of it; answers what there was.
fn remove(store: &dyn ObjectStore, key: &str) -> Result<Option<&'static str>, StoreError> {
    let unfinished = !store.sweep(key, Duration::ZERO)?.is_empty();
    let whole = store.head(key)?.is_some();
    if whole {
        store.delete(key)?;
    }
    Ok(if whole { Some("an object") } else { unfinished.then_some("an unfinished object") })
}
