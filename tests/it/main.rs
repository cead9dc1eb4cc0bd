//! Every integration test is in this one binary; each server a test needs is started by the test itself.

mod servers;

mod postgres_client;
mod postgres_facts;
mod postgres_scratch;
