//! A blocking client: statements in, text out.
//!
//! Everything is asked in the simple protocol, whose answers are text whatever their type. The async client works inside,
//! on the runtime whose handle is given; so this must not be called from async code. It tries servers and
//! encryption in libpq's order and does not retry beyond that.

mod copy;

use std::time::Duration;

use futures_core::Stream as _;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage, config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::conninfo::{ConnInfo, Host};
use super::error::{PgError, of_connecting, of_statement, place};
use super::spec::SslMode;
use super::tls;

/// How long a statement may take unless [`Client::limit_statements`] says otherwise.
pub const STATEMENT_LIMIT: Duration = Duration::from_mins(1);

/// How much longer than the server's own limit an answer is waited for: after that the network is taken for broken.
const NETWORK_LEEWAY: Duration = Duration::from_secs(10);

/// How long a connection may take to say good-bye.
const GOODBYE: Duration = Duration::from_secs(2);

/// One row of an answer, as text.
pub type Row = Vec<Option<String>>;

/// A connection to one server.
pub struct Client {
    session: tokio_postgres::Client,
    connection: JoinHandle<()>,
    handle: Handle,
    info: ConnInfo,
    limit: Duration,
}

/// One way to try a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Plain,
    /// TLS, or plain if the server has none.
    TlsIfOffered,
    Tls,
}

impl Client {
    /// Connects to the first server of the list that answers and is of the wanted kind.
    pub fn connect(info: &ConnInfo, handle: &Handle) -> Result<Self, PgError> {
        let mut last = None;
        for chosen in preferences(&info.session) {
            for host in &info.hosts {
                match Self::connect_host(info, host, handle).and_then(|client| client.wanted(chosen)) {
                    Ok(client) => return Ok(client),
                    // As libpq: a server that refuses us ends the search, one that does not answer does not.
                    Err(error @ (PgError::Denied { .. } | PgError::Tls { .. })) => return Err(error),
                    Err(error) => last = Some(error),
                }
            }
        }
        Err(last.unwrap_or_else(|| PgError::Unexpected { server: info.describe(), detail: "no server to connect to".to_owned() }))
    }

    fn connect_host(info: &ConnInfo, host: &Host, handle: &Handle) -> Result<Self, PgError> {
        let attempts = attempts(info.sslmode, host);
        let mut first = None;
        for attempt in attempts {
            let error = match Self::attempt(info, host, *attempt, handle) {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            let refused = matches!(&error, PgError::Denied { detail, .. } if detail.contains("pg_hba.conf"));
            match first {
                // The other way was tried because of the first error, and is no better: the first is the cause.
                Some(cause) if refused => return Err(cause),
                _ if refused || matches!(error, PgError::Tls { .. }) => first = Some(error),
                _ => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| PgError::Unexpected { server: place(info, host), detail: "no way to connect".to_owned() }))
    }

    fn attempt(info: &ConnInfo, host: &Host, attempt: Attempt, handle: &Handle) -> Result<Self, PgError> {
        let server = place(info, host);
        let config = config(info, host, attempt);
        let limit = Duration::from_secs(info.connect_timeout.into());
        let late =
            || PgError::Unreachable { server: server.clone(), detail: format!("no answer in {} s", limit.as_secs()), transient: true };
        let judged = |error: tokio_postgres::Error| of_connecting(info, host, &error);
        let (session, connection) = if attempt == Attempt::Plain {
            handle.block_on(async { tokio::time::timeout(limit, plain(&config)).await }).map_err(|_| late())?.map_err(judged)?
        } else {
            let tls = tls::connector(info).map_err(|detail| PgError::Tls { server: server.clone(), detail })?;
            handle.block_on(async { tokio::time::timeout(limit, encrypted(&config, tls)).await }).map_err(|_| late())?.map_err(judged)?
        };
        let info = ConnInfo { hosts: vec![host.clone()], ..info.clone() };
        let mut client = Self { session, connection, handle: handle.clone(), info, limit: STATEMENT_LIMIT };
        client.limit_statements(STATEMENT_LIMIT)?;
        Ok(client)
    }

    /// Keeps the connection if its server is of the wanted kind.
    fn wanted(self, kind: &str) -> Result<Self, PgError> {
        if kind == "any" {
            return Ok(self);
        }
        let standby = self.query_one_text("select pg_catalog.pg_is_in_recovery()")?.as_deref() == Some("t");
        let read_only = standby || self.query_one_text("show default_transaction_read_only")?.as_deref() == Some("on");
        let fits = match kind {
            "read-write" => !read_only,
            "read-only" => read_only,
            "primary" => !standby,
            _ => standby,
        };
        if fits { Ok(self) } else { Err(PgError::Unexpected { server: self.info.describe(), detail: format!("the server is not {kind}") }) }
    }

    /// The connection this client has: of several servers the one it reached. Child programs given this go to the same server.
    pub fn info(&self) -> &ConnInfo {
        &self.info
    }

    /// Limits how long each further statement may take; zero means no limit.
    pub fn limit_statements(&mut self, limit: Duration) -> Result<(), PgError> {
        self.limit = if limit.is_zero() { Duration::from_secs(u64::from(u32::MAX)) } else { limit };
        self.batch(&format!("set statement_timeout = {}", limit.as_millis()))
    }

    /// All rows of the answers to one or more statements.
    pub fn query(&self, sql: &str) -> Result<Vec<Row>, PgError> {
        let messages = self.wait(sql, self.session.simple_query(sql))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| (0..row.len()).map(|at| row.try_get(at).map(|text| text.map(str::to_owned))).collect())
            .collect::<Result<_, _>>()
            .map_err(|error| of_statement(&self.info.describe(), &error, sql))
    }

