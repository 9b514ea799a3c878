//! The held connection of one IRC account: a state machine that takes bytes, deliveries and time, and gives bytes,
//! events and outcomes. This file holds its state and its turn of the wheel; each concern has a file of its own below
//! `session/`. It must not know sockets, clocks or other accounts.

mod channels;
mod flood;
mod history;
mod inbound;
mod link;
mod login;
mod nick;
mod persona;
pub(super) mod puppets;
mod random;
mod registration;
mod sending;
mod settling;

use std::collections::{BTreeMap, VecDeque};

use sameroom_model::{
    AccountId, AccountState, Availability, Event, Identity, Opened, RoomKey, Secrets, SignedDuration, Timestamp,
};

use self::channels::Channel;
use self::flood::Bucket;
use self::history::Batch;
use self::link::{Link, Sts};
use self::login::Login;
use self::persona::{Kin, Persona};
use self::random::Random;
use super::caps::Caps;
use super::codec::{self, Decoder, Line};
use super::isupport::Isupport;
use super::settings::{Endpoint, Settings};
use crate::{Input, LinkId, Output, Session};

/// The session of one account.
pub(super) struct IrcSession {
    account: AccountId,
    /// The nick that we want.
    preferred: String,
    endpoint: Result<Endpoint, String>,
    settings: Settings,
    secrets: Secrets,
    random: Random,
    channels: Vec<Channel>,
    out: VecDeque<Output>,
    link: Link,
    conn: Option<Box<Conn>>,
    /// A policy of the server that it is to be reached by TLS.
    sts: Option<Sts>,
    /// Why nothing is delivered until the owner mends something.
    parked: Option<String>,
    /// What was last told of the account.
    told_state: Option<AccountState>,
    told_identity: Option<Identity>,
    /// How many bytes less than computed the server passes on, as seen from echoes that were cut.
    shortfall: usize,
    /// Counts labels and barriers, over all connections, so that a late answer never means another.
    tickets: u64,
    /// The channel whose turn it is to send.
    turn: usize,
    /// Whose connection it is, where it is not the account's own.
    persona: Option<Persona>,
    /// Nicks of connections that are ours beside this one: what they say is no news.
    kin: Kin,
    /// When to be gone at the latest, once we were told to stop.
    stopping: Option<Timestamp>,
    stopped: bool,
}

/// One connection.
struct Conn {
    opened: Timestamp,
    tls: bool,
    phase: Phase,
    decoder: Decoder,
    caps: Caps,
    isupport: Isupport,
    /// Our nick, as the server has it.
    nick: String,
    /// Our user name and host, as others see them.
    user: Option<String>,
    host: Option<String>,
    /// The services account that we are logged in to.
    logged_in: Option<String>,
    login: Login,
    /// How many lines came in.
    lines: u64,
    heard: Timestamp,
    /// When we last asked whether the server is there, if it has not answered since.
    asked: Option<Timestamp>,
    bucket: Bucket,
    /// Lines about channels and nicks, which go before messages.
    control: VecDeque<Vec<u8>>,
    /// Barriers under way, oldest first: their number and when they were sent.
    barriers: VecDeque<(u64, Timestamp)>,
    batches: BTreeMap<String, Batch>,
    /// Accounts by folded nick.
    accounts: BTreeMap<String, String>,
    /// People that a netsplit took, and until when their return is no news.
    split: BTreeMap<String, Timestamp>,
    nick_tries: u32,
    /// When to try for the preferred nick again.
    regain_at: Option<Timestamp>,
    /// When nothing may be sent before.
    hush_until: Option<Timestamp>,
    multiline_off: bool,
    /// Why we were killed.
    killed: Option<String>,
    /// The end of this connection, once something has decided on it.
    over: Option<link::End>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// CAP LS is sent.
    Listing,
    /// CAP REQ is sent.
    Asking,
    /// AUTHENTICATE is sent.
    Authenticating,
    /// CAP END is sent, or there is no CAP: 001 comes next.
    Welcome,
    /// 001 came, 376 or 422 comes next.
    Motd,
    /// NickServ was told our password.
    Identifying {
        /// When to go on without its answer.
        until: Timestamp,
    },
    /// Channels are joined, messages flow.
    Ready,
}

impl IrcSession {
    /// A session that waits for its rooms.
    pub(super) fn new(opened: &Opened, seed: u128) -> Self {
        Self {
            account: opened.account.id.clone(),
            preferred: opened.account.identity.name.clone(),
            endpoint: Endpoint::parse(&opened.account.endpoint),
            settings: Settings::of(&opened.account.settings),
            secrets: opened.secrets.clone(),
            random: Random::new(seed),
            channels: Vec::new(),
            out: VecDeque::new(),
            link: Link::fresh(),
            conn: None,
            sts: None,
            parked: None,
            told_state: None,
            told_identity: None,
            shortfall: 0,
            tickets: 0,
            turn: 0,
            persona: None,
            kin: Kin::default(),
            stopping: None,
            stopped: false,
        }
    }

