//! Rows of the backup log: what a run knows of itself, and what a store keeps of a run.
//!
//! Both give the same rows for the same restore point, so that recording a run and reading its store later agree. This file
//! writes nothing.

use jiff::Timestamp;

use crate::ids::StepId;
use crate::postgres::backup_log::{Entry, Raised, Status};
use crate::runtime::{Ledger, Verification};
use crate::step::Cx;
use crate::step::notify::{Facts, Outcome};
use crate::step::tell::facts;
use crate::store::commit::earned;
use crate::store::manifest::{Artifact, Level, Manifest, Receipt};

/// What a run has to record.
pub(super) struct Rows {
    pub(super) entries: Vec<Entry>,
    /// Earlier runs' objects that it verified.
    pub(super) raised: Vec<Raised>,
}

/// The rows of the run that goes on: one an object, one a verification of an earlier run's object, and one where there is
/// neither. `kind` is what the run is for.
pub(super) fn of_run(ledger: &Ledger, kind: &str, cx: &Cx<'_>) -> Rows {
    let run = Run { ledger, facts: facts(ledger, cx), runner: &cx.runtime.facts.runner };
    let mut entries: Vec<Entry> = ledger.artifacts.values().map(|artifact| run.stored(artifact)).collect();
    let recalled = ledger.verifications.iter().filter(|(_, found)| !ledger.artifacts.contains_key(&found.artifact));
    let mut raised = Vec::new();
    for (step, found) in recalled {
        let Some(point) = ledger.recalled.get(&found.artifact) else { continue };
        let key = point.artifact.object.key.clone();
        let verified = run.verified(step, found);
        raised.extend(verified.map(|at| Raised { run: point.run.to_string(), key: key.clone(), level: found.level.to_string(), at }));
        entries.push(Entry {
            key,
            store: point.artifact.store.to_string(),
            started: found.started,
            level: Some(found.level.to_string()),
            verified,
            ..run.bare("verify")
        });
    }
    if entries.is_empty() {
        entries.push(run.bare(kind));
    }
    Rows { entries, raised }
}

struct Run<'a> {
    ledger: &'a Ledger,
    facts: Facts,
    runner: &'a str,
}

impl Run<'_> {
    /// The run itself, with no object.
    fn bare(&self, kind: &str) -> Entry {
        let Facts { outcome, error, warnings, .. } = &self.facts;
        let (status, error) = match outcome {
            Outcome::Success => (Status::Success, None),
            Outcome::Warning => (Status::Warned, Some(warnings.join("\n"))),
            Outcome::Failure => (Status::Failed, error.clone()),
            Outcome::Cancelled => (Status::Failed, error.clone().or_else(|| Some("the run was stopped".to_owned()))),
        };
        Entry {
            run: self.facts.run.to_string(),
            pipeline: self.facts.pipeline.to_string(),
            kind: kind.to_owned(),
            key: String::new(),
            store: String::new(),
            size_bytes: None,
            plain_bytes: None,
            started: self.facts.started,
            finished: self.facts.finished,
            status,
            error,
            level: None,
            verified: None,
            uploaded: false,
            host: self.facts.host.clone(),
            runner: self.runner.to_owned(),
        }
    }

    /// An object; it has a level only once it is part of a restore point.
    fn stored(&self, artifact: &Artifact) -> Entry {
        let found = self.ledger.verifications.iter().filter(|(_, found)| found.artifact == artifact.step);
        let level = found.clone().map(|(_, found)| found.level).max().unwrap_or(Level::Stored);
        Entry {
            level: self.ledger.committed.as_ref().map(|_| level.to_string()),
            verified: found.filter_map(|(step, found)| self.verified(step, found)).max(),
            ..of_artifact(artifact, self.bare(""))
        }
    }

    /// When a verification succeeded; `None` if it did not.
    fn verified(&self, step: &StepId, found: &Verification) -> Option<Timestamp> {
        let part = format!("{step}:");
        let own = |node: &str| node == step.as_str() || node.starts_with(&part);
        let failed = self.ledger.nodes.iter().any(|record| own(record.node.as_str()) && record.error.is_some());
        (!failed && found.level >= Level::Restored).then_some(self.facts.finished)
    }
}

fn of_artifact(artifact: &Artifact, run: Entry) -> Entry {
    Entry {
        kind: artifact.origin.kind.clone(),
        key: artifact.object.key.clone(),
        store: artifact.store.to_string(),
        size_bytes: Some(artifact.object.bytes),
        plain_bytes: Some(artifact.origin.bytes),
        started: artifact.started,
        finished: artifact.finished,
        uploaded: true,
        ..run
    }
}

/// The rows of a restore point as stores keep it: its manifest, and the receipts beside each copy of it.
pub fn of_point(manifest: &Manifest, receipts: &[Receipt]) -> Vec<Entry> {
    let row = |artifact: &Artifact| {
        let about = receipts.iter().filter(|receipt| receipt.run == manifest.run && receipt.key == artifact.object.key);
        let newest = about.clone().max_by_key(|receipt| receipt.finished);
        let error = newest.and_then(|receipt| receipt.failure.clone());
        let level = earned(about.clone()).unwrap_or(Level::Stored);
        let run = Entry {
            run: manifest.run.to_string(),
            pipeline: manifest.pipeline.to_string(),
            kind: String::new(),
            key: String::new(),
            store: String::new(),
            size_bytes: None,
            plain_bytes: None,
            started: manifest.started,
            finished: manifest.committed,
            status: if error.is_some() { Status::Failed } else { Status::Success },
            error,
            level: Some(level.to_string()),
            verified: about.filter(|receipt| receipt.failure.is_none()).map(|receipt| receipt.finished).max(),
            uploaded: true,
            host: manifest.host.clone(),
            runner: manifest.runner.clone(),
        };
        of_artifact(artifact, run)
    };
    manifest.artifacts.iter().map(row).collect()
}
