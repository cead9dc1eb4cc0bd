//! Listing objects and unfinished uploads, page by page. This module does not decide what is old: its caller says.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::DateTime;
use jiff::Timestamp;

use super::S3Store;
use super::entire::Entire;
use super::failure::Failure;
use crate::store::{ObjectMeta, StoreError, key};

/// How often a part of a listing is asked for that breaks off.
const TRIES: u32 = 3;

/// What a listing says of an object.
pub(super) fn meta(key: String, bytes: Option<i64>, modified: Option<&DateTime>) -> ObjectMeta {
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    ObjectMeta { key, bytes, modified: modified.map_or(Timestamp::UNIX_EPOCH, timestamp) }
}

fn timestamp(time: &DateTime) -> Timestamp {
    Timestamp::from_second(time.secs()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// All objects whose key begins so, sorted by key.
pub(super) fn objects(store: &S3Store, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
    let mut found = Vec::new();
    pages(store, prefix, None, |page| {
        for object in page.contents() {
            if let Some(key) = object.key().and_then(|full| store.relative(full)) {
                found.push(meta(key.to_owned(), object.size(), object.last_modified()));
            }
        }
    })?;
    // S3 lists in this order; some servers list folder by folder, and one that is written to meanwhile may tell of an object twice.
    found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    found.dedup_by(|a, b| a.key == b.key);
    Ok(found)
}

/// The folders right below a prefix, as the server groups keys by their next slash.
pub(super) fn folders(store: &S3Store, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    pages(store, prefix, Some("/"), |page| {
        let names = page.common_prefixes().iter().filter_map(|common| store.relative(common.prefix()?)?.strip_prefix(prefix));
        found.extend(names.map(|name| name.trim_end_matches('/').to_owned()));
    })?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Every part of a listing, to its end.
fn pages(store: &S3Store, prefix: &str, delimiter: Option<&str>, mut take: impl FnMut(&ListObjectsV2Output)) -> Result<(), StoreError> {
    key::check_prefix(prefix)?;
    let (mut next, mut asked) = (None, BTreeSet::new());
    loop {
        let page = page(store, prefix, delimiter, next.as_deref())?;
        take(&page);
        match (page.is_truncated() == Some(true), page.next_continuation_token()) {
            (true, Some(token)) if asked.insert(token.to_owned()) => next = Some(token.to_owned()),
            // Else it would never end.
            (true, Some(_)) => return Err(store.lies(prefix, "its listing goes round in a circle: the same part is announced twice")),
            // A part of a listing must never be taken for all of it.
            (true, None) => return Err(store.lies(prefix, "its listing ends in the middle, without saying how it goes on")),
            (false, _) => return Ok(()),
        }
    }
}

/// One part of a listing, asked for again when it breaks off on its way.
fn page(store: &S3Store, prefix: &str, delimiter: Option<&str>, token: Option<&str>) -> Result<ListObjectsV2Output, StoreError> {
    let mut tries = 0;
    loop {
        let request = store
            .client
            .list_objects_v2()
            .bucket(&store.spec.bucket)
            .prefix(store.with_prefix(prefix))
            .set_delimiter(delimiter.map(str::to_owned));
        let request = request.set_continuation_token(token.map(str::to_owned)).customize().interceptor(Entire);
        tries += 1;
        match store.handle.block_on(request.send()).map_err(Failure::from) {
            Ok(page) => return Ok(page),
            // The SDK itself has tried again whatever else may pass.
            Err(failure) if failure.is_cut() && tries < TRIES => {}
            Err(failure) => return Err(store.refused(format!("listing {prefix}"), &failure)),
        }
    }
}

struct Unfinished {
    full: String,
    id: String,
    begun: Timestamp,
}

/// Aborts the uploads under a prefix that were begun longer ago than this; answers their keys.
pub(super) fn sweep(store: &S3Store, prefix: &str, older_than: Duration) -> Result<Vec<String>, StoreError> {
    key::check_prefix(prefix)?;
    let before = Timestamp::now().as_second() - i64::try_from(older_than.as_secs()).unwrap_or(i64::MAX);
    let mut swept = Vec::new();
    // The server's clock may be ahead of this host's: "all of them" must not depend on it.
    let old = |upload: &Unfinished| older_than.is_zero() || upload.begun.as_second() <= before;
    for upload in unfinished(store, prefix)?.into_iter().filter(old) {
        let Some(key) = store.relative(&upload.full) else { continue };
        let request = store.client.abort_multipart_upload().bucket(&store.spec.bucket).key(&upload.full).upload_id(&upload.id);
        match store.handle.block_on(request.send()).map_err(Failure::from) {
            Ok(_) => swept.push(key.to_owned()),
            Err(failure) if failure.is_no_upload() => {}
            Err(failure) => return Err(store.refused(format!("aborting the unfinished upload of {key}"), &failure)),
        }
    }
    swept.sort_unstable();
    Ok(swept)
}

fn unfinished(store: &S3Store, prefix: &str) -> Result<Vec<Unfinished>, StoreError> {
    let (mut found, mut next, mut asked) = (Vec::new(), (None, None), BTreeSet::new());
    loop {
        let request = store.client.list_multipart_uploads().bucket(&store.spec.bucket).prefix(store.with_prefix(prefix));
        let request = request.set_key_marker(next.0.take()).set_upload_id_marker(next.1.take());
        let page = store.handle.block_on(request.send());
        let page = page.map_err(|error| store.refused("listing unfinished uploads", &Failure::from(error)))?;
        for upload in page.uploads() {
            if let (Some(full), Some(id), Some(begun)) = (upload.key(), upload.upload_id(), upload.initiated()) {
                found.push(Unfinished { full: full.to_owned(), id: id.to_owned(), begun: timestamp(begun) });
            }
        }
        let after = (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
        // What a repeated or missing marker leaves out, a later sweep finds: nothing is decided by it.
        if page.is_truncated() != Some(true) || after.0.is_none() || !asked.insert(after.clone()) {
            return Ok(found);
        }
        next = after;
    }
}
