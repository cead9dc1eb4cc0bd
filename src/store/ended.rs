//! The word that a run leaves beside its restore point when something failed after the commit: without it, another machine would take a
//! run whose copy or prune fails every night for a good one.
//!
//! Each word is one small, sealed, create-only object, and the newest counts: a run that is gone on with and ends well says so in a
//! further one. It belongs to the restore point and goes with it. This module does not decide which runs leave word.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::commit::{publish, read};
use super::failed::{FailedRun, LIMIT, cut};
use super::manifest::{VERSION, month_prefix};
use super::{ObjectMeta, ObjectStore, StoreError, Stored, mark};
use crate::ids::{PipelineName, RunId};

/// How a run ended that had committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRun {
    /// The form of this document: [`VERSION`].
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The pipeline's name.
    pub pipeline: PipelineName,
    /// When this was written.
    pub at: Timestamp,
    /// What failed after the commit; `None` where the run was gone on with and has ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedRun>,
}

/// The key of such a word: `<run>.ended-<time>.json`.
pub fn ended_key(pipeline: &PipelineName, run: &RunId, at: Timestamp) -> String {
    format!("{}{}.json", prefix(pipeline, run), at.strftime("%Y%m%dT%H%M%S.%6fZ"))
}

fn prefix(pipeline: &PipelineName, run: &RunId) -> String {
    format!("{}{run}.ended-", month_prefix(pipeline, run))
}

/// The time that the part of a key behind the run tells.
pub(super) fn parsed(rest: &str) -> Option<Timestamp> {
    mark::moment(rest.strip_prefix("ended-")?.strip_suffix(".json")?)
}

/// Leaves word that a committed run failed, or that it has ended well after all; later than what is there, whatever the clock says.
///
/// # Errors
/// [`StoreError::Exists`] when another process was at the same microsecond, and whatever the store says.
pub fn add_ended(
    store: &dyn ObjectStore,
    (pipeline, run): (&PipelineName, &RunId),
    failed: Option<&FailedRun>,
    now: Timestamp,
) -> Result<Stored, StoreError> {
    let now = now.round(jiff::Unit::Microsecond).unwrap_or(now);
    let next = |last: Timestamp| last.checked_add(SignedDuration::from_micros(1)).unwrap_or(Timestamp::MAX);
    let at = listed(store, pipeline, run)?.last().map_or(now, |(_, last)| now.max(next(*last)));
    let word = EndedRun { version: VERSION, run: run.clone(), pipeline: pipeline.clone(), at, failed: failed.map(cut) };
    publish(store, &ended_key(pipeline, run, at), &word, LIMIT)
}

/// What failed after the commit of a run by its newest word, or why that can not be read; `None` where nothing did, as far as it told.
///
/// # Errors
/// Whatever the store says.
pub fn failed_after(
    store: &dyn ObjectStore,
    pipeline: &PipelineName,
    run: &RunId,
) -> Result<Option<Result<FailedRun, String>>, StoreError> {
    newest(store, (pipeline, run), &listed(store, pipeline, run)?)
}

/// The same of words that a listing has shown.
pub(super) fn newest(
    store: &dyn ObjectStore,
    (pipeline, run): (&PipelineName, &RunId),
    listed: &[(ObjectMeta, Timestamp)],
) -> Result<Option<Result<FailedRun, String>>, StoreError> {
    let Some((object, at)) = listed.iter().max_by_key(|(_, at)| *at) else { return Ok(None) };
    let strange = |why: String| Ok(Some(Err(format!("{}: {why}", object.key))));
    if object.bytes > LIMIT {
        return strange(format!("it has {} bytes", object.bytes));
    }
    match read::<EndedRun>(&store.get_bytes(&object.key, LIMIT)?, LIMIT) {
        Ok(word) if word.run == *run && word.pipeline == *pipeline && word.at == *at => Ok(word.failed.map(Ok)),
        Ok(_) => strange("it is not what its name says".to_owned()),
        Err(error) => strange(error.to_string()),
    }
}

/// The words of a run, oldest first.
fn listed(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId) -> Result<Vec<(ObjectMeta, Timestamp)>, StoreError> {
    let prefix = month_prefix(pipeline, run);
    let own = |object: ObjectMeta| {
        let at = parsed(object.key.strip_prefix(&prefix)?.strip_prefix(run.as_str())?.strip_prefix('.')?)?;
        Some((object, at))
    };
    let mut found: Vec<_> = store.list(&self::prefix(pipeline, run))?.into_iter().filter_map(own).collect();
    found.sort_by_key(|(_, at)| *at);
    Ok(found)
}
