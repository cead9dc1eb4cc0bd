//! Single rows brought back: the difference between a restore point and the live database as SQL that a human reviews.
//!
//! [`patch()`] reads both databases, each in one read-only snapshot, and changes neither. What it writes inserts the rows that are
//! gone, sets changed columns back, and on request deletes what was not there; every statement names the state it was written
//! for, so that a patch which is no longer right fails as a whole. [`apply_patch`] runs it. This module does not restore the
//! scratch database or ask anyone.

mod apply;
mod diff;
mod header;
mod literal;
mod orphans;
mod rows;
mod script;
mod split;
mod spool;
mod tried;
mod write;

use std::io::Write;
use std::time::Duration;

use self::diff::{Changes, Open, Wanted, diff, filter_words};
use self::orphans::Orphans;
use self::write::{Part, write};
use super::client::Client;
use super::tables::links::{self, Group, Link};
use super::tables::shape::Table;
use super::tables::{open, pair};

pub use self::apply::{Touched, apply_patch};
pub use self::header::{Header, header};
pub use self::tried::refused;
pub use super::tables::{Sides, TablesError};

/// Rows to bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsWanted {
    /// The table as a user names it: `orders`, `Sales.Orders`, `"A.b".c`.
    pub table: String,
    /// Which of its rows: what stands after `where` in SQL, or `true`. Other tables are found in the table's own schema and
    /// in the role's search path.
    pub filter: String,
}

/// How a patch is made.
#[derive(Debug, Clone)]
pub struct PatchOptions {
    /// The restore point in words, for the head of the file.
    pub restore_point: String,
    /// Whether live rows that match a filter, and are not in the restore point, are deleted.
    pub with_deletes: bool,
    /// How long each statement of the patch may take; zero means no limit.
    pub statement_limit: Duration,
    /// How long each statement of the patch may wait for a lock; zero means no limit.
    pub lock_limit: Duration,
}

/// What a patch will do to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChanges {
    /// The table with its schema, as SQL writes it.
    pub table: String,
    /// Which rows were wanted, in words.
    pub wanted: String,
    /// How many rows it inserts.
    pub inserted: u64,
    /// How many rows it sets back.
    pub updated: u64,
    /// How many rows it deletes.
    pub deleted: u64,
}

/// What a patch will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchReport {
    /// The live database.
    pub database: String,
    /// By table, in the order they were asked for.
    pub tables: Vec<TableChanges>,
    /// What a reviewer should know: triggers that will fire, sequences, generated and identity columns, foreign keys.
    pub notes: Vec<String>,
    /// Why it may be refused, or do more than it says.
    pub warnings: Vec<String>,
}

impl PatchReport {
    /// Whether there is nothing to do.
    pub fn empty(&self) -> bool {
        self.tables.iter().all(|table| table.inserted + table.updated + table.deleted == 0)
    }
}

/// Compares the wanted rows with the live ones and writes the patch that brings them back. Changes nothing.
pub fn patch(sides: &Sides<'_>, wanted: &[RowsWanted], options: &PatchOptions, out: &mut dyn Write) -> Result<PatchReport, TablesError> {
    let (scratch, target) = (open(sides.scratch, sides.handle)?, open(sides.target, sides.handle)?);
    for client in [&scratch, &target] {
        client.batch("begin isolation level repeatable read read only")?;
    }
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.table.as_str()).collect();
    let there = pair::of_scratch(&scratch, &names)?;
    let here = pair::of_target(&target, &there)?;
    pair::need_keys(&there, &here, |table| format!("bring the table back beside itself with `--tables {} --as copy`", table.quoted))?;
    let listed: Vec<&Table> = here.iter().collect();
    // A partition that only one side has is no table to look at on both.
    let whole = |link: Link| match here.iter().find(|table| table.oid == link.parent) {
        Some(table) => Link { parent_name: table.quoted.clone(), ..link },
        None => link,
    };
    let links: Vec<Link> = links::load(&target, &listed)?.into_iter().map(whole).collect();
    let groups = links::parents_first(&listed, &links);
    let open = Open { scratch: &scratch, target: &target, cancel: sides.cancel };
    let filters = wanted.iter().zip(&here).map(|(wanted, table)| (table.oid, table.schema.as_str(), wanted.filter.as_str()));
    let mut orphans = Orphans::new(&links, filters.collect());
    let mut parts = Vec::new();
    for (at, (wanted, table)) in wanted.iter().zip(&here).enumerate() {
        let knotted = groups.iter().any(|group| group.knotted && group.tables.contains(&at));
        let wanted = Wanted { scratch: &there[at], target: table, filter: &wanted.filter, knotted };
        parts.push(Part { table, changes: diff(&open, &wanted, options.with_deletes, &mut orphans)? });
    }
    let report = report(&target, wanted, &parts, (&links, &groups), orphans.warnings());
    write(&report, parts, &groups, options, out)?;
    scratch.close();
    target.close();
    Ok(report)
}

