//! A plan's graph as DOT (Graphviz) and as Mermaid.
//!
//! Solid arrows wait for success, dashed ones only for an end.

use std::fmt::Write;

use crate::plan::{Action, Node, Plan};
use crate::step::Edge;

/// The graph in the language of Graphviz.
pub fn dot(plan: &Plan) -> String {
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box, style=rounded];\n", quoted(plan.pipeline.as_str()));
    for node in &plan.nodes {
        let shape = if node.action == Action::Commit { ", shape=cylinder" } else { "" };
        let _ok = writeln!(out, "  \"{}\" [label=\"{}\"{shape}];", quoted(node.id.as_str()), quoted(&label(node)).replace('\n', "\\n"));
    }
    for link in &plan.edges {
        let style = if matches!(link.edge, Edge::Always | Edge::After) { " [style=dashed]" } else { "" };
        let _ok = writeln!(out, "  \"{}\" -> \"{}\"{style};", quoted(link.from.as_str()), quoted(link.to.as_str()));
    }
    out.push_str("}\n");
    out
}

/// The graph in the language of Mermaid, which GitHub draws.
pub fn mermaid(plan: &Plan) -> String {
    let name =
        |id: &crate::ids::NodeId| plan.nodes.iter().position(|node| node.id == *id).map_or_else(String::new, |index| format!("n{index}"));
    let mut out = "flowchart LR\n".to_owned();
    for node in &plan.nodes {
        let text = label(node).replace('"', "#quot;").replace('\n', "<br/>");
        let (open, close) = if node.action == Action::Commit { ("[(", ")]") } else { ("[", "]") };
        let _ok = writeln!(out, "  {}{open}\"{text}\"{close}", name(&node.id));
    }
    for link in &plan.edges {
        let arrow = if matches!(link.edge, Edge::Always | Edge::After) { "-.->" } else { "-->" };
        let _ok = writeln!(out, "  {} {arrow} {}", name(&link.from), name(&link.to));
    }
    out
}

/// A node's steps, one a line.
fn label(node: &Node) -> String {
    node.steps.iter().map(|step| format!("{}: {}", step.uses, step.words)).collect::<Vec<_>>().join("\n")
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
