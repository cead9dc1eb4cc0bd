//! Throw-away servers: made in a temp folder, reached through a unix socket, gone whatever happens.
//!
//! A scratch server runs as an unprivileged account when this program is root, because PostgreSQL refuses root. It belongs
//! to the [`ScratchServer`] value: dropping that stops it and removes its folder. What a killed runner leaves,
//! [`sweep_stale`] removes. This module does not restore anything.

mod folder;
mod settings;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::runtime::Handle;

pub use self::folder::sweep_stale;

use self::folder::{Folder, SERVER_ACCOUNTS};
use super::account::Account;
use super::client::Client;
use super::conninfo::{ConnInfo, LIBPQ_VARIABLES};
use super::create::create_database;
use super::error::PgError;
use super::facts::DatabaseLocale;
use super::tools::ToolSet;
use crate::stream::child::{Program, Running};
use crate::stream::{Cancel, StreamError};

/// The number in the socket's name; the folder makes it unique.
pub(super) const PORT: u16 = 5432;

/// The longest path of a unix socket in bytes (`sun_path` of unix(7), less the closing zero).
const SOCKET_LIMIT: usize = 107;

/// How long a server may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How much of the server's log an error shows, in lines.
const LOG_LINES: usize = 15;

/// How to make a scratch server.
#[derive(Debug, Clone)]
pub struct ScratchOptions {
    /// The folder to make the server's folder in.
    pub parent: PathBuf,
    /// The superuser of the server.
    pub superuser: String,
    /// How many bytes the data is expected to take; with less free space the server is not even started.
    pub needs_bytes: Option<u64>,
    /// Where to keep the server's log when the server is gone.
    pub kept_log: Option<PathBuf>,
}

impl Default for ScratchOptions {
    fn default() -> Self {
        Self { parent: std::env::temp_dir(), superuser: "postgres".to_owned(), needs_bytes: None, kept_log: None }
    }
}

/// A running scratch server; stopped and removed when dropped.
pub struct ScratchServer {
    // Fields drop in this order: no process may outlive its folder.
    running: Running,
    folder: Folder,
    tools: ToolSet,
    superuser: String,
    kept_log: Option<PathBuf>,
    stopped: bool,
}

impl ScratchServer {
    /// Makes and starts a server, and waits until it accepts connections.
    pub fn start(tools: &ToolSet, options: &ScratchOptions, cancel: &Cancel) -> Result<Self, PgError> {
        check_space(options)?;
        let account = server_account()?;
        let folder = make_folder(options, tools, account.as_ref())?;
        init(tools, options, &folder, account.as_ref(), cancel)?;
        let program = server_program(tools.tool("postgres"), &folder, account.as_ref())
            .args(["-D".as_ref(), folder.data().as_os_str()])
            .args(settings::arguments(folder.path()));
        let running = program.spawn(&log_of(&folder)).map_err(|error| PgError::program(doing(tools), error))?;
        let (superuser, kept_log) = (options.superuser.clone(), options.kept_log.clone());
        let mut server = Self { running, folder, tools: tools.clone(), superuser, kept_log, stopped: false };
        server.wait_until_ready(cancel)?;
        Ok(server)
    }

    /// How to connect to one of its databases.
    pub fn conninfo(&self, database: &str) -> ConnInfo {
        ConnInfo::local(self.folder.path(), PORT, &self.superuser, database)
    }

    /// The programs it was made with.
    pub fn tools(&self) -> &ToolSet {
        &self.tools
    }

