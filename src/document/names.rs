//! The names that placeholders can use, and what to say about those that do not exist. Does not render anything.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::template::TemplateError;
use super::words;
use crate::words::did_you_mean;

/// The names that placeholders can use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// `vars.*`: values given from outside, such as on the command line. They are literal (a placeholder in them is text)
    /// and win over those that the document declares under `vars`.
    pub vars: Map<String, Value>,
    /// `env.*`: the variables that the document's `env` list allows, and that are set.
    pub env: BTreeMap<String, String>,
    /// `pipeline`: the pipeline's name.
    pub pipeline: String,
}

impl Scope {
    /// The same scope with the `vars` of a document under those given from outside: what [`render`](super::render()) needs for the fields
    /// that [`expand`](super::expand()) left for later.
    #[must_use]
    pub fn with_vars_of(&self, document: &super::Document) -> Self {
        let mut vars = document.value.get("vars").and_then(Value::as_object).cloned().unwrap_or_default();
        vars.extend(self.vars.clone());
        Self { vars, ..self.clone() }
    }

    /// The names as templates see them.
    pub(super) fn names(&self) -> Value {
        json!({ "vars": self.vars, "env": self.env, "pipeline": self.pipeline })
    }

    /// The names that the values under `vars` see: not each other.
    pub(super) fn names_for_vars(&self) -> Value {
        json!({ "env": self.env, "pipeline": self.pipeline })
    }
}

pub(super) fn lookup<'v>(names: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(names, |value, name| value.as_object()?.get(name))
}

/// All names a template uses that do not exist, whether or not the branch they stand in would be taken.
pub(super) fn undefined(text: &str, used: HashSet<String>, names: &Value) -> Vec<TemplateError> {
    let missing = used.into_iter().filter(|path| lookup(names, path).is_none());
    let mut errors: Vec<TemplateError> = missing
        .flat_map(|path| {
            let places = occurrences(text, &path);
            let places = if places.is_empty() { vec![None] } else { places.into_iter().map(Some).collect() };
            places.into_iter().map(move |range| (path.clone(), range))
        })
        .map(|(path, range)| {
            let mut error = TemplateError::new("undefined-name", format!("there is no `{path}`"), range);
            error.help = Some(advice(&path, names));
            error
        })
        .collect();
    errors.sort_by_key(|error| error.range.as_ref().map(|range| range.start));
    errors
}

/// Where a name stands inside placeholders, and not as a part of a longer one.
fn occurrences(text: &str, name: &str) -> Vec<Range<usize>> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |start: &usize| {
        let (before, after) = (&text[..*start], &text[start + name.len()..]);
        let inside = before.rfind("{{").max(before.rfind("{%")) > before.rfind("}}").max(before.rfind("%}"));
        inside && !before.ends_with(|c| part(c) || c == '.') && !after.starts_with(part)
    };
    text.match_indices(name).map(|(start, _)| start).filter(alone).map(|start| start..start + name.len()).collect()
}

fn advice(path: &str, names: &Value) -> String {
    let (root, leaf) = path.split_once('.').unwrap_or((path, path));
    match root {
        "secrets" | "secret" => return "secrets are never put into text; a field that takes one is given { secret: name }".to_owned(),
        "run" if names.get("run").is_none() => {
            return "`run` is known only while a run goes on; fields that can use it say so".to_owned();
        }
        "vars" if names.get("vars").is_none() => {
            return "values under `vars` can use `env` and `pipeline`, but not each other".to_owned();
        }
        _ => {}
    }
    let known = known(names);
    let names_here = match words::listed(known.iter().map(String::as_str)) {
        list if list.is_empty() => "there are no names here".to_owned(),
        list => format!("the names here are {list}"),
    };
    match meant(root, leaf, &known) {
        Some(meant) => format!("did you mean `{meant}`? {names_here}"),
        None if root == "env" => format!("name the variable in the list `env` and set it; {names_here}"),
        None => names_here,
    }
}

/// The name that was meant: the same or a near word under the same root, else the word itself under another.
fn meant<'k>(root: &str, leaf: &str, known: &'k [String]) -> Option<&'k str> {
    let leaf_of = |name: &'k str| name.rsplit('.').next().unwrap_or(name);
    let under: Vec<&str> = known.iter().map(String::as_str).filter(|name| name.split('.').next() == Some(root)).collect();
    let word = leaf.split('.').next().unwrap_or(leaf);
    let near = did_you_mean(word, under.iter().map(|name| leaf_of(name)));
    let anywhere = || known.iter().map(String::as_str).find(|name| leaf_of(name) == leaf);
    let root_meant = || did_you_mean(root, known.iter().map(String::as_str).filter(|name| !name.contains('.')));
    near.and_then(|near| under.iter().copied().find(|name| leaf_of(name) == near)).or_else(anywhere).or_else(root_meant)
}

fn known(names: &Value) -> Vec<String> {
    let mut known = Vec::new();
    for (root, value) in names.as_object().into_iter().flatten() {
        match value {
            Value::Object(children) => known.extend(children.keys().map(|name| format!("{root}.{name}"))),
            _ => known.push(root.clone()),
        }
    }
    known
}
