//! What the matrix shares: a folder for one test, the real binary as a child process, and a reader of what it left.
//!
//! The folder has a scratch folder of its own (`TMPDIR` of the child), so that whatever stays behind is seen.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use runner::store::commit::{read_manifest, read_receipt};
use runner::store::manifest::{Artifact, Manifest, Receipt};
use serde_json::{Value, json};

use crate::servers::postgres::{MAJORS, TestServer, bin};

/// A folder for one test.
pub(crate) struct Rig {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// How a child ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Ran {
    /// Itself, when it ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stderr\n{}\n--- stdout\n{}", self.stderr, self.stdout);
        self
    }

    /// The answer as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("runner-test-").tempdir_in("/tmp").unwrap();
        open_to(folder.path(), 0o711);
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        open_to(&scratch, 0o1777);
        let folders = MAJORS.map(|major| bin(major).display().to_string()).join(":");
        Self { folder, env: vec![("RUNNER_PG_BINDIR".to_owned(), folders)] }
    }

    /// The same with one more variable of the child's environment; it replaces an earlier one.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a pipeline; JSON is YAML too.
    pub(crate) fn pipeline(&self, pipeline: &Value) -> PathBuf {
        let path = self.path(&format!("{}.yaml", pipeline["name"].as_str().unwrap()));
        std::fs::write(&path, format!("{pipeline:#}\n")).unwrap();
        path
    }

    /// The binary with an environment of its own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.folder.path());
        command.env("TMPDIR", self.path("scratch")).env("RUNNER_STATE_DIR", self.path("state")).envs(self.env.iter().cloned());
        command.current_dir(self.folder.path());
        command
    }

    /// Runs the binary.
    pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        self.command().args(args).output().unwrap().into()
    }

    /// `apply --format json`.
    pub(crate) fn apply(&self, pipeline: &Path) -> Ran {
        self.run([Path::new("apply"), pipeline, Path::new("--format"), Path::new("json")])
    }

    /// What is left where scratch things live.
    pub(crate) fn scratch_left(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.path("scratch")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// The manifest that an answer's run committed to a local store in the folder `store`.
    pub(crate) fn manifest(&self, run: &Value) -> Manifest {
        let key = run["manifest"].as_str().unwrap_or_else(|| panic!("no manifest: {run:#}"));
        read_manifest(&std::fs::read(self.path("store").join(key)).unwrap()).unwrap()
    }

    /// The receipts beside it, in the order of their names.
    pub(crate) fn receipts(&self, run: &Value) -> Vec<Receipt> {
        let manifest = self.path("store").join(run["manifest"].as_str().unwrap());
        let all = std::fs::read_dir(manifest.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let id = run["run"].as_str().unwrap();
        let mut paths: Vec<PathBuf> =
            all.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{id}.verified-"))).collect();
        paths.sort();
        paths.iter().map(|path| read_receipt(&std::fs::read(path).unwrap()).unwrap()).collect()
    }

    /// The file of an artifact in the local store.
    pub(crate) fn object(&self, artifact: &Artifact) -> PathBuf {
        self.path("store").join(&artifact.object.key)
    }

    /// Every file below a folder, relative to it, sorted.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let root = self.path(folder);
        let (mut open, mut found) = (vec![root.clone()], Vec::new());
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn open_to(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A connection to a test server as its superuser over the socket.
pub(crate) fn by_socket(server: &TestServer, database: &str) -> Value {
    json!({ "postgres": { "host": server.socket_folder(), "port": server.port, "user": "postgres", "database": database } })
}

/// A step.
pub(crate) fn step(id: &str, uses: &str, with: &Value) -> Value {
    json!({ "id": id, "uses": uses, "with": with })
}

/// A pipeline with one connection `db`, one local store `vault`, and these steps.
pub(crate) fn pipeline(name: &str, connection: &Value, steps: &[Value]) -> Value {
    json!({
        "version": 1,
        "name": name,
        "connections": { "db": connection },
        "stores": { "vault": { "local": { "path": "store" } } },
        "defaults": { "timeout": "2m", "retry": { "attempts": 1 } },
        "steps": steps,
    })
}
