//! The difference of two restore points in Markdown, as GitHub and chats show it.

use std::fmt::Write;

use super::{Told, anomaly_count, changed, large_objects, object, overview, row, sequence, title, unjudged};
use crate::render::markdown::text;
use crate::words::count;

/// How many lines of one kind are shown: a comment has a limit, and a reader too.
const SHOWN: usize = 50;

/// A difference in Markdown.
pub fn markdown(told: &Told<'_>) -> String {
    let drift = told.drift;
    let mut out = format!("### {}: {}\n\n", text(drift.to.pipeline.as_str()), title(drift));
    if drift.anomalies.is_empty() {
        out.push_str("No anomaly.\n");
    } else {
        let _ok = writeln!(out, "**{}**\n", anomaly_count(drift));
    }
    for anomaly in &drift.anomalies {
        let _ok = writeln!(out, "- :warning: {} *({})*", text(&anomaly.what), anomaly.rule.words());
    }
    if !drift.unjudged.is_empty() {
        let _ok = writeln!(out, "\nNot judged: {}.", unjudged(&drift.unjudged));
    }
    if let Some(why) = told.closed {
        let _ok = writeln!(out, "\nThe tables could not be compared: {}.", text(why).replace('\n', " "));
    }
    out.push_str("\n| | before | now | |\n|---|---|---|---|\n");
    for [label, from, to, by] in overview(drift) {
        let _ok = writeln!(out, "| {label} | {} | {} | {by} |", text(&from), text(&to));
    }
    if let Some(changes) = &drift.changes {
        let tables: Vec<String> = changed(changes)
            .into_iter()
            .map(|table| {
                let [name, from, to, delta, percent, what] = row(table);
                format!("| {} | {from} | {to} | {delta} | {percent} | {what} |", text(&name))
            })
            .collect();
        let same = changes.tables.len() - tables.len();
        let _ok = writeln!(out, "\n{} changed, {same} as before.", count(tables.len(), "table"));
        if !tables.is_empty() {
            out.push_str("\n| table | rows before | now | | | |\n|---|--:|--:|--:|--:|---|\n");
            lines(&mut out, &tables);
        }
        let listed = |line: String| format!("- {}", text(&line));
        section(&mut out, "Objects", &changes.objects.iter().map(object).map(listed).collect::<Vec<_>>());
        section(&mut out, "Sequences", &changes.sequences.iter().map(sequence).map(listed).collect::<Vec<_>>());
        section(&mut out, "Large objects", &large_objects(changes).into_iter().map(listed).collect::<Vec<_>>());
        section(&mut out, "Not compared", &changes.incomparable.iter().map(|it| listed(it.to_string())).collect::<Vec<_>>());
    }
    out
}

fn section(out: &mut String, title: &str, all: &[String]) {
    if !all.is_empty() {
        let _ok = writeln!(out, "\n{title}:\n");
        lines(out, all);
    }
}

fn lines(out: &mut String, all: &[String]) {
    for line in all.iter().take(SHOWN) {
        let _ok = writeln!(out, "{line}");
    }
    if all.len() > SHOWN {
        let _ok = writeln!(out, "\n… and {} more.", all.len() - SHOWN);
    }
}
