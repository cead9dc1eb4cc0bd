//! What a run that failed leaves in its stores, so that whoever asks them from another machine hears of it.
//!
//! Only where it made no restore point: one that is there tells by its receipts what failed after it. Leaving word never fails a run a
//! second time; what could not be told is a note.

use jiff::Timestamp;

use crate::diagnostic::Failure;
use crate::ids::RefName;
use crate::plan::Plan;
use crate::runtime::{OpenError, Runtime};
use crate::store::StoreError;
use crate::store::failed::{End, FailedRun, add_failed};
use crate::store::manifest::{VERSION, manifest_key};

/// Leaves word of a failed run in each store that it would have committed to. Answers what could not be done, in words.
pub fn leave_word(plan: &Plan, runtime: &Runtime, outcome: End, failure: Option<&Failure>) -> Vec<String> {
    // Whoever asked twice wants it to end now.
    if runtime.abort.check().is_err() {
        return Vec::new();
    }
    let word = word(runtime, outcome, failure);
    let told = plan.commits_to().into_iter().filter_map(|name| {
        let error = in_store(runtime, &name, &word).err()?;
        Some(format!("{name}: that this run failed could not be noted there: {error}"))
    });
    told.collect()
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

fn in_store(runtime: &Runtime, name: &RefName, word: &FailedRun) -> Result<(), Untold> {
    let store = runtime.store(name)?;
    let committed = store.head(&manifest_key(&word.pipeline, &word.run))?.is_some_and(|manifest| manifest.bytes > 0);
    if !committed {
        add_failed(&*store, word)?;
    }
    Ok(())
}
