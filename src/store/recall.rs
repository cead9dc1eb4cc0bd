//! Finding one restore point again: by its id, by a moment, or the latest.
//!
//! What was asked for is found or refused with what there is instead; another point is never taken silently. Nothing is read of
//! the objects themselves here.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::catalog;
use super::commit::{self, MANIFEST_LIMIT, ManifestError, PointSummary};
use super::manifest::{Artifact, Level, Manifest, manifest_key};
use super::{ObjectStore, StoreError};
use crate::ids::{PipelineName, RefName, RunId, StepId};

/// Which restore point is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum At {
    /// The newest, but for those from clocks far ahead while there is another.
    #[default]
    Latest,
    /// This one.
    Run(RunId),
    /// The newest whose data is no younger than this moment.
    Time(Timestamp),
}

/// A text that names no restore point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AtError {
    /// A time that could be meant in any zone.
    #[error(
        "{text:?} has no time zone: write {text}Z for UTC, an offset as in 2026-11-20T02:17+09:00, or a zone as in 2026-11-20T02:17[Asia/Seoul]"
    )]
    NoZone {
        /// What was given.
        text: String,
    },
    /// An id without its end reads as a time, and means another point.
    #[error("{text:?} is the beginning of an id: give all of it, as `runner list` shows it; or write the time as {time}")]
    Cut {
        /// What was given.
        text: String,
        /// The time that it may mean.
        time: Timestamp,
    },
    /// Neither a time nor an id.
    #[error(
        "{text:?} is no restore point: use `latest`, an id such as 20261120T021700Z-4f3a9c, or a time with its zone such as 2026-11-20T02:17+09:00"
    )]
    Unknown {
        /// What was given.
        text: String,
    },
}

impl FromStr for At {
    type Err = AtError;
    fn from_str(text: &str) -> Result<Self, AtError> {
        let text = text.trim();
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Ok(run) = text.parse::<RunId>() {
            return Ok(Self::Run(run));
        }
        let zoned = || text.parse::<Zoned>().ok().map(|zoned| zoned.timestamp());
        match text.parse::<Timestamp>().ok().or_else(zoned) {
            Some(time) if is_beginning(text) => Err(AtError::Cut { text: text.to_owned(), time }),
            Some(time) => Ok(Self::Time(time)),
            None if text.parse::<jiff::civil::DateTime>().is_ok() => Err(AtError::NoZone { text: text.to_owned() }),
            None => Err(AtError::Unknown { text: text.to_owned() }),
        }
    }
}

/// Whether a text is what ids begin with: `20261120T021700Z`.
fn is_beginning(text: &str) -> bool {
    text.len() == 16 && text.parse::<RunId>().is_err() && format!("{text}-000000").parse::<RunId>().is_ok()
}

impl TryFrom<String> for At {
    type Error = AtError;
    fn try_from(text: String) -> Result<Self, AtError> {
        text.parse()
    }
}

impl From<At> for String {
    fn from(at: At) -> Self {
        at.to_string()
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Run(run) => run.fmt(f),
            Self::Time(time) => time.fmt(f),
        }
    }
}

impl JsonSchema for At {
    fn schema_name() -> Cow<'static, str> {
        "At".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^(latest|\d{8}T\d{6}Z-[0-9a-f]{6}|\d{4}-\d{2}-\d{2}.*(Z|[+-]\d{2}(:?\d{2})?|\]))$",
            "x-pattern-help": "use `latest`, an id such as 20261120T021700Z-4f3a9c, or a time with its zone such as 2026-11-20T02:17+09:00",
        })
    }
}

/// An artifact of an earlier run, with all that is needed to read it and to tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// The pipeline that made it.
    pub pipeline: PipelineName,
    /// The run that made it, and so the restore point.
    pub run: RunId,
    /// When it was committed.
    pub committed: Timestamp,
    /// The level it had earned when it was found.
    pub level: Level,
    /// The artifact.
    pub artifact: Artifact,
    /// The globals of the same restore point, if it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub globals: Option<Artifact>,
    /// When it was marked for deletion, if it was when it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Timestamp>,
    /// What its newest verification complained of, when it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<String>,
    /// A newer one, by the clock of its host, that was passed over: that clock is far ahead, and nobody knows when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<RunId>,
}

