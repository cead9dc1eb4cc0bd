//! What verifications found out about a restore point, oldest first, and what the newest complained of.

use std::fmt::Write;

use super::heading;
use crate::quantity::{brief, bytes};
use crate::render::points::level_style;
use crate::render::style::{BAD, GOOD, Paint, WARN};
use crate::step::counted;
use crate::store::catalog::Point;
use crate::store::manifest::{Proof, Receipt};
use crate::words::count;

pub(super) fn human(out: &mut String, found: &Point, paint: Paint) {
    heading(out, "verifications", paint);
    if found.receipts.is_empty() {
        out.push_str("    none: nobody has tried to restore it\n");
    }
    for receipt in &found.receipts {
        one(out, receipt, paint);
    }
    if let Some(why) = found.complaint() {
        let _ok = writeln!(out, "  {} its newest verification failed: {why}", paint.on(BAD, "!"));
    }
}

fn one(out: &mut String, receipt: &Receipt, paint: Paint) {
    let took = super::between(receipt.started, receipt.finished);
    let level = paint.on(level_style(Some(receipt.level)), &receipt.level.to_string());
    let _ok = writeln!(out, "    {} by {}: {level}, {} in {}", receipt.finished, receipt.step, receipt.key, brief(took));
    if let Some(restored) = restored(receipt) {
        let _ok = writeln!(out, "      {restored}");
    }
    if let Some(whose) = &receipt.opened_by {
        let _ok = writeln!(out, "      opened by {whose}");
    }
    for check in &receipt.checks {
        let (style, word) = if check.passed { (GOOD, "passed") } else { (BAD, "failed") };
        let _ok = writeln!(out, "      check {}: {check}", paint.on(style, word));
    }
    out.extend(receipt.proof.as_ref().map(|proof| compared(proof, paint)));
    if let Some(why) = &receipt.failure {
        let _ok = writeln!(out, "      {} {}", paint.on(BAD, "failed:"), why.replace('\n', "\n      "));
    }
}

/// What was restored, where, and how long that took.
fn restored(receipt: &Receipt) -> Option<String> {
    let took = brief(receipt.restore_took?);
    let server = receipt.server_version.map(|version| format!(" into PostgreSQL {}.{}", version / 10_000, version % 10_000));
    let size = receipt.database_bytes.map(|size| format!(", a database of {}", bytes(size)));
    let tables = (!receipt.tables.is_empty()).then(|| format!(", {}", counted(&receipt.tables)));
    Some(
        ["fetched and restored in ".to_owned(), took, server.unwrap_or_default(), size.unwrap_or_default(), tables.unwrap_or_default()]
            .concat(),
    )
}

fn compared(proof: &Proof, paint: Paint) -> String {
    let mut out = String::new();
    let what = if proof.whole { "contents and definitions" } else { "rows counted" };
    if proof.differences.is_empty() {
        let _ok = writeln!(out, "      {}: {what}", paint.on(GOOD, "everything compared is equal"));
    } else {
        let _ok = writeln!(out, "      {}: {what}", paint.on(BAD, &count(proof.differences.len(), "difference")));
    }
    for difference in &proof.differences {
        let _ok = writeln!(out, "      {} {difference}", paint.on(BAD, "≠"));
    }
    for what in &proof.incomparable {
        let _ok = writeln!(out, "      {} {what}", paint.on(WARN, "not compared:"));
    }
    out
}
