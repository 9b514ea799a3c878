//! From the outside to a durable event. A webhook is answered with 2xx only once its events are durable (promise 1); a
//! held connection is read on only once they are. When nobody keeps up with the events intake is slowed before the
//! relay starves.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use sameroom_model::{Account, AccountId, Event, Job, Opened, OwnerId, Secrets};
use sameroom_platforms::{Carrier, Rejected};
use serde_json::json;

use crate::accounts::Open;
use crate::files::stranger;
use crate::hosted::Refusal;
use crate::ports::{Commit, CommitError, NewJob, QueueName, Unavailable, Write};
use crate::tenants::Heard;
use crate::{Engine, keys, platform as known_platform, rows};

/// Intake is slowed by at most this much per request.
const SLOW_MAX: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes in a webhook request of `/hooks/{platform}/{account}`; the request's path is what follows that. The body
    /// is read and capped by the caller.
    pub async fn receive(&self, platform: &str, account: &AccountId, request: http::Request<Bytes>) -> Response<Bytes> {
        if let Err(response) = self.admit().await {
            return response;
        }
        match self.take_in(platform, account, request).await {
            Ok(response) => response,
            Err(e) => unavailable(&e),
        }
    }

    /// Takes in events that a held connection read, in order. Once this returns without error they are durable.
    pub async fn ingest(&self, events: &[Event]) -> Result<(), Unavailable> {
        let lag = self.inner.store.lag(QueueName::Events);
        if lag > self.inner.config.lag_slow {
            tokio::time::sleep(slowness(lag)).await;
        }
        self.accept(events, Vec::new()).await
    }

    /// Takes in what an account's held connection was told in the form of a webhook's body. Once this returns without
    /// error its events are durable.
    pub async fn told(&self, account: &AccountId, body: &Bytes) -> Result<(), Unavailable> {
        let lag = self.inner.store.lag(QueueName::Events);
        if lag > self.inner.config.lag_slow {
            tokio::time::sleep(slowness(lag)).await;
        }
        let Some(open) = self.open(account).await? else { return Ok(()) };
        match open.platform.overhear(&open.opened, body, self.inner.clock.now()) {
            Ok(webhook) => {
                let heard = self.route(&open, webhook).await?;
                self.hear(heard).await
            }
            Err(Rejected::Undecodable(why)) => {
                self.keep_letter(&open, &http::Request::new(body.clone()), true, &why).await.map(drop)
            }
            Err(e) => {
                tracing::warn!(%account, error = %e, "what a connection was told can't be read; it is left out");
                Ok(())
            }
        }
    }

    /// Makes durable what was heard: its events and what it tells of people first, then how the account fares.
    async fn hear(&self, heard: Heard) -> Result<(), Unavailable> {
        let Some(account) = heard.account else { return Ok(()) };
        let writes = self.learn(&account, &heard.learned);
        self.accept(&heard.events, writes).await?;
        match heard.state {
            Some(state) => self.set_state(&account, state).await.map(drop),
            None => Ok(()),
        }
    }

    async fn accept(&self, events: &[Event], writes: Vec<Write>) -> Result<(), Unavailable> {
        if events.is_empty() && writes.is_empty() {
            return Ok(());
        }
        let sends = events.iter().map(job).collect();
        match self.inner.store.commit(Commit { writes, sends, ..Commit::default() }).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict) => Err(Unavailable::new("a commit without condition conflicted")),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }

    async fn take_in(
        &self,
        platform: &str,
        account: &AccountId,
        request: http::Request<Bytes>,
    ) -> Result<Response<Bytes>, Unavailable> {
        let now = self.inner.clock.now();
        let open = self.open(account).await?.filter(|open| open.platform.about().name == platform);
        let Some(open) = open else {
            // The same work and the same answer as for a bad signature, so that nobody learns which accounts exist.
            if let Some(platform) = known_platform(platform) {
                let _ = platform.receive(&decoy(account), &request, now);
            }
            return Ok(rejected(&Rejected::Unauthorized));
        };
        let mut webhook = match open.platform.receive(&open.opened, &request, now) {
            Ok(webhook) => webhook,
            Err(Rejected::Undecodable(why)) => return self.keep_letter(&open, &request, false, &why).await,
            Err(e) => return Ok(rejected(&e)),
        };
        if open.platform.about().capabilities.carrier == Carrier::Hosted {
            for event in &webhook.events {
                if let Err(refusal) = self.host_event(event).await? {
                    return Ok(refused(refusal));
                }
            }
            if let Some(state) = webhook.state {
                self.set_state(account, state).await?;
            }
            return Ok(webhook.reply);
        }
        let reply = std::mem::take(&mut webhook.reply);
        let heard = self.route(&open, webhook).await?;
        self.hear(heard).await?;
        Ok(reply)
    }

    async fn keep_letter(
        &self,
        open: &Open,
        request: &http::Request<Bytes>,
        told: bool,
        why: &str,
    ) -> Result<Response<Bytes>, Unavailable> {
        let account = &open.opened.account;
        tracing::warn!(account = %account.id, why, "a request was proven but not understood; it is kept whole");
        let writes = vec![self.letter(&account.owner, &account.id, request, told, why)];
        self.commit_always(Commit { writes, ..Commit::default() }).await?;
        let mut response = Response::new(Bytes::from(json!({ "kept": why }).to_string()));
        *response.status_mut() = StatusCode::ACCEPTED;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    async fn admit(&self) -> Result<(), Response<Bytes>> {
        let lag = self.inner.store.lag(QueueName::Events);
        if lag <= self.inner.config.lag_slow {
            return Ok(());
        }
        if lag > self.inner.config.lag_refuse {
            let mut response = problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "There is more to relay than can be relayed just now. Send this again later.",
            );
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return Err(response);
        }
        tokio::time::sleep(slowness(lag)).await;
        Ok(())
    }
}

