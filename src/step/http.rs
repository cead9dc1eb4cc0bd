//! `http`: asks a web server until it answers as expected, or time is up: a health check at the end of a runbook.
//!
//! Only a secret reference holds what may not be seen; errors name the host alone. This file sends no data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration as StdDuration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ureq::http::StatusCode;

use super::patience::{pause, within};
use super::web::{self, Answer, Call, Fault, LITERAL_SECRET, PLAIN_TEXT, Server, TextOrSecret};
use super::{Cx, PerformEffect, Problem, References, StepError, StepKind, Trouble};
use crate::diagnostic::Class;
use crate::quantity::{Duration, brief};
use crate::words::{count, cut, quoted};

/// What one request may take over its own limit before its thread is given up.
const GRACE: StdDuration = StdDuration::from_secs(5);

/// Asks a web server until it answers as expected, or time is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The URL: a text, or a secret when the URL itself gives something away.
    pub url: TextOrSecret,
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// Further request headers, none unless given; a value that proves who we are is a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, TextOrSecret>,
    /// Certificates of the authorities to trust, as a PEM file; the system's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The answer that is good; status 200 unless given.
    #[serde(default)]
    #[schemars(default)]
    pub expect: Expect,
    /// For how long it is asked again while the answer is not good; `0s` asks once.
    #[serde(default = "two_minutes", rename = "for")]
    pub patience: Duration,
    /// The time between one answer and the next request.
    #[serde(default = "five_seconds")]
    pub every: Duration,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

fn two_minutes() -> Duration {
    Duration::seconds(120)
}

fn five_seconds() -> Duration {
    Duration::seconds(5)
}

fn ten_seconds() -> Duration {
    Duration::seconds(10)
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Asks.
    #[default]
    Get,
    /// Asks, without the body of the answer.
    Head,
    /// Asks for something to be done, with an empty body.
    Post,
}

/// The answer that is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The statuses that are good.
    #[serde(default = "only_ok")]
    #[schemars(length(min = 1), inner(range(min = 100, max = 599)))]
    pub status: Vec<u16>,
    /// A text that the first 256 KiB of the answer must hold; not looked for unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

fn only_ok() -> Vec<u16> {
    vec![200]
}

impl Default for Expect {
    fn default() -> Self {
        Self { status: only_ok(), contains: None }
    }
}

impl Method {
    const fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        }
    }

    /// Whether it may change something.
    pub(super) const fn changes(self) -> bool {
        matches!(self, Self::Post)
    }

    const fn of_http(self) -> ureq::http::Method {
        match self {
            Self::Get => ureq::http::Method::GET,
            Self::Head => ureq::http::Method::HEAD,
            Self::Post => ureq::http::Method::POST,
        }
    }
}

impl Expect {
    fn words(&self) -> String {
        let statuses: Vec<String> = self.status.iter().map(ToString::to_string).collect();
        let contains = self.contains.as_ref().map(|text| format!(" with {}", quoted(&cut(text, 40)))).unwrap_or_default();
        format!("{}{contains}", crate::words::or(&statuses))
    }
}

impl StepKind for Http {
    fn references(&self) -> References<'_> {
        let texts = std::iter::once(&self.url).chain(self.headers.values());
        References { secrets: texts.filter_map(TextOrSecret::secret).collect(), ..References::default() }
    }

    fn words(&self) -> String {
        let (method, url, expected) = (self.method.word(), web::shown(&self.url), self.expect.words());
        if self.patience.std().is_zero() {
            return format!("{method} {url}, expecting {expected}");
        }
        format!("{method} {url} until {expected}, at most {}", self.patience)
    }

    fn problems(&self) -> Vec<Problem> {
        let said = |pointer: &str, name: &str, problem: &'static str| {
            let message = format!("`{name}` {problem}");
            if problem == LITERAL_SECRET {
                Problem::error("literal-secret", pointer, message)
            } else {
                Problem::error("bad-http", pointer, message)
            }
        };
        let mut problems = Vec::new();
        if let TextOrSecret::Text(url) = &self.url {
            problems.extend(web::url_problem(url).map(|problem| said("/url", "url", problem)));
            // A user and a password stand in it, unless it is a secret elsewhere that http:// would show.
            let leak = web::url_leak(url, self.headers.values());
            problems.extend(leak.map(|leak| match leak {
                PLAIN_TEXT => said("/url", "url", leak),
                _ => Problem::error("literal-secret", "/url", format!("`url` {leak}")),
            }));
        }
        for (name, value) in &self.headers {
            let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
            problems.extend(web::header_problem(name, value).map(|problem| said(&pointer, name, problem)));
        }
        if self.method == Method::Head && self.expect.contains.is_some() {
            problems.push(said("/expect/contains", "contains", "can never hold: the answer to HEAD has no body").help("use `method: GET`"));
        }
        for (name, value) in [("every", self.every), ("timeout", self.timeout)] {
            if value.std().is_zero() {
                problems.push(said(&format!("/{name}"), name, "must be longer than nothing"));
            }
        }
        problems
    }

    fn troubles(&self) -> Vec<Trouble> {
        let roots = self.roots().err();
        roots.map(|error| Trouble { class: error.class, message: error.message, help: error.hint }).into_iter().collect()
    }
}

