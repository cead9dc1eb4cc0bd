//! `runner diff`: what changed between two restore points, and what of it is suspicious.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::args::{Format, PointArgs, one_of};
use super::exit::Exit;
use super::output::{Output, Problem};
use super::plan as planning;
use super::point::Meant;
use super::show::{Opened, View, of_step, told};
use crate::diagnostic::Class;
use crate::drift::{Drift, Rule};
use crate::ids::{RefName, StepId};
use crate::render::drift::{self as render, Told};
use crate::step::StepError;
use crate::store::recall::{At, RecallError, Recalled, recall};
use crate::store::{ObjectStore, commit};

/// `diff`
#[derive(Debug, ClapArgs)]
pub(super) struct DiffArgs {
    /// The pipeline that made both (a file, or a name in pipelines/), or the manifest of the first: a path, or `s3://BUCKET/KEY`
    #[arg(value_name = "PIPELINE|MANIFEST")]
    source: PathBuf,
    /// The first: latest, an id, or a time with its zone; the one before the latest unless given. After a manifest: the other one
    #[arg(value_name = "FROM|MANIFEST")]
    from: Option<String>,
    /// The second: latest (unless given), an id, or a time with its zone
    #[arg(value_name = "TO")]
    to: Option<At>,
    /// The store to read from; the first that the pipeline uploads to unless given
    #[arg(long, value_name = "STORE")]
    store: Option<RefName>,
    /// The step whose artifact is meant, where a run stores several dumps
    #[arg(long, value_name = "STEP")]
    artifact: Option<StepId>,
    /// A file with the private key; the pipeline's own verify-restore says where one is unless given
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// A file with the passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Exit with 11 when something is suspicious or could not be judged, with 77 when the key to judge it is missing
    #[arg(long)]
    fail_on_anomaly: bool,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json, Format::Markdown]), default_value = "human")]
    pub(super) format: Format,
}

/// The rules, for the help.
pub(super) fn rules() -> String {
    let width = Rule::ALL.iter().map(|rule| rule.name().len()).max().unwrap_or(0);
    let lines: Vec<String> = Rule::ALL.iter().map(|rule| format!("  {:<width$}  {}", rule.name(), rule.words())).collect();
    format!("What is suspicious:\n{}", lines.join("\n"))
}

pub(super) fn run(args: &DiffArgs, output: &Output) -> Result<Exit, Problem> {
    let (from, to) = points(args)?;
    let tokio = planning::tokio_runtime()?;
    let [from, to] = [&from, &to].map(|meant| side(&View::of(meant, tokio.handle())?));
    let (from, to) = (from?, to?);
    let closed = [&from, &to].into_iter().find_map(Side::closed);
    let changes =
        if let (Opened::Whole(was), Opened::Whole(is)) = (&from.dump, &to.dump) { Some(crate::archive::changes(was, is)) } else { None };
    let drift = Drift::between(from.point, to.point, changes);
    let why = closed.as_ref().map(told);
    let answer = Told { drift: &drift, closed: why.as_deref() };
    match args.format {
        Format::Json => Output::json(&render::json(&answer))?,
        Format::Markdown | Format::Github => Output::answer(&render::markdown(&answer))?,
        Format::Human => Output::answer(&render::human(&answer, output.paint()))?,
    }
    Ok(end(args, &drift, closed))
}

/// How it ends: a damaged fingerprint is always told by the exit code, an anomaly when that was asked for.
fn end(args: &DiffArgs, drift: &Drift, closed: Option<StepError>) -> Exit {
    let told = |problem: &Problem| {
        Output::told(problem);
        problem.exit
    };
    match closed {
        Some(error) if matches!(error.class, Class::Verification | Class::Key) => told(&of_step(error)),
        _ if !args.fail_on_anomaly => Exit::Done,
        _ if !drift.anomalies.is_empty() => told(&Problem::new(Exit::Verification, "something is suspicious: see above")),
        Some(error) if error.class == Class::Denied => told(&of_step(error)),
        _ if !drift.unjudged.is_empty() => told(&Problem::new(Exit::Verification, "not every rule could be judged: see above")),
        _ => Exit::Done,
    }
}

/// A restore point and what its dump held.
struct Side {
    point: Recalled,
    dump: Opened<crate::archive::Fingerprint>,
}

impl Side {
    /// Why its dump can not be compared.
    fn closed(&self) -> Option<StepError> {
        match &self.dump {
            Opened::Whole(_) => None,
            Opened::Closed(error) => Some(error.clone()),
            Opened::NoneKept => Some(StepError::new(Class::Failed, format!("no fingerprint was kept of {}", self.point.run))),
        }
    }
}

fn side(view: &View<'_>) -> Result<Side, Problem> {
    let store = view.store()?;
    let at = &view.point.at;
    let point = recall((&view.point.store, &*store), view.maker(), at, view.point.artifact.as_ref()).map_err(unfound)?;
    let dump = view.fingerprint(&point.artifact)?;
    Ok(Side { point, dump })
}

fn unfound(error: RecallError) -> Problem {
    let several = matches!(error, RecallError::Unclear { .. });
    let problem = of_step(error.into());
    if several { problem.help("say which step stored it: --artifact STEP") } else { problem }
}

/// Both points that are meant.
fn points(args: &DiffArgs) -> Result<(Meant, Meant), Problem> {
    let meant = |source: &PathBuf, at: At| {
        Meant::by(&PointArgs {
            source: Some(source.clone()),
            at,
            store: args.store.clone(),
            artifact: args.artifact.clone(),
            identity: args.identity.clone(),
            passphrase_file: args.passphrase_file.clone(),
        })
    };
    let is_manifest = |text: &str| text.ends_with(".manifest.json");
    if args.source.to_str().is_some_and(is_manifest) {
        let wrong = || Problem::new(Exit::Usage, "after a manifest, the other manifest is expected: runner diff MANIFEST MANIFEST");
        let other = args.from.as_ref().filter(|text| is_manifest(text) && args.to.is_none()).ok_or_else(wrong)?;
        return Ok((meant(&args.source, At::Latest)?, meant(&PathBuf::from(other), At::Latest)?));
    }
    let to = meant(&args.source, args.to.clone().unwrap_or_default())?;
    let from = match &args.from {
        Some(text) => text.parse().map_err(|error: crate::store::recall::AtError| Problem::new(Exit::Usage, error.to_string()))?,
        None => before_the_latest(&to)?,
    };
    Ok((meant(&args.source, from)?, to))
}

/// The restore point before the latest.
fn before_the_latest(meant: &Meant) -> Result<At, Problem> {
    let tokio = planning::tokio_runtime()?;
    let view = View::of(meant, tokio.handle())?;
    let store: std::sync::Arc<dyn ObjectStore> = view.store()?;
    let points = commit::points(&*store, view.maker()).map_err(|error| of_step(error.into()))?;
    let few = || Problem::new(Exit::StepFailed, format!("{} keeps fewer than two restore points of {}", store.describe(), view.maker()));
    points.get(1).map(|point| At::Run(point.run.clone())).ok_or_else(few)
}
