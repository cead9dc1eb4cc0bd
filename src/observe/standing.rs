//! Looking at what a store keeps of a pipeline: the facts that its status is judged by, and the restore points behind them.
//!
//! Nothing here judges, and a store that does not answer is a fact like any other.

use tokio::runtime::Handle;

use crate::ids::RefName;
use crate::pipeline::Pipeline;
use crate::status::{PointFacts, Seen, StoreFacts};
use crate::store::catalog::{self, Point, named};
use crate::store::manifest::Level;
use crate::store::{self, StoreError, StoreSpec};

/// What was seen of a pipeline in one store.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What its status is judged by.
    pub facts: StoreFacts,
    /// The newest restore points, as they were read, newest first.
    pub points: Vec<Point>,
    /// How many there are in all.
    pub count: usize,
}

/// Looks at the newest restore points of a pipeline in one of its stores, at most so many.
pub fn standing(pipeline: &Pipeline, name: &RefName, handle: &Handle, most: usize) -> Standing {
    let Some(spec) = pipeline.stores.get(name) else {
        return silent(name, String::new(), "it is not declared".to_owned());
    };
    let look = || -> Result<_, StoreError> {
        let store = store::open(spec, handle)?;
        Ok((store.describe(), catalog::newest(&*store, &pipeline.name, most)?))
    };
    match look() {
        Err(error) => silent(name, place(spec), error.to_string()),
        Ok((place, (points, count))) => {
            let seen = Seen { points: points.iter().map(|point| facts(point, name)).collect(), failed: Vec::new(), lease: None };
            Standing { facts: StoreFacts { store: name.clone(), place, seen: Ok(seen) }, points, count }
        }
    }
}

fn silent(name: &RefName, place: String, why: String) -> Standing {
    Standing { facts: StoreFacts { store: name.clone(), place, seen: Err(why) }, points: Vec::new(), count: 0 }
}

/// Where a store is, as its declaration says.
fn place(spec: &StoreSpec) -> String {
    match spec {
        StoreSpec::Local(spec) => spec.path.display().to_string(),
        StoreSpec::S3(spec) => format!("s3://{}/{}", spec.bucket, spec.prefix).trim_end_matches('/').to_owned(),
    }
}

/// What a store that it calls by this name says of a restore point.
fn facts(point: &Point, store: &RefName) -> PointFacts {
    let manifest = point.manifest.as_ref().ok();
    let all = manifest.map_or(&[][..], |manifest| &manifest.artifacts);
    let (tombstoned, pinned) = (point.marks.tombstoned.as_ref(), point.marks.pinned.as_ref());
    let proven = point.receipts.iter().filter(|receipt| receipt.level >= Level::Proven).map(|receipt| receipt.finished);
    PointFacts {
        run: point.summary.run.clone(),
        started: manifest.map_or_else(|| point.summary.run.started(), |manifest| manifest.started),
        committed: manifest.map(|manifest| manifest.committed),
        dumped: all.iter().filter(|artifact| artifact.store == *store).map(|artifact| artifact.origin.bytes).sum(),
        stored: manifest.iter().flat_map(|manifest| named(manifest, store)).map(|named| named.bytes).sum(),
        level: point.level(),
        proven: proven.max(),
        recovery: point.receipts.iter().rev().find_map(|receipt| receipt.recovery),
        complaint: point.manifest.as_ref().err().cloned().or_else(|| point.complaint().map(str::to_owned)),
        holds: all.iter().filter(|artifact| artifact.store == *store).map(|artifact| artifact.step.clone()).collect(),
        parts: all.iter().map(|artifact| artifact.step.clone()).collect(),
        leaving: tombstoned.map(|tombstone| tombstone.since),
        gone_after: tombstoned.map(|tombstone| tombstone.after),
        pinned: pinned.map(|pin| pin.until),
    }
}
