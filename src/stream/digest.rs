//! Digests of streams as they pass.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4), with the CPU's instructions; `sha256sum -c` checks its sidecar.
    #[default]
    Sha256,
    /// SHA-512 (FIPS 180-4); `sha512sum -c` checks its sidecar.
    Sha512,
    /// BLAKE3; `b3sum -c` checks its sidecar.
    Blake3,
}
