//! Committing under a lease: only while it is held, and not at all once another run has ruled this one out.
//! This module does not make the manifest.

use super::Held;
use crate::store::commit::commit;
use crate::store::manifest::Manifest;
use crate::store::{StoreError, Stored};

impl Held {
    /// Commits a restore point to the lease's store, after asking the store whether the lease is still held with the same token.
    ///
    /// Between the answer and the manifest the holder may be stopped for any time, and be overtaken: then the manifest's place is taken by
    /// the empty object of whoever took over, and the commit fails.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when another holder took over, and as [`commit`].
    pub fn commit(&self, manifest: &Manifest) -> Result<Stored, StoreError> {
        self.confirm()?;
        let store = &**self.store();
        let stored = match commit(store, manifest) {
            Err(StoreError::Exists { store: words, key }) => {
                let ruled_out = store.head(&key)?.is_some_and(|found| found.bytes == 0);
                Err(if ruled_out { self.overtaken() } else { StoreError::Exists { store: words, key } })
            }
            other => other,
        }?;
        self.committed();
        Ok(stored)
    }

    fn overtaken(&self) -> StoreError {
        self.give_up("whoever took it over has ruled this run out");
        self.check().err().unwrap_or_else(|| StoreError::Lost { store: self.store().describe(), detail: self.group().to_string() })
    }
}
