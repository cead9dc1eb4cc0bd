//! Everything known about one restore point, for people and as JSON.
//!
//! What could not be read is told where it belongs and never left out. Nothing here asks a store; what was asked is in [`Shown`].

mod artifact;
mod json;
mod receipt;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

pub use json::json;

use super::points::level_style;
use super::recover::{place, quoted};
use super::style::{BAD, BOLD, DIM, Paint, columns, padded};
use crate::archive::{Incomparable, TableDigest};
use crate::ids::{PipelineName, RefName, StepId};
use crate::quantity::{brief, bytes};
use crate::store::catalog::Point;
use crate::store::kit;
use crate::store::manifest::{Applied, Artifact, Manifest};
use crate::store::{ObjectMeta, StoreSpec};

/// A restore point, and what was found out for showing it.
#[derive(Debug)]
pub struct Shown {
    /// The pipeline that made it.
    pub pipeline: PipelineName,
    /// The store it was found in.
    pub store: RefName,
    /// All stores that are known by name.
    pub stores: BTreeMap<RefName, StoreSpec>,
    /// The point.
    pub point: Point,
    /// What its stores say of its objects; `None` when nobody asked.
    pub objects: Option<Vec<Looked>>,
    /// The tables of its dumps; `None` when nobody asked.
    pub tables: Option<Vec<(StepId, Tables)>>,
}

/// An object that a restore point needs, and what its store says of it.
#[derive(Debug, Clone)]
pub struct Looked {
    /// The key.
    pub key: String,
    /// The size it must have in bytes, where that is known.
    pub expected: Option<u64>,
    /// The store's answer, or why there is none.
    pub found: Result<Option<ObjectMeta>, String>,
}

/// The tables of a dump, as far as they can be told.
#[derive(Debug, Clone)]
pub enum Tables {
    /// All of them, and what nobody can tell.
    Known(Vec<TableDigest>, Vec<Incomparable>),
    /// No fingerprint was kept.
    NoneKept,
    /// The fingerprint could not be opened: why, and what to do.
    Closed(String),
}

impl Looked {
    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<String> {
        match (&self.found, self.expected) {
            (Ok(None), _) => Some("is not there".to_owned()),
            (Ok(Some(meta)), Some(expected)) if meta.bytes != expected => Some(format!("has {} bytes; {expected} were stored", meta.bytes)),
            (Ok(Some(_)), _) => None,
            (Err(why), _) => Some(format!("could not be asked for: {why}")),
        }
    }

    /// Whether the store answered, and the object is not what was stored.
    pub fn is_damaged(&self) -> bool {
        self.found.is_ok() && self.trouble().is_some()
    }
}

impl Shown {
    /// The store of an artifact. A manifest that is read by its place alone knows no names: then it is the store it lies in.
    pub fn spec(&self, artifact: &Artifact) -> Option<&StoreSpec> {
        self.stores.get(&artifact.store).or_else(|| self.stores.get(&self.store))
    }

    /// What of it is not what was written: the manifest, receipts, objects.
    pub fn damages(&self) -> Vec<String> {
        let manifest = self.point.manifest.as_ref().err().map(|why| format!("its manifest can not be used: {why}"));
        let receipts = self.point.unreadable.iter().map(|why| format!("a receipt can not be used: {why}"));
        let damaged = self.objects.iter().flatten().filter(|object| object.is_damaged());
        let objects = damaged.filter_map(|object| Some(format!("{} {}", object.key, object.trouble()?)));
        manifest.into_iter().chain(receipts).chain(objects).collect()
    }
}

/// What an artifact consists of: each key, and its size where that was recorded.
pub fn objects(artifact: &Artifact) -> Vec<(&str, Option<u64>)> {
    let sidecars = artifact.stages.iter().filter_map(|stage| match stage {
        Applied::Checksum { sidecar: Some(key), .. } => Some((key.as_str(), None)),
        _ => None,
    });
    let fingerprint = artifact.fingerprint.iter().map(|sidecar| (sidecar.object.key.as_str(), Some(sidecar.object.bytes)));
    std::iter::once((artifact.object.key.as_str(), Some(artifact.object.bytes))).chain(sidecars).chain(fingerprint).collect()
}

