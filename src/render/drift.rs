//! The difference of two restore points: in a terminal, in Markdown for a pull request or a chat, and as JSON.
//!
//! Tables that are as they were are counted and not listed, but in JSON. Nothing here judges: the anomalies come with the drift.

mod markdown;

use std::fmt::Write;

use serde_json::{Value, json};

pub use markdown::markdown;

use super::style::{BAD, BOLD, DIM, GOOD, Paint, WARN, columns, padded};
use crate::archive::changes::{Changes, ObjectChange, ObjectFate, SequenceChange, TableChange, TableFate};
use crate::drift::{Drift, Rule};
use crate::quantity::{brief, bytes};
use crate::store::recall::Recalled;
use crate::words::count;

/// A difference, and why it is not whole, if it is not.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// The difference.
    pub drift: &'a Drift,
    /// Why the tables could not be compared, and what to do.
    pub closed: Option<&'a str>,
}

/// A difference in a terminal.
pub fn human(told: &Told<'_>, paint: Paint) -> String {
    let drift = told.drift;
    let mut out = format!("{} {}\n", paint.on(BOLD, drift.to.pipeline.as_str()), title(drift));
    for [label, from, to, by] in overview(drift) {
        let arrow = if from.is_empty() { to } else { format!("{}{to}", if to == SAME { ", " } else { " → " }) };
        let by = if by.is_empty() { by } else { format!("  {}", paint.on(DIM, &by)) };
        let _ok = writeln!(out, "  {label:<9} {from}{arrow}{by}");
    }
    anomalies(&mut out, drift, paint);
    if let Some(why) = told.closed {
        let _ok = writeln!(out, "\n  {} the tables could not be compared: {why}", paint.on(WARN, "!"));
    }
    if let Some(changes) = &drift.changes {
        tables(&mut out, changes, paint);
        section(&mut out, "objects", changes.objects.iter().map(object), paint);
        section(&mut out, "sequences", changes.sequences.iter().map(sequence), paint);
        section(&mut out, "large objects", large_objects(changes).into_iter(), paint);
        section(&mut out, "not compared", changes.incomparable.iter().map(ToString::to_string), paint);
    }
    out
}

/// The two points and the time between them.
fn title(drift: &Drift) -> String {
    let (from, to) = (&drift.from.artifact.started, &drift.to.artifact.started);
    let apart = brief(std::time::Duration::try_from(to.duration_since(*from).abs()).unwrap_or_default());
    let word = if to < from { "earlier" } else { "later" };
    format!("{} → {} ({apart} {word})", drift.from.run, drift.to.run)
}

/// What the second side is when it is what the first one is.
const SAME: &str = "as before";

/// What the manifests tell: a word, both sides ([`SAME`] the second when they are alike), and by how much they differ.
fn overview(drift: &Drift) -> Vec<[String; 4]> {
    let (from, to) = (&drift.from, &drift.to);
    let sides = |word: &str, of: &dyn Fn(&Recalled) -> String| {
        let (was, is) = (of(from), of(to));
        let is = if was == is { SAME.to_owned() } else { is };
        [word.to_owned(), was, is, String::new()]
    };
    let by = |row: [String; 4], of: &dyn Fn(&Recalled) -> u64| {
        let [word, was, is, _] = row;
        [word, was, is, percent(of(from), of(to))]
    };
    let held = |of: fn(&crate::archive::Summary) -> u64| move |point: &Recalled| point.artifact.contents.as_ref().map_or(0, of);
    let mut rows = vec![
        sides("level", &|point| point.level.to_string()),
        by(sides("dumped", &|point| bytes(point.artifact.origin.bytes)), &|point| point.artifact.origin.bytes),
        by(sides("stored", &|point| bytes(point.artifact.object.bytes)), &|point| point.artifact.object.bytes),
    ];
    if from.artifact.contents.is_some() && to.artifact.contents.is_some() {
        rows.push(by(sides("rows", &|point| held(|it| it.rows)(point).to_string()), &held(|it| it.rows)));
        rows.push(sides("holds", &|point| {
            let (tables, objects) = (held(|it| it.tables)(point), held(|it| it.objects)(point));
            let (sequences, large) = (held(|it| it.sequences)(point), held(|it| it.large_objects)(point));
            let (sequences, large) = (count(sequences, "sequence"), count(large, "large object"));
            format!("{}, {}, {sequences}, {large}", count(tables, "table"), count(objects, "object"))
        }));
    }
    rows.push(sides("left out", &|point| left_out(point)));
    rows.push(sides("server", &|point| {
        let version = point.artifact.origin.server_version;
        format!("PostgreSQL {}.{}", version / 10_000, version % 10_000)
    }));
    rows.push(sides("tool", &|point| point.artifact.origin.tool.clone()));
    if let Some(same) = drift.same {
        let word = if same { "the same: equal digests of everything dumped" } else { "not the same" };
        rows.push(["content".to_owned(), String::new(), word.to_owned(), String::new()]);
    }
    rows
}

