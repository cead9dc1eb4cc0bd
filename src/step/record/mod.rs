//! `record`: writes what a run stored and found out into the table `backup_log` of a database.
//!
//! It tells of the run as a notification does, so it runs even when the plan could not be applied, and its failure is only a
//! warning. The table is made and kept up to date by `postgres::backup_log`. This file decides nothing about the run.

mod entries;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::work::Recording;
use super::{Cx, PerformEffect, References, StepError, StepKind};
use crate::diagnostic::Class;
use crate::ids::RefName;
use crate::postgres::backup_log::{BackupLog, DENIED, Migrated, OLD_VIEWS, SCHEMA};
use crate::postgres::{ConnInfo, PgError};
use crate::words::count;

pub use entries::{of_failure, of_point};

/// Writes the run into the table `backup_log` of a database, which is made where it is missing. Give it `when: always`, so that
/// failed runs are recorded too. Its role may insert only, once the table is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The connection, as declared under `connections`. When it can not be reached, that is a warning.
    pub connection: RefName,
    /// Another database of that server; the connection's own unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub database: Option<String>,
    /// The schema that holds the table and its views; made where it is missing. `public` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub schema: Option<String>,
}

impl Record {
    /// The schema that holds the table.
    pub fn schema(&self) -> &str {
        self.schema.as_deref().unwrap_or(SCHEMA)
    }
}

impl StepKind for Record {
    fn references(&self) -> References<'_> {
        References { connections: vec![&self.connection], ..References::default() }
    }

    fn words(&self) -> String {
        let database = self.database.as_ref().map(|database| format!(", database {database}")).unwrap_or_default();
        format!("in {}.backup_log on {}{database}", self.schema(), self.connection)
    }
}

impl PerformEffect for Recording {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let connection = cx.runtime.connection_within(&self.with.connection, cx.cancel)?;
        let own = connection.info().clone();
        let info = ConnInfo { database: self.with.database.clone().unwrap_or_else(|| own.database.clone()), ..own };
        let log = BackupLog::open(&info, self.with.schema(), cx.runtime.handle()).map_err(told)?;
        let interrupt = log.interrupt()?;
        let stops = cx.cancel.on_cancel(move || interrupt.fire());
        let done = self.record(&log, cx);
        drop(stops);
        log.close();
        done.map_err(told)
    }
}

impl Recording {
    fn record(&self, log: &BackupLog, cx: &Cx<'_>) -> Result<(), PgError> {
        let schema = self.with.schema();
        match log.migrated {
            Migrated::No => {}
            Migrated::Made => cx.reports.note(format!("made {schema}.backup_log and its views")),
            Migrated::OldViews => cx.reports.note(format!("the views of {schema}.backup_log {OLD_VIEWS}")),
        }
        let run = cx.runtime.ledger(|ledger| entries::of_run(ledger, &self.kind, cx));
        let written = log.record(&run.entries)?;
        cx.reports.note(format!("recorded {}", count(written.rows, "row")));
        if written.kept > 0 {
            cx.reports.note(format!("{} there already, and its role may not update", count(written.kept, "row")));
        }
        for raised in &run.raised {
            let rows = log.raise(raised)?;
            cx.reports.note_all((rows > 0).then(|| format!("level of {} is now {}", raised.run, raised.level)));
        }
        Ok(())
    }
}

/// What the server refused for want of rights is told as that.
fn told(error: PgError) -> StepError {
    match &error {
        PgError::Query { state, message, .. } if state == DENIED => {
            StepError::new(Class::Denied, message.clone()).hint("let the role insert into the table, and use its schema")
        }
        _ => error.into(),
    }
}
