//! `runner resume`, and `--resume` of `apply`: going on with a run that crashed or failed, from the first node that has no receipt.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::{Format, RunArgs};
use super::exit::Exit;
use super::lease;
use super::output::{Output, Problem};
use super::run::{go_on, host};
use super::runs::{chosen, files_of};
use crate::event::{Outcome, What};
use crate::exec::{Before, RECEIPT_VERSION, Receipt};
use crate::ids::{NodeId, RefName, RunId};
use crate::journal::{self, Journal, ReceiptFile, RunFile, RunFolder, RunFound, Standing};
use crate::pipeline::Pipeline;
use crate::plan::{self, Action, Past, Plan};
use crate::render::runs::standing;
use crate::runtime::Runtime;
use crate::step::StepError;
use crate::store::remains::{self, Place};
use crate::store::{manifest::Manifest, sealed};

/// What to do where a run can not be gone on with.
const ANEW: &str = "start a new run: `runner apply`; it clears away what this one left";

/// Why a run of another host is left alone.
const UNSEEN: &str = "whether its process is at work can not be seen from here, for its journal is not on a disk of this machine";

/// `resume`
#[derive(Debug, ClapArgs)]
pub(super) struct ResumeArgs {
    /// The run: its id, the beginning of it, or latest: the newest that never ended
    #[arg(value_name = "RUN")]
    run: String,
    /// A node that may be done again though it may have taken effect already (sql, http, command); may be given several times
    #[arg(long, value_name = "NODE")]
    again: Vec<String>,
    #[command(flatten)]
    pub(super) with: RunArgs,
}

/// A run that is to go on; while this lives, no other process can take it.
pub(super) struct Resumed {
    pub(super) plan: Plan,
    pub(super) run: RunId,
    pub(super) journal: Journal,
    pub(super) folder: RunFolder,
    pub(super) before: Before,
    /// Receipts of nodes that run again.
    dropped: Vec<ReceiptFile>,
}

pub(super) fn run(args: &ResumeArgs, output: &Output) -> Result<Exit, Problem> {
    let file = match args.run.as_str() {
        "latest" => latest(args.with.state_dir.as_ref())?,
        run => chosen(run, args.with.state_dir.as_ref())?,
    };
    let (exit, answer) = go_on(open(&file, &args.again)?, &args.with, output)?;
    if args.with.format == Format::Json {
        Output::json(&answer)?;
    }
    Ok(exit)
}

/// The newest run without an end.
fn latest(state: Option<&PathBuf>) -> Result<RunFile, Problem> {
    let (all, host) = (files_of(state, None)?, host());
    let count = all.len();
    let unfinished = |file: &RunFile| matches!(file.look(&host).map(|found| found.standing), Ok(Standing::Gone));
    all.into_iter().find(unfinished).ok_or_else(|| {
        let problem = Problem::new(Exit::NoFile, format!("no run here was left without an end, among {count}"));
        problem.help("`runner runs` shows the runs there are; one that failed is gone on with by its id")
    })
}

/// Goes on with the newest run of a pipeline if it never ended and the pipeline is the same; `None` when a new one is to start.
pub(super) fn instead(pipeline: &Pipeline, args: &RunArgs, output: &Output) -> Result<Option<(Exit, Value)>, Problem> {
    let newest = files_of(args.state_dir.as_ref(), Some(&pipeline.name))?.into_iter().find(|file| file.pipeline == pipeline.name);
    let Some(file) = newest else { return Ok(None) };
    let anew = |why: &str| {
        Output::talk(&format!("the run {} is not gone on with, a new one starts: {why}", file.run));
        Ok(None)
    };
    match file.look(&host()) {
        Ok(found) if found.standing == Standing::Gone => {}
        Ok(found) if found.standing == Standing::Elsewhere => return anew(&format!("it is {}; {UNSEEN}", standing(&found))),
        _ => return Ok(None),
    }
    match open(&file, &[]) {
        Ok(resumed) if resumed.plan.source.sha256 != pipeline.source.sha256 => anew(&format!("{} has changed since", pipeline.source.path)),
        Ok(resumed) => match go_on(resumed, args, output) {
            Err(problem) if problem.exit == Exit::Stale => anew(&problem.message),
            done => done.map(Some),
        },
        Err(problem) if problem.exit == Exit::Stale => anew(&problem.message),
        Err(problem) => Err(problem),
    }
}

