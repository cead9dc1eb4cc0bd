//! Which public keys a file holds.
//!
//! Source of the format: `gpg`'s `doc/DETAILS`, "Format of the colon listings". This module does not judge whom a key
//! belongs to.

use std::fmt;

use super::home::{Home, missing};
use super::key_error;
use crate::stream::{Cancel, StreamError};

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The primary key's fingerprint in upper-case hexadecimal.
    pub fingerprint: String,
    /// The first user id, such as `Backup <backup@example.org>`; empty if there is none.
    pub user_id: String,
    /// Whether it, or a subkey, is fit for encryption today.
    pub can_encrypt: bool,
}

impl fmt::Display for KeyInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} ({})", self.fingerprint, self.user_id)
    }
}

/// The public keys in this key material (`gpg --export`, armored or not); at least one.
///
/// Private keys are refused: a host that encrypts has no use for them.
pub fn keys(material: &[u8], cancel: &Cancel) -> Result<Vec<KeyInfo>, StreamError> {
    let listing = Home::new()?.gpg().args(["--with-colons", "--show-keys"]).stdin(material).run(cancel);
    let listing = match listing.map_err(missing) {
        Ok(output) => output.stdout,
        Err(StreamError::Child { .. }) => return Err(key_error("this is no OpenPGP key, or it is damaged")),
        Err(other) => return Err(other),
    };
    let keys = parse(&listing)?;
    if keys.is_empty() { Err(key_error("there is no OpenPGP public key in it")) } else { Ok(keys) }
}

fn parse(listing: &str) -> Result<Vec<KeyInfo>, StreamError> {
    let mut keys: Vec<KeyInfo> = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
        match (field(1), keys.last_mut()) {
            ("sec", _) => return Err(key_error("this is a private key; give the public one (gpg --armor --export)")),
            ("pub", _) => {
                // Field 12: a capital letter is what the key as a whole can do; D is a disabled key.
                let can_encrypt = field(12).contains('E') && !field(12).contains('D') && !matches!(field(2), "e" | "r" | "i");
                keys.push(KeyInfo { fingerprint: String::new(), user_id: String::new(), can_encrypt });
            }
            ("fpr", Some(key)) if key.fingerprint.is_empty() => field(10).clone_into(&mut key.fingerprint),
            ("uid", Some(key)) if key.user_id.is_empty() => key.user_id = field(10).replace("\\x3a", ":"),
            _ => {}
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_by_its_fields() {
        let listing = "pub:u:3072:1:99504B02DC4A5B20:1795152715:::u:::scESC::::::23::0:\n\
                       fpr:::::::::B7876F35F6DB4BDBA6D9294499504B02DC4A5B20:\n\
                       uid:u::::1795152715::7225::백업\\x3a 팀 <a@b>::::::::::0:\n\
                       sub:u:3072:1:79940333EBA91A30:1795152715::::::e::::::23:\n\
                       fpr:::::::::F7384F0BB8D405D7D1F5EA8279940333EBA91A30:\n\
                       pub:e:255:22:1111:1:2::u:::sc::::::ed25519:::0:\nfpr:::::::::AA:\n";
        let keys = parse(listing).unwrap();
        assert_eq!(keys[0].fingerprint, "B7876F35F6DB4BDBA6D9294499504B02DC4A5B20");
        assert_eq!((keys[0].user_id.as_str(), keys[0].can_encrypt), ("백업: 팀 <a@b>", true));
        assert_eq!((keys[1].fingerprint.as_str(), keys[1].can_encrypt, keys.len()), ("AA", false, 2));
        assert!(parse("sec:u:3072:1:99504B02DC4A5B20:1:::u:::scESC:").unwrap_err().to_string().contains("private key"));
    }
}
