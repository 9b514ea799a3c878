//! What can be typed of the commands that go to a running Sameroom. What it means is elsewhere.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use url::Url;

use crate::cli::KeyScope;

/// Exit statuses, as the help says them.
pub(crate) const STATUSES: &str = "\
Exit statuses:
  0  it was done
  1  something else went wrong
  2  what was typed is no command
  3  the Sameroom can't be reached
  4  the key is missing, wrong, or lacks a scope
  5  there is nothing of that name, or several things
  6  refused: it does not go together with how things are, or a value does not do";

const ACCOUNTS: &str = "\
Examples:
  sameroom accounts add irc --set url=ircs://irc.libera.chat --set nick=mybot --set password=env:IRC_PASSWORD
  sameroom accounts add slack
  sameroom accounts remove mybot

Values are asked for in the terminal, secrets without echo; --set NAME=VALUE gives one ahead. A secret is given as
NAME=env:VARIABLE or NAME=file:PATH, so that it does not stand on the command line.";
const ROOMS: &str = "\
Examples:
  sameroom rooms find rust
  sameroom rooms add ircs://irc.libera.chat/#rust
  sameroom rooms add mybot '#rust'
  sameroom rooms change '#rust@mybot' --author both --direction not-in

A room is named by its id, its URL, its name where no other has it, or NAME@ACCOUNT.";
const TUBES: &str = "\
Examples:
  sameroom tubes add '#rust@libera' '#general@slack'
  sameroom tubes pause 3f9a
  sameroom tubes change 3f9a --side '#rust' --direction not-out
  sameroom tubes move 3f9a '#rust' '#rust-beginners'

A Tube is named by its id or by the beginning of it.";
const PORTALS: &str = "\
Examples:
  sameroom portals add '#rust' --expires 7d --uses 1 --approval
  sameroom portals guests 6vbc
  sameroom portals approve 6vbc k2fd
  sameroom portals revoke 6vbc --with-tubes
  sameroom portals use https://rooms.example.org/portals/… '#general'

A Portal is named by its id or by the beginning of it, a guest likewise.";
const KEYS: &str = "\
Examples:
  sameroom keys add --name dashboard --scope read --days 90
  sameroom keys add --name bot --scope tubes,portals --to-file bot.key
  sameroom keys revoke 7d1c";
const OWNERS: &str = "\
Examples:
  sameroom owners add 'Ada Lovelace' --email ada@example.com
  sameroom keys add --name laptop --owner OWNER-ID --to-file ada.key";
const PROFILE: &str = "\
Examples:
  sameroom profile add work --url https://rooms.example.org < key.txt
  sameroom profile use work
  sameroom --profile work tubes list
  sameroom profile use local     (back to the Sameroom on this machine)

The key is read from standard input, from --key-file, or from SAMEROOM_KEY; never from an argument.";
const MAP: &str = "\
Examples:
  sameroom map
  sameroom map '#rust' --svg rust.svg";
const WATCH: &str = "\
Examples:
  sameroom watch
  sameroom watch --json | jq .
  sameroom watch --text

Shows what crosses and what changes, as it happens: from where, to where, what kind, what became of it, and how long it
took. What people wrote only with --text, which needs a key with the scope admin. Stop it with Ctrl-C.";

/// Which Sameroom a command goes to.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which Sameroom a command goes to [default: the one that runs on this machine]")]
pub(crate) struct Target {
    /// URL of another Sameroom; also SAMEROOM_URL
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) url: Option<Url>,
    /// File with the API key for --url; the key can also be in SAMEROOM_KEY
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) key_file: Option<PathBuf>,
    /// A profile, as `sameroom profile list` names it; also SAMEROOM_PROFILE
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "url")]
    pub(crate) profile: Option<String>,
}

impl Target {
    /// Whether anything was said on the command line.
    pub(crate) fn given(&self) -> bool {
        self.url.is_some() || self.key_file.is_some() || self.profile.is_some()
    }
}

