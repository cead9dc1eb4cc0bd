//! The fingerprint of a live database, to compare with that of the dump it was restored from.
//!
//! Everything is read in one snapshot. Definitions, rights and large objects come from `pg_dump` itself, run without the
//! tables' data and read like any archive, so that both sides are in the same words; rows come over several connections
//! at once, large tables in slices, because sums of digests add up. This module does not restore or judge.

mod catalog;
mod counts;
mod early;
mod session;
mod tables;
mod wire;

use std::num::NonZeroUsize;

use tokio::runtime::Handle;

pub use self::counts::{Counts, counts_of};
pub use self::early::Early;
use self::session::Session;
pub(in crate::postgres) use self::session::settings;
use super::conninfo::ConnInfo;
use super::error::PgError;
use super::passfile::PassFile;
use super::restored::TableRows;
use super::tools::ToolSet;
use crate::archive::{self, Fingerprint, Form};
use crate::stream::child::Program;
use crate::stream::{Cancel, Stream, StreamError};

/// What `pg_dump` must be given in its environment for its text to be comparable anywhere.
///
/// It prints `timestamptz` values, and constants in definitions, in the session's time zone, which it does not set itself;
/// libpq sets it from `PGTZ`. The instants are the same in every zone.
pub const ENVIRONMENT: (&str, &str) = ("PGTZ", "UTC");

/// The usual size of a slice: a fraction of a second of one connection's work.
pub const SLICE: u64 = 64 * 1024 * 1024;

/// A live database and how to read it.
#[derive(Clone, Copy)]
pub struct Live<'a> {
    /// The database.
    pub info: &'a ConnInfo,
    /// Where the async client runs.
    pub handle: &'a Handle,
    /// The tools, of which `pg_dump` is used; of the major that made the dump, or definitions can not be compared.
    pub tools: &'a ToolSet,
    /// How many connections read rows at once.
    pub jobs: NonZeroUsize,
    /// In slices of which size a table of at least two of them is read, in bytes; [`SLICE`] does.
    pub slice: u64,
    /// Stops it.
    pub cancel: &'a Cancel,
    /// What was read before, and counts where nothing of it has changed.
    pub early: Option<&'a Early>,
}

/// What was read of a live database.
pub struct Seen {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The rows of every table that was read whole, under the names that the server has in UTF-8: they need no counting.
    pub rows: Vec<TableRows>,
}

/// Fingerprints a live database for comparison with a dump.
///
/// Rows are read of the tables that the dump has rows of, with the columns in the dump's order; a table that is not there
/// is left out, and sequences likewise. Whatever else is in the database shows in the inventory.
pub fn fingerprint(live: &Live<'_>, dumped: &Fingerprint) -> Result<Fingerprint, PgError> {
    Ok(see(live, dumped)?.fingerprint)
}

/// The same, and the rows that were counted on the way.
pub fn see(live: &Live<'_>, dumped: &Fingerprint) -> Result<Seen, PgError> {
    let lead = Session::open(live, &dumped.facts.encoding, None)?;
    let snapshot = lead.export()?;
    let there = catalog::tables(&lead, dumped)?;
    let lost = || PgError::Unexpected { server: live.info.describe(), detail: "a thread that read the database died".to_owned() };
    let (inventory, tables) = std::thread::scope(|scope| {
        let inventory = scope.spawn(|| inventory(live, dumped.facts.form, &snapshot));
        let tables = tables::read(live, &lead, &snapshot, &there);
        (inventory.join().map_err(|_| lost()).flatten(), tables)
    });
    // The rows' error first: a transaction that failed takes its snapshot from pg_dump.
    let (tables, mut found) = (tables?, inventory?);
    // pg_dump without data tells of no filling.
    found.inventory.extend(catalog::fillings(&lead, dumped)?);
    let sequences = catalog::sequences(&lead, dumped)?;
    lead.close()?;
    let rows = tables::whole(&there, &tables);
    // What the dump can not tell is known from the dump; that this one has no rows is on purpose.
    Ok(Seen { fingerprint: Fingerprint { tables, sequences, incomparable: Vec::new(), ..found }, rows })
}

/// Definitions and large objects, by `pg_dump` in the same snapshot.
fn inventory(live: &Live<'_>, form: Form, snapshot: &str) -> Result<Fingerprint, PgError> {
    let failed = |error| PgError::program("reading the definitions with pg_dump", error);
    let passfile = PassFile::create(live.info).map_err(|error| failed(StreamError::io("writing a password file", &error)))?;
    let program = live.info.equip(Program::new(live.tools.tool("pg_dump")).named("pg_dump"), &passfile).env(ENVIRONMENT.0, ENVIRONMENT.1);
    // All archives word definitions alike; scripts have words of their own.
    let (format, form) = if form == Form::Plain { ("--format=plain", form) } else { ("--format=custom", Form::Custom) };
    let arguments = [format, "--compress=0", "--exclude-table-data=*.*", "--no-password"];
    let source = program.args(arguments).arg(format!("--snapshot={snapshot}")).source(live.cancel).map_err(failed)?;
    let (stream, handle) = archive::fingerprint(source, form);
    drain(stream).map_err(failed)?;
    let found = handle.get().ok_or(StreamError::Vanished { stage: "fingerprint" }).map_err(failed)?;
    Ok((*found).clone())
}

fn drain(mut stream: Stream) -> Result<(), StreamError> {
    while stream.pull()?.is_some() {}
    Ok(())
}
