//! Running a plan: the handles are opened, everybody is told, and the end is summed up.
//!
//! Every command that changes anything comes through here with the plan that was shown.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::args::{Format, RunArgs};
use super::exit::Exit;
use super::lease;
use super::output::{Output, Problem};
use super::plan as planning;
use super::progress::{Told, Watcher, about, events_file};
use super::resume::Resumed;
use super::signals;
use crate::diagnostic::{Class, Failure};
use crate::event::Outcome;
use crate::exec::{self, Receipt, Receipts};
use crate::ids::RunId;
use crate::journal::{self, Journal, RunFolder};
use crate::plan::Plan;
use crate::postgres;
use crate::render;
use crate::render::summary::{Brought, BroughtTable, CopiedPoint, Landed, Summary, TakenFrom};
use crate::runtime::{self, Declared, Leases, RunFacts, Runtime};
use crate::secret::Secrets;
use crate::step::Again;
use crate::store::failed::End;
use crate::store::manifest::Level;
use crate::store::recall::Recalled;
use crate::store::sealed;
use crate::template::RunWords;

/// Whether a failure is to be seen in the stores: that of a backup, and not that of a restore or a verification by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The run leaves word.
    Left,
    /// Whoever started it was told, and that is enough.
    Spared,
}

/// Shows a plan and runs it, unless it can not be applied or whoever is asked objects.
pub(super) fn carry_out(
    plan: &Plan,
    args: &RunArgs,
    output: &Output,
    ask: impl FnOnce(&Plan) -> Result<(), Problem>,
) -> Result<Exit, Problem> {
    Output::talk(&render::plan::human(plan, Output::talk_paint()));
    if let Some(finding) = plan.blocked() {
        let problem = Problem::new(Exit::of_class(finding.class), format!("{}: {}", finding.subject, finding.message));
        return Err(finding.help.iter().fold(problem, Problem::help));
    }
    ask(plan)?;
    let (exit, answer) = execute(plan, args, output, None, Word::Spared)?;
    if args.format == Format::Json {
        Output::json(&answer)?;
    }
    Ok(exit)
}

/// Runs a plan, or only what tells that it can not be applied.
pub(super) fn execute(
    plan: &Plan,
    args: &RunArgs,
    output: &Output,
    refused: Option<&Failure>,
    word: Word,
) -> Result<(Exit, Value), Problem> {
    let tokio = planning::tokio_runtime()?;
    let runtime = opened(plan, new_run()?, &tokio)?;
    signals::heed(&runtime)?;
    let (leases, missing) = match refused {
        Some(_) => (Leases::none(), None),
        None => lease::take(plan, &runtime, args.wait).map_or_else(|failure| (Leases::none(), Some(failure)), |leases| (leases, None)),
    };
    let Some(unstarted) = refused.or(missing.as_ref()) else {
        let start = Start::anew(plan, &runtime, args, None)?;
        return perform(plan, &runtime, (args, output), start, (leases, word));
    };
    // A run that can not even start still tells whoever is told of failures.
    if plan.tells_of_failure() {
        let start = Start::anew(plan, &runtime, args, Some(unstarted))?;
        perform(plan, &runtime, (args, output), start, (leases, word))?;
    } else {
        leave_word(plan, &runtime, word, (End::Refused, Some(unstarted)));
    }
    Err(lease::problem(unstarted))
}

/// Leaves word in the stores that a run failed. One that gave way to another run did not fail.
fn leave_word(plan: &Plan, runtime: &Runtime, word: Word, (end, failure): (End, Option<&Failure>)) {
    let gave_way = end == End::Refused && failure.is_some_and(|failure| matches!(failure.class, Class::Locked | Class::Cancelled));
    if word == Word::Left && !gave_way {
        for note in exec::leave_word(plan, runtime, end, failure) {
            Output::talk(&note);
        }
    }
}

