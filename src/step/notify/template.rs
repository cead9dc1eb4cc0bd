//! Message templates: the facts of the run as names, and the words and the escape that messages need.
//!
//! Besides the facts (see [`Facts`]) a template can use `title` (the default title), `size` (what was stored, in words)
//! and `took` (the duration in words), and the filters `size` (bytes) and `duration` (seconds).
//! This module does not decide which texts are templates.

use std::time::Duration;

use minijinja::value::Value;
use minijinja::{Error, ErrorKind, functions};
use serde::Serialize;

use super::facts::Facts;
use super::words;
use crate::quantity::{brief, bytes};
use crate::template::{Engine, Fault, Names, Show, plain};

/// What is done to a value, and not to the template's own text, before it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// Nothing.
    Plain,
    /// Slack's three control characters become entities, so that no value can make a link or call a channel.
    Mrkdwn,
}

#[derive(Serialize)]
struct Known<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    title: String,
    size: String,
    took: String,
}

/// Renders a template on the facts of a run, or tells all that is wrong with it. A name that does not exist is an error
/// wherever it stands, also in a branch that these facts do not take.
pub(super) fn render(source: &str, facts: &Facts, escape: Escape) -> Result<String, String> {
    let (title, size, took) = (words::title(facts), bytes(facts.bytes_out), brief(facts.duration));
    let known = serde_json::to_value(Known { facts, title, size, took }).map_err(|error| error.to_string())?;
    let text = engine(escape).text(source, &Names::of(known));
    text.map(|text| text.trim_end().to_owned()).map_err(|faults| in_words(source, &faults))
}

/// Escapes a text for Slack: `&`, `<` and `>` only, as its documentation of message formatting asks.
pub(super) fn mrkdwn(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn engine(escape: Escape) -> Engine {
    let show: Show = match escape {
        Escape::Plain => shown,
        Escape::Mrkdwn => |value| shown(value).map(|text| mrkdwn(&text)),
    };
    Engine::new()
        .function("range", functions::range)
        .filter("size", bytes)
        .filter("duration", |seconds: f64| match Duration::try_from_secs_f64(seconds) {
            Ok(duration) => Ok(brief(duration)),
            Err(_) => Err(Error::new(ErrorKind::InvalidOperation, "a duration is a number of seconds from 0")),
        })
        .showing(show)
}

/// A fact as text: what is not known reads `none`, and lists stand as they are. A message that lacks some grace is better
/// than none.
fn shown(value: &Value) -> Option<String> {
    match value {
        value if value.is_undefined() => None,
        value if value.is_none() => Some("none".to_owned()),
        value => Some(plain(value)),
    }
}

fn in_words(source: &str, faults: &[Fault]) -> String {
    let several = source.trim_end().contains('\n');
    let told = faults.iter().map(|fault| match &fault.range {
        Some(range) if several => format!("{fault} (line {})", source[..range.start].matches('\n').count() + 1),
        _ => fault.to_string(),
    });
    told.collect::<Vec<_>>().join("; ")
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
        assert_eq!(text.unwrap(), "orders-nightly: restored, 1.23 GB in 43 s (4.32 GB, 43 s)");
        assert_eq!(try_on_good("{{ artifacts[0].key }}").unwrap(), "orders-nightly/2026-11-20/20261120T021700Z-4f3a9c.dump.zst.age");
        assert_eq!(try_on_good("복구 {{ title }}\n").unwrap(), "복구 orders-nightly: restored — 1.23 GB in 43 s");
    }

    #[test]
    fn a_misspelt_name_is_named_with_what_was_meant() {
        let said = |source: &str| try_on_good(source).unwrap_err();
        assert!(said("{{ levle }}").starts_with("there is no `levle`; did you mean `level`? the names here are `pipeline`, `run`,"));
        assert!(said("{% if error %}{{ eror }}{% endif %}").starts_with("there is no `eror`; did you mean `error`?"));
        assert!(
            said("{{ zzz }}").starts_with("there is no `zzz`; the names here are `pipeline`, `run`, `outcome`,"),
            "{}",
            said("{{ zzz }}")
        );
        assert!(said("{{ zzz }}").ends_with("`checks`, `title`, `size`, `took`"), "every name is told");
        assert_eq!(try_on_good("{% for i in range(2) %}{{ i }}{{ loop.index }}{% endfor %}").unwrap(), "0112");
    }

    #[test]
    fn every_fault_of_a_message_is_told_with_its_line() {
        let said = try_on_good("{{ levle }}\n복구 {{ run.id }}\n").unwrap_err();
        assert!(said.contains("there is no `levle`; did you mean `level`?") && said.contains("(line 1); "), "{said}");
        assert!(said.contains("there is no `run.id`; did you mean `run`?") && said.ends_with("(line 2)"), "{said}");
    }

    #[test]
    fn what_can_be_asked_of_facts_that_may_be_unknown() {
        let bad = &sample::each_outcome().unwrap()[2];
        let text = "{% if level is none %}no level{% endif %} {{ tables | default(0, true) }} {{ outcome == 'failure' }}";
        assert_eq!(render(text, bad, Escape::Plain).unwrap(), "no level 0 true");
    }

    #[test]
    fn messages_are_bounded_as_every_template_is() {
        let rounds = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
        assert!(try_on_good(rounds).unwrap_err().contains("too many steps"));
        assert!(try_on_good("{{ 'x' * 90000000 }}y").unwrap_err().contains("can not be longer than 64 KiB"));
        assert!(try_on_good("{% set x = 1 %}").unwrap_err().contains("`set` is not a statement here"));
        assert!(try_on_good("{{ title | nope }}").unwrap_err().contains("the filters are `default`, `duration`, `first`,"));
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
