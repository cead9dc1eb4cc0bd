//! What a schedule says at a moment, and whether it is a pipeline's turn.

use std::time::Duration as StdDuration;

use croner::Cron;
use jiff::Timestamp;
use serde::Serialize;

use super::Status;
use super::facts::PointFacts;
use super::missed::age;
use crate::pipeline::Schedule;
use crate::quantity::{Duration, brief};

/// What a schedule says at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The last time at or before the moment.
    pub last: Option<Timestamp>,
    /// The first time after it.
    pub next: Option<Timestamp>,
}

/// What a schedule says now; `None` for a schedule that validation would not let through.
pub fn due(schedule: &Schedule, now: Timestamp) -> Option<Due> {
    let (cron, local) = (schedule.cron.parse::<Cron>().ok()?, now.in_tz(&schedule.timezone).ok()?);
    let last = cron.find_previous_occurrence(&local, true).ok().map(|at| at.timestamp());
    let next = cron.find_next_occurrence(&local, false).ok().map(|at| at.timestamp());
    Some(Due { last, next })
}

/// Whether it is a pipeline's turn, and why or why not, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Whether it should run now.
    pub due: bool,
    /// Why, or why not.
    pub why: String,
}

impl Turn {
    fn now(why: impl Into<String>) -> Self {
        Self { due: true, why: why.into() }
    }

    fn not(why: impl Into<String>) -> Self {
        Self { due: false, why: why.into() }
    }
}

/// What a run of the pipeline does about its objectives beside making a restore point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Means {
    /// It proves restore points.
    pub proves: bool,
    /// It copies its own restore points.
    pub copies: bool,
}

/// Whether it is a pipeline's turn: a scheduled time has passed since its newest point began, or the RPO would be missed by waiting for
/// the next one; without a schedule, half of the RPO has passed; without both, always. A failed run is no reason to wait. Or an objective
/// is missed that a run can mend, and the last one did not fail to. A point whose content was found wrong counts for nothing of this, and is
/// made once more at once.
pub fn turn(status: &Status, means: Means) -> Turn {
    let last = status.due.and_then(|due| due.last);
    let living = status.at_work.iter().find(|lease| lease.pipeline == status.pipeline && !lease.is_stuck(status.at));
    if let Some(lease) = living.filter(|lease| last.is_none_or(|last| last <= lease.run.started())) {
        return Turn::not(format!("run {} is at work on {}", lease.run, lease.host));
    }
    let Some(newest) = &status.newest else {
        let silent = status.stores.iter().any(|store| store.seen.is_err());
        let none = if silent { "no store that answers has a restore point" } else { "there is no restore point" };
        return damaged_again(status).unwrap_or_else(|| Turn::now(none));
    };
    let turn = damaged_again(status).unwrap_or_else(|| match status.due {
        Some(due) => by_schedule(status, newest, due),
        None => by_rpo(status, newest),
    });
    let mends = || unproven(status).filter(|_| means.proves).or_else(|| too_few(status, newest).filter(|_| means.copies));
    if turn.due { turn } else { mends().map_or(turn, Turn::now) }
}

/// What runs make is damaged, and again when it was tried once more: whatever is wrong, a full dump every few minutes does not mend it.
/// It is tried again once half of what may lie between two runs has passed.
fn damaged_again(status: &Status) -> Option<Turn> {
    let [last, _, ..] = &status.damaged[..] else { return None };
    let apart = |due: Due| StdDuration::try_from(due.next?.duration_since(due.last?)).ok();
    let pace = status.objectives.rpo.map(Duration::std).or_else(|| status.due.and_then(apart))? / 2;
    let old = age(last.started, status.at).std();
    let why = || format!("the last {} points are damaged; tried again {} after the last, {}", status.damaged.len(), brief(pace), last.run);
    (old <= pace).then(|| Turn::not(why()))
}

/// A proof is missing, and was not tried for in vain just now: half of what may lie between two proofs has passed since the last run.
fn unproven(status: &Status) -> Option<String> {
    let missed = status.missed.iter().find(|miss| miss.objective() == "verified_every")?;
    let (every, last) = status.objectives.verified_every.zip(status.last_attempt)?;
    let old = age(last, status.at).std();
    (old > every.std() / 2).then(|| format!("{missed}, and the last run began {} ago", brief(old)))
}

/// The newest point lies in too few stores, and the one before it in enough: so a run can mend it, and the last one did not just fail to
/// mend the same.
fn too_few(status: &Status, newest: &PointFacts) -> Option<String> {
    let missed = status.missed.iter().find(|miss| miss.objective() == "copies")?;
    let wanted = usize::from(status.objectives.copies?);
    let seen = status.stores.iter().map(|store| store.seen.as_ref().ok()).collect::<Option<Vec<_>>>()?;
    let before = seen.iter().filter_map(|seen| seen.dumped.range(..&newest.run).next_back()).map(|(run, _)| run).max()?;
    let lies = seen.iter().filter(|seen| seen.dumped.contains_key(before)).count();
    (lies >= wanted).then(|| format!("{missed}, and a run can copy it"))
}

fn by_schedule(status: &Status, newest: &PointFacts, due: Due) -> Turn {
    let at = |time: Timestamp| minute(status, time);
    if let Some(last) = due.last.filter(|last| *last > newest.started) {
        return Turn::now(format!("{} has passed since the newest point, {}, began", at(last), newest.run));
    }
    let next = due.next.map_or_else(|| "never again".to_owned(), at);
    // Half of it must have passed: else a schedule that is rarer than its RPO would run without end.
    let half = status.objectives.rpo.filter(|rpo| age(newest.started, status.at).std() > rpo.std() / 2);
    let late = half.filter(|rpo| ends(newest, *rpo).zip(due.next).is_some_and(|(ends, next)| ends < next));
    match late {
        Some(rpo) => {
            Turn::now(format!("the newest point, {}, would be older than the RPO of {rpo} before the next time, {next}", newest.run))
        }
        None => Turn::not(format!("the newest point is {}, the next time {next}", newest.run)),
    }
}

fn by_rpo(status: &Status, newest: &PointFacts) -> Turn {
    let Some(rpo) = status.objectives.rpo else { return Turn::now("it has neither a schedule nor an RPO") };
    let (old, half) = (age(newest.started, status.at).std(), rpo.std() / 2);
    let words = |passed: &str| format!("half of the RPO of {rpo} has {passed} since the newest point, {}, {} ago", newest.run, brief(old));
    if old > half { Turn::now(words("passed")) } else { Turn::not(words("not passed")) }
}

/// When a point becomes older than the RPO.
fn ends(newest: &PointFacts, rpo: Duration) -> Option<Timestamp> {
    newest.started.checked_add(jiff::SignedDuration::try_from(rpo.std()).ok()?).ok()
}

/// A time to the minute in the zone of the schedule.
fn minute(status: &Status, time: Timestamp) -> String {
    let zone = status.schedule.as_ref().map_or("UTC", |schedule| schedule.timezone.as_str());
    time.in_tz(zone).map_or_else(|_| time.to_string(), |local| local.strftime("%Y-%m-%d %H:%M %Z").to_string())
}
