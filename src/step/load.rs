//! Loading an archive into a database: the one way, whether that database is scratch or somebody's own.
//!
//! One error of `pg_restore` or psql fails it. An archive is staged on scratch disk first, so by then every digest and tag before it
//! has agreed, it can be loaded by several connections, and `pg_restore` may read as much of it as it likes: of what flows, a part that
//! nobody reads could not be told from a reader that gave up. A script flows. This file makes no database and drops none.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::over::over;
use super::restore::{ONLY_WHOLE, refused_of_script};
use super::{Cx, StepError, origin};
use crate::archive::{placing, setting_aside};
use crate::diagnostic::Class;
use crate::ids::StepId;
use crate::postgres::{Client, ConnInfo, Installed, PassFile, PgError, ToolSet, quote};
use crate::runtime::{StagedArchive, Verification};
use crate::store::manifest::{Level, Origin};
use crate::stream::child::Program;
use crate::stream::{Stream, StreamError, archive_tar, file};

/// What a server can lack that is no fault of the archive: words of its complaint, and what to do.
const MISSING: [(&str, &str, &str); 5] = [
    (
        "role \"",
        "does not exist",
        "restore `globals` first (--globals), or, of an archive, leave owners and privileges out: `no_owner`, `no_privileges`",
    ),
    ("extension \"", "is not available", "install the extension's package on that server"),
    ("could not open extension control file", "", "install the extension's package on that server"),
    ("tablespace \"", "does not exist", TABLESPACE),
    ("invalid value for parameter \"default_tablespace\"", "", TABLESPACE),
];

/// What to do about a tablespace that a script asks for.
const TABLESPACE: &str =
    "restore `globals` first (--globals), which makes tablespaces too, or make it on that server: create tablespace … location '…'";

/// What a server says to a role that lacks a right, which is no fault of the archive either.
const REFUSED: [&str; 5] =
    ["must be able to SET ROLE", "must be member of role", "must be superuser", "permission denied", "must be owner of"];

/// What to do about that.
const RIGHTS: &str = "the archive is whole, the role that restores lacks a right: connect as a superuser, or, of an archive, leave owners and \
                      privileges out: `no_owner`, `no_privileges` (--no-owner, --no-privileges)";

/// What `pg_restore` says of its own workers, whose reason stands above it.
const NOISE: [&str; 2] = ["a worker process died unexpectedly", "worker process failed: exit code"];

/// Changes what the ledger knows of a verification.
pub(super) fn note(cx: &Cx<'_>, step: &StepId, change: impl FnOnce(&mut Verification)) {
    cx.runtime.ledger(|ledger| {
        if let Some(verification) = ledger.verifications.get_mut(step) {
            change(verification);
        }
    });
}

/// A failure, told with the major version that it is about where that is not the dump's own.
pub(super) fn on_major(step: &StepId, why: String) -> String {
    match step.other_major().map(|major| format!("on PostgreSQL {major}: ")) {
        Some(place) if !why.starts_with(&place) => place + &why,
        _ => why,
    }
}

/// The major version of the server that was dumped.
pub(super) fn major(origin: &Origin) -> u16 {
    u16::try_from(origin.server_version / 10_000).unwrap_or_default()
}

/// One job a core.
pub(super) fn one_a_core() -> u16 {
    std::thread::available_parallelism().ok().and_then(|cores| u16::try_from(cores.get()).ok()).unwrap_or(1)
}

/// What is ready to be loaded.
pub(super) enum Ready {
    /// A script, which is loaded as it flows; what it defines is set aside.
    Flowing(Stream, Arc<StagedArchive>),
    /// An archive that lies whole; every digest and tag before it has agreed.
    Staged(Arc<StagedArchive>),
}

impl Ready {
    /// Lets a step keep what was staged as long as the place that it restores to.
    pub(super) fn kept(self, step: &StepId, cx: &Cx<'_>) -> Self {
        let (Self::Staged(archive) | Self::Flowing(_, archive)) = &self;
        cx.runtime.keep_archive(step, Arc::clone(archive));
        self
    }
}

/// Stages an archive; a script is left to flow. Needs no database yet.
pub(super) fn stage(origin: &Origin, mut input: Stream, cx: &Cx<'_>) -> Result<Ready, StepError> {
    let folder = origin::staging(cx)?;
    let ready = |folder, archive| Ok(Ready::Staged(Arc::new(StagedArchive::new(folder, archive))));
    match origin.format.as_str() {
        "custom" => {
            let archive = folder.path().join("archive.dump");
            let (mut input, places) = placing(input);
            file::write_file(&mut input, &archive)?;
            file::write_over(&archive, places.corrections())?;
            ready(folder, archive)
        }
        "tar" => {
            let archive = folder.path().join("archive.dump");
            file::write_file(&mut input, &archive)?;
            ready(folder, archive)
        }
        "plain" => {
            let script = folder.path().join("definitions.sql");
            let file = std::fs::File::create_new(&script).map_err(|error| origin::unwritable("a file for definitions", &error))?;
            Ok(Ready::Flowing(setting_aside(input, Box::new(std::io::BufWriter::new(file))), Arc::new(StagedArchive::new(folder, script))))
        }
        "directory-tar" => {
            let archive = folder.path().join("dump");
            std::fs::create_dir(&archive).map_err(|error| origin::unwritable("a folder for the dump", &error))?;
            archive_tar::untar(input, &archive)?;
            let contents = contents_of(&archive)?;
            ready(folder, contents)
        }
        other => Err(StepError::new(Class::Verification, format!("nothing here restores the format {other:?}"))),
    }
}

