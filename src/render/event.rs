//! Events as lines: what a run says in CI, in a log, and when it is replayed.
//!
//! One event is at most a few lines; progress is one short line. Nothing here keeps state.

use super::style::{BAD, DIM, GOOD, NAME, Paint, WARN};
use crate::diagnostic::Failure;
use crate::event::{Event, Outcome, StageBytes, State, What};
use crate::quantity::{brief, bytes};

/// An event as lines, without a newline at the end; `None` for one that says nothing here.
pub fn lines(event: &Event, paint: Paint) -> Option<String> {
    let body = body(&event.what, paint)?;
    Some(format!("{} {body}", paint.on(DIM, &event.at.strftime("%H:%M:%S").to_string())))
}

fn body(what: &What, paint: Paint) -> Option<String> {
    Some(match what {
        What::RunStarted { pipeline, runner, host, .. } => format!("{pipeline} starts on {host} (runner {runner})"),
        What::NodeStarted { node, attempt, attempts, words, .. } => {
            let again = if *attempt > 1 { format!(" (attempt {attempt} of {attempts})") } else { String::new() };
            format!("{} {node}{again}: {}", paint.on(NAME, "▶"), words.join(" → "))
        }
        What::Progress { node, stages } => format!("  {node}: {}", counts(stages)?),
        What::AttemptFailed { node, attempt, error, retry_in } => {
            format!("{} {node}: attempt {attempt} failed, next in {}: {}", paint.on(WARN, "!"), brief(*retry_in), told(error))
        }
        What::NodeEnded { node, state, took, stages, error, notes } => {
            let (sign, style, word) = state_words(*state);
            let mut line = format!("{} {node} {word}", paint.on(style, sign));
            if !matches!(state, State::Skipped | State::NotRun) {
                line.extend([" in ", &brief(*took)]);
            }
            line.extend(counts(stages).map(|counts| format!(", {counts}")));
            line.extend(error.as_ref().map(|error| format!(": {}", told(error))));
            line.extend(notes.iter().map(|note| format!("\n           {note}")));
            line
        }
        What::RunEnded { outcome, took, left } => {
            let (style, word) = outcome_words(*outcome);
            let left = left.iter().map(|left| format!("\n         left behind: {left}")).collect::<Vec<_>>().concat();
            format!("{} in {}{left}", paint.on(style, word), brief(*took))
        }
    })
}

const fn state_words(state: State) -> (&'static str, anstyle::Style, &'static str) {
    match state {
        State::Done => ("✓", GOOD, "done"),
        State::Skipped => ("-", DIM, "skipped"),
        State::Failed => ("✗", BAD, "failed"),
        State::Warned => ("!", WARN, "failed, which is only a warning"),
        State::NotRun => ("·", DIM, "not run"),
    }
}

/// How a run ended, in a word.
pub const fn outcome_words(outcome: Outcome) -> (anstyle::Style, &'static str) {
    match outcome {
        Outcome::Done => (GOOD, "done"),
        Outcome::Warned => (WARN, "done with warnings"),
        Outcome::Failed => (BAD, "FAILED"),
        Outcome::Cancelled => (BAD, "stopped"),
    }
}

fn told(error: &Failure) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("\n           help: {hint}")).unwrap_or_default();
    format!("{}{hint}", error.message.replace('\n', "\n           "))
}

/// The counts of a flow in one line: what came in, and what went out.
pub fn counts(stages: &[StageBytes]) -> Option<String> {
    let (first, last) = (stages.first()?, stages.iter().rev().find(|stage| stage.bytes > 0)?);
    if first.stage == last.stage {
        return Some(bytes(first.bytes));
    }
    Some(format!("{} → {}", bytes(first.bytes), bytes(last.bytes)))
}
