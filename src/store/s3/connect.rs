//! Making the SDK's client: region, endpoint, retries, time limits, checksums. This module sends nothing itself.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::store::spec::{ChecksumMode, S3Spec};

/// What servers other than Amazon's are signed for when nothing names a region; they accept any.
const ANY_REGION: &str = "us-east-1";

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a small request may take before it is tried again.
const ATTEMPT: Duration = Duration::from_mins(1);

/// How long clearing up may take.
const HASTE: Duration = Duration::from_secs(30);

/// The slowest line that is still served, in bytes a second.
const SLOWEST: u64 = 32 * 1024;

/// How long a body may stand still.
const STALL: Duration = Duration::from_secs(30);

/// A client with the default chain of credentials: environment, profile, web identity, container, instance role.
pub(super) async fn with_default_chain(spec: &S3Spec) -> Client {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http());
    if let Some(regions) = regions(spec) {
        loader = loader.region(regions);
    }
    client(spec, Builder::from(&loader.load().await))
}

/// A client with given credentials.
pub(super) fn with_credentials(spec: &S3Spec, credentials: SharedCredentialsProvider) -> Client {
    let region = Region::new(spec.region.clone().unwrap_or_else(|| ANY_REGION.to_owned()));
    let builder = Builder::new().behavior_version(BehaviorVersion::latest()).http_client(http()).region(region);
    client(spec, builder.credentials_provider(credentials))
}

/// How long one attempt to send so many bytes may take.
pub(super) fn time_for(bytes: u64) -> Duration {
    ATTEMPT + Duration::from_secs(bytes / SLOWEST)
}

/// A time limit of one attempt.
pub(super) fn patience(limit: Duration) -> Builder {
    Builder::new().timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(limit).build())
}

/// The time limits of clearing up, retries included: a person who pressed ^C is waiting.
pub(super) fn haste() -> Builder {
    let limits = TimeoutConfig::builder().connect_timeout(HASTE / 3).operation_attempt_timeout(HASTE / 3).operation_timeout(HASTE);
    Builder::new().timeout_config(limits.build())
}

fn http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Where the region comes from; `None` leaves it to the loader, whose own chain also asks the instance. (That chain can not be named
/// here: made outside the loader it has no HTTP client, and panics.)
fn regions(spec: &S3Spec) -> Option<RegionProviderChain> {
    if let Some(region) = &spec.region {
        return Some(RegionProviderChain::first_try(Region::new(region.clone())));
    }
    spec.endpoint.as_ref()?;
    let found = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(ProfileFileRegionProvider::new());
    Some(found.or_else(Region::new(ANY_REGION)))
}

fn client(spec: &S3Spec, mut builder: Builder) -> Client {
    let checked = spec.checksums == ChecksumMode::WhenSupported || spec.object_lock.is_some();
    let (requests, responses) = if checked {
        (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
    } else {
        (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
    };
    builder = builder
        .force_path_style(spec.path_style)
        .request_checksum_calculation(requests)
        .response_checksum_validation(responses)
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build());
    if let Some(endpoint) = &spec.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Client::from_conf(builder.build())
}
