//! The same table in both databases, once they agree on its form.
//!
//! This module does not decide what is done with the rows.

use super::name::resolve;
use super::shape::{Column, KeyColumn, Table, load};
use super::{TablesError, shape};
use crate::postgres::client::Client;

/// A table of the restore point.
pub(crate) fn of_scratch(scratch: &Client, given: &[&str]) -> Result<Vec<Table>, TablesError> {
    let mut tables: Vec<Table> = Vec::new();
    for (schema, name) in resolve(scratch, given)? {
        let gone = || TablesError::Impossible { table: name.clone(), detail: "it went away while it was looked at".to_owned() };
        let table = load(scratch, &schema, &name)?.ok_or_else(gone)?;
        if tables.iter().any(|other| other.oid == table.oid) {
            return Err(TablesError::Twice { table: table.quoted });
        }
        tables.push(table);
    }
    Ok(tables)
}

/// The same tables in the live database, each with the columns that the restore point's has.
pub(crate) fn of_target(target: &Client, scratch: &[Table]) -> Result<Vec<Table>, TablesError> {
    let mut tables = Vec::new();
    for there in scratch {
        let missing = || TablesError::Missing { table: there.quoted.clone(), target: target.info().describe() };
        let here = shape::load(target, &there.schema, &there.name)?.ok_or_else(missing)?;
        let differences = differences(there, &here);
        if !differences.is_empty() {
            return Err(TablesError::Drift { table: here.quoted, differences: differences.join("; ") });
        }
        tables.push(here);
    }
    Ok(tables)
}

/// How the columns differ; their order does not count.
fn differences(there: &Table, here: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for column in &there.columns {
        match here.columns.iter().find(|other| other.name == column.name) {
            None => found.push(format!("column {} is only in the restore point", column.quoted)),
            Some(other) => found.extend(difference(column, other)),
        }
    }
    let added = here.columns.iter().filter(|column| there.columns.iter().all(|other| other.name != column.name));
    found.extend(added.map(|column| format!("column {} is only in the live table", column.quoted)));
    found
}

fn difference(there: &Column, here: &Column) -> Option<String> {
    if there.type_name != here.type_name {
        return Some(format!("column {} was {} and is {}", here.quoted, there.type_name, here.type_name));
    }
    let words = |column: &Column| if column.generated { "generated" } else { "not generated" };
    (there.generated != here.generated).then(|| format!("column {} was {} and is {}", here.quoted, words(there), words(here)))
}

/// Refuses tables whose rows can not be matched, or are matched by something else since.
pub(crate) fn need_keys(scratch: &[Table], target: &[Table], advice: impl Fn(&Table) -> String) -> Result<(), TablesError> {
    for (there, here) in scratch.iter().zip(target) {
        for (table, side) in [(here, ""), (there, " in the restore point")] {
            if table.key.is_empty() {
                return Err(TablesError::NoKey { table: here.quoted.clone(), side, advice: advice(here) });
            }
        }
        let names = |key: &[KeyColumn]| {
            let mut names: Vec<String> = key.iter().map(|column| column.name.clone()).collect();
            names.sort();
            names
        };
        if names(&there.key) != names(&here.key) {
            let differences = format!("the primary key was ({}) and is ({})", names(&there.key).join(", "), names(&here.key).join(", "));
            return Err(TablesError::Drift { table: here.quoted.clone(), differences });
        }
    }
    Ok(())
}
