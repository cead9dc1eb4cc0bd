//! Text → document: the oracle, the places, the bounds.

use proptest::prelude::*;
use runner::document::{child, parse, recover, typed};
use serde_json::{Map, Value, json};

use crate::document_given::{document, places, shown, source};

/// Values of every kind, with keys and texts that are easily mistaken for something else.
fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z]{0,8}",
        "[ -~]{0,12}",
        "\\PC{0,6}",
        "[가-힣 \n\t]{0,6}",
        prop::sample::select(vec![
            "no", "yes", "~", "null", "0644", "12:30", "1e3", "- a", "a: b", "#x", "*x", "&x", "!x", "'", "\"", "a\nb", " a", "a ", "|",
            "<<", "{{ x }}"
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e6..1e6).prop_map(|f: f64| json!((f * 8.0).round() / 8.0)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let map =
            prop::collection::vec((text.clone().prop_filter("a merge key is more than a key", |key| key != "<<"), inner.clone()), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()));
        prop_oneof![prop::collection::vec(inner, 0..6).prop_map(Value::from), map]
    })
}

/// All pointers of a value, found without the document's own bookkeeping.
fn every_pointer(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| every_pointer(item, &format!("{at}/{index}"), into)),
        Value::Object(map) => map.iter().for_each(|(key, value)| every_pointer(value, &child(at, key), into)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn our_reader_and_the_oracle_agree(value in values()) {
        let block = serde_yaml::to_string(&value).unwrap();
        // These end a line in YAML 1.1, which the oracle's writer follows, and are ordinary characters in 1.2.
        if !block.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            let oracle: Value = serde_yaml::from_str(&block).unwrap();
            let ours = parse(source(&block)).map_err(|found| TestCaseError::fail(format!("{block}\n{}", shown(&found))))?;
            prop_assert_eq!(&ours.value, &oracle, "{}", block);
        }
        let flow = value.to_string();
        let ours = parse(source(&flow)).map_err(|found| TestCaseError::fail(format!("{flow}\n{}", shown(&found))))?;
        prop_assert_eq!(ours.value, value, "{}", flow);
    }

    #[test]
    fn every_value_has_a_place_and_it_is_the_right_one(value in values()) {
        for (text, is_flow) in [(serde_yaml::to_string(&value).unwrap(), false), (value.to_string(), true)] {
            let document = parse(source(&text)).map_err(|found| TestCaseError::fail(shown(&found)))?;
            let mut pointers = Vec::new();
            every_pointer(&document.value, "", &mut pointers);
            prop_assert_eq!(document.pointers().count(), pointers.len());
            for at in pointers {
                let span = document.span(&at).ok_or_else(|| TestCaseError::fail(format!("no span for {at:?}")))?;
                // On its own, every flow value and every scalar that is not a block reads as the value again.
                let agrees = |range: std::ops::Range<usize>, meant: &Value| {
                    let slice = &text[range];
                    let in_block = slice.contains(['\n', '|', '>']) || (meant.to_string().contains("\\n") && !slice.starts_with(['"', '\'']));
                    (!is_flow && in_block) || &reread(slice) == meant
                };
                prop_assert!(agrees(span.value.clone(), document.value.pointer(&at).unwrap()), "{:?} in {}", at, text);
                if let Some(key) = &span.key {
                    prop_assert!(agrees(key.clone(), &runner::document::tokens(&at).last().unwrap().into()), "key of {:?} in {}", at, text);
                }
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,40}|[-a:{}\\[\\],&*!|>'\"%@`#?\n\t <0~é한\r]{0,60}") {
        let (document, found) = recover(source(&text));
        prop_assert!(document.is_some() || !found.is_empty(), "neither a document nor a reason");
        for diagnostic in &found {
            prop_assert!(text.is_char_boundary(diagnostic.range.start) && text.is_char_boundary(diagnostic.range.end));
            prop_assert!(runner::document::CODES.iter().any(|(code, _)| *code == diagnostic.code), "{} is not in CODES", diagnostic.code);
        }
        shown(&found);
        if let Some(document) = document {
            let mut pointers = Vec::new();
            every_pointer(&document.value, "", &mut pointers);
            for at in pointers {
                let span = document.span(&at);
                prop_assert!(span.is_some_and(|span| text.get(span.value.clone()).is_some()), "{:?} in {:?}", at, text);
            }
        }
    }
}

fn reread(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { document(text).value }
}

#[test]
fn several_mistakes_are_reported_at_once() {
    insta::assert_snapshot!(shown(
        &recover(source(
            "a: 1\na: 2\nb: { c: 1, c: 2, 1: x, ? [k] : v }\nd: *none\ne: !x 1\nf: .inf\ng: 99999999999999999999\nh: { <<: 3 }\n---\nx\n"
        ))
        .1
    ));
}

#[test]
fn aliases_and_merge_keys_are_copies() {
    let document = document("a: &a { x: 1, y: 2 }\nb: &b { y: 3, z: 4 }\nc: *a\nd: { <<: [*a, *b], x: 0 }\ne: { <<: *b }\n");
    assert_eq!(document.value["c"], json!({ "x": 1, "y": 2 }));
    assert_eq!(document.value["d"], json!({ "x": 0, "y": 2, "z": 4 }));
    assert_eq!(document.value["e"], json!({ "y": 3, "z": 4 }));
    let text = |at: &str| &document.source.text[document.span(at).unwrap().value.clone()];
    assert_eq!((text("/c"), text("/c/x"), text("/d/z")), ("*a", "1", "4"));
}

#[test]
fn alias_bombs_are_stopped_early() {
    use std::fmt::Write as _;
    let mut lists = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut merges = "a0: &a0 { k: 1 }\n".to_owned();
    let mut chain = "a0: &a0 1\n".to_owned();
    for n in 1..30 {
        let many = vec![format!("*a{}", n - 1); 10].join(", ");
        writeln!(lists, "a{n}: &a{n} [{many}]").unwrap();
        writeln!(merges, "a{n}: &a{n} {{ <<: [{many}] }}").unwrap();
    }
    for n in 1..2000 {
        writeln!(chain, "a{n}: &a{n} [*a{}]", n - 1).unwrap();
    }
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 100].join(", "));
    for (text, codes) in
        [(lists, vec!["alias-bomb"]), (merges, vec!["alias-bomb"]), (text, vec!["alias-bomb"]), (chain, vec!["too-deep", "alias-bomb"])]
    {
        let start = std::time::Instant::now();
        let (_, found) = recover(source(&text));
        assert!(found.iter().all(|d| codes.contains(&d.code)) && !found.is_empty(), "{}", shown(&found));
        // Expanded, each would take longer than anybody waits.
        assert!(start.elapsed().as_secs() < 20, "{text:.40}");
    }
}

