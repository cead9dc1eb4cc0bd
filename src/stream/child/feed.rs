//! Feeding a stream into a program's standard input.
//!
//! This module does not judge the program: it tells how far the feeding came and on which side it broke.

use std::io::{self, Write};
use std::process::ChildStdin;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

use super::process::Process;
use crate::stream::{Stream, StreamError};

/// Where feeding broke.
pub(super) enum Broken {
    /// The stream did not reach its end.
    Input(StreamError),
    /// The program took no more.
    Output(io::Error),
}

/// How far feeding came.
pub(super) struct Fed {
    pub(super) bytes: u64,
    pub(super) outcome: Result<(), Broken>,
}

/// Feeds on this thread until the verified end or a break on either side. `waits` is told before and after each time that the program
/// may take to take more.
pub(super) fn pour(input: &mut Stream, stdin: &mut ChildStdin, waits: &dyn Fn(bool)) -> Fed {
    let mut bytes = 0;
    let outcome = loop {
        match input.pull() {
            Ok(None) => break Ok(()),
            Ok(Some(chunk)) => {
                waits(true);
                let taken = stdin.write_all(&chunk);
                waits(false);
                match taken {
                    Ok(()) => bytes += chunk.len() as u64,
                    Err(error) => break Err(Broken::Output(error)),
                }
            }
            Err(error) => break Err(Broken::Input(error)),
        }
    };
    Fed { bytes, outcome }
}

/// Feeds on a thread of its own.
///
/// The outcome is sent before standard input is closed, so that a program which ends because of it is never seen to end
/// before the cause is known.
pub(super) fn pour_beside(mut input: Stream, mut stdin: ChildStdin, process: Arc<Process>) -> io::Result<Receiver<Fed>> {
    let (send, fed) = bounded(1);
    std::thread::Builder::new().name("feed".into()).spawn(move || {
        let done = pour(&mut input, &mut stdin, &|_| {});
        let cut = matches!(done.outcome, Err(Broken::Input(_)));
        // Nobody is left to hear it when the stream was dropped.
        let _dropped = send.send(done);
        if cut {
            process.terminate();
        }
    })?;
    Ok(fed)
}
