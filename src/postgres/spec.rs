//! How a pipeline names a database. Options as written, not live handles; a password is only ever a reference.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::SecretRef;

/// A connection: exactly one of `postgres` and `embedded`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ConnectionSpec {
    /// A PostgreSQL server that runs already.
    Postgres(PostgresSpec),
    /// A throw-away PostgreSQL server started for the run and removed after it.
    Embedded(EmbeddedSpec),
}

impl ConnectionSpec {
    /// The secret that holds its password, if it names one.
    pub const fn password(&self) -> Option<&SecretRef> {
        match self {
            Self::Postgres(spec) => spec.password.as_ref(),
            Self::Embedded(_) => None,
        }
    }
}

/// A PostgreSQL server, by URL or by fields; fields win over the URL, the URL over the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSpec {
    /// A connection URL (`postgresql://user@host:5432/database?sslmode=verify-full`) without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The host name or address, or the folder of a unix socket when it begins with `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port; 5432 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The role to connect as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The password, handed on through a file only its reader can open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// How the connection is secured, as in libpq; `prefer` unless given here or in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<SslMode>,
    /// Certificates of the authorities to trust, as a PEM file; `system` means the system's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<PathBuf>,
    /// The client's certificate, as a PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslcert: Option<PathBuf>,
    /// The client's key, as a PEM file that only its owner can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslkey: Option<PathBuf>,
    /// A section of the connection service file (`$PGSERVICEFILE`, `~/.pg_service.conf`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How many seconds to wait for a connection.
    #[serde(default = "connect_timeout")]
    #[schemars(range(min = 1, max = 600))]
    pub connect_timeout: u16,
}

fn connect_timeout() -> u16 {
    10
}

/// Nothing said: the same as an empty mapping in YAML.
impl Default for PostgresSpec {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            user: None,
            database: None,
            password: None,
            sslmode: None,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            service: None,
            connect_timeout: connect_timeout(),
        }
    }
}

/// How a connection is secured; the meaning of each is libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// Plain first, TLS if the server insists.
    Allow,
    /// TLS if the server offers it.
    Prefer,
    /// TLS, whatever certificate.
    Require,
    /// TLS, with a certificate of a trusted authority.
    VerifyCa,
    /// TLS, with a certificate of a trusted authority for this host name.
    VerifyFull,
}

/// A throw-away server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedSpec {
    /// A SQL file that fills the database, run with psql and stopped at its first error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<PathBuf>,
    /// The major version; the newest installed one when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 14, max = 99))]
    pub version: Option<u16>,
    /// The database to create.
    #[serde(default = "embedded_database")]
    pub database: String,
}

fn embedded_database() -> String {
    "app".to_owned()
}
