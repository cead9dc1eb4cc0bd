//! What a status comes to: the objectives that are missed, and what else is worth a look.

use std::time::Duration as StdDuration;

use jiff::Timestamp;

use super::facts::{Attempt, LeaseFacts, PointFacts};
use super::{Concern, Miss, Status};
use crate::pipeline::Objectives;
use crate::quantity::Duration;

/// The time since a moment; none where a clock is ahead.
pub(super) fn age(since: Timestamp, now: Timestamp) -> Duration {
    StdDuration::try_from(now.duration_since(since)).unwrap_or_default().into()
}

/// The objectives that are missed.
pub(super) fn missed(status: &Status) -> Vec<Miss> {
    let unreachable = status
        .stores
        .iter()
        .filter_map(|store| store.seen.as_ref().err().map(|why| Miss::Unreachable { store: store.store.clone(), why: why.clone() }));
    let mut missed: Vec<Miss> = unreachable.collect();
    let Objectives { rpo, rto, copies, verified_every, min_size, max_shrink } = status.objectives;
    let Some(newest) = &status.newest else {
        missed.extend(status.is_known().then_some(Miss::NoPoint));
        return missed;
    };
    let old = age(newest.started, status.at);
    missed.extend(rpo.filter(|rpo| old > *rpo).map(|rpo| Miss::Rpo { age: old, rpo }));
    missed.extend(verified_every.and_then(|every| unproven(status, every)));
    let took = status.recovery.map(|recovery| Duration::from(recovery.took));
    missed.extend(rto.zip(took).filter(|(rto, took)| took > rto).map(|(rto, took)| Miss::Rto { took, rto }));
    missed.extend(copies.filter(|wanted| status.copies < usize::from(*wanted)).map(|copies| Miss::Copies { found: status.copies, copies }));
    let bytes = newest.dumped;
    missed.extend(min_size.filter(|least| bytes < least.bytes()).map(|least| Miss::MinSize { bytes, least: least.bytes() }));
    missed.extend(
        max_shrink
            .zip(status.typical_bytes)
            .and_then(|(most, typical)| (bytes < typical - most.of(typical)).then_some(Miss::MaxShrink { bytes, typical, most })),
    );
    missed
}

fn unproven(status: &Status, every: Duration) -> Option<Miss> {
    let Some(proven) = status.newest_proven.as_ref().and_then(|point| point.proven) else {
        return Some(Miss::NeverProven { every, since: status.unproven_since });
    };
    let age = age(proven, status.at);
    (age > every).then_some(Miss::VerifiedEvery { proven, age, every })
}

/// What else is worth a look. `points` are those of all stores, newest first.
pub(super) fn concerns(status: &Status, points: &[PointFacts]) -> Vec<Concern> {
    let mut concerns = Vec::new();
    let of_newest = |failed: &&Attempt| status.newest.as_ref().is_some_and(|newest| newest.run == failed.run);
    let (own, since): (Vec<&Attempt>, Vec<&Attempt>) = status.failures.iter().partition(of_newest);
    concerns.extend(since.first().map(|last| Concern::Failed { times: since.len(), last: (*last).clone() }));
    concerns.extend(own.first().map(|last| Concern::EndedBadly { last: (*last).clone() }));
    let ahead = points.iter().find(|point| point.run.is_ahead(status.at));
    concerns.extend(ahead.map(|point| Concern::Ahead { run: point.run.clone(), started: point.started }));
    let unusable = points.iter().filter(|point| !point.run.is_ahead(status.at)).take_while(|point| !point.is_usable());
    concerns.extend(unusable.map(|point| Concern::Unusable { run: point.run.clone(), why: point.complaint.clone() }));
    if let Some(newest) = &status.newest {
        concerns.extend(newest.complaint.clone().map(|why| Concern::Complaint { run: newest.run.clone(), why }));
        concerns.extend(newest.leaving.map(|_| Concern::Leaving { run: newest.run.clone() }));
        concerns.extend(unlike(status, newest));
        let unmeasured = status.objectives.rto.filter(|_| status.recovery.is_none());
        concerns.extend(unmeasured.map(|rto| Concern::Unmeasured { rto }));
    }
    concerns.extend(status.at_work.iter().filter_map(|lease| at_work(status, lease)));
    for store in &status.stores {
        let troubles = store.seen.iter().flat_map(|seen| &seen.troubles);
        concerns.extend(troubles.map(|what| Concern::Trouble { store: store.store.clone(), what: what.clone() }));
    }
    concerns
}

/// A newest dump of less than half of what is typical, where no objective speaks of it.
fn unlike(status: &Status, newest: &PointFacts) -> Option<Concern> {
    let typical = status.typical_bytes.filter(|typical| status.objectives.max_shrink.is_none() && newest.dumped < typical / 2)?;
    Some(Concern::Unlike { bytes: newest.dumped, typical })
}

/// A run that gives no sign of life, or takes longer than a backup may be old.
fn at_work(status: &Status, lease: &LeaseFacts) -> Option<Concern> {
    let long = age(lease.since, status.at);
    let of = (lease.pipeline != status.pipeline).then(|| lease.pipeline.clone());
    if lease.is_stuck(status.at) {
        return Some(Concern::Stuck { lease: lease.clone(), of, silent: lease.silent(status.at).into() });
    }
    status.objectives.rpo.is_some_and(|rpo| long > rpo).then(|| Concern::Long { lease: lease.clone(), of, long })
}
