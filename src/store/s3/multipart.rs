//! An upload in parts: parts go side by side, completion is create-only, and anything but success aborts the upload.
//! This module does not cut the stream.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use tokio::task::JoinSet;

use super::failure::Failure;
use super::parts::{OBJECT_MOST, PART_COUNT, Part, Parts, Sent, at_once};
use super::put::{Outgoing, Trouble, crc_text};
use super::{S3Store, connect};
use crate::store::{Refusal, StoreError, Stored};

/// How long completing may take an attempt: S3 says minutes for large objects.
const COMPLETING: Duration = Duration::from_mins(5);

struct Upload<'a> {
    out: &'a Outgoing<'a>,
    id: String,
    flying: JoinSet<Result<(CompletedPart, u64), Failure>>,
    done: Vec<CompletedPart>,
    open: bool,
}

/// Writes an object of more than one part.
pub(super) fn write(out: &Outgoing<'_>, parts: Parts, first: Part) -> Result<Stored, StoreError> {
    let mut upload = Upload::begin(out)?;
    let sent = match upload.send_all(parts, first) {
        Ok(sent) => sent,
        Err(error) => return Err(upload.abort(error)),
    };
    let answer = upload.complete(&sent);
    let clean = answer.is_ok();
    match out.conclude(answer, &sent) {
        Ok(stored) => {
            upload.open = false;
            Ok(stored)
        }
        Err(error) if clean => {
            upload.open = false;
            Err(error)
        }
        Err(error) => {
            // Once aborted, a completion still on its way can not succeed; before, it may have. So this is looked at once more.
            let error = upload.abort(error);
            Err(out.take_back(error))
        }
    }
}

impl<'a> Upload<'a> {
    fn begin(out: &'a Outgoing<'a>) -> Result<Self, StoreError> {
        let store = out.store;
        let mut request = store.client.create_multipart_upload().bucket(&store.spec.bucket).key(&out.full);
        if store.checksummed() {
            request = request.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).checksum_type(ChecksumType::FullObject);
        }
        let request = out.attributes.on_create(request);
        let begun = store.drive(out.cancel, request.send())?;
        let begun = begun.map_err(|error| store.refused(format!("beginning the upload of {}", out.key), &error.into()))?;
        let id = begun.upload_id().ok_or_else(|| store.lies(out.key, "the server began an upload without an id"))?.to_owned();
        Ok(Self { out, id, flying: JoinSet::new(), done: Vec::new(), open: true })
    }

    fn send_all(&mut self, mut parts: Parts, first: Part) -> Result<Sent, StoreError> {
        let mut part = first;
        loop {
            self.check_limits(&part, parts.bytes())?;
            let last = part.last;
            self.send(part)?;
            if last {
                break;
            }
            part = parts.next(self.out.cancel)?;
        }
        while !self.flying.is_empty() {
            self.land()?;
        }
        Ok(parts.finish())
    }

    fn check_limits(&self, part: &Part, bytes: u64) -> Result<(), StoreError> {
        if part.number <= PART_COUNT && bytes <= OBJECT_MOST {
            return Ok(());
        }
        let detail = format!("an object can not have more than {PART_COUNT} parts and 5 TiB; dump it in several artifacts");
        let doing = format!("writing {}", self.out.key);
        Err(StoreError::Refused { store: format!("s3://{}", self.out.store.spec.bucket), doing, detail, kind: Refusal::Other })
    }

    fn send(&mut self, part: Part) -> Result<(), StoreError> {
        let most = at_once(part.bytes.len() as u64, self.out.store.spec.parallel_parts);
        while self.flying.len() >= most {
            self.land()?;
        }
        let request = send_part(self.out.store.clone(), self.out.full.clone(), self.id.clone(), part);
        self.flying.spawn_on(request, &self.out.store.handle);
        Ok(())
    }

    /// Waits for the next part to arrive.
    fn land(&mut self) -> Result<(), StoreError> {
        let out = self.out;
        let landed = out.store.drive(out.cancel, self.flying.join_next())?;
        let landed = landed.unwrap_or_else(|| Ok(Err(Failure::own("no part was on its way"))));
        let landed = landed.unwrap_or_else(|error| Err(Failure::own(format!("the task of a part ended early: {error}"))));
        let (part, bytes) = landed.map_err(|failure| out.store.refused(format!("uploading a part of {}", out.key), &failure))?;
        self.done.push(part);
        (out.sent)(bytes);
        Ok(())
    }

    fn complete(&mut self, sent: &Sent) -> Result<(), Trouble> {
        let store = self.out.store;
        self.done.sort_unstable_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.done))).build();
        let request = store.client.complete_multipart_upload().bucket(&store.spec.bucket).key(&self.out.full).upload_id(&self.id);
        let mut request = request.if_none_match("*").multipart_upload(parts);
        if store.checksummed() {
            let size = i64::try_from(sent.bytes).ok();
            request = request.checksum_type(ChecksumType::FullObject).checksum_crc64_nvme(crc_text(sent.crc)).set_mpu_object_size(size);
        }
        // The SDK reads the body of a 200 and makes an error of an `Error` document in it.
        match store.drive(self.out.cancel, request.customize().config_override(connect::patience(COMPLETING)).send()) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Trouble::Failed(error.into())),
            Err(cancelled) => Err(Trouble::Cancelled(cancelled)),
        }
    }

    /// Stops the parts and aborts the upload; answers the error with what could not be aborted.
    fn abort(&mut self, cause: StoreError) -> StoreError {
        self.open = false;
        self.flying.abort_all();
        let store = self.out.store;
        let request = store.client.abort_multipart_upload().bucket(&store.spec.bucket).key(&self.out.full).upload_id(&self.id);
        let request = request.customize().config_override(connect::haste());
        let aborted = store.handle.block_on(async {
            // A part that arrives after the abort would stay: first all must have stopped.
            while self.flying.join_next().await.is_some() {}
            request.send().await
        });
        match aborted.map_err(Failure::from) {
            Ok(_) => cause,
            Err(failure) if failure.is_no_upload() => cause,
            Err(failure) => {
                let error = store.refused("aborting", &failure);
                self.out.left(cause, &format!("the unfinished upload {}, which a sweep or a lifecycle rule removes ({error})", self.id))
            }
        }
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if self.open {
            // Only a panic comes here: it is reported by whoever catches it.
            let _unwinding = self.abort(self.out.store.missing(self.out.key));
        }
    }
}

async fn send_part(store: S3Store, full: String, id: String, part: Part) -> Result<(CompletedPart, u64), Failure> {
    let number = i32::try_from(part.number).unwrap_or(i32::MAX);
    let bytes = part.bytes.len() as u64;
    let mut request = store.client.upload_part().bucket(&store.spec.bucket).key(full).upload_id(id).part_number(number);
    if store.checksummed() {
        request = request.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
    }
    let request = request.body(ByteStream::from(part.bytes)).customize().config_override(connect::patience(connect::time_for(bytes)));
    let answer = request.send().await?;
    let done = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).set_checksum_crc64_nvme(answer.checksum_crc64_nvme);
    Ok((done.build(), bytes))
}
