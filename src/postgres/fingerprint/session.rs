//! A connection that prints rows exactly as `pg_dump` prints them.
//!
//! Source: PostgreSQL `pg_dump.c` `setup_connection`. This module does not read anything itself.

use std::time::Duration;

use super::wire::Wire;
use super::{ENVIRONMENT, Live};
use crate::postgres::client::Client;
use crate::postgres::error::PgError;
use crate::postgres::quote;

/// What `pg_dump` sets, and what it leaves to its surroundings.
const SETTINGS: &[(&str, &str)] = &[
    // No schema of the database takes part in looking up a name, and names of regclass values come out qualified.
    ("search_path", "''"),
    // The text form of dates; the part of the setting about their order is for input only.
    ("datestyle", "iso"),
    // The only form of intervals that every major reads back.
    ("intervalstyle", "postgres"),
    // The shortest text that reads back to the same bits; the same on all majors since 12.
    ("extra_float_digits", "3"),
    // pg_dump leaves this at what the server has, which is this unless someone asked for the form of before 9.0.
    ("bytea_output", "hex"),
    // A policy that would hide rows is an error, not a smaller table.
    ("row_security", "off"),
    // Scans begin at the first block: not needed for a sum, but kind to the disk.
    ("synchronize_seqscans", "off"),
    // Reading takes as long as it takes.
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// Settings of some versions only, which `pg_dump` sets where they are: no limit for the transaction (17), and no view or foreign
/// table in the place of a table that is read (minor versions of August 2024).
const WHERE_KNOWN: &str = "select pg_catalog.set_config(name, case name when 'transaction_timeout' then '0' else 'view, foreign-table' end, false) \
    from pg_catalog.pg_settings where name in ('transaction_timeout', 'restrict_nonsystem_relation_kind')";

/// The statements that make a session print values in the same text everywhere.
pub(in crate::postgres) fn settings() -> String {
    let zone = ("timezone", ENVIRONMENT.1);
    SETTINGS.iter().chain([&zone]).map(|(name, value)| format!("set {name} = {value};")).collect::<Vec<_>>().concat()
}

/// The beginning of a read-only transaction, in a snapshot that another exported or in one of its own.
fn begin(snapshot: Option<&str>) -> String {
    let shared = snapshot.map(|name| format!("; set transaction snapshot {}", quote::literal(name))).unwrap_or_default();
    format!("begin isolation level repeatable read read only{shared}")
}

/// A connection of the bare kind in a snapshot, ready to read rows in the dump's encoding; `None` where there can be none.
pub(super) fn bare(live: &Live<'_>, encoding: &str, snapshot: &str) -> Result<Option<Wire>, PgError> {
    let Some(mut wire) = alone(live, encoding)? else { return Ok(None) };
    wire.batch(&begin(Some(snapshot)))?;
    Ok(Some(wire))
}

/// The same outside of any transaction: every statement has its own snapshot.
pub(super) fn alone(live: &Live<'_>, encoding: &str) -> Result<Option<Wire>, PgError> {
    let Some(mut wire) = Wire::open(live.info) else { return Ok(None) };
    wire.batch("set statement_timeout = 0")?;
    wire.batch(&settings())?;
    wire.batch(WHERE_KNOWN)?;
    if encoding != "UTF8" {
        wire.batch(&format!("set client_encoding = {}", quote::literal(encoding)))?;
    }
    Ok(Some(wire))
}

/// A connection inside a read-only transaction.
pub(super) struct Session {
    client: Client,
    /// What rows are sent in.
    encoding: String,
}

impl Session {
    /// Opens one, in a snapshot that another exported or in one of its own.
    pub(super) fn open(live: &Live<'_>, encoding: &str, snapshot: Option<&str>) -> Result<Self, PgError> {
        let mut client = Client::connect(live.info, live.handle)?;
        client.limit_statements(Duration::ZERO)?;
        client.batch(&settings())?;
        client.query(WHERE_KNOWN)?;
        client.batch(&begin(snapshot))?;
        Ok(Self { client, encoding: encoding.to_owned() })
    }

    /// A name under which others see what this one sees, as long as it is open.
    pub(super) fn export(&self) -> Result<String, PgError> {
        let name = self.client.query_one_text("select pg_catalog.pg_export_snapshot()")?;
        name.ok_or_else(|| self.unexpected("no snapshot could be exported"))
    }

    /// The rows of a query of one column, as text.
    pub(super) fn column(&self, sql: &str) -> Result<Vec<String>, PgError> {
        Ok(self.client.query(sql)?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// Sends the rows of a `COPY` in the dump's encoding. The statement must be of ASCII alone where that is not UTF-8.
    pub(super) fn copy(&self, sql: &str, each: impl FnMut(&[u8]) -> Result<(), PgError>) -> Result<(), PgError> {
        if self.encoding == "UTF8" {
            return self.client.copy_out(sql, each);
        }
        self.client.batch(&format!("set client_encoding = {}", quote::literal(&self.encoding)))?;
        let copied = self.client.copy_out(sql, each);
        copied.and(self.client.batch("set client_encoding = 'UTF8'"))
    }

    /// Ends the transaction; a connection that broke says so here.
    pub(super) fn close(self) -> Result<(), PgError> {
        self.client.batch("commit")?;
        self.client.close();
        Ok(())
    }

    /// What rows are sent in.
    pub(super) fn encoding(&self) -> &str {
        &self.encoding
    }

    pub(super) fn unexpected(&self, detail: impl Into<String>) -> PgError {
        PgError::Unexpected { server: self.client.info().describe(), detail: detail.into() }
    }
}
