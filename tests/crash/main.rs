//! The real debug binary, killed at every dangerous place and at random moments while 100 signed messages a second come
//! in, and started again. What counts is what the receiver's ledger and the store say afterwards. Not part of plain
//! `cargo test`: `cargo build -p sameroom && cargo test -p sameroom-tests --test crash -- --nocapture`.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "all of this is tests, and the figures are to be seen")]

mod deaths;
mod disk;
mod judge;
mod load;
mod stop;
