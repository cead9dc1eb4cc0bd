//! A simulated retention as a calendar, as JSON, and as a picture.
//!
//! The calendar has a line a month and a letter a day: the rule that will keep that day's point longest. Nothing here simulates.

mod svg;

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::civil::Date;
use serde_json::{Value, json};

pub use svg::svg;

use super::style::{BOLD, DIM, Paint, padded};
use crate::ids::PipelineName;
use crate::quantity::{Duration, brief, bytes};
use crate::retention::{Action, Decision, Policy, Reason, Rule, Scenario, Simulation, Stretch};
use crate::words::count;

/// A simulation, with what was simulated.
#[derive(Debug, Clone, Copy)]
pub struct Simulated<'a> {
    /// The pipeline.
    pub pipeline: &'a PipelineName,
    /// Its schedule's expression.
    pub schedule: &'a str,
    /// The policy.
    pub policy: &'a Policy,
    /// What was simulated.
    pub scenario: Scenario<'a>,
    /// What came of it.
    pub simulation: &'a Simulation,
}

impl Simulated<'_> {
    fn zone(&self) -> &str {
        self.scenario.zone.iana_name().unwrap_or("UTC")
    }

    /// What was simulated, in a line.
    fn subject(&self) -> String {
        let Scenario { first, days, bytes: size, .. } = self.scenario;
        format!("{} from {first} of `{}` in {}, {} a point", count(days, "day"), self.schedule, self.zone(), bytes(size))
    }

    /// What came of it, in a line.
    fn outcome(&self) -> String {
        let last = self.simulation.days.last().copied();
        let (points, kept, size) = last.map_or((0, 0, 0), |day| (day.points, day.kept, day.bytes));
        let most = self
            .simulation
            .fullest()
            .map(|day| format!("; at most {} and {}, on {}", count_points(day.points), bytes(day.bytes), day.date));
        let waiting = if points > kept { format!(", {} on the way out", points - kept) } else { String::new() };
        let runs = count(self.simulation.runs as u64, "run");
        let left = if self.simulation.runs == 1 { "leaves" } else { "leave" };
        format!("{runs} {left} {}{waiting}, {}{}", count_points(kept), bytes(size), most.unwrap_or_default())
    }
}

fn count_points(points: usize) -> String {
    count(points as u64, "point")
}

/// The rules among the reasons.
fn rules(decision: &Decision) -> impl Iterator<Item = Rule> {
    decision.reasons.iter().filter_map(|reason| match reason {
        Reason::Slot { rule, .. } => Some(*rule),
        Reason::Within { .. } => Some(Rule::Within),
        _ => None,
    })
}

const fn letter(rule: Rule) -> char {
    match rule {
        Rule::Last => 'l',
        Rule::Within => 'n',
        Rule::Hourly => 'h',
        Rule::Daily => 'd',
        Rule::Weekly => 'w',
        Rule::Monthly => 'm',
        Rule::Yearly => 'y',
    }
}

/// A day without a point in the end.
const NOTHING: char = '·';
/// A day whose points are on the way out.
const GOING: char = 'x';
/// A day whose point only a guard keeps.
const GUARDED: char = '+';

/// A simulation in a terminal.
pub fn human(simulated: &Simulated<'_>, paint: Paint) -> String {
    let mut out = format!("{}: {}\n", paint.on(BOLD, simulated.pipeline.as_str()), simulated.subject());
    let grace = format!("deleted {} after they were marked", simulated.policy.grace);
    let _ok = writeln!(out, "keeps {}; others are {grace}\n", simulated.policy.keep);
    months(&mut out, simulated, paint);
    let rules = simulated.policy.keep.rules().into_iter().map(|rule| format!("{} {rule}", letter(rule)));
    let legend: Vec<String> = rules.chain([format!("{GUARDED} guarded"), format!("{GOING} on the way out")]).collect();
    let _ok = writeln!(out, "{:9}{}\n", "", paint.on(DIM, &format!("kept longest by: {}", legend.join("  "))));
    holes(&mut out, &simulated.simulation.stretches, paint);
    let _ok = writeln!(out, "\n{}", simulated.outcome());
    out
}

