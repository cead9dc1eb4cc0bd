//! What keeps a template small: limits, and the filters that could grow a text, rewritten so that they do not.
//!
//! Does not know the other filters, which give no more than they take.

use std::io;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// How many instructions a template may take.
pub(super) const FUEL: u64 = 20_000;

/// How many bytes a template's text and its result may have.
pub(super) const SIZE: usize = 64 << 10;

pub(super) fn too_large() -> String {
    format!("a text with placeholders can not be longer than {} KiB", SIZE >> 10)
}

/// A value as text; a truth value as in YAML and JSON and not, as the engine has it, as in Python.
pub fn plain(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool => value.is_true().to_string(),
        _ => value.to_string(),
    }
}

/// `text | replace("a", "b")`, bounded: the engine's own may grow without limit.
pub(super) fn replace(text: &Value, from: &Value, to: &Value) -> Result<String, Error> {
    let (text, from, to) = (plain(text), plain(from), plain(to));
    let times = if from.is_empty() { text.len() + 1 } else { text.matches(&from).count() };
    if text.len() + times * to.len() > SIZE {
        return Err(Error::new(ErrorKind::InvalidOperation, too_large()));
    }
    Ok(text.replace(&from, &to))
}

/// `list | join(",")`, bounded.
pub(super) fn join(list: &Value, separator: Option<String>) -> Result<String, Error> {
    let separator = separator.unwrap_or_default();
    let mut joined = String::new();
    for (index, item) in list.try_iter()?.enumerate() {
        if index > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(&plain(&item));
        if joined.len() > SIZE || index > SIZE {
            return Err(Error::new(ErrorKind::InvalidOperation, too_large()));
        }
    }
    Ok(joined)
}

/// A writer that refuses more than [`SIZE`] bytes.
pub(super) struct Capped(pub(super) Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > SIZE {
            return Err(io::Error::other(too_large()));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
