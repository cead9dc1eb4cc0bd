//! What a notification can speak of: the facts of one finished run.
//!
//! They are the context of the message templates and the body of webhooks and files, so their names and units are a
//! public format: fields are added, never renamed. This module does not gather the facts.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::ids::{PipelineName, RefName, RunId, StepId};
use crate::store::manifest::{CheckOutcome, Level};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step did its work.
    Success,
    /// The restore point is as promised, but a step that only warns has failed.
    Warning,
    /// A step failed.
    Failure,
    /// Somebody asked it to stop.
    Cancelled,
}

impl Outcome {
    /// Whether the run did what it is for.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Success | Self::Warning)
    }
}

/// One object that the run stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFact {
    /// The step that stored it.
    pub step: StepId,
    /// The store's name in the pipeline.
    pub store: RefName,
    /// Its key, relative to the store's prefix.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// One restore point that was copied to another store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFact {
    /// The step that copied it.
    pub step: StepId,
    /// The store that has it now, by its name in the pipeline.
    pub store: RefName,
    /// The restore point.
    pub run: RunId,
    /// The size of its objects in bytes.
    pub bytes: u64,
}

/// The facts of one finished run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The run, which names the restore point too.
    pub run: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// What is known about the restore point; `None` when none was committed.
    pub level: Option<Level>,
    /// When the run started.
    pub started: Timestamp,
    /// When it ended, or now when it has not: a notification is a step of the run it tells of.
    pub finished: Timestamp,
    /// How long it took; in JSON and templates `duration_seconds`, in seconds with milliseconds.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// Bytes that the dumps produced.
    pub bytes_in: u64,
    /// Bytes that were stored.
    pub bytes_out: u64,
    /// The objects stored.
    pub artifacts: Vec<ArtifactFact>,
    /// Restore points that were copied to other stores: this run's, and earlier ones that a store had missed.
    pub copies: Vec<CopyFact>,
    /// The first step that failed.
    pub failed_step: Option<StepId>,
    /// What it said; never holds a secret.
    pub error: Option<String>,
    /// What else a careful reader wants to know.
    pub warnings: Vec<String>,
    /// What the dumps lack of their databases and why, one line a reason: `2 tables excluded by filter: public.audit, public.tmp`.
    pub left_out: Vec<String>,
    /// Tables found in the restored database; `None` when nothing was restored.
    pub tables: Option<u64>,
    /// How long a recovery took, as measured by a verification: in JSON and templates `recovery_seconds`, as above.
    #[serde(rename = "recovery_seconds", serialize_with = "some_seconds")]
    pub recovery: Option<Duration>,
    /// Plain bytes a second in it.
    pub recovery_bytes_per_second: Option<u64>,
    /// The recovery time objective: in JSON and templates `rto_seconds`.
    #[serde(rename = "rto_seconds", serialize_with = "some_seconds")]
    pub rto: Option<Duration>,
    /// The host that ran it.
    pub host: String,
    /// The checks made on the restored database.
    pub checks: Vec<CheckOutcome>,
}

#[expect(clippy::ref_option, reason = "the form that serde asks for")]
fn some_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let milliseconds = duration.as_millis().min(u128::from(u32::MAX));
    serializer.serialize_f64(f64::from(u32::try_from(milliseconds).unwrap_or(u32::MAX)) / 1000.0)
}
