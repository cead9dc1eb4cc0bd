//! Holding a store against its own catalog: objects that manifests name and that are missing or damaged, and objects that no manifest
//! names: those of the same shape, those whose keys hold a run's id, and what a killed healing left.
//!
//! Nothing is reported from a listing alone: what seems missing is asked for once more, for somebody may prune or commit meanwhile.
//! This module changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::carry::{Watch, read_back};
use super::catalog::{self, Named, Point, named};
use super::claims::Claims;
use super::{ObjectMeta, ObjectStore, StoreError, heal, lease, pool};
use crate::ids::{PipelineName, RefName, RunId};
use crate::stream::Cancel;

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It has another size.
    Size {
        /// The size that was committed.
        expected: u64,
        /// The size it has.
        found: u64,
    },
    /// Its bytes are others, or can not be read.
    Content {
        /// How that shows.
        detail: String,
    },
    /// It is a manifest, receipt, mark or word that can not be used.
    Record {
        /// Why.
        detail: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Size { expected, found } => write!(f, "it has {found} bytes, {expected} were committed"),
            Self::Content { detail } => f.write_str(detail),
            Self::Record { detail } => write!(f, "it can not be used: {detail}"),
        }
    }
}

/// A damaged or missing object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// The restore point it belongs to.
    pub run: RunId,
    /// Its key.
    pub key: String,
    /// What is wrong.
    #[serde(flatten)]
    pub damage: Damage,
    /// What it should be, where a manifest says so.
    #[serde(skip)]
    pub named: Option<Named>,
}

/// What came of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Restore points looked at.
    pub points: usize,
    /// Objects that their manifests name.
    pub objects: usize,
    /// The bytes of those.
    pub bytes: u64,
    /// Whether all of them were read.
    pub digests: bool,
    /// What is missing or damaged.
    pub flaws: Vec<Flaw>,
    /// Objects of this pipeline's shape, or of some run, that no manifest of the store names: left by runs that failed, or of a run that goes on.
    pub orphans: Vec<ObjectMeta>,
}

/// Checks what a store, under this name, keeps of a pipeline; with `digests` by reading every object.
///
/// # Errors
/// Whatever the store says of listings and records: a check of a part is none.
pub fn check(store: &dyn ObjectStore, name: &RefName, pipeline: &PipelineName, digests: bool) -> Result<Checked, StoreError> {
    let listed: BTreeMap<String, ObjectMeta> = store.list("")?.into_iter().map(|object| (object.key.clone(), object)).collect();
    let read = catalog::read(store, pipeline)?;
    let mut checked = Checked { points: read.points.len(), digests, ..Checked::default() };
    let wanted: Vec<(&Point, Named)> = read.points.iter().flat_map(|point| objects(point, name)).collect();
    checked.objects = wanted.len();
    checked.bytes = wanted.iter().map(|(_, named)| named.bytes).sum();
    checked.flaws = read.points.iter().flat_map(records).collect();
    let looked =
        pool::each(store.is_remote(), &wanted, |(point, named)| object(store, point, named, listed.get(&named.key).filter(|_| !digests)))?;
    checked.flaws.extend(looked.into_iter().flatten());
    let shapes: BTreeSet<String> = wanted.iter().map(|(_, named)| shape(&named.key)).collect();
    checked.orphans = orphans(store, pipeline, &listed, &shapes)?;
    // What lies beside no manifest, is no word of a failed run, and will not be finished by a prune.
    let unfinished = read.remains.iter().filter(|remains| remains.marks.tombstoned.is_none());
    let stray = unfinished.flat_map(|remains| remains.beside.iter().filter(|key| !remains.failure.contains(key)));
    checked.orphans.extend(stray.filter_map(|key| listed.get(key).cloned()));
    Ok(checked)
}

fn objects<'p>(point: &'p Point, name: &RefName) -> Vec<(&'p Point, Named)> {
    point.manifest.iter().flat_map(|manifest| named(manifest, name)).map(|named| (point, named)).collect()
}

/// Records that can not be used.
fn records(point: &Point) -> Vec<Flaw> {
    let flaw = |key: &str, detail: &str| Flaw {
        run: point.summary.run.clone(),
        key: key.to_owned(),
        damage: Damage::Record { detail: detail.to_owned() },
        named: None,
    };
    let split = |told: &String| told.split_once(": ").map_or_else(|| flaw("", told), |(key, why)| flaw(key, why));
    let manifest = point.manifest.as_ref().err().map(|why| flaw(&point.summary.key, why));
    let word = point.failed.iter().filter_map(|word| word.as_ref().err());
    manifest.into_iter().chain(point.unreadable.iter().chain(&point.marks.unreadable).chain(word).map(split)).collect()
}

