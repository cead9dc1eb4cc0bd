//! Connection strings: libpq's two forms, read into parameters.
//!
//! The grammar is that of PostgreSQL's documentation, "Connection Strings" (libpq, section 34.1.1), and of `fe-connect.c` where the page is
//! silent. Errors never quote the string itself, for it may hold a password. This module does not resolve defaults.

use std::collections::BTreeMap;

use super::ConnInfoError;

/// Parameters by their libpq keyword.
pub(super) type Params = BTreeMap<&'static str, String>;

/// The keywords that are understood; another one is an error, for ignoring it could change where a connection goes.
const KEYWORDS: [&str; 15] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "connect_timeout",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "service",
    "options",
    "target_session_attrs",
    "channel_binding",
];

/// Reads a URL or a `keyword=value` string.
pub(super) fn parse(text: &str) -> Result<Params, ConnInfoError> {
    let text = text.trim();
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => parse_url(rest),
        None if text.contains("://") => Err(ConnInfoError::Syntax("a connection URL begins with postgresql://".into())),
        None => parse_keywords(text),
    }
}

/// Puts one parameter in, under its keyword.
pub(super) fn put(params: &mut Params, keyword: &str, value: String) -> Result<(), ConnInfoError> {
    let known = KEYWORDS.iter().find(|k| **k == keyword);
    let known = known.ok_or_else(|| ConnInfoError::Unsupported { keyword: keyword.to_owned() })?;
    params.insert(known, value);
    Ok(())
}

/// What follows the scheme: `[user[:password]@][host][:port][,…][/database][?keyword=value[&…]]`.
fn parse_url(rest: &str) -> Result<Params, ConnInfoError> {
    let mut params = Params::new();
    // As libpq: an `@` before the first `/` ends the credentials, whatever stands in them.
    let rest = match rest.find(['@', '/']) {
        Some(at) if rest[at..].starts_with('@') => {
            url_credentials(&rest[..at], &mut params)?;
            &rest[at + 1..]
        }
        _ => rest,
    };
    let (before_query, query) = rest.split_once('?').map_or((rest, None), |(a, b)| (a, Some(b)));
    let (hosts, database) = before_query.split_once('/').unwrap_or((before_query, ""));
    url_hosts(hosts, &mut params)?;
    put_unless_empty(&mut params, "dbname", decode(database)?);
    for pair in query.into_iter().flat_map(|q| q.split('&')).filter(|pair| !pair.is_empty()) {
        url_parameter(pair, &mut params)?;
    }
    Ok(params)
}

fn url_credentials(text: &str, params: &mut Params) -> Result<(), ConnInfoError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    put_unless_empty(params, "user", decode(user)?);
    put_unless_empty(params, "password", decode(password)?);
    Ok(())
}

fn url_hosts(text: &str, params: &mut Params) -> Result<(), ConnInfoError> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, port) = host_and_port(part)?;
        hosts.push(decode(host)?);
        ports.push(decode(port)?);
    }
    if hosts.iter().any(|h| h.contains(',')) {
        return Err(ConnInfoError::Syntax("a host in the URL holds an encoded comma".into()));
    }
    if hosts.iter().any(|h| !h.is_empty()) {
        params.insert("host", hosts.join(","));
    }
    if ports.iter().any(|p| !p.is_empty()) {
        params.insert("port", ports.join(","));
    }
    Ok(())
}

fn host_and_port(part: &str) -> Result<(&str, &str), ConnInfoError> {
    let Some(inner) = part.strip_prefix('[') else {
        return Ok(part.split_once(':').unwrap_or((part, "")));
    };
    let broken = || ConnInfoError::Syntax("an IPv6 address in the URL has no closing bracket, or something but a port behind it".into());
    let (address, behind) = inner.split_once(']').ok_or_else(broken)?;
    match behind {
        "" => Ok((address, "")),
        _ => Ok((address, behind.strip_prefix(':').ok_or_else(broken)?)),
    }
}

fn url_parameter(pair: &str, params: &mut Params) -> Result<(), ConnInfoError> {
    let Some((keyword, value)) = pair.split_once('=') else {
        return Err(ConnInfoError::Syntax("a parameter behind the `?` of the URL has no `=`".into()));
    };
    let (keyword, value) = (decode(keyword)?, decode(value)?);
    if keyword == "ssl" && value == "true" {
        return put(params, "sslmode", "require".into()); // JDBC's spelling, which libpq takes too
    }
    put(params, &keyword, value)
}

fn put_unless_empty(params: &mut Params, keyword: &'static str, value: String) {
    if !value.is_empty() {
        params.insert(keyword, value);
    }
}

