//! Carrying one object from a store into another: read to its verified end there, written create-only here, and read back here.
//!
//! Whoever carries says what the object must be; bytes that are not that never get the key. This module does not know restore points,
//! and removes nothing.

use super::catalog::Named;
use super::{ObjectStore, PutOptions, StoreError};
use crate::stream::Cancel;
use crate::stream::digest::{Algorithm, Digest, verified};

/// Who watches while bytes move, and may stop them.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// The request to stop.
    pub cancel: &'a Cancel,
    /// Called with numbers of bytes that the store written to has accepted.
    pub sent: &'a dyn Fn(u64),
    /// Called with numbers of bytes that were read back from it.
    pub read: &'a dyn Fn(u64),
}

impl<'a> Watch<'a> {
    /// Nobody counts.
    pub fn unwatched(cancel: &'a Cancel) -> Self {
        Self { cancel, sent: &|_| {}, read: &|_| {} }
    }
}

/// What an object's bytes must come to.
fn digest(named: &Named) -> Digest {
    Digest { algorithm: Algorithm::Sha256, hex: named.sha256.clone(), bytes: named.bytes }
}

/// Writes an object that must be this, reading it under a key of another store (or of the same), and reads it back.
///
/// # Errors
/// As [`put`] and [`read_back`].
pub fn carry(
    from: (&dyn ObjectStore, &str),
    (to, named): (&dyn ObjectStore, &Named),
    options: &PutOptions,
    watch: &Watch<'_>,
) -> Result<(), StoreError> {
    put(from, (to, named), options, watch)?;
    read_back(to, named, watch)
}

/// Writes an object that must be this, reading it under a key of another store (or of the same).
///
/// # Errors
/// The stores' own; [`StoreError::Stream`] when what is read is not what it must be, and then nothing is under the key.
pub fn put(
    (from, key): (&dyn ObjectStore, &str),
    (to, named): (&dyn ObjectStore, &Named),
    options: &PutOptions,
    watch: &Watch<'_>,
) -> Result<(), StoreError> {
    let options = PutOptions { estimate: Some(named.bytes), ..options.clone() };
    to.put(&named.key, verified(from.get(key, watch.cancel)?, digest(named)), &options, watch.cancel, watch.sent).map(drop)
}

/// Reads a whole object and holds it against what it must be.
///
/// # Errors
/// The store's own, and [`StoreError::Stream`] when it is something else.
pub fn read_back(store: &dyn ObjectStore, named: &Named, watch: &Watch<'_>) -> Result<(), StoreError> {
    let mut stream = verified(store.get(&named.key, watch.cancel)?, digest(named));
    while let Some(chunk) = stream.pull()? {
        watch.cancel.check()?;
        (watch.read)(chunk.len() as u64);
    }
    Ok(())
}
