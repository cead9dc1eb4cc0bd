//! Tables copied beside what is there: into a new schema, for someone to look at and take from.
//!
//! A copy has the columns with their types and defaults, NOT NULL and the primary key. Generated and identity columns become
//! ordinary ones with the values they had, and defaults from sequences are left out, so that a copy leans on nothing. This
//! module touches no table that exists.

use super::{TransferReport, Transferred, Work, pour};
use crate::postgres::quote::{self, identifier, literal};
use crate::postgres::tables::TablesError;
use crate::postgres::tables::name::COPIES;
use crate::postgres::tables::shape::{Column, Table};

/// The longest name in bytes (`NAMEDATALEN - 1`); the server would cut a longer one silently.
const NAME_LIMIT: usize = 63;

/// Makes the schema, the tables, and fills them.
pub(super) fn copy(work: &Work<'_>, schema: &str) -> Result<TransferReport, TablesError> {
    refuse_schema(work, schema)?;
    for (at, table) in work.there.iter().enumerate() {
        if work.there.iter().take(at).any(|other| other.name == table.name) {
            let detail = format!("another table of this name is copied into schema {schema} too: copy them one at a time");
            return Err(TablesError::Impossible { table: table.quoted.clone(), detail });
        }
    }
    let comment = format!("{COPIES} beside the live ones; nothing depends on them.");
    work.target.batch(&format!("create schema {0}; comment on schema {0} is {1}", identifier(schema), literal(&comment)))?;
    let mut tables = Vec::new();
    for (at, table) in work.there.iter().enumerate() {
        let into = quote::table(schema, &table.name);
        work.target.batch(&create(table, &into))?;
        let inserted = pour(work, at, &into, true)?;
        if !table.key.is_empty() {
            let key = table.key.iter().map(|key| identifier(&key.name)).collect::<Vec<_>>().join(", ");
            work.target.batch(&format!("alter table {into} add primary key ({key})"))?;
        }
        tables.push(Transferred { table: table.quoted.clone(), into, inserted, updated: 0, deleted: 0 });
    }
    Ok(TransferReport { tables, notes: Vec::new() })
}

fn refuse_schema(work: &Work<'_>, schema: &str) -> Result<(), TablesError> {
    let refused = |detail: &str| Err(TablesError::Impossible { table: format!("schema {schema}"), detail: detail.to_owned() });
    if schema.is_empty() || schema.len() > NAME_LIMIT {
        return refused("the name of a schema is 1 to 63 bytes long");
    }
    let sql = format!("select true from pg_catalog.pg_namespace where nspname = {}", literal(schema));
    match work.target.query_one_text(&sql)? {
        Some(_) => refused("it exists already, and a copy goes only into a new one: drop it, or name another"),
        None => Ok(()),
    }
}

fn create(table: &Table, into: &str) -> String {
    let column = |column: &Column| {
        let collation = column.collation.as_ref().map(|name| format!(" collate {name}")).unwrap_or_default();
        let default = column.default.as_ref().map(|default| format!(" default {default}")).unwrap_or_default();
        let not_null = if column.not_null { " not null" } else { "" };
        format!("{} {}{collation}{default}{not_null}", identifier(&column.name), column.type_name)
    };
    format!("create table {into} ({})", table.columns.iter().map(column).collect::<Vec<_>>().join(", "))
}
