//! What a database holds that `pg_dump` should write, in the snapshot that the dump is made of.
//!
//! [`Snapshot`] is a transaction whose view of the database `pg_dump --snapshot` takes over, so whatever is created or
//! dropped meanwhile is in neither. Objects are called as an archive's inventory calls them. This module does not run
//! `pg_dump`, and does not judge what is missing.

mod catalog;
mod pattern;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::runtime::Handle;

use super::client::{Client, Row};
use super::conninfo::ConnInfo;
use super::error::PgError;
use super::quote;
use crate::archive::words;

/// The patterns that choose what is dumped, each as it is passed to `pg_dump`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `--table`.
    pub tables: Vec<String>,
    /// `--exclude-table`.
    pub exclude_tables: Vec<String>,
    /// `--schema`.
    pub schemas: Vec<String>,
    /// `--exclude-schema`.
    pub exclude_schemas: Vec<String>,
}

impl Selection {
    /// Whether everything is chosen.
    pub const fn is_everything(&self) -> bool {
        self.tables.is_empty() && self.exclude_tables.is_empty() && self.schemas.is_empty() && self.exclude_schemas.is_empty()
    }
}

/// An object of the catalog that a `pg_dump` without filters writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its kind, as an archive has it: `TABLE`, `FK CONSTRAINT`, `TABLE DATA`.
    pub kind: String,
    /// Its schema and name as an archive in the database's encoding has them (`archive::words`).
    pub archived: (Option<String>, String),
    /// Its schema and name as text, for people.
    pub readable: (Option<String>, String),
    /// Whether the selection chooses it.
    pub chosen: bool,
    /// Whether it is a part of a relation, such as an index or its rows.
    pub part: bool,
    /// What keeps the role from seeing it.
    pub unseen: Option<Unseen>,
}

/// What keeps a role from seeing an object that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unseen {
    /// Only superusers dump subscriptions, whose connections hold passwords.
    NoSuperuser,
    /// The rows of unlogged tables are not on a standby.
    Standby,
}

/// Everything that a `pg_dump` without filters writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The database's encoding, in which an archive has its names unless it was told otherwise.
    pub encoding: String,
    /// The objects.
    pub objects: Vec<Object>,
    /// How many large objects there are.
    pub large_objects: u64,
    /// Whether the selection takes in what belongs to no schema, large objects among it.
    pub whole: bool,
}

/// A transaction whose view of the database others can take over, as long as it lives.
pub struct Snapshot {
    client: Client,
    name: String,
}

/// How long reading the catalog may take: one of a hundred thousand tables takes seconds.
const LIMIT: Duration = Duration::from_mins(2);

/// The transaction waits for `pg_dump` as long as that takes to begin. The settings end with it, because a pooler may give
/// the connection to somebody else afterwards; the search path stays the role's own.
const PATIENT: &str = "select pg_catalog.set_config(name, '0', true) from pg_catalog.pg_settings \
    where name in ('transaction_timeout', 'idle_in_transaction_session_timeout')";

impl Snapshot {
    /// Begins the transaction and exports its snapshot.
    pub fn export(info: &ConnInfo, handle: &Handle) -> Result<Self, PgError> {
        let mut client = Client::connect(info, handle)?;
        client.batch("begin isolation level repeatable read read only")?;
        client.limit_statements(LIMIT)?;
        client.query(PATIENT)?;
        let name = client.query_one_text("select pg_catalog.pg_export_snapshot()")?;
        let none = || PgError::Unexpected { server: client.info().describe(), detail: "no snapshot could be exported".to_owned() };
        let name = name.ok_or_else(none)?;
        Ok(Self { client, name })
    }

    /// Ends the transaction; who has taken the snapshot over keeps it.
    pub fn end(self) {
        self.client.close();
    }

    /// What `pg_dump --snapshot` and `set transaction snapshot` call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is of, which of several that could be meant is the only one that knows it.
    pub fn server(&self) -> &ConnInfo {
        self.client.info()
    }

    /// Reads what there is, and which of it a selection chooses.
    pub fn inventory(&self, selection: &Selection) -> Result<Inventory, PgError> {
        // Patterns are judged in the role's own search path, names are written with none.
        let chosen = Chosen::read(&self.client, selection)?;
        let facts = "select pg_catalog.set_config('search_path', '', true), pg_catalog.getdatabaseencoding(), \
            pg_catalog.current_setting('server_version_num'), (select pg_catalog.count(*) from pg_catalog.pg_largeobject_metadata)";
        let facts = self.client.query(facts)?.into_iter().next().unwrap_or_default();
        let fact = |at: usize| facts.get(at).cloned().flatten().unwrap_or_default();
        let (encoding, major) = (fact(1), fact(2).parse::<u32>().unwrap_or(0) / 10_000);
        let rows = self.client.query(&catalog::query(major, |column| spelled(column, &encoding)))?;
        let found: Vec<Found> = rows.iter().filter_map(|row| Found::read(row, &encoding)).collect();
        let schemas = found.iter().filter(|found| !found.is_part()).filter_map(Found::relation).collect();
        let objects = found.into_iter().map(|found| found.judged(&chosen, &schemas)).collect();
        Ok(Inventory { encoding, objects, large_objects: fact(3).parse().unwrap_or(0), whole: chosen.whole() })
    }
}

