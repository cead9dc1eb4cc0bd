//! Notifications over HTTP, against a real server on loopback.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner::diagnostic::Class;
use runner::secret::Secrets;
use runner::step::notify::{Delivery, Facts, Notify, NotifyError};
use runner::stream::Cancel;
use serde_json::json;

use crate::notify_setting::{bad, good, missing, notify, secrets};
use crate::servers::http::{Answer, Certificates, HttpSink};

const CANARY: &str = "canary-7f3e19";

fn send(notify: &Notify, secrets: &Secrets, facts: &Facts) -> Result<Delivery, NotifyError> {
    notify.send(secrets, facts, &Cancel::new())
}

fn webhook(sink: &HttpSink) -> Notify {
    notify(json!({ "webhook": { "url": sink.url("/hook") } }))
}

#[test]
fn a_webhook_gets_the_documented_json_signed_and_with_its_headers() {
    let folder = tempfile::tempdir().unwrap();
    let sink = HttpSink::start(vec![Answer::status(204)]);
    let secrets = secrets(folder.path(), &[("token", "Bearer t0ken"), ("key", "열쇠")]);
    let headers = json!({ "Authorization": { "secret": "token" }, "X-Team": "storage" });
    let step = notify(json!({ "webhook": { "url": sink.url("/hook?x=1"), "headers": headers, "hmac": { "secret": "key" } } }));
    let delivery = send(&step, &secrets, &good()).unwrap();
    let Delivery::Sent { text } = delivery else { panic!("{delivery:?}") };
    let (title, message) = text.split_once("\n\n").unwrap();
    assert_eq!(title, "주문-야간: restored — 1.23 GB in 43 s");

    let request = sink.requests().remove(0);
    assert_eq!(request.line, "POST /hook?x=1 HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(request.header("x-team"), Some("storage"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let documented = json!({
        "version": 1,
        "title": title,
        "message": message,
        "pipeline": "주문-야간",
        "run": "20261120T021700Z-4f3a9c",
        "outcome": "success",
        "level": "restored",
        "started": "2026-11-20T02:17:00Z",
        "finished": "2026-11-20T02:17:43Z",
        "duration_seconds": 43.21,
        "bytes_in": 4_321_000_000_u64,
        "bytes_out": 1_234_567_890,
        "artifacts": [{ "step": "upload", "store": "offsite", "key": "주문-야간/a.dump.zst.age", "bytes": 1_234_567_890 }],
        "copies": [],
        "failed_step": null,
        "error": null,
        "warnings": [],
        "left_out": [],
        "tables": 42,
        "recovery_seconds": 12.34,
        "recovery_bytes_per_second": 350_000_000,
        "rto_seconds": null,
        "host": "db1.example",
        "checks": [{ "check": "row_count users >= 1", "passed": true, "found": "7" }],
    });
    assert_eq!(String::from_utf8(request.body.clone()).unwrap(), documented.to_string());
    assert_eq!(request.header("x-runner-signature").unwrap(), format!("sha256={}", openssl_hmac("열쇠", &request.body)));
}

/// The HMAC as the `openssl` program makes it.
fn openssl_hmac(key: &str, body: &[u8]) -> String {
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-hmac", key, "-r"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program openssl is missing: run .ci/setup");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), body).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    output.split(' ').next().unwrap().to_owned()
}

#[test]
fn slack_gets_escaped_text_in_the_colour_of_the_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let sink = HttpSink::start(vec![Answer::status(200).body("ok")]);
    let secrets = secrets(folder.path(), &[("hook", &sink.url("/services/T0/B0/x"))]);
    let step = notify(json!({ "slack": { "url": { "secret": "hook" } } }));
    send(&step, &secrets, &bad()).unwrap();
    send(&step, &secrets, &good()).unwrap();
    let [failed, passed] = &sink.requests()[..] else { panic!("two requests") };
    assert_eq!(failed.line, "POST /services/T0/B0/x HTTP/1.1");
    let title = "주문-야간: FAILED at upload: offsite: no space &lt;left&gt; &amp; \"quota\" 초과";
    let attachment = json!({
        "color": "#e01e5a",
        "text": "Failed after 43 s: run 20261120T021700Z-4f3a9c on db1.example, started 2026-11-20 02:17:00 UTC\n\
            Error: offsite: no space &lt;left&gt; &amp; \"quota\" 초과\nsecond line\n\
            Restore point: none was committed by this run\n\
            Size: 4.32 GB dumped, 1.23 GB stored",
        "fallback": title,
        "mrkdwn_in": ["text"],
    });
    assert_eq!(failed.json(), json!({ "text": title, "attachments": [attachment] }));
    assert_eq!(passed.json()["attachments"][0]["color"], "#2eb67d");
}

