//! What the stores of a pipeline know together: a proof, or damage, is known beside the copy that was verified, a pin where it was
//! set, for copies made later do not have it, a failed run where it would have committed; and all of it counts for every store.
//!
//! What a store says of itself is never taken back by what another says: together they only keep more. This file decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Damage, Doubt, Pin};
use super::seen::CatalogFacts;
use crate::ids::{RefName, RunId};
use crate::store::manifest::Level;

/// Lets each of these stores of one pipeline know what the others know, and which others could not be read.
pub fn join(catalogs: &mut [&mut CatalogFacts], unread: &[RefName]) {
    let (levels, doubted, failed) = (levels(catalogs), doubted(catalogs), failed(catalogs));
    let (damaged, pins) = (damaged(catalogs), pins(catalogs));
    for catalog in catalogs {
        for point in catalog.points.iter_mut().map(|point| &mut point.facts) {
            point.elsewhere = levels.get(&point.run).copied().filter(|level| Some(*level) > point.level);
            point.doubt = point.doubt.or_else(|| doubted.contains(&point.run).then_some(Doubt::Receipts));
            let suspect = damaged.contains(&point.run) && point.level < Some(Level::Proven);
            point.pinned = pins.get(&point.run).cloned();
            point.damage = point.damage.or(suspect.then_some(Damage::Elsewhere));
        }
        catalog.last_run_failed |= failed;
        catalog.unread = unread.to_vec();
    }
}

/// The highest level that any copy of a point has earned.
fn levels(catalogs: &[&mut CatalogFacts]) -> BTreeMap<RunId, Level> {
    let mut found: BTreeMap<RunId, Level> = BTreeMap::new();
    for facts in catalogs.iter().flat_map(|catalog| &catalog.points).map(|point| &point.facts) {
        if let Some(level) = facts.level {
            found.entry(facts.run.clone()).and_modify(|most| *most = level.max(*most)).or_insert(level);
        }
    }
    found
}

/// The longest pin that any store has of a point.
fn pins(catalogs: &[&mut CatalogFacts]) -> BTreeMap<RunId, Pin> {
    let mut found: BTreeMap<RunId, Pin> = BTreeMap::new();
    for facts in catalogs.iter().flat_map(|catalog| &catalog.points).map(|point| &point.facts) {
        if let Some(pin) = facts.pinned.as_ref().filter(|pin| found.get(&facts.run).is_none_or(|longest| longest.until < pin.until)) {
            found.insert(facts.run.clone(), pin.clone());
        }
    }
    found
}

/// The points of which some store has receipts that can not be read.
fn doubted(catalogs: &[&mut CatalogFacts]) -> BTreeSet<RunId> {
    let points = catalogs.iter().flat_map(|catalog| &catalog.points).map(|point| &point.facts);
    points.filter(|facts| facts.doubt == Some(Doubt::Receipts)).map(|facts| facts.run.clone()).collect()
}

/// The points of which some store has a copy whose content was found wrong: what was dumped may be, or only that copy of it.
fn damaged(catalogs: &[&mut CatalogFacts]) -> BTreeSet<RunId> {
    let points = catalogs.iter().flat_map(|catalog| &catalog.points).map(|point| &point.facts);
    points.filter(|facts| facts.damage == Some(Damage::Here)).map(|facts| facts.run.clone()).collect()
}

/// Whether the newest run that any store knows of failed, by the word of one of them.
fn failed(catalogs: &[&mut CatalogFacts]) -> bool {
    let newest = catalogs.iter().filter_map(|catalog| catalog.newest_run()).max();
    catalogs.iter().any(|catalog| catalog.last_run_failed && catalog.newest_run() == newest)
}
