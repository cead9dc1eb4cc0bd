//! Committing a restore point, and reading back what was committed and verified: manifests, receipts, levels.
//!
//! A manifest is written last and create-only; what was committed never changes. This module does not decide which restore
//! points are kept, and does not look at the objects that a manifest names.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::manifest::{Applied, Artifact, Fault, Level, Manifest, Receipt, VERSION, manifest_key, month_prefix, overall, receipt_key};
use super::{ObjectMeta, ObjectStore, PutOptions, Refusal, StoreError, Stored, Tag, key, order, sealed};
use crate::ids::{PipelineName, RefName, RunId};

/// The largest manifest in bytes: some thousand artifacts.
pub const MANIFEST_LIMIT: u64 = 16 * 1024 * 1024;

/// The largest receipt in bytes: some hundred thousand tables.
pub const RECEIPT_LIMIT: u64 = 64 * 1024 * 1024;

const MANIFEST_END: &str = ".manifest.json";

/// The content type of manifests and receipts.
const JSON: &str = "application/json";

/// Why a document is not a manifest or receipt that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is larger than any that is written.
    #[error("it has {bytes} bytes; the most is {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Another program version wrote it in a form that this one does not know.
    #[error("it has version {found} and this program knows version {VERSION}: use a `runner` at least as new as the one that wrote it")]
    Version {
        /// Its version.
        found: u64,
    },
    /// It is not JSON of the right form.
    #[error("at {pointer}: {detail}")]
    Malformed {
        /// Where, as a path such as `artifacts[0].object.bytes`.
        pointer: String,
        /// What is wrong there.
        detail: String,
    },
    /// It was changed after it was written.
    #[error("it was edited: {detail}")]
    Edited {
        /// How that shows.
        detail: &'static str,
    },
    /// It contradicts itself.
    #[error("{detail}")]
    Inconsistent {
        /// What contradicts what.
        detail: String,
    },
}

/// A restore point as a listing shows it; its manifest is not read yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointSummary {
    /// The manifest's key.
    pub key: String,
    /// The run that committed it.
    pub run: RunId,
}

/// The receipts of a restore point.
#[derive(Debug, Clone, Default)]
pub struct Receipts {
    /// Those that can be read, oldest first.
    pub read: Vec<Receipt>,
    /// The keys of those that can not, and why. They raise no level, and must not be kept quiet.
    pub unreadable: Vec<(String, ManifestError)>,
}

/// Commits a restore point: writes its manifest create-only and reads it back. A retry finds its own manifest and succeeds.
///
/// # Errors
/// [`StoreError::Exists`] when the run was committed with another manifest, [`StoreError::Lies`] when other bytes come back,
/// [`StoreError::Refused`] when the manifest contradicts itself, and whatever the store says.
pub fn commit(store: &dyn ObjectStore, manifest: &Manifest) -> Result<Stored, StoreError> {
    let key = manifest_key(&manifest.pipeline, &manifest.run);
    check_manifest(manifest).map_err(|error| refused(store, format!("committing {key}"), error.to_string()))?;
    publish(store, &key, manifest, MANIFEST_LIMIT)
}

/// The same over an object in the manifest's place that still has this tag: the empty one of a run that was ruled out.
///
/// # Errors
/// As [`commit`], and [`StoreError::Changed`] when something else is there.
pub fn commit_over(store: &dyn ObjectStore, manifest: &Manifest, tag: &Tag) -> Result<(), StoreError> {
    let key = manifest_key(&manifest.pipeline, &manifest.run);
    check_manifest(manifest).map_err(|error| refused(store, format!("committing {key}"), error.to_string()))?;
    let bytes = sealed::seal(manifest).map_err(|error| refused(store, format!("writing {key}"), error.to_string()))?;
    let options = PutOptions { content_type: Some(JSON.to_owned()), ..PutOptions::default() };
    store.replace(&key, &bytes, tag, &options)?;
    if store.get_bytes(&key, MANIFEST_LIMIT)? == bytes { Ok(()) } else { Err(other_bytes(store, &key)) }
}

