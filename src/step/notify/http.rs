//! One POST over HTTP(S), tried until it is taken: rustls with the system's certificates, proxies as the environment
//! says, no redirects.
//!
//! This module does not know what is posted or to whom.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::attempt::{Failure, Peer, TRY_LIMIT, deliver};
use super::error::NotifyError;
use super::redact::excerpt;
use crate::secret::Secret;
use crate::stream::Cancel;

/// How long to wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read to find out what went wrong.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// A request to be posted. Everything in it counts as secret when an error is worded.
#[derive(Clone)]
pub(super) struct Post {
    /// The address, a secret for some channels.
    pub(super) url: Secret,
    /// Names and values of further headers.
    pub(super) headers: Vec<(String, Secret)>,
    /// The JSON body.
    pub(super) body: Vec<u8>,
    /// Values besides the URL and the headers that an answer might repeat.
    pub(super) hidden: Vec<Secret>,
    /// The authorities to trust instead of the system's.
    pub(super) roots: Option<Vec<Certificate<'static>>>,
}

/// A URL that was found usable.
struct Target {
    uri: Uri,
    peer: Peer,
    loopback: bool,
}

/// Posts it, at most three times.
pub(super) fn post(channel: &'static str, post: Post, cancel: &Cancel) -> Result<(), NotifyError> {
    let target = target(channel, post.url.expose())?;
    let agent = agent(post.roots.clone(), target.loopback);
    let peer = target.peer.clone();
    deliver(&peer, cancel, {
        let target = Arc::new(target);
        move || send(&agent, &target, &post)
    })
}

/// What is wrong with a URL, if anything; the words do not repeat it.
pub(super) fn url_problem(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Some("is not a URL") };
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => None,
        _ => Some("is not a URL that begins with https:// or http:// and names a host"),
    }
}

/// Whether a URL would carry its secrets over a network in plain text.
pub(super) fn in_plain_text(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && !uri.host().is_some_and(is_loopback))
}

/// Whether a host is this one, so that nothing said to it is on any network.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The certificates in a PEM file.
pub(super) fn roots(path: &Path) -> Result<Vec<Certificate<'static>>, NotifyError> {
    let file = |source| NotifyError::File { doing: "reading the certificates in", path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(file)?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(file(std::io::Error::new(std::io::ErrorKind::InvalidData, "there is no PEM certificate in it")));
    }
    Ok(certificates)
}

fn target(channel: &'static str, url: &str) -> Result<Target, NotifyError> {
    let setup = |problem: &str| NotifyError::Setup { channel, field: "url".to_owned(), problem: problem.to_owned() };
    if let Some(problem) = url_problem(url) {
        return Err(setup(problem));
    }
    let uri: Uri = url.parse().map_err(|_| setup("is not a URL"))?;
    let bare = uri.host().unwrap_or_default();
    let host = uri.port().map_or_else(|| bare.to_owned(), |port| format!("{bare}:{port}"));
    let loopback = is_loopback(bare);
    Ok(Target { uri, peer: Peer { channel, host }, loopback })
}

fn agent(roots: Option<Vec<Certificate<'static>>>, loopback: bool) -> Agent {
    let roots = roots.map_or(RootCerts::PlatformVerifier, |certificates| RootCerts::Specific(Arc::new(certificates)));
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TRY_LIMIT))
        .timeout_connect(Some(CONNECT_LIMIT))
        // A redirect could carry the secret elsewhere; it is told instead, with the host it names.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")));
    // A proxy can not reach this host's own loopback.
    if loopback { config.proxy(None).build().new_agent() } else { config.build().new_agent() }
}

fn send(agent: &Agent, target: &Target, post: &Post) -> Result<(), Failure> {
    let mut request = agent.post(&target.uri).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in &post.headers {
        request = request.header(name, value.expose());
    }
    let response = request.send(&post.body[..]).map_err(|error| not_sent(target, post, &error))?;
    judge(target, post, response)
}

fn judge(target: &Target, post: &Post, mut response: Response<Body>) -> Result<(), Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, Timestamp::now()));
    let said = match response.headers().get(header::LOCATION) {
        Some(location) if status.is_redirection() => elsewhere(status, location.to_str().unwrap_or_default()),
        _ => words(status, &excerpt(&answer(&mut response), &hidden(post))),
    };
    let busy = status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let error = if busy { target.peer.busy(said) } else { target.peer.refused(said, denied) };
    Err(Failure { error, wait: wait.filter(|_| busy) })
}

fn answer(response: &mut Response<Body>) -> String {
    let bytes = response.body_mut().with_config().limit(ANSWER_LIMIT).read_to_vec().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn words(status: StatusCode, said: &str) -> String {
    if said.is_empty() { status.to_string() } else { format!("{status}: {said}") }
}

fn elsewhere(status: StatusCode, location: &str) -> String {
    match location.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)) {
        Some(host) => format!("{status}: it redirects to {host}, which is not followed; use the final URL"),
        None => format!("{status}: it redirects, which is not followed; use the final URL"),
    }
}

fn hidden(post: &Post) -> Vec<&str> {
    let headers = post.headers.iter().map(|(_, value)| value);
    std::iter::once(&post.url).chain(headers).chain(&post.hidden).map(Secret::expose).collect()
}

fn not_sent(target: &Target, post: &Post, error: &ureq::Error) -> Failure {
    let peer = &target.peer;
    let safe = |text: String| excerpt(&text, &hidden(post));
    let error = match error {
        ureq::Error::Io(io) => match io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => peer.unreachable(untrusted(tls), false),
            None => peer.unreachable(safe(io.to_string()), true),
        },
        ureq::Error::Rustls(tls) => peer.unreachable(untrusted(tls), false),
        ureq::Error::Timeout(_) => peer.unreachable(format!("no answer within {} s", TRY_LIMIT.as_secs()), true),
        ureq::Error::HostNotFound => peer.unreachable("the host name is not known", true),
        ureq::Error::ConnectProxyFailed(_) => peer.unreachable("the proxy did not connect", true),
        ureq::Error::Http(_) => {
            let problem = "hold a character that HTTP does not allow, such as a line break".to_owned();
            NotifyError::Setup { channel: peer.channel, field: "headers".to_owned(), problem }
        }
        other => peer.unreachable(safe(other.to_string()), false),
    };
    error.into()
}

/// A TLS failure in words, with what to do about a private authority.
pub(super) fn untrusted(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            format!("{error} (a private authority must be in the system's trust store, or in `ca_file` where the channel has it)")
        }
        _ => format!("TLS: {error}"),
    }
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

    #[test]
    fn only_http_urls_with_a_host_are_usable() {
        for good in ["https://hooks.example/T0/B0", "http://127.0.0.1:80/x", "http://[::1]:80/"] {
            assert_eq!(url_problem(good), None, "{good}");
        }
        for bad in ["", "hooks.example", "ftp://x/", "https://", "https://a b/", "/path"] {
            assert!(url_problem(bad).is_some(), "{bad:?}");
        }
        assert!(in_plain_text("http://hooks.example/") && !in_plain_text("http://[::1]:80/") && !in_plain_text("https://hooks.example/"));
    }
}
