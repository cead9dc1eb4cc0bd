//! The newest of what a store keeps of a pipeline: as much as tells how it stands, however many points there are.
//!
//! Months are folders, so the newest are listed one after the other until enough is known; of those points the manifests are read that
//! tell sizes, and the receipts of the newest points that can be used and back to the newest proven one. What is not found within [`BACK`] months and
//! [`TRIED`] verified points is not called absent: [`Recent::since`] says how far back was looked. This module decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::catalog::{self, Beside, Point, again, beside};
use super::failed::{self, FailedRun, read_failed};
use super::manifest::{Level, Manifest};
use super::{ObjectMeta, ObjectStore, StoreError, pool};
use crate::ids::{PipelineName, RunId};

/// How many months with points are listed, at most, to find a proof.
pub const BACK: usize = 4;

/// How many verified points are read, at most, to find a proof.
pub const TRIED: usize = 40;

/// How many failed runs are read, at most.
const FAILED: usize = 50;

/// The newest of what a store keeps of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// Points that were read whole, newest first: the newest that can be used, every newer one, which can not or whose content was found
    /// wrong, and verified ones back to the newest proven one.
    pub points: Vec<Point>,
    /// The manifests of the newest points, for their sizes; those that can not be used are left out.
    pub manifests: BTreeMap<RunId, Manifest>,
    /// Runs since the newest point that can be used which left word that they failed, or were ruled out after they died; newest first.
    pub failed: Vec<Failed>,
    /// The beginning of what was looked through for a proof; `None` when it was everything.
    pub since: Option<Timestamp>,
}

/// A run that made no restore point.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The run.
    pub run: RunId,
    /// Its word; `None` of one that died without any and was ruled out.
    pub word: Option<Result<FailedRun, String>>,
    /// When the store was told.
    pub told: Timestamp,
}

/// Reads the newest of what a store keeps of a pipeline, with the manifests of so many points.
///
/// # Errors
/// Whatever the store says. What can not be understood is told in its [`Point`] or [`Failed`].
pub fn recent(store: &dyn ObjectStore, pipeline: &PipelineName, most: usize) -> Result<Recent, StoreError> {
    again(|| Reading::of(store, pipeline, BTreeMap::new()).recent(most))
}

/// The newest runs that made no restore point, at most so many, whatever was made since.
///
/// # Errors
/// As [`recent`].
pub fn failures(store: &dyn ObjectStore, pipeline: &PipelineName, most: usize) -> Result<Vec<Failed>, StoreError> {
    again(|| Reading::of(store, pipeline, catalog::listed(store, pipeline)?).failed(most, None))
}

struct Reading<'a> {
    store: &'a dyn ObjectStore,
    pipeline: &'a PipelineName,
    /// Points from clocks that are further ahead of it than clocks may differ are told of, and are the newest of nothing.
    now: Timestamp,
    /// The runs that were listed so far.
    runs: BTreeMap<RunId, Beside>,
    manifests: BTreeMap<RunId, Result<Manifest, String>>,
    points: BTreeMap<RunId, Point>,
}

impl<'a> Reading<'a> {
    fn of(store: &'a dyn ObjectStore, pipeline: &'a PipelineName, runs: BTreeMap<RunId, Beside>) -> Self {
        Self { store, pipeline, now: Timestamp::now(), runs, manifests: BTreeMap::new(), points: BTreeMap::new() }
    }

    fn recent(mut self, most: usize) -> Result<Recent, StoreError> {
        let mut older = self.months()?;
        let (mut with_points, mut tried) = (0, BTreeSet::new());
        let mut proven = false;
        while let Some(month) = older.pop() {
            let before = self.committed().count();
            self.list(&month)?;
            with_points += usize::from(self.committed().count() > before);
            self.newest(most)?;
            proven = proven || self.prove(&mut tried)?;
            let enough = self.committed().count() >= most && self.usable().is_some();
            if enough && (proven || tried.len() >= TRIED || with_points >= BACK) {
                break;
            }
        }
        let whole = older.is_empty() && tried.len() < TRIED;
        let since = (!proven && !whole).then(|| self.since(&tried)).flatten();
        let failed = self.failed(FAILED, self.usable())?;
        let manifests = self.manifests.into_iter().filter_map(|(run, manifest)| Some((run, manifest.ok()?))).collect();
        let mut points: Vec<Point> = self.points.into_values().rev().collect();
        // Of those that were read at once with the newest proven one, the older ones tell nothing more.
        let proven = |point: &Point| point.level() == Some(Level::Proven) && is_usable(point, self.now);
        let last = points.iter().position(proven);
        points.truncate(last.map_or(points.len(), |last| last + 1));
        Ok(Recent { points, manifests, failed, since })
    }

    /// The pipeline's months, the newest last; those of clocks that are ahead among them.
    fn months(&self) -> Result<Vec<String>, StoreError> {
        let folders = self.store.folders(&format!(".runner/{}/", self.pipeline))?;
        let is_month = |name: &String| {
            name.len() == 7 && name.bytes().enumerate().all(|(at, byte)| if at == 4 { byte == b'-' } else { byte.is_ascii_digit() })
        };
        Ok(folders.into_iter().filter(is_month).collect())
    }

    fn list(&mut self, month: &str) -> Result<(), StoreError> {
        self.runs.extend(beside(self.store, self.pipeline, &format!(".runner/{}/{month}/", self.pipeline))?);
        Ok(())
    }

