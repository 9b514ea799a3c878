//! The way into a channel: many JOINs in a line, and what a refused one means.

use sameroom_model::{Availability, SignedDuration, Timestamp};

use super::super::super::codec::{LINE_MAX, Line};
use super::super::super::settings::channel_key;
use super::super::{Conn, IrcSession, later};
use super::{Channel, JOIN_ANSWER, SELDOM, State};

/// How long after NickServ was told our password a channel that wants a login is tried again.
const LOGIN_ANSWER: SignedDuration = SignedDuration::from_secs(10);

impl IrcSession {
    /// Joins what is to be joined now: many channels in one line, those with keys first, since keys are paired by
    /// position.
    pub(in super::super) fn join_all(&mut self, conn: &mut Conn, now: Timestamp) {
        let due: Vec<usize> = (0..self.channels.len()).filter(|at| self.due(*at, now)).collect();
        let mut wanted: Vec<(String, Option<String>)> = Vec::new();
        for at in due {
            let name = self.channels[at].name.clone();
            if name.contains([' ', ',', '\u{7}', '\r', '\n', '\0']) || !conn.isupport.is_channel(&name) {
                let why = format!("{name:?} is no channel's name at {}: check the room's URL", self.place());
                self.block(at, why, None);
                continue;
            }
            let limit = conn.isupport.limit_of(&name).unwrap_or(usize::MAX);
            let sign = name.chars().next();
            let same = |channel: &&Channel| channel.name.chars().next() == sign;
            let inside = |channel: &&Channel| matches!(channel.state, State::Joined { .. } | State::Joining { .. });
            if self.channels.iter().filter(same).filter(inside).count() >= limit {
                let why = format!(
                    "{} lets one connection into {limit} channels: add a second account for {name}",
                    self.place()
                );
                self.block(at, why, None);
                continue;
            }
            let channel = &mut self.channels[at];
            channel.state = State::Joining { since: now };
            let secret = self.secrets.get(&channel_key(channel.key.as_str())).map(str::to_owned);
            let key = channel.password.clone().or(secret);
            // A key that no server could have set would shift the keys after it.
            wanted
                .push((name, key.filter(|key| !key.is_empty() && !key.contains([',', ' ']) && !key.starts_with(':'))));
        }
        wanted.sort_by_key(|(_, key)| key.is_none());
        let most = conn.isupport.join_targets.unwrap_or(usize::MAX);
        let mut line: Vec<(String, Option<String>)> = Vec::new();
        let mut bytes = 0;
        for (name, key) in wanted {
            let more = name.len() + 1 + key.as_ref().map_or(0, |key| key.len() + 1);
            if !line.is_empty() && (line.len() >= most || bytes + more > LINE_MAX - 12) {
                send_join(conn, &line);
                line.clear();
                bytes = 0;
            }
            bytes += more;
            line.push((name, key));
        }
        send_join(conn, &line);
    }

    pub(super) fn due(&self, at: usize, now: Timestamp) -> bool {
        match &self.channels[at].state {
            State::Away { at } => at.is_none_or(|at| now >= at),
            State::Blocked { at, .. } => at.is_some_and(|at| now >= at),
            State::Joining { .. } | State::Joined { .. } => false,
        }
    }

    pub(in super::super) fn channels_tick(&mut self, conn: &mut Conn, now: Timestamp) {
        for channel in &mut self.channels {
            if let State::Joining { since } = channel.state
                && now.duration_since(since) >= JOIN_ANSWER
            {
                channel.state = State::Away { at: None };
            }
        }
        if (0..self.channels.len()).any(|at| self.due(at, now)) {
            self.join_all(conn, now);
        }
    }

