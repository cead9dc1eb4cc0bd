//! The end of a verification: what it found out is kept beside the manifest, and what it ran in is removed.
//!
//! Runs whatever happened before it, so a failed verification leaves its receipt too, and nothing scratch.

use jiff::Timestamp;

use super::load::on_major;
use super::way_back::artifact;
use super::work::Finish;
use super::{Cx, PerformEffect, StepError};
use crate::runtime::Verification;
use crate::store::commit::add_receipt;
use crate::store::manifest::{Fault, Level, Receipt, VERSION, manifest_key};

impl PerformEffect for Finish {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        cx.runtime.remove_scratch(cx.step);
        let verification = cx.runtime.ledger(|ledger| ledger.verifications.get(cx.step).cloned());
        let Some(verification) = verification else {
            cx.reports.note("nothing was verified, so there is no receipt");
            return Ok(());
        };
        let (receipt, store) = (self.receipt(verification, cx)?, cx.runtime.store(&self.store)?);
        // It may have been pruned while this took its time; beside nothing, a receipt would stay for ever.
        if store.head(&manifest_key(&receipt.pipeline, &receipt.run))?.is_none() {
            cx.reports.note(format!("restore point {} is no longer in {}, so there is no receipt", receipt.run, self.store));
            return Ok(());
        }
        add_receipt(&*store, &receipt)?;
        let place = cx.step.other_major().map(|major| format!(" on PostgreSQL {major}")).unwrap_or_default();
        cx.reports.note(format!("level {}{place}", receipt.level));
        Ok(())
    }
}

impl Finish {
    fn receipt(&self, found: Verification, cx: &Cx<'_>) -> Result<Receipt, StepError> {
        let facts = &cx.runtime.facts;
        // What was recalled is told of beside its own manifest.
        let recalled =
            cx.runtime.ledger(|ledger| ledger.recalled.get(&self.artifact).map(|point| (point.run.clone(), point.pipeline.clone())));
        let (run, pipeline) = recalled.unwrap_or_else(|| (facts.run.clone(), facts.pipeline.clone()));
        let stopped = || ("it was stopped before it was done".to_owned(), Fault::Elsewhere);
        let failed = failure(cx).or_else(|| (found.level < Level::Restored).then(stopped));
        // That another version does not take it is no fault of what is stored.
        let fault = |(_, fault): &(String, Fault)| if cx.step.other_major().is_some() { Fault::Elsewhere } else { *fault };
        Ok(Receipt {
            version: VERSION,
            run,
            pipeline,
            step: cx.step.clone(),
            key: artifact(&self.artifact, cx)?.object.key,
            level: found.level,
            fault: failed.as_ref().map(fault),
            failure: failed.map(|(why, _)| on_major(cx.step, why)),
            opened_by: found.opened_by.and_then(|opened| opened.get()),
            started: found.started,
            finished: Timestamp::now(),
            server_version: found.server_version,
            restore_took: found.recovery.map(|recovery| recovery.took),
            database_bytes: found.database_bytes,
            tables: found.tables,
            checks: found.checks,
            proof: found.proof,
            recovery: found.recovery,
        })
    }
}

/// Why this verification went no further, as the executor recorded it, and what that says of the content.
fn failure(cx: &Cx<'_>) -> Option<(String, Fault)> {
    let prefix = format!("{}:", cx.step);
    let own = |node: &crate::ids::NodeId| node.as_str() == cx.step.as_str() || node.as_str().starts_with(&prefix);
    cx.runtime.ledger(|ledger| {
        ledger.nodes.iter().filter(|record| own(&record.node)).find_map(|record| Some((record.error.clone()?, record.fault?)))
    })
}
