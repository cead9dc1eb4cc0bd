//! The statements of a patch for the rows of one table.
//!
//! A statement that does not touch exactly the rows it was written for ends the patch with an error. For UPDATE and DELETE
//! that is a `do` block around each, whose conditions name the values that were there; INSERTs are plain, so that they read
//! well, and are counted afterwards. This module reads no rows and knows no order.

use super::literal::{TAG, compared, condition, is_exact, one_line, shown, text, value};
use super::rows::key_places;
use crate::postgres::client::Row;
use crate::postgres::tables::TablesError;
use crate::postgres::tables::shape::{Column, Table};

/// Writes statements for one table.
pub(super) struct Script<'a> {
    table: &'a Table,
    columns: Vec<&'a Column>,
    key: Vec<usize>,
}

impl<'a> Script<'a> {
    /// Rows must have the values of the table's stored columns, in their order.
    pub(super) fn new(table: &'a Table) -> Self {
        let columns = table.stored();
        Self { key: key_places(table, &columns), columns, table }
    }

    /// The key of a row; a primary key has no nulls.
    pub(super) fn key<'r>(&self, row: &'r Row) -> Vec<&'r str> {
        self.key.iter().map(|at| row[*at].as_deref().unwrap_or_default()).collect()
    }

    /// `shop.lines (order_id 3, no 1)`.
    fn label(&self, row: &Row) -> String {
        let part = |at: &usize| format!("{} {}", self.columns[*at].quoted, shown(row[*at].as_deref()));
        one_line(&format!("{} ({})", self.table.quoted, self.key.iter().map(part).collect::<Vec<_>>().join(", ")))
    }

    fn is_row(&self, row: &Row) -> Vec<String> {
        self.key.iter().map(|at| condition(self.columns[*at], row[*at].as_deref())).collect()
    }

    /// `insert into shop.orders (id, …) values`, to which rows are added.
    pub(super) fn insert_head(&self) -> String {
        format!("insert into {} ({}){} values", self.table.quoted, self.table.stored_names(), self.table.overriding())
    }

    /// The values of a row in parentheses.
    pub(super) fn tuple(&self, row: &Row) -> String {
        let values: Vec<String> = self.columns.iter().zip(row).map(|(column, given)| value(column, given.as_deref())).collect();
        format!("({})", values.join(", "))
    }

    /// `delete from shop.orders where`, to which conditions are added.
    pub(super) fn delete_head(&self) -> String {
        format!("delete from {} where\n         ", self.table.alone())
    }

    /// How many of the key's columns hold values of their own.
    pub(super) fn key_columns(&self) -> usize {
        self.key.len()
    }

    /// One row as a statement.
    pub(super) fn insert(&self, row: &Row) -> String {
        format!("{}\n  {};\n", self.insert_head(), self.tuple(row))
    }

    /// A block that fails unless all of these rows are there.
    pub(super) fn inserted(&self, rows: &[Vec<String>]) -> String {
        let listed = if self.key.iter().all(|at| is_exact(self.columns[*at])) { self.one_of(rows) } else { self.each_of(rows) };
        let many = rows.len();
        let failed =
            format!("not all of the {many} rows inserted into {} are there: a trigger or rule may have changed them", self.table.quoted);
        self.block(&[
            format!("if (select count(*) from {} where {listed}) <> {many} then", self.table.alone()),
            format!("  raise exception using message = {};", text(&failed)),
            "end if;".to_owned(),
        ])
    }

    /// `id in (1, 2)`.
    fn one_of(&self, rows: &[Vec<String>]) -> String {
        let names: Vec<&str> = self.key.iter().map(|at| self.columns[*at].quoted.as_str()).collect();
        let constant = |(at, given): (&usize, &String)| compared(self.columns[*at], given);
        let several = |parts: &[String]| if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(", ")) };
        let tuple = |key: &Vec<String>| several(&self.key.iter().zip(key).map(constant).collect::<Vec<_>>());
        let listed: Vec<String> = rows.iter().map(tuple).collect();
        format!("{} in ({})", several(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()), listed.join(", "))
    }

    /// The same for types whose `=` has to be named.
    fn each_of(&self, rows: &[Vec<String>]) -> String {
        let part = |(at, given): (&usize, &String)| condition(self.columns[*at], Some(given));
        let one = |key: &Vec<String>| self.key.iter().zip(key).map(part).collect::<Vec<_>>().join(" and ");
        rows.iter().map(|key| format!("({})", one(key))).collect::<Vec<_>>().join(" or ")
    }

    /// Brings the changed columns of a row back, if they are still what they were.
    pub(super) fn update(&self, old: &Row, new: &Row) -> Result<String, TablesError> {
        let changed: Vec<usize> = (0..self.columns.len()).filter(|at| old[*at] != new[*at]).collect();
        if let Some(at) = changed.iter().find(|at| self.columns[**at].identity == "a") {
            let detail = format!(
                "column {} is generated always as identity and differs, and SQL can not set it back; use `--tables {0} --as copy`",
                self.columns[*at].quoted
            );
            return Err(TablesError::Impossible { table: self.label(new), detail });
        }
        let told = |at: &usize| format!("{} {} → {}", self.columns[*at].quoted, shown(old[*at].as_deref()), shown(new[*at].as_deref()));
        let set = |at: &usize| format!("{} = {}", self.columns[*at].quoted, value(self.columns[*at], new[*at].as_deref()));
        let mut conditions = self.is_row(old);
        conditions.extend(changed.iter().map(|at| condition(self.columns[*at], old[*at].as_deref())));
        let comment = one_line(&format!("{}: {}", self.label(new), changed.iter().map(told).collect::<Vec<_>>().join("; ")));
        let statement = [
            format!("update {}", self.table.alone()),
            format!("   set {}", changed.iter().map(set).collect::<Vec<_>>().join(",\n         ")),
            format!(" where {};", conditions.join("\n     and ")),
        ];
        Ok(format!("-- {comment}\n{}", self.exactly_one(&statement, new)))
    }

    /// Deletes a row, if it is still what it was.
    pub(super) fn delete(&self, old: &Row) -> String {
        let statement = [format!("delete from {}", self.table.alone()), format!(" where {};", self.is_still(old).join("\n     and "))];
        format!("-- delete {}\n{}", self.label(old), self.exactly_one(&statement, old))
    }

    /// Conditions that hold only while all of a row is as it was.
    pub(super) fn is_still(&self, row: &Row) -> Vec<String> {
        let others = (0..self.columns.len()).filter(|at| !self.key.contains(at));
        let mut conditions = self.is_row(row);
        conditions.extend(others.map(|at| condition(self.columns[at], row[at].as_deref())));
        conditions
    }

    fn exactly_one(&self, statement: &[String], row: &Row) -> String {
        let failed = format!("{} is no longer as it was when this patch was made", self.label(row));
        let check = format!("if not found then raise exception using message = {}; end if;", text(&failed));
        self.block(&statement.iter().cloned().chain([check]).collect::<Vec<_>>())
    }

    /// A `do` block. Its variable `found` gives way to a column of that name only in conditions of statements.
    fn block(&self, lines: &[String]) -> String {
        let conflict = self.columns.iter().any(|column| column.name == "found");
        block(conflict, "", lines)
    }
}

/// A `do` block; `declared` are its variables.
pub(super) fn block(column_first: bool, declared: &str, lines: &[String]) -> String {
    let first = if column_first { "\n#variable_conflict use_column\n" } else { " " };
    let declared = if declared.is_empty() { String::new() } else { format!("declare {declared} ") };
    format!("do {TAG}${first}{declared}begin\n  {}\nend {TAG}$;\n", lines.join("\n  "))
}
