//! A bucket as a store: create-only writes in parts, each confirmed by asking the server again.
//!
//! The byte work runs on the calling thread; only requests run on the runtime the store was opened with.
//! This module does not keep credentials: the SDK's default chain finds them.

mod attributes;
mod conditional;
mod connect;
mod entire;
mod failure;
mod get;
mod list;
mod lock;
mod multipart;
mod parts;
mod put;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::SharedCredentialsProvider;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use self::failure::Failure;
use super::spec::{ChecksumMode, S3Spec};
use super::{Expect, ObjectMeta, ObjectStore, ProbeReport, PutOptions, StoreError, Stored, Tag, key, probe, whole};
use crate::stream::{Cancel, Stream, StreamError};

/// A store in a bucket. Clones are the same store.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    handle: Handle,
    spec: Arc<S3Spec>,
}

impl S3Store {
    /// A store in this bucket, with credentials from the SDK's default chain.
    ///
    /// # Errors
    /// [`StoreError::BadKey`] when the prefix can not begin a key.
    pub fn open(spec: &S3Spec, handle: &Handle) -> Result<Self, StoreError> {
        check_prefix(spec)?;
        let client = handle.block_on(connect::with_default_chain(spec));
        Ok(Self { client, handle: handle.clone(), spec: Arc::new(spec.clone()) })
    }

    /// The same with credentials from elsewhere; nothing is read from the environment or a profile.
    ///
    /// # Errors
    /// [`StoreError::BadKey`] when the prefix can not begin a key.
    pub fn open_with(spec: &S3Spec, credentials: SharedCredentialsProvider, handle: &Handle) -> Result<Self, StoreError> {
        check_prefix(spec)?;
        let client = connect::with_credentials(spec, credentials);
        Ok(Self { client, handle: handle.clone(), spec: Arc::new(spec.clone()) })
    }

    /// The key in the bucket.
    fn full(&self, key: &str) -> Result<String, StoreError> {
        key::check(key)?;
        let full = self.with_prefix(key);
        key::check(&full)?;
        Ok(full)
    }

    fn with_prefix(&self, key: &str) -> String {
        if self.spec.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.spec.prefix) }
    }

    /// The key without the store's prefix; `None` when it lies outside it.
    fn relative<'k>(&self, full: &'k str) -> Option<&'k str> {
        if self.spec.prefix.is_empty() { Some(full) } else { full.strip_prefix(&self.spec.prefix)?.strip_prefix('/') }
    }

    /// Whether requests carry checksums. Object lock demands them whatever the mode says
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html>).
    fn checksummed(&self) -> bool {
        self.spec.checksums == ChecksumMode::WhenSupported || self.spec.object_lock.is_some()
    }

    fn refused(&self, doing: impl Into<String>, failure: &Failure) -> StoreError {
        failure.refused(self.describe(), doing.into(), &self.spec.bucket)
    }

    fn missing(&self, key: &str) -> StoreError {
        StoreError::Missing { store: self.describe(), key: key.to_owned() }
    }

    fn exists(&self, key: &str) -> StoreError {
        StoreError::Exists { store: self.describe(), key: key.to_owned() }
    }

    fn changed(&self, key: &str) -> StoreError {
        StoreError::Changed { store: self.describe(), key: key.to_owned() }
    }

    fn lies(&self, key: &str, detail: impl Into<String>) -> StoreError {
        StoreError::Lies { store: self.describe(), key: key.to_owned(), detail: detail.into() }
    }

    fn look(&self, key: &str, cancel: &Cancel) -> Result<Option<ObjectMeta>, StoreError> {
        let request = self.client.head_object().bucket(&self.spec.bucket).key(self.full(key)?);
        match self.drive(cancel, request.send())?.map_err(Failure::from) {
            Ok(found) => Ok(Some(list::meta(key.to_owned(), found.content_length(), found.last_modified()))),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(self.refused(format!("looking at {key}"), &failure)),
        }
    }

    /// Runs a request on the runtime until it answers or the work is cancelled.
    fn drive<T>(&self, cancel: &Cancel, request: impl Future<Output = T>) -> Result<T, StreamError> {
        let asked = Arc::new(Notify::new());
        let ask = Arc::clone(&asked);
        let _kept = cancel.on_cancel(move || ask.notify_one());
        let answer = self.handle.block_on(async {
            tokio::select! {
                biased;
                () = asked.notified() => None,
                answer = request => Some(answer),
            }
        });
        match answer {
            Some(answer) => Ok(answer),
            None => Err(cancel.check().err().unwrap_or(StreamError::Vanished { stage: "request" })),
        }
    }
}

fn check_prefix(spec: &S3Spec) -> Result<(), StoreError> {
    if spec.prefix.is_empty() { Ok(()) } else { key::check(&spec.prefix) }
}

impl ObjectStore for S3Store {
    fn describe(&self) -> String {
        if self.spec.prefix.is_empty() {
            format!("s3://{}", self.spec.bucket)
        } else {
            format!("s3://{}/{}", self.spec.bucket, self.spec.prefix)
        }
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn put(&self, key: &str, body: Stream, options: &PutOptions, cancel: &Cancel, sent: &dyn Fn(u64)) -> Result<Stored, StoreError> {
        // Asked before the first byte, so that a taken key does not cost the upload of a whole dump.
        if self.look(key, cancel)?.is_some() {
            return Err(self.exists(key));
        }
        put::Outgoing::new(self, key, options, cancel, sent)?.write(body, options.estimate)
    }

    fn put_bytes(&self, key: &str, body: &[u8], options: &PutOptions) -> Result<Stored, StoreError> {
        self.put(key, whole::stream_of(body), options, &Cancel::new(), &|_| {})
    }

    fn get(&self, key: &str, cancel: &Cancel) -> Result<Stream, StoreError> {
        get::open(self, key, cancel)
    }

    fn get_bytes(&self, key: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        whole::read(self, key, limit)
    }

    fn get_tagged(&self, key: &str, limit: u64) -> Result<(Vec<u8>, Tag), StoreError> {
        conditional::get(self, key, limit)
    }

    fn put_if(&self, key: &str, body: &[u8], expect: &Expect<'_>) -> Result<Tag, StoreError> {
        conditional::put(self, key, body, expect, None)
    }

    fn replace(&self, key: &str, body: &[u8], tag: &Tag, options: &PutOptions) -> Result<Tag, StoreError> {
        conditional::put(self, key, body, &Expect::Matches(tag), Some(options))
    }

    fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.look(key, &Cancel::new())
    }

    fn locked_until(&self, key: &str) -> Result<Option<Timestamp>, StoreError> {
        lock::until(self, key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        list::objects(self, prefix)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        list::folders(self, prefix)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.delete_version(key, None)
    }

    fn sweep(&self, prefix: &str, older_than: Duration) -> Result<Vec<String>, StoreError> {
        list::sweep(self, prefix, older_than)
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn reach(&self) -> Result<(), StoreError> {
        // A listing, not HeadBucket: an answer to HEAD has no body, and so could not say what is wrong.
        let request = self.client.list_objects_v2().bucket(&self.spec.bucket).prefix(&self.spec.prefix).max_keys(1);
        match self.handle.block_on(request.send()).map_err(Failure::from) {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.refused("looking at the bucket", &failure)),
        }
    }

    fn probe(&self) -> Result<ProbeReport, StoreError> {
        probe::run(self, &|key, body, options| put::Outgoing::trial(self, key, options, body), &|key| put::delete_all(self, key))
    }
}
