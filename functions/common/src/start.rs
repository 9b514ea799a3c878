//! How a function starts: settings are read and checked, clients are made and their connections opened all at once, so
//! that the first message finds them open, and the engine is put on its ports.

use std::panic::Location;
use std::sync::Arc;

use anyhow::Context as _;
use sameroom_aws::{AwsStore, Clients, KmsVault, Settings, SystemClock};
use sameroom_engine::ports::Clock;
use sameroom_engine::{Config, Engine};
use sameroom_wire::{Dialer, Guard, HttpClient, Limits, LiveWire, Net, Registry, Trust};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

/// Which program this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes in webhooks.
    Inbound,
    /// Relays and delivers.
    Relay,
    /// Answers the API.
    Api,
    /// Holds connections.
    Worker,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Relay => "relay",
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }

    /// Whether it calls platforms as a matter of course.
    fn calls_platforms(self) -> bool {
        matches!(self, Self::Relay | Self::Worker)
    }
}

/// What a program stands on once it has started.
pub struct Started {
    /// The engine.
    pub engine: Engine,
    /// Its store.
    pub store: Arc<AwsStore>,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// What it was told.
    pub settings: Settings,
    /// Reaches platforms: by requests, and by the connections that are held, of which only the worker has any.
    pub wire: LiveWire,
    /// Opens connections to platforms.
    pub dialer: Arc<Dialer>,
}

/// Starts. What is wrong is told with its cure, in the log, too: where a function's log is, nobody sees its exit status.
pub async fn start(role: Role) -> anyhow::Result<Started> {
    logging();
    let started = Box::pin(begin(role)).await;
    if let Err(why) = &started {
        tracing::error!(role = role.name(), why = format!("{why:#}"), "this can't start");
    }
    started
}

async fn begin(role: Role) -> anyhow::Result<Started> {
    let settings = Settings::from_env()?;
    let allow = networks(&settings.allow)?;
    let clients = Clients::connect(&settings).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let name = stack_role(role);
    let store = AwsStore::new(&clients, &settings, clock.clone(), &name);
    let vault = KmsVault::new(&clients, &settings, clock.clone())?;
    // Here nobody is at home in the network that this runs in: no account is trusted with private addresses.
    let (guard, trust) = (Arc::new(Guard::new(allow)), Arc::new(Trust::default()));
    let http = Arc::new(HttpClient::new(guard.clone(), trust.clone(), Limits::default()));
    let dialer = Arc::new(Dialer::new(guard, trust));
    let wire =
        LiveWire { trusted: http.clone(), guarded: http.clone(), trusts: |_| false, sessions: Registry::default() };
    let engine = Engine::new(store.clone(), Arc::new(wire.clone()), vault, clock.clone(), config(&settings));
    let ready = async {
        if role.calls_platforms()
            && let Err(why) = http.warm().await
        {
            tracing::warn!(%why, "requests to platforms can't be prepared for");
        }
    };
    tokio::join!(clients.warm(), ready);
    Ok(Started { engine, store, clock, settings, wire, dialer })
}

/// What differs from one process on one machine.
fn config(settings: &Settings) -> Config {
    Config {
        public_url: settings.public_url.clone(),
        apart: true,
        look_again: std::time::Duration::from_secs(1),
        ..Config::default()
    }
}

/// What its counts are told as: `STACK-ROLE`, since one account may hold several stacks.
fn stack_role(role: Role) -> String {
    let stack = std::env::var("SAMEROOM_STACK").unwrap_or_default();
    if stack.is_empty() { role.name().to_owned() } else { format!("{stack}-{}", role.name()) }
}

fn networks(allow: &[String]) -> anyhow::Result<Vec<Net>> {
    let parse = |text: &String| {
        text.parse().with_context(|| {
            format!("SAMEROOM_ALLOW names '{text}', which is no network: write for example 10.1.0.0/16,10.2.0.0/16")
        })
    };
    allow.iter().map(parse).collect()
}

/// Logs to standard error, as JSON lines: CloudWatch finds fields in them. `SAMEROOM_LOG` says what; what it says wrongly
/// counts as `warn`. A panic is told by its place alone, since its message may quote what people wrote.
fn logging() {
    let filter = std::env::var("SAMEROOM_LOG").unwrap_or_default();
    // Without regular expressions, which would make the function larger.
    let filter: Targets = filter.trim().parse().ok().filter(|_| !filter.trim().is_empty()).unwrap_or_else(warnings);
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    let _ = registry().with(lines.with_writer(std::io::stderr).with_filter(filter)).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), Location::to_string);
        tracing::error!(place, "this is a bug in Sameroom, please report it");
    }));
}

fn warnings() -> Targets {
    Targets::new().with_default(LevelFilter::WARN)
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Started").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_is_named_with_its_cure() {
        assert_eq!(networks(&["10.0.0.0/8".to_owned(), "127.0.0.1".to_owned()]).unwrap().len(), 2);
        let why = networks(&["ten".to_owned()]).unwrap_err().to_string();
        assert_eq!(why, "SAMEROOM_ALLOW names 'ten', which is no network: write for example 10.1.0.0/16,10.2.0.0/16");
    }
}
