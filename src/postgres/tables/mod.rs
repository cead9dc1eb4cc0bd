//! Tables of two databases that are about to meet: the *scratch* one, into which a restore point was restored, and the
//! *target*, the live one.
//!
//! Owns how a user names a table, what a table is made of, whether both sides agree on that, and which tables lean on
//! which. This module does not read or write rows.

mod agree;
pub mod leaning;
pub(crate) mod links;
pub(crate) mod name;
pub mod now;
pub(crate) mod pair;
mod rowless;
pub(crate) mod shape;

use std::time::Duration;

use tokio::runtime::Handle;

pub use agree::agree;
pub use name::TableNameError;
pub use now::TableNow;
pub use rowless::refuse_rowless;

use super::client::Client;
use super::conninfo::ConnInfo;
use super::error::PgError;
use super::fingerprint;
use crate::stream::Cancel;

/// The two databases, and what is needed to talk to them.
pub struct Sides<'a> {
    /// Where the restore point was restored.
    pub scratch: &'a ConnInfo,
    /// The live database.
    pub target: &'a ConnInfo,
    /// Where the async clients run.
    pub handle: &'a Handle,
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// Why rows can not be brought from one database into the other. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// A server, or a statement on it.
    #[error(transparent)]
    Postgres(#[from] PgError),
    /// A table's name does not say which table.
    #[error(transparent)]
    Name(#[from] TableNameError),
    /// The same table was asked for twice.
    #[error("table {table} is named twice: name it once")]
    Twice {
        /// The table.
        table: String,
    },
    /// The live database does not have the table.
    #[error("table {table} is not in {target}: bring its rows back beside what is there with `--tables {table} --as copy`")]
    Missing {
        /// The table.
        table: String,
        /// The live database.
        target: String,
    },
    /// Rows can not be told apart.
    #[error("table {table} has no primary key{side}, so its rows can not be matched one by one: {advice}")]
    NoKey {
        /// The table.
        table: String,
        /// In which of the two, in words; empty if in the live one.
        side: &'static str,
        /// What to do.
        advice: String,
    },
    /// The table has changed its form since the dump.
    #[error(
        "table {table} has changed since the restore point was made: {differences}; bring its rows back beside it with `--tables {table} --as copy`, and convert them there"
    )]
    Drift {
        /// The table.
        table: String,
        /// Columns by name.
        differences: String,
    },
    /// A user's condition is not one.
    #[error("the condition {filter:?} on table {table} does not do: {source}")]
    Filter {
        /// The table.
        table: String,
        /// What was given after `where`.
        filter: String,
        /// What the server says of it.
        source: Box<PgError>,
    },
    /// The rows can be read, but not be put in as asked.
    #[error("{table}: {detail}")]
    Impossible {
        /// The table, or several.
        table: String,
        /// Why, and what to do instead.
        detail: String,
    },
    /// What was put in is not what was dumped.
    #[error("what was brought is not what was dumped, and nothing was changed: {differences}")]
    Unproven {
        /// Tables, sequences and large objects by name.
        differences: String,
    },
    /// A file could not be read or written.
    #[error("{doing}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A patch file is not one that can be applied.
    #[error("the patch is not applied: {detail}")]
    NotAPatch {
        /// Why.
        detail: String,
    },
}

/// Text that depends on the server's locale or on what counts as a document, beside what a fingerprint settles.
const MORE_SETTINGS: &str = "set lc_monetary = 'C'; set xmloption = content;";

/// A connection that prints values in the same text everywhere, with no schema in its search path and no limit of time.
pub(crate) fn open(info: &ConnInfo, handle: &Handle) -> Result<Client, PgError> {
    let mut client = Client::connect(info, handle)?;
    client.limit_statements(Duration::ZERO)?;
    client.batch(&(fingerprint::settings() + MORE_SETTINGS))?;
    // Since 17.
    client.query("select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings where name = 'transaction_timeout'")?;
    Ok(client)
}

/// Refuses to go on once someone asked to stop.
pub(crate) fn check(cancel: &Cancel, doing: &str) -> Result<(), PgError> {
    cancel.check().map_err(|error| PgError::program(doing, error))
}

/// Reads an answer that the server was asked to give as JSON.
pub(crate) fn parsed<T: serde::de::DeserializeOwned>(client: &Client, sql: &str) -> Result<Vec<T>, PgError> {
    let rows = client.query(sql)?;
    let unread = |error: serde_json::Error| PgError::Unexpected {
        server: client.info().describe(),
        detail: format!("an answer about the catalog does not read: {error}"),
    };
    rows.iter().filter_map(|row| row.first()?.as_deref()).map(|text| serde_json::from_str(text).map_err(unread)).collect()
}
