//! `dump`: a consistent logical backup of one database by `pg_dump`, as a stream.
//!
//! The archive is written uncompressed, so that a `compress` step does that work once, on all cores. This file holds the
//! parameters and the command line; it does not decide where the bytes go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cx, OpenSource, Opened, Problem, References, StepError, StepKind, complete, origin};
use crate::archive::{Form as Contents, fingerprint};
use crate::diagnostic::Class;
use crate::ids::RefName;
use crate::postgres::fingerprint::ENVIRONMENT;
use crate::postgres::inventory::{Inventory, Selection, Snapshot, bytea_output, schemas_of};
use crate::postgres::{Client, ConnInfo};
use crate::quantity::Duration;
use crate::store::manifest::Origin;
use crate::stream::archive_tar::archive;
use crate::stream::begun::begun;
use crate::stream::bytes::stream_of;
use crate::stream::child::Program;
use crate::stream::expected::{Form, expected};
use crate::stream::file::read_file;
use crate::stream::keep::keeping;
use crate::stream::{Stream, StreamError};

/// Dumps one database with `pg_dump` and yields its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of pg_dump under its own name")]
pub struct Dump {
    /// The connection to the database, as declared under `connections`.
    pub connection: RefName,
    /// Another database of that server; the connection's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The form of the archive.
    #[serde(default)]
    pub format: Format,
    /// Tables dumped at once, each by a connection of its own; one unless given. Only with `format: directory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub jobs: Option<u16>,
    /// Only these tables; all unless given. Exact names (`orders`, `Sales.Orders`, `주문`), `*` and `?` match any text and any character.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Not these tables; names as in `tables`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Only these schemas; all unless given. Names as in `tables`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Not these schemas; names as in `tables`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_schemas: Vec<String>,
    /// Definitions without data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub schema_only: bool,
    /// Data without definitions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data_only: bool,
    /// Leave out who owns what.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_owner: bool,
    /// Leave out who may do what (GRANT and REVOKE).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_privileges: bool,
    /// Only these sections of the archive; all unless given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
    /// Whether the dump is read as it flows: every row digested, every object noted, a malformed archive refused. A later
    /// verification compares with it; without it nothing can be `proven`.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub fingerprint: bool,
    /// How long to wait for a lock on a table before the dump fails; waits as long as it takes when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_timeout: Option<Duration>,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_yes(value: &bool) -> bool {
    *value
}

/// The form of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `pg_restore`'s own archive: restores in parallel, and in parts.
    #[default]
    Custom,
    /// A SQL script for `psql`.
    Plain,
    /// An archive with one member a table.
    Tar,
    /// One file a table, dumped by several connections; staged on scratch disk and travelling as one tar.
    Directory,
}

impl Format {
    /// As `pg_dump --format` takes it, and as messages show it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Plain => "plain",
            Self::Tar => "tar",
            Self::Directory => "directory",
        }
    }

    /// How its bytes are recognised; of a directory, those of its table of contents (`pg_backup_archiver.c`, `pg_backup_tar.c`).
    const fn form(self) -> Form {
        let (name, head, tail) = match self {
            Self::Custom => ("an archive in custom format", "PGDMP", ""),
            Self::Plain => ("a plain dump", "--\n-- PostgreSQL database dump\n", "-- PostgreSQL database dump complete\n"),
            Self::Tar => ("an archive in tar format", "toc.dat", ""),
            Self::Directory => ("the table of contents of a directory", "PGDMP", ""),
        };
        Form { program: "pg_dump", name, head, tail }
    }

    /// The usual ending of a file of this form.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Custom => ".dump",
            Self::Plain => ".sql",
            Self::Tar => ".tar",
            Self::Directory => ".dir.tar",
        }
    }
}

/// A part of an archive, in restore order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Definitions that data needs.
    PreData,
    /// Rows, large objects and sequence values.
    Data,
    /// Indexes, triggers, rules and constraints.
    PostData,
}

