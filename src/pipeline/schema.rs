//! The JSON Schema of a pipeline file, assembled from the types.
//!
//! The step object is closed, and `allOf: [if uses = … then with = …]` picks the parameters: a `oneOf` would answer every
//! mistake with "none of eight alternatives matched". Doc comments become `description` and, for editors, `markdownDescription`.
//! This file does not check documents.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::model::{Head, StepHead};
use crate::ids::RefName;
use crate::step::{KINDS, Row};

/// The address under which the schema names itself; nothing is ever fetched from it.
const ID: &str = "https://runner.invalid/schemas/pipeline.schema.json";

/// A dialect of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Draft 2020-12, the one that `validate` uses.
    Draft2020,
    /// Draft 07, for older editors.
    Draft07,
}

/// The schema of a pipeline file.
pub fn schema(dialect: Dialect) -> Value {
    let settings = match dialect {
        Dialect::Draft2020 => SchemaSettings::draft2020_12(),
        Dialect::Draft07 => SchemaSettings::draft07(),
    };
    let definitions = settings.definitions_path.trim_matches('/').to_owned();
    let mut generator = SchemaGenerator::new(settings);
    let mut root = closed::<Head>(&mut generator);
    named_keys(&mut root, &RefName::json_schema(&mut generator).to_value());
    let step = step_schema(&mut generator);
    let steps = json!({
        "type": "array",
        "minItems": 1,
        "description": "What is done, in order. A step follows the one above it unless it says `needs`.",
        "items": step,
    });
    property(&mut root, "steps", steps);
    root.insert("patternProperties".to_owned(), json!({ "^x-": { "description": "Your own notes; ignored." } }));
    push_required(&mut root, "steps");
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), json!(meta_schema(dialect)));
    whole.insert("$id".to_owned(), json!(ID));
    whole.insert("title".to_owned(), json!("A backup pipeline of `runner`"));
    whole.extend(root);
    whole.insert(definitions, Value::Object(generator.take_definitions(false)));
    let mut schema = Schema::from(whole);
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
    RecursiveTransform(tidy).transform(&mut schema);
    schema.to_value()
}

const fn meta_schema(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Draft2020 => "https://json-schema.org/draft/2020-12/schema",
        Dialect::Draft07 => "http://json-schema.org/draft-07/schema#",
    }
}

fn step_schema(generator: &mut SchemaGenerator) -> Value {
    let mut step = closed::<StepHead>(generator);
    let uses: Vec<&str> = KINDS.iter().map(|row| row.uses).collect();
    property(&mut step, "uses", json!({ "enum": uses, "description": "The kind of step." }));
    property(&mut step, "with", json!({ "type": "object", "description": "What the kind takes." }));
    push_required(&mut step, "uses");
    let rules: Vec<Value> = KINDS.iter().map(|row| rule(row, generator)).collect();
    step.insert("allOf".to_owned(), Value::Array(rules));
    Value::Object(step)
}

/// `if uses is this kind, then with is its parameters`; a kind with required parameters also requires `with`.
fn rule(row: &Row, generator: &mut SchemaGenerator) -> Value {
    let with = (row.schema)(generator).to_value();
    let needed = with.get("required").is_some() || with.get("oneOf").is_some();
    let mut then = json!({ "properties": { "with": with } });
    if needed {
        then["required"] = json!(["with"]);
    }
    json!({ "if": { "properties": { "uses": { "const": row.uses } }, "required": ["uses"] }, "then": then })
}

fn closed<T: JsonSchema>(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut object = match T::json_schema(generator).to_value() {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    object.remove("$schema");
    object.insert("additionalProperties".to_owned(), Value::Bool(false));
    object
}

fn property(object: &mut Map<String, Value>, name: &str, schema: Value) {
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    properties[name] = schema;
}

fn push_required(object: &mut Map<String, Value>, name: &str) {
    if let Value::Array(required) = object.entry("required").or_insert_with(|| json!([])) {
        required.push(json!(name));
    }
}

/// A bad name in a mapping is told as a bad name: with schemars' own `patternProperties` it would be an unknown key.
fn named_keys(root: &mut Map<String, Value>, name: &Value) {
    for section in ["secrets", "connections", "stores"] {
        let Some(Value::Object(map)) = root.get_mut("properties").and_then(|properties| properties.get_mut(section)) else { continue };
        if let Some(Value::Object(patterns)) = map.remove("patternProperties") {
            map.extend(patterns.into_iter().next().map(|(_, value)| ("additionalProperties".to_owned(), value)));
        }
        map.insert("propertyNames".to_owned(), name.clone());
    }
}

/// An optional field is one that may be left out, not one that may be null: `[X, null]` is X.
fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
        branches.retain(|branch| *branch != json!({ "type": "null" }));
        if let [Value::Object(one)] = branches.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            for (key, value) in one {
                object.entry(key).or_insert(value);
            }
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
}

/// Strips formats that no standard knows (`uint8`), and repeats descriptions where editors render Markdown.
fn tidy(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    without_null(object);
    if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint") || format.starts_with("int")) {
        object.remove("format");
    }
    if let Some(description @ Value::String(_)) = object.get("description").cloned() {
        object.insert("markdownDescription".to_owned(), description);
    }
}