/// A database that an archive is loaded into.
pub(super) struct Load<'a> {
    origin: &'a Origin,
    place: ConnInfo,
    jobs: u16,
    options: Vec<String>,
    whole_first: bool,
    tools: &'static ToolSet,
    passfile: PassFile,
    cx: &'a Cx<'a>,
}

impl<'a> Load<'a> {
    pub(super) fn new(origin: &'a Origin, place: ConnInfo, jobs: u16, cx: &'a Cx<'a>) -> Result<Self, StepError> {
        let passfile = PassFile::create(&place).map_err(|error| origin::unwritable("a password file", &error))?;
        let tools = Installed::here().for_server(major(origin)).map_err(PgError::from)?;
        Ok(Self { origin, place, jobs, options: vec!["--no-tablespaces".to_owned()], whole_first: false, tools, passfile, cx })
    }

    /// With further options of `pg_restore`, and the tools of a server that may be newer than the dumped one. What is inside an encrypted
    /// file shows only here.
    pub(super) fn with(mut self, options: Vec<String>, server: u16) -> Result<Self, StepError> {
        if let Some(message) = refused_of_script(&options).filter(|_| self.origin.format == "plain") {
            return Err(StepError::new(Class::Failed, message).hint(ONLY_WHOLE));
        }
        self.options.extend(options);
        self.tools = Installed::here().for_server(server.max(major(self.origin))).map_err(PgError::from)?;
        Ok(self)
    }

    /// Over what is there: nothing is touched before the whole archive is here, every digest of it right. One job, because only
    /// one connection can be one transaction.
    pub(super) fn over(mut self) -> Self {
        (self.whole_first, self.jobs) = (true, 1);
        self
    }

    /// Stages the archive for a step and loads it whole; one error of the program ends it.
    pub(super) fn load(&self, step: &StepId, input: Stream) -> Result<(), StepError> {
        if self.whole_first && self.origin.format == "plain" {
            let message = "a plain dump is a script that only fills an empty database";
            return Err(StepError::new(Class::Failed, message).hint("restore it into a new database"));
        }
        self.load_ready(stage(self.origin, input, self.cx)?.kept(step, self.cx))
    }

    /// Loads an archive that is ready for that.
    pub(super) fn load_ready(&self, archive: Ready) -> Result<(), StepError> {
        if !self.whole_first {
            self.presumed_schemas()?;
        }
        match archive {
            Ready::Staged(archive) => self.load_from(archive.path()),
            Ready::Flowing(script, _) => self.script(script),
        }
    }

    /// Makes the schemas that chosen tables lie in, which `pg_dump --table` writes no statement for.
    fn presumed_schemas(&self) -> Result<(), StepError> {
        if self.origin.schemas.is_empty() {
            return Ok(());
        }
        let client = Client::connect(&self.place, self.cx.runtime.handle())?;
        for schema in &self.origin.schemas {
            client.batch(&format!("create schema if not exists {}", quote::identifier(schema)))?;
        }
        client.close();
        Ok(())
    }

    /// Makes only what the archive defines, or what was set aside of a script, without its data: into a database that is empty.
    pub(super) fn define(&self, archive: &Path) -> Result<(), StepError> {
        self.presumed_schemas()?;
        if self.origin.format == "plain" {
            return self.script(file::read_file(archive, None)?);
        }
        self.pg_restore().args(["--schema-only"]).arg(archive).run(self.cx.cancel).map_err(unrestorable)?;
        Ok(())
    }

    /// A client program that will talk to the database.
    fn program(&self, name: &str) -> Program {
        self.place.equip(Program::new(self.tools.tool(name)), &self.passfile).named(name)
    }

    fn pg_restore(&self) -> Program {
        let arguments = ["--exit-on-error", "--no-password", "--dbname"];
        self.program("pg_restore").args(arguments).arg(&self.place.database).args(&self.options)
    }

    /// By how many connections it loads; a tar is read by one.
    fn parallel(&self) -> Option<String> {
        (self.origin.format != "tar").then(|| format!("--jobs={}", self.jobs))
    }

    /// A script, streamed into psql; its first error ends it.
    fn script(&self, input: Stream) -> Result<(), StepError> {
        let psql = self.program("psql").args([
            "--no-psqlrc",
            "--quiet",
            "--no-password",
            "--set=ON_ERROR_STOP=1",
            "--output=/dev/null",
            "--file=-",
        ]);
        self.fed(psql, input)
    }

