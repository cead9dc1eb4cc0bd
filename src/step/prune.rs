//! `prune`: lets restore points go that no rule keeps, in two phases: a tombstone now, the deletion in a run after the grace.
//!
//! What goes was decided when the plan was made, and the plan names every deletion with its reason. This file holds the parameters
//! and what a plan holds of them; it decides and deletes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use super::{Problem, References, StepKind};
use crate::diagnostic::Failure;
use crate::ids::{RefName, RunId};
use crate::retention::{Action, Halt, Policy, Reason, Setting};

/// Deletes this pipeline's restore points that the policy does not keep. Never the newest, the newest proven, a pinned or a needed one; never after a failed run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// The store, as declared under `stores`; only those that `stores` here names unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<RefName>,
    /// Further stores, each judged by the points that it keeps; none unless given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub stores: Vec<RefName>,
    /// How long restore points stay.
    #[serde(flatten)]
    pub policy: Policy,
}

impl Prune {
    /// The stores it is about, each once.
    pub fn all(&self) -> Vec<&RefName> {
        let mut all: Vec<&RefName> = Vec::new();
        for store in self.store.iter().chain(&self.stores) {
            if !all.contains(&store) {
                all.push(store);
            }
        }
        all
    }
}

impl StepKind for Prune {
    fn references(&self) -> References<'_> {
        References { stores: self.all(), ..References::default() }
    }

    fn words(&self) -> String {
        let stores: Vec<&str> = self.all().into_iter().map(RefName::as_str).collect();
        format!("keep {} in {}", self.policy.keep, stores.join(", "))
    }

    fn problems(&self) -> Vec<Problem> {
        let nowhere = self.all().is_empty().then(|| {
            Problem::error("bad-retention", "", "there is no store to delete from").help("write `store: NAME`, or `stores: [NAME, NAME]`")
        });
        let faults = self.policy.faults().into_iter();
        let faults = faults.map(|fault| Problem::error("bad-retention", fault.pointer, fault.message).help(fault.help));
        nowhere.into_iter().chain(faults).collect()
    }
}

/// What a plan holds of a `prune`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneWork {
    /// What was asked for.
    pub with: Prune,
    /// What happens in each store; nothing where nobody looked.
    pub stores: Vec<PruneStore>,
    /// What else of the pipeline it was decided by, for deciding again before anything goes.
    #[serde(default)]
    pub setting: Setting,
    /// All stores of the pipeline, for each may know what the others do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<RefName>,
}

/// What happens in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneStore {
    /// The store.
    pub store: RefName,
    /// What is done, in this order.
    pub acts: Vec<Act>,
    /// The keys of what runs of long ago are remembered by that have no restore point: deleted too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forget: Vec<String>,
    /// Why nothing goes, though something would.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub halts: Vec<Halt>,
    /// Why its catalog could not be read: then nothing is done, and the step fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Failure>,
    /// Points that stay.
    pub kept: usize,
    /// Those among them that would go, were they not under object lock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locked: Vec<Locked>,
    /// Points that wait for the end of their grace.
    pub waiting: usize,
}

/// A restore point that stays because the store keeps it itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// The point.
    pub run: RunId,
    /// Until when.
    pub until: Timestamp,
}

/// What is done to one restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The point.
    pub run: RunId,
    /// What becomes of it.
    pub action: Action,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Its objects in this store.
    pub objects: Vec<String>,
    /// What lay beside its manifest when this was decided: if anything came since, nothing is done to it.
    pub seen: Vec<String>,
    /// Whether its manifest is gone already, because an earlier deletion was not finished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half: bool,
}

impl Act {
    /// What is taken away, in words; `None` for what takes nothing away. `until` is how long a point stays that is marked now.
    pub fn destroys(&self, store: &RefName, until: Option<Timestamp>) -> Option<String> {
        let why: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
        let why = if self.half { "an earlier deletion was not finished".to_owned() } else { why.join("; ") };
        let minute = |at: Timestamp| at.strftime("%Y-%m-%d %H:%MZ").to_string();
        match self.action {
            Action::Delete => Some(format!("deletes {} in {store}: {} — {why}", self.run, self.objects.join(", "))),
            Action::Tombstone => {
                let until = until.map(|at| format!(", gone after {}", minute(at))).unwrap_or_default();
                Some(format!("marks {} in {store} for deletion{until}: {} — {why}", self.run, self.objects.join(", ")))
            }
            Action::Keep | Action::Undelete | Action::Wait => None,
        }
    }
}

impl PruneStore {
    /// How many points this becomes of.
    pub fn count(&self, action: Action) -> usize {
        self.acts.iter().filter(|act| act.action == action).count()
    }
}
