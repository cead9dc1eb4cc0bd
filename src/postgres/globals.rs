//! What `pg_dumpall --globals-only` wrote, brought into another cluster: roles, memberships, tablespaces, and rights on them.
//!
//! Source: `pg_dumpall.c` of PostgreSQL 14 to 18. What the cluster has already is left alone, with everything about it; what is
//! missing is made. All that concerns roles is one transaction. Errors never hold a statement's text, which may hold a
//! password's hash. This module does not write or read dumps.

use std::collections::BTreeSet;

use tokio::runtime::Handle;

use super::client::Client;
use super::conninfo::ConnInfo;
use super::error::PgError;
use super::script::{ScriptError, statements};
use super::target::maintenance;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GlobalsReport {
    /// What was made, in words: `role app`, `tablespace fast`.
    pub made: Vec<String>,
    /// What was there already.
    pub left: Vec<String>,
    /// Memberships and rights that were granted.
    pub granted: u64,
}

/// Why globals could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum GlobalsError {
    /// The server refused something. What concerns roles was then not done at all.
    #[error(transparent)]
    Postgres(#[from] PgError),
    /// The text is not a script.
    #[error("the dump of globals does not read as SQL: {0}")]
    Script(#[from] ScriptError),
    /// A statement is none that a dump of globals has.
    #[error("line {line} of the dump of globals begins with {words:?}, which is not known here; restore it with psql")]
    Unknown {
        /// The line, from 1.
        line: usize,
        /// Its first words.
        words: String,
    },
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    /// A setting of the session.
    Session,
    MakesRole(String),
    Role(String),
    /// A role becomes a member of another: both.
    Member(String, String),
    /// A right on a parameter, for a role.
    Parameter(String),
    MakesTablespace(String),
    Tablespace(String),
}

/// Makes the roles and tablespaces of a script that the cluster does not have.
///
/// # Errors
/// [`GlobalsError`].
pub fn restore(server: &ConnInfo, handle: &Handle, script: &str) -> Result<GlobalsReport, GlobalsError> {
    let script = without_guard(script);
    let all: Vec<(About, &str)> =
        statements(&script)?.iter().map(|one| Ok((about(one.text, one.line)?, one.text))).collect::<Result<_, GlobalsError>>()?;
    let client = maintenance(server, handle)?;
    let done = in_order(&client, &all);
    if done.is_err() {
        // The error counts; the connection ends here anyway, and with it the transaction.
        let _ended = client.batch("rollback");
    }
    client.close();
    done
}

fn in_order(client: &Client, all: &[(About, &str)]) -> Result<GlobalsReport, GlobalsError> {
    let mut work = Work {
        client,
        roles: names(client, "select rolname from pg_catalog.pg_roles")?,
        tablespaces: names(client, "select spcname from pg_catalog.pg_tablespace")?,
        report: GlobalsReport::default(),
        new: BTreeSet::new(),
    };
    // A tablespace can not be made in a transaction.
    let (places, roles): (Vec<_>, Vec<_>) =
        all.iter().partition(|(about, _)| matches!(about, About::MakesTablespace(_) | About::Tablespace(_)));
    client.batch("begin")?;
    for (about, text) in roles {
        work.one(about, text)?;
    }
    client.batch("commit")?;
    for (about, text) in places {
        work.one(about, text)?;
    }
    Ok(work.report)
}

fn names(client: &Client, sql: &str) -> Result<BTreeSet<String>, PgError> {
    Ok(client.query(sql)?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

struct Work<'a> {
    client: &'a Client,
    roles: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
    /// What was made, as the report says it.
    new: BTreeSet<String>,
    report: GlobalsReport,
}

impl Work<'_> {
    fn one(&mut self, about: &About, text: &str) -> Result<(), PgError> {
        let role = |name: &str| format!("role {name}");
        let place = |name: &str| format!("tablespace {name}");
        match about {
            About::Session => self.run("the settings of the session", text),
            About::MakesRole(name) => self.make(self.roles.contains(name), role(name), text),
            About::MakesTablespace(name) => self.make(self.tablespaces.contains(name), place(name), text),
            About::Role(name) => self.of_new(&[role(name)], text),
            About::Tablespace(name) => self.of_new(&[place(name)], text).map(|()| self.count(text, &[place(name)])),
            About::Parameter(name) => self.of_new(&[role(name)], text).map(|()| self.count(text, &[role(name)])),
            About::Member(of, member) => {
                let either = [role(of), role(member)];
                self.of_new(&either, text).map(|()| self.count(text, &either))
            }
        }
    }

    fn make(&mut self, there: bool, what: String, text: &str) -> Result<(), PgError> {
        if there {
            self.report.left.push(what);
            return Ok(());
        }
        self.run(&format!("making {what}"), text)?;
        self.report.made.push(what.clone());
        self.new.insert(what);
        Ok(())
    }

    /// Runs what is about something that was just made; what was there before is left as it is.
    fn of_new(&self, whats: &[String], text: &str) -> Result<(), PgError> {
        if whats.iter().any(|what| self.new.contains(what)) {
            self.run(&format!("setting up {}", whats.join(" and ")), text)
        } else {
            Ok(())
        }
    }

    fn count(&mut self, text: &str, whats: &[String]) {
        let grant = words(text, 1).first().is_some_and(|word| word.is("GRANT"));
        self.report.granted += u64::from(grant && whats.iter().any(|what| self.new.contains(what)));
    }

    fn run(&self, doing: &str, text: &str) -> Result<(), PgError> {
        self.client.batch(text).map_err(|error| match error {
            PgError::Query { server, state, message, transient, .. } => PgError::Query {
                server,
                state,
                message: format!("{doing}: {message}"),
                statement: String::new(),
                position: None,
                transient,
            },
            other => other,
        })
    }
}

/// The script without the lines by which newer `pg_dumpall`s keep psql from running commands of its own: they are no SQL.
fn without_guard(script: &str) -> String {
    let guard = script.lines().find_map(|line| line.strip_prefix("\\restrict "));
    let Some(token) = guard else { return script.to_owned() };
    let lines = [format!("\\restrict {token}"), format!("\\unrestrict {token}")];
    script.split_inclusive('\n').map(|line| if lines.iter().any(|guard| guard == line.trim_end()) { "\n" } else { line }).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(keyword)
    }

    /// As a name of an object: what is not quoted is folded.
    fn name(&self) -> String {
        if self.quoted { self.text.clone() } else { self.text.to_lowercase() }
    }
}

