//! The page: a template of HTML and its plain data. Every value is escaped as it is put in; only the style sheet is not.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use serde::Serialize;

use super::moment::{Clock, Moment};
use super::overview::{self, Row};
use super::section::{Detail, Section, section};
use super::words::Labels;
use super::{Report, Subject};
use crate::ids::PipelineName;

const TEMPLATE: &str = include_str!("page.html.jinja");
const STYLE: &str = include_str!("page.css");

/// Why there is no page: a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("the page of the report could not be made: {0:#}")]
pub struct ReportError(#[from] minijinja::Error);

#[derive(Serialize)]
struct Page<'a> {
    words: &'a Labels,
    made: Moment,
    runner: &'a str,
    tally: String,
    overview: Vec<Row>,
    /// The names of those that make no restore points.
    others: Vec<&'a str>,
    sections: Vec<Section>,
}

/// The report as one HTML page that loads nothing.
///
/// # Errors
/// [`ReportError`] only where the template and its data do not fit together.
pub fn html(report: &Report) -> Result<String, ReportError> {
    let (detail, worst) = (Detail::of(report.subjects.len()), report.worst_first());
    let page = Page {
        words: report.language.labels(),
        made: Clock::of(report.at, zone(&report.subjects), report.language).zoned(report.at),
        runner: &report.runner,
        tally: overview::tally(report),
        overview: worst.iter().zip(1..).map(|(subject, number)| overview::row(report, subject, anchor(number))).collect(),
        others: report.others.iter().map(PipelineName::as_str).collect(),
        sections: worst.iter().zip(1..).map(|(subject, number)| section(report, subject, anchor(number), detail)).collect(),
    };
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    engine.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?);
    let template = engine.template_from_named_str("page.html", TEMPLATE)?;
    Ok(template.render(context! { page => Value::from(Serde(&page)), style => Value::from_safe_string(STYLE.to_owned()) })?)
}

fn anchor(number: usize) -> String {
    format!("p{number}")
}

/// The time zone of all pipelines, if they have one.
fn zone(subjects: &[Subject]) -> &str {
    let first = subjects.first().map_or("UTC", |subject| subject.plan.timezone.as_str());
    if subjects.iter().all(|subject| subject.plan.timezone == first) { first } else { "UTC" }
}
