//! What a restored database holds: exact counts, sizes, and the answers of checks.
//!
//! This module does not compare with anything and writes nothing.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::client::Client;
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
}

/// Tables, partitions and filled materialized views of users, the largest first so that the last to finish is a small one.
const COUNTABLE: &str = "select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
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
    for (schema, table) in client.query(COUNTABLE)?.into_iter().filter_map(pair) {
        match known.get(&(schema.as_str(), table.as_str())).copied() {
            Some(rows) => counted.push(TableRows { schema, table, rows }),
            None => todo.push_back((schema, table)),
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

fn pair(row: Vec<Option<String>>) -> Option<(String, String)> {
    let mut columns = row.into_iter().flatten();
    Some((columns.next()?, columns.next()?))
}

fn count_all(client: &Client, todo: &Mutex<VecDeque<(String, String)>>) -> Result<Vec<TableRows>, PgError> {
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut counts = Vec::new();
    while let Some((schema, table)) = next() {
        let counted = count(client, &schema, &table);
        if counted.is_err() {
            // The others need not go on for an answer that will be an error.
            todo.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        counts.push(TableRows { rows: counted?, schema, table });
    }
    Ok(counts)
}

fn count(client: &Client, schema: &str, table: &str) -> Result<u64, PgError> {
    // ONLY: the rows of inheriting tables are counted with them.
    let text = client.query_one_text(&format!("select pg_catalog.count(*) from only {}", quote::table(schema, table)))?;
    let unread = || PgError::Unexpected {
        server: client.info().describe(),
        detail: format!("count of {} gave {text:?}", quote::table(schema, table)),
    };
    text.as_deref().and_then(|text| text.parse().ok()).ok_or_else(unread)
}

/// The size of the database on disk in bytes.
pub fn database_bytes(info: &ConnInfo, handle: &Handle) -> Result<u64, PgError> {
    let client = Client::connect(info, handle)?;
    let text = client.query_one_text("select pg_catalog.pg_database_size(pg_catalog.current_database())")?;
    client.close();
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The first column of the first row of a user's statement, as text; `None` if there is no row or it is null.
///
/// It must be one statement; it runs in a read-only transaction that is rolled back, no longer than `limit`, and only
/// its first row is fetched.
pub fn scalar(info: &ConnInfo, handle: &Handle, sql: &str, limit: Duration) -> Result<Option<String>, PgError> {
    let mut client = Client::connect(info, handle)?;
    let found = scalar_of(&mut client, sql, limit);
    client.close();
    found
}

/// The same over an open connection.
pub fn scalar_of(client: &mut Client, sql: &str, limit: Duration) -> Result<Option<String>, PgError> {
    client.limit_statements(limit)?;
    // More than one statement could end the transaction that keeps it from writing.
    client.check_single(sql)?;
    first_value(client, sql)
}

fn first_value(client: &Client, sql: &str) -> Result<Option<String>, PgError> {
    let body = sql.trim().trim_end_matches(';');
    client.batch("begin read only")?;
    // The line break ends a comment that the statement may end with.
    let declared = client.batch(&format!("declare runner_check no scroll cursor for {body}\n"));
    let found = match declared {
        Ok(()) => client.query_one_text("fetch forward 1 from runner_check"),
        // 42601 syntax error: SHOW and EXPLAIN answer rows but make no cursor.
        Err(PgError::Query { state, .. }) if state == "42601" => {
            client.batch("rollback; begin read only")?;
            client.query_one_text(sql)
        }
        Err(error) => Err(error),
    };
    // What the statement said counts; the connection ends here anyway.
    let _ended = client.batch("rollback");
    found
}
