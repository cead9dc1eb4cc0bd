//! What a resumed run keeps is closed: whatever has ended and begun, no node stays done that built on one which does not, a scratch server is
//! used whole or made anew, and nothing that may have acted runs again unasked.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use runner::ids::NodeId;
use runner::plan::{NotResumed, Past, Plan, resume};
use runner::step::{Again, Edge};

use crate::cli_run::run;

fn plans() -> Vec<Plan> {
    let paths = ["quickstart", "examples/pipelines/several-databases.yaml", "tests/good/runbook.yaml", "tests/good/restores.yaml"];
    let json = |path: &str| run(&["plan", path, "--offline", "--format", "json"]).json();
    let plans: Vec<Plan> = paths.iter().map(|path| serde_json::from_value(json(path)["plans"][0].clone()).unwrap()).collect();
    assert!(plans.iter().any(|plan| plan.nodes.iter().any(|node| node.work.place().is_some())));
    assert!(plans.iter().any(|plan| plan.nodes.iter().any(|node| node.work.again() == Again::IfAsked)));
    assert!(plans.iter().any(|plan| plan.nodes.iter().any(|node| node.work.again() == Again::Never)));
    plans
}

/// Those of the nodes whose bit is set.
fn some(plan: &Plan, bits: u64) -> BTreeSet<NodeId> {
    plan.nodes.iter().enumerate().filter(|(at, _)| bits >> (at % 64) & 1 == 1).map(|(_, node)| node.id.clone()).collect()
}

fn check(plan: &Plan, past: &Past) {
    let node = |id: &NodeId| plan.node(id).unwrap();
    match resume(plan, past) {
        Ok(kept) => {
            assert!(kept.is_subset(&past.ended));
            for link in plan.edges.iter().filter(|link| link.edge != Edge::After && kept.contains(&link.to)) {
                assert!(kept.contains(&link.from), "{} stays and {} does not", link.to, link.from);
            }
            for one in &plan.nodes {
                let place = one.work.place().filter(|_| kept.contains(&one.id));
                let beside = plan.nodes.iter().filter(|other| place.is_some() && other.work.place() == place);
                beside.for_each(|other| assert!(kept.contains(&other.id), "{} stays and {} does not", one.id, other.id));
                let again = !kept.contains(&one.id);
                assert!(!again || one.work.again() != Again::Never, "{} is gone on with", one.id);
                let acted = past.ended.contains(&one.id) || past.begun.contains(&one.id) && one.retry.attempts == 1;
                assert!(!(again && acted && one.work.again() == Again::IfAsked), "{} acts twice unasked", one.id);
            }
            assert_eq!(resume(plan, &Past { ended: kept.clone(), ..past.clone() }), Ok(kept));
        }
        Err(NotResumed::Restores { node: id }) => assert_eq!(node(&id).work.again(), Again::Never),
        Err(NotResumed::Acted { node: id }) => assert!(past.ended.contains(&id)),
        Err(NotResumed::Unknown { node: id }) => assert!(past.begun.contains(&id) && !past.ended.contains(&id)),
        Err(NotResumed::Unasked { node }) => panic!("nobody asked for {node}"),
    }
}

#[test]
fn what_is_kept_of_a_run_is_closed_whatever_has_ended() {
    let plans = plans();
    for plan in &plans {
        let all = some(plan, u64::MAX);
        assert_eq!(resume(plan, &Past { ended: all.clone(), begun: all.clone(), ..Past::default() }), Ok(all));
    }
    proptest!(ProptestConfig::with_cases(2000), |(ended: u64, more: u64, begun: u64)| {
        // Most has ended, as in a run that came far.
        let ended = ended | more;
        for plan in &plans {
            let ended = some(plan, ended);
            let begun = some(plan, begun).union(&ended).cloned().collect();
            check(plan, &Past { ended, begun, ..Past::default() });
        }
    });
}
