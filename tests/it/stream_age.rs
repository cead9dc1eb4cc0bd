//! age files against the `age` tool, in both directions, and against damage and wrong keys.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use runner::secret::Secret;
use runner::stream::StreamError;
use runner::stream::crypt::age::{
    Identities, Recipient, decrypt, decrypt_with_passphrase, encrypt, encrypt_with_passphrase, parse_recipients,
};

use crate::stream_tools::{broken_after, damages, dump, parts, read, tool, tool_with};

/// A key pair in files: the private one as `age -i` takes it, and the public one as text.
struct Pair {
    folder: tempfile::TempDir,
    public: String,
}

impl Pair {
    fn file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    fn secret(&self) -> Secret {
        Secret::new(std::fs::read_to_string(self.file()).unwrap())
    }

    fn identities(&self) -> Identities {
        Identities::parse(&self.secret()).unwrap()
    }
}

fn age_keygen() -> Pair {
    let folder = tempfile::tempdir().unwrap();
    tool_with(Command::new("age-keygen").arg("-o").arg(folder.path().join("key")), b"").unwrap();
    let public = tool_with(Command::new("age-keygen").arg("-y").arg(folder.path().join("key")), b"").unwrap();
    Pair { folder, public: String::from_utf8(public).unwrap() }
}

fn ssh_keygen(kind: &str) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    tool_with(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "백업 서버", "-t", kind, "-f"]).arg(&file), b"").unwrap();
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    Pair { folder, public }
}

fn lock(whole: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    read(encrypt(parts(whole, &[100_000, 1, 65_536]), recipients).unwrap()).unwrap()
}

fn unlock(locked: &[u8], pair: &Pair) -> Result<Vec<u8>, StreamError> {
    read(decrypt(parts(locked, &[70_000, 1]), pair.identities()).0)
}

fn age_d(key: &Path, locked: &[u8]) -> Result<Vec<u8>, String> {
    tool_with(Command::new("age").arg("-d").arg("-i").arg(key), locked)
}

#[test]
fn every_recipient_opens_the_file_with_age_and_here() {
    let pairs = [age_keygen(), age_keygen(), ssh_keygen("ed25519"), ssh_keygen("rsa")];
    let text = pairs.each_ref().map(|pair| format!("# one of four\n{}\n", pair.public)).concat();
    let recipients = parse_recipients(&text).unwrap();
    assert!(recipients.iter().all(|recipient| text.contains(recipient.text()) && !recipient.text().contains("백업")));
    let whole = dump(1_000_000);
    let locked = lock(&whole, &recipients);
    for pair in &pairs {
        assert!(age_d(&pair.file(), &locked).unwrap() == whole);
        assert!(unlock(&locked, pair).unwrap() == whole);
    }
}

#[test]
fn what_age_encrypts_is_read_here() {
    let (pair, whole) = (age_keygen(), dump(300_000));
    let locked = tool("age", &["-r", pair.public.trim()], &whole).unwrap();
    assert!(unlock(&locked, &pair).unwrap() == whole);
}

#[test]
fn sizes_around_the_formats_chunks_are_whole() {
    let pair = age_keygen();
    let recipients = parse_recipients(&pair.public).unwrap();
    for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 4 * 65_536] {
        let whole = dump(size);
        let locked = lock(&whole, &recipients);
        assert!(age_d(&pair.file(), &locked).unwrap() == whole, "{size}");
        assert!(unlock(&locked, &pair).unwrap() == whole, "{size}");
    }
}

#[test]
fn damage_of_any_kind_is_noticed() {
    let pair = age_keygen();
    let recipients = parse_recipients(&pair.public).unwrap();
    for size in [65_536, 200_000] {
        let locked = lock(&dump(size), &recipients);
        for (what, damaged) in damages(&locked) {
            let result = unlock(&damaged, &pair).map(|bytes| bytes.len());
            assert!(matches!(result, Err(StreamError::Corrupt { .. })), "{what}: {result:?}");
        }
        // In the middle of a stanza a flipped bit can not be told from another recipient's key.
        let mut flipped = locked.clone();
        flipped[60] ^= 1;
        assert!(matches!(unlock(&flipped, &pair), Err(StreamError::Corrupt { .. } | StreamError::Key { .. })));
    }
}

