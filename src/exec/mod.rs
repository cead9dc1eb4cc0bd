//! Running a plan: ready nodes start, failed ones are tried again, and everyone is told.
//!
//! One dispatcher owns all state; workers, one thread an attempt, only report their end. What a node does is behind the
//! traits of `step`: no kind is known here. Nothing here prints, and nothing is retried whose error says that it will repeat.

mod attempt;
mod backoff;
mod board;
mod dispatch;
mod flow;
mod receipt;
mod word;

pub use dispatch::{Ended, Options, run};
pub use receipt::{Before, RECEIPT_VERSION, Receipt, Receipts};
pub use word::{leave_word, take_back};
