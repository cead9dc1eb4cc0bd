//! Lowering a `prune`: what becomes of every restore point is decided here, by the pure function, and the node holds the decisions.
//!
//! The new point that this very run makes is not among them, so that one more stays until the next run. Nothing is looked at here.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::lower::{Lower, Lowered, node, staged};
use super::{Action, COMMIT, Finding, Node, Reach};
use crate::diagnostic::{Class, Failure, Severity};
use crate::ids::{NodeId, RefName, RunId, StepId};
use crate::pipeline::{Pipeline, Step};
use crate::retention::{self, CatalogFacts, Decision, PointSeen, Policy, Reason, RemainsSeen, Setting};
use crate::step::prune::{Act, Locked, PruneStore, PruneWork};
use crate::step::{Edge, Effect, Params, Prune, Work};
use crate::words::count;

/// How long a run without a restore point is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);

impl Lower<'_> {
    /// The node of a `prune`.
    pub(super) fn pruning(&self, step: &Step, prune: &Prune) -> Lowered {
        let stores: Vec<PruneStore> = prune.all().into_iter().filter_map(|name| self.in_store(name, &prune.policy)).collect();
        let idle =
            !stores.is_empty() && stores.iter().all(|store| store.acts.is_empty() && store.forget.is_empty() && store.unread.is_none());
        let until = self.now.map(|now| prune.policy.stays_until(now));
        let forgets = |store: &PruneStore| {
            let keys = count(store.forget.len(), "record");
            (!store.forget.is_empty())
                .then(|| format!("deletes {keys} in {} of runs without a restore point, from more than 90 days ago", store.store))
        };
        let of_store = |store: &PruneStore| {
            let acts = store.acts.iter().filter_map(|act| act.destroys(&store.store, until));
            acts.chain(forgets(store)).collect::<Vec<_>>()
        };
        let destroys = stores.iter().flat_map(of_store).collect();
        let reason = reason(&stores);
        let all = self.observed.catalogs.keys().cloned().collect();
        let work = Effect::Prune(Box::new(PruneWork { with: prune.clone(), stores, setting: setting(self.pipeline), all }));
        let action = if idle { Action::Skip } else { Action::Prune };
        let made = Node { reason, destroys, ..node(NodeId::of(&step.id), step, action, Work::Effect(staged(step, work))) };
        // Whatever the file says, what this run makes is there first, unless that itself waits for the deletion.
        let commits = self.pipeline.chains.iter().any(|chain| self.stores(chain)) && !self.uploads_wait_for(&step.id);
        let after = if commits { vec![(NodeId::implicit(COMMIT), Edge::OnSuccess)] } else { Vec::new() };
        Lowered { after, ..made.into() }
    }

    fn in_store(&self, name: &RefName, policy: &Policy) -> Option<PruneStore> {
        let empty = PruneStore {
            store: name.clone(),
            acts: Vec::new(),
            forget: Vec::new(),
            halts: Vec::new(),
            unread: None,
            kept: 0,
            locked: Vec::new(),
            waiting: 0,
        };
        match (self.observed.catalogs.get(name)?, self.now) {
            (Reach::Failed { message, class }, _) => {
                let hint = Some("nothing is deleted while the whole catalog can not be read".to_owned());
                Some(PruneStore { unread: Some(Failure { class: *class, message: message.clone(), hint }), ..empty })
            }
            (Reach::Reached(facts), Some(now)) => Some(self.decided(empty, facts, policy, now)),
            (Reach::Reached(_), None) => None,
        }
    }

    fn decided(&self, store: PruneStore, facts: &CatalogFacts, policy: &Policy, now: Timestamp) -> PruneStore {
        let verdict = facts.verdict(policy, &setting(self.pipeline), now);
        let (kept, waiting) = (verdict.count(retention::Action::Keep), verdict.count(retention::Action::Wait));
        let by_run: std::collections::BTreeMap<_, _> = facts.points.iter().map(|point| (&point.facts.run, point)).collect();
        let begun = facts.remains.iter().filter(|remains| policy.stays_until(remains.tombstoned.min(now)) < now).map(finish);
        let acts = verdict.decisions.iter().filter_map(|decision| act(decision, by_run.get(&decision.run)?));
        let locked = verdict.decisions.iter().filter_map(locked).collect();
        let forget = if verdict.halts.is_empty() { forgotten(facts, now) } else { Vec::new() };
        PruneStore { acts: begun.chain(acts).collect(), forget, halts: verdict.halts, kept, locked, waiting, ..store }
    }

    /// Whether what this pipeline stores waits for a step: then that step can not wait for it.
    pub(super) fn uploads_wait_for(&self, step: &StepId) -> bool {
        let steps = &self.pipeline.steps;
        let mut open: Vec<&StepId> = self
            .pipeline
            .chains
            .iter()
            .flat_map(|chain| [chain.source, chain.sink].into_iter().chain(chain.filters.iter().copied()))
            .map(|index| &steps[index].id)
            .collect();
        let mut seen: Vec<&StepId> = Vec::new();
        while let Some(id) = open.pop() {
            if id == step {
                return true;
            }
            if !seen.contains(&id) {
                seen.push(id);
                open.extend(self.pipeline.step(id).into_iter().flat_map(|step| &step.needs));
            }
        }
        false
    }
}

