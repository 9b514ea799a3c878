//! Secrets that end by themselves: renewed when the platform says that they have ended, and ahead of that where their
//! end is known. New secrets are durable before they are used, since the old ones are worth nothing by then. It must not
//! know what the secrets are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sameroom_model::{AccountId, AccountState, Outcome, Secrets, Timestamp};

use crate::Engine;
use crate::accounts::Open;
use crate::attempt::no_answer;
use crate::ports::Unavailable;

/// Secrets that end within this time are renewed ahead of it.
const AHEAD_MS: i64 = 10 * 60_000;
/// After a renewal ahead of time failed the next one waits this long.
const CALM_MS: i64 = 60_000;
/// How long it is tried to keep new secrets, in steps, while the store is unavailable.
const KEEP: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Renewals under way, one an account at a time, and those that failed lately.
#[derive(Default)]
pub(crate) struct Renewals {
    locks: Mutex<HashMap<AccountId, Arc<tokio::sync::Mutex<()>>>>,
    failed: Mutex<HashMap<AccountId, Timestamp>>,
}

impl Renewals {
    fn lock(&self, account: &AccountId) -> Arc<tokio::sync::Mutex<()>> {
        let Ok(mut locks) = self.locks.lock() else { return Arc::default() };
        // Those that nobody holds are of no use any more.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(account.clone()).or_default().clone()
    }

    fn failed_lately(&self, account: &AccountId, now: Timestamp) -> bool {
        let Ok(mut failed) = self.failed.lock() else { return false };
        failed.retain(|_, at| now.as_millisecond() - at.as_millisecond() < CALM_MS);
        failed.contains_key(account)
    }

    fn fails(&self, account: &AccountId, now: Timestamp) {
        if let Ok(mut failed) = self.failed.lock() {
            failed.insert(account.clone(), now);
        }
    }
}

impl Engine {
    /// The account with secrets that last a while yet: renewed where their end is known and near. If that fails they
    /// are used as they are, as long as they do.
    pub(crate) async fn fresh(&self, open: &Arc<Open>) -> Result<Arc<Open>, Unavailable> {
        let now = self.inner.clock.now();
        let ends = open.platform.expires(&open.opened);
        let near = ends.is_some_and(|end| end.as_millisecond() - now.as_millisecond() < AHEAD_MS);
        let id = &open.opened.account.id;
        if !near || self.inner.renewals.failed_lately(id, now) {
            return Ok(open.clone());
        }
        match self.renew(open, Outcome::done()).await? {
            Ok(open) => Ok(open),
            Err(_) => {
                self.inner.renewals.fails(id, now);
                Ok(open.clone())
            }
        }
    }

    /// Renews an account's secrets, unless somebody else has meanwhile. `Err`: they can't be renewed; `ended` where the
    /// platform renews nothing, else what its answer means.
    pub(crate) async fn renew(&self, stale: &Open, ended: Outcome) -> Result<Result<Arc<Open>, Outcome>, Unavailable> {
        let id = &stale.opened.account.id;
        if stale.platform.renew(&stale.opened).is_none() {
            return Ok(Err(ended));
        }
        let lock = self.inner.renewals.lock(id);
        let _one_at_a_time = lock.lock().await;
        let Some(open) = self.anew(id).await? else {
            return Ok(Err(Outcome::refused(format!("the account {id} is gone; add it again"))));
        };
        if !same(&open.opened.secrets, &stale.opened.secrets) {
            return Ok(Ok(open));
        }
        let Some(request) = open.platform.renew(&open.opened) else { return Ok(Err(ended)) };
        let renewed = match self.inner.wire.http(&open.opened.account, request).await {
            Ok(response) => open.platform.renewed(&open.opened, &response, self.inner.clock.now()),
            Err(e) => Err(no_answer(e)),
        };
        match renewed {
            Ok(secrets) => {
                self.keep_secrets(id, &secrets).await?;
                tracing::info!(account = %id, "an account's secrets were renewed");
                Ok(self.anew(id).await?.ok_or(ended))
            }
            Err(outcome) => {
                // Another process may have been quicker, and ours were worth nothing by then.
                if let Some(again) = self.anew(id).await?
                    && !same(&again.opened.secrets, &open.opened.secrets)
                {
                    return Ok(Ok(again));
                }
                if let Outcome::Disconnected { why } = &outcome {
                    self.set_state(id, AccountState::NeedsOwner(why.clone())).await?;
                }
                tracing::warn!(account = %id, "an account's secrets could not be renewed");
                Ok(Err(outcome))
            }
        }
    }

    /// Keeps new secrets. They are the only ones that are worth anything now, so this does not give up soon.
    async fn keep_secrets(&self, id: &AccountId, new: &Secrets) -> Result<(), Unavailable> {
        let mut pauses = KEEP.into_iter();
        loop {
            let kept = self.change_secrets(id, |_, secrets| {
                new.expose().for_each(|(name, value)| secrets.set(name, value));
                Ok::<(), std::convert::Infallible>(())
            });
            match (kept.await, pauses.next()) {
                (Ok(_), _) => return Ok(()),
                (Err(_), Some(pause)) => tokio::time::sleep(pause).await,
                (Err(e), None) => {
                    tracing::error!(account = %id, error = %e, "renewed secrets could not be kept; sign in anew");
                    return Err(e);
                }
            }
        }
    }

    async fn anew(&self, id: &AccountId) -> Result<Option<Arc<Open>>, Unavailable> {
        self.forget(id);
        self.open(id).await
    }
}

fn same(a: &Secrets, b: &Secrets) -> bool {
    a.expose().eq(b.expose())
}
