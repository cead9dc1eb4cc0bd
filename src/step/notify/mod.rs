//! The `notify` step: tells people or machines how a run ended.
//!
//! One step, one channel: Slack, PagerDuty, a webhook, mail, a file or standard output. The text is a template or, by
//! default, clear words; the facts it speaks of are [`Facts`]. A delivery is tried three times at most and never lets a
//! secret into an error. When a step runs (`when: always|success|failure`) is not decided here, and nothing is printed.

pub mod channel;
pub mod facts;
pub mod words;

mod append;
mod attempt;
mod error;
mod http;
mod mail;
mod post;
mod record;
mod sample;
mod template;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::{Presence, SecretRef, Secrets};
use crate::stream::Cancel;
use channel::{AppendFile, PagerDuty, Slack, Smtp, Stdout, Webhook};
pub use error::NotifyError;
pub use facts::{ArtifactFact, CopyFact, Facts, Outcome};
use record::Text;
use template::{Escape, mrkdwn, render};

/// Tell people or machines how the run ended. Exactly one of `slack`, `pagerduty`, `webhook`, `smtp`, `file` and `stdout`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// A Slack channel, through an incoming webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Slack>,
    /// A PagerDuty service: a failed run triggers an alert, the next good run resolves it (so let it run `always`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagerduty: Option<PagerDuty>,
    /// Any HTTP server that takes a POST with a JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    /// A file that grows by one record a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<AppendFile>,
    /// Standard output of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Stdout>,
    /// One line, as a template; unless given, the pipeline, what was reached or what failed, size and time.
    /// Names: `pipeline`, `run`, `outcome` (`success`, `warning`, `failure`, `cancelled`), `level`, `size`, `took`, `title` (the
    /// default title), `started`, `finished`, `duration_seconds`, `bytes_in`, `bytes_out`, `artifacts`, `copies`, `failed_step`, `error`,
    /// `warnings`, `left_out`, `tables`, `recovery_seconds`, `recovery_bytes_per_second`, `rto_seconds`, `host`, `checks`. Filters: `size` for bytes, `duration` for seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text, as a template with the same names; unless given, the run, its restore point, sizes and everything that went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It was delivered.
    Sent {
        /// The text: the title, an empty line, the message. For `stdout` this is the delivery, and the caller prints it.
        text: String,
    },
    /// It was not, because an optional secret is missing.
    Skipped {
        /// Which one, in words.
        why: String,
    },
}

