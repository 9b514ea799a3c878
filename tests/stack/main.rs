//! The stack of `template.yaml`, deployed by SAM to a local AWS (ministack, PyPI) that enforces its roles, with the real
//! functions in it: what comes in by a function's URL goes out at the other side. Not part of plain `cargo test`:
//! `tests/run aws` installs what it needs and runs it.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "all of this is tests, and the figures are to be seen")]
#![allow(clippy::disallowed_methods, reason = "a person's client, on loopback, is not ours to guard")]

mod api;
mod calls;
mod cloud;
mod faults;
mod life;
mod pages;
mod queues;
mod roles;
mod slack;
mod worker;

#[allow(dead_code, reason = "the suite of foreign programs uses more of it")]
#[path = "../foreign/certs.rs"]
mod certs;
#[allow(dead_code, reason = "the suite of foreign programs uses more of it")]
#[path = "../foreign/gate.rs"]
mod gate;
#[allow(dead_code, reason = "the suite of foreign programs uses more of it")]
#[path = "../foreign/people.rs"]
mod people;
#[allow(dead_code, reason = "the suite of foreign programs uses more of it")]
#[path = "../foreign/servers.rs"]
mod servers;
