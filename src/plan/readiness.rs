//! Whether a pipeline is ready for the day it is needed: what was found good, what is wrong, and what a careful reader would add.
//!
//! What would make a run fail is the plan's findings, repeated here and not judged again. This file looks at nothing itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Action, ConnectionFacts, Node, Plan, StoreFacts, ToolFacts};
use crate::diagnostic::Severity;
use crate::ids::{RefName, StepId};
use crate::pipeline::{Chain, Pipeline, Step, When, artifact_of, fewest};
use crate::postgres::ConnectionSpec;
use crate::quantity::bytes;
use crate::secret::Presence;
use crate::step::{Encrypt, Params};
use crate::words::count;

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It would make a run fail.
    Fail,
    /// A run would do, but the day of a restore may not.
    Warn,
    /// Something worth knowing.
    Info,
    /// It was tried and is good.
    Ok,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How it stands.
    pub standing: Standing,
    /// What it is: `connection orders`, `step encrypt`.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Line {
    fn new(standing: Standing, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { standing, subject: subject.into(), message: message.into(), help: None }
    }

    fn help(mut self, help: &str) -> Self {
        self.help = Some(help.to_owned());
        self
    }
}

/// Everything there is to say of a pipeline, the worst first. `recipients` counts the different keys that each encryption is for.
pub fn readiness(pipeline: &Pipeline, plan: &Plan, recipients: &BTreeMap<StepId, usize>) -> Vec<Line> {
    let mut lines: Vec<Line> = plan
        .findings
        .iter()
        .map(|finding| {
            let standing = if finding.severity == Severity::Error { Standing::Fail } else { Standing::Warn };
            Line { help: finding.help.clone(), ..Line::new(standing, &finding.subject, &finding.message) }
        })
        .collect();
    for (name, reach) in &plan.observed.connections {
        lines.extend(reach.facts().into_iter().flat_map(|facts| connection(pipeline, name, facts)));
    }
    for (name, reach) in &plan.observed.stores {
        lines.extend(reach.facts().map(|facts| store(name, facts)));
    }
    lines.extend(plan.observed.scratch_free.map(|free| Line::new(Standing::Ok, "scratch disk", format!("{} free", bytes(free)))));
    let present = plan.observed.secrets.iter().filter(|(_, presence)| **presence == Presence::Present);
    lines.extend(present.map(|(name, _)| Line::new(Standing::Ok, format!("secret {name}"), "it is there")));
    lines.extend(encryptions(pipeline, recipients));
    if !pipeline.chains.is_empty() {
        lines.extend(advice(pipeline, plan));
    }
    lines.sort_by_key(|line| line.standing);
    lines
}

fn connection(pipeline: &Pipeline, name: &RefName, facts: &ConnectionFacts) -> Vec<Line> {
    let subject = format!("connection {name}");
    let embedded = matches!(pipeline.connections.get(name), Some(ConnectionSpec::Embedded(_)));
    let version = format!("PostgreSQL {}.{}", facts.server_version / 10_000, facts.server_version % 10_000);
    let answers = if embedded { format!("{} can be started", facts.place) } else { format!("{} answers, {version}", facts.place) };
    let mut lines = vec![Line::new(Standing::Ok, &subject, answers)];
    if !embedded && facts.unreadable.is_empty() && facts.filtered.is_empty() {
        let tables = facts.tables.map(|tables| count(tables, "table")).unwrap_or_default();
        let size = facts.database_bytes.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
        lines.push(Line::new(Standing::Ok, &subject, format!("its role can read everything: {tables}{size}")));
    }
    if let ToolFacts::Found { folder, version } = &facts.tools {
        lines.push(Line::new(Standing::Ok, &subject, format!("{} in {folder}", version.replace(" (PostgreSQL)", ""))));
    }
    let major = facts.server_version / 10_000;
    lines.push(match &facts.no_scratch {
        None => Line::new(Standing::Ok, &subject, format!("a scratch server of PostgreSQL {major} can be started here")),
        Some(why) => Line::new(Standing::Info, &subject, format!("no scratch server of PostgreSQL {major} can be started here: {why}")),
    });
    lines
}

fn store(name: &RefName, facts: &StoreFacts) -> Line {
    let free = facts.free_bytes.map(|free| format!(", {} free", bytes(free))).unwrap_or_default();
    let tried = match facts.create_only {
        Some(true) => ": wrote, read back, refused to overwrite, deleted",
        Some(false) => ": wrote, read back, deleted",
        None => "",
    };
    Line::new(Standing::Ok, format!("store {name}"), format!("{}{tried}{free}", facts.place))
}

