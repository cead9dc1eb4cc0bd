//! What a store keeps of a pipeline: enough to decide about every restore point without looking again.
//!
//! A plan decides by what was observed, and a run by what it reads itself before it deletes: both by these facts. Nothing here reads a
//! store.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::decide::{Verdict, decide};
use super::facts::{Catalog, PointFacts};
use super::policy::Policy;
use super::reason::Halt;
use crate::ids::{RefName, RunId};
use crate::quantity::Duration;
use crate::store::catalog::{self, named};

/// What a store keeps of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogFacts {
    /// Its restore points, newest first.
    pub points: Vec<PointSeen>,
    /// Deletions that were begun and not finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remains: Vec<RemainsSeen>,
    /// Runs that made no restore point and are remembered for it, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureSeen>,
    /// Runs of whose restore points nothing is left but records that came too late, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<FailureSeen>,
    /// Whether the newest run that the store knows of failed: it left word of that, before its commit or after it, or was ruled out, its
    /// verification failed, or its manifest can not be used.
    pub last_run_failed: bool,
    /// Stores of the pipeline that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<RefName>,
}

/// A run that made no restore point, or has none any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureSeen {
    /// The run.
    pub run: RunId,
    /// The keys of what it is remembered by.
    pub keys: Vec<String>,
}

/// A restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointSeen {
    /// What retention judges it by.
    pub facts: PointFacts,
    /// The keys of its objects in this store.
    pub objects: Vec<String>,
    /// The keys of what lies beside its manifest, which is among them.
    pub beside: Vec<String>,
}

/// What is left of a restore point whose deletion was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemainsSeen {
    /// The point.
    pub run: RunId,
    /// When its tombstone was written.
    pub tombstoned: Timestamp,
    /// The keys of its objects in this store.
    pub objects: Vec<String>,
    /// The keys of what lay beside its manifest.
    pub beside: Vec<String>,
}

/// What a pipeline says beside its policy that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// How old its newest point may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Duration>,
    /// The time zone whose days are counted.
    pub timezone: String,
}

impl Default for Setting {
    fn default() -> Self {
        Self { rpo: None, timezone: "UTC".to_owned() }
    }
}

impl CatalogFacts {
    /// What was read at a moment from a store of this name.
    pub fn of(read: &catalog::Catalog, store: &RefName, now: Timestamp) -> Self {
        let keys = |point: &catalog::Point| {
            let manifest = point.manifest.as_ref().ok();
            manifest.iter().flat_map(|manifest| named(manifest, store)).map(|named| named.key).collect()
        };
        let seen =
            |point: &catalog::Point| PointSeen { facts: PointFacts::of(point, store), objects: keys(point), beside: point.beside.clone() };
        let begun = |remains: &catalog::Remains| {
            let tombstone = remains.marks.tombstoned.as_ref()?;
            let (run, tombstoned, objects) = (remains.run.clone(), tombstone.since, tombstone.keys.clone());
            Some(RemainsSeen { run, tombstoned, objects, beside: remains.beside.clone() })
        };
        let failed = |remains: &catalog::Remains| !remains.failure.is_empty() && remains.marks.tombstoned.is_none();
        let failure = |remains: &catalog::Remains| FailureSeen { run: remains.run.clone(), keys: remains.failure.clone() };
        let failures: Vec<FailureSeen> = read.remains.iter().filter(|remains| failed(remains)).map(failure).collect();
        let strays = read.remains.iter().filter(|remains| remains.stray);
        let strays = strays.map(|remains| FailureSeen { run: remains.run.clone(), keys: remains.beside.clone() }).collect();
        // One from a clock far ahead answers no failure: every later run would seem to be older than it.
        let newest = read.points.iter().find(|point| !point.summary.run.is_ahead(now));
        let since = failures.first().is_some_and(|failure| newest.is_none_or(|newest| failure.run > newest.summary.run));
        let bad = |newest: &catalog::Point| newest.complaint().is_some() || newest.manifest.is_err() || newest.failed.is_some();
        Self {
            points: read.points.iter().map(seen).collect(),
            remains: read.remains.iter().filter_map(begun).collect(),
            failures,
            strays,
            last_run_failed: since || newest.is_some_and(bad),
            unread: Vec::new(),
        }
    }

    /// The newest run that is known of, whether it made a point or failed.
    pub(super) fn newest_run(&self) -> Option<&RunId> {
        let made = self.points.first().map(|point| &point.facts.run);
        made.max(self.failures.first().map(|failure| &failure.run))
    }

    /// What is decided about.
    pub fn catalog(&self, setting: &Setting) -> Catalog {
        let points = self.points.iter().map(|point| point.facts.clone()).collect();
        Catalog { points, rpo: setting.rpo, last_run_failed: self.last_run_failed }
    }

    /// What becomes of every point by these rules.
    pub fn verdict(&self, policy: &Policy, setting: &Setting, now: Timestamp) -> Verdict {
        let verdict = decide(&self.catalog(setting), policy, now, &TimeZone::get(&setting.timezone).unwrap_or(TimeZone::UTC));
        if self.unread.is_empty() { verdict } else { verdict.held(Halt::Unread { stores: self.unread.clone() }) }
    }
}
