//! Placeholders in texts: `{{ vars.tier }}` and `{% if … %}`, computed strictly from a closed set of names.
//!
//! There is one [`Engine`]: documents use it when they are read, keys when a run starts, messages when it ends; each lends
//! the [`Names`] that its texts may use. A [`Template`] is a text kept as written until a run starts, and [`Bindings`] and
//! [`RunWords`] are what it may use then. This module reads no file, no clock and no environment.

mod bounded;
mod engine;
mod fault;
mod names;
mod syntax;

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ids::{PipelineName, RunId};
pub use bounded::plain;
pub use engine::{Engine, Show};
pub use fault::{Fault, TemplateError};
pub use names::Names;
pub use syntax::is_template;

/// A text with `{{ placeholders }}` from a closed set: `pipeline`, `vars.*`, `env.*`, `run.*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Template(pub String);

/// What a pipeline lends to its templates, whichever run they are rendered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bindings {
    /// The pipeline's name.
    pub pipeline: PipelineName,
    /// Its `vars`.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// The environment variables its `env` list allows.
    pub env: BTreeMap<String, String>,
}

/// The words of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunWords {
    /// The run's id.
    pub id: String,
    /// Its date, `2026-11-20`, in the pipeline's time zone.
    pub date: String,
    /// Its time, `02-17-00`, in the pipeline's time zone; no colons, so that it may stand in a file name.
    pub time: String,
    /// Its month, `2026-11`, in the pipeline's time zone.
    pub month: String,
    /// Its start as RFC 3339 in the pipeline's time zone.
    pub started: String,
}

impl RunWords {
    /// The words of a run, its times in this zone.
    pub fn of(run: &RunId, zone: &TimeZone) -> Self {
        let started: Timestamp = run.started();
        let local = started.to_zoned(zone.clone());
        Self {
            id: run.to_string(),
            date: local.strftime("%Y-%m-%d").to_string(),
            time: local.strftime("%H-%M-%S").to_string(),
            month: local.strftime("%Y-%m").to_string(),
            started: local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        }
    }

    /// The words of a made-up run, to try templates with before any run needs them: their form is that of every run's.
    pub fn sample() -> Self {
        Self::of(&RunId::starting(Timestamp::UNIX_EPOCH, [0; 3]), &TimeZone::UTC)
    }

    /// Words that show in a plan where a run's will stand: `<run.id>`.
    pub fn blank() -> Self {
        let name = |name: &str| format!("<run.{name}>");
        Self { id: name("id"), date: name("date"), time: name("time"), month: name("month"), started: name("started") }
    }
}

impl Names {
    /// What every text of a pipeline may use: `vars.*`, `env.*` and `pipeline`.
    pub fn of_pipeline(pipeline: &str, vars: &Map<String, Value>, env: &BTreeMap<String, String>) -> Self {
        Self::of(json!({ "vars": vars, "env": env, "pipeline": pipeline }))
    }

    /// With `run.*`.
    #[must_use]
    pub fn with_run(self, run: &RunWords) -> Self {
        self.with("run", json!(run))
    }
}

impl Template {
    /// The text for one run. It fails on the same templates as the check of a document, which tries them with
    /// [`RunWords::sample`].
    pub fn render(&self, bindings: &Bindings, run: &RunWords) -> Result<String, TemplateError> {
        let names = Names::of_pipeline(bindings.pipeline.as_str(), &bindings.vars, &bindings.env).with_run(run);
        Engine::new().text(&self.0, &names).map_err(|faults| TemplateError { template: self.0.clone(), faults })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings() -> Bindings {
        let vars = serde_json::json!({ "tier": "매일", "trap": "{{ env.X }}" });
        Bindings { pipeline: PipelineName::new("주문").unwrap(), vars: vars.as_object().unwrap().clone(), env: BTreeMap::new() }
    }

    #[test]
    fn a_key_renders_in_the_pipelines_zone_and_values_are_not_rendered_again() {
        let run: RunId = "20261120T171700Z-4f3a9c".parse().unwrap();
        let words = RunWords::of(&run, &TimeZone::get("Asia/Seoul").unwrap());
        let key = Template("{{ pipeline }}/{{ vars.tier }}/{{ run.date }}T{{ run.time }}/{{ run.id }}{{ vars.trap }}".into());
        assert_eq!(key.render(&bindings(), &words).unwrap(), "주문/매일/2026-11-21T02-17-00/20261120T171700Z-4f3a9c{{ env.X }}");
        assert_eq!(words.started, "2026-11-21T02:17:00+09:00");
        assert_eq!(key.render(&bindings(), &RunWords::blank()).unwrap(), "주문/매일/<run.date>T<run.time>/<run.id>{{ env.X }}");
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        for bad in ["{{ run.dat }}", "{{ x }}", "{{ vars.y }}", "{{ run.id", "{{ run.id | nope }}", "{% include 'x' %}"] {
            assert!(Template(bad.into()).render(&bindings(), &RunWords::blank()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_the_template_and_what_to_do() {
        let error = Template("x/{{ run.dat }}".into()).render(&bindings(), &RunWords::sample()).unwrap_err();
        let words = error.to_string();
        assert!(words.starts_with("template \"x/{{ run.dat }}\": there is no `run.dat`; did you mean `run.date`?"), "{words}");
        assert_eq!(error.faults[0].range, Some(5..12));
    }

    #[test]
    fn a_list_has_no_form_in_a_key_and_a_number_has_one() {
        let vars = serde_json::json!({ "n": 7, "on": true, "list": ["a", "b"] });
        let bindings = Bindings { vars: vars.as_object().unwrap().clone(), ..bindings() };
        let render = |text: &str| Template(text.into()).render(&bindings, &RunWords::sample());
        assert_eq!(render("{{ vars.n }}").unwrap(), "7");
        assert_eq!(render("{{ vars.list | join('/') }}").unwrap(), "a/b");
        assert_eq!(render("{{ vars.on }}-{{ [vars.on, 1] | join }}").unwrap(), "true-true1", "as in YAML, not as in Python");
        assert_eq!(render("a{#b").unwrap(), "a{#b", "what a document takes for plain text is plain text");
        assert!(render("{{ vars.list }}").unwrap_err().to_string().contains("a sequence can not be put into text"));
    }

    #[test]
    fn the_words_of_a_sample_have_the_form_of_every_run() {
        let form = |words: &RunWords| {
            let word = |c: char| if c.is_ascii_digit() { '0' } else { c };
            serde_json::to_string(words).unwrap().chars().map(word).collect::<String>().replace(['-', '+'], "±")
        };
        let run: RunId = "20261120T171700Z-401902".parse().unwrap();
        assert_eq!(form(&RunWords::of(&run, &TimeZone::get("Asia/Seoul").unwrap())), form(&RunWords::sample()));
    }
}
