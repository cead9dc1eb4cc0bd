//! Ways to encrypt, the keys for them, and the public tools that undo each stage without `runner`.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use runner::store::manifest::Applied;
use runner::stream::codec::Codec;
use runner::stream::digest::Algorithm;
use serde_json::{Value, json};

use crate::stream_tools::tool_with;

/// A passphrase that shells and YAML would spoil if they saw it.
pub(crate) const PASSPHRASE: &str = "암호 $HOME 'x' \"y\" \\z";

/// A way to encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    AgeKeys,
    AgePassphrase,
    Ssh,
    PgpKeys,
    PgpPassphrase,
    Open,
}

/// A key of every kind, in a folder.
pub(crate) struct Keys {
    folder: tempfile::TempDir,
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _gone = Command::new("gpgconf").arg("--homedir").arg(self.path("gpg")).args(["--kill", "all"]).status();
    }
}

impl Keys {
    /// Makes the keys for a way to encrypt.
    pub(crate) fn new(lock: Lock) -> Self {
        let folder = tempfile::Builder::new().prefix("rk-").tempdir_in("/tmp").unwrap();
        let keys = Self { folder };
        match lock {
            Lock::AgeKeys => keys.age(),
            Lock::Ssh => {
                let arguments = ["-q", "-N", "", "-C", "백업 서버", "-t", "ed25519", "-f"];
                tool_with(Command::new("ssh-keygen").args(arguments).arg(keys.path("key")), b"").unwrap();
            }
            Lock::PgpKeys => keys.openpgp(),
            Lock::AgePassphrase | Lock::PgpPassphrase | Lock::Open => {}
        }
        keys
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn age(&self) {
        tool_with(Command::new("age-keygen").arg("-o").arg(self.path("key")), b"").unwrap();
        tool_with(Command::new("age-keygen").arg("-o").arg(self.path("other")), b"").unwrap();
        let public = tool_with(Command::new("age-keygen").arg("-y").arg(self.path("other")), b"").unwrap();
        std::fs::write(self.path("recipients"), [b"# the drill key\n", &public[..]].concat()).unwrap();
    }

    fn openpgp(&self) {
        std::fs::create_dir(self.path("gpg")).unwrap();
        crate::matrix_rig::open_to(&self.path("gpg"), 0o700);
        let user = "백업 <backup@example.org>";
        self.gpg(&["--passphrase", "", "--quick-gen-key", user, "future-default", "default"], b"").unwrap();
        std::fs::write(self.path("public.asc"), self.gpg(&["--armor", "--export"], b"").unwrap()).unwrap();
        std::fs::write(self.path("key"), self.gpg(&["--armor", "--export-secret-keys"], b"").unwrap()).unwrap();
    }

    /// The user's own gpg, without a terminal.
    pub(crate) fn gpg(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.path("gpg")).args(["--batch", "--no-tty", "--trust-model", "always", "--pinentry-mode", "loopback"]);
        tool_with(gpg.args(args), input)
    }

    fn public(&self, name: &str) -> String {
        let public = tool_with(Command::new("age-keygen").arg("-y").arg(self.path(name)), b"").unwrap();
        String::from_utf8(public).unwrap().trim().to_owned()
    }

    /// The parameters of `encrypt`, if there is any.
    pub(crate) fn encrypt(&self, lock: Lock) -> Option<Value> {
        let passphrase = json!({ "secret": "phrase" });
        Some(match lock {
            Lock::AgeKeys => json!({ "age": { "recipients": [self.public("key")], "recipients_file": self.path("recipients") } }),
            Lock::AgePassphrase => json!({ "age": { "passphrase": passphrase } }),
            Lock::Ssh => json!({ "age": { "recipients": [std::fs::read_to_string(self.path("key.pub")).unwrap().trim()] } }),
            Lock::PgpKeys => json!({ "openpgp": { "recipients_files": [self.path("public.asc")] } }),
            Lock::PgpPassphrase => json!({ "openpgp": { "passphrase": passphrase } }),
            Lock::Open => return None,
        })
    }