/// Adds what a verification found out beside the manifest, in the same way. It ends later than all receipts that are there already,
/// whatever the clock of its host says.
///
/// # Errors
/// As [`commit`].
pub fn add_receipt(store: &dyn ObjectStore, receipt: &Receipt) -> Result<Stored, StoreError> {
    let there = |key: &str| Ok(read_receipt(&store.get_bytes(key, RECEIPT_LIMIT)?).is_ok_and(|found| found == *receipt));
    let receipt = &*order::later_than_all(store, receipt, &there)?;
    let key = receipt_key(&receipt.pipeline, &receipt.run, &receipt.step, receipt.finished);
    publish(store, &key, receipt, RECEIPT_LIMIT)
}

/// Reads a manifest. Fields that this program does not know are passed over; a version that it does not know is refused.
///
/// # Errors
/// [`ManifestError`] when it is too large, of another version, malformed or contradicts itself.
pub fn read_manifest(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let manifest = read(bytes, MANIFEST_LIMIT)?;
    check_manifest(&manifest)?;
    Ok(manifest)
}

/// Reads a receipt, by the same rules.
///
/// # Errors
/// As [`read_manifest`].
pub fn read_receipt(bytes: &[u8]) -> Result<Receipt, ManifestError> {
    read(bytes, RECEIPT_LIMIT)
}

/// The restore points of a pipeline, newest first. An empty object in a manifest's place is none: it rules its run out
/// ([`rule_out`](super::lease::rule_out)).
///
/// # Errors
/// Whatever the store says of the listing.
pub fn points(store: &dyn ObjectStore, pipeline: &PipelineName) -> Result<Vec<PointSummary>, StoreError> {
    let listed = store.list(&format!(".runner/{pipeline}/"))?;
    let mut points: Vec<PointSummary> =
        listed.into_iter().filter(|object| object.bytes > 0).filter_map(|object| point(pipeline, object.key)).collect();
    points.sort_unstable_by(|a, b| b.run.cmp(&a.run));
    Ok(points)
}

/// The restore points of every pipeline that has some, newest first: what a store tells without any pipeline's YAML.
///
/// # Errors
/// Whatever the store says of the listing.
pub fn all_points(store: &dyn ObjectStore) -> Result<BTreeMap<PipelineName, Vec<PointSummary>>, StoreError> {
    let mut found: BTreeMap<PipelineName, Vec<PointSummary>> = BTreeMap::new();
    for object in store.list(".runner/")?.into_iter().filter(|object| object.bytes > 0) {
        let name = object.key.split('/').nth(1).and_then(|name| PipelineName::new(name).ok());
        if let Some((name, point)) = name.and_then(|name| point(&name, object.key).map(|point| (name, point))) {
            found.entry(name).or_default().push(point);
        }
    }
    for points in found.values_mut() {
        points.sort_unstable_by(|a, b| b.run.cmp(&a.run));
    }
    Ok(found)
}

/// All receipts about a restore point.
///
/// # Errors
/// Whatever the store says; a receipt that can not be read is among [`Receipts::unreadable`].
pub fn receipts(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId) -> Result<Receipts, StoreError> {
    receipts_of(store, (pipeline, run), &store.list(&format!("{}{run}.verified-", month_prefix(pipeline, run)))?)
}

/// The receipts about a restore point that a listing has shown.
pub(super) fn receipts_of(
    store: &dyn ObjectStore,
    (pipeline, run): (&PipelineName, &RunId),
    listed: &[ObjectMeta],
) -> Result<Receipts, StoreError> {
    let mut found = Receipts::default();
    for object in listed {
        if object.bytes > RECEIPT_LIMIT {
            found.unreadable.push((object.key.clone(), ManifestError::TooLarge { bytes: object.bytes, limit: RECEIPT_LIMIT }));
            continue;
        }
        let receipt = read_receipt(&store.get_bytes(&object.key, RECEIPT_LIMIT)?);
        match receipt.and_then(|receipt| about(receipt, pipeline, run)) {
            Ok(receipt) => found.read.push(receipt),
            Err(error) => found.unreadable.push((object.key.clone(), error)),
        }
    }
    found.read.sort_by_key(|receipt| receipt.finished);
    Ok(found)
}

/// The level that verifications of one artifact have earned: the newest that judged its content counts. One that found the content wrong
/// takes the level back to what it earned itself, a later success raises it again, and a failure that says nothing of the content (a
/// key that does not fit, a missing tool, another major version, a receipt of a version that did not tell) takes nothing back.
pub fn earned<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Option<Level> {
    let mut receipts: Vec<&Receipt> = receipts.into_iter().collect();
    receipts.sort_by_key(|receipt| receipt.finished);
    receipts.into_iter().fold(None, |level, receipt| match receipt.fault {
        Some(Fault::Content) => Some(receipt.level),
        _ => level.max(Some(receipt.level)),
    })
}

