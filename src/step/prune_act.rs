//! Carrying a `prune` out: nothing but what the plan decided, and of that what is decided now too; each point is looked at once more
//! before it is touched.
//!
//! A pin, an undelete, a receipt or an object lock that came since the plan was made saves its point, and that is said. What was begun by
//! a run that died is finished. This file decides nothing by age or count.

use jiff::Timestamp;

use super::prune::{Act, PruneStore, PruneWork};
use super::prune_again::{after_success, again, no_longer};
use super::{Cx, PerformEffect, StepError};
use crate::diagnostic::Class;
use crate::ids::{PipelineName, RefName};
use crate::retention::{Action, Policy, Reason, Verdict};
use crate::store::catalog::{self, look_again};
use crate::store::claims::Claims;
use crate::store::manifest::manifest_key;
use crate::store::mark::{Author, Marks, Wish, add};
use crate::store::removal::{Doomed, Removed, remove};
use crate::store::{ObjectStore, Refusal, StoreError, locked};
use crate::words::count;

impl PerformEffect for PruneWork {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        after_success(cx)?;
        if self.stores.is_empty() {
            return Err(
                StepError::new(Class::Failed, "this plan was made without looking at the stores: nothing is deleted").hint("plan again")
            );
        }
        // One store that fails keeps nothing from being done in another.
        let mut failed = None;
        for store in &self.stores {
            if let Err(error) = in_store(self, store, cx) {
                cx.reports.note(format!("{}: {error}", store.store));
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

fn in_store(work: &PruneWork, plan: &PruneStore, cx: &Cx<'_>) -> Result<(), StepError> {
    if let Some(failure) = &plan.unread {
        let error = StepError { transient: failure.class == Class::Transient, ..StepError::new(failure.class, failure.message.clone()) };
        return Err(failure.hint.iter().fold(error, StepError::hint));
    }
    cx.reports.note_all(plan.halts.iter().map(|halt| format!("{}: {halt}", plan.store)));
    let store = cx.runtime.store(&plan.store)?;
    let facts = &cx.runtime.facts;
    let by = format!("run {} on {}", facts.run, facts.host);
    // All that takes long comes before the marks of a point are looked at, so that what somebody wants meanwhile is seen.
    let deletes = plan.acts.iter().any(|act| act.action == Action::Delete);
    let claims = if deletes { Claims::read(&*store)? } else { Claims::default() };
    let mut pruning = Pruning {
        store: &*store,
        name: &plan.store,
        pipeline: &facts.pipeline,
        policy: &work.with.policy,
        by: &by,
        now: again(work, plan, cx)?,
        claims,
        cx,
        refused: 0,
        deleted: 0,
    };
    let lease = cx.runtime.lease(&plan.store);
    for act in &plan.acts {
        cx.cancel.check()?;
        // Whoever was overtaken while it stood still must not go on deleting.
        lease.as_ref().map_or(Ok(()), |lease| lease.confirm())?;
        pruning.act(act)?;
    }
    pruning.forget(&plan.forget)?;
    match (pruning.refused, pruning.deleted) {
        (0, _) | (_, 1..) => Ok(()),
        (refused, 0) => {
            let message = format!("{} refuses to delete anything of {}", store.describe(), count(refused, "restore point"));
            Err(StepError::new(Class::Denied, message)
                .hint("its own words are among the notes; a lock ends by itself, a missing right does not"))
        }
    }
}

struct Pruning<'a> {
    store: &'a dyn ObjectStore,
    name: &'a RefName,
    pipeline: &'a PipelineName,
    policy: &'a Policy,
    by: &'a str,
    /// What is decided now, under the lease.
    now: Verdict,
    /// What the manifests of the store name, read before the first deletion; nothing where none is.
    claims: Claims,
    cx: &'a Cx<'a>,
    refused: usize,
    deleted: usize,
}

impl Pruning<'_> {
    fn act(&mut self, act: &Act) -> Result<(), StepError> {
        let (now, marks) = look_again(self.store, self.pipeline, &act.run)?;
        let committed = now.contains(&manifest_key(self.pipeline, &act.run));
        match act.action {
            Action::Delete if committed && !act.half => {
                match changed(act, &now).or_else(|| unmarked(&marks)).or_else(|| no_longer(act, &self.now)) {
                    Some(why) => self.skipped(act, &why),
                    None => self.remove(act, &now)?,
                }
            }
            // Begun by an earlier attempt, by another host, or by a run that died.
            Action::Delete if !committed && marks.tombstoned.is_some() => self.remove(act, &now)?,
            Action::Delete if committed => self.skipped(act, "its manifest is there again"),
            Action::Delete => self.say(&format!("{} is deleted already", act.run)),
            Action::Tombstone => self.tombstone(act, &now, &marks)?,
            Action::Undelete if !committed => self.skipped(act, "its manifest is gone"),
            Action::Undelete if marks.tombstoned.is_none() => {}
            Action::Undelete => {
                self.mark(act, Wish::Undelete { reason: words(act) }, &marks)?;
                self.say(&format!("{} stays: its tombstone is taken back", act.run));
            }
            Action::Keep | Action::Wait => {}
        }
        Ok(())
    }

    fn tombstone(&self, act: &Act, now: &[String], marks: &Marks) -> Result<(), StepError> {
        if marks.tombstoned.is_some() {
            return Ok(());
        }
        if let Some(why) = changed(act, now).or_else(|| no_longer(act, &self.now)) {
            self.skipped(act, &why);
            return Ok(());
        }
        let after = self.policy.stays_until(Timestamp::now());
        self.mark(act, Wish::Tombstone { reason: words(act), after, keys: act.objects.clone() }, marks)?;
        self.say(&format!("{} is marked for deletion, gone after {}", act.run, after.strftime("%Y-%m-%d %H:%MZ")));
        Ok(())
    }

    fn mark(&self, act: &Act, wish: Wish, marks: &Marks) -> Result<(), StoreError> {
        let author = Author { by: self.by, now: Timestamp::now() };
        add(self.store, (self.pipeline, &act.run), wish, author, marks).map(drop)
    }

    fn remove(&mut self, act: &Act, now: &[String]) -> Result<(), StepError> {
        if let Some(until) = self.locked(act)? {
            self.skipped(act, &Reason::Locked { until }.to_string());
            return Ok(());
        }
        let doomed = Doomed { pipeline: self.pipeline, run: &act.run, objects: &act.objects, beside: now };
        let removed = remove(self.store, doomed, &mut self.claims)?;
        self.told(act, &removed);
        Ok(())
    }

    /// Until when the store keeps something of a point. Asked just before it goes: a bucket would take the deletion of what is locked,
    /// hide it, and keep it.
    fn locked(&self, act: &Act) -> Result<Option<Timestamp>, StoreError> {
        let keys = [&act.objects[..], &[manifest_key(self.pipeline, &act.run)]].concat();
        let found = locked::each(self.store, &[keys])?;
        Ok(found.into_iter().flatten().find(|until| self.policy.holds(*until, Timestamp::now())))
    }

    fn told(&mut self, act: &Act, removed: &Removed) {
        for (key, owner) in &removed.shared {
            self.say(&format!("{key} stays: {owner} names it"));
        }
        for (key, why) in &removed.refused {
            self.say(&format!("{key} could not be deleted, a later run tries again: {why}"));
        }
        self.refused += usize::from(!removed.refused.is_empty());
        self.deleted += usize::from(removed.refused.is_empty());
        let whole = if removed.refused.is_empty() { "deleted" } else { "not deleted whole" };
        self.say(&format!("{} is {whole}: {}", act.run, count(removed.deleted.len(), "object")));
    }

    /// Deletes what runs of long ago are remembered by, and never anything that is a manifest or lies beside one.
    fn forget(&self, keys: &[String]) -> Result<(), StepError> {
        let mut gone = 0;
        for key in keys {
            if !self.is_record(key)? {
                continue;
            }
            match self.store.delete(key) {
                Ok(()) => gone += 1,
                Err(StoreError::Refused { kind: Refusal::Denied | Refusal::Other, detail, .. }) => {
                    self.say(&format!("{key} stays: {detail}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if gone > 0 {
            self.say(&format!("{} of runs without a restore point deleted", count(gone, "record")));
        }
        Ok(())
    }

    fn is_record(&self, key: &str) -> Result<bool, StoreError> {
        let Some(found) = self.store.head(key)? else { return Ok(false) };
        if found.bytes == 0 || key.ends_with(".failed.json") {
            return Ok(true);
        }
        match catalog::manifest_beside(self.pipeline, key) {
            Some(manifest) if manifest != key => Ok(self.store.head(&manifest)?.is_none()),
            _ => Ok(false),
        }
    }

    fn skipped(&self, act: &Act, why: &str) {
        self.say(&format!("{} is left as it is: {why}", act.run));
    }

    fn say(&self, words: &str) {
        self.cx.reports.note(format!("{}: {words}", self.name));
    }
}

fn words(act: &Act) -> String {
    act.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What came or went beside a manifest since the plan was made.
fn changed(act: &Act, now: &[String]) -> Option<String> {
    let name = |key: &String| key.rsplit('/').next().unwrap_or_default().to_owned();
    let came: Vec<String> = now.iter().filter(|key| !act.seen.contains(key)).map(name).collect();
    let went: Vec<String> = act.seen.iter().filter(|key| !now.contains(key)).map(name).collect();
    match (came.is_empty(), went.is_empty()) {
        (true, true) => None,
        (false, _) => Some(format!("{} came since the plan was made", came.join(", "))),
        (true, false) => Some(format!("{} went since the plan was made", went.join(", "))),
    }
}

/// A point without a tombstone in force is not deleted, whatever a plan says.
fn unmarked(marks: &Marks) -> Option<String> {
    marks.tombstoned.is_none().then(|| "it has no tombstone".to_owned())
}
