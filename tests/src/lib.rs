//! What tests of more than one crate share: contract suites that every adapter passes, and the worlds that scenarios
//! play in.

pub mod contract;
pub mod worlds;
