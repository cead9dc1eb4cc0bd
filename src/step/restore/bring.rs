//! From the scratch server, where the restore point was restored and proven, into the database that is there: tables, all
//! data, or a patch of single rows.
//!
//! Each change is one transaction of the live database. Nothing is restored here, and no file is ever overwritten.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::reviewed;
use super::super::scratch::place;
use super::super::way_back::{Keys, fingerprint};
use super::super::work::RestoreWork;
use super::super::{Cx, StepError};
use super::act::{absent, analyze};
use super::{Rows, Tables, TablesAs};
use crate::diagnostic::Class;
use crate::ids::RunId;
use crate::postgres::ConnInfo;
use crate::postgres::patch::{PatchOptions, PatchReport, patch};
use crate::postgres::tables::{Sides, agree, leaning, refuse_rowless};
use crate::postgres::transfer::{How, TransferReport, fill, transfer};
use crate::runtime::{Brought, BroughtTable};

/// How long one statement of a patch may take.
const STATEMENT_LIMIT: Duration = Duration::from_mins(10);

/// How long one statement of a patch may wait for a lock: whoever comes later to the same table waits behind it.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// What to do about a patch file that is there already.
pub(super) const TAKEN: &str = "name another file, or move that one away";

/// That a file is there already.
pub(super) fn taken(path: &Path) -> String {
    format!("{} exists already, and a patch never overwrites a file", path.display())
}

/// The schema that copies of tables go into: the restore point in lower case, as SQL takes it without quotes.
pub fn schema_of(run: &RunId) -> String {
    format!("restored_{}", run.as_str().to_lowercase().replace('-', "_"))
}

impl RestoreWork {
    /// The database that is there, held against other restores.
    fn live(&self, cx: &Cx<'_>) -> Result<ConnInfo, StepError> {
        let held = self.hold(cx)?;
        let connection = cx.runtime.connection(&self.with.connection)?;
        let live = connection.info().with_database(held.database());
        // The server may have dropped it in spite of the lock.
        if held.is_same()? { Ok(live) } else { Err(absent(&live.describe())) }
    }

    /// Where the restore point was restored.
    fn restored(&self, cx: &Cx<'_>) -> Result<ConnInfo, StepError> {
        let nothing = || StepError::new(Class::Failed, "nothing was restored that could be brought back");
        Ok(place(&*cx.runtime.scratch(&self.artifact).ok_or_else(nothing)?))
    }

    /// Whether the tables can be brought at all: nobody dumps or stops anything for those that can not.
    pub(super) fn agree(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let Some(Tables { names, mode, .. }) = &self.with.tables else { return Ok(()) };
        let (scratch, live) = (self.restored(cx)?, self.live(cx)?);
        let sides = Sides { scratch: &scratch, target: &live, handle: cx.runtime.handle(), cancel: cx.cancel };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        agree(&sides, &names, *mode == TablesAs::Merge)?;
        if *mode == TablesAs::Replace { self.refuse_rowless(&sides, Some(&names), cx) } else { Ok(()) }
    }

    /// Nothing is deleted because the dump does not hold it.
    fn refuse_rowless(&self, sides: &Sides<'_>, names: Option<&[&str]>, cx: &Cx<'_>) -> Result<(), StepError> {
        let keys = Keys { identity: self.identity.as_ref(), passphrase: self.passphrase.as_ref() };
        // Where it is lost nothing is known, and more is refused.
        let dumped = fingerprint(&self.artifact, keys, cx).ok().flatten();
        Ok(refuse_rowless(sides, names, dumped.as_deref())?)
    }

