//! `runner report`: how pipelines stand against their objectives, as one page or as Markdown.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::runtime::Handle;

use super::exit::Exit;
use super::output::{Output, Problem};
use super::status::makes_points;
use super::{files, plan as planning};
use crate::diagnostic::Class;
use crate::ids::RefName;
use crate::observe::{self, History, history};
use crate::pipeline::Pipeline;
use crate::plan::{CatalogFacts, Reach, setting};
use crate::render::report::{self as render, Language, Report, Shelf, Subject};
use crate::retention::{Policy, gaps};
use crate::status::{self, judge};
use crate::step::Params;

/// How many restore points of a pipeline are read from a store.
const POINTS: usize = 1000;

/// How many pipelines are looked at at once.
const AT_ONCE: usize = 8;

/// `report`
#[derive(Debug, ClapArgs)]
pub(super) struct ReportArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    paths: Vec<PathBuf>,
    /// The file to write, all at once; stdout unless given
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The language; Korean where `LC_ALL`, `LC_MESSAGES` or `LANG` says so, else English
    #[arg(long, value_enum, value_name = "en|ko")]
    lang: Option<Lang>,
    /// The form of the report
    #[arg(long, value_enum, default_value = "html")]
    format: Form,
}

/// The languages of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// English
    En,
    /// 한국어
    Ko,
}

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One page that loads nothing
    Html,
    /// For the summary of a CI job
    Markdown,
}

pub(super) fn run(args: &ReportArgs) -> Result<Exit, Problem> {
    let pipelines = files::pipelines(&args.paths)?;
    let (making, others): (Vec<&Pipeline>, Vec<&Pipeline>) = pipelines.iter().partition(|pipeline| makes_points(pipeline));
    let others = others.into_iter().map(|pipeline| pipeline.name.clone()).collect();
    let (tokio, at) = (planning::tokio_runtime()?, Timestamp::now());
    let subjects = subjects(&making, tokio.handle(), at)?;
    let report = Report { subjects, others, at, runner: env!("CARGO_PKG_VERSION").to_owned(), language: language(args.lang) };
    let text = match args.format {
        Form::Html => render::html(&report).map_err(|error| Problem::new(Exit::Internal, error.to_string()))?,
        Form::Markdown => render::markdown(&report),
    };
    match &args.out {
        None => Output::answer(&text)?,
        Some(path) => {
            write(path, &text).map_err(|error| Problem::new(Exit::Other, format!("writing {}: {error}", path.display())))?;
            Output::talk(&format!("report written to {}", path.display()));
        }
    }
    Ok(Exit::Done)
}

/// What was asked for, or what the environment says: the first of its variables that is set counts, as for every program.
fn language(asked: Option<Lang>) -> Language {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let korean = match asked {
        Some(lang) => lang == Lang::Ko,
        None => ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set).is_some_and(|value| value.starts_with("ko")),
    };
    if korean { Language::Korean } else { Language::English }
}

/// Everything the report says of these pipelines, some of them looked at at once.
fn subjects(pipelines: &[&Pipeline], handle: &Handle, now: Timestamp) -> Result<Vec<Subject>, Problem> {
    let mut subjects = Vec::with_capacity(pipelines.len());
    for some in pipelines.chunks(AT_ONCE) {
        let looked = std::thread::scope(|scope| {
            let looks: Vec<_> = some.iter().map(|pipeline| scope.spawn(|| subject(pipeline, handle, now))).collect();
            looks.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        for subject in looked {
            subjects.push(subject.map_err(|_| Problem::new(Exit::Internal, "looking at a pipeline ended in a defect of runner"))??);
        }
    }
    Ok(subjects)
}

/// Everything the report says of a pipeline. A store that does not answer is told in it.
fn subject(pipeline: &Pipeline, handle: &Handle, now: Timestamp) -> Result<Subject, Problem> {
    let names = files::stores(pipeline, None)?;
    let looked: Vec<History> = names.iter().map(|name| history(pipeline, name, handle, POINTS)).collect();
    let shelves = shelves(pipeline, &looked, handle, now);
    let subject = status::Subject {
        pipeline: pipeline.name.clone(),
        schedule: pipeline.schedule.clone(),
        objectives: pipeline.objectives.clone(),
        stores: looked.into_iter().map(|history| history.facts).collect(),
    };
    Ok(Subject { status: judge(subject, now), plan: planning::offline(pipeline), shelves })
}

/// What retention says of the stores: the same that a plan says. It decides only where every point of all of them was read.
fn shelves(pipeline: &Pipeline, looked: &[History], handle: &Handle, now: Timestamp) -> Vec<Shelf> {
    let whole = looked.iter().all(|history| history.count == history.catalog.points.len());
    let known = looked.iter().map(|history| (history.facts.store.clone(), reached(history, now)));
    let together = if whole { observe::catalogs(pipeline, known.collect(), handle) } else { BTreeMap::new() };
    looked.iter().map(|history| shelf(pipeline, history, together.get(&history.facts.store).and_then(Reach::facts), now)).collect()
}

fn reached(history: &History, now: Timestamp) -> Reach<CatalogFacts> {
    match &history.facts.seen {
        Ok(_) => Reach::Reached(CatalogFacts::of(&history.catalog, &history.facts.store, now)),
        Err(why) => Reach::Failed { message: why.clone(), class: Class::Failed },
    }
}

fn shelf(pipeline: &Pipeline, history: &History, facts: Option<&CatalogFacts>, now: Timestamp) -> Shelf {
    let (store, setting) = (history.facts.store.clone(), setting(pipeline));
    let policy = policy(pipeline, &store);
    let verdict = facts.zip(policy).map(|(facts, policy)| facts.verdict(policy, &setting, now));
    let kept = facts.cloned().unwrap_or_else(|| CatalogFacts::of(&history.catalog, &store, now)).catalog(&setting);
    let zone = TimeZone::get(&setting.timezone).unwrap_or(TimeZone::UTC);
    Shelf { store, count: history.count, verdict, gaps: gaps(&kept, policy, now, &zone) }
}

/// The rules of the step that prunes a store.
fn policy<'p>(pipeline: &'p Pipeline, store: &RefName) -> Option<&'p Policy> {
    pipeline.steps.iter().find_map(|step| match &step.params {
        Params::Prune(prune) if prune.all().contains(&store) => Some(&prune.policy),
        _ => None,
    })
}

/// Writes a file all at once: whoever reads it meanwhile sees the old one or the new one, whole.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable for others, as any file would be that is made here, unless the umask says otherwise.
    let mut file = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o666)).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
