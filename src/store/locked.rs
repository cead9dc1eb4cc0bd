//! Locks: until when a store keeps a restore point whatever anybody wants of it.
//!
//! A bucket with object lock takes a deletion and hides the object behind a marker: the locked version stays, and is paid for. So what
//! goes must be asked beforehand. This module locks nothing, and deletes nothing.

use jiff::Timestamp;

use super::{ObjectStore, StoreError, pool};

/// Until when the last lock on the objects of each restore point holds, in the order of the points; `None` where nothing is locked, or
/// where the store does not say.
///
/// # Errors
/// Whatever the store says.
pub fn each(store: &dyn ObjectStore, points: &[Vec<String>]) -> Result<Vec<Option<Timestamp>>, StoreError> {
    let keys: Vec<(usize, &String)> =
        points.iter().enumerate().flat_map(|(point, keys)| keys.iter().map(move |key| (point, key))).collect();
    let found = pool::each(store.is_remote(), &keys, |(_, key)| store.locked_until(key))?;
    let mut last = vec![None; points.len()];
    for ((point, _), until) in keys.into_iter().zip(found) {
        last[point] = until.max(last[point]);
    }
    Ok(last)
}
