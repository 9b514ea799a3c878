//! Channels: joining them, being refused, removed and let in again, and who is in them. It must not know deliveries
//! beyond holding the queue of each channel.

mod joining;

use std::collections::{BTreeSet, VecDeque};

use sameroom_model::{Availability, MembershipChange, RoomKey, SignedDuration, Timestamp};

use super::super::codec::Line;
use super::history::Fill;
use super::sending::{Pending, Refusal};
use super::{Conn, IrcSession, Phase, later};
use crate::{Joined, Output};

/// How long after a kick we come back.
const REJOIN: SignedDuration = SignedDuration::from_secs(5);
/// Within this time a second kick is meant.
const MEANT: SignedDuration = SignedDuration::from_mins(10);
/// How long a JOIN may stay without answer before it is sent again.
const JOIN_ANSWER: SignedDuration = SignedDuration::from_secs(30);
/// How long people that a netsplit took may take to come back without being news.
const SPLIT: SignedDuration = SignedDuration::from_mins(20);
/// How often a channel that only the owner can open is tried all the same.
const SELDOM: SignedDuration = SignedDuration::from_hours(1);
/// The most people that are remembered of a netsplit.
const SPLIT_MAX: usize = 10_000;

/// One room of ours.
pub(super) struct Channel {
    pub(super) key: RoomKey,
    pub(super) name: String,
    /// Its key as the server last told it, where it differs from the account's secret.
    pub(super) password: Option<String>,
    pub(super) state: State,
    /// Folded nicks of the people in it.
    pub(super) members: BTreeSet<String>,
    pub(super) queue: VecDeque<Pending>,
    /// Refusals since the last barrier, where answers can't be told apart.
    pub(super) refusals: Vec<Refusal>,
    /// Whether the server let us relay under other nicks here.
    pub(super) relay_off: bool,
    /// Whether what its author said over this connection was refused here.
    pub(super) mute: bool,
    /// Whether formatting is left out here: it was refused, or seemed to be (`+c`).
    pub(super) bare: bool,
    /// The mark of the last message seen.
    pub(super) seen: Option<String>,
    /// The latest msgids, to tell what history repeats.
    pub(super) recent: VecDeque<String>,
    /// History that is being fetched, and what came in meanwhile.
    pub(super) fill: Option<Fill>,
    kicked: Option<Timestamp>,
    refused: u32,
    /// When we last knocked.
    knocked: Option<Timestamp>,
    /// What was last told of it.
    told_closed: Option<String>,
}

/// How we stand with a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// We want in, at that time or as soon as there is a connection.
    Away {
        /// When.
        at: Option<Timestamp>,
    },
    /// JOIN is sent.
    Joining {
        /// When.
        since: Timestamp,
    },
    /// We are in.
    Joined {
        /// Since when.
        since: Timestamp,
    },
    /// We are kept out.
    Blocked {
        /// A sentence that says what to do.
        why: String,
        /// When to try again.
        at: Option<Timestamp>,
    },
}

impl Channel {
    fn new(room: Joined) -> Self {
        Self {
            key: room.key,
            name: room.name,
            password: None,
            state: State::Away { at: None },
            members: BTreeSet::new(),
            queue: VecDeque::new(),
            refusals: Vec::new(),
            relay_off: false,
            mute: false,
            bare: false,
            seen: room.seen,
            recent: VecDeque::new(),
            fill: None,
            kicked: None,
            refused: 0,
            knocked: None,
            told_closed: None,
        }
    }

    pub(super) fn joined(&self) -> bool {
        matches!(self.state, State::Joined { .. })
    }

    /// Why nothing can be delivered here, where that is so.
    pub(super) fn blocked(&self) -> Option<&str> {
        match &self.state {
            State::Blocked { why, .. } => Some(why),
            _ => None,
        }
    }

    /// When time alone changes something here.
    pub(super) fn wakes(&self) -> Option<Timestamp> {
        let state = match &self.state {
            State::Away { at } | State::Blocked { at, .. } => *at,
            State::Joining { since } => Some(later(*since, JOIN_ANSWER)),
            State::Joined { .. } => None,
        };
        state.into_iter().chain(self.fill.as_ref().map(|fill| fill.until)).min()
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        if self.blocked().is_none() {
            self.state = State::Away { at: None };
        }
        self.members.clear();
        self.refusals.clear();
        self.relay_off = false;
        self.bare = false;
        self.fill = None;
        self.queue.iter_mut().for_each(Pending::disconnected);
    }
}

