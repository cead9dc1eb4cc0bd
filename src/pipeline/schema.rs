//! The JSON Schema of a pipeline file, assembled from the types.
//!
//! The step object is closed, and `allOf: [if uses = … then with = …]` picks the parameters: a `oneOf` would answer every
//! mistake with "none of eight alternatives matched". Doc comments become `description` and, for editors, `markdownDescription`.
//! This file does not check documents.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::model::{Head, StepHead};
use crate::ids::RefName;
use crate::step::{KINDS, Row};

/// The address under which the schema names itself; nothing is ever fetched from it.
const ID: &str = "https://runner.invalid/schemas/";

/// A dialect of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Draft 2020-12, the one that `validate` uses.
    Draft2020,
    /// Draft 07, for older editors.
    Draft07,
}

impl Dialect {
    /// The name of the committed file.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Draft2020 => "pipeline.schema.json",
            Self::Draft07 => "pipeline.draft-07.schema.json",
        }
    }
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
    whole.insert("$id".to_owned(), json!(format!("{ID}{}", dialect.file_name())));
    whole.insert("title".to_owned(), json!("A backup pipeline of `runner`"));
    whole.extend(root);
    whole.insert(definitions, Value::Object(generator.take_definitions(false)));
    let mut schema = Schema::from(whole);
    // First, for it moves references up beside descriptions, which draft 07 would not read: its own transforms move them apart.
    RecursiveTransform(tidy).transform(&mut schema);
    document_defaults(&mut schema);
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
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
    let rules: Vec<Value> = KINDS.iter().map(|row| rule(row, generator)).collect();
    // A word of VS Code's: what each value means, shown while it is chosen.
    let about: Vec<&Value> = rules.iter().map(|rule| &rule["then"]["properties"]["with"]["description"]).collect();
    property(&mut step, "uses", json!({ "enum": uses, "description": "The kind of step.", "markdownEnumDescriptions": about }));
    property(&mut step, "with", json!({ "type": "object", "description": "What the kind takes." }));
    push_required(&mut step, "uses");
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

/// `{ postgres: … }` of several: what the branch says is said of its one key, which is what an editor's reader points at.
fn describe_key(object: &mut Map<String, Value>) {
    let Some(description) = object.get("description").cloned() else { return };
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    if let (1, Some(Value::Object(only))) = (properties.len(), properties.values_mut().next())
        && !only.contains_key("const")
    {
        only.entry("description").or_insert(description);
    }
}

/// The defaults that the types leave out of what they write, and so out of the schema: false, and nothing in a list.
fn plain_defaults(object: &mut Map<String, Value>) {
    let required: Vec<Value> = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    for (name, property) in properties.iter_mut().filter(|(name, _)| !required.contains(&json!(name))) {
        let Some(property) = property.as_object_mut() else { continue };
        let default = match property.get("type").and_then(Value::as_str) {
            Some("boolean") => json!(false),
            Some("array") if name != "needs" => json!([]),
            _ => continue,
        };
        property.entry("default").or_insert(default);
    }
}

/// Repeats descriptions where editors render Markdown, with the default, which editors do not show by themselves.
fn document_defaults(schema: &mut Schema) {
    transform_subschemas(&mut document_defaults, schema);
    let Some(object) = schema.as_object_mut() else { return };
    let Some(Value::String(description)) = object.get("description") else { return };
    let text = match object.get("default") {
        Some(Value::String(word)) if !word.is_empty() => format!("{description}\n\nDefault: `{word}`"),
        Some(default) if default.as_object().is_none_or(|map| !map.is_empty()) => format!("{description}\n\nDefault: `{default}`"),
        _ => description.clone(),
    };
    object.insert("markdownDescription".to_owned(), Value::String(text));
}

/// Strips formats that no standard knows (`uint8`), and what stands for "not given".
fn tidy(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    without_null(object);
    if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint") || format.starts_with("int")) {
        object.remove("format");
    }
    describe_key(object);
    plain_defaults(object);
}