/// Commands that go to a running Sameroom.
#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// Accounts: add, renew, refresh, remove
    #[command(after_help = ACCOUNTS)]
    Accounts {
        #[command(subcommand)]
        action: Option<AccountsAction>,
    },
    /// Rooms: find, add, set options, remove
    #[command(after_help = ROOMS)]
    Rooms {
        #[command(subcommand)]
        action: Option<RoomsAction>,
    },
    /// Tubes: connect two rooms, pause, resume, move, remove
    #[command(after_help = TUBES)]
    Tubes {
        #[command(subcommand)]
        action: Option<TubesAction>,
    },
    /// Portals: URLs by which others connect rooms of their own
    #[command(after_help = PORTALS)]
    Portals {
        #[command(subcommand)]
        action: Option<PortalsAction>,
    },
    /// API keys
    #[command(after_help = KEYS)]
    Keys {
        #[command(subcommand)]
        action: Option<KeysAction>,
    },
    /// Owners of accounts, Tubes and Portals
    #[command(after_help = OWNERS)]
    Owners {
        #[command(subcommand)]
        action: Option<OwnersAction>,
    },
    /// Draw which rooms are connected
    #[command(after_help = MAP)]
    Map {
        /// The network of this room alone
        room: Option<String>,
        /// Write it as an SVG drawing to a file
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Show what crosses and what changes, as it happens
    #[command(after_help = WATCH)]
    Watch {
        /// Leave out changes of Tubes, Portals, accounts and rooms
        #[arg(long)]
        no_changes: bool,
        /// Show also what each message says
        #[arg(long)]
        text: bool,
    },
    /// Profiles: other Samerooms by name, with their keys
    #[command(after_help = PROFILE)]
    Profile {
        #[command(subcommand)]
        action: Option<ProfileAction>,
    },
}

