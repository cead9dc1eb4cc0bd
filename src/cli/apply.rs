//! `runner apply`: plans, shows the plan, runs exactly it, and says what exists now.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{ApplyArgs, Format};
use super::exit::Exit;
use super::output::{Output, Problem};
use super::run::{Word, execute};
use super::signals;
use super::status::{makes_points, statuses};
use super::{files, plan as planning, resume};
use crate::diagnostic::Failure;
use crate::ids::PipelineName;
use crate::pipeline::{Pipeline, Step, copies_own};
use crate::plan::{self, Plan};
use crate::render;
use crate::status::{Means, Turn, turn};
use crate::step::Params;

pub(super) fn run(args: &ApplyArgs, output: &Output) -> Result<Exit, Problem> {
    let turns = if args.due { Some(turns(&args.paths)?) } else { None };
    let (resumed, plans) = match (&turns, args.paths.as_slice()) {
        (None, [one]) if one.extension().is_some_and(|ending| ending == "json") => (Vec::new(), vec![planned(one, args.resume)?]),
        (_, paths) => {
            let pipelines = match &turns {
                Some(turns) => turns.iter().filter(|(_, turn)| turn.due).map(|(pipeline, _)| pipeline.clone()).collect(),
                None => files::pipelines(paths)?,
            };
            let (resumed, fresh) = if args.resume { go_on(pipelines, args, output)? } else { (Vec::new(), pipelines) };
            (resumed, planning::observed(&fresh, false)?)
        }
    };
    let (mut exit, mut answers) = (Exit::Done, Vec::new());
    let many = resumed.len() + plans.len() > 1;
    for (gone_on, answer) in resumed {
        exit = exit.worse(gone_on);
        answers.push(answer);
    }
    for plan in &plans {
        if let Some(stopped) = signals::asked() {
            Output::talk(&format!("{}: not started, for the program was told to stop", plan.pipeline));
            exit = exit.worse(stopped);
            continue;
        }
        let applied = match apply(plan, args, output) {
            // What keeps one pipeline from starting says nothing about the others.
            Err(problem) if many => not_started(&plan.pipeline, &problem),
            applied => applied?,
        };
        exit = exit.worse(applied.0);
        answers.push(applied.1);
    }
    if args.run.format == Format::Json {
        let mut answer = json!({ "version": plan::VERSION, "runs": answers });
        if let Some(turns) = &turns {
            let turn = |(pipeline, turn): &(Pipeline, Turn)| json!({ "pipeline": pipeline.name, "due": turn.due, "why": turn.why });
            answer["turns"] = turns.iter().map(turn).collect();
        }
        Output::json(&answer)?;
    }
    Ok(exit)
}

/// Whose turn it is, and why: told to whoever looks on. What makes no restore points is never run without being named.
fn turns(paths: &[PathBuf]) -> Result<Vec<(Pipeline, Turn)>, Problem> {
    if paths.iter().any(|path| path.extension().is_some_and(|ending| ending == "json")) {
        return Err(Problem::new(Exit::Usage, "--due takes pipelines and no plan file").help("apply the plan without --due"));
    }
    let mut turns = Vec::new();
    for pipeline in files::pipelines(paths)? {
        let told = match statuses(&[&pipeline])?.first().filter(|_| makes_points(&pipeline)) {
            Some(status) => turn(status, means(&pipeline)),
            None => {
                Turn { due: false, why: "it makes no restore points that would tell when it ran last; apply it without --due".to_owned() }
            }
        };
        Output::talk(&format!("{}: {}: {}", pipeline.name, if told.due { "due" } else { "not due" }, told.why));
        turns.push((pipeline, told));
    }
    Ok(turns)
}

/// What a run of a pipeline does about its objectives.
fn means(pipeline: &Pipeline) -> Means {
    let does = |of: &dyn Fn(&Step) -> bool| pipeline.steps.iter().any(of);
    Means { proves: does(&|step| matches!(step.params, Params::VerifyRestore(_))), copies: does(&|step| copies_own(pipeline, step)) }
}

