//! Large objects, which rows refer to by number and no foreign key minds.
//!
//! Pages flow as rows do, into a temp table, and from there into objects of the same numbers. What was made is read back and
//! compared before anything is committed. This module empties no table.

use std::collections::{BTreeMap, BTreeSet};

use super::{TablesError, Work, compare};
use crate::archive::Counted;
use crate::postgres::client::Client;
use crate::postgres::error::PgError;
use crate::postgres::quote::{identifier, literal};
use crate::postgres::tables::parsed;
use crate::postgres::tables::shape::Table;

/// How many objects one statement makes, asks or changes.
const AT_ONCE: usize = 1_000;

/// How many numbers a message names.
const NAMED: usize = 5;

/// In pieces of which size contents are compared, in bytes.
const PIECE: usize = 1 << 20;

/// What becomes of an object whose number is taken in the live database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing is brought at all.
    Refuse,
    /// It goes.
    Unlink,
    /// It stays, and the restore point's is not brought.
    Leave,
}

/// An object as the restore point has it.
#[derive(serde::Deserialize)]
struct Object {
    oid: u32,
    owner: String,
    comment: Option<String>,
    /// `grant select on large object 1 to x`, of whom: roles that must be there.
    grants: Option<Vec<(String, Option<String>)>>,
}

/// Brings large objects of the restore point, all or some; answers notes. Unequal ones are an error.
pub(super) fn bring(work: &Work<'_>, which: Option<&[u32]>, taken: Taken) -> Result<Vec<String>, TablesError> {
    let mut objects = objects(&work.scratch, which)?;
    let mut notes = Vec::new();
    let live = oids(&work.target, "select oid::int8 from pg_catalog.pg_largeobject_metadata")?;
    let (known, there) = (objects.iter().map(|object| object.oid).collect::<BTreeSet<_>>(), &live);
    let clash: Vec<u32> = known.intersection(there).copied().collect();
    match taken {
        _ if clash.is_empty() => {}
        Taken::Refuse => return Err(refused(&clash)),
        Taken::Unlink => each(&work.target, &clash, |some| format!("select pg_catalog.lo_unlink(x) from {} x", unnest(some)))?,
        Taken::Leave => {
            objects.retain(|object| !live.contains(&object.oid));
            notes.push(format!("large objects whose numbers are taken, left as found: {}", clash.len()));
        }
    }
    if which.is_none() && live.len() > clash.len() {
        notes.push(format!(
            "large objects of before, left as found: {} (vacuumlo removes those that no row refers to)",
            live.len() - clash.len()
        ));
    }
    if objects.is_empty() {
        return Ok(notes);
    }
    let numbers: Vec<u32> = objects.iter().map(|object| object.oid).collect();
    stage(work, &numbers)?;
    notes.extend(make(work, &objects)?);
    let page = work.scratch.query_one_text("select pg_catalog.current_setting('block_size')::int8 / 4")?.unwrap_or_default();
    work.target.batch(&format!(
        "select pg_catalog.lo_put(lo, page::int8 * {page}, bytes) from (select * from pg_temp.runner_large order by lo, page) p"
    ))?;
    notes.extend(rights(work, &objects)?);
    prove(work, &numbers, &page)?;
    notes.push(format!("large objects brought and compared: {}", objects.len()));
    Ok(notes)
}

fn refused(clash: &[u32]) -> TablesError {
    let named = clash.iter().take(NAMED).map(u32::to_string).collect::<Vec<_>>().join(", ");
    let more = if clash.len() > NAMED { format!(" and {} more", clash.len() - NAMED) } else { String::new() };
    let detail = format!("there are large objects of the same numbers already: {named}{more}; replacing them takes `replace` (--replace)");
    TablesError::Impossible { table: "large objects".to_owned(), detail }
}

fn unnest(oids: &[u32]) -> String {
    let listed = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    format!("pg_catalog.unnest('{{{listed}}}'::pg_catalog.oid[])")
}