/// How many keys open what each encryption writes: with one, its loss is the loss of every backup.
fn encryptions(pipeline: &Pipeline, recipients: &BTreeMap<StepId, usize>) -> Vec<Line> {
    let line = |step: &Step, encrypt: &Encrypt| {
        let subject = format!("step {}", step.id);
        if encrypt.has_passphrase() {
            let message = "one passphrase opens every backup: once it is lost, every backup is gone";
            return Some(Line::new(Standing::Warn, subject, message).help("keep it in two places, or encrypt to two recipients"));
        }
        match recipients.get(&step.id)? {
            1 => {
                let message = "only one recipient: one lost key, and every backup is gone";
                let help = "add an escrow recipient whose private key is kept elsewhere, and let a drill verify with that key";
                Some(Line::new(Standing::Warn, subject, message).help(help))
            }
            many => Some(Line::new(Standing::Ok, subject, count(*many, "recipient"))),
        }
    };
    let encrypting = pipeline.steps.iter().filter_map(|step| match &step.params {
        Params::Encrypt(encrypt) => line(step, encrypt),
        _ => None,
    });
    encrypting.collect()
}

/// What a backup lacks that nobody misses until the day of a restore.
fn advice(pipeline: &Pipeline, plan: &Plan) -> Vec<Line> {
    let mut lines: Vec<Line> = unverified(pipeline).chain(without_globals(pipeline)).chain(copies(pipeline)).collect();
    let missing = [
        (
            pipeline.schedule.is_none(),
            "schedule",
            "there is none, so nobody can tell when a backup is late",
            "say when it should run: `schedule`",
        ),
        (
            pipeline.objectives.rpo.is_none(),
            "objectives",
            "there is no RPO: how old may the newest restore point get?",
            "set `objectives.rpo`",
        ),
        (pipeline.objectives.rto.is_none(), "objectives", "there is no RTO: how long may a restore take?", "set `objectives.rto`"),
        (!is_told(plan), "notifications", "nobody is told when a run fails", "add a `notify` step with `when: always` or `failure`"),
    ];
    lines.extend(
        missing.iter().filter(|(is, ..)| *is).map(|(_, subject, message, help)| Line::new(Standing::Info, *subject, *message).help(help)),
    );
    lines
}

/// Whether what is stored lies in more than one place, and in as many as it must.
fn copies(pipeline: &Pipeline) -> Option<Line> {
    let (fewest, wanted) = (fewest(pipeline)?, pipeline.objectives.copies.map_or(1, usize::from));
    let help = "add a `copy` step behind the upload, to a store at another place";
    if fewest < wanted {
        let message = format!("each part of a restore point must lie in {wanted} stores, and the steps bring one into {fewest}");
        return Some(Line::new(Standing::Warn, "objectives", message).help(help));
    }
    (fewest == 1).then(|| Line::new(Standing::Info, "stores", "every backup lies in one store only: what takes that takes all").help(help))
}

/// Whether somebody hears of a failure; a row in a table is read by nobody at night.
fn is_told(plan: &Plan) -> bool {
    let notifies = |node: &Node| node.steps.iter().any(|words| words.uses == "notify");
    plan.nodes.iter().any(|node| node.action == Action::Tell && node.when != When::Success && notifies(node))
}

fn dumps(pipeline: &Pipeline) -> impl Iterator<Item = (&Chain, &RefName)> {
    pipeline.chains.iter().filter_map(|chain| match &pipeline.steps[chain.source].params {
        Params::Dump(dump) => Some((chain, &dump.connection)),
        _ => None,
    })
}

fn unverified(pipeline: &Pipeline) -> impl Iterator<Item = Line> {
    let verified: Vec<StepId> = pipeline
        .steps
        .iter()
        .filter_map(|step| match &step.params {
            Params::VerifyRestore(verify) => artifact_of(&pipeline.steps, step, verify).ok(),
            _ => None,
        })
        .collect();
    let sinks = dumps(pipeline).map(|(chain, _)| &pipeline.steps[chain.sink].id).filter(move |sink| !verified.contains(sink));
    sinks.map(|sink| {
        let message = "what it stores is never restored, so nobody knows whether it can be";
        Line::new(Standing::Warn, format!("step {sink}"), message).help("add a `verify-restore` step behind it")
    })
}

fn without_globals(pipeline: &Pipeline) -> impl Iterator<Item = Line> {
    let has_globals =
        |name: &RefName| pipeline.steps.iter().any(|step| matches!(&step.params, Params::Globals(globals) if globals.connection == *name));
    let throwaway = |name: &RefName| matches!(pipeline.connections.get(name), Some(ConnectionSpec::Embedded(_)));
    let mut names: Vec<&RefName> = dumps(pipeline).map(|(_, name)| name).filter(|name| !has_globals(name) && !throwaway(name)).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| {
        let message = "its roles and tablespaces are not backed up here, only a database";
        Line::new(Standing::Info, format!("connection {name}"), message).help("add a `globals` step, in this pipeline or in another")
    })
}
