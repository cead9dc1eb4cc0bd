//! `runner graph`: the fused graph, for eyes.

use super::args::{GraphArgs, GraphFormat};
use super::exit::Exit;
use super::output::{Output, Problem};
use super::{files, plan};
use crate::render::graph;

pub(super) fn run(args: &GraphArgs) -> Result<Exit, Problem> {
    for pipeline in files::pipelines(std::slice::from_ref(&args.path))? {
        let plan = plan::offline(&pipeline);
        Output::answer(&match args.format {
            GraphFormat::Dot => graph::dot(&plan),
            GraphFormat::Mermaid => graph::mermaid(&plan),
        })?;
    }
    Ok(Exit::Done)
}
