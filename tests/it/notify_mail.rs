//! Notifications by mail, against a real mail server on loopback.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::path::Path;

use runner::diagnostic::Class;
use runner::secret::Secrets;
use runner::step::notify::{Delivery, Notify, NotifyError};
use runner::stream::Cancel;
use serde_json::json;

use crate::notify_setting::{bad, good, notify, secrets};
use crate::servers::http::Certificates;
use crate::servers::smtp::{SmtpOptions, SmtpSink};

const CANARY: &str = "canary-비밀";

/// A mail step; what is given replaces the defaults: no TLS, no log-in.
fn mail(port: u16, more: &serde_json::Value) -> Notify {
    let to = json!(["Ops <ops@example.org>", "second@example.org"]);
    let mut smtp = json!({ "host": "localhost", "port": port, "tls": "none", "from": "백업 <backup@example.org>", "to": to });
    smtp.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    notify(json!({ "smtp": smtp }))
}

fn send(notify: &Notify, secrets: &Secrets) -> Result<Delivery, NotifyError> {
    notify.send(secrets, &bad(), &Cancel::new())
}

fn logged_in(folder: &Path, port: u16, tls: &str, authority: &Path, password: &str) -> Result<Delivery, NotifyError> {
    let secrets = secrets(folder, &[("password", password)]);
    let step = mail(port, &json!({ "tls": tls, "ca_file": authority, "user": "backup", "password": { "secret": "password" } }));
    send(&step, &secrets)
}

#[test]
fn a_mail_arrives_with_its_hangul_intact() {
    let folder = tempfile::tempdir().unwrap();
    let sink = SmtpSink::start(folder.path(), &SmtpOptions::default());
    send(&mail(sink.port, &json!({})), &Secrets::default()).unwrap();
    let [mail] = &sink.mails()[..] else { panic!("one mail") };
    assert_eq!(mail["subject"], "주문-야간: FAILED at upload: offsite: no space <left> & \"quota\" 초과");
    assert_eq!(mail["sender"], "backup@example.org");
    assert_eq!(mail["recipients"], json!(["ops@example.org", "second@example.org"]));
    assert_eq!(mail["from"], "백업 <backup@example.org>");
    let body = mail["body"].as_str().unwrap();
    assert!(body.contains("Error: offsite: no space <left> & \"quota\" 초과\nsecond line\n"), "{body}");
    let id = mail["message_id"].as_str().unwrap();
    assert!(id.starts_with("<20261120T021700Z-4f3a9c.") && id.ends_with("@db1.example>"), "{id}");
    assert_eq!(mail["auto_submitted"], "auto-generated");
    assert_eq!(mail["hello"], "db1.example");
    assert!(mail["date"].as_str().unwrap().contains("20"), "{mail}");
    let raw = mail["raw"].as_str().unwrap();
    assert!(raw.contains("\r\nSubject: =?utf-8?b?"), "the subject is encoded, so that any server can take it: {raw}");
}

#[test]
fn starttls_and_implicit_tls_log_in_over_an_encrypted_line() {
    for tls in ["starttls", "implicit"] {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        let options = SmtpOptions { tls: Some((tls, &certificates)), login: Some(("backup", CANARY)), ..SmtpOptions::default() };
        let sink = SmtpSink::start(folder.path(), &options);
        logged_in(folder.path(), sink.port, tls, &certificates.authority, CANARY).unwrap();
        let [mail] = &sink.mails()[..] else { panic!("one mail") };
        assert_eq!((&mail["tls"], &mail["authenticated"]), (&json!(true), &json!(true)), "{tls}");
    }
}

#[test]
fn a_wrong_password_is_denied_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path());
    let options = SmtpOptions { tls: Some(("starttls", &certificates)), login: Some(("backup", "right")), ..SmtpOptions::default() };
    let sink = SmtpSink::start(folder.path(), &options);
    let error = logged_in(folder.path(), sink.port, "starttls", &certificates.authority, CANARY).unwrap_err();
    assert_eq!((error.class(), error.retryable()), (Class::Denied, false), "{error}");
    assert!(error.to_string().contains("535") && !format!("{error} {error:?}").contains("canary"), "{error}");
    assert_eq!(sink.mails().len(), 0);
}

#[test]
fn a_password_never_goes_to_a_server_without_the_tls_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path());
    let options = SmtpOptions { login: Some(("backup", CANARY)), ..SmtpOptions::default() };
    let sink = SmtpSink::start(folder.path(), &options);
    let error = logged_in(folder.path(), sink.port, "starttls", &certificates.authority, CANARY).unwrap_err();
    assert!(error.to_string().contains("STARTTLS is not supported on this server"), "{error}");
    assert!(!error.retryable());
}

#[test]
fn an_unknown_authority_is_not_trusted_with_the_mail() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path());
    for tls in ["starttls", "implicit"] {
        let sink = SmtpSink::start(folder.path(), &SmtpOptions { tls: Some((tls, &certificates)), ..SmtpOptions::default() });
        let error = send(&mail(sink.port, &json!({ "tls": tls })), &Secrets::default()).unwrap_err();
        assert_eq!((error.class(), error.retryable()), (Class::Unreachable, false), "{tls}: {error}");
        assert!(error.to_string().contains("UnknownIssuer") && error.to_string().contains("ca_file"), "{tls}: {error}");
    }
}

#[test]
fn a_server_that_is_busy_gets_the_same_mail_again_and_one_that_refuses_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let sink = SmtpSink::start(folder.path(), &SmtpOptions { replies: vec!["451 try later", "250 OK"], ..SmtpOptions::default() });
    send(&mail(sink.port, &json!({})), &Secrets::default()).unwrap();
    let [first, second] = &sink.mails()[..] else { panic!("two mails") };
    assert_eq!(first["message_id"], second["message_id"]);

    let folder = tempfile::tempdir().unwrap();
    let sink = SmtpSink::start(folder.path(), &SmtpOptions { replies: vec!["554 5.7.1 no thanks"], ..SmtpOptions::default() });
    let error = send(&mail(sink.port, &json!({})), &Secrets::default()).unwrap_err();
    assert_eq!((error.class(), error.retryable(), sink.mails().len()), (Class::Failed, false, 1), "{error}");
    assert!(error.to_string().contains("554: 5.7.1 no thanks"), "{error}");
}

#[test]
fn a_dead_mail_server_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let sink = SmtpSink::start(folder.path(), &SmtpOptions::default());
    let step = mail(sink.port, &json!({}));
    drop(sink);
    let error = step.send(&Secrets::default(), &good(), &Cancel::new()).unwrap_err();
    assert_eq!((error.class(), error.retryable()), (Class::Unreachable, true), "{error}");
    assert!(error.to_string().contains("Connection refused") && error.to_string().ends_with("(tried 3 times)"), "{error}");
}
