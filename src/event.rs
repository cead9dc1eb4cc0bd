//! What happens in a run, as one type: the executor emits it, the journal keeps it, reporters read it, live or replayed.
//!
//! An event holds names, counts and messages, never a secret and nothing live. This module decides and prints nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diagnostic::Failure;
use crate::ids::{NodeId, PipelineName, RunId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// In which run.
    pub run: RunId,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// The run begins.
    RunStarted {
        /// The pipeline.
        pipeline: PipelineName,
        /// SHA-256 of the pipeline's text.
        source_sha256: String,
        /// The version of `runner`.
        runner: String,
        /// The host.
        host: String,
        /// The process, on that host.
        pid: u32,
        /// The nodes of the plan, in order.
        nodes: Vec<NodeId>,
    },
    /// Another process goes on with the run, which had crashed or failed.
    RunResumed {
        /// The version of `runner`.
        runner: String,
        /// The host.
        host: String,
        /// The process, on that host.
        pid: u32,
        /// The nodes that had ended and are not run again.
        done: Vec<NodeId>,
    },
    /// An attempt at a node begins.
    NodeStarted {
        /// The node.
        node: NodeId,
        /// Which attempt, from 1.
        attempt: u32,
        /// How many its policy allows.
        attempts: u32,
        /// What it does, in a few words a step.
        words: Vec<String>,
        /// About how many bytes its source will yield.
        expected_bytes: Option<u64>,
    },
    /// Bytes have moved. Not kept in the journal.
    Progress {
        /// The node.
        node: NodeId,
        /// Bytes after each stage so far, source first.
        stages: Vec<StageBytes>,
    },
    /// An attempt failed for a reason that may pass; another follows.
    AttemptFailed {
        /// The node.
        node: NodeId,
        /// Which attempt, from 1.
        attempt: u32,
        /// Why.
        error: Failure,
        /// How long until the next one.
        retry_in: Duration,
    },
    /// A node has ended.
    NodeEnded {
        /// The node.
        node: NodeId,
        /// How.
        state: State,
        /// How long it took, all attempts and waits included.
        took: Duration,
        /// Bytes after each stage, source first; for effects, the bytes that they moved.
        stages: Vec<StageBytes>,
        /// Why it failed, or why it did not run.
        error: Option<Failure>,
        /// What the reader should know: the key stored, the level earned, the rows counted.
        notes: Vec<String>,
    },
    /// The run has ended.
    RunEnded {
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
        /// What was left behind, and how to remove it.
        left: Vec<String>,
        /// The level of the restore point that it committed, as a word; `None` when it committed none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<String>,
    },
}

/// Bytes behind a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageBytes {
    /// The stage, in a word.
    pub stage: String,
    /// The bytes.
    pub bytes: u64,
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It did its work.
    Done,
    /// The plan said to skip it.
    Skipped,
    /// It failed.
    Failed,
    /// It failed, and its failure is only a warning.
    Warned,
    /// It never ran, because of how another ended.
    NotRun,
}

impl State {
    /// Whether whoever waits for success may run.
    pub const fn lets_others_run(self) -> bool {
        matches!(self, Self::Done | Self::Skipped | Self::Warned)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Everything but steps whose failure is a warning.
    Warned,
    /// Something failed.
    Failed,
    /// Somebody asked it to stop.
    Cancelled,
}

/// Something that is told of every event, in order.
pub trait Subscriber {
    /// Takes note of an event.
    ///
    /// # Errors
    /// Only one whose failing must stop the run (a journal that can not be written) answers with an error.
    fn notice(&mut self, event: &Event) -> std::io::Result<()>;
}
