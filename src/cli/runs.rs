//! `runner runs` and `runner logs`: the runs that left a journal on this host, and each told again.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde_json::json;

use super::args::{Format, one_of};
use super::exit::Exit;
use super::files;
use super::output::{Output, Problem};
use super::run::{host, state_folder};
use crate::event::{Event, What};
use crate::ids::{NodeId, PipelineName};
use crate::journal::{self, RunFile, Standing};
use crate::render::event::lines;
use crate::render::runs::{self as render, standing};

/// `runs`
#[derive(Debug, ClapArgs)]
pub(super) struct RunsArgs {
    /// A pipeline: its name, or its file; runs of every pipeline unless given
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<PathBuf>,
    /// How many runs are read and shown, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    most: u16,
    /// Where journals are kept
    #[arg(long, value_name = "FOLDER", env = "RUNNER_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    pub(super) format: Format,
}

/// `logs`
#[derive(Debug, ClapArgs)]
pub(super) struct LogsArgs {
    /// The run: its id, the beginning of it, or latest
    #[arg(value_name = "RUN")]
    run: String,
    /// Only what one step did
    #[arg(value_name = "STEP")]
    step: Option<String>,
    /// Where journals are kept
    #[arg(long, value_name = "FOLDER", env = "RUNNER_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    pub(super) format: Format,
}

pub(super) fn run(args: &RunsArgs, output: &Output) -> Result<Exit, Problem> {
    let wanted = args.pipeline.as_ref().map(name).transpose()?;
    let all = files_of(args.state_dir.as_ref(), wanted.as_ref())?;
    let (count, host) = (all.len(), host());
    let found: Vec<render::Ran> = all
        .into_iter()
        .take(args.most.into())
        .map(|file| {
            let looked = file.look(&host).map_err(|error| error.to_string());
            (file, looked)
        })
        .collect();
    match args.format {
        Format::Json => Output::json(&render::json(&found, count))?,
        _ if found.is_empty() => Output::talk("no run has left a journal here"),
        _ => Output::answer(&render::human(&found, count, Timestamp::now(), output.paint()))?,
    }
    Ok(Exit::Done)
}

/// A pipeline by its name, whose file may be gone, or by its file.
fn name(given: &PathBuf) -> Result<PipelineName, Problem> {
    let is_file = given.is_file() || given.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if let Some(name) = given.to_str().filter(|_| !is_file).and_then(|name| PipelineName::new(name).ok()) {
        return Ok(name);
    }
    let found = files::pipelines(std::slice::from_ref(given))?;
    match found.as_slice() {
        [pipeline] => Ok(pipeline.name.clone()),
        _ => Err(Problem::new(Exit::Usage, format!("{} holds several pipelines; name one", given.display()))),
    }
}

/// The journals of a pipeline, with those of restores and verifications of its points.
pub(super) fn files_of(state: Option<&PathBuf>, pipeline: Option<&PipelineName>) -> Result<Vec<RunFile>, Problem> {
    let state = state.cloned().unwrap_or_else(state_folder);
    let wanted = |name: &PipelineName| {
        pipeline.is_none_or(|pipeline| {
            let rest = name.as_str().strip_prefix(pipeline.as_str());
            rest.is_some_and(|rest| matches!(rest, "" | ".restore" | ".verify"))
        })
    };
    journal::runs(&state, &wanted).map_err(|error| Problem::new(Exit::Other, error.to_string()))
}

pub(super) fn logs(args: &LogsArgs, output: &Output) -> Result<Exit, Problem> {
    let file = chosen(&args.run, args.state_dir.as_ref())?;
    let unread = |error: std::io::Error| Problem::new(Exit::Other, format!("reading the journal: {error}"));
    let mut reading = journal::read(&file.path).map_err(unread)?;
    let mut known: Vec<NodeId> = Vec::new();
    let mut shown: Vec<Event> = Vec::new();
    for event in &mut reading {
        let event = event.map_err(unread)?;
        if let What::RunStarted { nodes, .. } = &event.what {
            known.clone_from(nodes);
        }
        if args.step.as_ref().is_none_or(|step| node(&event).is_some_and(|node| is_of(node, step))) {
            shown.push(event);
        }
    }
    if let Some(step) = args.step.as_ref().filter(|step| !known.iter().any(|node| is_of(node, step))) {
        let nodes: Vec<&str> = known.iter().map(NodeId::as_str).collect();
        let problem = Problem::new(Exit::Usage, format!("there is no `{step}` in the run {}", file.run));
        return Err(problem.help(format!("there are {}; steps that are one pass go by the first of them", nodes.join(", "))));
    }
    if args.format == Format::Json {
        let answer = json!({ "version": 1, "run": file.run, "pipeline": file.pipeline, "torn": reading.is_torn(), "events": shown });
        Output::json(&answer)?;
    } else {
        let text: String = shown.iter().filter_map(|event| lines(event, output.paint())).map(|lines| lines + "\n").collect();
        Output::answer(&text)?;
    }
    tell_end(&file, reading.is_torn())?;
    Ok(Exit::Done)
}

/// Tells of a cut last line, and of a run without an end.
fn tell_end(file: &RunFile, torn: bool) -> Result<(), Problem> {
    if torn {
        Output::talk(&format!("the last line of {} was cut, by a crash or a full disk, and is left out", file.path.display()));
    }
    let found = file.look(&host()).map_err(|error| Problem::new(Exit::Other, error.to_string()))?;
    if !matches!(found.standing, Standing::Ended(_)) {
        Output::talk(&format!("the run {} is {}", file.run, standing(&found)));
    }
    Ok(())
}

/// The one run that is meant.
pub(super) fn chosen(run: &str, state: Option<&PathBuf>) -> Result<RunFile, Problem> {
    let all = files_of(state, None)?;
    let count = all.len();
    let mut meant = all.into_iter().filter(|file| run == "latest" || file.run.as_str().starts_with(run));
    let none = || {
        let problem = Problem::new(Exit::NoFile, format!("no journal here is of the run {run}, among {count}"));
        problem.help("`runner runs` shows the runs there are; a journal stays on the host that ran it")
    };
    let first = meant.next().ok_or_else(none)?;
    match meant.next() {
        Some(other) if run != "latest" => {
            let problem = Problem::new(Exit::Usage, format!("{run} could be {} or {}", first.run, other.run));
            Err(problem.help("give more of the id"))
        }
        _ => Ok(first),
    }
}

/// The node that an event is about.
fn node(event: &Event) -> Option<&NodeId> {
    match &event.what {
        What::NodeStarted { node, .. } | What::Progress { node, .. } | What::AttemptFailed { node, .. } | What::NodeEnded { node, .. } => {
            Some(node)
        }
        What::RunStarted { .. } | What::RunResumed { .. } | What::RunEnded { .. } => None,
    }
}

/// Whether a node is a step, or a part of it; the commit goes by `commit`.
fn is_of(node: &NodeId, step: &str) -> bool {
    let node = node.as_str();
    node == step || node.strip_prefix(':') == Some(step) || node.strip_prefix(step).is_some_and(|rest| rest.starts_with(':'))
}
