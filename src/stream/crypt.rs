//! Encryption and its undoing.
//!
//! The files are the standard ones, so that `age -d` and `gpg -d` open them without this program. This module does not
//! make or keep keys.

pub mod age;
pub mod openpgp;

use std::sync::{Arc, OnceLock};

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

/// Where it appears which key opened an encrypted stream: the recipient as public text, or that it was a passphrase.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Option<String>", into = "Option<String>")]
pub struct OpenedBy(Arc<OnceLock<String>>);

impl OpenedBy {
    /// Whose key it was; `None` as long as the stream is not open.
    pub fn get(&self) -> Option<String> {
        self.0.get().cloned()
    }

    fn tell(&self, whose: impl Into<String>) {
        // The first key that opened it is the one.
        let _first = self.0.set(whose.into());
    }
}

impl From<OpenedBy> for Option<String> {
    fn from(opened: OpenedBy) -> Self {
        opened.get()
    }
}

impl From<Option<String>> for OpenedBy {
    fn from(whose: Option<String>) -> Self {
        let opened = Self::default();
        if let Some(whose) = whose {
            opened.tell(whose);
        }
        opened
    }
}
