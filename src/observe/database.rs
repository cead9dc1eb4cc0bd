//! Looking at a database: one connection, one read-only transaction, and the tools that would be chosen for it.

use tokio::runtime::Handle;

use crate::plan::{ConnectionFacts, LeftOutTables, ToolFacts};
use crate::postgres::inventory::left_out_tables;
use crate::postgres::patch::refused;
use crate::postgres::spec::{EmbeddedSpec, PostgresSpec};
use crate::postgres::tables::now::{all, now};
use crate::postgres::target::{self, Existing, TargetFacts};
use crate::postgres::{ConnInfo, ConnectionSpec, Facts, Installed, PgError};
use crate::secret::Secrets;
use crate::step::{Dump, Restore};

/// A server that runs already.
pub(super) fn server(spec: &PostgresSpec, secrets: &Secrets, handle: &Handle) -> Result<ConnectionFacts, PgError> {
    let info = ConnInfo::resolve(spec, secrets)?;
    let facts = Facts::read(&info, handle)?;
    let (tools, no_scratch) = tools(facts.major());
    Ok(ConnectionFacts {
        place: info.describe(),
        hints: facts.hints(),
        server_version: facts.server_version_num,
        system_identifier: facts.system_identifier,
        database_bytes: Some(facts.database_bytes),
        tables: Some(facts.tables),
        superuser: facts.superuser,
        unreadable: facts.unreadable,
        filtered: facts.filtered,
        tools,
        no_scratch,
    })
}

/// How many names of tables are kept.
const NAMES: usize = 100;

/// The tables that a dump's filters leave out; `None` if there are none.
pub(super) fn left_out(spec: &PostgresSpec, dump: &Dump, secrets: &Secrets, handle: &Handle) -> Result<Option<LeftOutTables>, PgError> {
    let info = ConnInfo::resolve(spec, secrets)?;
    let info = info.with_database(dump.database.as_ref().unwrap_or(&info.database));
    let mut names = left_out_tables(&info, handle, &dump.selection())?;
    let count = names.len() as u64;
    names.truncate(NAMES);
    Ok((count > 0).then_some(LeftOutTables { count, names }))
}

/// A server that will be started for the run: only its programs can be looked at.
pub(super) fn embedded(spec: &EmbeddedSpec) -> Result<ConnectionFacts, PgError> {
    let installed = Installed::here();
    let set = spec.version.map_or_else(|| installed.newest_server(), |major| installed.server(major))?;
    if let Some(seed) = &spec.seed
        && let Err(error) = std::fs::File::open(seed)
    {
        return Err(PgError::Seed { path: seed.clone(), line: None, message: error.to_string() });
    }
    let (tools, no_scratch) = tools(set.major);
    Ok(ConnectionFacts {
        place: format!("embedded PostgreSQL {}.{}", set.major, set.minor),
        server_version: u32::from(set.major) * 10_000 + u32::from(set.minor),
        superuser: true,
        tools,
        no_scratch,
        ..ConnectionFacts::default()
    })
}

fn tools(major: u16) -> (ToolFacts, Option<String>) {
    let installed = Installed::here();
    let tools = match installed.for_server(major) {
        Ok(set) => ToolFacts::Found { folder: set.bin.display().to_string(), version: format!("pg_dump (PostgreSQL) {}", set.version) },
        Err(error) => ToolFacts::Missing(error.to_string()),
    };
    (tools, installed.server(major).err().map(|error| error.to_string()))
}

/// The place that a restore goes to; the database need not be there.
pub(super) fn target(spec: &ConnectionSpec, restore: &Restore, secrets: &Secrets, handle: &Handle) -> Result<TargetFacts, PgError> {
    let database = restore.database.as_deref();
    match spec {
        ConnectionSpec::Postgres(spec) => {
            let info = ConnInfo::resolve(spec, secrets)?;
            let database = database.unwrap_or(&info.database);
            let mut facts = target::look(&info, database, handle)?;
            let there = info.with_database(database);
            let Some(existing) = &mut facts.existing else { return Ok(facts) };
            if restore.in_place() {
                existing.oldest_table = target::oldest_table(&there, handle)?;
            }
            let tables = if restore.data_only { all(&there, handle)? } else { now(&there, handle, &restore.named_tables())? };
            let refused = refused(&there, handle, &restore.wanted_rows())?;
            Ok(TargetFacts { tables, refused, ..facts })
        }
        // It will be started for the run, and has nothing but its own database.
        ConnectionSpec::Embedded(spec) => {
            let facts = embedded(spec)?;
            let database = database.unwrap_or(&spec.database).to_owned();
            let existing = (database == spec.database).then_some(Existing { oid: None, oldest_table: None, bytes: 0, sessions: 0 });
            let ConnectionFacts { place, server_version, .. } = facts;
            Ok(TargetFacts {
                roles: Vec::new(),
                place,
                database,
                server_version,
                system_identifier: None,
                existing,
                left: None,
                may_create: true,
                superuser: true,
                may_be: Vec::new(),
                tables: Vec::new(),
                refused: Vec::new(),
            })
        }
    }
}
