//! Connecting, noticing that a connection is dead, judging why it ended, and when to try again. It must not know what
//! is said over it.

use sameroom_model::{AccountState, SignedDuration, Timestamp};

use super::super::codec::Line;
use super::super::settings::{CA, CERT, CERT_KEY, Endpoint, valid_nick};
use super::{Conn, IrcSession, Phase, later};
use crate::{Dial, LinkId, Output, Pin, Tls};

/// After how long without a word we ask whether the server is there.
const SILENCE: SignedDuration = SignedDuration::from_secs(60);
/// How long the answer may take.
const ANSWER: SignedDuration = SignedDuration::from_secs(60);
/// How long whoever dials may take to say how it went.
const DIAL: SignedDuration = SignedDuration::from_secs(60);
/// How long a connection lasts that ends an outage.
const STABLE: SignedDuration = SignedDuration::from_mins(5);
/// In the first minute of an outage the waits stay short: a server that was only restarted is soon back.
const SOON: SignedDuration = SignedDuration::from_mins(1);

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Where we are between connections.
pub(super) enum Link {
    /// Not connected.
    Idle {
        /// When to dial; `None`: not before somebody says so.
        at: Option<Timestamp>,
    },
    /// Asked for a connection.
    Dialing {
        /// When to give it up.
        until: Timestamp,
        /// Whether it is to be secured.
        tls: bool,
        /// What we know of the outage.
        outage: Outage,
    },
    /// Connected.
    Up {
        /// What we know of the outage that this connection may end.
        outage: Outage,
    },
    /// Not connected, since then.
    Down {
        /// When to dial.
        at: Timestamp,
        /// What we know of the outage.
        outage: Outage,
    },
}

/// A row of failures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outage {
    /// When it began; `None`: there is none.
    since: Option<Timestamp>,
    /// How many attempts failed after its first minute.
    failures: u32,
    /// How often the server sent us away.
    refusals: u32,
}

/// A policy of the server that it be reached by TLS (<https://ircv3.net/specs/extensions/sts>).
#[derive(Clone, Copy, Debug)]
pub(super) struct Sts {
    /// Where.
    pub(super) port: u16,
    /// Until when, where a TLS connection said so.
    pub(super) expires: Option<Timestamp>,
}

/// Why a connection is to end, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The network, or a server that went away: back soon.
    Network(String),
    /// The server sent us away, for a time.
    Refused {
        /// A sentence.
        why: String,
        /// How long to stay away at least, in milliseconds.
        wait: i64,
    },
    /// The server bars us: the owner has to see to it; tried again in hours.
    Barred(String),
    /// Our login or settings are wrong: not tried again.
    Wrong(String),
    /// On to TLS.
    Secure,
}

impl Link {
    /// Before the first attempt.
    pub(super) fn fresh() -> Self {
        Self::Idle { at: None }
    }

    pub(super) fn dialing(&self) -> bool {
        matches!(self, Self::Dialing { .. })
    }

    pub(super) fn dialed_tls(&self) -> bool {
        matches!(self, Self::Dialing { tls: true, .. })
    }

    pub(super) fn up(&mut self) {
        *self = Self::Up { outage: self.outage() };
    }

    pub(super) fn wakes(&self) -> Option<Timestamp> {
        match self {
            Self::Idle { at } => *at,
            Self::Dialing { until, .. } => Some(*until),
            Self::Down { at, .. } => Some(*at),
            Self::Up { .. } => None,
        }
    }

    fn outage(&self) -> Outage {
        match self {
            Self::Idle { .. } => Outage::default(),
            Self::Dialing { outage, .. } | Self::Up { outage } | Self::Down { outage, .. } => *outage,
        }
    }
}

