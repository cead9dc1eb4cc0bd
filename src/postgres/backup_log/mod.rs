//! The backup log: the table `backup_log` of a database, where runs are recorded for people who ask with SQL.
//!
//! The stores remain the source of truth; this is a copy that can be made again from them. A row is one object that a run stored,
//! or one run that stored none, and recording it again updates it. This module deletes nothing and reads no store.

mod entry;
mod migrate;
mod sync;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::client::Client;
use super::conninfo::ConnInfo;
use super::error::PgError;
use super::interrupt::Interrupt;
use super::quote::{identifier, literal};
pub use entry::{Entry, Status};
use entry::{FILLED, text, time, tuples};
pub use migrate::{Migrated, VERSION};
pub use sync::{Place, Stores, Synced};

/// The schema unless another is chosen.
pub const SCHEMA: &str = "public";

/// What is said of views that an older program made.
pub const OLD_VIEWS: &str =
    "are those of an older runner, and this role may not replace them: run `runner log sync` once as a role that owns them";

/// Rows a statement.
const BATCH: usize = 500;

/// The levels as words, lowest first.
const LEVELS: &str = "array['stored', 'read-back', 'decoded', 'restored', 'proven']";

/// What became of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows inserted or updated.
    pub rows: u64,
    /// Rows that were there already and that this role may not update.
    pub kept: u64,
}

/// A verification of an earlier run's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The run that stored it.
    pub run: String,
    /// The object's key.
    pub key: String,
    /// The level earned, as a word.
    pub level: String,
    /// When.
    pub at: Timestamp,
}

/// An open backup log whose table is there and current.
pub struct BackupLog {
    client: Client,
    handle: Handle,
    schema: String,
    /// Whether this role may read rows.
    reads: bool,
    /// Whether it may read and update them, and not only insert.
    updates: bool,
    /// What was done about the table just now.
    pub migrated: Migrated,
}

impl BackupLog {
    /// Connects, and makes the table or brings it up to date. A table that is current is not touched.
    ///
    /// # Errors
    /// When the server can not be reached, the role may not make the table, or something else has its name.
    pub fn open(info: &ConnInfo, schema: &str, handle: &Handle) -> Result<Self, PgError> {
        let client = Client::connect(info, handle)?;
        let migrated = migrate::migrate(&client, schema).map_err(|error| not_owner(error, schema))?;
        let may = |right: &str| {
            client.query_one_text(&format!(
                "select pg_catalog.has_table_privilege(c.oid, '{right}') from pg_catalog.pg_class c
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = {} and c.relname = 'backup_log'",
                literal(schema)
            ))
        };
        let reads = may("SELECT")?.as_deref() == Some("t");
        let updates = reads && may("UPDATE")?.as_deref() == Some("t");
        Ok(Self { client, handle: handle.clone(), schema: schema.to_owned(), reads, updates, migrated })
    }

    /// What stops a statement of this connection.
    ///
    /// # Errors
    /// When TLS can not be set up again.
    pub fn interrupt(&self) -> Result<Interrupt, PgError> {
        Interrupt::of(&self.client, &self.handle)
    }

    /// Records what a run says of itself, all of it or nothing. Rows that are there already take everything over.
    ///
    /// # Errors
    /// Whatever the server says.
    pub fn record(&self, entries: &[Entry]) -> Result<Written, PgError> {
        self.client.batch("begin")?;
        let run = ["pipeline", "started_at", "finished_at", "duration", "status", "error", "host", "runner_version"];
        let written = self.write(entries, &taken(&run))?;
        self.client.batch("commit")?;
        Ok(written)
    }

    /// Writes rows. Those that are there already take over what stores know as well, and these assignments.
    fn write(&self, entries: &[Entry], more: &[String]) -> Result<Written, PgError> {
        let (tuples, conflict) = (tuples(entries), self.conflict(more));
        let mut rows = 0;
        for batch in tuples.chunks(BATCH) {
            rows +=
                self.client.execute(&format!("insert into {} as old ({FILLED}) values {} {conflict}", self.table(), batch.join(",\n")))?;
        }
        Ok(Written { rows, kept: (tuples.len() as u64).saturating_sub(rows) })
    }

    fn table(&self) -> String {
        format!("{}.backup_log", identifier(&self.schema))
    }

    /// Raises the level of rows about an object that was verified after they were recorded; answers how many.
    ///
    /// # Errors
    /// Whatever the server says.
    pub fn raise(&self, raised: &Raised) -> Result<u64, PgError> {
        if !self.updates {
            return Ok(0);
        }
        let level = text(&raised.level);
        self.client.execute(&format!(
            "update {} set level = {level}, verified_at = {}
             where run_id = {} and key = {} and level is not null and type <> 'verify'
             and array_position({LEVELS}, level) <= array_position({LEVELS}, {level})",
            self.table(),
            time(Some(raised.at)),
            text(&raised.run),
            text(&raised.key)
        ))
    }

    /// Says good-bye.
    pub fn close(self) {
        self.client.close();
    }

    /// What is done with rows that are there already. To name what must be unique takes the right to read.
    fn conflict(&self, more: &[String]) -> String {
        if !self.updates {
            return "on conflict do nothing".to_owned();
        }
        let mut set = taken(&["size_bytes", "plain_bytes", "level", "verified_at", "uploaded"]);
        set.extend_from_slice(more);
        format!("on conflict (run_id, type, store, key) do update set {}", set.join(", "))
    }
}

/// Columns that take over what was to be inserted.
fn taken(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{name} = excluded.{name}")).collect()
}

/// A role that may not make the table, told what to do.
fn not_owner(error: PgError, schema: &str) -> PgError {
    match error {
        PgError::Query { server, state, message, statement, position, transient } if state == DENIED => {
            let message = format!(
                "{message}; the table {schema}.backup_log is not there, or is older than version {VERSION}: run `runner log sync` once as a role that owns the schema, then grant insert, select and update on it"
            );
            PgError::Query { server, state, message, statement, position, transient }
        }
        other => other,
    }
}

/// SQLSTATE `insufficient_privilege` (appendix A of PostgreSQL's documentation).
pub const DENIED: &str = "42501";
