//! The word that a run leaves in its stores when it fails: without it, another machine could not tell a failed run from none.
//!
//! One small, sealed, create-only object beside where the run's manifest would lie. It makes nothing a restore point; what failed after
//! one was made is told [beside it](super::ended). This module does not decide which runs leave word.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::commit::{ManifestError, publish, read};
use super::manifest::month_prefix;
use super::{ObjectStore, StoreError, Stored};
use crate::ids::{NodeId, PipelineName, RunId};

/// The largest such word in bytes that is read.
pub const LIMIT: u64 = 64 * 1024;

/// How much of an error is kept, in characters.
const KEPT: usize = 2000;

/// What follows the run in the key.
pub(super) const REST: &str = "failed.json";

/// How a run ended that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Something failed.
    Failed,
    /// Somebody asked it to stop.
    Cancelled,
    /// It could not start.
    Refused,
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRun {
    /// The form of this document: [`VERSION`](super::manifest::VERSION).
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The pipeline's name.
    pub pipeline: PipelineName,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The host that ran it.
    pub host: String,
    /// How it ended.
    pub outcome: End,
    /// The node that failed first, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Why.
    pub error: String,
}

/// The key of such a word.
pub fn failed_key(pipeline: &PipelineName, run: &RunId) -> String {
    format!("{}{run}.{REST}", month_prefix(pipeline, run))
}

/// Leaves word; of a very long error only the beginning is kept.
///
/// # Errors
/// [`StoreError::Exists`] when the run left another one, and whatever the store says.
pub fn add_failed(store: &dyn ObjectStore, failed: &FailedRun) -> Result<Stored, StoreError> {
    publish(store, &failed_key(&failed.pipeline, &failed.run), &cut(failed), LIMIT)
}

/// A word of which only as much is kept as is wanted.
pub(super) fn cut(failed: &FailedRun) -> FailedRun {
    FailedRun { error: failed.error.chars().take(KEPT).collect(), ..failed.clone() }
}

/// Reads a word, by the rules of manifests.
///
/// # Errors
/// [`ManifestError`] when it is too large, of another version, malformed, or was edited.
pub fn read_failed(bytes: &[u8]) -> Result<FailedRun, ManifestError> {
    read(bytes, LIMIT)
}
