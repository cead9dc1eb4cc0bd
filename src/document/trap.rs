//! Values that YAML reads otherwise than their author: what to write instead, and warnings about those that pass here
//! but are something else to other readers. Does not find type errors itself.

use std::collections::HashSet;

use serde_json::Value;

use super::scalar::{self, Meaning};
use super::{Document, Schema};
use crate::diagnostic::Diagnostic;

/// How to cure a value of the wrong type, if the way it was written tells. `plain` is the scalar without quotes.
pub(super) fn cure(value: &Value, plain: Option<&str>, expected: &[&str]) -> Option<String> {
    let wants = |kind: &str| expected.contains(&kind);
    match (value, plain) {
        (Value::Bool(_) | Value::Number(_), Some(plain)) if wants("string") => Some(format!("write \"{plain}\"")),
        (Value::Null, Some(plain)) if wants("string") && !plain.is_empty() => Some(format!("write \"{plain}\"")),
        (Value::Null, _) if wants("object") => Some("write its keys below it, indented".to_owned()),
        (Value::String(text), _) => text_cure(text, plain.is_some(), expected),
        (Value::Array(items), _) if wants("object") && items.iter().all(Value::is_object) => {
            Some("write its keys without `- ` in front".to_owned())
        }
        (Value::Bool(_) | Value::Number(_), Some(plain)) if wants("array") => Some(format!("write [{plain}]")),
        _ => None,
    }
}

fn text_cure(text: &str, plain: bool, expected: &[&str]) -> Option<String> {
    let wants = |kind: &str| expected.contains(&kind);
    let numeric = wants("integer") || wants("number");
    let meant = scalar::older_meaning(text);
    let meant = meant.as_deref();
    if wants("boolean") && matches!(meant, Some("true" | "false")) {
        return meant.map(|truth| format!("write {truth}"));
    }
    let spelling = |m: &&str| !text.contains(':') && matches!(scalar::resolve(m), Meaning::Value(Value::Number(_)));
    if numeric && let Some(number) = meant.filter(spelling) {
        return Some(format!("write {number}"));
    }
    match scalar::resolve(text) {
        Meaning::Value(Value::Bool(truth)) if wants("boolean") && !plain => Some(format!("write {truth} without quotes")),
        Meaning::Value(Value::Number(_)) if numeric && !plain => Some(format!("write {text} without quotes")),
        _ if wants("array") && !text.contains('\n') => Some(format!("write [{text}]")),
        _ => None,
    }
}

/// Warnings about scalars without quotes that the schema takes here, but that readers of YAML 1.1 take for something
/// else: text such as `no` or `12:30` where text is asked for, and numbers such as `0644`.
pub(super) fn warnings(document: &Document, schema: &Schema, complained: &HashSet<String>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for at in document.pointers().filter(|at| !complained.contains(*at)) {
        let Some((plain, older)) = document.plain(at).and_then(|plain| Some((plain, scalar::older_meaning(plain)?))) else { continue };
        let kinds: Vec<&str> = schema.at(&document.value, at).iter().flat_map(|object| kinds(object)).collect();
        let value = document.value.pointer(at).unwrap_or(&Value::Null);
        let cure = match value {
            Value::String(_) if kinds.contains(&"string") => format!("write \"{plain}\""),
            Value::Number(number) if kinds.contains(&"integer") || kinds.contains(&"number") => format!("write {number}"),
            _ => continue,
        };
        let here = if value.is_string() { "text" } else { "decimal" };
        let message = format!("`{plain}` is {here} here, but {older} to other YAML readers");
        found.push(document.error("yaml-trap", at, message).warning().help(cure));
    }
    found
}

fn kinds(schema: &serde_json::Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
