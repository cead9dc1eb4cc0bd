//! Where a connection goes and as whom: options, URL, service and environment resolved into one answer.
//!
//! Precedence, highest first: the fields of the pipeline, its URL, its service, then environment variables for what is
//! still open (see [`surroundings`]; `PGPORT` counts only when nothing above names a host), then libpq's defaults. Child
//! programs get the whole answer in their environment ([`ConnInfo::env`]) and every other libpq variable taken away
//! ([`LIBPQ_VARIABLES`]), so that they go exactly where [`Client`](super::Client) goes. A password comes from the secret
//! the pipeline names, or from the service it names, and from nowhere else. This module opens no connection.

mod dsn;
mod resolve;
pub mod surroundings;

use std::fmt;
use std::path::{Path, PathBuf};

pub use self::resolve::offline_problems;
pub use self::surroundings::Surroundings;
use super::passfile::PassFile;
use super::spec::SslMode;
use crate::secret::{Secret, SecretError};
use crate::stream::child::Program;

/// Every environment variable that libpq or its programs read. They are removed from a child's environment before
/// [`ConnInfo::env`] is put in.
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
    #[error("the url holds a password, which would be committed: write `password: {{ secret: name }}` beside the url instead")]
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
    /// [`PassFile`]. The caller removes [`LIBPQ_VARIABLES`] from the child's environment first.
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
}

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

fn roots_file(roots: &Roots) -> String {
    match roots {
        Roots::File(path) => path.display().to_string(),
        Roots::System => SYSTEM_ROOTS.into_iter().find(|path| Path::new(path).is_file()).unwrap_or("system").to_owned(),
    }
}

#[cfg(test)]
mod tests;