    fn opened(&mut self, now: Timestamp) {
        if !self.link.dialing() {
            return;
        }
        let tls = self.link.dialed_tls();
        let mut conn = Box::new(Conn::new(now, tls, &self.preferred, &self.settings));
        self.register(&mut conn);
        self.link.up();
        self.conn = Some(conn);
    }

    fn received(&mut self, bytes: &[u8], now: Timestamp) {
        let Some(mut conn) = self.conn.take() else { return };
        conn.heard = now;
        conn.asked = None;
        for bytes in conn.decoder.feed(bytes) {
            if conn.over.is_some() {
                break;
            }
            conn.lines += 1;
            if let Some(line) = codec::parse(&bytes) {
                self.line(&mut conn, line, now);
            }
        }
        self.conn = Some(conn);
    }

    /// What one line means, by its command.
    fn line(&mut self, conn: &mut Conn, mut line: Line, now: Timestamp) {
        let Some(batch) = Self::unbatch(conn, &mut line, now) else { return };
        match line.command.as_str() {
            "PING" => {
                let token = line.trailing().to_owned();
                self.say_now("PONG", &[], Some(&token));
            }
            "PONG" => self.on_pong(conn, &line, now),
            "ERROR" => Self::on_error(conn, &line),
            "BATCH" => self.on_batch(conn, &line, now),
            "CAP" => self.on_cap(conn, &line),
            "AUTHENTICATE" => self.on_authenticate(conn, &line),
            "PRIVMSG" | "NOTICE" | "TAGMSG" | "REDACT" => self.on_words(conn, &line, now),
            "JOIN" => self.on_join(conn, &line, batch.netsplit, now),
            "PART" => self.on_part(conn, &line, now),
            "KICK" => self.on_kick(conn, &line, now),
            "QUIT" => self.on_quit(conn, &line, batch.netsplit, now),
            "NICK" => self.on_nick(conn, &line, now),
            "MODE" => self.on_mode(conn, &line, now),
            "INVITE" => self.on_invite(conn, &line, now),
            "KILL" => Self::on_kill(conn, &line),
            "ACCOUNT" => Self::on_account(conn, &line),
            "CHGHOST" => Self::on_chghost(conn, &line),
            "ACK" => self.on_ack(conn, &line),
            "FAIL" => self.on_fail(conn, &line, now),
            numeric if numeric.len() == 3 && numeric.bytes().all(|b| b.is_ascii_digit()) => {
                self.on_numeric(conn, &line, now);
            }
            _ => {}
        }
    }

    fn on_numeric(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        match line.command.as_str() {
            "001" => self.on_welcome(conn, line),
            "005" => {
                // The first parameter is our nick, the last words for people.
                let tokens = line.params.len().saturating_sub(2);
                conn.isupport.take(line.params.iter().skip(1).take(tokens).map(String::as_str));
            }
            "376" | "422" => self.on_motd_end(conn, now),
            "396" => Self::on_visible_host(conn, line),
            "353" => self.on_names(conn, line),
            "401" | "402" | "403" | "404" | "408" | "442" => self.on_refused_target(conn, line, now),
            // To who is in, it is words that need a login (InspIRCd's `+M`).
            "477" if self.channel(conn, line.param(1)).is_some_and(|at| self.channels[at].joined()) => {
                self.on_refused_target(conn, line, now);
            }
            "405" | "437" | "471" | "473" | "474" | "475" | "476" | "477" | "480" | "485" | "489" | "495" | "500"
                if conn.isupport.channel_of(line.param(1)).is_some() =>
            {
                self.on_join_refused(conn, line, now);
            }
            "470" => self.on_forwarded(conn, line, now),
            "713" => self.on_open_door(conn, line),
            "407" => self.on_too_many(conn),
            "411" | "412" | "417" | "461" => self.on_bad_line(conn, line),
            "421" => self.on_unknown_command(conn, line, now),
            "432" | "433" | "436" | "437" | "447" => self.on_nick_refused(conn, line, now),
            "439" => conn.hush_until = Some(later(now, SignedDuration::from_secs(10))),
            "464" => self.on_bad_password(conn, line),
            "451" => Self::on_not_registered(conn),
            "465" | "466" => self.on_banned(conn, line),
            "731" => self.on_monitor_gone(conn, line, now),
            "900" => self.on_logged_in(conn, line, now),
            "901" => conn.logged_in = None,
            "902" | "903" | "904" | "905" | "906" | "907" => self.on_sasl_end(conn, line),
            "908" => Self::on_mechanisms(conn, line),
            _ => {}
        }
    }

    /// Everything that time alone brings about; then whatever can be sent is.
    fn turn_of_the_wheel(&mut self, now: Timestamp) {
        if let Some(mut conn) = self.conn.take() {
            if conn.over.is_none() {
                self.registration_tick(&mut conn, now);
                self.liveness_tick(&mut conn, now);
            }
            if conn.over.is_none() && conn.phase == Phase::Ready && self.stopping.is_none() {
                self.nick_tick(&mut conn, now);
                self.channels_tick(&mut conn, now);
                self.history_tick(&mut conn, now);
                self.pump(&mut conn, now);
            }
            match conn.over.take() {
                Some(end) => self.hang_up(*conn, end, now),
                None => self.conn = Some(conn),
            }
        }
        self.link_tick(now);
        self.sweep();
        self.stop_tick(now);
    }