fn about(text: &str, line: usize) -> Result<About, GlobalsError> {
    let words = words(text, usize::MAX);
    let name = |at: usize| words.get(at).map(Word::name);
    let is = |at: usize, keyword: &str| words.get(at).is_some_and(|word| word.is(keyword));
    let on = |what: &str| (0..words.len()).find(|at| is(*at, "ON") && is(at + 1, what)).map(|at| at + 2);
    let after = |keyword: &str| words.iter().rposition(|word| word.is(keyword)).and_then(|at| name(at + 1));
    let first = words.first().map(Word::name).unwrap_or_default();
    let found = match first.as_str() {
        "set" | "select" => Some(About::Session),
        "create" if is(1, "ROLE") => name(2).map(About::MakesRole),
        "alter" if is(1, "ROLE") => name(2).map(About::Role),
        "create" if is(1, "TABLESPACE") => name(2).map(About::MakesTablespace),
        "alter" if is(1, "TABLESPACE") => name(2).map(About::Tablespace),
        "comment" | "security" => {
            on("ROLE").and_then(name).map(About::Role).or_else(|| on("TABLESPACE").and_then(name).map(About::Tablespace))
        }
        "grant" | "revoke" => match (on("TABLESPACE"), on("PARAMETER")) {
            (Some(at), _) => name(at).map(About::Tablespace),
            (None, Some(_)) => after(if first == "grant" { "TO" } else { "FROM" }).map(About::Parameter),
            (None, None) if is(2, "TO") => name(1).zip(name(3)).map(|(of, member)| About::Member(of, member)),
            (None, None) => None,
        },
        _ => None,
    };
    found.ok_or_else(|| GlobalsError::Unknown {
        line,
        words: words.iter().take(2).map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "),
    })
}

