//! What a table is made of: columns, primary key, sequences, triggers.
//!
//! Source: PostgreSQL documentation, chapter 53 "System Catalogs". The session must have no schema in its search path, so
//! that types and defaults come out with theirs. This module does not compare.

use serde::Deserialize;

use super::parsed;
use crate::postgres::client::Client;
use crate::postgres::error::PgError;
use crate::postgres::quote::{identifier, literal};

/// A column.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The name as SQL writes it, in double quotes only where they are needed.
    pub(crate) quoted: String,
    /// The type with its modifiers, as SQL writes it.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// Whether it is computed from others and takes no value.
    pub(crate) generated: bool,
    /// `a` generated always as identity, `d` by default, empty otherwise.
    pub(crate) identity: String,
    pub(crate) not_null: bool,
    /// Whether `=` of its type means the same value and can always be used.
    pub(crate) comparable: bool,
    /// Its default, if that needs no sequence.
    pub(crate) default: Option<String>,
    /// Its collation, if that is not its type's.
    pub(crate) collation: Option<String>,
}

/// A column of the primary key.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct KeyColumn {
    pub(crate) name: String,
    /// The operator that the key's index calls equality, with its schema: a user's may come first in the search path.
    pub(crate) equals: String,
}

/// A sequence that belongs to a column.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sequence {
    /// As SQL writes it.
    pub(crate) quoted: String,
    /// The column, as SQL writes it.
    pub(crate) column: String,
    /// Whether it counts up.
    pub(crate) ascending: bool,
}

/// A trigger of a user that fires in an ordinary session.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Trigger {
    /// Its name as SQL writes it.
    pub(crate) quoted: String,
    /// The table that it is on, as SQL writes it: this one or one of its partitions.
    pub(crate) on: String,
    /// Whether it is no copy on a partition of one that is listed for the whole table.
    pub(crate) own: bool,
    /// Whether the session's role may switch it off.
    pub(crate) switchable: bool,
    /// `tgtype`: before 2, insert 4, delete 8, update 16.
    kind: u16,
    /// Whether it also fires on a replica (`enable always`).
    pub(crate) always: bool,
}

/// What a trigger may fire on, by its bit in `tgtype`.
pub(crate) const EVENTS: [(u16, &str); 3] = [(4, "insert"), (16, "update"), (8, "delete")];

impl Trigger {
    /// Whether any of these kinds of change fires it.
    pub(crate) fn fires_on(&self, events: u16) -> bool {
        self.kind & events != 0
    }

    /// `audit (after insert or update) of shop.orders`.
    pub(crate) fn words(&self) -> String {
        let on: Vec<&str> = EVENTS.iter().filter(|(bit, _)| self.kind & bit != 0).map(|(_, word)| *word).collect();
        format!("{} ({} {}) of {}", self.quoted, if self.kind & 2 == 0 { "after" } else { "before" }, on.join(" or "), self.on)
    }
}

/// A table.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Table {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// `schema.table` as SQL writes it.
    pub(crate) quoted: String,
    /// `only ` if other tables may inherit from it, else empty.
    pub(crate) only: String,
    /// Whether rows may collide in something else than their key.
    pub(crate) otherwise_unique: bool,
    pub(crate) columns: Vec<Column>,
    pub(crate) key: Vec<KeyColumn>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) triggers: Vec<Trigger>,
}

impl Table {
    /// The table in a FROM or as the aim of a change, without those that inherit from it.
    pub(crate) fn alone(&self) -> String {
        format!("{}{}", self.only, self.quoted)
    }

    /// The columns that hold values of their own.
    pub(crate) fn stored(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| !column.generated).collect()
    }

    /// Their names for a list.
    pub(crate) fn stored_names(&self) -> String {
        self.stored().iter().map(|column| column.quoted.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// What an INSERT needs to keep the values of identity columns.
    pub(crate) fn overriding(&self) -> &'static str {
        if self.columns.iter().any(|column| column.identity == "a") { " overriding system value" } else { "" }
    }
}

const QUOTED: &str = "pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident";

/// Built-in types whose `=` is about the value: numbers, dates, times, booleans, addresses, bits, ranges, texts, bytea, uuid, jsonb;
/// and enums. Not those without `=` (json, xml, point), nor where it means something else (box, circle: area), nor texts that
/// collate without regard to their bytes.
const COMPARABLE: &str = "(t.typtype = 'e' or t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace \
    and (t.typcategory in ('N', 'D', 'T', 'B', 'I', 'V', 'R') or t.oid in (17, 25, 1042, 1043, 2950, 3802))) \
    and coalesce((select l.collisdeterministic from pg_catalog.pg_collation l where l.oid = a.attcollation), true)";

fn columns() -> String {
    let default = "(select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d where d.adrelid = c.oid \
        and d.adnum = a.attnum and a.attgenerated = '' and not exists (select from pg_catalog.pg_depend u \
        join pg_catalog.pg_class s on s.oid = u.refobjid and s.relkind = 'S' where u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass \
        and u.objid = d.oid and u.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass))";
    let collation = format!(
        "(select {QUOTED}(l.collname) from pg_catalog.pg_collation l join pg_catalog.pg_namespace n on n.oid = l.collnamespace \
         where l.oid = a.attcollation and a.attcollation <> t.typcollation)"
    );
    format!(
        "select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'quoted', pg_catalog.quote_ident(a.attname), \
         'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'generated', a.attgenerated <> '', 'identity', a.attidentity, \
         'not_null', a.attnotnull, 'comparable', {COMPARABLE}, 'default', {default}, 'collation', {collation}) order by a.attnum), '[]') \
         from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid \
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
    )
}

