//! The verbs of Sameroom. (being written)
pub mod failpoint;
pub mod ports;
