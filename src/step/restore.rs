//! The way back, second half: an archive is loaded into a database that is thrown away afterwards.
//!
//! One error of `pg_restore` or psql fails it. An archive that can be restored in parallel is staged on scratch disk first,
//! so by then every digest and tag before it has agreed. Nothing here touches a database that anybody else uses.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::work::RestoreScratch;
use super::{AcceptSink, Cx, StepError, Upstream, origin};
use crate::diagnostic::Class;
use crate::ids::StepId;
use crate::postgres::facts::DatabaseLocale;
use crate::postgres::{Client, ConnInfo, Installed, PassFile, PgError, ScratchOptions, ScratchServer, TempDatabase, ToolSet, quote};
use crate::runtime::{Connection, Scratch, Verification};
use crate::store::manifest::{Level, Locale, Origin};
use crate::stream::child::Program;
use crate::stream::digest::{Algorithm, Digester};
use crate::stream::{Stream, StreamError, archive_tar, file};

/// The database restored into, on a scratch server.
const DATABASE: &str = "restored";

impl AcceptSink for RestoreScratch {
    fn accept(&self, input: Stream, upstream: &mut dyn Upstream, cx: &Cx<'_>, sent: &dyn Fn(u64)) -> Result<(), StepError> {
        let began = Instant::now();
        let artifact = super::fetch::artifact(&self.artifact, cx)?;
        let scratch = self.scratch(&artifact.origin, cx)?;
        let passfile = PassFile::create(&place(&scratch)).map_err(|error| origin::unwritable("a password file", &error))?;
        let restore = Restore { origin: &artifact.origin, scratch: &scratch, jobs: self.jobs(), passfile, cx };
        restore.load(input)?;
        upstream.settle()?;
        sent(artifact.origin.bytes);
        note(cx, cx.step, |verification| {
            verification.level = verification.level.max(Level::Decoded);
            verification.restore_took = Some(began.elapsed());
        });
        Ok(())
    }
}

/// Changes what the ledger knows of a verification.
pub(super) fn note(cx: &Cx<'_>, step: &StepId, change: impl FnOnce(&mut Verification)) {
    cx.runtime.ledger(|ledger| {
        if let Some(verification) = ledger.verifications.get_mut(step) {
            change(verification);
        }
    });
}

/// Where a verification restores to, for those who look at it afterwards.
pub(super) fn place(scratch: &Scratch) -> ConnInfo {
    match scratch {
        Scratch::Server(server, database) => server.conninfo(database),
        Scratch::Database(database, _) => database.conninfo(),
    }
}

impl RestoreScratch {
    fn jobs(&self) -> u16 {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.jobs.unwrap_or_else(|| u16::try_from(cores).unwrap_or(1))
    }

    /// A fresh place for this attempt; that of an earlier attempt is removed.
    fn scratch(&self, origin: &Origin, cx: &Cx<'_>) -> Result<Arc<Scratch>, StepError> {
        cx.runtime.remove_scratch(cx.step);
        let scratch = Arc::new(match &self.server {
            Some(name) => temporary(cx.runtime.connection(name)?, origin, cx)?,
            None => server(origin, cx)?,
        });
        cx.runtime.keep_scratch(cx.step, Arc::clone(&scratch));
        Ok(scratch)
    }
}

/// A temporary database on a server that runs already.
fn temporary(connection: Arc<Connection>, origin: &Origin, cx: &Cx<'_>) -> Result<Scratch, StepError> {
    let locale = locale(origin);
    let (database, remark) = TempDatabase::create(connection.info(), &database_id(cx), locale.as_ref(), cx.runtime.handle())?;
    cx.reports.note_all(remark);
    Ok(Scratch::Database(database, connection))
}

/// What a temporary database of this step is named after: other steps of the run may use the same server.
fn database_id(cx: &Cx<'_>) -> String {
    let mut step = Digester::new(Algorithm::Sha256);
    step.update(cx.step.as_str().as_bytes());
    // The whole name of a step can be longer than that of a database.
    format!("{}_{}", cx.runtime.facts.run.as_str().replace('-', "_").to_lowercase(), &step.hex()[..8])
}

/// A scratch server of the origin's major, with its roles and a database of its encoding and locale.
fn server(origin: &Origin, cx: &Cx<'_>) -> Result<Scratch, StepError> {
    let handle = cx.runtime.handle();
    let tools = Installed::here().server(major(origin)).map_err(PgError::from)?;
    let parent = cx.runtime.scratch_parent().to_owned();
    let options = ScratchOptions { parent, needs_bytes: Some(origin.bytes), ..ScratchOptions::default() };
    let superuser = options.superuser.clone();
    let server = ScratchServer::start(tools, &options, cx.cancel)?;
    let client = Client::connect(&server.conninfo("postgres"), handle)?;
    for role in origin.roles.iter().filter(|role| **role != superuser) {
        client.batch(&format!("create role {}", quote::identifier(role)))?;
    }
    tablespaces(origin, &client)?;
    client.close();
    match locale(origin) {
        None => drop(server.create_database(DATABASE, handle)?),
        Some(locale) => {
            let (_, remark) = server.create_database_like(DATABASE, &locale, handle)?;
            cx.reports.note_all(remark);
        }
    }
    Ok(Scratch::Server(server, DATABASE.to_owned()))
}

