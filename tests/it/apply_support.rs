//! What the tests of `apply` under faults share: a folder of its own with pipelines, programs and scratch space in it, the
//! real binary run there, and a close look at what a run left behind. No test is here.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::cell::Cell;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use runner::event::{Event, What};
use runner::store::ObjectStore;
use runner::store::commit::{PointSummary, points, read_manifest, receipts};
use runner::store::local::LocalStore;
use runner::store::manifest::{Manifest, Receipt};

use crate::servers::postgres::{SUPERUSER, TestServer, bin};

/// The major of the servers and programs of these tests.
pub(crate) const MAJOR: u16 = 16;

/// The pipeline's name.
pub(crate) const NAME: &str = "orders";

/// How long what a run left may take to go by itself.
const PATIENCE: Duration = Duration::from_secs(8);

/// A server with a database `shop`, whose dump has about this many MiB.
pub(crate) fn shop(mib: u32) -> TestServer {
    let server = TestServer::start(MAJOR);
    fill(&server, mib);
    server
}

/// Makes and fills the database `shop`.
pub(crate) fn fill(server: &TestServer, mib: u32) {
    server.psql("postgres", "create database shop");
    // Half of it is noise, so that compression leaves something.
    let rows = mib * 1024;
    server.psql("shop", &format!(
        "create table \"주문\" (id bigint primary key, 이름 text not null, payload text not null);
         insert into \"주문\" select n, '고객 ' || n, (select string_agg(md5(n::text || k), '') from generate_series(1, 31) k) from generate_series(1, {rows}) n;
         create table lines (id int primary key); insert into lines select generate_series(1, 100)"
    ));
}

/// A place to run in: below it are `tmp`, `store`, `bin`, `keys` and the states of the runs.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    runs: Cell<u32>,
    variables: Vec<(String, String)>,
}

/// How a run of the binary ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap());
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Demands an exit code, and words on standard error.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing in:\n{}", self.stderr);
        }
    }
}

