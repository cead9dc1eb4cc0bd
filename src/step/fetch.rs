//! `fetch`: reads an artifact of an earlier run and undoes what was done to it, so that a `restore` gets the plain archive.
//!
//! Which restore point is meant is found when the plan is made, and the plan holds it. This file holds the parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PointRef, References, StepKind};
use crate::secret::SecretRef;

/// Reads a restore point back and undoes encryption and compression; every digest on the way must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// The restore point.
    pub from: PointRef,
    /// The private key that decrypts; needed unless a passphrase does. An age identity file's text, an OpenSSH private key, or an OpenPGP secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretRef>,
    /// The passphrase that decrypts, or that opens the OpenPGP secret key; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
}

impl StepKind for Fetch {
    fn references(&self) -> References<'_> {
        References {
            stores: vec![&self.from.store],
            secrets: self.identity.iter().chain(&self.passphrase).collect(),
            ..References::default()
        }
    }

    fn words(&self) -> String {
        self.from.words()
    }

    fn point(&self) -> Option<&PointRef> {
        Some(&self.from)
    }
}
