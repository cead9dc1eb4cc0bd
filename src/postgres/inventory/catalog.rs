//! What `pg_dump` writes of a database, asked of its catalog.
//!
//! Source: PostgreSQL `pg_dump.c`: the `get…` functions say which objects there are, `selectDumpable…` which of them are
//! written, the `dump…` functions their kind and name. Members of extensions come with their extension, and objects of the
//! system with the system. Not asked for: comments, privileges, security labels and defaults, which are details of
//! objects that are asked for. This module does not know filters.

/// The schemas of users, what belongs to an extension (or was made for another object), and the relations of users.
const COMMON: &str = "with schemas as materialized (select oid, nspname from pg_catalog.pg_namespace \
        where nspname !~ '^pg_' and nspname <> 'information_schema'), \
    members as materialized (select classid, objid from pg_catalog.pg_depend where deptype = 'e'), \
    own as materialized (select c.oid, c.relname, c.relkind, c.relispartition, c.relrowsecurity, s.nspname, \
            c.relpersistence = 'u' and pg_catalog.pg_is_in_recovery() as empty \
        from pg_catalog.pg_class c join schemas s on s.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') \
        and not exists (select 1 from members where classid = 'pg_catalog.pg_class'::pg_catalog.regclass and objid = c.oid)), \
    sequences as materialized (select o.*, d.deptype, d.refobjid from own o left join pg_catalog.pg_depend d \
        on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = o.oid and d.objsubid = 0 \
        and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('a', 'i') where o.relkind = 'S' \
        and (d.deptype is distinct from 'i' or d.refobjid in (select oid from own))), \
    indexes as materialized (select i.indexrelid, i.indrelid, o.nspname, c.relname, o.relname as host, k.conname \
        from pg_catalog.pg_index i join own o on o.oid = i.indrelid join pg_catalog.pg_class c on c.oid = i.indexrelid \
        left join pg_catalog.pg_constraint k on k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u', 'x') \
        where i.indisready and (i.indisvalid or o.relkind = 'p'))";

/// A sequence goes with its own name; one that a table owns also with that table, one of an identity column only with it.
const OF_SEQUENCE: &str = "case deptype when 'i' then refobjid::text when 'a' then oid || ' ' || refobjid else oid::text end, 'any'";

/// Objects: kind, schema, name, the relations it goes with, and how (`all` of them, `any`, `schema`, `whole` database), and
/// what keeps `pg_dump` from seeing it.
const OBJECTS: &[&str] = &[
    "select case relkind when 'v' then 'VIEW' when 'm' then 'MATERIALIZED VIEW' when 'f' then 'FOREIGN TABLE' else 'TABLE' end, \
        nspname, relname, oid::text, 'all', null from own where relkind <> 'S'",
    "select 'TABLE DATA', nspname, relname, oid::text, 'all', case when empty then 'standby' end from own where relkind = 'r'",
    "select 'ROW SECURITY', nspname, relname, oid::text, 'all', null from own where relrowsecurity",
    "select 'TABLE ATTACH', nspname, relname, oid || ' ' || h.inhparent, 'all', null \
        from own join pg_catalog.pg_inherits h on h.inhrelid = oid where relispartition and h.inhparent in (select oid from own)",
    "select 'INDEX', nspname, relname, indrelid::text, 'all', null from indexes where conname is null",
    "select 'CONSTRAINT', nspname, host || ' ' || conname, indrelid::text, 'all', null from indexes where conname is not null",
    "select 'INDEX ATTACH', i.nspname, i.relname, i.indrelid || ' ' || p.indrelid, 'all', null from indexes i \
        join pg_catalog.pg_inherits h on h.inhrelid = i.indexrelid join indexes p on p.indexrelid = h.inhparent",
    "select case k.contype when 'f' then 'FK CONSTRAINT' else 'CHECK CONSTRAINT' end, nspname, relname || ' ' || k.conname, own.oid::text, \
        'all', null from own join pg_catalog.pg_constraint k on k.conrelid = own.oid \
        where k.contype = 'f' and k.conparentid = 0 or k.contype = 'c' and not k.convalidated and k.conislocal",
    "select 'TRIGGER', nspname, relname || ' ' || t.tgname, own.oid::text, 'all', null \
        from own join pg_catalog.pg_trigger t on t.tgrelid = own.oid where not t.tgisinternal and t.tgparentid = 0",
    "select 'RULE', nspname, relname || ' ' || r.rulename, own.oid::text, 'all', null \
        from own join pg_catalog.pg_rewrite r on r.ev_class = own.oid where r.ev_type <> '1'",
    "select 'POLICY', nspname, relname || ' ' || p.polname, own.oid::text, 'all', null \
        from own join pg_catalog.pg_policy p on p.polrelid = own.oid",
    "select 'PUBLICATION TABLE', nspname, p.pubname || ' ' || relname, own.oid::text, 'whole', null from own \
        join pg_catalog.pg_publication_rel r on r.prrelid = own.oid join pg_catalog.pg_publication p on p.oid = r.prpubid",
    "select 'EXTENSION', null, extname, null, 'whole', null from pg_catalog.pg_extension where oid > 16383",
    "select 'SUBSCRIPTION', null, subname, null, 'whole', case when not (select rolsuper from pg_catalog.pg_roles \
        where rolname = current_user) then 'superuser' end from pg_catalog.pg_subscription \
        where subdbid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())",
    "select 'USER MAPPING', null, 'USER MAPPING ' || u.usename || ' SERVER ' || u.srvname, null, 'whole', null \
        from pg_catalog.pg_user_mappings u where u.usename is not null and not exists (select 1 from members \
        where classid = 'pg_catalog.pg_foreign_server'::pg_catalog.regclass and objid = u.srvid)",
    // The rows of an extension's tables that are the user's own.
    "select 'TABLE DATA', n.nspname, c.relname, c.oid::text, 'whole', null from pg_catalog.pg_extension e \
        cross join lateral pg_catalog.unnest(e.extconfig) x(oid) join pg_catalog.pg_class c on c.oid = x.oid \
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace where e.oid > 16383 and c.relkind = 'r' and c.relpersistence = 'p'",
];

