//! OpenPGP messages against the `gpg` tool, in both directions, against damage and wrong keys; and nothing left behind.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use runner::secret::Secret;
use runner::stream::crypt::openpgp::{Unlock, decrypt, encrypt, encrypt_with_passphrase, keys};
use runner::stream::{Cancel, StreamError, prefetch};

use crate::stream_tools::{broken_after, damages, dump, eventually, generated, parts, read, tool_with};

/// A user's own gpg home, as a real one.
struct User {
    home: tempfile::TempDir,
}

impl Drop for User {
    fn drop(&mut self) {
        let _gone = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).status();
    }
}

impl User {
    fn new(name: &str, passphrase: &str) -> Self {
        let home = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700)).tempdir().unwrap();
        let user = Self { home };
        let generate = ["--pinentry-mode", "loopback", "--passphrase", passphrase, "--quick-gen-key", name, "future-default", "default"];
        user.gpg(&generate, b"").unwrap();
        user
    }

    fn gpg(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.home.path()).args(["--batch", "--no-tty", "--trust-model", "always"]).args(args);
        tool_with(&mut gpg, input)
    }

    fn public(&self) -> Vec<u8> {
        self.gpg(&["--armor", "--export"], b"").unwrap()
    }

    fn unlock(&self, passphrase: Option<&str>) -> Unlock {
        let given = passphrase.unwrap_or("");
        let key = self.gpg(&["--pinentry-mode", "loopback", "--passphrase", given, "--armor", "--export-secret-keys"], b"").unwrap();
        let passphrase = passphrase.map(|words| Secret::new(words.into()));
        Unlock::Key { key: Secret::new(String::from_utf8(key).unwrap()), passphrase }
    }
}

fn lock(whole: &[u8], public: &[u8]) -> Result<Vec<u8>, StreamError> {
    read(encrypt(parts(whole, &[100_000, 1]), public, &Cancel::new())?)
}

fn open(locked: &[u8], with: &Unlock) -> Result<Vec<u8>, StreamError> {
    read(decrypt(parts(locked, &[70_000, 1]), with, &Cancel::new())?)
}

/// The homes that this process has made and not removed yet; other tests run in processes of their own.
fn homes_left() -> Vec<PathBuf> {
    let mine = format!("/runner-gpg-{}-", std::process::id());
    let folders = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(&mine)).collect()
}

/// The processes that name a folder which this program made for gpg, with all their arguments.
fn gpg_processes() -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    all.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains("/runner-gpg-")).collect()
}

#[test]
fn every_recipient_opens_the_message_with_gpg_and_here() {
    let (one, two) = (User::new("백업 <backup@example.org>", ""), User::new("Two <two@example.org>", ""));
    let public = [one.public(), two.public()].concat();
    let listed = keys(&public, &Cancel::new()).unwrap();
    assert_eq!((listed.len(), listed[0].user_id.as_str(), listed[0].fingerprint.len()), (2, "백업 <backup@example.org>", 40));
    let whole = dump(1_000_000);
    let locked = lock(&whole, &public).unwrap();
    assert!(locked.len() > whole.len(), "compression is a step of its own");
    for user in [&one, &two] {
        assert!(user.gpg(&["-d"], &locked).unwrap() == whole);
        assert!(open(&locked, &user.unlock(None)).unwrap() == whole);
    }
}

#[test]
fn what_gpg_encrypts_is_read_here_with_a_protected_key() {
    let (user, whole) = (User::new("Protected <p@example.org>", "열려라"), dump(300_000));
    let locked = user.gpg(&["-r", "p@example.org", "-e"], &whole).unwrap();
    let unlock = user.unlock(Some("열려라"));
    assert!(open(&locked, &unlock).unwrap() == whole);
    let Unlock::Key { key, .. } = unlock else { panic!() };
    for passphrase in [None, Some(Secret::new("닫혀라".into()))] {
        let error = open(&locked, &Unlock::Key { key: key.clone(), passphrase }).unwrap_err();
        assert_eq!(error.to_string(), "gpg: the passphrase is wrong or missing");
    }
}

#[test]
fn a_passphrase_opens_what_it_closed_with_gpg_and_here() {
    let (right, whole) = (Secret::new("올바른 말".into()), dump(500_000));
    let locked = read(encrypt_with_passphrase(parts(&whole, &[9999]), &right, &Cancel::new()).unwrap()).unwrap();
    let user = User::new("Any <any@example.org>", "");
    assert!(user.gpg(&["--pinentry-mode", "loopback", "--passphrase", right.expose(), "-d"], &locked).unwrap() == whole);
    assert!(open(&locked, &Unlock::Passphrase(right)).unwrap() == whole);
    let error = open(&locked, &Unlock::Passphrase(Secret::new("다른 말".into()))).unwrap_err();
    assert!(matches!(error, StreamError::Key { .. }), "{error}");
}

