//! From a file's text to a pipeline, or to everything that is wrong with it.
//!
//! Each stage adds its problems and the later ones still run on what is sound, so that one look shows them all. The environment is
//! asked only through the function the caller lends. This file knows the order of the stages, not their rules.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::model::{Chain, Head, OnFailure, Pipeline, Retry, SourceFacts, Step, StepHead};
use super::{check, copies, dataflow, fusing, keys};
use crate::diagnostic::{Diagnostic, MARK, SourceText};
use crate::document::{self, Document, Placeholders, Schema, Scope};
use crate::quantity::Duration;
use crate::step::{KINDS, Params, Row};
use crate::stream::digest::{Algorithm, Digester};

/// The retry of a step that must not happen twice.
const ONCE: Retry = Retry { attempts: 1, backoff: Duration::seconds(30) };

/// What loading a file gave.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline, when nothing is wrong that would keep it from running.
    pub pipeline: Option<Pipeline>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// Where the pipeline's name stands.
    name: Option<(Arc<SourceText>, Range<usize>)>,
}

impl Loaded {
    /// A file of which only this can be said.
    pub fn refused(diagnostic: Diagnostic) -> Self {
        Self { pipeline: None, diagnostics: vec![diagnostic], name: None }
    }
}

/// Errors about pipelines of one name that share a store: neither could tell its own restore points.
pub fn duplicate_names(loaded: &[Loaded]) -> Vec<Diagnostic> {
    let named: Vec<_> = loaded.iter().filter_map(|file| file.pipeline.as_ref().zip(file.name.as_ref())).collect();
    let mut found = Vec::new();
    for (index, (pipeline, (source, range))) in named.iter().enumerate() {
        let shares = |other: &Pipeline| other.stores.values().any(|store| pipeline.stores.values().any(|own| own == store));
        let earlier = named[..index].iter().find(|(other, _)| other.name == pipeline.name && shares(other));
        let Some((other, _)) = earlier else { continue };
        let message = format!("{} is named `{}` too, and keeps its restore points in the same store", other.source.path, pipeline.name);
        found.push(Diagnostic::error("duplicate-name", source, range.clone(), message).at("/name").help("give each pipeline its own name"));
    }
    found
}

/// A step as far as it could be read.
pub(super) struct Draft {
    pub(super) index: usize,
    pub(super) head: Option<StepHead>,
    pub(super) params: Option<Params>,
}

/// Reads a pipeline. `env` looks up one environment variable; only those that the file's `env` list names are asked for.
pub fn load(source: &Arc<SourceText>, schema: &Schema, env: &dyn Fn(&str) -> Option<String>) -> Loaded {
    let (document, mut diagnostics) = document::recover(Arc::clone(source));
    let Some(mut document) = document else {
        document::conceal(source, None, schema, &mut diagnostics);
        return Loaded { pipeline: None, diagnostics, name: None };
    };
    let scope = scope(&document.value, env);
    diagnostics.extend(document::expand(&mut document, &scope, &placeholders));
    diagnostics.extend(document::check(&document, schema));
    let pipeline = assemble(&document, &scope, &mut diagnostics);
    document::conceal(source, Some(&document), schema, &mut diagnostics);
    diagnostics.sort_by_key(|d| (d.range.start, d.range.end));
    let sound = !diagnostics.iter().any(Diagnostic::is_error);
    let name = document.span("/name").map(|span| (Arc::clone(source), span.value.clone()));
    Loaded { pipeline: pipeline.filter(|_| sound), diagnostics, name }
}

/// The names that texts of this document may use, read leniently: the schema complains about wrong shapes.
fn scope(value: &Value, env: &dyn Fn(&str) -> Option<String>) -> Scope {
    let allowed = value.get("env").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let env = allowed.iter().filter_map(Value::as_str).filter_map(|name| Some((name.to_owned(), env(name)?))).collect();
    Scope { vars: Map::new(), env, pipeline: value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned() }
}

