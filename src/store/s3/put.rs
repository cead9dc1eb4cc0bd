//! Writing an object, and knowing whether it was written: whatever the server answers or fails to answer, it is asked again.
//! This module does not know how an upload in parts goes.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::head_object::builders::HeadObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use bytes::Bytes;

use super::attributes::{Attributes, NONCE};
use super::failure::Failure;
use super::parts::{Parts, Sent};
use super::{S3Store, connect, multipart};
use crate::store::{PutOptions, Refusal, StoreError, Stored, whole};
use crate::stream::{Cancel, Stream, StreamError};

/// One write on its way.
pub(super) struct Outgoing<'a> {
    pub(super) store: &'a S3Store,
    pub(super) key: &'a str,
    pub(super) full: String,
    pub(super) attributes: Attributes,
    pub(super) cancel: &'a Cancel,
    pub(super) sent: &'a dyn Fn(u64),
    nonce: String,
}

/// Why a request that makes an object did not answer with success.
pub(super) enum Trouble {
    Cancelled(StreamError),
    Failed(Failure),
}

/// What stands under the key.
enum Found {
    Nothing,
    Ours(Box<HeadObjectOutput>),
    Theirs,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(
        store: &'a S3Store,
        key: &'a str,
        options: &PutOptions,
        cancel: &'a Cancel,
        sent: &'a dyn Fn(u64),
    ) -> Result<Self, StoreError> {
        let nonce = whole::nonce(&store.spec.bucket)?;
        let attributes = Attributes::of(&store.spec, options, &nonce);
        Ok(Self { store, key, full: store.full(key)?, attributes, cancel, sent, nonce })
    }

    /// A write that is not locked and not preceded by a look, to try the server's own refusal.
    pub(super) fn trial(store: &S3Store, key: &str, options: &PutOptions, body: &[u8]) -> Result<(), StoreError> {
        let cancel = Cancel::new();
        let mut outgoing = Outgoing::new(store, key, options, &cancel, &|_| {})?;
        outgoing.attributes = outgoing.attributes.unlocked();
        outgoing.write(whole::stream_of(body), None).map(drop)
    }

    /// Writes the object: in one request if it fits one part, else in parts.
    pub(super) fn write(&self, body: Stream, estimate: Option<u64>) -> Result<Stored, StoreError> {
        let mut parts = Parts::of(body, estimate);
        let first = parts.next(self.cancel)?;
        if !first.last {
            return multipart::write(self, parts, first);
        }
        let sent = parts.finish();
        let stored = self.conclude(self.put_whole(first.bytes, &sent), &sent)?;
        (self.sent)(sent.bytes);
        Ok(stored)
    }

    fn put_whole(&self, bytes: Bytes, sent: &Sent) -> Result<(), Trouble> {
        let store = self.store;
        let mut request = store.client.put_object().bucket(&store.spec.bucket).key(&self.full).if_none_match("*");
        if store.checksummed() {
            request = request.checksum_crc64_nvme(crc_text(sent.crc));
        }
        let request = self.attributes.on_put(request).body(ByteStream::from(bytes));
        let request = request.customize().config_override(connect::patience(connect::time_for(sent.bytes)));
        match store.drive(self.cancel, request.send()) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Trouble::Failed(error.into())),
            Err(cancelled) => Err(Trouble::Cancelled(cancelled)),
        }
    }

    /// Turns the answer of the request that made the object into what is really so.
    pub(super) fn conclude(&self, answer: Result<(), Trouble>, sent: &Sent) -> Result<Stored, StoreError> {
        match answer {
            Ok(()) => self.confirm(sent),
            Err(Trouble::Cancelled(cancelled)) => Err(self.take_back(cancelled.into())),
            Err(Trouble::Failed(failure)) if failure.is_final() => Err(self.refused(&failure)),
            // A lost answer, or a refusal of our own second attempt: the object may be there, and ours.
            Err(Trouble::Failed(failure)) => match self.find() {
                Ok(Found::Ours(_)) => self.confirm(sent),
                Ok(Found::Theirs) => Err(self.store.exists(self.key)),
                Ok(Found::Nothing) => Err(self.refused(&failure)),
                Err(Trouble::Cancelled(cancelled)) => Err(self.take_back(cancelled.into())),
                Err(Trouble::Failed(_)) => Err(self.left(self.refused(&failure), "whether it was written is not known")),
            },
        }
    }

    fn refused(&self, failure: &Failure) -> StoreError {
        self.store.refused(format!("writing {}", self.key), failure)
    }

    pub(super) fn left(&self, cause: StoreError, what: &str) -> StoreError {
        StoreError::Left { cause: Box::new(cause), what: format!("{}: {what}", self.key) }
    }

    fn head(&self) -> HeadObjectFluentBuilder {
        let request = self.store.client.head_object().bucket(&self.store.spec.bucket).key(&self.full);
        if self.store.checksummed() { request.checksum_mode(ChecksumMode::Enabled) } else { request }
    }

    fn find(&self) -> Result<Found, Trouble> {
        match self.store.drive(self.cancel, self.head().send()) {
            Ok(answer) => self.found(answer.map_err(Failure::from)).map_err(Trouble::Failed),
            Err(cancelled) => Err(Trouble::Cancelled(cancelled)),
        }
    }

    /// The same when clearing up, where a cancel no longer counts but time does.
    fn find_at_last(&self) -> Result<Found, Failure> {
        let request = self.head().customize().config_override(connect::haste());
        self.found(self.store.handle.block_on(request.send()).map_err(Failure::from))
    }

    fn found(&self, answer: Result<HeadObjectOutput, Failure>) -> Result<Found, Failure> {
        match answer {
            Ok(head) if nonce_of(&head) == Some(self.nonce.as_str()) => Ok(Found::Ours(Box::new(head))),
            Ok(_) => Ok(Found::Theirs),
            Err(failure) if failure.is_missing() => Ok(Found::Nothing),
            Err(failure) => Err(failure),
        }
    }

    fn confirm(&self, sent: &Sent) -> Result<Stored, StoreError> {
        let fault = match self.find() {
            Ok(Found::Ours(head)) => match contradiction(&head, sent) {
                None => return Ok(self.stored(&head, sent)),
                Some(detail) => self.store.lies(self.key, detail),
            },
            Ok(Found::Theirs) => {
                self.store.lies(self.key, "another writer's object replaced it: this server does not keep create-only writes")
            }
            Ok(Found::Nothing) => self.store.lies(self.key, "the server said that it was written, and it is not there"),
            Err(Trouble::Failed(failure)) => self.store.refused(format!("confirming {}", self.key), &failure),
            Err(Trouble::Cancelled(cancelled)) => cancelled.into(),
        };
        Err(self.take_back(fault))
    }

    fn stored(&self, head: &HeadObjectOutput, sent: &Sent) -> Stored {
        let version = head.version_id().filter(|id| *id != "null").map(str::to_owned);
        Stored { key: self.key.to_owned(), bytes: sent.bytes, sha256: sent.sha256.clone(), version }
    }

    /// Deletes what this write may have made, if it is there and ours; answers the error with what could not be deleted.
    pub(super) fn take_back(&self, cause: StoreError) -> StoreError {
        let deleted = match self.find_at_last() {
            Ok(Found::Nothing | Found::Theirs) => Ok(()),
            Ok(Found::Ours(head)) => self.store.delete_version(self.key, head.version_id()),
            Err(failure) => Err(self.refused(&failure)),
        };
        match deleted {
            Ok(()) => cause,
            Err(error) => self.left(cause, &format!("it may still be there, since deleting it failed: {error}")),
        }
    }
}

