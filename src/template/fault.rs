//! What is wrong with a template: where in its text, and what to do. Does not know where the template itself stands.

use std::fmt;
use std::ops::Range;

use minijinja::{Error, ErrorKind};

/// One thing wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `template-syntax`, `undefined-name` or `template-failed`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The bytes of the template concerned, if known.
    pub range: Option<Range<usize>>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.help {
            Some(help) => write!(f, "{}; {help}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Why a template gives no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template:?}: {}", self.in_words())]
pub struct TemplateError {
    /// The template as written.
    pub template: String,
    /// All that is wrong; never empty.
    pub faults: Vec<Fault>,
}

impl TemplateError {
    fn in_words(&self) -> String {
        self.faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
    }
}

impl Fault {
    fn new(code: &'static str, message: impl Into<String>, range: Option<Range<usize>>) -> Self {
        Self { code, message: message.into(), help: None, range }
    }

    pub(super) fn syntax(message: impl Into<String>, range: Option<Range<usize>>) -> Self {
        Self::new("template-syntax", message, range)
    }

    pub(super) fn undefined(message: impl Into<String>, range: Option<Range<usize>>) -> Self {
        Self::new("undefined-name", message, range)
    }

    pub(super) fn failed(message: impl Into<String>, range: Option<Range<usize>>) -> Self {
        Self::new("template-failed", message, range)
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Moved by so many bytes: the fault of a part, told of the whole.
    pub(super) fn moved(mut self, offset: usize) -> Self {
        self.range = self.range.map(|range| range.start + offset..range.end + offset);
        self
    }
}

/// The engine's own error in our words.
pub(super) fn from_engine(error: &Error) -> Fault {
    let detail = error.detail().unwrap_or_default().to_owned();
    let range = error.range().filter(|range| !range.is_empty());
    let says = |words: &dyn fmt::Display| if detail.is_empty() { words.to_string() } else { detail.clone() };
    match error.kind() {
        ErrorKind::UndefinedError => Fault::undefined("a name in this placeholder does not exist", range),
        ErrorKind::OutOfFuel => Fault::failed("this placeholder takes too many steps", range),
        ErrorKind::WriteFailure => Fault::failed(super::bounded::too_large(), range),
        ErrorKind::SyntaxError
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownMethod => Fault::syntax(format!("this placeholder can not be read: {}", says(&error.kind())), range),
        kind => Fault::failed(format!("this placeholder can not be computed: {}", says(&kind)), range),
    }
}
