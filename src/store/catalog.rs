//! What restore points a store keeps, newest first: each with its manifest, its receipts, its marks and the level it earned.
//!
//! The store is the only source; nothing is remembered elsewhere. All of a pipeline is known by one listing of its folder and the
//! reading of what that names, several at once; a listing that shows a point's receipts or tombstone and not its manifest is held
//! against the store before it is believed. This module does not look at the objects themselves, and decides nothing.

use std::collections::BTreeMap;

use super::commit::{self, MANIFEST_LIMIT, PointSummary};
use super::failed::FailedRun;
use super::manifest::{Applied, Artifact, Level, Manifest, Receipt, manifest_key, month_prefix};
use super::mark::{self, Found, Kind, Marks, read_mark};
use super::recall::{self, At, RecallError};
use super::whole::Tally;
use super::{ObjectMeta, ObjectStore, StoreError, Stored, ended, failed, pool};
use crate::ids::{PipelineName, RefName, RunId};
use crate::stream::digest::sidecar_line;

/// How often a catalog is read again when points vanish under the reader's hands, because somebody prunes.
const READINGS: usize = 8;

/// How long until it is read again.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// A restore point, as far as it can be read.
#[derive(Debug, Clone)]
pub struct Point {
    /// Where its manifest is.
    pub summary: PointSummary,
    /// Its commit, or why it can not be used.
    pub manifest: Result<Manifest, String>,
    /// What verifications found, oldest first.
    pub receipts: Vec<Receipt>,
    /// Receipts that can not be read, each with the reason: they raise no level and are not kept quiet.
    pub unreadable: Vec<String>,
    /// What is wanted of it.
    pub marks: Marks,
    /// What failed in its run after the commit, or why the word of that can not be read; `None` where nothing did, as far as is told.
    pub failed: Option<Result<FailedRun, String>>,
    /// The keys of all that lies beside its manifest, sorted, the manifest included.
    pub beside: Vec<String>,
}

impl Point {
    /// The level it has earned; `None` when its manifest can not be read, for then nothing is known.
    pub fn level(&self) -> Option<Level> {
        self.manifest.as_ref().ok().map(|manifest| commit::level(manifest, &self.receipts))
    }

    /// What the newest verification complained of, if it did.
    pub fn complaint(&self) -> Option<&str> {
        commit::last_failure(&self.receipts).and_then(|receipt| receipt.failure.as_deref())
    }

    /// How a verification found its content wrong, if one did and none since has found it right.
    pub fn damage(&self) -> Option<&str> {
        commit::damage(&self.receipts).and_then(|receipt| receipt.failure.as_deref())
    }
}

/// What lies where a manifest would lie, and has none: a run that has not committed, or a deletion that was not finished.
#[derive(Debug, Clone)]
pub struct Remains {
    /// The run.
    pub run: RunId,
    /// What is wanted of it; a tombstone in force means that its deletion was begun.
    pub marks: Marks,
    /// What keeps the run in memory after its failure: the word that it left, and the empty object that rules it out.
    pub failure: Vec<String>,
    /// Whether it is nothing but receipts, marks and words that came when the point was gone already, and no tombstone among them names objects.
    pub stray: bool,
    /// The keys of all of it, sorted.
    pub beside: Vec<String>,
}

/// Everything that a store keeps of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Its restore points, newest first.
    pub points: Vec<Point>,
    /// What is left of others, newest first.
    pub remains: Vec<Remains>,
}

/// One run's objects beside its manifest, as a listing shows them.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) committed: bool,
    /// When its manifest was written, by the store's clock.
    pub(super) written: Option<jiff::Timestamp>,
    /// The empty object in its manifest's place.
    pub(super) ruled_out: Option<ObjectMeta>,
    /// The word that it failed.
    pub(super) failed: Option<ObjectMeta>,
    pub(super) receipts: Vec<ObjectMeta>,
    pub(super) marks: Vec<(ObjectMeta, Kind, jiff::Timestamp)>,
    /// The words of how its run ended after the commit.
    pub(super) ended: Vec<(ObjectMeta, jiff::Timestamp)>,
    /// Everything, the manifest included.
    pub(super) keys: Vec<String>,
}

