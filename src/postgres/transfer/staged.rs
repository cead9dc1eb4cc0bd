//! Rows brought in by way of temp tables, so that only what differs is touched.
//!
//! That is what a merge means, and the only way to replace a table to which others refer: a row that stays must not be
//! deleted, not even for a moment, or foreign keys would refuse it or, worse, delete or change rows of tables nobody named.
//! This module reads no catalog.

use super::{Transferred, Work, inwards, pour_counted};
use crate::archive::Counted;
use crate::postgres::error::PgError;
use crate::postgres::quote::identifier;
use crate::postgres::tables::TablesError;
use crate::postgres::tables::links::{Group, Link};
use crate::postgres::tables::shape::{Column, Table, names};

/// Types of which equal values are written equally. The `1.0` and `1.00` of a numeric, or two intervals, may be equal and are not the same.
const EXACT: [&str; 9] =
    ["smallint", "integer", "bigint", "boolean", "text", "uuid", "date", "timestamp without time zone", "timestamp with time zone"];

/// Brings rows in, and answers also what was sent. With the links from and to the tables, also deletes the rows that the restore
/// point does not have.
pub(super) fn bring(work: &Work<'_>, groups: &[Group], delete: Option<&[Link]>) -> Result<(Vec<Transferred>, Vec<Counted>), TablesError> {
    let sent = (0..work.here.len()).map(|at| stage(work, at)).collect::<Result<Vec<_>, _>>()?;
    let (mut inserted, mut updated, mut deleted) = (vec![0; work.here.len()], vec![0; work.here.len()], vec![0; work.here.len()]);
    // As in a patch: deletes first only where a row that comes back may need the unique value of one that goes.
    let mut deletes_first = work.here.iter().any(|table| table.otherwise_unique);
    if let Some(links) = delete {
        let outside = |link: &&Link| work.here.iter().all(|table| table.oid != link.child);
        links.iter().filter(outside).try_for_each(|link| refuse_orphans(work, link))?;
        // A row that stays may refer, until it is set back, to one that goes, and go with it, and with it rows of tables that nobody
        // named. Deleted last, nothing refers to it any more; where a unique value is in the way then, the server refuses it all.
        deletes_first = deletes_first && !takes_along(work, links)?;
        if deletes_first {
            remove(work, groups, &mut deleted)?;
        }
    }
    for group in groups {
        for (at, inserts) in in_order(group) {
            if inserts {
                inserted[at] = work.target.execute(&insert(&work.here[at], at))?;
            } else if let Some(sql) = update(&work.here[at], at) {
                updated[at] = work.target.execute(&sql)?;
            }
        }
    }
    if delete.is_some() && !deletes_first {
        remove(work, groups, &mut deleted)?;
    }
    let done = |(at, (there, here)): (usize, (&Table, &Table))| Transferred {
        table: there.quoted.clone(),
        into: here.quoted.clone(),
        inserted: inserted[at],
        updated: updated[at],
        deleted: deleted[at],
    };
    Ok((work.there.iter().zip(&work.here).enumerate().map(done).collect(), sent))
}

/// The tables of a group, and whether rows are inserted or set back: as in a patch, a row that comes back may need what another one
/// has taken since, but where rows may refer to new ones of the same group those come first.
fn in_order(group: &Group) -> impl Iterator<Item = (usize, bool)> {
    let first = group.knotted;
    [first, !first].into_iter().flat_map(|inserts| group.tables.iter().map(move |at| (*at, inserts)))
}

fn staging(at: usize) -> String {
    format!("pg_temp.runner_staged_{at}")
}

fn stage(work: &Work<'_>, at: usize) -> Result<Counted, PgError> {
    let (table, into) = (&work.here[at], staging(at));
    let columns = names(table.stored(), "");
    // Not LIKE, which would keep NOT NULL on columns that are not filled here.
    work.target
        .batch(&format!("create temp table runner_staged_{at} on commit drop as select {columns} from {} with no data", table.alone()))?;
    let (_, sent) = pour_counted(work, at, &into)?;
    work.target.batch(&format!("analyze {into}"))?;
    Ok(sent)
}

/// `l.a = r.a and …` over the primary key.
fn same_key(table: &Table, left: &str, right: &str) -> String {
    let one = |name: &String, equals: &String| format!("{left}.{0} {equals} {right}.{0}", identifier(name));
    table.key.iter().map(|key| one(&key.name, &key.equals)).collect::<Vec<_>>().join(" and ")
}

