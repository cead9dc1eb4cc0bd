//! The parameters of each channel, as written in a pipeline.
//!
//! This module does not send anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::SecretRef;
use crate::step::web::TextOrSecret;

/// A Slack channel, through an incoming webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// The webhook's URL. Who knows it can post, so it is a secret as a whole.
    pub url: SecretRef,
}

/// A PagerDuty service, through the Events API v2: a failed run triggers an alert, the next good run resolves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PagerDuty {
    /// The service's integration key.
    pub routing_key: SecretRef,
    /// How bad a failed run is.
    #[serde(default)]
    pub severity: Severity,
    /// Where events are sent; change it for the EU service region (`https://events.eu.pagerduty.com/v2/enqueue`).
    #[serde(default = "pagerduty_endpoint")]
    pub endpoint: String,
}

fn pagerduty_endpoint() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}

/// The severity of a PagerDuty alert, in PagerDuty's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody must act now.
    Critical,
    /// Somebody must act.
    #[default]
    Error,
    /// Somebody should look.
    Warning,
    /// Nobody needs to do anything.
    Info,
}

/// Any HTTP server that takes a POST with a JSON body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The URL: a text, or a secret when who knows it can post.
    pub url: TextOrSecret,
    /// Further request headers; a value that proves who we are is a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, TextOrSecret>,
    /// The key to sign the body with: `X-Runner-Signature: sha256=<hex of HMAC-SHA256(key, body)>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<SecretRef>,
    /// Certificates of the authorities to trust instead of the system's, as a PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// A mail server that takes mail for delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// The server's host name or address.
    pub host: String,
    /// The port; 587 with `starttls`, 465 with `implicit`, 25 with `none` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: MailTls,
    /// Certificates of the authorities to trust instead of the system's, as a PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The user to log in as; without one there is no log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The sender: `backup@example.org` or `Backups <backup@example.org>`.
    pub from: String,
    /// The recipients.
    #[schemars(length(min = 1))]
    pub to: Vec<String>,
}

impl Smtp {
    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            MailTls::Starttls => 587,
            MailTls::Implicit => 465,
            MailTls::None => 25,
        })
    }
}

/// How the connection to a mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Plain at first, then TLS; a server that does not offer it is refused.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// No TLS: only for a server on the same host or a network you trust, and never with a password.
    None,
}

/// A file that grows by one record a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendFile {
    /// The file; its folder must exist.
    pub path: PathBuf,
    /// What is appended.
    #[serde(default)]
    pub format: RecordFormat,
}

/// The form of a record in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// One line of JSON, the same as a webhook's body.
    #[default]
    Json,
    /// The title and the message, then an empty line.
    Text,
}

/// Standard output of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stdout {}
