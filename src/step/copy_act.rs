//! Carrying a `copy` out: the points that the plan names, those that have come to be missed since, and the one that this run has
//! committed, oldest first.
//!
//! It is looked once more because a plan may be older than the commit of another run, whose own copy failed: a newer point that is copied
//! before it would hide it for good. One point that is damaged where it is read keeps no newer one from being copied; it is noted as owed,
//! tried again by each run, and fails the step at its end the first time. Any other failure ends the attempt, and what was copied stays.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::copy::{CopyWork, newest};
use super::{Cx, PerformEffect, StepError};
use crate::diagnostic::Class;
use crate::ids::{PipelineName, RefName, RunId};
use crate::quantity::{brief, bytes};
use crate::runtime::{CopiedPoint, TakeError};
use crate::store::carry::Watch;
use crate::store::catalog::look_again;
use crate::store::commit::{self, MANIFEST_LIMIT, add_receipt, read_manifest};
use crate::store::lease::LeaseError;
use crate::store::manifest::{Artifact, Level, Manifest, Receipt, VERSION, manifest_key};
use crate::store::missed::{Missed, missed};
use crate::store::replica::{Copying, Replica};
use crate::store::{ObjectStore, StoreError, owed};
use crate::stream::Cancel;
use crate::stream::meter::Meter;
use crate::words::count;

impl PerformEffect for CopyWork {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        if let Some(failure) = &self.unread {
            let error =
                StepError { transient: failure.class == Class::Transient, ..StepError::new(failure.class, failure.message.clone()) };
            return Err(failure.hint.iter().fold(error, StepError::hint));
        }
        if self.missed.is_none() && !self.own {
            return Err(
                StepError::new(Class::Failed, "this plan was made without looking at the stores: nothing is copied").hint("plan again")
            );
        }
        // A lease that is lost stops what this attempt does, and is then told as that and not as a request to stop.
        let stop = Cancel::new();
        let passed_on = stop.clone();
        let _linked = cx.cancel.on_cancel(move || passed_on.cancel("the attempt was asked to stop", false));
        let waits = cx.reports.quiet();
        let lease = cx.runtime.step_lease(&self.with.to, &stop, &|words| cx.reports.note(words)).map_err(refused)?;
        drop(waits);
        let done = self.all(&Cx { cancel: &stop, ..*cx }, lease.held().map(|held| &**held));
        let lost = lease.lost().filter(|_| done.is_err());
        cx.reports.note_all(lease.end());
        lost.map_or(done, |why| Err(StepError::new(Class::Locked, why).hint("the next run copies what this one could not")))
    }
}

fn refused(error: TakeError) -> StepError {
    match error {
        TakeError::Open(error) => error.into(),
        TakeError::Lease(LeaseError::Store(error)) => error.into(),
        TakeError::Lease(LeaseError::Stopped(error)) => error.into(),
        TakeError::Lease(error @ (LeaseError::Taken { .. } | LeaseError::Unreadable { .. })) => {
            StepError::new(Class::Locked, error.to_string()).hint("the next run copies what this one could not")
        }
        TakeError::Lease(error @ LeaseError::Unfit { .. }) => StepError::new(Class::Failed, error.to_string())
            .hint("use a store that honours If-Match and If-None-Match; or write `concurrency: { lease: false }`"),
    }
}

/// How much has moved, for whoever watches.
struct Moved {
    copied: Meter,
    read_back: Meter,
}