impl IrcSession {
    /// The rooms are known for the first time: dial.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if matches!(self.link, Link::Idle { at: None }) && self.parked.is_none() {
            match &self.endpoint {
                // What stands for a person was made of what this server takes.
                Ok(_) if self.persona.is_some() || valid_nick(&self.preferred) => {
                    self.link = Link::Idle { at: Some(now) }
                }
                Ok(_) => self.park(format!("{:?} can't be a nick: give the account another", self.preferred)),
                Err(why) => {
                    let why = why.clone();
                    self.park(why);
                }
            }
        }
    }

    /// Dials when it is time, and gives up a dial that nobody answers.
    pub(super) fn link_tick(&mut self, now: Timestamp) {
        if self.stopping.is_some() || self.stopped {
            return;
        }
        match self.link {
            Link::Idle { at: Some(at) } | Link::Down { at, .. } if now >= at => self.dial(now),
            Link::Dialing { until, outage, .. } if now >= until => {
                self.out.push_back(Output::Close(LinkId::MAIN));
                self.link = Link::Up { outage };
                self.ended(None, End::Network("the server did not answer".to_owned()), now);
            }
            _ => {}
        }
    }

    fn dial(&mut self, now: Timestamp) {
        let Ok(endpoint) = self.endpoint.clone() else { return };
        let outage = self.link.outage();
        self.sts = self.sts.filter(|sts| sts.expires.is_none_or(|at| now < at));
        let Endpoint { host, mut port, mut tls } = endpoint;
        if let (false, Some(sts)) = (tls, self.sts) {
            tls = true;
            port = sts.port;
        }
        let secret = |name: &str| self.secrets.get(name).map(str::to_owned);
        let security = tls.then(|| Tls {
            ca: secret(CA),
            pin: self.settings.pin.as_deref().and_then(Pin::parse),
            pinnable: true,
            client: secret(CERT).zip(secret(CERT_KEY)),
        });
        self.link = Link::Dialing { until: later(now, DIAL), tls, outage };
        self.out.push_back(Output::Open(LinkId::MAIN, Dial::Tcp { host, port, tls: security }));
    }

    /// The connection ended by itself, or could not be opened.
    pub(super) fn closed(&mut self, why: &str, now: Timestamp) {
        if let Some(mut conn) = self.conn.take() {
            let end = conn.over.take().unwrap_or_else(|| conn.end(why));
            self.ended(Some(*conn), end, now);
        } else if self.link.dialing() {
            // A policy without a lifetime is asked for again in the clear, in case the server has changed its mind.
            self.sts = self.sts.filter(|sts| sts.expires.is_some());
            self.ended(None, End::Network(why.to_owned()), now);
        }
    }

    /// We end the connection.
    pub(super) fn hang_up(&mut self, conn: Conn, end: End, now: Timestamp) {
        self.out.push_back(Output::Close(LinkId::MAIN));
        self.ended(Some(conn), end, now);
    }

    /// After the end: what was under way waits for the next connection, and the next attempt is planned.
    fn ended(&mut self, conn: Option<Conn>, end: End, now: Timestamp) {
        for channel in &mut self.channels {
            channel.disconnected();
        }
        if self.stopping.is_some() {
            self.link = Link::Idle { at: None };
            return;
        }
        if let Some(persona) = &mut self.persona {
            // Whether there is to be another is not its to say.
            persona.over = Some(end);
            self.link = Link::Idle { at: None };
            return;
        }
        let mut outage = self.link.outage();
        let lasted = conn.filter(|conn| conn.phase == Phase::Ready).map(|conn| now.duration_since(conn.opened));
        if lasted.is_some_and(|lasted| lasted >= STABLE) {
            outage = Outage::default();
        }
        // One that lasted a while was no part of the outage before it.
        if outage.since.is_none() || lasted.is_some_and(|lasted| lasted >= SOON) {
            outage.since = Some(now);
        }
        let wait = match end {
            End::Secure => SignedDuration::ZERO,
            End::Network(why) => {
                self.tell_trouble(format!("{}; connecting again", self.of_place(&why)));
                self.soon(&mut outage, now)
            }
            End::Refused { why, wait } => {
                self.tell_trouble(format!("{}; connecting again later", self.of_place(&why)));
                outage.refusals += 1;
                let longest = wait.saturating_mul(1 << outage.refusals.min(4)).clamp(wait, 30 * MINUTE);
                self.random.millis(wait, longest.max(wait))
            }
            End::Barred(why) => {
                outage.refusals += 1;
                let hours = [1, 6, 24][(outage.refusals as usize - 1).min(2)];
                self.park(why);
                self.random.millis(hours * HOUR, hours * HOUR + 10 * MINUTE)
            }
            End::Wrong(why) => {
                self.park(why);
                self.link = Link::Idle { at: None };
                return;
            }
        };
        self.link = Link::Down { at: later(now, wait), outage };
    }

    /// Full jitter, short in an outage's first minute: a server that was down for ten seconds is caught up with
    /// within seconds of its return.
    fn soon(&mut self, outage: &mut Outage, now: Timestamp) -> SignedDuration {
        let first = outage.since == Some(now);
        let young = outage.since.is_none_or(|since| now.duration_since(since) < SOON);
        if first {
            return self.random.millis(1000, 2000);
        }
        if young {
            return self.random.millis(1000, 5000);
        }
        let longest = 5000_i64.saturating_mul(1 << outage.failures.min(10)).min(5 * MINUTE);
        outage.failures += 1;
        self.random.millis(1000, longest)
    }

    /// Nothing is delivered until the owner mends something.
    pub(super) fn park(&mut self, why: String) {
        if let Some(persona) = &mut self.persona {
            persona.over.get_or_insert(End::Wrong(why.clone()));
        }
        self.parked = Some(why.clone());
        self.tell_state(AccountState::NeedsOwner(why));
    }

    fn tell_trouble(&mut self, why: String) {
        if self.parked.is_none() {
            self.tell_state(AccountState::Trouble(why));
        }
    }

    /// A sentence that names the server: those about opening a connection do already.
    fn of_place(&self, why: &str) -> String {
        let named = self.endpoint.as_ref().is_ok_and(|endpoint| why.starts_with(&endpoint.host));
        if named { why.to_owned() } else { format!("{}: {why}", self.place()) }
    }

    /// The server's name, for sentences.
    pub(super) fn place(&self) -> String {
        self.endpoint.as_ref().map(Endpoint::site).unwrap_or_default()
    }

    /// Asks a silent server whether it is there, and gives up one that does not answer.
    pub(super) fn liveness_tick(&mut self, conn: &mut Conn, now: Timestamp) {
        if let Some(asked) = conn.unanswered() {
            // Whatever came in since is an answer, as far as being there goes.
            let since = asked.max(conn.heard);
            if now.duration_since(since) >= ANSWER {
                conn.over = Some(End::Network("it fell silent".to_owned()));
                return;
            }
        }
        if conn.asked.is_none() && now.duration_since(conn.heard) >= SILENCE {
            conn.asked = Some(now);
            self.say_now("PING", &[], Some("sr-there"));
        }
    }

    /// The server says why it closes the connection.
    pub(super) fn on_error(conn: &mut Conn, line: &Line) {
        let end = conn.end(line.trailing());
        conn.over = Some(end);
    }

    /// Somebody's connection is cut by an operator or services: ours, if it is our nick.
    pub(super) fn on_kill(conn: &mut Conn, line: &Line) {
        if conn.is_me(line.param(0)) {
            conn.killed = Some(line.trailing().to_owned());
        }
    }
}

