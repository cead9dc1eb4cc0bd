//! Nodes in layers, each below all it waits for, with few crossings: where every box and every arrow goes. Layers begin at the left, so
//! that a narrow screen shows a whole column.
//!
//! An arrow that passes a layer gets a place in it, as a box would, so that it crosses none. Nothing here knows what the boxes hold.

use std::collections::BTreeMap;

/// What the layout is made of: the size of each box, and which waits for which. Boxes come in an order in which they may run.
#[derive(Debug, Default)]
pub(super) struct Boxes {
    pub(super) sizes: Vec<(u32, u32)>,
    /// From a box to one behind it.
    pub(super) arrows: Vec<(usize, usize)>,
}

/// Where everything goes.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The upper left corner of each box.
    pub(super) corners: Vec<(u32, u32)>,
    /// The points each arrow passes, in pairs of a lower and an upper end.
    pub(super) paths: Vec<Vec<(u32, u32)>>,
}

const BESIDE: u32 = 18;
const BELOW: u32 = 34;
const PASSING: u32 = 12;
const SWEEPS: usize = 4;

/// What stands in a layer: a box, or an arrow that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Box(usize),
    Passing { arrow: usize, layer: usize },
}

/// The arrows that do not follow from others.
pub(super) fn needed(count: usize, arrows: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut reach = vec![vec![false; count]; count];
    for from in (0..count).rev() {
        for next in arrows.iter().filter(|arrow| arrow.0 == from).map(|arrow| arrow.1) {
            let beyond = reach[next].clone();
            reach[from][next] = true;
            reach[from].iter_mut().zip(beyond).for_each(|(here, there)| *here |= there);
        }
    }
    let follows = |(from, to): (usize, usize)| arrows.iter().any(|other| other.0 == from && other.1 != to && reach[other.1][to]);
    arrows.iter().copied().filter(|arrow| !follows(*arrow)).collect()
}

/// Lays boxes out.
pub(super) fn layout(boxes: &Boxes) -> Layout {
    let layer_of = depths(boxes);
    let mut layers = placed(boxes, &layer_of);
    for sweep in 0..SWEEPS {
        order(&mut layers, boxes, sweep % 2 == 1);
    }
    coordinates(boxes, &layers)
}

/// The layer of each box: one below the lowest that it waits for.
fn depths(boxes: &Boxes) -> Vec<usize> {
    let mut layer_of = vec![0; boxes.sizes.len()];
    for index in 0..boxes.sizes.len() {
        let above = boxes.arrows.iter().filter(|arrow| arrow.1 == index).map(|arrow| layer_of[arrow.0] + 1);
        layer_of[index] = above.max().unwrap_or(0);
    }
    layer_of
}

fn placed(boxes: &Boxes, layer_of: &[usize]) -> Vec<Vec<Item>> {
    let mut layers: Vec<Vec<Item>> = vec![Vec::new(); layer_of.iter().max().map_or(0, |deepest| deepest + 1)];
    for (index, layer) in layer_of.iter().enumerate() {
        layers[*layer].push(Item::Box(index));
    }
    for (arrow, (from, to)) in boxes.arrows.iter().enumerate() {
        let between = layers.iter_mut().enumerate().take(layer_of[*to]).skip(layer_of[*from] + 1);
        between.for_each(|(layer, items)| items.push(Item::Passing { arrow, layer }));
    }
    layers
}

/// What an item is joined to in the layer above or below it.
fn joined(item: Item, boxes: &Boxes, upwards: bool, there: &[Item]) -> Vec<usize> {
    let along = |arrow: usize| {
        let (from, to) = boxes.arrows[arrow];
        let end = Item::Box(if upwards { from } else { to });
        there.iter().position(|other| *other == end || matches!(other, Item::Passing { arrow: other, .. } if *other == arrow))
    };
    match item {
        Item::Passing { arrow, .. } => along(arrow).into_iter().collect(),
        Item::Box(index) => {
            let own = |arrow: &&(usize, usize)| if upwards { arrow.1 == index } else { arrow.0 == index };
            (0..boxes.arrows.len()).filter(|arrow| own(&&boxes.arrows[*arrow])).filter_map(along).collect()
        }
    }
}

