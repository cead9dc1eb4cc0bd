//! The restore points of all stores as one list, for trends and tables. What lies in which store stays with it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::ids::RunId;
use crate::status::{Complaint, PointFacts, Status};
use crate::store::manifest::{Level, Recovery};

/// A restore point, with the best that a store knows of it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) run: RunId,
    pub(super) started: Timestamp,
    /// How long its run took until the commit.
    pub(super) took: Option<Duration>,
    pub(super) dumped: u64,
    /// In all stores together.
    pub(super) stored: u64,
    pub(super) level: Option<Level>,
    pub(super) recovery: Option<Recovery>,
    /// The first complaint that a store has of it.
    pub(super) complaint: Option<Complaint>,
}

/// The restore points of a status, newest first, each once.
pub(super) fn known(status: &Status) -> Vec<Known> {
    let seen = status.stores.iter().filter_map(|store| store.seen.as_ref().ok());
    let mut runs: BTreeMap<&RunId, Known> = BTreeMap::new();
    for point in seen.flat_map(|seen| &seen.points) {
        runs.entry(&point.run).and_modify(|known| join(known, point)).or_insert_with(|| alone(point));
    }
    runs.into_values().rev().collect()
}

fn alone(point: &PointFacts) -> Known {
    let took = point.committed.and_then(|at| Duration::try_from(at.duration_since(point.started)).ok());
    Known {
        run: point.run.clone(),
        started: point.started,
        took,
        dumped: point.dumped,
        stored: point.stored,
        level: point.level,
        recovery: point.recovery,
        complaint: point.complaint.clone(),
    }
}

fn join(known: &mut Known, point: &PointFacts) {
    let other = alone(point);
    known.took = known.took.or(other.took);
    known.dumped = known.dumped.max(other.dumped);
    known.stored += other.stored;
    known.level = known.level.max(other.level);
    known.recovery = known.recovery.or(other.recovery);
    known.complaint = known.complaint.take().or(other.complaint);
}
