//! Replacing tables to which no other table refers: emptied, then filled.
//!
//! This module does not lock or look for other tables.

use super::{Transferred, Work, inwards, pour};
use crate::postgres::tables::TablesError;
use crate::postgres::tables::links::Group;
use crate::postgres::tables::shape::Table;

/// Empties all tables at once and fills them, parents first.
pub(super) fn replace(work: &Work<'_>, groups: &[Group]) -> Result<Vec<Transferred>, TablesError> {
    let mut done: Vec<Transferred> = Vec::new();
    for (there, here) in work.there.iter().zip(&work.here) {
        let rows = work.target.query_one_text(&format!("select pg_catalog.count(*) from {}", here.alone()))?;
        let deleted = rows.and_then(|rows| rows.parse().ok()).unwrap_or(0);
        done.push(Transferred { table: there.quoted.clone(), into: here.quoted.clone(), inserted: 0, updated: 0, deleted });
    }
    let all = work.here.iter().map(Table::alone).collect::<Vec<_>>().join(", ");
    work.target.batch(&format!("truncate {all}"))?;
    for at in inwards(groups) {
        done[at].inserted = pour(work, at, &work.here[at].quoted, false)?;
    }
    Ok(done)
}