fn report(target: &Client, wanted: &[RowsWanted], parts: &[Part<'_>], order: (&[Link], &[Group]), orphans: Vec<String>) -> PatchReport {
    let table = |(wanted, part): (&RowsWanted, &Part<'_>)| TableChanges {
        table: part.table.quoted.clone(),
        wanted: filter_words(&wanted.filter),
        inserted: part.changes.inserts.rows,
        updated: part.changes.updates.rows,
        deleted: part.changes.deletes.rows,
    };
    let mut notes: Vec<String> = parts.iter().flat_map(notes).collect();
    notes.extend(order.1.iter().filter(|group| group.knotted).filter_map(|group| knot(group, parts)));
    let mut warnings = orphans;
    warnings.extend(order.0.iter().filter_map(|link| cascade(link, parts)));
    PatchReport { database: target.info().database.clone(), tables: wanted.iter().zip(parts).map(table).collect(), notes, warnings }
}

/// What is to be known of one table that is changed.
fn notes(part: &Part<'_>) -> Vec<String> {
    let (table, Changes { inserts, updates, deletes }) = (part.table, &part.changes);
    let events = [(4, inserts.rows), (16, updates.rows), (8, deletes.rows)];
    let events: u16 = events.iter().filter(|(_, rows)| *rows > 0).map(|(bit, _)| bit).sum();
    let name = &table.quoted;
    let mut notes: Vec<String> = Vec::new();
    notes.extend(table.triggers.iter().filter(|t| t.own && t.fires_on(events)).map(|t| format!("trigger {} will fire", t.words())));
    if inserts.rows > 0 {
        notes.extend(table.sequences.iter().map(|s| format!("sequence {} is moved on if it is behind {name}.{}", s.quoted, s.column)));
        let identity = table.columns.iter().filter(|column| column.identity == "a");
        notes.extend(identity.map(|c| format!("identity column {name}.{} is given its old values", c.quoted)));
    }
    if inserts.rows + updates.rows > 0 {
        let generated = table.columns.iter().filter(|column| column.generated);
        notes.extend(generated.map(|c| format!("generated column {name}.{} is computed again", c.quoted)));
    }
    notes
}

/// Tables whose rows go at one stroke, if any do.
fn knot(group: &Group, parts: &[Part<'_>]) -> Option<String> {
    let parts: Vec<&Part<'_>> = group.tables.iter().filter_map(|at| parts.get(*at)).collect();
    let at_once = parts.iter().any(|part| part.changes.inserts.rows + part.changes.deletes.rows > 1);
    let names: Vec<&str> = parts.iter().map(|part| part.table.quoted.as_str()).collect();
    let words =
        if names.len() == 1 { format!("{} refers to itself", names[0]) } else { format!("{} refer to each other", names.join(" and ")) };
    at_once.then(|| format!("{words}: their rows go with one statement each way, at whose end foreign keys are checked"))
}

/// A foreign key that lets a delete reach further than the patch says.
fn cascade(link: &Link, parts: &[Part<'_>]) -> Option<String> {
    let deleting = parts.iter().any(|part| part.table.oid == link.parent && part.changes.deletes.rows > 0);
    let action = link.on_delete.as_ref().filter(|_| deleting)?;
    Some(format!(
        "deleting from {} also changes rows of {} that refer to what is deleted (foreign key {} {action})",
        link.parent_name, link.child_name, link.quoted
    ))
}
