//! All there is to say of one pipeline, as the plain data that a page is made of. It judges nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fate::{fate, shelf};
use super::graph::{Graph, graph};
use super::moment::{Clock, Moment};
use super::objectives::{self, Row};
use super::overview::{LightWord, clock, light};
use super::points::{Known, known};
use super::timeline::{LevelWord, Timeline, shape, timeline};
use super::trend::{Trend, trends};
use super::{Report, Subject};
use crate::ids::RunId;
use crate::quantity::bytes;
use crate::status::{Attempt, Complaint};

/// How many failures are told.
const FAILURES: usize = 10;

/// How much detail there is room for: a page of very many pipelines has less of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detail {
    /// Marks a row of a timeline.
    pub(super) marks: u32,
    /// Whether each mark says why its point stays or goes.
    pub(super) reasons: bool,
    /// Restore points in a table.
    pub(super) rows: usize,
}

impl Detail {
    /// For so many pipelines.
    pub(super) const fn of(pipelines: usize) -> Self {
        match pipelines {
            0..=20 => Self { marks: 150, reasons: true, rows: 30 },
            21..=60 => Self { marks: 80, reasons: true, rows: 20 },
            _ => Self { marks: 40, reasons: false, rows: 5 },
        }
    }
}

/// A pipeline.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) light: LightWord,
    pub(super) zone: String,
    pub(super) newest: Option<Moment>,
    pub(super) level: Option<LevelWord>,
    pub(super) next: Option<Moment>,
    pub(super) missed: Vec<String>,
    pub(super) concerns: Vec<String>,
    pub(super) at_work: Vec<String>,
    pub(super) objectives: Vec<Row>,
    pub(super) timeline: Timeline,
    pub(super) trends: Vec<Trend>,
    pub(super) failures: Vec<Failure>,
    pub(super) graph: Graph,
    pub(super) points: Vec<Point>,
}

/// Something that failed.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) at: Moment,
    pub(super) run: String,
    pub(super) host: Option<String>,
    pub(super) what: &'static str,
    pub(super) error: String,
}

/// A restore point in a table.
#[derive(Debug, Serialize)]
pub(super) struct Point {
    pub(super) run: String,
    pub(super) at: Moment,
    pub(super) level: LevelWord,
    pub(super) dumped: String,
    pub(super) stored: String,
    pub(super) took: Option<String>,
    /// For each store that has it: its name, whether it goes, and why.
    pub(super) stores: Vec<Kept>,
}

/// A restore point in a store.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    pub(super) store: String,
    pub(super) going: bool,
    pub(super) pinned: bool,
    pub(super) why: String,
}

/// What a page says of a pipeline.
pub(super) fn section(report: &Report, subject: &Subject, id: String, detail: Detail) -> Section {
    let (status, clock) = (&subject.status, clock(report, subject));
    let points = known(status);
    let level = |newest: &crate::status::PointFacts| LevelWord { shape: shape(newest.level), word: clock.language.level(newest.level) };
    Section {
        id,
        name: status.pipeline.to_string(),
        description: subject.plan.description.clone(),
        light: light(status.light, &clock),
        zone: subject.plan.timezone.clone(),
        newest: status.newest.as_ref().map(|newest| clock.moment(newest.started)),
        level: status.newest.as_ref().map(level),
        next: status.due.and_then(|due| due.next).map(|at| clock.moment(at)),
        missed: status.missed.iter().map(|miss| clock.language.miss(miss)).collect(),
        concerns: status.concerns.iter().map(|concern| clock.language.concern(concern)).collect(),
        at_work: at_work(subject, &clock),
        objectives: objectives::rows(status, &clock),
        timeline: timeline(subject, &clock, detail),
        trends: trends(&points, status.objectives.rto, &clock),
        failures: failures(subject, &points, &clock),
        graph: graph(&subject.plan, report.language),
        points: points.iter().take(detail.rows).map(|known| point(known, subject, &clock)).collect(),
    }
}

fn at_work(subject: &Subject, clock: &Clock) -> Vec<String> {
    // One that gives no sign of life is told as a concern.
    let leases = subject.status.at_work.iter().filter(|lease| !lease.is_stuck(clock.now));
    leases.map(|lease| format!("{} · {} · {} · {}", lease.run, lease.host, lease.store, clock.moment(lease.since).away)).collect()
}

/// The newest failures: of runs, of verifications, of reading a manifest.
pub(super) fn failures(subject: &Subject, points: &[Known], clock: &Clock) -> Vec<Failure> {
    let words = clock.language.labels();
    let attempts = subject.status.stores.iter().filter_map(|store| store.seen.as_ref().ok()).flat_map(|seen| &seen.failed);
    let runs: BTreeMap<&RunId, &Attempt> = attempts.map(|attempt| (&attempt.run, attempt)).collect();
    let runs = runs.into_values().map(|attempt| Failure {
        at: clock.moment(attempt.ended.unwrap_or(attempt.started)),
        run: attempt.run.to_string(),
        host: attempt.host.clone(),
        what: words.run_failed,
        error: clock.language.cause(&attempt.cause),
    });
    let complaints = points.iter().filter_map(|point| {
        let complaint = point.complaint.as_ref()?;
        let what = match complaint {
            Complaint::Manifest(_) => words.manifest_unusable,
            Complaint::Content(_) | Complaint::Verification(_) => words.verification_failed,
        };
        let error = complaint.found().to_owned();
        Some(Failure { at: clock.moment(point.started), run: point.run.to_string(), host: None, what, error })
    });
    let mut all: Vec<Failure> = runs.chain(complaints).collect();
    all.sort_by(|one, other| (&other.at.iso, &other.run).cmp(&(&one.at.iso, &one.run)));
    all.truncate(FAILURES);
    all
}

fn point(known: &Known, subject: &Subject, clock: &Clock) -> Point {
    let stores = subject.status.stores.iter().filter_map(|store| {
        let point = store.seen.as_ref().ok()?.points.iter().find(|point| point.run == known.run)?;
        let fate = fate(shelf(subject, &store.store), point, clock);
        Some(Kept { store: store.store.to_string(), going: fate.going, pinned: fate.pinned, why: fate.why })
    });
    Point {
        run: known.run.to_string(),
        at: clock.moment(known.started),
        level: LevelWord { shape: shape(known.level), word: clock.language.level(known.level) },
        dumped: bytes(known.dumped),
        stored: bytes(known.stored),
        took: known.took.map(|took| clock.language.length(took.into())),
        stores: stores.collect(),
    }
}
