//! What a plan wants to know about a database before it is dumped.
//!
//! Everything is read in one read-only transaction with an empty search path, so that nothing a user of the database left there
//! runs; no question waits for a lock on a table (the size functions of single tables would). This module does not judge
//! whether a dump should happen; it tells what would stand in its way.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::client::{Client, Row};
use super::conninfo::ConnInfo;
use super::error::PgError;

/// How long one of the questions may take: catalogs of a hundred thousand tables answer in seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// Facts about one database and the role that looks at it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, not a state among others")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The server's version as a number: 160015 is 16.15.
    pub server_version_num: u32,
    /// The server's version as it tells it.
    pub server_version: String,
    /// What tells one cluster from another (`pg_control_system`); `None` where the role may not ask.
    pub system_identifier: Option<String>,
    /// The size of the database on disk in bytes.
    pub database_bytes: u64,
    /// How many tables with content of their own there are (partitions count, their parents do not).
    pub tables: u64,
    /// The database's encoding and locale.
    pub locale: DatabaseLocale,
    /// Whether the server is a standby.
    pub in_recovery: bool,
    /// The role that asked.
    pub role: String,
    /// Whether the role is a superuser.
    pub superuser: bool,
    /// Whether the role may replicate, which a physical backup needs.
    pub replication_role: bool,
    /// Tables and sequences whose content the role can not read, as quoted names.
    pub unreadable: Vec<String>,
    /// Tables of which row-level security hides rows from the role, as quoted names.
    pub filtered: Vec<String>,
    /// Whether there are large objects.
    pub large_objects: bool,
    /// Extensions with their versions: `pg_trgm 1.6`.
    pub extensions: Vec<String>,
}

/// A database's encoding and locale, as `pg_database` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseLocale {
    /// The encoding: `UTF8`.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The provider: `c` is the C library, `i` ICU, `b` PostgreSQL itself.
    pub provider: char,
    /// The locale of a provider other than the C library.
    pub locale: Option<String>,
}

impl DatabaseLocale {
    /// UTF-8 in the C locale, which every machine has.
    pub fn plain() -> Self {
        Self { encoding: "UTF8".into(), collate: "C".into(), ctype: "C".into(), provider: 'c', locale: None }
    }

    /// The locale in a few words.
    pub fn words(&self) -> String {
        match &self.locale {
            Some(locale) => format!("{locale} ({})", self.collate),
            None => self.collate.clone(),
        }
    }
}

impl Facts {
    /// Connects and reads the facts.
    pub fn read(info: &ConnInfo, handle: &Handle) -> Result<Self, PgError> {
        let mut client = Client::connect(info, handle)?;
        client.limit_statements(LIMIT)?;
        let facts = Self::read_with(&client);
        client.close();
        facts
    }

    /// Reads the facts over an open connection.
    pub fn read_with(client: &Client) -> Result<Self, PgError> {
        client.batch("begin isolation level repeatable read read only; set local search_path = ''")?;
        let facts = read(client);
        // The transaction wrote nothing; a connection that broke in it has ended it.
        let ended = client.batch("rollback");
        let facts = facts?;
        ended?;
        Ok(facts)
    }

    /// The server's major version.
    pub fn major(&self) -> u16 {
        u16::try_from(self.server_version_num / 10_000).unwrap_or(u16::MAX)
    }

    /// What stands in the way of a complete dump, and what to do about each.
    pub fn hints(&self) -> Vec<String> {
        let role = super::quote::identifier(&self.role);
        let mut hints = Vec::new();
        if !self.unreadable.is_empty() {
            hints.push(format!("role {role} can not read {}: grant pg_read_all_data to {role} (as a superuser)", some(&self.unreadable)));
        }
        if !self.filtered.is_empty() {
            hints.push(format!("row-level security hides rows of {} from role {role}: alter role {role} bypassrls", some(&self.filtered)));
        }
        if self.large_objects && !self.superuser {
            hints.push(format!(
                "there are large objects, which pg_read_all_data does not cover: role {role} must own them, \
                 be granted select on each, or be a superuser"
            ));
        }
        if self.in_recovery {
            let delay = "raise max_standby_streaming_delay or set hot_standby_feedback";
            hints.push(format!("the server is a standby, where replay can cancel a long dump: {delay}"));
        }
        hints
    }
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and {} more", names.len() - 5) } else { shown }
}

