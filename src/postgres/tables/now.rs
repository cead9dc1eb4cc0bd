//! What the live database has of the tables that somebody names, or of all, for a plan.
//!
//! Rows are counted where that is cheap, and otherwise taken from the server's own estimate. This module changes nothing.

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::name::resolve_live;
use super::shape::roots;
use super::{TableNameError, TablesError, open};
use crate::postgres::client::Client;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::error::PgError;
use crate::postgres::quote::{self, literal};

/// Up to this size in bytes the rows of a table are counted.
const CHEAP: u64 = 16 << 20;

/// A table as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableNow {
    /// The name that was given.
    pub given: String,
    /// The table with its schema, as SQL writes it; as given if there are several, and `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Its rows, with those of its partitions, where anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Whether they are an estimate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub about: bool,
}

/// Looks at tables by the names that a user gives them.
///
/// # Errors
/// Whatever the server says.
pub fn now(live: &ConnInfo, handle: &Handle, names: &[&str]) -> Result<Vec<TableNow>, PgError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let client = open(live, handle)?;
    let found = names.iter().map(|name| one(&client, name)).collect();
    client.close();
    found
}

/// Looks at all tables of users that are no partitions. Of large ones it is at least known whether they have any rows.
///
/// # Errors
/// Whatever the server says.
pub fn all(live: &ConnInfo, handle: &Handle) -> Result<Vec<TableNow>, PgError> {
    let client = open(live, handle)?;
    let found = roots(&client).and_then(|roots| roots.iter().map(|(schema, name)| whole(&client, schema, name)).collect());
    client.close();
    found
}

fn whole(client: &Client, schema: &str, name: &str) -> Result<TableNow, PgError> {
    let found = rows_of(client, schema, name)?;
    let quoted = quote::table(schema, name);
    let may = format!("select pg_catalog.has_table_privilege({}::pg_catalog.regclass, 'select')", literal(&quoted));
    if !found.about || client.query_one_text(&may)?.as_deref() != Some("t") {
        return Ok(found);
    }
    let any = client.query_one_text(&format!("select exists (select from {quoted})"))?.as_deref() == Some("t");
    let rows = if any { found.rows.map(|rows| rows.max(1)) } else { Some(0) };
    Ok(TableNow { rows, about: any, ..found })
}

fn one(client: &Client, given: &str) -> Result<TableNow, PgError> {
    let unknown = TableNow { given: given.to_owned(), table: None, rows: None, about: false };
    let (schema, name) = match resolve_live(client, given) {
        Ok(found) => found,
        Err(TablesError::Postgres(error)) => return Err(error),
        // The restore point knows which of them is meant.
        Err(TablesError::Name(TableNameError::Ambiguous { .. })) => return Ok(TableNow { table: Some(given.to_owned()), ..unknown }),
        Err(_) => return Ok(unknown),
    };
    Ok(TableNow { given: given.to_owned(), ..rows_of(client, &schema, &name)? })
}

fn rows_of(client: &Client, schema: &str, name: &str) -> Result<TableNow, PgError> {
    let quoted = quote::table(schema, name);
    let tree = format!(
        "(select {0}::pg_catalog.regclass as oid union select relid from pg_catalog.pg_partition_tree({0}::pg_catalog.regclass))",
        literal(&quoted)
    );
    let size = format!(
        "select pg_catalog.sum(pg_catalog.pg_relation_size(c.oid)), \
           case when pg_catalog.bool_and(c.reltuples >= 0) then pg_catalog.sum(c.reltuples)::int8 end, \
           pg_catalog.bool_and(pg_catalog.has_table_privilege(c.oid, 'select')), \
           pg_catalog.quote_ident({}) || '.' || pg_catalog.quote_ident({}) \
         from pg_catalog.pg_class c join {tree} t on t.oid = c.oid where c.relkind = 'r'",
        literal(schema),
        literal(name)
    );
    let facts = client.query(&size)?.into_iter().next().unwrap_or_default();
    let fact = |at: usize| facts.get(at).cloned().flatten();
    let number = |at: usize| fact(at).and_then(|text| text.parse::<u64>().ok());
    let cheap = number(0).is_none_or(|bytes| bytes <= CHEAP) && fact(2).as_deref() == Some("t");
    let rows = if cheap {
        client.query_one_text(&format!("select pg_catalog.count(*) from {quoted}"))?.and_then(|text| text.parse().ok())
    } else {
        number(1)
    };
    Ok(TableNow { given: quoted.clone(), table: fact(3).or(Some(quoted)), rows, about: !cheap })
}