/// Goes on with a run, in the place of a process that is gone.
pub(super) fn go_on(mut resumed: Resumed, args: &RunArgs, output: &Output) -> Result<(Exit, Value), Problem> {
    let tokio = planning::tokio_runtime()?;
    let runtime = opened(&resumed.plan, resumed.run.clone(), &tokio)?;
    signals::heed(&runtime)?;
    // Before the lease, so that who was overtaken hears of it at once; and under it, for then nobody can overtake any more.
    resumed.still_stands(&runtime)?;
    let leases = lease::take(&resumed.plan, &runtime, args.wait).map_err(|failure| lease::problem(&failure))?;
    let manifest = resumed.still_stands(&runtime)?;
    Output::talk(&resumed.words());
    resumed.clear(manifest, &runtime)?.iter().for_each(|words| Output::talk(words));
    resumed.begin().map_err(|error| Problem::new(Exit::Other, format!("writing beside {}: {error}", resumed.folder.path().display())))?;
    let Resumed { plan, journal, folder, before, .. } = resumed;
    let options = exec::Options { parallel: args.parallel.into(), refused: None, before: Some(before) };
    let start = Start { told: told(journal, args)?, kept: Kept(Some(folder)), options };
    perform(&plan, &runtime, (args, output), start, (leases, Word::Left))
}

/// The live things of a run; what killed runs left on this host is removed first.
fn opened(plan: &Plan, run: RunId, tokio: &tokio::runtime::Runtime) -> Result<Arc<Runtime>, Problem> {
    let scratch = std::env::temp_dir();
    for left in postgres::scratch::sweep_stale(&scratch) {
        Output::talk(&format!("removed the scratch server of a killed run: {}", left.display()));
    }
    // Password files, staged dumps and keys are not to outlive the run they were made for.
    for left in runtime::sweep_killed(&scratch) {
        Output::talk(&format!("removed the private files of a killed run: {}", left.display()));
    }
    let runtime = Arc::new(Runtime::new(facts(plan, run)?, declared(plan), tokio.handle().clone(), &scratch));
    runtime.ledger(|ledger| ledger.copies_wanted = plan.objectives.copies);
    Ok(runtime)
}

/// What a run starts from.
struct Start {
    told: Told,
    kept: Kept,
    options: exec::Options,
}

impl Start {
    /// A new run, with its journal and, if it does more than tell of a failure, its plan beside it.
    fn anew(plan: &Plan, runtime: &Runtime, args: &RunArgs, refused: Option<&Failure>) -> Result<Self, Problem> {
        let state = args.state_dir.clone().unwrap_or_else(state_folder);
        let unmade = |error: std::io::Error| {
            Problem::new(Exit::of_io(&error), format!("making a journal in {}: {error}", state.display()))
                .help("choose another folder with --state-dir")
        };
        let journal = Journal::create(&state, &plan.pipeline, &runtime.facts.run).map_err(unmade)?;
        let folder = if refused.is_none() { Some(kept_beside(&journal, plan, runtime)?) } else { None };
        let options = exec::Options { parallel: args.parallel.into(), refused: refused.cloned(), before: None };
        Ok(Self { told: told(journal, args)?, kept: Kept(folder), options })
    }
}

/// The folder of a run that begins, with its plan in it; those of runs that are over go.
fn kept_beside(journal: &Journal, plan: &Plan, runtime: &Runtime) -> Result<RunFolder, Problem> {
    let sealed = sealed::seal(plan).map_err(|error| Problem::new(Exit::Internal, format!("writing the plan: {error}")))?;
    let folder = RunFolder::begin(journal.path(), &sealed).map_err(|error| {
        Problem::new(Exit::Other, format!("keeping the plan beside {}: {error}", journal.path().display()))
            .help("choose another folder with --state-dir")
    })?;
    for error in journal::supersede(journal.path(), &plan.pipeline, &runtime.facts.host) {
        Output::talk(&format!("what is kept of an earlier run could not be removed: {error}"));
    }
    Ok(folder)
}