    /// The id of its main process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        log_tail(&log_of(&self.folder))
    }

    /// Creates an empty UTF-8 database in the server's default locale.
    pub fn create_database(&self, name: &str, handle: &Handle) -> Result<ConnInfo, PgError> {
        Ok(self.create(name, None, handle)?.0)
    }

    /// Creates an empty database with the encoding and locale of another one. Where this machine does not have that locale,
    /// the `C` locale takes its place, and the answer says so in words.
    pub fn create_database_like(&self, name: &str, like: &DatabaseLocale, handle: &Handle) -> Result<(ConnInfo, Option<String>), PgError> {
        self.create(name, Some(like), handle)
    }

    fn create(&self, name: &str, like: Option<&DatabaseLocale>, handle: &Handle) -> Result<(ConnInfo, Option<String>), PgError> {
        let client = Client::connect(&self.conninfo("postgres"), handle)?;
        let created = create_database(&client, name, like, None);
        client.close();
        Ok((self.conninfo(name), created?))
    }

    /// Stops the server at once; whoever waits for an answer of it is told that it is gone. Its folder goes when it is dropped.
    pub fn interrupt(&self) {
        // A server that is gone already is what was wanted.
        let _gone = self.running.signal(Signal::QUIT);
    }

    /// Stops the server and removes its folder.
    pub fn stop(mut self) -> Result<(), PgError> {
        self.shut_down().map_err(|error| PgError::program("stopping a scratch server", error))
    }

    /// SIGQUIT at once: a fast shutdown would first write gigabytes that are about to be removed.
    fn shut_down(&mut self) -> Result<(), StreamError> {
        if std::mem::replace(&mut self.stopped, true) {
            return Ok(());
        }
        let ended = self.running.stop_with(Signal::QUIT, STOP_LIMIT);
        if let Some(kept) = &self.kept_log {
            // The log is a convenience: failing to keep it must not hide what the server was for.
            let _missing = std::fs::copy(log_of(&self.folder), kept);
        }
        ended.map(drop)
    }

    fn wait_until_ready(&mut self, cancel: &Cancel) -> Result<(), PgError> {
        let until = Instant::now() + START_LIMIT;
        loop {
            let doing = doing(&self.tools);
            cancel.check().map_err(|error| PgError::program(&doing, error))?;
            if let Some(status) = self.running.try_wait().map_err(|error| PgError::program(&doing, error))? {
                return Err(PgError::Scratch { doing, detail: format!("it ended at once ({status})"), log: self.log_tail() });
            }
            if says_ready(&self.folder.data(), self.running.pid()) {
                return Ok(());
            }
            if Instant::now() > until {
                let detail = format!("it did not accept connections in {} s", START_LIMIT.as_secs());
                return Err(PgError::Scratch { doing, detail, log: self.log_tail() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for ScratchServer {
    fn drop(&mut self) {
        // Nobody is left to tell, and what did not stop was killed.
        let _told = self.shut_down();
    }
}

fn doing(tools: &ToolSet) -> String {
    format!("starting a scratch PostgreSQL {} server", tools.major)
}

/// Reads what `pg_ctl` reads: the first line of `postmaster.pid` is the process, the eighth its state (`miscadmin.h`).
fn says_ready(data: &Path, pid: u32) -> bool {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
}

/// The account to run the server as: our own, or an unprivileged one if we are root.
fn server_account() -> Result<Option<Account>, PgError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let found = SERVER_ACCOUNTS.iter().find_map(|name| Account::named(name));
    let detail = "PostgreSQL refuses root, and there is no account `postgres` or `nobody`: add one, or run as another user";
    let refuse = || PgError::scratch("starting a scratch server as root", detail);
    found.map(Some).ok_or_else(refuse)
}

fn check_space(options: &ScratchOptions) -> Result<(), PgError> {
    let Some(needs) = options.needs_bytes else { return Ok(()) };
    let doing = || format!("looking for space in {}", options.parent.display());
    let found = rustix::fs::statvfs(&options.parent).map_err(|error| PgError::scratch(doing(), std::io::Error::from(error)))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free >= needs {
        return Ok(());
    }
    let mib = |bytes: u64| bytes / (1024 * 1024);
    Err(PgError::scratch(
        doing(),
        format!(
            "a scratch server needs about {} MiB and {} MiB are free: free some, or set TMPDIR to a larger disk",
            mib(needs),
            mib(free)
        ),
    ))
}

fn make_folder(options: &ScratchOptions, tools: &ToolSet, account: Option<&Account>) -> Result<Folder, PgError> {
    let doing = format!("making a scratch server's folder in {}", options.parent.display());
    let folder = Folder::create(&options.parent).map_err(|error| PgError::scratch(&doing, error))?;
    if folder.path().as_os_str().len() + format!("/.s.PGSQL.{PORT}").len() > SOCKET_LIMIT {
        return Err(PgError::scratch(
            doing,
            format!("the path is too long for a unix socket ({SOCKET_LIMIT} bytes): set TMPDIR to a shorter one"),
        ));
    }
    if let Some(account) = account {
        let barred = account.barred_at(folder.path()).or_else(|| account.barred_at(&tools.tool("postgres")));
        if let Some(closed) = barred {
            let detail = format!(
                "running as root, the server runs as account `{}`, which may not enter {}: allow it (chmod o+x), or run as another user",
                account.name,
                closed.display()
            );
            return Err(PgError::scratch(doing, detail));
        }
        std::os::unix::fs::chown(folder.path(), Some(account.uid), Some(account.gid)).map_err(|error| PgError::scratch(doing, error))?;
    }
    Ok(folder)
}

fn init(tools: &ToolSet, options: &ScratchOptions, folder: &Folder, account: Option<&Account>, cancel: &Cancel) -> Result<(), PgError> {
    let with_locale = |locale: &[&str]| {
        server_program(tools.tool("initdb"), folder, account)
            .args(["--auth=trust", "--auth-host=reject", "--no-sync", "--no-instructions", "--encoding=UTF8"])
            .args((tools.major >= 18).then_some("--no-data-checksums"))
            .args(locale)
            .args(["--username".as_ref(), options.superuser.as_ref()] as [&std::ffi::OsStr; 2])
            .args(["-D".as_ref(), folder.data().as_os_str()])
            .run(cancel)
    };
    let utf8: &[&str] = if tools.major >= 17 { &["--locale-provider=builtin", "--locale=C.UTF-8"] } else { &["--locale=C.UTF-8"] };
    let done = match with_locale(utf8) {
        // Systems without C.UTF-8 have C at least; the encoding stays UTF-8.
        Err(StreamError::Child { stderr, .. }) if stderr.contains("locale") => with_locale(&["--locale=C"]),
        other => other,
    };
    done.map(drop).map_err(|error| PgError::program(doing(tools), error))
}

/// A program in the folder, as the account, without the caller's PostgreSQL variables.
fn server_program(path: PathBuf, folder: &Folder, account: Option<&Account>) -> Program {
    let program = Program::new(path).cwd(folder.path()).run_as(account.map(|a| (a.uid, a.gid))).env("LC_ALL", "C").env_remove("PGDATA");
    LIBPQ_VARIABLES.iter().fold(program, Program::env_remove)
}

fn log_of(folder: &Folder) -> PathBuf {
    folder.path().join("server.log")
}

fn log_tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