enum Channel<'a> {
    Slack(&'a Slack),
    PagerDuty(&'a PagerDuty),
    Webhook(&'a Webhook),
    Smtp(&'a Smtp),
    File(&'a AppendFile),
    Stdout,
}

impl Notify {
    /// Finds the first thing wrong with the parameters, as field (`smtp/to/0`, empty for the step) and message.
    pub fn check(&self) -> Result<(), (String, String)> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything wrong with the parameters. Templates are tried on facts of every outcome: a template that works only
    /// for good runs would lose the notification of a bad one.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = match &self.channels()[..] {
            [channel] => channel.problems(),
            channels => {
                let how_many = if channels.is_empty() { "no channel" } else { "more than one channel" };
                vec![(String::new(), format!("names {how_many}: give exactly one of slack, pagerduty, webhook, smtp, file, stdout"))]
            }
        };
        problems.extend(self.template_problems());
        problems
    }

    /// The name of the channel, such as `slack`.
    pub fn channel_name(&self) -> &'static str {
        self.channels().first().map_or("notify", Channel::name)
    }

    /// The secrets that it needs.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        self.channels().iter().flat_map(Channel::secrets).collect()
    }

    /// Delivers a notification; blocks for two and a half minutes at the very most.
    ///
    /// A template that fails on these facts does not lose the notification: the default text goes out and says so.
    pub fn send(&self, secrets: &Secrets, facts: &Facts, cancel: &Cancel) -> Result<Delivery, NotifyError> {
        let channels = self.channels();
        let Some(channel) = channels.first() else {
            return Err(NotifyError::Setup { channel: "notify", field: "step".to_owned(), problem: "names no channel".to_owned() });
        };
        if let Some(missing) = channel.secrets().into_iter().find(|s| secrets.is_optional(s) && secrets.presence(s) == Presence::Missing) {
            return Ok(Delivery::Skipped { why: format!("{}: the optional secret `{}` is missing", channel.name(), missing.secret) });
        }
        let text = self.text(facts, if matches!(channel, Channel::Slack(_)) { Escape::Mrkdwn } else { Escape::Plain });
        channel.send(&text, secrets, facts, cancel)?;
        Ok(Delivery::Sent { text: format!("{}\n\n{}", text.title, text.message) })
    }

    fn channels(&self) -> Vec<Channel<'_>> {
        let all = [
            self.slack.as_ref().map(Channel::Slack),
            self.pagerduty.as_ref().map(Channel::PagerDuty),
            self.webhook.as_ref().map(Channel::Webhook),
            self.smtp.as_ref().map(Channel::Smtp),
            self.file.as_ref().map(Channel::File),
            self.stdout.as_ref().map(|_| Channel::Stdout),
        ];
        all.into_iter().flatten().collect()
    }

    fn template_problems(&self) -> Vec<(String, String)> {
        let Ok(samples) = sample::each_outcome() else { return Vec::new() };
        let templates = [("title", &self.title), ("message", &self.message)];
        let given = templates.into_iter().filter_map(|(field, template)| Some((field, template.as_deref()?)));
        let problem = |source: &str| samples.iter().find_map(|facts| Some((facts.outcome, render(source, facts, Escape::Plain).err()?)));
        given
            .filter_map(|(field, source)| {
                let (outcome, why) = problem(source)?;
                let how = if outcome.is_good() { "a run that succeeded" } else { "a run that failed" };
                Some((field.to_owned(), format!("does not render for {how}: {why}")))
            })
            .collect()
    }

    fn text(&self, facts: &Facts, escape: Escape) -> Text {
        let escaped = |text: String| if escape == Escape::Mrkdwn { mrkdwn(&text) } else { text };
        let or_default = |template: &Option<String>, default: fn(&Facts) -> String| match template {
            None => (escaped(default(facts)), None),
            Some(source) => match render(source, facts, escape) {
                Ok(text) => (text, None),
                Err(why) => (escaped(default(facts)), Some(why)),
            },
        };
        let (title, title_failed) = or_default(&self.title, words::title);
        let (mut message, message_failed) = or_default(&self.message, words::message);
        for (field, why) in [("title", title_failed), ("message", message_failed)] {
            let note = why.map(|why| escaped(format!("\nNote: the template of `{field}` failed, so this is the default text: {why}")));
            message.push_str(&note.unwrap_or_default());
        }
        // A title is one line wherever it goes; a mail header could not even hold another.
        Text { title: title.split_whitespace().collect::<Vec<_>>().join(" "), message }
    }
}

impl<'a> Channel<'a> {
    fn name(&self) -> &'static str {
        match self {
            Self::Slack(_) => "slack",
            Self::PagerDuty(_) => "pagerduty",
            Self::Webhook(_) => "webhook",
            Self::Smtp(_) => "smtp",
            Self::File(_) => "file",
            Self::Stdout => "stdout",
        }
    }

    fn secrets(&self) -> Vec<&'a SecretRef> {
        match self {
            Self::Slack(slack) => vec![&slack.url],
            Self::PagerDuty(pagerduty) => vec![&pagerduty.routing_key],
            Self::Webhook(webhook) => webhook.secrets(),
            Self::Smtp(smtp) => smtp.password.iter().collect(),
            Self::File(_) | Self::Stdout => Vec::new(),
        }
    }

    fn problems(&self) -> Vec<(String, String)> {
        match self {
            Self::PagerDuty(pagerduty) => pagerduty.problems(),
            Self::Webhook(webhook) => webhook.problems(),
            Self::Smtp(smtp) => mail::problems(smtp),
            Self::File(file) if file.path.as_os_str().is_empty() => vec![("file/path".to_owned(), "is empty".to_owned())],
            Self::Slack(_) | Self::File(_) | Self::Stdout => Vec::new(),
        }
    }

    fn send(&self, text: &Text, secrets: &Secrets, facts: &Facts, cancel: &Cancel) -> Result<(), NotifyError> {
        let open = |reference: &SecretRef| secrets.open(reference).map_err(|source| NotifyError::Secret { channel: self.name(), source });
        match self {
            Self::Slack(slack) => http::post("slack", slack.post(&open, text, facts)?, cancel),
            Self::PagerDuty(pagerduty) => http::post("pagerduty", pagerduty.post(&open, text, facts)?, cancel),
            Self::Webhook(webhook) => http::post("webhook", webhook.post(&open, text, facts)?, cancel),
            Self::Smtp(smtp) => mail::send(smtp, smtp.password.as_ref().map(open).transpose()?, text, facts, cancel),
            Self::File(file) => file.append(text, facts, cancel),
            Self::Stdout => Ok(()),
        }
    }
}
