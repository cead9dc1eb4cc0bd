//! Why a run failed, as data; words come last.

use std::fmt;

use serde::{Serialize, Serializer};

/// Why a run failed. The texts are those of whatever failed. Programs are told of it in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Something failed.
    Failed(String),
    /// Somebody stopped it.
    Stopped(String),
    /// It could not start.
    Refused(String),
    /// It died before its commit without a word, and a later run ruled it out.
    Died,
    /// It left word, which can not be read.
    Unreadable,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(error),
            Self::Stopped(error) => write!(f, "it was stopped: {error}"),
            Self::Refused(error) => write!(f, "it could not start: {error}"),
            Self::Died => f.write_str("it died before its commit, and a later run ruled it out"),
            Self::Unreadable => f.write_str("it failed, and why can not be read"),
        }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
