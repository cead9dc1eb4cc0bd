//! `runner undelete`, `pin` and `unpin`: a word of a person about one restore point, kept beside its manifest in every store that has it.
//! An undelete is no pin: the rules are asked again by the next prune.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::json;

use super::args::Format;
use super::exit::Exit;
use super::output::{Output, Problem};
use super::prune::one;
use super::{files, plan as planning};
use crate::ids::{RefName, RunId};
use crate::pipeline::Pipeline;
use crate::step::StepError;
use crate::store::manifest::manifest_key;
use crate::store::mark::{Author, Marks, Wish, add};
use crate::store::{self, ObjectStore, StoreError, catalog};

/// Which restore point.
#[derive(Debug, ClapArgs)]
pub(super) struct MarkArgs {
    /// A file, or the name of a pipeline in pipelines/
    #[arg(value_name = "PIPELINE")]
    path: PathBuf,
    /// The restore point's id, as `runner list` shows it
    #[arg(value_name = "ID")]
    id: RunId,
    /// Only in this store; in every store of the pipeline that keeps the point unless given
    #[arg(long, value_name = "STORE")]
    store: Option<RefName>,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    pub(super) format: Form,
}

/// The forms of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// For people
    Human,
    /// One JSON document
    Json,
}

impl Form {
    /// As the output knows it.
    pub(super) const fn format(self) -> Format {
        match self {
            Self::Human => Format::Human,
            Self::Json => Format::Json,
        }
    }
}

