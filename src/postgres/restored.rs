//! What a restored database holds: exact counts, sizes, and the answers of checks.
//!
//! This module does not compare with anything and writes nothing.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::client::{Client, Row};
use super::conninfo::ConnInfo;
use super::error::PgError;
use super::quote;

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableRows {
    /// The schema.
    pub schema: String,
    /// The table, partition or materialized view.
    pub table: String,
    /// Exactly how many rows it has itself.
    pub rows: u64,
    /// Whether it is a materialized view, whose rows are computed and not dumped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub materialized: bool,
}

/// Something that has rows and is not counted by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Other {
    /// A partitioned table: the rows of all its partitions.
    Partitioned(u64),
    /// Anything else, in words: `a view`.
    Uncounted(&'static str),
}

/// What a statement answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One row of one column; `None` if it is null.
    Value(Option<String>),
    /// Anything else, in words: `no row`, `2 columns: t, f`.
    Other(String),
}

/// Tables, partitions and filled materialized views of users, the largest first so that the last to finish is a small one.
const COUNTABLE: &str = "select n.nspname, c.relname, c.relkind from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    where (c.relkind = 'r' or c.relkind = 'm' and c.relispopulated) and n.nspname !~ '^pg_(catalog|toast|temp)' \
    and n.nspname <> 'information_schema' order by pg_catalog.pg_relation_size(c.oid) desc, 1, 2";

/// Counts the rows of every table over `jobs` connections, sorted by schema and table.
///
/// Partitions are counted one by one and their parents not at all; a table others inherit from is counted without them.
/// Row-level security that would hide rows is an error, not a smaller number. Counting takes as long as it takes.
pub fn row_counts(info: &ConnInfo, handle: &Handle, jobs: NonZeroUsize) -> Result<Vec<TableRows>, PgError> {
    row_counts_beyond(&[], info, handle, jobs)
}

/// The same, where the rows of some tables are known already: those are not read again.
pub fn row_counts_beyond(known: &[TableRows], info: &ConnInfo, handle: &Handle, jobs: NonZeroUsize) -> Result<Vec<TableRows>, PgError> {
    let client = counting_client(info, handle)?;
    let known: HashMap<(&str, &str), u64> = known.iter().map(|table| ((table.schema.as_str(), table.table.as_str()), table.rows)).collect();
    let (mut counted, mut todo) = (Vec::new(), VecDeque::new());
    for (schema, table, materialized) in client.query(COUNTABLE)?.into_iter().filter_map(countable) {
        match known.get(&(schema.as_str(), table.as_str())).copied() {
            Some(rows) => counted.push(TableRows { schema, table, rows, materialized }),
            None => todo.push_back((schema, table, materialized)),
        }
    }
    let extra = jobs.get().min(todo.len()).saturating_sub(1);
    let (todo, info) = (Mutex::new(todo), client.info().clone());
    let mut counts = std::thread::scope(|scope| {
        let others: Vec<_> = (0..extra).map(|_| scope.spawn(|| count_all(&counting_client(&info, handle)?, &todo))).collect();
        let own = count_all(&client, &todo);
        let lost = || PgError::Unexpected { server: info.describe(), detail: "a thread that counted rows died".to_owned() };
        others.into_iter().map(|other| other.join().map_err(|_| lost()).flatten()).chain([own]).collect::<Result<Vec<_>, _>>()
    })?
    .concat();
    client.close();
    counts.extend(counted);
    counts.sort();
    Ok(counts)
}

fn counting_client(info: &ConnInfo, handle: &Handle) -> Result<Client, PgError> {
    let mut client = Client::connect(info, handle)?;
    client.limit_statements(Duration::ZERO)?;
    client.batch("set default_transaction_read_only = on; set search_path = ''; set row_security = off")?;
    Ok(client)
}

/// The schema and name of a relation, and whether it is a materialized view.
type Countable = (String, String, bool);

fn countable(row: Vec<Option<String>>) -> Option<Countable> {
    let mut columns = row.into_iter().flatten();
    Some((columns.next()?, columns.next()?, columns.next()? == "m"))
}