/// Looks at one object: at its size in the listing, or at all of it.
fn object(store: &dyn ObjectStore, point: &Point, named: &Named, listed: Option<&ObjectMeta>) -> Result<Option<Flaw>, StoreError> {
    if listed.is_some_and(|object| object.bytes == named.bytes) {
        return Ok(None);
    }
    let damage = match store.head(&named.key)? {
        None => Damage::Missing,
        Some(found) if found.bytes != named.bytes => Damage::Size { expected: named.bytes, found: found.bytes },
        // Listed before it was written.
        Some(_) if listed.is_some() => return Ok(None),
        Some(_) => match content(store, named)? {
            Some(damage) => damage,
            None => return Ok(None),
        },
    };
    // A point that was pruned while it was looked at is not damaged.
    let there = store.head(&point.summary.key)?.is_some();
    Ok(there.then(|| Flaw { run: point.summary.run.clone(), key: named.key.clone(), damage, named: Some(named.clone()) }))
}

/// Reads a whole object. Failures that may pass are errors; the rest is damage.
fn content(store: &dyn ObjectStore, named: &Named) -> Result<Option<Damage>, StoreError> {
    match read_back(store, named, &Watch::unwatched(&Cancel::new())) {
        Ok(()) => Ok(None),
        Err(error) if error.transient() => Err(error),
        Err(StoreError::Missing { .. }) => Ok(Some(Damage::Missing)),
        Err(error) => Ok(Some(Damage::Content { detail: error.to_string() })),
    }
}

/// Objects whose keys look like those of this pipeline's points and that no manifest of the store names. The points may all be gone, and
/// the keys may be made otherwise by now: what holds a run's id is told as well, unless a folder of it is named like another pipeline.
fn orphans(
    store: &dyn ObjectStore,
    pipeline: &PipelineName,
    listed: &BTreeMap<String, ObjectMeta>,
    shapes: &BTreeSet<String>,
) -> Result<Vec<ObjectMeta>, StoreError> {
    let pipelines = listed.keys().filter_map(|key| key.strip_prefix(".runner/")?.split_once('/').map(|(name, _)| name));
    let others: BTreeSet<&str> = pipelines.filter(|name| *name != pipeline.as_str()).collect();
    let ours = |key: &str| shapes.contains(&shape(key)) || holds_run(key) && !key.split('/').any(|part| others.contains(part));
    let own = |key: &str| key.starts_with(".runner/") || key.starts_with(lease::PREFIX);
    let alike: Vec<&ObjectMeta> = listed.values().filter(|object| !own(&object.key) && ours(&object.key)).collect();
    let claims = if alike.is_empty() { Claims::default() } else { Claims::read(store)? };
    let stray = alike.into_iter().filter(|object| claims.claimant(&object.key, "").is_none());
    let healing = listed.values().filter(|object| object.key.starts_with(&heal::aside(pipeline)));
    Ok(stray.chain(healing).cloned().collect())
}

/// Whether the id of a run is in it.
fn holds_run(key: &str) -> bool {
    shape(key).contains('*') && !key.contains('*')
}

/// A key with every number in it made one, so that the keys of two runs are the same: run ids, dates and times are numbers.
fn shape(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut rest = key;
    while let Some(c) = rest.chars().next() {
        // The random end of a run id has letters too.
        if let Some(id) = rest.get(..23).filter(|id| id.parse::<RunId>().is_ok()) {
            out.push('*');
            rest = &rest[id.len()..];
        } else if c.is_ascii_digit() {
            out.push('0');
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_runs_have_one_shape() {
        let shape_of = |id, day| shape(&format!("주문/2026-11-{day}/{id}-dump.dump.zst"));
        assert_eq!(shape_of("20261120T021700Z-4f3a9c", 20), "주문/0-0-0/*-dump.dump.zst");
        assert_eq!(shape_of("20261120T021700Z-4f3a9c", 20), shape_of("20260102T030405Z-abcdef", 2));
        assert_ne!(shape("주문/1.dump"), shape("주문/1.dump.sha256"));
    }
}