fn each(client: &Client, oids: &[u32], sql: impl Fn(&[u32]) -> String) -> Result<(), PgError> {
    oids.chunks(AT_ONCE).try_for_each(|some| client.batch(&sql(some)))
}

fn oids(client: &Client, sql: &str) -> Result<BTreeSet<u32>, PgError> {
    Ok(client.query(sql)?.iter().filter_map(|row| row.first()?.as_deref()?.parse().ok()).collect())
}

fn objects(scratch: &Client, which: Option<&[u32]>) -> Result<Vec<Object>, PgError> {
    let some = which.map_or_else(String::new, |oids| format!("where m.oid in (select x from {} x)", unnest(oids)));
    let grants = "(select pg_catalog.json_agg(pg_catalog.json_build_array(pg_catalog.format('grant %s on large object %s to %s%s;', \
        pg_catalog.lower(a.privilege_type), m.oid, coalesce(pg_catalog.quote_ident(r.rolname), 'public'), \
        case when a.is_grantable then ' with grant option' else '' end), r.rolname)) \
        from pg_catalog.aclexplode(m.lomacl) a left join pg_catalog.pg_roles r on r.oid = a.grantee where a.grantee <> m.lomowner)";
    parsed(
        scratch,
        &format!(
            "select pg_catalog.json_build_object('oid', m.oid::int8, 'owner', pg_catalog.pg_get_userbyid(m.lomowner), \
             'comment', pg_catalog.obj_description(m.oid, 'pg_largeobject'), 'grants', {grants}) \
             from pg_catalog.pg_largeobject_metadata m {some} order by m.oid"
        ),
    )
}

/// The pages of these objects, beside the live ones.
fn stage(work: &Work<'_>, numbers: &[u32]) -> Result<(), PgError> {
    work.target.batch("create temp table runner_large (lo pg_catalog.oid, page pg_catalog.int8, bytes pg_catalog.bytea) on commit drop")?;
    for some in numbers.chunks(AT_ONCE) {
        let out = format!(
            "copy (select loid, pageno, data from pg_catalog.pg_largeobject where loid in (select x from {} x)) to stdout",
            unnest(some)
        );
        let into = (&work.target, "copy pg_temp.runner_large from stdin");
        work.scratch.copy_across(&out, into, work.sides.cancel, &mut |_| Ok(()))?;
    }
    Ok(())
}

/// Makes the objects, each as its owner where that is there and the role may act as it.
fn make(work: &Work<'_>, objects: &[Object]) -> Result<Vec<String>, PgError> {
    let mut by_owner: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for object in objects {
        by_owner.entry(&object.owner).or_default().push(object.oid);
    }
    let mut notes = Vec::new();
    for (owner, numbers) in by_owner {
        let is_other = work.target.query_one_text(&format!("select current_user <> {}", literal(owner)))?.as_deref() == Some("t");
        if is_other && !tried(work, &format!("set local role {}", identifier(owner)))? {
            notes.push(format!("large objects that belong to the role that restores, not to {owner}: {}", numbers.len()));
        }
        let made = each(&work.target, &numbers, |some| format!("select pg_catalog.lo_create(x) from {} x", unnest(some)));
        made.and_then(|()| work.target.batch("reset role"))?;
    }
    Ok(notes)
}

/// Comments, and who may do what.
fn rights(work: &Work<'_>, objects: &[Object]) -> Result<Vec<String>, PgError> {
    let comment = |object: &Object| {
        let text = object.comment.as_ref()?;
        Some(format!("comment on large object {} is {};", object.oid, literal(text)))
    };
    let roles = work.target.query("select rolname from pg_catalog.pg_roles")?;
    let roles: BTreeSet<&str> = roles.iter().filter_map(|row| row.first()?.as_deref()).collect();
    let granted = objects.iter().flat_map(|object| object.grants.iter().flatten());
    let (given, left): (Vec<_>, Vec<_>) = granted.partition(|(_, to)| to.as_ref().is_none_or(|to| roles.contains(to.as_str())));
    let statements: Vec<String> = objects.iter().filter_map(comment).chain(given.into_iter().map(|(grant, _)| grant.clone())).collect();
    let mut failed = left.len();
    for some in statements.chunks(AT_ONCE) {
        if !tried(work, &some.concat())? {
            failed += some.len();
        }
    }
    let note = format!(
        "rights and comments of large objects that could not be given: {failed}; their roles are not there, or this one may not act for the owners"
    );
    Ok((failed > 0).then_some(note).into_iter().collect())
}

