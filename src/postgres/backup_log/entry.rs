//! A row of the backup log, and how it is written as SQL.
//!
//! This file talks to no server.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::postgres::quote::literal;

/// The columns that a row fills, in the order of [`Entry::values`].
pub(super) const FILLED: &str = "run_id, pipeline, type, key, store, size_bytes, plain_bytes, started_at, finished_at, duration, status, \
                                 error, level, verified_at, uploaded, host, runner_version";

/// How what a row tells of has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should.
    Success,
    /// As it should, but for steps whose failure is only a warning.
    Warned,
    /// It failed, or was stopped.
    Failed,
}

impl Status {
    /// The word in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Warned => "warned",
            Self::Failed => "failed",
        }
    }
}

/// One row: an object that a run stored, or a run that stored none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The run.
    pub run: String,
    /// Its pipeline.
    pub pipeline: String,
    /// What it is: `dump`, `globals`, `verify`, `restore` or `run`.
    pub kind: String,
    /// The object's key; empty where nothing was stored.
    pub key: String,
    /// The store's name; empty where nothing was stored.
    pub store: String,
    /// Bytes stored.
    pub size_bytes: Option<u64>,
    /// Bytes the tool produced.
    pub plain_bytes: Option<u64>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
    /// The level earned, as a word; `None` for what is no restore point.
    pub level: Option<String>,
    /// When a verification last succeeded.
    pub verified: Option<Timestamp>,
    /// Whether its object is in the store, as far as was seen last.
    pub uploaded: bool,
    /// The host that ran it; empty where nobody told.
    pub host: String,
    /// The version of `runner` that ran it; empty where nobody told.
    pub runner: String,
    /// Errors of verifications that are true no more. No column: a row that has one of them takes over status and error.
    pub answered: Vec<String>,
}

impl Entry {
    /// What makes it one row, however often it is recorded.
    fn identity(&self) -> (&str, &str, &str, &str) {
        (&self.run, &self.kind, &self.store, &self.key)
    }

    /// The row as a tuple of SQL constants, each with the type of its column.
    fn values(&self) -> String {
        let values = [
            text(&self.run),
            text(&self.pipeline),
            text(&self.kind),
            text(&self.key),
            text(&self.store),
            number(self.size_bytes),
            number(self.plain_bytes),
            time(Some(self.started)),
            time(Some(self.finished)),
            format!("({} - {})", time(Some(self.finished)), time(Some(self.started))),
            text(self.status.word()),
            maybe(self.error.as_deref()),
            maybe(self.level.as_deref()),
            time(self.verified),
            self.uploaded.to_string(),
            text(&self.host),
            text(&self.runner),
        ];
        format!("({})", values.join(", "))
    }
}

/// The tuples of rows, each row once: one statement can not write the same row twice, and the last has the newest word.
pub(super) fn tuples(entries: &[Entry]) -> Vec<String> {
    let last: BTreeMap<_, _> = entries.iter().map(|entry| (entry.identity(), entry)).collect();
    last.into_values().map(Entry::values).collect()
}

/// A text as a constant. PostgreSQL's texts hold every character but NUL.
pub(super) fn text(value: &str) -> String {
    literal(&value.replace('\0', "\u{fffd}"))
}

pub(super) fn maybe(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), text)
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "null::bigint".to_owned(), |value| i64::try_from(value).unwrap_or(i64::MAX).to_string())
}

pub(super) fn time(value: Option<Timestamp>) -> String {
    value.map_or_else(|| "null::timestamptz".to_owned(), |value| format!("'{value}'::timestamptz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_once_with_its_last_word_and_holds_any_text() {
        let at: Timestamp = "2026-11-20T02:17:00Z".parse().unwrap();
        let entry = Entry {
            run: "r".to_owned(),
            pipeline: "주문's".to_owned(),
            kind: "dump".to_owned(),
            key: String::new(),
            store: String::new(),
            size_bytes: None,
            plain_bytes: Some(7),
            started: at,
            finished: at,
            status: Status::Failed,
            error: Some("a\\b\0c".to_owned()),
            level: None,
            verified: None,
            uploaded: false,
            host: "h".to_owned(),
            runner: "0".to_owned(),
            answered: Vec::new(),
        };
        let later = Entry { status: Status::Success, ..entry.clone() };
        let tuples = tuples(&[entry, later]);
        assert_eq!(tuples.len(), 1);
        for part in ["'주문''s'", "E'a\\\\b\u{fffd}c'", "'success'", "null::bigint, 7,"] {
            assert!(tuples[0].contains(part), "{part} is missing in {}", tuples[0]);
        }
    }
}