/// What to do about accounts.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum AccountsAction {
    /// List them
    #[default]
    List,
    /// Add one: asks what the platform wants to know, and waits while you sign in there
    Add {
        /// The platform; `sameroom platforms` lists them
        platform: String,
        /// Install this app again: the account of an app that was added before
        #[arg(long, value_name = "ACCOUNT")]
        app: Option<String>,
        #[command(flatten)]
        answers: Answers,
    },
    /// Show one
    Show {
        /// Its id or name
        account: String,
    },
    /// Sign in again, in place: its rooms and Tubes stay
    Renew {
        /// Its id or name
        account: String,
        #[command(flatten)]
        answers: Answers,
    },
    /// List its rooms anew
    Refresh {
        /// Its id or name
        account: String,
    },
    /// Remove one, after showing what goes with it
    Remove {
        /// Its id or name
        account: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// Answers to a platform's questions.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Answers {
    /// An answer ahead; secrets as NAME=env:VARIABLE or NAME=file:PATH; can be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Whether to ask first.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Sure {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// What to do about rooms.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum RoomsAction {
    /// List those that were added
    #[default]
    List,
    /// Find rooms that your accounts see
    Find {
        /// Part of the name
        text: String,
        /// Of this account alone
        #[arg(long)]
        account: Option<String>,
    },
    /// Add one, by its URL or by account and name
    Add {
        /// The room's URL; or an account
        url_or_account: String,
        /// The room, as it is called there
        room: Option<String>,
    },
    /// Show one, with its options
    Show {
        /// The room
        room: String,
    },
    /// Change options
    Change {
        /// The room
        room: String,
        #[command(flatten)]
        options: RoomOptions,
    },
    /// Remove one, with its Tubes and Portals
    Remove {
        /// The room
        room: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// A room's options; what is left out stays.
#[derive(Clone, Debug, Default, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct RoomOptions {
    /// How authors from elsewhere are shown
    #[arg(long, value_parser = PossibleValuesParser::new(["name", "username", "both"]))]
    pub(crate) author: Option<String>,
    /// Whether the author's team or network is shown
    #[arg(long)]
    pub(crate) team: Option<bool>,
    /// Whether joins, leaves and renames from elsewhere are shown
    #[arg(long)]
    pub(crate) system: Option<bool>,
    /// Which way messages cross
    #[arg(long, value_parser = directions())]
    pub(crate) direction: Option<String>,
    /// Where edits can't be made
    #[arg(long, value_parser = PossibleValuesParser::new(["correction", "ignore"]))]
    pub(crate) edits: Option<String>,
    /// Where replies can't be made
    #[arg(long, value_parser = PossibleValuesParser::new(["quote", "plain"]))]
    pub(crate) replies: Option<String>,
}

/// What to do about Tubes.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum TubesAction {
    /// List them
    #[default]
    List,
    /// Connect two rooms; a room that is named by its URL, or that an account sees, is added
    Add {
        /// A room
        a: String,
        /// Another
        b: String,
    },
    /// Show one
    Show {
        /// The Tube
        tube: String,
    },
    /// Stop messages from crossing, for now
    Pause {
        /// The Tube
        tube: String,
    },
    /// Let messages cross again; also one that broke
    Resume {
        /// The Tube
        tube: String,
    },
    /// Set which way messages cross on one side
    Change {
        /// The Tube
        tube: String,
        /// The room at that side
        #[arg(long, value_name = "ROOM")]
        side: String,
        /// Which way
        #[arg(long, value_parser = directions())]
        direction: String,
    },
    /// Move one side to another room; settings stay
    Move {
        /// The Tube
        tube: String,
        /// The room that the side is at
        from: String,
        /// The room that it moves to
        to: String,
        /// Portals of the one room lead to the other from now on
        #[arg(long)]
        portals: bool,
    },
    /// Remove one
    Remove {
        /// The Tube
        tube: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// What to do about Portals.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum PortalsAction {
    /// List them
    #[default]
    List,
    /// Make one for a room
    Add {
        /// The room
        room: String,
        /// When it ends by itself: a time from now (30m, 12h, 7d) or a date and time (2030-01-31T12:00:00Z)
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// How many Tubes may be made through it
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// You approve each guest
        #[arg(long)]
        approval: bool,
        /// What you call it; guests do not see it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
    },
    /// Show one
    Show {
        /// The Portal
        portal: String,
    },
    /// Change how it may be used
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["expires", "uses", "approval", "label"]))]
    Change {
        /// The Portal
        portal: String,
        /// When it ends by itself, or `never`
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// How many Tubes may be made through it, or `any`
        #[arg(long, value_name = "N")]
        uses: Option<String>,
        /// Whether you approve each guest
        #[arg(long)]
        approval: Option<bool>,
        /// What you call it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
    },
    /// Print its URL; whoever has it can use the Portal
    Url {
        /// The Portal
        portal: String,
    },
    /// List who came through it
    Guests {
        /// The Portal
        portal: String,
    },
    /// Let a guest in
    Approve {
        /// The Portal
        portal: String,
        /// The guest
        guest: String,
    },
    /// Do not let a guest in
    Refuse {
        /// The Portal
        portal: String,
        /// The guest
        guest: String,
    },
    /// Give it a new URL; the old one is dead at once
    Rotate {
        /// The Portal
        portal: String,
    },
    /// Revoke it, for good
    Revoke {
        /// The Portal
        portal: String,
        /// Remove the Tubes that were made through it, too
        #[arg(long)]
        with_tubes: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Connect a room of yours through somebody's Portal
    Use {
        /// The Portal's URL, or its last part
        #[arg(value_name = "PORTAL-URL")]
        invitation: String,
        /// The room of yours
        room: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// What to do about keys.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum KeysAction {
    /// List them
    #[default]
    List,
    /// Make a key and print its token, once
    ///
    /// On this machine it works while Sameroom runs, and when it does not. The token alone goes to standard output; only
    /// its hash is kept.
    Add {
        /// What to call it
        #[arg(long)]
        name: String,
        /// What it may be used for: read, portals, tubes, admin; can be repeated
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', default_value = "admin")]
        scopes: Vec<KeyScope>,
        /// For how many days it is valid [default: until it is revoked]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: Option<u32>,
        /// When it ends by itself: a time from now (12h) or a date and time
        #[arg(long, value_name = "TIME", conflicts_with = "days")]
        expires: Option<String>,
        /// For another owner
        #[arg(long, value_name = "OWNER")]
        owner: Option<String>,
        /// Write it to a new file, mode 600, instead of showing it
        #[arg(long, value_name = "FILE")]
        to_file: Option<PathBuf>,
    },
    /// Show one, without the key itself
    Show {
        /// Its id
        key: String,
    },
    /// Revoke one, for good
    Revoke {
        /// Its id
        key: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// What to do about owners.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum OwnersAction {
    /// List them
    #[default]
    List,
    /// Add one
    Add {
        /// Their name
        name: String,
        /// Where mail about trouble goes
        #[arg(long)]
        email: Option<String>,
    },
    /// Show one
    Show {
        /// Their id
        owner: String,
    },
    /// Change name or address
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["name", "email"]))]
    Change {
        /// Their id
        owner: String,
        /// Their name
        #[arg(long)]
        name: Option<String>,
        /// Where mail about trouble goes
        #[arg(long)]
        email: Option<String>,
    },
}

/// What to do about profiles.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum ProfileAction {
    /// List them
    #[default]
    List,
    /// Add one, or replace it
    Add {
        /// What to call it
        name: String,
    },
    /// Show one, without its key
    Show {
        /// Which; left out: the one in use
        name: Option<String>,
    },
    /// Use one for every command from now on; `local` is the Sameroom on this machine
    Use {
        /// Which
        name: String,
    },
    /// Forget one
    Remove {
        /// Which
        name: String,
    },
}

fn directions() -> PossibleValuesParser {
    PossibleValuesParser::new(["both", "not-out", "not-in"])
}
