//! The `sameroom` program: all roles in one process on an embedded store, and the command line. It wires adapters to
//! the engine and holds no logic of its own.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line: it speaks by printing")]

mod backup;
mod cli;
mod commands;
mod connect;
mod control;
mod doctor;
mod failures;
mod network;
mod output;
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

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| told_of(panic.location())));
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{} {e:#}", output::error_word());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let json = cli.json;
    match cli.command {
        None => serve::main(&cli.serve, Vec::new(), json),
        Some(Command::Serve(options)) => serve::main(&cli.serve.over(options), Vec::new(), json),
        Some(Command::Connect { urls, serve }) => serve::main(&cli.serve.over(serve), connect::pairs(&urls)?, json),
        Some(Command::Completions { shell }) => {
            cli::completions(shell);
            Ok(())
        }
        Some(Command::Platforms) => commands::platforms(json),
        Some(Command::Apply { file, dry_run, prune, place }) => {
            commands::apply(&cli.serve.over(place), &file, dry_run, prune, json)
        }
        Some(Command::Export { place }) => commands::export(&cli.serve.over(place), json),
        Some(Command::Doctor { place }) => commands::doctor(&cli.serve.over(place), json),
        Some(Command::Backup { file, with_key, place }) => {
            commands::backup(&cli.serve.over(place), &file, with_key, json)
        }
        Some(Command::Deliveries { action, place }) => {
            commands::deliveries(&cli.serve.over(place), action.unwrap_or_default(), json)
        }
        Some(Command::Status { place }) => commands::status(&cli.serve.over(place), json),
    }
}

/// Tells where a panic was, and nothing else: its message may quote what people wrote.
fn told_of(location: Option<&Location<'_>>) {
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(place, "this is a bug in Sameroom, please report it");
    } else {
        eprintln!("{} this is a bug in Sameroom, please report it: {place}", output::error_word());
    }
}