/// Undoes percent-encoding (RFC 3986, section 2.1). A `+` stays a plus, as in libpq.
fn decode(text: &str) -> Result<String, ConnInfoError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex_pair(rest.next(), rest.next())? } else { byte });
    }
    String::from_utf8(bytes).map_err(|_| ConnInfoError::Syntax("percent-encoding in the URL does not give UTF-8".into()))
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Result<u8, ConnInfoError> {
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    match (digit(high), digit(low)) {
        (Some(0), Some(0)) => Err(ConnInfoError::Syntax("`%00` can not stand in a URL".into())),
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(ConnInfoError::Syntax("a `%` in the URL is not followed by two hex digits (write a plain `%` as `%25`)".into())),
    }
}

/// `keyword = value` pairs; values may stand in single quotes, and `\` escapes the next character.
fn parse_keywords(text: &str) -> Result<Params, ConnInfoError> {
    let mut params = Params::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (keyword, behind) = rest.split_at(end);
        let Some(behind) = behind.trim_start().strip_prefix('=') else {
            return Err(ConnInfoError::Syntax("expected `keyword=value` pairs or a URL that begins with postgresql://".into()));
        };
        let (value, behind) = keyword_value(behind.trim_start())?;
        put(&mut params, keyword, value)?;
        rest = behind.trim_start();
    }
    Ok(params)
}

fn keyword_value(text: &str) -> Result<(String, &str), ConnInfoError> {
    let (quoted, body) = text.strip_prefix('\'').map_or((false, text), |body| (true, body));
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if c.is_whitespace() && !quoted => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(ConnInfoError::Syntax("a quoted value has no closing quote".into()));
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> String {
        match parse(text) {
            Ok(params) => params.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "),
            Err(error) => format!("ERROR {error}"),
        }
    }

    #[test]
    fn urls_read_as_libpq_reads_them() {
        let table = [
            ("postgresql://", ""),
            ("postgresql://localhost", "host=localhost"),
            ("postgres://localhost:5433/mydb", "dbname=mydb host=localhost port=5433"),
            ("postgresql://user@localhost", "host=localhost user=user"),
            ("postgresql://other@localhost/otherdb?connect_timeout=10", "connect_timeout=10 dbname=otherdb host=localhost user=other"),
            ("postgresql://h1:123,h2:456/db?target_session_attrs=any", "dbname=db host=h1,h2 port=123,456 target_session_attrs=any"),
            ("postgresql://h1,h2:456/db", "dbname=db host=h1,h2 port=,456"),
            ("postgresql://[2001:db8::1234]:5433/db", "dbname=db host=2001:db8::1234 port=5433"),
            ("postgresql:///db?host=/run/postgresql", "dbname=db host=/run/postgresql"),
            ("postgresql://%2Frun%2Fpostgresql/db", "dbname=db host=/run/postgresql"),
            ("postgresql://us%40er:@h/%EC%A3%BC%EB%AC%B8", "dbname=주문 host=h user=us@er"),
            ("postgresql://h/주문?sslmode=verify-full", "dbname=주문 host=h sslmode=verify-full"),
            ("postgresql://h/a+b", "dbname=a+b host=h"),
            ("postgresql://u:a?b@h/db", "dbname=db host=h password=a?b user=u"),
            ("postgresql://u@h/db?user=v&ssl=true", "dbname=db host=h sslmode=require user=v"),
        ];
        for (url, expected) in table {
            assert_eq!(flat(url), expected, "{url}");
        }
    }

    #[test]
    fn keyword_strings_read_as_libpq_reads_them() {
        let table = [
            ("host=localhost port=5432 dbname=mydb", "dbname=mydb host=localhost port=5432"),
            (r"user = 'it\'s me' dbname=back\\slash", r"dbname=back\slash user=it's me"),
            ("dbname='' host=/tmp", "dbname= host=/tmp"),
            (r"dbname=a\ b", "dbname=a b"),
        ];
        for (text, expected) in table {
            assert_eq!(flat(text), expected, "{text}");
        }
    }

    #[test]
    fn broken_strings_are_refused_without_being_quoted() {
        for text in [
            "postgresql://u:canary%zz@h/db",
            "postgresql://[::1/canary",
            "postgresql://[::1]x/canary",
            "postgresql://h/canary?sslmode",
            "postgresql://h/canary%00",
            "postgresql://h/canary?nonsense=1",
            "mysql://h/canary",
            "user='canary",
            "canary",
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(!message.contains("canary"), "{text} gave {message}");
        }
    }
}
