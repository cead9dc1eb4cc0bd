//! Parser events → a tree that still knows how everything was written.
//!
//! Mistakes that leave the structure readable (a duplicate key, an unknown tag) are noted, and reading goes on.
//! Does not resolve aliases or merge keys into copies.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::Value;

use super::{scalar, syntax, words};
use crate::diagnostic::{Diagnostic, SourceText};

/// How deep values may stand in each other. Pipelines need about eight levels.
pub(super) const DEPTH_LIMIT: usize = 64;

/// A value as it was written.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
    /// It stands in for something that could not be read.
    pub(super) doubtful: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar {
        value: Value,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<Pair>),
    /// The id of the anchor: owning the target would make chains of aliases as deep as the file is long.
    Alias(usize),
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Key,
    pub(super) value: Rc<Node>,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) range: Range<usize>,
    /// It is the merge key `<<`.
    pub(super) merge: bool,
}

/// What a text was composed to.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Rc<Node>,
    pub(super) anchors: HashMap<usize, Rc<Node>>,
}

/// Reading can not go on; the reason is already noted.
struct Stop;

/// Composes the one document of a text. No tree is given when the text breaks off in the middle of one.
pub(super) fn compose(source: &Arc<SourceText>) -> (Option<Tree>, Vec<Diagnostic>) {
    let mut options = granit_parser::options! { emit_unresolved_aliases: true };
    options.set_emit_comments(false);
    let events = Parser::new_from_str_with_options(&source.text, options);
    let mut composer = Composer { source, events, anchors: HashMap::new(), diagnostics: Vec::new() };
    let root = composer.document().unwrap_or(None);
    let Composer { anchors, diagnostics, .. } = composer;
    (root.map(|root| Tree { root, anchors }), diagnostics)
}

pub(super) struct Composer<'s> {
    pub(super) source: &'s Arc<SourceText>,
    events: Parser<'s, StrInput<'s>>,
    anchors: HashMap<usize, Rc<Node>>,
    diagnostics: Vec<Diagnostic>,
}

/// An event, its range, and the range of its tag.
struct Step<'s> {
    event: Event<'s>,
    range: Range<usize>,
    tag: Option<Range<usize>>,
}

impl<'s> Composer<'s> {
    fn document(&mut self) -> Result<Option<Rc<Node>>, Stop> {
        let mut root = None;
        while let Some(step) = self.next()? {
            match step.event {
                Event::DocumentStart(..) if root.is_some() => {
                    self.report("several-documents", step.range, "a second document begins here, but a file holds one")
                        .help("put it in a file of its own");
                    break;
                }
                Event::DocumentStart(_, Some(version)) if (version.major, version.minor) != (1, 2) => {
                    let message = format!("the file says that it is YAML {}.{}, but it is read as YAML 1.2", version.major, version.minor);
                    self.report("yaml-syntax", step.range, message).help("remove the line `%YAML …`");
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ => root = Some(self.node(step, 0)?),
            }
        }
        let empty = root.as_ref().is_none_or(|node: &Rc<Node>| node.range.is_empty() && matches!(node.kind, Kind::Scalar { .. }));
        if empty && self.diagnostics.is_empty() {
            self.report("empty-file", 0..0, "the file holds nothing");
        }
        Ok(root)
    }

    pub(super) fn report(&mut self, code: &'static str, range: Range<usize>, message: impl Into<String>) -> Report<'_> {
        self.diagnostics.push(Diagnostic::error(code, self.source, range, message));
        Report(self.diagnostics.last_mut())
    }

    fn next(&mut self) -> Result<Option<Step<'s>>, Stop> {
        let Some(next) = self.events.next_event() else { return Ok(None) };
        match next {
            Ok((event, span)) => {
                let tag = span.tag_span().and_then(|tag| tag.byte_range());
                Ok(Some(Step { event, range: span.byte_range().unwrap_or_default(), tag }))
            }
            Err(error) => {
                let found = syntax::explain(self.source, &error);
                if !self.is_echo(&found) {
                    self.diagnostics.push(found);
                }
                Err(Stop)
            }
        }
    }

    /// `{{ name }}/x` without quotes first reads as a mapping and then breaks: one mistake, one report.
    fn is_echo(&self, found: &Diagnostic) -> bool {
        let earlier = self.diagnostics.last().filter(|d| d.code == "unquoted-placeholder");
        earlier.is_some_and(|d| d.place().line == found.place().line)
    }

    fn inner(&mut self) -> Result<Step<'s>, Stop> {
        self.next()?.ok_or(Stop)
    }

