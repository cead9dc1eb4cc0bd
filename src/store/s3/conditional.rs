//! Replacing a small object only if it is still what it was: `If-None-Match` and `If-Match` on `PutObject`
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>).
//!
//! Time is short here: a lease that is not renewed soon is lost. This module does not know what the objects mean, and can not tell a
//! server that keeps the conditions from one that ignores them: whoever relies on them tries it out.

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;

use super::attributes::Attributes;
use super::failure::Failure;
use super::put::crc_text;
use super::{S3Store, connect};
use crate::store::{Expect, PutOptions, Refusal, StoreError, Tag, whole};

/// Reads a small object and the `ETag` of the answer that carried its bytes.
pub(super) fn get(store: &S3Store, key: &str, limit: u64) -> Result<(Vec<u8>, Tag), StoreError> {
    let request = store.client.get_object().bucket(&store.spec.bucket).key(store.full(key)?);
    let request = request.customize().config_override(connect::haste());
    let read = store.handle.block_on(async {
        let mut answer = request.send().await.map_err(Failure::from)?;
        let bytes = body(&mut answer, limit).await;
        Ok::<_, Failure>((bytes, answer.e_tag))
    });
    let gone = |failure: Failure| if failure.is_missing() { store.missing(key) } else { store.refused(format!("reading {key}"), &failure) };
    let (bytes, tag) = read.map_err(gone)?;
    let bytes = bytes.map_err(|(detail, kind)| refused(store, key, detail, kind))?;
    let tag = tag.ok_or_else(|| store.lies(key, "the server answers without an ETag"))?;
    Ok((bytes, Tag(tag)))
}

async fn body(answer: &mut GetObjectOutput, limit: u64) -> Result<Vec<u8>, (String, Refusal)> {
    let mut bytes = Vec::new();
    while let Some(frame) = answer.body.next().await {
        let frame = frame.map_err(|error| (format!("its body broke off: {error}"), Refusal::Transient))?;
        if (bytes.len() + frame.len()) as u64 > limit {
            return Err((format!("it is larger than the {limit} bytes that such an object may have"), Refusal::Other));
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}

fn refused(store: &S3Store, key: &str, detail: String, kind: Refusal) -> StoreError {
    use crate::store::ObjectStore as _;
    StoreError::Refused { store: store.describe(), doing: format!("reading {key}"), detail, kind }
}

/// Writes a small object under a condition, and finds out what is so when the answer leaves that open. With `options` it is one that
/// stays, else one that is replaced soon.
pub(super) fn put(store: &S3Store, key: &str, body: &[u8], expect: &Expect<'_>, options: Option<&PutOptions>) -> Result<Tag, StoreError> {
    let failure = match send(store, key, body, expect, options)? {
        Ok(Some(tag)) => return Ok(Tag(tag)),
        Ok(None) => return Err(store.lies(key, "the server wrote it and answers without an ETag")),
        Err(failure) if failure.is_final() => return Err(store.refused(format!("writing {key}"), &failure)),
        Err(failure) => failure,
    };
    // The SDK tries again by itself, so a refusal may be that of our own second attempt.
    match (get(store, key, body.len() as u64 + SLACK), expect) {
        (Ok((there, tag)), _) if there == body => Ok(tag),
        (Ok((_, tag)), Expect::Matches(expected)) if tag == **expected => Err(store.refused(format!("writing {key}"), &failure)),
        (Err(StoreError::Missing { .. }), Expect::Absent) => Err(store.refused(format!("writing {key}"), &failure)),
        (Ok(_), Expect::Absent) => Err(store.exists(key)),
        (Ok(_) | Err(StoreError::Missing { .. }), Expect::Matches(_)) => Err(store.changed(key)),
        (Err(_), _) if failure.is_taken() => Err(if *expect == Expect::Absent { store.exists(key) } else { store.changed(key) }),
        (Err(_), _) => Err(store.refused(format!("writing {key}"), &failure)),
    }
}

/// How much larger than ours what is found may be and still be read: only to compare it.
const SLACK: u64 = 1 << 20;

type Sent = Result<Option<String>, Failure>;

fn send(store: &S3Store, key: &str, body: &[u8], expect: &Expect<'_>, options: Option<&PutOptions>) -> Result<Sent, StoreError> {
    let nonce = whole::nonce(&store.spec.bucket)?;
    let soon = PutOptions { content_type: Some("application/json".to_owned()), ..PutOptions::default() };
    let attributes = options
        .map_or_else(|| Attributes::of(&store.spec, &soon, &nonce).mutable(), |options| Attributes::of(&store.spec, options, &nonce));
    let mut request = store.client.put_object().bucket(&store.spec.bucket).key(store.full(key)?);
    request = match expect {
        Expect::Absent => request.if_none_match("*"),
        Expect::Matches(tag) => request.if_match(&tag.0),
    };
    if store.checksummed() {
        request = request.checksum_crc64_nvme(crc_text(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, body)));
    }
    let request = attributes.on_put(request).body(ByteStream::from(body.to_vec())).customize().config_override(connect::haste());
    Ok(store.handle.block_on(request.send()).map(|answer| answer.e_tag).map_err(Failure::from))
}
