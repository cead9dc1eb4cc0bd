//! A plan for people: in a terminal, and as Markdown for a pull request.
//!
//! Both show every node with its steps, its action and its reason; JSON is the plan itself. Nothing here decides.

use std::fmt::Write;

use super::style::{BAD, BOLD, DIM, GOOD, NAME, Paint, WARN, columns, padded};
use crate::diagnostic::Severity;
use crate::ids::RefName;
use crate::plan::{Action, ConnectionFacts, Finding, Node, Plan, Reach, StoreFacts, ToolFacts};
use crate::postgres::ConnectionSpec;
use crate::postgres::target::TargetFacts;
use crate::quantity::bytes;
use crate::retention;
use crate::secret::Presence;
use crate::step::{Effect, Format, Sink, Source, Staged, Work};
use crate::store::StoreSpec;
use crate::words::count;

/// The widest that the column of names gets, in columns of a terminal.
const NAMES: usize = 24;

/// A plan in a terminal.
pub fn human(plan: &Plan, paint: Paint) -> String {
    let mut out = String::new();
    let about = plan.description.as_ref().map(|words| format!(" — {words}")).unwrap_or_default();
    let _ok = writeln!(out, "{}{about}", paint.on(BOLD, plan.pipeline.as_str()));
    let head = head(plan);
    let width = head.iter().map(|(name, _)| columns(name)).max().unwrap_or(0).clamp(11, NAMES);
    for (name, value) in head {
        let _ok = writeln!(out, "  {}  {value}", paint.on(DIM, &padded(&name, width)));
    }
    for node in &plan.nodes {
        out.push('\n');
        out.push_str(&human_node(node, paint));
    }
    if !plan.findings.is_empty() {
        out.push('\n');
    }
    for finding in &plan.findings {
        out.push_str(&human_finding(finding, paint));
    }
    let _ok = writeln!(out, "\n{}", paint.on(BOLD, &sum(plan)));
    out
}

/// The lines above the nodes: where things are and what is known of them.
fn head(plan: &Plan) -> Vec<(String, String)> {
    let mut lines = vec![("source".to_owned(), source(plan))];
    if let Some(schedule) = &plan.schedule {
        let next = schedule.next.and_then(|next| next.in_tz(&plan.timezone).ok());
        let next = next.map(|next| format!(", next {}", next.strftime("%Y-%m-%d %H:%M"))).unwrap_or_default();
        lines.push(("schedule".to_owned(), format!("{} ({}){next}", schedule.cron, plan.timezone)));
    }
    let objectives = objectives(plan);
    if !objectives.is_empty() {
        lines.push(("objectives".to_owned(), objectives.join(", ")));
    }
    let only_target = |name: &RefName| !plan.observed.offline && !plan.observed.connections.contains_key(name);
    for (name, spec) in plan.resources.connections.iter().filter(|(name, _)| !only_target(name)) {
        lines.push((name.to_string(), connection(spec, plan.observed.connections.get(name))));
    }
    for (step, reach) in &plan.observed.targets {
        lines.push((step.to_string(), reach.facts().map_or_else(|| "not reached; see below".to_owned(), target)));
    }
    for (name, spec) in &plan.resources.stores {
        lines.push((name.to_string(), store(spec, plan.observed.stores.get(name))));
    }
    for name in plan.resources.secrets.keys() {
        let presence = plan.observed.secrets.get(name).copied().unwrap_or(Presence::Unknown);
        let word = match presence {
            Presence::Present => "secret, present",
            Presence::Missing => "secret, missing",
            Presence::Unknown => "secret, not looked at",
        };
        lines.push((name.to_string(), word.to_owned()));
    }
    lines
}

