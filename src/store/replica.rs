//! Replicas: a restore point that one store has committed is had in another too, with the same objects under the same keys.
//!
//! The objects first, each verified as it flows and read back; then the recipe; the manifest last, create-only and under the lease, so
//! that a copy that is killed leaves no restore point. It is the manifest of the run itself but for the names of the stores, the
//! fencing tokens, and the word where it came from: whatever reads restore points reads this one.
//!
//! Why no run is ruled out here, as [`rule_out`](super::lease::rule_out) does where runs store what nobody else has: whoever copies a
//! point writes the same bytes under the same keys, so it does not matter who does. A copier that was stopped for long and comes back has
//! either confirmed every object, and then its manifest is as good as ours, or it finds that its lease is lost. What must not happen is
//! that somebody deletes in between what such a manifest names. So settling a dead copy removes only writes that were never finished
//! ([`settle`](super::lease::settle)), a copy that fails takes back only what it put itself (a copier that has confirmed all objects left
//! none to put), and an empty object that rules the run out (it meant to store something here itself and died) is replaced only after
//! the notes by which others would remove its objects were taken over ([`Held::note_copy`]): the tag of an empty object is always the
//! same, so the replacement alone would fence nobody. One who comes back after retention has let the point go looks once more at the
//! objects, and takes its manifest back.
//!
//! This module does not decide which points are copied.

use jiff::Timestamp;

use super::carry::{Watch, put, read_back};
use super::catalog::{Named, named, of_artifact};
use super::commit::{MANIFEST_LIMIT, commit, commit_over, read_manifest};
use super::lease::Held;
use super::manifest::{Artifact, Copied, Manifest, manifest_key};
use super::{ObjectStore, PutOptions, Refusal, StoreError, Tag, kit};
use crate::ids::{RefName, RunId};
use crate::stream::StreamError;

/// From where to where, and by whom.
pub struct Copying<'a> {
    /// The store that keeps the point, by its name.
    pub from: (&'a RefName, &'a dyn ObjectStore),
    /// The store that gets it, by its name.
    pub to: (&'a RefName, &'a dyn ObjectStore),
    /// The lease of the store that gets it; `None` where the pipeline goes without.
    pub lease: Option<&'a Held>,
    /// Whether a manifest there that can not be used is replaced, or in the way.
    pub mend: bool,
    /// When it was looked what there is to copy.
    pub at: Timestamp,
    /// The run that copies.
    pub run: &'a RunId,
    /// Its host.
    pub host: &'a str,
}

/// What came of a copy.
#[derive(Debug, Clone)]
pub struct Replica {
    /// The manifest in the store that has it now.
    pub manifest: Manifest,
    /// Whether it was there before.
    pub already: bool,
    /// Its objects there.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were there before, with the right bytes.
    pub found: usize,
    /// What there is to say of the recovery kit.
    pub notes: Vec<String>,
}

/// What stands in a manifest's place.
enum Standing {
    Nothing,
    /// An empty object, which rules the run out; or, to be mended, a manifest that can not be used.
    Unusable(Tag),
    /// A manifest that says of this store what ours would.
    Same(Box<Manifest>),
}

