//! Real servers for tests, started on loopback or unix sockets in temp folders and stopped by their own pid.

pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod seaweed;
pub(crate) mod smtp;