/// The schemas of the tables that patterns choose, but for `public`, which every new database has; sorted.
pub fn schemas_of(client: &Client, tables: &[String]) -> Result<Vec<String>, PgError> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let chosen = tables.iter().map(|table| pattern::relations(table)).collect::<Vec<_>>().join(" or ");
    let rows = client.query(&format!(
        "select distinct n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'S', 'v', 'm', 'f', 'p') and n.nspname <> 'public' and n.nspname !~ '^pg_' \
         and n.nspname <> 'information_schema' and ({chosen}) order by 1"
    ))?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// What a session writes values of `bytea` as, unless it is told otherwise: `hex`, or `escape`.
pub fn bytea_output(client: &Client) -> Result<Option<String>, PgError> {
    client.query_one_text("select pg_catalog.current_setting('bytea_output')")
}

/// The tables (partitions, partitioned and foreign tables among them) that a selection leaves out, as `schema.table`, sorted.
pub fn left_out_tables(info: &ConnInfo, handle: &Handle, selection: &Selection) -> Result<Vec<String>, PgError> {
    let snapshot = Snapshot::export(info, handle)?;
    let found = snapshot.inventory(selection);
    snapshot.end();
    let found = found?;
    let tables = found.objects.into_iter().filter(|object| matches!(object.kind.as_str(), "TABLE" | "FOREIGN TABLE") && !object.chosen);
    let mut names: Vec<String> = tables.map(|table| table.readable_name()).collect();
    names.sort();
    Ok(names)
}

impl Object {
    /// `schema.name`, or the name alone.
    pub fn readable_name(&self) -> String {
        let (schema, name) = &self.readable;
        schema.as_ref().map_or_else(|| name.clone(), |schema| format!("{schema}.{name}"))
    }
}

/// `name,bytes in hex`: as text where that can be sent as UTF-8, and as bytes where the dump's differ from it.
fn spelled(column: &str, encoding: &str) -> String {
    let encoded = || format!("pg_catalog.encode(pg_catalog.convert_to({column}, {}), 'hex')", quote::literal(encoding));
    match encoding {
        "UTF8" => column.to_owned(),
        // Whatever bytes somebody sent.
        "SQL_ASCII" => format!("',' || {}", encoded()),
        _ => format!("{column} || ',' || {}", encoded()),
    }
}

/// A name for people and as in an archive.
fn read_name(spelled: &str, encoding: &str) -> (String, String) {
    if encoding == "UTF8" {
        return (spelled.to_owned(), spelled.to_owned());
    }
    let (readable, hex) = spelled.rsplit_once(',').unwrap_or((spelled, ""));
    let digit = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let archived = words(&(0..hex.len()).step_by(2).filter_map(digit).collect::<Vec<u8>>());
    let readable = if encoding == "SQL_ASCII" { archived.clone() } else { readable.to_owned() };
    (readable, archived)
}

/// What the patterns of a selection match.
struct Chosen {
    tables: Option<HashSet<u32>>,
    exclude_tables: HashSet<u32>,
    schemas: Option<HashSet<String>>,
    exclude_schemas: HashSet<String>,
}

