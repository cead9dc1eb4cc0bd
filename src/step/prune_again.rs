//! Deciding about the points of a store once more, under its lease, before anything of it goes.
//!
//! Between a plan and its deletions lie the wait for the lease and the dump, or days where a run was resumed. What the plan decided is
//! done only where the same is decided now: a point may have become the newest proven one since, or a run may have failed. This file
//! only ever narrows what a plan says, and deletes nothing.

use jiff::Timestamp;

use super::prune::{Act, PruneStore, PruneWork};
use super::{Cx, StepError};
use crate::diagnostic::Class;
use crate::ids::RefName;
use crate::retention::{Action, CatalogFacts, Policy, Verdict, join};
use crate::runtime::{Ledger, NodeRecord, Verification};
use crate::store::catalog;
use crate::store::manifest::{Fault, Level};

/// Nothing is deleted in a run in which something failed so far, a verification that is only a warning included.
pub(super) fn after_success(cx: &Cx<'_>) -> Result<(), StepError> {
    let refuse = |name| StepError::new(Class::Failed, format!("`{name}` failed in this run: nothing is deleted after a failure"));
    cx.runtime.ledger(|ledger| failed(ledger)).map_or(Ok(()), |name| Err(refuse(name)))
}

/// The node or verification that failed. One that a resumed run had before is known by what it found, and not by its node.
fn failed(ledger: &Ledger) -> Option<String> {
    let warned = |record: &NodeRecord| record.warn_only && record.fault != Some(Fault::Content) && !ledger.verifies(&record.node);
    let serious = |record: &&NodeRecord| !record.good && record.error.is_some() && !warned(record);
    // Everything may have been restored, and be something else than was dumped.
    let differs = |found: &Verification| found.proof.as_ref().is_some_and(|proof| !proof.differences.is_empty());
    let unproven = || ledger.verifications.iter().find(|(_, found)| found.level < Level::Restored || differs(found));
    let node = ledger.nodes.iter().find(serious).map(|record| record.node.to_string());
    node.or_else(|| unproven().map(|(step, _)| step.to_string()))
}

/// What becomes of the points of a store by what it keeps now; nothing where the plan takes nothing away.
pub(super) fn again(work: &PruneWork, plan: &PruneStore, cx: &Cx<'_>) -> Result<Verdict, StepError> {
    if !plan.acts.iter().any(|act| !act.half && matches!(act.action, Action::Delete | Action::Tombstone)) {
        return Ok(Verdict::default());
    }
    let mut facts = read(&plan.store, cx)?;
    let (mut others, mut unread) = (Vec::new(), Vec::new());
    for name in work.all.iter().filter(|name| **name != plan.store) {
        match read(name, cx) {
            Ok(facts) => others.push(facts),
            Err(_) => unread.push(name.clone()),
        }
    }
    join(&mut std::iter::once(&mut facts).chain(&mut others).collect::<Vec<_>>(), &unread);
    // The plan held to the limit, and no more is done than it says. Counted with the point that this run made, as it is here, what
    // goes each time would be one too many each time.
    let policy = Policy { max_delete: None, ..work.with.policy.clone() };
    Ok(facts.verdict(&policy, &work.setting, Timestamp::now()))
}

fn read(name: &RefName, cx: &Cx<'_>) -> Result<CatalogFacts, StepError> {
    let store = cx.runtime.store(name)?;
    Ok(CatalogFacts::of(&catalog::read(&*store, &cx.runtime.facts.pipeline)?, name, Timestamp::now()))
}

/// Why what a plan says of a point is no longer decided; `None` where it is.
pub(super) fn no_longer(act: &Act, verdict: &Verdict) -> Option<String> {
    let Some(decision) = verdict.decisions.iter().find(|decision| decision.run == act.run) else {
        return Some("it was not there when the store was read again".to_owned());
    };
    let why = || decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    (decision.action != act.action).then(why)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::archive::Summary;
    use crate::ids::NodeId;
    use crate::store::manifest::Proof;

    fn record(node: &str, warn_only: bool, fault: Option<Fault>) -> NodeRecord {
        let error = fault.map(|_| "rows differ".to_owned());
        NodeRecord { node: NodeId::of(&node.parse().unwrap()), good: fault.is_none(), warn_only, took: Duration::ZERO, error, fault }
    }

    fn ledger(level: Level, differences: &[&str], node: NodeRecord) -> Ledger {
        let differences = differences.iter().map(ToString::to_string).collect();
        let proof = Proof { whole: true, differences, incomparable: Vec::new(), compared: Summary::default() };
        let found = Verification { level, proof: Some(proof), ..Verification::starting("upload".parse().unwrap(), Timestamp::UNIX_EPOCH) };
        Ledger { verifications: [("verify".parse().unwrap(), found)].into(), nodes: vec![node], ..Ledger::default() }
    }

    #[test]
    fn a_verification_that_fails_is_a_failure_even_where_it_is_only_a_warning() {
        let good = || record("verify", false, None);
        assert_eq!(failed(&ledger(Level::Proven, &[], good())), None);
        assert_eq!(failed(&ledger(Level::Restored, &[], good())), None);
        assert_eq!(failed(&ledger(Level::Restored, &[], record("tell", true, Some(Fault::Elsewhere)))), None);
        let name = Some("verify".to_owned());
        assert_eq!(failed(&ledger(Level::ReadBack, &[], good())), name);
        assert_eq!(failed(&ledger(Level::Restored, &["rows of orders"], good())), name, "as after a resume");
        for fault in [Fault::Content, Fault::Elsewhere] {
            assert_eq!(failed(&ledger(Level::Restored, &[], record("verify", true, Some(fault)))), name);
        }
        assert_eq!(failed(&ledger(Level::Proven, &[], record("tell", false, Some(Fault::Elsewhere)))), Some("tell".to_owned()));
    }
}