    /// Writes a line at once, past the token bucket.
    fn say_now(&mut self, command: &str, middles: &[&str], trailing: Option<&str>) {
        if let Ok(line) = codec::line(&[], command, middles, trailing, codec::LINE_MAX) {
            self.write(line);
        }
    }

    fn write(&mut self, bytes: Vec<u8>) {
        match self.out.back_mut() {
            Some(Output::Send(_, last)) => last.extend(bytes),
            _ => self.out.push_back(Output::Send(LinkId::MAIN, bytes)),
        }
    }

    fn tell_state(&mut self, state: AccountState) {
        if self.told_state.as_ref() != Some(&state) {
            self.told_state = Some(state.clone());
            self.out.push_back(Output::State(state));
        }
    }

    fn tell_identity(&mut self, conn: &Conn) {
        let key = format!("nick:{}", conn.isupport.fold(&conn.nick));
        let identity = Identity { key: Some(key.into()), name: conn.nick.clone() };
        if self.told_identity.as_ref() != Some(&identity) {
            self.told_identity = Some(identity.clone());
            self.out.push_back(Output::Identity(identity));
        }
    }

    fn tell_room(&mut self, key: &RoomKey, availability: Availability) {
        self.out.push_back(Output::Room { key: key.clone(), availability });
    }

    fn tell_event(&mut self, event: Event) {
        if self.persona.is_some() {
            // The account's own connection sees it, too.
            return;
        }
        self.out.push_back(Output::Event(event));
    }

    /// The configured channel of that name, or of a STATUSMSG target that means it.
    fn channel(&self, conn: &Conn, target: &str) -> Option<usize> {
        let name = conn.isupport.channel_of(target)?;
        let folded = conn.isupport.fold(name);
        self.channels.iter().position(|channel| conn.isupport.fold(&channel.name) == folded)
    }
}

impl Session for IrcSession {
    fn handle(&mut self, input: Input<'_>, now: Timestamp) {
        if self.stopped {
            if let Input::Deliver(delivery) = input {
                self.deliver(delivery);
            }
            return;
        }
        match input {
            Input::Rooms(rooms) => self.rooms(rooms, now),
            Input::Opened(_) => self.opened(now),
            Input::Received(_, bytes) => self.received(bytes, now),
            Input::Closed(_, why) => self.closed(why, now),
            Input::Deliver(delivery) => self.deliver(delivery),
            // It asks for nothing beside its connection.
            Input::Wake | Input::Answered(_) => {}
            Input::Stop => self.stop(now),
        }
        self.turn_of_the_wheel(now);
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn wakes_at(&self) -> Option<Timestamp> {
        if self.stopped {
            return None;
        }
        let mut wakes: Vec<Timestamp> = self.link.wakes().into_iter().collect();
        if let Some(conn) = &self.conn {
            wakes.extend(self.stopping);
            wakes.extend(conn.registration_wakes());
            wakes.push(conn.liveness_wakes());
            if conn.phase == Phase::Ready && self.stopping.is_none() {
                wakes.extend(self.nick_wakes(conn));
                wakes.extend(self.channels.iter().filter_map(Channel::wakes));
                wakes.extend(self.sending_wakes(conn));
            }
        }
        wakes.into_iter().min()
    }
}

impl Conn {
    fn new(now: Timestamp, tls: bool, nick: &str, settings: &Settings) -> Self {
        Self {
            opened: now,
            tls,
            phase: Phase::Listing,
            decoder: Decoder::default(),
            caps: Caps::default(),
            isupport: Isupport::default(),
            nick: nick.to_owned(),
            user: None,
            host: None,
            logged_in: None,
            login: Login::default(),
            lines: 0,
            heard: now,
            asked: None,
            bucket: Bucket::new(settings.flood, now),
            control: VecDeque::new(),
            barriers: VecDeque::new(),
            batches: BTreeMap::new(),
            accounts: BTreeMap::new(),
            split: BTreeMap::new(),
            nick_tries: 0,
            regain_at: None,
            hush_until: None,
            multiline_off: false,
            killed: None,
            over: None,
        }
    }

    /// Puts a line about channels or nicks where it goes before messages. One that can't be built is left out: it
    /// names something that no server has.
    fn control(&mut self, command: &str, middles: &[&str], trailing: Option<&str>) {
        if let Ok(line) = codec::line(&[], command, middles, trailing, codec::LINE_MAX) {
            self.control.push_back(line);
        }
    }

    fn is_me(&self, nick: &str) -> bool {
        self.isupport.same(nick, &self.nick)
    }
}

/// A moment that much later, or the last there is.
fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
