//! `runner plan`: what apply would do, and why.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{Format, PlanArgs};
use super::exit::Exit;
use super::files;
use super::output::{Output, Problem};
use crate::observe;
use crate::pipeline::Pipeline;
use crate::plan::{Plan, plan};
use crate::render;

pub(super) fn run(args: &PlanArgs, output: &Output) -> Result<Exit, Problem> {
    let pipelines = files::pipelines(&args.paths)?;
    let plans = if args.offline { pipelines.iter().map(offline).collect() } else { observed(&pipelines, args.probe)? };
    if let Some(path) = &args.out {
        let [one] = plans.as_slice() else {
            return Err(Problem::new(Exit::Usage, format!("-o takes the plan of one pipeline, not of {}", plans.len())));
        };
        write(one, path)?;
    }
    show(&plans, args.format, output)?;
    let blocked = plans.iter().find_map(|plan| plan.blocked().map(|finding| Exit::of_class(finding.class)));
    let changes = args.detailed_exitcode && plans.iter().any(Plan::has_changes);
    Ok(blocked.unwrap_or(if changes { Exit::Changes } else { Exit::Done }))
}

/// The plan of a pipeline when nobody looks at anything.
pub(super) fn offline(pipeline: &Pipeline) -> Plan {
    plan(pipeline, &observe::offline(), None)
}

/// The plans of pipelines, after a look at what they name.
pub(super) fn observed(pipelines: &[Pipeline], probe: bool) -> Result<Vec<Plan>, Problem> {
    let runtime = tokio_runtime()?;
    let options = observe::Options { probe };
    Ok(pipelines
        .iter()
        .map(|pipeline| plan(pipeline, &observe::observe(pipeline, runtime.handle(), options), Some(Timestamp::now())))
        .collect())
}

/// The threads that asynchronous clients run on.
pub(super) fn tokio_runtime() -> Result<tokio::runtime::Runtime, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Problem::new(Exit::Internal, format!("starting the threads for network clients: {error}")))
}

fn write(plan: &Plan, path: &std::path::Path) -> Result<(), Problem> {
    let text = serde_json::to_string_pretty(plan).map_err(|error| Problem::new(Exit::Internal, error.to_string()))?;
    std::fs::write(path, text + "\n").map_err(|error| Problem::new(Exit::of_io(&error), format!("writing {}: {error}", path.display())))?;
    Output::talk(&format!("plan written to {}; apply it with: runner apply {}", path.display(), path.display()));
    Ok(())
}

fn show(plans: &[Plan], format: Format, output: &Output) -> Result<(), Problem> {
    let paint = output.paint();
    match format {
        Format::Json => {
            let plans: Result<Vec<Value>, _> = plans.iter().map(serde_json::to_value).collect();
            let plans = plans.map_err(|error| Problem::new(Exit::Internal, error.to_string()))?;
            Output::json(&json!({ "version": crate::plan::VERSION, "plans": plans }))
        }
        Format::Markdown | Format::Github => Output::answer(&plans.iter().map(render::plan::markdown).collect::<Vec<_>>().join("\n")),
        Format::Human => Output::answer(&plans.iter().map(|plan| render::plan::human(plan, paint)).collect::<Vec<_>>().join("\n")),
    }
}
