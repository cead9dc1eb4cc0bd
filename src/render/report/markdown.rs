//! The report as Markdown, for the summary of a CI job: the overview, the objectives, and what failed. It judges nothing.

use std::fmt::Write;

use super::moment::Moment;
use super::objectives;
use super::overview::{self, Row};
use super::points::known;
use super::section::failures;
use super::{Report, Subject};
use crate::render::markdown::text;
use crate::status::Light;

/// With more pipelines, only those are told at length that are not good.
const AT_LENGTH: usize = 10;

/// How many failures are told of each.
const FAILURES: usize = 5;

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let words = report.language.labels();
    let worst = report.worst_first();
    let made = report.at.strftime("%Y-%m-%d %H:%M UTC");
    let mut out = format!("## {}\n\n{}. {} {made}, runner {}\n", words.title, overview::tally(report), words.made, text(&report.runner));
    if !worst.is_empty() {
        let heads = [words.state, words.pipeline, words.newest, words.level, words.proof, words.next];
        let _ok = writeln!(out, "\n| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len()));
    }
    for subject in &worst {
        line(&mut out, &overview::row(report, subject, String::new()), words.never);
    }
    if !report.others.is_empty() {
        let names: Vec<String> = report.others.iter().map(|name| text(name.as_str())).collect();
        let _ok = writeln!(out, "\n{} {}", words.others, names.join(", "));
    }
    let shown = |subject: &&&Subject| report.subjects.len() <= AT_LENGTH || subject.status.light != Light::Good;
    for subject in worst.iter().filter(shown) {
        at_length(&mut out, report, subject);
    }
    out
}

/// A sign that is told apart without colour.
const fn sign(class: &str) -> &'static str {
    match class.as_bytes() {
        b"good" => "✅",
        b"attention" => "⚠️",
        _ => "❌",
    }
}

fn line(out: &mut String, row: &Row, never: &str) {
    let moment = |moment: &Option<Moment>| {
        moment.as_ref().map_or_else(|| never.to_owned(), |moment| format!("{} ({})", text(&moment.text), moment.away))
    };
    let level = row.level.as_ref().map_or(never, |level| level.word);
    let next = row.next.as_ref().map_or_else(|| "–".to_owned(), |next| format!("{} ({})", text(&next.text), next.away));
    let light = format!("{} {}", sign(row.light.class), row.light.word);
    let _ok = writeln!(out, "| {light} | **{}** | {} | {level} | {} | {next} |", text(&row.name), moment(&row.newest), moment(&row.proof));
}

fn at_length(out: &mut String, report: &Report, subject: &Subject) {
    let (words, clock) = (report.language.labels(), overview::clock(report, subject));
    let light = overview::light(subject.status.light, &clock);
    let _ok = writeln!(out, "\n### {} {} — {}", sign(light.class), text(subject.status.pipeline.as_str()), light.word);
    for (number, matter) in overview::matters(subject, &clock).iter().enumerate() {
        let _ok = writeln!(out, "{}- {}", if number == 0 { "\n" } else { "" }, text(matter));
    }
    let rows = objectives::rows(&subject.status, &clock);
    if !rows.is_empty() {
        let heads = [words.objective, words.wanted, words.found, words.verdict];
        let _ok = writeln!(out, "\n| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len()));
    }
    for row in rows {
        let verdict = if row.state == "missed" { format!("**{}**", row.verdict) } else { row.verdict.to_owned() };
        let _ok = writeln!(out, "| {} (`{}`) | {} | {} | {verdict} |", row.name, row.key, text(&row.wanted), text(&row.found));
    }
    let failures = failures(subject, &known(&subject.status), &clock);
    if !failures.is_empty() {
        let heads = [words.when, words.run, words.what, words.error];
        let _ok = writeln!(out, "\n{}\n\n| {} |\n|{}", words.failures, heads.join(" | "), "---|".repeat(heads.len()));
    }
    for failure in failures.iter().take(FAILURES) {
        let host = failure.host.as_ref().map(|host| format!(" ({})", text(host))).unwrap_or_default();
        let _ok = writeln!(out, "| {} | {}{host} | {} | {} |", failure.at.text, failure.run, failure.what, text(&failure.error));
    }
}
