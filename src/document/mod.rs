//! Documents: YAML text with a place for every value, its placeholders, and what its schema says about it.
//!
//! The way of a text is [`read()`] → [`parse()`] (or [`recover`], which also answers with a document when the mistakes leave
//! one) → [`expand()`] → [`check()`] → [`typed()`]. Each step answers with all its [`Diagnostic`]s at once, and each of those
//! points at the characters concerned. YAML is read as version 1.2 with the core schema.
//! This module does not know pipelines or steps, and reads no file but the one it is told to.

mod check;
mod codes;
mod compose;
mod conceal;
mod expand;
mod explain;
mod leaf;
mod lower;
mod names;
mod parse;
mod pointer;
mod read;
mod scalar;
mod schema;
mod syntax;
mod trap;
mod typed;
mod union;
mod words;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, SourceText};

pub use check::check;
pub use codes::CODES;
pub use conceal::conceal;
pub use expand::{Placeholders, expand};
pub use names::Scope;
pub use parse::{parse, recover};
pub use pointer::{child, tokens};
pub use read::{ReadError, SIZE_LIMIT, read};
pub use schema::{Schema, SchemaError};
pub use typed::typed;

/// Where a value stands in its text, as byte ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The key in front of it, quotes included; none for the items of a list and for the whole document.
    pub key: Option<Range<usize>>,
    /// The value. Of a value given by an alias this is the alias; what is inside it stands where the anchor is.
    pub value: Range<usize>,
}

/// A scalar as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    /// Without quotes and not as a block.
    plain: bool,
    /// Where its characters are, quotes included: at the anchor if an alias gave it.
    range: Range<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    span: Span,
    written: Option<Written>,
}

/// A parsed text: its value, and the place of everything in it.
#[derive(Debug, Clone)]
pub struct Document {
    /// The text.
    pub source: Arc<SourceText>,
    /// What the text says.
    pub value: Value,
    entries: HashMap<String, Entry>,
    /// Pointers whose value stands in for one that could not be read: nothing more is said about them.
    doubtful: HashSet<String>,
}

impl Document {
    /// Where the value at a JSON pointer stands; `None` when there is no such value.
    pub fn span(&self, pointer: &str) -> Option<&Span> {
        self.entries.get(pointer).map(|entry| &entry.span)
    }

    /// All JSON pointers of the document, in no particular order.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// An error about the value at a pointer, shown at the value itself or, where it is empty or long, at its key.
    /// A pointer that leads nowhere is shown at the nearest value above it.
    pub fn error(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, &self.source, self.value_range(pointer), message).at(pointer)
    }

    /// An error about the key of the value at a pointer.
    pub fn key_error(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, &self.source, self.key_range(pointer), message).at(pointer)
    }

    /// The range that stands for a value: all of it if it is on the line of its key, else its key; its first line if it
    /// has no key.
    pub fn value_range(&self, pointer: &str) -> Range<usize> {
        let Span { key, value } = self.nearest(pointer);
        let is_elsewhere = |key: &Range<usize>| {
            let through = self.source.text.get(key.start.min(value.start)..value.end);
            value.is_empty() || value.start < key.end || through.is_some_and(|text| text.contains('\n'))
        };
        match key {
            Some(key) if is_elsewhere(&key) => key,
            _ => self.first_line(value),
        }
    }

    /// The range of the key of a value; of the value's first line if it has none.
    pub fn key_range(&self, pointer: &str) -> Range<usize> {
        let span = self.nearest(pointer);
        span.key.clone().unwrap_or_else(|| self.first_line(span.value.clone()))
    }

    fn nearest(&self, pointer: &str) -> Span {
        let mut at = pointer;
        loop {
            match (self.span(at), at.rfind('/')) {
                (Some(span), _) => return span.clone(),
                (None, Some(cut)) => at = &at[..cut],
                (None, None) => return Span { key: None, value: 0..0 },
            }
        }
    }

    fn first_line(&self, range: Range<usize>) -> Range<usize> {
        let line = self.source.text.get(range.clone()).and_then(|text| text.lines().next());
        range.start..range.start + line.map_or(0, str::len)
    }

    /// Where the characters of a scalar stand, even if an alias put it elsewhere.
    fn written_range(&self, pointer: &str) -> Option<Range<usize>> {
        let entry = self.entries.get(pointer)?;
        Some(entry.written.as_ref().map_or_else(|| entry.span.value.clone(), |written| written.range.clone()))
    }

    /// The characters of a scalar that was written without quotes.
    fn plain(&self, pointer: &str) -> Option<&str> {
        let written = self.entries.get(pointer)?.written.as_ref()?;
        if written.plain { self.source.text.get(written.range.clone()) } else { None }
    }

    /// Whether a value, or one it stands in, could not be read, so that complaints about it would only be echoes.
    fn is_doubtful(&self, pointer: &str) -> bool {
        let mut at = pointer;
        loop {
            if self.doubtful.contains(at) {
                return true;
            }
            match at.rfind('/') {
                Some(cut) => at = &at[..cut],
                None => return false,
            }
        }
    }
}
