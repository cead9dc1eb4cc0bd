//! What a store is owed: restore points that a copy had to pass over, such as one that was damaged where it is read.
//!
//! Newer ones are copied all the same, so from then on nothing but this tells the point from one that went on purpose. It is one small
//! create-only object in the store that lacks the point, apart from the months where restore points lie; it goes once the point is
//! there, or is no longer where it was read. This module copies nothing.

use std::collections::BTreeSet;

use super::{ObjectStore, PutOptions, StoreError};
use crate::ids::{PipelineName, RunId};

/// How much of a reason is kept, in characters.
const KEPT: usize = 2000;

fn prefix(pipeline: &PipelineName) -> String {
    format!(".runner/{pipeline}/owed/")
}

fn key(pipeline: &PipelineName, run: &RunId) -> String {
    format!("{}{run}.txt", prefix(pipeline))
}

/// The points that a store is owed.
///
/// # Errors
/// Whatever the store says.
pub fn owed(store: &dyn ObjectStore, pipeline: &PipelineName) -> Result<BTreeSet<RunId>, StoreError> {
    let prefix = prefix(pipeline);
    let listed = store.list(&prefix)?;
    Ok(listed.iter().filter_map(|object| object.key.strip_prefix(&prefix)?.strip_suffix(".txt")?.parse().ok()).collect())
}

/// Notes that a point is owed, and why; the first reason stays.
///
/// # Errors
/// Whatever the store says. Then no newer point may be copied, or nobody would know of this one.
pub fn owe(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId, why: &str) -> Result<(), StoreError> {
    let text: String = why.chars().take(KEPT).chain(['\n']).collect();
    let options = PutOptions { content_type: Some("text/plain; charset=utf-8".to_owned()), ..PutOptions::default() };
    match store.put_bytes(&key(pipeline, run), text.as_bytes(), &options) {
        Err(StoreError::Exists { .. }) => Ok(()),
        other => other.map(drop),
    }
}

/// The point is owed no more.
///
/// # Errors
/// Whatever the store says.
pub fn settle(store: &dyn ObjectStore, pipeline: &PipelineName, run: &RunId) -> Result<(), StoreError> {
    store.delete(&key(pipeline, run))
}
