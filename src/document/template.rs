//! Placeholders: `{{ vars.tier }}` and `{% if … %}`, rendered strictly from a closed set of names.
//!
//! A template sees `vars`, `env`, `pipeline` and, where a field takes them, `run`; nothing else: no file, no clock, no
//! secret. Rendering is bounded in steps and in size. This module does not know where in a document a template stands.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;

use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value as Template, filters};
use serde_json::{Value, json};

use super::names::{Scope, lookup, undefined};
use super::words;

/// How many instructions a template may take, and how many bytes its text and its result may have.
const FUEL: u64 = 20_000;
const SIZE: usize = 64 << 10;

/// The statements that may stand in `{% … %}`. Without `set` and its kin no text can double itself.
const STATEMENTS: [&str; 8] = ["if", "elif", "else", "endif", "for", "endfor", "raw", "endraw"];

/// Why a template gives no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// `template-syntax`, `undefined-name` or `template-failed`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The bytes of the template concerned, if known.
    pub range: Option<Range<usize>>,
}

impl TemplateError {
    pub(super) fn new(code: &'static str, message: impl Into<String>, range: Option<Range<usize>>) -> Self {
        Self { code, message: message.into(), help: None, range }
    }
}

/// Renders a text for a run: `run` holds the values of `run.*`. Values are put in as they are, never rendered again.
pub fn render(text: &str, scope: &Scope, run: &BTreeMap<String, String>) -> Result<String, TemplateError> {
    let mut names = scope.names();
    names["run"] = json!(run);
    match Engine::new().evaluate(text, &names) {
        Ok(Value::String(rendered)) => Ok(rendered),
        Ok(other) => Ok(other.to_string()),
        Err(mut errors) => Err(errors.swap_remove(0)),
    }
}

/// Whether a text holds placeholders.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

pub(super) struct Engine {
    environment: Environment<'static>,
}

impl Engine {
    pub(super) fn new() -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_debug(true);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(format);
        if let Ok(syntax) = minijinja::syntax::SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.add_filter("lower", filters::lower);
        environment.add_filter("upper", filters::upper);
        environment.add_filter("trim", filters::trim);
        environment.add_filter("length", filters::length);
        environment.add_filter("first", filters::first);
        environment.add_filter("last", filters::last);
        environment.add_filter("int", filters::int);
        environment.add_filter("replace", replace);
        environment.add_filter("join", join);
        Self { environment }
    }

    /// The value of a text: a text that is one placeholder and nothing else keeps the type of what it names.
    /// Errors are never an empty list.
    pub(super) fn evaluate(&self, text: &str, names: &Value) -> Result<Value, Vec<TemplateError>> {
        if text.len() > SIZE {
            return Err(vec![TemplateError::new("template-failed", too_large(), None)]);
        }
        refuse_statements(text)?;
        let template =
            self.environment.template_from_str(text).map_err(|error| vec![unclosed(text).unwrap_or_else(|| from_engine(&error))])?;
        let undefined = undefined(text, template.undeclared_variables(true), names);
        if !undefined.is_empty() {
            return Err(undefined);
        }
        if let Some(inner) = only_placeholder(text) {
            return self.value(inner, names).map_err(|error| vec![shifted(error, text, inner)]);
        }
        let mut out = Capped(Vec::new());
        template.render_captured_to(Template::from(Serde(names)), &mut out).map_err(|error| vec![from_engine(&error)])?;
        Ok(Value::from(String::from_utf8_lossy(&out.0).into_owned()))
    }

    fn value(&self, expression: &str, names: &Value) -> Result<Value, TemplateError> {
        if let Some(value) = lookup(names, expression) {
            return Ok(value.clone());
        }
        let compiled = self.environment.compile_expression(expression).map_err(|error| from_engine(&error))?;
        let value = compiled.eval(Template::from(Serde(names))).map_err(|error| from_engine(&error))?;
        let scalar = matches!(value.kind(), ValueKind::Bool | ValueKind::Number | ValueKind::String);
        let json = if scalar { serde_json::to_value(&value).ok() } else { None };
        let refusal = || TemplateError::new("template-failed", "this gives neither text nor a number nor a truth value", None);
        json.filter(|json| !json.is_null()).ok_or_else(refusal)
    }
}