    /// The first column of the first row; `None` if there is no row or it is null.
    pub fn query_one_text(&self, sql: &str) -> Result<Option<String>, PgError> {
        Ok(self.query(sql)?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// Runs statements and throws their answers away.
    pub fn batch(&self, sql: &str) -> Result<(), PgError> {
        self.wait(sql, self.session.batch_execute(sql))
    }

    /// Runs one statement and answers how many rows it touched.
    pub fn execute(&self, sql: &str) -> Result<u64, PgError> {
        let messages = self.wait(sql, self.session.simple_query(sql))?;
        let counts = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        });
        Ok(counts.sum())
    }

    /// Runs a `COPY … TO STDOUT` and hands over what it sends, a row at a time, until its end or the first refusal.
    pub fn copy_out(&self, sql: &str, mut each: impl FnMut(&[u8]) -> Result<(), PgError>) -> Result<(), PgError> {
        let failed = |error: tokio_postgres::Error| of_statement(&self.info.describe(), &error, sql);
        self.handle.block_on(async {
            let mut rows = std::pin::pin!(self.session.copy_out(sql).await.map_err(failed)?);
            while let Some(row) = std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
                each(&row.map_err(failed)?)?;
            }
            Ok(())
        })
    }

    /// Refuses text that is not exactly one valid statement.
    pub fn check_single(&self, sql: &str) -> Result<(), PgError> {
        self.wait(sql, async { self.session.prepare(sql).await.map(drop) })
    }

    /// Says good-bye and waits until the server has heard it, so that the database is free.
    pub fn close(self) {
        let Self { session, connection, handle, .. } = self;
        drop(session);
        // A network that is gone needs no good-bye.
        let _late = handle.block_on(async { tokio::time::timeout(GOODBYE, connection).await });
    }

    fn wait<T>(&self, sql: &str, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, PgError> {
        let server = || self.info.describe();
        let limit = self.limit + NETWORK_LEEWAY;
        let done = self.handle.block_on(async { tokio::time::timeout(limit, work).await });
        match done {
            Ok(answer) => answer.map_err(|error| of_statement(&server(), &error, sql)),
            Err(_) => Err(PgError::Transient { server: server(), detail: format!("no answer in {} s", limit.as_secs()) }),
        }
    }
}

/// Which kinds of server to look for, in order.
fn preferences(session: &str) -> &[&str] {
    match session {
        "read-write" => &["read-write"],
        "read-only" => &["read-only"],
        "primary" => &["primary"],
        "standby" => &["standby"],
        "prefer-standby" => &["standby", "any"],
        _ => &["any"],
    }
}

fn attempts(mode: SslMode, host: &Host) -> &'static [Attempt] {
    match mode {
        _ if host.socket_folder().is_some() => &[Attempt::Plain],
        SslMode::Disable => &[Attempt::Plain],
        SslMode::Allow => &[Attempt::Plain, Attempt::Tls],
        SslMode::Prefer => &[Attempt::TlsIfOffered, Attempt::Plain],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Attempt::Tls],
    }
}

fn config(info: &ConnInfo, host: &Host, attempt: Attempt) -> Config {
    let mut config = Config::new();
    config.user(&info.user).dbname(&info.database).port(host.port).application_name("runner");
    match host.socket_folder() {
        Some(folder) => config.host_path(folder),
        None => config.host(&host.host),
    };
    if let Some(address) = host.address.as_ref().and_then(|a| a.parse().ok()) {
        config.hostaddr(address);
    }
    if let Some(password) = &info.password {
        config.password(password.value.expose());
    }
    if let Some(options) = &info.options {
        config.options(options);
    }
    config.channel_binding(match info.channel_binding.as_deref() {
        Some("require") => config::ChannelBinding::Require,
        Some("disable") => config::ChannelBinding::Disable,
        _ => config::ChannelBinding::Prefer,
    });
    config.ssl_mode(match attempt {
        Attempt::Plain => config::SslMode::Disable,
        Attempt::TlsIfOffered => config::SslMode::Prefer,
        Attempt::Tls => config::SslMode::Require,
    });
    config
}

async fn plain(config: &Config) -> Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error> {
    let (session, connection) = config.connect(NoTls).await?;
    // Its errors reach the statement that is waiting.
    Ok((session, tokio::spawn(async move { drop(connection.await) })))
}

async fn encrypted(config: &Config, tls: MakeRustlsConnect) -> Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error> {
    let (session, connection) = config.connect(tls).await?;
    Ok((session, tokio::spawn(async move { drop(connection.await) })))
}