    /// A JOIN was refused: `<numeric> <me> <channel> :why`.
    pub(in super::super) fn on_join_refused(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let Some(at) = self.channel(conn, line.param(1)) else { return };
        if self.channels[at].joined() {
            return;
        }
        if line.command == "480" && self.channels[at].blocked().is_some() {
            // A KNOCK that is of no use, on servers that say so by this number.
            return;
        }
        if line.command == "477" && self.identify_late(conn, now) {
            self.channels[at].state = State::Away { at: Some(later(now, LOGIN_ANSWER)) };
            return;
        }
        if line.command == "473" {
            self.knock(conn, at, now);
        }
        let place = self.place();
        let channel = &mut self.channels[at];
        channel.refused += 1;
        let name = &channel.name;
        let (why, wait) = match line.command.as_str() {
            "473" => {
                (format!("{name} is for invited people: invite {} there, and it comes in", conn.nick), Some(SELDOM))
            }
            "475" => (
                format!("{name} has a key, and ours is wrong or missing: give it as ?key= in the room's URL"),
                Some(SELDOM),
            ),
            "474" => {
                let hours = [1, 6, 24][(channel.refused as usize - 1).min(2)];
                let why = format!("{name} bans us: ask its operators to lift the ban; tried again in {hours} h");
                (why, Some(SignedDuration::from_hours(hours)))
            }
            "477" => (
                format!("{name} is for registered nicks: give the account a login (sasl=plain or nickserv=1)"),
                Some(SELDOM),
            ),
            "489" => (format!("{name} is for TLS connections: begin the URL with ircs://"), None),
            "405" => (format!("{place} lets us into no more channels: add a second account for {name}"), Some(SELDOM)),
            "476" => (format!("{place} says that {name} is no channel's name: check the room's URL"), None),
            "471" => {
                // Full channels empty again: people hardly notice the first refusals.
                let seconds = (30_i64 << (channel.refused - 1).min(5)).min(600);
                let wait = SignedDuration::from_secs(seconds);
                if channel.refused < 3 {
                    channel.state = State::Away { at: Some(later(now, wait)) };
                    return;
                }
                (format!("{name} is full: it is tried again every ten minutes"), Some(wait))
            }
            _ => {
                // 437, 480, 485, 495, 500: throttled or held back for a while.
                channel.state = State::Away {
                    at: Some(later(now, SignedDuration::from_secs(30 * i64::from(channel.refused.min(10))))),
                };
                return;
            }
        };
        let at_time = wait.map(|wait| later(now, wait));
        self.block(at, why, at_time);
    }

    /// Asks those in a channel for invited people to let us in: once for each time that we are turned away, and not for
    /// every connection anew.
    fn knock(&mut self, conn: &mut Conn, at: usize, now: Timestamp) {
        let channel = &mut self.channels[at];
        let lately = channel.knocked.is_some_and(|last| now.duration_since(last) < SELDOM);
        if conn.isupport.knock && !lately && self.persona.is_none() {
            channel.knocked = Some(now);
            // Some servers want words, and others leave them aside.
            conn.control("KNOCK", &[&channel.name], Some("Sameroom, a bridge between rooms, asks for an invitation"));
        }
    }

    /// `713 <me> <channel> :Channel is open`: there was no need to knock.
    pub(in super::super) fn on_open_door(&mut self, conn: &Conn, line: &Line) {
        let Some(at) = self.channel(conn, line.param(1)) else { return };
        if self.channels[at].blocked().is_some() {
            self.channels[at].state = State::Away { at: None };
        }
    }

    /// `407`: the server takes fewer channels in one JOIN than it was given. One at a time always works.
    pub(in super::super) fn on_too_many(&mut self, conn: &mut Conn) {
        if conn.isupport.join_targets == Some(1) {
            return;
        }
        conn.isupport.join_targets = Some(1);
        for channel in &mut self.channels {
            if matches!(channel.state, State::Joining { .. }) {
                channel.state = State::Away { at: None };
            }
        }
    }

    /// `470 <me> <channel> <other> :Forwarding to another channel`: we are not led elsewhere.
    pub(in super::super) fn on_forwarded(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let Some(at) = self.channel(conn, line.param(1)) else { return };
        let why = format!(
            "{} sends us on to {}, where we don't go: get an invitation, or connect that channel",
            self.channels[at].name,
            line.param(2)
        );
        self.block(at, why, Some(later(now, SELDOM)));
    }

    /// Keeps a room shut, and says so once.
    pub(in super::super) fn block(&mut self, at: usize, why: String, again: Option<Timestamp>) {
        let channel = &mut self.channels[at];
        channel.state = State::Blocked { why: why.clone(), at: again };
        if channel.told_closed.as_ref() != Some(&why) {
            channel.told_closed = Some(why.clone());
            let key = channel.key.clone();
            self.tell_room(&key, Availability::Closed(why));
        }
    }
}

fn send_join(conn: &mut Conn, channels: &[(String, Option<String>)]) {
    if channels.is_empty() {
        return;
    }
    let names: Vec<&str> = channels.iter().map(|(name, _)| name.as_str()).collect();
    let keys: Vec<&str> = channels.iter().filter_map(|(_, key)| key.as_deref()).collect();
    if keys.is_empty() {
        conn.control("JOIN", &[&names.join(",")], None);
    } else {
        conn.control("JOIN", &[&names.join(","), &keys.join(",")], None);
    }
}