/// What the backups must achieve, those things that are asked for.
fn objectives(plan: &Plan) -> Vec<String> {
    let wanted = &plan.objectives;
    let words = [
        wanted.rpo.map(|rpo| format!("RPO {rpo}")),
        wanted.rto.map(|rto| format!("RTO {rto}")),
        wanted.copies.map(|copies| if copies == 1 { "1 copy".to_owned() } else { format!("{copies} copies") }),
        wanted.verified_every.map(|every| format!("proven every {every}")),
        wanted.min_size.map(|least| format!("at least {}", bytes(least.bytes()))),
        wanted.max_shrink.map(|most| format!("at most {most} smaller")),
    ];
    words.into_iter().flatten().collect()
}

fn source(plan: &Plan) -> String {
    let commit = plan.observed.git_commit.as_ref().map(|commit| {
        let (id, dirty) = commit.split_once('-').map_or((commit.as_str(), ""), |(id, _)| (id, ", changed since"));
        format!(" at {}{dirty}", id.get(..12).unwrap_or(id))
    });
    format!("{}{}", plan.source.path, commit.unwrap_or_default())
}

fn connection(spec: &ConnectionSpec, reach: Option<&Reach<ConnectionFacts>>) -> String {
    match reach {
        Some(Reach::Reached(facts)) => connection_facts(facts),
        Some(Reach::Failed { .. }) => "not reached; see below".to_owned(),
        None => match spec {
            ConnectionSpec::Postgres(_) => "PostgreSQL, not looked at".to_owned(),
            ConnectionSpec::Embedded(spec) => match spec.version {
                Some(major) => format!("embedded PostgreSQL {major}"),
                None => "embedded PostgreSQL".to_owned(),
            },
        },
    }
}

/// Where a restore goes, and what is there now.
fn target(facts: &TargetFacts) -> String {
    let there = facts.existing.as_ref().map(|existing| format!(", where {} is now", bytes(existing.bytes)));
    let left = facts.left.as_ref().filter(|left| left.ours).map(|left| format!(", {} of an unfinished restore goes", left.name));
    let version = facts.server_version;
    format!(
        "into {}, server {}.{}{}{}",
        facts.place,
        version / 10_000,
        version % 10_000,
        there.unwrap_or_default(),
        left.unwrap_or_default()
    )
}

fn connection_facts(facts: &ConnectionFacts) -> String {
    let mut words = vec![facts.place.clone()];
    if facts.database_bytes.is_some() {
        words.push(format!("server {}.{}", facts.server_version / 10_000, facts.server_version % 10_000));
    }
    words.extend(facts.database_bytes.map(bytes));
    words.extend(facts.tables.map(|tables| count(tables, "table")));
    if let ToolFacts::Found { version, .. } = &facts.tools {
        words.push(version.replace(" (PostgreSQL)", ""));
    }
    words.join(", ")
}

fn store(spec: &StoreSpec, reach: Option<&Reach<StoreFacts>>) -> String {
    match (reach, spec) {
        (Some(Reach::Reached(facts)), _) => {
            let free = facts.free_bytes.map(|free| format!(", {} free", bytes(free))).unwrap_or_default();
            let probe = facts.create_only.map(|_| ", probed: write, read, delete").unwrap_or_default();
            format!("{}{free}{probe}", facts.place)
        }
        (Some(Reach::Failed { .. }), _) => "not reached; see below".to_owned(),
        (None, StoreSpec::Local(spec)) => spec.path.display().to_string(),
        (None, StoreSpec::S3(spec)) => format!("s3://{}/{}", spec.bucket, spec.prefix).trim_end_matches('/').to_owned(),
    }
}

/// The sign before a node, as in a diff.
const fn sign(action: Action) -> &'static str {
    match action {
        Action::Store | Action::Commit | Action::Copy | Action::Restore => "+",
        Action::Verify | Action::Ask => "?",
        Action::Replace | Action::Act | Action::Prune => "!",
        Action::Tell => ">",
        Action::Skip => "-",
    }
}

