//! The end of an `apply`, for the one who looks at it at three in the morning: what exists now, how good it is, how to use it.
//!
//! Made from the ledger's records; the level is the one earned, never a hope.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::event::outcome_words;
use super::recover;
use super::style::{BOLD, GOOD, Paint, WARN, columns, padded};
use crate::diagnostic::Failure;
use crate::event::Outcome;
use crate::ids::RunId;
use crate::plan::{Action, Plan};
use crate::postgres::quote::identifier;
use crate::quantity::{brief, bytes};
use crate::step::counted;
use crate::step::recovery::{in_words, warning};
use crate::store::manifest::{Artifact, Level, Recovery, TableCount};
use crate::words::count;

/// What there is to tell of a finished run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: std::time::Duration,
    /// The first failure.
    pub failure: Option<Failure>,
    /// What is known of the restore point; `None` when none was committed.
    pub level: Option<Level>,
    /// The objects stored.
    pub artifacts: Vec<Artifact>,
    /// The key of the manifest, once committed.
    pub manifest: Option<String>,
    /// The tables restored by the best verification.
    pub tables: Vec<TableCount>,
    /// How long fetching and restoring took in it.
    pub recovery: Option<Recovery>,
    /// A recovery that took longer than its objective allows.
    pub too_slow: Option<Recovery>,
    /// The level that the best verification earned.
    pub verified: Option<Level>,
    /// The levels that verifications earned on other major versions.
    pub others: Vec<(u16, Level)>,
    /// The database that a restore made.
    pub landed: Option<Landed>,
    /// Tables or rows that were brought into a database that was there.
    pub brought: Option<Brought>,
}

/// Tables or rows that were brought into a database that was there, or a patch that would bring them.
#[derive(Debug, Clone)]
pub struct Brought {
    /// Where it is: `backup@db1:5432/orders`.
    pub place: String,
    /// What was done to each table, or would be.
    pub tables: Vec<BroughtTable>,
    /// The patch, if it is one.
    pub patch: Option<PathBuf>,
    /// Whether it was done.
    pub done: bool,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// What was done to a table, or would be.
#[derive(Debug, Clone)]
pub struct BroughtTable {
    /// The table as SQL writes it, and which of its rows.
    pub table: String,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows set back.
    pub updated: u64,
    /// Rows deleted.
    pub deleted: u64,
}

/// A database that a restore made.
#[derive(Debug, Clone)]
pub struct Landed {
    /// Its name.
    pub database: String,
    /// Where it is: `backup@db1:5432/orders`.
    pub place: String,
    /// What the database is called now that had the name before, if there was one.
    pub kept: Option<String>,
    /// Whether that one was dropped.
    pub dropped: bool,
}

/// How many tables are told by name.
const SHOWN: usize = 20;

/// The summary in a terminal.
pub fn human(summary: &Summary, plan: &Plan, paint: Paint) -> String {
    let mut out = String::new();
    let (style, word) = outcome_words(summary.outcome);
    let _ok = writeln!(
        out,
        "{} {}: {} in {}",
        paint.on(style, "■"),
        paint.on(BOLD, plan.pipeline.as_str()),
        paint.on(style, word),
        brief(summary.took)
    );
    match summary.level {
        Some(level) => {
            let _ok = writeln!(out, "  restore point  {}", summary.run);
            let _ok =
                writeln!(out, "  level          {}", paint.on(if level >= Level::Restored { GOOD } else { BOLD }, &level.to_string()));
        }
        None if plan.makes_point() => out.push_str("  restore point  none was made\n"),
        None => {}
    }
    out.push_str(&landed(summary, plan, paint));
    for artifact in &summary.artifacts {
        out.push_str(&human_artifact(artifact, plan, summary.level.is_some()));
    }
    if !summary.tables.is_empty() {
        let _ok = writeln!(out, "  restored       {}", counted(&summary.tables));
        out.push_str(&largest(&summary.tables));
    }
    for (major, level) in &summary.others {
        let _ok =
            writeln!(out, "  PostgreSQL {major:<3} {}", paint.on(if *level >= Level::Restored { GOOD } else { BOLD }, &level.to_string()));
    }
    if let Some(recovery) = &summary.recovery {
        let _ok = writeln!(out, "  recovery       {}", in_words(recovery));
    }
    if let Some(warning) = summary.too_slow.as_ref().and_then(warning) {
        let _ok = writeln!(out, "  warning        {}", paint.on(WARN, &warning));
    }
    if let Some(failure) = &summary.failure {
        let _ok = writeln!(out, "  error          {}", failure.message.replace('\n', "\n                 "));
        out.extend(failure.hint.as_ref().map(|hint| format!("  help           {hint}\n")));
    }
    out
}

/// What a restore or a verification of an earlier run has made and found.
fn landed(summary: &Summary, plan: &Plan, paint: Paint) -> String {
    let mut out = String::new();
    if let Some(landed) = &summary.landed {
        let _ok = writeln!(out, "  database       {}", paint.on(BOLD, &landed.place));
        if let Some(kept) = &landed.kept {
            let _ok = if landed.dropped {
                writeln!(out, "  before         {kept} was dropped; the safety dump holds it")
            } else {
                let drop = format!("drop database {};", identifier(kept));
                writeln!(out, "  before         {kept} holds what was there before; when you are sure: {drop}")
            };
        }
    } else if let Some(brought) = &summary.brought {
        out.push_str(&human_brought(brought, paint));
    } else if plan.nodes.iter().any(|node| node.action == Action::Restore) {
        out.push_str("  database       none was made; what was there before is untouched\n");
    }
    if let Some(level) = summary.verified.filter(|_| !plan.makes_point() || summary.landed.is_some()) {
        let _ok = writeln!(out, "  found          {}", paint.on(if level >= Level::Restored { GOOD } else { BOLD }, &level.to_string()));
    }
    out
}

/// What was brought, table by table.
fn human_brought(brought: &Brought, paint: Paint) -> String {
    let mut out = String::new();
    let _ok = writeln!(out, "  {:<14} {}", if brought.done { "changed" } else { "would change" }, paint.on(BOLD, &brought.place));
    for BroughtTable { table, inserted, updated, deleted } in &brought.tables {
        let _ok = writeln!(out, "                 {table}: {inserted} inserted, {updated} set back, {deleted} deleted");
    }
    if brought.tables.is_empty() {
        out.push_str("                 nothing: all rows are as they were in the restore point\n");
    }
    for note in &brought.notes {
        let _ok = writeln!(out, "  note           {note}");
    }
    if let Some(patch) = &brought.patch {
        let words = if brought.done { "" } else { "; read it, then apply it: runner restore … --apply-patch FILE" };
        let _ok = writeln!(out, "  patch          {}{words}", patch.display());
    }
    out
}

/// The rows of each table, the largest first; of many tables only the first.
fn largest(tables: &[TableCount]) -> String {
    let mut sorted: Vec<&TableCount> = tables.iter().collect();
    sorted.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| (&a.schema, &a.table).cmp(&(&b.schema, &b.table))));
    let named: Vec<(String, String)> =
        sorted.iter().take(SHOWN).map(|table| (format!("{}.{}", table.schema, table.table), table.rows.to_string())).collect();
    let name = named.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
    let digits = named.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (table, rows) in &named {
        let _ok = writeln!(out, "                 {}  {rows:>digits$}", padded(table, name));
    }
    if tables.len() > SHOWN {
        let _ok = writeln!(out, "                 … and {}", count(tables.len() - SHOWN, "more table"));
    }
    out
}

