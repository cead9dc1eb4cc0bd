//! Words for what the YAML parser refuses, with the usual cause and cure. Does not parse.

use std::ops::Range;
use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use crate::diagnostic::{Diagnostic, SourceText};

/// The diagnostic of a parser error.
pub(super) fn explain(source: &Arc<SourceText>, error: &ScanError) -> Diagnostic {
    let at = error.marker().byte_offset().unwrap_or(source.text.len()).min(source.text.len());
    if let Some(range) = placeholder_before(&source.text, at) {
        return Diagnostic::error("unquoted-placeholder", source, range, "without quotes, `{{` begins a YAML mapping, not a placeholder")
            .help("put the whole value in quotes: \"{{ … }}\"");
    }
    let code = if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) { "too-deep" } else { "yaml-syntax" };
    let (message, help) = words(error.kind());
    let mut diagnostic = Diagnostic::error(code, source, one_character(&source.text, exact(&source.text, at, error.kind())), message);
    if is_quote(error.kind())
        && let Some(open) = opening_quote(&source.text, at)
    {
        diagnostic = diagnostic.label(open..open + 1, "this quote may be the one that is not closed");
    }
    if help.is_empty() { diagnostic } else { diagnostic.help(help) }
}

/// The parser stops behind a tab that it refuses, and before text with a control character in it.
fn exact(text: &str, at: usize, kind: &ErrorKind) -> usize {
    match kind {
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            text[at..].find(*character).map_or(at, |ahead| at + ahead)
        }
        _ if text[..at].ends_with('\t') => at - 1,
        _ => at,
    }
}

fn is_quote(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent | ErrorKind::DocumentIndicatorInQuotedScalar)
}

/// The last quote before a place that stands where a value can begin.
fn opening_quote(text: &str, at: usize) -> Option<usize> {
    let before = &text[..at];
    let begins = |open: &usize| *open == 0 || before[..*open].ends_with([' ', '\n', '[', '{', ',', '\t']);
    before.rmatch_indices(['\'', '"']).map(|(open, _)| open).find(begins)
}

fn one_character(text: &str, at: usize) -> Range<usize> {
    let width = text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    at..at + width
}

/// A `{{` that begins a value on the line of an error, before it: the author forgot the quotes.
fn placeholder_before(text: &str, at: usize) -> Option<Range<usize>> {
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let open = line + text[line..at].find("{{")?;
    let before = text[line..open].trim_end();
    let begins_value = before.is_empty() || before.ends_with([':', '-', ',', '[']);
    begins_value.then(|| through_close(text, open))
}

/// The range of the `{{ … }}` whose inner brace stands at an offset.
pub(super) fn placeholder_around(text: &str, inner: usize) -> Option<Range<usize>> {
    let open = inner.checked_sub(1)?;
    text.get(open..)?.starts_with("{{").then(|| through_close(text, open))
}

fn through_close(text: &str, open: usize) -> Range<usize> {
    let line = text[open..].lines().next().unwrap_or_default();
    open..open + line.find("}}").map_or(2, |close| close + 2)
}

const QUOTE: &str = "put the value in quotes";
const SPACES: &str = "indent with spaces";
const ALIGN: &str = "line it up with the keys it belongs to";

fn words(kind: &ErrorKind) -> (String, &'static str) {
    let (message, help) = match kind {
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            return (format!("the control character U+{:04X} can not stand in YAML", u32::from(*character)), "remove it");
        }
        ErrorKind::UnexpectedCharacter { character: '`' } => ("a value can not begin with a backtick", QUOTE),
        ErrorKind::UnexpectedCharacter { character } => return (format!("a value can not begin with `{character}`"), QUOTE),
        ErrorKind::UnclosedFlowCollection { open } => return (format!("this `{open}` is never closed"), ""),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{close}` does not close `{open}`"), "");
        }
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => ("a tab can not indent YAML", SPACES),
        ErrorKind::InvalidColonPlacement => ("a `:` can not stand here inside brackets", "is a `[` or `{` above not closed?"),
        ErrorKind::MappingValueNotAllowed => (
            "a second `: ` stands here, where a value was expected",
            "if it is part of the text, put the value in quotes; else check the indentation",
        ),
        ErrorKind::SimpleKeyExpected => ("this line has no `key: value`", "write a `:` and a space behind the key"),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => ("this line is not indented like the lines above it", ALIGN),
        ErrorKind::ExpectedBlockSequenceEntry => ("a list item was expected here", "begin the line with `- `"),
        ErrorKind::BlockSequenceEntryNotAllowed => ("a list can not begin here", "begin it on a line of its own"),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("text in quotes is not closed before this place", "close the quote")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar => ("something stands behind the closing quote", "write '' for a quote inside '…'"),
        ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            ("something stands behind the closing quote", "write \\\" for a quote inside \"…\"")
        }
        ErrorKind::UnknownQuotedScalarEscape => ("the text in quotes has an unknown escape", "write \\\\ for a backslash, or use '…'"),
        ErrorKind::MisplacedFlowCollectionEnd => ("this bracket closes nothing", QUOTE),
        ErrorKind::ExpectedFlowMappingSeparator => ("`,` or `}` was expected here", ""),
        ErrorKind::ExpectedFlowSequenceSeparator => ("`,` or `]` was expected here", ""),
        ErrorKind::CommentInterceptedScalar => ("a comment stands in the middle of text that runs over several lines", QUOTE),
        ErrorKind::CommentNotSeparated => ("a comment needs a space in front of its `#`", QUOTE),
        ErrorKind::RecursionLimitExceeded => ("too many levels stand in each other here", ""),
        ErrorKind::UndeclaredTagHandle => ("tags have no meaning here", "write the value without a tag"),
        ErrorKind::UnexpectedEof
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofBlockSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping => ("the file ends in the middle of a value", ""),
        other => return (format!("this is not YAML ({})", spaced(&format!("{other:?}"))), ""),
    };
    (message.to_owned(), help)
}

/// `InvalidBlockScalarHeader` → `invalid block scalar header`: the rare kinds are named as the parser names them.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}
