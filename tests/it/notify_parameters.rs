//! What a notify step takes and refuses, and the channels that need no server.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use runner::diagnostic::Class;
use runner::secret::Secrets;
use runner::step::notify::channel::Webhook;
use runner::step::notify::{Delivery, Notify};
use runner::stream::Cancel;
use serde_json::{Value, json};

use crate::notify_setting::{bad, good, notify};

fn problems(parameters: Value) -> Vec<(String, String)> {
    serde_json::from_value::<Notify>(parameters).unwrap().problems()
}

fn smtp(more: &Value) -> Value {
    let mut smtp = json!({ "host": "mail.example", "from": "a@example.org", "to": ["b@example.org"] });
    smtp.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "smtp": smtp })
}

#[test]
fn exactly_one_channel_is_asked_for() {
    for (parameters, words) in [(json!({}), "no channel"), (json!({ "stdout": {}, "file": { "path": "x" } }), "more than one channel")] {
        let step: Notify = serde_json::from_value(parameters).unwrap();
        let (field, message) = step.check().unwrap_err();
        assert_eq!(field, "");
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(notify(json!({ "stdout": {} })).check(), Ok(()));
}

#[test]
fn every_problem_is_told_with_its_field() {
    let cases = [
        (json!({ "stdout": {}, "title": "{{ levle }}" }), "title", "did you mean `level`?"),
        (json!({ "stdout": {}, "message": "{{ artifacts[0].key }}" }), "message", "for a run that failed"),
        (json!({ "webhook": { "url": "hooks.example" } }), "webhook/url", "https://"),
        (json!({ "webhook": { "url": "https://u:p@h/" } }), "webhook/url", "make the whole URL a secret"),
        (json!({ "webhook": { "url": "https://h/", "headers": { "Authorization": "x" } } }), "webhook/headers/Authorization", "a literal"),
        (json!({ "webhook": { "url": "https://h/", "headers": { "a b": "x" } } }), "webhook/headers/a b", "not the name"),
        (json!({ "webhook": { "url": "http://h/", "headers": { "A": { "secret": "s" } } } }), "webhook/url", "plain text"),
        (json!({ "pagerduty": { "routing_key": { "secret": "k" }, "endpoint": "http://h/" } }), "pagerduty/endpoint", "plain text"),
        (smtp(&json!({ "to": [] })), "smtp/to", "nobody"),
        (smtp(&json!({ "to": ["b@example.org", "b at example"] })), "smtp/to/1", "is not a mail address"),
        (smtp(&json!({ "user": "u" })), "smtp/user", "go together"),
        (smtp(&json!({ "tls": "none", "user": "u", "password": { "secret": "p" } })), "smtp/tls", "plain text"),
    ];
    for (parameters, field, words) in cases {
        let found = problems(parameters.clone());
        let [(at, message)] = &found[..] else { panic!("{parameters} gives {found:?}") };
        assert_eq!(at, field, "{message}");
        assert!(message.contains(words), "{parameters}: {message}");
    }
    assert_eq!(problems(smtp(&json!({ "from": "x", "to": ["y"], "user": "u" }))).len(), 3, "all at once");
}

#[test]
fn unknown_keys_and_literals_for_secrets_are_refused() {
    for bad in [json!({ "slack": { "url": "https://hooks.example/x" } }), json!({ "stdout": { "x": 1 } }), json!({ "sms": {} })] {
        assert!(serde_json::from_value::<Notify>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn the_secrets_of_each_channel_are_known_before_the_run() {
    let reference = |name: &str| json!({ "secret": name });
    let headers = json!({ "X-A": reference("b"), "X-B": "plain" });
    let steps = [
        (json!({ "slack": { "url": reference("a") } }), vec!["a"]),
        (json!({ "pagerduty": { "routing_key": reference("a") } }), vec!["a"]),
        (json!({ "webhook": { "url": reference("a"), "headers": headers, "hmac": reference("c") } }), vec!["a", "b", "c"]),
        (smtp(&json!({ "user": "u", "password": reference("a") })), vec!["a"]),
        (json!({ "stdout": {} }), vec![]),
    ];
    for (parameters, names) in steps {
        let step = notify(parameters);
        assert_eq!(step.secrets().iter().map(|s| s.secret.as_str()).collect::<Vec<_>>(), names);
    }
}

#[test]
fn the_schema_of_a_text_or_secret_gives_the_same_verdict_and_an_exact_place() {
    let schema = schemars::schema_for!(Webhook).to_value();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for good in [json!({ "url": "https://h/" }), json!({ "url": { "secret": "s" }, "headers": { "A": "b" } })] {
        assert!(validator.is_valid(&good), "{good}");
    }
    for (bad, place, words) in [
        (json!({ "url": { "secrt": "s" } }), "/url", "secrt"),
        (json!({ "url": 7 }), "/url", "7 is not of type"),
        (json!({ "url": "https://h/", "headers": { "A": { "secret": 1 } } }), "/headers/A/secret", "is not of type"),
        (json!({ "url": "https://h/", "x": 1 }), "", "'x'"),
    ] {
        let errors: Vec<_> = validator.iter_errors(&bad).map(|e| (e.instance_path().to_string(), e.to_string())).collect();
        assert!(errors.iter().any(|(at, said)| at == place && said.contains(words)), "{bad}: {errors:?}");
    }
}

#[test]
fn doc_comments_become_descriptions() {
    let schema = schemars::schema_for!(Notify).to_value();
    for field in ["slack", "pagerduty", "webhook", "smtp", "file", "stdout", "title", "message"] {
        assert!(schema["properties"][field]["description"].is_string(), "{field}");
    }
}

#[test]
fn a_file_grows_by_one_record_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("실행.ndjson");
    let step = notify(json!({ "file": { "path": path } }));
    for facts in [good(), bad()] {
        step.send(&Secrets::default(), &facts, &Cancel::new()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "errors are for its owner");
    let outcomes: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["outcome"].clone()).collect();
    assert_eq!(outcomes, ["success", "failure"]);

    let path = folder.path().join("log");
    let step = notify(json!({ "file": { "path": path, "format": "text" }, "message": "{{ level }}\n" }));
    step.send(&Secrets::default(), &good(), &Cancel::new()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "주문-야간: restored — 1.23 GB in 43 s\nrestored\n\n");
}

#[test]
fn a_file_that_can_not_grow_is_named() {
    let step = notify(json!({ "file": { "path": "/nonexistent/log" } }));
    let error = step.send(&Secrets::default(), &good(), &Cancel::new()).unwrap_err();
    assert_eq!(error.to_string(), "appending to /nonexistent/log: No such file or directory (os error 2)");
    let step = notify(json!({ "file": { "path": "/dev/full" } }));
    let error = step.send(&Secrets::default(), &good(), &Cancel::new()).unwrap_err();
    assert_eq!((error.class(), error.retryable()), (Class::Failed, false));
    assert!(error.to_string().contains("No space left"), "{error}");
}

#[test]
fn a_pipe_takes_a_record_and_one_that_nobody_reads_does_not_hold_up_who_cancels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("관");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR, 0).unwrap();
    let step = notify(json!({ "file": { "path": path } }));
    let reader = std::thread::spawn({
        let path = path.clone();
        move || std::fs::read_to_string(path).unwrap()
    });
    step.send(&Secrets::default(), &good(), &Cancel::new()).unwrap();
    assert!(reader.join().unwrap().ends_with("}\n"));

    let cancel = Cancel::new();
    let later = cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        later.cancel("SIGTERM", false);
    });
    let error = step.send(&Secrets::default(), &good(), &cancel).unwrap_err();
    assert_eq!(error.to_string(), "cancelled: SIGTERM");
    canceller.join().unwrap();
}

#[test]
fn stdout_gives_the_text_to_the_caller() {
    let delivery = notify(json!({ "stdout": {} })).send(&Secrets::default(), &bad(), &Cancel::new()).unwrap();
    let Delivery::Sent { text } = delivery else { panic!("{delivery:?}") };
    assert!(text.starts_with("주문-야간: FAILED at upload: offsite: no space <left> & \"quota\" 초과\n\nFailed after 43 s"), "{text}");
}

#[test]
fn a_run_that_is_cancelled_before_sends_nothing() {
    let cancel = Cancel::new();
    cancel.cancel("SIGINT", false);
    let step = notify(json!({ "webhook": { "url": "http://127.0.0.1:9/" } }));
    let error = step.send(&Secrets::default(), &good(), &cancel).unwrap_err();
    assert_eq!((error.class(), error.to_string()), (Class::Cancelled, "cancelled: SIGINT".to_owned()));
}
