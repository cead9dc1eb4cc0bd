//! The commit: the one object that makes what a run stored a restore point.
//!
//! Written last and create-only, into every store that keeps an artifact, and only while this run holds its lease there. A second attempt writes the very same bytes, so one
//! that half succeeded is completed and not contradicted. How to restore it without `runner` goes beside it. This file stores no data.

use jiff::Timestamp;

use super::work::Commit;
use super::{Cx, PerformEffect, StepError};
use crate::diagnostic::Class;
use crate::ids::StepId;
use crate::store::commit::commit;
use crate::store::kit;
use crate::store::manifest::{Artifact, Level, Manifest, VERSION, manifest_key};
use crate::store::{ObjectMeta, ObjectStore};

impl PerformEffect for Commit {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let manifest = match cx.runtime.ledger(|ledger| ledger.manifest.clone()) {
            Some(earlier) => earlier,
            None => self.manifest(cx)?,
        };
        cx.runtime.ledger(|ledger| ledger.manifest = Some(manifest.clone()));
        for name in &self.stores {
            let store = cx.runtime.store(name)?;
            // The recipe first: after the manifest there is a restore point, and it must not lack anything.
            kit::add_recipe(&*store, name, &manifest)?;
            let stored = match cx.runtime.lease(name) {
                Some(lease) => lease.commit(&manifest),
                None => commit(&*store, &manifest),
            };
            let stored = stored.inspect_err(|_| look_again(&*store, &manifest, cx))?;
            cx.reports.note(format!("restore point {} in {name}", manifest.run));
            cx.runtime.ledger(|ledger| ledger.committed = Some(stored));
            cx.reports.note_all(kit::add_kit(&*store, &manifest.pipeline));
        }
        Ok(())
    }
}

/// A commit that failed at its answer, or when it was read back, may have come about all the same: the end of the run must not deny it.
fn look_again(store: &dyn ObjectStore, manifest: &Manifest, cx: &Cx<'_>) {
    // An empty object says that the run was ruled out.
    let absent = |found: Option<ObjectMeta>| found.is_none_or(|object| object.bytes == 0);
    let unconfirmed = !store.head(&manifest_key(&manifest.pipeline, &manifest.run)).is_ok_and(absent);
    cx.runtime.ledger(|ledger| ledger.unconfirmed |= unconfirmed);
}

impl Commit {
    fn manifest(&self, cx: &Cx<'_>) -> Result<Manifest, StepError> {
        let facts = &cx.runtime.facts;
        let artifact = |step: &StepId| cx.runtime.ledger(|ledger| ledger.artifacts.get(step).cloned());
        let missing = |step: &StepId| StepError::new(Class::Failed, format!("`{step}` stored nothing, so there is nothing to commit"));
        let artifacts: Result<Vec<Artifact>, StepError> =
            self.artifacts.iter().map(|step| artifact(step).ok_or_else(|| missing(step))).collect();
        Ok(Manifest {
            version: VERSION,
            run: facts.run.clone(),
            pipeline: facts.pipeline.clone(),
            source_sha256: facts.source_sha256.clone(),
            git_commit: facts.git_commit.clone(),
            runner: facts.runner.clone(),
            host: facts.host.clone(),
            started: facts.run.started(),
            committed: Timestamp::now(),
            level: Level::Stored,
            artifacts: artifacts?,
            timings: cx.runtime.ledger(|ledger| ledger.nodes.iter().map(|record| (record.node.clone(), record.took)).collect()),
            fences: cx.runtime.fences().into_iter().filter(|(name, _)| self.stores.contains(name)).collect(),
            copied: None,
        })
    }
}
