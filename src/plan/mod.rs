//! The plan: what a run will do, node by node, each with an action and a reason.
//!
//! [`plan`] is a pure function of the pipeline, what was observed, and the time. `runner plan` prints its result, `runner apply`
//! executes the very same value; there is no dry run. A chain of source, filters and sink is fused into one node, as a
//! query planner turns a logical plan into a physical one. Nothing here opens, reads a clock, or prints.

mod basis;
mod copying;
mod findings;
mod lower;
mod majors;
mod observed;
mod order;
mod partial;
mod pruning;
mod readiness;
mod restoration;
mod resume;
mod reviewed;
mod room;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Class, Severity};
use crate::ids::{NodeId, PipelineName, RefName, StepId};
use crate::pipeline::{Concurrency, Objectives, OnFailure, Pipeline, Retry, SourceFacts, When};
use crate::postgres::ConnectionSpec;
use crate::quantity::Duration;
use crate::secret::SecretDecl;
use crate::step::{Edge, Effect, Staged, Work};
use crate::store::StoreSpec;
use crate::template::Bindings;

pub use crate::retention::{CatalogFacts, join};
pub use lower::{COMMIT, purpose};
pub use observed::{ConnectionFacts, LeftOutTables, Observed, PatchFacts, Reach, StoreFacts, ToolFacts, Trouble};
pub use pruning::{setting, unwanted};
pub use readiness::{Line, Standing, readiness};
pub use resume::{NotResumed, Past, resume};
pub use reviewed::difference;

/// The version of the form of a plan file.
pub const VERSION: u32 = 1;

/// What a run will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The form of this document: [`VERSION`].
    pub version: u32,
    /// The version of `runner` that made it.
    pub runner: String,
    /// The pipeline's name.
    pub pipeline: PipelineName,
    /// What the pipeline is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Which text it was made from.
    pub source: SourceFacts,
    /// What it must achieve.
    pub objectives: Objectives,
    /// How its runs keep out of each other's way.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub concurrency: Concurrency,
    /// When it should run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<PlannedSchedule>,
    /// The IANA time zone of `run.date`.
    pub timezone: String,
    /// What its templates may use.
    pub bindings: Bindings,
    /// The declared connections, stores and secrets; secrets as references.
    pub resources: Resources,
    /// What was observed when it was made; a plan file whose facts have changed is stale.
    pub observed: Observed,
    /// The nodes, in an order in which they may run.
    pub nodes: Vec<Node>,
    /// Which node waits for which.
    pub edges: Vec<Link>,
    /// What somebody should look at before it runs.
    pub findings: Vec<Finding>,
}

fn is_usual(concurrency: &Concurrency) -> bool {
    *concurrency == Concurrency::default()
}

/// When a pipeline should run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSchedule {
    /// The cron expression.
    pub cron: String,
    /// The first time after the plan was made; unknown offline, where no clock is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

/// The declared things that nodes name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// The databases.
    pub connections: BTreeMap<RefName, ConnectionSpec>,
    /// The stores.
    pub stores: BTreeMap<RefName, StoreSpec>,
    /// Where secrets come from.
    pub secrets: BTreeMap<RefName, SecretDecl>,
}

/// A node: the unit that runs, is retried, and succeeds or fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its id, unique in the plan.
    pub id: NodeId,
    /// What it does to the world.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// The steps in it, in order, each in a few words.
    pub steps: Vec<StepWords>,
    /// The object it makes or reads, its key settled but for the run's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// What of the world it destroys or takes away, in words; nothing for almost every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destroys: Vec<String>,
    /// About how many bytes its source will yield, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_bytes: Option<u64>,
    /// What the filters of its source leave out, where somebody looked: `2 tables excluded by filter: public.audit, public.tmp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// In which case it runs.
    pub when: When,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long its stream may stand still.
    pub stall: Duration,
    /// What to do when an attempt fails for a reason that may pass.
    pub retry: Retry,
    /// What its failure means for the run.
    pub on_failure: OnFailure,
    /// What it does, exactly.
    pub work: Work,
}

/// A step in a node, for the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepWords {
    /// Its id.
    pub id: StepId,
    /// The kind, or the part of a composite.
    pub uses: String,
    /// What it does, in a few words.
    pub words: String,
}

/// An object of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The store's name.
    pub store: RefName,
    /// The key; `<run.id>` and the like stand where the run's words will.
    pub key: String,
}

/// What a node does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It stores a new object.
    Store,
    /// It makes the stored objects a restore point.
    Commit,
    /// It reads what is stored and tries it out in a place that is thrown away.
    Verify,
    /// It makes a database that stays, or something beside what is there: copies of tables, a patch.
    Restore,
    /// It takes something away that is there; what, the node says.
    Replace,
    /// It asks a server or a service outside the stores and judges the answer.
    Ask,
    /// It acts outside the stores and may change something there.
    Act,
    /// It has restore points in another store too; which, the node says.
    Copy,
    /// It marks restore points for deletion, or deletes them; which, the node says.
    Prune,
    /// It tells somebody.
    Tell,
    /// It does nothing this time; the reason says why.
    Skip,
}

