//! Whether a restore point stays in a store, and why, as retention decided it. Nothing is decided here.

use super::moment::Clock;
use super::{Shelf, Subject};
use crate::ids::RefName;
use crate::retention::{Action, Decision, Reason};
use crate::status::PointFacts;

/// What becomes of a restore point in a store.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    /// Whether it goes.
    pub(super) going: bool,
    /// Whether somebody wants it to stay.
    pub(super) pinned: bool,
    /// Why, in words; empty where nobody says.
    pub(super) why: String,
}

/// The shelf of a store.
pub(super) fn shelf<'s>(subject: &'s Subject, store: &RefName) -> Option<&'s Shelf> {
    subject.shelves.iter().find(|shelf| shelf.store == *store)
}

/// What becomes of a point.
pub(super) fn fate(shelf: Option<&Shelf>, point: &PointFacts, clock: &Clock) -> Fate {
    let pinned = point.pinned.is_some_and(|until| until > clock.now);
    let verdict = shelf.and_then(|shelf| shelf.verdict.as_ref());
    if let Some(decision) = verdict.and_then(|verdict| verdict.decisions.iter().find(|decision| decision.run == point.run)) {
        return Fate { going: goes(decision.action), pinned, why: why(decision, clock) };
    }
    let grace = point.gone_after.map(|until| clock.language.reason(&Reason::Grace { until }, &|at| clock.minute(at)));
    Fate { going: point.leaving.is_some(), pinned, why: grace.unwrap_or_default() }
}

const fn goes(action: Action) -> bool {
    matches!(action, Action::Tombstone | Action::Wait | Action::Delete)
}

fn why(decision: &Decision, clock: &Clock) -> String {
    let said = |reason: &Reason| clock.language.reason(reason, &|at| clock.minute(at));
    decision.reasons.iter().map(said).collect::<Vec<_>>().join("; ")
}
