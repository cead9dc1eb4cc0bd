//! The kinds of step: their parameters, their documentation, and how each does its work.
//!
//! A kind is one file (or folder) here. This module does not know scheduling, retry policy, events or other steps' insides.

pub mod notify;
