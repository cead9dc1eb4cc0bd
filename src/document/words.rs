//! The plain words for values, types and places that messages are made of. Does not decide what is wrong.

use serde_json::Value;

use super::pointer;
pub(super) use crate::words::{listed, or, quoted};

/// What a message calls the value at a pointer.
pub(super) fn subject(at: &str) -> String {
    match pointer::split(at) {
        None => "the document".to_owned(),
        Some((above, token)) => match token.parse::<usize>() {
            Ok(index) if !above.is_empty() => format!("item {} of {}", index + 1, subject(above)),
            Ok(index) => format!("item {}", index + 1),
            Err(_) => quoted(&token),
        },
    }
}

/// What a schema type is called.
pub(super) fn expected(kind: &str) -> &'static str {
    match kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        _ => "empty",
    }
}

/// What a value that stands in the wrong place is called; `plain` is how it was written, if without quotes.
pub(super) fn found(value: &Value, plain: Option<&str>, expected: &[&str]) -> String {
    match value {
        Value::Number(number) if expected.contains(&"integer") => format!("{number} is not whole"),
        Value::Null => "it is empty".to_owned(),
        Value::Bool(truth) => format!("`{}` is a truth value", plain.unwrap_or(if *truth { "true" } else { "false" })),
        Value::Number(number) => numeric(&number.to_string(), plain),
        Value::String(_) => "this is text".to_owned(),
        Value::Array(_) => "this is a list".to_owned(),
        Value::Object(_) => "this is a mapping".to_owned(),
    }
}

fn numeric(number: &str, plain: Option<&str>) -> String {
    match plain.filter(|plain| *plain != number) {
        Some(plain) => format!("`{plain}` is the number {number}"),
        None => format!("{number} is a number"),
    }
}

/// A JSON value as one would write it in YAML, cut if long.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_called_by_their_keys() {
        assert_eq!(subject(""), "the document");
        assert_eq!(subject("/steps/0/with"), "`with`");
        assert_eq!(subject("/steps/1"), "item 2 of `steps`");
        assert_eq!(subject("/checks/0/3"), "item 4 of item 1 of `checks`");
        assert_eq!(subject("/x/a~1b"), "`a/b`");
        assert_eq!(subject("/한\n글"), "`한\\n글`");
    }
}
