//! From a channel's parameters to the request it posts, and what can be wrong with them before anything is sent.
//!
//! This module does not talk to any server.

use ring::hmac;
use serde::Serialize;

use super::channel::{PagerDuty, Slack, TextOrSecret, Webhook};
use super::error::NotifyError;
use super::facts::Facts;
use super::http::{Post, in_plain_text, roots, url_problem};
use super::record::{PagerDutyEvent, Record, SlackMessage, Text};
use crate::secret::{Secret, SecretRef};
use crate::stream::digest::hex;

/// The header that carries the signature of a webhook's body.
const SIGNATURE: &str = "X-Runner-Signature";

/// Words in the names of headers whose value proves who we are.
const TELLTALE: [&str; 5] = ["authorization", "token", "api-key", "apikey", "secret"];

const PLAIN_TEXT: &str = "must begin with https://: over http:// the secret would cross the network in plain text";

/// Opens a secret for a channel.
pub(super) trait Open: Fn(&SecretRef) -> Result<Secret, NotifyError> {}

impl<F: Fn(&SecretRef) -> Result<Secret, NotifyError>> Open for F {}

fn body(channel: &'static str, value: &impl Serialize) -> Result<Vec<u8>, NotifyError> {
    serde_json::to_vec(value).map_err(|error| setup(channel, "body", error.to_string()))
}

fn setup(channel: &'static str, field: &str, problem: impl Into<String>) -> NotifyError {
    NotifyError::Setup { channel, field: field.to_owned(), problem: problem.into() }
}

impl Slack {
    pub(super) fn post(&self, open: &impl Open, text: &Text, facts: &Facts) -> Result<Post, NotifyError> {
        let url = open(&self.url)?;
        if in_plain_text(url.expose()) {
            return Err(setup("slack", "url", PLAIN_TEXT));
        }
        let body = body("slack", &SlackMessage::new(text, facts.outcome))?;
        Ok(Post { url, headers: Vec::new(), body, hidden: Vec::new(), roots: None })
    }
}

impl PagerDuty {
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let plain = in_plain_text(&self.endpoint).then_some(PLAIN_TEXT);
        let problem = url_problem(&self.endpoint).or(plain);
        problem.map(|problem| ("pagerduty/endpoint".to_owned(), problem.to_owned())).into_iter().collect()
    }

    pub(super) fn post(&self, open: &impl Open, text: &Text, facts: &Facts) -> Result<Post, NotifyError> {
        let routing_key = open(&self.routing_key)?;
        let body = body("pagerduty", &PagerDutyEvent::new(routing_key.expose(), self.severity, text, facts))?;
        Ok(Post { url: Secret::new(self.endpoint.clone()), headers: Vec::new(), body, hidden: vec![routing_key], roots: None })
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
            let problem = url_problem(url).or_else(|| self.leak(url));
            problems.extend(problem.map(|problem| ("webhook/url".to_owned(), problem.to_owned())));
        }
        for (name, value) in &self.headers {
            let problem = header_problem(name, value);
            problems.extend(problem.map(|problem| (format!("webhook/headers/{name}"), problem.to_owned())));
        }
        problems
    }

    fn leak(&self, url: &str) -> Option<&'static str> {
        let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        if authority.contains('@') {
            return Some("holds a user or password: make the whole URL a secret (`url: { secret: name }`)");
        }
        let secret_header = self.headers.values().any(|value| matches!(value, TextOrSecret::Secret(_)));
        (secret_header && in_plain_text(url)).then_some(PLAIN_TEXT)
    }

    pub(super) fn post(&self, open: &impl Open, text: &Text, facts: &Facts) -> Result<Post, NotifyError> {
        let value = |text: &TextOrSecret| match text {
            TextOrSecret::Text(text) => Ok(Secret::new(text.clone())),
            TextOrSecret::Secret(secret) => open(secret),
        };
        let body = body("webhook", &Record::new(text, facts))?;
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        for (name, text) in &self.headers {
            headers.push((name.clone(), value(text)?));
        }
        let key = self.hmac.as_ref().map(open).transpose()?;
        headers.extend(key.as_ref().map(|key| (SIGNATURE.to_owned(), Secret::new(signature(key, &body)))));
        let roots = self.ca_file.as_deref().map(roots).transpose()?;
        Ok(Post { url: value(&self.url)?, headers, body, hidden: key.into_iter().collect(), roots })
    }
}

fn header_problem(name: &str, value: &TextOrSecret) -> Option<&'static str> {
    if ureq::http::HeaderName::try_from(name).is_err() {
        return Some("is not the name of an HTTP header");
    }
    let TextOrSecret::Text(text) = value else { return None };
    if ureq::http::HeaderValue::try_from(text.as_str()).is_err() {
        return Some("holds a character that HTTP does not allow, such as a line break");
    }
    let lower = name.to_lowercase();
    let telltale = TELLTALE.iter().any(|word| lower.contains(word));
    telltale.then_some(super::LITERAL_SECRET)
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
