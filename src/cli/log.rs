//! `runner log sync`: writes what the stores of a pipeline keep into the table `backup_log` of a database.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;
use tokio::runtime::Handle;

use super::args::{Format, one_of};
use super::exit::Exit;
use super::files;
use super::output::{Output, Problem};
use super::plan as planning;
use super::restore::target;
use super::show::of_step;
use crate::ids::RunId;
use crate::pipeline::Pipeline;
use crate::postgres::backup_log::{BackupLog, Entry, Migrated, OLD_VIEWS, SCHEMA, Word, Written};
use crate::postgres::{ConnInfo, ConnectionSpec, PgError};
use crate::secret::Secrets;
use crate::step::{Params, of_point};
use crate::store::manifest::{Manifest, Receipt};
use crate::store::{self, StoreError, catalog};
use crate::words::count;

/// `log`
#[derive(Debug, ClapArgs)]
pub(super) struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

/// The commands below `log`.
#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Write every restore point of a pipeline into the table; what is there already is updated
    #[command(
        after_help = "Examples:\n  runner log sync orders --to logs\n  runner log sync orders --to postgresql://dba@db2/ops --schema backup\n\nReads manifests and receipts only. Makes the table and its views where they are\nmissing: backup_stats, v_backup_status, v_backup_statistics."
    )]
    Sync(SyncArgs),
}

/// `log sync`
#[derive(Debug, ClapArgs)]
struct SyncArgs {
    /// A file, or the name of a pipeline in pipelines/
    #[arg(value_name = "PIPELINE")]
    path: PathBuf,
    /// Where the table is: a connection of the pipeline, or postgresql://USER@HOST:PORT/DATABASE without a password
    #[arg(long, value_name = "CONNECTION|URL")]
    to: String,
    /// Another database of that server; that of the connection unless given
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// The schema of the table
    #[arg(long, value_name = "NAME", default_value = SCHEMA)]
    schema: String,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    format: Format,
}

impl LogArgs {
    /// The form of the answer.
    pub(super) const fn format(&self) -> Format {
        let LogCommand::Sync(args) = &self.command;
        args.format
    }
}

pub(super) fn run(args: &LogArgs) -> Result<Exit, Problem> {
    let LogCommand::Sync(args) = &args.command;
    let mut found = files::pipelines(std::slice::from_ref(&args.path))?;
    let (Some(mut pipeline), true) = (found.pop(), found.is_empty()) else {
        return Err(Problem::new(Exit::Usage, format!("{} holds several pipelines; name one", args.path.display())));
    };
    let info = place(args, &mut pipeline)?;
    let tokio = planning::tokio_runtime()?;
    let kept = kept(&pipeline, tokio.handle())?;
    for trouble in &kept.troubles {
        Output::told(&Problem::new(Exit::Verification, trouble));
    }
    let entries: Vec<Entry> = kept.points.values().flat_map(|(manifest, receipts)| of_point(manifest, receipts)).collect();
    let (written, migrated) = write(&info, args, &entries, tokio.handle()).map_err(|error| of_step(error.into()))?;
    if migrated == Migrated::OldViews {
        Output::talk(&format!("the views of {}.backup_log {OLD_VIEWS}", args.schema));
    }
    if args.format == Format::Json {
        Output::json(&json!({
            "version": 1, "pipeline": pipeline.name, "place": info.describe(), "schema": args.schema, "migrated": migrated == Migrated::Made,
            "points": kept.points.len(), "rows": written.rows, "kept": written.kept, "troubles": kept.troubles,
        }))?;
    } else {
        let made = if migrated == Migrated::Made { ", whose table was made just now" } else { "" };
        let left = if written.kept > 0 { format!("; {} there already, and its role may not update", written.kept) } else { String::new() };
        Output::answer(&format!(
            "{}: {} of {} in {}.backup_log at {}{made}{left}\n",
            pipeline.name,
            count(written.rows, "row"),
            count(kept.points.len() as u64, "restore point"),
            args.schema,
            info.describe()
        ))?;
    }
    Ok(if kept.troubles.is_empty() { Exit::Done } else { Exit::Warned })
}

/// Where the table is.
fn place(args: &SyncArgs, pipeline: &mut Pipeline) -> Result<ConnInfo, Problem> {
    let name = target(&args.to, pipeline)?;
    let Some(ConnectionSpec::Postgres(spec)) = pipeline.connections.get(&name) else {
        return Err(Problem::new(Exit::Usage, format!("`{name}` is a throw-away server: what is written there is gone at once")));
    };
    let secrets = Secrets::new(pipeline.secrets.clone());
    let info = ConnInfo::resolve(spec, &secrets).map_err(|error| of_step(PgError::from(error).into()))?;
    Ok(args.database.iter().fold(info, |info, database| info.with_database(database)))
}

/// What the stores keep.
#[derive(Default)]
struct Kept {
    /// Each restore point once, with the receipts beside every copy of its manifest.
    points: BTreeMap<RunId, (Manifest, Vec<Receipt>)>,
    /// Manifests and receipts that can not be used.
    troubles: Vec<String>,
}

fn kept(pipeline: &Pipeline, handle: &Handle) -> Result<Kept, Problem> {
    let uploads =
        pipeline.steps.iter().filter_map(|step| if let Params::Upload(upload) = &step.params { Some(&upload.store) } else { None });
    let mut names: Vec<_> = uploads.collect();
    names.sort();
    names.dedup();
    let mut kept = Kept::default();
    for (name, spec) in names.into_iter().filter_map(|name| Some((name, pipeline.stores.get(name)?))) {
        let unread = |error: StoreError| of_step(error.into());
        let store = store::open(spec, handle).map_err(unread)?;
        let (points, _) = catalog::newest(&*store, &pipeline.name, usize::MAX).map_err(unread)?;
        for point in points {
            kept.troubles.extend(point.unreadable.iter().map(|why| format!("a receipt in {name} can not be used: {why}")));
            match point.manifest {
                Ok(manifest) => kept.points.entry(manifest.run.clone()).or_insert((manifest, Vec::new())).1.extend(point.receipts),
                Err(why) => kept.troubles.push(format!("{} in {name} can not be used: {why}", point.summary.key)),
            }
        }
    }
    Ok(kept)
}

fn write(info: &ConnInfo, args: &SyncArgs, entries: &[Entry], handle: &Handle) -> Result<(Written, Migrated), PgError> {
    let log = BackupLog::open(info, &args.schema, handle)?;
    let written = log.record(entries, Word::OfStore)?;
    let migrated = log.migrated;
    log.close();
    Ok((written, migrated))
}
