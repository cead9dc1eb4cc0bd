//! Lowering a `copy`: which restore points go to another store is decided here, and the node holds the decision.
//!
//! The point that this run is about to commit, and those that the other store has missed, oldest first. Nothing is looked at here.

use super::lower::{Lower, Lowered, node, staged};
use super::{Action, COMMIT, Finding, Node, Reach};
use crate::diagnostic::{Class, Failure, Severity};
use crate::ids::{NodeId, RefName};
use crate::pipeline::{Step, copies_own, source_of};
use crate::quantity::bytes;
use crate::step::copy::{CopyWork, newest};
use crate::step::{CopyTo, Edge, Effect, Params, Work};
use crate::store::missed::MissedPoint;
use crate::words::count;

/// How many points a reason names.
const NAMED: usize = 3;

impl Lower<'_> {
    /// The node of a `copy`.
    pub(super) fn copying(&self, step: &Step, copy: &CopyTo) -> Lowered {
        let own = copies_own(self.pipeline, step);
        let from = source_of(&self.pipeline.steps, copy).unwrap_or(&copy.to).clone();
        let with = CopyTo { from: Some(from.clone()), ..copy.clone() };
        let mut work = CopyWork { with, from, own, missed: None, unread: None };
        let mut over = 0;
        match self.observed.missed.get(&step.id) {
            Some(Reach::Reached(missed)) => {
                let (points, more) = newest(missed.points.clone(), copy.catch_up);
                (work.missed, over) = (Some(points), more);
            }
            Some(Reach::Failed { message, class }) => {
                let hint = Some("the next run copies what this one could not".to_owned());
                work.unread = Some(Failure { class: *class, message: message.clone(), hint });
            }
            None => {}
        }
        let idle = !own && work.unread.is_none() && work.missed.as_ref().is_some_and(Vec::is_empty);
        let action = if idle { Action::Skip } else { Action::Copy };
        let reason = reason(&work, over);
        let expected_bytes = work.missed.as_ref().filter(|_| !own && !idle).map(|points| sum(points));
        let effect = Effect::Copy(Box::new(work));
        let made = Node { reason, expected_bytes, ..node(NodeId::of(&step.id), step, action, Work::Effect(staged(step, effect))) };
        Lowered { after: self.turns(step, copy, own), ..made.into() }
    }

    /// What it waits for whatever the file says: the commit, and the copies before it into the same store, which has one lease.
    fn turns(&self, step: &Step, copy: &CopyTo, own: bool) -> Vec<(NodeId, Edge)> {
        let place = |name: &RefName| self.pipeline.stores.get(name);
        let earlier = self.pipeline.steps.iter().take_while(|other| other.id != step.id).filter(|other| match &other.params {
            Params::CopyTo(other) => place(&other.to) == place(&copy.to),
            _ => false,
        });
        let free = |other: &&Step| !crate::pipeline::ancestors(&self.pipeline.steps, other).contains(&step.id);
        let turns = earlier.filter(free).map(|other| (NodeId::of(&other.id), Edge::After));
        if self.uploads_wait_for(&step.id) {
            return Vec::new();
        }
        own.then(|| (NodeId::implicit(COMMIT), Edge::OnSuccess)).into_iter().chain(turns).collect()
    }
}

fn sum(points: &[MissedPoint]) -> u64 {
    points.iter().map(|point| point.bytes).fold(0, u64::saturating_add)
}

fn reason(work: &CopyWork, over: usize) -> String {
    let (from, to) = (&work.from, &work.with.to);
    if work.unread.is_some() {
        return format!("what {to} lacks of {from} could not be read");
    }
    let Some(missed) = &work.missed else {
        let own = if work.own { "this run's restore point, and " } else { "" };
        return format!("{own}what {to} has missed of {from}, once somebody looks");
    };
    let names: Vec<String> = missed.iter().take(NAMED).map(|point| format!("{} ({})", point.run, bytes(point.bytes))).collect();
    let more = if missed.len() > NAMED { format!(" and {} more", missed.len() - NAMED) } else { String::new() };
    let lacks = || format!("{} that {to} has missed: {}{more}", count(missed.len(), "restore point"), names.join(", "));
    let points = match (work.own, missed.is_empty()) {
        (true, true) => "this run's restore point".to_owned(),
        (true, false) => format!("this run's restore point, and before it {}", lacks()),
        (false, true) => format!("{to} has missed nothing of {from}"),
        (false, false) => lacks(),
    };
    let left = if over > 0 { format!("; {over} older ones are more than `catch_up` allows") } else { String::new() };
    points + &left
}

/// What somebody should know before a copy that can not be made.
pub(super) fn findings(nodes: &[Node], observed: &super::Observed) -> Vec<Finding> {
    let mut found = Vec::new();
    for node in nodes {
        let Work::Effect(effect) = &node.work else { continue };
        let Effect::Copy(work) = &effect.part else { continue };
        let warn = |class, message: String| Finding::new(Severity::Warning, class, format!("step {}", effect.step), message);
        if let Some(failure) = &work.unread {
            let message = format!("the step will fail: {}", failure.message);
            found.push(warn(failure.class, message).help("the next run copies what this one could not"));
        }
        let unfit = observed.missed.get(&effect.step).and_then(Reach::facts).map(|missed| missed.unfit.as_slice()).unwrap_or_default();
        let missed = observed.missed.get(&effect.step).and_then(Reach::facts);
        let owed = missed.into_iter().flat_map(|missed| missed.points.iter().filter(|point| missed.owed.contains(&point.run)));
        found.extend(owed.map(|point| {
            let message = format!("{} could not be copied before: it is damaged in {}, or was", point.run, work.from);
            warn(Class::Verification, message)
                .help("`runner catalog check --digests` tells, and `runner catalog heal` has it from another store")
        }));
        found.extend(unfit.iter().map(|(run, why)| {
            warn(Class::Verification, format!("{run} in {} can not be copied, its manifest can not be used: {why}", work.from))
        }));
    }
    found
}