/// Takes a run over, if it may be gone on with as far as this host can tell. Changes nothing.
fn open(file: &RunFile, again: &[String]) -> Result<Resumed, Problem> {
    let unread = |error: std::io::Error| Problem::new(Exit::Other, format!("reading the journal of the run {}: {error}", file.run));
    let journal = Journal::take_over(&file.path).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => at_work(file),
        _ => unread(error),
    })?;
    let found = file.look(&host()).map_err(unread)?;
    may_go_on(file, &found, &journal)?;
    let folder = RunFolder::of(&file.path);
    let plan = planned(file, &folder)?;
    let receipts = receipts(file, &folder, &plan)?;
    let events = journal::replay(&file.path).map_err(unread)?;
    let begun = events.into_iter().filter_map(|event| if let What::NodeStarted { node, .. } = event.what { Some(node) } else { None });
    let past = Past {
        ended: receipts.iter().map(|(receipt, _)| receipt.node.clone()).collect(),
        begun: begun.collect(),
        again: again.iter().cloned().collect(),
    };
    let kept = plan::resume(&plan, &past)
        .map_err(|error| Problem::new(Exit::Usage, format!("the run {} is not gone on with: {error}", file.run)).help(error.help()))?;
    let (mut stay, go): (Vec<_>, Vec<_>) = receipts.into_iter().partition(|(receipt, _)| kept.contains(&receipt.node));
    stay.sort_by_key(|(receipt, _)| receipt.ended);
    let before = Before { kept: stay.into_iter().map(|(receipt, _)| receipt).collect(), worked: found.worked };
    Ok(Resumed { plan, run: file.run.clone(), journal, folder, before, dropped: go.into_iter().map(|(_, file)| file).collect() })
}

fn at_work(file: &RunFile) -> Problem {
    Problem::new(Exit::Locked, format!("the run {} is at work in another process", file.run)).help("`runner runs` shows which")
}

/// Refuses what has ended, what is at work, and what can not be seen from here.
fn may_go_on(file: &RunFile, found: &RunFound, journal: &Journal) -> Result<(), Problem> {
    match &found.standing {
        Standing::Ended(end) if matches!(end.outcome, Outcome::Done | Outcome::Warned) => {
            let problem = Problem::new(Exit::Usage, format!("the run {} has ended: {}", file.run, standing(found)));
            Err(problem.help("there is nothing to go on with; a new run: `runner apply`"))
        }
        // Whoever holds the lock of the journal is alone; a number of a process may be another's by now.
        Standing::Alive if !journal.is_locked() => Err(at_work(file)),
        Standing::Elsewhere => {
            let problem = Problem::new(Exit::Locked, format!("the run {} is {}", file.run, standing(found)));
            Err(problem.help(format!("resume it on that host: {UNSEEN}; or {ANEW}")))
        }
        Standing::Ended(_) | Standing::Alive | Standing::Gone => Ok(()),
    }
}

/// The very plan of the run.
fn planned(file: &RunFile, folder: &RunFolder) -> Result<Plan, Problem> {
    let path = folder.plan_path();
    let unread = |error: std::io::Error| Problem::new(Exit::Other, format!("reading {}: {error}", path.display()));
    let Some(bytes) = folder.plan().map_err(unread)? else {
        let why = "it began nothing, or a newer run of the pipeline has begun since";
        return Err(Problem::new(Exit::Stale, format!("the plan of the run {} is not kept: {why}", file.run)).help(ANEW));
    };
    let plan: Plan = unsealed(&path, &bytes)?;
    let own = env!("CARGO_PKG_VERSION");
    if plan.version != plan::VERSION || plan.runner != own {
        let message = format!("the run {} is one of runner {}, and this is {own}", file.run, plan.runner);
        return Err(Problem::new(Exit::Stale, message).help(ANEW));
    }
    Ok(plan)
}

/// The receipts of the run, each with its file.
fn receipts(file: &RunFile, folder: &RunFolder, plan: &Plan) -> Result<Vec<(Receipt, ReceiptFile)>, Problem> {
    let files = folder
        .receipts()
        .map_err(|error| Problem::new(Exit::Other, format!("reading the receipts in {}: {error}", folder.path().display())))?;
    let mut read = Vec::new();
    for found in files {
        let receipt: Receipt = unsealed(&found.path, &found.bytes)?;
        if receipt.version != RECEIPT_VERSION || receipt.run != file.run || plan.node(&receipt.node).is_none() {
            let message = format!("{} is no receipt of the run {}", found.path.display(), file.run);
            return Err(Problem::new(Exit::Invalid, message).help(ANEW));
        }
        read.push((receipt, found));
    }
    Ok(read)
}

fn unsealed<T: DeserializeOwned>(path: &std::path::Path, bytes: &[u8]) -> Result<T, Problem> {
    sealed::open(bytes).map_err(|error| Problem::new(Exit::Invalid, format!("{}: {error}", path.display())).help(ANEW))
}

