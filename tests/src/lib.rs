//! What tests of more than one crate share: contract suites that every adapter passes.

pub mod contract;
