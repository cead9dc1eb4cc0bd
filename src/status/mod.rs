//! How a pipeline stands against its objectives: a pure function of what its stores say, and of the time.
//!
//! [`judge`] is what `runner status`, `apply --due`, the metrics and the report all speak from, so that none of them can tell another
//! story. It knows only what lies in stores, so that another machine may ask. Time is an argument; nothing here opens or prints.

mod cause;
mod complaint;
mod concern;
mod due;
mod facts;
mod judge;
mod miss;
mod missed;
#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use complaint::Complaint;
pub use concern::Concern;
pub use due::{Due, Means, Turn, due, turn};
pub use facts::{Attempt, LeaseFacts, PointFacts, Seen, StoreFacts};
pub use judge::{TYPICAL, judge};
pub use miss::Miss;

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::PipelineName;
use crate::pipeline::{Objectives, Schedule};
use crate::store::manifest::Recovery;

/// How a pipeline stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Light {
    /// Every objective is met, and nothing is worth a look.
    Good,
    /// Every objective is met, and something is worth a look.
    Attention,
    /// An objective is missed, or a store does not answer.
    Bad,
}

/// What is judged.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// When it should run.
    pub schedule: Option<Schedule>,
    /// What it must achieve.
    pub objectives: Objectives,
    /// What each store says that it commits to.
    pub stores: Vec<StoreFacts>,
}

/// How a pipeline stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// When this was so.
    pub at: Timestamp,
    /// In one word.
    pub light: Light,
    /// What it must achieve.
    pub objectives: Objectives,
    /// The objectives that are missed.
    pub missed: Vec<Miss>,
    /// What else is worth a look.
    pub concerns: Vec<Concern>,
    /// The newest restore point of all stores that can be used, with the best level that one of them has earned.
    pub newest: Option<PointFacts>,
    /// Newer ones whose content was found wrong, newest first.
    pub damaged: Vec<PointFacts>,
    /// The newest one that was proven in some store.
    pub newest_proven: Option<PointFacts>,
    /// How far back one was looked for in vain; `None` when all of them were looked at, or one was found.
    pub unproven_since: Option<Timestamp>,
    /// The newest recovery that was measured.
    pub recovery: Option<Recovery>,
    /// In how many stores each part of the newest point lies: the least of them. 0 without a point.
    pub copies: usize,
    /// The median size of the dumps before the newest, in bytes before compression; unknown with fewer than three.
    pub typical_bytes: Option<u64>,
    /// When the newest run began that left anything in a store.
    pub last_attempt: Option<Timestamp>,
    /// Runs that failed since the newest point, newest first; the run of that point itself is among them if it failed after its commit.
    pub failures: Vec<Attempt>,
    /// Runs that hold a lease now, each with the store's name.
    pub at_work: Vec<LeaseFacts>,
    /// When it should run.
    pub schedule: Option<Schedule>,
    /// What the schedule says; `None` without one.
    pub due: Option<Due>,
    /// What each store says.
    pub stores: Vec<StoreFacts>,
}

impl Status {
    /// Whether any store answered: else nobody can say what there is.
    pub fn is_known(&self) -> bool {
        self.stores.iter().any(|store| store.seen.is_ok())
    }
}
