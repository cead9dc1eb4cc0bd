//! Reading an object: its length is checked, and a body that breaks off is taken up again where it broke, from the same object.
//! This module does not compare digests, except that the SDK checks the server's own checksum when the body came in one piece.

use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;

use super::S3Store;
use super::failure::Failure;
use crate::store::{Refusal, StoreError};
use crate::stream::{CHUNK, Cancel, Chunk, Pool, Pull, Stream, StreamError};

/// How often a broken body is taken up again, and for how many bytes received it may break once more.
const RESUMPTIONS: u64 = 4;
const BYTES_A_RESUMPTION: u64 = 64 * 1024 * 1024;

/// How long is waited before the next attempt, times the number of attempts so far.
const PAUSE: Duration = Duration::from_millis(300);

struct Body {
    store: S3Store,
    key: String,
    frames: ByteStream,
    /// Bytes of the last frame that did not fit the last chunk.
    rest: bytes::Bytes,
    /// Why the body broke off, behind the bytes handed on so far.
    broke: Option<String>,
    etag: Option<String>,
    size: u64,
    received: u64,
    resumed: u64,
    cancel: Cancel,
    pool: Pool,
}

/// Opens an object as a stream.
pub(super) fn open(store: &S3Store, key: &str, cancel: &Cancel) -> Result<Stream, StoreError> {
    let request = store.client.get_object().bucket(&store.spec.bucket).key(store.full(key)?);
    let answer: GetObjectOutput = match store.drive(cancel, request.send())?.map_err(Failure::from) {
        Ok(answer) => answer,
        Err(failure) if failure.is_missing() => return Err(store.missing(key)),
        Err(failure) => return Err(store.refused(format!("reading {key}"), &failure)),
    };
    let size = answer.content_length().and_then(|size| u64::try_from(size).ok());
    let size = size.ok_or_else(|| store.lies(key, "the server does not say how large it is"))?;
    Ok(Box::new(Body {
        store: store.clone(),
        key: key.to_owned(),
        etag: answer.e_tag().map(str::to_owned),
        frames: answer.body,
        rest: bytes::Bytes::new(),
        broke: None,
        size,
        received: 0,
        resumed: 0,
        cancel: cancel.clone(),
        pool: Pool::new(CHUNK),
    }))
}

impl Pull for Body {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let mut buffer = self.pool.buffer();
        loop {
            self.cancel.check()?;
            let store = self.store.clone();
            let cancel = self.cancel.clone();
            if self.broke.is_none() {
                self.broke = store.drive(&cancel, fill(&mut self.frames, &mut self.rest, &mut buffer))?.err();
            }
            // What came before a break is good; the break itself is kept for the next call.
            if !buffer.is_empty() {
                return self.chunk(buffer).map(Some);
            }
            match self.broke.take() {
                None if self.received == self.size => return Ok(None),
                None => self.resume("the body ended too early")?,
                Some(error) => self.resume(&error)?,
            }
        }
    }
}

impl Body {
    fn chunk(&mut self, buffer: Vec<u8>) -> Result<Chunk, StreamError> {
        self.received += buffer.len() as u64;
        if self.received > self.size {
            return Err(StreamError::corrupt(
                "s3",
                format!("{}: the server sends more than the {} bytes it announced", self.key, self.size),
            ));
        }
        Ok(self.pool.chunk(buffer))
    }

    /// Asks for the rest of the same object.
    fn resume(&mut self, broke: &str) -> Result<(), StreamError> {
        if self.received == self.size {
            // All bytes came and still there is an error: the SDK has compared them with the server's checksum.
            return Err(StreamError::corrupt("s3", format!("{}: {broke}", self.key)));
        }
        if self.resumed >= RESUMPTIONS + self.received / BYTES_A_RESUMPTION {
            return Err(
                self.failed(format!("broke off at {} of {} bytes, {} times: {broke}", self.received, self.size, self.resumed + 1), true)
            );
        }
        self.resumed += 1;
        let request = self.store.client.get_object().bucket(&self.store.spec.bucket).key(self.store.with_prefix(&self.key));
        let request = request.range(format!("bytes={}-", self.received)).set_if_match(self.etag.clone());
        let pause = PAUSE * u32::try_from(self.resumed).unwrap_or(u32::MAX).min(10);
        let answer = self.store.drive(&self.cancel, async {
            tokio::time::sleep(pause).await;
            request.send().await
        })?;
        let answer = answer.map_err(|error| self.refused(&error.into()))?;
        let expected = format!("bytes {}-", self.received);
        if !answer.content_range().is_some_and(|range| range.starts_with(&expected)) {
            return Err(self.failed(format!("broke off at {} bytes, and the server can not continue there: {broke}", self.received), true));
        }
        self.frames = answer.body;
        Ok(())
    }

    fn refused(&self, failure: &Failure) -> StreamError {
        if failure.is_taken() {
            return StreamError::corrupt("s3", format!("{} was replaced while it was read", self.key));
        }
        match self.store.refused(format!("reading the rest of {}", self.key), failure) {
            StoreError::Refused { kind, detail, .. } => self.failed(detail, matches!(kind, Refusal::Transient | Refusal::Down)),
            other => self.failed(other.to_string(), false),
        }
    }

    fn failed(&self, detail: String, transient: bool) -> StreamError {
        StreamError::Io { doing: format!("reading s3://{}/{}", self.store.spec.bucket, self.key), detail, transient, denied: false }
    }
}

/// Fills the buffer up to a chunk's size from the body's frames; what came before an error stays in the buffer.
async fn fill(body: &mut ByteStream, rest: &mut bytes::Bytes, buffer: &mut Vec<u8>) -> Result<(), String> {
    while buffer.len() < CHUNK {
        if rest.is_empty() {
            match body.next().await {
                None => return Ok(()),
                Some(frame) => *rest = frame.map_err(|error| error.to_string())?,
            }
        }
        let more = rest.split_to(rest.len().min(CHUNK - buffer.len()));
        buffer.extend_from_slice(&more);
    }
    Ok(())
}
