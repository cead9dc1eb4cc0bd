//! Deciding about the points of a store once more, under its lease, before anything of it goes.
//!
//! Between a plan and its deletions lie the wait for the lease and the dump, or days where a run was resumed. What the plan decided is
//! done only where the same is decided now: a point may have become the newest proven one since, or a run may have failed. This file
//! only ever narrows what a plan says, and deletes nothing.

use jiff::Timestamp;

use super::prune::{Act, PruneStore, PruneWork};
use super::{Cx, StepError};
use crate::retention::{Action, CatalogFacts, Policy, Verdict};
use crate::store::catalog;

/// What becomes of the points of a store by what it keeps now; nothing where the plan takes nothing away.
pub(super) fn again(work: &PruneWork, plan: &PruneStore, cx: &Cx<'_>) -> Result<Verdict, StepError> {
    if !plan.acts.iter().any(|act| !act.half && matches!(act.action, Action::Delete | Action::Tombstone)) {
        return Ok(Verdict::default());
    }
    let store = cx.runtime.store(&plan.store)?;
    let facts = CatalogFacts::of(&catalog::read(&*store, &cx.runtime.facts.pipeline)?, &plan.store);
    // The plan held to the limit, and no more is done than it says. Counted with the point that this run made, as it is here, what
    // goes each time would be one too many each time.
    let policy = Policy { max_delete: None, ..work.with.policy.clone() };
    Ok(facts.verdict(&policy, &work.setting, Timestamp::now()))
}

/// Why what a plan says of a point is no longer decided; `None` where it is.
pub(super) fn no_longer(act: &Act, verdict: &Verdict) -> Option<String> {
    let Some(decision) = verdict.decisions.iter().find(|decision| decision.run == act.run) else {
        return Some("it was not there when the store was read again".to_owned());
    };
    let why = || decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    (decision.action != act.action).then(why)
}
