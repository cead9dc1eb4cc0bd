//! The digest that a manifest or receipt holds of itself, so that one edited by hand, or cut and made whole again, is noticed.
//!
//! It is SHA-256 over the document without that field, written compactly with sorted keys, so that neither layout nor order of
//! fields matters. It is no signature: who can write to the store can write a new one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::commit::{ManifestError, parse};
use super::whole::Tally;

/// The field that holds the digest.
const FIELD: &str = "digest";

/// A document with its digest, as pretty JSON with a newline: `cat` and `git diff` are tools too.
pub fn seal(document: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut value = serde_json::to_value(document)?;
    let digest = digest(&value);
    if let Value::Object(fields) = &mut value {
        fields.insert(FIELD.to_owned(), Value::String(digest));
    }
    let mut bytes = serde_json::to_vec_pretty(&value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a document that was sealed.
///
/// # Errors
/// [`ManifestError::Malformed`] when it is not of the right form, [`ManifestError::Edited`] when it is not the one that was sealed.
pub fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ManifestError> {
    check(&parse(bytes)?)?;
    parse(bytes)
}

/// Whether a document is the one that was sealed.
pub(super) fn check(value: &Value) -> Result<(), ManifestError> {
    match value.get(FIELD).and_then(Value::as_str) {
        Some(said) if said == digest(value) => Ok(()),
        Some(_) => Err(ManifestError::Edited { detail: "its content is not what its own digest says" }),
        None => Err(ManifestError::Edited { detail: "the digest of its content is missing" }),
    }
}

fn digest(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text, true);
    let mut tally = Tally::new();
    tally.add(text.as_bytes());
    tally.sha256()
}

fn canonical(value: &Value, out: &mut String, top: bool) {
    match value {
        Value::Object(fields) => object(fields, out, top),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                canonical(item, out, false);
            }
            out.push(']');
        }
        leaf => out.push_str(&leaf.to_string()),
    }
}

fn object(fields: &Map<String, Value>, out: &mut String, top: bool) {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().filter(|(name, _)| !(top && *name == FIELD)).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push('{');
    for (at, (name, value)) in sorted.into_iter().enumerate() {
        out.push_str(if at == 0 { "" } else { "," });
        out.push_str(&Value::String(name.clone()).to_string());
        out.push(':');
        canonical(value, out, false);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn any_change_of_content_is_noticed_and_none_of_layout() {
        let sealed: Value = serde_json::from_slice(&seal(&json!({ "b": [1, { "이름": "주문" }], "a": null })).unwrap()).unwrap();
        check(&sealed).unwrap();
        let moved = json!({ "digest": sealed["digest"], "a": null, "b": [1, { "이름": "주문" }] });
        check(&moved).unwrap();
        for edited in [
            json!({ "digest": sealed["digest"], "a": null, "b": [2, { "이름": "주문" }] }),
            json!({ "digest": sealed["digest"], "a": null, "b": [1, { "이름": "주문" }], "c": 0 }),
            json!({ "a": null, "b": [1, { "이름": "주문" }] }),
        ] {
            assert!(matches!(check(&edited), Err(ManifestError::Edited { .. })), "{edited}");
        }
    }
}