/// The level that a restore point has in the store of these receipts ([`overall`] of what each artifact there has [`earned`]). Receipts lie
/// beside what they are about, so artifacts of a store that none is about lie in others, which judge them.
pub fn level(manifest: &Manifest, receipts: &[Receipt]) -> Level {
    let about = |artifact: &Artifact| {
        let (run, key) = (manifest.run.clone(), artifact.object.key.clone());
        receipts.iter().filter(move |receipt| receipt.run == run && receipt.key == key)
    };
    let here: BTreeSet<&RefName> =
        manifest.artifacts.iter().filter(|artifact| about(artifact).next().is_some()).map(|artifact| &artifact.store).collect();
    overall(manifest.artifacts.iter().filter(|artifact| here.contains(&artifact.store)), |artifact| earned(about(artifact)))
}

/// The newest receipt that tells of a failure which no later one has answered, so that a level earned once does not hide that it would
/// not be earned again. What was found on another major version, or of another object, answers nothing, and what says nothing of the
/// content does not answer what does. That a key did not fit is told by its receipt, and is no failure of the restore point.
pub fn last_failure(receipts: &[Receipt]) -> Option<&Receipt> {
    let told = receipts.iter().filter(|receipt| receipt.fault != Some(Fault::Key) && receipt.failure.is_some());
    let open = told.filter(|old| !receipts.iter().any(|new| answers(new, old)));
    open.max_by_key(|receipt| (receipt.judges(), receipt.finished))
}

/// The newest receipt that found content wrong and that no later one has answered: what was found good since is good again.
pub fn damage(receipts: &[Receipt]) -> Option<&Receipt> {
    // A failure of a version that did not tell what it says of the content does not say that it is good.
    let tells = |new: &Receipt| new.failure.is_none() || new.fault == Some(Fault::Content);
    let answered = |old: &Receipt| receipts.iter().any(|new| tells(new) && answers(new, old));
    receipts
        .iter()
        .filter(|old| old.failure.is_some() && old.fault == Some(Fault::Content) && !answered(old))
        .max_by_key(|old| old.finished)
}

/// Whether a receipt takes back what an older one says. A key that did not fit says nothing.
fn answers(new: &Receipt, old: &Receipt) -> bool {
    let same = new.key == old.key && new.step.other_major() == old.step.other_major();
    new.fault != Some(Fault::Key) && new.finished > old.finished && same && (new.judges() || !old.judges())
}

/// The restore point whose manifest has this key, if a manifest's key it is.
pub(super) fn point(pipeline: &PipelineName, key: String) -> Option<PointSummary> {
    let name = key.rsplit('/').next()?;
    let run: RunId = name.strip_suffix(MANIFEST_END)?.parse().ok()?;
    // A manifest that was moved to another place is not a restore point there.
    (manifest_key(pipeline, &run) == key).then_some(PointSummary { key, run })
}

fn about(receipt: Receipt, pipeline: &PipelineName, run: &RunId) -> Result<Receipt, ManifestError> {
    if receipt.run == *run && receipt.pipeline == *pipeline {
        return Ok(receipt);
    }
    let detail = format!("it lies beside {pipeline} {run} and is about {} {}", receipt.pipeline, receipt.run);
    Err(ManifestError::Inconsistent { detail })
}

fn refused(store: &dyn ObjectStore, doing: String, detail: String) -> StoreError {
    StoreError::Refused { store: store.describe(), doing, detail, kind: Refusal::Other }
}

fn other_bytes(store: &dyn ObjectStore, key: &str) -> StoreError {
    let detail = "other bytes come back than were written".to_owned();
    StoreError::Lies { store: store.describe(), key: key.to_owned(), detail }
}

pub(super) fn publish(store: &dyn ObjectStore, key: &str, document: &impl Serialize, limit: u64) -> Result<Stored, StoreError> {
    let bytes = sealed::seal(document).map_err(|error| refused(store, format!("writing {key}"), error.to_string()))?;
    publish_bytes(store, key, &bytes, limit, JSON)
}