/// Orders each layer by the middle of what its items are joined to, downwards or upwards.
fn order(layers: &mut [Vec<Item>], boxes: &Boxes, from_below: bool) {
    let count = layers.len();
    let places: Vec<usize> = if from_below { (0..count.saturating_sub(1)).rev().collect() } else { (1..count).collect() };
    for place in places {
        let there = if from_below { layers[place + 1].clone() } else { layers[place - 1].clone() };
        let middle = |(own, item): (usize, &Item)| {
            let joined = joined(*item, boxes, !from_below, &there);
            let sum: usize = joined.iter().sum();
            // In thousandths of a place; what is joined to nothing stays where it is.
            if joined.is_empty() { own * 1000 } else { sum * 1000 / joined.len() }
        };
        let mut keyed: Vec<(usize, Item)> = layers[place].iter().enumerate().map(|entry| (middle(entry), *entry.1)).collect();
        keyed.sort_by_key(|(middle, _)| *middle);
        layers[place] = keyed.into_iter().map(|(_, item)| item).collect();
    }
}

fn coordinates(boxes: &Boxes, layers: &[Vec<Item>]) -> Layout {
    let wide = |item: &Item| if let Item::Box(index) = item { boxes.sizes[*index].0 } else { PASSING };
    let high = |item: &Item| if let Item::Box(index) = item { boxes.sizes[*index].1 } else { 0 };
    let mut corners = vec![(0, 0); boxes.sizes.len()];
    let mut passing: BTreeMap<usize, Vec<(u32, u32)>> = BTreeMap::new();
    let (mut y, mut width) = (0, 0);
    for layer in layers {
        let (mut x, tallest) = (0, layer.iter().map(high).max().unwrap_or(0));
        for item in layer {
            match item {
                Item::Box(index) => corners[*index] = (x, y),
                Item::Passing { arrow, .. } => {
                    passing.entry(*arrow).or_default().extend([(x + PASSING / 2, y), (x + PASSING / 2, y + tallest)]);
                }
            }
            x += wide(item) + BESIDE;
        }
        width = width.max(x - BESIDE);
        y += tallest + BELOW;
    }
    let middle = |index: usize| corners[index].0 + boxes.sizes[index].0 / 2;
    let path = |(arrow, (from, to)): (usize, &(usize, usize))| {
        let start = (middle(*from), corners[*from].1 + boxes.sizes[*from].1);
        let between = passing.get(&arrow).cloned().unwrap_or_default();
        std::iter::once(start).chain(between).chain([(middle(*to), corners[*to].1)]).collect()
    };
    let paths = boxes.arrows.iter().enumerate().map(path).collect();
    Layout { width, height: y.saturating_sub(BELOW), corners, paths }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_that_follow_from_others_are_left_out() {
        assert_eq!(needed(4, &[(0, 1), (1, 2), (0, 2), (0, 3), (2, 3)]), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(needed(3, &[(0, 2), (1, 2)]), [(0, 2), (1, 2)]);
    }

    #[test]
    fn no_two_boxes_overlap_and_arrows_go_down() {
        let arrows = vec![(0, 2), (1, 2), (2, 3), (2, 4), (0, 5), (3, 6), (4, 6), (5, 6), (1, 6)];
        let boxes = Boxes { sizes: vec![(120, 60), (300, 90), (150, 40), (200, 50), (90, 30), (110, 20), (100, 40)], arrows };
        let laid = layout(&boxes);
        let place = |index: usize| (laid.corners[index], boxes.sizes[index]);
        for (one, other) in (0..7).flat_map(|one| (one + 1..7).map(move |other| (one, other))) {
            let ((ax, ay), (aw, ah)) = place(one);
            let ((bx, by), (bw, bh)) = place(other);
            assert!(ax + aw <= bx || bx + bw <= ax || ay + ah <= by || by + bh <= ay, "{one} and {other} overlap: {laid:?}");
        }
        assert!(laid.corners.iter().zip(&boxes.sizes).all(|((x, y), (w, h))| x + w <= laid.width && y + h <= laid.height));
        assert!(laid.paths.iter().all(|path| path.is_sorted_by_key(|point| point.1)), "{laid:?}");
        // An arrow past a layer keeps away from the boxes in it.
        for (path, _) in laid.paths.iter().zip(&boxes.arrows) {
            for (x, y) in &path[1..path.len() - 1] {
                let inside = |index: &usize| {
                    let ((bx, by), (w, h)) = place(*index);
                    (bx..=bx + w).contains(x) && (by + 1..by + h).contains(y)
                };
                assert!(!(0..7).any(|index| inside(&index)), "{laid:?}");
            }
        }
    }

    #[test]
    fn nothing_and_one_box_are_laid_out() {
        assert_eq!(layout(&Boxes::default()).height, 0);
        let one = layout(&Boxes { sizes: vec![(100, 40)], arrows: Vec::new() });
        assert_eq!((one.width, one.height, one.corners), (100, 40, vec![(0, 0)]));
    }
}