    /// What `verify-restore` is lent, and the secrets to declare: a file with the private key, or the variable `PHRASE`.
    pub(crate) fn decrypt(&self, lock: Lock) -> (Value, Value) {
        match lock {
            Lock::AgeKeys | Lock::Ssh | Lock::PgpKeys => {
                (json!({ "identity": { "secret": "key" } }), json!({ "key": { "file": self.path("key") } }))
            }
            Lock::AgePassphrase | Lock::PgpPassphrase => {
                (json!({ "passphrase": { "secret": "phrase" } }), json!({ "phrase": { "env": "PHRASE" } }))
            }
            Lock::Open => (json!({}), json!({})),
        }
    }

    /// The bytes before a stage, from those after it, by the public tool for it; a checksum must agree.
    pub(crate) fn undo(&self, lock: Lock, stage: &Applied, after: Vec<u8>) -> Vec<u8> {
        let tool = |name: &str, args: &[&str]| tool_with(Command::new(name).args(args), &after).unwrap();
        match stage {
            Applied::Compress { codec: Codec::Zstd, .. } => tool("zstd", &["-d", "-q"]),
            Applied::Compress { codec: Codec::Gzip, .. } => tool("gunzip", &[]),
            Applied::Compress { codec: Codec::Lz4, .. } => tool("lz4", &["-d", "-q", "-", "-"]),
            Applied::Checksum { algorithm, digest, bytes, .. } => {
                assert_eq!((digest_by_tool(*algorithm, &after), after.len() as u64), (digest.clone(), *bytes));
                after
            }
            Applied::Encrypt { .. } => match lock {
                Lock::AgeKeys | Lock::Ssh => tool_with(Command::new("age").arg("-d").arg("-i").arg(self.path("key")), &after).unwrap(),
                Lock::AgePassphrase => self.age_with_terminal(&after),
                Lock::PgpKeys => self.gpg(&["-d"], &after).unwrap(),
                Lock::PgpPassphrase => {
                    std::fs::create_dir_all(self.path("gpg")).unwrap();
                    crate::matrix_rig::open_to(&self.path("gpg"), 0o700);
                    self.gpg(&["--passphrase", PASSPHRASE, "-d"], &after).unwrap()
                }
                Lock::Open => panic!("encrypted although nobody asked"),
            },
        }
    }

    /// age asks for a passphrase on a terminal only; `script` gives it one.
    fn age_with_terminal(&self, locked: &[u8]) -> Vec<u8> {
        let (closed, opened) = (self.path("closed.age"), self.path("opened"));
        std::fs::write(&closed, locked).unwrap();
        let _first = std::fs::remove_file(&opened);
        let answer = r#"(sleep 1; printf '%s\n' "$PHRASE"; for i in $(seq 99); do [ -e "$2" ] && break; sleep 0.1; done; sleep 0.3) | script -qec "age -d -o '$2' '$1'" /dev/null"#;
        let mut shell = Command::new("sh");
        shell.env("PHRASE", PASSPHRASE).args(["-c", answer, "sh"]).args([&closed, &opened]);
        tool_with(&mut shell, b"").unwrap();
        std::fs::read(&opened).unwrap()
    }
}

/// A digest by coreutils, or by the reference implementation where coreutils has none.
pub(crate) fn digest_by_tool(algorithm: Algorithm, bytes: &[u8]) -> String {
    let sum = |tool: &str| {
        let said = String::from_utf8(tool_with(&mut Command::new(tool), bytes).unwrap()).unwrap();
        said.split(' ').next().unwrap().to_owned()
    };
    match algorithm {
        Algorithm::Sha256 => sum("sha256sum"),
        Algorithm::Sha512 => sum("sha512sum"),
        Algorithm::Blake3 => blake3::hash(bytes).to_hex().to_string(),
    }
}

/// SHA-256 of a file, by `sha256sum`.
pub(crate) fn sha256sum(path: &Path) -> String {
    digest_by_tool(Algorithm::Sha256, &std::fs::read(path).unwrap())
}
