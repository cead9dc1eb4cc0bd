//! What a check of a catalog found, and what a healing will do, in words and as JSON.
//!
//! Nothing here asks a store.

use std::fmt::Write;

use serde_json::{Value, json};

use super::style::{BAD, BOLD, DIM, GOOD, Paint, WARN};
use crate::ids::{PipelineName, RefName};
use crate::quantity::bytes;
use crate::store::check::Checked;
use crate::store::heal::Cure;
use crate::store::lost::Lost;
use crate::words::count;

/// The check of a pipeline in one store.
#[derive(Debug, Clone)]
pub struct Report {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The store's name.
    pub store: RefName,
    /// What was found.
    pub checked: Checked,
}

/// A check in a terminal.
pub fn human(report: &Report, paint: Paint) -> String {
    let Report { pipeline, store, checked } = report;
    let mut out = String::new();
    let how = if checked.digests { "every byte read" } else { "sizes compared" };
    let what = format!("{}, {}, {}", count(checked.points, "restore point"), count(checked.objects, "object"), bytes(checked.bytes));
    let _ok = writeln!(out, "{} in {store}: {what}; {how}", paint.on(BOLD, pipeline.as_str()));
    for flaw in &checked.flaws {
        let _ok = writeln!(out, "  {} {}  {}: {}", paint.on(BAD, "!"), flaw.run, flaw.key, flaw.damage);
    }
    for orphan in &checked.orphans {
        let _ok = writeln!(
            out,
            "  {} {} ({}, written {}): no manifest names it",
            paint.on(WARN, "?"),
            orphan.key,
            bytes(orphan.bytes),
            orphan.modified
        );
    }
    if !checked.orphans.is_empty() {
        let _ok = writeln!(out, "  {}", paint.on(DIM, "left by runs that failed, or of a run that goes on; they are no restore points"));
    }
    if checked.flaws.is_empty() {
        let _ok = writeln!(out, "  {}", paint.on(GOOD, "everything that manifests name is there"));
    }
    out
}

/// A check as JSON.
pub fn json(report: &Report) -> Value {
    json!({ "pipeline": report.pipeline, "store": report.store, "checked": report.checked })
}

/// What a healing will do.
pub fn healing(
    pipeline: &PipelineName,
    (from, to): (&RefName, &RefName),
    (points, cures, hopeless): (&[Lost], &[Cure], &[String]),
    paint: Paint,
) -> String {
    let mut out = String::new();
    let _ok = writeln!(out, "{}: {to} is healed from {from}", paint.on(BOLD, pipeline.as_str()));
    for lost in points {
        let run = &lost.manifest.run;
        if lost.damaged {
            let words = format!("{run} has a manifest that can not be used: replaced once every object was read and verified");
            let _ok = writeln!(out, "  {} {}", paint.on(BAD, "!"), paint.on(BAD, &words));
        } else {
            let _ok = writeln!(out, "  {} {run} has lost its manifest: the restore point is copied", paint.on(GOOD, "+"));
        }
    }
    for cure in cures {
        let size = bytes(cure.named.bytes);
        if cure.damaged {
            let words = format!("{} ({size}) is damaged: deleted once a good copy was read and verified, then put back", cure.named.key);
            let _ok = writeln!(out, "  {} {}", paint.on(BAD, "!"), paint.on(BAD, &words));
        } else {
            let _ok = writeln!(out, "  {} {} ({size}) is missing: copied", paint.on(GOOD, "+"), cure.named.key);
        }
    }
    for words in hopeless {
        let _ok = writeln!(out, "  {} can not be healed: {words}", paint.on(BAD, "x"));
    }
    let _ok = writeln!(out, "{}", paint.on(BOLD, &format!("Plan: {} to heal.", what(points, cures))));
    out
}

fn what(points: &[Lost], cures: &[Cure]) -> String {
    let objects = count(cures.len(), "object");
    if points.is_empty() { objects } else { format!("{} and {objects}", count(points.len(), "restore point")) }
}