#[test]
fn pagerduty_is_triggered_by_a_failure_and_resolved_by_the_next_good_run() {
    let folder = tempfile::tempdir().unwrap();
    let sink = HttpSink::start(vec![Answer::status(202).body(r#"{"status":"success"}"#)]);
    let secrets = secrets(folder.path(), &[("key", "r0uting")]);
    let step = json!({ "pagerduty": { "routing_key": { "secret": "key" }, "severity": "critical", "endpoint": sink.url("/v2/enqueue") } });
    let step = notify(step);
    send(&step, &secrets, &bad()).unwrap();
    send(&step, &secrets, &good()).unwrap();
    let [failed, passed] = &sink.requests()[..] else { panic!("two requests") };
    let mut event = failed.json();
    let details = event["payload"]["custom_details"].take();
    assert_eq!(details["failed_step"], "upload");
    let payload = json!({
        "summary": "주문-야간: FAILED at upload: offsite: no space <left> & \"quota\" 초과",
        "source": "db1.example",
        "severity": "critical",
        "timestamp": "2026-11-20T02:17:43Z",
        "component": "주문-야간",
        "class": "backup",
        "custom_details": null,
    });
    let head = json!({ "routing_key": "r0uting", "event_action": "trigger", "dedup_key": "주문-야간", "client": "runner" });
    let mut expected = head.clone();
    expected["payload"] = payload;
    assert_eq!(event, expected);
    expected = head;
    expected["event_action"] = "resolve".into();
    assert_eq!(passed.json(), expected);
}

#[test]
fn a_server_error_is_tried_again_with_the_same_body() {
    let sink = HttpSink::start(vec![Answer::status(500), Answer::status(200)]);
    send(&webhook(&sink), &Secrets::default(), &good()).unwrap();
    let [first, second] = &sink.requests()[..] else { panic!("two requests") };
    assert_eq!(first.body, second.body);
}

#[test]
fn a_server_that_asks_to_wait_is_waited_for() {
    let sink = HttpSink::start(vec![Answer::status(429).header("Retry-After", "2"), Answer::status(200)]);
    let begun = Instant::now();
    send(&webhook(&sink), &Secrets::default(), &good()).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(sink.requests().len(), 2);
}

#[test]
fn a_server_that_stays_broken_is_given_up_after_three_tries() {
    let sink = HttpSink::start(vec![Answer::status(503).body("down for\nmaintenance")]);
    let error = send(&webhook(&sink), &Secrets::default(), &good()).unwrap_err();
    let host = format!("127.0.0.1:{}", sink.port);
    assert_eq!(error.to_string(), format!("webhook: {host} answered 503 Service Unavailable: down for maintenance (tried 3 times)"));
    assert_eq!((error.class(), error.retryable(), sink.requests().len()), (Class::Transient, true, 3));
}

#[test]
fn a_refusal_is_not_tried_again() {
    for (status, class) in [(403, Class::Denied), (401, Class::Denied), (404, Class::Failed), (400, Class::Failed)] {
        let sink = HttpSink::start(vec![Answer::status(status).body("no_service")]);
        let error = send(&webhook(&sink), &Secrets::default(), &good()).unwrap_err();
        assert_eq!((error.class(), error.retryable(), sink.requests().len()), (class, false, 1), "{error}");
        assert!(error.to_string().contains("no_service"), "{error}");
    }
}

#[test]
fn a_redirect_is_named_and_not_followed() {
    let elsewhere = HttpSink::start(vec![Answer::status(200)]);
    let location = format!("http://localhost:{}/{CANARY}", elsewhere.port);
    let sink = HttpSink::start(vec![Answer::status(307).header("Location", &location)]);
    let error = send(&webhook(&sink), &Secrets::default(), &good()).unwrap_err();
    assert!(error.to_string().contains("redirects to localhost"), "{error}");
    assert!(!error.to_string().contains(CANARY), "{error}");
    assert_eq!((elsewhere.requests().len(), sink.requests().len()), (0, 1));
}

#[test]
fn a_dead_host_is_unreachable_and_worth_another_run() {
    let sink = HttpSink::start(vec![Answer::status(200)]);
    let step = webhook(&sink);
    drop(sink);
    let error = send(&step, &Secrets::default(), &good()).unwrap_err();
    assert_eq!((error.class(), error.retryable()), (Class::Unreachable, true), "{error}");
    assert!(error.to_string().ends_with("Connection refused (os error 111) (tried 3 times)"), "{error}");
}

#[test]
fn an_optional_secret_that_is_missing_skips_and_a_needed_one_is_denied() {
    let step = notify(json!({ "slack": { "url": { "secret": "hook" } } }));
    let why = "slack: the optional secret `hook` is missing".to_owned();
    assert_eq!(send(&step, &missing("hook", true), &good()).unwrap(), Delivery::Skipped { why });
    let error = send(&step, &missing("hook", false), &good()).unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    assert!(error.to_string().starts_with("slack: secret `hook`: reading /nonexistent/secret"), "{error}");
}

#[test]
fn a_private_authority_is_trusted_when_named_and_otherwise_the_error_says_how() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path());
    let sink = HttpSink::start_tls(vec![Answer::status(200)], &certificates);
    let url = format!("https://localhost:{}/hook", sink.port);
    let step = notify(json!({ "webhook": { "url": url, "ca_file": certificates.authority } }));
    send(&step, &Secrets::default(), &good()).unwrap();
    assert_eq!(sink.requests().len(), 1);
    let error = send(&notify(json!({ "webhook": { "url": url } })), &Secrets::default(), &good()).unwrap_err();
    assert_eq!((error.class(), error.retryable()), (Class::Unreachable, false), "{error}");
    assert!(error.to_string().contains("UnknownIssuer") && error.to_string().contains("ca_file"), "{error}");
    assert!(!error.to_string().contains("tried"), "a bad certificate is not tried again: {error}");
}

#[test]
fn no_error_holds_a_secret_whatever_the_server_says() {
    let echo = |status| HttpSink::start(vec![Answer::status(status).echo()]);
    let (refusing, broken, gone) = (echo(403), echo(500), HttpSink::start(vec![Answer::status(200)]));
    let dead = gone.url("");
    drop(gone);
    let urls = [refusing.url(""), broken.url(""), dead, "http://127.0.0.1:1:2".to_owned(), "mailto:x".to_owned()];
    // Side by side, because the tries of a broken or dead server take their time.
    std::thread::scope(|scope| {
        for url in &urls {
            for step in 0..4 {
                scope.spawn(move || fail_with_a_canary(url, step));
            }
        }
    });
    assert!(refusing.requests().len() >= 3, "the echo was really asked");
}

fn fail_with_a_canary(url: &str, step: usize) {
    let folder = tempfile::tempdir().unwrap();
    let values =
        [("url", format!("{url}/services/{CANARY}?key={CANARY}")), ("value", CANARY.to_owned()), ("broken", format!("{CANARY}\nx"))];
    let secrets = secrets(folder.path(), &values.each_ref().map(|(name, value)| (*name, value.as_str())));
    let [address, value, broken] = ["url", "value", "broken"].map(|name| json!({ "secret": name }));
    let endpoint = if url.starts_with("http://127.0.0.1:1:") || url.starts_with("mailto") { "http://127.0.0.1:1/" } else { url };
    let step = match step {
        0 => json!({ "slack": { "url": address } }),
        1 => json!({ "webhook": { "url": address, "headers": { "Authorization": value }, "hmac": value } }),
        2 => json!({ "webhook": { "url": address, "headers": { "Authorization": broken } } }),
        _ => json!({ "pagerduty": { "routing_key": value, "endpoint": endpoint } }),
    };
    let error = send(&notify(step), &secrets, &good()).unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(!said.contains("canary") && !said.contains("7f3e19"), "{said}");
}

#[test]
fn a_template_that_fails_on_the_day_does_not_lose_the_notification() {
    let sink = HttpSink::start(vec![Answer::status(200)]);
    let message = "{% if host == 'db1.example' %}{{ artifacts[7].key }}{% endif %}";
    let step = notify(json!({ "webhook": { "url": sink.url("/") }, "title": "백업 {{ pipeline }}\n{{ level }}", "message": message }));
    send(&step, &Secrets::default(), &good()).unwrap();
    let told = sink.requests()[0].json();
    assert_eq!(told["title"], "백업 주문-야간 restored", "a title is one line");
    let text = told["message"].as_str().unwrap();
    assert!(text.starts_with("Finished after 43 s") && text.contains("Note: the template of `message` failed"), "{text}");
}
