//! What a restore takes when it takes not all: whole tables, or single rows. Parameters only.
//!
//! Nothing here is looked up or run; what can not go together is told.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Encrypt, Problem, Section};
use super::{How, Restore};
use crate::ids::RefName;
use crate::postgres::patch::RowsWanted;

/// Whole tables of a restore point, brought into the database that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// The tables: `orders`, `Sales.Orders`, `"A.b".c`. Tables that refer to each other go together.
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// What becomes of the rows that are there: `copy` unless given, which touches none.
    #[serde(default, rename = "as")]
    pub mode: TablesAs,
    /// The store that gets a dump of the whole database first; needed unless `as: copy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<RefName>,
    /// How that dump is encrypted; it is not unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<Encrypt>,
}

/// What becomes of the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TablesAs {
    /// New tables in a new schema `restored_<restore point>`; what is there is not touched.
    #[default]
    Copy,
    /// Missing rows are inserted, rows that differ are set back, nothing is deleted.
    Merge,
    /// The tables get exactly the restore point's rows; no others stay.
    Replace,
}

/// Single rows of a restore point, as an SQL patch that somebody reviews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Which rows, table by table, in any order: foreign keys are heeded.
    #[schemars(length(min = 1))]
    pub of: Vec<RowsOf>,
    /// Whether rows that match, and are not in the restore point, are deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_deletes: bool,
    /// The file that the patch is written to; it must not exist. `<database>-<run>.sql` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PathBuf>,
    /// Whether the patch is applied at once, in one transaction; otherwise a step `sql` with `patch` applies it later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apply: bool,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowsOf {
    /// The table: `orders`, `Sales.Orders`, `"A.b".c`.
    pub table: String,
    /// What stands after `where` in SQL: `customer_id = 7`, or `true` for all rows.
    #[serde(rename = "where")]
    pub filter: String,
}

/// A safety dump that is made before anything is taken away.
#[derive(Debug, Clone, Copy)]
pub struct Safety<'a> {
    /// The store that gets it.
    pub store: &'a RefName,
    /// How it is encrypted.
    pub encrypt: Option<&'a Encrypt>,
}

