//! What is read off a template's text before the engine reads it: statements, whole placeholders, what is never closed.
//! Does not compute anything.

use super::fault::Fault;
use crate::words;

/// The statements that may stand in `{% … %}`. Without `set` and its kin no text can double itself.
const STATEMENTS: [&str; 8] = ["if", "elif", "else", "endif", "for", "endfor", "raw", "endraw"];

/// Whether a text holds placeholders.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

pub(super) fn refused_statements(text: &str) -> Vec<Fault> {
    let refused = text.match_indices("{%").filter_map(|(open, _)| {
        let rest = text[open + 2..].trim_start_matches(['-', '+']).trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..end];
        let start = text.len() - rest.len();
        (!word.is_empty() && !STATEMENTS.contains(&word)).then(|| {
            Fault::syntax(format!("`{word}` is not a statement here"), Some(start..start + end))
                .help(format!("there are {}", words::listed(["if", "elif", "else", "for", "raw"])))
        })
    });
    refused.collect()
}

/// The expression of a text that is one placeholder and nothing else, and the byte it begins at.
pub(super) fn only_placeholder(text: &str) -> Option<(usize, &str)> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    let more = ["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark));
    let inner = inner.trim();
    (!more).then(|| (text.find(inner).unwrap_or_default(), inner))
}

/// The usual syntax error, which the engine notices only at the end of the text.
pub(super) fn unclosed(text: &str) -> Option<Fault> {
    let (open, close) = if text.rfind("{{") > text.rfind("{%") { ("{{", "}}") } else { ("{%", "%}") };
    let start = text.rfind(open)?;
    let never = !text[start..].contains(close);
    never.then(|| Fault::syntax(format!("this `{open}` is never closed with `{close}`"), Some(start..start + 2)))
}
