//! `runner prune`: plans what the pipeline's own `prune` steps would let go, shows every deletion with its reason, asks, and does it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use jiff::Timestamp;

use super::args::RunArgs;
use super::exit::Exit;
use super::output::{Output, Problem};
use super::run::{carry_out, state_folder};
use super::{files, plan as planning};
use crate::event::{Outcome, What};
use crate::ids::{RefName, RunId};
use crate::journal;
use crate::observe;
use crate::pipeline::{Pipeline, Step};
use crate::plan::{Observed, Plan, Reach, plan};
use crate::step::{Params, Prune};

/// `prune`
#[derive(Debug, ClapArgs)]
pub(super) struct PruneArgs {
    /// A file, or the name of a pipeline in pipelines/, that has a `prune` step
    #[arg(value_name = "PIPELINE")]
    path: PathBuf,
    /// Only in this store
    #[arg(long, value_name = "STORE")]
    store: Option<RefName>,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

pub(super) fn run(args: &PruneArgs, output: &Output) -> Result<Exit, Problem> {
    let pipeline = only_pruning(one(&args.path)?, args.store.as_ref())?;
    let tokio = planning::tokio_runtime()?;
    let mut observed = observe::observe(&pipeline, tokio.handle(), observe::Options::default());
    let now = Timestamp::now();
    if let Some(run) = failed(args, &pipeline)? {
        mark_failed(&mut observed, &run, now);
    }
    let plan = plan(&pipeline, &observed, Some(now));
    carry_out(&plan, &args.run, output, |plan| confirm(plan, args.yes))
}

/// The one pipeline that is meant.
pub(super) fn one(path: &Path) -> Result<Pipeline, Problem> {
    let mut found = files::pipelines(&[path.to_owned()])?;
    match (found.pop(), found.is_empty()) {
        (Some(pipeline), true) => Ok(pipeline),
        _ => Err(Problem::new(Exit::Usage, format!("{} holds several pipelines; name one", path.display()))),
    }
}

/// The pipeline with nothing but its pruning, which then waits for nothing.
fn only_pruning(pipeline: Pipeline, only: Option<&RefName>) -> Result<Pipeline, Problem> {
    let kept = |step: Step| match step.params {
        Params::Prune(prune) => {
            let stores = prune.all().into_iter().filter(|name| only.is_none_or(|only| only == *name)).cloned().collect::<Vec<_>>();
            let params = Params::Prune(Prune { store: None, stores, ..prune });
            Some(Step { params, needs: Vec::new(), ..step })
        }
        _ => None,
    };
    let steps: Vec<Step> =
        pipeline.steps.into_iter().filter_map(kept).filter(|step| !step.params.facts().references().stores.is_empty()).collect();
    if steps.is_empty() {
        let here = only.map_or_else(String::new, |store| format!(" for the store `{store}`"));
        let problem = Problem::new(Exit::Usage, format!("{} has no `prune` step{here}, so no rule says what may go", pipeline.name));
        return Err(problem.help(
            "add { id: prune, uses: prune, with: { store: NAME, keep: { daily: 30 } } }, and try it with `runner retention simulate`",
        ));
    }
    // All its stores: one that is not pruned may know of a proof or a failure that counts.
    Ok(Pipeline { steps, chains: Vec::new(), connections: BTreeMap::new(), secrets: BTreeMap::new(), ..pipeline })
}

/// The newest run on this host that was to make a restore point, if it failed as far as its journal tells.
fn failed(args: &PruneArgs, pipeline: &Pipeline) -> Result<Option<RunId>, Problem> {
    let state = args.run.state_dir.clone().unwrap_or_else(state_folder);
    let found = journal::runs(&state, &|name| *name == pipeline.name).map_err(|error| {
        Problem::new(Exit::Other, error.to_string())
            .help("without its journals nobody can tell whether a run has failed; make them readable")
    })?;
    let newest = found.into_iter().find_map(|file| Some((outcome(&file.path)?, file.run)));
    Ok(newest.filter(|(outcome, _)| !matches!(outcome, Outcome::Done | Outcome::Warned)).map(|(_, run)| run))
}

/// How a run that was to commit ended; one that never ended counts as failed, and so does one whose journal can not be read. `None` for
/// other runs.
fn outcome(journal: &Path) -> Option<Outcome> {
    let Ok(events) = journal::replay(journal) else { return Some(Outcome::Failed) };
    let commits = events
        .iter()
        .any(|event| matches!(&event.what, What::RunStarted { nodes, .. } if nodes.iter().any(|node| node.as_str() == ":commit")));
    let ended = events.iter().rev().find_map(|event| if let What::RunEnded { outcome, .. } = &event.what { Some(*outcome) } else { None });
    commits.then(|| ended.unwrap_or(Outcome::Failed))
}

/// Marks the stores that have no newer restore point: where a later run made one, on whatever host, the failure is over. The point of
/// the failed run itself is no newer one.
fn mark_failed(observed: &mut Observed, failed: &RunId, now: Timestamp) {
    for reach in observed.catalogs.values_mut() {
        if let Reach::Reached(facts) = reach {
            let newest = facts.points.iter().map(|point| &point.facts).find(|point| point.level.is_some() && !point.run.is_ahead(now));
            facts.last_run_failed |= newest.is_none_or(|newest| newest.run <= *failed);
        }
    }
}

/// Asks before anything is taken away; where nobody can be asked, nothing is done.
fn confirm(plan: &Plan, yes: bool) -> Result<(), Problem> {
    if yes || plan.nodes.iter().all(|node| node.destroys.is_empty()) {
        return Ok(());
    }
    asked()
}

/// Asks whether to go on.
pub(super) fn asked() -> Result<(), Problem> {
    let refused =
        |why: &str| Problem::new(Exit::Usage, format!("nothing was done: {why}")).help("the plan is above; say --yes to carry it out");
    if !(std::io::stdin().is_terminal() && Output::watched()) {
        return Err(refused("nobody was asked"));
    }
    Output::ask("Type yes to go on: ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "yes" { Ok(()) } else { Err(refused("the answer was another one")) }
}