/// A letter a day: of the kept points of that day, the rule that keeps one longest.
fn letters(simulated: &Simulated<'_>) -> BTreeMap<Date, char> {
    let mut found: BTreeMap<Date, (bool, Option<Rule>)> = BTreeMap::new();
    for (point, decision) in &simulated.simulation.points {
        let date = point.taken.to_zoned(simulated.scenario.zone.clone()).date();
        let here = (decision.action == Action::Keep, rules(decision).max());
        let before = found.entry(date).or_insert(here);
        *before = (*before).max(here);
    }
    let letter = |(kept, rule): (bool, Option<Rule>)| if kept { rule.map_or(GUARDED, letter) } else { GOING };
    found.into_iter().map(|(date, here)| (date, letter(here))).collect()
}

/// A line a month: its days, and the points and bytes at its end.
fn months(out: &mut String, simulated: &Simulated<'_>, paint: Paint) {
    let letters = letters(simulated);
    let header = format!("{:9}1        10        20        30   points    stored", "");
    let _ok = writeln!(out, "{}", paint.on(DIM, &header));
    let days = &simulated.simulation.days;
    for month in days.chunk_by(|a, b| a.date.first_of_month() == b.date.first_of_month()) {
        if let (Some(first), Some(last)) = (month.first(), month.last()) {
            line(out, first.date, last, &letters);
        }
    }
}

fn line(out: &mut String, first: Date, end: &crate::retention::Day, letters: &BTreeMap<Date, char>) {
    let cell = |day: i8| match first.with().day(day).build() {
        Ok(date) if date >= first && date <= end.date => letters.get(&date).copied().unwrap_or(NOTHING),
        _ => ' ',
    };
    let cells: String = (1..=31).map(cell).collect();
    let _ok = writeln!(out, "{:9}{cells}   {:>6}  {:>8}", first.strftime("%Y-%m").to_string(), end.points, bytes(end.bytes));
}

/// A line a rule: how far it reaches, and the largest hole on its stretch of time.
fn holes(out: &mut String, stretches: &[Stretch], paint: Paint) {
    let header = format!("{:9}{:>6}  {:>10}  {:>16}", "rule", "points", "oldest", "largest hole");
    let _ok = writeln!(out, "{}", paint.on(DIM, &header));
    for stretch in stretches {
        let (rule, reach, hole) = (padded(stretch.rule.word(), 9), spell(stretch.reach), spell(stretch.hole));
        let _ok = writeln!(out, "{rule}{:>6}  {reach:>10}  {hole:>16}", stretch.points);
    }
}

/// A length of time in days, or in hours where it is short.
fn spell(length: Duration) -> String {
    let hours = (length.std().as_secs() + 1800) / 3600;
    match (hours / 24, hours % 24) {
        (0, 0) if length.std().is_zero() => "-".to_owned(),
        (0, _) => brief(length.std()),
        (days, 0) => format!("{days} d"),
        (days @ 1..3, hours) => format!("{days} d {hours:02} h"),
        (days, hours) => format!("{} d", days + u64::from(hours >= 12)),
    }
}

/// A simulation as JSON; lengths of time in seconds.
pub fn json(simulated: &Simulated<'_>) -> Value {
    let Simulated { pipeline, schedule, policy, scenario, simulation } = simulated;
    let stretch = |stretch: &Stretch| {
        json!({
            "rule": stretch.rule,
            "points": stretch.points,
            "oldest_seconds": stretch.reach.std().as_secs(),
            "largest_hole_seconds": stretch.hole.std().as_secs(),
        })
    };
    let reasons = |decision: &Decision| decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "version": 1,
        "pipeline": pipeline,
        "schedule": { "cron": schedule, "timezone": simulated.zone() },
        "policy": policy,
        "from": scenario.first,
        "until": simulation.end,
        "runs": simulation.runs,
        "largest_hole_seconds": simulation.largest_hole().std().as_secs(),
        "rules": simulation.stretches.iter().map(stretch).collect::<Vec<_>>(),
        "points": simulation.points.iter().map(|(point, decision)| json!({
            "taken": point.taken,
            "bytes": point.bytes,
            "action": decision.action,
            "reasons": reasons(decision),
        })).collect::<Vec<_>>(),
        "days": simulation.days.iter().map(|day| json!({
            "date": day.date,
            "points": day.points,
            "kept": day.kept,
            "bytes": day.bytes,
        })).collect::<Vec<_>>(),
    })
}