impl Beside {
    /// Whether its marks put it on the way out.
    pub(super) fn leaving(&self) -> bool {
        mark::leaving(self.marks.iter().map(|(_, kind, at)| (*kind, *at)))
    }

    /// Whether all of it is records, and none a tombstone.
    fn stray(&self) -> bool {
        let records = self.receipts.len() + self.marks.len() + self.ended.len();
        self.keys.len() == records && self.marks.iter().all(|(_, kind, _)| *kind != Kind::Tombstone)
    }
}

/// The runs that a pipeline's folder tells of, by one listing. What lies there under strange names is passed over.
pub(super) fn listed(store: &dyn ObjectStore, pipeline: &PipelineName) -> Result<BTreeMap<RunId, Beside>, StoreError> {
    beside(store, pipeline, &format!(".runner/{pipeline}/"))
}

pub(super) fn beside(store: &dyn ObjectStore, pipeline: &PipelineName, prefix: &str) -> Result<BTreeMap<RunId, Beside>, StoreError> {
    let mut runs: BTreeMap<RunId, Beside> = BTreeMap::new();
    for object in store.list(prefix)? {
        let Some((run, rest)) = of_run(pipeline, &object.key) else { continue };
        let (rest, entry) = (rest.to_owned(), runs.entry(run).or_default());
        entry.keys.push(object.key.clone());
        if rest == "manifest.json" {
            // An empty one rules a run out that died before its commit.
            entry.committed = object.bytes > 0;
            entry.written = entry.committed.then_some(object.modified);
            entry.ruled_out = (object.bytes == 0).then_some(object);
        } else if rest == failed::REST {
            entry.failed = Some(object);
        } else if rest.starts_with("verified-") {
            entry.receipts.push(object);
        } else if let Some((kind, at)) = mark::parsed(&rest) {
            entry.marks.push((object, kind, at));
        } else if let Some(at) = ended::parsed(&rest) {
            entry.ended.push((object, at));
        }
    }
    Ok(runs)
}

/// The run that a key in a pipeline's folder belongs to, and what follows the run in it. Something that was moved to another
/// month's folder belongs to none.
pub(super) fn of_run<'k>(pipeline: &PipelineName, key: &'k str) -> Option<(RunId, &'k str)> {
    let name = key.rsplit('/').next()?;
    let (run, rest) = name.split_once('.')?;
    let run: RunId = run.parse().ok()?;
    (key.strip_suffix(name)? == month_prefix(pipeline, &run)).then_some((run, rest))
}

/// The key of the manifest that a key of a pipeline's folder lies beside, or would if there were one.
pub fn manifest_beside(pipeline: &PipelineName, key: &str) -> Option<String> {
    of_run(pipeline, key).map(|(run, _)| manifest_key(pipeline, &run))
}

/// Everything that a store keeps of a pipeline: all of it, or an error.
///
/// # Errors
/// Whatever the store says, and [`StoreError::Lies`] when its listing leaves out a manifest that is there. What can not be
/// understood is told in its [`Point`].
pub fn read(store: &dyn ObjectStore, pipeline: &PipelineName) -> Result<Catalog, StoreError> {
    Ok(read_newest(store, pipeline, usize::MAX)?.0)
}

/// As [`read`], but of the restore points only the newest, at most so many; and how many there are in all.
///
/// # Errors
/// As [`read`].
pub fn read_newest(store: &dyn ObjectStore, pipeline: &PipelineName, most: usize) -> Result<(Catalog, usize), StoreError> {
    again(|| read_once(store, pipeline, most))
}