fn human_artifact(artifact: &Artifact, plan: &Plan, committed: bool) -> String {
    let mut out = String::new();
    let place = plan.resources.stores.get(&artifact.store);
    let key = match place {
        Some(crate::store::StoreSpec::Local(spec)) => spec.path.join(&artifact.object.key).display().to_string(),
        _ => format!("{}: {}", artifact.store, artifact.object.key),
    };
    let _ok = writeln!(out, "  {:<14} {key}", artifact.origin.kind);
    let _ok = writeln!(out, "  {:<14} {} dumped, {} stored", "", bytes(artifact.origin.bytes), bytes(artifact.object.bytes));
    if let Some(place) = place.filter(|_| committed) {
        let _ok = writeln!(out, "  {:<14} {}", "without runner", recover::command(artifact, place));
    }
    out
}

fn recovery_json(recovery: &Recovery) -> Value {
    json!({
        "seconds": recovery.took.as_secs_f64(),
        "bytes": recovery.bytes,
        "bytes_per_second": recovery.bytes_per_second(),
        "rto_seconds": recovery.objective.map(|objective| objective.as_secs_f64()),
        "rto_met": recovery.objective.map(|_| recovery.missed_by().is_none()),
    })
}

/// The summary as JSON.
pub fn json(summary: &Summary, plan: &Plan) -> Value {
    let commands: Vec<Value> = summary
        .artifacts
        .iter()
        .filter_map(|artifact| {
            Some(json!({ "key": artifact.object.key, "command": recover::command(artifact, plan.resources.stores.get(&artifact.store)?) }))
        })
        .collect();
    json!({
        "pipeline": plan.pipeline,
        "run": summary.run,
        "outcome": summary.outcome,
        "level": summary.level,
        "seconds": summary.took.as_secs_f64(),
        "error": summary.failure,
        "manifest": summary.manifest,
        "artifacts": summary.artifacts,
        "verified": summary.verified,
        "other_majors": summary.others.iter().map(|(major, level)| (major.to_string(), json!(level))).collect::<serde_json::Map<_, _>>(),
        "recovery": summary.recovery.map(|recovery| recovery_json(&recovery)),
        "warnings": summary.too_slow.as_ref().and_then(warning).into_iter().collect::<Vec<_>>(),
        "database": summary.landed.as_ref().map(|landed| json!({ "name": landed.database, "place": landed.place, "kept": landed.kept, "kept_dropped": landed.dropped })),
        "brought": summary.brought.as_ref().map(|brought| json!({
            "place": brought.place, "patch": brought.patch, "done": brought.done, "notes": brought.notes,
            "tables": brought.tables.iter().map(|table| json!({
                "table": table.table, "inserted": table.inserted, "updated": table.updated, "deleted": table.deleted,
            })).collect::<Vec<_>>(),
        })),
        "tables": summary.tables,
        "restore_without_runner": commands,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_whatever_their_script_and_many_are_cut() {
        let table =
            |schema: &str, table: &str, rows| TableCount { schema: schema.to_owned(), table: table.to_owned(), rows, materialized: false };
        let few = [table("public", "lines", 7), table("물류", "배송", 12_000)];
        assert_eq!(largest(&few), "                 물류.배송     12000\n                 public.lines      7\n");
        let many: Vec<TableCount> = (0..23).map(|n| table("s", &format!("t{n:02}"), n)).collect();
        let told = largest(&many);
        assert!(told.starts_with("                 s.t22  22\n") && told.ends_with("… and 3 more tables\n"), "{told}");
    }
}