impl Chosen {
    fn read(client: &Client, selection: &Selection) -> Result<Self, PgError> {
        let matched = |patterns: &[String], condition: fn(&str) -> String, select: &str| -> Result<Vec<String>, PgError> {
            if patterns.is_empty() {
                return Ok(Vec::new());
            }
            let condition = patterns.iter().map(|pattern| condition(pattern)).collect::<Vec<_>>().join(" or ");
            Ok(client.query(&format!("{select} ({condition})"))?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
        };
        let relations = |patterns: &[String]| -> Result<HashSet<u32>, PgError> {
            let select = "select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                where c.relkind in ('r', 'S', 'v', 'm', 'f', 'p') and";
            Ok(matched(patterns, pattern::relations, select)?.iter().filter_map(|oid| oid.parse().ok()).collect())
        };
        // A schema is known by its bytes: its name may be in any encoding.
        let schemas = |patterns: &[String]| -> Result<HashSet<String>, PgError> {
            Ok(matched(patterns, pattern::schemas, "select n.oid from pg_catalog.pg_namespace n where")?.into_iter().collect())
        };
        Ok(Self {
            tables: (!selection.tables.is_empty()).then(|| relations(&selection.tables)).transpose()?,
            exclude_tables: relations(&selection.exclude_tables)?,
            schemas: (!selection.schemas.is_empty()).then(|| schemas(&selection.schemas)).transpose()?,
            exclude_schemas: schemas(&selection.exclude_schemas)?,
        })
    }

    /// `include_everything` of `pg_dump.c`.
    const fn whole(&self) -> bool {
        self.tables.is_none() && self.schemas.is_none()
    }

    /// `selectDumpableNamespace`.
    fn schema(&self, oid: &str) -> bool {
        self.tables.is_none() && self.schemas.as_ref().is_none_or(|chosen| chosen.contains(oid)) && !self.exclude_schemas.contains(oid)
    }

    /// `selectDumpableTable`.
    fn table(&self, oid: u32, schema: &str) -> bool {
        self.tables.as_ref().map_or_else(|| self.schema(schema), |chosen| chosen.contains(&oid)) && !self.exclude_tables.contains(&oid)
    }
}

/// A row of the catalog query.
struct Found {
    kind: String,
    schema: Option<(String, String)>,
    name: (String, String),
    namespace: Option<String>,
    relations: Vec<u32>,
    how: String,
    unseen: Option<Unseen>,
}

impl Found {
    fn read(row: &Row, encoding: &str) -> Option<Self> {
        let text = |at: usize| row.get(at).and_then(Option::as_deref);
        let named = |at: usize| text(at).map(|text| read_name(text, encoding));
        Some(Self {
            kind: text(0)?.to_owned(),
            schema: named(1),
            name: named(2)?,
            namespace: text(3).map(str::to_owned),
            relations: text(4).unwrap_or_default().split_whitespace().filter_map(|oid| oid.parse().ok()).collect(),
            how: text(5)?.to_owned(),
            unseen: text(6).map(|why| if why == "standby" { Unseen::Standby } else { Unseen::NoSuperuser }),
        })
    }

    fn is_part(&self) -> bool {
        !matches!(self.kind.as_str(), "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE") && !self.relations.is_empty()
    }

    /// A relation's OID and that of its schema.
    fn relation(&self) -> Option<(u32, String)> {
        Some((*self.relations.first()?, self.namespace.clone()?)).filter(|_| self.kind != "SEQUENCE")
    }

    /// With the selection's judgement of it. `schemas` has the schema of each relation.
    fn judged(self, chosen: &Chosen, schemas: &HashMap<u32, String>) -> Object {
        let own = || self.namespace.as_deref().is_none_or(|namespace| chosen.schema(namespace));
        let table = |oid: &u32| {
            let schema = schemas.get(oid).or(self.namespace.as_ref());
            schema.is_none_or(|schema| chosen.table(*oid, schema))
        };
        let is_chosen = match self.how.as_str() {
            "any" => self.relations.iter().any(table),
            "schema" => own() && self.relations.iter().all(table),
            "whole" => chosen.whole() && self.relations.iter().all(table),
            _ => self.relations.iter().all(table),
        };
        let part = self.is_part();
        let (readable, archived) = self.schema.map_or((None, None), |(readable, archived)| (Some(readable), Some(archived)));
        let (readable, archived) = ((readable, self.name.0), (archived, self.name.1));
        Object { kind: self.kind, archived, readable, chosen: is_chosen, part, unseen: self.unseen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_the_encoding_of_the_database() {
        assert_eq!(read_name("주문, 내역", "UTF8"), ("주문, 내역".to_owned(), "주문, 내역".to_owned()));
        assert_eq!(read_name("주,문,c1d62cb9ae", "EUC_KR"), ("주,문".to_owned(), r"\xC1\xD6,\xB9\xAE".to_owned()));
        assert_eq!(read_name(",61b0", "SQL_ASCII"), (r"a\xB0".to_owned(), r"a\xB0".to_owned()));
    }

    #[test]
    fn a_chosen_table_overrules_schemas_and_an_excluded_one_everything() {
        let none = || Chosen { tables: None, exclude_tables: HashSet::new(), schemas: None, exclude_schemas: HashSet::new() };
        let some = |oid: &str| HashSet::from([oid.to_owned()]);
        assert!(none().whole() && none().schema("1") && none().table(7, "1"));
        let tables = Chosen { tables: Some(HashSet::from([7])), exclude_schemas: some("1"), ..none() };
        assert!(!tables.whole() && !tables.schema("2") && tables.table(7, "1") && !tables.table(8, "2"));
        let without = Chosen { exclude_tables: HashSet::from([7]), schemas: Some(some("1")), ..none() };
        assert!(without.schema("1") && !without.table(7, "1") && without.table(8, "1") && !without.table(9, "2"));
    }
}