/// Writes a small document create-only and reads it back; the very same document found there already is as good.
pub(super) fn publish_bytes(
    store: &dyn ObjectStore,
    key: &str,
    bytes: &[u8],
    limit: u64,
    content_type: &str,
) -> Result<Stored, StoreError> {
    if bytes.len() as u64 > limit {
        return Err(refused(store, format!("writing {key}"), format!("it would have {} bytes; the most is {limit}", bytes.len())));
    }
    let options = PutOptions { content_type: Some(content_type.to_owned()), ..PutOptions::default() };
    match store.put_bytes(key, bytes, &options) {
        Ok(stored) if store.get_bytes(key, limit)? == bytes => Ok(stored),
        Ok(_) => Err(other_bytes(store, key)),
        Err(StoreError::Exists { store: words, key: taken }) => match already(store, key, bytes, limit)? {
            Some(stored) => Ok(stored),
            None => Err(StoreError::Exists { store: words, key: taken }),
        },
        Err(error) => Err(error),
    }
}

/// What is stored when it is this very document: an earlier attempt wrote it and its answer was lost.
fn already(store: &dyn ObjectStore, key: &str, bytes: &[u8], limit: u64) -> Result<Option<Stored>, StoreError> {
    let same = store.get_bytes(key, limit)? == bytes;
    let mut tally = super::whole::Tally::new();
    tally.add(bytes);
    Ok(same.then(|| Stored { key: key.to_owned(), bytes: tally.bytes(), sha256: tally.sha256(), version: None }))
}

#[derive(serde::Deserialize)]
struct Versioned {
    version: u64,
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], limit: u64) -> Result<T, ManifestError> {
    if bytes.len() as u64 > limit {
        return Err(ManifestError::TooLarge { bytes: bytes.len() as u64, limit });
    }
    // The version first: what a later form changed must not be reported as a mistake in this one.
    let found = parse::<Versioned>(bytes)?.version;
    if found != u64::from(VERSION) {
        return Err(ManifestError::Version { found });
    }
    let read = parse(bytes)?;
    sealed::check(&parse(bytes)?)?;
    Ok(read)
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ManifestError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| ManifestError::Malformed { pointer: error.path().to_string(), detail: error.inner().to_string() })?;
    json.end().map_err(|error| ManifestError::Malformed { pointer: ".".to_owned(), detail: error.to_string() })?;
    Ok(value)
}

fn check_manifest(manifest: &Manifest) -> Result<(), ManifestError> {
    let inconsistent = |detail: String| Err(ManifestError::Inconsistent { detail });
    if manifest.version != VERSION {
        return Err(ManifestError::Version { found: manifest.version.into() });
    }
    if manifest.level != Level::Stored {
        return inconsistent(format!("a commit proves the level stored and this one says {}: only receipts raise it", manifest.level));
    }
    if manifest.artifacts.is_empty() {
        return inconsistent("it names no artifact, so there is nothing to restore".to_owned());
    }
    for (at, artifact) in manifest.artifacts.iter().enumerate() {
        let same = |other: &Artifact| other.store == artifact.store && other.object.key == artifact.object.key;
        if manifest.artifacts[..at].iter().any(same) {
            return inconsistent(format!("it names {} twice", artifact.object.key));
        }
        check_artifact(artifact).or_else(|detail| inconsistent(format!("artifact {}: {detail}", artifact.object.key)))?;
    }
    Ok(())
}

fn check_artifact(artifact: &Artifact) -> Result<(), String> {
    let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    for object in std::iter::once(&artifact.object).chain(artifact.fingerprint.iter().map(|sidecar| &sidecar.object)) {
        key::check(&object.key).map_err(|error| error.to_string())?;
        if !is_hex(&object.sha256, 64) {
            return Err(format!("{:?} is not a SHA-256", object.sha256));
        }
    }
    let mut size = artifact.origin.bytes;
    for stage in &artifact.stages {
        match stage {
            Applied::Compress { bytes, .. } | Applied::Encrypt { bytes, .. } => size = *bytes,
            Applied::Checksum { bytes, .. } if *bytes != size => {
                return Err(format!("{bytes} bytes were digested where {size} passed"));
            }
            Applied::Checksum { sidecar, .. } => sidecar.as_deref().map_or(Ok(()), key::check).map_err(|error| error.to_string())?,
        }
    }
    if size == artifact.object.bytes {
        Ok(())
    } else {
        Err(format!("{size} bytes left the last stage and {} were stored", artifact.object.bytes))
    }
}
