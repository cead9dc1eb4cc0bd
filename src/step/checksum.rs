//! `checksum`: a digest of the stream where it stands, kept in the manifest and in a sidecar beside the object.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AfterFilter, ApplyFilter, Cx, StepError, StepKind};
use crate::store::manifest::Applied;
use crate::stream::digest::{Algorithm, digested};
use crate::stream::{Stream, StreamError};

/// Digests the stream where it stands; the bytes pass unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checksum {
    /// The algorithm.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Whether a file that `sha256sum -c` (`sha512sum`, `b3sum`) can check is stored beside the object.
    #[serde(default = "yes")]
    pub sidecar: bool,
}

fn yes() -> bool {
    true
}

/// The ending of a sidecar file, and the word for the algorithm.
pub const fn word(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha256 => "sha256",
        Algorithm::Sha512 => "sha512",
        Algorithm::Blake3 => "blake3",
    }
}

impl StepKind for Checksum {
    fn words(&self) -> String {
        let sidecar = if self.sidecar { "" } else { ", no sidecar" };
        format!("{}{sidecar}", word(self.algorithm))
    }
}

impl ApplyFilter for Checksum {
    fn apply(&self, input: Stream, _: &Cx<'_>) -> Result<(Stream, AfterFilter), StepError> {
        let (stream, handle) = digested(input, self.algorithm);
        let (algorithm, sidecar) = (self.algorithm, self.sidecar);
        let after = move |_| {
            let digest = handle.get().ok_or(StreamError::Vanished { stage: "checksum" })?;
            // The sink knows the object's key and so the sidecar's; an empty one asks for it.
            let sidecar = sidecar.then(String::new);
            Ok(Some(Applied::Checksum { algorithm, digest: digest.hex, bytes: digest.bytes, sidecar }))
        };
        Ok((stream, Box::new(after)))
    }
}
