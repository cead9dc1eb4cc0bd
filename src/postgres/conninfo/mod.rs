//! Where a connection goes and as whom: options, URL, service and environment resolved into one answer.
//!
//! Precedence, highest first: the fields of the pipeline, its URL, its service, then environment variables for what is
//! still open (see [`surroundings`]; `PGPORT` counts only when nothing above names a host), then libpq's defaults. Child programs get the
//! whole answer in their environment ([`ConnInfo::env`]) and every other libpq variable taken away ([`LIBPQ_VARIABLES`]), so that they go exactly where
//! [`Client`](super::Client) goes. A password comes from the secret the pipeline names, or from the service it names, and from nowhere else.
//! This module opens no connection.

mod dsn;
pub mod surroundings;

use std::fmt;
use std::path::{Path, PathBuf};

use self::dsn::Params;
pub use self::surroundings::Surroundings;
use super::passfile::PassFile;
use super::spec::{PostgresSpec, SslMode};
use crate::secret::{Secret, SecretError, Secrets};
use crate::stream::child::Program;

/// Every environment variable that libpq or its programs read. They are removed from a child's environment before [`ConnInfo::env`] is put in.
pub const LIBPQ_VARIABLES: [&str; 45] = [
    "PGAPPNAME",
    "PGCHANNELBINDING",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGGEQO",
    "PGGSSDELEGATION",
    "PGGSSENCMODE",
    "PGGSSLIB",
    "PGHOST",
    "PGHOSTADDR",
    "PGKRBSRVNAME",
    "PGLOADBALANCEHOSTS",
    "PGLOCALEDIR",
    "PGMAXPROTOCOLVERSION",
    "PGMINPROTOCOLVERSION",
    "PGOAUTHCAFILE",
    "PGOAUTHDEBUG",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGREALM",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLCERT",
    "PGSSLCERTMODE",
    "PGSSLCOMPRESSION",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLKEY",
    "PGSSLMAXPROTOCOLVERSION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGSSLROOTCERT",
    "PGSSLSNI",
    "PGSYSCONFDIR",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
    "PGUSER",
];

/// Where the system's own certificate authorities are, for libpq before 16, which does not know `system`.
const SYSTEM_ROOTS: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// Why a connection could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum ConnInfoError {
    /// A connection string, service file or value does not read.
    #[error("{0}")]
    Syntax(String),
    /// A parameter that is not understood.
    #[error("connection parameter `{keyword}` is not supported: leave it out")]
    Unsupported {
        /// The parameter.
        keyword: String,
    },
    /// The URL holds a password.
    #[error(
        "the url holds a password, which would be committed with the pipeline: remove it and write `password: {{ secret: name }}` beside the url"
    )]
    PasswordInUrl,
    /// The service is in none of the files.
    #[error("service `{service}` is not defined: looked in {looked}")]
    NoService {
        /// The service.
        service: String,
        /// The files.
        looked: String,
    },
    /// Nothing says which role to use.
    #[error("no role to connect as: write `user:`")]
    NoUser,
    /// The password's secret could not be opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The host name or address, or the folder of the unix socket.
    pub host: String,
    /// The address to use instead of looking the name up.
    pub address: Option<String>,
    /// The TCP port, or the number in the socket's name.
    pub port: u16,
}

impl Host {
    /// The folder of the unix socket, if it is one.
    pub fn socket_folder(&self) -> Option<&Path> {
        self.host.starts_with('/').then(|| Path::new(&self.host))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// Which authorities vouch for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those of the system.
    System,
    /// Those of a PEM file.
    File(PathBuf),
}

/// A password and where it came from.
#[derive(Debug, Clone)]
pub struct Password {
    /// The password.
    pub value: Secret,
    /// Its origin in words: the secret by its name, or the service file.
    pub origin: String,
}

/// Everything needed to connect. `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    /// The servers, tried in order; never empty.
    pub hosts: Vec<Host>,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The password, if the connection names one.
    pub password: Option<Password>,
    /// How the connection is secured.
    pub sslmode: SslMode,
    /// The authorities to trust, if any are named or stand at libpq's default place.
    pub roots: Option<Roots>,
    /// The client's certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Seconds to wait for each server.
    pub connect_timeout: u16,
    /// Command-line options for the session (`-c search_path=…`).
    pub options: Option<String>,
    /// Which kind of server is wanted: libpq's `target_session_attrs`.
    pub session: String,
    /// libpq's `channel_binding`.
    pub channel_binding: Option<String>,
}

