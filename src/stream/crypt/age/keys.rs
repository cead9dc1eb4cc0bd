//! The recipients and identities of age, read from text.
//!
//! Recipients are public and keep their text; identities are secret, and no error shows a byte of one. This module does
//! not read files.

use std::fmt;
use std::str::FromStr;

use ::age::ssh::{Identity as SshIdentity, ParseRecipientKeyError, Recipient as SshRecipient};
use ::age::x25519;

use super::Keys;
use crate::secret::Secret;
use crate::stream::StreamError;

/// A public key to encrypt to, which prints as the text it is known by.
#[derive(Clone)]
pub struct Recipient {
    text: String,
    key: Public,
}

#[derive(Clone)]
enum Public {
    X25519(x25519::Recipient),
    Ssh(SshRecipient),
}

/// What is wrong with a line of recipients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct RecipientError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Recipient {
    pub(super) fn as_age(&self) -> &dyn ::age::Recipient {
        match &self.key {
            Public::X25519(key) => key,
            Public::Ssh(key) => key,
        }
    }

    /// The public key as text: `age1…`, or an SSH key without its comment.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.text)
    }
}

impl FromStr for Recipient {
    type Err = String;

    /// Reads `age1…`, or a line `ssh-ed25519 …` or `ssh-rsa …` as in a `.pub` file.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY") {
            return Err("this is a private key; a recipient is the public one (age1…, or the line of a .pub file)".into());
        }
        if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
            let key = SshRecipient::from_str(text).map_err(|error| ssh_problem(&error))?;
            return Ok(Self { text: key.to_string(), key: Public::Ssh(key) });
        }
        match x25519::Recipient::from_str(text) {
            Ok(key) => Ok(Self { text: key.to_string(), key: Public::X25519(key) }),
            Err(_) if text.starts_with("age1") => Err("this age recipient is mistyped, cut short or of a plugin".into()),
            Err(_) => Err("this is no recipient; expected age1…, ssh-ed25519 … or ssh-rsa …".into()),
        }
    }
}

fn ssh_problem(error: &ParseRecipientKeyError) -> String {
    match error {
        ParseRecipientKeyError::Unsupported(kind) => format!("{kind} keys can not be encrypted to; use ssh-ed25519, ssh-rsa or age1…"),
        ParseRecipientKeyError::RsaModulusTooLarge => "this RSA key is larger than supported".into(),
        ParseRecipientKeyError::RsaModulusTooSmall => "this RSA key is shorter than 2048 bits".into(),
        _ => "this SSH public key is mistyped or cut short".into(),
    }
}

/// Reads recipients, one a line, with empty lines and `#` comments as in a recipients file of `age -R`.
///
/// Inline lists are read the same way. A text without any recipient is an error of line 1.
pub fn parse_recipients(text: &str) -> Result<Vec<Recipient>, RecipientError> {
    let mut recipients = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            recipients.push(line.parse().map_err(|message| RecipientError { line: number + 1, message })?);
        }
    }
    if recipients.is_empty() {
        return Err(RecipientError { line: 1, message: "there is no recipient".into() });
    }
    Ok(recipients)
}

/// Private keys to decrypt with. Nothing of them can be printed.
pub struct Identities(Keys);

impl Identities {
    /// Reads an identity file of `age-keygen` (lines `AGE-SECRET-KEY-1…`, comments) or one OpenSSH private key without
    /// a passphrase.
    pub fn parse(text: &Secret) -> Result<Self, StreamError> {
        let text = text.expose();
        let keys = if text.contains("PRIVATE KEY-----") { vec![ssh_identity(text)?] } else { native(text)? };
        if keys.is_empty() {
            return Err(super::key("the identity file holds no AGE-SECRET-KEY-1… line and no OpenSSH private key"));
        }
        Ok(Self(keys))
    }

    pub(super) fn into_age(self) -> Keys {
        self.0
    }
}

/// A private key, and what it is publicly known by.
type Known = (Box<dyn ::age::Identity + Send + Sync>, String);

fn native(text: &str) -> Result<Keys, StreamError> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = |(number, line): (usize, &str)| -> Result<Known, StreamError> {
        match x25519::Identity::from_str(line) {
            Ok(identity) => {
                let public = identity.to_public().to_string();
                Ok((Box::new(identity), public))
            }
            Err(_) => Err(super::key(format!("line {} of the identity file is no AGE-SECRET-KEY-1…", number + 1))),
        }
    };
    lines.map(read).collect()
}

fn ssh_identity(text: &str) -> Result<Known, StreamError> {
    // OpenSSH ends the block with a newline, which a secret may have lost on its way.
    let block = zeroize::Zeroizing::new(format!("{}\n", text.trim()));
    match SshIdentity::from_buffer(block.as_bytes(), None) {
        Ok(identity @ SshIdentity::Unencrypted(_)) => {
            let public = SshRecipient::try_from(identity.clone()).map_or_else(|_| "an SSH key".to_owned(), |public| public.to_string());
            Ok((Box::new(identity), public))
        }
        Ok(SshIdentity::Encrypted(_)) => {
            Err(super::key("the SSH private key has a passphrase; store a copy without one (ssh-keygen -p -N '' -f COPY)"))
        }
        Ok(SshIdentity::Unsupported(_)) => Err(super::key("this type of SSH private key is not supported; use ed25519 or RSA")),
        Err(_) => Err(super::key("the SSH private key is damaged or cut short")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    #[test]
    fn a_bad_recipient_is_named_by_its_line() {
        let text = format!("# 백업 키\n\n{KEY}\n  {KEY}  \nage1typo\n");
        let error = parse_recipients(&text).unwrap_err();
        assert_eq!(error.to_string(), "line 5: this age recipient is mistyped, cut short or of a plugin");
        assert_eq!(parse_recipients(text.trim_end_matches("age1typo\n")).unwrap().len(), 2);
        assert_eq!(parse_recipients("# only a comment\n").unwrap_err().message, "there is no recipient");
    }

    #[test]
    fn a_private_key_where_a_public_one_belongs_is_not_shown() {
        let secret = "AGE-SECRET-KEY-1CANARY";
        let error = parse_recipients(secret).unwrap_err().to_string();
        assert!(error.contains("private key") && !error.contains("CANARY"), "{error}");
    }

    #[test]
    fn a_bad_identity_is_named_by_its_line_and_not_shown() {
        let error = Identities::parse(&Secret::new("# made today\nAGE-SECRET-KEY-1CANARY\n".into())).err().unwrap().to_string();
        assert_eq!(error, "age: line 2 of the identity file is no AGE-SECRET-KEY-1…");
        let error = Identities::parse(&Secret::new("-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY".into())).err().unwrap().to_string();
        assert!(error.contains("damaged") && !error.contains("CANARY"), "{error}");
    }
}