#[test]
fn dropped_chains_of_anchors_do_not_overflow_the_stack() {
    use std::fmt::Write as _;
    let mut text = "a: &a0 { k: 1 }\n".to_owned();
    for n in 1..20_000 {
        writeln!(text, "a: &a{n} {{ <<: *a{} }}", n - 1).unwrap();
    }
    text.push_str("b: *a19999\n");
    let (_, found) = recover(source(&text));
    assert!(found.iter().any(|d| d.code == "too-deep" || d.code == "alias-bomb"));
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), "- ".repeat(5_000), "{a: ".repeat(10_000), format!("{}1{}", "[".repeat(70), "]".repeat(70))] {
        assert!(parse(source(&text)).unwrap_err().iter().any(|d| d.code == "too-deep" || d.code == "yaml-syntax"), "{text:.20}");
    }
    assert!(parse(source(&format!("{}1{}", "[".repeat(60), "]".repeat(60)))).is_ok());
}

#[test]
fn a_large_file_of_mistakes_takes_no_quadratic_time() {
    let text = "a: 1\n".repeat(20_000);
    let start = std::time::Instant::now();
    let (_, found) = recover(source(&text));
    assert_eq!(found.len(), 19_999);
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn byte_order_marks_and_carriage_returns_shift_no_place() {
    let found = recover(source("\u{feff}이름: a\r\n이름: b\r\n")).1;
    assert_eq!(places(&found), ["2:1 duplicate-key"]);
    assert_eq!(document("\u{feff}a: 1\r\nb: |\r\n  x\r\n  y\r\n").value, json!({ "a": 1, "b": "x\ny\n" }));
}

#[test]
fn a_typed_read_that_fails_says_where() {
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Step {
        id: runner::ids::StepId,
        retry: Option<Retry>,
    }
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Retry {
        attempts: u8,
    }
    let document = document(
        "steps:\n  - { id: a, retry: { attempts: 3 } }\n  - id: b/c\n  - { id: c, retry: { attempts: 300 } }\n  - { retry: {} }\n",
    );
    assert!(typed::<Step>(&document, "/steps/0").is_ok());
    let all: Vec<_> = (1..4).map(|n| *typed::<Step>(&document, &format!("/steps/{n}")).unwrap_err()).collect();
    assert_eq!(places(&all), ["3:9 invalid-value", "4:33 invalid-value", "5:14 invalid-value"]);
    insta::assert_snapshot!(shown(&all));
}
