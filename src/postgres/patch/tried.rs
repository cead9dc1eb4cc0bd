//! Users' conditions tried on the live tables before anything is restored: the server reads them, and no row.
//!
//! A table that is not there, or that may be one of several, is not judged here.

use tokio::runtime::Handle;

use super::RowsWanted;
use super::rows::in_path_of;
use crate::postgres::client::Client;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::error::PgError;
use crate::postgres::tables::name::resolve_live;
use crate::postgres::tables::{TablesError, open, shape};

/// What the server says of conditions that will not do, in words.
///
/// # Errors
/// When the server can not be asked.
pub fn refused(live: &ConnInfo, handle: &Handle, wanted: &[RowsWanted]) -> Result<Vec<String>, PgError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let client = open(live, handle)?;
    let mut found = Vec::new();
    for wanted in wanted {
        client.batch("begin read only")?;
        found.extend(one(&client, wanted).err().map(|error| error.to_string()));
        client.batch("rollback")?;
    }
    client.close();
    Ok(found)
}

fn one(client: &Client, wanted: &RowsWanted) -> Result<(), TablesError> {
    let Ok((schema, name)) = resolve_live(client, &wanted.table) else { return Ok(()) };
    let Some(table) = shape::load(client, &schema, &name)? else { return Ok(()) };
    let select = format!("select from {} where (\n{}\n)", table.alone(), wanted.filter);
    let read = in_path_of(client, &table.schema, || {
        client.check_single(&select)?;
        client.batch(&format!("explain {select}"))
    });
    read.map_err(|source| TablesError::Filter { table: table.quoted, filter: wanted.filter.clone(), source: Box::new(source) })
}