/// Tables of users: not of the system, not of a session, not members of an extension (whose dump is their `CREATE EXTENSION`).
const OF_USERS: &str = "n.nspname !~ '^pg_(catalog|toast|temp)' and n.nspname <> 'information_schema' \
    and not exists (select 1 from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
    and d.objid = c.oid and d.deptype = 'e')";

fn read(client: &Client) -> Result<Facts, PgError> {
    let version = number(client, "select pg_catalog.current_setting('server_version_num')")?;
    let server = server(client)?;
    let tables = number(
        client,
        &format!(
            "select count(*) from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relkind = 'r' and {OF_USERS}"
        ),
    )?;
    Ok(Facts {
        server_version_num: u32::try_from(version).unwrap_or(u32::MAX),
        server_version: server.text(0),
        system_identifier: system_identifier(client)?,
        database_bytes: server.number(1),
        tables,
        locale: locale(client, version / 10_000)?,
        in_recovery: server.flag(2),
        role: server.text(3),
        superuser: server.flag(4),
        replication_role: server.flag(5),
        unreadable: unreadable(client)?,
        filtered: filtered(client)?,
        large_objects: server.flag(6),
        extensions: names(client, "select extname || ' ' || extversion from pg_catalog.pg_extension order by extname")?,
    })
}

fn server(client: &Client) -> Result<Answer, PgError> {
    row(
        client,
        "select pg_catalog.current_setting('server_version'), pg_catalog.pg_database_size(pg_catalog.current_database()), \
         pg_catalog.pg_is_in_recovery(), current_user, r.rolsuper, r.rolreplication or r.rolsuper, \
         exists (select 1 from pg_catalog.pg_largeobject_metadata) from pg_catalog.pg_roles r where r.rolname = current_user",
    )
}

/// Asked only if the role may: the refusal would end the transaction.
fn system_identifier(client: &Client) -> Result<Option<String>, PgError> {
    let may = "select pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')";
    if client.query_one_text(may)?.as_deref() != Some("t") {
        return Ok(None);
    }
    client.query_one_text("select system_identifier from pg_catalog.pg_control_system()")
}

fn locale(client: &Client, major: u64) -> Result<DatabaseLocale, PgError> {
    let provider = match major {
        ..15 => "'c', null",
        15..17 => "datlocprovider, daticulocale",
        _ => "datlocprovider, datlocale",
    };
    let found = row(
        client,
        &format!(
            "select pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype, {provider} from pg_catalog.pg_database \
             where datname = pg_catalog.current_database()"
        ),
    )?;
    Ok(DatabaseLocale {
        encoding: found.text(0),
        collate: found.text(1),
        ctype: found.text(2),
        provider: found.text(3).chars().next().unwrap_or('c'),
        locale: found.0.get(4).cloned().flatten(),
    })
}

/// Tables (with partitioned parents, which `pg_dump` locks) and sequences without SELECT, or in a schema without USAGE.
fn unreadable(client: &Client) -> Result<Vec<String>, PgError> {
    names(
        client,
        &format!(
            "select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'S') and {OF_USERS} \
             and not (pg_catalog.has_schema_privilege(n.oid, 'usage') and case when c.relkind = 'S' \
             then pg_catalog.has_sequence_privilege(c.oid, 'select') else pg_catalog.has_table_privilege(c.oid, 'select') end) order by 1"
        ),
    )
}

fn filtered(client: &Client) -> Result<Vec<String>, PgError> {
    names(
        client,
        &format!(
            "select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p') and {OF_USERS} \
             and pg_catalog.row_security_active(c.oid) order by 1"
        ),
    )
}

/// One row of an answer, read by column.
struct Answer(Row);

impl Answer {
    fn text(&self, at: usize) -> String {
        self.0.get(at).cloned().flatten().unwrap_or_default()
    }

    fn number(&self, at: usize) -> u64 {
        self.text(at).parse().unwrap_or(0)
    }

    fn flag(&self, at: usize) -> bool {
        self.text(at) == "t"
    }
}

fn row(client: &Client, sql: &str) -> Result<Answer, PgError> {
    let first = client.query(sql)?.into_iter().next();
    first.map(Answer).ok_or_else(|| PgError::Unexpected { server: client.info().describe(), detail: format!("no row for: {sql}") })
}

fn number(client: &Client, sql: &str) -> Result<u64, PgError> {
    Ok(row(client, sql)?.number(0))
}

fn names(client: &Client, sql: &str) -> Result<Vec<String>, PgError> {
    Ok(client.query(sql)?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}