fn left_out(point: &Recalled) -> String {
    match &point.artifact.completeness {
        None => "nobody looked".to_owned(),
        Some(found) if found.unchecked.is_some() => "nobody could tell".to_owned(),
        Some(found) if found.left_out.is_empty() => "nothing".to_owned(),
        Some(found) => found.left_out.iter().map(|group| format!("{} {}", group.count, group.kind)).collect::<Vec<_>>().join(", "),
    }
}

fn anomalies(out: &mut String, drift: &Drift, paint: Paint) {
    out.push('\n');
    if drift.anomalies.is_empty() {
        let _ok = writeln!(out, "  {}", paint.on(GOOD, "no anomaly"));
    } else {
        let _ok = writeln!(out, "  {}", paint.on(BOLD, &anomaly_count(drift)));
    }
    for anomaly in &drift.anomalies {
        let _ok = writeln!(out, "  {} {}  {}", paint.on(BAD, "!"), anomaly.what, paint.on(DIM, &format!("({})", anomaly.rule.words())));
    }
    if !drift.unjudged.is_empty() {
        let _ok = writeln!(out, "  {} {}", paint.on(WARN, "not judged:"), unjudged(&drift.unjudged));
    }
}

fn anomaly_count(drift: &Drift) -> String {
    match drift.anomalies.len() {
        1 => "1 anomaly".to_owned(),
        several => format!("{several} anomalies"),
    }
}

fn unjudged(rules: &[Rule]) -> String {
    rules.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", ")
}

/// The tables that are not as they were, and how many are.
fn tables(out: &mut String, changes: &Changes, paint: Paint) {
    let listed = changed(changes);
    let same = changes.tables.len() - listed.len();
    let title = match (listed.len(), same) {
        (0, same) => format!("{}, all as before", count(same, "table")),
        (several, same) => format!("{} changed, {same} as before", count(several, "table")),
    };
    let _ok = writeln!(out, "\n  {}", paint.on(BOLD, &title));
    let rows: Vec<[String; 6]> = listed.into_iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for [name, from, to, delta, percent, what] in &rows {
        let numbers = format!("{from:>0$} → {to:>1$}  {delta:>2$}  {percent:>3$}", widths[1], widths[2], widths[3], widths[4]);
        let _ok = writeln!(out, "    {}  {numbers}  {what}", padded(name, widths[0]));
    }
}

fn changed(changes: &Changes) -> Vec<&TableChange> {
    changes.tables.iter().filter(|table| table.change != TableFate::Unchanged).collect()
}

/// A table in words: its name, rows before and now, by how much and by how many percent, and what happened.
fn row(table: &TableChange) -> [String; 6] {
    let rows = |side: Option<crate::archive::changes::Extent>| side.map_or("·".to_owned(), |extent| extent.rows.to_string());
    let (delta, share) = match (table.from, table.to) {
        (Some(from), Some(to)) => (delta(from.rows, to.rows), percent(from.rows, to.rows)),
        _ => (String::new(), String::new()),
    };
    let size = match (table.from, table.to) {
        (Some(from), Some(to)) if from.bytes != to.bytes => format!("{} → {}", bytes(from.bytes), bytes(to.bytes)),
        (Some(from), None) => bytes(from.bytes),
        (_, Some(to)) => bytes(to.bytes),
        (None, None) => String::new(),
    };
    let what = match table.change {
        TableFate::Unchanged => "as before",
        TableFate::Rows => "",
        TableFate::Values => "other values",
        TableFate::Columns => "other columns",
        TableFate::Added => "new",
        TableFate::Removed => "gone",
        TableFate::DataIncluded => "its data is dumped now",
        TableFate::DataLeftOut => "its data is no longer dumped",
    };
    let what = if what.is_empty() { size } else { format!("{size}, {what}") };
    [name(table), rows(table.from), rows(table.to), delta, share, what]
}