fn insert(table: &Table, at: usize) -> String {
    let columns = table.stored();
    format!(
        "insert into {} ({}){} select {} from {} s where not exists (select from {} l where {})",
        table.quoted,
        names(columns.iter().copied(), ""),
        table.overriding(),
        names(columns.iter().copied(), "s."),
        staging(at),
        table.alone(),
        same_key(table, "l", "s"),
    )
}

/// `None` if the table has nothing but its key. Identity columns that are always generated can not be set and stay as they are.
fn update(table: &Table, at: usize) -> Option<String> {
    let settable = |column: &&Column| column.identity != "a" && table.key.iter().all(|key| key.name != column.name);
    let columns: Vec<&Column> = table.stored().into_iter().filter(settable).collect();
    let set = columns.iter().map(|column| format!("{0} = s.{0}", identifier(&column.name))).collect::<Vec<_>>().join(", ");
    let differs = |column: &&Column| {
        let as_text = if EXACT.contains(&column.type_name.as_str()) && column.comparable { "" } else { "::pg_catalog.text" };
        format!("l.{0}{as_text} is distinct from s.{0}{as_text}", identifier(&column.name))
    };
    let differs = columns.iter().map(differs).collect::<Vec<_>>().join(" or ");
    let sql = || format!("update {} l set {set} from {} s where {} and ({differs})", table.alone(), staging(at), same_key(table, "l", "s"));
    (!columns.is_empty()).then(sql)
}

/// Deletes rows that the restore point does not have, children first.
fn remove(work: &Work<'_>, groups: &[Group], deleted: &mut [u64]) -> Result<(), PgError> {
    for at in inwards(groups).rev() {
        let table = &work.here[at];
        let kept = format!("select from {} s where {}", staging(at), same_key(table, "l", "s"));
        deleted[at] = work.target.execute(&format!("delete from {} l where not exists ({kept})", table.alone()))?;
    }
    Ok(())
}

/// Whether a foreign key would delete or change rows that stay, if those that go went first.
fn takes_along(work: &Work<'_>, links: &[Link]) -> Result<bool, PgError> {
    for link in links.iter().filter(|link| link.on_delete.is_some()) {
        let Some(child) = work.here.iter().position(|table| table.oid == link.child) else { continue };
        let Some(leaving) = referring_to_leaving(work, link) else { continue };
        let stays = format!("exists (select from {} s where {})", staging(child), same_key(&work.here[child], "c", "s"));
        if work.target.query_one_text(&format!("select exists (select {leaving} and {stays})"))?.as_deref() == Some("t") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `from … where …`: rows `c` that refer to rows of a named table that go.
fn referring_to_leaving(work: &Work<'_>, link: &Link) -> Option<String> {
    let at = work.here.iter().position(|table| table.oid == link.parent)?;
    let table = &work.here[at];
    let columns = link.references.iter().zip(&link.equals).zip(&link.columns);
    let on = columns.map(|((parent, equals), child)| format!("l.{} {equals} c.{}", identifier(parent), identifier(child)));
    // The key may refer to one partition.
    let parent = if link.parent_name == table.quoted { table.alone() } else { link.parent_name.clone() };
    Some(format!(
        "from {} c join {parent} l on {} where not exists (select from {} s where {})",
        link.child_name,
        on.collect::<Vec<_>>().join(" and "),
        staging(at),
        same_key(table, "l", "s"),
    ))
}

/// Refuses to delete rows to which a table that was not named refers, whatever its foreign key would do then.
fn refuse_orphans(work: &Work<'_>, link: &Link) -> Result<(), TablesError> {
    let Some(leaving) = referring_to_leaving(work, link) else { return Ok(()) };
    let count = work.target.query_one_text(&format!("select pg_catalog.count(*) {leaving}"))?;
    match count.as_deref() {
        None | Some("0") => Ok(()),
        Some(count) => Err(TablesError::Impossible {
            table: link.parent_name.clone(),
            detail: format!(
                "rows that the restore point does not have would go, and {count} of {0} refer to them (foreign key {1}): name {0} as well, \
                 or use `--as merge`, which deletes nothing",
                link.child_name, link.quoted
            ),
        }),
    }
}
