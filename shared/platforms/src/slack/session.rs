//! Socket Mode: events over a WebSocket that we open, for where Slack can't call us
//! (<https://docs.slack.dev/apis/events-api/using-socket-mode>). It asks for an address, connects, hands on what it is
//! told and confirms it. Must not know what events mean, and sends no messages: deliveries go by HTTP.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Response;
use sameroom_model::{AccountState, Identity, Opened, Outcome, Place, SignedDuration, Timestamp};
use serde_json::{Value, json};
use url::Url;

use super::api::Api;
use super::errors::judge;
use super::settings::{APP_TOKEN, TOKEN};
use super::wire::is_id;
use crate::{Dial, Input, LinkId, Output, Session};

/// How long whoever dials may take to say how it went, and Slack to say hello.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// Slack refreshes connections within hours. One that brought nothing for so long is dead. (The driver notices much
/// sooner, by WebSocket pings, which don't come here.)
const SILENCE: SignedDuration = SignedDuration::from_hours(12);
/// How long a connection lasts that ends an outage.
const STABLE: SignedDuration = SignedDuration::from_secs(30);
/// When to try again what its owner has to mend.
const MENDED: SignedDuration = SignedDuration::from_hours(1);
/// The longest wait of a growing row, in milliseconds.
const LONGEST: i64 = 5 * 60_000;

/// The held connection of an account that has an app-level token. An installation has none of its own: its app's brings
/// what is its.
pub(super) fn open(account: &Opened, seed: u128) -> Option<Box<dyn Session>> {
    let token = account.secrets.get(APP_TOKEN).filter(|token| !token.is_empty())?;
    if matches!(account.account.place, Place::Installed { .. }) {
        return None;
    }
    let who = account.account.place == Place::Alone && account.account.identity.key.is_none();
    Some(Box::new(SlackSession {
        endpoint: account.account.endpoint.clone(),
        app_token: token.to_owned(),
        token: account.secrets.get(TOKEN).filter(|token| who && !token.is_empty()).map(str::to_owned),
        name: account.account.identity.name.clone(),
        link: Link::Idle,
        failures: 0,
        random: Random(seed as u64),
        told: None,
        out: VecDeque::new(),
    }))
}

struct SlackSession {
    endpoint: String,
    app_token: String,
    /// The bot's token, while it is not known whose it is.
    token: Option<String>,
    name: String,
    link: Link,
    /// How many connections failed in a row.
    failures: u32,
    random: Random,
    /// What was last told of the account.
    told: Option<AccountState>,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    /// The rooms are not known yet.
    Idle,
    /// Not before then.
    Down(Timestamp),
    /// Asked who the bot is.
    Who,
    /// Asked for an address.
    Asking,
    /// Connecting, until then at the latest.
    Dialing(Timestamp),
    /// Connected since then; last heard of then; and whether there was a hello.
    Up {
        since: Timestamp,
        heard: Timestamp,
        hello: bool,
    },
    Stopped,
}

