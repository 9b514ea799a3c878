//! Contract suites: one for each port of the engine, run against every adapter of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails a test")]

pub mod queues;
pub mod rows;
pub mod store;
