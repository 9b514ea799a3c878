//! Has the linker put the functions that Lambda runs where they stay. A program that may be put anywhere brings a list of
//! 55,000 places to mend at each cold start, which is a tenth of the program, and touches a megabyte of memory
//! before `main`. What the system places (stack, heap, libraries) still lies where nobody knows.

#![allow(clippy::print_stdout, reason = "that is how a build script speaks to Cargo")]

fn main() {
    println!("cargo::rerun-if-changed=../link.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