fn name(table: &TableChange) -> String {
    table.table.schema.as_ref().map_or_else(|| table.table.name.clone(), |schema| format!("{schema}.{}", table.table.name))
}

fn object(change: &ObjectChange) -> String {
    let object = &change.object;
    match &change.change {
        ObjectFate::Added => format!("+ {object}"),
        ObjectFate::Removed => format!("- {object}"),
        ObjectFate::Redefined => format!("~ {object} is defined differently"),
        ObjectFate::Owner { from, to } => {
            let name = |owner: &Option<String>| owner.clone().unwrap_or_else(|| "nobody".to_owned());
            format!("~ {object} belongs to {} instead of {}", name(to), name(from))
        }
    }
}

fn sequence(change: &SequenceChange) -> String {
    let words = |value: Option<(i64, bool)>| match value {
        Some((value, true)) => value.to_string(),
        Some((value, false)) => format!("{value}, not yet given out"),
        None => "not in the dump".to_owned(),
    };
    format!("{}  {} → {}", change.sequence, words(change.from), words(change.to))
}

fn large_objects(changes: &Changes) -> Option<String> {
    let change = changes.large_objects?;
    let words = |side: crate::archive::LargeObjects| format!("{} of {}", side.count, bytes(side.bytes));
    let same = (change.from.count, change.from.bytes) == (change.to.count, change.to.bytes);
    Some(if same { format!("{}, other content", words(change.to)) } else { format!("{} → {}", words(change.from), words(change.to)) })
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>, paint: Paint) {
    for (at, line) in lines.enumerate() {
        if at == 0 {
            let _ok = writeln!(out, "\n  {}", paint.on(BOLD, title));
        }
        let _ok = writeln!(out, "    {line}");
    }
}

/// `+3`, `-60`, `0`.
fn delta(from: u64, to: u64) -> String {
    match i128::from(to) - i128::from(from) {
        0 => "0".to_owned(),
        more => format!("{more:+}"),
    }
}

/// By how many percent, with a sign and one decimal; empty where nothing changed or there was nothing.
fn percent(from: u64, to: u64) -> String {
    if from == 0 || from == to {
        return String::new();
    }
    let tenths = (u128::from(from.abs_diff(to)) * 1000 + u128::from(from) / 2) / u128::from(from);
    format!("{}{}.{} %", if to < from { '-' } else { '+' }, tenths / 10, tenths % 10)
}

/// A difference as JSON, tables as they were included.
pub fn json(told: &Told<'_>) -> Value {
    let drift = told.drift;
    let rules: serde_json::Map<String, Value> = Rule::ALL.iter().map(|rule| (rule.name().to_owned(), rule.words().into())).collect();
    json!({
        "version": 1,
        "pipeline": drift.to.pipeline,
        "from": drift.from,
        "to": drift.to,
        "same": drift.same,
        "changes": drift.changes,
        "closed": told.closed,
        "anomalies": drift.anomalies,
        "unjudged": drift.unjudged,
        "rules": rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_and_signed() {
        for (from, to, expected) in [
            (100, 40, "-60.0 %"),
            (3, 4, "+33.3 %"),
            (1000, 999, "-0.1 %"),
            (0, 5, ""),
            (5, 5, ""),
            (1, u64::MAX, "+1844674407370955161400.0 %"),
        ] {
            assert_eq!(percent(from, to), expected);
        }
        assert_eq!([delta(5, 5), delta(5, 2), delta(0, u64::MAX)], ["0", "-3", "+18446744073709551615"]);
    }
}
