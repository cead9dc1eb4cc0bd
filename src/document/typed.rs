//! Values → types: the last net behind the schema. Does not repeat what the schema already said.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{Document, pointer, words};
use crate::diagnostic::Diagnostic;

/// Reads the value at a pointer as a type; what it refuses is shown where it stands.
pub fn typed<T: DeserializeOwned>(document: &Document, pointer: &str) -> Result<T, Box<Diagnostic>> {
    let value = document.value.pointer(pointer).unwrap_or(&Value::Null);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let at = error.path().iter().fold(pointer.to_owned(), |at, segment| step(document, at, segment));
        let message = format!("{}: {}", words::subject(&at), error.inner());
        Box::new(document.error("invalid-value", &at, message))
    })
}

/// Goes one step down, unless nothing stands there (a missing field is shown at its mapping).
fn step(document: &Document, at: String, segment: &Segment) -> String {
    let token = match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => key.clone(),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => return at,
    };
    let below = pointer::child(&at, &token);
    if document.span(&below).is_some() { below } else { at }
}
