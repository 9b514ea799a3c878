//! The `sameroom` program: all roles in one process on an embedded store, and the command line. It wires adapters to
//! the engine and holds no logic of its own.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line: it speaks by printing")]

mod cli;
mod commands;
mod connect;
mod network;
mod output;
mod runtime;
mod secrets;
mod serve;
mod server;
mod settings;
mod supervisor;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
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
        Some(Command::Apply { file, dry_run, place }) => commands::apply(&cli.serve.over(place), &file, dry_run, json),
        Some(Command::Export { place }) => commands::export(&cli.serve.over(place), json),
        Some(Command::Doctor { place }) => commands::doctor(&cli.serve.over(place), json),
        Some(Command::Backup { file, place }) => commands::backup(&cli.serve.over(place), &file, json),
        Some(Command::Deliveries { action, place }) => {
            commands::deliveries(&cli.serve.over(place), action.unwrap_or_default(), json)
        }
    }
}
