//! `dump`: a consistent logical backup of one database by `pg_dump`, as a stream.
//!
//! The archive is written uncompressed, so that a `compress` step does that work once, on all cores. This file holds the
//! parameters and the command line; it does not decide where the bytes go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cx, OpenSource, Opened, Problem, References, StepError, StepKind, origin};
use crate::archive::{Form as Contents, fingerprint};
use crate::ids::RefName;
use crate::postgres::fingerprint::ENVIRONMENT;
use crate::quantity::Duration;
use crate::store::manifest::Origin;
use crate::stream::Stream;
use crate::stream::archive_tar::archive;
use crate::stream::bytes::stream_of;
use crate::stream::expected::{Form, expected};
use crate::stream::file::read_file;
use crate::stream::keep::keeping;

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
        let connection = cx.runtime.connection(&self.connection)?;
        let database = self.database.as_ref().unwrap_or(&connection.info().database);
        let (origin, tools) = origin::of(&self.connection, &connection.info().with_database(database), cx, "pg_dump")?;
        let origin = Origin { kind: "dump".to_owned(), format: self.origin_format().to_owned(), ..origin };
        let program = connection
            .program_for(&tools.tool("pg_dump"), database)
            .args(self.arguments())
            .named("pg_dump")
            .env(ENVIRONMENT.0, ENVIRONMENT.1);
        if self.format != Format::Directory {
            let stream = expected(program.wide_output().source(cx.cancel)?, self.format.form());
            return Ok(self.fingerprinted(stream, origin));
        }
        let staged = origin::staging(cx)?;
        let folder = staged.path().join("dump");
        let _quiet = cx.reports.quiet();
        program.arg("--file").arg(&folder).run(cx.cancel)?;
        let contents = folder.join("toc.dat");
        let contents = if contents.is_file() { read_file(&contents, None)? } else { stream_of("") };
        drain(expected(contents, self.format.form()))?;
        Ok(self.fingerprinted(keeping(archive(&folder)?, staged), origin))
    }
}

impl Dump {
    /// Reads what the dump holds as it flows, unless that is not wanted.
    fn fingerprinted(&self, stream: Stream, origin: Origin) -> Opened {
        if !self.fingerprint {
            return Opened { stream, origin, contents: None };
        }
        let form = match self.format {
            Format::Custom => Contents::Custom,
            Format::Plain => Contents::Plain,
            Format::Tar => Contents::Tar,
            Format::Directory => Contents::Directory,
        };
        let (stream, handle) = fingerprint(stream, form);
        Opened { stream, origin, contents: Some(handle) }
    }
}

fn drain(mut stream: Stream) -> Result<(), StepError> {
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
