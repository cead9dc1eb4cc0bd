//! Claims: which objects the manifests of a store name, of every pipeline that shares it. What a live manifest names is deleted by
//! nobody.
//!
//! A manifest that can not be understood may name anything, so it claims every key that its bytes hold. This module deletes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::commit::{MANIFEST_LIMIT, read_manifest};
use super::manifest::Manifest;
use super::{ObjectStore, StoreError, pool};
use crate::ids::RefName;

/// Which manifests name which objects.
#[derive(Debug, Default)]
pub struct Claims {
    /// The keys of manifests, by the key of the object that they name.
    owners: BTreeMap<String, BTreeSet<String>>,
    /// Manifests that can not be understood, by their keys.
    murky: BTreeMap<String, Vec<u8>>,
}

enum Read {
    Clear(Vec<String>),
    Murky(Vec<u8>),
    Gone,
}

impl Claims {
    /// Reads every manifest of a store.
    ///
    /// # Errors
    /// Whatever the store says: claims that are known in part protect nothing.
    pub fn read(store: &dyn ObjectStore) -> Result<Self, StoreError> {
        let listed = store.list(".runner/")?;
        // Also what was moved to a place where it counts for no restore point: it names objects all the same.
        let manifests = listed.into_iter().filter(|object| object.bytes > 0 && object.key.ends_with(".manifest.json"));
        let keys: Vec<String> = manifests.map(|object| object.key).collect();
        let read = pool::each(store.is_remote(), &keys, |key| one(store, key))?;
        let mut claims = Self::default();
        for (manifest, read) in keys.into_iter().zip(read) {
            match read {
                Read::Clear(named) => named.into_iter().for_each(|key| {
                    claims.owners.entry(key).or_default().insert(manifest.clone());
                }),
                Read::Murky(bytes) => {
                    claims.murky.insert(manifest, bytes);
                }
                Read::Gone => {}
            }
        }
        Ok(claims)
    }

    /// Forgets a manifest that was deleted.
    pub fn release(&mut self, manifest: &str) {
        self.murky.remove(manifest);
        self.owners.values_mut().for_each(|owners| {
            owners.remove(manifest);
        });
    }

    /// A manifest other than this one that names an object.
    pub fn claimant(&self, object: &str, but: &str) -> Option<&str> {
        let clear = self.owners.get(object).into_iter().flatten().map(String::as_str);
        let murky = self.murky.iter().filter(|(_, bytes)| holds(bytes, object)).map(|(manifest, _)| manifest.as_str());
        clear.chain(murky).find(|manifest| *manifest != but)
    }

    /// Every object that some manifest names.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        self.owners.iter().filter(|(_, owners)| !owners.is_empty()).map(|(key, _)| key.as_str())
    }
}

fn one(store: &dyn ObjectStore, key: &str) -> Result<Read, StoreError> {
    let bytes = match store.get_bytes(key, MANIFEST_LIMIT) {
        Err(StoreError::Missing { .. }) => return Ok(Read::Gone),
        other => other?,
    };
    Ok(read_manifest(&bytes).map_or_else(|_| Read::Murky(bytes), |manifest| Read::Clear(every(&manifest))))
}

/// The objects of a manifest in whatever store: which of its names is this store, nobody can tell.
fn every(manifest: &Manifest) -> Vec<String> {
    let stores: BTreeSet<&RefName> = manifest.artifacts.iter().map(|artifact| &artifact.store).collect();
    stores.into_iter().flat_map(|store| super::catalog::named(manifest, store)).map(|named| named.key).collect()
}

/// Whether a text is among bytes, as it is or as JSON writes it.
fn holds(bytes: &[u8], text: &str) -> bool {
    let escaped = serde_json::Value::from(text).to_string();
    let within = |text: &str| !text.is_empty() && bytes.windows(text.len()).any(|window| window == text.as_bytes());
    within(text) || within(escaped.trim_matches('"'))
}
