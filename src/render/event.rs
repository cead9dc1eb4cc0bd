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
        What::RunResumed { runner, host, pid, done } => {
            let done: Vec<&str> = done.iter().map(crate::ids::NodeId::as_str).collect();
            let done = if done.is_empty() { "nothing was done yet".to_owned() } else { format!("done already: {}", done.join(", ")) };
            format!("the run goes on, on {host} in process {pid} (runner {runner}); {done}")
        }
        What::NodeStarted { node, attempt, attempts, words, .. } => {
            let again = if *attempt > 1 { format!(" (attempt {attempt} of {attempts})") } else { String::new() };
            format!("{} {node}{again}: {}", paint.on(NAME, "▶"), words.join(" → "))
        }
        What::Progress { node, stages } => format!("  {node}: {}", each_stage(stages)?),
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
        What::RunEnded { outcome, took, left, .. } => {
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

/// How far each stage of a flow is: `dump 812 MB → compress 203 MB → sent 197 MB`. Stages that change no size are left out.
pub fn each_stage(stages: &[StageBytes]) -> Option<String> {
    let (first, sent) = (stages.first()?, stages.last()?);
    let between = stages.iter().zip(stages.iter().skip(1)).filter(|(before, stage)| before.bytes != stage.bytes).map(|(_, stage)| stage);
    let changed = between.filter(|stage| stage.stage != sent.stage);
    // What is loaded into a database is sent all at once, in the end.
    let last = Some(sent).filter(|sent| sent.bytes > 0);
    let told: Vec<String> =
        std::iter::once(first).chain(changed).chain(last).map(|stage| format!("{} {}", stage.stage, bytes(stage.bytes))).collect();
    Some(told.join(" → "))
}

/// The counts of a flow in one line: what came in, and what went out.
fn counts(stages: &[StageBytes]) -> Option<String> {
    let (first, last) = (stages.first()?, stages.iter().rev().find(|stage| stage.bytes > 0)?);
    if first.stage == last.stage {
        return Some(bytes(first.bytes));
    }
    Some(format!("{} → {}", bytes(first.bytes), bytes(last.bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_names_every_stage_that_changes_the_size() {
        let stage = |stage: &str, bytes| StageBytes { stage: stage.to_owned(), bytes };
        let stages = [
            stage("dump", 812_000_000),
            stage("compress", 203_000_000),
            stage("checksum", 203_000_000),
            stage("encrypt", 203_100_000),
            stage("sent", 197_000_000),
        ];
        assert_eq!(each_stage(&stages).unwrap(), "dump 812 MB → compress 203 MB → encrypt 203 MB → sent 197 MB");
        assert_eq!(counts(&stages).unwrap(), "812 MB → 197 MB");
        assert_eq!(each_stage(&[]), None);
    }
}
