//! Schemas as `schemars` makes them from types, not as we would write them by hand.

use std::collections::BTreeMap;

use runner::document::{Schema, check, typed};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::document_given::{document, places, shown};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema and its reading are tested")]
struct Config {
    connections: BTreeMap<String, Connection>,
    #[serde(default)]
    codec: Option<Codec>,
    #[serde(default)]
    output: Option<Output>,
    #[serde(default)]
    after: Option<Wait>,
    #[serde(default)]
    level: Option<u8>,
    #[serde(default)]
    check: Option<Check>,
    #[serde(default)]
    target: Option<Target>,
}

/// Where data is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema and its reading are tested")]
enum Connection {
    /// A server.
    Postgres(Server),
    /// A throw-away server.
    Embedded {
        /// Its content.
        seed: String,
    },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema and its reading are tested")]
struct Server {
    host: String,
    #[serde(default)]
    password: Option<runner::secret::SecretRef>,
    #[serde(default)]
    tls: bool,
}

/// How to compress.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Codec {
    /// Fast.
    Zstd,
    /// Everywhere.
    Gzip,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema and its reading are tested")]
enum Output {
    Stdout,
    Stderr,
    File(String),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema and its reading are tested")]
enum Wait {
    Seconds(u32),
    Text(String),
    List(Vec<u32>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema and its reading are tested")]
enum Check {
    Sql { query: String },
    Rows { min: u64 },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema and its reading are tested")]
struct Target {
    name: String,
    #[serde(flatten)]
    place: Place,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema and its reading are tested")]
enum Place {
    Local(String),
    Remote(String),
}

fn schema() -> Schema {
    Schema::compile(schemars::schema_for!(Config).to_value()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_the_types_take_the_schema_takes() {
    let text = "connections:\n  주문: { postgres: { host: db1, password: { secret: pw } } }\n  b: { embedded: { seed: a.sql } }\n\
        codec: zstd\noutput: { file: x }\nafter: [1, 2]\nlevel: 3\ncheck: { kind: rows, min: 1 }\ntarget: { name: a, local: b }\n";
    let document = document(text);
    assert_eq!(shown(&check(&document, &schema())), "");
    assert!(typed::<Config>(&document, "").is_ok());
}

#[test]
fn mistakes_in_types_are_told_as_exactly_as_in_hand_written_schemas() {
    let text = "connections:\n  a/b: { postgres: { host: db1 } }\n  b: { postgres: { hots: db1, tls: yes } }\n  c: { postgres: { host: x }, embedded: { seed: y } }\n  d: { embeded: { seed: y } }\n  e: { embedded: { seed: 12 } }\n\
        \x20 f: { postgres: { host: x, password: hunter2 } }\ncodec: bzip2\noutput: stdin\nafter: { a: 1 }\nlevel: 300\ncheck: { kind: row, min: 1 }\ntarget: { name: a, local: b, remote: c }\n";
    insta::assert_snapshot!(shown(&check(&document(text), &schema())));
}

#[test]
fn a_word_or_a_mapping_may_be_given_but_nothing_else() {
    let of = |text: &str| places(&check(&document(&format!("connections: {{}}\n{text}\n")), &schema()));
    assert_eq!(of("output: { fiel: x }"), ["2:11 unknown-key"]);
    assert_eq!(of("output: [stdout]"), ["2:9 wrong-type"]);
    assert_eq!(of("codec: [zstd]"), ["2:8 wrong-type"]);
    assert_eq!(of("codec: ~\nlevel: ~"), Vec::<String>::new());
    assert_eq!(of("check: { min: 1 }"), ["2:8 missing-key"]);
    assert_eq!(of("check: { kind: sql, query: 1 }"), ["2:28 wrong-type"]);
}
