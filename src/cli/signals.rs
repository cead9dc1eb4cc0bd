//! Signals: one watcher for the life of the process, so that none is lost between two runs.
//!
//! The first signal asks what runs to stop, the second asks everything; SIGHUP, which a closed terminal sends, counts as SIGTERM. Until
//! the first run begins they do what they do to any program. What stopping means is not decided here.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use super::output::{Output, Problem};
use crate::runtime::Runtime;
use crate::stream::Cancel;

/// The number of SIGTERM.
const TERM: u8 = 15;

static WATCH: OnceLock<Result<(), String>> = OnceLock::new();

/// The last signal that came; 0 before any.
static CAUGHT: AtomicU8 = AtomicU8::new(0);

/// How the newest run is asked to stop, and how everything in it is. Not the run itself: whoever holds that last cleans up after it.
static RUN: Mutex<Option<(Cancel, Cancel)>> = Mutex::new(None);

/// From now on signals stop this run. One that came since the run before ended stops it at once.
pub(super) fn heed(runtime: &Runtime) -> Result<(), Problem> {
    if let Err(error) = WATCH.get_or_init(|| watch().map_err(|error| error.to_string())) {
        return Err(Problem::new(Exit::Internal, format!("watching for signals: {error}")));
    }
    *RUN.lock().unwrap_or_else(PoisonError::into_inner) = Some((runtime.cancel.clone(), runtime.abort.clone()));
    if let Some(number) = caught() {
        runtime.cancel.cancel(name(number), false);
    }
    Ok(())
}

/// How the program ends because of a signal; `None` while none has come. Nothing new is started after it.
pub(super) fn asked() -> Option<Exit> {
    caught().map(Exit::Signal)
}

/// How a run ends that was stopped.
pub(super) fn number() -> u8 {
    caught().unwrap_or(2)
}

fn caught() -> Option<u8> {
    Some(CAUGHT.load(Ordering::SeqCst)).filter(|number| *number != 0)
}

const fn name(number: u8) -> &'static str {
    if number == TERM { "SIGTERM" } else { "SIGINT" }
}

/// Takes the signals over, on a thread that outlives every run.
fn watch() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (interrupt, terminate, hangup) = {
        let _inside = runtime.enter();
        // Who was started by `nohup` is to outlive its terminal.
        let hangup = if is_nohup() { None } else { Some(signal(SignalKind::hangup())?) };
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, hangup)
    };
    let watcher = std::thread::Builder::new().name("signals".to_owned());
    watcher.spawn(move || runtime.block_on(listen(interrupt, terminate, hangup)))?;
    Ok(())
}

async fn listen(mut interrupt: Signal, mut terminate: Signal, mut hangup: Option<Signal>) {
    loop {
        let number = tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => TERM,
            () = hung_up(&mut hangup) => TERM,
        };
        came(number);
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Stops first and tells then: whoever reads standard error may have stopped reading.
fn came(number: u8) {
    CAUGHT.store(number, Ordering::SeqCst);
    let Some((cancel, abort)) = RUN.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
    let again = cancel.check().is_err();
    // On a thread of its own: what stopping sets off may take its time, and the next signal is to be heard.
    let _stopper = std::thread::spawn(move || {
        let request = if again { abort } else { cancel };
        request.cancel(name(number), false);
        Output::talk(if again {
            "stopping at once"
        } else {
            "stopping: children and uploads are ended; once more stops notifications and clean-up too"
        });
    });
}

/// Whether SIGHUP was ignored when the program was started.
fn is_nohup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
