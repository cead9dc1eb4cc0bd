//! What is said of a new object beside its bytes: type, metadata, class, encryption, tags, lock.
//! This module does not send it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockMode, ServerSideEncryption as Sse, StorageClass};

use crate::store::PutOptions;
use crate::store::spec::{LockMode, ObjectLock, S3Spec, ServerSideEncryption};

/// The metadata name under which each write leaves its nonce, to know its object again.
pub(super) const NONCE: &str = "runner-write";

const DAY: Duration = Duration::from_hours(24);

/// The attributes of one new object.
pub(super) struct Attributes {
    content_type: String,
    metadata: HashMap<String, String>,
    storage_class: Option<StorageClass>,
    encryption: Option<Sse>,
    kms_key: Option<String>,
    tagging: Option<String>,
    lock: Option<(ObjectLockMode, DateTime)>,
}

/// Both requests that make an object have setters of the same names, but no trait that says so.
macro_rules! set_all {
    ($request:expr, $attributes:expr) => {{
        let (mode, until) = $attributes.lock.clone().unzip();
        $request
            .content_type(&$attributes.content_type)
            .set_metadata(Some($attributes.metadata.clone()))
            .set_storage_class($attributes.storage_class.clone())
            .set_server_side_encryption($attributes.encryption.clone())
            .set_ssekms_key_id($attributes.kms_key.clone())
            .set_tagging($attributes.tagging.clone())
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
    }};
}

impl Attributes {
    pub(super) fn of(spec: &S3Spec, options: &PutOptions, nonce: &str) -> Self {
        let metadata = options.metadata.iter().map(|(name, value)| (name.clone(), header_text(value)));
        let (encryption, kms_key) = match &spec.server_side_encryption {
            None => (None, None),
            Some(ServerSideEncryption::Aes256) => (Some(Sse::Aes256), None),
            Some(ServerSideEncryption::Kms { key_id }) => (Some(Sse::AwsKms), key_id.clone()),
        };
        Self {
            content_type: options.content_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned()),
            metadata: metadata.chain([(NONCE.to_owned(), nonce.to_owned())]).collect(),
            storage_class: spec.storage_class.as_deref().map(StorageClass::from),
            encryption,
            kms_key,
            tagging: tagging(spec),
            lock: spec.object_lock.as_ref().map(lock),
        }
    }

    /// The same without a lock, for what must be deleted again at once.
    pub(super) fn unlocked(mut self) -> Self {
        self.lock = None;
        self
    }

    /// The same for an object that is replaced every few seconds: no lock would let it, and colder classes bill each version for weeks.
    pub(super) fn mutable(self) -> Self {
        Self { storage_class: None, ..self.unlocked() }
    }

    pub(super) fn on_put(&self, request: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
        set_all!(request, self)
    }

    pub(super) fn on_create(&self, request: CreateMultipartUploadFluentBuilder) -> CreateMultipartUploadFluentBuilder {
        set_all!(request, self)
    }
}

fn lock(lock: &ObjectLock) -> (ObjectLockMode, DateTime) {
    let mode = match lock.mode {
        LockMode::Compliance => ObjectLockMode::Compliance,
        LockMode::Governance => ObjectLockMode::Governance,
    };
    (mode, DateTime::from(SystemTime::now() + DAY * lock.days))
}

/// Tags in the form of a URL query, as the header wants them.
fn tagging(spec: &S3Spec) -> Option<String> {
    let pairs: Vec<String> = spec.tags.iter().map(|(name, value)| format!("{}={}", percent(name, false), percent(value, false))).collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

/// A metadata value as a header can carry it: as it is when printable ASCII without outer spaces, else percent-encoded.
fn header_text(value: &str) -> String {
    let plain = value.bytes().all(|b| matches!(b, b' '..=b'~')) && value.trim() == value;
    if plain { value.to_owned() } else { percent(value, true) }
}

/// Percent-encodes all but RFC 3986's unreserved characters, and with `lenient` keeps other printable ASCII but `%` and space too.
fn percent(text: &str, lenient: bool) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b) || (lenient && b.is_ascii_graphic() && b != b'%');
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if keep(byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_readable_when_ascii_and_encoded_when_not() {
        assert_eq!(header_text("orders 100%"), "orders 100%");
        assert_eq!(header_text("주문/100%"), "%EC%A3%BC%EB%AC%B8/100%25");
        assert_eq!(header_text("a\nb "), "a%0Ab%20");
    }

    #[test]
    fn tags_are_a_query_in_any_script() {
        let spec: S3Spec = serde_json::from_str(r#"{"bucket":"b","tags":{"팀":"a&b","tier":"daily=1"}}"#).unwrap();
        assert_eq!(tagging(&spec).unwrap(), "tier=daily%3D1&%ED%8C%80=a%26b");
    }
}