impl Copying<'_> {
    /// Copies a point. What is there already with the right bytes is taken as it is.
    ///
    /// # Errors
    /// [`StoreError::Lies`] for an object that is not what was committed, on either side, and for another manifest in the way; the
    /// stores' own. Then there is no restore point here, and what was written of it is left for the next attempt, unless what is
    /// read is damaged: then it is taken back.
    pub fn copy(&self, original: &Manifest, watch: &Watch<'_>) -> Result<Replica, StoreError> {
        let manifest = self.manifest(original)?;
        let objects = named(&manifest, self.to.0);
        let mut replica = Replica {
            already: false,
            objects: objects.len(),
            bytes: objects.iter().map(|named| named.bytes).fold(0, u64::saturating_add),
            found: 0,
            notes: Vec::new(),
            manifest,
        };
        let over = match self.standing(&replica.manifest)? {
            Standing::Same(there) => return Ok(Replica { already: true, found: objects.len(), manifest: *there, ..replica }),
            Standing::Unusable(tag) => Some(tag),
            Standing::Nothing => None,
        };
        let Manifest { pipeline, run, .. } = &replica.manifest;
        if let Some(lease) = self.lease {
            let recipe = kit::recipe_key(pipeline, run);
            lease.note_copy(pipeline, run, &objects.iter().map(|named| named.key.clone()).chain([recipe]).collect::<Vec<_>>())?;
        }
        replica.found = self.objects(&replica.manifest, watch)?;
        self.recipe(&replica.manifest)?;
        if let Some(there) = self.publish(&replica.manifest, over.as_ref())? {
            (replica.already, replica.manifest) = (true, there);
        }
        if let Some(lease) = self.lease {
            lease.copy_is_settled(&original.pipeline, &original.run);
        }
        replica.notes = kit::add_kit(self.to.1, &original.pipeline);
        Ok(replica)
    }

    /// Reads a copy that is there back once more.
    ///
    /// # Errors
    /// [`StoreError::Lies`] for an object that is not what was committed, and the store's own.
    pub fn read_again(&self, manifest: &Manifest, watch: &Watch<'_>) -> Result<(), StoreError> {
        let (name, to) = self.to;
        named(manifest, name).iter().try_for_each(|object| read_back(to, object, watch).map_err(|error| in_words(to, object, error)))
    }

    /// The manifest of the copy.
    fn manifest(&self, original: &Manifest) -> Result<Manifest, StoreError> {
        let one = original.artifacts.iter().all(|artifact| artifact.store == original.artifacts[0].store);
        let here = |artifact: &Artifact| one || artifact.store == *self.from.0;
        if !original.artifacts.iter().any(here) {
            let (doing, detail) = (format!("copying {}", original.run), format!("its manifest names no object in `{}`", self.from.0));
            return Err(StoreError::Refused { store: self.from.1.describe(), doing, detail, kind: Refusal::Other });
        }
        let placed = original.artifacts.iter().map(|artifact| {
            let store = if here(artifact) { self.to.0 } else { &artifact.store };
            Artifact { store: store.clone(), ..artifact.clone() }
        });
        let copied = Copied { from: self.from.0.clone(), at: self.at, run: self.run.clone(), host: self.host.to_owned() };
        Ok(Manifest {
            artifacts: placed.collect(),
            fences: self.lease.iter().map(|lease| (self.to.0.clone(), lease.token())).collect(),
            copied: Some(copied),
            ..original.clone()
        })
    }

    /// What is where the manifest will be.
    fn standing(&self, wanted: &Manifest) -> Result<Standing, StoreError> {
        let (name, to) = self.to;
        let key = manifest_key(&wanted.pipeline, &wanted.run);
        let (bytes, tag) = match to.get_tagged(&key, MANIFEST_LIMIT) {
            Err(StoreError::Missing { .. }) => return Ok(Standing::Nothing),
            other => other?,
        };
        if bytes.is_empty() {
            return Ok(Standing::Unusable(tag));
        }
        let lies = |detail: String| StoreError::Lies { store: to.describe(), key: key.clone(), detail };
        let there = match read_manifest(&bytes) {
            Ok(there) => there,
            Err(_) if self.mend => return Ok(Standing::Unusable(tag)),
            Err(why) => return Err(lies(format!("a manifest is there already that can not be used: {why}"))),
        };
        let same = there.run == wanted.run && there.pipeline == wanted.pipeline && named(&there, name) == named(wanted, name);
        if same {
            Ok(Standing::Same(Box::new(there)))
        } else {
            Err(lies("another manifest of this run is there already, and names other objects".to_owned()))
        }
    }

    /// Sees to it that every object is there; answers how many were.
    fn objects(&self, manifest: &Manifest, watch: &Watch<'_>) -> Result<usize, StoreError> {
        let mut put: Vec<String> = Vec::new();
        let mut found = 0;
        for artifact in manifest.artifacts.iter().filter(|artifact| artifact.store == *self.to.0) {
            let options = options(manifest, artifact);
            for object in of_artifact(artifact) {
                // Whoever was overtaken while it stood still must not go on writing.
                self.lease.map_or(Ok(()), Held::confirm)?;
                match self.object(&object, &options, watch) {
                    Ok(true) => found += 1,
                    Ok(false) => put.push(object.key),
                    Err(error @ (StoreError::Lies { .. } | StoreError::Missing { .. })) => {
                        self.take_back(manifest, &put)?;
                        return Err(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// Sees to it that an object is there; answers whether it was.
    fn object(&self, object: &Named, options: &PutOptions, watch: &Watch<'_>) -> Result<bool, StoreError> {
        let ((_, from), (_, to)) = (self.from, self.to);
        let there = match to.head(&object.key)? {
            Some(found) if found.bytes != object.bytes => {
                let detail =
                    format!("an object of {} bytes is there already, where {} belong; it is left as it is", found.bytes, object.bytes);
                return Err(StoreError::Lies { store: to.describe(), key: object.key.clone(), detail });
            }
            Some(_) => true,
            None => match put((from, &object.key), (to, object), options, watch) {
                Ok(()) => false,
                // Somebody else who copies the same was faster.
                Err(StoreError::Exists { .. }) => true,
                Err(error) => return Err(in_words(from, object, error)),
            },
        };
        let read = read_back(to, object, watch);
        // What this copy put itself and comes back bad is no use to anybody. What others put is theirs.
        if !there && read.as_ref().is_err_and(is_corrupt) {
            self.lease.map_or(Ok(()), Held::confirm)?;
            to.delete(&object.key)?;
        }
        read.map_err(|error| in_words(to, object, error))?;
        Ok(there)
    }

    /// Removes what this copy put itself, since the rest can not be had.
    fn take_back(&self, manifest: &Manifest, put: &[String]) -> Result<(), StoreError> {
        // Whoever was overtaken leaves it: the next one may have taken it as it is.
        self.lease.map_or(Ok(()), Held::confirm)?;
        put.iter().try_for_each(|key| self.to.1.delete(key))?;
        if let Some(lease) = self.lease {
            lease.copy_is_settled(&manifest.pipeline, &manifest.run);
        }
        Ok(())
    }

    /// How to restore it without this program. A copy that was not finished may have left one with other names of stores.
    fn recipe(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let (name, to) = self.to;
        match kit::add_recipe(to, name, manifest) {
            Err(StoreError::Exists { key, .. }) => {
                self.lease.map_or(Ok(()), Held::confirm)?;
                to.delete(&key)?;
                kit::add_recipe(to, name, manifest).map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Writes the manifest; answers the one of somebody else who was faster.
    fn publish(&self, manifest: &Manifest, over: Option<&Tag>) -> Result<Option<Manifest>, StoreError> {
        let to = self.to.1;
        self.lease.map_or(Ok(()), Held::confirm)?;
        match over.map_or_else(|| commit(to, manifest).map(drop), |tag| commit_over(to, manifest, tag)) {
            Ok(()) => self.still_true(manifest).map(|()| None),
            Err(error @ (StoreError::Exists { .. } | StoreError::Changed { .. })) => match self.standing(manifest)? {
                Standing::Same(there) => Ok(Some(*there)),
                Standing::Nothing | Standing::Unusable(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Whoever lost its lease just before it wrote may have come back long after: if what the manifest names is gone, it goes too.
    fn still_true(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let Some(Err(lost @ StoreError::Lost { .. })) = self.lease.map(Held::confirm) else { return Ok(()) };
        for object in named(manifest, self.to.0) {
            if self.to.1.head(&object.key)?.is_none() {
                self.to.1.delete(&manifest_key(&manifest.pipeline, &manifest.run))?;
                return Err(lost);
            }
        }
        Ok(())
    }
}

/// How an object of an artifact is written: globals hold password hashes.
pub(super) fn options(manifest: &Manifest, artifact: &Artifact) -> PutOptions {
    let metadata = vec![("runner-run".to_owned(), manifest.run.to_string()), ("runner-pipeline".to_owned(), manifest.pipeline.to_string())];
    PutOptions { secret: artifact.origin.kind == "globals", metadata, ..PutOptions::default() }
}

fn is_corrupt(error: &StoreError) -> bool {
    matches!(error.cause(), StoreError::Stream(StreamError::Corrupt { .. }))
}

/// Bytes that are not what was committed are told with the store and the key that have them.
fn in_words(store: &dyn ObjectStore, object: &Named, error: StoreError) -> StoreError {
    if !is_corrupt(&error) {
        return error;
    }
    StoreError::Lies { store: store.describe(), key: object.key.clone(), detail: error.to_string() }
}
