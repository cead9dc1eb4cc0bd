//! Whether both sides hold the same, asked inside the transaction that is about to be committed.
//!
//! Rows are compared as the proof of a restore compares them: counted, and digested in `COPY`'s text form whatever their
//! order. This module changes nothing.

use super::{Work, rows_out};
use crate::archive::{Counted, Rows};
use crate::postgres::client::Client;
use crate::postgres::error::PgError;
use crate::postgres::tables::TablesError;
use crate::postgres::tables::shape::names;
use crate::stream::{Cancel, StreamError};

/// How many rows pass before it is asked again whether to stop.
const BETWEEN_CHECKS: u32 = 10_000;

/// How many differences a message names.
const NAMED: usize = 10;

fn failed(error: StreamError) -> PgError {
    PgError::program("comparing rows", error)
}

/// Feeds rows to a digest as they pass.
pub(super) fn taking(rows: &mut Rows) -> impl FnMut(&[u8]) -> Result<(), PgError> {
    |row| rows.feed(row).map_err(failed)
}

/// What passed.
pub(super) fn taken(rows: Rows) -> Result<Counted, PgError> {
    rows.finish_unmarked().map_err(failed)
}

/// What a `COPY … TO STDOUT` sends, counted and digested.
pub(super) fn counted(client: &Client, sql: &str, cancel: &Cancel) -> Result<Counted, PgError> {
    let (mut rows, mut unchecked) = (Rows::default(), 0);
    client.copy_out(sql, |row| {
        unchecked += 1;
        if unchecked == BETWEEN_CHECKS {
            unchecked = 0;
            cancel.check().map_err(failed)?;
        }
        rows.feed(row).map_err(failed)
    })?;
    taken(rows)
}

/// Differences as the error that ends everything.
pub(super) fn unproven(differences: Vec<String>) -> Result<(), TablesError> {
    let more = differences.len().saturating_sub(NAMED);
    let named = differences.into_iter().take(NAMED).collect::<Vec<_>>().join("; ");
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    if named.is_empty() { Ok(()) } else { Err(TablesError::Unproven { differences: named + &more }) }
}

/// The live tables that do not hold exactly the rows that were sent, in words.
pub(super) fn tables(work: &Work<'_>, sent: &[Counted]) -> Result<Vec<String>, PgError> {
    let mut differences = Vec::new();
    for (table, sent) in work.here.iter().zip(sent) {
        let listed = names(table.stored(), "");
        let found = counted(&work.target, &rows_out(&listed, table), work.sides.cancel)?;
        if found.rows != sent.rows {
            differences.push(format!("rows in {}: {}, not {}", table.quoted, found.rows, sent.rows));
        } else if found != *sent {
            differences.push(format!("rows of {} are not what was dumped", table.quoted));
        }
    }
    Ok(differences)
}
