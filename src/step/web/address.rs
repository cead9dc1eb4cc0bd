//! What can be wrong with a URL or a header before anything is sent, and a URL as a plan may show it.
//!
//! The words never repeat a value. This module does not talk to any server.

use ureq::http::{HeaderName, HeaderValue, Uri};

use super::value::TextOrSecret;

/// What is said of a value that proves who we are and stands in the pipeline as text.
pub(in crate::step) const LITERAL_SECRET: &str =
    "is a literal where a secret belongs: declare it under `secrets` and write `{ secret: name }`";

/// What is said of a secret that would go over a network as it is.
pub(in crate::step) const PLAIN_TEXT: &str = "must begin with https://: over http:// the secret would cross the network in plain text";

/// Words in the names of headers and variables whose value proves who we are.
const TELLTALE: [&str; 7] = ["authorization", "token", "api-key", "apikey", "secret", "password", "passphrase"];

/// Whether a name is that of a value that proves who we are.
pub(in crate::step) fn looks_secret(name: &str) -> bool {
    let lower = name.to_lowercase();
    TELLTALE.iter().any(|word| lower.contains(word))
}

/// What is wrong with a URL, if anything; the words do not repeat it.
pub(in crate::step) fn url_problem(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Some("is not a URL") };
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => None,
        _ => Some("is not a URL that begins with https:// or http:// and names a host"),
    }
}

/// Whether a URL would carry its secrets over a network in plain text.
pub(in crate::step) fn in_plain_text(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && !uri.host().is_some_and(is_loopback))
}

/// Whether a host is this one, so that nothing said to it is on any network.
pub(in crate::step) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a URL written as text would give away, itself or by what is sent along.
pub(in crate::step) fn url_leak<'a>(url: &str, mut headers: impl Iterator<Item = &'a TextOrSecret>) -> Option<&'static str> {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if authority.contains('@') {
        return Some("holds a user or password: make the whole URL a secret (`url: { secret: name }`)");
    }
    let secret_header = headers.any(|value| matches!(value, TextOrSecret::Secret(_)));
    (secret_header && in_plain_text(url)).then_some(PLAIN_TEXT)
}

/// What is wrong with a header, if anything.
pub(in crate::step) fn header_problem(name: &str, value: &TextOrSecret) -> Option<&'static str> {
    if HeaderName::try_from(name).is_err() {
        return Some("is not the name of an HTTP header");
    }
    let TextOrSecret::Text(text) = value else { return None };
    if HeaderValue::try_from(text.as_str()).is_err() {
        return Some("holds a character that HTTP does not allow, such as a line break");
    }
    looks_secret(name).then_some(LITERAL_SECRET)
}

/// A URL as a plan may show it: without user, password and query, any of which may prove who we are.
pub(in crate::step) fn shown(url: &TextOrSecret) -> String {
    let url = match url {
        TextOrSecret::Secret(reference) => return format!("the URL in secret `{}`", reference.secret),
        TextOrSecret::Text(url) => url,
    };
    match url.parse::<Uri>() {
        Ok(uri) if uri.host().is_some() => {
            let port = uri.port().map_or_else(String::new, |port| format!(":{port}"));
            let query = if uri.query().is_some() { "?…" } else { "" };
            format!("{}://{}{port}{}{query}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default(), uri.path())
        }
        _ => "a URL that can not be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_plan_shows_no_part_of_a_url_that_may_be_secret() {
        let shown = |url: &str| shown(&TextOrSecret::Text(url.to_owned()));
        assert_eq!(shown("https://user:canary@h.example:8443/health?token=canary"), "https://h.example:8443/health?…");
        assert_eq!(shown("http://[::1]/"), "http://[::1]/");
        assert_eq!(shown("no url"), "a URL that can not be read");
    }
}
