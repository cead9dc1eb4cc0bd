//! A trial of a store with a small object: write, read back, write again (which must be refused), delete.
//! This module does not judge what a store that overwrites is good for; it reports it.

use std::time::Instant;

use super::{ObjectStore, ProbeReport, PutOptions, StoreError, whole};

const BODY: &[u8] = "runner probe 주문\n".as_bytes();

/// One create-only write of a key that fails with [`StoreError::Exists`] when it is taken.
type Write<'w> = &'w dyn Fn(&str, &[u8], &PutOptions) -> Result<(), StoreError>;

/// Tries the store. `write` is one create-only write without a look beforehand, so that the store itself must refuse the second;
/// `delete` removes every trace of what it wrote.
pub(super) fn run(
    store: &dyn ObjectStore,
    write: Write<'_>,
    delete: &dyn Fn(&str) -> Result<(), StoreError>,
) -> Result<ProbeReport, StoreError> {
    let started = Instant::now();
    let key = format!(".runner/probe/{}", whole::nonce(&store.describe())?);
    let options = PutOptions { content_type: Some("text/plain".to_owned()), ..PutOptions::default() };
    write(&key, BODY, &options)?;
    let tried = try_written(store, write, &key, &options);
    let deleted = delete(&key);
    let create_only = tried?;
    deleted?;
    if store.head(&key)?.is_some() {
        return Err(lies(store, &key, "it is still there after it was deleted"));
    }
    Ok(ProbeReport { create_only, took: started.elapsed() })
}

fn try_written(store: &dyn ObjectStore, write: Write<'_>, key: &str, options: &PutOptions) -> Result<bool, StoreError> {
    if store.get_bytes(key, 4096)? != BODY {
        return Err(lies(store, key, "it reads back as other bytes than were written"));
    }
    match write(key, BODY, options) {
        Ok(()) => Ok(false),
        Err(StoreError::Exists { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

fn lies(store: &dyn ObjectStore, key: &str, detail: &str) -> StoreError {
    StoreError::Lies { store: store.describe(), key: key.to_owned(), detail: detail.to_owned() }
}
