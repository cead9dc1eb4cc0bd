//! `runner list`: the restore points there are, and how good each is.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::args::{Format, ListArgs};
use super::exit::Exit;
use super::output::{Output, Problem};
use super::show::of_step;
use super::{files, plan as planning};
use crate::ids::{PipelineName, RefName};
use crate::pipeline::Pipeline;
use crate::render::points::{self, Listing};
use crate::store::{self, StoreError, StoreSpec, catalog};

/// What stores keep, and which of them could not say.
#[derive(Default)]
struct Found<'p> {
    listings: Vec<Listing>,
    silent: Vec<Silent<'p>>,
}

/// A store that could not say what it keeps.
struct Silent<'p> {
    store: &'p RefName,
    spec: &'p StoreSpec,
    problem: Problem,
}

pub(super) fn run(args: &ListArgs, output: &Output) -> Result<Exit, Problem> {
    let tokio = planning::tokio_runtime()?;
    let pipelines = files::pipelines(&args.paths)?;
    let mut found = Found::default();
    for pipeline in &pipelines {
        found.listed(pipeline, args.most.into(), tokio.handle())?;
    }
    if args.all {
        found.others(&pipelines, args.most.into(), tokio.handle());
    }
    let Found { listings, silent } = found;
    if args.format == Format::Json {
        let told = |silent: &Silent<'_>| json!({ "store": silent.store, "message": silent.problem.message, "hint": silent.problem.help });
        let (listings, silent): (Vec<Value>, Vec<Value>) = (listings.iter().map(points::json).collect(), silent.iter().map(told).collect());
        Output::json(&json!({ "version": 1, "listings": listings, "unread": silent }))?;
    } else {
        let now = Timestamp::now();
        let text: Vec<String> = listings.iter().map(|listing| points::human(listing, now, output.paint())).collect();
        Output::answer(&text.join("\n"))?;
    }
    for silent in &silent {
        Output::told(&silent.problem);
    }
    Ok(silent.iter().fold(Exit::Done, |exit, silent| exit.worse(silent.problem.exit)))
}

impl<'p> Found<'p> {
    /// The listings of a pipeline: one for each store that keeps its points. A store that is down hides nothing of the others.
    fn listed(&mut self, pipeline: &'p Pipeline, most: usize, handle: &Handle) -> Result<(), Problem> {
        for name in files::stores(pipeline, None)? {
            let Some((name, spec)) = pipeline.stores.get_key_value(&name) else { continue };
            let found = store::open(spec, handle).and_then(|store| Ok((store.describe(), catalog::newest(&*store, &pipeline.name, most)?)));
            match found {
                Ok((place, (points, count))) => {
                    self.listings.push(Listing {
                        pipeline: pipeline.name.clone(),
                        store: name.clone(),
                        place,
                        declared: true,
                        points,
                        count,
                    });
                }
                Err(error) => self.silent(name, spec, error),
            }
        }
        Ok(())
    }

    /// What else the stores of these pipelines keep: of pipelines whose file is gone or was not given, and in stores that nobody uploads to.
    fn others(&mut self, pipelines: &'p [Pipeline], most: usize, handle: &Handle) {
        let mut seen: Vec<&StoreSpec> = self.silent.iter().map(|silent| silent.spec).collect();
        for (name, spec) in pipelines.iter().flat_map(|pipeline| &pipeline.stores) {
            if seen.contains(&spec) {
                continue;
            }
            seen.push(spec);
            if let Err(error) = self.other((name, spec), pipelines, most, handle) {
                self.silent(name, spec, error);
            }
        }
    }

    fn other(
        &mut self,
        (name, spec): (&RefName, &StoreSpec),
        pipelines: &[Pipeline],
        most: usize,
        handle: &Handle,
    ) -> Result<(), StoreError> {
        let store = store::open(spec, handle)?;
        let place = store.describe();
        let fresh = |pipeline: &PipelineName| !self.listings.iter().any(|known| known.pipeline == *pipeline && known.place == place);
        for (pipeline, points, count) in catalog::everything(&*store, most, &fresh)? {
            let declared = pipelines.iter().any(|known| known.name == pipeline);
            self.listings.push(Listing { pipeline, store: name.clone(), place: place.clone(), declared, points, count });
        }
        Ok(())
    }

    fn silent(&mut self, store: &'p RefName, spec: &'p StoreSpec, error: StoreError) {
        if !self.silent.iter().any(|known| known.spec == spec) {
            self.silent.push(Silent { store, spec, problem: of_step(error.into()) });
        }
    }
}