impl Section {
    /// As `pg_dump --section` and `pg_restore --section` take it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PreData => "pre-data",
            Self::Data => "data",
            Self::PostData => "post-data",
        }
    }
}

impl StepKind for Dump {
    fn references(&self) -> References<'_> {
        References { connections: vec![&self.connection], ..References::default() }
    }

    fn words(&self) -> String {
        let jobs = self.jobs.map(|jobs| format!(", {jobs} jobs")).unwrap_or_default();
        let parts = [
            (self.schema_only, "definitions only"),
            (self.data_only, "data only"),
            (!(self.tables.is_empty() && self.schemas.is_empty()), "a selection"),
            (!(self.exclude_tables.is_empty() && self.exclude_schemas.is_empty()), "with exclusions"),
            (self.is_without_owners(), "without owners"),
            (self.no_privileges, "without privileges"),
        ];
        let parts = parts.iter().filter(|(on, _)| *on).map(|(_, words)| format!(", {words}")).collect::<Vec<_>>().concat();
        let database = self.database.as_ref().map(|name| format!(" database {name},")).unwrap_or_default();
        format!("pg_dump of {},{database} {} format{jobs}{parts}", self.connection, self.format.word())
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.jobs.is_some() && self.format != Format::Directory {
            let message = format!("`jobs` needs `format: directory`; pg_dump writes the {} format with one connection", self.format.word());
            problems.push(Problem::error("jobs-without-directory", "/jobs", message).help("remove `jobs`, or set `format: directory`"));
        }
        if self.schema_only && self.data_only {
            let message = "`schema_only` and `data_only` together leave nothing to dump";
            problems.push(Problem::error("nothing-to-dump", "/data_only", message).help("keep one of the two"));
        }
        problems
    }
}

impl Dump {
    /// A dump of all there is, in custom format.
    pub fn whole(connection: &RefName) -> Self {
        Self {
            connection: connection.clone(),
            database: None,
            format: Format::Custom,
            jobs: None,
            tables: Vec::new(),
            exclude_tables: Vec::new(),
            schemas: Vec::new(),
            exclude_schemas: Vec::new(),
            schema_only: false,
            data_only: false,
            no_owner: false,
            no_privileges: false,
            sections: Vec::new(),
            fingerprint: true,
            lock_timeout: None,
        }
    }

    /// Whether it leaves out anything of the database on purpose.
    pub fn is_selective(&self) -> bool {
        let lists = [&self.tables, &self.exclude_tables, &self.schemas, &self.exclude_schemas];
        self.schema_only || lists.iter().any(|list| !list.is_empty())
    }

    /// Whether it does not say who owns what; an archive always does, and leaves it to the restore.
    pub(super) fn is_without_owners(&self) -> bool {
        self.no_owner && self.format == Format::Plain
    }

    const fn origin_format(&self) -> &'static str {
        match self.format {
            Format::Directory => "directory-tar",
            other => other.word(),
        }
    }

    /// The arguments of `pg_dump` behind the program's name, without where the output goes.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("--format={}", self.format.word()), "--no-password".to_owned()];
        if matches!(self.format, Format::Custom | Format::Directory) {
            arguments.push("--compress=0".to_owned());
        }
        if let Some(jobs) = self.jobs {
            arguments.push(format!("--jobs={jobs}"));
        }
        let lists = [
            ("--table", &self.tables),
            ("--exclude-table", &self.exclude_tables),
            ("--schema", &self.schemas),
            ("--exclude-schema", &self.exclude_schemas),
        ];
        for (flag, names) in lists {
            arguments.extend(names.iter().map(|name| format!("{flag}={}", pattern(name))));
        }
        let flags = [
            (self.schema_only, "--schema-only"),
            (self.data_only, "--data-only"),
            (self.no_owner, "--no-owner"),
            (self.no_privileges, "--no-privileges"),
            (!(self.tables.is_empty() && self.schemas.is_empty()), "--strict-names"),
        ];
        arguments.extend(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()));
        arguments.extend(self.sections.iter().map(|section| format!("--section={}", section.word())));
        if let Some(timeout) = self.lock_timeout {
            arguments.push(format!("--lock-wait-timeout={}ms", timeout.std().as_millis()));
        }
        arguments
    }
}

