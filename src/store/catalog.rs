//! What restore points a store keeps, newest first: each with its manifest, its receipts and the level they earned.
//!
//! The store is the only source; nothing is remembered elsewhere. This module does not look at the objects themselves.

use super::commit::{self, MANIFEST_LIMIT, PointSummary};
use super::manifest::{Level, Manifest, Receipt, manifest_key};
use super::recall::{self, At, RecallError};
use super::{ObjectStore, StoreError};
use crate::ids::PipelineName;

/// A restore point, as far as it can be read.
#[derive(Debug, Clone)]
pub struct Point {
    /// Where its manifest is.
    pub summary: PointSummary,
    /// Its commit, or why it can not be used.
    pub manifest: Result<Manifest, String>,
    /// What verifications found, oldest first.
    pub receipts: Vec<Receipt>,
    /// Receipts that can not be read, each with the reason: they raise no level and are not kept quiet.
    pub unreadable: Vec<String>,
}

impl Point {
    /// The level it has earned; `None` when its manifest can not be read, for then nothing is known.
    pub fn level(&self) -> Option<Level> {
        self.manifest.as_ref().ok().map(|manifest| commit::level(manifest, &self.receipts))
    }

    /// What the newest verification complained of, if it did.
    pub fn complaint(&self) -> Option<&str> {
        commit::last_failure(&self.receipts).and_then(|receipt| receipt.failure.as_deref())
    }
}

/// The newest restore points of a pipeline, at most so many, and how many there are in all.
///
/// # Errors
/// Whatever the store says. A manifest or receipt that can not be understood is told in its [`Point`].
pub fn newest(store: &dyn ObjectStore, pipeline: &PipelineName, most: usize) -> Result<(Vec<Point>, usize), StoreError> {
    let all = commit::points(store, pipeline)?;
    let count = all.len();
    let points: Result<Vec<Point>, StoreError> = all.into_iter().take(most).map(|summary| point(store, pipeline, summary)).collect();
    Ok((points?, count))
}

/// The newest restore points of every pipeline that is wanted and has some in this store, at most so many of each, and how many
/// there are. Of pipelines that are not wanted nothing is read.
///
/// # Errors
/// As [`newest`].
pub fn everything(
    store: &dyn ObjectStore,
    most: usize,
    wanted: &dyn Fn(&PipelineName) -> bool,
) -> Result<Vec<(PipelineName, Vec<Point>, usize)>, StoreError> {
    let found = commit::all_points(store)?.into_iter().filter(|(pipeline, _)| wanted(pipeline)).map(|(pipeline, all)| {
        let count = all.len();
        let points: Result<Vec<Point>, StoreError> = all.into_iter().take(most).map(|summary| point(store, &pipeline, summary)).collect();
        Ok((pipeline, points?, count))
    });
    found.collect()
}

/// The restore point that is meant, as far as it can be read: one whose manifest can not be used is told, not passed over.
///
/// # Errors
/// [`RecallError`] when there is no such point, or whatever the store says.
pub fn find(store: &dyn ObjectStore, pipeline: &PipelineName, at: &At) -> Result<Point, RecallError> {
    let (key, manifest) = match recall::manifest(store, pipeline, at) {
        Ok(manifest) => (manifest_key(pipeline, &manifest.run), Ok(manifest)),
        Err(RecallError::Manifest { key, why, .. }) => (key, Err(why.to_string())),
        Err(other) => return Err(other),
    };
    let missing = || StoreError::Missing { store: store.describe(), key: key.clone() };
    let summary = commit::point(pipeline, key.clone()).ok_or_else(missing)?;
    Ok(beside(store, pipeline, summary, manifest)?)
}

fn point(store: &dyn ObjectStore, pipeline: &PipelineName, summary: PointSummary) -> Result<Point, StoreError> {
    let manifest = commit::read_manifest(&store.get_bytes(&summary.key, MANIFEST_LIMIT)?).map_err(|error| error.to_string());
    beside(store, pipeline, summary, manifest)
}

/// With what lies beside the manifest.
fn beside(
    store: &dyn ObjectStore,
    pipeline: &PipelineName,
    summary: PointSummary,
    manifest: Result<Manifest, String>,
) -> Result<Point, StoreError> {
    let found = commit::receipts(store, pipeline, &summary.run)?;
    let unreadable = found.unreadable.into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
    Ok(Point { summary, manifest, receipts: found.read, unreadable })
}
