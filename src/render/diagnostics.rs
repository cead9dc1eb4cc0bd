//! Diagnostics for people (with the lines concerned), for programs (JSON) and for GitHub (annotations).
//!
//! All three order them by file and place. This module does not print, and does not know what the problems mean.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Severity, SourceText};

/// How many lines a label may be away from its problem to be shown in the same excerpt; farther ones become a note.
const EXCERPT_LINES: usize = 400;

/// How many columns an excerpt takes where no terminal says how many there are.
const COLUMNS: usize = 140;

/// For people: each with its place, an excerpt, labels and help, and a last line that counts them. Empty for none.
pub fn human(diagnostics: &[Diagnostic], colour: bool) -> String {
    human_within(diagnostics, colour, COLUMNS)
}

/// The same for a terminal of so many columns: longer lines are cut around the problem, so that its mark stays under it.
pub fn human_within(diagnostics: &[Diagnostic], colour: bool, columns: usize) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let renderer = if colour { Renderer::styled().decor_style(DecorStyle::Unicode) } else { Renderer::plain() };
    let renderer = renderer.term_width(columns);
    let mut text = String::new();
    for diagnostic in ordered(diagnostics) {
        text.push_str(&renderer.render(&[group(diagnostic)]));
        text.push_str("\n\n");
    }
    text.push_str(&count(diagnostics));
    text.push('\n');
    text
}

/// For programs: an array of objects. Lines and columns are 1-based and count characters; an end is the place behind
/// the last character.
pub fn json(diagnostics: &[Diagnostic]) -> Value {
    ordered(diagnostics).into_iter().map(object).collect()
}

/// For GitHub: one workflow command a line
/// (<https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message>).
pub fn github(diagnostics: &[Diagnostic]) -> String {
    ordered(diagnostics).into_iter().map(command).collect()
}

fn ordered(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut ordered: Vec<&Diagnostic> = diagnostics.iter().collect();
    ordered.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.range.start, d.severity, d.range.end);
        a.source.path.cmp(&b.source.path).then_with(|| key(a).cmp(&key(b)))
    });
    ordered
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// `3 errors, 1 warning in 2 files`
fn count(diagnostics: &[Diagnostic]) -> String {
    let of = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let files: BTreeSet<_> = diagnostics.iter().map(|d| &d.source.path).collect();
    let parts = [(of(Severity::Error), "error"), (of(Severity::Warning), "warning")];
    let counted: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, noun)| crate::words::count(*n, noun)).collect();
    format!("{} in {}", counted.join(", "), crate::words::count(files.len(), "file"))
}

fn group(diagnostic: &Diagnostic) -> Group<'_> {
    let level = if diagnostic.is_error() { Level::ERROR } else { Level::WARNING };
    let path = diagnostic.source.path.display().to_string();
    let group = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let (window, first_line) = window(diagnostic);
    let text = &diagnostic.source.text;
    let inside = |range: &Range<usize>| clamp(text, range, &window);
    let primary = AnnotationKind::Primary.span(inside(&diagnostic.range));
    let (near, far): (Vec<_>, Vec<_>) = diagnostic.labels.iter().partition(|label| is_near(diagnostic, &label.range));
    let labels =
        near.into_iter().map(|label| AnnotationKind::Context.span(inside(&label.range)).label(normalize_untrusted_str(&label.message)));
    let snippet = Snippet::source(excerpt(&text[window.clone()])).line_start(first_line).path(path).annotation(primary).annotations(labels);
    let notes = far.into_iter().map(|label| {
        let line = diagnostic.source.place(label.range.start).line;
        Level::NOTE.message(normalize_untrusted_str(&format!("line {line}: {}", label.message)))
    });
    let help = diagnostic.help.iter().map(|help| Level::HELP.message(normalize_untrusted_str(help)));
    group.element(snippet).elements(notes).elements(help)
}

fn is_near(diagnostic: &Diagnostic, range: &Range<usize>) -> bool {
    let (a, b) = (diagnostic.range.start.min(range.start), diagnostic.range.start.max(range.start));
    diagnostic.source.text.get(a..b).is_some_and(|between| between.matches('\n').count() <= EXCERPT_LINES)
}

/// The whole lines that the problem and its near labels touch, and the number of the first: a renderer that is given a
/// whole file for every problem in it takes quadratic time.
fn window(diagnostic: &Diagnostic) -> (Range<usize>, usize) {
    let text = &diagnostic.source.text;
    let near = diagnostic.labels.iter().map(|label| &label.range).filter(|range| is_near(diagnostic, range));
    let (start, end) =
        near.fold((diagnostic.range.start, diagnostic.range.end), |(start, end), range| (start.min(range.start), end.max(range.end)));
    let (start, end) = (floor(text, start), floor(text, end.max(start)));
    let from = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let to = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
    let to = to - usize::from(text[from..to].ends_with('\r'));
    (from..to, diagnostic.source.place(from).line)
}

/// The renderer draws a carriage return as `␍`; a space keeps every offset and hides it.
fn excerpt(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace('\r', " ").into() } else { text.into() }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn clamp(text: &str, range: &Range<usize>, window: &Range<usize>) -> Range<usize> {
    let at = |offset| floor(text, offset).clamp(window.start, window.end) - window.start;
    at(range.start)..at(range.end.max(range.start))
}

