//! Rows, read over several connections and summed.
//!
//! This module does not keep rows; of each connection one is in memory at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::Live;
use super::catalog::{Name, Table};
use super::session::{Session, bare};
use super::wire::Wire;
use crate::archive::{Counted, Rows, TableDigest};
use crate::postgres::error::PgError;
use crate::postgres::restored::TableRows;

/// How many rows, or pieces of them, are read before it is asked again whether to stop.
const BETWEEN_CHECKS: u32 = 10_000;

/// What takes pieces of rows.
pub(super) type Each<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), PgError>;

/// A part of a table.
pub(super) struct Slice {
    table: usize,
    /// The `COPY` that reads it.
    pub(super) sql: String,
    /// The table and the condition of one slice of many, as they stand behind `from`; `None` for a table that is read whole.
    pub(super) part: Option<String>,
    blocks: u64,
}

/// What reads rows.
pub(super) enum Reader<'a> {
    /// A bare connection, where the server can be reached by one.
    Wire(Wire),
    /// A connection of the usual kind.
    Own(Box<Session>),
    /// The one that holds the snapshot.
    Lead(&'a Session),
}

impl<'a> Reader<'a> {
    /// A bare connection in the lead's snapshot, or else one of the usual kind; the first one may be the lead itself.
    fn open(live: &Live<'_>, lead: &'a Session, snapshot: &str, first: bool) -> Result<Self, PgError> {
        match bare(live, lead.encoding(), snapshot)? {
            Some(wire) => Ok(Self::Wire(wire)),
            None if first => Ok(Self::Lead(lead)),
            None => Session::open(live, lead.encoding(), Some(snapshot)).map(|session| Self::Own(Box::new(session))),
        }
    }

    pub(super) fn copy(&mut self, sql: &str, each: Each<'_>) -> Result<(), PgError> {
        match self {
            Self::Wire(wire) => wire.copy(sql, each),
            Self::Own(session) => session.copy(sql, each),
            Self::Lead(session) => session.copy(sql, each),
        }
    }

    fn close(self) -> Result<(), PgError> {
        match self {
            Self::Wire(mut wire) => wire.batch("commit"),
            Self::Own(session) => session.close(),
            Self::Lead(_) => Ok(()),
        }
    }
}

