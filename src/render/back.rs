//! How to go back behind a restore: the renames that undo a swap, and the command that restores the safety dump.
//!
//! Words for people, made from the plan and from what was stored; nothing here runs them.

use super::recover::{place, quoted};
use super::summary::{Landed, Summary};
use crate::plan::Plan;
use crate::postgres::ConnectionSpec;
use crate::postgres::quote::identifier;
use crate::step::{Effect, Restore, Staged, Work};
use crate::store::manifest::Applied;

/// The statements that give the database its name back that had it before a swap, if it is still there.
pub(super) fn renames(landed: &Landed) -> Option<String> {
    let kept = landed.kept.as_ref().filter(|_| !landed.dropped)?;
    let (now, aside) = (identifier(&landed.database), identifier(&format!("{}_restored", landed.database)));
    Some(format!("alter database {now} rename to {aside}; alter database {} rename to {now};", identifier(kept)))
}

/// The command that restores what the safety dump holds; `None` where none was committed. `KEY_FILE` stands for the private key.
pub(super) fn command(summary: &Summary, plan: &Plan) -> Option<String> {
    let (manifest, artifact) = (summary.manifest.as_ref()?, summary.artifacts.first()?);
    let restore = restore(plan)?;
    let store = plan.resources.stores.get(&artifact.store)?;
    let to = plan.resources.connections.get(&restore.connection).and_then(url)?;
    let database = restore.database.as_ref().map(|name| format!(" --database {}", quoted(name))).unwrap_or_default();
    let how = match &restore.tables {
        Some(tables) => format!("--tables {} --as replace", quoted(&tables.names.join(","))),
        None if restore.in_place() => "--replace --clean".to_owned(),
        None => "--replace".to_owned(),
    };
    let encrypted = artifact.stages.iter().any(|stage| matches!(stage, Applied::Encrypt { .. }));
    // A manifest alone does not tell how to encrypt, and nothing is put in the clear beside what is.
    let key = if encrypted { " --identity KEY_FILE --safety ./safety" } else { "" };
    Some(format!("runner restore {} --to {}{database} {how}{key}", quoted(&place(store, manifest)), quoted(&to)))
}

/// What the restore of a plan was asked for.
pub(super) fn restore(plan: &Plan) -> Option<&Restore> {
    plan.nodes.iter().find_map(|node| match &node.work {
        Work::Effect(Staged { part: Effect::Restore(work), .. }) => Some(&work.with),
        _ => None,
    })
}

/// A connection as a URL; `None` where only a service file knows it.
fn url(spec: &ConnectionSpec) -> Option<String> {
    let ConnectionSpec::Postgres(spec) = spec else { return None };
    if spec.url.is_some() {
        return spec.url.clone();
    }
    let (database, host) = (spec.database.as_deref().unwrap_or_default(), spec.host.as_deref()?);
    let (port, user) = (spec.port.unwrap_or(5432), spec.user.as_deref().map(escaped));
    if host.starts_with('/') {
        let user = user.map(|user| format!("&user={user}")).unwrap_or_default();
        return Some(format!("postgresql:///{}?host={host}&port={port}{user}", escaped(database)));
    }
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    Some(format!("postgresql://{user}{host}:{port}/{}", escaped(database)))
}

/// A part of a URL: what would end it is written as its number.
fn escaped(text: &str) -> String {
    let one = |c: char| if " \"%#?&/@:=+".contains(c) { format!("%{:02X}", u32::from(c)) } else { c.to_string() };
    text.chars().map(one).collect()
}
