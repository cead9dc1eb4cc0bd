//! The names that placeholders can use, and what to say about those that do not exist. Does not render anything.

use std::collections::HashSet;
use std::ops::Range;

use serde_json::Value;

use super::fault::Fault;
use crate::words::{did_you_mean, listed};

/// The names that the placeholders of one text can use: the keys of a mapping, and dotted, the keys of mappings in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    values: Value,
    remarks: Vec<(&'static str, &'static str)>,
}

impl Names {
    /// The keys of this mapping.
    pub const fn of(values: Value) -> Self {
        Self { values, remarks: Vec::new() }
    }

    /// With one name more, or another value of it.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        if let Some(names) = self.values.as_object_mut() {
            names.insert(name.to_owned(), value);
        }
        self
    }

    /// With remarks on first parts of names: of a name that does not exist, the remark is said. Where the first part
    /// does not exist either, nothing else is said; where it does, the names that exist are told too.
    #[must_use]
    pub fn remarks(mut self, remarks: &[(&'static str, &'static str)]) -> Self {
        self.remarks.extend(remarks);
        self
    }

    /// The value of a dotted name.
    pub(super) fn value(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.values, |value, name| value.as_object()?.get(name))
    }

    pub(super) const fn values(&self) -> &Value {
        &self.values
    }

    /// All names a template uses that do not exist, whether or not the branch they stand in would be taken.
    pub(super) fn undefined(&self, text: &str, used: HashSet<String>) -> Vec<Fault> {
        let missing = used.into_iter().filter(|path| self.value(path).is_none());
        let mut faults: Vec<Fault> = missing
            .flat_map(|path| {
                let places = occurrences(text, &path);
                let places = if places.is_empty() { vec![None] } else { places.into_iter().map(Some).collect() };
                places.into_iter().map(move |range| (path.clone(), range))
            })
            .map(|(path, range)| Fault::undefined(format!("there is no `{path}`"), range).help(self.advice(&path)))
            .collect();
        faults.sort_by(|a, b| (a.range.as_ref().map(|r| r.start), &a.message).cmp(&(b.range.as_ref().map(|r| r.start), &b.message)));
        faults
    }

    fn advice(&self, path: &str) -> String {
        let (root, leaf) = path.split_once('.').unwrap_or((path, path));
        let remark = self.remarks.iter().find(|(of, _)| *of == root).map(|(_, remark)| *remark);
        if let (Some(remark), None) = (remark, self.values.get(root)) {
            return remark.to_owned();
        }
        let known = self.known();
        let names_here = match listed(known.iter().map(String::as_str)) {
            list if list.is_empty() => "there are no names here".to_owned(),
            list => format!("the names here are {list}"),
        };
        match (meant(root, leaf, &known), remark) {
            (Some(meant), _) => format!("did you mean `{meant}`? {names_here}"),
            (None, Some(remark)) => format!("{remark}; {names_here}"),
            (None, None) => names_here,
        }
    }

    fn known(&self) -> Vec<String> {
        let mut known = Vec::new();
        for (root, value) in self.values.as_object().into_iter().flatten() {
            match value {
                Value::Object(children) => known.extend(children.keys().map(|name| format!("{root}.{name}"))),
                _ => known.push(root.clone()),
            }
        }
        known
    }
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