fn human_node(node: &Node, paint: Paint) -> String {
    let style = match node.action {
        Action::Store | Action::Commit | Action::Copy | Action::Restore => GOOD,
        Action::Replace | Action::Prune => BAD,
        Action::Verify | Action::Ask | Action::Tell => NAME,
        Action::Act => WARN,
        Action::Skip => DIM,
    };
    let mut out = String::new();
    let _ok = writeln!(out, "  {} {}{}", paint.on(style, sign(node.action)), paint.on(BOLD, &title(node)), fused(node));
    let width = node.steps.iter().map(|step| step.uses.chars().count()).max().unwrap_or(0).max(8);
    for destroyed in &node.destroys {
        let _ok = writeln!(out, "  {}     {}", paint.on(BAD, "!"), paint.on(BAD, destroyed));
    }
    for step in &node.steps {
        let _ok = writeln!(out, "      {:<width$}  {}", step.uses, step.words);
    }
    for (name, value) in details(node) {
        let _ok = writeln!(out, "      {:<width$}  {value}", paint.on(DIM, &format!("{name:<width$}")));
    }
    out
}

/// The steps of a node as one word: `dump → compress → upload`.
fn title(node: &Node) -> String {
    let mut ids: Vec<&str> = node.steps.iter().map(|step| step.id.as_str()).collect();
    ids.dedup();
    if ids.len() > 1 { ids.join(" → ") } else { node.id.as_str().trim_start_matches(':').to_owned() }
}

fn fused(node: &Node) -> &'static str {
    match &node.work {
        Work::Flow(_) => "   (one pass)",
        Work::Effect(_) => "",
    }
}

fn details(node: &Node) -> Vec<(&'static str, String)> {
    let mut details = Vec::new();
    if let Some(target) = &node.target {
        details.push(("object", format!("{}: {}", target.store, target.key)));
    }
    if let Some(expected) = node.expected_bytes {
        details.push(("expects", format!("about {} or less", bytes(expected))));
    }
    details.extend(node.left_out.clone().map(|words| ("left out", words)));
    details.extend(scratch(node).map(|words| ("scratch", words)));
    let retry = count(node.retry.attempts.max(1), "attempt");
    let timeout = node.timeout.map(|timeout| format!(", each at most {timeout}")).unwrap_or_default();
    if node.action != Action::Skip {
        details.push(("policy", format!("{retry}{timeout}")));
    }
    details.push(("because", node.reason.clone()));
    details
}

/// What a node keeps on scratch disk while it runs; a streamed dump keeps nothing.
fn scratch(node: &Node) -> Option<String> {
    let Work::Flow(flow) = &node.work else { return None };
    let size =
        |times: u64| node.expected_bytes.map_or_else(String::new, |expected| format!(", about {}", bytes(expected.saturating_mul(times))));
    match (&flow.source.part, &flow.sink.part) {
        (Source::Dump(dump), _) if dump.format == Format::Directory => {
            Some(format!("the dump is staged there before it is sent{}", size(1)))
        }
        (_, Sink::Load(_)) => Some(format!("the unpacked archive{}", size(1))),
        (_, Sink::Restore(_)) => Some(format!("the unpacked archive and the restored database{}", size(2))),
        _ => None,
    }
}

fn human_finding(finding: &Finding, paint: Paint) -> String {
    let (word, style) = match finding.severity {
        Severity::Error => ("error", BAD),
        Severity::Warning => ("warning", WARN),
    };
    let help = finding.help.as_ref().map(|help| format!("\n    help: {help}")).unwrap_or_default();
    format!("  {}: {}: {}{help}\n", paint.on(style, word), finding.subject, finding.message)
}

