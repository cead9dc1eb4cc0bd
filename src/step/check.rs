//! Looking at what was restored: the rows of every table are counted, and the pipeline's checks must hold.
//!
//! Each check that fails is told, not only the first. This file restores nothing and judges nothing by age or size.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::load::{note, on_major};
use super::prove::{Again, Judged, Leeway, Looked, Place, UNKNOWN, differences_in_words, look, prove};
use super::scratch::place;
use super::verify_restore::{Check, Expected, Prove, RowCount, VerifyRestore};
use super::way_back::{Keys, fingerprint};
use super::{Cx, PerformEffect, StepError};
use crate::archive::Fingerprint;
use crate::diagnostic::Class;
use crate::ids::StepId;
use crate::postgres::restored::{self, Answer, Other};
use crate::postgres::{ConnInfo, Facts, PgError};
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
        let place = Place { info: &info, major: facts.major(), jobs: self.jobs(), extensions: &facts.extensions };
        let looked = look(self.prove, known, &place, cx)?;
        self.judge(&info, &facts, &looked.tables, cx)?;
        // Only now: what could not be compared has been restored all the same.
        let (Some(dumped), Some(artifact)) = (dumped?, artifact(cx)) else { return Ok(()) };
        compare(&dumped, &looked, &Again { step: cx.step, artifact: &artifact, place, options: Vec::new() }, cx)
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
        let handle = cx.runtime.handle();
        let ask = Ask {
            sql: &|sql| restored::scalar(info, handle, sql, CHECK_LIMIT).map_err(said),
            others: &|name| restored::others(info, handle, name).map_err(said),
        };
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
        Err(StepError::new(Class::Verification, failed.join("\n")).hint(hint))
    }

    /// What was dumped, if that is asked for and known.
    fn dumped(&self, cx: &Cx<'_>) -> Result<Option<Arc<Fingerprint>>, StepError> {
        let (Some(artifact), false) = (artifact(cx), self.prove == Prove::Off) else { return Ok(None) };
        let dumped = fingerprint(&artifact, self.keys(), cx)?;
        if dumped.is_none() {
            cx.reports.note(UNKNOWN);
            note(cx, cx.step, |verification| verification.short = Some(UNKNOWN.to_owned()));
        }
        Ok(dumped)
    }
}

/// What this step verifies.
fn artifact(cx: &Cx<'_>) -> Option<StepId> {
    cx.runtime.ledger(|ledger| ledger.verifications.get(cx.step).map(|found| found.artifact.clone()))
}

/// Compares what was restored with what was dumped; equality earns the highest level, a difference fails.
fn compare(dumped: &Fingerprint, looked: &Looked, again: &Again<'_>, cx: &Cx<'_>) -> Result<(), StepError> {
    let Judged { proof, short } = prove(dumped, looked, Leeway::default(), again, cx)?;
    let difference = differences_in_words(&proof);
    cx.reports.note_all(proof.incomparable.iter().map(|left| format!("not compared: {left}")));
    note(cx, cx.step, |verification| {
        if proof.whole && difference.is_none() && short.is_none() {
            verification.level = Level::Proven;
        }
        verification.short = verification.short.take().or(short);
        verification.proof = Some(proof);
    });
    let hint = "this restore point does not give back what was dumped";
    difference.map_or(Ok(()), |difference| Err(StepError::new(Class::Verification, difference).hint(hint)))
}

/// A check that failed, for the reader.
pub(super) fn in_words(outcome: &CheckOutcome) -> String {
    format!("check failed: {outcome}")
}

/// What a server said, without the statement that was made of the check and the place that it was asked at.
fn said(error: PgError) -> String {
    if let PgError::Query { message, .. } = error { message } else { error.to_string() }
}

/// How checks are asked.
struct Ask<'a> {
    sql: &'a dyn Fn(&str) -> Result<Answer, String>,
    others: &'a dyn Fn(&str) -> Result<Vec<Other>, String>,
}

/// What was counted: `14 tables and 1 materialized view with 2080 rows`.
pub fn counted(tables: &[TableCount]) -> String {
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let views = tables.iter().filter(|table| table.materialized).count();
    let views = if views == 0 { String::new() } else { format!(", {}", count(views, "materialized view")) };
    let own = tables.iter().filter(|table| !table.materialized).count();
    format!("{}{views}, {}", count(own, "table"), count(rows, "row"))
}

fn summary(tables: &[TableCount], outcomes: &[CheckOutcome]) -> String {
    let passed = outcomes.iter().filter(|outcome| outcome.passed).count();
    let checks = if outcomes.is_empty() { String::new() } else { format!(", {passed} of {} passed", count(outcomes.len(), "check")) };
    format!("{}{checks}", counted(tables))
}

impl VerifyRestore {
    fn outcomes(&self, tables: &[TableCount], ask: &Ask<'_>) -> Vec<CheckOutcome> {
        let least = self.min_tables.map(|least| CheckOutcome {
            check: format!("at least {}", count(least, "table")),
            passed: tables.len() as u64 >= least,
            found: tables.len().to_string(),
        });
        least.into_iter().chain(self.checks.iter().map(|check| check.outcome(tables, ask))).collect()
    }
}

