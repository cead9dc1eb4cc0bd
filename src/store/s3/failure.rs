//! What the SDK's errors mean: the server's code and words, what kind of refusal it is, and what to do about it.
//! This module does not retry: the SDK has already done so.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::store::{Refusal, StoreError};

/// A failed request.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    status: Option<u16>,
    /// S3's error code, or empty (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
    code: String,
    words: String,
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().unwrap_or_default().to_owned();
        let words = match (&error, error.message()) {
            (_, Some(message)) => message.to_owned(),
            (SdkError::ServiceError(_), None) => format!("the server answered {}", status.unwrap_or_default()),
            (other, None) => chain(other),
        };
        Self { status, code, words }
    }
}

/// The causes of an error, outermost first, without repeating what a cause already says.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !words.ends_with(&text) {
            words = format!("{words}: {text}");
        }
        source = cause.source();
    }
    words
}

impl Failure {
    /// A failure that is not the server's, such as a task of ours that vanished.
    pub(super) fn own(words: impl Into<String>) -> Self {
        Self { status: None, code: String::new(), words: words.into() }
    }

    /// The object is not there (but the bucket is).
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.code.as_str(), "NoSuchKey" | "NotFound" | "") && self.status == Some(404)
    }

    /// The multipart upload is not there.
    pub(super) fn is_no_upload(&self) -> bool {
        self.code == "NoSuchUpload" || self.is_missing()
    }

    /// A create-only write was refused, because the key is taken or another writer is at it.
    pub(super) fn is_taken(&self) -> bool {
        self.status == Some(412) || matches!(self.code.as_str(), "PreconditionFailed" | "ConditionalRequestConflict")
    }

    /// The server answered well, and what it answered did not come whole.
    pub(super) fn is_cut(&self) -> bool {
        self.code.is_empty() && self.status.is_some_and(|status| matches!(status, 200..=299))
    }

    /// The server refused the request itself, so it certainly did nothing; anything else may have been done.
    pub(super) fn is_final(&self) -> bool {
        let clear = self.status.is_some_and(|status| matches!(status, 400..=499) && !matches!(status, 404 | 408 | 409));
        clear && !self.is_taken() && self.code != "RequestTimeout"
    }

    /// The error to report.
    pub(super) fn refused(&self, store: String, doing: String, bucket: &str) -> StoreError {
        let (kind, advice) = self.judge();
        let advice = advice.replace("BUCKET", bucket);
        let code = if self.code.is_empty() { String::new() } else { format!("{}: ", self.code) };
        let end = if advice.is_empty() { "" } else { "; " };
        // The SDK lists every place where it has looked for credentials, a line each: the first line says it all.
        let words = self.words.lines().next().unwrap_or_default().trim_end_matches(['.', ' ', ':', '(']);
        StoreError::Refused { store, doing, detail: format!("{code}{words}{end}{advice}"), kind }
    }

    fn judge(&self) -> (Refusal, &'static str) {
        by_code(&self.code).or_else(|| self.status.map(by_status)).unwrap_or_else(|| by_words(&self.words.to_lowercase()))
    }
}

fn by_code(code: &str) -> Option<(Refusal, &'static str)> {
    Some(match code {
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" => {
            (Refusal::Denied, "check the access key and its secret (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile)")
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => (Refusal::Denied, "the session has ended: get new credentials"),
        "RequestTimeTooSkewed" => (Refusal::Denied, "set this machine's clock"),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => (
            Refusal::Denied,
            "these credentials lack a right on BUCKET (a backup needs s3:PutObject, s3:GetObject, s3:ListBucket and s3:AbortMultipartUpload)",
        ),
        "NoSuchBucket" => (Refusal::Unreachable, "create the bucket BUCKET, or correct its name"),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            (Refusal::Other, "the bucket BUCKET lies in another region: set `region`")
        }
        "SlowDown" | "InternalError" | "ServiceUnavailable" | "RequestTimeout" | "ThrottlingException" | "OperationAborted" => {
            (Refusal::Transient, "")
        }
        "ConditionalRequestConflict" => (Refusal::Transient, "another writer was at the same key"),
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => {
            (Refusal::Full, "make room, for example by pruning restore points")
        }
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" => (Refusal::Transient, "bytes were damaged on the way"),
        "NotImplemented" => (Refusal::Other, "the server lacks a feature that was asked for; `checksums: when_required` asks for less"),
        _ => return None,
    })
}

