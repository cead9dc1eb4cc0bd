//! `runner catalog check` and `heal`: holds stores against their manifests, and has again what one lost and another keeps.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::args::Format;
use super::exit::Exit;
use super::mark::{Form, problem};
use super::output::{Output, Problem};
use super::prune::{asked, one};
use super::{files, plan as planning};
use crate::ids::RefName;
use crate::pipeline::Pipeline;
use crate::render::catalog::{self as words, Report};
use crate::store::check::{Checked, check};
use crate::store::heal::{Cure, Remedy, heal, remedy};
use crate::store::{self, ObjectStore};
use crate::words::count;

/// `catalog`
#[derive(Debug, ClapArgs)]
pub(super) struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

/// The commands below `catalog`.
#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// Look whether every object that a manifest names is there, and what is there that none names
    #[command(
        after_help = "Examples:\n  runner catalog check                       every pipeline in pipelines/\n  runner catalog check orders --digests      reads every object\n\nExit code 11: something is missing or damaged. What no manifest names is only told."
    )]
    Check(CheckArgs),
    /// Copy what is missing or damaged in one store from another that keeps a good one
    #[command(
        after_help = "Examples:\n  runner catalog heal orders --from offsite --to vault\n  runner catalog heal orders --from offsite --to vault --digests --yes\n\nShows what it will do first, each line that deletes a damaged object with `!`,\nand asks. A damaged object is deleted only after a good copy was read and verified."
    )]
    Heal(HealArgs),
}

/// `catalog check`
#[derive(Debug, ClapArgs)]
struct CheckArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    paths: Vec<PathBuf>,
    /// Only this store
    #[arg(long, value_name = "STORE")]
    store: Option<RefName>,
    /// Read every object and compare its digest; without it, sizes are compared
    #[arg(long)]
    digests: bool,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
}

/// `catalog heal`
#[derive(Debug, ClapArgs)]
struct HealArgs {
    /// A file, or the name of a pipeline in pipelines/
    #[arg(value_name = "PIPELINE")]
    path: PathBuf,
    /// The store that keeps good objects
    #[arg(long, value_name = "STORE")]
    from: RefName,
    /// The store that is healed
    #[arg(long, value_name = "STORE")]
    to: RefName,
    /// Also find damage that leaves the size as it was, by reading every object of the store that is healed
    #[arg(long)]
    digests: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
}

impl CatalogArgs {
    /// The form of the answer.
    pub(super) const fn format(&self) -> Format {
        match &self.command {
            CatalogCommand::Check(args) => args.format.format(),
            CatalogCommand::Heal(args) => args.format.format(),
        }
    }
}

pub(super) fn run(args: &CatalogArgs, output: &Output) -> Result<Exit, Problem> {
    match &args.command {
        CatalogCommand::Check(args) => checking(args, output),
        CatalogCommand::Heal(args) => healing(args),
    }
}

fn checking(args: &CheckArgs, output: &Output) -> Result<Exit, Problem> {
    let tokio = planning::tokio_runtime()?;
    let mut reports = Vec::new();
    for pipeline in files::pipelines(&args.paths)? {
        for name in files::stores(&pipeline, args.store.as_ref())? {
            let store = open(&pipeline, &name, tokio.handle())?;
            let checked = check(&*store, &name, &pipeline.name, args.digests).map_err(problem)?;
            reports.push(Report { pipeline: pipeline.name.clone(), store: name, checked });
        }
    }
    if args.format == Form::Json {
        Output::json(&json!({ "version": 1, "checks": reports.iter().map(words::json).collect::<Vec<Value>>() }))?;
    } else {
        let text: Vec<String> = reports.iter().map(|report| words::human(report, output.paint())).collect();
        Output::answer(&text.join("\n"))?;
    }
    Ok(end(reports.iter().map(|report| &report.checked)))
}

fn end<'c>(mut checked: impl Iterator<Item = &'c Checked>) -> Exit {
    if checked.any(|checked| !checked.flaws.is_empty()) { Exit::Verification } else { Exit::Done }
}

fn open(pipeline: &Pipeline, name: &RefName, handle: &tokio::runtime::Handle) -> Result<std::sync::Arc<dyn ObjectStore>, Problem> {
    let spec =
        pipeline.stores.get(name).ok_or_else(|| Problem::new(Exit::Usage, format!("{} declares no store `{name}`", pipeline.name)))?;
    store::open(spec, handle).map_err(problem)
}

fn healing(args: &HealArgs) -> Result<Exit, Problem> {
    if args.from == args.to {
        return Err(Problem::new(Exit::Usage, "--from and --to name the same store"));
    }
    let (pipeline, tokio) = (one(&args.path)?, planning::tokio_runtime()?);
    let (from, to) = (open(&pipeline, &args.from, tokio.handle())?, open(&pipeline, &args.to, tokio.handle())?);
    let checked = check(&*to, &args.to, &pipeline.name, args.digests).map_err(problem)?;
    let (mut cures, mut hopeless) = (Vec::new(), Vec::new());
    for flaw in checked.flaws {
        match remedy(&*from, flaw).map_err(problem)? {
            Remedy::Copy(cure) => cures.push(cure),
            Remedy::None(flaw, why) => hopeless.push(format!("{}: {}; {why}", flaw.key, flaw.damage)),
        }
    }
    Output::talk(&words::healing(&pipeline.name, (&args.from, &args.to), &cures, &hopeless, Output::talk_paint()));
    if !(args.yes || cures.is_empty()) {
        asked()?;
    }
    let failed: Vec<String> = cures.iter().filter_map(|cure| healed(&*from, &*to, &pipeline, cure).err()).collect();
    answer(args, &pipeline, &cures, &hopeless, &failed)
}

fn healed(from: &dyn ObjectStore, to: &dyn ObjectStore, pipeline: &Pipeline, cure: &Cure) -> Result<(), String> {
    heal(from, to, &pipeline.name, cure).map_err(|error| {
        let words = format!("{}: {error}", cure.named.key);
        Output::talk(&format!("not healed: {words}"));
        words
    })
}

fn answer(args: &HealArgs, pipeline: &Pipeline, cures: &[Cure], hopeless: &[String], failed: &[String]) -> Result<Exit, Problem> {
    let good = cures.len() - failed.len();
    if args.format == Form::Json {
        Output::json(&json!({ "version": 1, "pipeline": pipeline.name, "healed": good, "failed": failed, "beyond_healing": hopeless }))?;
    } else {
        Output::answer(&format!("{} healed, {} not\n", count(good, "object"), failed.len() + hopeless.len()))?;
    }
    Ok(if failed.is_empty() && hopeless.is_empty() { Exit::Done } else { Exit::Verification })
}
