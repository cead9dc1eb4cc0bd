//! Tree → JSON value and places: aliases and merge keys become copies, within a budget. Does not read text.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::compose::{DEPTH_LIMIT, Key, Kind, Node, Tree};
use super::{Document, Entry, Span, Written, pointer};
use crate::diagnostic::{Diagnostic, SourceText};

/// How many values aliases may copy in one document, and how many bytes of text: far more than a hand-written file
/// needs, far less than an alias bomb wants.
const COPIED_VALUES: usize = 10_000;
const COPIED_BYTES: usize = 1 << 20;

/// Makes the document of a tree.
pub(super) fn lower(source: Arc<SourceText>, tree: &Tree) -> (Document, Vec<Diagnostic>) {
    let mut lowering = Lowering {
        source: &source,
        tree,
        entries: HashMap::new(),
        doubtful: HashSet::new(),
        diagnostics: Vec::new(),
        values: COPIED_VALUES,
        bytes: COPIED_BYTES,
        copying: None,
    };
    let value = lowering.node(&tree.root, "", None);
    let Lowering { entries, doubtful, diagnostics, .. } = lowering;
    (Document { source, value, entries, doubtful }, diagnostics)
}

struct Lowering<'t> {
    source: &'t Arc<SourceText>,
    tree: &'t Tree,
    entries: HashMap<String, Entry>,
    doubtful: HashSet<String>,
    diagnostics: Vec<Diagnostic>,
    values: usize,
    bytes: usize,
    /// The outermost alias being copied.
    copying: Option<Range<usize>>,
}

/// A key and value of a mapping after its merge keys were followed.
struct Effective<'t> {
    key: &'t Key,
    value: &'t Node,
    merged: bool,
}

#[derive(Default)]
struct Gathered<'t> {
    pairs: Vec<Effective<'t>>,
    seen: HashSet<&'t str>,
}

impl<'t> Lowering<'t> {
    fn node(&mut self, node: &'t Node, at: &str, key: Option<&Range<usize>>) -> Value {
        if !self.admit(node, at) {
            self.place(at, key, node, None);
            self.doubtful.insert(at.to_owned());
            return Value::Null;
        }
        if node.doubtful {
            self.doubtful.insert(at.to_owned());
        }
        match &node.kind {
            Kind::Scalar { value, plain } => {
                self.place(at, key, node, Some(Written { plain: *plain, range: node.range.clone() }));
                value.clone()
            }
            Kind::List(items) => {
                self.place(at, key, node, None);
                items.iter().enumerate().map(|(index, item)| self.node(item, &format!("{at}/{index}"), None)).collect()
            }
            Kind::Map(_) => {
                self.place(at, key, node, None);
                self.map(node, at)
            }
            Kind::Alias(_) => self.alias(node, at, key),
        }
    }

    fn place(&mut self, at: &str, key: Option<&Range<usize>>, node: &Node, written: Option<Written>) {
        let span = Span { key: key.cloned(), value: node.range.clone() };
        self.entries.insert(at.to_owned(), Entry { span, written });
    }

    /// Whether one more value fits the depth and, inside an alias, the budget.
    fn admit(&mut self, node: &Node, at: &str) -> bool {
        if at.bytes().filter(|b| *b == b'/').count() > DEPTH_LIMIT {
            self.report("too-deep", &node.range, format!("aliases nest values more than {DEPTH_LIMIT} levels deep"));
            return false;
        }
        let text = if let Kind::Scalar { value: Value::String(text), .. } = &node.kind { text.len() } else { 0 };
        self.copying.is_none() || self.spend(text)
    }

    fn spend(&mut self, bytes: usize) -> bool {
        if self.values == 0 || self.bytes < bytes {
            let place = self.copying.clone().unwrap_or_default();
            let message = "aliases blow this document up beyond any use";
            self.report("alias-bomb", &place, format!("{message} (more than {COPIED_VALUES} values or {} MiB)", COPIED_BYTES >> 20));
            self.values = 0;
            return false;
        }
        self.values -= 1;
        self.bytes -= bytes;
        true
    }

    /// Limits are reported once: what follows from one is the same mistake.
    fn report(&mut self, code: &'static str, range: &Range<usize>, message: String) {
        if !self.diagnostics.iter().any(|d| d.code == code) {
            self.diagnostics.push(Diagnostic::error(code, self.source, range.clone(), message));
        }
    }

    fn alias(&mut self, node: &'t Node, at: &str, key: Option<&Range<usize>>) -> Value {
        let outer = self.enter(&node.range);
        let value = self.node(self.follow(node), at, key);
        self.copying = outer;
        if let Some(entry) = self.entries.get_mut(at) {
            entry.span.value = node.range.clone();
        }
        value
    }

    fn enter(&mut self, alias: &Range<usize>) -> Option<Range<usize>> {
        let outer = self.copying.clone();
        self.copying.get_or_insert_with(|| alias.clone());
        outer
    }

    fn map(&mut self, node: &'t Node, at: &str) -> Value {
        let mut gathered = Gathered::default();
        self.gather(node, 0, &mut gathered);
        let mut map = Map::new();
        for Effective { key, value, merged } in gathered.pairs {
            let outer = self.copying.clone();
            if merged {
                self.enter(&value.range);
            }
            let value = self.node(value, &pointer::child(at, &key.text), Some(&key.range));
            self.copying = outer;
            map.insert(key.text.clone(), value);
        }
        Value::Object(map)
    }

    /// A mapping's own keys, then those of its merges that it does not have (<https://yaml.org/type/merge.html>).
    fn gather(&mut self, node: &'t Node, depth: usize, into: &mut Gathered<'t>) {
        let Kind::Map(pairs) = &node.kind else { return };
        for pair in pairs.iter().filter(|pair| !pair.key.merge) {
            if into.seen.insert(&pair.key.text) {
                into.pairs.push(Effective { key: &pair.key, value: &pair.value, merged: depth > 0 });
            }
        }
        for pair in pairs.iter().filter(|pair| pair.key.merge) {
            let outer = self.enter(&pair.value.range);
            for source in self.merge_sources(&pair.value) {
                if depth >= DEPTH_LIMIT {
                    self.report("too-deep", &pair.value.range, format!("merge keys follow each other more than {DEPTH_LIMIT} times"));
                } else if self.spend(0) {
                    self.gather(source, depth + 1, into);
                }
            }
            self.copying = outer;
        }
    }

    fn merge_sources(&mut self, value: &'t Node) -> Vec<&'t Node> {
        let target = self.follow(value);
        let sources: Vec<&Node> = match &target.kind {
            Kind::List(items) => items.iter().map(|item| self.follow(item)).collect(),
            _ => vec![target],
        };
        let (maps, others): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| matches!(source.kind, Kind::Map(_)));
        if others.iter().any(|other| !other.doubtful) {
            let message = "`<<` takes a mapping or a list of mappings".to_owned();
            self.diagnostics.push(Diagnostic::error("bad-merge", self.source, value.range.clone(), message));
        }
        maps
    }

    /// The value behind an alias. An anchor never stands on an alias, so one step is enough.
    fn follow(&self, node: &'t Node) -> &'t Node {
        match &node.kind {
            Kind::Alias(id) => self.tree.anchors.get(id).map_or(node, |target| target),
            _ => node,
        }
    }
}
