//! Whose fault a failure on the way back from a store is: the object's, the key's, or neither's.
//!
//! A flipped bit can look like a wrong key to whoever decrypts, and the remedies are opposite. So before a layer inside is believed, the
//! object is read once more, to its end, and held against the digest that was recorded when it was stored. Nothing is undone here.

use super::StepError;
use crate::diagnostic::Class;
use crate::store::manifest::Applied;
use crate::store::{ObjectStore, Stored};
use crate::stream::digest::{Algorithm, Digest, verified};
use crate::stream::{Cancel, Chunk, Pull, Stopper, Stream, StreamError, fused};

/// What an object that is damaged is told as, behind its place.
const CHANGED: &str = "is not what was stored";

/// What to do about a damaged object.
const ELSEWHERE: &str = "try an older restore point (--at), another store that keeps this one (--store), or have the object again from such a \
                         store: `runner catalog heal`";

/// Where bytes come from, and what was done to them.
pub(super) struct Fetched<'a> {
    pub(super) object: &'a Stored,
    pub(super) stages: &'a [Applied],
    pub(super) store: &'a dyn ObjectStore,
    pub(super) cancel: &'a Cancel,
}

/// An object in messages: `/backups: orders/1.dump`.
pub(super) fn place(object: &Stored, store: &dyn ObjectStore) -> String {
    format!("{}: {}", store.describe(), object.key)
}

/// The bytes of an object, which end only if they are those that were stored.
pub(super) fn as_stored(object: &Stored, stream: Stream, store: &dyn ObjectStore) -> Stream {
    let expected = Digest { algorithm: Algorithm::Sha256, hex: object.sha256.clone(), bytes: object.bytes };
    named(verified(stream, expected), format!("{} {CHANGED}", place(object, store)))
}

/// A stream that tells damage, and keys that do not fit, with this name.
pub(super) fn named(input: Stream, name: String) -> Stream {
    fused(Named { input, name })
}

struct Named {
    input: Stream,
    name: String,
}

impl Named {
    /// A layer before this one has named itself already.
    fn layer(&self, layer: String) -> String {
        if layer.starts_with(&self.name) { layer } else { format!("{}: {layer}", self.name) }
    }
}

impl Pull for Named {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.input.pull().map_err(|error| match error {
            StreamError::Corrupt { layer, detail } => StreamError::Corrupt { layer: self.layer(layer), detail },
            StreamError::Key { layer, detail } => StreamError::Key { layer: self.layer(layer), detail },
            other => other,
        })
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

impl Fetched<'_> {
    /// The failure, told as what it is. `read` says that the whole object was read already and is what was stored.
    pub(super) fn blamed(&self, error: StepError, read: bool) -> StepError {
        if !matches!(error.class, Class::Verification | Class::Key) {
            return error;
        }
        let place = place(self.object, self.store);
        let changed = format!("{place} {CHANGED}");
        if error.message.contains(&changed) {
            return error.hint(ELSEWHERE);
        }
        let on_the_way = error.message.contains(&place);
        if !read
            && (on_the_way || error.class == Class::Verification)
            && let Some(why) = self.change()
        {
            return StepError::new(Class::Verification, format!("{changed}: {why}")).hint(ELSEWHERE);
        }
        match error.class {
            Class::Key => error.hint(self.keys()),
            _ if on_the_way && error.hint.is_none() => error.hint(ELSEWHERE),
            _ => error,
        }
    }

    /// How what the store gives differs from what was stored; `None` when it does not, or can not be had, which tells itself.
    fn change(&self) -> Option<String> {
        let expected = Digest { algorithm: Algorithm::Sha256, hex: self.object.sha256.clone(), bytes: self.object.bytes };
        let mut stream = verified(self.store.get(&self.object.key, self.cancel).ok()?, expected);
        loop {
            match stream.pull() {
                Ok(Some(_)) => {}
                Err(error @ StreamError::Corrupt { .. }) => return Some(error.to_string()),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Which keys would do.
    fn keys(&self) -> String {
        let of = |stage: &Applied| if let Applied::Encrypt { recipients, .. } = stage { recipients.clone() } else { Vec::new() };
        let recipients: Vec<String> = self.stages.iter().flat_map(of).collect();
        if recipients.is_empty() {
            return "it was encrypted with a passphrase: lend that one, as `passphrase` (--passphrase-file FILE)".to_owned();
        }
        format!("lend the private key of {}, as `identity` (--identity FILE)", recipients.join(" or of "))
    }
}
