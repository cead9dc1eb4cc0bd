//! `runner list`: the restore points there are, and how good each is.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{Format, ListArgs};
use super::exit::Exit;
use super::output::{Output, Problem};
use super::{files, plan as planning};
use crate::pipeline::Pipeline;
use crate::render::points::{self, Listing};
use crate::step::StepError;
use crate::store::{self, StoreError, catalog};

pub(super) fn run(args: &ListArgs, output: &Output) -> Result<Exit, Problem> {
    let tokio = planning::tokio_runtime()?;
    let mut listings = Vec::new();
    for pipeline in files::pipelines(&args.paths)? {
        listings.extend(listed(&pipeline, args.most.into(), tokio.handle())?);
    }
    if args.format == Format::Json {
        let listings: Vec<Value> = listings.iter().map(points::json).collect();
        Output::json(&json!({ "version": 1, "listings": listings }))?;
    } else {
        let now = Timestamp::now();
        let text: Vec<String> = listings.iter().map(|listing| points::human(listing, now, output.paint())).collect();
        Output::answer(&text.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// The listings of a pipeline: one for each store that keeps its points.
fn listed(pipeline: &Pipeline, most: usize, handle: &tokio::runtime::Handle) -> Result<Vec<Listing>, Problem> {
    let mut listings: Vec<Listing> = Vec::new();
    for name in files::stores(pipeline, None)? {
        let Some(spec) = pipeline.stores.get(&name) else { continue };
        let found = store::open(spec, handle).and_then(|store| catalog::newest(&*store, &pipeline.name, most));
        let (points, count) = found.map_err(|error: StoreError| {
            let error = StepError::from(error);
            let problem = Problem::new(Exit::of_class(error.class), error.message);
            error.hint.into_iter().fold(problem, Problem::help)
        })?;
        listings.push(Listing { pipeline: pipeline.name.clone(), store: name, points, count });
    }
    Ok(listings)
}
