//! `sql`: runs a script of statements on a server, or asks it one query that must answer what is expected.
//!
//! A query runs in a read-only transaction; a script in one transaction, unless it says otherwise, so that one which fails
//! half-way has changed nothing. This file restores nothing.

use std::path::{Path, PathBuf};
use std::time::Duration as StdDuration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{CHECK_LIMIT, asked, in_words};
use super::{Cx, Expected, PerformEffect, Problem, References, StepError, StepKind, Trouble};
use crate::diagnostic::Class;
use crate::ids::RefName;
use crate::postgres::script::{ScriptError, Statement, statements};
use crate::postgres::{Client, ConnInfo, Interrupt, PgError, restored};
use crate::quantity::Duration;
use crate::words::{count, cut};

/// How much of a statement a plan shows, in characters.
const SHOWN: usize = 60;

/// Runs statements on a server, or asks one query. Exactly one of `statements`, `file`, `query` and `patch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// The connection, as declared under `connections`.
    pub connection: RefName,
    /// Another database of that server; the connection's own unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Statements with semicolons between them. Left out with `file` and `query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements: Option<String>,
    /// A file of statements; commands of psql (`\…`) are not known. Left out with `statements` and `query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A query of one row and one column, which must answer true, or `equals`. Left out with `statements` and `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A reviewed patch that `restore` with `rows` wrote: applied whole, or not at all. Left out with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PathBuf>,
    /// What the query must answer, compared as text; true unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Expected>,
    /// Whether all statements run in one transaction; some, such as `create database` and `vacuum`, can not.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub transaction: bool,
    /// How long one statement may take; no limit unless given, and 10 minutes for a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl StepKind for Sql {
    fn references(&self) -> References<'_> {
        References { connections: vec![&self.connection], ..References::default() }
    }

    fn words(&self) -> String {
        let database = self.database.as_ref().map(|database| format!(", database {database}")).unwrap_or_default();
        let one_line = |sql: &str| cut(sql.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches(';'), SHOWN);
        let what = match (&self.query, &self.statements, &self.file) {
            (Some(query), ..) => {
                let expected = self.equals.as_ref().map(|equals| format!(" = {equals}")).unwrap_or_default();
                return format!("on {}{database}: {}{expected}", self.connection, one_line(query));
            }
            (None, Some(statements), _) => one_line(statements),
            (None, None, Some(file)) => format!("the statements in {}", file.display()),
            (None, None, None) => match &self.patch {
                Some(patch) => return format!("on {}{database}: the patch {}, whole or not at all", self.connection, patch.display()),
                None => "nothing".to_owned(),
            },
        };
        let how = if self.transaction { "in one transaction" } else { "each in a transaction of its own" };
        format!("on {}{database}: {what}, {how}", self.connection)
    }

    fn problems(&self) -> Vec<Problem> {
        let given = [self.statements.is_some(), self.file.is_some(), self.query.is_some(), self.patch.is_some()];
        let mut problems = Vec::new();
        if given.iter().filter(|given| **given).count() != 1 {
            let problem = Problem::error("one-of", "", "`sql` takes exactly one of `statements`, `file`, `query` and `patch`");
            problems.push(problem.help("make it several steps"));
        }
        if self.query.is_none() && self.equals.is_some() {
            problems.push(Problem::error("equals-without-sql", "/equals", "`equals` belongs to `query`").help("ask a `query`"));
        }
        if self.query.is_some() && !self.transaction {
            let problem = Problem::error("bad-sql", "/transaction", "a query always runs in a read-only transaction of its own");
            problems.push(problem.help("remove `transaction`, or make it `statements`"));
        }
        if self.query.as_deref().is_some_and(|query| statements(query).is_ok_and(|found| found.len() != 1)) {
            problems.push(Problem::error("bad-sql", "/query", "a query is exactly one statement"));
        }
        let script = self.statements.as_deref().map(|text| self.checked(text));
        if let Some(Err(error)) = script {
            problems.push(Problem::error("bad-sql", "/statements", error.to_string()));
        }
        problems
    }

    fn troubles(&self) -> Vec<Trouble> {
        let unread = |patch: &PathBuf| std::fs::File::open(patch).err().map(|error| unreadable(patch, &error));
        if let Some(error) = self.patch.as_ref().and_then(unread) {
            return vec![Trouble { class: error.class, message: error.message, help: error.hint }];
        }
        let Some(file) = &self.file else { return Vec::new() };
        let read = read(file).and_then(|text| self.checked(&text).map(drop).map_err(|error| unfit(file, &error)));
        read.err().map(|error| Trouble { class: error.class, message: error.message, help: error.hint }).into_iter().collect()
    }

    /// What failed half-way, or at an end that nobody heard, may have been done.
    fn repeatable(&self) -> bool {
        self.query.is_some()
    }
}

fn read(file: &Path) -> Result<String, StepError> {
    std::fs::read_to_string(file).map_err(|error| unreadable(file, &error).hint("commit the file beside the pipeline"))
}

