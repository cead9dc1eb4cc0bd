//! A patch that was reviewed is applied: all of it in one transaction, or nothing.
//!
//! What it did is told and kept for the summary. This file makes no patch and judges none.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::{Cx, StepError};
use crate::diagnostic::Class;
use crate::postgres::ConnInfo;
use crate::postgres::patch::{Touched, apply_patch};
use crate::runtime::{Brought, BroughtTable};

/// Applies the patch in this file.
pub(super) fn apply(path: &Path, live: &ConnInfo, cx: &Cx<'_>) -> Result<(), StepError> {
    let unread = |error: std::io::Error| StepError::new(Class::Failed, format!("reading {}: {error}", path.display()));
    let file = File::open(path).map_err(unread)?;
    let touched = apply_patch(live, cx.runtime.handle(), cx.cancel, &mut BufReader::new(file)).map_err(|error| {
        let hint = "nothing was changed; if the rows have changed since the patch was made, make it again and review it again";
        // A new attempt would find the same rows.
        StepError { transient: false, ..StepError::from(error) }.hint(hint)
    })?;
    let table = |Touched { table, inserted, updated, deleted }| BroughtTable { table, inserted, updated, deleted };
    let tables = touched.into_iter().map(table).collect();
    tell(Brought { place: live.describe(), tables, patch: Some(path.to_owned()), done: true, notes: Vec::new() }, cx);
    Ok(())
}

/// Says what was brought, and keeps it for the summary; what was to be known of a patch stays known once it is applied.
pub(super) fn tell(brought: Brought, cx: &Cx<'_>) {
    cx.reports.note_all(brought.tables.iter().map(ToString::to_string));
    cx.reports.note_all(brought.notes.iter().cloned());
    if let (Some(path), false) = (&brought.patch, brought.done) {
        cx.reports.note(format!("the patch is {}; nothing was changed yet", path.display()));
    }
    cx.runtime.ledger(|ledger| {
        let earlier = ledger.brought.take().map(|earlier| earlier.notes).unwrap_or_default();
        let notes = earlier.into_iter().chain(brought.notes).collect();
        ledger.brought = Some(Brought { notes, ..brought });
    });
}
