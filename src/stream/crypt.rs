//! Encryption and its undoing.
//!
//! The files are the standard ones, so that `age -d` and `gpg -d` open them without this program. This module does not
//! make or keep keys.

pub mod age;
pub mod openpgp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An encryption format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// The age v1 file format (age-encryption.org/v1).
    Age,
    /// OpenPGP (RFC 9580), through the installed `gpg`.
    OpenPgp,
}