/// Reads the rows of tables over `jobs` connections in the lead's snapshot.
pub(super) fn read(live: &Live<'_>, lead: &Session, snapshot: &str, tables: &[Table]) -> Result<Vec<TableDigest>, PgError> {
    let live = &Live { early: live.early.filter(|early| early.is_in(lead.encoding())), ..*live };
    let mut slices: Vec<Slice> = tables.iter().enumerate().flat_map(|(at, table)| sliced(at, table, live.slice)).collect();
    // The largest first, so that the last to finish is a small one.
    slices.sort_by_key(|slice| std::cmp::Reverse(slice.blocks));
    let extra = live.jobs.get().min(slices.len()).saturating_sub(1);
    let todo = Mutex::new(VecDeque::from(slices));
    let lost = || PgError::Unexpected { server: live.info.describe(), detail: "a thread that read rows died".to_owned() };
    let reading = |first: bool| {
        let mut reader = Reader::open(live, lead, snapshot, first)?;
        let found = work(live, &mut reader, &todo)?;
        reader.close().map(|()| found)
    };
    let found = std::thread::scope(|scope| {
        let others: Vec<_> = (0..extra).map(|_| scope.spawn(|| reading(false))).collect();
        let own = reading(true);
        others.into_iter().map(|other| other.join().map_err(|_| lost()).flatten()).chain([own]).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(summed(tables, found.concat()))
}

fn summed(tables: &[Table], found: Vec<(usize, Counted)>) -> Vec<TableDigest> {
    let mut sums = vec![Counted::default(); tables.len()];
    for (table, counted) in found {
        sums[table].add(counted);
    }
    let digest = |(table, sum): (&Table, Counted)| TableDigest {
        schema: table.schema.dumped(),
        name: table.name.dumped(),
        columns: table.columns.iter().map(Name::dumped).collect(),
        with_partitions: table.with_partitions,
        rows: sum.rows,
        bytes: sum.bytes,
        digest: sum.digest,
    };
    tables.iter().zip(sums).map(digest).collect()
}

/// The rows of the tables of which all own rows were read, and no others.
pub(super) fn whole(tables: &[Table], found: &[TableDigest]) -> Vec<TableRows> {
    let read = tables.iter().zip(found).filter(|(table, _)| !table.with_partitions && table.condition.is_none());
    let rows = |(table, found): (&Table, &TableDigest)| TableRows {
        materialized: false,
        schema: table.schema.plain().to_owned(),
        table: table.name.plain().to_owned(),
        rows: found.rows,
    };
    read.map(rows).collect()
}

/// How a table is read: by `COPY` as `pg_dump` does it, or a large one in slices of its blocks, which differ in nothing else.
pub(super) fn sliced(at: usize, table: &Table, slice: u64) -> Vec<Slice> {
    let name = table.quoted();
    let columns = table.columns.iter().map(Name::quoted).collect::<Vec<_>>().join(", ");
    let whole = |sql: String| vec![Slice { table: at, sql, part: None, blocks: table.blocks }];
    if table.with_partitions {
        return whole(format!("copy (select {columns} from {name}) to stdout"));
    }
    if let Some(condition) = &table.condition {
        return whole(format!("copy (select {columns} from {name} {condition}) to stdout"));
    }
    let blocks = (slice / table.block.max(1)).max(1);
    if table.blocks < 2 * blocks || !table.sliceable || columns.is_empty() {
        return whole(format!("copy {name}{} to stdout", if columns.is_empty() { String::new() } else { format!(" ({columns})") }));
    }
    let last = table.blocks / blocks - 1;
    let part = |part: u64| {
        let from = format!("ctid >= '({},0)'::pg_catalog.tid", part * blocks);
        let to = format!(" and ctid < '({},0)'::pg_catalog.tid", (part + 1) * blocks);
        // The last one has no upper bound.
        let range = if part == last { from } else { from + &to };
        let part = format!("only {name} where {range}");
        Slice { table: at, sql: format!("copy (select {columns} from {part}) to stdout"), part: Some(part), blocks }
    };
    (0..=last).map(part).collect()
}

fn work(live: &Live<'_>, reader: &mut Reader<'_>, todo: &Mutex<VecDeque<Slice>>) -> Result<Vec<(usize, Counted)>, PgError> {
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut found = Vec::new();
    while let Some(slice) = next() {
        let counted = count(live, reader, &slice);
        if counted.is_err() {
            // The others need not go on for an answer that will be an error.
            todo.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        found.push((slice.table, counted?));
    }
    Ok(found)
}

fn count(live: &Live<'_>, reader: &mut Reader<'_>, slice: &Slice) -> Result<Counted, PgError> {
    if let Some(early) = live.early
        && let Some(counted) = early.still(slice, reader)?
    {
        return Ok(counted);
    }
    rows_of(live, |each| reader.copy(&slice.sql, each))
}

/// Counts and digests the rows that are copied.
pub(super) fn rows_of(live: &Live<'_>, copy: impl FnOnce(Each<'_>) -> Result<(), PgError>) -> Result<Counted, PgError> {
    let failed = |error| PgError::program("reading rows", error);
    let (mut rows, mut unchecked) = (Rows::default(), 0);
    copy(&mut |row| {
        unchecked += 1;
        if unchecked == BETWEEN_CHECKS {
            unchecked = 0;
            live.cancel.check().map_err(failed)?;
        }
        rows.feed(row).map_err(failed)
    })?;
    live.cancel.check().map_err(failed)?;
    rows.finish_unmarked().map_err(failed)
}
