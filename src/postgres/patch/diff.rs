//! What one table needs to be as the restore point has it, written to spools as it is found.
//!
//! This module does not order tables or write files.

use super::literal;
use super::orphans::Orphans;
use super::rows::Reader;
use super::script::Script;
use super::spool::Spool;
use crate::postgres::client::{Client, Row};
use crate::postgres::tables::TablesError;
use crate::postgres::tables::shape::Table;
use crate::stream::Cancel;

/// How many INSERTs are counted together.
const COUNTED_TOGETHER: usize = 100;

/// Both databases, each in one snapshot.
pub(super) struct Open<'a> {
    pub(super) scratch: &'a Client,
    pub(super) target: &'a Client,
    pub(super) cancel: &'a Cancel,
}

/// A table in both, and what is wanted of it.
pub(super) struct Wanted<'a> {
    pub(super) scratch: &'a Table,
    pub(super) target: &'a Table,
    pub(super) filter: &'a str,
    /// Whether its rows refer to each other, over other tables or not: then they go in, and out, with one statement.
    pub(super) knotted: bool,
}

/// The statements for one table.
pub(super) struct Changes {
    pub(super) inserts: Spool,
    pub(super) updates: Spool,
    pub(super) deletes: Spool,
}

/// Compares the rows that match the filter, and with `deletes` looks for rows that are only in the live table.
pub(super) fn diff(open: &Open<'_>, wanted: &Wanted<'_>, deletes: bool, orphans: &mut Orphans<'_>) -> Result<Changes, TablesError> {
    let columns = wanted.target.stored();
    let script = Script::new(wanted.target);
    if script.key_columns() < wanted.target.key.len() {
        let detail = "a column of its primary key is generated, so rows can not be put back by it; use `--tables … --as copy`".to_owned();
        return Err(TablesError::Impossible { table: wanted.target.quoted.clone(), detail });
    }
    let scratch = Reader::new(open.scratch, wanted.scratch, &columns, open.cancel);
    let target = Reader::new(open.target, wanted.target, &columns, open.cancel);
    let mut found = Found { script, knotted: wanted.knotted, uncounted: Vec::new(), changes: Changes::new()? };
    let batches = scratch.matching(wanted.filter)?;
    loop {
        let rows = batches.next()?;
        if rows.is_empty() {
            break;
        }
        let there = target.with_keys(&rows.iter().map(|row| found.script.key(row)).collect::<Vec<_>>())?;
        let mut changed = Vec::new();
        for (row, old) in rows.iter().zip(there) {
            if found.row(old.as_ref(), row)? {
                changed.push(row);
            }
        }
        orphans.look(open, wanted.target, &columns, &changed)?;
    }
    found.count_inserts()?;
    if deletes {
        extra(&mut found, &scratch, &target, wanted.filter)?;
    }
    Ok(found.changes)
}

/// Rows of the live table that match the filter and that the restore point does not have at all.
fn extra(found: &mut Found<'_>, scratch: &Reader<'_>, target: &Reader<'_>, filter: &str) -> Result<(), TablesError> {
    let batches = target.matching(filter)?;
    loop {
        let rows = batches.next()?;
        if rows.is_empty() {
            return Ok(());
        }
        let there = scratch.with_keys(&rows.iter().map(|row| found.script.key(row)).collect::<Vec<_>>())?;
        for (row, _) in rows.iter().zip(there).filter(|(_, kept)| kept.is_none()) {
            found.only_live(row)?;
        }
    }
}

impl Changes {
    fn new() -> Result<Self, TablesError> {
        Ok(Self { inserts: Spool::new()?, updates: Spool::new()?, deletes: Spool::new()? })
    }
}

/// Statements as they are found.
struct Found<'a> {
    script: Script<'a>,
    knotted: bool,
    /// Keys of rows whose INSERT is written and not yet counted.
    uncounted: Vec<Vec<String>>,
    changes: Changes,
}

impl Found<'_> {
    /// A row as it was, beside what is there of it now. Answers whether anything is to be done.
    fn row(&mut self, there: Option<&Row>, row: &Row) -> Result<bool, TablesError> {
        match there {
            Some(there) if there == row => return Ok(false),
            Some(there) => self.changes.updates.push(&self.script.update(there, row)?)?,
            None if self.knotted => self.listed(row)?,
            None => {
                self.changes.inserts.push(&self.script.insert(row))?;
                self.uncounted.push(self.script.key(row).into_iter().map(str::to_owned).collect());
                if self.uncounted.len() == COUNTED_TOGETHER {
                    self.count_inserts()?;
                }
            }
        }
        Ok(true)
    }

    /// A row of the one INSERT for all of them.
    fn listed(&mut self, row: &Row) -> Result<(), TablesError> {
        let before = if self.changes.inserts.rows == 0 { self.script.insert_head() } else { ",".to_owned() };
        self.changes.inserts.push(&format!("{before}\n      {}", self.script.tuple(row)))
    }

    fn only_live(&mut self, row: &Row) -> Result<(), TablesError> {
        if !self.knotted {
            let statement = self.script.delete(row);
            return self.changes.deletes.push(&statement);
        }
        // The rows of the one DELETE for all of them.
        let before = if self.changes.deletes.rows == 0 { self.script.delete_head() } else { "\n      or ".to_owned() };
        self.changes.deletes.push(&format!("{before}{}", self.script.is_still(row).join(" and ")))
    }

    fn count_inserts(&mut self) -> Result<(), TablesError> {
        if self.uncounted.is_empty() {
            return Ok(());
        }
        let counted = self.script.inserted(&self.uncounted);
        self.uncounted.clear();
        self.changes.inserts.note(&counted)
    }
}

/// A filter in words: `all rows` for one that lets every row through.
pub(super) fn filter_words(filter: &str) -> String {
    if filter.trim().eq_ignore_ascii_case("true") { "all rows".to_owned() } else { format!("where {}", literal::one_line(filter.trim())) }
}
