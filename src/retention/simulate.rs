//! The simulation: which points a policy would leave if a schedule ran for so many days, and how far apart.
//!
//! It applies [`decide`] after every run, as a `prune` step at the end of a pipeline does; every run succeeds, and every point is
//! proven. Time is an argument; nothing here looks at a store.

use croner::Cron;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use super::calendar::Rule;
use super::decide::{Decision, decide};
use super::facts::{Catalog, PointFacts};
use super::policy::Policy;
use super::reason::{Action, Reason};
use crate::ids::RunId;
use crate::quantity::Duration;
use crate::store::manifest::Level;

/// The most runs that are simulated: every ten minutes for a year.
const MOST_RUNS: usize = 60_000;

/// Why there is nothing to simulate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// The schedule never runs in that time.
    #[error("the schedule `{cron}` does not run once in {days} days from {first}")]
    NoRun {
        /// The schedule.
        cron: String,
        /// How long.
        days: u32,
        /// The first day.
        first: Date,
    },
    /// Too many runs.
    #[error("the schedule `{cron}` runs more than {MOST_RUNS} times in that time: simulate fewer days")]
    TooMany {
        /// The schedule.
        cron: String,
    },
    /// Days that the calendar does not have.
    #[error("the calendar ends before {days} days from {first}")]
    Calendar {
        /// How long.
        days: u32,
        /// The first day.
        first: Date,
    },
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Scenario<'a> {
    /// When a run starts.
    pub cron: &'a Cron,
    /// The time zone of the schedule and of the rules.
    pub zone: &'a TimeZone,
    /// The first day; the store is empty before it.
    pub first: Date,
    /// How many days.
    pub days: u32,
    /// Bytes each point takes.
    pub bytes: u64,
}

/// The end of a simulated day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// The day, in the scenario's time zone.
    pub date: Date,
    /// Points in the store, those with a tombstone included.
    pub points: usize,
    /// Those without one.
    pub kept: usize,
    /// Bytes in the store.
    pub bytes: u64,
}

/// How far one rule reaches beyond those that reach less far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The rule.
    pub rule: Rule,
    /// The points it keeps in the end.
    pub points: usize,
    /// The age of the oldest of them in the end.
    pub reach: Duration,
    /// The longest time between neighbouring kept points in its stretch, at the end of any day.
    pub hole: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    /// When it ends: the end of the last day.
    pub end: Timestamp,
    /// How many times the schedule ran.
    pub runs: usize,
    /// The end of every day.
    pub days: Vec<Day>,
    /// The points there are in the end, newest first, each with what becomes of it then, and why.
    pub points: Vec<(PointFacts, Decision)>,
    /// The rules of the policy, the one that reaches back least first.
    pub stretches: Vec<Stretch>,
}

impl Simulation {
    /// The longest time between neighbouring kept points at the end of any day.
    pub fn largest_hole(&self) -> Duration {
        self.stretches.iter().map(|stretch| stretch.hole).max().unwrap_or(Duration::seconds(0))
    }

    /// The day with the most bytes in the store, the first of them.
    pub fn fullest(&self) -> Option<&Day> {
        self.days.iter().rev().max_by_key(|day| day.bytes)
    }
}

/// Runs a schedule for so many days over a store that is empty in the beginning.
///
/// # Errors
/// When it would never run, or too often.
pub fn simulate(policy: &Policy, scenario: &Scenario<'_>) -> Result<Simulation, SimulationError> {
    let days = midnights(scenario)?;
    let runs = runs(scenario, &days)?;
    let mut catalog = Catalog::default();
    let mut stretches = Vec::new();
    let mut seen = Vec::with_capacity(scenario.days as usize);
    let mut next = runs.iter().peekable();
    for pair in days.windows(2) {
        while let Some(at) = next.next_if(|at| **at < pair[1].timestamp()) {
            catalog.points.push(point(*at, scenario.bytes));
            catalog = catalog.after(&decide(&catalog, policy, *at, scenario.zone), *at);
        }
        let points = judged(&catalog, policy, pair[1].timestamp(), scenario.zone);
        widen(&mut stretches, self::stretches(&points, policy, pair[1].timestamp()));
        seen.push(day(pair[0].date(), &points));
    }
    let end = days.last().map_or(Timestamp::UNIX_EPOCH, Zoned::timestamp);
    Ok(Simulation { end, runs: runs.len(), days: seen, points: judged(&catalog, policy, end, scenario.zone), stretches })
}