/// What runs of long ago are remembered by that failed, or whose points are gone. A failure since the newest point stays, for it keeps everything else from going.
fn forgotten(facts: &CatalogFacts, now: Timestamp) -> Vec<String> {
    let Some(newest) = facts.points.iter().map(|point| &point.facts.run).max() else { return Vec::new() };
    let old = |run: &crate::ids::RunId| run < newest && now.duration_since(run.started()) > REMEMBERED;
    facts.failures.iter().chain(&facts.strays).filter(|failure| old(&failure.run)).flat_map(|failure| failure.keys.clone()).collect()
}

/// What a pipeline says beside its policies that decisions depend on.
pub fn setting(pipeline: &Pipeline) -> Setting {
    let timezone = pipeline.schedule.as_ref().map_or_else(|| Setting::default().timezone, |schedule| schedule.timezone.clone());
    Setting { rpo: pipeline.objectives.rpo, timezone }
}

/// The points in a store that nothing keeps, as far as these facts tell, by the rules of some `prune` of the pipeline: those about whose
/// locks the store is worth asking.
pub fn unwanted(pipeline: &Pipeline, store: &RefName, facts: &CatalogFacts, now: Timestamp) -> BTreeSet<RunId> {
    let prunes = pipeline.steps.iter().filter_map(|step| if let Params::Prune(prune) = &step.params { Some(prune) } else { None });
    let setting = setting(pipeline);
    let here = prunes.filter(|prune| prune.all().contains(&store));
    let decisions = here.flat_map(|prune| facts.verdict(&prune.policy, &setting, now).decisions);
    decisions.filter(|decision| decision.reasons.contains(&Reason::Unwanted)).map(|decision| decision.run).collect()
}

/// What is done to a point; nothing where it stays as it is.
fn act(decision: &Decision, point: &PointSeen) -> Option<Act> {
    if matches!(decision.action, retention::Action::Keep | retention::Action::Wait) {
        return None;
    }
    Some(Act {
        run: decision.run.clone(),
        action: decision.action,
        reasons: decision.reasons.clone(),
        objects: point.objects.clone(),
        seen: point.beside.clone(),
        half: false,
    })
}

/// A point that would go, were it not locked: only about those was the store asked.
fn locked(decision: &Decision) -> Option<Locked> {
    let until = decision.reasons.iter().find_map(|reason| if let Reason::Locked { until } = reason { Some(*until) } else { None });
    until.map(|until| Locked { run: decision.run.clone(), until })
}

/// The rest of a deletion that was begun: there is no restore point any more that could be kept.
fn finish(remains: &RemainsSeen) -> Act {
    Act {
        run: remains.run.clone(),
        action: retention::Action::Delete,
        reasons: vec![Reason::GraceOver { since: remains.tombstoned }],
        objects: remains.objects.clone(),
        seen: remains.beside.clone(),
        half: true,
    }
}

fn reason(stores: &[PruneStore]) -> String {
    if stores.is_empty() {
        return "the policy says which, once somebody looks".to_owned();
    }
    stores.iter().map(of_store).collect::<Vec<_>>().join("; ")
}

fn of_store(store: &PruneStore) -> String {
    if store.unread.is_some() {
        return format!("the catalog of {} could not be read", store.store);
    }
    let number = |action, word: &str| {
        let number = store.count(action);
        (number > 0).then(|| format!("{number} {word}"))
    };
    let waiting = (store.waiting > 0).then(|| format!("{} wait for the end of their grace", store.waiting));
    let locked = store.locked.iter().map(|locked| locked.until).max();
    let latest = if store.locked.len() > 1 { " at the latest" } else { "" };
    let locked = locked.map(|until| format!("{} of them only by {}{latest}", store.locked.len(), Reason::Locked { until }));
    let words = [
        Some(format!("{} kept", count(store.kept, "point"))),
        locked,
        number(retention::Action::Undelete, "wanted again"),
        number(retention::Action::Tombstone, "to mark"),
        number(retention::Action::Delete, "to delete"),
        waiting,
    ];
    let halted = if store.halts.is_empty() { "" } else { "; nothing goes, see the warnings" };
    format!("in {}: {}{halted}", store.store, words.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// What somebody should know before a deletion that does not happen, or can not.
pub(super) fn findings(nodes: &[Node]) -> Vec<Finding> {
    let works = nodes.iter().filter_map(|node| match &node.work {
        Work::Effect(effect) => match &effect.part {
            Effect::Prune(work) => Some((&effect.step, work)),
            _ => None,
        },
        Work::Flow(_) => None,
    });
    let mut found = Vec::new();
    for (step, work) in works {
        let warn = |class, message: String| Finding::new(Severity::Warning, class, format!("step {step}"), message);
        for store in &work.stores {
            found.extend(store.halts.iter().map(|halt| warn(Class::Failed, format!("{}: {halt}", store.store))));
            let unread = store.unread.iter().map(|failure| warn(failure.class, format!("the step will fail: {}", failure.message)));
            found.extend(unread.map(|finding| finding.help("nothing is deleted while the whole catalog can not be read")));
        }
    }
    found
}