/// Keeps the receipts of a run beside its journal, where there is a folder for them.
struct Kept(Option<RunFolder>);

impl Receipts for Kept {
    fn keep(&mut self, receipt: &Receipt) -> std::io::Result<()> {
        let Some(folder) = &self.0 else { return Ok(()) };
        folder.keep(&receipt.node, &sealed::seal(receipt)?).map_err(|error| about(&error, folder.path()))
    }
}

impl Kept {
    /// Lets go of what nobody needs once a run has ended well; of another, tells how it is gone on with.
    fn end(&self, plan: &Plan, runtime: &Runtime, outcome: Outcome) {
        let Some(folder) = &self.0 else { return };
        if matches!(outcome, Outcome::Done | Outcome::Warned) {
            if let Err(error) = folder.remove() {
                Output::talk(&format!("{} is of no use any more and could not be removed: {error}", folder.path().display()));
            }
        } else if folder.receipts().is_ok_and(|receipts| !receipts.is_empty())
            && plan.nodes.iter().all(|node| node.work.again() != Again::Never)
        {
            Output::talk(&format!("what is done stays done: runner resume {}", runtime.facts.run));
        }
    }
}

/// Runs a plan with what it needs at hand.
fn perform(
    plan: &Plan,
    runtime: &Arc<Runtime>,
    (args, output): (&RunArgs, &Output),
    start: Start,
    (leases, word): (Leases, Word),
) -> Result<(Exit, Value), Problem> {
    let Start { mut told, mut kept, options } = start;
    let (journal, refused, resumed) = (told.journal.path().to_owned(), options.refused.clone(), options.before.is_some());
    let ended = exec::run(plan, runtime, options, &mut told, &mut kept)
        .map_err(|error| Problem::new(Exit::of_io(&error), error.to_string()).help("the run was stopped; mend that and run it again"))?;
    let end = match ended.outcome {
        _ if refused.is_some() => Some(End::Refused),
        Outcome::Failed => Some(End::Failed),
        Outcome::Cancelled => Some(End::Cancelled),
        Outcome::Done | Outcome::Warned => None,
    };
    if let Some(end) = end {
        leave_word(plan, runtime, word, (end, refused.as_ref().or(ended.failure.as_ref())));
    } else if resumed && word == Word::Left {
        for note in exec::take_back(plan, runtime) {
            Output::talk(&note);
        }
    }
    // Whatever else failed in a run that lost its lease failed because of that.
    let lost = leases.lost().filter(|_| !matches!(ended.outcome, Outcome::Done | Outcome::Warned));
    for words in lost.iter().cloned().chain(leases.end()) {
        Output::talk(&words);
    }
    kept.end(plan, runtime, ended.outcome);
    let summary = summary(runtime, &ended);
    let said = runtime.ledger(|ledger| std::mem::take(&mut ledger.said));
    Output::talk(&format!("journal: {}", journal.display()));
    if args.format == Format::Json || refused.is_some() {
        for (_, text) in &said {
            Output::talk(text);
        }
    } else {
        Output::answer(&render::summary::human(&summary, plan, output.paint()))?;
        said.iter().try_for_each(|(_, text)| Output::answer(&format!("\n{text}\n")))?;
    }
    let exit = match lost {
        Some(_) => Exit::Locked,
        None => Exit::of_run(ended.outcome, ended.failure.as_ref().map(|failure| failure.class), signals::number()),
    };
    Ok((exit, render::summary::json(&summary, plan)))
}

/// The id of a run that begins now.
pub(super) fn new_run() -> Result<RunId, Problem> {
    let mut entropy = [0; 3];
    getrandom::fill(&mut entropy).map_err(|error| Problem::new(Exit::Internal, format!("drawing a run id: {error}")))?;
    Ok(RunId::starting(Timestamp::now(), entropy))
}

