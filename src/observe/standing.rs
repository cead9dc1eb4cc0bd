//! Looking at what stores say of a pipeline, for its status: only stores are asked, so that any machine may look that can read them.
//!
//! A store that does not answer is a fact of its own, and keeps the others from nothing. Nothing here judges.

use std::collections::BTreeSet;

use tokio::runtime::Handle;

use crate::ids::{RefName, RunId, StepId};
use crate::pipeline::Pipeline;
use crate::status::{Attempt, Cause, Complaint, LeaseFacts, PointFacts, Seen, StoreFacts, Subject, TYPICAL};
use crate::store::catalog::{self, Catalog, Point, named};
use crate::store::failed::{End, FailedRun};
use crate::store::lease::{self, LeaseError};
use crate::store::manifest::{Level, Manifest, Receipt, Recovery};
use crate::store::recent::{Failed, Recent, failures, recent};
use crate::store::{self, ObjectStore, StoreError, StoreSpec};

/// How many of the last failures a history has, besides those since the newest restore point.
const FAILURES: usize = 10;

/// Asks these stores of a pipeline, all at once.
pub fn standing(pipeline: &Pipeline, stores: &[RefName], handle: &Handle) -> Subject {
    let declared = stores.iter().filter_map(|name| Some((name, pipeline.stores.get(name)?)));
    let stores = std::thread::scope(|scope| {
        let asked: Vec<_> = declared.map(|(name, spec)| (name, spec, scope.spawn(move || asked(pipeline, name, spec, handle)))).collect();
        let died = |name: &RefName, spec| StoreFacts {
            store: name.clone(),
            place: place(spec),
            seen: Err("looking at it ended in a defect of runner".to_owned()),
        };
        asked.into_iter().map(|(name, spec, look)| look.join().unwrap_or_else(|_| died(name, spec))).collect()
    });
    Subject { pipeline: pipeline.name.clone(), schedule: pipeline.schedule.clone(), objectives: pipeline.objectives.clone(), stores }
}

/// What was seen of a pipeline in one store, with every restore point that was read.
#[derive(Debug, Clone)]
pub struct History {
    /// What its status is judged by.
    pub facts: StoreFacts,
    /// The newest restore points, and what is left of others.
    pub catalog: Catalog,
    /// How many restore points there are in all.
    pub count: usize,
}

/// Asks one store of a pipeline as [`standing`] does, and for its newest restore points, at most so many, and for older failures.
pub fn history(pipeline: &Pipeline, name: &RefName, handle: &Handle, most: usize) -> History {
    let Some(spec) = pipeline.stores.get(name) else {
        let seen = Err("it is not declared".to_owned());
        return History { facts: StoreFacts { store: name.clone(), place: String::new(), seen }, catalog: Catalog::default(), count: 0 };
    };
    let StoreFacts { store, place, seen } = asked(pipeline, name, spec, handle);
    let look = || -> Result<_, StoreError> {
        let store = store::open(spec, handle)?;
        Ok((failures(&*store, &pipeline.name, FAILURES)?, catalog::read_newest(&*store, &pipeline.name, most)?))
    };
    match seen.and_then(|seen| look().map(|read| (seen, read)).map_err(|error| error.to_string())) {
        Ok((seen, (older, (catalog, count)))) => {
            let points = catalog.points.iter().map(|point| facts(point, name)).collect();
            let older = older.into_iter().map(attempt).chain(catalog.points.iter().filter_map(after_commit).take(FAILURES));
            let seen = Ok(Seen { points, failed: with(seen.failed, older.collect()), ..seen });
            History { facts: StoreFacts { store, place, seen }, catalog, count }
        }
        Err(why) => History { facts: StoreFacts { store, place, seen: Err(why) }, catalog: Catalog::default(), count: 0 },
    }
}

/// The failures since the newest point, and those of older ones that are not among them.
fn with(since: Vec<Attempt>, older: Vec<Attempt>) -> Vec<Attempt> {
    let known: BTreeSet<RunId> = since.iter().map(|failed| failed.run.clone()).collect();
    newest_first(since.into_iter().chain(older.into_iter().filter(|failed| !known.contains(&failed.run))).collect())
}

fn newest_first(mut failed: Vec<Attempt>) -> Vec<Attempt> {
    failed.sort_by(|one, other| other.run.cmp(&one.run));
    failed
}

fn asked(pipeline: &Pipeline, name: &RefName, spec: &StoreSpec, handle: &Handle) -> StoreFacts {
    let seen = store::open(spec, handle).map_err(LeaseError::from).and_then(|store| seen(pipeline, name, &*store));
    StoreFacts { store: name.clone(), place: place(spec), seen: seen.map_err(|error| error.to_string()) }
}

/// Where a store is, without asking it.
fn place(spec: &StoreSpec) -> String {
    match spec {
        StoreSpec::Local(spec) => spec.path.display().to_string(),
        StoreSpec::S3(spec) => format!("s3://{}/{}", spec.bucket, spec.prefix).trim_end_matches('/').to_owned(),
    }
}