impl Conn {
    pub(super) fn liveness_wakes(&self) -> Timestamp {
        let dead = self.unanswered().map(|asked| later(asked.max(self.heard), ANSWER));
        let silent = later(self.heard, SILENCE);
        match dead {
            Some(dead) if self.asked.is_some() => dead,
            Some(dead) => dead.min(silent),
            None => silent,
        }
    }

    /// When the oldest PING was sent that has no PONG yet.
    fn unanswered(&self) -> Option<Timestamp> {
        self.asked.into_iter().chain(self.barriers.front().map(|(_, at)| *at)).min()
    }

    /// What the words at a connection's end mean.
    fn end(&self, words: &str) -> End {
        if let Some(killed) = &self.killed {
            return End::judge(&format!("Killed ({killed})"));
        }
        End::judge(words)
    }
}

impl End {
    /// Servers tell why in free text: these are the words of ngIRCd, InspIRCd, hybrid, Solanum, UnrealIRCd and Ergo.
    pub(super) fn judge(words: &str) -> Self {
        let lower = words.to_lowercase();
        let has = |needles: &[&str]| needles.iter().any(|needle| lower.contains(needle));
        let said: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
        // Somebody with our password told services to free our nick: we, most likely.
        if has(&["ghost command", "regain", "nick collision", "nickname collision", "overridden", "new client"]) {
            return Self::Refused { why: format!("our session was replaced ({said})"), wait: 15_000 };
        }
        if has(&["throttl", "reconnecting too fast", "too fast", "try again later", "wait a while"]) {
            return Self::Refused { why: format!("it wants us to wait ({said})"), wait: 2 * MINUTE };
        }
        if has(&[
            "k-lined",
            "k:lined",
            "g-lined",
            "g:lined",
            "z-lined",
            "z:lined",
            "banned",
            "akill",
            "dnsbl",
            "blacklist",
            "bad user info",
            "not authori",
            "unauthori",
            "access denied",
        ]) {
            return Self::Barred(format!("the server bars us ({said}): ask its operators; tried again in hours"));
        }
        if has(&[
            "too many host",
            "too many connections",
            "no more connections",
            "server is full",
            "too many user",
            "too many unknown",
            "session limit",
            "connection limit",
            "server full",
        ]) {
            return Self::Refused { why: format!("it has no place for us ({said})"), wait: 5 * MINUTE };
        }
        if has(&["excess flood", "flood", "recvq", "max sendq"]) {
            return Self::Refused { why: format!("we sent too fast ({said}): give a lower `rate`"), wait: 15_000 };
        }
        if has(&["killed", "kill:"]) {
            return Self::Refused { why: format!("an operator cut the connection ({said})"), wait: 5 * MINUTE };
        }
        if has(&["bad password", "invalid password", "password mismatch", "password incorrect"]) {
            return Self::Wrong("the server password is wrong: give the right one as `server_password`".to_owned());
        }
        Self::Network(if said.is_empty() { "the connection ended".to_owned() } else { said })
    }
}
