//! Whether a listing arrived to its end. The SDK reads XML that breaks off as if what came were all of it, and a connection that is closed
//! early looks like a good end where the server told no length. This module does not look at what is listed.

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// What a listing ends with.
const END: &[u8] = b"</ListBucketResult>";

/// Refuses an answer that breaks off.
#[derive(Debug)]
pub(super) struct Entire;

impl Intercept for Entire {
    fn name(&self) -> &'static str {
        "Entire"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        let cut = answer.body().bytes().is_some_and(|bytes| !bytes.trim_ascii_end().ends_with(END));
        if answer.status().is_success() && cut { Err("the listing breaks off".into()) } else { Ok(()) }
    }
}