    /// The points listed so far, newest first, but for those from clocks that are ahead.
    fn committed(&self) -> impl Iterator<Item = &RunId> {
        self.runs.iter().rev().filter(|(run, beside)| beside.committed && !run.is_ahead(self.now)).map(|(run, _)| run)
    }

    /// The one of them that is furthest ahead.
    fn ahead(&self) -> Option<RunId> {
        let (run, _) = self.runs.iter().rev().find(|(_, beside)| beside.committed)?;
        run.is_ahead(self.now).then(|| run.clone())
    }

    /// Reads the manifests of the newest points, and whole points down to the newest one that can be used.
    fn newest(&mut self, most: usize) -> Result<(), StoreError> {
        let newest: Vec<RunId> = self.committed().take(most.max(TRIED)).cloned().collect();
        self.read(&newest[..most.min(newest.len())])?;
        let mut rest = &newest[..];
        while !rest.is_empty() && self.usable().is_none() {
            // Only where all of those are damaged are there further ones to read.
            self.read(&rest[..most.min(rest.len())])?;
            let readable = |run: &RunId| self.manifests.get(run).is_none_or(Result::is_ok);
            let (down_to, further) = rest.split_at(rest.iter().position(readable).map_or(rest.len(), |at| at + 1));
            self.whole(down_to)?;
            rest = further;
        }
        self.whole(self.ahead().as_slice())
    }

    /// Reads manifests that were not read yet, several at once.
    fn read(&mut self, runs: &[RunId]) -> Result<(), StoreError> {
        let unread: Vec<&RunId> = runs.iter().filter(|run| !self.manifests.contains_key(*run)).collect();
        let read = pool::each(self.store.is_remote(), &unread, |run| catalog::manifest(self.store, self.pipeline, run))?;
        self.manifests.extend(unread.into_iter().cloned().zip(read));
        Ok(())
    }

    /// Reads whole points that were not read yet, several at once.
    fn whole(&mut self, runs: &[RunId]) -> Result<(), StoreError> {
        self.read(runs)?;
        let unread = runs.iter().filter(|run| !self.points.contains_key(*run));
        let unread: Vec<_> = unread.filter_map(|run| Some((run, self.runs.get(run)?, self.manifests.get(run)?))).collect();
        let read = pool::each(self.store.is_remote(), &unread, |(run, beside, manifest)| {
            catalog::with_manifest(self.store, (self.pipeline, run), beside, (*manifest).clone())
        })?;
        let read: Vec<(RunId, Point)> = unread.into_iter().map(|(run, ..)| run.clone()).zip(read).collect();
        self.points.extend(read);
        Ok(())
    }

    /// Looks for a proof among the verified points that were listed, newest first, each time among twice as many at once.
    fn prove(&mut self, tried: &mut BTreeSet<RunId>) -> Result<bool, StoreError> {
        let verified =
            self.committed().filter(|run| self.runs.get(*run).is_some_and(|beside| !beside.receipts.is_empty()) && !tried.contains(*run));
        let verified: Vec<RunId> = verified.take(TRIED - tried.len()).cloned().collect();
        let (mut rest, mut at_once) = (&verified[..], 1);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(at_once.min(rest.len()));
            self.whole(now)?;
            tried.extend(now.iter().cloned());
            if now.iter().any(|run| self.points.get(run).is_some_and(|point| point.level() == Some(Level::Proven))) {
                return Ok(true);
            }
            (rest, at_once) = (later, at_once * 2);
        }
        Ok(false)
    }

    /// The newest point that can be used.
    fn usable(&self) -> Option<&RunId> {
        self.points.iter().rev().find(|(_, point)| is_usable(point, self.now)).map(|(run, _)| run)
    }

    /// How far back a proof was looked for.
    fn since(&self, tried: &BTreeSet<RunId>) -> Option<Timestamp> {
        let last = if tried.len() >= TRIED { tried.first() } else { self.runs.keys().next() };
        last.map(RunId::started)
    }

    /// The newest runs after this one that made no point, at most so many.
    fn failed(&self, most: usize, after: Option<&RunId>) -> Result<Vec<Failed>, StoreError> {
        let later = self.runs.iter().rev().filter(|(run, beside)| !beside.committed && after.is_none_or(|after| *run > after));
        let told = later.filter_map(|(run, beside)| Some((run, beside.failed.as_ref().or(beside.ruled_out.as_ref())?)));
        let told: Vec<(&RunId, &ObjectMeta)> = told.take(most).collect();
        pool::each(self.store.is_remote(), &told, |(run, object)| {
            let word = if object.bytes == 0 { None } else { Some(self.word(run, object)?) };
            Ok(Failed { run: (*run).clone(), word, told: object.modified })
        })
    }

    fn word(&self, run: &RunId, object: &ObjectMeta) -> Result<Result<FailedRun, String>, StoreError> {
        if object.bytes > failed::LIMIT {
            return Ok(Err(format!("{} has {} bytes", object.key, object.bytes)));
        }
        let read = read_failed(&self.store.get_bytes(&object.key, failed::LIMIT)?).map_err(|error| format!("{}: {error}", object.key));
        let own = |word: &FailedRun| word.run == *run && word.pipeline == *self.pipeline;
        Ok(read.and_then(|word| if own(&word) { Ok(word) } else { Err(format!("{} is about {} {}", object.key, word.pipeline, word.run)) }))
    }
}

/// Whether a point can be used, as far as is known, and is not from a clock that is far ahead.
fn is_usable(point: &Point, now: Timestamp) -> bool {
    point.manifest.is_ok() && point.damage().is_none() && !point.summary.run.is_ahead(now)
}