/// Objects of one catalog each, which have an identity of their own and may be members of an extension: kind, catalog, name,
/// the column of the schema (none for objects of the whole database), and a condition.
const SIMPLE: &[(&str, &str, &str, Option<&str>, &str)] = &[
    ("'SCHEMA'", "pg_namespace", "x.nspname", Some("x.oid"), "x.nspname <> 'public'"),
    ("case x.typtype when 'd' then 'DOMAIN' else 'TYPE' end", "pg_type", "x.typname", Some("x.typnamespace"), OWN_TYPE),
    (FUNCTION_KIND, "pg_proc", FUNCTION_NAME, Some("x.pronamespace"), OWN_FUNCTION),
    ("'OPERATOR'", "pg_operator", "x.oprname", Some("x.oprnamespace"), "x.oprcode <> 0"),
    ("'OPERATOR CLASS'", "pg_opclass", "x.opcname", Some("x.opcnamespace"), "true"),
    ("'OPERATOR FAMILY'", "pg_opfamily", "x.opfname", Some("x.opfnamespace"), "true"),
    ("'COLLATION'", "pg_collation", "x.collname", Some("x.collnamespace"), "true"),
    ("'CONVERSION'", "pg_conversion", "x.conname", Some("x.connamespace"), "true"),
    ("'TEXT SEARCH PARSER'", "pg_ts_parser", "x.prsname", Some("x.prsnamespace"), "true"),
    ("'TEXT SEARCH DICTIONARY'", "pg_ts_dict", "x.dictname", Some("x.dictnamespace"), "true"),
    ("'TEXT SEARCH TEMPLATE'", "pg_ts_template", "x.tmplname", Some("x.tmplnamespace"), "true"),
    ("'TEXT SEARCH CONFIGURATION'", "pg_ts_config", "x.cfgname", Some("x.cfgnamespace"), "true"),
    ("'CAST'", "pg_cast", CAST_NAME, None, OWN_CAST),
    ("'TRANSFORM'", "pg_transform", TRANSFORM_NAME, None, "true"),
    ("'PROCEDURAL LANGUAGE'", "pg_language", "x.lanname", None, "x.lanispl"),
    ("'ACCESS METHOD'", "pg_am", "x.amname", None, "true"),
    ("'FOREIGN DATA WRAPPER'", "pg_foreign_data_wrapper", "x.fdwname", None, "true"),
    ("'SERVER'", "pg_foreign_server", "x.srvname", None, "true"),
    ("'EVENT TRIGGER'", "pg_event_trigger", "x.evtname", None, "true"),
    ("'PUBLICATION'", "pg_publication", "x.pubname", None, "true"),
];

/// Not the type of a table's rows, not an array that came with its element, not a multirange that came with its range.
const OWN_TYPE: &str = "x.typtype <> 'm' and (x.typrelid = 0 or exists (select 1 from pg_catalog.pg_class r \
    where r.oid = x.typrelid and r.relkind = 'c')) and not exists (select 1 from pg_catalog.pg_type e where e.oid = x.typelem and e.typarray = x.oid)";