/// The first words of a statement; strings are left out, so that no secret is among them.
fn words(text: &str, most: usize) -> Vec<Word> {
    let (mut found, mut rest) = (Vec::new(), text);
    while found.len() < most {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        if first == '"' || first == '\'' {
            let (inside, after) = quoted(&rest[1..], first);
            rest = after;
            if first == '"' {
                found.push(Word { text: inside, quoted: true });
            }
            continue;
        }
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let end = if part(first) { rest.find(|c| !part(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        found.push(Word { text: rest[..end].to_owned(), quoted: false });
        rest = &rest[end..];
    }
    found
}

/// What stands up to the closing quote, doubled ones made single, and what follows it.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let (mut inside, mut rest) = (String::new(), text);
    while let Some(end) = rest.find(quote) {
        inside.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(quote) {
            Some(doubled) => {
                inside.push(quote);
                rest = doubled;
            }
            None => return (inside, rest),
        }
    }
    (inside + rest, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_of_pg_dumpall_is_known_by_what_it_is_about() {
        let own = |text: &str| text.to_owned();
        for (text, expected) in [
            ("SET client_encoding = 'UTF8'", About::Session),
            ("CREATE ROLE \"소유자\"", About::MakesRole(own("소유자"))),
            ("ALTER ROLE \"a\"\"b\" WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:x'", About::Role(own("a\"b"))),
            ("ALTER ROLE app SET work_mem TO '8MB'", About::Role(own("app"))),
            ("COMMENT ON ROLE \"Team A\" IS 'ON TABLESPACE x'", About::Role(own("Team A"))),
            ("SECURITY LABEL FOR selinux ON ROLE app IS 'x'", About::Role(own("app"))),
            ("GRANT \"Team A\" TO app WITH ADMIN OPTION GRANTED BY postgres", About::Member(own("Team A"), own("app"))),
            ("GRANT \"ON\" TO \"TABLESPACE\"", About::Member(own("ON"), own("TABLESPACE"))),
            ("GRANT SET,ALTER SYSTEM ON PARAMETER work_mem TO app WITH GRANT OPTION", About::Parameter(own("app"))),
            ("CREATE TABLESPACE fast OWNER app LOCATION '/a b'", About::MakesTablespace(own("fast"))),
            ("ALTER TABLESPACE fast SET (seq_page_cost=2)", About::Tablespace(own("fast"))),
            ("GRANT CREATE ON TABLESPACE fast TO app", About::Tablespace(own("fast"))),
            ("COMMENT ON TABLESPACE fast IS 'x'", About::Tablespace(own("fast"))),
        ] {
            assert_eq!(about(text, 1).unwrap(), expected, "{text}");
        }
        let error = about("ALTER SYSTEM SET x = 'geheim'", 7).unwrap_err().to_string();
        assert!(error.contains("line 7") && error.contains("ALTER SYSTEM") && !error.contains("geheim"), "{error}");
    }

    #[test]
    fn the_guard_against_commands_of_psql_is_taken_off_and_nothing_else() {
        let script = "--\n\\restrict abc\nCREATE ROLE a;\nCOMMENT ON ROLE a IS 'x\n\\restrict other\n';\n\\unrestrict abc\n";
        let bare = without_guard(script);
        assert_eq!(bare, "--\n\nCREATE ROLE a;\nCOMMENT ON ROLE a IS 'x\n\\restrict other\n';\n\n");
        assert_eq!(statements(&bare).unwrap().len(), 2);
    }
}
