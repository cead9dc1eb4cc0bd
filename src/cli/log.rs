//! `runner log sync`: writes what the stores of a pipeline keep into the table `backup_log` of a database.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::ids::{RefName, RunId};
use crate::pipeline::Pipeline;
use crate::plan::purpose;
use crate::postgres::backup_log::{BackupLog, Entry, Migrated, OLD_VIEWS, Place, SCHEMA, Stores, Synced};
use crate::postgres::{ConnInfo, ConnectionSpec, PgError};
use crate::secret::Secrets;
use crate::step::{of_failure, of_point};
use crate::store::recent::{Failed, failures};
use crate::store::{self, StoreError, StoreSpec, catalog};
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
    /// Write every restore point and failed run of a pipeline into the table; what is there already is updated
    #[command(
        after_help = "Examples:\n  runner log sync orders --to logs\n  runner log sync orders --to postgresql://dba@db2/ops --schema backup\n\nReads manifests, receipts and the word of failed runs only. Makes the table and its views where they are\nmissing: backup_stats, v_backup_status, v_backup_statistics."
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
    let server = |error: PgError| of_step(error.into());
    let log = BackupLog::open(&info, &args.schema, tokio.handle()).map_err(server)?;
    let before = log.uploaded(pipeline.name.as_str()).map_err(server)?;
    let kept = Kept::read(&pipeline, tokio.handle())?;
    let synced = log.sync(&kept.told(&pipeline, before)).map_err(server)?;
    let migrated = log.migrated;
    log.close();
    for trouble in &kept.troubles {
        Output::told(&Problem::new(Exit::Verification, trouble));
    }
    for (_, problem) in &kept.silent {
        Output::told(problem);
    }
    if migrated == Migrated::OldViews {
        Output::talk(&format!("the views of {}.backup_log {OLD_VIEWS}", args.schema));
    }
    if args.format == Format::Json {
        Output::json(&json!({
            "version": 1, "pipeline": pipeline.name, "place": info.describe(), "schema": args.schema,
            "migrated": migrated == Migrated::Made, "points": kept.points.len(), "rows": synced.points.rows, "kept": synced.points.kept,
            "failed": synced.failed, "left_out": synced.left_out, "gone": synced.gone, "troubles": kept.troubles,
            "unread": kept.silent.iter().map(|(store, problem)| json!({ "store": store, "message": problem.message })).collect::<Vec<_>>(),
        }))?;
    } else {
        let made = if migrated == Migrated::Made { ", whose table was made just now" } else { "" };
        Output::answer(&format!(
            "{}: {} of {} in {}.backup_log at {}{made}{}\n",
            pipeline.name,
            count(synced.points.rows, "row"),
            count(kept.points.len() as u64, "restore point"),
            args.schema,
            info.describe(),
            more(&synced)
        ))?;
    }
    let troubled = if kept.troubles.is_empty() { Exit::Done } else { Exit::Warned };
    Ok(kept.silent.iter().fold(troubled, |exit, (_, problem)| exit.worse(problem.exit)))
}

/// What else became of the table.
fn more(synced: &Synced) -> String {
    let told = [
        (synced.points.kept, synced.points.kept.to_string(), " there already, and its role may not update"),
        (synced.failed, count(synced.failed, "failed run"), ""),
        (synced.left_out, count(synced.left_out, "failed run"), " left out, for its role may not read which are there"),
        (synced.gone, count(synced.gone, "row"), " of objects that are gone"),
    ];
    let told = told.into_iter().filter(|(number, ..)| *number > 0);
    told.map(|(_, what, words)| format!("; {what}{words}")).collect::<Vec<_>>().concat()
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
    /// The restore points, those that can not be used among them.
    points: BTreeSet<RunId>,
    /// A row an object and store.
    entries: Vec<Entry>,
    /// Runs that made no restore point in a store.
    failed: BTreeMap<RunId, Failed>,
    /// Stores of which everything could be read.
    whole: Vec<RefName>,
    /// Manifests and receipts that can not be used.
    troubles: Vec<String>,
    /// Stores that could not say what they keep.
    silent: Vec<(RefName, Problem)>,
}

impl Kept {
    /// Asks the stores that `runner list` shows. One that is down hides nothing of the others.
    fn read(pipeline: &Pipeline, handle: &Handle) -> Result<Self, Problem> {
        let mut kept = Self::default();
        for name in files::stores(pipeline, None)? {
            let Some(spec) = pipeline.stores.get(&name) else { continue };
            if let Err(error) = kept.store(&name, spec, pipeline, handle) {
                kept.silent.push((name, of_step(error.into())));
            }
        }
        Ok(kept)
    }

    fn store(&mut self, name: &RefName, spec: &StoreSpec, pipeline: &Pipeline, handle: &Handle) -> Result<(), StoreError> {
        let store = store::open(spec, handle)?;
        let (points, _) = catalog::newest(&*store, &pipeline.name, usize::MAX)?;
        for failed in failures(&*store, &pipeline.name, usize::MAX)? {
            // One that left word in another store has more to tell.
            if failed.word.is_some() || !self.failed.contains_key(&failed.run) {
                self.failed.insert(failed.run.clone(), failed);
            }
        }
        let mut whole = true;
        for point in points {
            self.troubles.extend(point.unreadable.iter().map(|why| format!("a receipt in {name} can not be used: {why}")));
            match point.manifest {
                Ok(manifest) => self.entries.extend(of_point(&manifest, &point.receipts, name)),
                Err(why) => {
                    whole = false;
                    self.troubles.push(format!("{} in {name} can not be used: {why}", point.summary.key));
                }
            }
            self.points.insert(point.summary.run);
        }
        self.whole.extend(whole.then(|| name.clone()));
        Ok(())
    }

    /// What the table is told. `before` is where it took objects to be before the stores were read.
    fn told(&self, pipeline: &Pipeline, before: BTreeSet<Place>) -> Stores {
        let there: BTreeSet<Place> = self.entries.iter().map(|entry| (entry.store.clone(), entry.run.clone())).collect();
        let is_gone = |place: &Place| self.whole.iter().any(|store| store.as_str() == place.0) && !there.contains(place);
        // A store that can not say what it keeps may keep the point of a run that another store has ruled out.
        let known = self.failed.values().filter(|failed| self.silent.is_empty() && !self.points.contains(&failed.run));
        Stores {
            points: self.entries.clone(),
            failed: known.map(|failed| of_failure(failed, &pipeline.name, purpose(pipeline))).collect(),
            gone: before.into_iter().filter(is_gone).collect(),
        }
    }
}