/// Tells of a pipeline that could not start, beside others that can.
fn not_started(pipeline: &PipelineName, problem: &Problem) -> (Exit, Value) {
    Output::told(problem);
    let error = json!({ "code": problem.exit.code(), "message": problem.message, "hint": problem.help });
    (problem.exit, json!({ "pipeline": pipeline, "run": null, "outcome": "failed", "level": null, "error": error }))
}

/// A plan file; it always starts a new run.
fn planned(path: &Path, resume: bool) -> Result<Plan, Problem> {
    if resume {
        let problem = Problem::new(Exit::Usage, "--resume goes on with a run of a pipeline, and this is a plan file");
        return Err(problem.help("name the pipeline, or go on with the run itself: runner resume RUN"));
    }
    reviewed(path)
}

/// How runs ended that were gone on with.
type GoneOn = Vec<(Exit, Value)>;

/// Goes on with the pipelines' runs that never ended; answers how those ended, and the pipelines of which a new run is to start.
fn go_on(pipelines: Vec<Pipeline>, args: &ApplyArgs, output: &Output) -> Result<(GoneOn, Vec<Pipeline>), Problem> {
    let many = pipelines.len() > 1;
    let (mut gone_on, mut fresh) = (Vec::new(), Vec::new());
    for pipeline in pipelines {
        if signals::asked().is_some() {
            // It is not begun anew either, and told with those.
            fresh.push(pipeline);
            continue;
        }
        match resume::instead(&pipeline, &args.run, output) {
            Ok(Some(done)) => gone_on.push(done),
            Ok(None) => fresh.push(pipeline),
            Err(problem) if many => gone_on.push(not_started(&pipeline.name, &problem)),
            Err(problem) => return Err(problem),
        }
    }
    Ok((gone_on, fresh))
}

/// A plan file, if the pipeline and what was observed are still what they were.
fn reviewed(path: &Path) -> Result<Plan, Problem> {
    let path = files::file(path)?;
    let bad = |error: String| {
        Problem::new(Exit::Invalid, format!("{}: {error}", path.display())).help("make it with: runner plan PIPELINE -o FILE")
    };
    let bytes = std::fs::read(&path).map_err(|error| files::unread(&path, &error))?;
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    if plan.version != plan::VERSION {
        return Err(bad(format!("it has version {}, this runner reads {}", plan.version, plan::VERSION)));
    }
    let pipelines = files::pipelines(&[PathBuf::from(&plan.source.path)])?;
    let stale =
        |what: &str| Err(Problem::new(Exit::Stale, format!("the plan is stale: {what}")).help("plan again, and review what changed"));
    let [pipeline] = pipelines.as_slice() else { return stale("its pipeline is gone") };
    if pipeline.source.sha256 != plan.source.sha256 {
        return stale(&format!("{} has changed since", plan.source.path));
    }
    let now = planning::observed(&pipelines, false)?.remove(0);
    match changed(&plan, &now, &planning::offline(pipeline)).map_err(|error| bad(error.to_string()))? {
        Some(what) => stale(&what),
        // It does what was reviewed, and knows sizes and findings of today.
        None => Ok(now),
    }
}

/// What of a reviewed plan is not what it would be now. One that was made offline knows nothing of the world, but what it does is settled.
fn changed(then: &Plan, now: &Plan, offline: &Plan) -> Result<Option<String>, serde_json::Error> {
    if !then.observed.offline {
        return plan::difference(now, then);
    }
    let works = |plan: &Plan| plan.nodes.iter().map(|node| node.work.clone()).collect::<Vec<_>>();
    let moved = works(now) != works(then);
    Ok(plan::difference(offline, then)?
        .or_else(|| moved.then(|| "what it does depends on what nobody looked at when it was made".to_owned())))
}

fn apply(plan: &Plan, args: &ApplyArgs, output: &Output) -> Result<(Exit, Value), Problem> {
    Output::talk(&render::plan::human(plan, Output::talk_paint()));
    let refused = plan.blocked().map(|finding| {
        let message = format!("{}: {}: {}", plan.pipeline, finding.subject, finding.message);
        Failure { class: finding.class, message, hint: finding.help.clone() }
    });
    execute(plan, &args.run, output, refused.as_ref(), Word::Left)
}
