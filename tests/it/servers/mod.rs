//! Real servers for tests, started on loopback or unix sockets in temp folders and stopped by their own pid.

pub(crate) mod faulty_s3;
pub(crate) mod http;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod seaweed;
pub(crate) mod small_disk;
pub(crate) mod smtp;
