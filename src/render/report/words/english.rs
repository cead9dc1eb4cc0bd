//! English.

use std::time::Duration as StdDuration;

use jiff::Timestamp;

use super::Labels;
use crate::plan::Action;
use crate::quantity::{Duration, brief};
use crate::retention::Reason;
use crate::status::{Cause, Concern, Light, Miss};
use crate::store::manifest::Level;
use crate::words::count;

pub(super) const LABELS: Labels = Labels {
    lang: "en",
    title: "Backup report",
    made: "Made",
    overview: "Overview",
    state: "State",
    pipeline: "Pipeline",
    newest: "Newest restore point",
    level: "Level",
    proof: "Newest proof",
    next: "Next run due",
    objectives: "Objectives",
    objective: "Objective",
    wanted: "Wanted",
    found: "Found",
    verdict: "Verdict",
    met: "met",
    missed: "missed",
    unknown: "not known",
    no_objectives: "This pipeline declares no objectives.",
    concerns: "Worth a look",
    at_work: "At work now",
    zone: "Times in",
    points: "Restore points",
    no_points: "No restore point yet.",
    never: "never",
    kept: "kept",
    going: "due to go",
    pinned: "pinned",
    gap: "longer without one than the RPO allows",
    now: "now",
    receding: "The newest days have the most room: the farther back, the closer together.",
    no_answer: "no answer",
    unread: "older ones were not read, so what is due to go is not known",
    trends: "Trends",
    trend_hint: "Each step is one restore point, oldest first.",
    too_few: "Nothing to draw yet.",
    size: "Size",
    dumped: "dumped",
    stored: "stored",
    duration: "Duration of a run",
    recovery: "Measured recovery",
    recovery_limit: "RTO",
    never_measured: "No recovery was measured yet; a verify-restore step measures it.",
    last: "last",
    least: "min",
    most: "max",
    failures: "Last failures",
    no_failures: "No failure is on record.",
    when: "When",
    host: "Host",
    what: "What",
    error: "Error",
    run_failed: "the run failed",
    verification_failed: "its verification failed",
    manifest_unusable: "its manifest can not be used",
    graph: "Steps",
    graph_hint: "A box is a node; the steps in one box run as one pass. An arrow that follows from others is left out.",
    one_pass: "one pass",
    after_success: "waits for success",
    after_end: "waits for the end",
    run: "Run",
    store: "Store",
    took: "Took",
    fate: "Stays or goes",
    newest_points: "Newest restore points",
    others: "No restore points are made by these, so there is nothing to judge:",
    top: "to the top",
};

pub(super) fn length(length: StdDuration) -> String {
    brief(length)
}

pub(super) fn limit(limit: Duration) -> String {
    limit.to_string()
}

pub(super) fn ago(age: &str) -> String {
    format!("{age} ago")
}

pub(super) fn ahead(time: &str) -> String {
    format!("in {time}")
}

pub(super) fn at_most(what: &str) -> String {
    format!("at most {what}")
}

pub(super) fn at_least(what: &str) -> String {
    format!("at least {what}")
}

pub(super) fn every(what: &str) -> String {
    format!("every {what}")
}

pub(super) fn in_stores(stores: usize) -> String {
    count(stores as u64, "store")
}

pub(super) fn below_median(most: &str, typical: Option<&str>) -> String {
    match typical {
        Some(typical) => format!("at most {most} below the median of {typical}"),
        None => format!("at most {most} below the median"),
    }
}

pub(super) fn restore_points(points: usize) -> String {
    count(points as u64, "restore point")
}

pub(super) fn older(points: usize) -> String {
    format!("{points} older not read")
}

pub(super) fn tally(all: usize, [good, attention, bad]: [usize; 3]) -> String {
    format!("{}: {good} good, {attention} worth a look, {bad} missed", count(all as u64, "pipeline"))
}

pub(super) const fn level(level: Option<Level>) -> &'static str {
    match level {
        None => "unreadable",
        Some(level) => level.name(),
    }
}

pub(super) const fn light(light: Light) -> &'static str {
    match light {
        Light::Good => "Good",
        Light::Attention => "Worth a look",
        Light::Bad => "Missed",
    }
}

pub(super) const fn action(action: Action) -> &'static str {
    match action {
        Action::Store => "stores",
        Action::Commit => "commits",
        Action::Copy => "copies",
        Action::Verify => "verifies",
        Action::Restore => "restores",
        Action::Replace => "replaces",
        Action::Ask => "asks",
        Action::Act => "acts",
        Action::Prune => "prunes",
        Action::Tell => "tells",
        Action::Skip => "skipped",
    }
}

pub(super) fn objective(key: &str) -> &'static str {
    match key {
        "rpo" => "Age of the newest restore point",
        "rto" => "Measured recovery",
        "copies" => "Copies",
        "verified_every" => "Newest proof by a restore",
        "min_size" => "Size of the newest dump",
        _ => "Shrinking of the newest dump",
    }
}

pub(super) fn miss(miss: &Miss) -> String {
    miss.to_string()
}

pub(super) fn concern(concern: &Concern) -> String {
    concern.to_string()
}

pub(super) fn cause(cause: &Cause) -> String {
    cause.to_string()
}

pub(super) fn reason(reason: &Reason, minute: &dyn Fn(Timestamp) -> String) -> String {
    match reason {
        // The others that hold a moment are told in the pipeline's time zone as well.
        Reason::Pinned { until, why } => format!("pinned until {}: {why}", minute(*until)),
        Reason::Locked { until } if *until < Timestamp::MAX => format!("object lock until {}", minute(*until)),
        Reason::Grace { until } => format!("may be deleted after {}", minute(*until)),
        Reason::GraceOver { since } => format!("marked for deletion {}, and the grace is over", minute(*since)),
        Reason::Tombstoned { since } => format!("wanted again: takes back the mark of {}", minute(*since)),
        other => other.to_string(),
    }
}
