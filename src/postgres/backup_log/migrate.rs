//! Making the table of the backup log, and bringing one that is there already up to date.
//!
//! The version stands in the table's comment, which every role may read. A table that somebody made by hand has none: it gets
//! the columns it lacks and keeps its rows and its own columns. Nothing is ever dropped, and no view is replaced that is
//! not our own. This file writes no rows.

use std::fmt::Write as _;

use super::super::client::Client;
use super::super::error::PgError;
use super::super::quote::{identifier, literal};
use super::DENIED;

/// The version of the table and its views that this program makes. 2: views that count a run's objects as one backup.
pub const VERSION: u32 = 2;

/// The oldest version whose table has the columns that are written: only its views are older.
const FITS: u32 = 1;

/// What precedes the version in the table's comment.
const MARK: &str = "table version ";

/// What the comments of our views end with.
const OURS: &str = "Made by runner.";

const TABLE: &str = include_str!("table.sql");
const FINISH: &str = include_str!("finish.sql");

/// The columns that a row fills, with their types.
const COLUMNS: [(&str, &str); 17] = [
    ("run_id", "text"),
    ("pipeline", "text"),
    ("type", "text"),
    ("key", "text"),
    ("store", "text"),
    ("size_bytes", "bigint"),
    ("plain_bytes", "bigint"),
    ("started_at", "timestamp with time zone"),
    ("finished_at", "timestamp with time zone"),
    ("duration", "interval"),
    ("status", "text"),
    ("error", "text"),
    ("level", "text"),
    ("verified_at", "timestamp with time zone"),
    ("uploaded", "boolean"),
    ("host", "text"),
    ("runner_version", "text"),
];

/// Narrower types that hold the same values, and that are widened in place.
const NARROW: [(&str, &str); 3] = [("integer", "bigint"), ("smallint", "bigint"), ("character varying", "text")];

/// What is there.
enum Found {
    Nothing,
    /// A table of this version; 0 for one that somebody made by hand.
    Table(u32),
}

/// What was done about the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrated {
    /// Nothing: it is current.
    No,
    /// It or its views were made or changed just now.
    Made,
    /// Nothing: its views are those of an older program, and this role may not replace them. Rows can be written all the same.
    OldViews,
}

/// Makes the table and its views, or brings them up to date. A table that is current is left alone, so that a role which may
/// only insert can use it; so is one that only has older views, if the role may not replace them.
pub(super) fn migrate(client: &Client, schema: &str) -> Result<Migrated, PgError> {
    let there = found(client, schema)?;
    if is_current(&there) {
        return Ok(Migrated::No);
    }
    client.batch("begin")?;
    let done = locked(client, schema);
    client.batch(if done.is_ok() { "commit" } else { "rollback" })?;
    match done {
        Err(PgError::Query { state, .. }) if state == DENIED && matches!(there, Found::Table(version) if version >= FITS) => {
            Ok(Migrated::OldViews)
        }
        other => other,
    }
}

fn is_current(found: &Found) -> bool {
    matches!(found, Found::Table(version) if *version >= VERSION)
}

/// Two runs may come at once: whoever is second finds the work done.
fn locked(client: &Client, schema: &str) -> Result<Migrated, PgError> {
    client.query("select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('runner backup_log'))")?;
    let found = found(client, schema)?;
    if is_current(&found) {
        return Ok(Migrated::No);
    }
    foreign_views(client, schema)?;
    let fill = |sql: &str| sql.replace("{schema}", &identifier(schema));
    match found {
        Found::Table(_) => complete(client, schema)?,
        Found::Nothing => {
            if client.query_one_text(&format!("select 1 from pg_catalog.pg_namespace where nspname = {}", literal(schema)))?.is_none() {
                client.batch(&format!("create schema {}", identifier(schema)))?;
            }
            client.batch(&fill(TABLE))?;
        }
    }
    client.batch(&fill(FINISH))?;
    Ok(Migrated::Made)
}

