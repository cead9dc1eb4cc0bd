//! Places that keep objects: a local folder or an S3 bucket, behind one trait.
//!
//! The contract that every store keeps, and that one conformance suite checks on real servers: an object appears under
//! its key whole or not at all; `put` never overwrites; what `put` answers was confirmed by asking the store again;
//! a failed or dropped `put` leaves nothing under the key and no unfinished upload behind. All keys here are relative to the
//! store's prefix, use `/` and are UTF-8. This module does not know plans, does not print, and does not choose keys for artifacts.

pub mod carry;
pub mod catalog;
pub mod check;
pub mod claims;
pub mod commit;
pub mod ended;
pub mod failed;
pub mod heal;
pub mod key;
pub mod kit;
pub mod lease;
pub mod local;
pub mod locked;
pub mod lost;
pub mod manifest;
pub mod mark;
pub mod missed;
mod order;
pub mod owed;
mod pool;
mod probe;
pub mod recall;
pub mod recent;
pub mod remains;
pub mod removal;
pub mod replica;
pub mod s3;
pub mod sealed;
pub mod spec;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stream::{Cancel, Stream, StreamError};

pub use spec::StoreSpec;

/// Opens a store. Writes nothing and asks nothing of it yet: [`ObjectStore::reach`] does.
///
/// `handle` is the runtime on which an S3 store drives its requests; it must have worker threads of its own, and no
/// call on the store may come from one of them.
///
/// # Errors
/// [`StoreError::Refused`] when an option can not be used, such as a mode that is not octal.
pub fn open(spec: &StoreSpec, handle: &tokio::runtime::Handle) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Ok(match spec {
        StoreSpec::Local(spec) => Arc::new(local::LocalStore::open(spec)?),
        StoreSpec::S3(spec) => Arc::new(s3::S3Store::open(spec, handle)?),
    })
}

/// What the writer knows about an object before it is written.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// The expected size in bytes, to choose a part size; a guess is good enough and may be wrong.
    pub estimate: Option<u64>,
    /// Secret material: a local store writes it with mode 0600 whatever its configured modes are.
    pub secret: bool,
    /// Content type, `application/octet-stream` unless given.
    pub content_type: Option<String>,
    /// Stored as object metadata where the store has any (ASCII keys; values are percent-encoded when not ASCII).
    pub metadata: Vec<(String, String)>,
}

/// An object as the store confirmed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The key, relative to the store's prefix.
    pub key: String,
    /// The size in bytes as the store says, equal to the bytes sent.
    pub bytes: u64,
    /// SHA-256 of the bytes sent, in lower-case hex.
    pub sha256: String,
    /// The store's version id, if it keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// An object as a listing or a question about it shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMeta {
    /// The key, relative to the store's prefix.
    pub key: String,
    /// The size in bytes.
    pub bytes: u64,
    /// When it was last written, in whole seconds.
    pub modified: jiff::Timestamp,
}

/// Which content an object had: an S3 store's `ETag`, a local store's SHA-256 of the bytes. Two writes of different bytes differ in it;
/// what is written with it as the condition must therefore never repeat bytes that stood there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(pub(crate) String);

/// What must stand under a key for a conditional write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect<'t> {
    /// Nothing.
    Absent,
    /// An object with this tag.
    Matches(&'t Tag),
}

/// What `plan --probe` and `doctor` found out by really writing, reading and deleting a small object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Whether a second create-only write of one key was refused, as it must be.
    pub create_only: bool,
    /// How long write, read and delete took together.
    pub took: Duration,
}

/// A place that keeps objects. Calls block; an S3 store drives its own requests on the runtime it was opened with.
pub trait ObjectStore: Send + Sync {
    /// Words for messages: `s3://bucket/prefix` or `/backups`. Never a secret.
    fn describe(&self) -> String;

    /// Whether bytes leave this machine, so that plaintext deserves a warning.
    fn is_remote(&self) -> bool;

    /// Writes a new object from a stream, publishing it only after the stream's verified end.
    /// `sent` is called with each number of bytes the store has accepted.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the key is taken (nothing is changed), the stream's own error when it fails, and whatever the store says.
    fn put(&self, key: &str, body: Stream, options: &PutOptions, cancel: &Cancel, sent: &dyn Fn(u64)) -> Result<Stored, StoreError>;

    /// Writes a small new object at once, create-only.
    fn put_bytes(&self, key: &str, body: &[u8], options: &PutOptions) -> Result<Stored, StoreError>;

    /// Opens an object for reading from its start. The stream fails if the store ends it before the object's size.
    fn get(&self, key: &str, cancel: &Cancel) -> Result<Stream, StoreError>;

    /// Reads a small object; refuses one larger than `limit` bytes.
    fn get_bytes(&self, key: &str, limit: u64) -> Result<Vec<u8>, StoreError>;

    /// Reads a small object with the tag of the very bytes answered; refuses one larger than `limit` bytes.
    fn get_tagged(&self, key: &str, limit: u64) -> Result<(Vec<u8>, Tag), StoreError>;

