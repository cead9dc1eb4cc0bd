//! The runs on this host as a table, and how one that is replayed ended.
//!
//! Times are those of the journal. Nothing here reads one.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::event::outcome_words;
use super::style::{BAD, DIM, Paint, WARN, columns, padded};
use crate::event::Outcome;
use crate::journal::{RunFile, RunFound, Standing};
use crate::quantity::brief;
use crate::words::cut;

/// How much of an error a table shows, in characters.
const SHOWN: usize = 160;

/// A run and what its journal tells, or why it can not be read.
pub type Ran = (RunFile, Result<RunFound, String>);

/// The runs in a terminal; `count` is how many there are in all.
pub fn human(runs: &[Ran], count: usize, now: Timestamp, paint: Paint) -> String {
    let mut out = String::new();
    let rows: Vec<[String; 5]> = runs.iter().map(|(file, found)| row(file, found, now)).collect();
    let width = |column: usize| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    for ((file, found), row) in runs.iter().zip(&rows) {
        let [run, pipeline, age, outcome, took] = row;
        let outcome = paint.on(style(found), &padded(outcome, widths[3]));
        let level = found.as_ref().ok().and_then(level).unwrap_or_default();
        let line = format!(
            "{}  {}  {}  {outcome}  {}  {level}",
            padded(run, widths[0]),
            padded(pipeline, widths[1]),
            padded(age, widths[2]),
            padded(took, widths[4])
        );
        let _ok = writeln!(out, "{}", line.trim_end());
        if let Some(trouble) = trouble(found) {
            let _ok = writeln!(out, "  {} {trouble}", paint.on(BAD, "!"));
        }
        if found.as_ref().is_ok_and(|found| found.standing == Standing::Gone && found.kept) {
            let _ok = writeln!(out, "  {} what is done stays done: runner resume {}", paint.on(DIM, "→"), file.run);
        }
    }
    if count > runs.len() {
        let _ok = writeln!(out, "{}", paint.on(DIM, &format!("… and {} older", count - runs.len())));
    }
    out
}

fn row(file: &RunFile, found: &Result<RunFound, String>, now: Timestamp) -> [String; 5] {
    let age = std::time::Duration::try_from(now.duration_since(file.run.started())).unwrap_or_default();
    let took = match found.as_ref().map(|found| &found.standing) {
        Ok(Standing::Ended(end)) => brief(end.took),
        _ => String::new(),
    };
    let word = found.as_ref().map_or_else(|_| "unreadable".to_owned(), standing);
    [file.run.to_string(), file.pipeline.to_string(), format!("{} ago", brief(age)), word, took]
}

/// How a run stands, in words.
pub fn standing(found: &RunFound) -> String {
    let process = found.pid.map_or_else(|| "its process".to_owned(), |pid| format!("process {pid}"));
    match &found.standing {
        Standing::Ended(end) => outcome_words(end.outcome).1.to_owned(),
        Standing::Alive => format!("unfinished, {process} is at work"),
        Standing::Gone => format!("unfinished, {process} is gone"),
        Standing::Elsewhere => format!("unfinished, {process} on {}", found.host.as_deref().unwrap_or("another host")),
    }
}

fn style(found: &Result<RunFound, String>) -> anstyle::Style {
    match found.as_ref().map(|found| &found.standing) {
        Ok(Standing::Ended(end)) => outcome_words(end.outcome).0,
        Ok(Standing::Alive | Standing::Elsewhere) => WARN,
        Ok(Standing::Gone) | Err(_) => BAD,
    }
}

fn level(found: &RunFound) -> Option<&str> {
    if let Standing::Ended(end) = &found.standing { end.level.as_deref() } else { None }
}

/// What is to be told below a run: why it can not be read, or why it failed.
fn trouble(found: &Result<RunFound, String>) -> Option<String> {
    let told = match found {
        Err(why) => why,
        Ok(found) => found.error.as_ref().filter(|_| !ended_well(found))?,
    };
    Some(cut(told.split_whitespace().collect::<Vec<_>>().join(" ").as_str(), SHOWN))
}

fn ended_well(found: &RunFound) -> bool {
    matches!(&found.standing, Standing::Ended(end) if end.outcome == Outcome::Done)
}

/// The runs as JSON.
pub fn json(runs: &[Ran], count: usize) -> Value {
    let run = |(file, found): &Ran| {
        let known = found.as_ref().ok();
        let end = known.and_then(|found| if let Standing::Ended(end) = &found.standing { Some(end) } else { None });
        json!({
            "run": file.run,
            "pipeline": file.pipeline,
            "started": file.run.started(),
            "outcome": end.map_or_else(|| json!(if known.is_some() { "unfinished" } else { "unreadable" }), |end| json!(end.outcome)),
            "duration_seconds": end.map(|end| end.took.as_secs_f64()),
            "level": known.and_then(level),
            "error": found.as_ref().map_or_else(|why| Some(why.as_str()), |found| found.error.as_deref()),
            "host": known.and_then(|found| found.host.as_deref()),
            "pid": known.and_then(|found| found.pid),
            "alive": known.and_then(alive),
            "last_event": known.and_then(|found| found.last),
            "torn": known.is_some_and(|found| found.torn),
            "resumable": known.is_some_and(resumable),
            "journal": file.path,
        })
    };
    json!({ "version": 1, "count": count, "runs": runs.iter().map(run).collect::<Vec<_>>() })
}

/// Whether going on with it may be tried.
fn resumable(found: &RunFound) -> bool {
    let over = matches!(found.standing, Standing::Alive | Standing::Elsewhere);
    let good = matches!(&found.standing, Standing::Ended(end) if matches!(end.outcome, Outcome::Done | Outcome::Warned));
    found.kept && !over && !good
}

/// Whether the process of a run without an end is there, where that can be seen.
fn alive(found: &RunFound) -> Option<bool> {
    match found.standing {
        Standing::Alive => Some(true),
        Standing::Gone => Some(false),
        Standing::Ended(_) | Standing::Elsewhere => None,
    }
}
