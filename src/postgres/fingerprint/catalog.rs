//! Which of the dump's tables and sequences a live database has.
//!
//! This module does not read rows.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::session::Session;
use crate::archive::{Entry, Fingerprint, Form, SequenceValue, words};
use crate::postgres::error::PgError;
use crate::postgres::quote;

/// How many sequences are asked for at once.
const AT_ONCE: usize = 200;

/// A name as the server has it in UTF-8, and as it is in the dump.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Name(String, String);

impl Name {
    /// As the dump's fingerprint shows it.
    pub(super) fn dumped(&self) -> String {
        let digit = |at: usize| self.1.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Vec<u8> = (0..self.1.len()).step_by(2).filter_map(digit).collect();
        words(&bytes)
    }

    /// As the server has it.
    pub(super) fn plain(&self) -> &str {
        &self.0
    }

    /// As an identifier in ASCII, which reads the same in every client encoding.
    ///
    /// Source: PostgreSQL documentation 4.1.1, identifiers with Unicode escapes.
    pub(super) fn quoted(&self) -> String {
        if self.0.is_ascii() {
            return quote::identifier(&self.0);
        }
        let escaped = self.0.chars().map(|c| match c {
            '\\' => r"\\".to_owned(),
            '"' => "\"\"".to_owned(),
            c if c.is_ascii() => c.to_string(),
            c => format!("\\+{:06X}", u32::from(c)),
        });
        format!("U&\"{}\"", escaped.collect::<String>())
    }
}

/// A table that is there.
#[derive(Debug, Deserialize)]
pub(super) struct Table {
    pub(super) oid: i64,
    pub(super) schema: Name,
    pub(super) name: Name,
    /// Its columns that are not generated, in their order.
    pub(super) columns: Vec<Name>,
    /// Whether it is an ordinary table whose blocks can be read apart.
    pub(super) sliceable: bool,
    /// Its size in blocks.
    pub(super) blocks: u64,
    /// The size of a block in bytes.
    pub(super) block: u64,
    /// Which rows of an extension's table are the user's and were dumped.
    pub(super) condition: Option<String>,
    /// Whether the dump has the rows of all partitions under this name.
    #[serde(skip)]
    pub(super) with_partitions: bool,
}

impl Table {
    /// Schema and name as SQL has them.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.name.quoted())
    }
}

/// `[name, its bytes in the dump's encoding]`.
fn name(column: &str, encoding: &str) -> String {
    let encoding = quote::literal(encoding);
    format!("pg_catalog.json_build_array({column}, pg_catalog.encode(pg_catalog.convert_to({column}::pg_catalog.text, {encoding}), 'hex'))")
}

/// The dump's tables that are there, with their columns in the dump's order if they are the same.
pub(super) fn tables(session: &Session, dumped: &Fingerprint) -> Result<Vec<Table>, PgError> {
    let all = all(session, &dumped.facts.encoding, true)?;
    let mut there: BTreeMap<_, _> = all.into_iter().map(|table| ((table.schema.dumped(), table.name.dumped()), table)).collect();
    let mut found = Vec::new();
    for table in &dumped.tables {
        if let Some(mut is) = there.remove(&(table.schema.clone(), table.name.clone())) {
            is.with_partitions = table.with_partitions;
            is.columns = in_order_of(&table.columns, is.columns);
            found.push(is);
        }
    }
    Ok(found)
}

/// Every table that is there. To ask for its size waits for whoever has locked it; without, it is 0.
pub(super) fn all(session: &Session, encoding: &str, sized: bool) -> Result<Vec<Table>, PgError> {
    let size = if sized { "pg_catalog.pg_relation_size(c.oid)" } else { "0" };
    let rows = session.column(&format!(
        "select pg_catalog.json_build_object('oid', c.oid::int8, 'schema', {}, 'name', {}, \
         'columns', (select coalesce(pg_catalog.json_agg({} order by a.attnum), '[]') from pg_catalog.pg_attribute a \
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), \
         'sliceable', coalesce(c.relkind = 'r' and m.amname = 'heap', false), \
         'block', pg_catalog.current_setting('block_size')::int8, \
         'blocks', {size} / pg_catalog.current_setting('block_size')::int8, \
         'condition', (select x.condition from pg_catalog.pg_extension e, \
             rows from (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition)) x(oid, condition) \
             where x.oid = c.oid and x.condition <> '' limit 1)) \
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         left join pg_catalog.pg_am m on m.oid = c.relam where c.relkind in ('r', 'p') and n.nspname !~ '^pg_(toast|temp)'",
        name("n.nspname", encoding),
        name("c.relname", encoding),
        name("a.attname", encoding),
    ))?;
    rows.iter().map(|row| parsed(session, row)).collect()
}