fn seen(pipeline: &Pipeline, name: &RefName, store: &dyn ObjectStore) -> Result<Seen, LeaseError> {
    let mut troubles = Vec::new();
    let held = match lease(pipeline, name, store) {
        Err(error @ LeaseError::Unreadable { .. }) => {
            troubles.push(error.to_string());
            None
        }
        held => held?,
    };
    let found: Recent = recent(store, &pipeline.name, TYPICAL + 1).map_err(|error: StoreError| LeaseError::from(error))?;
    for point in &found.points {
        let word = point.failed.iter().filter_map(|word| word.as_ref().err());
        troubles.extend(point.unreadable.iter().chain(&point.marks.unreadable).chain(word).cloned());
    }
    troubles.extend(found.failed.iter().filter_map(|failed| failed.word.as_ref()?.as_ref().err().cloned()));
    Ok(Seen {
        points: found.points.iter().map(|point| facts(point, name)).collect(),
        dumped: found.manifests.iter().map(|(run, manifest)| (run.clone(), dumped(manifest))).collect(),
        since: found.since,
        failed: newest_first(found.points.iter().filter_map(after_commit).chain(found.failed.into_iter().map(attempt)).collect()),
        lease: held,
        troubles,
    })
}

/// The lease of the pipeline's group, if a run holds it.
fn lease(pipeline: &Pipeline, name: &RefName, store: &dyn ObjectStore) -> Result<Option<LeaseFacts>, LeaseError> {
    if !pipeline.concurrency.lease {
        return Ok(None);
    }
    let held = lease::held(store, pipeline.concurrency.group.as_ref().unwrap_or(&pipeline.name))?;
    Ok(held.map(|(record, renewed)| LeaseFacts {
        store: name.clone(),
        ttl: record.ttl(),
        pipeline: record.holder.pipeline,
        run: record.holder.run,
        host: record.holder.host,
        since: record.holder.since,
        renewed,
    }))
}

fn facts(point: &Point, store: &RefName) -> PointFacts {
    let manifest = point.manifest.as_ref().ok();
    let level = point.level();
    let proofs = point.receipts.iter().filter(|receipt| level == Some(Level::Proven) && receipt.level == Level::Proven);
    let unusable = point.manifest.as_ref().err().map(|why| Complaint::Manifest(why.clone()));
    let damage = point.damage().map(|why| Complaint::Content(why.to_owned()));
    let complaint = damage.or_else(|| point.complaint().map(|why| Complaint::Verification(why.to_owned())));
    let tombstone = point.marks.tombstoned.as_ref();
    PointFacts {
        run: point.summary.run.clone(),
        started: point.summary.run.started(),
        committed: manifest.map(|manifest| manifest.committed),
        dumped: manifest.map_or(0, dumped),
        stored: manifest.iter().flat_map(|manifest| named(manifest, store)).map(|object| object.bytes).fold(0, u64::saturating_add),
        level,
        proven: proofs.map(|receipt| receipt.finished).max(),
        recovery: recovery(&point.receipts),
        damaged: point.damage().is_some(),
        complaint: unusable.or(complaint),
        holds: manifest.map(|manifest| holds(manifest, store)).unwrap_or_default(),
        parts: manifest.iter().flat_map(|manifest| &manifest.artifacts).map(|artifact| artifact.step.clone()).collect(),
        leaving: tombstone.map(|tombstone| tombstone.since),
        gone_after: tombstone.map(|tombstone| tombstone.after),
        pinned: point.marks.pinned.as_ref().map(|pin| pin.until),
    }
}

/// Bytes of the dumps before compression; of everything, where there is no dump.
fn dumped(manifest: &Manifest) -> u64 {
    let sum = |dumps: bool| {
        let counted = manifest.artifacts.iter().filter(|artifact| !dumps || artifact.origin.kind == "dump");
        counted.map(|artifact| artifact.origin.bytes).reduce(u64::saturating_add)
    };
    sum(true).or_else(|| sum(false)).unwrap_or(0)
}

/// The steps whose objects lie in this store; all, where the manifest knows only one store, for its maker may have called it otherwise.
fn holds(manifest: &Manifest, store: &RefName) -> BTreeSet<StepId> {
    let one = manifest.artifacts.iter().all(|artifact| artifact.store == manifest.artifacts[0].store);
    manifest.artifacts.iter().filter(|artifact| one || artifact.store == *store).map(|artifact| artifact.step.clone()).collect()
}

/// The newest recovery that was measured on the major that was dumped.
fn recovery(receipts: &[Receipt]) -> Option<Recovery> {
    receipts.iter().rev().filter(|receipt| receipt.step.other_major().is_none()).find_map(|receipt| receipt.recovery)
}

fn attempt(Failed { run, word, .. }: Failed) -> Attempt {
    told(run, word.as_ref())
}

/// The run of a point, if it failed after its commit.
fn after_commit(point: &Point) -> Option<Attempt> {
    point.failed.as_ref().map(|word| told(point.summary.run.clone(), Some(word)))
}

/// A run that failed, as its word tells it.
fn told(run: RunId, word: Option<&Result<FailedRun, String>>) -> Attempt {
    let started = run.started();
    let (ended, host, cause) = match word {
        None => (None, None, Cause::Died),
        Some(Err(_)) => (None, None, Cause::Unreadable),
        Some(Ok(word)) => (Some(word.ended), Some(word.host.clone()), cause(word)),
    };
    Attempt { run, started, ended, host, cause }
}

fn cause(word: &FailedRun) -> Cause {
    match (word.outcome, &word.node) {
        (End::Failed, Some(node)) => Cause::Failed(format!("{node}: {}", word.error)),
        (End::Failed, None) => Cause::Failed(word.error.clone()),
        (End::Cancelled, _) => Cause::Stopped(word.error.clone()),
        (End::Refused, _) => {
            // Whoever is told of several pipelines is told which; here there is one.
            let error = word.error.strip_prefix(&format!("{}: ", word.pipeline)).unwrap_or(&word.error);
            Cause::Refused(error.to_owned())
        }
    }
}
