//! Which tables lean on which: foreign keys, and the order that keeps them whole.
//!
//! This module does not look at rows.

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use serde::Deserialize;

use super::parsed;
use super::shape::Table;
use crate::postgres::client::Client;
use crate::postgres::error::PgError;

/// A foreign key.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Link {
    /// Its name as SQL writes it.
    pub(crate) quoted: String,
    /// The table that refers, by oid and as SQL writes it: the name may be that of one of its partitions.
    pub(crate) child: u32,
    pub(crate) child_name: String,
    /// The table it refers to, likewise.
    pub(crate) parent: u32,
    pub(crate) parent_name: String,
    /// Columns that refer, and those they refer to, in the same order.
    pub(crate) columns: Vec<String>,
    pub(crate) references: Vec<String>,
    /// The operators that compare a referred column (left) with a referring one.
    pub(crate) equals: Vec<String>,
    pub(crate) deferrable: bool,
    /// What happens to referring rows when the row they refer to is deleted, as SQL writes it; `None` if that is refused.
    pub(crate) on_delete: Option<String>,
}

/// Columns of a constraint by their numbers, in order.
fn named(numbers: &str, table: &str) -> String {
    format!(
        "(select pg_catalog.json_agg(a.attname order by x.at) from pg_catalog.unnest(k.{numbers}) with ordinality x(number, at) \
         join pg_catalog.pg_attribute a on a.attrelid = k.{table} and a.attnum = x.number)"
    )
}

/// The foreign keys from and to these tables and their partitions, which stand for their table. Each as it was declared, not its
/// copies on partitions and to them.
pub(crate) fn load(client: &Client, tables: &[&Table]) -> Result<Vec<Link>, PgError> {
    let roots = listed(tables.iter().map(|table| table.oid));
    let tree = format!(
        "select pg_catalog.json_build_array(t.relid::pg_catalog.oid::int8, r.oid::int8) from pg_catalog.pg_class r, \
         pg_catalog.pg_partition_tree(r.oid) t where r.oid in ({roots}) and r.relkind = 'p'"
    );
    let tree: Vec<(u32, u32)> = parsed(client, &tree)?;
    let root = |oid: u32| tree.iter().find(|(part, _)| *part == oid).map_or(oid, |(_, root)| *root);
    let all = listed(tables.iter().map(|table| table.oid).chain(tree.iter().map(|(part, _)| *part)));
    let copied = format!(
        "exists (select from pg_catalog.pg_constraint d where d.oid = k.conparentid and (d.conrelid in ({all}) or d.confrelid in ({all})))"
    );
    let found = found(client, &format!("(k.conrelid in ({all}) or k.confrelid in ({all})) and not {copied}"))?;
    Ok(found.into_iter().map(|link| Link { child: root(link.child), parent: root(link.parent), ..link }).collect())
}

fn listed(oids: impl Iterator<Item = u32>) -> String {
    oids.map(|oid| oid.to_string()).collect::<Vec<_>>().join(", ")
}

fn found(client: &Client, which: &str) -> Result<Vec<Link>, PgError> {
    let quoted = |oid: &str| {
        format!(
            "(select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = k.{oid})"
        )
    };
    let operators = "(select pg_catalog.json_agg('operator(' || pg_catalog.quote_ident(n.nspname) || '.' || o.oprname || ')' order by x.at) \
        from pg_catalog.unnest(k.conpfeqop) with ordinality x(oid, at) join pg_catalog.pg_operator o on o.oid = x.oid \
        join pg_catalog.pg_namespace n on n.oid = o.oprnamespace)";
    let sql = format!(
        "select pg_catalog.json_build_object('quoted', pg_catalog.quote_ident(k.conname), 'child', k.conrelid::int8, 'child_name', {}, \
         'parent', k.confrelid::int8, 'parent_name', {}, 'columns', {}, 'references', {}, 'equals', {operators}, \
         'deferrable', k.condeferrable, 'on_delete', case k.confdeltype when 'c' then 'on delete cascade' \
         when 'n' then 'on delete set null' when 'd' then 'on delete set default' end) \
         from pg_catalog.pg_constraint k where k.contype = 'f' and {which} order by k.conrelid, k.conname",
        quoted("conrelid"),
        quoted("confrelid"),
        named("conkey", "conrelid"),
        named("confkey", "confrelid"),
    );
    parsed(client, &sql)
}

/// Tables that must be filled at one stroke because they refer to each other, or one that refers to itself or to none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Which tables, as places in the list.
    pub(crate) tables: Vec<usize>,
    /// Whether a reference leads from the group back into it.
    pub(crate) knotted: bool,
}

/// The tables so that each one comes after those it refers to.
pub(crate) fn parents_first(tables: &[&Table], links: &[Link]) -> Vec<Group> {
    let place = |oid: u32| tables.iter().position(|table| table.oid == oid);
    let mut graph = DiGraphMap::<usize, ()>::new();
    for at in 0..tables.len() {
        graph.add_node(at);
    }
    for link in links {
        if let (Some(child), Some(parent)) = (place(link.child), place(link.parent)) {
            graph.add_edge(child, parent, ());
        }
    }
    let group = |mut tables: Vec<usize>| {
        tables.sort_unstable();
        Group { knotted: tables.len() > 1 || graph.contains_edge(tables[0], tables[0]), tables }
    };
    // Tarjan's algorithm finds a component after all those it leads to.
    tarjan_scc(&graph).into_iter().map(group).collect()
}
