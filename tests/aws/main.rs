//! The adapters of AWS, on a local AWS. Not part of plain `cargo test`: `tests/run aws-contract` installs ministack and
//! runs them.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "all of this is tests")]

mod beyond;
mod contract;
mod costs;
mod relayed;
mod stack;