impl CopyWork {
    fn all(&self, cx: &Cx<'_>, lease: Option<&crate::store::lease::Held>) -> Result<(), StepError> {
        let from = cx.runtime.store(&self.from)?;
        // Under a lease, what a copy writes is noted as a copy's, and not as what this run stores itself.
        let to = lease.map_or_else(|| cx.runtime.store(&self.with.to), |lease| Ok(std::sync::Arc::clone(lease.store())))?;
        let facts = &cx.runtime.facts;
        let (run, host, at) = (&facts.run, facts.host.as_str(), Timestamp::now());
        let copying = Copying { from: (&self.from, &*from), to: (&self.with.to, &*to), lease, mend: false, at, run, host };
        let pipeline = self.with.pipeline.as_ref().unwrap_or(&facts.pipeline);
        let missed = missed((&*from, &self.from), &*to, pipeline)?;
        self.owe(&missed, &copying, pipeline)?;
        let moved = Moved { copied: cx.reports.meter("copied"), read_back: cx.reports.meter("read back") };
        let mut damaged = None;
        for run in self.points(&missed, cx)? {
            cx.cancel.check()?;
            match self.one((pipeline, &run), &copying, &moved, cx) {
                Ok(()) if missed.owed.contains(&run) => owed::settle(&*to, pipeline, &run)?,
                Ok(()) => {}
                Err(error) if error.class == Class::Verification => {
                    owed::owe(&*to, pipeline, &run, &error.message)?;
                    cx.reports.note(format!("{run} was not copied: {error}"));
                    // Told each time, and a failure once: one after the other would hold back retention for good.
                    damaged = damaged.or((!missed.owed.contains(&run)).then_some(error));
                }
                Err(error) => return Err(error),
            }
        }
        damaged.map_or(Ok(()), Err)
    }

    /// Notes what can not be copied before anything newer is, and forgets what is there by now.
    fn owe(&self, missed: &Missed, copying: &Copying<'_>, pipeline: &PipelineName) -> Result<(), StoreError> {
        let to = copying.to.1;
        missed.unfit.iter().filter(|_| self.with.catch_up != Some(0)).try_for_each(|(run, why)| owed::owe(to, pipeline, run, why))?;
        missed.settled.iter().try_for_each(|run| owed::settle(to, pipeline, run))
    }

    /// The points to copy, oldest first.
    fn points(&self, missed: &Missed, cx: &Cx<'_>) -> Result<BTreeSet<RunId>, StepError> {
        let own = &cx.runtime.facts.run;
        let since = missed.points.iter().filter(|point| point.run != *own).cloned().collect();
        let (since, _) = newest(since, self.with.catch_up);
        let mut runs: BTreeSet<RunId> =
            self.missed.iter().flatten().chain(&since).map(|point| point.run.clone()).chain(missed.untold.clone()).collect();
        if self.own {
            let committed = cx.runtime.ledger(|ledger| ledger.committed.is_some());
            let none = || StepError::new(Class::Failed, "this run has committed no restore point, so there is none to copy");
            runs.insert(committed.then(|| own.clone()).ok_or_else(none)?);
        }
        Ok(runs)
    }

    fn one(&self, point: (&PipelineName, &RunId), copying: &Copying<'_>, moved: &Moved, cx: &Cx<'_>) -> Result<(), StepError> {
        let (run, from, to) = (point.1, copying.from, copying.to);
        let began = Instant::now();
        let Some(manifest) = original(from.1, point)? else {
            cx.reports.note(format!("{run} is on the way out of {} by now: it is not copied", from.0));
            return Ok(());
        };
        let started = Timestamp::now();
        let watch = Watch { cancel: cx.cancel, sent: &|bytes| moved.copied.add(bytes), read: &|bytes| moved.read_back.add(bytes) };
        let replica = copying.copy(&manifest, &watch)?;
        if !replica.already {
            receipts(to, &replica.manifest, started, cx)?;
        } else if is_untold(to.1, &replica.manifest)? {
            // Whoever copied it was killed before it could tell what it had read.
            copying.read_again(&replica.manifest, &watch)?;
            receipts(to, &replica.manifest, started, cx)?;
        }
        self.told(run, &replica, began.elapsed(), cx);
        Ok(())
    }

