//! The timeline of a pipeline: a lane for each store, with what stays above and what goes below, each mark in the shape of its level.
//!
//! Very many marks are drawn as fewer, each of which says how many it stands for. Nothing is judged or decided here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::axis::{Axis, Tick, rounded};
use super::fate::{Fate, fate, shelf};
use super::moment::Clock;
use super::section::Detail;
use super::{Shelf, Subject};
use crate::quantity::bytes;
use crate::retention::Gap;
use crate::status::{PointFacts, StoreFacts};
use crate::store::manifest::Level;

/// The height of a lane, and of its two rows from its top.
const LANE: u32 = 70;
const KEPT: u32 = 34;
const GOING: u32 = 55;

/// A timeline.
#[derive(Debug, Serialize)]
pub(super) struct Timeline {
    pub(super) height: u32,
    pub(super) receding: bool,
    pub(super) ticks: Vec<Tick>,
    /// Where now is.
    pub(super) now: f64,
    pub(super) lanes: Vec<Lane>,
    /// The levels that occur, best first, for the legend.
    pub(super) levels: Vec<LevelWord>,
    pub(super) any_gap: bool,
    pub(super) any_pin: bool,
}

/// A level with the shape and the word that stand for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LevelWord {
    pub(super) shape: &'static str,
    pub(super) word: &'static str,
}

/// The lane of a store.
#[derive(Debug, Serialize)]
pub(super) struct Lane {
    pub(super) store: String,
    pub(super) place: String,
    pub(super) top: u32,
    pub(super) kept_row: u32,
    pub(super) going_row: u32,
    pub(super) kept: usize,
    pub(super) going: usize,
    /// Why it said nothing.
    pub(super) silent: Option<String>,
    /// How many were not read, in words.
    pub(super) older: Option<String>,
    pub(super) gaps: Vec<Band>,
    pub(super) marks: Vec<Mark>,
}

/// A stretch of time.
#[derive(Debug, Serialize)]
pub(super) struct Band {
    pub(super) x: f64,
    pub(super) width: f64,
    pub(super) title: String,
}

/// A restore point, or several close together.
#[derive(Debug, Serialize)]
pub(super) struct Mark {
    pub(super) x: f64,
    pub(super) y: u32,
    pub(super) shape: &'static str,
    pub(super) pinned: bool,
    pub(super) title: String,
}

/// The shape of a level, by its name in the page.
pub(super) const fn shape(level: Option<Level>) -> &'static str {
    match level {
        None => "unreadable",
        Some(level) => level.name(),
    }
}

/// The timeline of a pipeline.
pub(super) fn timeline(subject: &Subject, clock: &Clock, detail: Detail) -> Timeline {
    let stores = &subject.status.stores;
    let points = || stores.iter().filter_map(|store| store.seen.as_ref().ok()).flat_map(|seen| &seen.points);
    let moments: Vec<Timestamp> = points().map(|point| point.started).collect();
    let axis = Axis::of(&moments, clock.now);
    let draw = Draw { axis: &axis, clock, detail };
    let lanes: Vec<Lane> =
        stores.iter().zip(0..).map(|(store, place)| draw.lane(store, shelf(subject, &store.store), place * LANE)).collect();
    let mut levels: Vec<Option<Level>> = points().map(|point| point.level).collect();
    levels.sort_unstable();
    levels.dedup();
    Timeline {
        height: LANE * u32::try_from(lanes.len()).unwrap_or(0) + 24,
        receding: axis.recedes(),
        ticks: axis.ticks(clock),
        now: axis.place(clock.now),
        levels: levels.into_iter().rev().map(|level| LevelWord { shape: shape(level), word: clock.language.level(level) }).collect(),
        any_gap: lanes.iter().any(|lane| !lane.gaps.is_empty()),
        any_pin: points().any(|point| point.pinned.is_some_and(|until| until > clock.now)),
        lanes,
    }
}

struct Draw<'a> {
    axis: &'a Axis,
    clock: &'a Clock,
    detail: Detail,
}

impl Draw<'_> {
    fn lane(&self, store: &StoreFacts, judged: Option<&Shelf>, top: u32) -> Lane {
        let points = store.seen.as_ref().map_or(&[][..], |seen| &seen.points);
        let fates: Vec<(&PointFacts, Fate)> = points.iter().map(|point| (point, fate(judged, point, self.clock))).collect();
        let going = fates.iter().filter(|(_, fate)| fate.going).count();
        let unread = judged.map_or(0, |shelf| shelf.count.saturating_sub(points.len()));
        Lane {
            store: store.store.to_string(),
            place: store.place.clone(),
            top,
            kept_row: top + KEPT,
            going_row: top + GOING,
            kept: fates.len() - going,
            going,
            silent: store.seen.as_ref().err().cloned(),
            older: (unread > 0).then(|| self.clock.language.older(unread)),
            gaps: judged.iter().flat_map(|shelf| &shelf.gaps).map(|gap| self.band(gap)).collect(),
            marks: self.marks(&fates, top),
        }
    }

    fn band(&self, gap: &Gap) -> Band {
        let (x, end) = (self.axis.place(gap.from), self.axis.place(gap.to));
        let title = format!("{} – {}", self.clock.minute(gap.from), self.clock.minute(gap.to));
        Band { x, width: rounded(end - x).max(0.2), title }
    }

    /// One mark a point, or a few side by side as one where there are more than can be told apart.
    fn marks(&self, fates: &[(&PointFacts, Fate)], top: u32) -> Vec<Mark> {
        let crowded = fates.len() > self.detail.marks as usize;
        let mut groups: BTreeMap<(bool, i64), Vec<&(&PointFacts, Fate)>> = BTreeMap::new();
        for (index, entry) in fates.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "a place of an axis times a number of marks is small")]
            let slot = (self.axis.place(entry.0.started) * f64::from(self.detail.marks) / 100.0) as i64;
            let slot = if crowded { slot } else { i64::try_from(index).unwrap_or(i64::MAX) };
            groups.entry((entry.1.going, slot)).or_default().push(entry);
        }
        groups.into_iter().map(|((going, _), group)| self.mark(&group, top + if going { GOING } else { KEPT })).collect()
    }

    /// What stands for these, the newest first; there is at least one.
    fn mark(&self, group: &[&(&PointFacts, Fate)], y: u32) -> Mark {
        let level = group.iter().map(|(point, _)| point.level).max().flatten();
        let newest = group.first().map(|(point, _)| point.started).unwrap_or_default();
        let oldest = group.last().map(|(point, _)| point.started).unwrap_or_default();
        let title = if let [(point, fate)] = group {
            self.title(point, fate)
        } else {
            let points = self.clock.language.restore_points(group.len());
            format!("{points}, {} – {}", self.clock.minute(oldest), self.clock.minute(newest))
        };
        Mark { x: self.axis.place(newest), y, shape: shape(level), pinned: group.iter().any(|(_, fate)| fate.pinned), title }
    }

    fn title(&self, point: &PointFacts, fate: &Fate) -> String {
        let (words, language) = (self.clock.language.labels(), self.clock.language);
        let stays = if fate.going { words.going } else { words.kept };
        let why = if fate.why.is_empty() || !self.detail.reasons { String::new() } else { format!(": {}", fate.why) };
        format!("{} · {} · {} · {stays}{why}", self.clock.minute(point.started), language.level(point.level), bytes(point.stored))
    }
}
