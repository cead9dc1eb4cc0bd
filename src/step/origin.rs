//! What both sources find out before the first byte: the server's facts, and the tools that fit it.
//!
//! It is asked afresh at every attempt, so a manifest never says what was true at planning time only.

use super::{Cx, StepError};
use crate::diagnostic::Class;
use crate::ids::RefName;
use crate::postgres::{Client, ConnInfo, Facts, Installed, PgError, ToolSet};
use crate::store::manifest::{Locale, Origin};
use crate::stream::owned::OwnedFolder;

/// The origin of a stream from this connection, its bytes not yet counted, and the tools chosen.
pub(super) fn of(name: &RefName, info: &ConnInfo, cx: &Cx<'_>, tool: &str) -> Result<(Origin, &'static ToolSet), StepError> {
    let client = Client::connect(info, cx.runtime.handle())?;
    let facts = Facts::read_with(&client)?;
    let roles = names(&client, "select rolname from pg_catalog.pg_roles where rolname !~ '^pg_' order by 1")?;
    let tablespaces = names(&client, "select spcname from pg_catalog.pg_tablespace where spcname !~ '^pg_' order by 1")?;
    client.close();
    let tools = Installed::here().for_server(facts.major()).map_err(PgError::from)?;
    let locale = facts.locale;
    let origin = Origin {
        kind: String::new(),
        format: String::new(),
        connection: name.clone(),
        database: Some(info.database.clone()),
        server_version: facts.server_version_num,
        system_identifier: facts.system_identifier,
        locale: Some(Locale {
            encoding: locale.encoding,
            collate: locale.collate,
            ctype: locale.ctype,
            provider: locale.provider,
            locale: locale.locale,
        }),
        roles,
        tablespaces,
        extensions: facts.extensions,
        schemas: Vec::new(),
        tool: format!("{tool} (PostgreSQL) {}", tools.version),
        bytes: 0,
    };
    Ok((origin, tools))
}

fn names(client: &Client, sql: &str) -> Result<Vec<String>, PgError> {
    Ok(client.query(sql)?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// A private folder for what must be staged; removed with the handle.
pub(super) fn staging(cx: &Cx<'_>) -> Result<OwnedFolder, StepError> {
    let folder = OwnedFolder::create("stage", cx.runtime.scratch_parent());
    folder.map_err(|error| unwritable(&format!("a scratch folder in {}", cx.runtime.scratch_parent().display()), &error))
}

/// What could not be made on scratch disk, and what to do.
pub(super) fn unwritable(what: &str, error: &std::io::Error) -> StepError {
    StepError::new(Class::Failed, format!("making {what}: {error}")).hint("set TMPDIR to a folder that can be written to")
}