impl IrcSession {
    /// The rooms to be in, all of them.
    pub(super) fn rooms(&mut self, rooms: Vec<Joined>, now: Timestamp) {
        let mut conn = self.conn.take();
        let mut old = std::mem::take(&mut self.channels);
        for room in rooms {
            match old.iter().position(|channel| channel.key == room.key) {
                Some(at) => {
                    let mut channel = old.remove(at);
                    // Whoever tells the rooms again may have mended one.
                    if let State::Blocked { .. } = channel.state {
                        channel.state = State::Away { at: None };
                        channel.password = None;
                    }
                    self.channels.push(channel);
                }
                None => self.channels.push(Channel::new(room)),
            }
        }
        for channel in old {
            if let (Some(conn), true) =
                (conn.as_mut(), matches!(channel.state, State::Joined { .. } | State::Joining { .. }))
            {
                conn.control("PART", &[&channel.name], None);
            }
            for pending in channel.queue {
                let outcome = pending.interrupted("the room is no longer among those of this connection");
                self.out.push_back(Output::Settled { id: pending.delivery.id.clone(), outcome });
            }
        }
        self.turn = 0;
        if let Some(conn) = conn.as_mut().filter(|conn| conn.phase == Phase::Ready) {
            self.join_all(conn, now);
        }
        self.conn = conn;
        self.begin(now);
    }

    /// A channel that wanted a login may let us in now.
    pub(super) fn rejoin_for_login(&mut self, now: Timestamp) {
        for channel in &mut self.channels {
            if let State::Blocked { at, .. } = &mut channel.state {
                *at = Some(now);
            }
        }
    }

    /// `:nick!user@host JOIN <channel> [<account> :<realname>]`.
    pub(super) fn on_join(&mut self, conn: &mut Conn, line: &Line, netsplit: bool, now: Timestamp) {
        let Some(nick) = line.nick().map(str::to_owned) else { return };
        let folded = conn.isupport.fold(&nick);
        // Who else is there one connection knows for all.
        if self.persona.is_some() && !conn.is_me(&nick) {
            return;
        }
        if line.params.len() > 1 {
            match line.param(1) {
                "*" => conn.accounts.remove(&folded),
                account => conn.accounts.insert(folded.clone(), account.to_owned()),
            };
        }
        let at = self.channel(conn, line.param(0));
        if conn.is_me(&nick) {
            if let Some(source) = &line.source
                && let (Some(user), Some(host)) = (&source.user, &source.host)
            {
                conn.learn_mask(&format!("{user}@{host}"));
            }
            match at {
                Some(at) => self.came_in(conn, at, line, now),
                // Not one of ours: a forward, or a server that joins people by itself.
                None => {
                    let name = line.param(0).to_owned();
                    conn.control("PART", &[&name], None);
                }
            }
            return;
        }
        let Some(at) = at else { return };
        self.channels[at].members.insert(folded.clone());
        let back = conn.split.remove(&folded).is_some_and(|until| now < until);
        if !netsplit && !back {
            self.membership(conn, at, line, MembershipChange::Joined, now);
        }
    }

    fn came_in(&mut self, conn: &mut Conn, at: usize, line: &Line, now: Timestamp) {
        let channel = &mut self.channels[at];
        if channel.joined() {
            return;
        }
        channel.state = State::Joined { since: now };
        channel.refused = 0;
        channel.members.clear();
        if channel.told_closed.take().is_some() {
            let key = channel.key.clone();
            self.tell_room(&key, Availability::Open);
        }
        self.fill_gap(conn, at, line, now);
    }

    /// We are in no more, not by our wish: back once, after a while; a second time it is meant.
    fn put_out(&mut self, at: usize, how: &str, now: Timestamp) {
        let channel = &mut self.channels[at];
        channel.members.clear();
        channel.fill = None;
        let again = channel.kicked.is_some_and(|last| now.duration_since(last) < MEANT);
        channel.kicked = Some(now);
        if again {
            let why = format!("{} {how} us twice: ask its operators, then connect the room again", channel.name);
            self.block(at, why, None);
        } else {
            channel.state = State::Away { at: Some(later(now, REJOIN)) };
        }
    }

    /// `:who PART <channel> [:reason]`.
    pub(super) fn on_part(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let (Some(nick), Some(at)) = (line.nick(), self.channel(conn, line.param(0))) else { return };
        if conn.is_me(nick) {
            self.put_out(at, "parted", now);
            return;
        }
        let reason = Some(line.param(1).to_owned()).filter(|reason| !reason.is_empty());
        if self.channels[at].members.remove(&conn.isupport.fold(nick)) {
            self.membership(conn, at, line, MembershipChange::Left(reason), now);
        }
    }

    /// `:who KICK <channel> <nick> [:reason]`.
    pub(super) fn on_kick(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let Some(at) = self.channel(conn, line.param(0)) else { return };
        let nick = line.param(1);
        if conn.is_me(nick) {
            self.put_out(at, "kicked", now);
            return;
        }
        self.channels[at].members.remove(&conn.isupport.fold(nick));
        let by = line.nick().unwrap_or_default().to_owned();
        let why = Some(line.param(2).to_owned()).filter(|why| !why.is_empty());
        self.membership_of(conn, at, nick, line, MembershipChange::Removed { by, why }, now);
    }