impl OpenSource for Dump {
    fn open(&self, cx: &Cx<'_>) -> Result<Opened, StepError> {
        let connection = cx.runtime.connection_within(&self.connection, cx.cancel)?;
        let database = self.database.as_ref().unwrap_or(&connection.info().database);
        let info = connection.info().with_database(database);
        let (origin, tools) = origin::of(&self.connection, &info, cx, "pg_dump")?;
        let (schemas, options) = self.session(&info, cx)?;
        let origin = Origin { kind: "dump".to_owned(), format: self.origin_format().to_owned(), schemas, ..origin };
        let equipped = |server: &ConnInfo| {
            let program = connection.program_at(&tools.tool("pg_dump"), server);
            let program = program.args(self.arguments()).named("pg_dump").env(ENVIRONMENT.0, ENVIRONMENT.1);
            match &options {
                Some(options) => program.env("PGOPTIONS", options),
                None => program,
            }
        };
        if !self.fingerprint {
            cx.reports.note("without a fingerprint, whether the dump is complete is not checked");
            let (stream, ()) = self.start(equipped(&info), cx, || ())?;
            return Ok(Opened { stream: stream?, origin, contents: None, complete: None });
        }
        let (stream, expected) = self.watched(&info, cx, &equipped)?;
        let (stream, contents) = fingerprint(stream, self.contents());
        let (stream, complete) = complete::checked(stream, contents.clone(), self, expected);
        Ok(Opened { stream, origin, contents: Some(contents), complete: Some(complete) })
    }
}

/// What a dump should hold, or why nobody knows.
type Expectation = Result<Inventory, String>;

impl Dump {
    /// Which objects it chooses, as `pg_dump` is told.
    pub fn selection(&self) -> Selection {
        let patterns = |names: &[String]| names.iter().map(|name| pattern(name)).collect();
        Selection {
            tables: patterns(&self.tables),
            exclude_tables: patterns(&self.exclude_tables),
            schemas: patterns(&self.schemas),
            exclude_schemas: patterns(&self.exclude_schemas),
        }
    }

    /// The schemas that chosen tables lie in, and the options with which sessions of `pg_dump` write values as every other does, if they
    /// would not by themselves: what it prints of `bytea` it leaves to the settings of the role and the database.
    fn session(&self, info: &ConnInfo, cx: &Cx<'_>) -> Result<(Vec<String>, Option<String>), StepError> {
        let client = Client::connect(info, cx.runtime.handle())?;
        let schemas = schemas_of(&client, &self.selection().tables)?;
        let usual = bytea_output(&client)?.is_none_or(|form| form == "hex");
        client.close();
        let options = format!("{} -c bytea_output=hex", info.options.as_deref().unwrap_or_default());
        Ok((schemas, (!usual).then(|| options.trim().to_owned())))
    }

