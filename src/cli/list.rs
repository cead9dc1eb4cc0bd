//! `runner list`: the restore points there are, and how good each is.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{Format, ListArgs};
use super::exit::Exit;
use super::output::{Output, Problem};
use super::show::of_step;
use super::{files, plan as planning};
use crate::ids::PipelineName;
use crate::pipeline::Pipeline;
use crate::render::points::{self, Listing};
use crate::store::{self, StoreError, StoreSpec, catalog};

pub(super) fn run(args: &ListArgs, output: &Output) -> Result<Exit, Problem> {
    let tokio = planning::tokio_runtime()?;
    let pipelines = files::pipelines(&args.paths)?;
    let mut listings = Vec::new();
    for pipeline in &pipelines {
        listings.extend(listed(pipeline, args.most.into(), tokio.handle())?);
    }
    if args.all {
        let others = others(&pipelines, &listings, args.most.into(), tokio.handle())?;
        listings.extend(others);
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
        let found = store::open(spec, handle)
            .and_then(|store| Ok((store.describe(), catalog::newest(&*store, &pipeline.name, most)?)))
            .map_err(unread)?;
        let (place, (points, count)) = found;
        listings.push(Listing { pipeline: pipeline.name.clone(), store: name, place, declared: true, points, count });
    }
    Ok(listings)
}

/// What else the stores of these pipelines keep: of pipelines whose file is gone or was not given, and in stores that nobody uploads to.
fn others(pipelines: &[Pipeline], known: &[Listing], most: usize, handle: &tokio::runtime::Handle) -> Result<Vec<Listing>, Problem> {
    let mut listings = Vec::new();
    let mut seen: Vec<&StoreSpec> = Vec::new();
    for (name, spec) in pipelines.iter().flat_map(|pipeline| &pipeline.stores) {
        if seen.contains(&spec) {
            continue;
        }
        seen.push(spec);
        let store = store::open(spec, handle).map_err(unread)?;
        let place = store.describe();
        let fresh = |pipeline: &PipelineName| !known.iter().any(|listing| listing.pipeline == *pipeline && listing.place == place);
        for (pipeline, points, count) in catalog::everything(&*store, most, &fresh).map_err(unread)? {
            let declared = pipelines.iter().any(|known| known.name == pipeline);
            listings.push(Listing { pipeline, store: name.clone(), place: place.clone(), declared, points, count });
        }
    }
    Ok(listings)
}

fn unread(error: StoreError) -> Problem {
    of_step(error.into())
}
