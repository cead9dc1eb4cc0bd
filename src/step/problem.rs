//! What a step kind tells about itself: what it names, and what is wrong with it.
//!
//! A [`Problem`] knows the place only below the step's `with`; the pipeline gives it its span. This file renders nothing.

use crate::diagnostic::{Class, Severity};
use crate::ids::RefName;
use crate::secret::SecretRef;

/// The declared things a step names.
#[derive(Debug, Clone, Default)]
pub struct References<'a> {
    /// Below `connections`.
    pub connections: Vec<&'a RefName>,
    /// Below `stores`.
    pub stores: Vec<&'a RefName>,
    /// Below `secrets`.
    pub secrets: Vec<&'a SecretRef>,
}

/// Something wrong with a step's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// As in a diagnostic.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The JSON pointer below `with`; empty for all of it.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    /// An error at a pointer below `with`.
    pub fn error(code: &'static str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, pointer: pointer.into(), message: message.into(), help: None }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Something that would make a step fail, found by looking at its own files, such as a recipients file that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of failure it would be.
    pub class: Class,
    /// What was found.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}
