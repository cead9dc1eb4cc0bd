//! The rows of a dump's tables in a live database, only counted.
//!
//! A dump has names in its own encoding, and of an extension's table only the rows that are the user's. This module does not read rows.

use std::collections::{BTreeMap, HashMap};

use super::Live;
use super::catalog::{self, Table};
use super::session::Session;
use crate::archive::Fingerprint;
use crate::postgres::error::PgError;
use crate::postgres::restored::TableRows;

/// Rows by schema and table, under the names that the dump has.
pub type Counts = BTreeMap<(String, String), u64>;

/// The rows of the dump's tables that are there, as far as a dump would hold them. Those of whole tables were `counted` already.
pub fn counts_of(live: &Live<'_>, dumped: &Fingerprint, counted: &[TableRows]) -> Result<Counts, PgError> {
    let session = Session::open(live, &dumped.facts.encoding, None)?;
    let known: HashMap<(&str, &str), u64> =
        counted.iter().map(|table| ((table.schema.as_str(), table.table.as_str()), table.rows)).collect();
    let mut found = Counts::new();
    for table in catalog::tables(&session, dumped)?.iter().filter(|table| !table.with_partitions) {
        let rows = match &table.condition {
            Some(condition) => Some(chosen(&session, table, condition)?),
            None => known.get(&(table.schema.plain(), table.name.plain())).copied(),
        };
        found.extend(rows.map(|rows| ((table.schema.dumped(), table.name.dumped()), rows)));
    }
    session.close()?;
    Ok(found)
}

/// The rows that an extension leaves to the user.
fn chosen(session: &Session, table: &Table, condition: &str) -> Result<u64, PgError> {
    let sql = format!("select pg_catalog.count(*) from {} {condition}", table.quoted());
    let number = session.column(&sql)?.first().and_then(|number| number.parse().ok());
    number.ok_or_else(|| session.unexpected(format!("no number for: {sql}")))
}
