//! The file: what a reviewer reads first, then the statements in an order that keeps foreign keys whole.
//!
//! Rows go in after those they refer to and out before them; tables that refer to each other, or to themselves, with one
//! statement, at whose end the server checks. Table by table, rows are set back and then inserted: one that comes back may need a
//! unique value that another has taken since, or refer to one by a value that is set back. Where rows of a table may refer to its
//! new ones those are inserted first. Normally deletes come last, so that nothing ever refers to a row that is gone. Only if a
//! table from which rows go has other unique values than its key, they come first, because a row that comes back may need the
//! value of one that goes. This module compares nothing.

use std::io::Write;

use super::diff::Changes;
use super::header::BACK_INTO;
use super::literal::{one_line, text};
use super::script::block;
use super::spool::{Spool, failed};
use super::{PatchOptions, PatchReport};
use crate::postgres::tables::TablesError;
use crate::postgres::tables::links::Group;
use crate::postgres::tables::shape::{Sequence, Table};

/// Stands where the rows go in the text of a block; no text of PostgreSQL has it.
const ROWS: &str = "\u{0}";

/// A table and the statements for it.
pub(super) struct Part<'a> {
    pub(super) table: &'a Table,
    pub(super) changes: Changes,
}

/// Writes the whole patch.
pub(super) fn write(
    report: &PatchReport,
    parts: Vec<Part<'_>>,
    groups: &[Group],
    options: &PatchOptions,
    out: &mut dyn Write,
) -> Result<(), TablesError> {
    put(out, &head(report, options))?;
    let deletes_first = parts.iter().any(|part| part.table.otherwise_unique && part.changes.deletes.rows > 0);
    let advanced: Vec<(&Table, &Sequence)> = parts
        .iter()
        .filter(|part| part.changes.inserts.rows > 0)
        .flat_map(|part| part.table.sequences.iter().map(|sequence| (part.table, sequence)))
        .collect();
    let (mut inserts, mut updates, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
    for Part { table, changes } in parts {
        inserts.push(Some((table, changes.inserts)));
        updates.push(Some((table, changes.updates)));
        deletes.push(Some((table, changes.deletes)));
    }
    if deletes_first {
        all_deletes(&mut deletes, groups, out)?;
    }
    for group in groups {
        if group.knotted {
            stroke(&mut inserts, group, "inserted", out)?;
        }
        set_back(&mut updates, group, out)?;
        // Nothing is left of what went in already.
        stroke(&mut inserts, group, "inserted", out)?;
    }
    if !deletes_first {
        all_deletes(&mut deletes, groups, out)?;
    }
    put(out, "\n-- whatever was to be checked at the end is checked here\nset constraints all immediate;\n")?;
    for (table, sequence) in advanced {
        put(out, &advance(table, sequence))?;
    }
    put(out, "\ncommit;\n")
}

fn put(out: &mut dyn Write, words: &str) -> Result<(), TablesError> {
    out.write_all(words.as_bytes()).map_err(failed("writing the patch"))
}

fn all_deletes(spools: &mut [Option<(&Table, Spool)>], groups: &[Group], out: &mut dyn Write) -> Result<(), TablesError> {
    groups.iter().rev().try_for_each(|group| stroke(spools, group, "deleted", out))
}

/// The updates of one group of tables.
fn set_back(spools: &mut [Option<(&Table, Spool)>], group: &Group, out: &mut dyn Write) -> Result<(), TablesError> {
    for at in &group.tables {
        if let Some((table, spool)) = spools.get_mut(*at).and_then(Option::take).filter(|(_, spool)| spool.rows > 0) {
            put(out, &format!("\n-- {}: {} updated\n", table.quoted, spool.rows))?;
            spool.pour(out)?;
        }
    }
    Ok(())
}

/// The statements for one group of tables.
fn stroke(spools: &mut [Option<(&Table, Spool)>], group: &Group, done: &str, out: &mut dyn Write) -> Result<(), TablesError> {
    let mut members = Vec::new();
    for at in &group.tables {
        members.extend(spools.get_mut(*at).and_then(Option::take).filter(|(_, spool)| spool.rows > 0));
    }
    let title = members.iter().map(|(table, spool)| format!("{}: {} {done}", table.quoted, spool.rows)).collect::<Vec<_>>().join(", ");
    if !members.is_empty() {
        put(out, &format!("\n-- {title}\n"))?;
    }
    if group.knotted && !members.is_empty() {
        return together(members, done, out);
    }
    members.into_iter().try_for_each(|(_, spool)| spool.pour(out))
}

/// One statement for rows that refer to each other; the server checks foreign keys at its end.
fn together(members: Vec<(&Table, Spool)>, done: &str, out: &mut dyn Write) -> Result<(), TablesError> {
    let rows: u64 = members.iter().map(|(_, spool)| spool.rows).sum();
    let names = members.iter().map(|(table, _)| table.quoted.as_str()).collect::<Vec<_>>().join(" and ");
    let counts = (1..=members.len()).map(|n| format!("(select count(*) from t{n})")).collect::<Vec<_>>().join(" + ");
    let failure = format!("{names}: not all of the {rows} rows could be {done} as they were when this patch was made");
    put(out, "-- these rows may refer to each other, so they go with one statement\n")?;
    let lines = [
        format!("with {ROWS}"),
        format!("select {counts} into runner_touched;"),
        format!("if runner_touched <> {rows} then raise exception using message = {}; end if;", text(&failure)),
    ];
    let whole = block(false, "runner_touched bigint;", &lines);
    let (before, after) = whole.split_once(ROWS).unwrap_or((&whole, ""));
    put(out, before)?;
    for (n, (_, spool)) in members.into_iter().enumerate() {
        put(out, &format!("{}t{} as (\n    ", if n == 0 { "" } else { ", " }, n + 1))?;
        spool.pour(out)?;
        put(out, "\n    returning 1\n  )")?;
    }
    put(out, after)
}

fn advance(table: &Table, sequence: &Sequence) -> String {
    let (furthest, beyond) = if sequence.ascending { ("max", ">") } else { ("min", "<") };
    format!(
        "\n-- the next value of {name} must come after every {column}\nselect pg_catalog.setval({constant}, ids.furthest)\n  \
         from (select {furthest}({column}) as furthest from {table}) as ids, {name} as now\n \
         where ids.furthest {beyond} now.last_value or ids.furthest = now.last_value and not now.is_called;\n",
        name = sequence.quoted,
        column = sequence.column,
        constant = text(&sequence.quoted),
        table = table.quoted,
    )
}

fn head(report: &PatchReport, options: &PatchOptions) -> String {
    let mut lines = vec![
        format!("Rows of {}{BACK_INTO}{}.", options.restore_point, report.database),
        "Found by comparing them with the live rows by primary key. Read it before you apply it:".to_owned(),
        String::new(),
    ];
    let width = report.tables.iter().map(|table| table.table.chars().count()).max().unwrap_or(0);
    for table in &report.tables {
        let gap = " ".repeat(width - table.table.chars().count());
        let counts = format!("{} inserted, {} updated, {} deleted", table.inserted, table.updated, table.deleted);
        lines.push(format!("  {}{gap}  {counts}  {}", table.table, table.wanted));
    }
    lines.push(String::new());
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.extend(report.warnings.iter().map(|warning| format!("WARNING: {warning}")));
    lines.extend([
        "It is one transaction: if a row has changed since this was written, or anything else fails, all stays as it is.".to_owned(),
        "Without runner: psql -X -v ON_ERROR_STOP=1 -f THIS-FILE".to_owned(),
    ]);
    let comment: String = lines.iter().map(|line| format!("-- {}", one_line(line)).trim_end().to_owned() + "\n").collect();
    format!(
        "{comment}\nset client_encoding = 'UTF8';\nbegin;\n\
         set local statement_timeout = {};\nset local lock_timeout = {};\n\
         -- how values are written below, and that no policy hides a row\n\
         set local intervalstyle = postgres;\nset local lc_monetary = 'C';\nset local xmloption = content;\nset local row_security = off;\n",
        options.statement_limit.as_millis(),
        options.lock_limit.as_millis(),
    )
}