#[test]
fn damage_of_any_kind_is_noticed() {
    let user = User::new("D <d@example.org>", "");
    let unlock = user.unlock(None);
    let locked = lock(&dump(200_000), &user.public()).unwrap();
    for (what, damaged) in damages(&locked) {
        let result = open(&damaged, &unlock).map(|bytes| bytes.len());
        // The first bytes name the recipient and hold the session key: damaged, they are somebody else's.
        let early = what.starts_with("bit flipped at 1 ");
        let noticed = matches!(result, Err(StreamError::Corrupt { .. })) || early && matches!(result, Err(StreamError::Key { .. }));
        assert!(noticed, "{what}: {result:?}");
    }
}

#[test]
fn a_message_that_was_never_encrypted_is_refused() {
    let user = User::new("P <p@example.org>", "");
    let plain = user.gpg(&["--store", "-z", "0"], &dump(1000)).unwrap();
    let error = open(&plain, &user.unlock(None)).unwrap_err();
    assert_eq!(error.to_string(), "gpg: this is not one encrypted message");
    let locked = lock(&dump(1000), &user.public()).unwrap();
    for joined in [[&plain[..], &locked[..]].concat(), [&locked[..], &plain[..]].concat(), [&locked[..], &locked[..]].concat()] {
        assert!(matches!(open(&joined, &user.unlock(None)), Err(StreamError::Corrupt { .. })));
    }
}

#[test]
fn a_wrong_key_is_a_matter_of_keys_and_not_of_damage() {
    let (user, other) = (User::new("U <u@example.org>", ""), User::new("O <o@example.org>", ""));
    let locked = lock(&dump(100_000), &user.public()).unwrap();
    let error = open(&locked, &other.unlock(None)).unwrap_err();
    assert_eq!(error.to_string(), "gpg: the given private key is not among the recipients of this message");
}

#[test]
fn what_is_no_public_key_is_refused_before_any_byte() {
    let user = User::new("K <k@example.org>", "");
    let refusal = |material: &[u8]| lock(b"x", material).unwrap_err().to_string();
    assert_eq!(refusal(b"not a key"), "gpg: this is no OpenPGP key, or it is damaged");
    let Unlock::Key { key, .. } = user.unlock(None) else { panic!() };
    assert_eq!(refusal(key.expose().as_bytes()), "gpg: this is a private key; give the public one (gpg --armor --export)");
    let signer =
        user.gpg(&["--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", "S <s@example.org>", "ed25519", "sign"], b"");
    signer.unwrap();
    let signing = user.gpg(&["--armor", "--export", "s@example.org"], b"").unwrap();
    assert!(refusal(&signing).contains("can not be encrypted to"), "{}", refusal(&signing));
    let unreadable = Unlock::Key { key: Secret::new("CANARY".into()), passphrase: None };
    let error = open(b"", &unreadable).unwrap_err();
    assert!(matches!(error, StreamError::Key { .. }) && !error.to_string().contains("CANARY"), "{error}");
}

#[test]
fn no_secret_is_visible_while_gpg_runs_and_nothing_is_left_after() {
    const CANARY: &str = "canary-비밀-7391";
    let before = homes_left();
    let input = prefetch(generated(64 << 20), 2, "canary");
    let mut stream = encrypt_with_passphrase(input, &Secret::new(CANARY.into()), &Cancel::new()).unwrap();
    for _ in 0..20 {
        stream.pull().unwrap().unwrap();
    }
    assert!(gpg_processes().iter().any(|line| line.contains("--symmetric")), "gpg runs while we look");
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let shown = std::fs::read(process.path().join(file)).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&shown).contains(CANARY), "{}/{file}", process.path().display());
        }
    }
    let mine: Vec<PathBuf> = homes_left().into_iter().filter(|home| !before.contains(home)).collect();
    assert!(!mine.is_empty() && mine.iter().all(|home| no_canary(home, CANARY)));
    drop(stream);
    let names: Vec<String> = mine.iter().map(|home| home.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let gone = || !gpg_processes().iter().any(|line| names.iter().any(|name| line.contains(name)));
    eventually("the end of gpg and its agent", gone);
    eventually("the end of its home", || mine.iter().all(|home| !home.exists()));
}

fn no_canary(folder: &Path, canary: &str) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_file());
    files.into_iter().all(|file| !String::from_utf8_lossy(&std::fs::read(file.path()).unwrap_or_default()).contains(canary))
}

#[test]
fn an_error_of_the_input_comes_through_both_ways() {
    let user = User::new("E <e@example.org>", "");
    let error = read(encrypt(broken_after(&dump(300_000)), &user.public(), &Cancel::new()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "test: the source broke");
    let locked = lock(&dump(300_000), &user.public()).unwrap();
    let error = read(decrypt(broken_after(&locked[..100_000]), &user.unlock(None), &Cancel::new()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "test: the source broke");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn chunk_boundaries_never_matter(
        size in 0_usize..500_000,
        there in prop::collection::vec(1_usize..200_000, 1..6),
        back in prop::collection::vec(1_usize..90_000, 1..6),
    ) {
        let (passphrase, whole, cancel) = (Secret::new("p".into()), dump(size), Cancel::new());
        let locked = read(encrypt_with_passphrase(parts(&whole, &there), &passphrase, &cancel).unwrap()).unwrap();
        let again = read(decrypt(parts(&locked, &back), &Unlock::Passphrase(passphrase), &cancel).unwrap()).unwrap();
        prop_assert!(again == whole);
    }
}
