//! The committed schemas: what the types say, valid by their own meta-schemas, and documented to the last parameter.

use std::path::Path;

use runner::pipeline::schema::{Dialect, schema};
use runner::step::KINDS;
use serde_json::Value;

const DIALECTS: [(Dialect, &str); 2] = [(Dialect::Draft2020, "2020-12"), (Dialect::Draft07, "07")];

/// Ways to say what holds when a parameter is left out.
const WHEN_LEFT_OUT: [&str; 4] = ["unless", "given", "Left out", "instead of"];

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    for (dialect, draft) in DIALECTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(dialect.file_name());
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let made = format!("{:#}\n", schema(dialect));
        assert!(
            committed == made,
            "schemas/{name} has drifted from the types; make it again:\n  cargo run -- schema --draft {draft} > schemas/{name}",
            name = dialect.file_name()
        );
    }
}

#[test]
fn the_schemas_pass_their_meta_schemas() {
    for (dialect, _) in DIALECTS {
        let schema = schema(dialect);
        if let Err(error) = jsonschema::meta::validate(&schema) {
            panic!("{}: {error} at {}", dialect.file_name(), error.instance_path());
        }
    }
}

fn walk<'a>(schema: &'a Value, at: &str, visit: &mut dyn FnMut(&str, &'a Value)) {
    visit(at, schema);
    match schema {
        Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{at}/{key}"), visit)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| walk(value, &format!("{at}/{index}"), visit)),
        _ => {}
    }
}

#[test]
fn the_twin_uses_nothing_that_draft_07_reads_otherwise() {
    let schema = schema(Dialect::Draft07);
    walk(&schema, "", &mut |at, value| {
        let Value::Object(object) = value else { return };
        assert!(!object.contains_key("$ref") || object.len() == 1, "{at}: draft 07 ignores what stands beside a $ref");
        for newer in ["$defs", "prefixItems", "unevaluatedProperties", "unevaluatedItems", "dependentRequired", "dependentSchemas"] {
            assert!(!object.contains_key(newer), "{at}: draft 07 does not know {newer}");
        }
        if let Some(target) = object.get("$ref").and_then(Value::as_str) {
            assert!(target.starts_with("#/definitions/") && schema.pointer(&target[1..]).is_some(), "{at}: {target} leads nowhere");
        }
    });
}

#[test]
fn every_key_is_described_in_plain_text_and_in_markdown() {
    for (dialect, _) in DIALECTS {
        let schema = schema(dialect);
        walk(&schema, "", &mut |at, value| {
            let Some(Value::Object(properties)) = value.get("properties").filter(|_| !at.ends_with("/if")) else { return };
            for (name, property) in properties.iter().filter(|(_, property)| property.get("const").is_none()) {
                for keyword in ["description", "markdownDescription"] {
                    assert!(property.get(keyword).is_some_and(Value::is_string), "{at}/{name} has no {keyword}");
                }
            }
        });
    }
}

#[test]
fn every_parameter_of_a_step_shows_its_default_or_says_what_holds_without_it() {
    let schema = schema(Dialect::Draft2020);
    let rules = schema["properties"]["steps"]["items"]["allOf"].as_array().unwrap();
    assert_eq!(rules.len(), KINDS.len());
    let channels = ["slack", "pagerduty", "webhook", "smtp", "file", "stdout"];
    for (rule, kind) in rules.iter().zip(KINDS) {
        let with = &rule["then"]["properties"]["with"];
        let required = with["required"].as_array().cloned().unwrap_or_default();
        let Some(Value::Object(parameters)) = with.get("properties") else { continue };
        for (name, parameter) in parameters.iter().filter(|(name, _)| !required.contains(&Value::from(name.as_str()))) {
            let description = parameter["description"].as_str().unwrap();
            let said = WHEN_LEFT_OUT.iter().any(|word| description.contains(word));
            let one_of_several = kind.uses == "notify" && channels.contains(&name.as_str());
            assert!(parameter.get("default").is_some() || said || one_of_several, "{} {name}: {description}", kind.uses);
            if let Some(default) = parameter.get("default") {
                let shown = parameter["markdownDescription"].as_str().unwrap();
                let word = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
                assert!(shown.ends_with(&format!("Default: `{word}`")), "{} {name}: {shown}", kind.uses);
            }
        }
    }
}
