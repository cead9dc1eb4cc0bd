//! Placeholders in a document's values, replaced on the tree: no template ever touches the text, and no value that was
//! put in is read as a template again. Does not know which fields there are.

use std::ops::Range;

use serde_json::Value;

use super::names::Scope;
use super::{Document, Entry, Span, pointer, words};
use crate::diagnostic::Diagnostic;
use crate::template::{Engine, Fault, is_template};

/// What becomes of a text with placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholders {
    /// They are replaced; a text that is one placeholder and nothing else becomes the value that it names.
    Now,
    /// A [`Template`](crate::template::Template) keeps it until a run starts. It is tried exactly as it will be rendered then,
    /// on the words of a made-up run, and stays as it is.
    AtRun,
    /// Other places copy it, where it is one or the other. It is tried with all names, and stays as it is.
    Copied,
    /// Its names are none of a document's: whoever owns the field tries it.
    Foreign,
}

/// Replaces the placeholders of a document. `kind` says of the value at a pointer of the whole document what becomes of it.
///
/// Values under `vars` come first; they see `env` and `pipeline` only.
pub fn expand(document: &mut Document, scope: &Scope, kind: &dyn Fn(&Value, &str) -> Placeholders) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut templates = Vec::new();
    walk(document, "", &document.value, &mut templates, &mut found);
    if templates.is_empty() {
        return found;
    }
    let engine = Engine::new();
    let (vars, rest): (Vec<_>, Vec<_>) = templates.into_iter().partition(|(at, _)| at.starts_with("/vars/"));
    let names = scope.names_for_vars();
    for (at, text) in vars {
        settle(document, &at, engine.value(&text, &names), true, &mut found);
    }
    let (names, with_run) = (scope.names(document), scope.names_for_run(document));
    for (at, text) in rest {
        match kind(&document.value, &at) {
            Placeholders::Now => settle(document, &at, engine.value(&text, &names), true, &mut found),
            Placeholders::AtRun => settle(document, &at, engine.text(&text, &with_run).map(Value::from), false, &mut found),
            Placeholders::Copied => settle(document, &at, engine.value(&text, &with_run), false, &mut found),
            Placeholders::Foreign => {}
        }
    }
    found.sort_by_key(|d| d.range.start);
    found.dedup_by(|a, b| (a.code, &a.range, &a.message) == (b.code, &b.range, &b.message));
    found
}

fn walk(document: &Document, at: &str, value: &Value, templates: &mut Vec<(String, String)>, found: &mut Vec<Diagnostic>) {
    match value {
        Value::String(text) if is_template(text) => templates.push((at.to_owned(), text.clone())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(document, &format!("{at}/{index}"), item, templates, found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let below = pointer::child(at, key);
                if is_template(key) {
                    let message = format!("the key {} has a placeholder, but only values can have them", words::quoted(key));
                    found.push(document.key_error("placeholder-in-key", &below, message));
                }
                walk(document, &below, value, templates, found);
            }
        }
        _ => {}
    }
}

fn settle(document: &mut Document, at: &str, value: Result<Value, Vec<Fault>>, replace: bool, found: &mut Vec<Diagnostic>) {
    match value {
        Ok(value) if replace => put(document, at, value),
        Ok(_) => {}
        Err(faults) => {
            found.extend(faults.into_iter().map(|fault| diagnostic(document, at, fault)));
            document.doubtful.insert(at.to_owned());
        }
    }
}

/// Puts a value in; whatever is inside it stands where the placeholder stood.
fn put(document: &mut Document, at: &str, value: Value) {
    if let Some(entry) = document.entries.get_mut(at) {
        entry.written = None;
        let range = entry.span.value.clone();
        cover(document, at, &value, &range);
    }
    if let Some(place) = document.value.pointer_mut(at) {
        *place = value;
    }
}

fn cover(document: &mut Document, at: &str, value: &Value, range: &Range<usize>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (format!("{at}/{index}"), item)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (pointer::child(at, key), value)).collect(),
        _ => return,
    };
    for (below, child) in children {
        let span = Span { key: None, value: range.clone() };
        document.entries.insert(below.clone(), Entry { span, written: None });
        cover(document, &below, child, range);
    }
}

fn diagnostic(document: &Document, at: &str, fault: Fault) -> Diagnostic {
    let range = place(document, at, fault.range.as_ref()).unwrap_or_else(|| document.value_range(at));
    let diagnostic = Diagnostic::error(fault.code, &document.source, range, fault.message).at(at);
    match fault.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// Where bytes of a scalar's value stand in the text. Quotes, escapes and folded lines shift them, so this goes by the
/// placeholder they are in: the second `{{` of the value is the second `{{` of the text.
fn place(document: &Document, at: &str, range: Option<&Range<usize>>) -> Option<Range<usize>> {
    let written = document.entries.get(at)?.written.as_ref()?.range.clone();
    let raw = document.source.text.get(written.clone())?;
    let value = document.value.pointer(at)?.as_str()?;
    let wanted = range.cloned().unwrap_or_else(|| openings(value).next().map_or(0..0, |open| open..open + 2));
    let nth = openings(value).take_while(|open| *open <= wanted.start).count().saturating_sub(1);
    let (open, raw_open) = (openings(value).nth(nth)?, openings(raw).nth(nth)?);
    let start = written.start + raw_open;
    let same = wanted.start >= open && raw.get(raw_open..)?.starts_with(value.get(open..wanted.end)?);
    if same { Some(start + wanted.start - open..start + wanted.end - open) } else { Some(start..start + 2) }
}

fn openings(text: &str) -> impl Iterator<Item = usize> {
    let pairs = text.as_bytes().windows(2).enumerate();
    let mut after = 0;
    pairs.filter_map(move |(at, pair)| {
        let opens = at >= after && matches!(pair, b"{{" | b"{%");
        if opens {
            after = at + 2;
        }
        opens.then_some(at)
    })
}