    /// Brings whole tables.
    pub(super) fn transfer(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let Some(Tables { names, mode, .. }) = &self.with.tables else { return Ok(()) };
        let (scratch, live) = (self.restored(cx)?, self.live(cx)?);
        let run = cx.runtime.ledger(|ledger| ledger.recalled.get(&self.artifact).map(|recalled| recalled.run.clone()));
        let how = match mode {
            TablesAs::Copy => How::Copy { schema: schema_of(run.as_ref().unwrap_or(&cx.runtime.facts.run)) },
            TablesAs::Merge => How::Merge,
            TablesAs::Replace => How::Replace,
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sides = Sides { scratch: &scratch, target: &live, handle: cx.runtime.handle(), cancel: cx.cancel };
        let report = transfer(&sides, &names, &how)?;
        reviewed::tell(moved(&live, report), cx);
        self.settle(&live, cx);
        Ok(())
    }

    /// Fills the tables that are there, and gathers statistics.
    pub(super) fn fill(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let (scratch, live) = (self.restored(cx)?, self.live(cx)?);
        let sides = Sides { scratch: &scratch, target: &live, handle: cx.runtime.handle(), cancel: cx.cancel };
        if self.with.replace.is_some() {
            self.refuse_rowless(&sides, None, cx)?;
        }
        let report = fill(&sides, self.with.replace.is_some())?;
        reviewed::tell(moved(&live, report), cx);
        if !self.with.analyze {
            return Ok(());
        }
        let kept = "all data is there, and committed; run `analyze` in that database, or its first queries are planned blindly";
        analyze(&live, cx).map_err(|error| error.hint(kept))
    }

    /// Writes the patch; a file that can not be finished is removed.
    pub(super) fn patch(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let Some(rows) = &self.with.rows else { return Ok(()) };
        let scratch = self.restored(cx)?;
        let connection = cx.runtime.connection(&self.with.connection)?;
        let live = connection.info().with_database(self.with.database.as_ref().unwrap_or(&connection.info().database));
        let sides = Sides { scratch: &scratch, target: &live, handle: cx.runtime.handle(), cancel: cx.cancel };
        if rows.with_deletes {
            self.refuse_rowless(&sides, Some(&self.with.named_tables()), cx)?;
        }
        let path = rows.patch.clone().unwrap_or_else(|| file_name(&live.database, &cx.runtime.facts.run));
        let file = create(&path)?;
        let written = self.write(rows, &sides, file, cx);
        let nothing = written.as_ref().is_ok_and(PatchReport::empty);
        if written.is_err() || nothing {
            // It is this attempt's own, and of no use. An error counts.
            let _removed = std::fs::remove_file(&path);
        }
        let report = written.map_err(|error| at(&path, error))?;
        if nothing {
            cx.reports.note("nothing differs, so there is no patch");
            reviewed::tell(Brought { place: live.describe(), ..Brought::default() }, cx);
        } else {
            reviewed::tell(planned(&live, report, path), cx);
        }
        Ok(())
    }

    fn write(&self, rows: &Rows, sides: &Sides<'_>, file: File, cx: &Cx<'_>) -> Result<PatchReport, StepError> {
        let wanted = self.with.wanted_rows();
        let point =
            cx.runtime.ledger(|ledger| ledger.recalled.get(&self.artifact).map(|found| format!("{} of {}", found.run, found.pipeline)));
        let options = PatchOptions {
            restore_point: point.unwrap_or_else(|| "this run's own".to_owned()),
            with_deletes: rows.with_deletes,
            statement_limit: STATEMENT_LIMIT,
            lock_limit: LOCK_LIMIT,
        };
        let mut out = BufWriter::new(file);
        let report = patch(sides, &wanted, &options, &mut out)?;
        let kept = out.flush().and_then(|()| out.get_ref().sync_all());
        kept.map_err(|error| StepError::new(Class::Failed, format!("writing the patch: {error}")))?;
        Ok(report)
    }

    /// Applies the patch that was just written.
    pub(super) fn apply(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let written = cx.runtime.ledger(|ledger| ledger.brought.as_ref().map(|brought| brought.patch.clone()));
        let Some(path) = written.ok_or_else(|| StepError::new(Class::Failed, "no patch was written that could be applied"))? else {
            cx.reports.note("nothing differs, so nothing was changed");
            return Ok(());
        };
        let live = self.live(cx)?;
        reviewed::apply(&path, &live, cx)?;
        self.settle(&live, cx);
        Ok(())
    }

    /// What leans on the changed tables: their statistics are gathered, and materialized views named. The change itself is done, so that
    /// nothing here makes it fail.
    fn settle(&self, live: &ConnInfo, cx: &Cx<'_>) {
        let changed: Vec<String> = cx.runtime.ledger(|ledger| {
            let brought = ledger.brought.iter().flat_map(|brought| &brought.tables);
            brought.map(|table| table.table.clone()).collect()
        });
        let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        if changed.is_empty() {
            return;
        }
        let handle = cx.runtime.handle();
        let gathered = if self.with.analyze { leaning::analyze(live, handle, &changed) } else { Ok(()) };
        if let Err(error) = gathered {
            cx.reports.note(format!("statistics were not gathered: {error}"));
        }
        let views = leaning::materialized_views(live, handle, &changed).unwrap_or_else(|error| {
            cx.reports.note(format!("materialized views of these tables could not be looked for: {error}"));
            Vec::new()
        });
        let note = |view: &String| format!("materialized view {view} holds what was there before: refresh materialized view {view};");
        let notes: Vec<String> = views.iter().map(note).collect();
        cx.reports.note_all(notes.iter().cloned());
        cx.runtime.ledger(|ledger| ledger.brought.iter_mut().for_each(|brought| brought.notes.extend(notes.iter().cloned())));
    }
}

/// `<database>-<run>.sql`; a slash in the database's name would be another folder.
fn file_name(database: &str, run: &RunId) -> PathBuf {
    PathBuf::from(format!("{}-{run}.sql", database.replace('/', "_")))
}

/// A new file that only its owner reads: it may hold anything that the database does.
fn create(path: &Path) -> Result<File, StepError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => StepError::new(Class::Failed, taken(path)).hint(TAKEN),
        std::io::ErrorKind::PermissionDenied => StepError::new(Class::Denied, format!("making {}: {error}", path.display())),
        _ => StepError::new(Class::Failed, format!("making {}: {error}", path.display())),
    })
}

fn at(path: &Path, error: StepError) -> StepError {
    StepError { message: format!("no patch {} was made: {}", path.display(), error.message), ..error }
}

fn moved(live: &ConnInfo, report: TransferReport) -> Brought {
    let table = |done: crate::postgres::transfer::Transferred| BroughtTable {
        table: done.into,
        inserted: done.inserted,
        updated: done.updated,
        deleted: done.deleted,
    };
    let tables = report.tables.into_iter().map(table).collect();
    Brought { place: live.describe(), tables, patch: None, done: true, notes: report.notes }
}

fn planned(live: &ConnInfo, report: PatchReport, path: PathBuf) -> Brought {
    let table = |change: crate::postgres::patch::TableChanges| BroughtTable {
        table: format!("{} {}", change.table, change.wanted),
        inserted: change.inserted,
        updated: change.updated,
        deleted: change.deleted,
    };
    let warnings = report.warnings.into_iter().map(|warning| format!("warning: {warning}"));
    let notes = warnings.chain(report.notes).collect();
    Brought { place: live.describe(), tables: report.tables.into_iter().map(table).collect(), patch: Some(path), done: false, notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_made_of_a_run_are_plain_and_short() {
        let run: RunId = "20261120T021700Z-4f3a9c".parse().unwrap();
        assert_eq!(schema_of(&run), "restored_20261120t021700z_4f3a9c");
        assert_eq!(file_name("a/주문", &run), PathBuf::from("a_주문-20261120T021700Z-4f3a9c.sql"));
    }
}
