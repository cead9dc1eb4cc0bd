//! OpenPGP (RFC 9580) through the installed `gpg`.
//!
//! Each use has a `gpg` home of its own that knows only the keys given here, so the user's keyring neither helps nor
//! hinders. Secrets go to `gpg` through pipes, never as arguments or variables. A `gpg` that exits with 0 is not
//! believed by that alone: it does so for data that was never encrypted, so its status lines must say that a decryption
//! succeeded. This module does not compress, sign or check signatures.

mod home;
mod keys;
mod status;

pub use self::keys::{KeyInfo, keys};

use self::home::{Handed, Home};
use self::status::Wanted;
use super::OpenedBy;
use crate::secret::Secret;
use crate::stream::child::{Piped, Program};
use crate::stream::{Cancel, Chunk, Pull, Stopper, Stream, StreamError, fused};

/// How to open an encrypted stream.
#[derive(Debug, Clone)]
pub enum Unlock {
    /// With a private key as `gpg --armor --export-secret-keys` writes it, and its passphrase if it has one.
    Key {
        /// The armored private key.
        key: Secret,
        /// Its passphrase.
        passphrase: Option<Secret>,
    },
    /// With the passphrase it was encrypted with.
    Passphrase(Secret),
}

/// Encrypts to every public key in this key material (`gpg --export`, armored or not) with AES-256.
pub fn encrypt(input: Stream, public_keys: &[u8], cancel: &Cancel) -> Result<Stream, StreamError> {
    let keys = keys(public_keys, cancel)?;
    if let Some(unfit) = keys.iter().find(|key| !key.can_encrypt) {
        return Err(key_error(format!("{unfit} can not be encrypted to: it is expired, revoked or for signing only")));
    }
    let home = Home::new()?;
    home.import(public_keys.to_vec(), cancel)?;
    let recipients = keys.iter().flat_map(|key| ["--recipient", key.fingerprint.as_str()]);
    let program = home.gpg().args(["--trust-model", "always", "--encrypt"]).args(CIPHER).args(recipients);
    start(program, input, home, (Wanted::Encrypted, None, OpenedBy::default()), cancel)
}

/// Encrypts with a passphrase and AES-256.
pub fn encrypt_with_passphrase(input: Stream, passphrase: &Secret, cancel: &Cancel) -> Result<Stream, StreamError> {
    let (home, handed) = (Home::new()?, Handed::new(passphrase.expose())?);
    // The highest iteration count there is (RFC 9580, 3.7.1.3).
    let stretch = ["--s2k-mode", "3", "--s2k-digest-algo", "SHA512", "--s2k-count", "65011712"];
    let program = handed.to(home.gpg()).arg("--symmetric").args(CIPHER).args(stretch);
    start(program, input, home, (Wanted::Encrypted, Some(handed), OpenedBy::default()), cancel)
}

/// Decrypts. The stream ends only if `gpg` vouches for the integrity of all of it.
pub fn decrypt(input: Stream, with: &Unlock, cancel: &Cancel) -> Result<Stream, StreamError> {
    Ok(decrypt_and_tell(input, with, cancel)?.0)
}

/// The same, and tells whose key opened it.
pub fn decrypt_and_tell(input: Stream, with: &Unlock, cancel: &Cancel) -> Result<(Stream, OpenedBy), StreamError> {
    let home = Home::new()?;
    let passphrase = match with {
        Unlock::Passphrase(passphrase) => Some(passphrase),
        Unlock::Key { key, passphrase } => {
            home.import(key.expose().as_bytes().to_vec(), cancel)?;
            passphrase.as_ref()
        }
    };
    // Without a passphrase an empty one is handed over: gpg would otherwise look for somebody to ask.
    let handed = Handed::new(passphrase.map_or("", Secret::expose))?;
    let program = handed.to(home.gpg()).args(["--trust-model", "always", "--decrypt"]);
    let opened = OpenedBy::default();
    Ok((start(program, input, home, (Wanted::Decrypted, Some(handed), opened.clone()), cancel)?, opened))
}

/// `-z 0`: compression is a step of its own.
const CIPHER: [&str; 4] = ["-z", "0", "--cipher-algo", "AES256"];

/// A running `gpg`. The fields are dropped in this order: the home outlives the process.
struct Gpg {
    piped: Piped,
    wanted: Wanted,
    opened: OpenedBy,
    _handed: Option<Handed>,
    _home: Home,
}

fn start(
    program: Program,
    input: Stream,
    home: Home,
    (wanted, handed, opened): (Wanted, Option<Handed>, OpenedBy),
    cancel: &Cancel,
) -> Result<Stream, StreamError> {
    let piped = program.args(["--output", "-"]).piped(Some(input), cancel).map_err(home::missing)?;
    Ok(fused(Gpg { piped, wanted, opened, _handed: handed, _home: home }))
}

impl Pull for Gpg {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        match self.piped.pull() {
            Ok(Some(chunk)) => Ok(Some(chunk)),
            Ok(None) => {
                let said = self.piped.stderr();
                status::accept(self.wanted, &said)?;
                if self.wanted == Wanted::Decrypted {
                    self.opened.tell(status::opener(&said).unwrap_or("a passphrase"));
                }
                Ok(None)
            }
            Err(error) => Err(status::explain(error, || self.piped.stderr())),
        }
    }

    fn stopper(&self) -> Option<Stopper> {
        self.piped.stopper()
    }
}

fn key_error(detail: impl Into<String>) -> StreamError {
    StreamError::Key { layer: "gpg".into(), detail: detail.into() }
}
