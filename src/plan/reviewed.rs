//! Whether a plan that was reviewed is still the plan: it is held against the one that would be made now, whole.
//!
//! Left out is only what moves by itself and changes nothing that is done: sizes, times, words for the reader. Whatever a plan gains
//! later is compared unless it is named here. Nothing here looks at the world.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{ConnectionFacts, Plan, Reach, ToolFacts};
use crate::secret::Presence;

/// What may differ at the top: what was observed is compared on its own.
const FREE: [&str; 4] = ["runner", "source", "observed", "findings"];

/// What may differ in a node.
const FREE_IN_NODES: [&str; 5] = ["reason", "steps", "destroys", "expected_bytes", "left_out"];

/// The first thing in which a plan that would be made now differs from a reviewed one, in words; `None` if it does the very same.
///
/// # Errors
/// Only where a plan can not be written as JSON, which is a defect.
pub fn difference(now: &Plan, then: &Plan) -> Result<Option<String>, serde_json::Error> {
    if let Some(words) = secret(now, then).or_else(|| server(now, then)) {
        return Ok(Some(words));
    }
    let place = place(&compared(now)?, &compared(then)?, "");
    Ok(place.map(|place| format!("`{}` is not what the pipeline makes of it now", place.trim_start_matches('.'))))
}

fn secret(now: &Plan, then: &Plan) -> Option<String> {
    let (now, then) = (&now.observed.secrets, &then.observed.secrets);
    let names: BTreeSet<_> = now.keys().chain(then.keys()).collect();
    let name = names.into_iter().find(|name| now.get(*name) != then.get(*name))?;
    let is = |presence: Option<&Presence>| if presence == Some(&Presence::Present) { "there" } else { "not there" };
    Some(format!("the secret `{name}` was {} when it was made, and is {}", is(then.get(name)), is(now.get(name))))
}

/// The sizes of databases may move; who answers, and with which tools it is dumped, may not.
fn server(now: &Plan, then: &Plan) -> Option<String> {
    let (now, then) = (&now.observed.connections, &then.observed.connections);
    let names: BTreeSet<_> = now.keys().chain(then.keys()).collect();
    let name = names.into_iter().find(|name| now.get(*name).and_then(same) != then.get(*name).and_then(same))?;
    Some(format!("the server of the connection `{name}`, or what is installed for it, is not what it was"))
}

fn same(reach: &Reach<ConnectionFacts>) -> Option<(u32, Option<&str>, &ToolFacts)> {
    reach.facts().map(|facts| (facts.server_version, facts.system_identifier.as_deref(), &facts.tools))
}

fn compared(plan: &Plan) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(plan)?;
    drop_all(&mut value, &FREE);
    if let Some(schedule) = value.get_mut("schedule") {
        drop_all(schedule, &["next"]);
    }
    for node in value.get_mut("nodes").and_then(Value::as_array_mut).into_iter().flatten() {
        drop_all(node, &FREE_IN_NODES);
    }
    Ok(value)
}

fn drop_all(value: &mut Value, names: &[&str]) {
    if let Value::Object(fields) = value {
        fields.retain(|name, _| !names.contains(&name.as_str()));
    }
}

/// Where two documents differ first: `.nodes.dump.timeout`.
fn place(now: &Value, then: &Value, at: &str) -> Option<String> {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => place_in(now, then, at),
        (Value::Array(now), Value::Array(then)) if now.len() == then.len() => {
            let named = |index: usize| now[index].get("id").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
            (0..now.len()).find_map(|index| place(&now[index], &then[index], &format!("{at}.{}", named(index))))
        }
        _ => (now != then).then(|| at.to_owned()),
    }
}

fn place_in(now: &Map<String, Value>, then: &Map<String, Value>, at: &str) -> Option<String> {
    let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    let null = Value::Null;
    names.into_iter().find_map(|name| place(now.get(name).unwrap_or(&null), then.get(name).unwrap_or(&null), &format!("{at}.{name}")))
}
