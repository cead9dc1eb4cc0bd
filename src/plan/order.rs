//! Which node waits for which, and an order in which they may run.
//!
//! A step's `needs` become edges between the nodes it ended up in. Whoever needs an upload waits for the commit: only then
//! is there something to verify or to tell. Only another upload does not: the commit is waiting for that one too. Whoever needs a
//! step of several nodes waits for all of them, so that a clean-up that went well hides no failure. This file looks into no node.

use std::collections::BTreeMap;

use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use super::lower::Lowered;
use super::{COMMIT, Link, Node};
use crate::ids::{NodeId, StepId};
use crate::pipeline::{Pipeline, When};
use crate::step::{Edge, Work};

/// The nodes in an order in which they may run (the file's order where there is a choice), and the edges between them.
pub(super) fn ordered(lowered: Vec<Lowered>, pipeline: &Pipeline) -> (Vec<Node>, Vec<Link>) {
    let (nodes, waits): (Vec<Node>, Vec<Waits>) = lowered.into_iter().map(|Lowered { node, after, needs }| (node, (after, needs))).unzip();
    let links = links(&nodes, &waits, pipeline);
    let position: BTreeMap<&NodeId, usize> = nodes.iter().enumerate().map(|(index, node)| (&node.id, index)).collect();
    let mut graph: DiGraph<usize, ()> = DiGraph::new();
    // petgraph's sort answers later nodes first among equals, so they are added last to first.
    let mut indexes: Vec<NodeIndex> = (0..nodes.len()).rev().map(|index| graph.add_node(index)).collect();
    indexes.reverse();
    for link in &links {
        graph.add_edge(indexes[position[&link.from]], indexes[position[&link.to]], ());
    }
    // The pipeline was checked for circles, before and after fusing.
    let order = toposort(&graph, None)
        .map_or_else(|_| (0..nodes.len()).collect(), |sorted| sorted.iter().map(|node| graph[*node]).collect::<Vec<_>>());
    let mut slots: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    (order.into_iter().filter_map(|index| slots[index].take()).collect(), links)
}

/// The nodes that a node waits for itself, and the steps, if they are not those that its own steps need.
type Waits = (Vec<(NodeId, Edge)>, Option<Vec<StepId>>);

fn links(nodes: &[Node], waits: &[Waits], pipeline: &Pipeline) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut add = |from: &NodeId, to: &NodeId, edge: Edge| {
        let known = links.iter().any(|link| link.from == *from && link.to == *to);
        if from != to && !known {
            links.push(Link { from: from.clone(), to: to.clone(), edge });
        }
    };
    for (node, (after, needs)) in nodes.iter().zip(waits) {
        for (before, edge) in after {
            add(before, &node.id, *edge);
        }
        let edge = if node.when == When::Success { Edge::OnSuccess } else { Edge::Always };
        for need in needs.clone().unwrap_or_else(|| outer_needs(node, pipeline)) {
            for before in ends(&need, stores(node), nodes) {
                add(&before, &node.id, edge);
            }
        }
    }
    links
}

/// Whether a node is a chain that stores an object.
fn stores(node: &Node) -> bool {
    node.action == super::Action::Store
}

/// The steps outside a node that the steps in it need.
fn outer_needs(node: &Node, pipeline: &Pipeline) -> Vec<StepId> {
    let inside = |id: &StepId| matches!(node.work, Work::Flow(_)) && node.steps.iter().any(|words| words.id == *id);
    let needs = node.steps.iter().filter_map(|words| pipeline.step(&words.id)).flat_map(|step| &step.needs);
    let mut outer: Vec<StepId> = Vec::new();
    for need in needs.filter(|need| !inside(need)) {
        if !outer.contains(need) {
            outer.push(need.clone());
        }
    }
    outer
}

/// The flow that a step was fused into.
fn storing<'a>(step: &StepId, nodes: &'a [Node]) -> Option<&'a Node> {
    nodes.iter().find(|node| stores(node) && node.steps.iter().any(|words| words.id == *step))
}

/// The nodes after which a step is done: the commit for steps of a stored chain (its flow for another such chain), else all
/// that the step has become.
fn ends(step: &StepId, for_storing: bool, nodes: &[Node]) -> Vec<NodeId> {
    let own = || nodes.iter().filter(|node| node.id != NodeId::implicit(COMMIT) && node.steps.iter().any(|words| words.id == *step));
    // A safety dump is only the beginning of its step.
    match storing(step, nodes).filter(|_| own().all(stores)) {
        Some(flow) if for_storing => vec![flow.id.clone()],
        Some(_) => vec![NodeId::implicit(COMMIT)],
        None => own().map(|node| node.id.clone()).collect(),
    }
}
