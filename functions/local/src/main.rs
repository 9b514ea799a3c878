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
mod remote;
mod runtime;
mod secrets;
mod serve;
mod server;
mod settings;
mod status;

use std::panic::Location;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::remote::args::{KeysAction, Remote};
use crate::remote::problem::Failure;

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
            e.downcast_ref::<Failure>().map_or(ExitCode::FAILURE, |failure| ExitCode::from(failure.code))
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let json = cli.json;
    let (args, target) = (&cli.serve, &cli.target);
    let goes_elsewhere = matches!(
        cli.command,
        Some(Command::Remote(_) | Command::Deliveries { .. } | Command::Platforms { .. } | Command::Completions { .. })
    );
    if target.given() && !goes_elsewhere {
        anyhow::bail!("this command works on this machine; leave out --url, --key-file and --profile");
    }
    match cli.command {
        None | Some(Command::Serve) => serve::main(args, Vec::new(), json),
        Some(Command::Connect { urls }) => serve::main(args, connect::pairs(&urls)?, json),
        Some(Command::Apply { file, dry_run, prune }) => commands::apply(args, &file, dry_run, prune, json),
        Some(Command::Export) => commands::export(args, json),
        Some(Command::Platforms { platform, what, app, socket }) => match (platform, what) {
            (Some(platform), Some(_)) => commands::manifest(&platform, target.url.as_ref(), app.as_deref(), socket),
            (platform, _) => commands::platforms(platform.as_deref(), json),
        },
        // The first key has to be made somehow: here it can be while nothing runs.
        Some(Command::Remote(Remote::Keys {
            action: Some(KeysAction::Add { name, scopes, days, expires: None, owner: None, to_file: None }),
        })) if !remote::elsewhere(target)? => commands::add_key(args, name, &scopes, days, json),
        Some(Command::Remote(command)) => {
            serve::logging(args.log.as_deref().unwrap_or("error"), json)?;
            remote::run(args, target, command, json)
        }
        Some(Command::Deliveries { action }) if remote::elsewhere(target)? => {
            remote::deliveries(args, target, action.unwrap_or_default(), json)
        }
        Some(Command::Status) => commands::status(args, json),
        Some(Command::Deliveries { action }) => commands::deliveries(args, action.unwrap_or_default(), json),
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
