//! The report: how pipelines stand, as one page that needs nothing but itself, or as Markdown for a job summary.
//!
//! What it says was judged by `status` and decided by `retention`; here it is laid out, drawn and said in a language. The same values
//! give the same bytes: time is one of them. Every text of the page is escaped by the template engine, for names, errors and reasons
//! come from elsewhere; there is no script in it. Nothing here judges, opens or prints.

mod axis;
mod fate;
mod graph;
mod layers;
mod markdown;
mod moment;
mod objectives;
mod overview;
mod page;
mod points;
mod section;
mod timeline;
mod trend;
mod words;

use jiff::Timestamp;

use crate::ids::{PipelineName, RefName};
use crate::plan::Plan;
use crate::retention::{Gap, Verdict};
use crate::status::Status;

pub use markdown::markdown;
pub use page::{ReportError, html};
pub use words::Language;

/// What is reported.
#[derive(Debug, Clone)]
pub struct Report {
    /// The pipelines that make restore points.
    pub subjects: Vec<Subject>,
    /// The names of those that make none, such as runbooks: there is nothing to judge of them.
    pub others: Vec<PipelineName>,
    /// When this was so.
    pub at: Timestamp,
    /// The version of the program that says it.
    pub runner: String,
    /// The language it is said in.
    pub language: Language,
}

/// A pipeline.
#[derive(Debug, Clone)]
pub struct Subject {
    /// How it stands.
    pub status: Status,
    /// What a run of it does.
    pub plan: Plan,
    /// What retention says of its stores.
    pub shelves: Vec<Shelf>,
}

/// A store, as retention sees it.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Its name.
    pub store: RefName,
    /// How many restore points of the pipeline it keeps, also of those that were not read.
    pub count: usize,
    /// What becomes of each; `None` where no rule says so, or where not all of them were read.
    pub verdict: Option<Verdict>,
    /// Where it was longer without one than the RPO allows, and not because of a rule.
    pub gaps: Vec<Gap>,
}

impl Report {
    /// The pipelines, those first that need somebody most.
    fn worst_first(&self) -> Vec<&Subject> {
        let mut subjects: Vec<&Subject> = self.subjects.iter().collect();
        subjects.sort_by_key(|subject| std::cmp::Reverse(subject.status.light));
        subjects
    }
}