/// A restore point in a terminal.
pub fn human(shown: &Shown, now: Timestamp, paint: Paint) -> String {
    let found = &shown.point;
    let mut out = format!("{} {} in {}\n", paint.on(BOLD, shown.pipeline.as_str()), found.summary.run, shown.store);
    let level = found.level().map_or_else(|| "unreadable".to_owned(), |level| level.to_string());
    fact(&mut out, "level", &paint.on(level_style(found.level()), &level));
    match &found.manifest {
        Ok(manifest) => head(&mut out, manifest, now),
        Err(_) => fact(&mut out, "started", &found.summary.run.started().to_string()),
    }
    fact(&mut out, "manifest", &found.summary.key);
    for damage in shown.damages() {
        let _ok = writeln!(out, "  {} {damage}", paint.on(BAD, "!"));
    }
    for artifact in found.manifest.iter().flat_map(|manifest| &manifest.artifacts) {
        out.push_str(&artifact::human(shown, artifact, paint));
    }
    receipt::human(&mut out, found, paint);
    if let Ok(manifest) = &found.manifest {
        nodes(&mut out, manifest, paint);
    }
    out.push_str(&by_kit(shown, paint));
    out
}

fn head(out: &mut String, manifest: &Manifest, now: Timestamp) {
    let ago = brief(between(manifest.started, now));
    fact(out, "started", &format!("{}, {ago} ago", manifest.started));
    fact(out, "committed", &format!("{}, after {}", manifest.committed, brief(between(manifest.started, manifest.committed))));
    if let Some(copied) = &manifest.copied {
        fact(out, "copied", &format!("from {}, {} by run {} on {}", copied.from, copied.at, copied.run, copied.host));
    }
    let commit = manifest.git_commit.as_ref().map(|commit| format!(", commit {commit}")).unwrap_or_default();
    fact(out, "made by", &format!("runner {} on {}{commit}", manifest.runner, manifest.host));
    fact(out, "pipeline", &format!("sha256 {}", manifest.source_sha256));
}

fn nodes(out: &mut String, manifest: &Manifest, paint: Paint) {
    if manifest.timings.is_empty() {
        return;
    }
    heading(out, "nodes, until the commit", paint);
    let width = manifest.timings.keys().map(|node| columns(node.as_str())).max().unwrap_or(0);
    for (node, took) in &manifest.timings {
        let _ok = writeln!(out, "    {}  {}", padded(node.as_str(), width), brief(*took));
    }
}

/// How to restore it with the kit that lies beside it.
fn by_kit(shown: &Shown, paint: Paint) -> String {
    let mut out = String::new();
    let Some(spec) = shown.stores.get(&shown.store) else { return out };
    heading(&mut out, "without runner, with the kit beside it", paint);
    let [read_me, script] = kit_places(shown, spec);
    let _ok = writeln!(out, "    {read_me}");
    let _ok = writeln!(out, "    {}", kit_command(shown, spec, &script));
    out
}

/// Where the kit's explanation and its script are.
fn kit_places(shown: &Shown, spec: &StoreSpec) -> [String; 2] {
    kit::files(&shown.pipeline).map(|file| place(spec, &file.key))
}

/// The line for a shell that restores this point with the kit.
fn kit_command(shown: &Shown, spec: &StoreSpec, script: &str) -> String {
    let from = match spec {
        StoreSpec::Local(_) => format!("sh {}", quoted(script)),
        StoreSpec::S3(_) => format!("sh restore.sh --store {}", quoted(place(spec, "").trim_end_matches('/'))),
    };
    let artifacts = shown.point.manifest.as_ref().map_or(&[][..], |manifest| &manifest.artifacts);
    let with_key = |stage: &Applied| matches!(stage, Applied::Encrypt { recipients, .. } if !recipients.is_empty());
    let key = if artifacts.iter().flat_map(|artifact| &artifact.stages).any(with_key) { " --identity KEY_FILE" } else { "" };
    format!("{from} restore --to NEW_DATABASE --at {}{key}", shown.point.summary.run)
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn fact(out: &mut String, label: &str, text: &str) {
    let _ok = writeln!(out, "  {label:<12} {text}");
}

fn heading(out: &mut String, text: &str, paint: Paint) {
    let _ok = writeln!(out, "\n  {}", paint.on(BOLD, text));
}

/// Tables with their rows and size, the largest first.
fn tables(out: &mut String, tables: &[TableDigest], paint: Paint) {
    let mut sorted: Vec<&TableDigest> = tables.iter().collect();
    sorted.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| (&a.schema, &a.name).cmp(&(&b.schema, &b.name))));
    let rows: Vec<[String; 3]> =
        sorted.iter().map(|table| [format!("{}.{}", table.schema, table.name), table.rows.to_string(), bytes(table.bytes)]).collect();
    let width = |column: usize, least: &str| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0).max(least.len());
    let (name, digits, size) = (width(0, "table"), width(1, "rows"), width(2, "size"));
    let _ok = writeln!(out, "      {}", paint.on(DIM, &format!("{}  {:>digits$}  {:>size$}", padded("table", name), "rows", "size")));
    for [table, rows, bytes] in &rows {
        let _ok = writeln!(out, "      {}  {rows:>digits$}  {bytes:>size$}", padded(table, name));
    }
}
