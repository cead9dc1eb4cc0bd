//! `runner status`: how pipelines stand against their objectives, asked of the stores alone.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};
use jiff::Timestamp;

use super::args::Format;
use super::exit::Exit;
use super::output::{Output, Problem};
use super::{files, plan as planning};
use crate::ids::PipelineName;
use crate::observe;
use crate::pipeline::Pipeline;
use crate::render::status as words;
use crate::status::{Light, Status, judge};
use crate::step::Params;

/// `status`
#[derive(Debug, ClapArgs)]
pub(super) struct StatusArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    paths: Vec<PathBuf>,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
    /// Also write the metrics to a file, for the textfile collector of `node_exporter`
    #[arg(long, value_name = "PATH")]
    textfile: Option<PathBuf>,
}

/// The forms of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// Metrics in the text format of Prometheus
    Prometheus,
    /// For a CI job summary
    Markdown,
}

impl StatusArgs {
    /// The form of the answer.
    pub(super) const fn format(&self) -> Format {
        match self.format {
            Form::Human => Format::Human,
            Form::Json => Format::Json,
            Form::Prometheus | Form::Markdown => Format::Markdown,
        }
    }
}

pub(super) fn run(args: &StatusArgs, output: &Output) -> Result<Exit, Problem> {
    let pipelines = files::pipelines(&args.paths)?;
    let (making, others): (Vec<&Pipeline>, Vec<&Pipeline>) = pipelines.iter().partition(|pipeline| makes_points(pipeline));
    let others: Vec<PipelineName> = others.into_iter().map(|pipeline| pipeline.name.clone()).collect();
    let statuses = statuses(&making)?;
    if let Some(path) = &args.textfile {
        textfile(path, &words::prometheus(&statuses))?;
    }
    match args.format {
        Form::Human => Output::answer(&words::human(&statuses, &others, output.paint()))?,
        Form::Json => Output::json(&words::json(&statuses, &others))?,
        Form::Prometheus => Output::answer(&words::prometheus(&statuses))?,
        Form::Markdown => Output::answer(&words::markdown(&statuses))?,
    }
    Ok(if statuses.iter().any(|status| status.light == Light::Bad) { Exit::Missed } else { Exit::Done })
}

/// Whether a pipeline makes restore points.
pub(super) fn makes_points(pipeline: &Pipeline) -> bool {
    pipeline.steps.iter().any(|step| matches!(step.params, Params::Upload(_)))
}

/// How pipelines stand now, all of them asked at once.
pub(super) fn statuses(pipelines: &[&Pipeline]) -> Result<Vec<Status>, Problem> {
    let tokio = planning::tokio_runtime()?;
    let named = pipelines.iter().map(|pipeline| Ok((*pipeline, files::stores(pipeline, None)?)));
    let named = named.collect::<Result<Vec<_>, Problem>>()?;
    let subjects = std::thread::scope(|scope| {
        let handle = tokio.handle();
        let asked: Vec<_> =
            named.iter().map(|(pipeline, stores)| scope.spawn(move || observe::standing(pipeline, stores, handle))).collect();
        asked.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
    });
    let subjects = subjects.map_err(|_| Problem::new(Exit::Internal, "looking at the stores ended in a defect of runner"))?;
    let now = Timestamp::now();
    Ok(subjects.into_iter().map(|subject| judge(subject, now)).collect())
}

/// Writes the metrics so that whoever reads the file sees the old ones or the new ones, whole.
fn textfile(path: &Path, text: &str) -> Result<(), Problem> {
    let failed = |error: std::io::Error| {
        Problem::new(Exit::Other, format!("writing {}: {error}", path.display())).help("the folder must be there and be writable")
    };
    if path.extension().is_none_or(|ending| ending != "prom") {
        Output::talk(&format!("{} does not end in .prom: node_exporter will not read it", path.display()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".runner-").permissions(PermissionsExt::from_mode(0o644)).tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    // The umask may have taken the reader's right.
    file.as_file().set_permissions(PermissionsExt::from_mode(0o644)).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
