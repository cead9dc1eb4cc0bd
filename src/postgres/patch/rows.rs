//! Rows of a table, some at a time: those that match a condition, and those that have given keys.
//!
//! Memory holds one batch of each side. Which rows have the same key is asked of the server that holds them, so that its
//! own equality decides (`citext`, `numeric`, collations) and its index is used. This module compares nothing.

use std::cell::Cell;

use super::literal;
use crate::postgres::client::{Client, Row};
use crate::postgres::error::PgError;
use crate::postgres::quote::{self, identifier};
use crate::postgres::tables::shape::{Column, Table, names};
use crate::postgres::tables::{TablesError, check};
use crate::stream::Cancel;

/// How many bytes of rows a batch should hold.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// How many rows a batch holds at most, and how many the first one.
const BATCH_ROWS: usize = 2000;
const FIRST_ROWS: usize = 50;

/// The rows of one table on one side, inside an open transaction.
pub(super) struct Reader<'a> {
    client: &'a Client,
    table: &'a Table,
    /// What is read, in the order of the live table.
    columns: Vec<&'a Column>,
    cancel: &'a Cancel,
}

/// The place of the key's columns among the columns read.
pub(super) fn key_places(table: &Table, columns: &[&Column]) -> Vec<usize> {
    table.key.iter().filter_map(|key| columns.iter().position(|column| column.name == key.name)).collect()
}

impl<'a> Reader<'a> {
    /// `table` says where the rows are, `columns` which values of them are read.
    pub(super) fn new(client: &'a Client, table: &'a Table, columns: &[&'a Column], cancel: &'a Cancel) -> Self {
        Self { client, table, columns: columns.to_vec(), cancel }
    }

    /// The rows that match a user's condition. One such reading can be open on a connection at a time.
    pub(super) fn matching(&self, filter: &str) -> Result<Batches<'_>, TablesError> {
        // In the order of the key, so that a patch reads well and the same rows give the same patch.
        let key = self.table.key.iter().map(|key| identifier(&key.name)).collect::<Vec<_>>().join(", ");
        let columns = names(self.columns.iter().copied(), "");
        let select = format!("select {columns} from {} where (\n{filter}\n) order by {key}", self.table.alone());
        let refused =
            |source| TablesError::Filter { table: self.table.quoted.clone(), filter: filter.to_owned(), source: Box::new(source) };
        let declared = in_path_of(self.client, &self.table.schema, || {
            // More than one statement could end the transaction that keeps it from writing.
            self.client.check_single(&select)?;
            self.client.batch(&format!("declare runner_rows no scroll cursor for {select}"))
        });
        declared.map_err(refused)?;
        Ok(Batches { reader: self, size: Cell::new(FIRST_ROWS) })
    }

    /// For every key, in order, the row that has it.
    pub(super) fn with_keys(&self, keys: &[Vec<&str>]) -> Result<Vec<Option<Row>>, PgError> {
        let mut found = vec![None; keys.len()];
        if keys.is_empty() {
            return Ok(found);
        }
        let joined = self.table.key.iter().enumerate();
        let on = joined.map(|(at, key)| format!("t.{} {} v.k{at}", identifier(&key.name), key.equals)).collect::<Vec<_>>().join(" and ");
        let key_columns: Vec<&Column> = key_places(self.table, &self.columns).into_iter().map(|at| self.columns[at]).collect();
        let sql = format!(
            "select v.n, {} from {} join {} t on {on}",
            names(self.columns.iter().copied(), "t."),
            values(&key_columns, keys),
            self.table.alone(),
        );
        for mut row in self.client.query(&sql)? {
            let number = row.remove(0).and_then(|number| number.parse::<usize>().ok());
            if let Some(place) = number.and_then(|number| found.get_mut(number)) {
                *place = Some(row);
            }
        }
        Ok(found)
    }
}

/// Tuples of values as a table `v(n, k0, k1, …)`, numbered from 0.
pub(super) fn values(columns: &[&Column], tuples: &[Vec<&str>]) -> String {
    let tuple = |(n, tuple): (usize, &Vec<&str>)| {
        let typed: Vec<String> = columns.iter().zip(tuple).map(|(column, value)| literal::typed(column, value)).collect();
        format!("({n}, {})", typed.join(", "))
    };
    let rows = tuples.iter().enumerate().map(tuple).collect::<Vec<_>>().join(", ");
    let names = (0..columns.len()).map(|at| format!("k{at}")).collect::<Vec<_>>().join(", ");
    format!("(values {rows}) v(n, {names})")
}

/// Does something while names are looked up as the role's own sessions do, and in the table's schema first: a user's
/// condition may name other tables and functions. Values are printed with no schema in the path again.
pub(super) fn in_path_of<T>(client: &Client, schema: &str, work: impl FnOnce() -> Result<T, PgError>) -> Result<T, PgError> {
    client.query(&format!(
        "select pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', pg_catalog.quote_ident({}), nullif(reset_val, '')), true) \
         from pg_catalog.pg_settings where name = 'search_path'",
        quote::literal(schema)
    ))?;
    let done = work()?;
    client.batch("set local search_path = ''")?;
    Ok(done)
}

/// Rows that come a batch at a time.
pub(super) struct Batches<'a> {
    reader: &'a Reader<'a>,
    size: Cell<usize>,
}

impl Batches<'_> {
    /// The next rows; none are left if it is empty.
    pub(super) fn next(&self) -> Result<Vec<Row>, PgError> {
        check(self.reader.cancel, "comparing rows")?;
        let rows = self.reader.client.query(&format!("fetch forward {} from runner_rows", self.size.get()))?;
        let bytes: usize = rows.iter().flatten().flatten().map(String::len).sum();
        let fitting = rows.len() * BATCH_BYTES / bytes.max(1);
        // No more than twice as many at once: the next rows may be longer.
        self.size.set(fitting.clamp(1, BATCH_ROWS.min(self.size.get() * 2)));
        if rows.is_empty() {
            self.reader.client.batch("close runner_rows")?;
        }
        Ok(rows)
    }
}