fn unreadable(file: &Path, error: &std::io::Error) -> StepError {
    let class = if error.kind() == std::io::ErrorKind::PermissionDenied { Class::Denied } else { Class::Failed };
    StepError::new(class, format!("reading {}: {error}", file.display()))
}

fn unfit(file: &Path, error: &ScriptError) -> StepError {
    StepError::new(Class::Failed, format!("{}:{}: {}", file.display(), error.line, error.message))
}

impl Sql {
    /// A reviewed patch to apply.
    pub const fn patch(connection: RefName, database: Option<String>, patch: PathBuf) -> Self {
        Self {
            connection,
            database,
            statements: None,
            file: None,
            query: None,
            patch: Some(patch),
            equals: None,
            transaction: true,
            timeout: None,
        }
    }

    /// The statements of a script, if it can be run as it is meant to be.
    fn checked<'a>(&self, text: &'a str) -> Result<Vec<Statement<'a>>, ScriptError> {
        let found = statements(text)?;
        if found.is_empty() {
            return Err(ScriptError { line: 1, message: "there is no statement in it" });
        }
        match found.iter().find(|statement| self.transaction && statement.bounds_transaction) {
            Some(bound) => {
                let message = "all of it is one transaction already: remove this, or set `transaction: false`";
                Err(ScriptError { line: bound.line, message })
            }
            None => Ok(found),
        }
    }

    fn ask(&self, query: &str, client: &mut Client, cx: &Cx<'_>) -> Result<(), StepError> {
        let limit = self.timeout.map_or(CHECK_LIMIT, Duration::std);
        let answer = restored::scalar_of(client, query, limit)?;
        let outcome = asked(query, self.equals.as_ref(), Ok(answer));
        if outcome.passed {
            cx.reports.note(format!("answered {}", outcome.found));
            return Ok(());
        }
        Err(StepError::new(Class::Verification, in_words(&outcome)).hint("the server answered, but not what the step expects"))
    }

    fn run(&self, text: &str, client: &mut Client, cx: &Cx<'_>) -> Result<(), StepError> {
        let unfit = |error: ScriptError| match &self.file {
            Some(file) => unfit(file, &error),
            None => StepError::new(Class::Failed, error.to_string()),
        };
        let all = self.checked(text).map_err(unfit)?;
        client.limit_statements(self.timeout.map_or(StdDuration::ZERO, Duration::std))?;
        if self.transaction {
            client.batch("begin")?;
        }
        for (index, statement) in all.iter().enumerate() {
            cx.cancel.check().map_err(|stopped| self.done_before(index, StepError { transient: false, ..stopped.into() }))?;
            client.batch(statement.text).map_err(|error| self.failed(index, statement, error))?;
        }
        if self.transaction {
            client.batch("commit").map_err(|error| final_error(format!("at the commit: {error}"), error))?;
        }
        cx.reports.note(count(all.len(), "statement"));
        Ok(())
    }

    /// A statement that failed, by its line, and what that leaves.
    fn failed(&self, index: usize, statement: &Statement<'_>, error: PgError) -> StepError {
        let position = match &error {
            PgError::Query { position: Some(position), .. } => *position,
            _ => 1,
        };
        let place = match &self.file {
            Some(file) => format!("{}:{}", file.display(), statement.line_of(position)),
            None => format!("line {} of `statements`", statement.line_of(position)),
        };
        self.done_before(index, final_error(format!("{place}: {error}"), error))
    }

    /// What a failure before the end of this statement leaves.
    fn done_before(&self, index: usize, failed: StepError) -> StepError {
        match (self.transaction, index) {
            (true, _) => failed.hint("nothing was changed"),
            // What runs outside a transaction, such as `create index concurrently`, may leave something half done.
            (false, 0) => failed,
            (false, done) => failed.hint(format!("{} before it stay done", count(done, "statement"))),
        }
    }
}

/// An error that a new attempt by itself must not follow: what was done before it would be done again.
fn final_error(message: String, error: PgError) -> StepError {
    StepError { transient: false, message, ..StepError::from(error) }
}

impl PerformEffect for Sql {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let text = self.file.as_deref().map(read).transpose()?;
        let connection = cx.runtime.connection_within(&self.connection, cx.cancel)?;
        let own = connection.info().clone();
        let info = ConnInfo { database: self.database.clone().unwrap_or_else(|| own.database.clone()), ..own };
        if let Some(patch) = &self.patch {
            return super::reviewed::apply(patch, &info, cx);
        }
        let mut client = Client::connect(&info, cx.runtime.handle())?;
        let interrupt = Interrupt::of(&client, cx.runtime.handle())?;
        let stops = cx.cancel.on_cancel(move || interrupt.fire());
        let done = match &self.query {
            Some(query) => self.ask(query, &mut client, cx),
            None => self.run(text.as_deref().or(self.statements.as_deref()).unwrap_or_default(), &mut client, cx),
        };
        drop(stops);
        client.close();
        done
    }
}