/// The beginnings of the days, and the end of the last.
fn midnights(scenario: &Scenario<'_>) -> Result<Vec<Zoned>, SimulationError> {
    let midnight = |day: u32| scenario.first.checked_add(i64::from(day).days()).and_then(|date| date.to_zoned(scenario.zone.clone()));
    let fault = |_| SimulationError::Calendar { days: scenario.days, first: scenario.first };
    (0..=scenario.days).map(|day| midnight(day).map_err(fault)).collect()
}

fn runs(scenario: &Scenario<'_>, days: &[Zoned]) -> Result<Vec<Timestamp>, SimulationError> {
    let cron = || scenario.cron.pattern.to_string();
    let [first, .., last] = days else {
        return Err(SimulationError::NoRun { cron: cron(), days: scenario.days, first: scenario.first });
    };
    let times = scenario.cron.iter_from(first.clone(), croner::Direction::Forward);
    let mut runs: Vec<Timestamp> = times.map(|at| at.timestamp()).take_while(|at| *at < last.timestamp()).take(MOST_RUNS + 1).collect();
    runs.dedup();
    match runs.len() {
        0 => Err(SimulationError::NoRun { cron: cron(), days: scenario.days, first: scenario.first }),
        count if count > MOST_RUNS => Err(SimulationError::TooMany { cron: cron() }),
        _ => Ok(runs),
    }
}

fn point(at: Timestamp, bytes: u64) -> PointFacts {
    PointFacts::new(RunId::starting(at, [0; 3]), at, bytes, Some(Level::Proven))
}

/// The points at a moment, newest first, with what would become of each then.
fn judged(catalog: &Catalog, policy: &Policy, now: Timestamp, zone: &TimeZone) -> Vec<(PointFacts, Decision)> {
    // Points are listed in the order in which they were taken, and none needs another: the decisions are the same list backwards.
    catalog.points.iter().rev().cloned().zip(decide(catalog, policy, now, zone).decisions).collect()
}

fn kept(points: &[(PointFacts, Decision)]) -> impl Iterator<Item = &(PointFacts, Decision)> {
    points.iter().filter(|(_, decision)| decision.action == Action::Keep)
}

fn day(date: Date, points: &[(PointFacts, Decision)]) -> Day {
    Day { date, points: points.len(), kept: kept(points).count(), bytes: points.iter().map(|(point, _)| point.bytes).sum() }
}

/// Whether a rule is among the reasons why a point is kept.
fn is_of(rule: Rule, decision: &Decision) -> bool {
    decision.reasons.iter().any(|reason| match reason {
        Reason::Slot { rule: own, .. } => *own == rule,
        Reason::Within { .. } => rule == Rule::Within,
        _ => false,
    })
}

fn stretches(points: &[(PointFacts, Decision)], policy: &Policy, now: Timestamp) -> Vec<Stretch> {
    let mut reached = Duration::seconds(0);
    let mut found = Vec::new();
    for rule in policy.keep.rules() {
        let of: Vec<Timestamp> = kept(points).filter(|(_, decision)| is_of(rule, decision)).map(|(point, _)| point.taken).collect();
        let reach = of.last().map_or(Duration::seconds(0), |oldest| between(*oldest, now));
        found.push(Stretch { rule, points: of.len(), reach, hole: hole(points, now, reached..=reach) });
        reached = reached.max(reach);
    }
    found
}

/// The longest time between neighbouring kept points whose older one is of such an age.
fn hole(points: &[(PointFacts, Decision)], now: Timestamp, ages: std::ops::RangeInclusive<Duration>) -> Duration {
    let times: Vec<Timestamp> = kept(points).map(|(point, _)| point.taken).collect();
    let holes = times.windows(2).filter(|pair| {
        let age = between(pair[1], now);
        age > *ages.start() && age <= *ages.end()
    });
    holes.map(|pair| between(pair[1], pair[0])).max().unwrap_or(Duration::seconds(0))
}

fn between(early: Timestamp, late: Timestamp) -> Duration {
    std::time::Duration::try_from(late.duration_since(early)).unwrap_or_default().into()
}

/// The newest state, with the largest hole of all so far.
fn widen(so_far: &mut Vec<Stretch>, newest: Vec<Stretch>) {
    let before: Vec<Duration> = so_far.iter().map(|stretch| stretch.hole).collect();
    *so_far = newest;
    for (stretch, before) in so_far.iter_mut().zip(before) {
        stretch.hole = stretch.hole.max(before);
    }
}