/// `pin`
#[derive(Debug, ClapArgs)]
pub(super) struct PinArgs {
    #[command(flatten)]
    pub(super) point: MarkArgs,
    /// Until when: a date (to its end, in the pipeline's time zone), or a time with its zone
    #[arg(long, value_name = "DATE|TIME")]
    until: String,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `undelete` and `unpin`
#[derive(Debug, ClapArgs)]
pub(super) struct UnmarkArgs {
    #[command(flatten)]
    pub(super) point: MarkArgs,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT", default_value = "asked for on the command line")]
    reason: String,
}

pub(super) fn undelete(args: &UnmarkArgs, _: &Output) -> Result<Exit, Problem> {
    let wish = Wish::Undelete { reason: args.reason.clone() };
    let idle = |marks: &Marks| marks.tombstoned.is_none().then_some("it has no tombstone");
    everywhere(&one(&args.point.path)?, &args.point, &wish, &idle)
}

pub(super) fn pin(args: &PinArgs, _: &Output) -> Result<Exit, Problem> {
    let pipeline = one(&args.point.path)?;
    let until = until(&args.until, &pipeline)?;
    if until <= Timestamp::now() {
        return Err(Problem::new(Exit::Usage, format!("--until {}: that is over", args.until)));
    }
    let wish = Wish::Pin { until, reason: args.reason.clone() };
    everywhere(&pipeline, &args.point, &wish, &|_| None)
}

pub(super) fn unpin(args: &UnmarkArgs, _: &Output) -> Result<Exit, Problem> {
    let wish = Wish::Unpin { reason: args.reason.clone() };
    let idle = |marks: &Marks| marks.pinned.is_none().then_some("it has no pin");
    everywhere(&one(&args.point.path)?, &args.point, &wish, &idle)
}

/// A date, to its end, or a moment.
fn until(text: &str, pipeline: &Pipeline) -> Result<Timestamp, Problem> {
    let name = pipeline.schedule.as_ref().map_or("UTC", |schedule| schedule.timezone.as_str());
    let zone = TimeZone::get(name).map_err(|error| Problem::new(Exit::Invalid, error.to_string()))?;
    let day = |date: Date| date.tomorrow().ok()?.to_zoned(zone.clone()).ok().map(|end| end.timestamp());
    // A date alone first: a time without a zone could be meant in any.
    let date = || if text.len() == 10 { text.parse::<Date>().ok().and_then(day) } else { None };
    let zoned = || text.parse::<Zoned>().ok().map(|at| at.timestamp());
    date().or_else(|| text.parse().ok()).or_else(zoned).ok_or_else(|| {
        Problem::new(Exit::Usage, format!("--until {text:?} is no date and no time with a zone"))
            .help("write 2027-12-31, 2027-12-31T18:00+09:00 or 2027-12-31T18:00[Asia/Seoul]")
    })
}

/// What a mark came to in one store.
struct Marked {
    store: RefName,
    words: String,
    key: Option<String>,
    /// Whether the point was deleted while this was done.
    gone: bool,
}

fn everywhere(pipeline: &Pipeline, args: &MarkArgs, wish: &Wish, idle: &dyn Fn(&Marks) -> Option<&'static str>) -> Result<Exit, Problem> {
    let tokio = planning::tokio_runtime()?;
    let mut done = Vec::new();
    for name in files::stores(pipeline, args.store.as_ref())? {
        let Some(spec) = pipeline.stores.get(&name) else { continue };
        let marked = store::open(spec, tokio.handle()).and_then(|store| in_store((&name, &*store), pipeline, args, wish, idle));
        done.extend(marked.map_err(problem)?);
    }
    if done.is_empty() {
        let problem = Problem::new(Exit::StepFailed, format!("no store of {} keeps a restore point {}", pipeline.name, args.id));
        return Err(problem.help("`runner list` shows the restore points there are"));
    }
    if let Some(problem) = too_late(&args.id, wish, &done) {
        return Err(problem);
    }
    if args.format == Form::Json {
        let stores: Vec<_> = done.iter().map(|one| json!({ "store": one.store, "key": one.key, "words": one.words })).collect();
        Output::json(&json!({ "version": 1, "pipeline": pipeline.name, "run": args.id, "mark": wish.kind().word(), "stores": stores }))?;
    } else {
        let lines: Vec<String> = done.iter().map(|one| format!("{} in {}: {}\n", args.id, one.store, one.words)).collect();
        Output::answer(&lines.concat())?;
    }
    Ok(Exit::Done)
}

/// That a point was deleted from a store while it was marked there, and what was done in the others.
fn too_late(id: &RunId, wish: &Wish, done: &[Marked]) -> Option<Problem> {
    let (gone, there): (Vec<&Marked>, Vec<&Marked>) = done.iter().partition(|one| one.gone);
    let names: Vec<&str> = gone.iter().map(|one| one.store.as_str()).collect();
    let rest: Vec<String> = there.iter().map(|one| format!("; in {}: {}", one.store, one.words)).collect();
    let message = format!("{id} was deleted from {} before its {} took effect{}", names.join(" and "), wish.kind(), rest.concat());
    (!gone.is_empty()).then(|| Problem::new(Exit::StepFailed, message).help("`runner list` shows which stores still keep it"))
}

/// The failure of a store, with its exit code and hint.
pub(super) fn problem(error: StoreError) -> Problem {
    let error = StepError::from(error);
    let problem = Problem::new(Exit::of_class(error.class), error.message);
    error.hint.into_iter().fold(problem, Problem::help)
}

/// What was done; `None` where the store keeps no such point.
fn in_store(
    (name, store): (&RefName, &dyn ObjectStore),
    pipeline: &Pipeline,
    args: &MarkArgs,
    wish: &Wish,
    idle: &dyn Fn(&Marks) -> Option<&'static str>,
) -> Result<Option<Marked>, StoreError> {
    let (manifest, done) = (manifest_key(&pipeline.name, &args.id), |words, key, gone| Marked { store: name.clone(), words, key, gone });
    let (keys, marks) = catalog::look_again(store, &pipeline.name, &args.id)?;
    if !keys.contains(&manifest) {
        return Ok(None);
    }
    if let Some(why) = idle(&marks) {
        return Ok(Some(done(format!("nothing to do, {why}"), None, false)));
    }
    let by = author();
    let stored = add(store, (&pipeline.name, &args.id), wish.clone(), Author { by: &by, now: Timestamp::now() }, &marks)?;
    let words = match wish {
        Wish::Undelete { .. } => "its tombstone is taken back until a prune marks it again; `runner pin` keeps it".to_owned(),
        Wish::Pin { until, .. } => format!("pinned until {until}"),
        Wish::Unpin { .. } => "no longer pinned".to_owned(),
        Wish::Tombstone { .. } => "marked for deletion".to_owned(),
    };
    // A prune that had looked at the marks just before may have gone on to delete it.
    let gone = store.head(&manifest)?.is_none();
    Ok(Some(done(words, Some(stored.key), gone)))
}

/// Who is at the keyboard, as the system says: `kim on db1`.
fn author() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{user} on {}", rustix::system::uname().nodename().to_string_lossy())
}
