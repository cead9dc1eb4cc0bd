//! Every integration test is in this one binary; each server a test needs is started by the test itself.

mod servers;
mod store_commit;
mod store_conformance;
mod store_local;
mod store_s3;
mod store_s3_faults;