#[test]
fn a_wrong_identity_is_a_matter_of_keys_and_not_of_damage() {
    let (pair, other) = (age_keygen(), age_keygen());
    let locked = lock(&dump(1000), &parse_recipients(&pair.public).unwrap());
    let error = unlock(&locked, &other).unwrap_err();
    assert_eq!(error.to_string(), "age: none of the given identities is a recipient of this file");
    assert!(matches!(error, StreamError::Key { .. }));
}

#[test]
fn a_passphrase_opens_what_it_closed_and_another_does_not() {
    let (right, wrong) = (Secret::new("올바른 말".into()), Secret::new("다른 말".into()));
    let whole = dump(100_000);
    let locked = read(encrypt_with_passphrase(parts(&whole, &[999]), &right).unwrap()).unwrap();
    assert!(locked.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    assert!(read(decrypt_with_passphrase(parts(&locked, &[9999]), &right).0).unwrap() == whole);
    let error = read(decrypt_with_passphrase(parts(&locked, &[9999]), &wrong).0).unwrap_err();
    assert!(matches!(error, StreamError::Key { .. }), "{error}");
    let pair = age_keygen();
    assert!(matches!(unlock(&locked, &pair), Err(StreamError::Key { .. })));
}

#[test]
fn the_age_tool_opens_a_passphrase_file() {
    // age asks for a passphrase on a terminal only; script gives it one.
    let folder = tempfile::tempdir().unwrap();
    let (locked, opened) = (folder.path().join("x.age"), folder.path().join("x"));
    let whole = dump(70_000);
    std::fs::write(&locked, read(encrypt_with_passphrase(parts(&whole, &[999]), &Secret::new("letmein".into())).unwrap()).unwrap())
        .unwrap();
    let command = format!("age -d -o '{}' '{}'", opened.display(), locked.display());
    let script =
        r#"(sleep 1; echo letmein; for i in $(seq 99); do [ -s "$1" ] && break; sleep 0.1; done; sleep 0.5) | script -qec "$0" /dev/null"#;
    tool_with(Command::new("sh").args(["-c", script, &command]).arg(&opened), b"").unwrap();
    assert!(std::fs::read(&opened).unwrap() == whole);
}

#[test]
fn an_ssh_key_with_a_passphrase_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    tool_with(Command::new("ssh-keygen").args(["-q", "-N", "secret", "-t", "ed25519", "-f"]).arg(&file), b"").unwrap();
    let text = Secret::new(std::fs::read_to_string(&file).unwrap());
    let error = Identities::parse(&text).err().unwrap();
    assert!(matches!(error, StreamError::Key { .. }) && error.to_string().contains("ssh-keygen -p"), "{error}");
}

#[test]
fn an_error_of_the_input_comes_through_both_ways() {
    let pair = age_keygen();
    let recipients = parse_recipients(&pair.public).unwrap();
    let error = read(encrypt(broken_after(&dump(300_000)), &recipients).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "test: the source broke");
    let locked = lock(&dump(300_000), &recipients);
    for cut in [10, 100_000] {
        let error = read(decrypt(broken_after(&locked[..cut]), pair.identities()).0).unwrap_err();
        assert_eq!(error.to_string(), "test: the source broke");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn chunk_boundaries_never_matter(
        size in 0_usize..500_000,
        there in prop::collection::vec(1_usize..200_000, 1..6),
        back in prop::collection::vec(1_usize..90_000, 1..6),
    ) {
        let key = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        let public = tool("age-keygen", &["-y"], key.as_bytes()).unwrap();
        let recipients = parse_recipients(std::str::from_utf8(&public).unwrap()).unwrap();
        let whole = dump(size);
        let locked = read(encrypt(parts(&whole, &there), &recipients).unwrap()).unwrap();
        let identities = Identities::parse(&Secret::new(key.into())).unwrap();
        let again = read(decrypt(parts(&locked, &back), identities).0).unwrap();
        prop_assert!(again == whole);
    }
}
