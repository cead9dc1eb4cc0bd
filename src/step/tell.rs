//! Telling how the run went: the ledger becomes the facts that a notification speaks of.
//!
//! A notification is a step of the run it tells of, so its facts are those up to now. What it says is the kind's own affair.

use std::time::Duration;

use jiff::Timestamp;

use super::complete::{UNCHECKED, in_words};
use super::copy::too_few;
use super::notify::{ArtifactFact, CopyFact, Delivery, Facts, Notify, Outcome};
use super::web::LITERAL_SECRET;
use super::{Cx, PerformEffect, Problem, References, StepError, StepKind, recovery};
use crate::ids::{NodeId, StepId};
use crate::runtime::{CopiedPoint, Ledger};

impl StepKind for Notify {
    fn references(&self) -> References<'_> {
        References { secrets: self.secrets(), ..References::default() }
    }

    fn words(&self) -> String {
        format!("by {}", self.channel_name())
    }

    fn problems(&self) -> Vec<Problem> {
        let pointer = |field: String| if field.is_empty() { field } else { format!("/{field}") };
        let code = |message: &str| if message == LITERAL_SECRET { "literal-secret" } else { "bad-notification" };
        let said = |field: &str, message: &str| {
            let mut parts = field.rsplit('/').filter(|part| !part.is_empty());
            match (parts.next().map(|part| (part, part.parse::<usize>())), parts.next()) {
                (Some((_, Ok(index))), Some(list)) => format!("item {} of `{list}` {message}", index + 1),
                (Some((name, _)), _) => format!("`{name}` {message}"),
                (None, _) => format!("it {message}"),
            }
        };
        let problems = Notify::problems(self).into_iter();
        problems.map(|(field, message)| Problem::error(code(&message), pointer(field.clone()), said(&field, &message))).collect()
    }

    /// Its channel tries again by itself, within a limit of its own; a policy for streams would multiply that.
    fn repeatable(&self) -> bool {
        false
    }
}

impl PerformEffect for Notify {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let facts = cx.runtime.ledger(|ledger| facts(ledger, cx));
        match self.send(cx.runtime.secrets(), &facts, cx.cancel)? {
            Delivery::Sent { text } if self.stdout.is_some() => cx.runtime.ledger(|ledger| ledger.said.push((cx.step.clone(), text))),
            Delivery::Sent { .. } => cx.reports.note(format!("told by {}", self.channel_name())),
            Delivery::Skipped { why } => cx.reports.note(format!("skipped: {why}")),
        }
        Ok(())
    }
}

/// The facts of the run up to now.
pub(super) fn facts(ledger: &Ledger, cx: &Cx<'_>) -> Facts {
    let run = &cx.runtime.facts;
    let failed = ledger.nodes.iter().find(|record| !record.good && !record.warn_only && record.error.is_some());
    let warned = ledger.nodes.iter().filter(|record| record.warn_only).filter_map(|record| record.error.clone());
    let warnings: Vec<String> = warned.collect();
    let outcome = match (failed.is_some(), warnings.is_empty()) {
        _ if cx.runtime.cancel.check().is_err() => Outcome::Cancelled,
        (true, _) => Outcome::Failure,
        (false, false) => Outcome::Warning,
        (false, true) => Outcome::Success,
    };
    let finished = Timestamp::now();
    let lacking = || ledger.artifacts.values().filter_map(|artifact| artifact.completeness.as_ref());
    let unchecked = lacking().filter_map(|found| found.unchecked.as_ref()).map(|why| format!("{UNCHECKED}: {why}"));
    let too_slow = ledger.too_slow().as_ref().and_then(recovery::warning);
    let verified = ledger.best();
    let recovery = verified.and_then(|verification| verification.recovery);
    Facts {
        pipeline: run.pipeline.clone(),
        run: run.run.clone(),
        outcome,
        level: ledger.level(),
        started: run.run.started(),
        finished,
        duration: Duration::try_from(finished.duration_since(run.run.started())).unwrap_or_default(),
        bytes_in: ledger.artifacts.values().map(|artifact| artifact.origin.bytes).sum(),
        bytes_out: ledger.artifacts.values().map(|artifact| artifact.object.bytes).sum(),
        artifacts: ledger.artifacts.values().map(artifact).collect(),
        copies: ledger.copies.iter().filter(|copy| !copy.already).map(copy).collect(),
        failed_step: failed.and_then(|record| step_of(&record.node)),
        error: failed.and_then(|record| record.error.clone()),
        warnings: warnings.into_iter().chain(unchecked).chain(too_slow).chain(ledger.too_few_copies().map(too_few)).collect(),
        left_out: lacking().flat_map(in_words).collect(),
        tables: verified.filter(|verification| !verification.tables.is_empty()).map(|verification| verification.tables.len() as u64),
        recovery: recovery.map(|recovery| recovery.took),
        recovery_bytes_per_second: recovery.map(|recovery| recovery.bytes_per_second()),
        rto: recovery.and_then(|recovery| recovery.objective),
        host: run.host.clone(),
        checks: verified.map(|verification| verification.checks.clone()).unwrap_or_default(),
    }
}

fn artifact(artifact: &crate::store::manifest::Artifact) -> ArtifactFact {
    ArtifactFact {
        step: artifact.step.clone(),
        store: artifact.store.clone(),
        key: artifact.object.key.clone(),
        bytes: artifact.object.bytes,
    }
}

fn copy(copy: &CopiedPoint) -> CopyFact {
    CopyFact { step: copy.step.clone(), store: copy.to.clone(), run: copy.run.clone(), bytes: copy.bytes }
}

/// The step a node began with; the commit has none.
fn step_of(node: &NodeId) -> Option<StepId> {
    StepId::new(node.as_str().split(':').next()?).ok()
}
