//! What a schema's complaints become.

use proptest::prelude::*;
use runner::diagnostic::Diagnostic;
use runner::document::{CODES, Schema, check};
use serde_json::{Map, Value, json};

use crate::document_given::{checked, document, places, schema, schema_value, shown};

const HEAD: &str = "version: 1\nname: orders\n";

fn step(step: &str) -> String {
    shown(&checked(&format!("{HEAD}steps:\n{step}")))
}

#[test]
fn a_right_document_has_no_complaints() {
    let text = "version: 1\nname: 주문-야간\nx-note: no\nvars: { at: 12:30 }\nconnections:\n  a: { postgres: { host: db1, port: 5432, password: ~ } }\n  b: { embedded: {} }\n\
        steps:\n  - { id: d, uses: dump, with: { connection: a, schema_only: false } }\n  - { id: n, uses: notify, with: { to: { kind: mail, address: x@y } } }\n";
    assert_eq!(places(&checked(text)), Vec::<String>::new());
}

#[test]
fn misspelt_keys_are_named_with_the_key_that_was_meant() {
    insta::assert_snapshot!(step(
        "  - id: d\n    uses: dump\n    need: []\n    with: { connection: a, jobs: 4 }\n  - { id: u, uses: upload, with: { store: s, kee: x } }\n"
    ));
}

#[test]
fn missing_keys_are_shown_where_they_belong() {
    insta::assert_snapshot!(shown(&checked(
        "name: a\nsteps:\n  - id: d\n    uses: dump\n  - use: compress\n    id: c\n  - id: u\n    uses: upload\n    with:\n      key: x\n"
    )));
}

#[test]
fn wrong_types_name_what_is_wanted_and_what_is_there() {
    insta::assert_snapshot!(shown(&checked(
        "version: \"1\"\nname: 5\ndescription: [a]\nenv: HOME\nconnections:\n  - a\nsteps:\n  - { id: d, uses: dump, with: }\n  - compress\n  - { id: c, uses: compress, with: { level: high } }\n  - { id: e, uses: compress, with: { level: 1.5 } }\n"
    )));
}

#[test]
fn yaml_traps_are_cured_with_the_author_s_own_characters() {
    insta::assert_snapshot!(shown(&checked(&format!(
        "{HEAD}schedule: {{ cron: 12:30, at: 2026-11-20 }}\nsteps:\n  - {{ id: no, uses: dump, with: {{ connection: 1_000, schema_only: no }} }}\n\
         \x20 - {{ id: u, uses: upload, with: {{ store: true, file_mode: 0644 }} }}\n  - {{ id: c, uses: compress, with: {{ level: 0o3 }} }}\n\
         \x20 - {{ id: e, uses: compress, with: {{ level: 011 }} }}\n  - {{ id: f, uses: compress, with: {{ level: \"3\" }} }}\n  - {{ id: g, uses: compress, with: {{ level: 1_0 }} }}\n"
    ))));
}

#[test]
fn unknown_words_come_with_the_word_that_was_meant_or_with_all() {
    insta::assert_snapshot!(step(
        "  - { id: d, uses: dmp }\n  - { id: e, uses: dump, with: { connection: a, format: tarball } }\n  - { id: f, uses: compress, with: { codec: 7 } }\n"
    ));
}

#[test]
fn forms_and_limits_are_explained_in_words() {
    insta::assert_snapshot!(shown(&checked(
        "version: 2\nname: a/b\nenv: [A, B, A]\nconnections:\n  \"a b\": { embedded: {} }\n  c: { postgres: { host: h, port: 70000 } }\nsteps: []\n"
    )));
    insta::assert_snapshot!(
        "forms_of_a_step",
        step(
            "  - { id: u, uses: upload, with: { store: s, key: \"\", file_mode: \"644\" } }\n  - { id: c, uses: compress, with: { level: 22 } }\n"
        )
    );
}

#[test]
fn a_union_reports_the_branch_that_was_meant() {
    insta::assert_snapshot!(shown(&checked(&format!(
        "{HEAD}connections:\n  a: {{ postgres: {{ port: x, sslmode: verify_full, password: hunter2 }} }}\n  b: {{ postgre: {{ host: h }} }}\n  c: {{ postgres: {{ host: h }}, embedded: {{}} }}\n\
         \x20 d: {{}}\n  e: db1\n  f: {{ mysql: {{}} }}\n  g: {{ embedded: {{ sed: x }} }}\nsteps:\n  - {{ id: a, uses: compress }}\n"
    ))));
}

