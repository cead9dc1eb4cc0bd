//! What is known about the restore points of one pipeline in one store, as retention needs it.
//!
//! These are plain values that somebody else reads out of manifests, receipts, tombstones, pins and locks; nothing here reads them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::Verdict;
use super::reason::Action;
use crate::ids::{RefName, RunId};
use crate::quantity::Duration;
use crate::store::catalog::{Point, named};
use crate::store::manifest::Level;

/// A wish of a person that a point stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Until when.
    pub until: Timestamp,
    /// Why, in that person's words.
    pub reason: String,
}

/// Why less is known of a point than it seems: it is kept, and stands for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// A receipt about it can not be read: it may say that the point is proven, or that its content is wrong.
    Receipts,
    /// Its manifest names several stores, and none by the name that this one has: which objects are its own here can not be told.
    Objects,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Receipts => "a receipt about it can not be read, by a newer `runner` perhaps: its level is not known",
            Self::Objects => "its manifest names nothing in a store of this name: was the store renamed?",
        })
    }
}

/// Where the content of a point was found wrong: it stands for no other, and no other goes because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// In this store.
    Here,
    /// In another store, and nothing has proven the copy in this one.
    Elsewhere,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Here => "a verification found its content wrong: it stands for no other",
            Self::Elsewhere => "a verification found the content of its copy in another store wrong: it stands for no other",
        })
    }
}

/// What retention knows about one restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointFacts {
    /// The run that made it.
    pub run: RunId,
    /// The moment whose data it holds, by the clock of the host that made it.
    pub taken: Timestamp,
    /// Bytes its objects take in the store.
    pub bytes: u64,
    /// The level it has earned; `None` when its manifest can not be read, for then nothing is known.
    pub level: Option<Level>,
    /// The level that a copy of it in another store has earned, where that is higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Level>,
    /// Why it is kept although its manifest can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// Where a verification found its content wrong that none since has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
    /// The pin on it, the longest that any store has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pin>,
    /// Until when the store itself keeps it, whoever deletes it (object lock); asked only about points that nothing else keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
    /// When its tombstone was written, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstoned: Option<Timestamp>,
    /// The points without which it can not be restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<RunId>,
}

impl PointFacts {
    /// A point of which nothing else is known: no pin, no lock, no mark.
    pub const fn new(run: RunId, taken: Timestamp, bytes: u64, level: Option<Level>) -> Self {
        let (elsewhere, doubt, damage, pinned) = (None, None, None, None);
        Self { run, taken, bytes, level, elsewhere, doubt, damage, pinned, locked_until: None, tombstoned: None, depends_on: Vec::new() }
    }

    /// Whether it can be read and nothing speaks against its content.
    pub(super) const fn is_success(&self) -> bool {
        self.level.is_some() && self.damage.is_none()
    }

    /// What a store says of a point that it keeps under this name.
    pub fn of(point: &Point, store: &RefName) -> Self {
        let manifest = point.manifest.as_ref().ok();
        let dumps = manifest.iter().flat_map(|manifest| &manifest.artifacts).map(|artifact| artifact.started);
        let named = manifest.iter().flat_map(|manifest| named(manifest, store));
        Self {
            run: point.summary.run.clone(),
            taken: dumps.min().unwrap_or_else(|| point.summary.run.started()),
            bytes: named.map(|named| named.bytes).fold(0, u64::saturating_add),
            level: point.level(),
            elsewhere: None,
            doubt: doubt(point, store),
            damage: point.damage().map(|_| Damage::Here),
            pinned: point.marks.pinned.as_ref().map(|pin| Pin { until: pin.until, reason: pin.reason.clone() }),
            locked_until: None,
            tombstoned: point.marks.tombstoned.as_ref().map(|tombstone| tombstone.since),
            depends_on: Vec::new(),
        }
    }
}

fn doubt(point: &Point, store: &RefName) -> Option<Doubt> {
    let nothing = point.manifest.as_ref().is_ok_and(|manifest| named(manifest, store).is_empty());
    let receipts = (!point.unreadable.is_empty()).then_some(Doubt::Receipts);
    receipts.or_else(|| nothing.then_some(Doubt::Objects))
}

/// What retention knows about a pipeline in one store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Its restore points, each once, in any order; a partial list must never come this far.
    pub points: Vec<PointFacts>,
    /// How old its newest point may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Duration>,
    /// Whether the newest run that has ended failed.
    pub last_run_failed: bool,
}

impl Catalog {
    /// What is left once a verdict is carried out at `now`.
    #[must_use]
    pub fn after(&self, verdict: &Verdict, now: Timestamp) -> Self {
        let actions: BTreeMap<&RunId, Action> = verdict.decisions.iter().map(|decision| (&decision.run, decision.action)).collect();
        let mut left = self.clone();
        left.points.retain_mut(|point| match actions.get(&point.run) {
            Some(Action::Delete) => false,
            Some(Action::Tombstone) => {
                point.tombstoned = Some(now);
                true
            }
            Some(Action::Undelete) => {
                point.tombstoned = None;
                true
            }
            Some(Action::Keep | Action::Wait) | None => true,
        });
        left
    }
}
