//! `copy`: has committed restore points in another store too, such as one offsite.
//!
//! Which points are copied is decided when the plan is made: the one that this run commits, and those that the other store has missed.
//! This file holds the parameters and what a plan holds of them; it decides and copies nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{References, StepKind};
use crate::diagnostic::Failure;
use crate::ids::{PipelineName, RefName};
use crate::store::missed::MissedPoint;

/// Copies this run's restore point to another store, and with it those that the other store has missed: all that are newer than its
/// newest, were committed after that was copied, or were passed over because they were damaged. Objects are verified as they flow and read back; the manifest comes last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyTo {
    /// The store that keeps the restore points; unless given, the one store that this pipeline uploads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RefName>,
    /// The store that gets them.
    pub to: RefName,
    /// The pipeline whose restore points are copied, for a replication that runs on its own; this one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineName>,
    /// The most points that one run catches up, the newest of those that were missed; all of them unless given. 0 copies only what this run commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<u32>,
}

impl StepKind for CopyTo {
    fn references(&self) -> References<'_> {
        References { stores: self.from.iter().chain([&self.to]).collect(), ..References::default() }
    }

    fn words(&self) -> String {
        let of = self.pipeline.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        let from = self.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        format!("restore points{of}{from} to {}", self.to)
    }
}

/// What there is to say of a restore point that lies in fewer stores than it must.
pub fn too_few((found, wanted): (usize, u8)) -> String {
    format!("the restore point lies in {found} of {wanted} stores")
}

/// The newest of some points, which come oldest first, at most so many, and how many are not among them.
pub fn newest(points: Vec<MissedPoint>, most: Option<u32>) -> (Vec<MissedPoint>, usize) {
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let over = points.len().saturating_sub(most);
    (points.into_iter().skip(over).collect(), over)
}

/// What a plan holds of a `copy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyWork {
    /// What was asked for.
    pub with: CopyTo,
    /// The store that keeps the points.
    pub from: RefName,
    /// Whether the point that this run commits is among them.
    pub own: bool,
    /// The points that were missed, oldest first; `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Vec<MissedPoint>>,
    /// Why nobody could look: then nothing is copied, and the step fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Failure>,
}
