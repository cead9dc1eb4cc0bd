//! The judgement: the points of all stores seen as one, and held against the objectives.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::due::due;
use super::facts::{Attempt, PointFacts, Seen};
use super::missed::{concerns, missed};
use super::{Light, Status, Subject};
use crate::ids::{RunId, StepId};
use crate::store::manifest::Level;

/// How many dumps before the newest make what is typical: a week of nightly ones.
pub const TYPICAL: usize = 7;

/// Fewer say nothing.
const LEAST: usize = 3;

/// How a pipeline stands at a moment.
pub fn judge(subject: Subject, now: Timestamp) -> Status {
    let Subject { pipeline, schedule, objectives, stores } = subject;
    let seen: Vec<&Seen> = stores.iter().filter_map(|store| store.seen.as_ref().ok()).collect();
    let points = merged(&seen);
    // One from a clock that is far ahead would be the newest until its time comes, whatever happens until then.
    let counts = |point: &&PointFacts| !point.run.is_ahead(now);
    let newest = points.iter().filter(counts).find(|point| point.is_usable()).cloned();
    let newest_proven = points.iter().filter(counts).find(|point| point.proven.is_some() && point.is_usable()).cloned();
    let damaged = points.iter().filter(counts).take_while(|point| !point.is_usable()).filter(|point| point.damaged).cloned().collect();
    let failures = failures(&seen, newest.as_ref());
    let at_work = seen.iter().filter_map(|seen| seen.lease.clone()).collect::<Vec<_>>();
    let ours = at_work.iter().filter(|lease| lease.pipeline == pipeline).map(|lease| lease.run.started());
    let begun = points.iter().map(|point| &point.run).chain(failures.iter().map(|failed| &failed.run));
    let attempts = begun.filter(|run| !run.is_ahead(now)).map(RunId::started);
    let mut status = Status {
        last_attempt: attempts.chain(ours).max(),
        copies: newest.as_ref().map_or(0, |newest| copies(&seen, &newest.run, &newest.parts)),
        typical_bytes: newest.as_ref().and_then(|newest| typical(&seen, &newest.run)),
        unproven_since: if newest_proven.is_some() { None } else { seen.iter().filter_map(|seen| seen.since).max() },
        recovery: points.iter().find_map(|point| point.recovery),
        due: schedule.as_ref().and_then(|schedule| due(schedule, now)),
        light: Light::Good,
        missed: Vec::new(),
        concerns: Vec::new(),
        pipeline,
        schedule,
        at: now,
        objectives,
        newest,
        damaged,
        newest_proven,
        failures,
        at_work,
        stores,
    };
    status.missed = missed(&status);
    status.concerns = concerns(&status, &points);
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
    // What is wrong with one copy may be wrong with what was dumped, unless another was restored.
    let restored = |point: &PointFacts| !point.damaged && point.level >= Some(Level::Restored);
    known.damaged = (known.damaged || other.damaged) && !restored(known) && !restored(other);
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

/// The median size of the dumps before a run.
fn typical(seen: &[&Seen], before: &RunId) -> Option<u64> {
    let mut dumped: BTreeMap<&RunId, u64> = BTreeMap::new();
    for (run, bytes) in seen.iter().flat_map(|seen| &seen.dumped).filter(|(run, _)| *run < before) {
        dumped.entry(run).and_modify(|known| *known = (*known).max(*bytes)).or_insert(*bytes);
    }
    let mut sizes: Vec<u64> = dumped.into_values().rev().take(TYPICAL).collect();
    sizes.sort_unstable();
    (sizes.len() >= LEAST).then(|| sizes[sizes.len() / 2])
}

/// The runs that failed since the newest point, that of the point itself included, each once, newest first.
fn failures(seen: &[&Seen], newest: Option<&PointFacts>) -> Vec<Attempt> {
    let mut all: BTreeMap<&RunId, &Attempt> = BTreeMap::new();
    for failed in seen.iter().flat_map(|seen| &seen.failed).filter(|failed| newest.is_none_or(|newest| failed.run >= newest.run)) {
        // One store was told why, where another only saw that the run was gone.
        all.entry(&failed.run)
            .and_modify(|known| {
                if known.ended.is_none() {
                    *known = failed;
                }
            })
            .or_insert(failed);
    }
    all.into_values().rev().cloned().collect()
}
