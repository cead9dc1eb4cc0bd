//! From a channel's parameters to the request it posts, and what can be wrong with them before anything is sent.
//!
//! This module does not talk to any server.

use ring::hmac;
use serde::Serialize;
use ureq::http::Method;

use super::attempt::TRY_LIMIT;
use super::channel::{PagerDuty, Slack, Webhook};
use super::error::NotifyError;
use super::facts::Facts;
use super::http::roots;
use super::record::{PagerDutyEvent, Record, SlackMessage, Text};
use crate::secret::{Secret, SecretRef};
use crate::step::web::{Call, PLAIN_TEXT, TextOrSecret, header_problem, in_plain_text, url_leak, url_problem};
use crate::stream::digest::hex;

/// The header that carries the signature of a webhook's body.
const SIGNATURE: &str = "X-Runner-Signature";

/// Opens a secret for a channel.
pub(super) trait Open: Fn(&SecretRef) -> Result<Secret, NotifyError> {}

impl<F: Fn(&SecretRef) -> Result<Secret, NotifyError>> Open for F {}

fn body(channel: &'static str, value: &impl Serialize) -> Result<Vec<u8>, NotifyError> {
    serde_json::to_vec(value).map_err(|error| setup(channel, "body", error.to_string()))
}

fn setup(channel: &'static str, field: &str, problem: impl Into<String>) -> NotifyError {
    NotifyError::Setup { channel, field: field.to_owned(), problem: problem.into() }
}

/// A POST of a JSON body.
fn call(url: Secret, body: Vec<u8>) -> Call {
    Call { method: Method::POST, url, headers: Vec::new(), json: Some(body), hidden: Vec::new(), roots: None, limit: TRY_LIMIT }
}

impl Slack {
    pub(super) fn post(&self, open: &impl Open, text: &Text, facts: &Facts) -> Result<Call, NotifyError> {
        let url = open(&self.url)?;
        if in_plain_text(url.expose()) {
            return Err(setup("slack", "url", PLAIN_TEXT));
        }
        let body = body("slack", &SlackMessage::new(text, facts.outcome))?;
        Ok(call(url, body))
    }
}

impl PagerDuty {
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let plain = in_plain_text(&self.endpoint).then_some(PLAIN_TEXT);
        let problem = url_problem(&self.endpoint).or(plain);
        problem.map(|problem| ("pagerduty/endpoint".to_owned(), problem.to_owned())).into_iter().collect()
    }

    pub(super) fn post(&self, open: &impl Open, text: &Text, facts: &Facts) -> Result<Call, NotifyError> {
        let routing_key = open(&self.routing_key)?;
        let body = body("pagerduty", &PagerDutyEvent::new(routing_key.expose(), self.severity, text, facts))?;
        Ok(Call { hidden: vec![routing_key], ..call(Secret::new(self.endpoint.clone()), body) })
    }
}

impl Webhook {
    pub(super) fn secrets(&self) -> Vec<&SecretRef> {
        let texts = std::iter::once(&self.url).chain(self.headers.values());
        texts.filter_map(TextOrSecret::secret).chain(&self.hmac).collect()
    }

    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if let TextOrSecret::Text(url) = &self.url {
            let problem = url_problem(url).or_else(|| url_leak(url, self.headers.values()));
            problems.extend(problem.map(|problem| ("webhook/url".to_owned(), problem.to_owned())));
        }
        for (name, value) in &self.headers {
            let problem = header_problem(name, value);
            problems.extend(problem.map(|problem| (format!("webhook/headers/{name}"), problem.to_owned())));
        }
        problems
    }

    pub(super) fn post(&self, open: &impl Open, text: &Text, facts: &Facts) -> Result<Call, NotifyError> {
        let body = body("webhook", &Record::new(text, facts))?;
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        for (name, text) in &self.headers {
            headers.push((name.clone(), text.open(open)?));
        }
        let key = self.hmac.as_ref().map(open).transpose()?;
        headers.extend(key.as_ref().map(|key| (SIGNATURE.to_owned(), Secret::new(signature(key, &body)))));
        let roots = self.ca_file.as_deref().map(roots).transpose()?;
        Ok(Call { headers, hidden: key.into_iter().collect(), roots, ..call(self.url.open(open)?, body) })
    }
}

fn signature(key: &Secret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    let tag = hmac::sign(&key, body);
    format!("sha256={}", hex(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_hmac_sha256_in_hex() {
        // RFC 4231, test case 2.
        let tag = signature(&Secret::new("Jefe".to_owned()), b"what do ya want for nothing?");
        assert_eq!(tag, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
