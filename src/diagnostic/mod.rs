//! Problems as data: what is wrong, where exactly, and what to do about it.
//!
//! Everything that reads configuration answers with all of its [`Diagnostic`]s at once; `render` turns them into words.
//! This module does not read files, print, or know what a pipeline is.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The byte order mark that some editors write before a text.
pub const MARK: char = '\u{feff}';

/// A text that diagnostics point into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// Where it was read from, as the user named it.
    pub path: PathBuf,
    /// The whole text, without its byte order mark.
    pub text: String,
    /// Whether the file begins with a byte order mark.
    pub marked: bool,
}

/// A 1-based place in a text. Columns count Unicode scalar values, as editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl SourceText {
    /// The place of a byte offset; an offset past the end is the place behind the last character.
    pub fn place(&self, offset: usize) -> Place {
        let end = (0..=offset.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
        let before = &self.text[..end];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Place { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The pipeline can not be run.
    Error,
    /// It can be run, but a careful reader would object.
    Warning,
}

/// A further place that explains a problem, such as the first of two consumers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The byte range in the same text.
    pub range: Range<usize>,
    /// What is there.
    pub message: String,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable code in kebab case, such as `unknown-key`; documented by `runner validate --help`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The text the ranges point into.
    pub source: Arc<SourceText>,
    /// The byte range of the problem itself.
    pub range: Range<usize>,
    /// The JSON pointer of the value concerned; empty for the whole document.
    pub pointer: String,
    /// Further places.
    pub labels: Vec<Label>,
    /// What to do, in a few words: `did you mean `needs`?`.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a range of a text.
    pub fn error(code: &'static str, source: &Arc<SourceText>, range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            source: Arc::clone(source),
            range,
            pointer: String::new(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// With the JSON pointer of the value concerned.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = pointer.into();
        self
    }

    /// With a further place.
    #[must_use]
    pub fn label(mut self, range: Range<usize>, message: impl Into<String>) -> Self {
        self.labels.push(Label { range, message: message.into() });
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether it stops the pipeline from running.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        self.source.place(self.range.start)
    }
}

/// What kind of end a failure is; the command line maps each to its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A step did its work and failed (exit 10).
    Failed,
    /// Data is not what it should be: a digest, a decryption, a restore or a check (exit 11).
    Verification,
    /// A key or passphrase does not open what it was given for, which says nothing of the data (exit 11).
    Key,
    /// A server, a tool or a store is not there (exit 69).
    Unreachable,
    /// A secret is missing or permission is refused (exit 77).
    Denied,
    /// Somebody else is at work on the same thing (exit 14).
    Locked,
    /// What was planned from is no more as it was (exit 13).
    Stale,
    /// Likely to pass when tried again later (exit 75).
    Transient,
    /// A defect in this program (exit 70).
    Internal,
    /// Somebody asked to stop (exit 130 or 143).
    Cancelled,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub class: Class,
    /// What happened, naming object and operation.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        let text = SourceText { path: "p".into(), text: "a\n주문: x\n".into(), marked: false };
        assert_eq!(text.place(text.text.find('x').unwrap()), Place { line: 2, column: 5 });
        assert_eq!(text.place(3), Place { line: 2, column: 1 }, "inside a character counts as its start");
        assert_eq!(text.place(999), Place { line: 3, column: 1 });
    }
}
