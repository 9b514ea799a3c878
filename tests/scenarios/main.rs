//! Scenarios over more than one crate, in one binary, so that it links once.
#![allow(missing_docs, reason = "tests say what they do by their names")]

mod store_contract;