impl Session for SlackSession {
    fn handle(&mut self, input: Input<'_>, now: Timestamp) {
        match (input, self.link) {
            (_, Link::Stopped) => {}
            (Input::Rooms(_), Link::Idle) => self.ask(now),
            (Input::Answered(answer), Link::Who) => self.named(answer, now),
            (Input::Answered(answer), Link::Asking) => self.answered(answer, now),
            (Input::Opened(_), Link::Dialing(_)) => self.link = Link::Up { since: now, heard: now, hello: false },
            (Input::Received(_, bytes), Link::Up { since, hello, .. }) => {
                self.link = Link::Up { since, heard: now, hello };
                self.received(bytes, now);
            }
            (Input::Closed(_, why), Link::Dialing(_) | Link::Up { .. }) => self.lost(why, now),
            (Input::Deliver(delivery), _) => {
                let outcome = Outcome::retry("Slack is posted to by requests, not over its Socket Mode");
                self.out.push_back(Output::Settled { id: delivery.id, outcome });
            }
            (Input::Wake, _) => self.tick(now),
            (Input::Stop, link) => {
                if matches!(link, Link::Dialing(_) | Link::Up { .. }) {
                    self.out.push_back(Output::Close(LinkId::MAIN));
                }
                self.out.push_back(Output::Stopped);
                self.link = Link::Stopped;
            }
            (
                Input::Rooms(_) | Input::Answered(_) | Input::Opened(_) | Input::Received(_, _) | Input::Closed(_, _),
                _,
            ) => {}
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn wakes_at(&self) -> Option<Timestamp> {
        match self.link {
            Link::Idle | Link::Who | Link::Asking => None,
            // A session that has stopped says so at once.
            Link::Stopped => None,
            Link::Down(at) | Link::Dialing(at) => Some(at),
            Link::Up { since, hello: false, .. } => Some(later(since, PATIENCE)),
            Link::Up { heard, hello: true, .. } => Some(later(heard, SILENCE)),
        }
    }
}

impl SlackSession {
    /// Asks for an address; before the first, whose the token is.
    fn ask(&mut self, now: Timestamp) {
        let (request, link) = match &self.token {
            Some(token) => (Api::new(&self.endpoint, token).form("auth.test", &[]), Link::Who),
            None => (Api::new(&self.endpoint, &self.app_token).form("apps.connections.open", &[]), Link::Asking),
        };
        match request {
            Ok(request) => {
                self.out.push_back(Output::Ask(Box::new(request)));
                self.link = link;
            }
            Err(outcome) => self.judged(outcome, now),
        }
    }

    fn named(&mut self, answer: Result<&Response<Bytes>, &str>, now: Timestamp) {
        match answer.map(|response| judge(response, now)) {
            Ok(Ok(answer)) => {
                self.token = None;
                let key = answer.get("user_id").and_then(Value::as_str).filter(|id| is_id(id, &['U', 'W']));
                if let Some(key) = key {
                    self.out.push_back(Output::Identity(Identity { key: Some(key.into()), name: self.name.clone() }));
                }
                self.ask(now);
            }
            Ok(Err(fault)) => self.judged(fault.outcome(), now),
            Err(why) => self.failed(why, None, now),
        }
    }

    fn answered(&mut self, answer: Result<&Response<Bytes>, &str>, now: Timestamp) {
        match answer.map(|response| judge(response, now)) {
            Ok(Ok(answer)) => match answer.get("url").and_then(Value::as_str).and_then(|url| self.address(url)) {
                Some(url) => {
                    self.out.push_back(Output::Open(LinkId::MAIN, Dial::WebSocket(url)));
                    self.link = Link::Dialing(later(now, PATIENCE));
                }
                None => self.failed("Slack gave no address for Socket Mode", None, now),
            },
            Ok(Err(fault)) => self.judged(fault.outcome(), now),
            Err(why) => self.failed(why, None, now),
        }
    }

    /// An address that may be dialed: in the clear only where the Web API is, too.
    fn address(&self, url: &str) -> Option<Url> {
        let clear = self.endpoint.starts_with("http://");
        Url::parse(url).ok().filter(|url| url.scheme() == "wss" || clear && url.scheme() == "ws")
    }

    fn received(&mut self, bytes: &[u8], now: Timestamp) {
        let Ok(message) = serde_json::from_slice::<Value>(bytes) else { return };
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "hello" => {
                if let Link::Up { since, heard, .. } = self.link {
                    self.link = Link::Up { since, heard, hello: true };
                }
                self.tell(AccountState::Ok);
            }
            "disconnect" if text("reason") == "link_disabled" => {
                self.out.push_back(Output::Close(LinkId::MAIN));
                self.needs_owner(
                    "Socket Mode is switched off in the app's settings: switch it on, or give the signing secret and \
                     let Slack call this Sameroom.",
                    now,
                );
            }
            "disconnect" => {
                self.out.push_back(Output::Close(LinkId::MAIN));
                self.renewed(now);
            }
            kind => {
                if kind == "events_api"
                    && let Some(payload) = message.get("payload")
                {
                    self.out.push_back(Output::Told(Bytes::from(payload.to_string())));
                }
                let envelope = text("envelope_id");
                if !envelope.is_empty() {
                    self.out.push_back(Output::Confirm(
                        LinkId::MAIN,
                        json!({ "envelope_id": envelope }).to_string().into_bytes(),
                    ));
                }
            }
        }
    }

    /// Slack wants another connection in the place of this one. At once, unless it does nothing else.
    fn renewed(&mut self, now: Timestamp) {
        match self.link {
            Link::Up { since, hello: true, .. } if now.duration_since(since) >= STABLE => {
                self.failures = 0;
                self.ask(now);
            }
            _ => self.failed("Slack ended the connection at once", None, now),
        }
    }

    fn tick(&mut self, now: Timestamp) {
        if self.wakes_at().is_none_or(|at| now < at) {
            return;
        }
        match self.link {
            Link::Down(_) => self.ask(now),
            Link::Dialing(_) | Link::Up { .. } => {
                self.out.push_back(Output::Close(LinkId::MAIN));
                self.lost("Slack fell silent", now);
            }
            Link::Idle | Link::Who | Link::Asking | Link::Stopped => {}
        }
    }

    fn lost(&mut self, why: &str, now: Timestamp) {
        if let Link::Up { since, hello: true, .. } = self.link
            && now.duration_since(since) >= STABLE
        {
            self.failures = 0;
        }
        self.failed(why, None, now);
    }

    /// Slack said no to a request.
    fn judged(&mut self, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Retry { why, after, .. } => {
                let after = after.and_then(|after| SignedDuration::try_from(after).ok());
                self.failed(&why, after, now);
            }
            Outcome::Refused { why } | Outcome::RoomClosed { why } | Outcome::Disconnected { why } => {
                self.needs_owner(&why, now);
            }
            Outcome::Done { .. } => self.failed("Slack's answer could not be read", None, now),
        }
    }

    /// Again, with full jitter: soon after the first failure, then at growing distances.
    fn failed(&mut self, why: &str, after: Option<SignedDuration>, now: Timestamp) {
        let longest = 2000_i64.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let wait = self.random.millis(1000, longest).max(after.unwrap_or_default());
        self.link = Link::Down(later(now, wait));
        // What its owner has to mend is not mended by a network that fails.
        if !matches!(self.told, Some(AccountState::NeedsOwner(_))) {
            self.tell(AccountState::Trouble(format!("{why}; connecting again")));
        }
    }

    fn needs_owner(&mut self, why: &str, now: Timestamp) {
        self.link = Link::Down(later(now, MENDED));
        self.tell(AccountState::NeedsOwner(why.to_owned()));
    }

    fn tell(&mut self, state: AccountState) {
        if self.told.as_ref() != Some(&state) {
            self.told = Some(state.clone());
            self.out.push_back(Output::State(state));
        }
    }
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// `SplitMix64`: enough for jitter.
struct Random(u64);

impl Random {
    /// From `low` to `high` milliseconds.
    fn millis(&mut self, low: i64, high: i64) -> SignedDuration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let span = high.saturating_sub(low).max(0) as u64 + 1;
        SignedDuration::from_millis(low + (z % span) as i64)
    }
}
