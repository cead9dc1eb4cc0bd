//! How one restore point differs from an earlier one, and what of it is suspicious.
//!
//! A pure function of two manifests, the levels they have earned and, where both could be opened, their whole fingerprints. Every
//! anomaly carries the rule that it breaks. This module does not open stores, and decides about no restore point.

mod judge;
pub mod rule;

use serde::Serialize;

use crate::archive::Changes;
use crate::store::manifest::{Completeness, LeftOut};
use crate::store::recall::Recalled;

pub use rule::Rule;

/// Two restore points and all that lies between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The one that is compared with.
    pub from: Recalled,
    /// The one that is compared.
    pub to: Recalled,
    /// What changed in the dump; `None` where a fingerprint is missing or could not be opened.
    pub changes: Option<Changes>,
    /// Whether both dumps hold the same, as the digests in their manifests say; `None` where they can not be held against each other.
    pub same: Option<bool>,
    /// What is suspicious, the gravest first.
    pub anomalies: Vec<Anomaly>,
    /// The rules that could not be judged.
    pub unjudged: Vec<Rule>,
}

/// Something suspicious.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    /// The rule that is broken.
    pub rule: Rule,
    /// What breaks it, with names and numbers.
    pub what: String,
}

impl Drift {
    /// Judges two restore points.
    pub fn between(from: Recalled, to: Recalled, changes: Option<Changes>) -> Self {
        let (anomalies, unjudged) = judge::judge(&from, &to, changes.as_ref());
        let same = same(&from, &to);
        Self { from, to, changes, same, anomalies, unjudged }
    }
}

/// The digests leave the facts of an archive out, but one form has entries that another one lacks.
fn same(from: &Recalled, to: &Recalled) -> Option<bool> {
    let (was, is) = (&from.artifact, &to.artifact);
    let (from, to) = (was.contents.as_ref()?, is.contents.as_ref()?);
    let alike = was.origin.format == is.origin.format && was.origin.server_version / 10_000 == is.origin.server_version / 10_000;
    alike.then_some(from.digest == to.digest)
}

/// What `to` lacks that `from` did not lack.
fn newly_left_out(from: &Completeness, to: &Completeness) -> Vec<LeftOut> {
    let before = |group: &LeftOut| from.left_out.iter().find(|other| (&other.kind, other.why) == (&group.kind, group.why));
    let fresh = |group: &LeftOut| {
        let known = before(group).map_or(&[][..], |known| &known.names);
        let names: Vec<String> = group.names.iter().filter(|name| !known.contains(name)).cloned().collect();
        // Of very many only the first are named, so the numbers may tell more than the names do.
        let count = group.count.saturating_sub(before(group).map_or(0, |known| known.count)).max(names.len() as u64);
        LeftOut { kind: group.kind.clone(), why: group.why, count, names }
    };
    to.left_out.iter().map(fresh).filter(|group| group.count > 0).collect()
}

#[cfg(test)]
mod tests;
