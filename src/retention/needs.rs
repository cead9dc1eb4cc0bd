//! Which point needs which: chains of increments, and an order in which points can go.
//!
//! Chains may be long, broken or, in a damaged store, circular; nothing here recurses or trusts them. This file keeps nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::PointFacts;
use crate::ids::RunId;

/// The points each point needs, by place in a list of points.
pub(super) struct Needs {
    direct: Vec<Vec<usize>>,
}

impl Needs {
    /// Reads them; what is not in the list is needed in vain, and left out.
    pub(super) fn of(points: &[&PointFacts]) -> Self {
        let places: BTreeMap<&RunId, usize> = points.iter().enumerate().map(|(place, point)| (&point.run, place)).collect();
        let of = |(own, point): (usize, &&PointFacts)| {
            let found: BTreeSet<usize> =
                point.depends_on.iter().filter_map(|run| places.get(run).copied()).filter(|place| *place != own).collect();
            found.into_iter().collect()
        };
        Self { direct: points.iter().enumerate().map(of).collect() }
    }

    /// Everything that these points need, however far down: for each place, one that needs it.
    pub(super) fn below(&self, from: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
        let mut needed_by = vec![None; self.direct.len()];
        let mut open: Vec<usize> = (0..self.direct.len()).filter(|place| from(*place)).collect();
        while let Some(place) = open.pop() {
            for below in &self.direct[place] {
                if needed_by[*below].is_none() {
                    needed_by[*below] = Some(place);
                    open.push(*below);
                }
            }
        }
        needed_by
    }

    /// The places in their order, but each behind all that need it: who stops in the middle leaves no point without what it needs.
    pub(super) fn dependents_first(&self) -> Vec<usize> {
        let mut above = vec![0_usize; self.direct.len()];
        self.direct.iter().flatten().for_each(|below| above[*below] += 1);
        let mut left: BTreeSet<usize> = (0..above.len()).collect();
        let mut ready: BTreeSet<usize> = left.iter().copied().filter(|place| above[*place] == 0).collect();
        let mut order = Vec::with_capacity(above.len());
        // A circle, which only damage can make, has no first: the newest point left is taken, so that each is in the order once.
        while let Some(place) = ready.pop_first().or_else(|| left.first().copied()) {
            left.remove(&place);
            order.push(place);
            for below in &self.direct[place] {
                above[*below] = above[*below].saturating_sub(1);
                if above[*below] == 0 && left.contains(below) {
                    ready.insert(*below);
                }
            }
        }
        order
    }
}
