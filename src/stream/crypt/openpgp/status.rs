//! What `gpg` reports in its status lines.
//!
//! Source: `gpg`'s `doc/DETAILS`, "Format of the --status-fd output". This module does not run `gpg`.

use super::key_error;
use crate::stream::StreamError;

const MARK: &str = "[GNUPG:] ";

/// What must have happened for an exit with 0 to be a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Encrypted,
    Decrypted,
}

fn words(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter_map(|line| line.strip_prefix(MARK)).filter_map(|line| line.split_whitespace().next())
}

/// Whether the status lines of a `gpg` that exited with 0 tell of what was wanted.
pub(super) fn accept(wanted: Wanted, said: &str) -> Result<(), StreamError> {
    let mut seen = words(said).filter(|word| matches!(*word, "BEGIN_DECRYPTION" | "PLAINTEXT" | "DECRYPTION_OKAY"));
    let fine = match wanted {
        Wanted::Encrypted => words(said).any(|word| word == "END_ENCRYPTION"),
        // One text, and that within the encryption: gpg also passes on what was never encrypted.
        Wanted::Decrypted => {
            seen.next() == Some("BEGIN_DECRYPTION")
                && seen.next() == Some("PLAINTEXT")
                && seen.next() == Some("DECRYPTION_OKAY")
                && seen.next().is_none()
        }
    };
    match (fine, wanted) {
        (true, _) => Ok(()),
        (false, Wanted::Encrypted) => Err(StreamError::corrupt("gpg", "gpg ended without reporting an encryption")),
        (false, Wanted::Decrypted) => Err(StreamError::corrupt("gpg", "this is not one encrypted message")),
    }
}

/// The fingerprint of the key that opened a message; `None` when it was a passphrase.
pub(super) fn opener(said: &str) -> Option<&str> {
    let mark = format!("{MARK}DECRYPTION_KEY ");
    said.lines().find_map(|line| line.strip_prefix(&mark)?.split_whitespace().next())
}

/// Tells keys from damage in a failure of `gpg`; other errors stay what they are.
pub(super) fn explain(error: StreamError, said: impl FnOnce() -> String) -> StreamError {
    let StreamError::Child { program, status, bytes, .. } = error else { return error };
    let said = said();
    let has = |word: &str| words(&said).any(|seen| seen == word);
    if has("DECRYPTION_OKAY") || has("PLAINTEXT") {
        return StreamError::corrupt("gpg", "the message was changed or is cut short");
    }
    // Asked first: gpg adds that there is no secret key when it could not unlock the one there is.
    if ["Bad passphrase", "Bad session key", "No passphrase given", "No pinentry"].iter().any(|words| said.contains(words)) {
        return key_error("the passphrase is wrong or missing");
    }
    if has("NO_SECKEY") || said.contains("No secret key") {
        return key_error("the given private key is not among the recipients of this message");
    }
    if has("INV_RECP") || said.contains("Unusable public key") {
        return key_error("a recipient's key can not be encrypted to");
    }
    if has("NODATA") || has("BADMDC") || has("DECRYPTION_FAILED") {
        return StreamError::corrupt("gpg", "this is no OpenPGP message, or it was changed or is cut short");
    }
    let words: Vec<&str> = said.lines().filter(|line| !line.starts_with(MARK)).collect();
    let stderr = words[words.len().saturating_sub(16)..].join("\n");
    StreamError::Child { program, status, bytes, stderr, transient: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unencrypted_message_is_not_accepted() {
        let status = |words: &[&str]| words.iter().map(|word| format!("{MARK}{word} 1 2")).collect::<Vec<_>>().join("\ngpg: talk\n");
        assert!(accept(Wanted::Decrypted, &status(&["PLAINTEXT", "PLAINTEXT_LENGTH"])).is_err());
        assert!(accept(Wanted::Decrypted, &status(&["PLAINTEXT", "BEGIN_DECRYPTION", "DECRYPTION_OKAY"])).is_err());
        assert!(accept(Wanted::Decrypted, &status(&["BEGIN_DECRYPTION", "PLAINTEXT", "DECRYPTION_OKAY"])).is_ok());
        assert!(accept(Wanted::Encrypted, "").is_err());
    }
}