impl S3Store {
    /// Deletes an object, or one version of it.
    pub(super) fn delete_version(&self, key: &str, version: Option<&str>) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(&self.spec.bucket).key(self.full(key)?);
        let request = request.set_version_id(version.map(str::to_owned)).customize().config_override(connect::haste());
        match self.handle.block_on(request.send()).map_err(Failure::from) {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_missing() => Ok(()),
            Err(failure) => Err(self.refused(format!("deleting {key}"), &failure)),
        }
    }
}

/// Deletes an object with each version that a trial can have written.
pub(super) fn delete_all(store: &S3Store, key: &str) -> Result<(), StoreError> {
    for _ in 0..4 {
        let request = store.client.head_object().bucket(&store.spec.bucket).key(store.full(key)?);
        match store.handle.block_on(request.send()).map_err(Failure::from) {
            Ok(head) => store.delete_version(key, head.version_id())?,
            Err(failure) if failure.is_missing() => return Ok(()),
            Err(failure) => return Err(store.refused(format!("deleting {key}"), &failure)),
        }
    }
    let detail = "it is there again each time it is deleted".to_owned();
    Err(StoreError::Refused { store: store.spec.bucket.clone(), doing: format!("deleting {key}"), detail, kind: Refusal::Other })
}

fn nonce_of(head: &HeadObjectOutput) -> Option<&str> {
    head.metadata().and_then(|metadata| metadata.get(NONCE)).map(String::as_str)
}

/// What the server says otherwise than was sent.
fn contradiction(head: &HeadObjectOutput, sent: &Sent) -> Option<String> {
    let bytes = head.content_length().and_then(|bytes| u64::try_from(bytes).ok());
    if bytes != Some(sent.bytes) {
        return Some(format!(
            "{} bytes were sent and the server has {}",
            sent.bytes,
            bytes.map_or("an unknown number".to_owned(), |b| b.to_string())
        ));
    }
    // A composite checksum (with `-` and a count behind it) is one of checksums, not of bytes.
    let whole = head.checksum_crc64_nvme().filter(|text| head.checksum_type() != Some(&ChecksumType::Composite) && !text.contains('-'));
    let (ours, theirs) = (crc_text(sent.crc), whole?);
    (theirs != ours).then(|| format!("the CRC-64/NVME of what was sent is {ours} and the server's is {theirs}"))
}

/// A CRC-64 as the headers have it: base64 of its eight bytes, the highest first.
pub(super) fn crc_text(crc: u64) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Sent {
        Sent { bytes: 9, sha256: String::new(), crc: crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, b"123456789") }
    }

    #[test]
    fn the_crc_has_the_form_of_the_header() {
        // The check value of CRC-64/NVME is ae8b14860a799888.
        assert_eq!(crc_text(sent().crc), "rosUhgp5mIg=");
    }

    #[test]
    fn a_size_or_checksum_that_differs_is_a_contradiction() {
        let head = |bytes, crc: &str| HeadObjectOutput::builder().content_length(bytes).checksum_crc64_nvme(crc).build();
        assert_eq!(contradiction(&head(9, "rosUhgp5mIg="), &sent()), None);
        assert_eq!(contradiction(&head(9, "AAAAAAAAAAA=-2"), &sent()), None, "composite");
        assert!(contradiction(&head(8, "rosUhgp5mIg="), &sent()).unwrap().contains("9 bytes were sent and the server has 8"));
        assert!(contradiction(&head(9, "AAAAAAAAAAA="), &sent()).unwrap().contains("CRC-64"));
        assert_eq!(contradiction(&HeadObjectOutput::builder().content_length(9).build(), &sent()), None, "no checksum kept");
    }
}
