//! A compiled schema, and which parts of it speak about a place. Does not make diagnostics.

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::pointer;

/// How far references and `allOf` are followed from one place: schemas from types have no loops without a step down,
/// but a hand-written one might.
const FOLLOW_LIMIT: usize = 32;

/// A JSON Schema (2020-12), compiled once to check many documents. It never fetches a reference.
#[derive(Debug)]
pub struct Schema {
    pub(super) root: Value,
    pub(super) validator: Validator,
}

/// Why a schema can not be used.
#[derive(Debug, thiserror::Error)]
#[error("compiling the schema: {message}")]
pub struct SchemaError {
    /// What the compiler said.
    pub message: String,
}

impl Schema {
    /// Compiles a schema.
    pub fn compile(root: Value) -> Result<Self, SchemaError> {
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
        match options.build(&root) {
            Ok(validator) => Ok(Self { root, validator }),
            Err(error) => Err(SchemaError { message: error.to_string() }),
        }
    }

    /// The objects of the schema that apply to the value at a pointer of a document.
    pub(super) fn at<'a>(&'a self, document: &Value, pointer: &str) -> Vec<&'a Map<String, Value>> {
        let mut here = Vec::new();
        self.collect(&self.root, document, &mut here, 0);
        let mut value = document;
        for token in pointer::tokens(pointer) {
            let Some(child) = value.get(&token).or_else(|| value.get(token.parse::<usize>().ok()?)) else { return Vec::new() };
            let mut below = Vec::new();
            for schema in here.iter().filter_map(|schema| below_of(schema, value, &token)) {
                self.collect(schema, child, &mut below, 0);
            }
            (here, value) = (below, child);
        }
        here
    }

    /// Whether a place takes a secret, by the schema's own keyword `x-secret`: `reference` or `declaration`.
    pub(super) fn secret_form(&self, document: &Value, pointer: &str) -> Option<&str> {
        self.at(document, pointer).iter().find_map(|schema| schema.get("x-secret")?.as_str())
    }

    /// A schema object without its `$ref`s.
    pub(super) fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..FOLLOW_LIMIT {
            match schema.get("$ref").and_then(Value::as_str).and_then(|target| self.target(target)) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn target(&self, reference: &str) -> Option<&Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }

    /// A schema and all it draws in without a step down: references, `allOf`, the branches of conditions and unions.
    pub(super) fn collect<'a>(&'a self, schema: &'a Value, instance: &Value, into: &mut Vec<&'a Map<String, Value>>, depth: usize) {
        let Value::Object(object) = schema else { return };
        if depth > FOLLOW_LIMIT {
            return;
        }
        into.push(object);
        if let Some(target) = object.get("$ref").and_then(Value::as_str).and_then(|target| self.target(target)) {
            self.collect(target, instance, into, depth + 1);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for branch in object.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                if keyword == "allOf" || self.may_mean(branch, instance) {
                    self.collect(branch, instance, into, depth + 1);
                }
            }
        }
        if let Some(condition) = object.get("if") {
            let branch = if holds(condition, instance) { "then" } else { "else" };
            if let Some(branch) = object.get(branch) {
                self.collect(branch, instance, into, depth + 1);
            }
        }
    }

    /// Whether a branch of a union could be the one the author meant: the type fits and the required keys are there.
    fn may_mean(&self, branch: &Value, instance: &Value) -> bool {
        let branch = self.resolve(branch);
        let Value::Object(given) = instance else { return type_fits(branch, instance) };
        let required = branch.get("required").and_then(Value::as_array).into_iter().flatten();
        type_fits(branch, instance) && required.filter_map(Value::as_str).all(|key| given.contains_key(key)) && holds(branch, instance)
    }
}

fn below_of<'a>(schema: &'a Map<String, Value>, value: &Value, token: &str) -> Option<&'a Value> {
    if value.is_array() {
        let fixed = schema.get("prefixItems").and_then(|items| items.get(token.parse::<usize>().ok()?));
        return fixed.or_else(|| schema.get("items"));
    }
    let named = schema.get("properties").and_then(|properties| properties.get(token));
    named.or_else(|| schema.get("additionalProperties"))
}

/// The types a schema object names; empty means any.
pub(super) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn type_fits(schema: &Value, instance: &Value) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|kind| match *kind {
            "integer" => instance.is_i64() || instance.is_u64(),
            "number" => instance.is_number(),
            "string" => instance.is_string(),
            "boolean" => instance.is_boolean(),
            "array" => instance.is_array(),
            "object" => instance.is_object(),
            _ => instance.is_null(),
        })
}

/// Whether the simple conditions that our schemas use hold: `properties` with `const` or `enum`, and `required`.
/// Only suggestions depend on it; whether a document is right is the validator's word.
fn holds(condition: &Value, instance: &Value) -> bool {
    let required = condition.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let present = required.into_iter().all(|key| instance.get(key).is_some());
    let properties = condition.get("properties").and_then(Value::as_object).into_iter().flatten();
    let equal = properties.into_iter().all(|(key, schema)| match (instance.get(key), schema.get("const"), schema.get("enum")) {
        (Some(value), Some(wanted), _) => value == wanted,
        (Some(value), None, Some(Value::Array(options))) => options.contains(value),
        _ => true,
    });
    present && equal
}
