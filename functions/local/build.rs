//! Has the linker leave names out of releases. `strip = true` should, but Cargo forgets it for a package whose
//! optimisation is set apart, as this one's is; and what it says instead wins over `-s`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    // Profiles with debug information are for looking at names.
    if is("PROFILE", "release") && is("DEBUG", "false") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,--discard-all");
    }
}
