//! A store under a lease: each key is noted in the lease before it is written, so that what a killed run leaves is known to the next.
//! This module does not guard deletes, nor what is about restore points: those are fenced by the commit itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::store::lease::Held;
use crate::store::{Expect, ObjectMeta, ObjectStore, ProbeReport, PutOptions, StoreError, Stored, Tag};
use crate::stream::{Cancel, Stream};

/// The folder of manifests, receipts and kits.
const OWN: &str = ".runner/";

/// What of it a run that never commits leaves behind.
const RECIPE: &str = ".recipe.txt";

pub(super) struct Leased {
    inner: Arc<dyn ObjectStore>,
    held: Arc<Held>,
    /// Keys under which something may be left for the next run to remove.
    left: Mutex<BTreeSet<String>>,
}

impl Leased {
    pub(super) const fn new(inner: Arc<dyn ObjectStore>, held: Arc<Held>) -> Self {
        Self { inner, held, left: Mutex::new(BTreeSet::new()) }
    }

    /// Refuses what a run that was overtaken would write, and notes what it writes.
    fn note(&self, key: &str) -> Result<(), StoreError> {
        if key.starts_with(OWN) && !key.ends_with(RECIPE) { Ok(()) } else { self.held.note(key) }
    }

    /// A write that failed leaves nothing behind, unless it says so; and what was there before is no leftover of this run.
    fn failed(&self, key: &str, error: &StoreError) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        // A key with the run's id can only have been taken by this run itself.
        let ours = matches!(error, StoreError::Exists { .. }) && key.contains(self.held.holder().run.as_str());
        if ours || matches!(error, StoreError::Left { .. }) {
            left.insert(key.to_owned());
        } else if !left.contains(key) {
            self.held.forget(key);
        }
    }
}

impl ObjectStore for Leased {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn put(&self, key: &str, body: Stream, options: &PutOptions, cancel: &Cancel, sent: &dyn Fn(u64)) -> Result<Stored, StoreError> {
        self.note(key)?;
        self.inner.put(key, body, options, cancel, sent).inspect_err(|error| self.failed(key, error))
    }

    fn put_bytes(&self, key: &str, body: &[u8], options: &PutOptions) -> Result<Stored, StoreError> {
        self.note(key)?;
        self.inner.put_bytes(key, body, options).inspect_err(|error| self.failed(key, error))
    }

    fn get(&self, key: &str, cancel: &Cancel) -> Result<Stream, StoreError> {
        self.inner.get(key, cancel)
    }

    fn get_bytes(&self, key: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.get_bytes(key, limit)
    }

    fn get_tagged(&self, key: &str, limit: u64) -> Result<(Vec<u8>, Tag), StoreError> {
        self.inner.get_tagged(key, limit)
    }

    fn put_if(&self, key: &str, body: &[u8], expect: &Expect<'_>) -> Result<Tag, StoreError> {
        self.inner.put_if(key, body, expect)
    }

    fn replace(&self, key: &str, body: &[u8], tag: &Tag, options: &PutOptions) -> Result<Tag, StoreError> {
        self.inner.replace(key, body, tag, options)
    }

    fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.inner.head(key)
    }

    fn locked_until(&self, key: &str) -> Result<Option<Timestamp>, StoreError> {
        self.inner.locked_until(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.inner.list(prefix)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.folders(prefix)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key)?;
        if !self.left.lock().unwrap_or_else(PoisonError::into_inner).contains(key) {
            self.held.forget(key);
        }
        Ok(())
    }

    fn sweep(&self, prefix: &str, older_than: Duration) -> Result<Vec<String>, StoreError> {
        self.inner.sweep(prefix, older_than)
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.inner.free_bytes()
    }

    fn reach(&self) -> Result<(), StoreError> {
        self.inner.reach()
    }

    fn probe(&self) -> Result<ProbeReport, StoreError> {
        self.inner.probe()
    }
}