/// What the plan comes to, in one line.
pub fn sum(plan: &Plan) -> String {
    let count = |action: Action| plan.nodes.iter().filter(|node| node.action == action).count();
    let verifications = plan.nodes.iter().filter(|node| node.action == Action::Verify && node.target.is_some()).count();
    let loads = |node: &&Node| matches!(&node.work, Work::Flow(flow) if matches!(flow.sink.part, Sink::Load(_)));
    let restores = plan.nodes.iter().filter(loads).count();
    let parts = [
        (count(Action::Store), "object to store", "objects to store"),
        (count(Action::Commit), "restore point to commit", "restore points to commit"),
        (copied(plan), "restore point to copy", "restore points to copy"),
        (verifications, "verification", "verifications"),
        (restores, "database to restore", "databases to restore"),
        (count(Action::Replace), "database to replace", "databases to replace"),
        (pruned(plan, retention::Action::Tombstone), "restore point to mark for deletion", "restore points to mark for deletion"),
        (pruned(plan, retention::Action::Delete), "restore point to delete", "restore points to delete"),
        (count(Action::Act), "action outside the stores", "actions outside the stores"),
        (count(Action::Ask), "question", "questions"),
        (count(Action::Tell), "notification", "notifications"),
        (count(Action::Skip), "node to skip", "nodes to skip"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect();
    let blocked = if plan.blocked().is_some() { " It can not be applied: see the errors above." } else { "" };
    format!("Plan: {}.{blocked}", words.join(", "))
}

/// How many restore points a plan copies, as far as is known.
fn copied(plan: &Plan) -> usize {
    let of = |node: &Node| match &node.work {
        Work::Effect(Staged { part: Effect::Copy(work), .. }) => usize::from(work.own) + work.missed.as_ref().map_or(0, Vec::len),
        _ => 0,
    };
    plan.nodes.iter().map(of).sum()
}

/// How many restore points a plan does this to.
fn pruned(plan: &Plan, action: retention::Action) -> usize {
    let of = |node: &Node| match &node.work {
        Work::Effect(Staged { part: Effect::Prune(work), .. }) => work.stores.iter().map(|store| store.count(action)).sum(),
        _ => 0,
    };
    plan.nodes.iter().map(of).sum()
}

/// A plan as Markdown, for a pull request.
pub fn markdown(plan: &Plan) -> String {
    let mut out = String::new();
    let about = plan.description.as_ref().map(|words| format!("\n{}\n", escaped(words))).unwrap_or_default();
    let _ok = writeln!(out, "### Backup plan: `{}`\n{about}", plan.pipeline);
    let _ok = writeln!(out, "| | node | steps | object | because |\n|---|---|---|---|---|");
    for node in &plan.nodes {
        let mut steps: Vec<String> = node.steps.iter().map(|step| format!("**{}** {}", step.uses, escaped(&step.words))).collect();
        steps.extend(node.left_out.as_ref().map(|words| format!("**left out** {}", escaped(words))));
        let destroyed = node.destroys.iter().map(|words| format!("<br>**! {}**", escaped(words))).collect::<Vec<_>>().concat();
        let object = node.target.as_ref().map(|target| format!("{}: `{}`", target.store, target.key)).unwrap_or_default();
        let _ok = writeln!(
            out,
            "| `{}` | {} | {} | {object} | {} |",
            sign(node.action),
            escaped(&title(node)),
            steps.join("<br>"),
            escaped(&node.reason) + destroyed.as_str()
        );
    }
    out.push('\n');
    for (name, value) in head(plan) {
        let _ok = writeln!(out, "- {name}: {}", escaped(&value));
    }
    for finding in &plan.findings {
        let icon = if finding.severity == Severity::Error { "❌" } else { "⚠️" };
        let help = finding.help.as_ref().map(|help| format!(" — {}", escaped(help))).unwrap_or_default();
        let _ok = writeln!(out, "- {icon} {}: {}{help}", finding.subject, escaped(&finding.message));
    }
    let _ok = writeln!(out, "\n{}", sum(plan));
    out
}

/// Text that Markdown and its tables leave as it is.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '\\' => out.extend(['\\', c]),
            '\n' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}
