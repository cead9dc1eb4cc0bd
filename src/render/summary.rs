//! The end of an `apply`, for the one who looks at it at three in the morning: what exists now, how good it is, how to use it.
//!
//! Made from the ledger's records; the level is the one earned, never a hope.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use jiff::Timestamp;

use super::event::outcome_words;
use super::style::{BOLD, GOOD, Paint, WARN, columns, padded};
use super::{back, recover};
use crate::diagnostic::Failure;
use crate::event::Outcome;
use crate::ids::{PipelineName, RefName, RunId, StepId};
use crate::plan::{Action, Plan};
use crate::postgres::quote::identifier;
use crate::quantity::{brief, bytes};
use crate::step::copy::too_few;
use crate::step::recovery::{in_words, warning};
use crate::step::{Restore, counted};
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
    /// Why it could not earn more.
    pub short: Option<String>,
    /// The levels that verifications earned on other major versions.
    pub others: Vec<(u16, Level)>,
    /// The restore points that were read.
    pub from: Vec<TakenFrom>,
    /// The database that a restore made.
    pub landed: Option<Landed>,
    /// Tables or rows that were brought into a database that was there.
    pub brought: Option<Brought>,
    /// Restore points that were copied to other stores.
    pub copies: Vec<CopiedPoint>,
    /// In how many stores the restore point lies, and in how many it must, when those are more.
    pub too_few_copies: Option<(usize, u8)>,
}

/// A restore point that is in another store now.
#[derive(Debug, Clone)]
pub struct CopiedPoint {
    /// The step that copied it.
    pub step: StepId,
    /// The point.
    pub run: RunId,
    /// The store that it was read from.
    pub from: RefName,
    /// The store that has it now.
    pub to: RefName,
    /// Its objects there.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it was there before.
    pub already: bool,
}

/// A restore point that was read.
#[derive(Debug, Clone)]
pub struct TakenFrom {
    /// The run that made it.
    pub run: RunId,
    /// The pipeline that it is of.
    pub pipeline: PipelineName,
    /// When its dump began: its data is not younger.
    pub data: Timestamp,
    /// How old that is now.
    pub age: std::time::Duration,
    /// The level that it had when it was found.
    pub level: Level,
    /// What its newest verification complained of then.
    pub complaint: Option<String>,
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
    let made = if plan.restores() { "safety dump" } else { "restore point" };
    for from in &summary.from {
        let _ok = writeln!(out, "  from           {} of {}, {} old, {}", from.run, from.pipeline, brief(from.age), from.level);
        if let Some(why) = &from.complaint {
            let _ok = writeln!(out, "  warning        {}", paint.on(WARN, &format!("its newest verification failed: {why}")));
        }
    }
    match summary.level {
        Some(level) => {
            let _ok = writeln!(out, "  {made:<13}  {}", summary.run);
            let _ok =
                writeln!(out, "  level          {}", paint.on(if level >= Level::Restored { GOOD } else { BOLD }, &level.to_string()));
        }
        None if plan.makes_point() => {
            let _ok = writeln!(out, "  {made:<13}  none was made");
        }
        None => {}
    }
    out.push_str(&landed(summary, plan, paint));
    for artifact in &summary.artifacts {
        out.push_str(&human_artifact(artifact, plan, summary.level.is_some()));
    }
    out.push_str(&copied(summary));
    out.push_str(&restored(summary, plan));
    for (major, level) in &summary.others {
        let _ok =
            writeln!(out, "  PostgreSQL {major:<3} {}", paint.on(if *level >= Level::Restored { GOOD } else { BOLD }, &level.to_string()));
    }
    if let Some(recovery) = &summary.recovery {
        let _ok = writeln!(out, "  recovery       {}", in_words(recovery));
    }
    for warning in warnings(summary) {
        let _ok = writeln!(out, "  warning        {}", paint.on(WARN, &warning));
    }
    if let Some(failure) = &summary.failure {
        let _ok = writeln!(out, "  error          {}", failure.message.replace('\n', "\n                 "));
        out.extend(failure.hint.as_ref().map(|hint| format!("  help           {hint}\n")));
    }
    out
}

