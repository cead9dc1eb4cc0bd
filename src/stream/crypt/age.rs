//! The age v1 file format (<https://age-encryption.org/v1>), binary.
//!
//! A damaged or cut file fails to decrypt; a file for somebody else is told apart from a damaged one as far as the
//! format allows. This module does not read keys from disk and runs no age plugins.

mod keys;

use std::cell::Cell;
use std::io;

use ::age::stream::StreamReader;
use ::age::{DecryptError, Decryptor, Encryptor};

pub use self::keys::{Identities, Recipient, RecipientError, parse_recipients};
use super::OpenedBy;
use crate::secret::Secret;
use crate::stream::reader::{Reader, Spill, Written, fill, unwrap_read};
use crate::stream::{CHUNK, Chunk, Pool, Pull, Stopper, Stream, StreamError, fused};

/// The scrypt work factor written, as a binary logarithm: what the reference implementation writes.
const WORK_FACTOR: u8 = 18;
/// The largest work factor accepted when reading: as the reference implementation.
const WORK_FACTOR_MAX: u8 = 22;

/// Encrypts to each of the recipients; any one of their identities opens the file.
pub fn encrypt(input: Stream, recipients: &[Recipient]) -> Result<Stream, StreamError> {
    let keys = recipients.iter().map(Recipient::as_age);
    let encryptor = Encryptor::with_recipients(keys).map_err(|error| key(error.to_string()))?;
    encrypted(input, encryptor)
}

/// Encrypts with a passphrase. It takes about a second and 256 MiB for a moment, on purpose.
pub fn encrypt_with_passphrase(input: Stream, passphrase: &Secret) -> Result<Stream, StreamError> {
    let mut recipient = ::age::scrypt::Recipient::new(passphrase.expose().into());
    recipient.set_work_factor(WORK_FACTOR);
    let only: &dyn ::age::Recipient = &recipient;
    let encryptor = Encryptor::with_recipients(std::iter::once(only)).map_err(|error| key(error.to_string()))?;
    encrypted(input, encryptor)
}

fn encrypted(input: Stream, encryptor: Encryptor) -> Result<Stream, StreamError> {
    let spill = Spill::default();
    let writer = encryptor.wrap_output(spill.clone()).map_err(|error| StreamError::io("encrypting with age", &error))?;
    let pool = Pool::new(CHUNK + CHUNK / 2);
    Ok(fused(Written { layer: "age", input, writer: Some(writer), finish: |writer| writer.finish().map(drop), spill, pool }))
}

/// Decrypts with whichever of the identities fits, and tells which did.
pub fn decrypt(input: Stream, identities: Identities) -> (Stream, OpenedBy) {
    opened(input, identities.into_age())
}

fn opened(input: Stream, keys: Keys) -> (Stream, OpenedBy) {
    let opened = OpenedBy::default();
    let state = State::Before(Box::new(Reader::new(input)), keys);
    (fused(Decrypt { state, opened: opened.clone(), pool: Pool::new(CHUNK) }), opened)
}

/// Decrypts with a passphrase.
pub fn decrypt_with_passphrase(input: Stream, passphrase: &Secret) -> (Stream, OpenedBy) {
    let mut identity = ::age::scrypt::Identity::new(passphrase.expose().into());
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    opened(input, vec![(Box::new(identity), "a passphrase".to_owned())])
}

/// Private keys, each with what it is publicly known by.
type Keys = Vec<(Box<dyn ::age::Identity + Send + Sync>, String)>;

enum State {
    Before(Box<Reader>, Keys),
    Within(Box<StreamReader<Reader>>, Option<Stopper>),
    After,
}

struct Decrypt {
    state: State,
    opened: OpenedBy,
    pool: Pool,
}

impl Decrypt {
    /// Reads the header and finds the key; on the thread that pulls, because it waits for the input.
    fn open(reader: Reader, keys: &Keys, opened: &OpenedBy) -> Result<State, StreamError> {
        let stopper = reader.stopper();
        let decryptor = Decryptor::new_buffered(reader).map_err(|error| refused(&error))?;
        // They are tried one after the other, and no further than to the first that fits: the last one asked for is that.
        let asked = Cell::new("");
        let identities = keys.iter().inspect(|(_, public)| asked.set(public)).map(|(key, _)| -> &dyn ::age::Identity { key.as_ref() });
        let stream = decryptor.decrypt(identities).map_err(|error| refused(&error))?;
        opened.tell(asked.get());
        Ok(State::Within(Box::new(stream), stopper))
    }
}

impl Pull for Decrypt {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        if let State::Before(..) = &self.state
            && let State::Before(reader, keys) = std::mem::replace(&mut self.state, State::After)
        {
            self.state = Self::open(*reader, &keys, &self.opened)?;
        }
        let State::Within(stream, _) = &mut self.state else { return Ok(None) };
        let (chunk, over) = fill(stream, &self.pool).map_err(|error| unwrap_read("age", &error))?;
        if over {
            self.state = State::After;
        }
        Ok(Some(chunk))
    }

    fn stopper(&self) -> Option<Stopper> {
        match &self.state {
            State::Before(reader, _) => reader.stopper(),
            State::Within(_, stopper) => stopper.clone(),
            State::After => None,
        }
    }
}

fn key(detail: impl Into<String>) -> StreamError {
    StreamError::Key { layer: "age".into(), detail: detail.into() }
}

fn refused(error: &DecryptError) -> StreamError {
    match error {
        DecryptError::Io(error) if error.kind() == io::ErrorKind::InvalidData => StreamError::corrupt("age", "this is not an age file"),
        DecryptError::Io(error) => unwrap_read("age", error),
        DecryptError::NoMatchingKeys => key("none of the given identities is a recipient of this file"),
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => key("the passphrase or identity does not open this file"),
        DecryptError::ExcessiveWork { required, .. } => {
            key(format!("the passphrase's work factor {required} is above the accepted {WORK_FACTOR_MAX}"))
        }
        DecryptError::InvalidMac => StreamError::corrupt("age", "the header was changed: its authentication code does not fit"),
        DecryptError::InvalidHeader => StreamError::corrupt("age", "the header is damaged, or this is not an age file"),
        DecryptError::UnknownFormat => StreamError::corrupt("age", "a version of the format that is not known here"),
        other => StreamError::corrupt("age", other),
    }
}
