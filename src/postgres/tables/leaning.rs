//! What else holds the content of changed tables: statistics, which are gathered anew, and materialized views, which are named.
//!
//! Nothing is refreshed here: only its owner knows how long that takes and who reads it meanwhile.

use tokio::runtime::Handle;

use super::{open, parsed};
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::error::PgError;
use crate::postgres::quote::literal;

/// Gathers statistics of tables, named as SQL writes them.
///
/// # Errors
/// Whatever the server says.
pub fn analyze(live: &ConnInfo, handle: &Handle, tables: &[&str]) -> Result<(), PgError> {
    let client = open(live, handle)?;
    let done = tables.iter().try_for_each(|table| client.batch(&format!("analyze {table}")));
    client.close();
    done
}

/// The materialized views that were made of these tables, over other views or not, as SQL writes them.
///
/// # Errors
/// Whatever the server says.
pub fn materialized_views(live: &ConnInfo, handle: &Handle, tables: &[&str]) -> Result<Vec<String>, PgError> {
    let listed = tables.iter().map(|table| format!("{}::pg_catalog.regclass::oid", literal(table))).collect::<Vec<_>>().join(", ");
    let client = open(live, handle)?;
    let found = parsed(
        &client,
        &format!(
            "with recursive leaning(oid) as (select pg_catalog.unnest(array[{listed}]) union \
               select r.ev_class from leaning l join pg_catalog.pg_depend d on d.refobjid = l.oid \
                 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
                 join pg_catalog.pg_rewrite r on r.oid = d.objid) \
             select pg_catalog.to_json(pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)) from leaning l \
             join pg_catalog.pg_class c on c.oid = l.oid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relkind = 'm' order by n.nspname, c.relname"
        ),
    );
    client.close();
    found
}
