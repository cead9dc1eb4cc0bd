//! Whole tables brought back from a restore point into the live database, in one transaction.
//!
//! Rows flow from one server into the other as `COPY` text and are never all in memory. If anything fails, nothing was changed,
//! but for sequences, which only ever move forward and last of all. This module does not restore the scratch database, ask
//! anyone, or keep a copy of what it replaces.

mod beside;
mod compare;
mod fill;
mod ground;
mod knots;
mod large;
mod over;
mod staged;
mod standing;

pub use self::fill::fill;
use self::knots::Knots;
use super::client::Client;
use super::error::PgError;
use super::quote::literal;
use super::tables::links::{self, Group, Link};
use super::tables::shape::{Sequence, Table, names};
use super::tables::{check, open, pair};
use crate::archive::{Counted, Rows};

pub use super::tables::{Sides, TablesError};

/// What becomes of the rows that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// The live tables get exactly the restore point's rows; no others stay.
    Replace,
    /// Missing rows are inserted, rows that differ are set back, nothing is deleted.
    Merge,
    /// New tables in a new schema; what is there is not touched.
    Copy {
        /// The schema to make, which must not exist.
        schema: String,
    },
}

/// What was done to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// The restore point's table, as SQL writes it.
    pub table: String,
    /// The table that was written to, as SQL writes it.
    pub into: String,
    /// How many rows were inserted.
    pub inserted: u64,
    /// How many rows were set back.
    pub updated: u64,
    /// How many rows were deleted.
    pub deleted: u64,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferReport {
    /// By table, in the order they were asked for.
    pub tables: Vec<Transferred>,
    /// Triggers that were off or have fired, and whatever else is to be known.
    pub notes: Vec<String>,
}

/// How long a statement may wait for a lock. While it waits, whoever comes later to the same table waits behind it.
const LOCK_LIMIT: &str = "10s";

/// Both databases inside their transactions, and the tables in each, in the same order.
struct Work<'a> {
    scratch: Client,
    target: Client,
    there: Vec<Table>,
    here: Vec<Table>,
    sides: &'a Sides<'a>,
}

/// Brings tables, named as a user names them, from the scratch database into the live one.
pub fn transfer(sides: &Sides<'_>, tables: &[&str], how: &How) -> Result<TransferReport, TablesError> {
    in_transaction(sides, |work| {
        work.there = pair::of_scratch(&work.scratch, tables)?;
        let mut report = match how {
            How::Copy { schema } => beside::copy(work, schema)?,
            How::Replace | How::Merge => lock(work, how).and_then(|()| into_live(work, how))?,
        };
        report.notes.extend(large::follow(work)?);
        Ok(report)
    })
}

/// Does something inside a transaction on each side. Unless it is done whole, nothing of it stays.
fn in_transaction<T>(sides: &Sides<'_>, doing: impl FnOnce(&mut Work<'_>) -> Result<T, TablesError>) -> Result<T, TablesError> {
    let (scratch, target) = (open(sides.scratch, sides.handle)?, open(sides.target, sides.handle)?);
    scratch.batch("begin isolation level repeatable read read only")?;
    target.batch(&format!("set lock_timeout = '{LOCK_LIMIT}'; begin"))?;
    let mut work = Work { scratch, target, there: Vec::new(), here: Vec::new(), sides };
    let done = doing(&mut work).and_then(|done| {
        check(sides.cancel, "bringing tables back")?;
        work.target.batch("commit").map(|()| done).map_err(TablesError::from)
    });
    if done.is_err() {
        // The error counts; the connection ends here anyway, and with it the transaction.
        let _ended = work.target.batch("rollback");
    }
    work.scratch.close();
    work.target.close();
    done
}

/// Locks the live tables against writers (replacing also against readers, who would wait for it anyway), then looks at them.
fn lock(work: &mut Work<'_>, how: &How) -> Result<(), TablesError> {
    let mode = if *how == How::Replace { "access exclusive" } else { "share row exclusive" };
    let found = pair::of_target(&work.target, &work.there)?;
    let listed = found.iter().map(Table::alone).collect::<Vec<_>>().join(", ");
    work.target.batch(&format!("lock table {listed} in {mode} mode"))?;
    // What was seen before the lock may have changed since.
    work.here = pair::of_target(&work.target, &work.there)?;
    Ok(())
}

fn into_live(work: &Work<'_>, how: &How) -> Result<TransferReport, TablesError> {
    let listed: Vec<&Table> = work.here.iter().collect();
    let links = links::load(&work.target, &listed)?;
    let groups = links::parents_first(&listed, &links);
    let outside: Vec<&Link> = links.iter().filter(|link| listed.iter().all(|table| table.oid != link.child)).collect();
    let staged = *how == How::Merge || !outside.is_empty();
    if staged {
        pair::need_keys(&work.there, &work.here, |table| advice(table, &outside))?;
    }
    // Triggers, checks and generated columns find what they name as they do in the role's own sessions.
    work.target.batch("set local search_path to default")?;
    let (off, mut notes) = if *how == How::Replace { triggers_off(work)? } else { (Vec::new(), firing(work)) };
    let knots = Knots::loosen(&work.target, &groups, &links, &work.here)?;
    let (tables, sent) = match (how, staged) {
        (How::Replace, false) => over::replace(work, &groups)?,
        (How::Replace, true) => staged::bring(work, &groups, Some(&links))?,
        _ => staged::bring(work, &groups, None)?,
    };
    knots.tighten(&work.target)?;
    work.target.batch(&off.concat())?;
    if *how == How::Replace {
        // So that names inside of values are written as the other side writes them.
        work.target.batch("set local search_path to ''")?;
        compare::unproven(compare::tables(work, &sent)?)?;
    }
    notes.extend(advance(work)?);
    Ok(TransferReport { tables, notes })
}