/// A value in a text must have a form that a reader would expect; a list or an absent value has none.
fn format(out: &mut minijinja::Output, state: &mut State, value: &Template) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Bool | ValueKind::Number | ValueKind::String => minijinja::escape_formatter(out, state, value),
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        ValueKind::None => Err(Error::new(ErrorKind::InvalidOperation, "the value is empty and can not be put into text")),
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("a {kind} can not be put into text; use `| join(\",\")`"))),
    }
}

/// `text | replace("a", "b")`, bounded: the engine's own may grow without limit.
fn replace(text: &Template, from: &Template, to: &Template) -> Result<String, Error> {
    let (text, from, to) = (text.to_string(), from.to_string(), to.to_string());
    let times = if from.is_empty() { text.len() + 1 } else { text.matches(&from).count() };
    if text.len() + times * to.len() > SIZE {
        return Err(Error::new(ErrorKind::InvalidOperation, too_large()));
    }
    Ok(text.replace(&from, &to))
}

/// `list | join(",")`, bounded.
fn join(list: &Template, separator: Option<String>) -> Result<String, Error> {
    let separator = separator.unwrap_or_default();
    let mut joined = String::new();
    for (index, item) in list.try_iter()?.enumerate() {
        if index > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(&item.to_string());
        if joined.len() > SIZE || index > SIZE {
            return Err(Error::new(ErrorKind::InvalidOperation, too_large()));
        }
    }
    Ok(joined)
}

fn too_large() -> String {
    format!("a text with placeholders can not be longer than {} KiB", SIZE >> 10)
}

/// A writer that refuses more than [`SIZE`] bytes.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > SIZE {
            return Err(io::Error::other(too_large()));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refuse_statements(text: &str) -> Result<(), Vec<TemplateError>> {
    let refused = text.match_indices("{%").filter_map(|(open, _)| {
        let rest = text[open + 2..].trim_start_matches(['-', '+']).trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..end];
        let start = text.len() - rest.len();
        (!word.is_empty() && !STATEMENTS.contains(&word)).then(|| {
            let mut error = TemplateError::new("template-syntax", format!("`{word}` is not a statement here"), Some(start..start + end));
            error.help = Some(format!("there are {}", words::listed(["if", "elif", "else", "for", "raw"])));
            error
        })
    });
    let refused: Vec<_> = refused.collect();
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

/// The expression of a text that is one placeholder and nothing else.
fn only_placeholder(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    let more = ["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark));
    (!more).then(|| inner.trim())
}

fn shifted(mut error: TemplateError, text: &str, inner: &str) -> TemplateError {
    let offset = text.find(inner).unwrap_or_default();
    error.range = error.range.map(|range| range.start + offset..range.end + offset);
    error
}

/// The usual syntax error, which the engine notices only at the end of the text.
fn unclosed(text: &str) -> Option<TemplateError> {
    let (open, close) = if text.rfind("{{") > text.rfind("{%") { ("{{", "}}") } else { ("{%", "%}") };
    let start = text.rfind(open)?;
    let never = !text[start..].contains(close);
    never.then(|| TemplateError::new("template-syntax", format!("this `{open}` is never closed with `{close}`"), Some(start..start + 2)))
}

fn from_engine(error: &Error) -> TemplateError {
    let detail = error.detail().unwrap_or_default().to_owned();
    let range = error.range().filter(|range| !range.is_empty());
    let says = |words: &dyn fmt::Display| if detail.is_empty() { words.to_string() } else { detail.clone() };
    match error.kind() {
        ErrorKind::UndefinedError => TemplateError::new("undefined-name", "a name in this placeholder does not exist", range),
        ErrorKind::OutOfFuel => TemplateError::new("template-failed", "this placeholder takes too many steps", range),
        ErrorKind::WriteFailure => TemplateError::new("template-failed", too_large(), range),
        ErrorKind::SyntaxError
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownMethod => {
            let mut found =
                TemplateError::new("template-syntax", format!("this placeholder can not be read: {}", says(&error.kind())), range);
            if error.kind() == ErrorKind::UnknownFilter {
                found.help = Some(format!("the filters are {}", words::listed(FILTERS)));
            }
            found
        }
        kind => TemplateError::new("template-failed", format!("this placeholder can not be computed: {}", says(&kind)), range),
    }
}

const FILTERS: [&str; 9] = ["first", "int", "join", "last", "length", "lower", "replace", "trim", "upper"];