/// The tablespaces that a script names, inside the scratch server's own folder; archives are restored without any.
fn tablespaces(origin: &Origin, client: &Client) -> Result<(), StepError> {
    if origin.format == "plain" && !origin.tablespaces.is_empty() {
        client.batch("set allow_in_place_tablespaces = on")?;
        for name in &origin.tablespaces {
            client.batch(&format!("create tablespace {} location ''", quote::identifier(name)))?;
        }
    }
    Ok(())
}

fn locale(origin: &Origin) -> Option<DatabaseLocale> {
    let Locale { encoding, collate, ctype, provider, locale } = origin.locale.clone()?;
    Some(DatabaseLocale { encoding, collate, ctype, provider, locale })
}

fn major(origin: &Origin) -> u16 {
    u16::try_from(origin.server_version / 10_000).unwrap_or_default()
}

struct Restore<'a> {
    origin: &'a Origin,
    scratch: &'a Scratch,
    jobs: u16,
    passfile: PassFile,
    cx: &'a Cx<'a>,
}

impl Restore<'_> {
    fn load(&self, input: Stream) -> Result<(), StepError> {
        match self.origin.format.as_str() {
            "plain" => self.script(input),
            "tar" => self.streamed(input),
            "directory-tar" => self.directory(input),
            "custom" if self.jobs == 1 => self.streamed(input),
            "custom" => self.staged(input),
            other => Err(StepError::new(Class::Verification, format!("nothing here restores the format {other:?}"))),
        }
    }

    fn tools(&self) -> Result<&'static ToolSet, StepError> {
        Ok(Installed::here().for_server(major(self.origin)).map_err(PgError::from)?)
    }

    /// A client program that will talk to the scratch database.
    fn program(&self, name: &str) -> Result<Program, StepError> {
        let path = self.tools()?.tool(name);
        let program = match self.scratch {
            Scratch::Server(..) => place(self.scratch).equip(Program::new(path), &self.passfile),
            Scratch::Database(database, connection) => connection.program_for(&path, database.name()),
        };
        Ok(program.named(name))
    }

    fn pg_restore(&self) -> Result<Program, StepError> {
        let database = place(self.scratch).database;
        let arguments = ["--exit-on-error", "--no-tablespaces", "--no-password", "--dbname"];
        Ok(self.program("pg_restore")?.args(arguments).arg(database))
    }

    /// A script, streamed into psql; its first error ends it.
    fn script(&self, input: Stream) -> Result<(), StepError> {
        let psql = self.program("psql")?.args([
            "--no-psqlrc",
            "--quiet",
            "--no-password",
            "--set=ON_ERROR_STOP=1",
            "--output=/dev/null",
            "--file=-",
        ]);
        psql.sink(input, self.cx.cancel).map_err(unrestorable)?;
        Ok(())
    }

    fn streamed(&self, input: Stream) -> Result<(), StepError> {
        self.pg_restore()?.arg(format!("--format={}", self.origin.format)).sink(input, self.cx.cancel).map_err(unrestorable)?;
        Ok(())
    }

    fn staged(&self, input: Stream) -> Result<(), StepError> {
        let folder = origin::staging(self.cx)?;
        let archive = folder.path().join("archive.dump");
        let mut input = input;
        file::write_file(&mut input, &archive)?;
        self.load_from(&archive)
    }

    fn directory(&self, input: Stream) -> Result<(), StepError> {
        let folder = origin::staging(self.cx)?;
        let archive = folder.path().join("dump");
        std::fs::create_dir(&archive).map_err(|error| origin::unwritable("a folder for the dump", &error))?;
        archive_tar::untar(input, &archive)?;
        self.load_from(&archive)
    }

    /// Every digest and tag before this has agreed; the archive must list, then load.
    fn load_from(&self, archive: &Path) -> Result<(), StepError> {
        let _quiet = self.cx.reports.quiet();
        note(self.cx, self.cx.step, |verification| verification.level = Level::ReadBack);
        // What it lists is in the encoding of the dumped database, and nobody reads it.
        Program::new(self.tools()?.tool("pg_restore"))
            .named("pg_restore --list")
            .args(["--list", "--file=/dev/null"])
            .arg(archive)
            .run(self.cx.cancel)
            .map_err(unrestorable)?;
        note(self.cx, self.cx.step, |verification| verification.level = Level::Decoded);
        self.pg_restore()?.arg(format!("--jobs={}", self.jobs)).arg(archive).run(self.cx.cancel).map_err(unrestorable)?;
        Ok(())
    }
}

/// What a restoring program complains of is the archive's fault until shown otherwise.
fn unrestorable(error: StreamError) -> StepError {
    let from_program = matches!(error, StreamError::Child { .. });
    let error = StepError::from(error);
    if from_program { error.verification() } else { error }
}