fn by_status(status: u16) -> (Refusal, &'static str) {
    match status {
        401 | 403 => (Refusal::Denied, "check the credentials and their rights on BUCKET"),
        404 => (Refusal::Unreachable, "is there a bucket BUCKET?"),
        301 | 307 => (Refusal::Other, "the bucket BUCKET lies in another region: set `region`"),
        507 => (Refusal::Full, "make room, for example by pruning restore points"),
        408 | 409 | 429 | 500..=599 => (Refusal::Transient, ""),
        200..=299 => (Refusal::Transient, "the answer was cut short"),
        _ => (Refusal::Other, ""),
    }
}

const ENDPOINT: &str = "is `endpoint` right, and does the server run?";

/// Without an answer there is only the text of the causes to go by: the SDK's connectors keep no kinds.
fn by_words(words: &str) -> (Refusal, &'static str) {
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if says(&["credential", "identity"]) {
        (Refusal::Denied, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or give this machine a role")
    } else if says(&["missing region", "region must be set", "invalid configuration: missing"]) {
        (Refusal::Other, "set `region`, or AWS_REGION")
    } else if says(&["certificate", "name or service not known"]) {
        (Refusal::Unreachable, ENDPOINT)
    } else if says(&["dns error", "failed to lookup", "connection refused", "no route to host", "network is unreachable"]) {
        (Refusal::Down, ENDPOINT)
    } else {
        (Refusal::Transient, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: Option<u16>, code: &str, words: &str) -> Refusal {
        Failure { status, code: code.to_owned(), words: words.to_owned() }.judge().0
    }

    #[test]
    fn answers_are_judged_by_code_then_status_then_words() {
        assert_eq!(kind(Some(403), "SignatureDoesNotMatch", ""), Refusal::Denied);
        assert_eq!(kind(Some(400), "ExpiredToken", ""), Refusal::Denied);
        assert_eq!(kind(Some(403), "", ""), Refusal::Denied);
        assert_eq!(kind(Some(404), "NoSuchBucket", ""), Refusal::Unreachable);
        assert_eq!(kind(Some(503), "SlowDown", ""), Refusal::Transient);
        assert_eq!(kind(Some(200), "InternalError", ""), Refusal::Transient);
        assert_eq!(kind(Some(507), "", ""), Refusal::Full);
        assert_eq!(kind(Some(400), "InvalidArgument", ""), Refusal::Other);
        assert_eq!(kind(None, "", "the credential provider was not enabled"), Refusal::Denied);
        assert_eq!(kind(None, "", "request has timed out"), Refusal::Transient);
    }

    #[test]
    fn an_outage_may_pass_and_a_wrong_name_or_certificate_does_not() {
        for words in [
            "dns error: failed to lookup address: temporary failure in name resolution",
            "Connection refused (os error 111)",
            "No route to host",
        ] {
            assert_eq!(kind(None, "", &format!("dispatch failure: {words}")), Refusal::Down, "{words}");
        }
        for words in ["dns error: failed to lookup address information: Name or service not known", "invalid peer certificate: Expired"] {
            assert_eq!(kind(None, "", &format!("dispatch failure: {words}")), Refusal::Unreachable, "{words}");
        }
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        let failure = |code: &str| Failure { status: Some(404), code: code.to_owned(), words: String::new() };
        assert!(failure("NoSuchKey").is_missing() && !failure("NoSuchBucket").is_missing());
    }

    #[test]
    fn the_message_names_the_bucket_and_what_to_do() {
        let failure = Failure { status: Some(404), code: "NoSuchBucket".to_owned(), words: "The bucket does not exist.".to_owned() };
        let message = failure.refused("s3://백업".to_owned(), "writing a".to_owned(), "백업").to_string();
        assert_eq!(message, "s3://백업: writing a: NoSuchBucket: The bucket does not exist; create the bucket 백업, or correct its name");
    }
}