/// What has the table's name, and the version in its comment.
fn found(client: &Client, schema: &str) -> Result<Found, PgError> {
    let rows = client.query(&format!(
        "select c.relkind, pg_catalog.obj_description(c.oid, 'pg_class') from pg_catalog.pg_class c
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = {} and c.relname = 'backup_log'",
        literal(schema)
    ))?;
    let Some(row) = rows.into_iter().next() else { return Ok(Found::Nothing) };
    match row.as_slice() {
        [Some(kind), comment] if kind == "r" || kind == "p" => Ok(Found::Table(comment.as_deref().map_or(0, version))),
        _ => Err(unfit(client, format!("{schema}.backup_log is not a table: choose another schema with `schema`"))),
    }
}

fn version(comment: &str) -> u32 {
    let digits = comment.split_once(MARK).map_or("", |(_, rest)| rest);
    digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Views of our names that somebody else made.
fn foreign_views(client: &Client, schema: &str) -> Result<(), PgError> {
    let rows = client.query(&format!(
        "select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = {} and c.relname in ('backup_stats', 'v_backup_status', 'v_backup_statistics')
         and coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') not like '%{OURS}' order by 1",
        literal(schema)
    ))?;
    match rows.first().and_then(|row| row.first().cloned().flatten()) {
        None => Ok(()),
        Some(name) => {
            let detail = format!("{schema}.{name} is there already and was not made by runner: rename it, or choose another schema");
            Err(unfit(client, detail))
        }
    }
}

/// Gives a table that somebody made by hand, or an older runner, what it lacks.
fn complete(client: &Client, schema: &str) -> Result<(), PgError> {
    let there = columns(client, schema)?;
    let table = format!("{}.backup_log", identifier(schema));
    let mut sql = String::new();
    for (name, kind) in COLUMNS {
        match there.iter().find(|column| column.name == name) {
            None => _ = writeln!(sql, "alter table {table} add column {name} {kind};"),
            Some(column) if column.kind == kind => {}
            Some(column) if NARROW.contains(&(&column.kind, kind)) => {
                _ = writeln!(sql, "alter table {table} alter column {name} type {kind};");
            }
            Some(column) => {
                let detail = format!(
                    "the column {name} of {schema}.backup_log is {}, and runner writes {kind}: alter it, or choose another schema",
                    column.kind
                );
                return Err(unfit(client, detail));
            }
        }
    }
    if !there.iter().any(|column| column.name == "id") {
        _ = writeln!(sql, "alter table {table} add column id bigint generated always as identity;");
    }
    let own = |column: &&Column| column.name != "id" && COLUMNS.iter().all(|(name, _)| *name != column.name);
    if let Some(column) = there.iter().filter(own).find(|column| column.must_be_given) {
        let detail = format!(
            "the column {} of {schema}.backup_log may not be null and runner does not know it: give it a default, or choose another schema",
            column.name
        );
        return Err(unfit(client, detail));
    }
    if sql.is_empty() { Ok(()) } else { client.batch(&sql) }
}

struct Column {
    name: String,
    kind: String,
    /// Whether it is refused when left out.
    must_be_given: bool,
}

fn columns(client: &Client, schema: &str) -> Result<Vec<Column>, PgError> {
    let rows = client.query(&format!(
        "select a.attname, pg_catalog.format_type(a.atttypid, null), a.attnotnull and not a.atthasdef and a.attidentity = ''
         from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = {} and c.relname = 'backup_log' and a.attnum > 0 and not a.attisdropped",
        literal(schema)
    ))?;
    let column = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter().flatten();
        Some(Column { name: cells.next()?, kind: cells.next()?, must_be_given: cells.next()? == "t" })
    };
    Ok(rows.into_iter().filter_map(column).collect())
}

fn unfit(client: &Client, detail: String) -> PgError {
    PgError::Unexpected { server: client.info().describe(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stands_in_the_comment_that_the_script_writes() {
        let comment = FINISH.lines().find(|line| line.starts_with("comment on table")).unwrap();
        assert_eq!(version(comment), VERSION);
        assert_eq!((version("우리 백업"), version("table version x"), version("table version 12.")), (0, 0, 12));
        assert!(FINISH.lines().filter(|line| line.starts_with("comment on view")).all(|line| line.contains(OURS)));
        assert!(COLUMNS.iter().all(|(name, _)| TABLE.contains(&format!("\n    {name} "))));
    }
}