    fn node(&mut self, step: Step<'s>, depth: usize) -> Result<Rc<Node>, Stop> {
        if depth > DEPTH_LIMIT {
            self.report("too-deep", step.range, format!("more than {DEPTH_LIMIT} levels stand in each other here"));
            return Err(Stop);
        }
        let (anchor, node) = match step.event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, self.scalar(&text, style, step.range, tag.as_deref().map(|tag| (tag, step.tag))))
            }
            Event::SequenceStart(_, anchor, tag) => {
                let doubtful = self.refuse_tag(tag.as_deref(), "seq", step.tag);
                (anchor, self.list(step.range, doubtful, depth)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                let doubtful = self.refuse_tag(tag.as_deref(), "map", step.tag);
                (anchor, self.map(step.range, doubtful, depth)?)
            }
            Event::Alias(id) => (0, self.alias(id, step.range)),
            Event::UnresolvedAlias(name) => (0, self.unknown_alias(&name, step.range)),
            _ => return Err(Stop),
        };
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn list(&mut self, start: Range<usize>, doubtful: bool, depth: usize) -> Result<Node, Stop> {
        let mut items: Vec<Rc<Node>> = Vec::new();
        loop {
            let step = self.inner()?;
            if matches!(step.event, Event::SequenceEnd) {
                let first = items.first().map_or(start.start, |item| item.range.start);
                let is_block = step.range.is_empty();
                let start = if is_block && start.start == first { self.dash_before(first) } else { start.start };
                let range = enclose(start, &step.range, items.last().map(|item| item.range.end));
                return Ok(Node { range, kind: Kind::List(items), doubtful });
            }
            items.push(self.node(step, depth + 1)?);
        }
    }

    /// A list that is not indented under its key is said to begin at its first item, not at the `-`.
    fn dash_before(&self, item: usize) -> usize {
        let before = self.source.text[..item].trim_end();
        if before.ends_with('-') { before.len() - 1 } else { item }
    }

    fn map(&mut self, start: Range<usize>, mut doubtful: bool, depth: usize) -> Result<Node, Stop> {
        let mut pairs: Vec<Pair> = Vec::new();
        let mut seen: HashMap<String, Range<usize>> = HashMap::new();
        let mut last = None;
        loop {
            let step = self.inner()?;
            if matches!(step.event, Event::MappingEnd) {
                let range = enclose(start.start, &step.range, last);
                return Ok(Node { range, kind: Kind::Map(pairs), doubtful });
            }
            let key = self.key(step, depth)?;
            let step = self.inner()?;
            let value = self.node(step, depth + 1)?;
            let key_end = key.as_ref().map_or(0, |key| key.range.end);
            let is_absent = value.range.is_empty() && matches!(value.kind, Kind::Scalar { value: Value::Null, .. });
            last = Some(if is_absent && key_end > 0 { key_end } else { value.range.end });
            match key {
                Some(key) if self.is_first(&key, &mut seen) => pairs.push(Pair { key, value }),
                Some(_) => {}
                None => doubtful = true,
            }
        }
    }

    fn is_first(&mut self, key: &Key, seen: &mut HashMap<String, Range<usize>>) -> bool {
        if let Some(first) = seen.get(&key.text) {
            let message = format!("the key {} is given twice", words::quoted(&key.text));
            self.report("duplicate-key", key.range.clone(), message).label(first.clone(), "first given here");
            return false;
        }
        seen.insert(key.text.clone(), key.range.clone());
        true
    }

    /// A key must be text; what else stands there is noted, and a scalar is then taken for its text.
    fn key(&mut self, step: Step<'s>, depth: usize) -> Result<Option<Key>, Stop> {
        if let Event::Scalar(text, style, anchor, tag) = &step.event {
            if *anchor != 0 {
                self.report("non-string-key", step.range.clone(), "an anchor can not stand on a key");
            }
            let plain = matches!(style, ScalarStyle::Plain) && tag.is_none();
            let absent = step.range.is_empty();
            if plain && !matches!(scalar::resolve(text), scalar::Meaning::Text) {
                self.odd_key(text, absent, step.range.clone());
            }
            let merge = plain && text == "<<";
            return Ok((!absent || !plain).then(|| Key { text: text.to_string(), range: step.range, merge }));
        }
        let range = step.range.clone();
        let placeholder = syntax::placeholder_around(&self.source.text, range.start);
        let before = self.diagnostics.len();
        let node = self.node(step, depth + 1)?;
        self.diagnostics.truncate(before);
        match placeholder {
            Some(range) => self
                .report("unquoted-placeholder", range, "without quotes, `{{` begins a YAML mapping, not a placeholder")
                .help("put the whole value in quotes: \"{{ … }}\""),
            None => drop(self.report("non-string-key", node.range.clone(), "a key must be text, not a list, a mapping or an alias")),
        }
        Ok(None)
    }

    fn odd_key(&mut self, text: &str, absent: bool, range: Range<usize>) {
        if absent {
            self.report("non-string-key", range, "a key is missing in front of this `:`");
        } else {
            self.report("non-string-key", range, format!("the key `{text}` is not text")).help(format!("write \"{text}\""));
        }
    }

    fn alias(&mut self, id: usize, range: Range<usize>) -> Node {
        if self.anchors.contains_key(&id) {
            return Node { range, kind: Kind::Alias(id), doubtful: false };
        }
        self.report("recursive-alias", range.clone(), "this alias stands inside the value that it names");
        Node { range, kind: Kind::Scalar { value: Value::Null, plain: false }, doubtful: true }
    }

    fn unknown_alias(&mut self, name: &str, range: Range<usize>) -> Node {
        self.report("unknown-alias", range.clone(), format!("there is no anchor `&{name}` above this alias"))
            .help(format!("if text is meant, write \"*{name}\""));
        Node { range, kind: Kind::Scalar { value: Value::Null, plain: false }, doubtful: true }
    }
}

/// A note just made, to which a label or help can be added.
pub(super) struct Report<'d>(Option<&'d mut Diagnostic>);

impl Report<'_> {
    pub(super) fn help(self, help: impl Into<String>) {
        if let Some(diagnostic) = self.0 {
            diagnostic.help = Some(help.into());
        }
    }

    fn label(self, range: Range<usize>, message: &str) {
        if let Some(diagnostic) = self.0 {
            diagnostic.labels.push(crate::diagnostic::Label { range, message: message.to_owned() });
        }
    }
}

/// A flow collection ends with its bracket; a block collection has no end of its own, so it ends with its last value.
fn enclose(start: usize, end: &Range<usize>, last: Option<usize>) -> Range<usize> {
    let end = if end.is_empty() { last.unwrap_or(start) } else { end.end };
    start..end.max(start)
}
