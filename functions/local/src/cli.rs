//! What can be typed. What it means is elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::remote::args::{Remote, STATUSES, Target};

const CONNECT_HELP: &str = "\
Examples:
  Two IRC channels on two networks:
    sameroom connect ircs://irc.libera.chat/#one ircs://irc.oftc.net/#two

  With a login. The password is read from the variable, so that it does not stand on the command line:
    sameroom connect 'ircs://mybot@irc.libera.chat/#one?password=env:LIBERA_PASSWORD' local:tea-room

  An IRC channel, and a program of your own that takes and sends signed requests:
    sameroom connect ircs://irc.libera.chat/#one \\
      'webhook+https://example.com/hook?secret=env:HOOK_SECRET#main'

Quote URLs that have ? or & in them. Secrets are given as env:NAME (a variable) or file:PATH (a file).
local:NAME is a room that lives in Sameroom itself, as a page in the browser; it is made if there is none of that name.";

const PLATFORMS_HELP: &str = "\
Examples:
  sameroom platforms
  sameroom platforms slack manifest --url https://rooms.example.org
  sameroom platforms slack manifest --socket";

const DELIVERIES_HELP: &str = "\
Examples:
  sameroom deliveries
  sameroom deliveries replay --all
  sameroom --profile work deliveries

On this machine it works while Sameroom runs and while it does not; another Sameroom is asked by --url or --profile.";

const APPLY_HELP: &str = "\
A network file:
  [accounts.libera]
  url = \"ircs://mybot@irc.libera.chat\"    # a room's URL without its room
  password = \"env:LIBERA_PASSWORD\"        # whatever else the URL may say; secrets as env:NAME or file:PATH

  [rooms.one]
  account = \"libera\"
  room = \"#one\"
  author = \"both\"                         # name, username, both
  team = false                            # show the author's team or network
  system = false                          # show joins, leaves and renames
  direction = \"both\"                      # both, not-out, not-in
  edits = \"correction\"                    # where edits can't be made: correction, ignore
  replies = \"quote\"                       # where replies can't be made: quote, plain

  [rooms]
  two = \"ircs://irc.oftc.net/#two\"        # a room by its URL
  tea = \"local:tea-room\"                  # a room that lives here

  [[tubes]]
  rooms = [\"one\", \"two\"]
  paused = false

An option that is left out has its default. Tubes that are not in the file stay, unless --prune is given.";

/// Connects chat rooms that live on different platforms.
///
/// Without a command it serves: on the first start it offers two local rooms, already connected, at the address it
/// prints.
#[derive(Debug, Parser)]
#[command(name = "sameroom", version, max_term_width = 100, after_long_help = STATUSES)]
pub(crate) struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// How the program runs. Each can also be set by a `SAMEROOM_*` variable or in the configuration file; a flag wins over
/// a variable, a variable over the file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How the program runs")]
pub(crate) struct ServeArgs {
    /// Folder of the store and the key [default: sameroom in the user's data folder]
    #[arg(long, value_name = "DIR", env = "SAMEROOM_DATA", hide_env_values = true, global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR:PORT", env = "SAMEROOM_LISTEN", hide_env_values = true, global = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// URL under which people and platforms reach this Sameroom [default: the listen address]
    #[arg(long, value_name = "URL", env = "SAMEROOM_PUBLIC_URL", hide_env_values = true, global = true)]
    pub(crate) public_url: Option<url::Url>,
    /// Configuration file [default: sameroom.toml in the data folder, if there is one]
    #[arg(long, value_name = "FILE", env = "SAMEROOM_CONFIG", hide_env_values = true, global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Allow connections to a private network: a CIDR block, `loopback` or `private`; can be repeated
    #[arg(
        long = "allow-network",
        value_name = "NET",
        env = "SAMEROOM_ALLOW_NETWORK",
        hide_env_values = true,
        global = true,
        value_delimiter = ','
    )]
    pub(crate) allow_network: Vec<String>,
    /// Trust this CA certificate (PEM) besides the system's
    #[arg(long, value_name = "FILE", env = "SAMEROOM_CA", hide_env_values = true, global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or a filter like `sameroom_engine=debug` [default: warn]
    #[arg(long, value_name = "FILTER", env = "SAMEROOM_LOG", hide_env_values = true, global = true)]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve: all roles in one process
    Serve,
    /// Connect rooms, two by two, and serve
    ///
    /// A room is named by its URL, for example ircs://irc.libera.chat/#rust; `sameroom platforms` lists the forms. What
    /// was connected stays connected at the next start.
    #[command(after_long_help = CONNECT_HELP)]
    Connect {
        /// Pairs of room URLs
        #[arg(required = true, num_args = 2.., value_name = "ROOM-URL")]
        urls: Vec<String>,
    },
    /// Make accounts, rooms, options and Tubes be as a network file says
    ///
    /// Works while Sameroom runs, without a restart, and when it does not. The whole file is checked first: a mistake
    /// anywhere changes nothing.
    #[command(after_long_help = APPLY_HELP)]
    Apply {
        /// The network file (TOML)
        file: PathBuf,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Remove Tubes that are not in the file; without this they stay
        #[arg(long)]
        prune: bool,
    },
    /// Print accounts, rooms, options and Tubes as a network file
    ///
    /// The file applies to the same state. Secrets are not in it: it names the variables to put them into. Rooms that
    /// live here are named without their tokens; in another data folder they get new links.
    Export,
    /// List platforms, what each can do, and how its rooms are named
    #[command(after_help = PLATFORMS_HELP)]
    Platforms {
        /// One platform alone
        platform: Option<String>,
        /// What to show of it: `manifest`, to paste into the platform's own settings
        #[arg(value_parser = ["manifest"])]
        what: Option<String>,
        /// With `manifest`: the id of the app's account, once it was added; webhooks go there
        #[arg(long, value_name = "ACCOUNT-ID")]
        app: Option<String>,
        /// With `manifest`: the platform is to be reached over a held connection, as where there is no public URL
        #[arg(long)]
        socket: bool,
    },
    #[command(flatten)]
    Remote(Remote),
    /// Show Tubes, what waits and why, accounts and counts
    Status,
    /// List deliveries that failed and lanes that wait, and try them again
    #[command(after_help = DELIVERIES_HELP)]
    Deliveries {
        #[command(subcommand)]
        action: Option<DeliveriesAction>,
    },
    /// Check configuration, store, clock and every account, and say what to do
    ///
    /// Ends with status 1 if anything is wrong.
    Doctor,
    /// Write a consistent copy of the store to a file, also while it is in use
    ///
    /// To restore, stop Sameroom, put the copy as sameroom.db and the key as sameroom.key (mode 600) into a new folder,
    /// and start `sameroom --data FOLDER`.
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
        /// Copy the key as well, to FILE.key; whoever has both can read the secrets
        #[arg(long)]
        with_key: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What to do about failed deliveries.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum DeliveriesAction {
    /// List them, oldest first, with requests that were not understood and lanes that wait
    #[default]
    List,
    /// Try again what failed
    Replay {
        /// Which; as `list` names them
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Let lanes that are parked go on
    Resume {
        /// Which; as `list` names them
        #[arg(required_unless_present = "all")]
        lane: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "lane")]
        all: bool,
    },
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum KeyScope {
    /// To see what there is
    Read,
    /// To make and revoke Portals, too
    Portals,
    /// To make and remove Tubes, too
    Tubes,
    /// Everything
    Admin,
}

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sameroom", &mut script);
    say!("{}", String::from_utf8_lossy(&script).trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_typed_is_consistent() {
        Cli::command().debug_assert();
    }
}