/// Which node waits for which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The node waited for.
    pub from: NodeId,
    /// The node that waits.
    pub to: NodeId,
    /// How it waits.
    pub edge: Edge,
}

/// What somebody should look at before a plan runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// An error keeps the plan from being applied.
    pub severity: Severity,
    /// What kind of failure it would be.
    pub class: Class,
    /// What it is about: `connection orders`, `secret slack_url`.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Finding {
    fn new(severity: Severity, class: Class, subject: String, message: impl Into<String>) -> Self {
        Self { severity, class, subject, message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Plan {
    /// The first finding that keeps this plan from being applied.
    pub fn blocked(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.severity == Severity::Error)
    }

    /// Whether a node would tell of a failure.
    pub fn tells_of_failure(&self) -> bool {
        self.nodes.iter().any(|node| node.action == Action::Tell && node.when != When::Success)
    }

    /// Whether it commits a restore point.
    pub fn makes_point(&self) -> bool {
        self.nodes.iter().any(|node| node.action == Action::Commit)
    }

    /// Whether it restores into a database that stays.
    pub fn restores(&self) -> bool {
        self.nodes.iter().any(|node| matches!(&node.work, Work::Effect(Staged { part: Effect::Restore(_), .. })))
    }

    /// The stores that it writes restore points to, or deletes them from: in each of them a run holds a lease from its start. A store that
    /// only gets copies is not among them: a `copy` takes its lease itself, so that one that is down keeps no backup from being made.
    pub fn writes_to(&self) -> BTreeSet<RefName> {
        let committed = |node: &Node| match &node.work {
            Work::Effect(Staged { part: Effect::Commit(commit), .. }) => commit.stores.clone(),
            // Where the catalog could not be read, nothing is done.
            Work::Effect(Staged { part: Effect::Prune(prune), .. }) => {
                prune.stores.iter().filter(|store| store.unread.is_none()).map(|store| store.store.clone()).collect()
            }
            _ => Vec::new(),
        };
        self.nodes.iter().flat_map(committed).collect()
    }

    /// The stores that it commits restore points to.
    pub fn commits_to(&self) -> BTreeSet<RefName> {
        let committed = |node: &Node| match &node.work {
            Work::Effect(Staged { part: Effect::Commit(commit), .. }) => commit.stores.clone(),
            _ => Vec::new(),
        };
        self.nodes.iter().flat_map(committed).collect()
    }

    /// Whether it copies restore points to another store.
    pub fn copies(&self) -> bool {
        self.nodes.iter().any(|node| node.action == Action::Copy)
    }

    /// Whether applying it would change anything.
    pub fn has_changes(&self) -> bool {
        self.nodes.iter().any(|node| node.action != Action::Skip)
    }

    /// The node of this id.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == *id)
    }
}

/// Makes the plan of a pipeline: pure, total, and the same for the same arguments. `now` is `None` offline.
pub fn plan(pipeline: &Pipeline, observed: &Observed, now: Option<Timestamp>) -> Plan {
    let (nodes, edges) = order::ordered(lower::nodes(pipeline, observed, now), pipeline);
    let findings =
        findings::all(pipeline, observed).into_iter().chain(pruning::findings(&nodes)).chain(copying::findings(&nodes, observed)).collect();
    Plan {
        version: VERSION,
        runner: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: pipeline.name.clone(),
        description: pipeline.description.clone(),
        source: pipeline.source.clone(),
        objectives: pipeline.objectives.clone(),
        concurrency: pipeline.concurrency.clone(),
        schedule: schedule(pipeline, now),
        timezone: pipeline.schedule.as_ref().map_or_else(|| "UTC".to_owned(), |schedule| schedule.timezone.clone()),
        bindings: lower::bindings(pipeline),
        resources: Resources {
            connections: pipeline.connections.clone(),
            stores: pipeline.stores.clone(),
            secrets: pipeline.secrets.clone(),
        },
        findings,
        observed: observed.clone(),
        nodes,
        edges,
    }
}

fn schedule(pipeline: &Pipeline, now: Option<Timestamp>) -> Option<PlannedSchedule> {
    let schedule = pipeline.schedule.as_ref()?;
    let next = now.and_then(|now| {
        let local = now.in_tz(&schedule.timezone).ok()?;
        let cron: croner::Cron = schedule.cron.parse().ok()?;
        cron.find_next_occurrence(&local, false).ok().map(|next| next.timestamp())
    });
    Some(PlannedSchedule { cron: schedule.cron.clone(), next })
}
