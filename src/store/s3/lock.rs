//! What a bucket says of the lock on an object. This module sets none.

use aws_sdk_s3::types::ObjectLockLegalHoldStatus as Hold;
use jiff::Timestamp;

use super::S3Store;
use super::failure::Failure;
use crate::store::StoreError;

/// Until when the newest version of an object is locked; the last moment there is under a legal hold, which has no end.
///
/// The headers are there only for whoever may see them (`s3:GetObjectRetention`, `s3:GetObjectLegalHold`):
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>.
pub(super) fn until(store: &S3Store, key: &str) -> Result<Option<Timestamp>, StoreError> {
    let request = store.client.head_object().bucket(&store.spec.bucket).key(store.full(key)?);
    let found = match store.handle.block_on(request.send()).map_err(Failure::from) {
        Ok(found) => found,
        Err(failure) if failure.is_missing() => return Ok(None),
        Err(failure) => return Err(store.refused(format!("looking at the lock of {key}"), &failure)),
    };
    let held = found.object_lock_legal_hold_status() == Some(&Hold::On);
    // What can not be told is later than anything: where in doubt, a point stays.
    let retained = found.object_lock_retain_until_date().map(|date| Timestamp::from_second(date.secs()).unwrap_or(Timestamp::MAX));
    Ok(retained.max(held.then_some(Timestamp::MAX)))
}
