//! What a `pg_dump` archive holds, read while it flows: the inventory, and a digest of every table's rows.
//!
//! [`fingerprint`] is a tap: bytes pass unchanged, and the [`Handle`] answers once the stream reached its verified end. An
//! archive that is cut, malformed or not what its own table of contents (TOC) promises makes the stream fail instead of
//! ending, so this is also the check that `pg_dump` wrote what it claims. Rows are digested where they lie in a chunk and
//! never copied; what is kept grows with the number of objects, not with their size. [`compare()`] tells by name how a
//! restored database differs. This module does not connect to servers, decompress or restore anything.

pub mod changes;
pub mod compare;
mod confined;
mod contents;
mod cursor;
mod custom;
pub mod difference;
pub mod digest;
mod header;
mod holders;
pub mod model;
mod objects;
mod places;
mod plain;
pub mod rows;
mod sql;
mod tarred;
mod toc;

use std::io::Write;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

pub use changes::{Changes, changes};
pub use compare::{Comparison, compare, of_database};
pub use confined::confined;
pub use cursor::words;
pub use custom::positions::{Correction, Positions, placing};
pub use difference::{Difference, Object};
pub use digest::ContentDigest;
pub use header::{Written, written};
pub use model::{Entry, Facts, Fingerprint, Gap, Holding, Incomparable, LargeObjects, REVISION, SequenceValue, Summary, TableDigest};
pub use places::given_up;
pub use rows::{Counted, Rows};

use crate::stream::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// The layer that archive damage is reported as.
const LAYER: &str = "archive";

/// The form of an archive, as `pg_dump --format` knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `pg_dump --format=custom --compress=0`.
    Custom,
    /// `pg_dump --format=plain`: a script for psql.
    Plain,
    /// `pg_dump --format=tar`.
    Tar,
    /// `pg_dump --format=directory --compress=0`, travelling as one tar (`stream::archive_tar`).
    Directory,
}

/// Where the fingerprint of a stream appears once that stream reached its verified end.
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<OnceLock<Arc<Fingerprint>>>);

impl Handle {
    /// The fingerprint, or `None` as long as the stream has not ended well.
    pub fn get(&self) -> Option<Arc<Fingerprint>> {
        self.0.get().cloned()
    }
}

/// Reads an archive as it is pushed through.
trait Reader: Send {
    /// Takes in the next bytes, cut anywhere.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), StreamError>;

    /// The archive ends here: what it held, or why this can not be its end.
    fn finish(self: Box<Self>) -> Result<Fingerprint, StreamError>;
}

struct Tap {
    input: Stream,
    reader: Option<Box<dyn Reader>>,
    handle: Handle,
}

/// Fingerprints the archive that passes here.
///
/// The stream fails with [`StreamError::Corrupt`] of the layer `archive` where the archive does not read as one of this
/// form, at the latest where it would have ended.
pub fn fingerprint(input: Stream, form: Form) -> (Stream, Handle) {
    let reader: Box<dyn Reader> = match form {
        Form::Custom => Box::new(custom::Custom::default()),
        Form::Plain => Box::new(plain::Plain::default()),
        Form::Tar | Form::Directory => Box::new(tarred::Tarred::new(form)),
    };
    let handle = Handle::default();
    (fused(Tap { input, reader: Some(reader), handle: handle.clone() }), handle)
}

impl Pull for Tap {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let vanished = || StreamError::Vanished { stage: "fingerprint" };
        let chunk = self.input.pull()?;
        if let Some(chunk) = &chunk {
            self.reader.as_mut().ok_or_else(vanished)?.feed(chunk)?;
        } else {
            let found = self.reader.take().ok_or_else(vanished)?.finish()?;
            self.handle.0.set(Arc::new(found)).map_err(|_| vanished())?;
        }
        Ok(chunk)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

/// Passes a script on unchanged, and writes everything of it but data elsewhere, in its order: what it defines, and its settings.
///
/// Of a script that is none of `pg_dump`'s, as much is written as reads as one.
pub fn setting_aside(script: Stream, aside: Box<dyn Write + Send>) -> Stream {
    fused(Aside { script, reader: Some(Box::new(plain::Plain::setting_aside(aside))) })
}

struct Aside {
    script: Stream,
    reader: Option<Box<plain::Plain>>,
}

impl Pull for Aside {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let chunk = self.script.pull()?;
        self.reader = match (self.reader.take(), &chunk) {
            (Some(mut reader), Some(chunk)) => match reader.feed(chunk) {
                Ok(()) => Some(reader),
                // A full disk must not pass for a script that ends here.
                Err(error @ StreamError::Io { .. }) => return Err(error),
                Err(_) => None,
            },
            (Some(reader), None) => {
                reader.flush()?;
                None
            }
            (None, _) => None,
        };
        Ok(chunk)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.script.stopper()
    }
}

/// The archive is not what it should be.
fn damaged(detail: impl std::fmt::Display) -> StreamError {
    StreamError::corrupt(LAYER, detail)
}
