//! Tables of a restore point whose rows its dump does not hold: they are empty where it was restored, whatever was in them.
//!
//! Rows that are there are deleted because a restore point does not have them. That it has none of a table because nobody
//! dumped any (`schema_only`, an unlogged table of a standby) is no reason. This module reads no dump and deletes nothing.

use super::shape::{self, Table};
use super::{Sides, TablesError, open, pair, parsed};
use crate::archive::Fingerprint;
use crate::postgres::client::Client;
use crate::postgres::error::PgError;
use crate::postgres::quote::literal;

/// How many tables a message names.
const NAMED: usize = 10;

/// Refuses to take the restore point's word for it that tables are empty, if rows are there and nothing shows that theirs were dumped.
/// Without names all tables of users are meant; without a fingerprint nothing is known of what was dumped.
///
/// # Errors
/// [`TablesError::Impossible`], naming the tables.
pub fn refuse_rowless(sides: &Sides<'_>, names: Option<&[&str]>, dumped: Option<&Fingerprint>) -> Result<(), TablesError> {
    let (scratch, target) = (open(sides.scratch, sides.handle)?, open(sides.target, sides.handle)?);
    let tables = match names {
        Some(names) => pair::of_scratch(&scratch, names)?,
        None => all(&scratch)?,
    };
    let mut found = Vec::new();
    for (schema, name, quoted) in leaves(&scratch, &tables)? {
        if !dumped.is_some_and(|dumped| holds(dumped, &schema, &name)) && !any(&scratch, &quoted)? && any(&target, &quoted)? {
            found.push(quoted);
        }
    }
    scratch.close();
    target.close();
    if found.is_empty() { Ok(()) } else { Err(refused(&found)) }
}

fn refused(found: &[String]) -> TablesError {
    let more = if found.len() > NAMED { format!(" and {} more", found.len() - NAMED) } else { String::new() };
    let table = found.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ") + &more;
    let detail = "rows are there and would go, and nothing shows that the dump holds those of the restore point: it may have been made with \
                  `schema_only`, or of an unlogged table on a standby. Choose a restore point that has them; to empty a table, delete its rows yourself";
    TablesError::Impossible { table, detail: detail.to_owned() }
}

fn all(client: &Client) -> Result<Vec<Table>, PgError> {
    let loaded = shape::roots(client)?.into_iter().map(|(schema, name)| shape::load(client, &schema, &name));
    Ok(loaded.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The tables that hold rows themselves: schema, name, and both as SQL writes them.
fn leaves(client: &Client, tables: &[Table]) -> Result<Vec<(String, String, String)>, PgError> {
    let oids = tables.iter().map(|table| table.oid.to_string()).collect::<Vec<_>>().join(", ");
    parsed(
        client,
        &format!(
            "select pg_catalog.json_build_array(n.nspname, c.relname, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)) \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and c.oid in ( \
                 select r from pg_catalog.unnest(array[{oids}]::pg_catalog.oid[]) r union select t.relid \
                 from pg_catalog.unnest(array[{oids}]::pg_catalog.oid[]) r, pg_catalog.pg_partition_tree(r::pg_catalog.regclass) t) \
             order by n.nspname, c.relname"
        ),
    )
}

/// Whether a dump holds the rows of a table, or all rows through the root of their partitions.
fn holds(dumped: &Fingerprint, schema: &str, name: &str) -> bool {
    // Names in other encodings are not text there; of a dump without any rows none is listed.
    let unread = dumped.facts.encoding != "UTF8" && !(schema.is_ascii() && name.is_ascii());
    dumped.tables.iter().any(|table| unread || table.with_partitions || table.schema == schema && table.name == name)
}

/// Whether a table that may not be there has rows.
fn any(client: &Client, quoted: &str) -> Result<bool, PgError> {
    let there = client.query_one_text(&format!("select pg_catalog.to_regclass({}) is not null", literal(quoted)))?;
    Ok(there.as_deref() == Some("t")
        && client.query_one_text(&format!("select exists (select from only {quoted})"))?.as_deref() == Some("t"))
}
