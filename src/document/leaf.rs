//! Scalars and tags: what a leaf of the tree means, by its style, its tag and its characters.
//!
//! Does not follow the structure around it.

use std::ops::Range;

use granit_parser::{ScalarStyle, Tag};
use serde_json::Value;

use super::compose::{Composer, Kind, Node};
use super::scalar;

impl Composer<'_> {
    pub(super) fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        range: Range<usize>,
        tag: Option<(&Tag, Option<Range<usize>>)>,
    ) -> Node {
        let plain = matches!(style, ScalarStyle::Plain) && tag.is_none();
        let range = trim(&self.source.text, range);
        let (value, doubtful) = match tag {
            Some((tag, place)) => self.tagged(text, tag, place.unwrap_or(range.clone())),
            None if plain => self.plain(text, &range),
            None => (Value::from(text), false),
        };
        Node { range, kind: Kind::Scalar { value, plain }, doubtful }
    }

    fn plain(&mut self, text: &str, range: &Range<usize>) -> (Value, bool) {
        match scalar::resolve(text) {
            scalar::Meaning::Value(value) => (value, false),
            scalar::Meaning::Text => (Value::from(text), false),
            scalar::Meaning::Unfit(reason) => {
                self.report("out-of-range", range.clone(), format!("`{text}` {reason}"))
                    .help(format!("if text is meant, write \"{text}\""));
                (Value::from(text), true)
            }
        }
    }

    fn tagged(&mut self, text: &str, tag: &Tag, place: Range<usize>) -> (Value, bool) {
        let meaning = match tag.core_suffix() {
            Some("str") => return (Value::from(text), false),
            None if tag.handle().is_empty() && tag.suffix() == "!" => return (Value::from(text), false),
            Some("null" | "bool" | "int" | "float") => scalar::resolve(text),
            _ => {
                self.unknown_tag(tag, place);
                return (Value::from(text), true);
            }
        };
        match (tag.core_suffix(), meaning) {
            (Some("null"), scalar::Meaning::Value(value @ Value::Null))
            | (Some("bool"), scalar::Meaning::Value(value @ Value::Bool(_)))
            | (Some("int" | "float"), scalar::Meaning::Value(value @ Value::Number(_))) => (value, false),
            _ => {
                self.report("unknown-tag", place, format!("`{text}` is not what its tag `{}` says", tag.original()));
                (Value::from(text), true)
            }
        }
    }

    pub(super) fn refuse_tag(&mut self, tag: Option<&Tag>, own: &str, place: Option<Range<usize>>) -> bool {
        match tag {
            Some(tag) if tag.core_suffix() != Some(own) => {
                self.unknown_tag(tag, place.unwrap_or_default());
                true
            }
            _ => false,
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, place: Range<usize>) {
        self.report("unknown-tag", place, format!("tags such as `{}` have no meaning here", tag.original()))
            .help("write the value without a tag; a secret is given as { secret: name }");
    }
}

/// Block scalars claim the line breaks behind them.
fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let kept = text.get(range.clone()).map_or(0, |slice| slice.trim_end_matches(['\n', '\r']).len());
    range.start..range.start + kept
}
