//! Rows of the backup log: what a run knows of itself, and what a store keeps of a run.
//!
//! Both give the same rows for the same restore point, so that recording a run and reading its store later agree. This file
//! writes nothing.

use jiff::Timestamp;

use crate::ids::{PipelineName, RefName, StepId};
use crate::postgres::backup_log::{Entry, Raised, Status};
use crate::runtime::{CopiedPoint, Ledger, Verification};
use crate::step::Cx;
use crate::step::notify::{Facts, Outcome};
use crate::step::tell::facts;
use crate::store::commit::{earned, last_failure};
use crate::store::manifest::{Artifact, Level, Manifest, Receipt};
use crate::store::recent::Failed;

/// What a run has to record.
pub(super) struct Rows {
    pub(super) entries: Vec<Entry>,
    /// Earlier runs' objects that it verified.
    pub(super) raised: Vec<Raised>,
}

/// The rows of the run that goes on: one an object and store, one a verification of an earlier run's object, and one where there is
/// neither. `kind` is what the run is for.
pub(super) fn of_run(ledger: &Ledger, kind: &str, cx: &Cx<'_>) -> Rows {
    let run = Run { ledger, facts: facts(ledger, cx), runner: &cx.runtime.facts.runner };
    let mut entries: Vec<Entry> = ledger.artifacts.values().map(|artifact| run.stored(artifact)).collect();
    entries.extend(ledger.copies.iter().filter(|copy| copy.run == run.facts.run).flat_map(|copy| run.copied(copy)));
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
            answered: Vec::new(),
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

    /// The objects of this run in a store that has them from another: what a copy proves is that they were read back.
    fn copied<'r>(&'r self, copy: &'r CopiedPoint) -> impl Iterator<Item = Entry> + 'r {
        let parts = copy.parts.iter().filter_map(|step| self.ledger.artifacts.get(step));
        parts.map(|artifact| Entry {
            store: copy.to.to_string(),
            level: Some(Level::ReadBack.to_string()),
            verified: None,
            ..self.stored(artifact)
        })
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

/// The rows of a restore point as one store keeps it: its manifest there, and the receipts beside that. A store may be called otherwise
/// by whoever made the manifest.
pub fn of_point(manifest: &Manifest, receipts: &[Receipt], store: &RefName) -> Vec<Entry> {
    let one = manifest.artifacts.iter().all(|artifact| artifact.store == manifest.artifacts[0].store);
    let here = manifest.artifacts.iter().filter(|artifact| one || artifact.store == *store);
    let row = |artifact: &Artifact| {
        let about = receipts.iter().filter(|receipt| receipt.run == manifest.run && receipt.key == artifact.object.key);
        let about: Vec<Receipt> = about.cloned().collect();
        let error = last_failure(&about).and_then(|receipt| receipt.failure.clone());
        let verified = |receipt: &&Receipt| receipt.failure.is_none() && receipt.level >= Level::Restored;
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
            level: Some(earned(&about).unwrap_or(Level::Stored).to_string()),
            verified: about.iter().filter(verified).map(|receipt| receipt.finished).max(),
            uploaded: true,
            host: manifest.host.clone(),
            runner: manifest.runner.clone(),
            answered: answered(&about, error.as_deref()),
            error,
        };
        Entry { store: store.to_string(), ..of_artifact(artifact, run) }
    };
    here.map(row).collect()
}

/// Failures of verifications that are not the one to tell: a later verification succeeded, or tells another.
fn answered(receipts: &[Receipt], told: Option<&str>) -> Vec<String> {
    let good = |old: &Receipt| {
        let same = |new: &&Receipt| new.finished > old.finished && new.step.other_major() == old.step.other_major();
        receipts.iter().filter(same).any(|new| new.failure.is_none() && new.level >= Level::Restored)
    };
    let old = receipts.iter().filter(|receipt| told.is_some() || good(receipt));
    old.filter_map(|receipt| receipt.failure.clone()).filter(|failure| Some(failure.as_str()) != told).collect()
}

/// The row of a run that made no restore point, as the stores tell of it: by its own word, or because another run has ruled it out.
/// When one died that left no word, nobody knows, so it ends as it begins. `kind` is what runs of the pipeline are for.
pub fn of_failure(failed: &Failed, pipeline: &PipelineName, kind: &str) -> Entry {
    let begun = failed.run.started();
    let (started, finished, host, error) = match &failed.word {
        Some(Ok(word)) => (word.started, word.ended, word.host.clone(), word.error.clone()),
        Some(Err(why)) => (begun, begun, String::new(), format!("it failed, and its word can not be read: {why}")),
        None => (begun, begun, String::new(), "it ended without a word, and a later run has ruled it out".to_owned()),
    };
    Entry {
        run: failed.run.to_string(),
        pipeline: pipeline.to_string(),
        kind: kind.to_owned(),
        key: String::new(),
        store: String::new(),
        size_bytes: None,
        plain_bytes: None,
        started,
        finished,
        status: Status::Failed,
        error: Some(error),
        level: None,
        verified: None,
        uploaded: false,
        host,
        runner: String::new(),
        answered: Vec::new(),
    }
}
