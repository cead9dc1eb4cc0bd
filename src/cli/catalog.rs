//! `runner catalog check` and `heal`: holds stores against their manifests, and has again what one lost and another keeps.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::Format;
use super::exit::Exit;
use super::mark::{Form, problem};
use super::output::{Output, Problem};
use super::prune::{asked, one};
use super::run::host;
use super::{files, lease, plan as planning};
use crate::ids::{PipelineName, RefName, RunId};
use crate::pipeline::Pipeline;
use crate::render::catalog::{self as words, Report};
use crate::store::carry::Watch;
use crate::store::check::{Checked, Flaw, check};
use crate::store::heal::{Cure, Healing, Remedy, remedy};
use crate::store::lease::Held;
use crate::store::lost::{Lost, lost};
use crate::store::manifest::manifest_key;
use crate::store::replica::Copying;
use crate::store::{self, ObjectStore, StoreError};
use crate::stream::Cancel;
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
    let need = Need::look((&*from, &args.from), (&*to, &args.to), &pipeline.name, args.digests).map_err(problem)?;
    let (names, paint) = ((&args.from, &args.to), Output::talk_paint());
    Output::talk(&words::healing(&pipeline.name, names, (&need.points, &need.cures, &need.hopeless), paint));
    if !(args.yes || need.cures.is_empty() && need.points.is_empty()) {
        asked()?;
    }
    let cancel = Cancel::new();
    let leases = lease::take_one(&pipeline, &to, &cancel)?;
    let healing =
        Healing { from: &*from, to: &*to, pipeline: &pipeline.name, lease: leases.held().next(), watch: Watch::unwatched(&cancel) };
    let mut failed: Vec<String> = need.points.iter().filter_map(|lost| copied(&healing, names, lost).err()).collect();
    failed.extend(need.cures.iter().filter_map(|cure| healing.heal(cure).err().map(|error| unhealed(&cure.named.key, &error))));
    // What was left aside may be the only good one until all is well.
    if failed.is_empty() && need.hopeless.is_empty() {
        healing.sweep().map_err(problem)?.iter().for_each(|key| Output::talk(&format!("removed what a killed healing left: {key}")));
    }
    leases.end().iter().for_each(|note| Output::talk(note));
    answer(args, &pipeline, &need, &failed)
}

/// What there is to heal.
struct Need {
    points: Vec<Lost>,
    cures: Vec<Cure>,
    hopeless: Vec<String>,
}

impl Need {
    fn look(
        from: (&dyn ObjectStore, &RefName),
        (to, name): (&dyn ObjectStore, &RefName),
        pipeline: &PipelineName,
        digests: bool,
    ) -> Result<Self, StoreError> {
        let flaws = check(to, name, pipeline, digests)?.flaws;
        let is_manifest = |flaw: &&Flaw| flaw.key == manifest_key(pipeline, &flaw.run);
        let unusable: BTreeSet<RunId> = flaws.iter().filter(is_manifest).map(|flaw| flaw.run.clone()).collect();
        let points = lost(from, to, pipeline, &unusable)?;
        let (mut cures, mut hopeless) = (Vec::new(), Vec::new());
        let had_back = |flaw: &Flaw| is_manifest(&flaw) && points.iter().any(|lost| lost.manifest.run == flaw.run);
        for flaw in flaws.into_iter().filter(|flaw| !had_back(flaw)) {
            match remedy(from.0, flaw)? {
                Remedy::Copy(cure) => cures.push(cure),
                Remedy::None(flaw, why) => hopeless.push(format!("{}: {}; {why}", flaw.key, flaw.damage)),
            }
        }
        Ok(Self { points, cures, hopeless })
    }
}

/// Has a whole restore point again, as a copy has it.
fn copied(healing: &Healing<'_>, (from, to): (&RefName, &RefName), lost: &Lost) -> Result<(), String> {
    let holder = healing.lease.map(Held::holder);
    let run = holder.as_ref().map_or(&lost.manifest.run, |holder| &holder.run);
    let host = holder.as_ref().map_or_else(host, |holder| holder.host.clone());
    let (from, to) = ((from, healing.from), (to, healing.to));
    let copying = Copying { from, to, lease: healing.lease, mend: true, at: Timestamp::now(), run, host: &host };
    let done = copying.copy(&lost.manifest, &healing.watch);
    done.map(drop).map_err(|error| unhealed(&lost.manifest.run.to_string(), &error))
}

fn unhealed(what: &str, error: &StoreError) -> String {
    let words = format!("{what}: {error}");
    Output::talk(&format!("not healed: {words}"));
    words
}

fn answer(args: &HealArgs, pipeline: &Pipeline, need: &Need, failed: &[String]) -> Result<Exit, Problem> {
    let Need { points, cures, hopeless } = need;
    let good = points.len() + cures.len() - failed.len();
    if args.format == Form::Json {
        Output::json(&json!({ "version": 1, "pipeline": pipeline.name, "healed": good, "failed": failed, "beyond_healing": hopeless }))?;
    } else {
        let what = count(good, if points.is_empty() { "object" } else { "restore point or object" });
        Output::answer(&format!("{what} healed, {} not\n", failed.len() + hopeless.len()))?;
    }
    Ok(if failed.is_empty() && hopeless.is_empty() { Exit::Done } else { Exit::Verification })
}