fn object(diagnostic: &Diagnostic) -> Value {
    let source = &diagnostic.source;
    let labels = diagnostic.labels.iter().map(|label| with_place(source, &label.range, json!({ "message": label.message })));
    let mut object = json!({
        "code": diagnostic.code,
        "severity": word(diagnostic.severity),
        "message": diagnostic.message,
        "file": source.path.display().to_string(),
    });
    object = with_place(source, &diagnostic.range, object);
    object["pointer"] = json!(diagnostic.pointer);
    object["help"] = json!(diagnostic.help);
    object["labels"] = labels.collect();
    object
}

fn with_place(source: &SourceText, range: &Range<usize>, mut object: Value) -> Value {
    let (start, end) = (source.place(range.start), source.place(range.end));
    object["line"] = json!(start.line);
    object["column"] = json!(start.column);
    object["end_line"] = json!(end.line);
    object["end_column"] = json!(end.column);
    object
}

fn command(diagnostic: &Diagnostic) -> String {
    let (start, end) = (diagnostic.place(), diagnostic.source.place(diagnostic.range.end));
    let message = match &diagnostic.help {
        Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    // GitHub takes columns only for a problem on one line.
    let place = if start.line == end.line {
        format!("line={},col={},endColumn={}", start.line, start.column, end.column)
    } else {
        format!("line={},endLine={}", start.line, end.line)
    };
    let file = property(&diagnostic.source.path.display().to_string());
    format!("::{} file={file},{place},title={}::{}\n", word(diagnostic.severity), property(diagnostic.code), data(&message))
}

/// Escapes as the runner's own toolkit does (`actions/toolkit`, `packages/core/src/command.ts`).
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn source(path: &str, text: &str) -> Arc<SourceText> {
        Arc::new(SourceText { path: path.into(), text: text.to_owned(), marked: false })
    }

    fn three() -> Vec<Diagnostic> {
        let orders = source("pipelines/주문.yaml", "name: 주문\n단계: {압축: zstd, need: x}\nname: 둘\n");
        let at = |text: &str, word: &str| text.find(word).map(|start| start..start + word.len()).unwrap();
        let second = orders.text.rfind("name").unwrap();
        let other = source("a,b.yaml", "x: 100%\r\n");
        vec![
            Diagnostic::error("unknown-key", &orders, at(&orders.text, "need"), "unknown key `need`")
                .at("/단계/need")
                .help("did you mean `needs`?"),
            Diagnostic::error("duplicate-key", &orders, second..second + 4, "the key `name` is given twice")
                .label(0..4, "first given here"),
            Diagnostic::error("wrong-type", &other, 3..7, "100% is text").warning().at("/x"),
        ]
    }

    #[test]
    fn people_see_place_excerpt_label_help_and_count() {
        insta::assert_snapshot!(human(&three(), false));
    }

    #[test]
    fn carets_stand_under_wide_letters() {
        let source = source("p.yaml", "단계: {압축: zstd, need: x}\n");
        let start = source.text.find("need").unwrap();
        let text = human(&[Diagnostic::error("unknown-key", &source, start..start + 4, "m")], false);
        let lines: Vec<&str> = text.lines().collect();
        let excerpt = lines.iter().position(|line| line.contains("need: x")).unwrap();
        let columns = |text: &str| text.chars().map(|c| if c as u32 >= 0x1100 { 2 } else { 1 }).sum::<usize>();
        let before = lines[excerpt].split("need").next().unwrap();
        let carets = lines[excerpt + 1].split('^').next().unwrap();
        assert_eq!(columns(before), columns(carets), "{text}");
    }

    #[test]
    fn programs_get_characters_not_bytes() {
        insta::assert_json_snapshot!(json(&three()));
    }

    #[test]
    fn github_commands_are_escaped() {
        insta::assert_snapshot!(github(&three()));
    }

    #[test]
    fn colour_is_only_there_when_asked_for() {
        assert!(human(&three(), true).contains('\u{1b}'));
        assert!(!human(&three(), false).contains('\u{1b}'));
        assert_eq!(human(&[], true), "");
    }

    #[test]
    fn control_characters_of_a_document_never_reach_the_terminal() {
        let source = source("p.yaml", "a: \u{1b}[31m\u{202e}x\n");
        let found = Diagnostic::error("yaml-syntax", &source, 3..4, "m \u{1b}[31m").help("h \u{1b}]0;x\u{7}").label(0..1, "l \u{1b}[2J");
        let shown = human(&[found], false);
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
    }

    #[test]
    fn a_label_far_away_becomes_a_note() {
        let text = format!("name: a\n{}name: b\n", "# filler\n".repeat(1000));
        let source = source("p.yaml", &text);
        let found = Diagnostic::error("duplicate-key", &source, text.len() - 8..text.len() - 4, "twice").label(0..4, "first given here");
        let shown = human(&[found], false);
        assert!(shown.contains("line 1: first given here"), "{shown}");
        assert!(shown.contains("p.yaml:1002:1"), "{shown}");
    }

    #[test]
    fn places_at_or_behind_the_end_do_not_break_the_excerpt() {
        for text in ["", "a", "a\n", "주"] {
            let source = source("p.yaml", text);
            for range in [0..0, 0..9, 1..1, 5..7] {
                assert!(human(&[Diagnostic::error("yaml-syntax", &source, range, "m")], false).contains("p.yaml"));
            }
        }
    }
}
