//! Rows that are read while others are still being loaded, so that a core which the load leaves idle is put to use.
//!
//! What was read early counts only if it is still there when the database is looked at in its one snapshot: every row of the slice was
//! written by the one transaction that was seen early, there are as many, and they lie in the same file. Rows are never changed in place
//! nor moved within it (PostgreSQL documentation, "Concurrency Control", `xmin` and `ctid` of "System Columns"): a row that is updated or
//! inserted has another writer, and one that is deleted is missing from the count. Anything else is read again. An early reader is in
//! nobody's way: it gives way to every other process, waits for no lock, and a failure of it is none.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::{Pid, setpriority_process};

use super::Live;
use super::catalog::{self, Table};
use super::session::{self, Session};
use super::tables::{Each, Reader, Slice, rows_of, sliced};
use super::wire::Wire;
use crate::archive::Counted;
use crate::postgres::error::PgError;

/// How long until it is looked again for tables that are loaded.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a lock is waited for: whoever has it is at work on the table.
const LOCK_LIMIT: &str = "set lock_timeout = '20ms'";

/// The file of the table that a row is in.
const FILE: &str = "pg_catalog.pg_relation_filenode(tableoid)";

/// The lowest priority: nice(2).
const LAST: i32 = 19;

/// What was read early.
#[derive(Debug)]
pub struct Early {
    /// What rows were sent in.
    encoding: String,
    /// The slices that were read, by their statements.
    slices: BTreeMap<String, Read>,
}

/// A slice that was read.
#[derive(Debug)]
struct Read {
    counted: Counted,
    written: Written,
}

/// By what a slice is known again: the transaction that wrote its first row, and the table's file.
#[derive(Debug, Clone, Copy)]
struct Written {
    by: u32,
    file: u32,
}

impl Early {
    /// Reads slices of large tables as they are loaded, until it is cancelled. A failure ends it with what it has. The rows come in this
    /// encoding.
    pub fn read(live: &Live<'_>, encoding: &str) -> Self {
        let mut early = Self { encoding: encoding.to_owned(), slices: BTreeMap::new() };
        // What it could not read is read later.
        let _failure = early.gather(live);
        early
    }

    /// How many slices were read.
    pub fn slices(&self) -> usize {
        self.slices.len()
    }

    fn gather(&mut self, live: &Live<'_>) -> Result<(), PgError> {
        let Some(mut wire) = session::alone(live, &self.encoding)? else { return Ok(()) };
        wire.batch(LOCK_LIMIT)?;
        give_way(&mut wire)?;
        while live.cancel.check().is_ok() {
            for mut table in tables(live, &self.encoding)? {
                if let Ok(blocks) = blocks(&table, &mut wire) {
                    table.blocks = blocks;
                    self.table(&table, live, &mut wire)?;
                }
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Reads what of a table can be read now.
    fn table(&mut self, table: &Table, live: &Live<'_>, wire: &mut Wire) -> Result<(), PgError> {
        for slice in sliced(0, table, live.slice) {
            let Some(part) = slice.part.as_deref().filter(|_| !self.slices.contains_key(&slice.sql)) else { continue };
            // One that is empty or locked is being loaded.
            let Ok(Some(written)) = written(part, wire) else { return Ok(()) };
            // Whoever has locked it meanwhile is at work on it.
            match rows_of(live, |each| wire.copy(&slice.sql, each)) {
                Ok(counted) => drop(self.slices.insert(slice.sql, Read { counted, written })),
                Err(_) if live.cancel.check().is_ok() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether rows were read as they will be.
    pub(super) fn is_in(&self, encoding: &str) -> bool {
        self.encoding == encoding
    }

    /// What was read of a slice, if nothing of it has changed since: asked in the snapshot of the reader that counts.
    pub(super) fn still(&self, slice: &Slice, reader: &mut Reader<'_>) -> Result<Option<Counted>, PgError> {
        let (Some(read), Some(part)) = (self.slices.get(&slice.sql), &slice.part) else { return Ok(None) };
        let Written { by, file } = read.written;
        let same = format!("pg_catalog.count(*) filter (where xmin operator(pg_catalog.=) '{by}'::pg_catalog.xid)");
        let sql = format!("copy (select pg_catalog.count(*), {same}, (select {FILE} from {part} limit 1) from {part}) to stdout");
        let answer = answer(|each| reader.copy(&sql, each))?;
        let rows = read.counted.rows;
        Ok((answer == format!("{rows}\t{rows}\t{file}\n").into_bytes()).then_some(read.counted))
    }
}

/// The tables that are there but for the server's own; their columns come in their own order.
fn tables(live: &Live<'_>, encoding: &str) -> Result<Vec<Table>, PgError> {
    let session = Session::open(live, encoding, None)?;
    let mut tables = catalog::all(&session, encoding, false)?;
    session.close()?;
    tables.retain(|table| !["pg_catalog", "information_schema"].contains(&table.schema.plain()));
    Ok(tables)
}

/// The size of a table in blocks; one that is locked has none yet.
fn blocks(table: &Table, wire: &mut Wire) -> Result<u64, PgError> {
    let sql = format!("copy (select pg_catalog.pg_relation_size({}::pg_catalog.oid) / {}) to stdout", table.oid, table.block);
    Ok(number(&answer(|each| wire.copy(&sql, each))?).unwrap_or_default())
}

/// Lets every other process go first; where that is refused, it does not.
fn give_way(wire: &mut Wire) -> Result<(), PgError> {
    let pid = answer(|each| wire.copy("copy (select pg_catalog.pg_backend_pid()) to stdout", each))?;
    if let Some(pid) = number(&pid).and_then(Pid::from_raw) {
        let _refused = setpriority_process(Some(pid), LAST);
        // Each backend is a session of its own, and where sessions share the processor fairly (sched(7), "The autogroup feature") only this counts.
        let _refused = std::fs::write(format!("/proc/{}/autogroup", pid.as_raw_nonzero()), LAST.to_string());
    }
    Ok(())
}

/// Who wrote the first row of a part, and where it lies; `None` where no row is to be seen yet.
fn written(part: &str, wire: &mut Wire) -> Result<Option<Written>, PgError> {
    let sql = format!("copy (select xmin, {FILE} from {part} limit 1) to stdout");
    let found = answer(|each| wire.copy(&sql, each))?;
    let mut fields = found.split(|byte| *byte == b'\t').map(number);
    Ok(fields.next().flatten().zip(fields.next().flatten()).map(|(by, file)| Written { by, file }))
}

fn number<T: std::str::FromStr>(answer: &[u8]) -> Option<T> {
    std::str::from_utf8(answer).ok()?.trim().parse().ok()
}

/// The answer of a `COPY` of a few bytes.
fn answer(copy: impl FnOnce(Each<'_>) -> Result<(), PgError>) -> Result<Vec<u8>, PgError> {
    let mut answer = Vec::new();
    copy(&mut |piece| {
        answer.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(answer)
}
