//! Document × schema → diagnostics. Does not word them: that is done error by error in `explain`.

use std::collections::HashSet;

use super::explain::Examiner;
use super::{Document, Schema, pointer, trap};
use crate::diagnostic::Diagnostic;

/// Says everything that a schema objects to in a document, in the order of the text, and warns of values that other YAML
/// readers take for something else.
pub fn check(document: &Document, schema: &Schema) -> Vec<Diagnostic> {
    let examiner = Examiner { document, schema };
    let errors: Vec<_> = schema.validator.iter_errors(&document.value).collect();
    let mut found = Vec::new();
    for error in &errors {
        examiner.explain(error, &mut found);
    }
    // The words may fail, the verdict must not: what the validator refuses is never passed.
    if let (true, Some(error)) = (found.is_empty(), errors.first()) {
        found.push(examiner.refusal(error));
    }
    found.retain(|diagnostic| !document.is_doubtful(&diagnostic.pointer));
    let complained: HashSet<String> = found.iter().map(|diagnostic| diagnostic.pointer.clone()).collect();
    found.extend(trap::warnings(document, schema, &complained));
    tidy(found)
}

/// One mistake, one report: a value of the wrong type breaks every other rule of its place too.
fn tidy(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mistyped: HashSet<String> = found.iter().filter(|d| d.code == "wrong-type").map(|d| d.pointer.clone()).collect();
    found.retain(|d| d.code == "wrong-type" || d.code == "missing-key" || !mistyped.contains(&d.pointer));
    let renamed: HashSet<(String, String)> = found.iter().filter_map(misspelling).collect();
    found.retain(|d| d.code != "missing-key" || missing(d).is_none_or(|key| !renamed.contains(&(d.pointer.clone(), key.to_owned()))));
    found.sort_by(|a, b| (a.range.start, a.range.end, a.code).cmp(&(b.range.start, b.range.end, b.code)));
    found.dedup_by(|a, b| a.code == b.code && a.range == b.range && (a.code != "missing-key" || a.message == b.message));
    found
}

/// The mapping in which a key was misspelt, and the key that was meant: it is then not missing too.
fn misspelling(unknown: &Diagnostic) -> Option<(String, String)> {
    let meant = unknown.help.as_deref()?.strip_prefix("did you mean `")?.strip_suffix("`?")?;
    let (above, _) = pointer::split(&unknown.pointer).filter(|_| unknown.code == "unknown-key")?;
    Some((above.to_owned(), meant.to_owned()))
}

/// The key that a `missing-key` names.
fn missing(diagnostic: &Diagnostic) -> Option<&str> {
    diagnostic.message.strip_prefix('`')?.split('`').next()
}
