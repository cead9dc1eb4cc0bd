//! The types of a pipeline, from which the schema is generated.
//!
//! Doc comments here are what an editor shows while somebody writes YAML. This file checks nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PipelineName, RefName, StepId};
use crate::postgres::ConnectionSpec;
use crate::quantity::{Duration, Percent, Size};
use crate::secret::SecretDecl;
use crate::step::Params;
use crate::store::StoreSpec;

/// The top of a pipeline file, all but its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Head {
    /// The version of this form: 1.
    #[schemars(range(min = 1, max = 1))]
    pub(super) version: u32,
    /// The pipeline's name, unique among pipelines that share a store; its restore points are kept under it.
    pub(super) name: PipelineName,
    /// What it is for, in a sentence for the reviewer.
    #[serde(default)]
    pub(super) description: Option<String>,
    /// When it should run. CI or cron starts it; this is what freshness is measured against.
    #[serde(default)]
    pub(super) schedule: Option<Schedule>,
    /// What the backups must achieve.
    #[serde(default)]
    pub(super) objectives: Option<Objectives>,
    /// How runs that write to the same stores keep out of each other's way.
    #[serde(default)]
    pub(super) concurrency: Option<Concurrency>,
    /// Values for `{{ vars.name }}` in the texts of this file.
    #[serde(default)]
    pub(super) vars: serde_json::Map<String, serde_json::Value>,
    /// The environment variables that texts may use as `{{ env.NAME }}`; no others are visible.
    #[serde(default)]
    pub(super) env: Vec<String>,
    /// Where secrets come from, by name; never their values.
    #[serde(default)]
    pub(super) secrets: BTreeMap<RefName, SecretDecl>,
    /// The databases, by name.
    #[serde(default)]
    pub(super) connections: BTreeMap<RefName, ConnectionSpec>,
    /// The places that keep backups, by name.
    #[serde(default)]
    pub(super) stores: BTreeMap<RefName, StoreSpec>,
    /// What holds for every step that does not say otherwise.
    #[serde(default)]
    pub(super) defaults: Defaults,
}

/// When a pipeline should run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// A cron expression of five fields: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// The IANA time zone it is read in, such as `Asia/Seoul`; also the zone of `run.date`. UTC unless given.
    #[serde(default = "utc")]
    pub timezone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What the backups must achieve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Recovery point objective: how old the newest restore point may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Duration>,
    /// Recovery time objective: how long a restore may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Duration>,
    /// In how many stores each part of the newest restore point must lie; not asked for unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    pub copies: Option<u8>,
    /// How long the newest proven restore point may lie back; not asked for unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_every: Option<Duration>,
    /// The least that a dump has, in bytes before compression: a smaller one lacks something. Not asked for unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<Size>,
    /// By how much the newest dump may be smaller than the median of those before it, such as `30%`; not asked for unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_shrink: Option<Percent>,
}

/// How runs that write to the same stores keep out of each other's way: one at a time holds a lease in each store it writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// Pipelines of one group never run at the same time in a store they share. Unless given, a pipeline is a group of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<PipelineName>,
    /// How long a run waits for another one of its group before it gives up with exit code 14; not at all unless given. `--wait` overrules it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
    /// How long a run may show no sign of life before another one takes over: 60 s unless given, 1 s at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// `false` runs without a lease: for stores that can not replace an object on condition. Then nothing keeps two hosts apart but you.
    #[serde(default = "yes")]
    pub lease: bool,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { group: None, wait: None, ttl: None, lease: true }
    }
}

const fn yes() -> bool {
    true
}

/// What holds for every step that does not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// How long one attempt may take; no limit unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long a stream may stand still before the attempt is given up; 10 minutes unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<Duration>,
    /// What to do when an attempt fails for a reason that may pass; 3 attempts unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// What to do when an attempt fails for a reason that may pass; other failures are final at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first one included.
    #[serde(default = "attempts")]
    #[schemars(range(min = 1, max = 20))]
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles with each further one, and a random part of it is waited.
    #[serde(default = "backoff")]
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: attempts(), backoff: backoff() }
    }
}

const fn attempts() -> u32 {
    3
}

const fn backoff() -> Duration {
    Duration::seconds(30)
}

