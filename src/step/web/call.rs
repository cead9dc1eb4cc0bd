//! One request over HTTP(S) and its answer: rustls with the system's certificates, proxies as the environment says, no
//! redirects.
//!
//! What a request holds counts as secret when an answer or a failure is worded. This module tries nothing twice and does
//! not judge a status.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ureq::http::{Method, Request, Response, StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body};

use super::address::{is_loopback, url_problem};
use super::redact::excerpt;
use crate::secret::Secret;

/// How long to wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const ANSWER_LIMIT: u64 = 256 * 1024;

/// A request to be made.
#[derive(Clone)]
pub(in crate::step) struct Call {
    /// The method.
    pub(in crate::step) method: Method,
    /// The address, as a whole a secret for some.
    pub(in crate::step) url: Secret,
    /// Names and values of further headers.
    pub(in crate::step) headers: Vec<(String, Secret)>,
    /// A JSON body; none for methods that have none.
    pub(in crate::step) json: Option<Vec<u8>>,
    /// Values besides the URL and the headers that an answer might repeat.
    pub(in crate::step) hidden: Vec<Secret>,
    /// The authorities to trust instead of the system's.
    pub(in crate::step) roots: Option<Vec<Certificate<'static>>>,
    /// How long it may take from the connection to the end of the answer.
    pub(in crate::step) limit: Duration,
}

/// What a server answered.
pub(in crate::step) struct Answer {
    /// The status.
    pub(in crate::step) status: StatusCode,
    /// The beginning of the body, as the server sent it: it may repeat the request.
    pub(in crate::step) text: String,
    /// How long the server asks to wait.
    pub(in crate::step) wait: Option<Duration>,
    location: Option<String>,
}

/// Why there is no answer. The words hold nothing of the request.
#[derive(Debug)]
pub(in crate::step) enum Fault {
    /// The server could not be talked to; `passes` tells whether asking again may help.
    Unreachable { detail: String, passes: bool },
    /// The headers can not be sent.
    Headers(&'static str),
}

/// The server of a request, ready to be asked.
#[derive(Clone)]
pub(in crate::step) struct Server {
    agent: Agent,
    uri: Uri,
    /// Its host and port, and nothing else of the URL.
    pub(in crate::step) host: String,
}

impl Server {
    /// The server of a request, or what is wrong with the URL; the words do not repeat it.
    pub(in crate::step) fn of(call: &Call) -> Result<Self, &'static str> {
        let url = call.url.expose();
        if let Some(problem) = url_problem(url) {
            return Err(problem);
        }
        let uri: Uri = url.parse().map_err(|_| "is not a URL")?;
        let bare = uri.host().unwrap_or_default();
        let host = uri.port().map_or_else(|| bare.to_owned(), |port| format!("{bare}:{port}"));
        Ok(Self { agent: agent(call, is_loopback(bare)), host, uri })
    }

    /// Makes the request, once.
    pub(in crate::step) fn ask(&self, call: &Call) -> Result<Answer, Fault> {
        let mut request = Request::builder().method(&call.method).uri(&self.uri);
        for (name, value) in &call.headers {
            request = request.header(name, value.expose());
        }
        if call.json.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        match (&call.json, &call.method) {
            (Some(body), _) => self.run(call, request.body(body.clone())),
            (None, method) if *method == Method::POST => self.run(call, request.body(Vec::new())),
            (None, _) => self.run(call, request.body(())),
        }
    }

    fn run(&self, call: &Call, request: Result<Request<impl AsSendBody>, ureq::http::Error>) -> Result<Answer, Fault> {
        let sent = request.map_err(ureq::Error::Http).and_then(|request| self.agent.run(request));
        sent.map(answer).map_err(|error| fault(call, &error))
    }
}

fn agent(call: &Call, loopback: bool) -> Agent {
    let roots = call.roots.clone();
    let roots = roots.map_or(RootCerts::PlatformVerifier, |certificates| RootCerts::Specific(Arc::new(certificates)));
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(call.limit))
        .timeout_connect(Some(CONNECT_LIMIT.min(call.limit)))
        // A redirect could carry the secret elsewhere; it is told instead, with the host it names.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")));
    // A proxy can not reach this host's own loopback.
    if loopback { config.proxy(None).build().new_agent() } else { config.build().new_agent() }
}

fn answer(mut response: Response<Body>) -> Answer {
    let field = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let wait = field(header::RETRY_AFTER).and_then(|value| retry_after(&value, Timestamp::now()));
    let location = field(header::LOCATION);
    let mut bytes = Vec::new();
    // An answer that breaks off is judged by what came.
    let _whole = response.body_mut().as_reader().take(ANSWER_LIMIT).read_to_end(&mut bytes);
    Answer { status: response.status(), text: String::from_utf8_lossy(&bytes).into_owned(), wait, location }
}

impl Answer {
    /// The status and an excerpt of the body in one line without secrets; of a redirect, where it leads.
    pub(in crate::step) fn said(&self, call: &Call) -> String {
        let status = self.status;
        match &self.location {
            Some(location) if status.is_redirection() => match location.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)) {
                Some(host) => format!("{status}: it redirects to {host}, which is not followed; use the final URL"),
                None => format!("{status}: it redirects, which is not followed; use the final URL"),
            },
            _ => match excerpt(&self.text, &hidden(call)) {
                said if said.is_empty() => status.to_string(),
                said => format!("{status}: {said}"),
            },
        }
    }
}

fn hidden(call: &Call) -> Vec<&str> {
    let headers = call.headers.iter().map(|(_, value)| value);
    std::iter::once(&call.url).chain(headers).chain(&call.hidden).map(Secret::expose).collect()
}

fn fault(call: &Call, error: &ureq::Error) -> Fault {
    let safe = |text: String| excerpt(&text, &hidden(call));
    let (detail, passes) = match error {
        ureq::Error::Io(io) => match io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => (untrusted(tls), false),
            None => (safe(io.to_string()), true),
        },
        ureq::Error::Rustls(tls) => (untrusted(tls), false),
        ureq::Error::Timeout(_) => (format!("no answer within {} s", call.limit.as_secs_f64()), true),
        ureq::Error::HostNotFound => ("the host name is not known".to_owned(), true),
        ureq::Error::ConnectProxyFailed(_) => ("the proxy did not connect".to_owned(), true),
        ureq::Error::Http(_) => return Fault::Headers("hold a character that HTTP does not allow, such as a line break"),
        other => (safe(other.to_string()), false),
    };
    Fault::Unreachable { detail, passes }
}

/// A TLS failure in words, with what to do about a private authority.
pub(in crate::step) fn untrusted(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            format!("{error} (a private authority must be in the system's trust store, or in `ca_file` where the step has it)")
        }
        _ => format!("TLS: {error}"),
    }
}

/// The certificates in a PEM file.
pub(in crate::step) fn roots(path: &Path) -> std::io::Result<Vec<Certificate<'static>>> {
    let pem = std::fs::read(path)?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "there is no PEM certificate in it"));
    }
    Ok(certificates)
}

/// The wait a server asks for: seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_as_seconds_or_as_a_date() {
        let now: Timestamp = "2026-11-20T08:49:30Z".parse().unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Fri, 20 Nov 2026 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Fri, 20 Nov 2026 08:49:00 GMT", now), Some(Duration::ZERO), "a date that has passed");
        assert_eq!(retry_after("soon", now), None);
    }
}
