//! Which restore point a step works on: one of an earlier run, named in the YAML, found when the plan is made.
//!
//! This file names; `observe` finds, and the plan holds what was found. A plan made without looking holds nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PipelineName, RefName, StepId};
use crate::store::recall::At;

/// A restore point of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointRef {
    /// The store that keeps it, as declared under `stores`.
    pub store: RefName,
    /// The pipeline that made it; this one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineName>,
    /// Which one: `latest` (unless given), an id such as `20261120T021700Z-4f3a9c`, or a time with its zone such as `2026-11-20T02:17+09:00`, which means the newest whose data is no younger.
    #[serde(default)]
    pub at: At,
    /// The step that stored the artifact; needed only where one run stores several dumps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<StepId>,
}

impl PointRef {
    /// Which point, for the reader: `the latest restore point of orders in offsite`.
    pub fn words(&self) -> String {
        let of = self.pipeline.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        match &self.at {
            At::Latest => format!("the latest restore point{of} in {}", self.store),
            At::Run(run) => format!("restore point {run}{of} in {}", self.store),
            At::Time(time) => format!("the restore point{of} at or before {time} in {}", self.store),
        }
    }
}
