//! The network file (being written).