impl ConnInfo {
    /// Resolves a connection on this machine.
    pub fn resolve(spec: &PostgresSpec, secrets: &Secrets) -> Result<Self, ConnInfoError> {
        Self::resolve_in(spec, secrets, &Surroundings::of_process())
    }

    /// Resolves a connection in given surroundings.
    pub fn resolve_in(spec: &PostgresSpec, secrets: &Secrets, around: &Surroundings) -> Result<Self, ConnInfoError> {
        let params = layered(spec, around)?;
        let service_password =
            params.get("password").map(|p| Password { value: Secret::new(p.clone()), origin: "the service file".to_owned() });
        let password = match &spec.password {
            Some(reference) => Some(Password { value: secrets.open(reference)?, origin: format!("secret `{}`", reference.secret) }),
            None => service_password,
        };
        let user = params.get("user").cloned().or_else(|| around.account.clone()).ok_or(ConnInfoError::NoUser)?;
        let sslmode = ssl_mode(&params)?;
        let roots = params.get("sslrootcert").map(|text| roots(text));
        let info = Self {
            hosts: hosts(&params, around)?,
            database: params.get("dbname").filter(|d| !d.is_empty()).unwrap_or(&user).clone(),
            user,
            password,
            sslmode,
            roots: roots.or_else(|| around.default_file("root.crt").map(Roots::File)),
            identity: identity(&params, around)?,
            connect_timeout: connect_timeout(spec, &params)?,
            options: params.get("options").cloned(),
            session: params.get("target_session_attrs").cloned().unwrap_or_else(|| "any".to_owned()),
            channel_binding: params.get("channel_binding").cloned(),
        };
        info.check()?;
        Ok(info)
    }

    /// A connection without a password over a server's unix socket.
    pub fn local(folder: &Path, port: u16, user: &str, database: &str) -> Self {
        Self {
            hosts: vec![Host { host: folder.display().to_string(), address: None, port }],
            user: user.to_owned(),
            database: database.to_owned(),
            password: None,
            sslmode: SslMode::Disable,
            roots: None,
            identity: None,
            connect_timeout: 10,
            options: None,
            session: "any".to_owned(),
            channel_binding: None,
        }
    }

    /// The same to another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// The connection in words, without secrets: `backup@db1:5432/orders`.
    pub fn describe(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        format!("{}@{}/{}", self.user, hosts.join(","), self.database)
    }

