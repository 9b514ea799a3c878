//! What tests of more than one crate share: contract suites that every adapter passes, the worlds that scenarios play
//! in, and what the suites with real processes stand on.

pub mod contract;
pub mod hook;
pub mod ministack;
pub mod process;
pub mod worlds;
