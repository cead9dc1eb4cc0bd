//! Healing: an object that is missing or damaged in one store is had again from another store that keeps a good one.
//!
//! The good copy is read to its verified end, into the store that is healed, under a key of its own; only then is the damaged object
//! deleted and the copy put in its place. Whoever is killed in between has lost nothing: the copy, and the store it came from, are
//! there. This module does not look for damage.

use super::carry::{Watch, carry};
use super::catalog::Named;
use super::check::Flaw;
use super::{ObjectStore, PutOptions, StoreError, whole};
use crate::ids::{PipelineName, RunId};
use crate::stream::Cancel;

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
        return Ok(Remedy::None(flaw, "nothing says what it was; a manifest is had back only by hand".to_owned()));
    };
    Ok(match from.head(&named.key)? {
        None => Remedy::None(flaw, format!("{} does not keep it", from.describe())),
        Some(found) if found.bytes != named.bytes => {
            Remedy::None(flaw, format!("{} keeps one of {} bytes, {} were committed", from.describe(), found.bytes, named.bytes))
        }
        Some(_) => Remedy::Copy(Cure { run: flaw.run, named, damaged: flaw.damage != super::check::Damage::Missing }),
    })
}

/// Heals one object.
///
/// # Errors
/// The stores' own, and [`StoreError::Stream`] when the other store's object is damaged too: then nothing was deleted.
pub fn heal(from: &dyn ObjectStore, to: &dyn ObjectStore, pipeline: &PipelineName, cure: &Cure) -> Result<(), StoreError> {
    let (cancel, options) = (Cancel::new(), PutOptions::default());
    let watch = Watch::unwatched(&cancel);
    let Named { key, bytes, sha256 } = &cure.named;
    if !cure.damaged {
        return carry((from, key), (to, &cure.named), &options, &watch);
    }
    // Another attempt may have been killed here; its copy is left alone and swept by hand, for it may still be written.
    let aside = format!("{}{}-{}", aside(pipeline), cure.run, whole::nonce(&to.describe())?);
    let copy = Named { key: aside.clone(), bytes: *bytes, sha256: sha256.clone() };
    let healed = carry((from, key), (to, &copy), &options, &watch)
        .and_then(|()| to.delete(key))
        .and_then(|()| carry((to, &aside), (to, &cure.named), &options, &watch));
    // The copy goes only when it is not the only good one here.
    let cleared = match &healed {
        Ok(()) => to.delete(&aside),
        Err(_) if to.head(key).is_ok_and(|found| found.is_some()) => to.delete(&aside),
        Err(_) => Ok(()),
    };
    healed.and(cleared)
}
