//! Placeholders on the tree.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use proptest::prelude::{Strategy, prop, prop_assert_eq, proptest};
use runner::document::{Document, Placeholders, Scope, check, expand};
use runner::ids::{PipelineName, RunId};
use runner::template::{Bindings, RunWords, Template};
use serde_json::json;

use crate::document_given::{document, expanded, places, schema, scope, shown};

/// What the pipeline of this document lends to its templates, once it is expanded.
fn bindings(document: &Document) -> Bindings {
    let vars = document.value.get("vars").and_then(serde_json::Value::as_object).cloned().unwrap_or_default();
    Bindings { pipeline: PipelineName::new(scope().pipeline).unwrap(), vars, env: scope().env }
}

#[test]
fn a_whole_placeholder_keeps_the_type_and_text_around_it_makes_text() {
    let mut document = document(
        "vars: { n: 3, on: true, list: [b, a], map: { z: 1, a: 2 }, tier: 매일 }\nv:\n  n: \"{{ vars.n }}\"\n  sum: '{{ vars.n + 1 }}'\n  flag: \"{{ vars.on }}\"\n  list: \"{{ vars.list }}\"\n  map: \"{{ vars.map }}\"\n  text: level {{ vars.n }} of {{ vars.tier }} at {{ pipeline }}\n  if: \"{% if vars.on %}예{% else %}no{% endif %}\"\n  for: \"{% for t in vars.list %}{{ t }};{% endfor %}\"\n  join: \"{{ vars.list | join('-') | upper }}\"\n  block: |\n    {{ vars.tier }}\n",
    );
    assert_eq!(shown(&expanded(&mut document, &scope())), "");
    assert_eq!(
        document.value["v"],
        json!({ "n": 3, "sum": 4, "flag": true, "list": ["b", "a"], "map": { "z": 1, "a": 2 }, "text": "level 3 of 매일 at orders",
                "if": "예", "for": "b;a;", "join": "B-A", "block": "매일\n" })
    );
    assert_eq!(document.value["v"]["map"].as_object().unwrap().keys().collect::<Vec<_>>(), ["z", "a"], "the author's order stays");
    assert_eq!(document.span("/v/map/a").unwrap().value, document.span("/v/map").unwrap().value);
}

#[test]
fn what_is_put_in_is_never_read_as_a_placeholder_again() {
    let mut document = document(
        "vars: { trick: \"{{ env.TRICK }}\" }\na: \"{{ vars.trick }}\"\nb: \"x {{ vars.trick }} {{ env.TRICK }}\"\nc: \"{{ '{{ pipeline }}' }}\"\n",
    );
    assert_eq!(shown(&expanded(&mut document, &scope())), "");
    assert_eq!(document.value["vars"]["trick"], "{{ pipeline }}");
    assert_eq!(document.value["a"], "{{ pipeline }}");
    assert_eq!(document.value["b"], "x {{ pipeline }} {{ pipeline }}");
    assert_eq!(document.value["c"], "{{ pipeline }}");
}

#[test]
fn vars_from_outside_win_and_are_literal() {
    let mut document = document("vars: { tier: daily }\na: \"{{ vars.tier }}\"\n");
    let outside = json!({ "tier": "{{ pipeline }}" });
    let scope = Scope { vars: outside.as_object().cloned().unwrap(), ..scope() };
    assert_eq!(shown(&expanded(&mut document, &scope)), "");
    assert_eq!(document.value["a"], "{{ pipeline }}");
}

#[test]
fn undefined_names_are_shown_inside_their_scalar() {
    let mut document = document(
        "vars: { tier: daily, again: \"{{ vars.tier }}\" }\na: x-{{ vars.teir }}/{{ vars.tier }}/{{ tier }}\nb: \"\\t한글 {{ env.HOME }}\"\nc: |\n  one\n  two {{ pipline }}\nd: \"{{ secrets.pw }}\"\ne: \"{{ run.id }}\"\nf: >-\n  {{ vars.tier }}\n  {{ vars.tier.x }}\n",
    );
    insta::assert_snapshot!(shown(&expanded(&mut document, &scope())));
}

