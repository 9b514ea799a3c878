//! The `sameroom` program: all roles in one process on an embedded store, and the command line. It wires adapters to
//! the engine and holds no logic of its own.

#[macro_use]
mod output;
mod backup;
mod cli;
mod commands;
mod connect;
mod control;
mod doctor;
mod failures;
mod keys;
mod network;
mod runtime;
mod secrets;
mod serve;
mod server;
mod settings;
mod status;
mod supervisor;

use std::panic::Location;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

/// A message makes several hundred small allocations, many of them freed by another thread than their own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| told_of(panic.location())));
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tell!("{} {e:#}", output::error_word());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let json = cli.json;
    let args = &cli.serve;
    match cli.command {
        None | Some(Command::Serve) => serve::main(args, Vec::new(), json),
        Some(Command::Connect { urls }) => serve::main(args, connect::pairs(&urls)?, json),
        Some(Command::Apply { file, dry_run, prune }) => commands::apply(args, &file, dry_run, prune, json),
        Some(Command::Export) => commands::export(args, json),
        Some(Command::Platforms) => {
            commands::platforms(json);
            Ok(())
        }
        Some(Command::Status) => commands::status(args, json),
        Some(Command::Deliveries { action }) => commands::deliveries(args, action.unwrap_or_default(), json),
        Some(Command::Keys { action }) => commands::keys(args, &action, json),
        Some(Command::Doctor) => commands::doctor(args, json),
        Some(Command::Backup { file, with_key }) => commands::backup(args, &file, with_key, json),
        Some(Command::Completions { shell }) => {
            cli::completions(shell);
            Ok(())
        }
    }
}

/// Tells where a panic was, and nothing else: its message may quote what people wrote.
fn told_of(location: Option<&Location<'_>>) {
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(place, "this is a bug in Sameroom, please report it");
    } else {
        tell!("{} this is a bug in Sameroom, please report it: {place}", output::error_word());
    }
}
