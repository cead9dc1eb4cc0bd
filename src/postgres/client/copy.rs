//! Rows from one server into another, as they flow.
//!
//! One row is in memory at a time, and what the protocol buffers. This module opens no transaction and decides nothing about it.

use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio_postgres::{CopyInSink, CopyOutStream, Error};

use super::Client;
use crate::postgres::error::{PgError, of_statement};
use crate::stream::Cancel;

/// How many rows pass before it is asked again whether to stop.
const BETWEEN_CHECKS: u64 = 10_000;

impl Client {
    /// Feeds what a `COPY … TO STDOUT` here sends to a `COPY … FROM STDIN` on another connection, shows it to `seen`, and answers
    /// how many rows that one took. If either side fails, the other one's `COPY` is aborted; the caller's transaction there
    /// is then to be rolled back.
    pub fn copy_across(
        &self,
        out: &str,
        (to, into): (&Client, &str),
        cancel: &Cancel,
        seen: &mut dyn FnMut(&[u8]) -> Result<(), PgError>,
    ) -> Result<u64, PgError> {
        let from_failed = |error: Error| of_statement(&self.info.describe(), &error, out);
        let to_failed = |error: Error| of_statement(&to.info.describe(), &error, into);
        self.handle.block_on(async {
            let mut rows = std::pin::pin!(self.session.copy_out(out).await.map_err(from_failed)?);
            let mut sink = std::pin::pin!(to.session.copy_in::<_, Bytes>(into).await.map_err(to_failed)?);
            let mut passed = 0_u64;
            while let Some(row) = next(rows.as_mut()).await {
                let row = row.map_err(from_failed)?;
                seen(&row)?;
                send(sink.as_mut(), row).await.map_err(to_failed)?;
                passed += 1;
                if passed.is_multiple_of(BETWEEN_CHECKS) {
                    cancel.check().map_err(|error| PgError::program("copying rows", error))?;
                }
            }
            sink.finish().await.map_err(to_failed)
        })
    }
}

async fn next(mut rows: Pin<&mut CopyOutStream>) -> Option<Result<Bytes, Error>> {
    std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await
}

async fn send(mut sink: Pin<&mut CopyInSink<Bytes>>, row: Bytes) -> Result<(), Error> {
    std::future::poll_fn(|cx| sink.as_mut().poll_ready(cx)).await?;
    sink.as_mut().start_send(row)
}
