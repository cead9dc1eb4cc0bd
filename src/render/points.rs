//! Restore points as a table: when, how large, how good, where.
//!
//! The level is the one earned; a complaint of the newest verification stands under its restore point. Nothing here asks a store.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::style::{BAD, BOLD, DIM, GOOD, Paint, WARN, columns, padded};
use crate::ids::{PipelineName, RefName};
use crate::quantity::{brief, bytes};
use crate::store::catalog::Point;
use crate::store::manifest::{Artifact, Level, Manifest};
use crate::words::count;

/// The restore points of a pipeline in one store.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The store's name.
    pub store: RefName,
    /// The store in its own words: a path or an URL.
    pub place: String,
    /// Whether a pipeline of this name was given; else only the store knows of it.
    pub declared: bool,
    /// The newest points, newest first.
    pub points: Vec<Point>,
    /// How many there are in all.
    pub count: usize,
}

/// A listing in a terminal.
pub fn human(listing: &Listing, now: Timestamp, paint: Paint) -> String {
    let points = count(listing.count, "restore point");
    let stray = if listing.declared { "" } else { ", and no pipeline of this name among the files" };
    let mut out = format!("{} in {}: {points}{stray}\n", paint.on(BOLD, listing.pipeline.as_str()), listing.store);
    let rows: Vec<[String; 5]> = listing.points.iter().map(|point| row(point, now)).collect();
    let width = |column: usize| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for (point, row) in listing.points.iter().zip(&rows) {
        let [run, age, size, level, keys] = row;
        let (run, size) = (padded(run, widths[0]), format!("{size:>0$}", widths[2]));
        let level = paint.on(level_style(point.level()), &padded(level, widths[3]));
        let _ok = writeln!(out, "  {run}  {}  {size}  {level}  {keys}", padded(age, widths[1]));
        for mark in marks(point) {
            let _ok = writeln!(out, "    {} {mark}", paint.on(WARN, "~"));
        }
        for trouble in troubles(point) {
            let _ok = writeln!(out, "    {} {trouble}", paint.on(BAD, "!"));
        }
    }
    if listing.count > listing.points.len() {
        let _ok = writeln!(out, "  {}", paint.on(DIM, &format!("… and {} older", listing.count - listing.points.len())));
    }
    out
}

fn row(point: &Point, now: Timestamp) -> [String; 5] {
    let age = std::time::Duration::try_from(now.duration_since(point.summary.run.started())).unwrap_or_default();
    let (size, keys) =
        point.manifest.as_ref().map_or_else(|_| ("?".to_owned(), point.summary.key.clone()), |manifest| of(&manifest.artifacts));
    let level = point.level().map_or_else(|| "unreadable".to_owned(), |level| level.to_string());
    [point.summary.run.to_string(), format!("{} ago", brief(age)), size, level, keys]
}

/// Bytes stored and the keys they are under.
fn of(artifacts: &[Artifact]) -> (String, String) {
    let keys: Vec<&str> = artifacts.iter().map(|artifact| artifact.object.key.as_str()).collect();
    (bytes(artifacts.iter().map(|artifact| artifact.object.bytes).sum()), keys.join(", "))
}

/// How a level is shown; `None` is that of a manifest that can not be read.
pub(super) const fn level_style(level: Option<Level>) -> anstyle::Style {
    match level {
        Some(Level::Proven | Level::Restored) => GOOD,
        Some(_) => WARN,
        None => BAD,
    }
}

/// What is wanted of a point.
fn marks(point: &Point) -> Vec<String> {
    let minute = |at: Timestamp| at.strftime("%Y-%m-%d %H:%MZ").to_string();
    let leaving = point.marks.tombstoned.as_ref();
    let leaving = leaving.map(|tombstone| format!("on the way out, gone after {}: {}", minute(tombstone.after), tombstone.reason));
    let pinned = point.marks.pinned.as_ref().map(|pin| format!("pinned until {} by {}: {}", minute(pin.until), pin.by, pin.reason));
    leaving.into_iter().chain(pinned).collect()
}

fn troubles(point: &Point) -> Vec<String> {
    let manifest = point.manifest.as_ref().err().map(|why| format!("its manifest can not be used: {why}"));
    let complaint = point.complaint().map(|why| format!("its newest verification failed: {why}"));
    let receipts = point.unreadable.iter().map(|why| format!("a receipt can not be used: {why}"));
    let marks = point.marks.unreadable.iter().map(|why| format!("a mark can not be used: {why}"));
    manifest.into_iter().chain(complaint).chain(receipts).chain(marks).collect()
}

/// A listing as JSON.
pub fn json(listing: &Listing) -> Value {
    let sum = |manifest: &Manifest, of: fn(&Artifact) -> u64| manifest.artifacts.iter().map(of).sum::<u64>();
    let point = |point: &Point| {
        json!({
            "run": point.summary.run,
            "started": point.summary.run.started(),
            "committed": point.manifest.as_ref().ok().map(|manifest| manifest.committed),
            "bytes": point.manifest.as_ref().ok().map(|manifest| sum(manifest, |artifact| artifact.object.bytes)),
            "plain_bytes": point.manifest.as_ref().ok().map(|manifest| sum(manifest, |artifact| artifact.origin.bytes)),
            "complaint": point.complaint(),
            "level": point.level(),
            "manifest": point.summary.key,
            "troubles": troubles(point),
            "tombstoned": point.marks.tombstoned,
            "pinned": point.marks.pinned,
            "artifacts": point.manifest.as_ref().map(|manifest| manifest.artifacts.clone()).unwrap_or_default(),
            "receipts": point.receipts,
        })
    };
    json!({
        "pipeline": listing.pipeline,
        "store": listing.store,
        "place": listing.place,
        "declared": listing.declared,
        "count": listing.count,
        "points": listing.points.iter().map(point).collect::<Vec<_>>(),
    })
}
