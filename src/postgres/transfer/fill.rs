//! All data of a restore point into a database that has its tables already: rows, sequences, large objects.
//!
//! One transaction, compared with the restore point before it is committed. Live tables that the restore point lacks stay.
//! This module makes no table, and leaves nothing out silently.

use super::compare;
use super::ground::{self, Counter};
use super::knots::Knots;
use super::large::{self, Taken};
use super::{Sides, TablesError, TransferReport, Transferred, Work, in_transaction, over, standing, triggers_off};
use crate::archive::Counted;
use crate::postgres::tables::links::{self, Link};
use crate::postgres::tables::shape::Table;

/// How many tables a message names.
const NAMED: usize = 10;

/// Fills the live database from the scratch one. Rows that are there go if they are to be replaced, and are refused otherwise.
///
/// # Errors
/// [`TablesError::Unproven`] when what was filled is not what was dumped, and whatever stands in the way. Nothing was changed
/// then.
pub fn fill(sides: &Sides<'_>, replace: bool) -> Result<TransferReport, TablesError> {
    in_transaction(sides, |work| {
        work.there = ground::tables(&work.scratch)?;
        let counters = ground::sequences(&work.scratch)?;
        lock(work, &counters)?;
        let (here, sequences) = ground::same(work, &counters)?;
        work.here = here;
        let standing = standing::standing(&work.scratch, &counters)?;
        let Filled { tables, sent, mut notes } = if work.here.is_empty() { Filled::default() } else { rows(work, replace)? };
        standing::set(work, &sequences, &standing)?;
        notes.extend(large::bring(work, None, if replace { Taken::Unlink } else { Taken::Refuse })?);
        let differences = compare::tables(work, &sent)?.into_iter().chain(standing::differences(work, &sequences, &standing)?);
        compare::unproven(differences.collect())?;
        let owned = sequences.iter().filter(|sequence| sequence.owned).count();
        notes.extend((owned > 0).then(|| format!("sequences that stand where they stood: {owned}")));
        notes.extend(ground::beside(work)?);
        notes.extend(standing::forward(work, &sequences, &standing)?);
        Ok(TransferReport { tables, notes })
    })
}

/// Tables that were filled.
#[derive(Default)]
struct Filled {
    tables: Vec<Transferred>,
    /// What was sent to each.
    sent: Vec<Counted>,
    notes: Vec<String>,
}

/// Nobody reads or writes the live tables until it is done.
fn lock(work: &Work<'_>, counters: &[Counter]) -> Result<(), TablesError> {
    let (found, _) = ground::same(work, counters)?;
    if !found.is_empty() {
        let listed = found.iter().map(Table::alone).collect::<Vec<_>>().join(", ");
        work.target.batch(&format!("lock table {listed} in access exclusive mode"))?;
    }
    Ok(())
}

/// Empties the tables if that is asked for, and fills them.
fn rows(work: &Work<'_>, replace: bool) -> Result<Filled, TablesError> {
    let listed: Vec<&Table> = work.here.iter().collect();
    let links = links::load(&work.target, &listed)?;
    let groups = links::parents_first(&listed, &links);
    let outside: Vec<&Link> = links.iter().filter(|link| listed.iter().all(|table| table.oid != link.child)).collect();
    if replace {
        outside.iter().try_for_each(|link| refuse_referring(work, link))?;
    } else {
        refuse_rows(work)?;
    }
    // Triggers, checks and generated columns find what they name as they do in the role's own sessions.
    work.target.batch("set local search_path to default")?;
    let (off, notes) = triggers_off(work)?;
    let knots = Knots::loosen(&work.target, &groups, &links, &work.here)?;
    let mut tables = if replace {
        over::empty(work, &groups, &over::referred(&links, &outside))?
    } else {
        work.there.iter().zip(&work.here).map(none).collect()
    };
    let sent = over::fill(work, &groups, &mut tables)?;
    knots.tighten(&work.target)?;
    work.target.batch(&off.concat())?;
    // So that names inside of values are written as the other side writes them.
    work.target.batch("set local search_path to ''")?;
    Ok(Filled { tables, sent, notes })
}

fn none((there, here): (&Table, &Table)) -> Transferred {
    Transferred { table: there.quoted.clone(), into: here.quoted.clone(), inserted: 0, updated: 0, deleted: 0 }
}

/// Without leave to replace them, no row may be there.
fn refuse_rows(work: &Work<'_>) -> Result<(), TablesError> {
    let mut taken = Vec::new();
    for table in &work.here {
        let any = work.target.query_one_text(&format!("select exists (select from {})", table.alone()))?;
        if any.as_deref() == Some("t") {
            taken.push(table.quoted.clone());
        }
    }
    let more = if taken.len() > NAMED { format!(" and {} more", taken.len() - NAMED) } else { String::new() };
    let named = taken.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let detail = format!("rows are there already, in {named}{more}; to put the restore point's in their place say `replace` (--replace)");
    if taken.is_empty() { Ok(()) } else { Err(TablesError::Impossible { table: work.target.info().describe(), detail }) }
}

/// A table that stays must not have rows that refer to rows that go.
fn refuse_referring(work: &Work<'_>, link: &Link) -> Result<(), TablesError> {
    let Link { child_name, parent_name, quoted, .. } = link;
    work.target.batch(&format!("lock table {child_name} in share row exclusive mode"))?;
    let any = work.target.query_one_text(&format!("select exists (select from {child_name})"))?;
    let detail = format!(
        "its rows go, and {child_name}, which the restore point does not have, refers to them (foreign key {quoted}): \
         empty {child_name}, or drop that key, first"
    );
    if any.as_deref() == Some("t") { Err(TablesError::Impossible { table: parent_name.clone(), detail }) } else { Ok(()) }
}