    /// Starts `pg_dump` in a snapshot of ours, and reads in that snapshot what it should write while it begins. Where this
    /// can not be, it dumps as it would alone: a backup that nobody could check is better than none.
    fn watched(&self, info: &ConnInfo, cx: &Cx<'_>, equipped: &dyn Fn(&ConnInfo) -> Program) -> Result<(Stream, Expectation), StepError> {
        let snapshot = match Snapshot::export(info, cx.runtime.handle()) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let (stream, ()) = self.start(equipped(info), cx, || ())?;
                return Ok((stream?, Err(format!("pg_dump could not be given a snapshot: {error}"))));
            }
        };
        let program = equipped(snapshot.server()).arg(format!("--snapshot={}", snapshot.name()));
        let (stream, inventory) = self.start(program, cx, || snapshot.inventory(&self.selection()))?;
        // pg_dump has it by now, or never will.
        snapshot.end();
        match stream {
            Err(error) if complete::needs_no_company(&error) => {
                let why = format!("pg_dump could not take over a snapshot: {error}");
                Ok((self.alone(info, cx, equipped)?, Err(why)))
            }
            stream => Ok((stream?, inventory.map_err(|error| format!("the catalog could not be read: {error}")))),
        }
    }

    /// Starts `pg_dump` once more, without us. The server needs a moment to see that our connection is gone.
    fn alone(&self, info: &ConnInfo, cx: &Cx<'_>, equipped: &dyn Fn(&ConnInfo) -> Program) -> Result<Stream, StepError> {
        for _ in 0..10 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            cx.cancel.check()?;
            match self.start(equipped(info), cx, || ())?.0 {
                Err(error) if complete::needs_no_company(&error) => {}
                stream => return Ok(stream?),
            }
        }
        Ok(self.start(equipped(info), cx, || ())?.0?)
    }

    /// Runs `pg_dump` up to its first bytes, or to its end where it is staged, and does something else at the same time.
    fn start<T: Send>(
        &self,
        program: Program,
        cx: &Cx<'_>,
        meanwhile: impl FnOnce() -> T + Send,
    ) -> Result<(Result<Stream, StreamError>, T), StepError> {
        if self.format != Format::Directory {
            let stream = program.wide_output().source(cx.cancel).map(|stream| expected(stream, self.format.form()));
            let other = meanwhile();
            return Ok((stream.and_then(begun), other));
        }
        let staged = origin::staging(cx)?;
        let folder = staged.path().join("dump");
        let _quiet = cx.reports.quiet();
        let (ran, other) = std::thread::scope(|scope| {
            let other = scope.spawn(meanwhile);
            (program.arg("--file").arg(&folder).run(cx.cancel), other.join())
        });
        let other = other.map_err(|_| StepError::new(Class::Internal, "a thread that read the catalog died"))?;
        let stream = ran.and_then(|_| {
            let contents = folder.join("toc.dat");
            let contents = if contents.is_file() { read_file(&contents, None)? } else { stream_of("") };
            drain(expected(contents, self.format.form()))?;
            Ok(keeping(archive(&folder)?, staged))
        });
        Ok((stream, other))
    }

    const fn contents(&self) -> Contents {
        match self.format {
            Format::Custom => Contents::Custom,
            Format::Plain => Contents::Plain,
            Format::Tar => Contents::Tar,
            Format::Directory => Contents::Directory,
        }
    }
}

fn drain(mut stream: Stream) -> Result<(), StreamError> {
    while stream.pull()?.is_some() {}
    Ok(())
}

/// A name as the pattern language of `pg_dump` and psql (`processSQLNamePattern`) needs it, so that it keeps its case:
/// literal runs are put in double quotes, `.` parts and wildcards stay outside. A name that has quotes already is the author's own pattern.
fn pattern(name: &str) -> String {
    if name.contains('"') {
        return name.to_owned();
    }
    let mut out = String::new();
    let mut open = false;
    for c in name.chars() {
        let literal = !matches!(c, '.' | '*' | '?');
        if literal != open {
            out.push('"');
            open = literal;
        }
        out.push(c);
    }
    if open {
        out.push('"');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case_and_wildcards_stay_wild() {
        for (name, expected) in [
            ("orders", r#""orders""#),
            ("Sales.Orders", r#""Sales"."Orders""#),
            ("주문_*", r#""주문_"*"#),
            ("*.log?", r#"*."log"?"#),
            (r#""A.b""#, r#""A.b""#),
        ] {
            assert_eq!(pattern(name), expected);
        }
    }
}