fn advice(table: &Table, outside: &[&Link]) -> String {
    let copy = format!("use `--tables {} --as copy`", table.quoted);
    let children: Vec<&str> = outside.iter().map(|link| link.child_name.as_str()).collect();
    if children.is_empty() { copy } else { format!("name the tables that refer to it as well ({}), or {copy}", children.join(", ")) }
}

/// Switches users' triggers off where the role may; answers the statements that make each what it was. A partition's own may be in
/// another state than its table's.
fn triggers_off(work: &Work<'_>) -> Result<(Vec<String>, Vec<String>), PgError> {
    let (mut on_again, mut notes) = (Vec::new(), Vec::new());
    for trigger in work.here.iter().flat_map(|table| &table.triggers) {
        if !trigger.switchable {
            notes.push(format!("trigger {} has fired: only the table's owner can switch it off", trigger.words()));
            continue;
        }
        work.target.batch(&format!("alter table only {} disable trigger {}", trigger.on, trigger.quoted))?;
        let always = if trigger.always { "always " } else { "" };
        on_again.push(format!("alter table only {} enable {always}trigger {};", trigger.on, trigger.quoted));
        notes.extend(trigger.own.then(|| format!("trigger {} was off meanwhile", trigger.words())));
    }
    Ok((on_again, notes))
}

/// Triggers that a merge fires.
fn firing(work: &Work<'_>) -> Vec<String> {
    // Insert 4, update 16.
    let fires = work.here.iter().flat_map(|table| &table.triggers).filter(|trigger| trigger.own && trigger.fires_on(4 | 16));
    fires.map(|trigger| format!("trigger {} has fired where rows were changed", trigger.words())).collect()
}

/// Moves sequences on to where they were in the restore point, never back: what was given out since stays given out.
fn advance(work: &Work<'_>) -> Result<Vec<String>, TablesError> {
    let mut notes = Vec::new();
    for (there, here) in work.there.iter().zip(&work.here) {
        for sequence in &here.sequences {
            let Some(source) = there.sequences.iter().find(|other| other.column == sequence.column) else { continue };
            if moved(work, source, sequence)? {
                notes.push(format!("sequence {} was moved on to where it was in the restore point", sequence.quoted));
            }
        }
    }
    Ok(notes)
}

fn moved(work: &Work<'_>, source: &Sequence, sequence: &Sequence) -> Result<bool, PgError> {
    let standing = work.scratch.query(&format!("select last_value, is_called from {}", source.quoted))?;
    let Some([Some(value), Some(called)]) = standing.first().map(Vec::as_slice) else { return Ok(false) };
    moved_on(work, (value, called), sequence)
}

/// Moves one sequence on to a standing; answers whether it was behind that. No rollback undoes it.
fn moved_on(work: &Work<'_>, (value, called): (&str, &str), sequence: &Sequence) -> Result<bool, PgError> {
    let beyond = if sequence.ascending { ">" } else { "<" };
    let sql = format!(
        "select pg_catalog.setval({}, {value}, '{called}') from {} now \
         where {value} {beyond} now.last_value or {value} = now.last_value and '{called}' and not now.is_called",
        literal(&sequence.quoted),
        sequence.quoted,
    );
    Ok(work.target.query_one_text(&sql)?.is_some())
}

/// Sends the rows of a table on the scratch side to a `COPY` on the live one.
fn pour(work: &Work<'_>, at: usize, into: &str, with_generated: bool) -> Result<u64, PgError> {
    pour_seen(work, at, (into, with_generated), &mut |_| Ok(()))
}

/// The same without generated columns, and answers what was sent.
fn pour_counted(work: &Work<'_>, at: usize, into: &str) -> Result<(u64, Counted), PgError> {
    let mut rows = Rows::default();
    let inserted = pour_seen(work, at, (into, false), &mut compare::taking(&mut rows))?;
    Ok((inserted, compare::taken(rows)?))
}

/// The same, and shows the rows on their way.
fn pour_seen(
    work: &Work<'_>,
    at: usize,
    (into, with_generated): (&str, bool),
    seen: &mut dyn FnMut(&[u8]) -> Result<(), PgError>,
) -> Result<u64, PgError> {
    let (there, columns) = (&work.there[at], work.here.get(at).unwrap_or(&work.there[at]));
    let listed = names(columns.columns.iter().filter(|column| with_generated || !column.generated), "");
    let list = if listed.is_empty() { String::new() } else { format!("({listed}) ") };
    let into = format!("copy {into} {list}from stdin");
    work.scratch.copy_across(&rows_out(&listed, there), (&work.target, &into), work.sides.cancel, seen)
}

/// The statement that sends the rows of a table, with these columns.
fn rows_out(listed: &str, table: &Table) -> String {
    format!("copy (select {listed} from {}) to stdout", table.alone())
}

/// The tables in the order in which rows go in.
fn inwards(groups: &[Group]) -> impl DoubleEndedIterator<Item = usize> {
    groups.iter().flat_map(|group| group.tables.iter().copied())
}