/// Reads, and reads again when something vanishes between the listing and the reading, because another host prunes.
pub(super) fn again<T>(read: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 1..READINGS {
        match read() {
            Err(StoreError::Missing { .. }) => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
    read()
}

fn read_once(store: &dyn ObjectStore, pipeline: &PipelineName, most: usize) -> Result<(Catalog, usize), StoreError> {
    let (committed, others): (Vec<_>, Vec<_>) = listed(store, pipeline)?.into_iter().rev().partition(|(_, beside)| beside.committed);
    let wanted = &committed[..most.min(committed.len())];
    let points = pool::each(store.is_remote(), wanted, |(run, beside)| point(store, pipeline, run, beside))?;
    let remains = pool::each(store.is_remote(), &others, |(run, beside)| remains(store, pipeline, run, beside))?;
    Ok((Catalog { points, remains }, committed.len()))
}

/// The newest restore points of a pipeline, at most so many, and how many there are in all.
///
/// # Errors
/// Whatever the store says. A manifest, receipt or mark that can not be understood is told in its [`Point`].
pub fn newest(store: &dyn ObjectStore, pipeline: &PipelineName, most: usize) -> Result<(Vec<Point>, usize), StoreError> {
    again(|| newest_once(store, pipeline, most))
}

fn newest_once(store: &dyn ObjectStore, pipeline: &PipelineName, most: usize) -> Result<(Vec<Point>, usize), StoreError> {
    let committed: Vec<_> = listed(store, pipeline)?.into_iter().rev().filter(|(_, beside)| beside.committed).collect();
    let wanted = &committed[..most.min(committed.len())];
    Ok((pool::each(store.is_remote(), wanted, |(run, beside)| point(store, pipeline, run, beside))?, committed.len()))
}

/// The newest restore points of every pipeline that is wanted and has some in this store, at most so many of each, and how many
/// there are. Of pipelines that are not wanted nothing is read.
///
/// # Errors
/// As [`newest`].
pub fn everything(
    store: &dyn ObjectStore,
    most: usize,
    wanted: &dyn Fn(&PipelineName) -> bool,
) -> Result<Vec<(PipelineName, Vec<Point>, usize)>, StoreError> {
    let found = commit::all_points(store)?.into_keys().filter(|pipeline| wanted(pipeline)).map(|pipeline| {
        let (points, count) = newest(store, &pipeline, most)?;
        Ok((pipeline, points, count))
    });
    found.collect()
}

/// The restore point that is meant, as far as it can be read: one whose manifest can not be used is told, not passed over.
///
/// # Errors
/// [`RecallError`] when there is no such point, or whatever the store says.
pub fn find(store: &dyn ObjectStore, pipeline: &PipelineName, at: &At) -> Result<Point, RecallError> {
    let run = match recall::manifest(store, pipeline, at) {
        Ok(manifest) => manifest.run,
        Err(RecallError::Manifest { key, .. }) => {
            let missing = || StoreError::Missing { store: store.describe(), key: key.clone() };
            commit::point(pipeline, key.clone()).ok_or_else(missing)?.run
        }
        Err(other) => return Err(other),
    };
    let found = beside(store, pipeline, &format!("{}{run}.", month_prefix(pipeline, &run)))?.remove(&run).unwrap_or_default();
    Ok(point(store, pipeline, &run, &found)?)
}

/// What lies beside one restore point now, and what its marks come to: to see whether something came meanwhile.
///
/// # Errors
/// Whatever the store says.
pub fn look_again(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId) -> Result<(Vec<String>, Marks), StoreError> {
    let found = beside(store, pipeline, &format!("{}{run}.", month_prefix(pipeline, run)))?.remove(run).unwrap_or_default();
    Ok((found.keys.clone(), marks(store, pipeline, run, &found)?))
}

pub(super) fn point(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId, beside: &Beside) -> Result<Point, StoreError> {
    let manifest = manifest(store, pipeline, run)?;
    with_manifest(store, (pipeline, run), beside, manifest)
}

/// A point's manifest, or why it can not be used.
pub(super) fn manifest(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId) -> Result<Result<Manifest, String>, StoreError> {
    let bytes = store.get_bytes(&manifest_key(pipeline, run), MANIFEST_LIMIT)?;
    let own = |manifest: &Manifest| manifest.run == *run && manifest.pipeline == *pipeline;
    let moved =
        |manifest: &Manifest| format!("it lies where {pipeline} {run} should be and is that of {} {}", manifest.pipeline, manifest.run);
    let read = commit::read_manifest(&bytes).map_err(|error| error.to_string());
    Ok(read.and_then(|manifest| if own(&manifest) { Ok(manifest) } else { Err(moved(&manifest)) }))
}

/// A point whose manifest was read already.
pub(super) fn with_manifest(
    store: &dyn ObjectStore,
    (pipeline, run): (&PipelineName, &RunId),
    beside: &Beside,
    manifest: Result<Manifest, String>,
) -> Result<Point, StoreError> {
    let summary = PointSummary { key: manifest_key(pipeline, run), run: run.clone() };
    let found = commit::receipts_of(store, (pipeline, run), &beside.receipts)?;
    let unreadable = found.unreadable.into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
    let marks = marks(store, pipeline, run, beside)?;
    let failed = ended::newest(store, (pipeline, run), &beside.ended)?;
    Ok(Point { summary, manifest, receipts: found.read, unreadable, marks, failed, beside: beside.keys.clone() })
}

fn remains(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId, beside: &Beside) -> Result<Remains, StoreError> {
    let key = manifest_key(pipeline, run);
    // Receipts, marks and words of the end are written after the commit only, and deleted after the manifest.
    if !(beside.receipts.is_empty() && beside.marks.is_empty() && beside.ended.is_empty()) && store.head(&key)?.is_some() {
        let detail = "it is there, and the store's listing leaves it out: nothing can be decided from such a listing".to_owned();
        return Err(StoreError::Lies { store: store.describe(), key, detail });
    }
    let failure = beside.failed.iter().chain(&beside.ruled_out).map(|object| object.key.clone()).collect();
    let (stray, marks) = (beside.stray(), marks(store, pipeline, run, beside)?);
    Ok(Remains { run: run.clone(), marks, failure, stray, beside: beside.keys.clone() })
}

fn marks(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId, beside: &Beside) -> Result<Marks, StoreError> {
    let mut found = Vec::with_capacity(beside.marks.len());
    for (object, kind, at) in &beside.marks {
        let read = if object.bytes > mark::LIMIT {
            Err(format!("it has {} bytes", object.bytes))
        } else {
            read_mark(&store.get_bytes(&object.key, mark::LIMIT)?).map_err(|error| error.to_string())
        };
        let own = |mark: &mark::Mark| mark.run == *run && mark.pipeline == *pipeline && mark.wish.kind() == *kind && mark.at == *at;
        let read = read.and_then(|mark| if own(&mark) { Ok(mark) } else { Err("it is not what its name says".to_owned()) });
        found.push(Found { key: object.key.clone(), kind: *kind, at: *at, read });
    }
    Ok(Marks::of(&found))
}

/// An object that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
}

/// The objects of a manifest that lie in a store of this name: those of the artifacts said to be there; all of them, where the
/// manifest knows only one store, for whoever made it may have called it by another name.
pub fn named(manifest: &Manifest, store: &RefName) -> Vec<Named> {
    let one = manifest.artifacts.iter().all(|artifact| artifact.store == manifest.artifacts[0].store);
    manifest.artifacts.iter().filter(|artifact| one || artifact.store == *store).flat_map(of_artifact).collect()
}

/// The objects of an artifact: itself, the files that hold digests, the fingerprint.
pub(super) fn of_artifact(artifact: &Artifact) -> Vec<Named> {
    let known = |object: &Stored| Named { key: object.key.clone(), bytes: object.bytes, sha256: object.sha256.clone() };
    let digests = artifact.stages.iter().filter_map(|stage| match stage {
        Applied::Checksum { algorithm, digest, sidecar: Some(key), .. } => Some(digest_file(key, algorithm.name(), digest)),
        _ => None,
    });
    let fingerprint = artifact.fingerprint.iter().map(|sidecar| known(&sidecar.object));
    std::iter::once(known(&artifact.object)).chain(digests).chain(fingerprint).collect()
}

/// The text file that holds a digest: its one line follows from the digest and from its own name.
fn digest_file(key: &str, algorithm: &str, digest: &str) -> Named {
    let name = key.rsplit('/').next().unwrap_or(key);
    let about = name.strip_suffix(algorithm).and_then(|name| name.strip_suffix('.')).unwrap_or(name);
    let mut tally = Tally::new();
    tally.add(sidecar_line(digest, about).as_bytes());
    Named { key: key.to_owned(), bytes: tally.bytes(), sha256: tally.sha256() }
}