/// What becomes of the text at a pointer; anchors under `x-` may hold those of any field.
fn placeholders(root: &Value, pointer: &str) -> Placeholders {
    match field_of(root, pointer) {
        _ if pointer.starts_with("/x-") => Placeholders::Copied,
        Some((row, field)) if row.run_templates.contains(&field) => Placeholders::AtRun,
        Some((row, field)) if row.own_templates.contains(&field) => Placeholders::Foreign,
        _ => Placeholders::Now,
    }
}

/// The kind of step that a pointer leads into, and the rest of the pointer below `with`.
fn field_of<'a>(root: &Value, pointer: &'a str) -> Option<(&'static Row, &'a str)> {
    let (index, rest) = pointer.strip_prefix("/steps/")?.split_once('/')?;
    let uses = root.pointer(&format!("/steps/{index}/uses"))?.as_str()?;
    Some((KINDS.iter().find(|row| row.uses == uses)?, rest.strip_prefix("with")?))
}

fn assemble(document: &Document, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) -> Option<Pipeline> {
    let head = head(document, diagnostics);
    let drafts: Vec<Draft> = (0..document.value.get("steps").and_then(Value::as_array).map_or(0, Vec::len))
        .map(|index| draft(document, index, diagnostics))
        .collect();
    check::all(document, head.as_ref(), &drafts, diagnostics);
    let head = head?;
    let settled: Vec<(usize, Step)> = drafts.iter().filter_map(|draft| Some((draft.index, settle(draft, &drafts, &head)?))).collect();
    keys::check(document, &head, &scope.env, &settled, diagnostics);
    // What flows through a step that can not be read, nobody can tell.
    if settled.len() < drafts.len() {
        return None;
    }
    let mut steps: Vec<Step> = settled.into_iter().map(|(_, step)| step).collect();
    let known = diagnostics.len();
    // What follows from a name that leads nowhere would only be an echo.
    let named = !diagnostics.iter().any(|d| matches!(d.code, "unknown-step" | "duplicate-step"));
    let chains = if named { dataflow::chains(document, &head, &steps, diagnostics) } else { Vec::new() };
    if !named {
        return None;
    }
    if !chains.is_empty() || !diagnostics[known..].iter().any(Diagnostic::is_error) {
        fusing::check(document, &steps, &chains, diagnostics);
    }
    for chain in &chains {
        share_policy(chain, &drafts, &mut steps);
    }
    let pipeline = pipeline(document, head, steps, chains, scope.env.clone());
    copies::check(document, &pipeline, diagnostics);
    Some(pipeline)
}

/// A stream is tried again, watched and judged as one: what any of its steps says of that holds, the sink's word first.
fn share_policy(chain: &Chain, drafts: &[Draft], steps: &mut [Step]) {
    let members = std::iter::once(chain.sink).chain([chain.source]).chain(chain.filters.iter().copied());
    let heads: Vec<&StepHead> = members.filter_map(|index| drafts[index].head.as_ref()).collect();
    let sink = &mut steps[chain.sink];
    sink.retry = heads.iter().find_map(|head| head.retry).unwrap_or(sink.retry);
    sink.stall = heads.iter().find_map(|head| head.stall).unwrap_or(sink.stall);
    sink.on_failure = heads.iter().find_map(|head| head.on_failure).unwrap_or(sink.on_failure);
}

fn pipeline(document: &Document, head: Head, steps: Vec<Step>, chains: Vec<Chain>, env: BTreeMap<String, String>) -> Pipeline {
    let text = &document.source;
    Pipeline {
        name: head.name,
        description: head.description,
        schedule: head.schedule,
        objectives: head.objectives.unwrap_or_default(),
        concurrency: head.concurrency.unwrap_or_default(),
        vars: head.vars,
        env,
        secrets: head.secrets,
        connections: head.connections,
        stores: head.stores,
        steps,
        chains,
        source: SourceFacts { path: text.path.display().to_string(), sha256: sha256(text) },
    }
}

