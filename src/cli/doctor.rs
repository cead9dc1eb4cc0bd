//! `runner doctor`: what is ready for a run and for the day of a restore, and what to mend.

use serde_json::{Value, json};

use super::args::{DoctorArgs, Format};
use super::exit::Exit;
use super::output::{Output, Problem};
use super::{files, plan as planning};
use crate::observe;
use crate::plan::readiness;
use crate::render::doctor::{self, Examined};

pub(super) fn run(args: &DoctorArgs, output: &Output) -> Result<Exit, Problem> {
    let pipelines = files::pipelines(&args.paths)?;
    let plans = planning::observed(&pipelines, true)?;
    let lines = pipelines.iter().zip(&plans).map(|(pipeline, plan)| readiness(pipeline, plan, &observe::recipients(pipeline)));
    let examined: Vec<Examined> =
        pipelines.iter().zip(lines).map(|(pipeline, lines)| Examined { pipeline: pipeline.name.clone(), lines }).collect();
    if args.format == Format::Json {
        let all: Vec<Value> = examined.iter().map(doctor::json).collect();
        Output::json(&json!({ "version": 1, "pipelines": all }))?;
    } else {
        let paint = output.paint();
        Output::answer(&examined.iter().map(|examined| doctor::human(examined, paint)).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(plans.iter().find_map(|plan| plan.blocked()).map_or(Exit::Done, |finding| Exit::of_class(finding.class)))
}