#[test]
fn templates_that_can_not_be_read_or_computed_say_why() {
    let mut document = document(
        "vars: { list: [1], none: ~, big: 9 }\na: \"{{ vars.list\"\nb: \"{{ vars.big | frobnicate }}\"\nc: \"{% set x = 1 %}\"\nd: \"x{{ vars.list }}\"\ne: \"x{{ vars.none }}\"\nf: \"{% include 'x' %}\"\ng: \"{{ vars.big / 0 }}\"\nh: \"{{ [1] * 2 }}\"\ni: \"{{ pipeline() }}\"\n",
    );
    insta::assert_snapshot!(shown(&expanded(&mut document, &scope())));
}

#[test]
fn names_may_be_in_any_script() {
    let mut document = document("vars: { 보관등급: 매일 }\na: \"{{ vars.보관등급 }}/x\"\nb: \"{{ vars.보관등굽 }}\"\n");
    let found = expanded(&mut document, &scope());
    assert_eq!(document.value["a"], "매일/x");
    assert_eq!(places(&found), ["3:8 undefined-name"]);
    assert!(found[0].help.as_deref().unwrap().starts_with("did you mean `vars.보관등급`?"), "{:?}", found[0].help);
}

#[test]
fn keys_have_no_placeholders() {
    let mut document = document("a:\n  \"{{ pipeline }}\": 1\n");
    assert_eq!(places(&expanded(&mut document, &scope())), ["2:3 placeholder-in-key"]);
}

#[test]
fn fields_rendered_later_keep_their_text_but_are_tried_out() {
    let text = "u: { key: \"{{ pipeline }}/{{ run.date }}/{{ run.id }}\" }\nv: { key: \"{{ run.host }}\" }\nw: { key: \"{{ nope }}-{{ run.id\" }\n";
    let mut document = document(text);
    let found = expanded(&mut document, &scope());
    assert_eq!(places(&found), ["2:15 undefined-name", "3:23 template-syntax"]);
    assert_eq!(document.value["u"]["key"], "{{ pipeline }}/{{ run.date }}/{{ run.id }}");
    let run = RunWords { id: "{{ x }}".to_owned(), ..RunWords::sample() };
    let key = Template(document.value["u"]["key"].as_str().unwrap().to_owned());
    assert_eq!(key.render(&bindings(&document), &run).unwrap(), "orders/1970-01-01/{{ x }}");
}

#[test]
fn texts_that_others_own_or_copy_stay_as_they_are() {
    let mut document =
        document("vars: { list: [a] }\nown: \"{{ level }} {% set x = 1 %}\"\ncopied: \"{{ vars.list }}\"\nbad: \"{{ vars.lits }}\"\n");
    let kind = |_: &serde_json::Value, at: &str| if at == "/own" { Placeholders::Foreign } else { Placeholders::Copied };
    let found = expand(&mut document, &scope(), &kind);
    assert_eq!(places(&found), ["4:10 undefined-name"]);
    assert_eq!((&document.value["own"], &document.value["copied"]), (&json!("{{ level }} {% set x = 1 %}"), &json!("{{ vars.list }}")));
}

#[test]
fn nothing_reaches_files_the_clock_or_the_environment() {
    for name in ["range(3)", "now()", "lipsum()", "debug()", "namespace()", "dict()", "self", "import", "env", "env.PATH"] {
        let mut document = document(&format!("a: \"x{{{{ {name} }}}}\"\n"));
        let found = expanded(&mut document, &Scope::default());
        assert!(!found.is_empty(), "{name} must be refused, but gave {}", document.value);
    }
}