#[test]
fn a_union_inside_a_mapping_with_other_keys_is_understood() {
    insta::assert_snapshot!(step(
        "  - { id: a, uses: notify, with: { retry: 1 } }\n  - { id: b, uses: notify, with: { slack: {}, file: x } }\n  - { id: c, uses: notify, with: { slak: {} } }\n\
         \x20 - { id: d, uses: notify, with: { to: stdin } }\n  - { id: e, uses: notify, with: { to: { kind: mail } } }\n  - { id: f, uses: notify, with: { to: { kind: fax } } }\n\
         \x20 - { id: g, uses: notify, with: { to: { address: x } } }\n  - { id: h, uses: notify, with: { file: x, colour: red } }\n"
    ));
}

#[test]
fn complaints_come_in_the_order_of_the_text_and_only_once() {
    let found = checked("steps:\n  - { id: 1, uses: [x] }\nname: a b\nversion: 1\nsteps: 2\n");
    assert_eq!(places(&found), ["5:1 duplicate-key", "2:11 wrong-type", "2:20 wrong-type", "3:7 bad-pattern"]);
}

#[test]
fn nothing_is_said_about_values_that_could_not_be_read() {
    let found = checked("version: 1\nname: *nobody\nsteps:\n  - { id: a, uses: !vault x }\n");
    assert_eq!(places(&found), ["2:7 unknown-alias", "4:20 unknown-tag"]);
}

#[test]
fn values_given_by_an_alias_are_shown_at_the_alias() {
    let found = checked("version: 1\nname: a\nx-level: &l high\nsteps:\n  - { id: a, uses: compress, with: { level: *l } }\n");
    assert_eq!(places(&found), ["5:45 wrong-type"]);
}

#[test]
fn a_schema_that_is_none_is_refused() {
    assert!(Schema::compile(json!({ "type": "txt" })).unwrap_err().to_string().starts_with("compiling the schema: "));
    assert!(Schema::compile(json!({ "$ref": "https://example.com/remote.json" })).is_err(), "nothing is ever fetched");
}

#[test]
fn a_reference_loop_does_not_hang() {
    let schema = Schema::compile(
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "properties": { "x": { "$ref": "#/$defs/a" } }, "additionalProperties": false } } }),
    )
    .unwrap();
    assert_eq!(places(&check(&document("x: { x: { z: 1 } }\n"), &schema)), ["1:11 unknown-key"]);
}

/// Documents made of the schema's own words, right and wrong, so that every rule is met and broken.
fn nearly_right() -> impl Strategy<Value = Value> {
    let words = vec!["dump", "compress", "upload", "notify", "stdout", "disable", "custom", "mail", "page", "db1", "no", "a/b", ""];
    let keys = vec![
        "version",
        "name",
        "steps",
        "connections",
        "postgres",
        "embedded",
        "host",
        "port",
        "password",
        "secret",
        "sslmode",
        "id",
        "uses",
        "with",
        "connection",
        "format",
        "tables",
        "level",
        "store",
        "key",
        "file_mode",
        "slack",
        "file",
        "to",
        "kind",
        "address",
        "service",
        "env",
        "x-y",
        "nmae",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        (0..20i64).prop_map(Value::from),
        Just(json!(1.5)),
        prop::sample::select(words).prop_map(Value::from).boxed(),
    ];
    let random = leaf.prop_recursive(3, 24, 4, move |inner| {
        let pairs = prop::collection::vec((prop::sample::select(keys.clone()), inner.clone()), 0..4);
        let map = pairs.prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>());
        prop_oneof![prop::collection::vec(inner, 0..3).prop_map(Value::from), map.prop_map(Value::from)]
    });
    let step = (prop::sample::select(vec!["dump", "compress", "upload", "notify"]), random.clone());
    (random.clone(), random.clone(), prop::collection::vec(step, 0..3)).prop_map(|(connection, extra, steps)| {
        let steps: Vec<Value> = steps.into_iter().map(|(uses, with)| json!({ "id": "a", "uses": uses, "with": with })).collect();
        let mut document = json!({ "version": 1, "name": "a", "connections": { "c": connection }, "steps": steps });
        if let (Some(document), Value::Object(extra)) = (document.as_object_mut(), extra) {
            document.extend(extra);
        }
        document
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn there_are_complaints_exactly_when_the_validator_refuses(value in nearly_right()) {
        static SCHEMA: std::sync::LazyLock<(Schema, jsonschema::Validator)> =
            std::sync::LazyLock::new(|| (schema(), jsonschema::validator_for(&schema_value()).unwrap()));
        let (schema, validator) = &*SCHEMA;
        let document = document(&serde_yaml::to_string(&value).unwrap());
        let found = check(&document, schema);
        prop_assert_eq!(found.iter().any(Diagnostic::is_error), !validator.is_valid(&document.value), "{}\n{}", value, shown(&found));
        for diagnostic in &found {
            prop_assert!(CODES.iter().any(|(code, _)| *code == diagnostic.code), "{}", diagnostic.code);
            prop_assert!(diagnostic.code != "not-allowed", "every rule of this schema has words: {}", shown(&found));
        }
    }
}
