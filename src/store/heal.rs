//! Healing: an object that is missing or damaged in one store is had again from another store that keeps a good one.
//!
//! The good copy is read to its verified end, into the store that is healed, under a key of its own; only then is the damaged object
//! deleted and the copy put in its place. Whoever is killed in between has lost nothing: the copy, and the store it came from, are
//! there. It goes on under the lease, so that nobody prunes the point meanwhile; where there is none, what turns out to be pruned goes
//! again. This module does not look for damage.

use std::time::Duration;

use super::carry::{Watch, carry};
use super::catalog::{self, Named, of_artifact};
use super::check::Flaw;
use super::claims::Claims;
use super::lease::Held;
use super::manifest::manifest_key;
use super::{ObjectStore, PutOptions, StoreError, replica, whole};
use crate::ids::{PipelineName, RunId};

/// Where copies lie until they take the place of what is damaged.
pub fn aside(pipeline: &PipelineName) -> String {
    format!(".runner/{pipeline}/healing/")
}

/// What can be done about a flaw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// The other store keeps a good one.
    Copy(Cure),
    /// It can not be healed, for this reason.
    None(Flaw, String),
}

/// An object to be had again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cure {
    /// The restore point it belongs to.
    pub run: RunId,
    /// What it must be.
    pub named: Named,
    /// Whether a damaged one is in its place, which is deleted.
    pub damaged: bool,
}

/// Looks whether another store keeps what a flaw lacks, by its size; its bytes are checked when they are copied.
///
/// # Errors
/// Whatever that store says.
pub fn remedy(from: &dyn ObjectStore, flaw: Flaw) -> Result<Remedy, StoreError> {
    let Some(named) = flaw.named.clone() else {
        return Ok(Remedy::None(
            flaw,
            format!("nothing says what it was, and {} keeps no point of this run that is whole", from.describe()),
        ));
    };
    Ok(match from.head(&named.key)? {
        None => Remedy::None(flaw, format!("{} does not keep it", from.describe())),
        Some(found) if found.bytes != named.bytes => {
            Remedy::None(flaw, format!("{} keeps one of {} bytes, {} were committed", from.describe(), found.bytes, named.bytes))
        }
        Some(_) => Remedy::Copy(Cure { run: flaw.run, named, damaged: flaw.damage != super::check::Damage::Missing }),
    })
}

/// From where to where, and under what.
#[derive(Clone, Copy)]
pub struct Healing<'a> {
    /// The store that keeps good objects.
    pub from: &'a dyn ObjectStore,
    /// The store that is healed.
    pub to: &'a dyn ObjectStore,
    /// Whose restore points.
    pub pipeline: &'a PipelineName,
    /// The lease of the store that is healed; `None` where the pipeline goes without.
    pub lease: Option<&'a Held>,
    /// Who watches, and may stop it.
    pub watch: Watch<'a>,
}

impl Healing<'_> {
    /// Heals one object.
    ///
    /// # Errors
    /// The stores' own, [`StoreError::Missing`] when the restore point itself is gone by now, and [`StoreError::Stream`] when the other
    /// store's object is damaged too: then nothing was deleted.
    pub fn heal(&self, cure: &Cure) -> Result<(), StoreError> {
        let options = self.options(cure)?;
        self.confirm()?;
        if cure.damaged {
            self.replace(cure, &options)?;
        } else {
            carry((self.from, &cure.named.key), (self.to, &cure.named), &options, &self.watch)?;
        }
        self.still_wanted(cure)
    }

    /// Removes what healings before this one left aside when they were killed. Nobody else heals under this lease; without one it stays.
    /// Answers what was removed.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn sweep(&self) -> Result<Vec<String>, StoreError> {
        if self.lease.is_none() {
            return Ok(Vec::new());
        }
        self.confirm()?;
        let mut swept = self.to.sweep(&aside(self.pipeline), Duration::ZERO)?;
        for object in self.to.list(&aside(self.pipeline))? {
            self.to.delete(&object.key)?;
            swept.push(object.key);
        }
        Ok(swept)
    }

    /// Whoever was overtaken while it stood still must not go on writing, nor deleting.
    fn confirm(&self) -> Result<(), StoreError> {
        self.lease.map_or(Ok(()), Held::confirm)
    }

    /// As the object was written at first: password hashes stay as secret as they were.
    fn options(&self, cure: &Cure) -> Result<PutOptions, StoreError> {
        let lies = |detail| StoreError::Lies { store: self.to.describe(), key: manifest_key(self.pipeline, &cure.run), detail };
        let manifest = catalog::manifest(self.to, self.pipeline, &cure.run)?.map_err(lies)?;
        let names = |artifact: &&_| of_artifact(artifact).iter().any(|named| named.key == cure.named.key);
        Ok(manifest.artifacts.iter().find(names).map(|artifact| replica::options(&manifest, artifact)).unwrap_or_default())
    }

    fn replace(&self, cure: &Cure, options: &PutOptions) -> Result<(), StoreError> {
        let (to, watch) = (self.to, &self.watch);
        let Named { key, bytes, sha256 } = &cure.named;
        let place = format!("{}{}-{}", aside(self.pipeline), cure.run, whole::nonce(&to.describe())?);
        let copy = Named { key: place.clone(), bytes: *bytes, sha256: sha256.clone() };
        let healed = carry((self.from, key), (to, &copy), options, watch)
            .and_then(|()| self.confirm())
            .and_then(|()| to.delete(key))
            .and_then(|()| carry((to, &place), (to, &cure.named), options, watch));
        // The copy goes only when it is not the only good one here.
        let cleared = match &healed {
            Ok(()) => to.delete(&place),
            Err(_) if to.head(key).is_ok_and(|found| found.is_some()) => to.delete(&place),
            Err(_) => Ok(()),
        };
        healed.and(cleared)
    }

    /// If the point was pruned meanwhile, nobody would ever remove what was healed of it.
    fn still_wanted(&self, cure: &Cure) -> Result<(), StoreError> {
        let manifest = manifest_key(self.pipeline, &cure.run);
        if self.to.head(&manifest)?.is_some_and(|found| found.bytes > 0) {
            return Ok(());
        }
        if Claims::read(self.to)?.claimant(&cure.named.key, "").is_none() {
            self.to.delete(&cure.named.key)?;
        }
        Err(StoreError::Missing { store: self.to.describe(), key: manifest })
    }
}
