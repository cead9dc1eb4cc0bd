//! What is wrong with a restore point, as data; words come last.

use std::fmt;

use serde::{Serialize, Serializer};

/// What is wrong with a restore point. The texts are those of whatever found it. Programs are told of it in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// Its manifest can not be used.
    Manifest(String),
    /// A verification found its content wrong, and none since has found it right.
    Content(String),
    /// Its newest verification failed, and says nothing of the content.
    Verification(String),
}

impl Complaint {
    /// What was found, without what it means.
    pub fn found(&self) -> &str {
        match self {
            Self::Manifest(why) | Self::Content(why) | Self::Verification(why) => why,
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(why) => write!(f, "its manifest can not be used: {why}"),
            Self::Content(why) => write!(f, "a verification found its content wrong: {why}"),
            Self::Verification(why) => write!(f, "its newest verification failed: {why}"),
        }
    }
}

impl Serialize for Complaint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
