//! The real binary between IRC servers that others wrote (ngIRCd, InspIRCd, Atheme's services), with people on
//! irc-framework, the library of The Lounge and Kiwi IRC. Servers run as they are shipped, flood limits included, except
//! where a test says otherwise. Not part of plain `cargo test`: `tests/run foreign` installs what it needs and runs it.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "all of this is tests, and the figures are to be seen")]

mod access;
mod certs;
mod flow;
mod gate;
mod graph;
mod people;
mod puppets;
mod scene;
mod servers;
mod slack;
mod talk;
