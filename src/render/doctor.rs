//! What the doctor found, for people and as JSON: one line a thing, the worst first, each with what to do.
//!
//! Nothing here judges.

use std::fmt::Write;

use serde_json::{Value, json};

use super::style::{BAD, BOLD, DIM, GOOD, NAME, Paint, WARN, columns, padded};
use crate::ids::PipelineName;
use crate::plan::{Line, Standing};
use crate::words::count;

/// The widest that the column of subjects gets, in columns of a terminal.
const SUBJECTS: usize = 28;

/// A pipeline that was looked at.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Its name.
    pub pipeline: PipelineName,
    /// What was found.
    pub lines: Vec<Line>,
}

impl Examined {
    fn number(&self, standing: Standing) -> usize {
        self.lines.iter().filter(|line| line.standing == standing).count()
    }

    /// The whole in a few words.
    fn sum(&self) -> String {
        let warnings = match self.number(Standing::Warn) {
            0 => String::new(),
            warnings => format!(", {}", count(warnings, "warning")),
        };
        match self.number(Standing::Fail) {
            0 => format!("ready{warnings}"),
            failures => format!("not ready: {}{warnings}", count(failures, "failure")),
        }
    }
}

/// What was found, in a terminal.
pub fn human(examined: &Examined, paint: Paint) -> String {
    let sum = examined.sum();
    let style = if examined.number(Standing::Fail) > 0 { BAD } else { GOOD };
    let mut out = format!("{}: {}\n", paint.on(BOLD, examined.pipeline.as_str()), paint.on(style, &sum));
    let width = examined.lines.iter().map(|line| columns(&line.subject)).max().unwrap_or(0).min(SUBJECTS);
    for line in &examined.lines {
        let (style, word) = match line.standing {
            Standing::Ok => (GOOD, "ok"),
            Standing::Info => (NAME, "info"),
            Standing::Warn => (WARN, "warn"),
            Standing::Fail => (BAD, "fail"),
        };
        let _ok = writeln!(out, "  {}  {}  {}", paint.on(style, &padded(word, 4)), padded(&line.subject, width), line.message);
        if let Some(help) = &line.help {
            let _ok = writeln!(out, "        {:width$}  {} {help}", "", paint.on(DIM, "→"));
        }
    }
    out
}

/// What was found, as JSON.
pub fn json(examined: &Examined) -> Value {
    json!({ "pipeline": examined.pipeline, "ready": examined.number(Standing::Fail) == 0, "lines": examined.lines })
}
