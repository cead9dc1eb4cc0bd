//! Texts with placeholders that are known only when a run starts: object keys, messages, file names.
//!
//! A [`Template`] is kept as written; [`Bindings`] holds the closed set of names it may use. Rendering is strict: an
//! unknown name is an error, never an empty text. This module reads no file and no environment.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PipelineName, RunId};

/// The names below `run`, known once a run starts.
pub const RUN_NAMES: [&str; 5] = ["id", "date", "time", "month", "started"];

/// A text with `{{ placeholders }}` from a closed set: `pipeline`, `vars.*`, `env.*`, `run.*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Template(pub String);

/// Why a template does not render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template:?}: {detail}")]
pub struct TemplateError {
    /// The template as written.
    pub template: String,
    /// What is wrong, such as `undefined value`.
    pub detail: String,
}

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

    /// Words that show in a plan where a run's will stand: `<run.id>`.
    pub fn blank() -> Self {
        let name = |name: &str| format!("<run.{name}>");
        Self { id: name("id"), date: name("date"), time: name("time"), month: name("month"), started: name("started") }
    }
}

impl Template {
    /// The text for one run.
    pub fn render(&self, bindings: &Bindings, run: &RunWords) -> Result<String, TemplateError> {
        let values = context! {
            pipeline => bindings.pipeline.as_str(),
            vars => Value::from(Serde(&bindings.vars)),
            env => Value::from(Serde(&bindings.env)),
            run => Value::from(Serde(run)),
        };
        self.render_with(values)
    }

    /// The text with a set of values of the caller's own.
    pub fn render_with(&self, values: Value) -> Result<String, TemplateError> {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        minijinja_builtins(&mut environment);
        environment.render_str(&self.0, values).map_err(|error| TemplateError { template: self.0.clone(), detail: words(&error) })
    }
}

/// The few filters that make sense in a key or a message; anything else is an error rather than a surprise.
fn minijinja_builtins(environment: &mut Environment<'_>) {
    environment.add_filter("upper", minijinja::filters::upper);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("replace", minijinja::filters::replace);
    environment.add_filter("trim", minijinja::filters::trim);
    environment.add_filter("default", minijinja::filters::default);
    environment.add_filter("join", minijinja::filters::join);
    environment.add_filter("length", minijinja::filters::length);
}

fn words(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
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
}