/// The digest of the file as it is, as `sha256sum` tells it.
fn sha256(source: &SourceText) -> String {
    let mut digester = Digester::new(Algorithm::Sha256);
    if source.marked {
        digester.update(MARK.to_string().as_bytes());
    }
    digester.update(source.text.as_bytes());
    digester.hex()
}

/// Types the top. What the schema has refused already is not reported a second time.
fn head(document: &Document, diagnostics: &mut Vec<Diagnostic>) -> Option<Head> {
    let refused = diagnostics.iter().any(|d| d.is_error() && !d.pointer.starts_with("/steps/"));
    match document::typed::<Head>(document, "") {
        Ok(head) => Some(head),
        Err(_) if refused => None,
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

fn draft(document: &Document, index: usize, diagnostics: &mut Vec<Diagnostic>) -> Draft {
    let pointer = format!("/steps/{index}");
    let inside = |d: &Diagnostic| d.is_error() && (d.pointer == pointer || d.pointer.starts_with(&format!("{pointer}/")));
    let refused = diagnostics.iter().any(inside);
    let head = document::typed::<StepHead>(document, &pointer);
    let params = params(document.value.pointer(&pointer));
    if !refused {
        let detail = head.as_ref().err().map(|diagnostic| (**diagnostic).clone()).or_else(|| {
            let error = params.as_ref().err()?;
            let range = document.span(&pointer).map(|span| span.value.clone()).unwrap_or_default();
            Some(Diagnostic::error("wrong-type", &document.source, range, error.to_string()).at(&*pointer))
        });
        diagnostics.extend(detail);
    }
    Draft { index, head: head.ok(), params: params.ok() }
}

fn params(step: Option<&Value>) -> Result<Params, serde_json::Error> {
    let part = |name: &str| step.and_then(|step| step.get(name)).cloned();
    let with = part("with").unwrap_or_else(|| Value::Object(Map::new()));
    let whole = Map::from_iter([("uses".to_owned(), part("uses").unwrap_or(Value::Null)), ("with".to_owned(), with)]);
    serde_json::from_value(Value::Object(whole))
}

/// Settles the defaults of a step that could be read whole.
fn settle(draft: &Draft, drafts: &[Draft], head: &Head) -> Option<Step> {
    let (own, params) = (draft.head.clone()?, draft.params.clone()?);
    let needs = own.needs.clone().unwrap_or_else(|| default_needs(draft, drafts));
    let warn_only = matches!(params, Params::Notify(_) | Params::Record(_));
    // A policy for all steps is not meant for what must not happen twice; one of its own is.
    let retry = if params.facts().repeatable() { own.retry.or(head.defaults.retry).unwrap_or_default() } else { own.retry.unwrap_or(ONCE) };
    let on_failure = own.on_failure.unwrap_or(if warn_only { OnFailure::Warn } else { OnFailure::Fail });
    Some(Step {
        id: own.id,
        description: own.description,
        params,
        needs,
        when: own.when,
        timeout: own.timeout.or(head.defaults.timeout),
        stall: own.stall.or(head.defaults.stall).unwrap_or(super::model::STALL),
        retry,
        on_failure,
    })
}

/// The step above; for a step that also runs after failures, every step above, so that none fails unheard.
fn default_needs(draft: &Draft, drafts: &[Draft]) -> Vec<crate::ids::StepId> {
    let after_failures = draft.head.as_ref().is_some_and(|head| head.when != super::When::Success);
    let first = if after_failures { 0 } else { draft.index.saturating_sub(1) };
    drafts[first..draft.index].iter().filter_map(|above| Some(above.head.as_ref()?.id.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_file_with_its_byte_order_mark() {
        let digest = |text: &str, marked| sha256(&SourceText { path: "p.yaml".into(), text: text.to_owned(), marked });
        assert_eq!(digest("version: 1\n", true), digest("\u{feff}version: 1\n", false));
        assert_ne!(digest("version: 1\n", true), digest("version: 1\n", false));
    }
}