    fn told(&self, run: &RunId, replica: &Replica, took: Duration, cx: &Cx<'_>) {
        let (to, size, objects) = (&self.with.to, bytes(replica.bytes), count(replica.objects, "object"));
        cx.reports.note(if replica.already {
            format!("{run} is in {to} already: {objects}, {size}")
        } else {
            let found = if replica.found > 0 { format!(", {} of them there before", replica.found) } else { String::new() };
            format!("{run} is in {to} now: {objects}, {size}{found}, all read back, in {}", brief(took))
        });
        cx.reports.note_all(replica.notes.iter().cloned());
        let here = |artifact: &&Artifact| artifact.store == *to;
        let parts = replica.manifest.artifacts.iter().filter(here).map(|artifact| artifact.step.clone()).collect();
        let point = CopiedPoint {
            step: cx.step.clone(),
            run: run.clone(),
            from: self.from.clone(),
            to: to.clone(),
            objects: replica.objects,
            bytes: replica.bytes,
            parts,
            already: replica.already,
        };
        // A second attempt finds what the first has copied.
        cx.runtime.ledger(|ledger| {
            if !ledger.copies.iter().any(|known| known.run == point.run && known.to == point.to) {
                ledger.copies.push(point);
            }
        });
    }
}

/// The manifest of a point that stays; `None` for one that is on the way out, or gone.
fn original(from: &dyn ObjectStore, (pipeline, run): (&PipelineName, &RunId)) -> Result<Option<Manifest>, StepError> {
    let (_, marks) = look_again(from, pipeline, run)?;
    let key = manifest_key(pipeline, run);
    let bytes = match from.get_bytes(&key, MANIFEST_LIMIT) {
        Err(StoreError::Missing { .. }) => return Ok(None),
        other => other?,
    };
    if marks.tombstoned.is_some() {
        return Ok(None);
    }
    let unusable = |why: String| StepError::new(Class::Verification, format!("{}: {key}: {why}", from.describe()));
    let manifest = read_manifest(&bytes).map_err(|why| unusable(why.to_string()))?;
    if manifest.run == *run && manifest.pipeline == *pipeline {
        return Ok(Some(manifest));
    }
    Err(unusable(format!("it is that of {} {}", manifest.pipeline, manifest.run)))
}

/// Whether nothing at all was verified of a copy.
fn is_untold(store: &dyn ObjectStore, manifest: &Manifest) -> Result<bool, StoreError> {
    let found = commit::receipts(store, &manifest.pipeline, &manifest.run)?;
    Ok(found.read.is_empty() && found.unreadable.is_empty())
}

/// Keeps beside the copy that every object of it was read back: one receipt an artifact.
fn receipts((name, store): (&RefName, &dyn ObjectStore), manifest: &Manifest, started: Timestamp, cx: &Cx<'_>) -> Result<(), StepError> {
    let mut earlier = None;
    for artifact in manifest.artifacts.iter().filter(|artifact| artifact.store == *name) {
        // Its key tells receipts of one step apart by the second.
        while earlier.is_some_and(|earlier| Timestamp::now().as_second() <= earlier) {
            cx.cancel.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        let finished = Timestamp::now();
        earlier = Some(finished.as_second());
        add_receipt(store, &receipt(manifest, artifact, (started, finished), cx))?;
    }
    Ok(())
}

fn receipt(manifest: &Manifest, artifact: &Artifact, (started, finished): (Timestamp, Timestamp), cx: &Cx<'_>) -> Receipt {
    Receipt {
        version: VERSION,
        run: manifest.run.clone(),
        pipeline: manifest.pipeline.clone(),
        step: cx.step.clone(),
        key: artifact.object.key.clone(),
        level: Level::ReadBack,
        failure: None,
        fault: None,
        opened_by: None,
        started,
        finished,
        server_version: None,
        restore_took: None,
        database_bytes: None,
        tables: Vec::new(),
        checks: Vec::new(),
        proof: None,
        recovery: None,
    }
}