fn count_all(client: &Client, todo: &Mutex<VecDeque<Countable>>) -> Result<Vec<TableRows>, PgError> {
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut counts = Vec::new();
    while let Some((schema, table, materialized)) = next() {
        let counted = count(client, &format!("only {}", quote::table(&schema, &table)));
        if counted.is_err() {
            // The others need not go on for an answer that will be an error.
            todo.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        counts.push(TableRows { rows: counted?, schema, table, materialized });
    }
    Ok(counts)
}

/// Counts rows. With ONLY, those of inheriting tables and of partitions are counted with them.
fn count(client: &Client, from: &str) -> Result<u64, PgError> {
    let text = client.query_one_text(&format!("select pg_catalog.count(*) from {from}"))?;
    let unread = || PgError::Unexpected { server: client.info().describe(), detail: format!("count of {from} gave {text:?}") };
    text.as_deref().and_then(|text| text.parse().ok()).ok_or_else(unread)
}

/// What has this name, with or without its schema, and is not counted by itself.
///
/// # Errors
/// Whatever the server says; row-level security that would hide rows is an error.
pub fn others(info: &ConnInfo, handle: &Handle, name: &str) -> Result<Vec<Other>, PgError> {
    let client = counting_client(info, handle)?;
    let sql = format!(
        "select n.nspname, c.relname, c.relkind from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where {0} in (c.relname, n.nspname || '.' || c.relname) and c.relkind in ('p', 'v', 'm', 'f') \
         and n.nspname !~ '^pg_(catalog|toast|temp)' and n.nspname <> 'information_schema'",
        quote::literal(name)
    );
    let mut found = Vec::new();
    for row in client.query(&sql)? {
        let [Some(schema), Some(table), Some(kind)] = row.as_slice() else { continue };
        found.push(match kind.as_str() {
            "p" => Other::Partitioned(count(&client, &quote::table(schema, table))?),
            "v" => Other::Uncounted("a view, whose rows are not counted: ask with `sql`"),
            "f" => Other::Uncounted("a foreign table, whose rows are in another server"),
            _ => Other::Uncounted("a materialized view that is not filled"),
        });
    }
    client.close();
    Ok(found)
}

/// The size of the database on disk in bytes.
pub fn database_bytes(info: &ConnInfo, handle: &Handle) -> Result<u64, PgError> {
    let client = Client::connect(info, handle)?;
    let text = client.query_one_text("select pg_catalog.pg_database_size(pg_catalog.current_database())")?;
    client.close();
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The one value that a user's statement answers, as text, or that it answers something else.
///
/// It must be one statement; it runs in a read-only transaction that is rolled back, no longer than `limit`, and only
/// as much is fetched as shows that there is more than one row.
pub fn scalar(info: &ConnInfo, handle: &Handle, sql: &str, limit: Duration) -> Result<Answer, PgError> {
    let mut client = Client::connect(info, handle)?;
    let found = scalar_of(&mut client, sql, limit);
    client.close();
    found
}

/// The same over an open connection.
pub fn scalar_of(client: &mut Client, sql: &str, limit: Duration) -> Result<Answer, PgError> {
    client.limit_statements(limit)?;
    // More than one statement could end the transaction that keeps it from writing.
    client.check_single(sql)?;
    one_value(client, sql)
}

fn one_value(client: &Client, sql: &str) -> Result<Answer, PgError> {
    let body = sql.trim().trim_end_matches(';');
    client.batch("begin read only")?;
    // The line break ends a comment that the statement may end with.
    let declared = client.batch(&format!("declare runner_check no scroll cursor for {body}\n"));
    let found = match declared {
        Ok(()) => client.query("fetch forward 2 from runner_check"),
        // 42601 syntax error: SHOW and EXPLAIN answer rows but make no cursor.
        Err(PgError::Query { state, .. }) if state == "42601" => {
            client.batch("rollback; begin read only")?;
            client.query(sql)
        }
        Err(error) => Err(error),
    };
    // What the statement said counts; the connection ends here anyway.
    let _ended = client.batch("rollback");
    Ok(answer(found?))
}

fn answer(rows: Vec<Row>) -> Answer {
    let words = |row: &Row| row.iter().map(|value| value.as_deref().unwrap_or("null")).collect::<Vec<_>>().join(", ");
    match rows.as_slice() {
        [] => Answer::Other("no row".to_owned()),
        [row] if row.len() == 1 => Answer::Value(rows.into_iter().flatten().next().flatten()),
        [row] => Answer::Other(format!("{} columns: {}", row.len(), words(row))),
        [first, second, ..] => Answer::Other(format!("more than one row: {}; {}", words(first), words(second))),
    }
}