/// A problem document (RFC 9457).
pub fn problem(status: StatusCode, kind: &str, detail: &str) -> Response<Bytes> {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({
        "type": format!("urn:sameroom:problem:{kind}"),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The job that relays an event.
pub(crate) fn job(event: &Event) -> NewJob {
    NewJob {
        queue: QueueName::Events,
        group: keys::event_group(&event.room),
        dedup: Some(keys::event_dedup(&event.room.account, &event.id)),
        body: rows::encode(&Job::event(event.clone())),
        attempts: 0,
        maybe: false,
        delay: Duration::ZERO,
    }
}

fn rejected(rejected: &Rejected) -> Response<Bytes> {
    match rejected {
        Rejected::Unauthorized => problem(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "The request is not signed as this account's platform signs. Check the account in the URL, the signing \
             secret, and the sender's clock.",
        ),
        Rejected::Malformed(why) | Rejected::Undecodable(why) => problem(StatusCode::BAD_REQUEST, "malformed", why),
    }
}

fn refused(refusal: Refusal) -> Response<Bytes> {
    let (status, kind) = match refusal {
        Refusal::NoRoom | Refusal::NoMessage => (StatusCode::NOT_FOUND, "not-found"),
        Refusal::NotYours => (StatusCode::FORBIDDEN, "forbidden"),
    };
    problem(status, kind, &refusal.to_string())
}

fn unavailable(e: &Unavailable) -> Response<Bytes> {
    tracing::error!(error = %e, "a request could not be made durable, and was answered so");
    let (status, kind, detail) = if e.full {
        (
            StatusCode::INSUFFICIENT_STORAGE,
            "full",
            "The disk of this Sameroom is full. Nothing was accepted; send this again once its operator has made room.",
        )
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The request could not be made durable. Nothing was accepted; send it again.",
        )
    };
    let mut response = problem(status, kind, detail);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

fn slowness(lag: Duration) -> Duration {
    (lag / 10).min(SLOW_MAX)
}

/// An account that nothing is signed for.
fn decoy(account: &AccountId) -> Opened {
    let secret = keys::digest(&["decoy", account.as_str()]);
    Opened {
        account: Account { id: account.clone(), ..stranger(OwnerId::from("nobody"), "") },
        secrets: [("secret", secret)].into_iter().collect::<Secrets>(),
    }
}
