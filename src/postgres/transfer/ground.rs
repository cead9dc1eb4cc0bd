//! The whole of both databases: which tables and sequences a restore point has, and the same in the live one.
//!
//! Partitions are their table's affair. This module does not look at rows, and refuses rather than leaves anything out.

use serde::Deserialize;

use super::Work;
use crate::postgres::client::Client;
use crate::postgres::error::PgError;
use crate::postgres::tables::shape::{self, OWN, Table};
use crate::postgres::tables::{TablesError, pair, parsed};

/// How many things that are missing or differ a message names.
const NAMED: usize = 10;

const QUOTED: &str = "pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)";

/// A sequence.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Counter {
    schema: String,
    name: String,
    /// As SQL writes it.
    pub(super) quoted: String,
    /// The column that owns it: schema, table, column.
    of: Option<(String, String, String)>,
    /// Whether it counts up.
    pub(super) ascending: bool,
    /// Whether the session's role may do what its owner may.
    pub(super) owned: bool,
}

/// All tables of users that are no partitions.
pub(super) fn tables(client: &Client) -> Result<Vec<Table>, TablesError> {
    let loaded = shape::roots(client)?.into_iter().map(|(schema, name)| shape::load(client, &schema, &name));
    Ok(loaded.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// All sequences of users.
pub(super) fn sequences(client: &Client) -> Result<Vec<Counter>, PgError> {
    let owner = "(select pg_catalog.json_build_array(tn.nspname, t.relname, a.attname) from pg_catalog.pg_depend d \
        join pg_catalog.pg_class t on t.oid = d.refobjid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace \
        join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid \
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
        and d.objid = c.oid and d.deptype in ('a', 'i'))";
    parsed(
        client,
        &format!(
            "select pg_catalog.json_build_object('schema', n.nspname, 'name', c.relname, 'quoted', {QUOTED}, 'of', {owner}, \
             'ascending', s.seqincrement > 0, 'owned', pg_catalog.pg_has_role(c.relowner, 'USAGE')) \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             join pg_catalog.pg_sequence s on s.seqrelid = c.oid where {OWN} order by n.nspname, c.relname"
        ),
    )
}

/// The live database's tables for those of the restore point, and its sequences for the restore point's, in the same order.
pub(super) fn same(work: &Work<'_>, counters: &[Counter]) -> Result<(Vec<Table>, Vec<Counter>), TablesError> {
    let (mut here, mut standing, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for there in &work.there {
        match pair::of_target(&work.target, std::slice::from_ref(there)) {
            Ok(found) => here.extend(found),
            Err(TablesError::Missing { table, .. }) => wrong.push(format!("table {table} is not there")),
            Err(TablesError::Drift { table, differences }) => wrong.push(format!("table {table}: {differences}")),
            Err(other) => return Err(other),
        }
    }
    let live = sequences(&work.target)?;
    for there in counters {
        // A migration may have named a column's sequence otherwise.
        let by_column = live.iter().find(|here| here.of.is_some() && here.of == there.of);
        let by_name = || live.iter().find(|here| here.schema == there.schema && here.name == there.name);
        match by_column.or_else(by_name) {
            Some(found) => standing.push(found.clone()),
            None => wrong.push(format!("sequence {} is not there", there.quoted)),
        }
    }
    if wrong.is_empty() { Ok((here, standing)) } else { Err(unlike(&work.target, &wrong)) }
}

fn unlike(target: &Client, wrong: &[String]) -> TablesError {
    let named = wrong.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    let more = if wrong.len() > NAMED { format!("; and {} more", wrong.len() - NAMED) } else { String::new() };
    let detail = format!(
        "its definitions are not those of the restore point: {named}{more}. Bring it to the version of the schema that was dumped, \
         or restore the whole into a new database"
    );
    TablesError::Impossible { table: target.info().describe(), detail }
}

/// What is in a database beside tables and sequences that a restore of data does not fill, in words.
pub(super) fn beside(work: &Work<'_>) -> Result<Vec<String>, PgError> {
    let mut notes = Vec::new();
    let views = format!(
        "select {QUOTED} from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'm' and {OWN} \
         order by 1"
    );
    notes.extend(
        names(&work.target, &views)?.into_iter().map(|view| format!("{view} shows what it did: refresh materialized view {view};")),
    );
    let foreign = views.replace("'m'", "'f'");
    notes.extend(names(&work.scratch, &foreign)?.into_iter().map(|table| format!("{table} is a foreign table: its rows are elsewhere")));
    let extra = names(&work.target, &views.replace("= 'm'", "in ('r', 'p') and not c.relispartition"))?;
    let extra = extra.into_iter().filter(|name| work.here.iter().all(|table| table.quoted != *name));
    notes.extend(extra.map(|table| format!("table {table} is not in the restore point; it stays as it is")));
    let kept = "select pg_catalog.json_build_array(pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), x.condition, e.extname) \
        from pg_catalog.pg_extension e, rows from (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition)) x(oid, condition) \
        join pg_catalog.pg_class c on c.oid = x.oid and c.relkind in ('r', 'p') join pg_catalog.pg_namespace n on n.oid = c.relnamespace";
    for (table, condition, extension) in parsed::<(String, Option<String>, String)>(&work.scratch, kept)? {
        let count = format!("select pg_catalog.count(*) from {table} {}", condition.unwrap_or_default());
        let rows = work.scratch.query_one_text(&count)?.unwrap_or_default();
        if rows != "0" {
            notes.push(format!("table {table} belongs to extension {extension}: its {rows} rows in the restore point are not brought"));
        }
    }
    Ok(notes)
}

fn names(client: &Client, sql: &str) -> Result<Vec<String>, PgError> {
    Ok(client.query(sql)?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}