impl Restore {
    /// The safety dump that it makes first, if it does.
    pub fn safety(&self) -> Option<Safety<'_>> {
        let replaced = self.replace.as_ref().map(|replace| Safety { store: &replace.safety, encrypt: replace.encrypt.as_ref() });
        let tables = self.tables.as_ref().filter(|tables| tables.mode != TablesAs::Copy);
        let changed = tables.and_then(|tables| Some(Safety { store: tables.safety.as_ref()?, encrypt: tables.encrypt.as_ref() }));
        replaced.or(changed)
    }

    /// Whether it replaces what is in the database and leaves the database itself.
    pub fn in_place(&self) -> bool {
        self.replace.as_ref().is_some_and(|replace| replace.how == How::InPlace)
    }

    /// Whether it brings tables, rows or all data into a database that is there, by way of a scratch server.
    pub const fn by_scratch(&self) -> bool {
        self.tables.is_some() || self.rows.is_some() || self.data_only
    }

    /// Whether it restores definitions alone.
    pub fn without_data(&self) -> bool {
        self.schema_only || !self.sections.is_empty() && !self.sections.contains(&Section::Data)
    }

    /// Whether it changes a database, and does not only write a patch.
    pub fn changes(&self) -> bool {
        self.rows.as_ref().is_none_or(|rows| rows.apply)
    }

    /// The tables that it names in the database that is there.
    pub fn named_tables(&self) -> Vec<&str> {
        let tables = self.tables.iter().flat_map(|tables| &tables.names);
        tables.chain(self.rows.iter().flat_map(|rows| rows.of.iter().map(|of| &of.table))).map(String::as_str).collect()
    }

    /// The rows that it is to bring.
    pub fn wanted_rows(&self) -> Vec<RowsWanted> {
        let of = self.rows.iter().flat_map(|rows| &rows.of);
        of.map(|of| RowsWanted { table: of.table.clone(), filter: of.filter.clone() }).collect()
    }

    /// What can not go together.
    pub(super) fn mismatches(&self) -> Vec<Problem> {
        let bad = |pointer: &str, message: &str, help: &str| Problem::error("bad-restore", pointer, message).help(help);
        let mut found = Vec::new();
        let modes = [(self.replace.is_some(), "/replace"), (self.tables.is_some(), "/tables"), (self.rows.is_some(), "/rows")];
        if let Some((_, pointer)) = modes.iter().filter(|(on, _)| *on).nth(1) {
            found.push(bad(pointer, "`replace`, `tables` and `rows` are three ways to restore, and this has two", "make them two steps"));
        }
        let whole = [
            (self.no_owner, "/no_owner"),
            (self.no_privileges, "/no_privileges"),
            (!self.sections.is_empty(), "/sections"),
            (self.schema_only && !self.data_only, "/schema_only"),
        ];
        if let Some((_, pointer)) = whole.iter().find(|(on, _)| *on && self.by_scratch()) {
            let message = "tables, rows and data are taken from a whole restore in a scratch server, where nothing can be left out";
            found.push(bad(pointer, message, "remove it"));
        }
        found.extend(self.mismatch_of_data());
        let unsafe_tables = self.tables.as_ref().is_some_and(|tables| tables.mode != TablesAs::Copy && tables.safety.is_none());
        if unsafe_tables {
            let message = "the tables are changed, and no store is named that gets a dump of them first";
            found.push(bad("/tables", message, "add `safety`, the name of a store, or make it `as: copy`"));
        }
        if self.in_place() && self.replace.as_ref().is_some_and(|replace| replace.drop_old) {
            let message = "a replacement in place keeps no old database that could be dropped";
            found.push(bad("/replace/drop_old", message, "remove it: the safety dump holds what was there"));
        }
        let hooks = [(!self.before.is_empty(), "/before"), (!self.after.is_empty(), "/after")];
        if let Some((_, pointer)) = hooks.iter().find(|(on, _)| *on && self.rows.as_ref().is_some_and(|rows| !rows.apply)) {
            let message = "a patch that is only written changes nothing, so there is nothing to stop or start a service for";
            found.push(bad(pointer, message, "apply it at once (`apply: true`, --apply), or remove this"));
        }
        if self.in_place() && (self.schema_only || !self.sections.is_empty()) {
            let message = "a replacement in place drops what is there, so leaving something out would lose it";
            found.push(bad("/replace/how", message, "restore the whole, or into another database"));
        }
        found
    }

    /// What `data_only` can not go with: it fills the tables that are there, all of them.
    fn mismatch_of_data(&self) -> Option<Problem> {
        let bad = |pointer: &str, message: &str, help: &str| Problem::error("bad-restore", pointer, message).help(help);
        let replace = self.replace.as_ref().filter(|_| self.data_only);
        if self.data_only && (self.tables.is_some() || self.rows.is_some()) {
            let message = "`data_only` brings all rows, and `tables` or `rows` only some";
            return Some(bad("/data_only", message, "keep one of them"));
        }
        if replace.is_some_and(|replace| replace.how == How::InPlace) {
            let message = "`data_only` leaves definitions as they are, and `how: in-place` makes them again";
            return Some(bad("/replace/how", message, "remove it: with `data_only` the rows that are there go, in one transaction"));
        }
        let message = "`data_only` keeps the database, so there is no old one that could be dropped";
        replace
            .filter(|replace| replace.drop_old)
            .map(|_| bad("/replace/drop_old", message, "remove it: the safety dump holds what was there"))
    }

    /// The same of `tables`, `rows` and `data_only` in words for the plan.
    pub(super) fn words_of_part(&self) -> Option<String> {
        if self.data_only {
            let how = if self.replace.is_some() { "in place of the rows that are there" } else { "into the empty tables that are there" };
            return Some(format!("all data, {how}"));
        }
        let tables = self.tables.as_ref().map(|tables| {
            let how = match tables.mode {
                TablesAs::Copy => "beside what is there",
                TablesAs::Merge => "merged into what is there",
                TablesAs::Replace => "in place of what is there",
            };
            format!("{}, {how}", tables.names.join(", "))
        });
        let rows = self.rows.as_ref().map(|rows| {
            let of: Vec<String> = rows.of.iter().map(|of| format!("{} where {}", of.table, of.filter)).collect();
            format!("rows of {}", of.join("; "))
        });
        tables.or(rows)
    }
}
