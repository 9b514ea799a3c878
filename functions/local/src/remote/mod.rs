//! The command line against a running Sameroom: the one on this machine, or any other by URL and key. Everything here
//! goes through the HTTP API and through nothing else; it must not know the store or the engine's rules.

mod accounts;
pub(crate) mod args;
mod client;
mod deliveries;
mod keys;
mod map;
mod names;
mod portals;
pub(crate) mod problem;
mod profile;
mod rooms;
mod show;
mod tubes;
mod watch;

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::{DeliveriesAction, ServeArgs};
use crate::output;
use args::{ProfileAction, Remote, Target};
use client::Client;
use problem::Failure;

/// What every command has: whom to ask, and how to answer.
struct Desk {
    client: Client,
    json: bool,
}

/// Runs a command against the Sameroom that it is meant for.
pub(crate) fn run(serve: &ServeArgs, target: &Target, command: Remote, json: bool) -> anyhow::Result<()> {
    if let Remote::Profile { action } = command {
        return profile_command(action.unwrap_or_default(), target, json);
    }
    let desk = Desk { client: Client::new(serve, &profile::choose(target)?)?, json };
    let work = async {
        match command {
            Remote::Accounts { action } => accounts::run(&desk, action).await,
            Remote::Rooms { action } => rooms::run(&desk, action).await,
            Remote::Tubes { action } => tubes::run(&desk, action).await,
            Remote::Portals { action } => portals::run(&desk, action).await,
            Remote::Keys { action } => keys::run(&desk, action).await,
            Remote::Owners { action } => keys::owners(&desk, action).await,
            Remote::Map { room, svg } => map::run(&desk, room.as_deref(), svg.as_deref()).await,
            Remote::Watch { no_changes, text } => watch::run(&desk, no_changes, text).await,
            Remote::Profile { .. } => Ok(()),
        }
    };
    runtime()?.block_on(work).map_err(Into::into)
}

/// Whether commands that can also work on this machine's store are to go to another Sameroom.
pub(crate) fn elsewhere(target: &Target) -> anyhow::Result<bool> {
    Ok(profile::choose(target)?.is_elsewhere())
}

/// `sameroom deliveries` against another Sameroom.
pub(crate) fn deliveries(
    serve: &ServeArgs,
    target: &Target,
    action: DeliveriesAction,
    json: bool,
) -> anyhow::Result<()> {
    let desk = Desk { client: Client::new(serve, &profile::choose(target)?)?, json };
    runtime()?.block_on(deliveries::run(&desk, action)).map_err(Into::into)
}

impl Desk {
    /// Prints an answer: the API's document as it is, or what people read.
    fn answer(&self, document: &Value, people: impl FnOnce()) {
        if self.json { output::json(document) } else { people() }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("the program can't start its threads")
}

fn profile_command(action: ProfileAction, target: &Target, json: bool) -> anyhow::Result<()> {
    match action {
        ProfileAction::List => profile::list(json),
        ProfileAction::Add { name } => profile::add(&name, target),
        ProfileAction::Show { name } => profile::show(name.as_deref(), json),
        ProfileAction::Use { name } => profile::make_current(&name),
        ProfileAction::Remove { name } => profile::remove(&name),
    }
}

/// Makes a file for its owner alone; one that exists is not written over.
fn secret_file(path: &Path) -> Result<std::fs::File, Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let why = |e| format!("{} can't be written ({e}); name a file that does not exist", path.display());
    made.map_err(|e| Failure::refused(why(e)))
}
