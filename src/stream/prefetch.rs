//! A thread of its own for everything upstream of one place in a chain.
//!
//! A chain without this runs on one thread and takes the sum of its stages; with it at the CPU-heavy places it takes as
//! long as the slowest. This module does not decide where those places are.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// How long a drop waits for the thread to end. Where nothing can unblock the source, it ends by itself later.
const FAREWELL: Duration = Duration::from_secs(2);

type Message = Result<Option<Chunk>, StreamError>;

struct Prefetch {
    name: &'static str,
    chunks: Option<Receiver<Message>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    stopper: Option<Stopper>,
}

/// Runs the stream on a thread of this name, at most `depth` chunks ahead of the consumer.
///
/// A thread that panics or vanishes is [`StreamError::Vanished`], never an end. Dropping the consumer stops the source
/// and ends the thread.
pub fn prefetch(input: Stream, depth: usize, name: &'static str) -> Stream {
    let (send, chunks) = bounded(depth.max(1));
    let (ending, ended) = bounded::<()>(0);
    let stopper = input.stopper();
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        forward(input, &send);
        drop((send, ending));
    });
    match thread {
        Ok(thread) => fused(Prefetch { name, chunks: Some(chunks), ended, thread: Some(thread), stopper }),
        Err(error) => fused(Unstarted(StreamError::io(format!("starting the {name} thread"), &error))),
    }
}

fn forward(mut input: Stream, to: &Sender<Message>) {
    loop {
        let message = input.pull();
        let over = !matches!(message, Ok(Some(_)));
        if over {
            // What stands behind is let go of before the consumer hears of the end.
            drop(std::mem::replace(&mut input, fused(Unstarted(StreamError::Vanished { stage: "prefetch" }))));
        }
        // A consumer that was dropped wants no more.
        if to.send(message).is_err() || over {
            return;
        }
    }
}

struct Unstarted(StreamError);

impl Pull for Unstarted {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        Err(self.0.clone())
    }
}

impl Pull for Prefetch {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let message = self.chunks.as_ref().and_then(|chunks| chunks.recv().ok());
        message.unwrap_or(Err(StreamError::Vanished { stage: self.name }))
    }

    fn stopper(&self) -> Option<Stopper> {
        self.stopper.clone()
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // Without its receiver the thread can not wait to send, and a stopped source does not let it wait to receive.
        self.chunks = None;
        if let Some(stop) = self.stopper.take() {
            stop();
        }
        let over = self.ended.recv_timeout(FAREWELL) == Err(crossbeam_channel::RecvTimeoutError::Disconnected);
        if let Some(thread) = self.thread.take().filter(|_| over) {
            // A panic was reported as a stage that vanished.
            let _panicked = thread.join();
        }
    }
}