/// Why an answer is not good.
struct Refused {
    class: Class,
    words: String,
    /// Whether asking again may help.
    passes: bool,
}

type Roots = Vec<ureq::tls::Certificate<'static>>;

impl Http {
    fn roots(&self) -> Result<Option<Roots>, StepError> {
        let read = |path: &PathBuf| {
            let failed = |error| StepError::new(Class::Failed, format!("reading the certificates in {}: {error}", path.display()));
            web::roots(path).map_err(failed)
        };
        self.ca_file.as_ref().map(read).transpose()
    }

    fn call(&self, cx: &Cx<'_>) -> Result<Call, StepError> {
        let value = |text: &TextOrSecret| text.open(|reference| cx.runtime.secrets().open(reference));
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, text) in &self.headers {
            headers.push((name.clone(), value(text)?));
        }
        Ok(Call {
            method: self.method.of_http(),
            url: value(&self.url)?,
            headers,
            json: None,
            hidden: Vec::new(),
            roots: self.roots()?,
            limit: self.timeout.std(),
        })
    }

    fn judge(&self, call: &Call, asked: Option<Result<Answer, Fault>>) -> Result<String, Refused> {
        let unreachable = |words: String, passes| Err(Refused { class: Class::Unreachable, words, passes });
        let answer = match asked {
            Some(Ok(answer)) => answer,
            Some(Err(Fault::Unreachable { detail, passes })) => return unreachable(detail, passes),
            Some(Err(Fault::Headers(problem))) => {
                return Err(Refused { class: Class::Failed, words: format!("the headers {problem}"), passes: false });
            }
            None => return unreachable("it keeps the line open without an end".to_owned(), true),
        };
        if !self.expect.status.contains(&answer.status.as_u16()) {
            let denied = matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            let class = if denied { Class::Denied } else { Class::Failed };
            return Err(Refused { class, words: format!("it answered {}", answer.said(call)), passes: true });
        }
        match &self.expect.contains {
            Some(text) if !answer.text.contains(text.as_str()) => {
                let words = format!("its answer does not hold {}: {}", quoted(text), answer.said(call));
                Err(Refused { class: Class::Failed, words, passes: true })
            }
            _ => Ok(answer.status.to_string()),
        }
    }
}

impl PerformEffect for Http {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let call = self.call(cx)?;
        let server = Server::of(&call).map_err(|problem| StepError::new(Class::Failed, format!("`url` {problem}")))?;
        let begun = Instant::now();
        for tries in 1_u32.. {
            let (asking, of) = (server.clone(), call.clone());
            let asked = within(self.timeout.std() + GRACE, cx.cancel, move || asking.ask(&of))?;
            let refused = match self.judge(&call, asked) {
                Ok(status) => {
                    cx.reports.note(format!("{} answered {status} at request {tries}", server.host));
                    break;
                }
                Err(refused) => refused,
            };
            if !refused.passes || begun.elapsed() + self.every.std() > self.patience.std() {
                let how = format!("{} in {}", count(tries, "request"), brief(begun.elapsed()));
                let message = format!("{} is not as expected ({how}): {}", server.host, refused.words);
                return Err(StepError::new(refused.class, message));
            }
            pause(cx.cancel, self.every.std())?;
        }
        Ok(())
    }
}
