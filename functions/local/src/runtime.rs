//! The engine of this process, on its adapters: the store and the key in the data folder, the wire to the world.

use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;

use anyhow::Context as _;
use sameroom_embedded::{KeyFile, Sqlite, SqliteOptions, SystemClock};
use sameroom_engine::Engine;
use sameroom_engine::ports::Clock;
use sameroom_model::{Account, OwnerId};
use sameroom_platforms::{Carrier, by_name};
use sameroom_wire::{Dialer, Guard, HttpClient, Limits, LiveWire, News, Registry, Supervisor, Trust};

use crate::settings::Settings;

/// Whose everything is in this edition, as long as nobody else has come in through a Portal.
pub(crate) const OPERATOR: &str = "operator";

/// The engine and what it stands on.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wire: LiveWire,
    /// Sends requests for what the operator named.
    pub(crate) http: Arc<HttpClient>,
    /// For connections that the operator named, and for those that others did.
    pub(crate) dialers: [Arc<Dialer>; 2],
}

impl Runtime {
    /// Opens the data folder.
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<Self> {
        // For the owner's eyes only: links of rooms are in it.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.data);
        made.with_context(|| {
            format!("the data folder {} can't be made; name another by --data DIR", settings.data.display())
        })?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let options = SqliteOptions {
            durable: settings.durable,
            dedup_window: settings.dedup_window,
            clock: clock.clone(),
            max_size: None,
        };
        let store = Sqlite::open(&settings.data, options)?;
        let vault = Arc::new(KeyFile::open(&settings.data)?);
        let trust = Arc::new(Trust::new(settings.ca.as_deref()).context("the CA certificate is not usable")?);
        // What the operator names is the operator's to choose; what others name stays out of private networks.
        let trusted = Arc::new(Guard::new(["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect()));
        let guarded = Arc::new(Guard::new(settings.allow.clone()));
        let client = |guard: &Arc<Guard>| HttpClient::new(guard.clone(), trust.clone(), Limits::default());
        let [http, outside] = [&trusted, &guarded].map(|guard| Arc::new(client(guard)));
        let wire =
            LiveWire { trusted: http.clone(), guarded: outside, trusts: is_operators, sessions: Registry::default() };
        let engine = Engine::new(store.clone(), Arc::new(wire.clone()), vault, clock.clone(), settings.engine.clone());
        let dialers = [&trusted, &guarded].map(|guard| Arc::new(Dialer::new(guard.clone(), trust.clone())));
        Ok(Self { engine, store, clock, wire, http, dialers })
    }

    /// Sees that the key is the one that the secrets were sealed with (fault F64): found out later, it would look as
    /// if one platform after the other had failed.
    pub(crate) async fn check_secrets(&self) -> anyhow::Result<()> {
        for account in self.engine.accounts(&operator()).await? {
            self.engine.open_account(&account.id).await.with_context(|| {
                format!("the secrets of {} on {} can't be opened", account.identity.name, account.endpoint)
            })?;
        }
        Ok(())
    }

    /// Whether some account is reached by requests.
    pub(crate) async fn sends_requests(&self) -> anyhow::Result<bool> {
        let accounts = self.engine.accounts(&operator()).await?;
        Ok(accounts
            .iter()
            .filter_map(|account| by_name(&account.platform))
            .any(|platform| platform.about().capabilities.carrier == Carrier::Http))
    }

    /// What holds the connections.
    pub(crate) fn supervisor(&self, news: impl Fn(&News<'_>) + Send + Sync + 'static) -> Supervisor {
        let [trusted, guarded] = self.dialers.clone();
        Supervisor {
            engine: self.engine.clone(),
            clock: self.clock.clone(),
            wire: self.wire.clone(),
            trusted,
            guarded,
            operator: operator(),
            news: Arc::new(news),
        }
    }

    /// The dialer for an account's connections.
    pub(crate) fn dialer(&self, account: &Account) -> Arc<Dialer> {
        let [trusted, guarded] = &self.dialers;
        if is_operators(account) { trusted.clone() } else { guarded.clone() }
    }
}

/// The operator.
pub(crate) fn operator() -> OwnerId {
    OPERATOR.into()
}

fn is_operators(account: &Account) -> bool {
    account.owner.as_str() == OPERATOR
}