impl Bench {
    /// A fresh place. PostgreSQL's programs are found in its `bin`, where each only starts the real one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("rf").tempdir_in("/tmp").unwrap();
        // The account that scratch servers run as must get through.
        open(folder.path());
        let bench = Self { folder, runs: Cell::new(0), variables: Vec::new() };
        for name in ["tmp", "bin", "keys", "home"] {
            std::fs::create_dir(bench.path(name)).unwrap();
            open(&bench.path(name));
        }
        for name in ["pg_dump", "pg_dumpall", "pg_restore", "psql", "initdb", "postgres"] {
            bench.program(name, "exec \"$REAL\" \"$@\"");
        }
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a program by a script that can start the real one as `$REAL`. Its version is always the real one's.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let real = bin(MAJOR).join(name);
        assert!(real.is_file(), "{} is not there: run .ci/setup", real.display());
        let version = format!("case \"$1\" in --version) exec '{0}' \"$@\";; esac", real.display());
        self.script(&self.path("bin").join(name), &format!("REAL='{}'\n{version}\n{script}", real.display()));
    }

    /// Writes an executable script in which `@` is this folder.
    pub(crate) fn script(&self, path: &Path, script: &str) {
        let text = format!("#!/bin/sh\n{}\n", script.replace("@/", &format!("{}/", self.folder.path().display())));
        // Renamed into place: a script that is still open for writing can not be started.
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        open(&new);
        std::fs::rename(&new, path).unwrap();
    }

    /// A file, for keys and secrets.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Gives the runs a variable.
    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a pipeline whose connection `shop` is this server and whose store `vault` is a folder.
    pub(crate) fn pipeline(&self, server: &TestServer, rest: &str) {
        let host = server.socket_folder().display();
        let head = format!(
            "version: 1\nname: {NAME}\nconnections:\n  shop: {{ postgres: {{ host: {host}, port: {}, user: {SUPERUSER}, database: shop }} }}\nstores:\n  vault: {{ local: {{ path: @/store }} }}\n",
            server.port
        );
        self.text(&format!("{head}{rest}"));
    }

    /// Writes a pipeline in which `@/` is this folder.
    pub(crate) fn text(&self, yaml: &str) {
        let yaml = yaml.replace("@/", &format!("{}/", self.folder.path().display()));
        self.file("pipeline.yaml", &yaml);
    }

    /// The binary with these arguments, in a small environment of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("LC_ALL", "C.UTF-8");
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp")).env("RUNNER_PG_BINDIR", self.path("bin"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `apply` with a state folder of its own for each run.
    pub(crate) fn apply_command(&self) -> Command {
        self.runs.set(self.runs.get() + 1);
        let (state, events) = (self.state(), self.events());
        self.command(&["apply", "pipeline.yaml", "--state-dir", state.to_str().unwrap(), "--events", events.to_str().unwrap()])
    }

    /// Runs `apply` to its end.
    pub(crate) fn apply(&self) -> Ran {
        Ran::of(&self.apply_command().output().unwrap())
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Starts `apply`, to be stopped from outside. What it says goes to files, so that nobody waits for a reader.
    pub(crate) fn start(&self) -> Running<'_> {
        let mut command = self.apply_command();
        let out = |name: &str| std::fs::File::create(self.path(name)).unwrap();
        let child = command.stdout(out("stdout")).stderr(out("stderr")).spawn().unwrap();
        Running { bench: self, child }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path(&format!("state-{}", self.runs.get()))
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.path(&format!("events-{}", self.runs.get()))
    }

    /// The journal of the last run.
    pub(crate) fn journal(&self) -> Vec<Event> {
        let files: Vec<PathBuf> =
            files(&self.state()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "ndjson")).collect();
        let [journal] = &files[..] else { panic!("one journal, not {files:?}") };
        runner::journal::replay(journal).unwrap()
    }

    /// The journal of the last run, one word or two an event: what its end looks like when a test fails.
    pub(crate) fn story(&self) -> String {
        self.journal().iter().fold(String::new(), |mut story, event| {
            let told = match &event.what {
                What::RunStarted { .. } => "run".to_owned(),
                What::RunResumed { .. } => "resumed".to_owned(),
                What::NodeStarted { node, attempt, .. } => format!("{node}#{attempt}"),
                What::AttemptFailed { node, attempt, .. } => format!("{node}#{attempt}=again"),
                What::NodeEnded { node, state, .. } => format!("{node}={state:?}"),
                What::RunEnded { outcome, .. } => format!("{outcome:?}"),
                What::Progress { .. } => "progress".to_owned(),
            };
            write!(story, "{}{told}", if story.is_empty() { "" } else { " " }).unwrap();
            story
        })
    }

    /// The store as the library sees it.
    pub(crate) fn vault(&self) -> LocalStore {
        LocalStore::open(&serde_json::from_value(serde_json::json!({ "path": self.path("store") })).unwrap()).unwrap()
    }

    /// The restore points in the folder store.
    pub(crate) fn points(&self) -> Vec<PointSummary> {
        points(&self.vault(), &NAME.parse().unwrap()).unwrap()
    }

    pub(crate) fn manifest(&self, point: &PointSummary) -> Manifest {
        read_manifest(&self.vault().get_bytes(&point.key, 1 << 20).unwrap()).unwrap()
    }

    /// The one receipt of the one restore point.
    pub(crate) fn receipt(&self) -> Receipt {
        let points = self.points();
        let [point] = &points[..] else { panic!("one restore point, not {points:?}") };
        let receipts = receipts(&self.vault(), &NAME.parse().unwrap(), &point.run).unwrap();
        assert!(receipts.unreadable.is_empty(), "{:?}", receipts.unreadable);
        receipts.read.into_iter().next().expect("a receipt")
    }

    /// Demands that no process of a run is alive and that its scratch space is empty.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.processes().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.processes(), Vec::<String>::new(), "processes were left");
        assert_eq!(everything(&self.path("tmp")), Vec::<PathBuf>::new(), "scratch files were left");
    }

    /// Demands that, besides [`Bench::is_clean`], nothing at all is in the store.
    #[track_caller]
    pub(crate) fn left_nothing(&self) {
        self.is_clean();
        assert_eq!(files(&self.path("store")), Vec::<PathBuf>::new(), "the store is not empty");
    }

    /// The living processes that were started by runs here: all of them have its scratch folder in their environment.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mark = format!("TMPDIR={}", self.path("tmp").display()).into_bytes();
        let ids = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let ours = ids.filter(|path| std::fs::read(path.join("environ")).is_ok_and(|text| text.split(|b| *b == 0).any(|v| v == mark)));
        let told = ours.map(|path| {
            let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
            format!("{}: {}", path.file_name().unwrap().to_string_lossy(), String::from_utf8_lossy(&line).replace('\0', " "))
        });
        told.collect()
    }
}

/// A run that goes on.
pub(crate) struct Running<'a> {
    bench: &'a Bench,
    pub(crate) child: Child,
}

impl Running<'_> {
    /// Waits until the events or the world say so.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, holds: impl Fn(&str) -> bool) {
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            let events = std::fs::read_to_string(self.bench.events()).unwrap_or_default();
            if holds(&events) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{what} did not come ({ended:?}):\n{events}\n{}", self.said("stderr"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.bench.path(name)).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; a minute is a failure.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let until = Instant::now() + Duration::from_mins(1);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > until => {
                    self.child.kill().unwrap();
                    panic!("it did not end:\n{}", self.said("stderr"));
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        Ran::of(&Output { status, stdout: self.said("stdout").into_bytes(), stderr: self.said("stderr").into_bytes() })
    }
}

/// Whether a key is a word of a run that failed, before its commit or after it.
fn is_word(key: &str) -> bool {
    key.ends_with(".failed.json") || key.contains(".ended-")
}

/// All regular files below a folder, but leases and words of failed runs: a lease that is let go of stays, for its token.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let is_lease = |path: &Path| path.components().any(|part| part.as_os_str() == ".runner-leases");
    everything(folder).into_iter().filter(|path| path.is_file() && !is_lease(path) && !is_word(&path.to_string_lossy())).collect()
}

/// The keys of everything in a store but leases and words of failed runs.
pub(crate) fn keys(store: &dyn ObjectStore) -> Vec<String> {
    let keys = store.list("").unwrap().into_iter().map(|object| object.key);
    keys.filter(|key| !key.starts_with(runner::store::lease::PREFIX) && !is_word(key)).collect()
}

/// Whether a key is that of a dump.
pub(crate) fn is_dump(key: impl AsRef<Path>) -> bool {
    key.as_ref().extension().is_some_and(|ending| ending == "dump")
}

/// All files and folders below a folder.
pub(crate) fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(everything(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn open(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}