/// Whether the server lets it be done; the transaction goes on either way.
fn tried(work: &Work<'_>, sql: &str) -> Result<bool, PgError> {
    work.target.batch("savepoint runner_try")?;
    match work.target.batch(sql) {
        Ok(()) => work.target.batch("release savepoint runner_try").map(|()| true),
        Err(PgError::Query { .. }) => work.target.batch("rollback to savepoint runner_try; release savepoint runner_try").map(|()| false),
        Err(error) => Err(error),
    }
}

/// Compares both sides piece by piece, and that nothing follows the last.
fn prove(work: &Work<'_>, numbers: &[u32], page: &str) -> Result<(), TablesError> {
    for some in numbers.chunks(AT_ONCE) {
        let contents = |client: &Client, last: &str| -> Result<Counted, PgError> {
            let sql = format!(
                "copy (select x, c, pg_catalog.sha256(pg_catalog.lo_get(x, c * {PIECE}, {PIECE})) from {} x left join lateral ({last}) l on true, \
                 lateral pg_catalog.generate_series(0::int8, coalesce(l.last, 0) + 1) c) to stdout",
                unnest(some)
            );
            compare::counted(client, &sql, work.sides.cancel)
        };
        let last = |pages: &str| format!("select pg_catalog.max(page)::int8 * {page} / {PIECE} as last from {pages} where lo = x");
        let there = contents(&work.scratch, &last("(select loid as lo, pageno as page from pg_catalog.pg_largeobject where loid = x) p"))?;
        let here = contents(&work.target, &last("pg_temp.runner_large"))?;
        if there != here {
            let what = format!("large objects from number {}", some.first().unwrap_or(&0));
            return Err(TablesError::Unproven { differences: format!("{what}: their contents are not those of the restore point") });
        }
    }
    Ok(())
}

/// Brings the large objects that the rows of the chosen tables refer to, and tells of numbers that lead nowhere.
pub(super) fn follow(work: &Work<'_>) -> Result<Vec<String>, TablesError> {
    let mut wanted = BTreeSet::new();
    for (table, column) in referring(&work.there) {
        let values = format!("select distinct {column}::pg_catalog.oid::int8 from {} where {column} is not null", table.alone());
        let known = format!(
            "select v from ({values}) x(v) where exists (select from pg_catalog.pg_largeobject_metadata m where m.oid = v::pg_catalog.oid)"
        );
        wanted.extend(oids(&work.scratch, &known)?);
    }
    let wanted: Vec<u32> = wanted.into_iter().collect();
    let mut notes = if wanted.is_empty() { Vec::new() } else { bring(work, Some(&wanted), Taken::Leave)? };
    for (table, column) in referring(&work.there) {
        let lost = format!(
            "select pg_catalog.count(*) from {} where {column}::pg_catalog.oid <> 0 and not exists \
             (select from pg_catalog.pg_largeobject_metadata m where m.oid = {column}::pg_catalog.oid)",
            table.alone()
        );
        let lost = work.scratch.query_one_text(&lost)?.unwrap_or_default();
        if lost != "0" {
            notes.push(format!("{}: {lost} values of {column} are the number of no large object of the restore point", table.quoted));
        }
    }
    Ok(notes)
}

/// The columns that may hold numbers of large objects: of type `oid`, or `lo` of the extension of that name.
fn referring(tables: &[Table]) -> impl Iterator<Item = (&Table, String)> {
    let is_number = |name: &str| name == "oid" || name.rsplit('.').next() == Some("lo");
    tables.iter().flat_map(move |table| {
        let columns = table.columns.iter().filter(move |column| is_number(&column.type_name));
        columns.map(move |column| (table, identifier(&column.name)))
    })
}
