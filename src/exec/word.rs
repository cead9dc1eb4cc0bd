//! What a run that failed leaves in its stores, so that whoever asks them from another machine hears of it.
//!
//! Where it made no restore point, in the place of one; where it did, beside it, unless the receipt of a verification tells it there. A
//! run that is gone on with and ends well takes the latter back. Leaving word never fails a run a second time; what could not be told is
//! a note.

use jiff::Timestamp;

use crate::diagnostic::Failure;
use crate::ids::RefName;
use crate::plan::Plan;
use crate::runtime::{OpenError, Runtime};
use crate::store::ended::{add_ended, failed_after};
use crate::store::failed::{End, FailedRun, add_failed};
use crate::store::manifest::{VERSION, manifest_key};
use crate::store::{ObjectStore, StoreError, commit};

/// Leaves word of a failed run in each store that it would have committed to. Answers what could not be done, in words.
pub fn leave_word(plan: &Plan, runtime: &Runtime, outcome: End, failure: Option<&Failure>) -> Vec<String> {
    // Whoever asked twice wants it to end now.
    if runtime.abort.check().is_err() {
        return Vec::new();
    }
    let (word, stores) = (word(runtime, outcome, failure), plan.commits_to());
    let is_told = only_verifications(runtime) && stores.iter().any(|name| is_told(runtime, name).unwrap_or(false));
    let told = stores.into_iter().filter_map(|name| {
        let error = in_store(runtime, &name, &word, is_told).err()?;
        Some(format!("{name}: that this run failed could not be noted there: {error}"))
    });
    told.collect()
}

/// Takes back, in each store of a run that was gone on with and has ended well, that it had failed after its commit. Answers what could
/// not be done, in words.
pub fn take_back(plan: &Plan, runtime: &Runtime) -> Vec<String> {
    let told = plan.commits_to().into_iter().filter_map(|name| {
        let error = taken_back(runtime, &name).err()?;
        Some(format!("{name}: that this run has ended well after all could not be noted there: {error}"))
    });
    told.collect()
}

fn taken_back(runtime: &Runtime, name: &RefName) -> Result<(), Untold> {
    let (store, facts) = (runtime.store(name)?, &runtime.facts);
    if failed_after(&*store, &facts.pipeline, &facts.run)?.is_some() {
        add_ended(&*store, (&facts.pipeline, &facts.run), None, Timestamp::now())?;
    }
    Ok(())
}

/// Whether nothing failed but verifications.
fn only_verifications(runtime: &Runtime) -> bool {
    runtime.ledger(|ledger| {
        let mut failed = ledger.nodes.iter().filter(|record| !record.good && !record.warn_only && record.error.is_some());
        failed.all(|record| ledger.verifies(&record.node))
    })
}

/// Whether a receipt beside the restore point tells of a failure.
fn is_told(runtime: &Runtime, name: &RefName) -> Result<bool, Untold> {
    let found = commit::receipts(&*runtime.store(name)?, &runtime.facts.pipeline, &runtime.facts.run)?;
    Ok(commit::last_failure(&found.read).is_some())
}

fn word(runtime: &Runtime, outcome: End, failure: Option<&Failure>) -> FailedRun {
    let facts = &runtime.facts;
    let first = runtime.ledger(|ledger| {
        let failed = ledger.nodes.iter().find(|record| !record.good && !record.warn_only && record.error.is_some());
        failed.map(|record| (record.node.clone(), record.error.clone().unwrap_or_default()))
    });
    let (node, error) = first.filter(|_| outcome != End::Refused).unzip();
    let said = failure.map(|failure| failure.message.clone()).or(error);
    let unknown = || if outcome == End::Cancelled { "it was asked to stop" } else { "it failed" }.to_owned();
    FailedRun {
        version: VERSION,
        run: facts.run.clone(),
        pipeline: facts.pipeline.clone(),
        started: facts.run.started(),
        ended: Timestamp::now(),
        host: facts.host.clone(),
        outcome,
        node,
        error: said.unwrap_or_else(unknown),
    }
}

#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn in_store(runtime: &Runtime, name: &RefName, word: &FailedRun, is_told: bool) -> Result<(), Untold> {
    let store = runtime.store(name)?;
    if !is_committed(&*store, word)? {
        add_failed(&*store, word)?;
    } else if !is_told {
        add_ended(&*store, (&word.pipeline, &word.run), Some(word), word.ended)?;
    }
    Ok(())
}

fn is_committed(store: &dyn ObjectStore, word: &FailedRun) -> Result<bool, StoreError> {
    Ok(store.head(&manifest_key(&word.pipeline, &word.run))?.is_some_and(|manifest| manifest.bytes > 0))
}