fn facts(plan: &Plan, run: RunId) -> Result<RunFacts, Problem> {
    let zone = TimeZone::get(&plan.timezone).map_err(|error| Problem::new(Exit::Invalid, error.to_string()))?;
    Ok(RunFacts {
        words: RunWords::of(&run, &zone),
        run,
        pipeline: plan.pipeline.clone(),
        source_sha256: plan.source.sha256.clone(),
        git_commit: plan.observed.git_commit.clone(),
        runner: plan.runner.clone(),
        host: host(),
    })
}

/// This host's name.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn declared(plan: &Plan) -> Declared {
    Declared {
        connections: plan.resources.connections.clone(),
        stores: plan.resources.stores.clone(),
        secrets: Secrets::new(plan.resources.secrets.clone()),
        bindings: plan.bindings.clone(),
    }
}

fn told(journal: Journal, args: &RunArgs) -> Result<Told, Problem> {
    let events = args.events.as_deref().map(events_file).transpose();
    let events = events.map_err(|error| {
        Problem::new(Exit::of_io(&error), error.to_string())
            .help("name a file for --events in a folder that is there and may be written to")
    })?;
    Ok(Told { journal, events, watcher: Watcher::new() })
}

/// `$XDG_STATE_HOME/runner`, or its default (XDG Base Directory Specification).
pub(super) fn state_folder() -> PathBuf {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Without a home, a name that nobody else has made before.
    let own = || std::env::temp_dir().join(format!("runner-{}", rustix::process::geteuid().as_raw()));
    let home = || given("HOME").map_or_else(own, |home| home.join(".local/state"));
    given("XDG_STATE_HOME").unwrap_or_else(home).join("runner")
}

fn summary(runtime: &Runtime, ended: &exec::Ended) -> Summary {
    runtime.ledger(|ledger| {
        let best = ledger.best();
        Summary {
            run: runtime.facts.run.clone(),
            outcome: ended.outcome,
            took: ended.took,
            failure: ended.failure.clone(),
            level: ledger.level(),
            artifacts: ledger.artifacts.values().cloned().collect(),
            manifest: ledger.committed.as_ref().map(|stored| stored.key.clone()),
            tables: best.map(|verification| verification.tables.clone()).unwrap_or_default(),
            recovery: best.and_then(|verification| verification.recovery),
            too_slow: ledger.too_slow(),
            verified: best.map(|verification| verification.level),
            short: best.filter(|found| found.level < Level::Proven).and_then(|found| found.short.clone()),
            others: ledger.verifications.iter().filter_map(|(step, found)| Some((step.other_major()?, found.level))).collect(),
            from: ledger.recalled.values().map(taken_from).collect(),
            landed: ledger.landed.clone().map(|runtime::Landed { database, place, kept, dropped }| Landed {
                database,
                place,
                kept,
                dropped,
            }),
            brought: ledger.brought.clone().map(brought),
            copies: ledger.copies.iter().map(copied).collect(),
            too_few_copies: ledger.too_few_copies(),
        }
    })
}

fn copied(point: &runtime::CopiedPoint) -> CopiedPoint {
    let runtime::CopiedPoint { step, run, from, to, objects, bytes, already, .. } = point.clone();
    CopiedPoint { step, run, from, to, objects, bytes, already }
}

fn taken_from(point: &Recalled) -> TakenFrom {
    TakenFrom {
        run: point.run.clone(),
        pipeline: point.pipeline.clone(),
        data: point.artifact.started,
        age: Timestamp::now().duration_since(point.artifact.started).unsigned_abs(),
        level: point.level,
        complaint: point.complaint.clone(),
    }
}

fn brought(found: runtime::Brought) -> Brought {
    let runtime::Brought { place, tables, patch, done, notes } = found;
    let table = |runtime::BroughtTable { table, inserted, updated, deleted }| BroughtTable { table, inserted, updated, deleted };
    Brought { place, tables: tables.into_iter().map(table).collect(), patch, done, notes }
}
