//! Which node waits for which, and an order in which they may run.
//!
//! A step's `needs` become edges between the nodes it ended up in. Whoever needs an upload waits for the commit: only then
//! is there something to verify or to tell. Only another upload does not: the commit is waiting for that one too. This file
//! looks into no node.

use std::collections::BTreeMap;

use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{COMMIT, Link, Node};
use crate::ids::{NodeId, StepId};
use crate::pipeline::{Pipeline, When};
use crate::step::{Edge, Work};

/// The nodes in an order in which they may run (the file's order where there is a choice), and the edges between them.
pub(super) fn ordered(nodes: Vec<Node>, pipeline: &Pipeline) -> (Vec<Node>, Vec<Link>) {
    let links = links(&nodes, pipeline);
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

fn links(nodes: &[Node], pipeline: &Pipeline) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut add = |from: &NodeId, to: &NodeId, edge: Edge| {
        let known = links.iter().any(|link| link.from == *from && link.to == *to);
        if from != to && !known {
            links.push(Link { from: from.clone(), to: to.clone(), edge });
        }
    };
    for node in nodes {
        let edge = if node.when == When::Success { Edge::OnSuccess } else { Edge::Always };
        if node.id == NodeId::implicit(COMMIT) {
            for flow in nodes.iter().filter(|other| stores(other)) {
                add(&flow.id, &node.id, Edge::OnSuccess);
            }
            continue;
        }
        if let Some((before, edge)) = part_before(node, nodes) {
            add(before, &node.id, edge);
            continue;
        }
        for need in outer_needs(node, pipeline) {
            let before = if stores(node) { storing(&need, nodes).map(|flow| flow.id.clone()) } else { None };
            add(&before.unwrap_or_else(|| last_node_of(&need, nodes)), &node.id, edge);
        }
    }
    links
}

/// Whether a node is a chain that stores an object.
fn stores(node: &Node) -> bool {
    node.action == super::Action::Store
}

/// Within a lowered composite: the part before this one, and how it is waited for.
fn part_before<'a>(node: &Node, nodes: &'a [Node]) -> Option<(&'a NodeId, Edge)> {
    let step = &node.steps.first()?.id;
    let before = match node.id.as_str().rsplit_once(':')?.1 {
        "check" => NodeId::of(step),
        "finish" => NodeId::part(step, "check"),
        _ => return None,
    };
    let edge = if node.when == When::Success { Edge::OnProduct } else { Edge::Always };
    nodes.iter().find(|other| other.id == before).map(|other| (&other.id, edge))
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

/// The node after which a step is done: the commit for steps of a stored chain, the finish for a verification.
fn last_node_of(step: &StepId, nodes: &[Node]) -> NodeId {
    let finish = NodeId::part(step, "finish");
    if storing(step, nodes).is_some() {
        NodeId::implicit(COMMIT)
    } else if nodes.iter().any(|node| node.id == finish) {
        finish
    } else {
        NodeId::of(step)
    }
}