    /// Feeds a program that loads. While it takes no more, or all was given to it, the server works: one index or materialized view may take
    /// longer than any stall limit. A server that is gone ends the program, and one that hangs the node's timeout.
    fn fed(&self, program: Program, input: Stream) -> Result<(), StepError> {
        let quiet = Cell::new(None);
        let waits = |waits: bool| drop(quiet.replace(waits.then(|| self.cx.reports.quiet())));
        program.sink_at_leisure(input, self.cx.cancel, &waits).map_err(unrestorable)?;
        Ok(())
    }

    /// Every digest and tag before this has agreed; the archive must list, then load.
    fn load_from(&self, archive: &Path) -> Result<(), StepError> {
        let _quiet = self.cx.reports.quiet();
        note(self.cx, self.cx.step, |verification| verification.level = Level::ReadBack);
        // What it lists is in the encoding of the dumped database, and nobody reads it.
        Program::new(self.tools.tool("pg_restore"))
            .named("pg_restore --list")
            .args(["--list", "--file=/dev/null"])
            .arg(archive)
            .run(self.cx.cancel)
            .map_err(unrestorable)?;
        note(self.cx, self.cx.step, |verification| verification.level = Level::Decoded);
        if self.whole_first {
            return self.load_over(archive);
        }
        self.pg_restore().args(self.parallel()).arg(archive).run(self.cx.cancel).map_err(unrestorable)?;
        Ok(())
    }

    /// As one transaction, whose drops `pg_restore` words and does not make.
    fn load_over(&self, archive: &Path) -> Result<(), StepError> {
        let words = ["--clean", "--if-exists", "--single-transaction", "--file=-"];
        let script = Program::new(self.tools.tool("pg_restore")).named("pg_restore").args(words).args(&self.options).arg(archive);
        self.script(over(script.wide_output().source(self.cx.cancel).map_err(unrestorable)?))
    }
}

/// The folder with the table of contents: the one a tar was unpacked into, or the only one in it, as `tar -c FOLDER` makes it.
fn contents_of(unpacked: &Path) -> Result<PathBuf, StepError> {
    let holds = |folder: &PathBuf| folder.join("toc.dat").is_file();
    let entries = std::fs::read_dir(unpacked).map_err(|error| origin::unwritable("a folder for the dump", &error))?;
    let below = entries.flatten().map(|entry| entry.path());
    let found = std::iter::once(unpacked.to_owned()).chain(below).find(holds);
    found.ok_or_else(|| StepError::new(Class::Verification, "archive: this tar holds no dump: there is no toc.dat in it"))
}

/// What a restoring program complains of is the archive's fault until shown otherwise.
fn unrestorable(error: StreamError) -> StepError {
    let StreamError::Child { program, status, bytes, stderr, transient } = error else { return error.into() };
    let telling: Vec<&str> = stderr.lines().filter(|line| !NOISE.iter().any(|noise| line.contains(noise))).collect();
    let refused = telling.iter().any(|line| line.contains("ERROR:") && REFUSED.iter().any(|words| line.contains(words)));
    let stderr = telling.join("\n");
    let missing = MISSING.iter().find(|(kind, end, _)| stderr.contains(kind) && stderr.contains(end)).map(|(_, _, hint)| *hint);
    let error = StepError::from(StreamError::Child { program, status, bytes, stderr, transient });
    match missing {
        Some(hint) => error.hint(hint),
        None if refused => StepError { class: Class::Denied, transient: false, ..error }.hint(RIGHTS),
        None => error.verification(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stderr: &str) -> StepError {
        let (program, status) = ("pg_restore".to_owned(), "exited with status 1".to_owned());
        unrestorable(StreamError::Child { program, status, bytes: 0, stderr: stderr.to_owned(), transient: false })
    }

    #[test]
    fn a_right_that_is_missing_is_no_damage_and_comes_with_what_to_do() {
        let refused =
            said("pg_restore: error: could not execute query: ERROR:  must be able to SET ROLE \"주인\"\nCommand was: ALTER TABLE");
        assert!(refused.class == Class::Denied && refused.hint.as_deref().is_some_and(|hint| hint.contains("--no-owner")), "{refused:?}");
        // What a row holds is not what a server says.
        let damaged =
            said("psql:<stdin>:7: ERROR:  invalid input syntax for type integer: \"x\"\nCONTEXT:  COPY t, line 1: must be owner of");
        assert_eq!(damaged.class, Class::Verification);
    }

    #[test]
    fn a_tablespace_that_is_missing_is_no_damage_and_comes_with_what_to_do() {
        for words in ["tablespace \"빠른\" does not exist", "invalid value for parameter \"default_tablespace\": \"빠른\""] {
            let missing = said(&format!("psql:<stdin>:7: ERROR:  {words}"));
            assert!(missing.class == Class::Failed && missing.hint.as_deref() == Some(TABLESPACE), "{missing:?}");
        }
    }

    #[test]
    fn only_what_tells_something_is_told() {
        let error =
            said("pg_restore: error: could not execute query: ERROR:  out of range\npg_restore: error: a worker process died unexpectedly");
        assert_eq!(error.message, "pg_restore exited with status 1: pg_restore: error: could not execute query: ERROR:  out of range");
    }
}
