//! The real program, started as people start it: what it says to mistakes, what its commands do while it runs and while
//! it does not, and how it ends. Nothing here waits by sleeping: a program that is ready says so.

mod mistakes;
mod running;
mod world;