    /// The environment that makes a libpq program connect as this says. Without a password: that goes through a
    /// [`PassFile`](super::PassFile). The caller removes [`LIBPQ_VARIABLES`] from the child's environment first.
    pub fn env(&self) -> Vec<(String, String)> {
        let join = |field: &dyn Fn(&Host) -> String| self.hosts.iter().map(field).collect::<Vec<_>>().join(",");
        let addresses = self.hosts.iter().any(|h| h.address.is_some());
        let file = |path: &PathBuf| path.display().to_string();
        let given = [
            ("PGHOST", Some(join(&|h| h.host.clone()))),
            ("PGHOSTADDR", addresses.then(|| join(&|h| h.address.clone().unwrap_or_default()))),
            ("PGPORT", Some(join(&|h| h.port.to_string()))),
            ("PGUSER", Some(self.user.clone())),
            ("PGDATABASE", Some(self.database.clone())),
            ("PGSSLMODE", Some(mode_name(self.sslmode).to_owned())),
            ("PGSSLROOTCERT", self.roots.as_ref().map(roots_file)),
            ("PGSSLCERT", self.identity.as_ref().map(|(cert, _)| file(cert))),
            ("PGSSLKEY", self.identity.as_ref().map(|(_, key)| file(key))),
            ("PGCONNECT_TIMEOUT", Some(self.connect_timeout.to_string())),
            ("PGOPTIONS", self.options.clone()),
            ("PGTARGETSESSIONATTRS", Some(self.session.clone())),
            ("PGCHANNELBINDING", self.channel_binding.clone()),
            ("PGAPPNAME", Some("runner".to_owned())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// Gives a libpq program this connection and nothing of the caller's: its messages are untranslated, so that they can be judged.
    pub fn equip(&self, program: Program, passfile: &PassFile) -> Program {
        let cleared = LIBPQ_VARIABLES.iter().chain(&["LC_ALL", "LANGUAGE"]).fold(program, Program::env_remove);
        let (name, value) = passfile.env();
        self.env().into_iter().fold(cleared.env("LC_MESSAGES", "C").env(name, value), |program, (name, value)| program.env(name, value))
    }

    fn check(&self) -> Result<(), ConnInfoError> {
        let refuse = |problem: String| Err(ConnInfoError::Syntax(problem));
        let verifies = matches!(self.sslmode, SslMode::VerifyCa | SslMode::VerifyFull);
        let all_sockets = self.hosts.iter().all(|h| h.socket_folder().is_some());
        if verifies && self.roots.is_none() && !all_sockets {
            return refuse(format!(
                "sslmode {} needs authorities to trust: write `sslrootcert:` with a PEM file, or `system` for the system's own",
                mode_name(self.sslmode)
            ));
        }
        if self.roots == Some(Roots::System) && self.sslmode != SslMode::VerifyFull {
            return refuse("sslrootcert `system` trusts every public authority, so it needs `sslmode: verify-full`".to_owned());
        }
        if !SESSIONS.contains(&self.session.as_str()) {
            return refuse(format!("target_session_attrs {:?} is not one of {}", self.session, SESSIONS.join(", ")));
        }
        match self.channel_binding.as_deref() {
            None | Some("disable" | "prefer" | "require") => Ok(()),
            Some(other) => refuse(format!("channel_binding {other:?} is not one of disable, prefer, require")),
        }
    }
}

/// What is wrong with a connection as written, found without secrets, files or the network. Empty when nothing is.
pub fn offline_problems(spec: &PostgresSpec) -> Vec<String> {
    let mut problems = Vec::new();
    let written = written(spec);
    match &written {
        Err(error) => problems.push(error.to_string()),
        Ok(params) => problems.extend(checks(params).into_iter().filter_map(Result::err).map(|e| e.to_string())),
    }
    problems
}

fn checks(params: &Params) -> Vec<Result<(), ConnInfoError>> {
    let nowhere = Surroundings { account: Some("nobody".to_owned()), ..Surroundings::default() };
    let lone = match (params.get("sslcert"), params.get("sslkey")) {
        (Some(_), None) => Err(ConnInfoError::Syntax("sslcert needs `sslkey:` too".into())),
        (None, Some(_)) => Err(ConnInfoError::Syntax("sslkey needs `sslcert:` too".into())),
        _ => Ok(()),
    };
    let system = params.get("sslrootcert").is_some_and(|r| r == "system");
    let weak = match ssl_mode(params) {
        Ok(mode) if system && mode != SslMode::VerifyFull && params.contains_key("sslmode") => {
            Err(ConnInfoError::Syntax("sslrootcert `system` trusts every public authority, so it needs `sslmode: verify-full`".into()))
        }
        other => other.map(|_| ()),
    };
    vec![hosts(params, &nowhere).map(|_| ()), weak, lone]
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

/// libpq's word for a mode.
fn mode_name(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Allow => "allow",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}

fn roots(text: &str) -> Roots {
    if text == "system" { Roots::System } else { Roots::File(text.into()) }
}

fn roots_file(roots: &Roots) -> String {
    match roots {
        Roots::File(path) => path.display().to_string(),
        Roots::System => SYSTEM_ROOTS.into_iter().find(|path| Path::new(path).is_file()).unwrap_or("system").to_owned(),
    }
}

fn identity(params: &Params, around: &Surroundings) -> Result<Option<(PathBuf, PathBuf)>, ConnInfoError> {
    let named = |keyword: &str, default: &str| params.get(keyword).map(PathBuf::from).or_else(|| around.default_file(default));
    match (named("sslcert", "postgresql.crt"), named("sslkey", "postgresql.key")) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, _) => Ok(None),
        (Some(cert), None) => Err(ConnInfoError::Syntax(format!("the client certificate {} has no key: write `sslkey:`", cert.display()))),
    }
}

/// The URL's or the service's timeout counts only where the pipeline kept the default.
fn connect_timeout(spec: &PostgresSpec, params: &Params) -> Result<u16, ConnInfoError> {
    let kept = spec.connect_timeout == PostgresSpec::default().connect_timeout;
    match params.get("connect_timeout") {
        Some(text) if kept => text
            .parse()
            .ok()
            .filter(|seconds| (1..=600).contains(seconds))
            .ok_or_else(|| ConnInfoError::Syntax("connect_timeout is not a number of seconds from 1 to 600".into())),
        _ => Ok(spec.connect_timeout),
    }
}

#[cfg(test)]
mod tests;