/// Columns of a table that inherits come in another order after a restore; the dump's order is the one to compare in.
fn in_order_of(wanted: &[String], columns: Vec<Name>) -> Vec<Name> {
    let place = |column: &Name| wanted.iter().position(|name| *name == column.dumped());
    if wanted.len() != columns.len() || columns.iter().any(|column| place(column).is_none()) {
        return columns;
    }
    let mut ordered = columns;
    ordered.sort_by_key(place);
    ordered
}

#[derive(Deserialize)]
struct Named {
    schema: Name,
    name: Name,
}

/// Where the dump's sequences stand now.
pub(super) fn sequences(session: &Session, dumped: &Fingerprint) -> Result<Vec<SequenceValue>, PgError> {
    let encoding = &dumped.facts.encoding;
    let rows = session.column(&format!(
        "select pg_catalog.json_build_object('schema', {}, 'name', {}) from pg_catalog.pg_class c \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'S' and n.nspname !~ '^pg_(toast|temp)'",
        name("n.nspname", encoding),
        name("c.relname", encoding),
    ))?;
    let mut there = Vec::new();
    for row in rows {
        let found: Named = parsed(session, &row)?;
        let (schema, name) = (found.schema.dumped(), found.name.dumped());
        if dumped.sequences.iter().any(|sequence| sequence.schema == schema && sequence.name == name) {
            there.push(found);
        }
    }
    let mut values = Vec::new();
    for some in there.chunks(AT_ONCE) {
        values.extend(standing(session, some)?);
    }
    values.sort();
    Ok(values)
}

/// The materialized views that are filled, as the dump has them; those of extensions come with these.
pub(super) fn fillings(session: &Session, dumped: &Fingerprint) -> Result<Vec<Entry>, PgError> {
    let encoding = &dumped.facts.encoding;
    let rows = session.column(&format!(
        "select pg_catalog.json_build_object('schema', {}, 'name', {}) from pg_catalog.pg_class c \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'm' and c.relispopulated \
         and not exists (select 1 from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         and d.objid = c.oid and d.deptype = 'e')",
        name("n.nspname", encoding),
        name("c.relname", encoding),
    ))?;
    // A script's headings are one line each.
    let heading = |name: String| if dumped.facts.form == Form::Plain { name.replace(['\n', '\r'], " ") } else { name };
    let filling = |row: &String| -> Result<Entry, PgError> {
        let found: Named = parsed(session, row)?;
        Ok(Entry::filling(heading(found.schema.dumped()), heading(found.name.dumped())))
    };
    rows.iter().map(filling).collect()
}

fn standing(session: &Session, some: &[Named]) -> Result<Vec<SequenceValue>, PgError> {
    let one = |(at, sequence): (usize, &Named)| {
        let name = format!("{}.{}", sequence.schema.quoted(), sequence.name.quoted());
        format!("select pg_catalog.json_build_array({at}, last_value, is_called) from {name}")
    };
    let sql = some.iter().enumerate().map(one).collect::<Vec<_>>().join(" union all ");
    let mut values = Vec::new();
    for row in session.column(&sql)? {
        let (at, last_value, is_called): (usize, i64, bool) = parsed(session, &row)?;
        let sequence = some.get(at).ok_or_else(|| session.unexpected(format!("an answer about sequence {at}")))?;
        values.push(SequenceValue { schema: sequence.schema.dumped(), name: sequence.name.dumped(), last_value, is_called });
    }
    Ok(values)
}

fn parsed<'a, T: Deserialize<'a>>(session: &Session, row: &'a str) -> Result<T, PgError> {
    serde_json::from_str(row).map_err(|error| session.unexpected(format!("an answer about the catalog does not read: {error}: {row}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_so_that_every_client_encoding_reads_them() {
        let name = |text: &str| Name(text.to_owned(), String::new()).quoted();
        assert_eq!(name("plain"), "\"plain\"");
        assert_eq!(name(r#"a"b\c"#), r#""a""b\c""#);
        assert_eq!(name(r#"가"\"#), r#"U&"\+00AC00""\\""#);
        assert_eq!(Name(String::new(), "b0a1".to_owned()).dumped(), r"\xB0\xA1");
    }
}
