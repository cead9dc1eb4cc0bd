//! Replacing tables to which no other table refers, or none with rows: emptied, then filled.
//!
//! This module does not lock or look for other tables.

use super::{Transferred, Work, inwards, pour_counted};
use crate::archive::Counted;
use crate::postgres::error::PgError;
use crate::postgres::tables::TablesError;
use crate::postgres::tables::links::{Group, Link};

/// Empties all tables at once and fills them; answers also what was sent to each.
pub(super) fn replace(work: &Work<'_>, groups: &[Group]) -> Result<(Vec<Transferred>, Vec<Counted>), TablesError> {
    let mut done = empty(work, groups, &[])?;
    let sent = fill(work, groups, &mut done)?;
    Ok((done, sent))
}

/// Fills all tables, parents first; answers what was sent to each.
pub(super) fn fill(work: &Work<'_>, groups: &[Group], tables: &mut [Transferred]) -> Result<Vec<Counted>, PgError> {
    let mut sent = vec![Counted::default(); work.here.len()];
    for at in inwards(groups) {
        (tables[at].inserted, sent[at]) = pour_counted(work, at, &work.here[at].quoted)?;
    }
    Ok(sent)
}

/// Empties all tables: at once, but for those (by oid) that must be emptied row by row, children first.
pub(super) fn empty(work: &Work<'_>, groups: &[Group], by_rows: &[u32]) -> Result<Vec<Transferred>, TablesError> {
    let mut done: Vec<Transferred> = Vec::new();
    for (there, here) in work.there.iter().zip(&work.here) {
        let rows = work.target.query_one_text(&format!("select pg_catalog.count(*) from {}", here.alone()))?;
        let deleted = rows.and_then(|rows| rows.parse().ok()).unwrap_or(0);
        done.push(Transferred { table: there.quoted.clone(), into: here.quoted.clone(), inserted: 0, updated: 0, deleted });
    }
    let (slow, fast): (Vec<usize>, Vec<usize>) = inwards(groups).rev().partition(|at| by_rows.contains(&work.here[*at].oid));
    if !fast.is_empty() {
        let all = fast.into_iter().map(|at| work.here[at].alone()).collect::<Vec<_>>().join(", ");
        work.target.batch(&format!("truncate {all}"))?;
    }
    slow.into_iter().try_for_each(|at| work.target.batch(&format!("delete from {}", work.here[at].alone())))?;
    Ok(done)
}

/// The tables that can not be truncated because a table that stays, or one of themselves, refers to them: TRUNCATE minds the key,
/// whether or not there are rows.
pub(super) fn referred(links: &[Link], outside: &[&Link]) -> Vec<u32> {
    let mut found: Vec<u32> = outside.iter().map(|link| link.parent).collect();
    let mut at = 0;
    while let Some(child) = found.get(at).copied() {
        let parents = links.iter().filter(|link| link.child == child).map(|link| link.parent);
        let more: Vec<u32> = parents.filter(|parent| !found.contains(parent)).collect();
        found.extend(more);
        at += 1;
    }
    found
}
