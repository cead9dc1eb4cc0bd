//! Every integration test is in this one binary; each server a test needs is started by the test itself.

mod document_bad;
mod document_check;
mod document_expand;
mod document_given;
mod document_parse;
mod document_types;
mod servers;