impl Resumed {
    /// Looks whether the stores still have what the receipts say, and whether another run has ruled this one out. Answers the manifest, if
    /// the run has committed. Changes nothing.
    pub(super) fn still_stands(&self, runtime: &Runtime) -> Result<Option<Manifest>, Problem> {
        let mut manifest = None;
        let committed = self.kept_nodes().any(|node| node.action == Action::Commit);
        for name in self.plan.commits_to() {
            let store = opened(runtime, &name)?;
            match remains::place(&*store, &self.plan.pipeline, &self.run).map_err(failed)? {
                Place::Committed(found) => manifest = Some(*found),
                Place::RuledOut => {
                    let by = lease::taker(&self.plan, &*store, &self.run).map_or_else(String::new, |holder| format!(" by {holder}"));
                    return Err(self.stale(&format!("{}: it was ruled out{by}", store.describe())));
                }
                Place::Open if committed => return Err(self.stale(&format!("its restore point is no longer in {}", store.describe()))),
                Place::Open => {}
            }
        }
        for artifact in self.before.kept.iter().flat_map(|receipt| receipt.added.artifacts.values()) {
            if let Some(what) = remains::missing(&*opened(runtime, &artifact.store)?, artifact).map_err(failed)? {
                return Err(self.stale(&what));
            }
        }
        if manifest.is_some() && self.anew().any(|node| node.work.object().is_some()) {
            return Err(self.stale("it has a restore point, and receipts of what is in it are missing"));
        }
        Ok(manifest)
    }

    /// Clears away what dead attempts left, and tells the ledger of a manifest that is there already. Answers what was removed, in words.
    pub(super) fn clear(&self, manifest: Option<Manifest>, runtime: &Runtime) -> Result<Vec<String>, Problem> {
        let mut kept: BTreeMap<&RefName, BTreeSet<String>> = BTreeMap::new();
        for artifact in self.before.kept.iter().flat_map(|receipt| receipt.added.artifacts.values()) {
            kept.entry(&artifact.store).or_default().extend(remains::objects(artifact).into_iter().map(|(key, _)| key.to_owned()));
        }
        let mut told = Vec::new();
        for upload in self.anew().filter_map(|node| node.work.object()) {
            let key = runtime.render(&upload.key).map_err(failed)?;
            let keep = kept.entry(&upload.store).or_default();
            told.extend(remains::clear(&*opened(runtime, &upload.store)?, &key, &self.run, keep).map_err(failed)?);
        }
        // A commit that had begun writes the very same bytes, or finds them.
        runtime.ledger(|ledger| ledger.manifest = manifest);
        Ok(told)
    }

    /// Makes the journal whole, and lets the receipts of nodes go that run again.
    pub(super) fn begin(&mut self) -> std::io::Result<()> {
        if self.journal.mend()? {
            Output::talk(&format!("the last line of {} was cut, and is removed", self.journal.path().display()));
        }
        self.dropped.drain(..).try_for_each(|receipt| self.folder.drop_receipt(&receipt))
    }

    /// What is about to be done, in a line.
    pub(super) fn words(&self) -> String {
        let names = |ids: Vec<&NodeId>| ids.into_iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
        let done = names(self.before.kept.iter().map(|receipt| &receipt.node).collect());
        let done = if done.is_empty() { "nothing".to_owned() } else { done };
        format!(
            "going on with the run {} of {}: {done} done, {} to do",
            self.run,
            self.plan.pipeline,
            names(self.anew().map(|node| &node.id).collect())
        )
    }

    fn is_kept(&self, node: &NodeId) -> bool {
        self.before.kept.iter().any(|receipt| receipt.node == *node)
    }

    fn kept_nodes(&self) -> impl Iterator<Item = &plan::Node> {
        self.plan.nodes.iter().filter(|node| self.is_kept(&node.id))
    }

    fn anew(&self) -> impl Iterator<Item = &plan::Node> {
        self.plan.nodes.iter().filter(|node| !self.is_kept(&node.id))
    }

    fn stale(&self, why: &str) -> Problem {
        Problem::new(Exit::Stale, format!("the run {} is not gone on with: {why}", self.run)).help(ANEW)
    }
}

fn opened(runtime: &Runtime, name: &RefName) -> Result<std::sync::Arc<dyn crate::store::ObjectStore>, Problem> {
    runtime.store(name).map_err(failed)
}

fn failed(error: impl Into<StepError>) -> Problem {
    let failure = error.into().failure();
    let problem = Problem::new(Exit::of_class(failure.class), failure.message);
    failure.hint.into_iter().fold(problem, Problem::help)
}
