//! What stands in a text and should not: literal secrets, hidden in everything that is said about it.
//!
//! A diagnostic shows the line it is about, and a line can hold a password that somebody wrote where a reference belongs.
//! Does not decide what is wrong.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::{Document, Schema, pointer};
use crate::diagnostic::{Diagnostic, SourceText};

/// The keys whose values look like secrets even in a text that can not be read.
const TELLTALE: [&str; 8] = ["password", "passphrase", "secret_key", "access_key", "routing_key", "api_key", "token", "pgpassword"];

/// Hidden text shorter than this is not searched for in messages: it would garble the words around it.
const SHORT: usize = 4;

/// What stands in for hidden text in a message.
const STAND_IN: &str = "***";

/// Hides literal secrets: in the excerpts that diagnostics show, and in their messages. `document` is what could be read.
pub fn conceal(source: &Arc<SourceText>, document: Option<&Document>, schema: &Schema, diagnostics: &mut [Diagnostic]) {
    let mut hidden = telltale(&source.text);
    let mut words: Vec<String> = Vec::new();
    if let Some(document) = document {
        for at in pointers(document, schema, diagnostics) {
            hidden.extend(document.written_range(&at));
            words.extend(document.value.pointer(&at).and_then(Value::as_str).map(str::to_owned));
        }
    }
    if hidden.is_empty() {
        return;
    }
    words.extend(hidden.iter().filter_map(|range| source.text.get(range.clone())).map(|text| text.trim_matches(['"', '\'']).to_owned()));
    words.retain(|word| word.len() >= SHORT);
    let masked = Arc::new(SourceText { path: source.path.clone(), text: masked(&source.text, &hidden), marked: source.marked });
    for diagnostic in diagnostics.iter_mut().filter(|diagnostic| Arc::ptr_eq(&diagnostic.source, source)) {
        diagnostic.source = Arc::clone(&masked);
        let clean = |text: &str| words.iter().fold(text.to_owned(), |text, word| text.replace(word, STAND_IN));
        diagnostic.message = clean(&diagnostic.message);
        diagnostic.help = diagnostic.help.as_deref().map(clean);
        for label in &mut diagnostic.labels {
            label.message = clean(&label.message);
        }
    }
}

/// The places of scalars to hide: literals where a reference belongs, whatever stands beside a reference, and addresses
/// with a password in them.
fn pointers(document: &Document, schema: &Schema, diagnostics: &[Diagnostic]) -> Vec<String> {
    let literal = diagnostics.iter().filter(|d| d.code == "literal-secret" || d.code == "unknown-key" && is_beside(document, schema, d));
    let roots: Vec<&str> = literal.map(|diagnostic| diagnostic.pointer.as_str()).collect();
    let below = |at: &str| roots.iter().any(|root| at.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    let scalar = |at: &str| document.value.pointer(at).is_some_and(|value| !value.is_object() && !value.is_array());
    let address = |at: &str| document.value.pointer(at).and_then(Value::as_str).is_some_and(holds_password);
    document.pointers().filter(|at| scalar(at) && (below(at) || address(at))).map(str::to_owned).collect()
}

/// Whether a key stands in a mapping that says where a secret comes from.
fn is_beside(document: &Document, schema: &Schema, diagnostic: &Diagnostic) -> bool {
    pointer::split(&diagnostic.pointer).is_some_and(|(above, _)| schema.secret_form(&document.value, above).is_some())
}

/// `scheme://user:password@host`, or libpq's `password=`.
fn holds_password(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    let user = authority.and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
    user.is_some_and(|user| user.split_once(':').is_some_and(|(_, password)| !password.is_empty())) || text.contains("password=")
}

/// Values behind telling keys that are plainly no reference, found without reading the text as YAML.
fn telltale(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for word in TELLTALE {
        for (start, _) in text.match_indices(word) {
            let behind = start + word.len();
            let rest = text[behind..].trim_start_matches(['"', '\'']);
            let Some(value) = rest.strip_prefix(':').filter(|value| value.starts_with([' ', '\t'])) else { continue };
            let line = value.split(['\n', '\r']).next().unwrap_or(value);
            let line = line.split(" #").next().unwrap_or(line);
            let cut = line.split([',', '}']).next().unwrap_or(line).trim();
            if !cut.is_empty() && !cut.starts_with(['{', '[', '*', '&', '|', '>', '#']) {
                let at = text.len() - value.len() + (line.len() - line.trim_start().len());
                found.push(at..at + cut.len());
            }
        }
    }
    found
}

/// The text with stars in these places: as many bytes and as many characters as before, so that every place stays.
fn masked(text: &str, hidden: &[Range<usize>]) -> String {
    let is_hidden = |at: usize| hidden.iter().any(|range| range.contains(&at));
    let star = |c: char| match c.len_utf8() {
        1 => '*',
        2 => '\u{d7}',
        3 => '\u{2022}',
        _ => '\u{1d7ce}',
    };
    text.char_indices().map(|(at, c)| if is_hidden(at) && !c.is_whitespace() && !matches!(c, '"' | '\'') { star(c) } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_a_password_are_known() {
        for bad in ["postgresql://u:pw@h/d", "https://key:가나@h", "host=h password=x"] {
            assert!(holds_password(bad), "{bad}");
        }
        for good in ["postgresql://u@h:5432/d", "https://h:1/a@b:c", "u:p@h", "postgresql://u:@h"] {
            assert!(!holds_password(good), "{good}");
        }
    }

    #[test]
    fn masking_keeps_every_offset_and_column() {
        let text = "p: \"가a😀\u{e9}\" # x";
        let masked = masked(text, std::slice::from_ref(&(3..15)));
        assert_eq!(masked.len(), text.len());
        assert_eq!(masked.chars().count(), text.chars().count());
        assert_eq!(masked, "p: \"•*\u{1d7ce}\u{d7}\" # x");
    }

    #[test]
    fn telling_keys_are_found_in_text_that_is_no_yaml() {
        let shown = |text: &str| masked(text, &telltale(text));
        assert_eq!(shown("{ password: hunter2, x: ["), "{ password: *******, x: [");
        assert_eq!(shown("passphrase: \"a b\" # c\n\tx"), "passphrase: \"* *\" # c\n\tx");
        assert_eq!(shown("password: { secret: pw }"), "password: { secret: pw }");
        assert_eq!(shown("# password:x"), "# password:x");
    }
}
