//! The decision about every point: keep, tombstone, wait, delete, undelete.
//!
//! First what is wanted, then what would go, then whether anything may go at all. This file carries nothing out.

use std::cmp::Reverse;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::facts::{Catalog, PointFacts};
use super::kept::{self, later};
use super::needs::Needs;
use super::policy::{MaxDelete, Policy};
use super::reason::{Action, Halt, Phase, Reason};
use crate::ids::RunId;

/// What becomes of one point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The point.
    pub run: RunId,
    /// What becomes of it.
    pub action: Action,
    /// Why: every reason there is, at least one.
    pub reasons: Vec<Reason>,
}

/// What becomes of all points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Why nothing goes, though something would; to be said loudly. Empty where nothing would go, and where it may.
    pub halts: Vec<Halt>,
    /// One decision a point, newest first, but each behind those that need it: carried out in this order, a crash in the middle
    /// leaves no point without what it needs.
    pub decisions: Vec<Decision>,
}

impl Verdict {
    /// What becomes of a point; `None` for one that was not in the catalog.
    pub fn action(&self, run: &RunId) -> Option<Action> {
        self.decisions.iter().find(|decision| decision.run == *run).map(|decision| decision.action)
    }

    /// The same, where something from outside the catalog lets nothing go.
    #[must_use]
    pub(super) fn held(mut self, by: Halt) -> Self {
        let would = self.decisions.iter().any(|decision| matches!(decision.action, Action::Tombstone | Action::Delete));
        if would || !self.halts.is_empty() {
            self.decisions.iter_mut().for_each(|decision| halted(decision, std::slice::from_ref(&by)));
            self.halts.push(by);
        }
        self
    }

    /// How many points this becomes of.
    pub fn count(&self, action: Action) -> usize {
        self.decisions.iter().filter(|decision| decision.action == action).count()
    }
}

/// Decides about every point of a catalog: pure, total, and the same in whatever order the points are listed.
///
/// Carried out and decided again at the same time, it changes nothing more; carried out in part, the rest. Rules that keep more
/// never let more go, except that `max_delete` lets nothing go under rules that would let too much go.
pub fn decide(catalog: &Catalog, policy: &Policy, now: Timestamp, zone: &TimeZone) -> Verdict {
    let mut points: Vec<&PointFacts> = catalog.points.iter().collect();
    points.sort_by_key(|point| Reverse((point.taken, &point.run)));
    let needs = Needs::of(&points);
    let kept = kept::reasons(&points, &needs, policy, now, zone);
    let mut decisions: Vec<Decision> = points.iter().zip(kept).map(|(point, kept)| first_thought(point, kept, policy, now)).collect();
    hold_what_others_need(&mut decisions, &needs);
    let halts = halts(catalog, &points, &decisions, policy, now);
    for decision in &mut decisions {
        halted(decision, &halts);
    }
    let mut decisions: Vec<Option<Decision>> = decisions.into_iter().map(Some).collect();
    let decisions = needs.dependents_first().into_iter().filter_map(|place| decisions[place].take()).collect();
    Verdict { halts, decisions }
}

/// What would become of a point that were alone in the world.
fn first_thought(point: &PointFacts, kept: Vec<Reason>, policy: &Policy, now: Timestamp) -> Decision {
    let (action, mut reasons) = match (kept.is_empty(), point.tombstoned) {
        (false, None) => (Action::Keep, kept),
        (false, Some(since)) => (Action::Undelete, kept.into_iter().chain([Reason::Tombstoned { since }]).collect()),
        (true, None) => (Action::Tombstone, vec![Reason::Unwanted]),
        (true, Some(since)) => {
            // A tombstone from the future is one of just now.
            let until = policy.stays_until(since.min(now));
            if now > until {
                (Action::Delete, vec![Reason::Unwanted, Reason::GraceOver { since }])
            } else {
                (Action::Wait, vec![Reason::Unwanted, Reason::Grace { until }])
            }
        }
    };
    reasons.extend(point.damage.map(|damage| Reason::Damaged { damage }));
    Decision { run: point.run.clone(), action, reasons }
}

/// A point is not deleted while one that needs it is there: that one may still be undeleted.
fn hold_what_others_need(decisions: &mut [Decision], needs: &Needs) {
    let needed = needs.below(|place| decisions[place].action != Action::Delete);
    for (place, by) in needed.into_iter().enumerate() {
        let Some(by) = by.map(|by| decisions[by].run.clone()).filter(|_| decisions[place].action == Action::Delete) else { continue };
        decisions[place].action = Action::Wait;
        decisions[place].reasons.push(Reason::NeededBy { run: by });
    }
}

/// Why nothing may go, if something would.
fn halts(catalog: &Catalog, points: &[&PointFacts], decisions: &[Decision], policy: &Policy, now: Timestamp) -> Vec<Halt> {
    let count = |action| decisions.iter().filter(|decision| decision.action == action).count();
    let (marked, deleted) = (count(Action::Tombstone), count(Action::Delete));
    if marked + deleted == 0 {
        return Vec::new();
    }
    let failed = catalog.last_run_failed.then_some(Halt::FailedRun);
    let limit = policy.max_delete.unwrap_or_default();
    // Both bases stay what they are while a verdict is carried out, or shrink together with what is left to do: a crash in the
    // middle can not turn what was allowed into what is not.
    let live = count(Action::Keep) + count(Action::Undelete) + marked;
    let too_many = [(Phase::Tombstone, marked, live), (Phase::Delete, deleted, decisions.len())]
        .into_iter()
        .filter(|(_, would, of)| exceeds(limit, *would, *of))
        .map(|(phase, would, of)| Halt::TooMany { phase, would, of, limit });
    stale(catalog, points, policy, now).into_iter().chain(failed).chain(too_many).collect()
}

fn stale(catalog: &Catalog, points: &[&PointFacts], policy: &Policy, now: Timestamp) -> Option<Halt> {
    let rpo = catalog.rpo?;
    let latest = later(now, policy.clock_skew);
    let newest = points.iter().find(|point| point.is_success() && point.taken <= latest).map(|point| point.taken);
    newest.is_none_or(|newest| later(newest, rpo) < now).then_some(Halt::Stale { newest, rpo })
}

fn exceeds(limit: MaxDelete, would: usize, of: usize) -> bool {
    let count = limit.count.is_some_and(|count| would as u64 > u64::from(count));
    let percent = limit.percent.is_some_and(|percent| would as u128 * 100 > u128::from(percent) * of as u128);
    count || percent
}

/// Nothing goes: what would, stays as it is. Taking a tombstone back is never held up.
fn halted(decision: &mut Decision, halts: &[Halt]) {
    let instead = match decision.action {
        Action::Tombstone => Action::Keep,
        Action::Delete => Action::Wait,
        Action::Keep | Action::Undelete | Action::Wait => return,
    };
    if !halts.is_empty() {
        decision.action = instead;
        decision.reasons.extend(halts.iter().map(|by| Reason::Halted { by: by.clone() }));
    }
}