/// What a careful reader wants to know although the run did its work.
fn warnings(summary: &Summary) -> Vec<String> {
    let slow = summary.too_slow.as_ref().and_then(warning);
    slow.into_iter().chain(summary.too_few_copies.map(too_few)).collect()
}

/// Where the restore point lies too, and which earlier ones were caught up.
fn copied(summary: &Summary) -> String {
    let mut out = String::new();
    for copy in &summary.copies {
        let which = if copy.run == summary.run { String::new() } else { format!("{} ", copy.run) };
        let how = if copy.already { ", there before" } else { ", read back" };
        let _ok = writeln!(out, "  copied         {which}to {}: {}, {}{how}", copy.to, count(copy.objects, "object"), bytes(copy.bytes));
    }
    out
}

/// The tables that were restored; where only some are brought from a scratch server, how many it held.
fn restored(summary: &Summary, plan: &Plan) -> String {
    if summary.tables.is_empty() {
        return String::new();
    }
    let all = counted(&summary.tables);
    if back::restore(plan).is_some_and(Restore::by_scratch) {
        return format!("  looked at      {all} of the restore point, in a scratch server\n");
    }
    format!("  restored       {all}\n{}", largest(&summary.tables))
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
        if let Some(renames) = back::renames(landed).filter(|_| summary.outcome != Outcome::Done) {
            let _ok = writeln!(out, "  go back        in psql, to database postgres: {renames}");
        }
    } else if let Some(brought) = &summary.brought {
        out.push_str(&human_brought(brought, paint));
    } else if plan.nodes.iter().any(|node| node.action == Action::Restore) {
        out.push_str("  database       none was made; what was there before is untouched\n");
    }
    if let Some(level) = summary.verified.filter(|_| !plan.makes_point() || plan.restores()) {
        let why = summary.short.as_ref().filter(|_| level == Level::Restored).map(|why| format!(": {why}")).unwrap_or_default();
        let _ok =
            writeln!(out, "  found          {}{why}", paint.on(if level >= Level::Restored { GOOD } else { BOLD }, &level.to_string()));
    }
    if let Some(command) = back::command(summary, plan).filter(|_| summary.level.is_some() && plan.restores()) {
        let _ok = writeln!(out, "  go back        {command}");
    }
    out
}

/// What was brought, table by table.
fn human_brought(brought: &Brought, paint: Paint) -> String {
    let mut out = String::new();
    let none = brought.tables.is_empty() && brought.patch.is_none();
    let word = if none {
        "unchanged"
    } else if brought.done {
        "changed"
    } else {
        "would change"
    };
    let _ok = writeln!(out, "  {word:<14} {}", paint.on(BOLD, &brought.place));
    for BroughtTable { table, inserted, updated, deleted } in &brought.tables {
        let _ok = writeln!(out, "                 {table}: {inserted} inserted, {updated} set back, {deleted} deleted");
    }
    if brought.tables.is_empty() {
        out.push_str("                 nothing differs: all rows are as they were in the restore point\n");
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
        "from": summary.from.iter().map(|from| json!({
            "run": from.run, "pipeline": from.pipeline, "data": from.data, "age_seconds": from.age.as_secs(), "level": from.level,
            "complaint": from.complaint,
        })).collect::<Vec<_>>(),
        "go_back": json!({
            "command": back::command(summary, plan).filter(|_| plan.restores()),
            "sql": summary.landed.as_ref().and_then(back::renames),
        }),
        "error": summary.failure,
        "manifest": summary.manifest,
        "artifacts": summary.artifacts,
        "verified": summary.verified,
        "verified_short_of": summary.short,
        "other_majors": summary.others.iter().map(|(major, level)| (major.to_string(), json!(level))).collect::<serde_json::Map<_, _>>(),
        "recovery": summary.recovery.map(|recovery| recovery_json(&recovery)),
        "warnings": warnings(summary),
        "copies": summary.copies.iter().map(|copy| json!({
            "step": copy.step, "run": copy.run, "from": copy.from, "store": copy.to, "objects": copy.objects, "bytes": copy.bytes, "already": copy.already,
        })).collect::<Vec<_>>(),
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
