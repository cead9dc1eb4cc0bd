//! Bringing the table in line with what stores keep, for rows that a run has written and for runs that wrote none.
//!
//! How a run ended, only the run knew, so its word stays. But a failure that a verification found later is told, one that a later
//! verification has answered is not told any more, and an object that its store no longer keeps is not called uploaded. This file reads
//! no store.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Entry, FILLED, maybe, text, tuples};
use super::{BATCH, BackupLog, PgError, Written};

/// A store, and a run that has an object in it.
pub type Place = (String, String);

/// What the stores of a pipeline keep.
#[derive(Debug, Default)]
pub struct Stores {
    /// The objects of restore points.
    pub points: Vec<Entry>,
    /// Runs that made none.
    pub failed: Vec<Entry>,
    /// What is in its store no more.
    pub gone: Vec<Place>,
}

/// What became of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Synced {
    /// The rows of restore points.
    pub points: Written,
    /// Rows of failed runs that were written.
    pub failed: u64,
    /// Failed runs that were left out, for this role may not read which runs have a row.
    pub left_out: u64,
    /// Rows whose object is gone.
    pub gone: u64,
}

impl BackupLog {
    /// Where objects of a pipeline are, as far as rows tell: to be asked before its stores are read, so that what comes meanwhile is not
    /// called gone. Nothing, for a role that could not change it.
    ///
    /// # Errors
    /// Whatever the server says.
    pub fn uploaded(&self, pipeline: &str) -> Result<BTreeSet<Place>, PgError> {
        if !self.updates {
            return Ok(BTreeSet::new());
        }
        let sql = format!("select store, run_id from {} where uploaded and pipeline = {}", self.table(), text(pipeline));
        let rows = self.client.query(&sql)?;
        let place = |row: Vec<Option<String>>| <[Option<String>; 2]>::try_from(row).ok();
        Ok(rows.into_iter().filter_map(place).filter_map(|[store, run]| Some((store?, run?))).collect())
    }

    /// Records what stores keep, all of it or nothing.
    ///
    /// # Errors
    /// Whatever the server says.
    pub fn sync(&self, stores: &Stores) -> Result<Synced, PgError> {
        self.client.batch("begin")?;
        let complains = "excluded.status = 'failed' and old.status is distinct from 'failed'";
        let told = ["status", "error"].map(|name| format!("{name} = case when {complains} then excluded.{name} else old.{name} end"));
        let points = self.write(&stores.points, &told)?;
        if self.updates {
            stores.points.iter().filter(|entry| !entry.answered.is_empty()).try_for_each(|entry| self.answer(entry))?;
        }
        let (failed, left_out) = self.failed(&stores.failed)?;
        let gone = self.gone(&stores.gone)?;
        self.client.batch("commit")?;
        Ok(Synced { points, failed, left_out, gone })
    }

    /// Takes an error back that a verification has answered. An error of the run itself, which no verification has told, stays. What a
    /// verification tells in a receipt may have a few words before what the run said.
    fn answer(&self, entry: &Entry) -> Result<(), PgError> {
        let answered: Vec<String> = entry.answered.iter().map(|error| text(error)).collect();
        let sql = format!(
            "update {} set status = {}, error = {}
             where run_id = {} and type = {} and store = {} and key = {} and status = 'failed' and error <> ''
             and exists (select from unnest(array[{}]) as said where right(said, length(error)) = error)",
            self.table(),
            text(entry.status.word()),
            maybe(entry.error.as_deref()),
            text(&entry.run),
            text(&entry.kind),
            text(&entry.store),
            text(&entry.key),
            answered.join(", ")
        );
        self.client.execute(&sql).map(drop)
    }

    /// Writes rows of runs that have none. Answers how many, and how many were left out.
    fn failed(&self, entries: &[Entry]) -> Result<(u64, u64), PgError> {
        let (tuples, table) = (tuples(entries), self.table());
        if !self.reads {
            return Ok((0, tuples.len() as u64));
        }
        let mut rows = 0;
        for batch in tuples.chunks(BATCH) {
            rows += self.client.execute(&format!(
                "insert into {table} ({FILLED}) select * from (values {}) as told ({FILLED})
                 where not exists (select from {table} as there where there.run_id = told.run_id) on conflict do nothing",
                batch.join(",\n")
            ))?;
        }
        Ok((rows, 0))
    }

    /// Answers how many rows were changed.
    fn gone(&self, places: &[Place]) -> Result<u64, PgError> {
        let mut by_store: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (store, run) in places {
            by_store.entry(store).or_default().push(text(run));
        }
        let mut rows = 0;
        for (store, runs) in by_store {
            for batch in runs.chunks(BATCH) {
                rows += self.client.execute(&format!(
                    "update {} set uploaded = false where uploaded and store = {} and run_id in ({})",
                    self.table(),
                    text(store),
                    batch.join(", ")
                ))?;
            }
        }
        Ok(rows)
    }
}
