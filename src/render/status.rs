//! How pipelines stand: in a terminal, as Markdown for a CI summary, as JSON, and as metrics.
//!
//! The judgement is made already; nothing here decides or reads a clock.

mod json;
mod prometheus;

use std::fmt::Write;
use std::time::Duration as StdDuration;

use jiff::Timestamp;

use super::plan::escaped;
use super::style::{BAD, BOLD, DIM, GOOD, Paint, WARN, padded};
use crate::ids::{PipelineName, RefName};
use crate::quantity::{brief, bytes};
use crate::status::{Light, Miss, Status};
use crate::words::count;

pub use json::json;
pub use prometheus::prometheus;

/// How wide the column of names is.
const NAMES: usize = 9;

/// Several pipelines in a terminal, and those that make no restore points.
pub fn human(statuses: &[Status], others: &[PipelineName], paint: Paint) -> String {
    let mut blocks: Vec<String> = statuses.iter().map(|status| block(status, paint)).collect();
    if !others.is_empty() {
        let names: Vec<&str> = others.iter().map(PipelineName::as_str).collect();
        let line = format!("{}: no restore points are made, so there is nothing to judge", names.join(", "));
        blocks.push(format!("{}\n", paint.on(DIM, &line)));
    }
    blocks.join("\n")
}

fn block(status: &Status, paint: Paint) -> String {
    let (style, word) = light(status.light);
    let mut out = format!("{}  {}\n", paint.on(BOLD, status.pipeline.as_str()), paint.on(style, &format!("● {word}")));
    for (name, value) in rows(status) {
        let _ok = writeln!(out, "  {}  {value}", paint.on(DIM, &padded(name, NAMES)));
    }
    for miss in &status.missed {
        let _ok = writeln!(out, "  {} {}", paint.on(BAD, "!"), paint.on(BAD, &miss.to_string()));
        let _ok = writeln!(out, "      {} {}", paint.on(DIM, "→"), advice(miss, &status.pipeline));
    }
    for concern in &status.concerns {
        let _ok = writeln!(out, "  {} {concern}", paint.on(WARN, "~"));
    }
    out
}

const fn light(light: Light) -> (anstyle::Style, &'static str) {
    match light {
        Light::Good => (GOOD, "ok"),
        Light::Attention => (WARN, "look"),
        Light::Bad => (BAD, "MISSED"),
    }
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let mut rows = vec![("newest", newest(status)), ("proven", proven(status)), ("recovery", recovery(status))];
    if status.newest.is_some() {
        rows.push(("size", size(status)));
        rows.push(("copies", copies(status)));
    }
    let working = status.at_work.iter().filter(|lease| !lease.is_stuck(status.at));
    rows.extend(working.map(|lease| {
        ("at work", format!("run {} on {}, for {}, in {}", lease.run, lease.host, since(lease.since, status.at), lease.store))
    }));
    rows.extend(next(status).map(|next| ("next", next)));
    rows
}

/// The time since a moment, or that a clock is ahead.
fn since(moment: Timestamp, now: Timestamp) -> String {
    StdDuration::try_from(now.duration_since(moment)).map_or_else(|_| "0 s (its clock is ahead)".to_owned(), brief)
}

fn newest(status: &Status) -> String {
    let Some(newest) = &status.newest else { return if status.is_known() { "none" } else { "not known" }.to_owned() };
    let level = newest.level.map(|level| format!(", {level}")).unwrap_or_default();
    let rpo = status.objectives.rpo.map(|rpo| format!("; RPO {rpo}")).unwrap_or_default();
    format!("{}{level}, {} old{rpo}", newest.run, since(newest.started, status.at))
}

fn proven(status: &Status) -> String {
    let every = status.objectives.verified_every.map(|every| format!("; every {every}")).unwrap_or_default();
    let Some((point, at)) = status.newest_proven.as_ref().and_then(|point| Some((point, point.proven?))) else {
        let never = if status.is_known() { "never" } else { "not known" };
        let back = status.unproven_since.map_or_else(|| never.to_owned(), |since| format!("not since {}", since.strftime("%Y-%m-%d")));
        return format!("{back}{every}");
    };
    let which = if status.newest.as_ref().is_some_and(|newest| newest.run == point.run) { "the newest" } else { point.run.as_str() };
    format!("{which}, {} ago{every}", since(at, status.at))
}

