//! Every integration test is in this one binary; each server a test needs is started by the test itself.

mod postgres_client;
mod postgres_facts;
mod postgres_scratch;
mod servers;
mod stream_age;
mod stream_child;
mod stream_codec;
mod stream_files;
mod stream_openpgp;
mod stream_stages;
mod stream_tools;
