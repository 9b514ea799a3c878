//! The verbs of Sameroom. (being written)
pub mod ports;