const FUNCTION_KIND: &str = "case x.prokind when 'p' then 'PROCEDURE' when 'a' then 'AGGREGATE' else 'FUNCTION' end";

/// `format_function_signature` and `format_aggregate_signature`.
const FUNCTION_NAME: &str = "x.proname || '(' || coalesce((select pg_catalog.string_agg(pg_catalog.format_type(a.type, null), ', ' order by a.at) \
    from pg_catalog.unnest(x.proargtypes) with ordinality a(type, at)), case x.prokind when 'a' then '*' else '' end) || ')'";

/// Not one that was made with a range type.
const OWN_FUNCTION: &str = "not exists (select 1 from pg_catalog.pg_depend d \
    where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = x.oid and d.deptype = 'i')";

const CAST_NAME: &str =
    "'CAST (' || pg_catalog.format_type(x.castsource, null) || ' AS ' || pg_catalog.format_type(x.casttarget, null) || ')'";

/// Not one that was made with a range type.
const OWN_CAST: &str =
    "not exists (select 1 from pg_catalog.pg_range r where r.rngtypid = x.castsource and r.rngmultitypid = x.casttarget)";

const TRANSFORM_NAME: &str = "'TRANSFORM FOR ' || pg_catalog.format_type(x.trftype, null) || ' LANGUAGE ' || \
    (select l.lanname from pg_catalog.pg_language l where l.oid = x.trflang)";

/// Extended statistics belong to a schema of their own and to a table.
const STATISTICS: &str = "select 'STATISTICS', s.nspname, x.stxname, x.stxrelid::text, 'schema', null from pg_catalog.pg_statistic_ext x \
    join schemas s on s.oid = x.stxnamespace where not exists (select 1 from members \
    where classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass and objid = x.oid)";

/// From 15 on.
const PUBLISHED_SCHEMAS: &str = "select 'PUBLICATION TABLES IN SCHEMA', s.nspname, p.pubname || ' ' || s.nspname, null, 'whole', null \
    from pg_catalog.pg_publication_namespace x join schemas s on s.oid = x.pnnspid join pg_catalog.pg_publication p on p.oid = x.pnpubid";

/// One of [`SIMPLE`] as a query. Objects with an OID below 16384 (`FirstNormalObjectId`) came with the system.
fn simple((kind, catalog, name, schema, condition): &(&str, &str, &str, Option<&str>, &str)) -> String {
    let (told, join, how) = match schema {
        Some("x.oid") => ("null", "join schemas s on s.oid = x.oid".to_owned(), "schema"),
        Some(column) => ("s.nspname", format!("join schemas s on s.oid = {column}"), "schema"),
        None => ("null", String::new(), "whole"),
    };
    let system = if schema.is_some() { "" } else { " and x.oid > 16383" };
    format!(
        "select {kind}, {told}, {name}, null, '{how}', null from pg_catalog.{catalog} x {join} where {condition}{system} \
         and not exists (select 1 from members where classid = 'pg_catalog.{catalog}'::pg_catalog.regclass and objid = x.oid)"
    )
}

/// The query for everything that a `pg_dump` without filters writes, on a server of this major: kind, schema, name, the schema's
/// OID, relations, how, unseen. `spell` words a column so that
/// it can be compared with the archive.
pub(super) fn query(major: u32, spell: impl Fn(&str) -> String) -> String {
    let sequences = ["SEQUENCE", "SEQUENCE SET"]
        .map(|kind| format!("select '{kind}', nspname, relname, {OF_SEQUENCE}, {} from sequences", without_rows(kind)));
    let simple = SIMPLE.iter().map(simple);
    let since_15 = (major >= 15).then(|| PUBLISHED_SCHEMAS.to_owned());
    let objects = OBJECTS.iter().map(|sql| (*sql).to_owned()).chain(sequences).chain(simple).chain([STATISTICS.to_owned()]);
    let all = objects.chain(since_15).collect::<Vec<_>>().join(" union all ");
    let (schema, name) = (spell("schema"), spell("name"));
    format!(
        "{COMMON} select kind, {schema}, {name}, n.oid, relations, how, unseen \
         from ({all}) as found(kind, schema, name, relations, how, unseen) left join pg_catalog.pg_namespace n \
         on n.nspname = (case kind when 'SCHEMA' then name else schema end)::pg_catalog.name"
    )
}

fn without_rows(kind: &str) -> &'static str {
    if kind == "SEQUENCE" { "null" } else { "case when empty then 'standby' end" }
}
