//! What the tests of documents start from.

use std::collections::BTreeMap;
use std::sync::Arc;

use runner::diagnostic::{Diagnostic, SourceText};
use runner::document::{Document, Placeholders, Schema, Scope, check, expand, parse, recover};
use serde_json::{Value, json};

pub(crate) fn source(text: &str) -> Arc<SourceText> {
    Arc::new(SourceText { path: "p.yaml".into(), text: text.to_owned(), marked: false })
}

pub(crate) fn document(text: &str) -> Document {
    parse(source(text)).unwrap_or_else(|found| panic!("{}", shown(&found)))
}

pub(crate) fn shown(diagnostics: &[Diagnostic]) -> String {
    runner::render::diagnostics::human(diagnostics, false)
}

/// `line:column code` of each.
pub(crate) fn places(diagnostics: &[Diagnostic]) -> Vec<String> {
    let place = |d: &Diagnostic| format!("{}:{} {}", d.place().line, d.place().column, d.code);
    diagnostics.iter().map(place).collect()
}

pub(crate) fn checked(text: &str) -> Vec<Diagnostic> {
    let (document, mut found) = recover(source(text));
    if let Some(document) = document {
        found.extend(check(&document, &schema()));
    }
    found
}

/// The scope of the samples: two variables are set, fields called `key` are rendered later.
pub(crate) fn scope() -> Scope {
    let env = BTreeMap::from([("REGION".to_owned(), "서울".to_owned()), ("TRICK".to_owned(), "{{ pipeline }}".to_owned())]);
    Scope { env, pipeline: "orders".to_owned(), ..Scope::default() }
}

pub(crate) fn expanded(document: &mut Document, scope: &Scope) -> Vec<Diagnostic> {
    let kind = |_: &Value, at: &str| if at.ends_with("/key") { Placeholders::AtRun } else { Placeholders::Now };
    expand(document, scope, &kind)
}

/// A small schema of the shape that the real one has: closed objects, steps whose `with` depends on `uses`, and the
/// unions that types make.
pub(crate) fn schema() -> Schema {
    Schema::compile(schema_value()).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn schema_value() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "version": { "const": 1 },
            "name": { "$ref": "#/$defs/Name" },
            "description": { "type": ["string", "null"] },
            "schedule": { "type": "object", "properties": { "cron": { "type": "string" }, "at": { "type": "string" } }, "additionalProperties": false },
            "vars": { "type": "object" },
            "env": { "type": "array", "items": { "type": "string" }, "uniqueItems": true },
            "connections": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Connection" }, "propertyNames": { "$ref": "#/$defs/Name" } },
            "steps": { "type": "array", "items": { "$ref": "#/$defs/Step" }, "minItems": 1 }
        },
        "patternProperties": { "^x-": true },
        "required": ["version", "name", "steps"],
        "additionalProperties": false,
        "$defs": {
            "Name": {
                "type": "string", "pattern": "^[\\p{L}\\p{N}_][\\p{L}\\p{N}_.-]{0,62}$",
                "x-pattern-help": "use 1 to 63 letters, digits, `-`, `_` or `.`, starting with a letter, digit or `_`"
            },
            "Connection": {
                "oneOf": [
                    { "type": "object", "properties": { "postgres": { "$ref": "#/$defs/Postgres" } }, "required": ["postgres"], "additionalProperties": false },
                    { "type": "object", "properties": { "embedded": { "type": "object", "properties": { "seed": { "type": "string" } }, "additionalProperties": false } },
                      "required": ["embedded"], "additionalProperties": false }
                ]
            },
            "Postgres": {
                "type": "object",
                "properties": {
                    "host": { "type": "string" },
                    "port": { "type": ["integer", "null"], "minimum": 1, "maximum": 65535 },
                    "password": { "anyOf": [ { "$ref": "#/$defs/SecretRef" }, { "type": "null" } ] },
                    "sslmode": { "oneOf": [ { "const": "disable", "description": "no TLS" }, { "const": "verify-full", "description": "TLS" } ] }
                },
                "required": ["host"],
                "additionalProperties": false
            },
            "SecretRef": { "type": "object", "properties": { "secret": { "$ref": "#/$defs/Name" } }, "required": ["secret"], "additionalProperties": false },
            "Step": {
                "type": "object",
                "properties": {
                    "id": { "$ref": "#/$defs/Name" },
                    "uses": { "type": "string", "enum": ["dump", "compress", "upload", "notify"] },
                    "needs": { "type": "array", "items": { "type": "string" } },
                    "with": { "type": "object" }
                },
                "required": ["id", "uses"],
                "additionalProperties": false,
                "allOf": [
                    { "if": { "properties": { "uses": { "const": "dump" } }, "required": ["uses"] },
                      "then": { "properties": { "with": { "$ref": "#/$defs/Dump" } }, "required": ["with"] } },
                    { "if": { "properties": { "uses": { "const": "compress" } }, "required": ["uses"] },
                      "then": { "properties": { "with": { "$ref": "#/$defs/Compress" } } } },
                    { "if": { "properties": { "uses": { "const": "upload" } }, "required": ["uses"] },
                      "then": { "properties": { "with": { "$ref": "#/$defs/Upload" } }, "required": ["with"] } },
                    { "if": { "properties": { "uses": { "const": "notify" } }, "required": ["uses"] },
                      "then": { "properties": { "with": { "$ref": "#/$defs/Notify" } } } }
                ]
            },
            "Dump": {
                "type": "object",
                "properties": {
                    "connection": { "type": "string" },
                    "format": { "type": "string", "enum": ["custom", "plain", "directory"] },
                    "schema_only": { "type": "boolean" },
                    "tables": { "type": "array", "items": { "type": "string" } }
                },
                "required": ["connection"],
                "additionalProperties": false
            },
            "Compress": {
                "type": "object",
                "properties": { "codec": { "type": "string", "enum": ["zstd", "gzip"] }, "level": { "type": "integer", "minimum": 1, "maximum": 19 } },
                "additionalProperties": false
            },
            "Upload": {
                "type": "object",
                "properties": { "store": { "type": "string" }, "key": { "type": "string", "minLength": 1 }, "file_mode": { "type": "string", "pattern": "^0[0-7]{3}$", "description": "The mode of\nthe file, in octal.\n\nMore." } },
                "required": ["store"],
                "unevaluatedProperties": false
            },
            "Notify": {
                "type": "object",
                "properties": { "retry": { "type": "integer" } },
                "oneOf": [
                    { "properties": { "slack": { "type": "object" } }, "required": ["slack"] },
                    { "properties": { "file": { "type": "string" } }, "required": ["file"] },
                    { "properties": { "to": { "oneOf": [
                        { "type": "string", "enum": ["stdout", "stderr"] },
                        { "type": "object", "properties": { "kind": { "const": "mail" }, "address": { "type": "string" } }, "required": ["kind", "address"], "additionalProperties": false },
                        { "type": "object", "properties": { "kind": { "const": "page" }, "service": { "type": "string" } }, "required": ["kind", "service"], "additionalProperties": false }
                    ] } }, "required": ["to"] }
                ],
                "unevaluatedProperties": false
            }
        }
    })
}