/// Why a restore point could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecallError {
    /// The store's own refusal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is none at all.
    #[error("{store} keeps no restore point of {pipeline}")]
    Empty {
        /// The store's words.
        store: String,
        /// The pipeline.
        pipeline: PipelineName,
    },
    /// Not this one.
    #[error("{store} keeps no restore point of {pipeline} {wanted}; the nearest are {near}")]
    Absent {
        /// The store's words.
        store: String,
        /// The pipeline.
        pipeline: PipelineName,
        /// What was asked for.
        wanted: String,
        /// The two nearest.
        near: String,
    },
    /// Its manifest can not be used.
    #[error("{store}: {key}: {why}")]
    Manifest {
        /// The store's words.
        store: String,
        /// The manifest's key.
        key: String,
        /// What is wrong with it.
        why: ManifestError,
    },
    /// What is meant lies in another store.
    #[error("what `{step}` stored of restore point {run} lies in the store `{store}`, not in {read}: read it from there (--store {store})")]
    Elsewhere {
        /// The restore point.
        run: RunId,
        /// The step that stored it.
        step: StepId,
        /// The store that has it, as the run called it.
        store: RefName,
        /// The words of the store that was read.
        read: String,
    },
    /// The restore point has several dumps, or none.
    #[error("restore point {run} has {found}")]
    Unclear {
        /// The restore point.
        run: RunId,
        /// What it has.
        found: String,
    },
}

/// The manifest of the restore point that is meant. One on the way out, which has a tombstone, is had only by its id.
///
/// # Errors
/// [`RecallError`], naming the two nearest points when there is none at or before the moment, or not that one.
pub fn manifest(store: &dyn ObjectStore, pipeline: &PipelineName, at: &At) -> Result<Manifest, RecallError> {
    Ok(choose(store, pipeline, at)?.0)
}

/// The same, and the newest one that was passed over.
fn choose(store: &dyn ObjectStore, pipeline: &PipelineName, at: &At) -> Result<(Manifest, Option<RunId>), RecallError> {
    let listed: Vec<(PointSummary, bool)> = points(store, pipeline)?;
    let points: Vec<PointSummary> = listed.iter().map(|(point, _)| point.clone()).collect();
    // What is on the way out is never chosen silently.
    let staying = listed.iter().filter(|(_, leaving)| !leaving).map(|(point, _)| point);
    if points.is_empty() {
        return Err(RecallError::Empty { store: store.describe(), pipeline: pipeline.clone() });
    }
    let absent =
        || RecallError::Absent { store: store.describe(), pipeline: pipeline.clone(), wanted: wanted(at), near: near(&points, at) };
    match at {
        At::Latest => {
            let staying: Vec<&PointSummary> = staying.collect();
            let (newest, now) = (*staying.first().ok_or_else(absent)?, Timestamp::now());
            let latest = staying.iter().find(|point| !point.run.is_ahead(now)).map_or(newest, |latest| *latest);
            Ok((read(store, latest)?, (latest.run != newest.run).then(|| newest.run.clone())))
        }
        At::Run(run) => Ok((read(store, points.iter().find(|point| point.run == *run).ok_or_else(absent)?)?, None)),
        // A run may start before the moment and take its snapshot after it: its dumps tell.
        At::Time(time) => {
            for point in staying.filter(|point| point.run.started() <= *time) {
                let manifest = read(store, point)?;
                if manifest.artifacts.iter().all(|artifact| artifact.started <= *time) {
                    return Ok((manifest, None));
                }
            }
            Err(absent())
        }
    }
}

/// The restore points of a pipeline, newest first, each with whether it is on the way out.
fn points(store: &dyn ObjectStore, pipeline: &PipelineName) -> Result<Vec<(PointSummary, bool)>, StoreError> {
    let committed = catalog::listed(store, pipeline)?.into_iter().rev().filter(|(_, beside)| beside.committed);
    Ok(committed.map(|(run, beside)| (PointSummary { key: manifest_key(pipeline, &run), run }, beside.leaving())).collect())
}

fn read(store: &dyn ObjectStore, point: &PointSummary) -> Result<Manifest, RecallError> {
    let bytes = store.get_bytes(&point.key, MANIFEST_LIMIT)?;
    let unusable = |why| RecallError::Manifest { store: store.describe(), key: point.key.clone(), why };
    let manifest = commit::read_manifest(&bytes).map_err(unusable)?;
    if manifest.run == point.run {
        return Ok(manifest);
    }
    Err(unusable(ManifestError::Inconsistent { detail: format!("it lies where {} should be and is that of {}", point.run, manifest.run) }))
}

fn wanted(at: &At) -> String {
    match at {
        At::Time(time) => format!("at or before {time} that is not on the way out"),
        At::Latest => "that is not on the way out".to_owned(),
        At::Run(run) => format!("with the id {run}"),
    }
}

/// The two restore points nearest to what was asked for.
fn near(points: &[PointSummary], at: &At) -> String {
    let asked = match at {
        At::Latest => Timestamp::MAX,
        At::Run(run) => run.started(),
        At::Time(time) => *time,
    };
    let mut sorted: Vec<&PointSummary> = points.iter().collect();
    sorted.sort_by_key(|point| point.run.started().duration_since(asked).abs());
    let named: Vec<String> =
        sorted.iter().take(2).map(|point| format!("{} ({})", point.run, point.run.started().to_zoned(TimeZone::UTC).timestamp())).collect();
    named.join(" and ")
}

