//! From what a pipeline says and the machine has to one [`ConnInfo`].
//!
//! This module reads service files through [`Surroundings`] and nothing else.

use std::path::PathBuf;

use super::dsn::{self, Params};
use super::{ConnInfo, ConnInfoError, Host, Password, Roots, Surroundings, mode_name};
use crate::postgres::spec::{PostgresSpec, SslMode};
use crate::secret::{Secret, Secrets};

impl ConnInfo {
    /// Resolves a connection on this machine.
    pub fn resolve(spec: &PostgresSpec, secrets: &Secrets) -> Result<Self, ConnInfoError> {
        Self::resolve_in(spec, secrets, &Surroundings::of_process())
    }

    /// Resolves a connection in given surroundings.
    pub fn resolve_in(spec: &PostgresSpec, secrets: &Secrets, around: &Surroundings) -> Result<Self, ConnInfoError> {
        let params = layered(spec, around)?;
        if let Some(problem) = problems(&params).into_iter().next() {
            return Err(problem);
        }
        let user = params.get("user").cloned().or_else(|| around.account.clone()).ok_or(ConnInfoError::NoUser)?;
        let kept_default = spec.connect_timeout == PostgresSpec::default().connect_timeout;
        let given_timeout = connect_timeout(&params)?.filter(|_| kept_default);
        let info = Self {
            hosts: hosts(&params, around)?,
            database: params.get("dbname").filter(|name| !name.is_empty()).unwrap_or(&user).clone(),
            user,
            password: password(spec, &params, secrets)?,
            sslmode: ssl_mode(&params)?,
            roots: params.get("sslrootcert").map(|text| roots(text)).or_else(|| around.default_file("root.crt").map(Roots::File)),
            identity: identity(&params, around),
            connect_timeout: given_timeout.unwrap_or(spec.connect_timeout),
            options: params.get("options").cloned(),
            session: params.get("target_session_attrs").cloned().unwrap_or_else(|| "any".to_owned()),
            channel_binding: params.get("channel_binding").cloned(),
        };
        info.check_roots()?;
        Ok(info)
    }

    fn check_roots(&self) -> Result<(), ConnInfoError> {
        let verifies = matches!(self.sslmode, SslMode::VerifyCa | SslMode::VerifyFull);
        let all_sockets = self.hosts.iter().all(|host| host.socket_folder().is_some());
        if verifies && self.roots.is_none() && !all_sockets {
            let mode = mode_name(self.sslmode);
            return Err(ConnInfoError::Syntax(format!(
                "sslmode {mode} needs authorities to trust: write `sslrootcert:` with a PEM file, or `system` for the system's own"
            )));
        }
        Ok(())
    }
}

/// What is wrong with a connection as written, found without secrets, files or the network. Empty when nothing is.
pub fn offline_problems(spec: &PostgresSpec) -> Vec<String> {
    let found = written(spec).map_or_else(|error| vec![error], |params| problems(&params));
    found.iter().map(ToString::to_string).collect()
}

/// All that is wrong with parameters whatever the machine they are used on.
fn problems(params: &Params) -> Vec<ConnInfoError> {
    let nowhere = Surroundings::default();
    let checks = [
        hosts(params, &nowhere).map(drop),
        check_ssl(params),
        one_of(params, "target_session_attrs", &SESSIONS),
        one_of(params, "channel_binding", &["disable", "prefer", "require"]),
        connect_timeout(params).map(drop),
    ];
    checks.into_iter().filter_map(Result::err).collect()
}

fn check_ssl(params: &Params) -> Result<(), ConnInfoError> {
    let mode = ssl_mode(params)?;
    let refuse = |problem: &str| Err(ConnInfoError::Syntax(problem.to_owned()));
    if params.get("sslrootcert").is_some_and(|roots| roots == "system") && mode != SslMode::VerifyFull {
        return refuse("sslrootcert `system` trusts every public authority, so it needs `sslmode: verify-full`");
    }
    match (params.get("sslcert"), params.get("sslkey")) {
        (Some(_), None) => refuse("sslcert needs `sslkey:` beside it"),
        (None, Some(_)) => refuse("sslkey needs `sslcert:` beside it"),
        _ => Ok(()),
    }
}

fn one_of(params: &Params, keyword: &str, words: &[&str]) -> Result<(), ConnInfoError> {
    match params.get(keyword) {
        Some(word) if !words.contains(&word.as_str()) => {
            Err(ConnInfoError::Syntax(format!("{keyword} {word:?} is not one of {}", words.join(", "))))
        }
        _ => Ok(()),
    }
}

/// The fields over the URL.
fn written(spec: &PostgresSpec) -> Result<Params, ConnInfoError> {
    let url = spec.url.as_deref().map(dsn::parse).transpose()?.unwrap_or_default();
    if url.contains_key("password") {
        return Err(ConnInfoError::PasswordInUrl);
    }
    Ok(over(fields(spec), url))
}