    /// `:who QUIT [:reason]`. What a netsplit takes is no news: it comes back.
    pub(super) fn on_quit(&mut self, conn: &mut Conn, line: &Line, netsplit: bool, now: Timestamp) {
        let Some(nick) = line.nick().map(str::to_owned) else { return };
        let folded = conn.isupport.fold(&nick);
        let split = netsplit || is_split(line.param(0));
        if split && self.persona.is_none() && conn.split.len() < SPLIT_MAX {
            conn.split.retain(|_, until| now < *until);
            conn.split.insert(folded.clone(), later(now, SPLIT));
        }
        let reason = Some(line.param(0).to_owned()).filter(|reason| !reason.is_empty());
        for at in 0..self.channels.len() {
            if self.channels[at].members.remove(&folded) && !split {
                self.membership(conn, at, line, MembershipChange::Left(reason.clone()), now);
            }
        }
        conn.accounts.remove(&folded);
        self.nick_freed(conn, &nick, now);
    }

    /// `:old NICK <new>`.
    pub(super) fn on_nick(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let Some(old) = line.nick().map(str::to_owned) else { return };
        let new = line.param(0).to_owned();
        if new.is_empty() {
            return;
        }
        if conn.is_me(&old) {
            self.renamed(conn, &new, now);
            return;
        }
        let (from, to) = (conn.isupport.fold(&old), conn.isupport.fold(&new));
        let kin = self.kin.has(&from, now);
        for at in 0..self.channels.len() {
            if self.channels[at].members.remove(&from) {
                self.channels[at].members.insert(to.clone());
                self.membership(conn, at, line, MembershipChange::Renamed(new.clone()), now);
            }
        }
        if kin {
            // Its own connection may tell us later than this one.
            self.kin.promised(to.clone(), now);
        }
        if let Some(account) = conn.accounts.remove(&from) {
            conn.accounts.insert(to.clone(), account);
        }
        if from != to {
            self.nick_freed(conn, &old, now);
        }
    }

    /// `353 <me> <sign> <channel> :[@+]nick …`.
    pub(super) fn on_names(&mut self, conn: &mut Conn, line: &Line) {
        let Some(at) = self.channel(conn, line.param(2)).filter(|_| self.persona.is_none()) else { return };
        for entry in line.trailing().split_ascii_whitespace() {
            let nick = conn.isupport.member(entry);
            if !nick.is_empty() && !conn.is_me(nick) {
                self.channels[at].members.insert(conn.isupport.fold(nick));
            }
        }
    }

    /// `:who MODE <target> <modes> [parameters]`: a channel's new key is remembered; our own `+r` is a login.
    pub(super) fn on_mode(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let modes = line.param(1).to_owned();
        if conn.is_me(line.param(0)) {
            let gained = modes.split('-').next().unwrap_or_default().contains('r');
            if gained && matches!(conn.phase, Phase::Identifying { .. }) {
                self.ready(conn, now);
            }
            return;
        }
        let Some(at) = self.channel(conn, line.param(0)) else { return };
        let mut parameters = line.params.iter().skip(2);
        let mut set = true;
        for mode in modes.chars() {
            match mode {
                '+' => set = true,
                '-' => set = false,
                mode => {
                    let parameter = if conn.isupport.takes_parameter(mode, set) { parameters.next() } else { None };
                    if (mode, set) == ('c', false) {
                        self.channels[at].bare = false;
                    }
                    // Some servers mask the key.
                    if let ('k', true, Some(key)) = (mode, set, parameter.filter(|key| key.as_str() != "*")) {
                        self.channels[at].password = Some(key.clone());
                    }
                }
            }
        }
    }

    /// `:who INVITE <me> <channel>`: whoever lets us in may, if it is a room of ours.
    pub(super) fn on_invite(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        if !conn.is_me(line.param(0)) || conn.phase != Phase::Ready {
            return;
        }
        let Some(at) = self.channel(conn, line.param(1)) else { return };
        if !self.channels[at].joined() {
            self.channels[at].state = State::Away { at: None };
            self.join_all(conn, now);
        }
    }

    /// `:who ACCOUNT <account|*>`.
    pub(super) fn on_account(conn: &mut Conn, line: &Line) {
        let Some(nick) = line.nick() else { return };
        let folded = conn.isupport.fold(nick);
        match line.param(0) {
            "*" | "" => conn.accounts.remove(&folded),
            account => conn.accounts.insert(folded, account.to_owned()),
        };
    }
}

/// Whether a QUIT's reason is that of a netsplit: two server names, and nothing else.
fn is_split(reason: &str) -> bool {
    let server = |name: &str| {
        name.contains('.')
            && !name.starts_with('.')
            && !name.ends_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.*_".contains(&b))
    };
    reason.split_once(' ').is_some_and(|(a, b)| server(a) && server(b))
}