    /// Writes a small object if the key still holds what is expected, as one step: of many writers with one expectation, one succeeds.
    /// Made for leases, so it carries no object lock and no storage class, and its time is short.
    ///
    /// # Errors
    /// [`StoreError::Exists`] or [`StoreError::Changed`] when the expectation does not hold (nothing is changed), and whatever the store
    /// says; then whether it was written is not known.
    fn put_if(&self, key: &str, body: &[u8], expect: &Expect<'_>) -> Result<Tag, StoreError>;

    /// Replaces a small object that still has this tag by one that stays: with all that a new object gets, the lock and the class included.
    ///
    /// # Errors
    /// As [`ObjectStore::put_if`].
    fn replace(&self, key: &str, body: &[u8], tag: &Tag, options: &PutOptions) -> Result<Tag, StoreError>;

    /// What the store says of an object; `None` when it is not there.
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError>;

    /// Until when the store itself keeps an object, whoever deletes it ([`jiff::Timestamp::MAX`]: without an end). `None` for one that is not
    /// locked or not there, and where the store has no locks or does not tell of them.
    fn locked_until(&self, _key: &str) -> Result<Option<jiff::Timestamp>, StoreError> {
        Ok(None)
    }

    /// All objects whose key begins with this text, sorted by key. Unfinished uploads and temp files are not among them.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError>;

    /// The names of the folders right below a prefix that is empty or ends in a slash, sorted; folders in which nothing lies may be among
    /// them. A store that can not tell them apart lists everything below.
    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let below = |object: ObjectMeta| Some(object.key.strip_prefix(prefix)?.split_once('/')?.0.to_owned());
        let names: std::collections::BTreeSet<String> = self.list(prefix)?.into_iter().filter_map(below).collect();
        Ok(names.into_iter().collect())
    }

    /// Removes an object. Removing what is not there succeeds.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Removes what killed writers left behind under this prefix: temp files or multipart uploads begun longer than `older_than` ago;
    /// with no time at all, every one, whatever the clocks say. Answers what was removed.
    fn sweep(&self, prefix: &str, older_than: Duration) -> Result<Vec<String>, StoreError>;

    /// Bytes that can still be written, where the store knows.
    fn free_bytes(&self) -> Result<Option<u64>, StoreError>;

    /// Asks the cheapest question that shows the store is there and lets us in; writes nothing.
    fn reach(&self) -> Result<(), StoreError>;

    /// Writes, reads back, overwrites (which must be refused) and deletes a small object under a fresh key.
    fn probe(&self) -> Result<ProbeReport, StoreError>;
}

/// Why a store did not do what was asked. Names the store and the key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The key is taken; existing objects are never overwritten.
    #[error("{store}: {key} exists already and is never overwritten")]
    Exists {
        /// The store's words.
        store: String,
        /// The key.
        key: String,
    },
    /// Another writer replaced or removed the object since it was read.
    #[error("{store}: {key} is no longer what it was: another writer changed it")]
    Changed {
        /// The store's words.
        store: String,
        /// The key.
        key: String,
    },
    /// The lease under which this run writes is not its own any more.
    #[error("{store}: the lease is lost: {detail}")]
    Lost {
        /// The store's words.
        store: String,
        /// Who has it now, or why that is not known.
        detail: String,
    },
    /// The object is not there.
    #[error("{store}: {key} is not there")]
    Missing {
        /// The store's words.
        store: String,
        /// The key.
        key: String,
    },
    /// A key that can not be used (empty parts, `..`, a leading `/`, control characters, too long).
    #[error("{key:?} can not be an object key: {why}")]
    BadKey {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The stream that was to be stored failed.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The store refused or failed.
    #[error("{store}: {doing}: {detail}")]
    Refused {
        /// The store's words.
        store: String,
        /// Operation and key.
        doing: String,
        /// What it said.
        detail: String,
        /// What kind of refusal it is.
        kind: Refusal,
    },
    /// The store's answer contradicts what was sent: a size or a checksum differs.
    #[error("{store}: {key}: {detail}")]
    Lies {
        /// The store's words.
        store: String,
        /// The key.
        key: String,
        /// Sent and answered values.
        detail: String,
    },
    /// A write failed, and what it had begun could not be cleared away.
    #[error("{cause}; left behind: {what}")]
    Left {
        /// Why the write failed.
        cause: Box<StoreError>,
        /// What is still there, why, and how it goes away.
        what: String,
    },
}

/// What kind of refusal a store's failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Credentials are missing or wrong, or lack a right.
    Denied,
    /// The store can not be reached, or the bucket or folder does not exist.
    Unreachable,
    /// No connection came about: the server is down, or the way to it. It may come back.
    Down,
    /// Throttling, 5xx, a reset connection: trying again may help.
    Transient,
    /// No room left.
    Full,
    /// Anything else.
    Other,
}

impl StoreError {
    /// Whether trying again may help.
    pub fn transient(&self) -> bool {
        match self {
            Self::Refused { kind, .. } => matches!(kind, Refusal::Transient | Refusal::Down),
            Self::Stream(error) => error.transient(),
            Self::Left { cause, .. } => cause.transient(),
            _ => false,
        }
    }

    /// The failure itself, without what it left behind.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Left { cause, .. } => cause.cause(),
            other => other,
        }
    }
}
