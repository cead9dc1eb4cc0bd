//! The board: where every node of a run stands, and which may start.
//!
//! Pure bookkeeping over the plan's edges; starts nothing and waits for nothing.

use std::time::Instant;

use super::receipt::Receipt;
use crate::event::State;
use crate::ids::NodeId;
use crate::pipeline::When;
use crate::plan::{Action, Plan};
use crate::step::Edge;

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// It waits for others.
    Waiting,
    /// It runs.
    Running,
    /// It will be tried again at this time; the number of the next attempt.
    Retry(Instant, u32),
    /// It has ended.
    Ended(State),
}

/// What to do with a node whose predecessors have all ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start it.
    Run,
    /// End it without running, for this reason.
    End(State, String),
}

/// Where every node of a run stands.
pub(super) struct Board<'a> {
    plan: &'a Plan,
    before: Vec<Vec<(usize, Edge)>>,
    pub(super) stands: Vec<Stand>,
}

impl<'a> Board<'a> {
    /// All nodes waiting.
    pub(super) fn new(plan: &'a Plan) -> Self {
        let index = |id: &NodeId| plan.nodes.iter().position(|node| node.id == *id);
        let mut before = vec![Vec::new(); plan.nodes.len()];
        for link in &plan.edges {
            if let (Some(from), Some(to)) = (index(&link.from), index(&link.to)) {
                before[to].push((from, link.edge));
            }
        }
        Self { plan, before, stands: vec![Stand::Waiting; plan.nodes.len()] }
    }

    /// The same, with nodes that ended in an earlier process of the run.
    pub(super) fn behind(mut self, kept: &[Receipt]) -> Self {
        for receipt in kept {
            if let Some(node) = self.plan.nodes.iter().position(|node| node.id == receipt.node) {
                self.stands[node] = Stand::Ended(receipt.state);
            }
        }
        self
    }

    /// Whether every node has ended.
    pub(super) fn is_done(&self) -> bool {
        self.stands.iter().all(|stand| matches!(stand, Stand::Ended(_)))
    }

    /// The nodes whose predecessors have all ended, each with what to do with it.
    pub(super) fn ready(&self, cancelled: bool) -> Vec<(usize, Verdict)> {
        let waiting = (0..self.stands.len()).filter(|node| self.stands[*node] == Stand::Waiting);
        waiting.filter_map(|node| Some((node, self.verdict(node, &self.states_before(node)?, cancelled)))).collect()
    }

    /// How the predecessors ended; `None` while one has not.
    fn states_before(&self, node: usize) -> Option<Vec<State>> {
        self.before[node].iter().map(|(from, _)| if let Stand::Ended(state) = self.stands[*from] { Some(state) } else { None }).collect()
    }

    fn verdict(&self, index: usize, before: &[State], cancelled: bool) -> Verdict {
        let node = &self.plan.nodes[index];
        let culprit = before.iter().zip(&self.before[index]).find(|(state, (_, edge))| holds_up(**state, *edge));
        let name = culprit.map(|(_, (from, _))| self.plan.nodes[*from].id.to_string()).unwrap_or_default();
        match (node.when, culprit) {
            _ if node.action == Action::Skip => Verdict::End(State::Skipped, node.reason.clone()),
            (When::Success, _) if cancelled => Verdict::End(State::NotRun, "the run was stopped".to_owned()),
            (When::Success, Some((State::NotRun, _))) => Verdict::End(State::NotRun, format!("`{name}` did not run")),
            (When::Success, Some(_)) => Verdict::End(State::NotRun, format!("`{name}` failed")),
            (When::Failure, None) if !cancelled => Verdict::End(State::Skipped, "nothing failed".to_owned()),
            _ => Verdict::Run,
        }
    }

    /// The nodes whose time to be tried again has come.
    pub(super) fn due(&self, now: Instant) -> Vec<(usize, u32)> {
        let due = |stand: &Stand| if let Stand::Retry(at, number) = stand { (*at <= now).then_some(*number) } else { None };
        self.stands.iter().enumerate().filter_map(|(node, stand)| Some((node, due(stand)?))).collect()
    }
}

/// Whether a node that ended so keeps one from running that waits for it so.
const fn holds_up(state: State, edge: Edge) -> bool {
    match edge {
        Edge::OnProduct => !matches!(state, State::Done),
        Edge::After => false,
        Edge::OnSuccess | Edge::Always => !state.lets_others_run(),
    }
}
