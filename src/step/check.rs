//! Looking at what was restored: the rows of every table are counted, and the pipeline's checks must hold.
//!
//! Each check that fails is told, not only the first. This file restores nothing and judges nothing by age or size.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::load::{note, on_major};
use super::prove::{Leeway, Looked, Place, UNKNOWN, differences_in_words, look, prove};
use super::scratch::place;
use super::verify_restore::{Check, Expected, Prove, RowCount, VerifyRestore};
use super::way_back::{Keys, fingerprint};
use super::{Cx, PerformEffect, StepError};
use crate::archive::Fingerprint;
use crate::diagnostic::Class;
use crate::postgres::restored;
use crate::postgres::{ConnInfo, Facts};
use crate::store::manifest::{CheckOutcome, Level, TableCount};
use crate::words::count;

/// How long one check's query may take.
pub(super) const CHECK_LIMIT: Duration = Duration::from_mins(10);

impl PerformEffect for VerifyRestore {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        self.check(cx).map_err(|error| StepError { message: on_major(cx.step, error.message), ..error })
    }
}

impl VerifyRestore {
    fn check(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let nothing = || StepError::new(Class::Failed, "nothing was restored that could be checked");
        let scratch = cx.runtime.scratch(cx.step).ok_or_else(nothing)?;
        // Counting a large table would not hear a request to stop; a server that is gone ends it.
        let stopped = Arc::clone(&scratch);
        let _on_cancel = cx.cancel.on_cancel(move || stopped.interrupt());
        let info = place(&scratch);
        let facts = Facts::read(&info, cx.runtime.handle())?;
        note(cx, cx.step, |verification| verification.short = self.prove.short().map(str::to_owned));
        let dumped = self.dumped(cx);
        let known = dumped.as_ref().ok().and_then(Option::as_deref);
        let looked = look(self.prove, known, &Place { info: &info, major: facts.major(), jobs: self.jobs() }, cx)?;
        self.judge(&info, &facts, &looked.tables, cx)?;
        // Only now: what could not be compared has been restored all the same.
        dumped?.map_or(Ok(()), |dumped| compare(&dumped, &looked, cx))
    }

    fn keys(&self) -> Keys<'_> {
        Keys { identity: self.identity.as_ref(), passphrase: self.passphrase.as_ref() }
    }

    fn jobs(&self) -> NonZeroUsize {
        let asked = self.jobs.and_then(|jobs| NonZeroUsize::new(jobs.into()));
        asked.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }

    /// Tries every check, notes what was found, and fails if one does not hold.
    fn judge(&self, info: &ConnInfo, facts: &Facts, tables: &[TableCount], cx: &Cx<'_>) -> Result<(), StepError> {
        let ask = |sql: &str| restored::scalar(info, cx.runtime.handle(), sql, CHECK_LIMIT).map_err(|error| error.to_string());
        let outcomes = self.outcomes(tables, &ask);
        let failed: Vec<String> = outcomes.iter().filter(|outcome| !outcome.passed).map(in_words).collect();
        cx.reports.note(summary(tables, &outcomes));
        note(cx, cx.step, |verification| {
            verification.server_version = Some(facts.server_version_num);
            verification.database_bytes = Some(facts.database_bytes);
            verification.tables = tables.to_vec();
            verification.checks = outcomes;
            if failed.is_empty() {
                verification.level = verification.level.max(Level::Restored);
            }
        });
        if failed.is_empty() {
            return Ok(());
        }
        let hint = "the data was restored without an error, but it is not what the checks expect";
        Err(StepError::new(Class::Verification, failed.join("; ")).hint(hint))
    }

    /// What was dumped, if that is asked for and known.
    fn dumped(&self, cx: &Cx<'_>) -> Result<Option<Arc<Fingerprint>>, StepError> {
        let artifact = cx.runtime.ledger(|ledger| ledger.verifications.get(cx.step).map(|found| found.artifact.clone()));
        let (Some(artifact), false) = (artifact, self.prove == Prove::Off) else { return Ok(None) };
        let dumped = fingerprint(&artifact, self.keys(), cx)?;
        if dumped.is_none() {
            cx.reports.note(UNKNOWN);
            note(cx, cx.step, |verification| verification.short = Some(UNKNOWN.to_owned()));
        }
        Ok(dumped)
    }
}

/// Compares what was restored with what was dumped; equality earns the highest level, a difference fails.
fn compare(dumped: &Fingerprint, looked: &Looked, cx: &Cx<'_>) -> Result<(), StepError> {
    let proof = prove(dumped, looked, Leeway::default());
    let difference = differences_in_words(&proof);
    cx.reports.note_all(proof.incomparable.iter().map(|left| format!("not compared: {left}")));
    note(cx, cx.step, |verification| {
        if proof.whole && difference.is_none() {
            verification.level = Level::Proven;
        }
        verification.proof = Some(proof);
    });
    let hint = "this restore point does not give back what was dumped";
    difference.map_or(Ok(()), |difference| Err(StepError::new(Class::Verification, difference).hint(hint)))
}

