//! The real program, started as people start it: what it says to mistakes, what its commands do while it runs and while
//! it does not, and how it ends. Nothing here waits by sleeping: a program that is ready says so.

#![allow(clippy::expect_used, reason = "a test that can't go on fails")]

mod mistakes;
mod remote;
mod running;
mod world;