/// The key's columns with their operator: strategy 3 of a B-tree is equality.
const KEY: &str = "select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'equals', coalesce( \
        (select 'operator(' || pg_catalog.quote_ident(n.nspname) || '.' || o.oprname || ')' \
         from pg_catalog.pg_opclass f join pg_catalog.pg_amop m on m.amopfamily = f.opcfamily and m.amoplefttype = f.opcintype \
         and m.amoprighttype = f.opcintype and m.amopstrategy = 3 join pg_catalog.pg_operator o on o.oid = m.amopopr \
         join pg_catalog.pg_namespace n on n.oid = o.oprnamespace where f.oid = i.indclass[k.at - 1]), 'operator(pg_catalog.=)')) order by k.at), '[]') \
    from pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) with ordinality k(number, at), pg_catalog.pg_attribute a \
    where i.indrelid = c.oid and i.indisprimary and k.at <= i.indnkeyatts and a.attrelid = c.oid and a.attnum = k.number";

fn sequences() -> String {
    format!(
        "select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('quoted', {QUOTED}(s.relname), 'column', \
         pg_catalog.quote_ident(a.attname), 'ascending', q.seqincrement > 0) order by a.attnum), '[]') \
         from pg_catalog.pg_depend d join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S' \
         join pg_catalog.pg_sequence q on q.seqrelid = s.oid join pg_catalog.pg_namespace n on n.oid = s.relnamespace \
         join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid \
         where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         and d.refobjid = c.oid and d.deptype in ('a', 'i')"
    )
}

/// Those of its partitions among them, each with its own state. Before 15 their copies count as internal, as what checks keys does,
/// and only a superuser switches those.
const TRIGGERS: &str = "select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object( \
    'quoted', pg_catalog.quote_ident(g.tgname), 'kind', g.tgtype, 'always', g.tgenabled = 'A', \
    'on', pg_catalog.quote_ident(gn.nspname) || '.' || pg_catalog.quote_ident(gc.relname), \
    'own', g.tgparentid = 0 or not exists (select from pg_catalog.pg_trigger r where r.tgrelid = c.oid and r.tgname = g.tgname \
        and r.tgenabled in ('O', 'A')), \
    'switchable', pg_catalog.pg_has_role(gc.relowner, 'USAGE') and (not g.tgisinternal or (select u.rolsuper from pg_catalog.pg_roles u \
        where u.rolname = current_user))) order by gc.oid <> c.oid, gn.nspname, gc.relname, g.tgname), '[]') \
    from pg_catalog.pg_trigger g join pg_catalog.pg_class gc on gc.oid = g.tgrelid join pg_catalog.pg_namespace gn on gn.oid = gc.relnamespace \
    where (g.tgrelid = c.oid or g.tgrelid in (select t.relid from pg_catalog.pg_partition_tree(c.oid) t)) and g.tgenabled in ('O', 'A') \
    and (not g.tgisinternal or g.tgparentid <> 0 and not exists (select from pg_catalog.pg_proc f where f.oid = g.tgfoid \
        and f.proname ~ '^(RI_FKey_|unique_key_recheck$)'))";

/// The condition on `c` (`pg_class`) and `n` (`pg_namespace`) that it belongs to a user and to no extension.
pub(crate) const OWN: &str = "c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
    and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid \
    and d.deptype = 'e')";

/// The tables of users that are no partitions, by schema and name.
pub(crate) fn roots(client: &Client) -> Result<Vec<(String, String)>, PgError> {
    let sql = format!(
        "select pg_catalog.json_build_array(n.nspname, c.relname) from pg_catalog.pg_class c join pg_catalog.pg_namespace n \
         on n.oid = c.relnamespace where c.relkind in ('r', 'p') and not c.relispartition and {OWN} order by n.nspname, c.relname"
    );
    parsed(client, &sql)
}

/// Looks a table up; `None` if the database has no table of that schema and name.
pub(crate) fn load(client: &Client, schema: &str, name: &str) -> Result<Option<Table>, PgError> {
    let sql = format!(
        "select pg_catalog.json_build_object('oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'quoted', {QUOTED}(c.relname), \
         'only', case c.relkind when 'r' then 'only ' else '' end, \
         'otherwise_unique', exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and not i.indisprimary \
             and (i.indisunique or i.indisexclusion)), \
         'columns', ({}), 'key', ({KEY}), 'sequences', ({}), 'triggers', ({TRIGGERS})) \
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'p') and n.nspname = {} and c.relname = {}",
        columns(),
        sequences(),
        literal(schema),
        literal(name),
    );
    let mut found: Vec<Table> = parsed(client, &sql)?;
    Ok(found.pop())
}

/// Names for queries of our own, in which every one is quoted.
pub(crate) fn names<'a>(columns: impl IntoIterator<Item = &'a Column>, prefix: &str) -> String {
    columns.into_iter().map(|column| format!("{prefix}{}", identifier(&column.name))).collect::<Vec<_>>().join(", ")
}