impl Check {
    fn outcome(&self, tables: &[TableCount], ask: &Ask<'_>) -> CheckOutcome {
        match (&self.sql, &self.row_count) {
            (Some(sql), _) => asked(sql, self.equals.as_ref(), (ask.sql)(sql)),
            (None, Some(bounds)) => bounds.outcome(tables, ask),
            (None, None) => CheckOutcome { check: "an empty check".to_owned(), passed: false, found: "nothing".to_owned() },
        }
    }
}

/// What came of a query that must answer true, or what is expected.
pub(super) fn asked(sql: &str, equals: Option<&Expected>, answer: Result<Answer, String>) -> CheckOutcome {
    let expected = equals.map_or_else(|| "t".to_owned(), ToString::to_string);
    let check = if equals.is_some() { format!("{sql} = {expected}") } else { sql.to_owned() };
    match answer {
        Ok(Answer::Value(answer)) => {
            CheckOutcome { check, passed: answer.as_deref() == Some(&expected), found: answer.unwrap_or_else(|| "null".to_owned()) }
        }
        Ok(Answer::Other(words)) => CheckOutcome { check, passed: false, found: format!("{words}; one row of one column is asked for") },
        Err(error) => CheckOutcome::unasked(check, &error),
    }
}

impl RowCount {
    fn outcome(&self, tables: &[TableCount], ask: &Ask<'_>) -> CheckOutcome {
        let named = |table: &&TableCount| table.table == self.table || format!("{}.{}", table.schema, table.table) == self.table;
        let found: Vec<&TableCount> = tables.iter().filter(named).collect();
        let bounds = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "any number of".to_owned(),
        };
        let check = format!("{} has {bounds} rows", self.table);
        let judged = |check: String, rows: u64| {
            let passed = self.min.is_none_or(|min| rows >= min) && self.max.is_none_or(|max| rows <= max);
            CheckOutcome { check, passed, found: rows.to_string() }
        };
        match found.as_slice() {
            [table] => judged(check, table.rows),
            [] => match (ask.others)(&self.table).as_deref() {
                Ok([Other::Partitioned(rows)]) => judged(check, *rows),
                Ok([Other::Uncounted(what)]) => CheckOutcome { check, passed: false, found: (*what).to_owned() },
                Ok([]) => CheckOutcome { check, passed: false, found: "no such table".to_owned() },
                Ok(many) => CheckOutcome { check, passed: false, found: format!("{} of that name; give the schema too", many.len()) },
                Err(why) => CheckOutcome::unasked(check, why),
            },
            many => CheckOutcome { check, passed: false, found: format!("{} tables of that name; give the schema too", many.len()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, table: &str, rows: u64) -> TableCount {
        TableCount { schema: schema.to_owned(), table: table.to_owned(), rows, materialized: false }
    }

    #[test]
    fn bounds_and_names_are_exact() {
        let tables = [table("public", "주문", 10), table("Sales", "Orders", 5), table("a", "x", 1), table("b", "x", 1)];
        let others = |name: &str| match name {
            "partitioned" => Ok(vec![Other::Partitioned(8)]),
            "view" => Ok(vec![Other::Uncounted("a view")]),
            "hidden" => Err("row-level security".to_owned()),
            _ => Ok(Vec::new()),
        };
        let ask = Ask { sql: &|_| Err("nobody asks".to_owned()), others: &others };
        let check = |name: &str, min, max| RowCount { table: name.to_owned(), min, max }.outcome(&tables, &ask);
        assert!(check("partitioned", Some(8), Some(8)).passed && !check("partitioned", Some(9), None).passed);
        assert_eq!(check("view", Some(0), None).found, "a view");
        assert_eq!(check("hidden", Some(0), None).to_string(), "hidden has at least 0 rows: could not be asked: row-level security");
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
        let passes = |check: Check, answer: Result<Answer, String>| {
            check.outcome(&[], &Ask { sql: &|_| answer.clone(), others: &|_| Ok(Vec::new()) }).passed
        };
        let value = |text: &str| Ok(Answer::Value(Some(text.to_owned())));
        assert!(passes(check(None), value("t")));
        assert!(!passes(check(None), value("1")), "an answer that is not true is not true");
        assert!(!passes(check(None), Ok(Answer::Value(None))));
        assert!(!passes(check(None), Ok(Answer::Other("2 columns: t, f".to_owned()))));
        assert!(!passes(check(None), Err("gone".to_owned())));
        assert!(passes(check(Some(super::super::Expected::Integer(3))), value("3")));
    }

    #[test]
    fn what_was_counted_is_told_by_its_kind() {
        let view = TableCount { materialized: true, ..table("public", "일별", 3) };
        assert_eq!(counted(&[table("public", "주문", 10), view]), "1 table, 1 materialized view, 13 rows");
        assert_eq!(summary(&[table("public", "주문", 1)], &[]), "1 table, 1 row");
    }
}