/// A check that failed, for the reader.
pub(super) fn in_words(outcome: &CheckOutcome) -> String {
    format!("check failed: {}: found {}", outcome.check, outcome.found)
}

fn summary(tables: &[TableCount], outcomes: &[CheckOutcome]) -> String {
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let passed = outcomes.iter().filter(|outcome| outcome.passed).count();
    format!("{}, {}, {passed} of {} passed", count(tables.len(), "table"), count(rows, "row"), count(outcomes.len(), "check"))
}

impl VerifyRestore {
    fn outcomes(&self, tables: &[TableCount], ask: &dyn Fn(&str) -> Result<Option<String>, String>) -> Vec<CheckOutcome> {
        let least = self.min_tables.map(|least| CheckOutcome {
            check: format!("at least {}", count(least, "table")),
            passed: tables.len() as u64 >= least,
            found: tables.len().to_string(),
        });
        least.into_iter().chain(self.checks.iter().map(|check| check.outcome(tables, ask))).collect()
    }
}

impl Check {
    fn outcome(&self, tables: &[TableCount], ask: &dyn Fn(&str) -> Result<Option<String>, String>) -> CheckOutcome {
        match (&self.sql, &self.row_count) {
            (Some(sql), _) => asked(sql, self.equals.as_ref(), ask(sql)),
            (None, Some(bounds)) => bounds.outcome(tables),
            (None, None) => CheckOutcome { check: "an empty check".to_owned(), passed: false, found: "nothing".to_owned() },
        }
    }
}

/// What came of a query that must answer true, or what is expected.
pub(super) fn asked(sql: &str, equals: Option<&Expected>, answer: Result<Option<String>, String>) -> CheckOutcome {
    let expected = equals.map_or_else(|| "t".to_owned(), ToString::to_string);
    let check = if equals.is_some() { format!("{sql} = {expected}") } else { sql.to_owned() };
    match answer {
        Ok(answer) => {
            CheckOutcome { check, passed: answer.as_deref() == Some(&expected), found: answer.unwrap_or_else(|| "null".to_owned()) }
        }
        Err(error) => CheckOutcome { check, passed: false, found: error },
    }
}

impl RowCount {
    fn outcome(&self, tables: &[TableCount]) -> CheckOutcome {
        let named = |table: &&TableCount| table.table == self.table || format!("{}.{}", table.schema, table.table) == self.table;
        let found: Vec<&TableCount> = tables.iter().filter(named).collect();
        let bounds = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "any number of".to_owned(),
        };
        let check = format!("{} has {bounds} rows", self.table);
        match found.as_slice() {
            [table] => {
                let passed = self.min.is_none_or(|min| table.rows >= min) && self.max.is_none_or(|max| table.rows <= max);
                CheckOutcome { check, passed, found: table.rows.to_string() }
            }
            [] => CheckOutcome { check, passed: false, found: "no such table".to_owned() },
            many => CheckOutcome { check, passed: false, found: format!("{} tables of that name; give the schema too", many.len()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, table: &str, rows: u64) -> TableCount {
        TableCount { schema: schema.to_owned(), table: table.to_owned(), rows }
    }

    #[test]
    fn bounds_and_names_are_exact() {
        let tables = [table("public", "주문", 10), table("Sales", "Orders", 5), table("a", "x", 1), table("b", "x", 1)];
        let check = |name: &str, min, max| RowCount { table: name.to_owned(), min, max }.outcome(&tables);
        assert!(check("주문", Some(10), Some(10)).passed);
        assert!(!check("주문", Some(11), None).passed);
        assert!(!check("주문", None, Some(9)).passed);
        assert!(check("Sales.Orders", Some(5), None).passed);
        assert_eq!(check("orders", Some(0), None).found, "no such table");
        assert_eq!(check("x", Some(0), None).found, "2 tables of that name; give the schema too");
    }

    #[test]
    fn a_query_passes_only_with_its_own_answer() {
        let check = |equals| Check { sql: Some("q".to_owned()), equals, row_count: None };
        let passes = |check: Check, answer: Result<Option<String>, String>| check.outcome(&[], &|_| answer.clone()).passed;
        assert!(passes(check(None), Ok(Some("t".to_owned()))));
        assert!(!passes(check(None), Ok(Some("1".to_owned()))), "an answer that is not true is not true");
        assert!(!passes(check(None), Ok(None)));
        assert!(!passes(check(None), Err("gone".to_owned())));
        assert!(passes(check(Some(super::super::Expected::Integer(3))), Ok(Some("3".to_owned()))));
    }
}
