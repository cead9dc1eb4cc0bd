//! Mail through an SMTP server: one plain-text message in UTF-8, the same message on every try.
//!
//! This module does not queue: a server that can not take the mail now is an error.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport};

use super::attempt::{Failure, Peer, deliver};
use super::channel::{MailTls, Smtp};
use super::error::NotifyError;
use super::facts::Facts;
use super::record::Text;
use crate::secret::Secret;
use crate::step::web::{excerpt, is_loopback, untrusted};
use crate::stream::Cancel;

/// How long one command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// What is wrong with the parameters, as field and problem.
pub(super) fn problems(smtp: &Smtp) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut say = |field: &str, problem: String| problems.push((format!("smtp/{field}"), problem));
    if smtp.host.trim().is_empty() {
        say("host", "is empty".to_owned());
    }
    if let Err(problem) = mailbox(&smtp.from) {
        say("from", problem);
    }
    if smtp.to.is_empty() {
        say("to", "names nobody".to_owned());
    }
    for (index, to) in smtp.to.iter().enumerate() {
        if let Err(problem) = mailbox(to) {
            say(&format!("to/{index}"), problem);
        }
    }
    if smtp.user.is_some() != smtp.password.is_some() {
        say("user", "and `password` go together: give both or neither".to_owned());
    }
    if smtp.password.is_some() && smtp.tls == MailTls::None && !is_loopback(&smtp.host) {
        say("tls", "must not be `none` with a password: it would cross the network in plain text".to_owned());
    }
    problems
}

/// Sends the mail, at most three times.
pub(super) fn send(smtp: &Smtp, password: Option<Secret>, text: &Text, facts: &Facts, cancel: &Cancel) -> Result<(), NotifyError> {
    let peer = Peer { channel: "smtp", host: format!("{}:{}", smtp.host, smtp.port()) };
    let (envelope, mail) = message(smtp, text, facts)?;
    let transport = transport(smtp, password.as_ref(), facts)?;
    deliver(&peer.clone(), cancel, move || match transport.send_raw(&envelope, &mail) {
        Ok(_) => Ok(()),
        Err(error) => Err(judge(&peer, &error, password.as_ref())),
    })
}

fn setup(field: &str, problem: impl Into<String>) -> NotifyError {
    NotifyError::Setup { channel: "smtp", field: field.to_owned(), problem: problem.into() }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|_| format!("{text:?} is not a mail address: write `backup@example.org` or `Backups <backup@example.org>`"))
}

fn message(smtp: &Smtp, text: &Text, facts: &Facts) -> Result<(Envelope, Vec<u8>), NotifyError> {
    let mut builder: MessageBuilder = lettre::Message::builder().from(mailbox(&smtp.from).map_err(|problem| setup("from", problem))?);
    for to in &smtp.to {
        builder = builder.to(mailbox(to).map_err(|problem| setup("to", problem))?);
    }
    // RFC 3834: nobody's holiday reply should answer a backup.
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mail = builder
        .subject(&text.title)
        .message_id(Some(message_id(facts)))
        .date_now()
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN)
        .body(format!("{}\n", text.message))
        .map_err(|error| setup("message", error.to_string()))?;
    Ok((mail.envelope().clone(), mail.formatted()))
}

/// The same on every try of one delivery, so that a server that took the mail twice can tell.
fn message_id(facts: &Facts) -> String {
    let random = getrandom::u64().unwrap_or_default();
    format!("<{}.{random:016x}@{}>", facts.run, domain(&facts.host).unwrap_or("localhost"))
}

/// A host name if it can stand in a mail header or greeting.
fn domain(host: &str) -> Option<&str> {
    let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    (plain && !host.is_empty() && host.len() < 254).then_some(host)
}

fn transport(smtp: &Smtp, password: Option<&Secret>, facts: &Facts) -> Result<SmtpTransport, NotifyError> {
    let tls = match smtp.tls {
        MailTls::None => Tls::None,
        MailTls::Starttls => Tls::Required(parameters(smtp)?),
        MailTls::Implicit => Tls::Wrapper(parameters(smtp)?),
    };
    let mut builder = SmtpTransport::builder_dangerous(&smtp.host).port(smtp.port()).tls(tls).timeout(Some(COMMAND_LIMIT));
    if let Some(name) = domain(&facts.host) {
        builder = builder.hello_name(ClientId::Domain(name.to_owned()));
    }
    if let (Some(user), Some(password)) = (&smtp.user, password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

fn parameters(smtp: &Smtp) -> Result<TlsParameters, NotifyError> {
    let mut builder = TlsParameters::builder(smtp.host.clone());
    if let Some(path) = &smtp.ca_file {
        for certificate in super::http::roots(path)? {
            let certificate =
                Certificate::from_der(certificate.der().to_vec()).map_err(|_| setup("ca_file", "holds a broken certificate"))?;
            builder = builder.add_root_certificate(certificate);
        }
        builder = builder.certificate_store(CertificateStore::None);
    }
    builder.build().map_err(|error| setup("tls", error.to_string()))
}

fn judge(peer: &Peer, error: &lettre::transport::smtp::Error, password: Option<&Secret>) -> Failure {
    let hidden: Vec<&str> = password.iter().map(|password| password.expose()).collect();
    let words = excerpt(&said(error), &hidden);
    let error = match error.status().map(u16::from) {
        Some(code) if error.is_transient() => peer.busy(format!("{code}: {words}")),
        // RFC 4954, section 6: authentication required, mechanism too weak, credentials invalid, encryption needed.
        Some(code) => peer.refused(format!("{code}: {words}"), matches!(code, 530 | 534 | 535 | 538)),
        None if error.is_client() => peer.refused(words, false),
        None => match tls(error) {
            Some(tls) => peer.unreachable(untrusted(tls), false),
            None => peer.unreachable(words, !error.is_tls()),
        },
    };
    error.into()
}

/// The innermost cause in words: what wraps it only repeats `Connection error`.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => said(source),
        None if timed_out(error) => format!("no answer within {} s", COMMAND_LIMIT.as_secs()),
        None => error.to_string(),
    }
}

/// A limit that passes on a socket reads `Resource temporarily unavailable`, which tells nobody anything.
fn timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    error.downcast_ref::<std::io::Error>().is_some_and(|io| matches!(io.kind(), TimedOut | WouldBlock))
}

fn tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let io = |e: &'a (dyn std::error::Error + 'static)| e.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>();
    error.downcast_ref::<rustls::Error>().or_else(|| io(error)).or_else(|| tls(error.source()?))
}