/// The dump of the restore point that is meant: the only one, or that of the step named. What lies in the store that is read gets its
/// name, for whoever made it may have called it by another; globals may lie elsewhere and then keep the name of their store.
///
/// # Errors
/// As [`manifest`], [`RecallError::Unclear`], and [`RecallError::Elsewhere`] when the dump lies in another store.
pub fn recall(
    (name, store): (&RefName, &dyn ObjectStore),
    pipeline: &PipelineName,
    at: &At,
    step: Option<&StepId>,
) -> Result<Recalled, RecallError> {
    let (manifest, passed_over) = choose(store, pipeline, at)?;
    let receipts = commit::receipts(store, &manifest.pipeline, &manifest.run)?;
    let level = commit::level(&manifest, &receipts.read);
    let (_, marks) = catalog::look_again(store, &manifest.pipeline, &manifest.run)?;
    let leaving = marks.tombstoned.map(|tombstone| tombstone.since);
    let complaint = commit::last_failure(&receipts.read).and_then(|receipt| receipt.failure.clone());
    let dump = meant(&manifest, step)?;
    let artifact = here(dump, &manifest, (name, store))?.ok_or_else(|| RecallError::Elsewhere {
        run: manifest.run.clone(),
        step: dump.step.clone(),
        store: dump.store.clone(),
        read: store.describe(),
    })?;
    let globals = globals(&manifest, (name, store))?;
    let Manifest { pipeline, run, committed, .. } = manifest;
    Ok(Recalled { pipeline, run, committed, level, artifact, globals, leaving, complaint, passed_over })
}

/// The dump of a manifest: the only one, or that of the step named.
fn meant<'a>(manifest: &'a Manifest, step: Option<&StepId>) -> Result<&'a Artifact, RecallError> {
    let wanted = |artifact: &&Artifact| step.map_or(artifact.origin.kind == "dump", |step| artifact.step == *step);
    let found: Vec<&Artifact> = manifest.artifacts.iter().filter(wanted).collect();
    let unclear = |found: String| Err(RecallError::Unclear { run: manifest.run.clone(), found });
    match found.as_slice() {
        [artifact] => Ok(artifact),
        [] => unclear(step.map_or("no dump".to_owned(), |step| format!("no artifact of step `{step}`"))),
        several => {
            let names: Vec<String> = several.iter().map(|artifact| format!("`{}`", artifact.step)).collect();
            unclear(format!("several dumps, of the steps {}; say which", names.join(", ")))
        }
    }
}

/// The globals of a restore point, those in the store that is read first.
fn globals(manifest: &Manifest, read: (&RefName, &dyn ObjectStore)) -> Result<Option<Artifact>, StoreError> {
    let all = || manifest.artifacts.iter().filter(|artifact| artifact.origin.kind == "globals");
    for artifact in all() {
        if let Some(artifact) = here(artifact, manifest, read)? {
            return Ok(Some(artifact));
        }
    }
    Ok(all().next().cloned())
}

/// An artifact under the name of the store that is read, if it lies there. Where the manifest has several stores and none of this name,
/// the store is asked.
fn here(artifact: &Artifact, manifest: &Manifest, (name, store): (&RefName, &dyn ObjectStore)) -> Result<Option<Artifact>, StoreError> {
    let known = manifest.artifacts.iter().any(|other| other.store == *name);
    let one = manifest.artifacts.iter().all(|other| other.store == artifact.store);
    let lies = match () {
        () if one || artifact.store == *name => true,
        () if known => false,
        () => store.head(&artifact.object.key)?.is_some_and(|found| found.bytes == artifact.object.bytes),
    };
    Ok(lies.then(|| Artifact { store: name.clone(), ..artifact.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_needs_its_zone() {
        let time: Timestamp = "2026-11-19T17:17:00Z".parse().unwrap();
        for text in ["2026-11-20T02:17+09:00", "2026-11-20 02:17:00[Asia/Seoul]", "2026-11-19T17:17:00Z"] {
            assert_eq!(text.parse(), Ok(At::Time(time)), "{text}");
        }
        let error = "2026-11-20T02:17".parse::<At>().unwrap_err();
        assert!(matches!(&error, AtError::NoZone { .. }) && error.to_string().contains("2026-11-20T02:17Z for UTC"), "{error}");
        assert!(matches!("2026-11-20".parse::<At>(), Err(AtError::NoZone { .. } | AtError::Unknown { .. })));
        assert!(matches!("newest".parse::<At>(), Err(AtError::Unknown { .. })));
        let error = "20261120T021700Z".parse::<At>().unwrap_err();
        assert!(matches!(&error, AtError::Cut { .. }) && error.to_string().ends_with("as 2026-11-20T02:17:00Z"), "{error}");
        assert_eq!("latest".parse(), Ok(At::Latest));
        assert_eq!("20261120T021700Z-4f3a9c".parse::<At>().unwrap().to_string(), "20261120T021700Z-4f3a9c");
    }
}
