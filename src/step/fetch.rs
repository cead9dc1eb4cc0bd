//! `fetch`: reads an artifact of an earlier run and undoes what was done to it, so that a `restore` gets the plain archive.
//!
//! Which restore point is meant is found when the plan is made, and the plan holds it. This file holds the parameters.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PointRef, Problem, References, StepKind};
use crate::secret::SecretRef;

/// Reads a restore point back, or a dump that `runner` did not make, and undoes encryption and compression. Exactly one of `from` and `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// The restore point; every digest on the way must agree. Left out with `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PointRef>,
    /// A dump that `runner` did not make: a script, an archive of `pg_dump` in any of its formats, or a folder of one; compressed, encrypted with
    /// age or OpenPGP, or both. What it is shows in its bytes, whatever its name. Left out with `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
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
            stores: self.from.iter().map(|point| &point.store).collect(),
            secrets: self.identity.iter().chain(&self.passphrase).collect(),
            ..References::default()
        }
    }

    fn words(&self) -> String {
        match (&self.from, &self.file) {
            (Some(point), _) => point.words(),
            (None, Some(file)) => format!("{}, which runner did not make", file.display()),
            (None, None) => "nothing".to_owned(),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let one = self.from.is_some() != self.file.is_some();
        let problem = || Problem::error("one-of", "", "`fetch` takes exactly one of `from` and `file`").help("keep one of the two");
        (!one).then(problem).into_iter().collect()
    }

    fn point(&self) -> Option<&PointRef> {
        self.from.as_ref()
    }
}
