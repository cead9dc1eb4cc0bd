//! Rows that would refer to rows which are not there.
//!
//! A patch with such rows is refused by the server's foreign keys; better its reader knows before, and which rows to ask
//! for as well. This module changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::Open;
use super::literal::shown;
use super::rows::{in_path_of, values};
use crate::postgres::client::{Client, Row};
use crate::postgres::error::PgError;
use crate::postgres::quote::identifier;
use crate::postgres::tables::TablesError;
use crate::postgres::tables::links::Link;
use crate::postgres::tables::shape::{Column, Table};

/// How many missing rows a warning names.
const SHOWN: usize = 20;

/// A table of the patch: its oid in the live database, its schema and the condition on its rows.
pub(super) type Listed<'a> = (u32, &'a str, &'a str);

/// What is missing so far.
pub(super) struct Orphans<'a> {
    links: &'a [Link],
    listed: Vec<Listed<'a>>,
    missing: BTreeMap<usize, BTreeSet<Vec<String>>>,
}

impl<'a> Orphans<'a> {
    pub(super) fn new(links: &'a [Link], listed: Vec<Listed<'a>>) -> Self {
        Self { links, listed, missing: BTreeMap::new() }
    }

    /// Looks whether what these rows of a table refer to is there, or comes with the patch.
    pub(super) fn look(&mut self, open: &Open<'_>, table: &Table, columns: &[&Column], rows: &[&Row]) -> Result<(), TablesError> {
        for (at, link) in self.links.iter().enumerate().filter(|(_, link)| link.child == table.oid) {
            let places: Vec<usize> =
                link.columns.iter().filter_map(|name| columns.iter().position(|column| column.name == *name)).collect();
            let seen = self.missing.entry(at).or_default();
            // A reference by a generated column can not be told from the row; enough missing ones are known.
            if places.len() < link.columns.len() || seen.len() > SHOWN {
                continue;
            }
            let referring: Vec<&Column> = places.iter().map(|place| columns[*place]).collect();
            let referred = |row: &&'_ Row| places.iter().map(|place| row[*place].clone()).collect::<Option<Vec<String>>>();
            let mut tuples: Vec<Vec<String>> = rows.iter().filter_map(referred).collect::<BTreeSet<_>>().into_iter().collect();
            tuples = absent(open.target, link, &referring, tuples, None)?;
            if let Some(listed) = self.listed.iter().find(|listed| listed.0 == link.parent) {
                tuples = absent(open.scratch, link, &referring, tuples, Some(listed))?;
            }
            seen.extend(tuples);
        }
        Ok(())
    }

    /// What is missing, in words, with what to ask for.
    pub(super) fn warnings(&self) -> Vec<String> {
        let some = self.missing.iter().filter(|(_, missing)| !missing.is_empty());
        some.map(|(at, missing)| warning(&self.links[*at], missing)).collect()
    }
}

/// Those tuples that no row of the parent has; of a listed parent, no row that the patch brings.
fn absent(
    client: &Client,
    link: &Link,
    referring: &[&Column],
    tuples: Vec<Vec<String>>,
    listed: Option<&Listed<'_>>,
) -> Result<Vec<Vec<String>>, PgError> {
    if tuples.is_empty() {
        return Ok(tuples);
    }
    let on = |(at, (name, equals)): (usize, (&String, &String))| format!("p.{} {equals} v.k{at}", identifier(name));
    let on = link.references.iter().zip(&link.equals).enumerate().map(on).collect::<Vec<_>>().join(" and ");
    let parent =
        listed.map_or(link.parent_name.clone(), |(_, _, filter)| format!("(select * from {} where (\n{filter}\n))", link.parent_name));
    let given: Vec<Vec<&str>> = tuples.iter().map(|tuple| tuple.iter().map(String::as_str).collect()).collect();
    let sql = format!("select v.n from {} where not exists (select from {parent} p where {on})", values(referring, &given));
    let rows = match listed {
        Some((_, schema, _)) => in_path_of(client, schema, || client.query(&sql))?,
        None => client.query(&sql)?,
    };
    let numbers = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()?.parse::<usize>().ok());
    Ok(numbers.filter_map(|n| tuples.get(n).cloned()).collect())
}

fn warning(link: &Link, missing: &BTreeSet<Vec<String>>) -> String {
    let names: Vec<String> = link.references.iter().map(|name| identifier(name)).collect();
    let tuple = |tuple: &Vec<String>| {
        let values: Vec<String> = tuple.iter().map(|value| shown(Some(value))).collect();
        if values.len() == 1 { values.concat() } else { format!("({})", values.join(", ")) }
    };
    let listed = missing.iter().take(SHOWN).map(tuple).collect::<Vec<_>>().join(", ");
    let names = if names.len() == 1 { names.concat() } else { format!("({})", names.join(", ")) };
    let more = if missing.len() > SHOWN { ", and more" } else { "" };
    format!(
        "rows of {} refer to rows of {} that are neither there nor in this patch (foreign key {}){more}: the patch will be refused \
         unless they are brought back too, with --rows '{}: {names} in ({listed})'",
        link.child_name, link.parent_name, link.quoted, link.parent_name
    )
}
