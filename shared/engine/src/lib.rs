//! The verbs of Sameroom: ingest, relay, deliver, link; and the ports they stand on.
//!
//! All logic that outlives a process is here, written once on the ports, and knows no platform by name: what a platform
//! can do is read from its capabilities. This crate opens no socket and no file and reads no clock by itself.

pub mod ports;

mod accounts;
mod alike;
mod api_keys;
mod ask;
mod attempt;
mod breaker;
mod changes;
mod closed;
mod commands;
mod config;
mod copies;
mod crossings;
mod deliver;
mod failed;
pub mod failpoint;
mod files;
mod hosted;
mod ingest;
mod joining;
pub mod keys;
mod lane;
mod lead;
mod leaves;
mod link;
mod listing;
mod map;
mod mentions;
mod moving;
mod onboarding;
mod once;
mod owners;
mod page;
mod people;
mod plan;
mod portals;
mod pump;
mod random;
mod recent;
mod relay;
mod removal;
mod renewal;
mod retry;
mod rooms;
mod rows;
mod show;
mod tenants;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod tube_rows;
mod tubes;
mod versions;
mod views;
mod waking;
mod walk;

use std::sync::Arc;

use sameroom_platforms::Platform;
use tokio::sync::watch;

use accounts::Accounts;
use api_keys::Proofs;
use breaker::Breaker;
use changes::Changes;
use copies::ForeignIds;
use crossings::Watchers;
use files::Memory;
use hosted::Followers;
use people::People;
use ports::{Clock, Store, Vault, Wire};
use recent::Recent;
use renewal::Renewals;
use rooms::Listings;
use tenants::Tenants;
use views::Views;

pub use accounts::account_id;
pub use api_keys::KEY_PREFIX;
pub use changes::{Change, ChangeKind, Following, Since};
pub use commands::{CommandRules, Who};
pub use config::Config;
pub use crossings::{Crossed, Crossing, Landing, Watching, Words};
pub use failed::{Failed, Letter};
pub use files::FileError;
pub use hosted::Entry;
pub use ingest::problem;
pub use joining::{Invitation, PortalError, Used};
pub use lead::{Candidate, Lead};
pub use link::{LinkError, Linked};
pub use map::{Flow, MapRoom, MapTube, NetworkMap};
pub use moving::Move;
pub use onboarding::{Asked, OnboardError, Onboarding, Question, Status};
pub use once::{Answered, Once, Ticket};
pub use owners::OwnerChange;
pub use page::{Changed, Page};
pub use people::Known;
pub use portals::Revoked;
pub use pump::Pump;
pub use removal::Impact;
pub use rooms::{Listed, Refreshed, RoomsError};
pub use tubes::{Made, OwnSide, Side, TubeView};
pub use walk::Network;

/// The engine: one value that every role shares. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    wire: Arc<dyn Wire>,
    vault: Arc<dyn Vault>,
    clock: Arc<dyn Clock>,
    config: Config,
    accounts: Accounts,
    breaker: Breaker,
    recent: Recent,
    slow: relay::Slow,
    foreign_ids: ForeignIds,
    views: Views,
    followers: Followers,
    tenants: Tenants,
    people: People,
    renewals: Renewals,
    files: Memory,
    listings: Listings,
    changes: watch::Sender<u64>,
    told: Changes,
    watchers: Watchers,
    proofs: Proofs,
}

impl Engine {
    /// An engine on its ports.
    pub fn new(
        store: Arc<dyn Store>,
        wire: Arc<dyn Wire>,
        vault: Arc<dyn Vault>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                wire,
                vault,
                clock,
                breaker: Breaker::new(config.echo_limit),
                config,
                accounts: Accounts::default(),
                recent: Recent::default(),
                slow: relay::Slow::default(),
                foreign_ids: ForeignIds::default(),
                views: Views::default(),
                followers: Followers::default(),
                tenants: Tenants::default(),
                people: People::default(),
                renewals: Renewals::default(),
                files: Memory::default(),
                listings: Listings::default(),
                changes: watch::channel(0).0,
                told: Changes::default(),
                watchers: Watchers::default(),
                proofs: Proofs::default(),
            }),
        }
    }

    /// Changes whenever accounts, rooms or Tubes may have: whoever holds connections then asks which rooms to be in.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// The store, for census and health.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Wakes those who hold connections. See [`Engine::changes`].
    fn changed(&self) {
        self.inner.changes.send_modify(|n| *n += 1);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// The platform of that name.
pub(crate) fn platform(name: &str) -> Option<&'static dyn Platform> {
    #[cfg(test)]
    if name == testing::TOY {
        return Some(&testing::Toy);
    }
    sameroom_platforms::by_name(name)
}
