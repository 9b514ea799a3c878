//! What can be typed. What it means is elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

/// Connects chat rooms that live on different platforms.
///
/// Without a command it serves: on the first start it offers two local rooms, already connected, at the address it
/// prints.
#[derive(Debug, Parser)]
#[command(name = "sameroom", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// How the program runs. Each can also be set by a `SAMEROOM_*` variable or in the configuration file; a flag wins over
/// a variable, a variable over the file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Folder of the store and the key [default: sameroom in the user's data folder]
    #[arg(long, value_name = "DIR", env = "SAMEROOM_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR:PORT", env = "SAMEROOM_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// URL under which people and platforms reach this Sameroom [default: the listen address]
    #[arg(long, value_name = "URL", env = "SAMEROOM_PUBLIC_URL")]
    pub(crate) public_url: Option<url::Url>,
    /// Configuration file [default: sameroom.toml in the data folder, if there is one]
    #[arg(long, value_name = "FILE", env = "SAMEROOM_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Allow connections to a private network: a CIDR block, `loopback` or `private`; can be repeated
    #[arg(long = "allow-network", value_name = "NET", env = "SAMEROOM_ALLOW_NETWORK", value_delimiter = ',')]
    pub(crate) allow_network: Vec<String>,
    /// Trust this CA certificate (PEM) besides the system's
    #[arg(long, value_name = "FILE", env = "SAMEROOM_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or a filter like `sameroom_engine=debug` [default: warn]
    #[arg(long, value_name = "FILTER", env = "SAMEROOM_LOG")]
    pub(crate) log: Option<String>,
}

impl ServeArgs {
    /// These, overridden by those that came after the command.
    pub(crate) fn over(&self, later: Self) -> Self {
        let earlier = self.clone();
        Self {
            data: later.data.or(earlier.data),
            listen: later.listen.or(earlier.listen),
            public_url: later.public_url.or(earlier.public_url),
            config: later.config.or(earlier.config),
            allow_network: if later.allow_network.is_empty() { earlier.allow_network } else { later.allow_network },
            ca: later.ca.or(earlier.ca),
            log: later.log.or(earlier.log),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve: all roles in one process
    Serve(ServeArgs),
    /// Connect rooms, two by two, and serve
    ///
    /// A room is named by its URL, for example `ircs://irc.libera.chat/#rust`; `sameroom platforms` lists the forms.
    /// Keep secrets out of the command line: `password=env:NAME` or `password=file:PATH` names where one is.
    Connect {
        /// Pairs of room URLs
        #[arg(required = true, num_args = 2.., value_name = "ROOM-URL")]
        urls: Vec<String>,
        #[command(flatten)]
        serve: ServeArgs,
    },
    /// Make accounts, Tubes and options be as a network file says
    Apply {
        /// The network file (TOML)
        file: PathBuf,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: ServeArgs,
    },
    /// Print accounts, Tubes and options as a network file
    Export {
        #[command(flatten)]
        place: ServeArgs,
    },
    /// List platforms and what each can do
    Platforms,
    /// List deliveries that failed, and replay them
    Deliveries {
        #[command(subcommand)]
        action: Option<DeliveriesAction>,
        #[command(flatten)]
        place: ServeArgs,
    },
    /// Check configuration, store, clock and every account, and say what to do
    Doctor {
        #[command(flatten)]
        place: ServeArgs,
    },
    /// Write a consistent copy of the store to a file, also while it is in use
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
        #[command(flatten)]
        place: ServeArgs,
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
    /// List them, oldest first, and requests that were not understood
    #[default]
    List,
    /// Try again
    Replay {
        /// Which; as `list` names them
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "sameroom", &mut std::io::stdout());
}
