//! Talking to web servers, for every kind of step that does: what can be wrong with a request before it is sent, one
//! request and its answer, and keeping secrets out of both.
//!
//! This module does not know why somebody asks, tries nothing twice, and judges no answer.

mod address;
mod call;
mod redact;
mod value;

pub(super) use address::{
    LITERAL_SECRET, PLAIN_TEXT, header_problem, in_plain_text, is_loopback, looks_secret, shown, url_leak, url_problem,
};
pub(super) use call::{Answer, Call, Fault, Server, roots, untrusted};
pub(super) use redact::{blackened, excerpt};
pub use value::TextOrSecret;
