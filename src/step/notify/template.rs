//! Message templates: minijinja, strict, with the facts of the run as their names.
//!
//! Besides the facts (see [`Facts`]) a template can use `title` (the default title), `size` (what was stored, in words)
//! and `took` (the duration in words), and the filters `size` (bytes) and `duration` (seconds).
//! This module does not decide which texts are templates.

use std::collections::HashSet;
use std::time::Duration;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;

use super::facts::Facts;
use super::words;
use crate::words::did_you_mean;

/// What is done to a value, and not to the template's own text, before it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// Nothing.
    Plain,
    /// Slack's three control characters become entities, so that no value can make a link or call a channel.
    Mrkdwn,
}

#[derive(Serialize)]
struct Names<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    title: String,
    size: String,
    took: String,
}

/// Renders a template on the facts of a run. A name that does not exist is an error wherever it stands, also in a branch
/// that these facts do not take.
pub(super) fn render(source: &str, facts: &Facts, escape: Escape) -> Result<String, String> {
    let environment = environment(escape);
    let template = environment.template_from_named_str("template", source).map_err(|e| said(&e))?;
    let (title, size, took) = (words::title(facts), words::size(facts.bytes_out), words::duration(facts.duration));
    let names = Value::from(Serde(Names { facts, title, size, took }));
    let globals = environment.globals().map(|(name, _)| name.to_owned()).collect();
    unknown(&template.undeclared_variables(false), &names, &globals).map_or(Ok(()), Err)?;
    Ok(template.render(&names).map_err(|e| said(&e))?.trim_end().to_owned())
}

/// Escapes a text for Slack: `&`, `<` and `>` only, as its documentation of message formatting asks.
pub(super) fn mrkdwn(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn environment(escape: Escape) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("size", |bytes: u64| words::size(bytes));
    environment.add_filter("duration", |seconds: f64| match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => Ok(words::duration(duration)),
        Err(_) => Err(Error::new(ErrorKind::InvalidOperation, "a duration is a number of seconds from 0")),
    });
    environment.set_formatter(move |out, state, value| match value {
        // What is not known reads `none` and not, as in Python, `None`.
        unknown if unknown.is_none() => Ok(out.write_str("none")?),
        value if escape == Escape::Plain || value.is_undefined() || value.is_safe() => minijinja::escape_formatter(out, state, value),
        value => Ok(out.write_str(&mrkdwn(&value.to_string()))?),
    });
    environment
}

fn unknown(used: &HashSet<String>, names: &Value, globals: &HashSet<String>) -> Option<String> {
    let known: Vec<String> = names.try_iter().ok()?.map(|name| name.to_string()).collect();
    let missing = used.iter().filter(|name| !known.contains(name) && !globals.contains(*name)).min()?;
    Some(match did_you_mean(missing, known.iter().map(String::as_str)) {
        Some(guess) => format!("unknown name `{missing}`; did you mean `{guess}`?"),
        None => format!("unknown name `{missing}`; known are {}", known.join(", ")),
    })
}

fn said(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    error.line().map_or_else(|| what.clone(), |line| format!("{what} (line {line})"))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn try_on_good(source: &str) -> Result<String, String> {
        render(source, &sample::each_outcome().unwrap()[0], Escape::Plain)
    }

    #[test]
    fn templates_see_the_facts_and_the_words_for_them() {
        let text =
            try_on_good("{{ pipeline }}: {{ level }}, {{ size }} in {{ took }} ({{ bytes_in|size }}, {{ duration_seconds|duration }})");
        assert_eq!(text.unwrap(), "orders-nightly: restored, 1.2 GB in 43 s (4.3 GB, 43 s)");
        assert_eq!(try_on_good("{{ artifacts[0].key }}").unwrap(), "orders-nightly/2026-11-20/20261120T021700Z-4f3a9c.dump.zst.age");
        assert_eq!(try_on_good("복구 {{ title }}\n").unwrap(), "복구 orders-nightly: restored — 1.2 GB in 43 s");
    }

    #[test]
    fn a_misspelt_name_is_named_with_what_was_meant() {
        assert_eq!(try_on_good("{{ levle }}").unwrap_err(), "unknown name `levle`; did you mean `level`?");
        assert_eq!(try_on_good("{% if error %}{{ eror }}{% endif %}").unwrap_err(), "unknown name `eror`; did you mean `error`?");
        assert_eq!(try_on_good("{% for i in range(2) %}{{ i }}{{ loop.index }}{% endfor %}").unwrap(), "0112");
        assert!(try_on_good("{{ zzz }}").unwrap_err().starts_with("unknown name `zzz`; known are artifacts, bytes_in,"));
    }

    #[test]
    fn syntax_errors_say_the_line() {
        assert!(try_on_good("ok\n{% if %}").unwrap_err().ends_with("(line 2)"));
    }

    #[test]
    fn slack_values_are_escaped_and_the_templates_own_text_is_not() {
        let mut facts = sample::each_outcome().unwrap()[2].clone();
        facts.error = Some("<!channel> a & b".to_owned());
        let text = render("<!here> {{ error }} {{ level }} {{ warnings }}", &facts, Escape::Mrkdwn).unwrap();
        assert_eq!(text, "<!here> &lt;!channel&gt; a &amp; b none []");
    }
}
