//! What one node has added to the ledger, as it is kept for a process that goes on with the run.
//!
//! Fingerprints are not among it: they name every object of a database and are kept in the store, protected as the dump is; whoever needs one
//! reads it back from there. Nor is the draft of a manifest, which a later process must not take for one that was written. This file does
//! not write anything anywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::{Brought, CopiedPoint, Landed, Ledger, Verification};
use crate::ids::StepId;
use crate::store::Stored;
use crate::store::manifest::{Artifact, Origin};
use crate::store::recall::Recalled;

/// What one node has added to the ledger.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Added {
    /// The artifacts it stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<StepId, Artifact>,
    /// The artifacts of earlier runs that it read back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recalled: BTreeMap<StepId, Recalled>,
    /// What it read that this program did not make.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub foreign: BTreeMap<StepId, Origin>,
    /// The verifications it took part in, as far as they were then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verifications: BTreeMap<StepId, Verification>,
    /// What it wants said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<(StepId, String)>,
    /// The restore points that it copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopiedPoint>,
    /// The commit, if it was made by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Stored>,
    /// The database that was made by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landed: Option<Landed>,
    /// What was brought by then into a database that was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought: Option<Brought>,
}

impl Ledger {
    /// What stands in it under these steps, and what a run has only one of.
    pub fn added_by(&self, steps: &[&StepId]) -> Added {
        Added {
            artifacts: chosen(&self.artifacts, steps),
            recalled: chosen(&self.recalled, steps),
            foreign: chosen(&self.foreign, steps),
            verifications: chosen(&self.verifications, steps),
            said: self.said.iter().filter(|(step, _)| steps.contains(&step)).cloned().collect(),
            copies: self.copies.iter().filter(|copy| steps.contains(&&copy.step)).cloned().collect(),
            committed: self.committed.clone(),
            landed: self.landed.clone(),
            brought: self.brought.clone(),
        }
    }

    /// Takes in what a node has added in an earlier process.
    pub fn add(&mut self, added: Added) {
        let Added { artifacts, recalled, foreign, verifications, said, copies, committed, landed, brought } = added;
        self.artifacts.extend(artifacts);
        self.recalled.extend(recalled);
        self.foreign.extend(foreign);
        self.verifications.extend(verifications);
        self.said.extend(said.into_iter().filter(|said| !self.said.contains(said)).collect::<Vec<_>>());
        self.copies.extend(copies);
        self.committed = committed.or(self.committed.take());
        self.landed = landed.or(self.landed.take());
        self.brought = brought.or(self.brought.take());
    }
}

fn chosen<T: Clone>(all: &BTreeMap<StepId, T>, steps: &[&StepId]) -> BTreeMap<StepId, T> {
    all.iter().filter(|(step, _)| steps.contains(step)).map(|(step, what)| (step.clone(), what.clone())).collect()
}
