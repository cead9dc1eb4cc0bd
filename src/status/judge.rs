//! The judgement: the points of all stores seen as one, and held against the objectives.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::due::due;
use super::facts::{Attempt, PointFacts, Seen};
use super::{Light, Miss, Status, Subject};
use crate::ids::{RunId, StepId};
use crate::pipeline::Objectives;
use crate::quantity::{Duration, brief};

/// How many dumps before the newest make what is typical.
const TYPICAL: usize = 10;

/// Fewer say nothing.
const LEAST: usize = 3;

/// How far the clocks of hosts and stores may be apart, at least, before a lease that was not renewed is called stuck.
const SKEW: std::time::Duration = std::time::Duration::from_mins(15);

/// How a pipeline stands at a moment.
pub fn judge(subject: Subject, now: Timestamp) -> Status {
    let Subject { pipeline, schedule, objectives, stores } = subject;
    let seen: Vec<&Seen> = stores.iter().filter_map(|store| store.seen.as_ref().ok()).collect();
    let points = merged(&seen);
    let newest = points.first().cloned();
    let newest_proven = points.iter().filter(|point| point.proven.is_some()).max_by_key(|point| point.proven).cloned();
    let failures = failures(&seen, newest.as_ref());
    let at_work = seen.iter().filter_map(|seen| seen.lease.clone()).collect::<Vec<_>>();
    let attempts = newest.iter().map(|point| point.started).chain(failures.iter().map(|failed| failed.started));
    let mut status = Status {
        last_attempt: attempts.chain(at_work.iter().map(|lease| lease.run.started())).max(),
        copies: newest.as_ref().map_or(0, |newest| copies(&seen, &newest.run, &newest.parts)),
        typical_bytes: typical(&points),
        due: schedule.as_ref().and_then(|schedule| due(schedule, now)),
        light: Light::Good,
        missed: Vec::new(),
        concerns: Vec::new(),
        pipeline,
        at: now,
        objectives,
        newest,
        newest_proven,
        failures,
        at_work,
        stores,
    };
    status.missed = missed(&status, now);
    status.concerns = concerns(&status, now);
    status.light = match (status.missed.is_empty(), status.concerns.is_empty()) {
        (false, _) => Light::Bad,
        (true, false) => Light::Attention,
        (true, true) => Light::Good,
    };
    status
}

/// The points of all stores, newest first, each once: with the best that a store knows of it.
fn merged(seen: &[&Seen]) -> Vec<PointFacts> {
    let mut points: BTreeMap<&RunId, PointFacts> = BTreeMap::new();
    for point in seen.iter().flat_map(|seen| &seen.points) {
        points.entry(&point.run).and_modify(|known| join(known, point)).or_insert_with(|| point.clone());
    }
    points.into_values().rev().collect()
}

fn join(known: &mut PointFacts, other: &PointFacts) {
    known.level = known.level.max(other.level);
    known.committed = known.committed.or(other.committed);
    known.dumped = known.dumped.max(other.dumped);
    known.stored += other.stored;
    known.proven = known.proven.max(other.proven);
    known.recovery = known.recovery.or(other.recovery);
    known.complaint = known.complaint.take().or_else(|| other.complaint.clone());
    known.holds.extend(other.holds.iter().cloned());
    known.parts.extend(other.parts.iter().cloned());
    // It goes only when it goes from every store.
    (known.leaving, known.gone_after) = match (known.leaving, other.leaving) {
        (Some(one), Some(two)) => (Some(one.max(two)), known.gone_after.max(other.gone_after)),
        _ => (None, None),
    };
    known.pinned = known.pinned.max(other.pinned);
}

/// In how many stores each part of a point lies: the least of them.
fn copies(seen: &[&Seen], run: &RunId, parts: &BTreeSet<StepId>) -> usize {
    let held = |part: &StepId| {
        let holds = |seen: &&&Seen| seen.points.iter().any(|point| point.run == *run && point.holds.contains(part));
        seen.iter().filter(holds).count()
    };
    parts.iter().map(held).min().unwrap_or(0)
}

fn typical(points: &[PointFacts]) -> Option<u64> {
    let mut sizes: Vec<u64> = points.iter().skip(1).filter(|point| point.level.is_some()).map(|point| point.dumped).take(TYPICAL).collect();
    sizes.sort_unstable();
    (sizes.len() >= LEAST).then(|| sizes[sizes.len() / 2])
}

/// The runs that failed since the newest point, each once, newest first.
fn failures(seen: &[&Seen], newest: Option<&PointFacts>) -> Vec<Attempt> {
    let later = |failed: &&Attempt| newest.is_none_or(|newest| failed.started > newest.started);
    let all: BTreeMap<&RunId, &Attempt> =
        seen.iter().flat_map(|seen| &seen.failed).filter(later).map(|failed| (&failed.run, failed)).collect();
    all.into_values().rev().cloned().collect()
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    std::time::Duration::try_from(now.duration_since(since)).unwrap_or_default().into()
}

fn missed(status: &Status, now: Timestamp) -> Vec<Miss> {
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
    let old = age(newest.started, now);
    missed.extend(rpo.filter(|rpo| old > *rpo).map(|rpo| Miss::Rpo { age: old, rpo }));
    missed.extend(verified_every.and_then(|every| unproven(status, every, now)));
    let recovered = status.newest_proven.iter().chain([newest]).filter_map(|point| point.recovery).next_back();
    let took = recovered.map(|recovery| Duration::from(recovery.took));
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

fn unproven(status: &Status, every: Duration, now: Timestamp) -> Option<Miss> {
    let Some(proven) = status.newest_proven.as_ref().and_then(|point| point.proven) else {
        return Some(Miss::NeverProven { every });
    };
    let age = age(proven, now);
    (age > every).then_some(Miss::VerifiedEvery { proven, age, every })
}

fn concerns(status: &Status, now: Timestamp) -> Vec<String> {
    let mut concerns = Vec::new();
    if let [newest, ..] = status.failures.as_slice() {
        let times = crate::words::count(status.failures.len(), "run");
        concerns.push(format!("{times} failed since the newest restore point; the last, {}: {}", newest.run, newest.error));
    }
    if let Some(newest) = &status.newest {
        concerns.extend(newest.complaint.as_ref().map(|why| format!("the newest restore point, {}: {why}", newest.run)));
        concerns.extend(newest.leaving.map(|_| format!("the newest restore point, {}, is on the way out", newest.run)));
    }
    for lease in &status.at_work {
        let (silent, long) = (age(lease.renewed, now).std(), age(lease.since, now).std());
        if silent > lease.ttl * 2 + SKEW {
            let words = format!(
                "run {} on {} holds the lease in {} and has not renewed it for {}",
                lease.run,
                lease.host,
                lease.store,
                brief(silent)
            );
            concerns.push(format!("{words}: it is stuck or dead; the next run takes over"));
        } else if status.objectives.rpo.is_some_and(|rpo| long > rpo.std()) {
            concerns.push(format!("run {} on {} has been at work for {}, longer than the RPO", lease.run, lease.host, brief(long)));
        }
    }
    concerns
}
