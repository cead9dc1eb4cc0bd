//! What the tests of the recovery kit share: a machine without `runner` on it, and one backup to restore there. No test is here.
#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use runner::store::manifest::Manifest;
use serde_json::{Value, json};

use crate::matrix_keys::{Keys, Lock, PASSPHRASE};
use crate::matrix_rig::{Ran, Rig, by_socket, open_to, pipeline, step};
use crate::matrix_source::create;
use crate::servers::postgres::{TestServer, bin, tools_folder};

/// The major of the servers of these tests.
pub(crate) const MAJOR: u16 = 17;

/// The pipeline's name.
pub(crate) const NAME: &str = "주문-야간";

/// Every program that the kit says it needs, and no other: `runner` is not among them.
const PROGRAMS: [&str; 31] = [
    "sh",
    "sha256sum",
    "sha512sum",
    "cut",
    "wc",
    "sed",
    "grep",
    "awk",
    "sort",
    "mktemp",
    "mkfifo",
    "mkdir",
    "tee",
    "cat",
    "df",
    "rm",
    "dirname",
    "find",
    "tar",
    "age",
    "gpg",
    "gpg-agent",
    "zstd",
    "gzip",
    "lz4",
    "bash",
    "env",
    "psql",
    "pg_restore",
    "rclone",
    "aws",
];

/// A machine that has the kit's programs and nothing else.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Machine {
    /// One whose libpq talks to this server.
    pub(crate) fn new(server: &TestServer) -> Self {
        let folder = tempfile::Builder::new().prefix("rkit-").tempdir_in("/tmp").unwrap();
        for name in ["bin", "tmp", "gpg"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        open_to(&folder.path().join("gpg"), 0o700);
        let machine = Self { folder, env: Vec::new() };
        let machine = PROGRAMS.into_iter().fold(machine, Machine::with);
        assert!(!machine.command("sh").args(["-c", "command -v runner"]).status().unwrap().success(), "runner is on this machine");
        let port = server.port.to_string();
        machine.env("PGHOST", server.socket_folder().to_str().unwrap()).env("PGPORT", &port).env("PGUSER", "postgres")
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same machine after somebody installed a program.
    pub(crate) fn with(self, program: &str) -> Self {
        std::os::unix::fs::symlink(found(program), self.path("bin").join(program)).unwrap();
        self
    }

    /// The same machine after somebody removed a program.
    pub(crate) fn without(self, program: &str) -> Self {
        std::fs::remove_file(self.path("bin").join(program)).unwrap();
        self
    }

    /// A program of this machine, in its environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path("bin").join(program));
        command.env_clear().env("PATH", self.path("bin")).env("HOME", self.folder.path()).env("TMPDIR", self.path("tmp"));
        command.env("GNUPGHOME", self.path("gpg")).env("LC_ALL", "C.UTF-8").current_dir(self.folder.path());
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(std::process::Stdio::null());
        command
    }

    /// Runs a kit's `restore.sh` under this shell; whatever happens, no scratch file of it stays.
    pub(crate) fn run_under(&self, shell: &str, script: &Path, args: &[&str]) -> Ran {
        let ran: Ran = self.command(shell).arg(script).args(args).output().unwrap().into();
        assert_eq!(std::fs::read_dir(self.path("tmp")).unwrap().count(), 0, "{}", ran.stderr);
        ran
    }

    pub(crate) fn run(&self, script: &Path, args: &[&str]) -> Ran {
        self.run_under("sh", script, args)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone = Command::new("gpgconf").arg("--homedir").arg(self.path("gpg")).args(["--kill", "all"]).status();
    }
}

/// Where a program is: PostgreSQL's and the test tools' own, else on the path.
fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let folders = [bin(MAJOR), tools_folder().join("bin"), tools_folder().join("py/bin")].into_iter().chain(std::env::split_paths(&path));
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is nowhere on the path: run .ci/setup"))
}

/// Settings that let gpg work without a terminal, and the keys of a way to encrypt where it looks for them.
pub(crate) fn with_keyring(machine: Machine, keys: &Keys, lock: Lock) -> Machine {
    let phrase = machine.path("phrase");
    std::fs::write(&phrase, PASSPHRASE).unwrap();
    let settings = format!("batch\nno-tty\npinentry-mode loopback\npassphrase-file {}\n", phrase.display());
    std::fs::write(machine.path("gpg/gpg.conf"), settings).unwrap();
    if lock == Lock::PgpKeys {
        let imported = machine.command("gpg").arg("--import").arg(keys.path("key")).output().unwrap();
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    }
    machine
}

/// A backup that can be restored: a server, a rig whose store is `store`, an age key.
pub(crate) struct Backup {
    pub(crate) server: TestServer,
    pub(crate) rig: Rig,
    pub(crate) keys: Keys,
    pipeline: PathBuf,
}

impl Backup {
    /// A small database that was not backed up yet: custom format, zstd, SHA-256, age.
    pub(crate) fn prepared() -> Self {
        Self::into(Rig::new(), &json!({ "local": { "path": "store" } }))
    }

    /// The same into another store.
    pub(crate) fn into(rig: Rig, store: &Value) -> Self {
        let (server, keys) = (TestServer::start(MAJOR), Keys::new(Lock::AgeKeys));
        create(&server, "주문 DB", "");
        server.psql(
            "주문 DB",
            "create table 주문 (번호 int primary key, 이름 text); insert into 주문 values (1, '홍길동'), (2, E'tab\\there')",
        );
        let steps = [
            step("dump", "dump", &json!({ "connection": "db" })),
            step("pack", "compress", &json!({ "codec": "zstd" })),
            step("digest", "checksum", &json!({})),
            step("lock", "encrypt", &keys.encrypt(Lock::AgeKeys).unwrap()),
            step("keep", "upload", &json!({ "store": "vault", "key": "월간 백업/it's {{ run.id }}.dump.zst.age" })),
        ];
        let mut declared = pipeline(NAME, &by_socket(&server, "주문 DB"), &steps);
        declared["stores"]["vault"] = store.clone();
        let pipeline = rig.pipeline(&declared);
        Self { server, rig, keys, pipeline }
    }

    /// Backs up once more, and answers the run and what apply said.
    pub(crate) fn apply(&self) -> (String, Ran) {
        let ran = self.rig.apply(&self.pipeline).ended(0);
        (ran.json()["runs"][0]["run"].as_str().unwrap().to_owned(), ran)
    }

    /// The manifest of what was answered.
    pub(crate) fn manifest(&self, ran: &Ran) -> Manifest {
        self.rig.manifest(&ran.json()["runs"][0])
    }

    /// A file beside the restore points.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.rig.path("store").join(".runner").join(NAME).join(name)
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.beside("kit-3/restore.sh")
    }

    pub(crate) fn identity(&self) -> String {
        self.keys.path("key").display().to_string()
    }

    /// Everybody's names in a database, in the order of their numbers.
    pub(crate) fn names(&self, database: &str) -> String {
        self.server.psql(database, "select string_agg(이름, ',' order by 번호) from 주문")
    }

    /// Whether there is such a database.
    pub(crate) fn has(&self, database: &str) -> bool {
        self.server.psql("postgres", &format!("select count(*) from pg_database where datname = '{database}'")) == "1"
    }
}