#[test]
fn endless_and_exploding_templates_are_stopped() {
    let many = "{% for a in vars.l %}".repeat(8) + "x" + &"{% endfor %}".repeat(8);
    let grown = format!("x{{{{ 'aaaaaaaaaa' {} }}}}", "| replace('a', 'aaaaaaaaaa') ".repeat(9));
    let wide = "{{ 'x' * 90000000 }}y".to_owned();
    let joined = "{{ ([1] * 99999999) | join('xxxxxxxxxx') }}".to_owned();
    let huge = "{{ 1 }}".to_owned() + &"x".repeat(70_000);
    for text in [many, grown, wide, joined, huge] {
        let mut document = document("vars: { l: [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] }\na: x\n");
        document.value["a"] = json!(text);
        let start = std::time::Instant::now();
        let found = expanded(&mut document, &scope());
        assert_eq!(found.iter().map(|d| d.code).collect::<Vec<_>>(), ["template-failed"], "{text:.80}");
        assert!(start.elapsed().as_secs() < 5, "{text:.80}");
    }
}

#[test]
fn a_failed_placeholder_is_no_type_error_too() {
    let mut document = document("version: 1\nname: a\nsteps:\n  - { id: c, uses: compress, with: { level: \"{{ vars.lvl }}\" } }\n");
    let found = expanded(&mut document, &scope());
    assert_eq!(places(&found), ["4:49 undefined-name"]);
    assert_eq!(shown(&check(&document, &schema())), "");
}

#[test]
fn a_wrong_value_put_in_is_shown_at_its_placeholder() {
    let mut document = document(
        "version: 1\nname: a\nvars: { lvl: 22, at: 12:30 }\nschedule: { cron: \"{{ vars.at }}\" }\nsteps:\n  - { id: c, uses: compress, with: { level: \"{{ vars.lvl }}\" } }\n",
    );
    assert_eq!(shown(&expanded(&mut document, &scope())), "");
    assert_eq!(places(&check(&document, &schema())), ["6:45 out-of-range"]);
}

/// Texts of the parts that keys are made of, right and wrong ones.
fn keys() -> impl Strategy<Value = String> {
    const PARTS: [&str; 33] = [
        "x/",
        "한",
        "{{ pipeline }}",
        "{{ run.date }}",
        "{{ run.id }}",
        "{{run.month}}",
        "{{ run.started[19:] }}",
        "{{ run.id[15] }}",
        "{{ run.id[99] }}",
        "{{ run.dat }}",
        "{{ run }}",
        "{{ vars.n }}",
        "{{ vars.list }}",
        "{{ vars.list | join('-') }}",
        "{{ vars.map }}",
        "{{ vars.map.z }}",
        "{{ vars.none }}",
        "{{ vars.on }}",
        "{{ env.REGION | upper }}",
        "{{ env.HOME }}",
        "{% if vars.on %}",
        "{% endif %}",
        "{% for x in vars.list %}",
        "{{ x }}",
        "{% endfor %}",
        "{% set y = 1 %}",
        "{{ run.time | nope }}",
        "{{ run.date | int }}",
        "{{ 1 / 0 }}",
        "{{ vars.big ",
        "{# no #}",
        "{#",
        "{{ run.time | replace('', vars.list | join('xxxxxxxx')) }}",
    ];
    prop::collection::vec(prop::sample::select(&PARTS[..]), 1..5).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_a_check_takes_for_a_key_is_what_a_run_can_render(key in keys(), id in "[0-9a-f]{6}", seconds in 0..4_000_000_000_i64) {
        let mut document = document("vars: { n: 3, on: true, none: ~, big: 9, list: [b, a], map: { z: 1 } }\na: { key: x }\n");
        document.value["a"]["key"] = json!(key);
        let found = expanded(&mut document, &scope());
        let started = jiff::Timestamp::from_second(seconds).unwrap();
        let run: RunId = format!("{}-{id}", started.strftime("%Y%m%dT%H%M%SZ")).parse().unwrap();
        let words = RunWords::of(&run, &jiff::tz::TimeZone::get("Asia/Seoul").unwrap());
        let rendered = Template(key).render(&bindings(&document), &words);
        prop_assert_eq!(found.is_empty(), rendered.is_ok(), "{}\n{:?}", shown(&found), rendered);
    }
}