fn layered(spec: &PostgresSpec, around: &Surroundings) -> Result<Params, ConnInfoError> {
    let mut params = written(spec)?;
    if let Some(service) = params.get("service").cloned() {
        params = over(params, around.service(&service)?);
    }
    let mut variables = around.params();
    if params.contains_key("host") || params.contains_key("hostaddr") {
        variables.remove("port");
    }
    Ok(over(params, variables))
}

/// Fills what `upper` leaves open from `lower`. An address or a port that belongs to a host does not outlive it.
fn over(mut upper: Params, mut lower: Params) -> Params {
    if upper.contains_key("host") || upper.contains_key("hostaddr") {
        lower.retain(|keyword, _| !matches!(*keyword, "host" | "hostaddr"));
    }
    for (keyword, value) in lower {
        upper.entry(keyword).or_insert(value);
    }
    upper
}

fn fields(spec: &PostgresSpec) -> Params {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string());
    let given = [
        ("host", spec.host.clone()),
        ("port", spec.port.map(|p| p.to_string())),
        ("user", spec.user.clone()),
        ("dbname", spec.database.clone()),
        ("sslmode", spec.sslmode.map(|m| mode_name(m).to_owned())),
        ("sslrootcert", path(&spec.sslrootcert)),
        ("sslcert", path(&spec.sslcert)),
        ("sslkey", path(&spec.sslkey)),
        ("service", spec.service.clone()),
    ];
    given.into_iter().filter_map(|(keyword, value)| Some((keyword, value?))).collect()
}

/// The secret's value, or the service's password.
fn password(spec: &PostgresSpec, params: &Params, secrets: &Secrets) -> Result<Option<Password>, ConnInfoError> {
    let Some(reference) = &spec.password else {
        let of_service = |value: &String| Password { value: Secret::new(value.clone()), origin: "the service file".to_owned() };
        return Ok(params.get("password").map(of_service));
    };
    Ok(Some(Password { value: secrets.open(reference)?, origin: format!("secret `{}`", reference.secret) }))
}

fn hosts(params: &Params, around: &Surroundings) -> Result<Vec<Host>, ConnInfoError> {
    let list = |keyword: &str| {
        params.get(keyword).map(|text| text.split(',').map(|p| p.trim().to_owned()).collect::<Vec<_>>()).unwrap_or_default()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    let fits = |len: usize| len == 0 || len == count;
    if !fits(names.len()) || !fits(addresses.len()) || !(fits(ports.len()) || ports.len() == 1) {
        return Err(ConnInfoError::Syntax("host, hostaddr and port list different numbers of servers".into()));
    }
    (0..count).map(|at| host(names.get(at), addresses.get(at), ports.get(at).or(ports.first()), around)).collect()
}

fn host(name: Option<&String>, address: Option<&String>, port: Option<&String>, around: &Surroundings) -> Result<Host, ConnInfoError> {
    let port = match port.map_or("", String::as_str) {
        "" => 5432,
        // The text is not repeated: in a URL with a stray character it can be part of a password.
        text => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| ConnInfoError::Syntax("the port is not a number from 1 to 65535".into()))?,
    };
    let address = address.filter(|a| !a.is_empty()).cloned();
    let name = name.filter(|n| !n.is_empty()).cloned().or_else(|| address.clone());
    Ok(Host { host: name.unwrap_or_else(|| around.socket_folder(port).display().to_string()), address, port })
}

fn ssl_mode(params: &Params) -> Result<SslMode, ConnInfoError> {
    match params.get("sslmode") {
        None if params.get("sslrootcert").is_some_and(|r| r == "system") => Ok(SslMode::VerifyFull),
        None => Ok(SslMode::Prefer),
        Some(text) => SSL_MODES
            .into_iter()
            .find(|mode| mode_name(*mode) == text)
            .ok_or_else(|| ConnInfoError::Syntax(format!("sslmode {text:?} is not one of {}", SSL_MODES.map(mode_name).join(", ")))),
    }
}

/// The values of libpq's `target_session_attrs`.
const SESSIONS: [&str; 6] = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];

const SSL_MODES: [SslMode; 6] =
    [SslMode::Disable, SslMode::Allow, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];

fn roots(text: &str) -> Roots {
    if text == "system" { Roots::System } else { Roots::File(text.into()) }
}

/// The pair that is named, or the pair at libpq's default place.
fn identity(params: &Params, around: &Surroundings) -> Option<(PathBuf, PathBuf)> {
    let named = params.get("sslcert").zip(params.get("sslkey")).map(|(cert, key)| (cert.into(), key.into()));
    named.or_else(|| around.default_file("postgresql.crt").zip(around.default_file("postgresql.key")))
}

/// The pipeline's own timeout is always there, by its default, so another one counts only where it is the default.
fn connect_timeout(params: &Params) -> Result<Option<u16>, ConnInfoError> {
    let Some(text) = params.get("connect_timeout") else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| (1..=600).contains(seconds));
    seconds.map(Some).ok_or_else(|| ConnInfoError::Syntax("connect_timeout is not a number of seconds from 1 to 600".into()))
}
