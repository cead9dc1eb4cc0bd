//! What a status comes to: the objectives that are missed, and what else is worth a look.

use std::time::Duration as StdDuration;

use jiff::Timestamp;

use super::facts::{LeaseFacts, PointFacts};
use super::{Miss, Status};
use crate::pipeline::Objectives;
use crate::quantity::{Duration, brief, bytes};
use crate::words::count;

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
        missed.push(Miss::NoPoint);
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

/// What else is worth a look, in words. `points` are those of all stores, newest first.
pub(super) fn concerns(status: &Status, points: &[PointFacts]) -> Vec<String> {
    let mut concerns = Vec::new();
    if let [newest, ..] = status.failures.as_slice() {
        let times = count(status.failures.len(), "run");
        let host = newest.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        concerns.push(format!("{times} failed since the newest restore point; the last, {}{host}: {}", newest.run, newest.error));
    }
    let ahead = points.iter().find(|point| point.run.is_ahead(status.at));
    concerns.extend(ahead.map(|point| {
        let words = format!("the restore point {} is said to begin at {}, which is yet to come", point.run, point.started);
        format!("{words}: a host's clock was far ahead, and until then the point does not count as the newest")
    }));
    let unusable = points.iter().filter(|point| !point.run.is_ahead(status.at)).take_while(|point| point.level.is_none());
    concerns.extend(unusable.map(|point| {
        let why = point.complaint.as_deref().unwrap_or("nobody knows why");
        format!("the restore point {} can not be used: {why}", point.run)
    }));
    if let Some(newest) = &status.newest {
        concerns.extend(newest.complaint.as_ref().map(|why| format!("the newest restore point, {}: {why}", newest.run)));
        concerns.extend(newest.leaving.map(|_| format!("the newest restore point, {}, is on the way out", newest.run)));
        concerns.extend(unlike(status, newest));
        let unmeasured = status.objectives.rto.filter(|_| status.recovery.is_none());
        concerns.extend(unmeasured.map(|rto| format!("the RTO is {rto}, and no recovery of the last points was measured")));
    }
    concerns.extend(status.at_work.iter().filter_map(|lease| at_work(status, lease)));
    for store in &status.stores {
        let troubles = store.seen.iter().flat_map(|seen| &seen.troubles);
        concerns.extend(troubles.map(|trouble| format!("in {}: {trouble}", store.store)));
    }
    concerns
}

/// A newest dump of less than half of what is typical, where no objective speaks of it.
fn unlike(status: &Status, newest: &PointFacts) -> Option<String> {
    let typical = status.typical_bytes.filter(|typical| status.objectives.max_shrink.is_none() && newest.dumped < typical / 2)?;
    let words = format!("the newest dump has {}, and the median before it {}", bytes(newest.dumped), bytes(typical));
    Some(format!("{words}: less than half; `objectives.max_shrink` says how much is too much"))
}

/// A run that gives no sign of life, or takes longer than a backup may be old.
fn at_work(status: &Status, lease: &LeaseFacts) -> Option<String> {
    let (silent, long) = (lease.silent(status.at), age(lease.since, status.at));
    let whose = if lease.pipeline == status.pipeline { String::new() } else { format!(" of {}", lease.pipeline) };
    if lease.is_stuck(status.at) {
        let words = format!("run {}{whose} on {} holds the lease in {}", lease.run, lease.host, lease.store);
        return Some(format!("{words} and has not renewed it for {}: it is stuck or dead; the next run takes over", brief(silent)));
    }
    let words = || format!("run {}{whose} on {} has been at work for {}, longer than the RPO", lease.run, lease.host, brief(long.std()));
    status.objectives.rpo.is_some_and(|rpo| long > rpo).then(words)
}
