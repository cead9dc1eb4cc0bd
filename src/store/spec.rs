//! How a pipeline names a store. These are options as written, not live handles; no field can hold a key or password.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A store: exactly one of `local` and `s3`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum StoreSpec {
    /// A folder on this machine or on a mounted file system.
    Local(LocalSpec),
    /// A bucket of Amazon S3 or of a server that speaks its protocol.
    S3(S3Spec),
}

/// A folder that keeps objects as files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalSpec {
    /// The folder, made with its parents if it is not there. A relative path is taken from the folder `runner` runs in.
    pub path: PathBuf,
    /// Permission bits of the files, as octal text such as "0600".
    #[serde(default = "file_mode")]
    #[schemars(regex(pattern = r"^0[0-7]{3}$"))]
    pub file_mode: String,
    /// Permission bits of the folders made, as octal text such as "0750".
    #[serde(default = "folder_mode")]
    #[schemars(regex(pattern = r"^0[0-7]{3}$"))]
    pub folder_mode: String,
}

impl LocalSpec {
    /// This folder, with the usual modes.
    pub fn at(path: PathBuf) -> Self {
        Self { path, file_mode: file_mode(), folder_mode: folder_mode() }
    }
}

fn file_mode() -> String {
    "0600".to_owned()
}

fn folder_mode() -> String {
    "0750".to_owned()
}

/// A bucket. Credentials come from the default chain (environment, profile, web identity, instance role), never from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Spec {
    /// The bucket's name; it must exist.
    pub bucket: String,
    /// What all keys begin with, without a slash at either end.
    #[serde(default)]
    pub prefix: String,
    /// The region; the environment or profile decides when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The URL of another server than Amazon's, such as `https://minio.example.com:9000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path rather than in the host name; most other servers need it.
    #[serde(default)]
    pub path_style: bool,
    /// The storage class of new objects, such as `STANDARD_IA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Encryption by the server; what the bucket does by itself unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_encryption: Option<ServerSideEncryption>,
    /// Tags of new objects; none unless given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Object lock of new objects; the bucket must have been created with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_lock: Option<ObjectLock>,
    /// Whether every request carries a checksum, or only those that must (some S3 clones refuse others).
    #[serde(default)]
    pub checksums: ChecksumMode,
    /// Parts uploaded at once.
    #[serde(default = "parallel_parts")]
    #[schemars(range(min = 1, max = 16))]
    pub parallel_parts: u8,
}

fn parallel_parts() -> u8 {
    3
}

/// Encryption by the S3 server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServerSideEncryption {
    /// Keys that S3 keeps itself (SSE-S3).
    Aes256,
    /// A key in KMS (SSE-KMS).
    Kms {
        /// The key's id or ARN; the bucket's default key when not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<String>,
    },
}

/// Object lock of new objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectLock {
    /// Whether even the account's root may not shorten it (`compliance`) or those with a special right may (`governance`).
    pub mode: LockMode,
    /// For how many days from the upload.
    #[schemars(range(min = 1, max = 36500))]
    pub days: u32,
}

/// The mode of an object lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Nobody can shorten it.
    Compliance,
    /// Those with `s3:BypassGovernanceRetention` can.
    Governance,
}

/// When requests carry checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumMode {
    /// Whenever the protocol allows one: what is damaged on the way is refused by the server.
    #[default]
    WhenSupported,
    /// Only where the protocol demands one.
    WhenRequired,
}