fn recovery(status: &Status) -> String {
    let rto = status.objectives.rto.map(|rto| format!("; RTO {rto}")).unwrap_or_default();
    let took = status.recovery.map_or_else(|| "not measured".to_owned(), |recovery| format!("{}, measured", brief(recovery.took)));
    format!("{took}{rto}")
}

fn size(status: &Status) -> String {
    let Some(newest) = &status.newest else { return String::new() };
    let typical = status.typical_bytes.map(|typical| format!("; median before {}", bytes(typical))).unwrap_or_default();
    let least = status.objectives.min_size.map(|least| format!("; least {}", bytes(least.bytes()))).unwrap_or_default();
    format!("{} dumped, {} stored{typical}{least}", bytes(newest.dumped), bytes(newest.stored))
}

fn copies(status: &Status) -> String {
    let stores: Vec<&str> = holding(status).into_iter().map(RefName::as_str).collect();
    let wanted = status.objectives.copies.map(|copies| format!(" of {copies}")).unwrap_or_default();
    let names = if stores.is_empty() { String::new() } else { format!(", in {}", stores.join(", ")) };
    format!("{}{wanted}{names}", status.copies)
}

/// The stores that keep something of the newest point.
fn holding(status: &Status) -> Vec<&RefName> {
    let Some(newest) = &status.newest else { return Vec::new() };
    let holds = status.stores.iter().filter(|store| {
        store.seen.as_ref().is_ok_and(|seen| seen.points.iter().any(|point| point.run == newest.run && !point.holds.is_empty()))
    });
    holds.map(|store| &store.store).collect()
}

fn next(status: &Status) -> Option<String> {
    let next = status.due?.next?;
    let local = next.in_tz(&status.schedule.as_ref()?.timezone).ok()?;
    let left = StdDuration::try_from(next.duration_since(status.at)).unwrap_or_default();
    Some(format!("{}, in {}", local.strftime("%Y-%m-%d %H:%M %Z"), brief(left)))
}

/// What to do about a miss.
fn advice(miss: &Miss, pipeline: &PipelineName) -> String {
    match miss {
        Miss::NoPoint | Miss::Rpo { .. } => format!("runner doctor {pipeline}, then: runner apply {pipeline}"),
        Miss::NeverProven { .. } | Miss::VerifiedEvery { .. } => format!("runner verify {pipeline}"),
        Miss::Rto { .. } => "more `jobs`, a nearer store or a faster codec; or agree on another RTO".to_owned(),
        Miss::Copies { .. } => format!("runner list {pipeline} shows what each store keeps"),
        Miss::MinSize { .. } | Miss::MaxShrink { .. } => format!("runner diff {pipeline} shows what is gone"),
        Miss::Unreachable { .. } => format!("runner doctor {pipeline}"),
    }
}

/// Several pipelines as Markdown.
pub fn markdown(statuses: &[Status]) -> String {
    let missed = statuses.iter().filter(|status| status.light == Light::Bad).count();
    let all = count(statuses.len(), "pipeline");
    let title = if missed == 0 { format!("{all}, no objective is missed") } else { format!("{missed} of {all} missed an objective") };
    let mut out = format!("### Backup status: {title}\n\n");
    out.push_str("| | pipeline | newest | proven | recovery | size | copies | next |\n|---|---|---|---|---|---|---|---|\n");
    for status in statuses {
        let word = light(status.light).1;
        let word = if status.light == Light::Bad { format!("**{word}**") } else { word.to_owned() };
        let cells = [newest(status), proven(status), recovery(status), size(status), copies(status), next(status).unwrap_or_default()];
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        let _ok = writeln!(out, "| {word} | `{}` | {} |", status.pipeline, cells.join(" | "));
    }
    for status in statuses.iter().filter(|status| status.light != Light::Good) {
        let _ok = writeln!(out, "\n**{}**\n", status.pipeline);
        for miss in &status.missed {
            let _ok = writeln!(out, "- missed: {} → {}", escaped(&miss.to_string()), escaped(&advice(miss, &status.pipeline)));
        }
        for concern in &status.concerns {
            let _ok = writeln!(out, "- look: {}", escaped(&concern.to_string()));
        }
    }
    out
}
