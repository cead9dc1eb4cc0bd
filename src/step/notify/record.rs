//! What each channel is told, as JSON: the record of webhooks and files, the message for Slack, the event for PagerDuty.
//!
//! This module does not send anything.

use jiff::Timestamp;
use serde::Serialize;

use super::channel::Severity;
use super::facts::{Facts, Outcome};
use crate::words::cut;

/// The version of [`Record`].
const VERSION: u32 = 1;

/// A finished text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// One line.
    pub(super) title: String,
    /// Any number of lines.
    pub(super) message: String,
}

/// The record of one run: the body of a webhook and a line of a file.
///
/// `{"version":1,"title":…,"message":…}` followed by the fields of [`Facts`] under their names; times are RFC 3339 in
/// UTC, sizes bytes, `duration_seconds` seconds, what is not known is `null`.
#[derive(Debug, Serialize)]
pub(super) struct Record<'a> {
    version: u32,
    title: &'a str,
    message: &'a str,
    #[serde(flatten)]
    facts: &'a Facts,
}

impl<'a> Record<'a> {
    pub(super) fn new(text: &'a Text, facts: &'a Facts) -> Self {
        Self { version: VERSION, title: &text.title, message: &text.message, facts }
    }
}

/// A message for a Slack incoming webhook: the title as text, the message as an attachment with a bar in the outcome's colour.
#[derive(Debug, Serialize)]
pub(super) struct SlackMessage<'a> {
    text: &'a str,
    attachments: [SlackAttachment; 1],
}

#[derive(Debug, Serialize)]
struct SlackAttachment {
    color: &'static str,
    text: String,
    fallback: String,
    mrkdwn_in: [&'static str; 1],
}

/// Slack cuts longer texts itself, in the middle of an escape if need be.
const SLACK_LIMIT: usize = 3000;

impl<'a> SlackMessage<'a> {
    pub(super) fn new(text: &'a Text, outcome: Outcome) -> Self {
        let color = match outcome {
            Outcome::Success => "#2eb67d",
            Outcome::Warning => "#ecb22e",
            Outcome::Failure => "#e01e5a",
            Outcome::Cancelled => "#9e9e9e",
        };
        let body = cut(&text.message, SLACK_LIMIT);
        let fallback = cut(&text.title, SLACK_LIMIT);
        Self { text: &text.title, attachments: [SlackAttachment { color, text: body, fallback, mrkdwn_in: ["text"] }] }
    }
}

/// An event of the PagerDuty Events API v2: `trigger` for a run that failed or was cancelled, `resolve` for a good one.
/// All runs of a pipeline share the `dedup_key`, so that a good run resolves what a bad one raised.
#[derive(Debug, Serialize)]
pub(super) struct PagerDutyEvent<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: &'a str,
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<PagerDutyPayload<'a>>,
}

#[derive(Debug, Serialize)]
struct PagerDutyPayload<'a> {
    summary: String,
    source: &'a str,
    severity: Severity,
    timestamp: Timestamp,
    component: &'a str,
    class: &'static str,
    custom_details: Record<'a>,
}

/// The most characters of a summary, by the API's documentation.
const PAGERDUTY_LIMIT: usize = 1023;

impl<'a> PagerDutyEvent<'a> {
    pub(super) fn new(routing_key: &'a str, severity: Severity, text: &'a Text, facts: &'a Facts) -> Self {
        let good = facts.outcome.is_good();
        let payload = (!good).then(|| PagerDutyPayload {
            summary: cut(&text.title, PAGERDUTY_LIMIT),
            source: &facts.host,
            severity,
            timestamp: facts.finished,
            component: facts.pipeline.as_str(),
            class: "backup",
            custom_details: Record::new(text, facts),
        });
        let event_action = if good { "resolve" } else { "trigger" };
        Self { routing_key, event_action, dedup_key: facts.pipeline.as_str(), client: "runner", payload }
    }
}