/// In which case a step runs, looking at the steps it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// All of them succeeded.
    #[default]
    Success,
    /// They have ended, however they ended.
    Always,
    /// One of them failed, or could not run because another had.
    Failure,
}

/// What a step's failure means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The run has failed.
    Fail,
    /// The run goes on and ends with exit code 12.
    Warn,
}

/// The parts of a step that every kind has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct StepHead {
    /// The step's name, unique in the pipeline.
    pub(super) id: StepId,
    /// What it is for, in a sentence for the reviewer.
    #[serde(default)]
    pub(super) description: Option<String>,
    /// The steps it waits for; the one above it unless given, none with `[]`. Data flows along them.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(super) needs: Option<Vec<StepId>>,
    /// In which case it runs. With `always` or `failure` and no `needs`, it waits for every step above it.
    #[serde(default)]
    pub(super) when: When,
    /// How long one attempt may take; as under `defaults` unless given. In a stream, the shortest holds for all of it.
    #[serde(default)]
    pub(super) timeout: Option<Duration>,
    /// How long a stream may stand still before the attempt is given up; as under `defaults` unless given. In a stream, it holds for all of it.
    #[serde(default)]
    pub(super) stall: Option<Duration>,
    /// What to do when an attempt fails for a reason that may pass; as under `defaults` unless given. In a stream, it holds for all of it.
    #[serde(default)]
    pub(super) retry: Option<Retry>,
    /// What its failure means for the run: `fail` unless given, `warn` for `notify` and `record`.
    #[serde(default)]
    pub(super) on_failure: Option<OnFailure>,
}

/// A step, with every default settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// What it is for.
    pub description: Option<String>,
    /// Its kind and parameters.
    pub params: Params,
    /// The steps it waits for.
    pub needs: Vec<StepId>,
    /// In which case it runs.
    pub when: When,
    /// How long one attempt may take; no limit when `None`.
    pub timeout: Option<Duration>,
    /// How long a stream may stand still.
    pub stall: Duration,
    /// What to do when an attempt fails for a reason that may pass.
    pub retry: Retry,
    /// What its failure means for the run.
    pub on_failure: OnFailure,
}

/// How long a stream may stand still when nothing is said.
pub(super) const STALL: Duration = Duration::seconds(600);

impl Step {
    /// A step that says nothing but what it is and what it waits for.
    pub fn plain(id: StepId, params: Params, needs: Vec<StepId>) -> Self {
        Self {
            id,
            description: None,
            params,
            needs,
            when: When::Success,
            timeout: None,
            stall: STALL,
            retry: Retry::default(),
            on_failure: OnFailure::Fail,
        }
    }
}

/// A stream through the steps: the indexes, in [`Pipeline::steps`], of its source, its filters in order, and its sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The source.
    pub source: usize,
    /// The filters, first to last.
    pub filters: Vec<usize>,
    /// The sink.
    pub sink: usize,
}

/// A pipeline without loose ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: PipelineName,
    /// What it is for.
    pub description: Option<String>,
    /// When it should run.
    pub schedule: Option<Schedule>,
    /// What the backups must achieve.
    pub objectives: Objectives,
    /// How its runs keep out of each other's way.
    pub concurrency: Concurrency,
    /// Its variables, expanded.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// The environment variables it may use, with their values.
    pub env: BTreeMap<String, String>,
    /// Where secrets come from.
    pub secrets: BTreeMap<RefName, SecretDecl>,
    /// The databases.
    pub connections: BTreeMap<RefName, ConnectionSpec>,
    /// The stores.
    pub stores: BTreeMap<RefName, StoreSpec>,
    /// The steps, in the order of the file.
    pub steps: Vec<Step>,
    /// The streams through them.
    pub chains: Vec<Chain>,
    /// The file's path as given, and the SHA-256 of its text.
    pub source: SourceFacts,
}

/// Which text a pipeline was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The path as the user named it.
    pub path: String,
    /// SHA-256 of the text, in lower-case hex.
    pub sha256: String,
}

impl Pipeline {
    /// The step of this id.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// The stream that ends in this step.
    pub fn chain_into(&self, sink: &StepId) -> Option<&Chain> {
        self.chains.iter().find(|chain| self.steps[chain.sink].id == *sink)
    }
}
