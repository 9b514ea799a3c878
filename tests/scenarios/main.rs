//! Scenarios over more than one crate, in one binary, so that it links once.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests say what they do by their names, and may panic")]

mod store_contract;
