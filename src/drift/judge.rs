//! Holding the rules against two restore points. This file compares no dumps itself.

use super::rule::{ROWS_FALL, Rule, SIZE_FALLS, SIZE_RISES, TABLE_LOSES};
use super::{Anomaly, newly_left_out};
use crate::archive::changes::{Changes, ObjectFate, TableChange, TableFate};
use crate::quantity::bytes;
use crate::store::manifest::Completeness;
use crate::store::recall::Recalled;
use crate::words::{count, listed};

/// What is suspicious, the gravest first, and the rules that nobody could judge.
pub(super) fn judge(from: &Recalled, to: &Recalled, changes: Option<&Changes>) -> (Vec<Anomaly>, Vec<Rule>) {
    let (mut found, mut unjudged) = (Vec::new(), Vec::new());
    for rule in Rule::ALL {
        let broken = match changes {
            Some(changes) => by_changes(rule, changes).or_else(|| by_manifests(rule, from, to)),
            None => by_manifests(rule, from, to),
        };
        match broken {
            Some(whats) => found.extend(whats.into_iter().map(|what| Anomaly { rule, what })),
            None => unjudged.push(rule),
        }
    }
    (found, unjudged)
}

/// What breaks a rule about what the dumps hold; `None` when it is about something else.
fn by_changes(rule: Rule, changes: &Changes) -> Option<Vec<String>> {
    let each = |judge: fn(&TableChange) -> Option<String>| changes.tables.iter().filter_map(judge).collect();
    match rule {
        Rule::TableGone => Some(each(gone)),
        Rule::TableEmptied => Some(each(emptied)),
        Rule::TableShrunk => Some(each(shrunk)),
        Rule::SchemaChanged => Some(schema(changes).into_iter().collect()),
        _ => None,
    }
}

/// What breaks a rule about what the manifests tell; `None` when they do not tell.
fn by_manifests(rule: Rule, from: &Recalled, to: &Recalled) -> Option<Vec<String>> {
    if rule.needs_fingerprint() {
        return None;
    }
    let (was, is) = (&from.artifact, &to.artifact);
    let contents = was.contents.as_ref().zip(is.contents.as_ref());
    let (small, large) = (was.origin.bytes, is.origin.bytes);
    let sizes = || format!("{} → {}", bytes(small), bytes(large));
    let what = match rule {
        Rule::RowsFell => {
            let (was, is) = contents?;
            fell(was.rows, is.rows, ROWS_FALL).then(|| format!("{} → {} in all tables", count(was.rows, "row"), is.rows))
        }
        Rule::SizeFell => fell(small, large, SIZE_FALLS).then(sizes),
        Rule::SizeRose => rose(small, large, SIZE_RISES).then(sizes),
        Rule::LargeObjectsFewer => {
            let (was, is) = contents?;
            let (was, is) = (was.large_objects, is.large_objects);
            (is < was).then(|| format!("{} → {is}", count(was, "large object")))
        }
        Rule::CompletenessWorse => return Some(less_complete(was.completeness.as_ref(), is.completeness.as_ref())),
        Rule::LevelLower => (to.level < from.level).then(|| format!("{} → {}", from.level, to.level)),
        Rule::ServerChanged => {
            let (was, is) = (was.origin.server_version, is.origin.server_version);
            (was != is).then(|| format!("PostgreSQL {} → {}", version(was), version(is)))
        }
        Rule::TableGone | Rule::TableEmptied | Rule::TableShrunk | Rule::SchemaChanged => return None,
    };
    Some(what.into_iter().collect())
}

fn gone(table: &TableChange) -> Option<String> {
    let rows = count(table.from?.rows, "row");
    match table.change {
        TableFate::Removed => Some(format!("{} is gone with its {rows}", table.table)),
        TableFate::DataLeftOut => Some(format!("{} is there, but its data ({rows}) is no longer dumped", table.table)),
        _ => None,
    }
}

fn emptied(table: &TableChange) -> Option<String> {
    let (from, to) = (table.from?, table.to?);
    (from.rows > 0 && to.rows == 0).then(|| format!("{} lost all of its {}", table.table, count(from.rows, "row")))
}

fn shrunk(table: &TableChange) -> Option<String> {
    let (from, to) = (table.from?.rows, table.to?.rows);
    (to > 0 && fell(from, to, TABLE_LOSES)).then(|| format!("{} has {to} of its {}", table.table, count(from, "row")))
}

/// The schema in a line: how many objects of each fate, and the tables with other columns.
fn schema(changes: &Changes) -> Option<String> {
    let number = |holds: fn(&ObjectFate) -> bool| changes.objects.iter().filter(|object| holds(&object.change)).count();
    let fates = [
        (number(|fate| *fate == ObjectFate::Added), "added"),
        (number(|fate| *fate == ObjectFate::Removed), "removed"),
        (number(|fate| *fate == ObjectFate::Redefined), "redefined"),
        (number(|fate| matches!(fate, ObjectFate::Owner { .. })), "of another owner"),
    ];
    let mut parts: Vec<String> =
        fates.iter().filter(|(number, _)| *number > 0).map(|(number, fate)| format!("{} {fate}", count(*number, "object"))).collect();
    let columns = changes.tables.iter().filter(|table| table.change == TableFate::Columns).count();
    if columns > 0 {
        parts.push(format!("{} with other columns", count(columns, "table")));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn less_complete(from: Option<&Completeness>, to: Option<&Completeness>) -> Vec<String> {
    let Some(from) = from else { return Vec::new() };
    let Some(to) = to else { return vec!["nobody looked whether the dump is complete".to_owned()] };
    let mut found: Vec<String> = newly_left_out(from, to)
        .into_iter()
        .map(|group| {
            let names =
                if group.names.is_empty() { String::new() } else { format!(": {}", listed(group.names.iter().map(String::as_str))) };
            format!("{} more of kind {} left out{names}", group.count, group.kind)
        })
        .collect();
    if let (None, Some(why)) = (&from.unchecked, &to.unchecked) {
        found.push(format!("nobody could tell whether the dump is complete: {why}"));
    }
    found
}

/// Whether more than so many percent are lost.
fn fell(from: u64, to: u64, percent: u64) -> bool {
    u128::from(from.saturating_sub(to)) * 100 > u128::from(from) * u128::from(percent)
}

/// Whether more than so many percent are gained, of something that was there.
fn rose(from: u64, to: u64, percent: u64) -> bool {
    from > 0 && u128::from(to.saturating_sub(from)) * 100 > u128::from(from) * u128::from(percent)
}

/// `16.4` of the number that the server tells.
fn version(number: u32) -> String {
    format!("{}.{}", number / 10_000, number % 10_000)
}
