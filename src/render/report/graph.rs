//! The graph of a pipeline as a picture: a box for each node with the steps fused into it, arrows for what waits for what.
//!
//! It is as wide as its boxes and narrow enough for a telephone where nothing runs side by side. What a box can not hold is cut, and
//! whole in its title. Nothing here changes the plan.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::layers::{Boxes, layout, needed};
use super::words::Language;
use crate::plan::{Action, Node, Plan, StepWords};
use crate::render::style::columns;
use crate::step::{Edge, Work};

const WIDEST: u32 = 300;
const NARROWEST: u32 = 132;
/// More than half of the page.
const BESIDE: u32 = 510;
const PADDING: u32 = 10;
const LINE: u32 = 16;
/// Hundredths of a pixel that a column of a terminal takes in the small fixed font of a box.
const COLUMN: u32 = 668;

/// A graph.
#[derive(Debug, Serialize)]
pub(super) struct Graph {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) nodes: Vec<NodeBox>,
    pub(super) arrows: Vec<Arrow>,
    pub(super) any_dashed: bool,
    /// Whether it is too wide to stand beside something.
    pub(super) wide: bool,
}

/// The box of a node.
#[derive(Debug, Serialize)]
pub(super) struct NodeBox {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// What it does to the world, for its colour.
    pub(super) class: &'static str,
    pub(super) head: String,
    pub(super) lines: Vec<StepLine>,
    /// All of it, uncut.
    pub(super) title: String,
}

/// A step in a box.
#[derive(Debug, Serialize)]
pub(super) struct StepLine {
    pub(super) y: u32,
    pub(super) uses: String,
    pub(super) words: String,
}

/// An arrow.
#[derive(Debug, Serialize)]
pub(super) struct Arrow {
    pub(super) path: String,
    pub(super) dashed: bool,
}

/// The graph of a plan.
pub(super) fn graph(plan: &Plan, language: Language) -> Graph {
    let place: BTreeMap<&str, usize> = plan.nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index)).collect();
    let mut kinds: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    for link in &plan.edges {
        if let (Some(from), Some(to)) = (place.get(link.from.as_str()), place.get(link.to.as_str())) {
            let dashed = matches!(link.edge, Edge::Always | Edge::After);
            kinds.entry((*from, *to)).and_modify(|known| *known &= dashed).or_insert(dashed);
        }
    }
    let all: Vec<(usize, usize)> = kinds.keys().copied().filter(|(from, to)| from < to).collect();
    // All as wide as the widest, so that what follows each other stands in a column.
    let width = plan.nodes.iter().map(|node| longest(node, language)).max().map_or(0, pixels).clamp(NARROWEST, WIDEST);
    let mut nodes: Vec<NodeBox> = plan.nodes.iter().map(|node| node_box(node, width, language)).collect();
    let boxes = Boxes { sizes: nodes.iter().map(|node| (node.width, node.height)).collect(), arrows: needed(nodes.len(), &all) };
    let laid = layout(&boxes);
    for (node, (x, y)) in nodes.iter_mut().zip(&laid.corners) {
        (node.x, node.y) = (*x, *y);
    }
    let arrow = |(ends, points): (&(usize, usize), &Vec<(u32, u32)>)| Arrow { path: path(points), dashed: kinds[ends] };
    let arrows: Vec<Arrow> = boxes.arrows.iter().zip(&laid.paths).map(arrow).collect();
    let any_dashed = arrows.iter().any(|arrow| arrow.dashed);
    Graph { width: laid.width, height: laid.height, nodes, arrows, any_dashed, wide: laid.width > BESIDE }
}

/// Down from point to point; the last bit is left for the head of the arrow.
fn path(points: &[(u32, u32)]) -> String {
    const BEND: u32 = 16;
    let mut path = String::new();
    for pair in points.windows(2) {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        if path.is_empty() {
            let _ok = write!(path, "M{x} {y}");
        }
        if x == to_x {
            let _ok = write!(path, "V{to_y}");
        } else {
            let _ok = write!(path, "C{x} {} {to_x} {} {to_x} {to_y}", y + BEND, to_y.saturating_sub(BEND));
        }
    }
    path
}

/// What a node does, in a word or two.
fn head(node: &Node, language: Language) -> String {
    let pass = if matches!(node.work, Work::Flow(_)) { format!(" · {}", language.labels().one_pass) } else { String::new() };
    format!("{}{pass}", language.action(node.action))
}

/// What a box says of a step behind its kind. What it does is told in English alone, so that in another language its name stands there,
/// where that tells more than the kind.
fn told(step: &StepWords, language: Language) -> &str {
    match language {
        Language::English => &step.words,
        Language::Korean if step.id.as_str() == step.uses => "",
        Language::Korean => step.id.as_str(),
    }
}

/// The columns that its longest line takes.
fn longest(node: &Node, language: Language) -> usize {
    let steps = node.steps.iter().map(|step| columns(&step.uses) + 1 + columns(told(step, language)));
    steps.chain([columns(&head(node, language)) + 2]).max().unwrap_or(0)
}

fn node_box(node: &Node, width: u32, language: Language) -> NodeBox {
    let mut ids: Vec<&str> = node.steps.iter().map(|step| step.id.as_str()).collect();
    ids.dedup();
    let name = if ids.len() > 1 { ids.join(" → ") } else { node.id.as_str().trim_start_matches(':').to_owned() };
    let steps = node.steps.iter().zip(0..);
    let lines = steps.map(|(step, index)| StepLine {
        y: PADDING + LINE * (index + 2) + 1,
        words: fitting(told(step, language), room(width).saturating_sub(columns(&step.uses) + 1)),
        uses: fitting(&step.uses, room(width)),
    });
    let lines: Vec<StepLine> = lines.collect();
    let all: Vec<String> = node.steps.iter().map(|step| format!("{} {}", step.uses, told(step, language)).trim_end().to_owned()).collect();
    NodeBox {
        x: 0,
        y: 0,
        width,
        height: PADDING * 2 + LINE * (u32::try_from(lines.len()).unwrap_or(0) + 1) + 2,
        class: class(node.action),
        head: fitting(&head(node, language), room(width)),
        lines,
        title: format!("{name}: {}", all.join(" → ")),
    }
}

fn pixels(columns: usize) -> u32 {
    u32::try_from(columns).unwrap_or(u32::MAX).saturating_mul(COLUMN).div_ceil(100) + PADDING * 2
}

/// How many columns fit.
const fn room(width: u32) -> usize {
    ((width - PADDING * 2) * 100 / COLUMN) as usize
}

/// A text cut to so many columns, with `…` where something is missing.
fn fitting(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if columns(&cut) >= most {
            cut.pop();
            break;
        }
    }
    cut.push('…');
    cut
}

const fn class(action: Action) -> &'static str {
    match action {
        Action::Store | Action::Commit | Action::Copy | Action::Restore => "makes",
        Action::Replace | Action::Prune | Action::Act => "takes",
        Action::Verify | Action::Ask => "asks",
        Action::Tell | Action::Skip => "tells",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_columns_of_any_script() {
        assert_eq!(fitting("pg_dump orders", 14), "pg_dump orders");
        assert_eq!(fitting("pg_dump orders", 8), "pg_dump…");
        assert_eq!((fitting("주문-야간-백업", 9).as_str(), fitting("주문-야간-백업", 10).as_str()), ("주문-야…", "주문-야간…"));
        assert_eq!(fitting("주문", 1), "…");
    }
}
