//! Running a plan: the handles are opened, everybody is told, signals are heeded, and the end is summed up.
//!
//! Every command that changes anything comes through here with the plan that was shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::args::{Format, RunArgs};
use super::exit::Exit;
use super::lease;
use super::output::{Output, Problem};
use super::plan as planning;
use super::progress::{Told, Watcher, events_file};
use crate::diagnostic::Failure;
use crate::event::Outcome;
use crate::exec;
use crate::ids::RunId;
use crate::journal::Journal;
use crate::plan::Plan;
use crate::postgres;
use crate::render;
use crate::render::summary::{Brought, BroughtTable, Landed, Summary, TakenFrom};
use crate::runtime::{self, Declared, Leases, RunFacts, Runtime};
use crate::secret::Secrets;
use crate::store::manifest::Level;
use crate::store::recall::Recalled;
use crate::template::RunWords;

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
    let (exit, answer) = execute(plan, args, output, None)?;
    if args.format == Format::Json {
        Output::json(&answer)?;
    }
    Ok(exit)
}

/// Runs a plan, or only what tells that it can not be applied.
pub(super) fn execute(plan: &Plan, args: &RunArgs, output: &Output, refused: Option<&Failure>) -> Result<(Exit, Value), Problem> {
    let tokio = planning::tokio_runtime()?;
    let scratch = std::env::temp_dir();
    for left in postgres::scratch::sweep_stale(&scratch) {
        Output::talk(&format!("removed the scratch server of a killed run: {}", left.display()));
    }
    // Password files, staged dumps and keys are not to outlive the run they were made for.
    for left in runtime::sweep_killed(&scratch) {
        Output::talk(&format!("removed the private files of a killed run: {}", left.display()));
    }
    let runtime = Arc::new(Runtime::new(facts(plan)?, declared(plan), tokio.handle().clone(), &scratch));
    let signal = watch_signals(&runtime);
    let (leases, missing) = match refused {
        Some(_) => (Leases::none(), None),
        None => lease::take(plan, &runtime, args.wait).map_or_else(|failure| (Leases::none(), Some(failure)), |leases| (leases, None)),
    };
    if let Some(missing) = &missing {
        // A run that can not even start still tells whoever is told of failures.
        if plan.tells_of_failure() {
            perform(plan, &runtime, args, output, (Some(missing), Leases::none(), &signal))?;
        }
        return Err(lease::problem(missing, &signal));
    }
    perform(plan, &runtime, args, output, (refused, leases, &signal))
}

/// Runs a plan with what it needs at hand.
fn perform(
    plan: &Plan,
    runtime: &Arc<Runtime>,
    args: &RunArgs,
    output: &Output,
    (refused, leases, signal): (Option<&Failure>, Leases, &AtomicU8),
) -> Result<(Exit, Value), Problem> {
    let mut told = told(plan, runtime, args)?;
    let journal = told.journal.path().to_owned();
    let options = exec::Options { parallel: args.parallel.into(), refused: refused.cloned() };
    let ended = exec::run(plan, runtime, options, &mut told).map_err(|error| {
        Problem::new(Exit::Other, format!("writing {}: {error}", journal.display())).help("the run was stopped; make room and run it again")
    })?;
    // Whatever else failed in a run that lost its lease failed because of that.
    let lost = leases.lost().filter(|_| !matches!(ended.outcome, Outcome::Done | Outcome::Warned));
    for words in lost.iter().cloned().chain(leases.end()) {
        Output::talk(&words);
    }
    let summary = summary(runtime, &ended);
    let said = runtime.ledger(|ledger| std::mem::take(&mut ledger.said));
    Output::talk(&format!("journal: {}", journal.display()));
    if args.format == Format::Json || refused.is_some() {
        for text in &said {
            Output::talk(text);
        }
    } else {
        Output::answer(&render::summary::human(&summary, plan, output.paint()))?;
        said.iter().try_for_each(|text| Output::answer(&format!("\n{text}\n")))?;
    }
    let exit = match lost {
        Some(_) => Exit::Locked,
        None => Exit::of_run(ended.outcome, ended.failure.as_ref().map(|failure| failure.class), signal.load(Ordering::SeqCst)),
    };
    Ok((exit, render::summary::json(&summary, plan)))
}

fn facts(plan: &Plan) -> Result<RunFacts, Problem> {
    let mut entropy = [0; 3];
    getrandom::fill(&mut entropy).map_err(|error| Problem::new(Exit::Internal, format!("drawing a run id: {error}")))?;
    let run = RunId::starting(Timestamp::now(), entropy);
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

fn told(plan: &Plan, runtime: &Runtime, args: &RunArgs) -> Result<Told, Problem> {
    let state = args.state_dir.clone().unwrap_or_else(state_folder);
    let journal = Journal::create(&state, &plan.pipeline, &runtime.facts.run).map_err(|error| {
        Problem::new(Exit::Other, format!("making a journal in {}: {error}", state.display()))
            .help("choose another folder with --state-dir")
    })?;
    let events = args.events.as_deref().map(events_file).transpose();
    let events = events.map_err(|error| Problem::new(Exit::Other, format!("opening the events file: {error}")))?;
    Ok(Told { journal, events, watcher: Watcher::new() })
}

/// `$XDG_STATE_HOME/runner`, or its default (XDG Base Directory Specification).
pub(super) fn state_folder() -> PathBuf {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || given("HOME").map_or_else(std::env::temp_dir, |home| home.join(".local/state"));
    given("XDG_STATE_HOME").unwrap_or_else(home).join("runner")
}

/// The first signal asks what runs to stop, the second asks everything. Answers where the last signal's number appears.
fn watch_signals(runtime: &Arc<Runtime>) -> Arc<AtomicU8> {
    let number = Arc::new(AtomicU8::new(2));
    for (kind, code, name) in
        [(tokio::signal::unix::SignalKind::interrupt(), 2, "SIGINT"), (tokio::signal::unix::SignalKind::terminate(), 15, "SIGTERM")]
    {
        let (runtime_, number) = (Arc::downgrade(runtime), Arc::clone(&number));
        runtime.handle().spawn(async move {
            let Ok(mut signals) = tokio::signal::unix::signal(kind) else { return };
            while signals.recv().await.is_some() {
                let Some(runtime) = runtime_.upgrade() else { return };
                number.store(code, Ordering::SeqCst);
                let again = runtime.cancel.check().is_err();
                Output::talk(if again {
                    "stopping at once"
                } else {
                    "stopping: children and uploads are ended; once more stops notifications and clean-up too"
                });
                let _stopper =
                    std::thread::spawn(move || if again { runtime.abort.cancel(name, false) } else { runtime.cancel.cancel(name, false) });
            }
        });
    }
    number
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
        }
    })
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
