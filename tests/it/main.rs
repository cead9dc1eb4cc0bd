//! Every integration test is in this one binary; each server a test needs is started by the test itself.


mod document_bad;
mod document_check;
mod document_expand;
mod document_given;
mod document_parse;
mod document_types;
mod notify_http;
mod notify_mail;
mod notify_parameters;
mod notify_setting;
mod postgres_client;
mod postgres_facts;
mod postgres_scratch;
mod servers;
mod store_commit;
mod store_conformance;
mod store_local;
mod store_s3;
mod store_s3_faults;
mod stream_age;
mod stream_child;
mod stream_codec;
mod stream_files;
mod stream_openpgp;
mod stream_stages;
mod stream_tools;
