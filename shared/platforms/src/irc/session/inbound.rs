//! What people say, as events. Our own words, playback of the past, CTCP and private lines are no events.

use sameroom_model::{
    Author, Event, EventId, EventKind, MembershipChange, Message, MessageKey, SignedDuration, Timestamp,
};

use super::super::codec::Line;
use super::super::text;
use super::{Conn, IrcSession};

/// A line that is this much older than our JOIN is a bouncer's playback.
const PLAYBACK: SignedDuration = SignedDuration::from_mins(5);
/// How many msgids are remembered of a channel.
const RECENT: usize = 256;

impl IrcSession {
    /// `PRIVMSG`, `NOTICE`, `TAGMSG`, `REDACT`.
    pub(super) fn on_words(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let Some(nick) = line.nick() else { return };
        let relayed_by_us = ["draft/relaymsg", "relaymsg", "overdrivenetworks.com/relaymsg"]
            .iter()
            .filter_map(|key| line.tag(key))
            .any(|by| conn.is_me(by));
        if conn.is_me(nick) || relayed_by_us {
            self.on_echo(conn, line);
            return;
        }
        if self.persona.is_some() {
            self.on_private(conn, line, now);
            return;
        }
        if self.kin.has(&conn.isupport.fold(nick), now) {
            self.pass_over(conn, line);
            return;
        }
        let Some(at) = self.channel(conn, line.param(0)) else {
            if line.command == "NOTICE" {
                self.on_services(conn, line, now);
            }
            return;
        };
        let super::channels::State::Joined { since } = self.channels[at].state else { return };
        let told = told_time(line);
        if told.is_some_and(|told| since.duration_since(told) > PLAYBACK) {
            return;
        }
        if let Some(event) = self.event(conn, at, line, now) {
            self.emit(conn, at, line, event, now);
        }
    }

    /// An event of a line to a channel of ours; `None` where the line is none.
    pub(super) fn event(&mut self, conn: &Conn, at: usize, line: &Line, now: Timestamp) -> Option<Event> {
        if let Some(msgid) = line.tag("msgid").filter(|_| line.command != "REDACT") {
            let recent = &mut self.channels[at].recent;
            if recent.iter().any(|known| known == msgid) {
                return None;
            }
            recent.push_back(msgid.to_owned());
            if recent.len() > RECENT {
                recent.pop_front();
            }
        }
        let key = key_of(conn, line);
        let kind = match line.command.as_str() {
            "PRIVMSG" => EventKind::Posted(message(line, key.clone())?),
            "NOTICE" if self.settings.notices => EventKind::Posted(message(line, key.clone())?),
            "TAGMSG" => reaction(line)?,
            "REDACT" => EventKind::Deleted(Some(line.param(1)).filter(|key| !key.is_empty())?.into()),
            _ => return None,
        };
        // A deletion names the message that it deletes: it needs an id of its own.
        let id = match &kind {
            EventKind::Deleted(deleted) => format!("{} redact {deleted}", self.channels[at].key),
            _ => format!("{} {key}", self.channels[at].key),
        };
        Some(Event {
            id: EventId::from(id),
            room: self.room(at),
            at: told_time(line).unwrap_or(now),
            author: Some(author(conn, line)?),
            kind,
        })
    }

    /// Somebody came, went or was renamed, by their own line.
    pub(super) fn membership(&mut self, conn: &Conn, at: usize, line: &Line, change: MembershipChange, now: Timestamp) {
        let nick = line.nick().unwrap_or_default().to_owned();
        self.membership_of(conn, at, &nick, line, change, now);
    }

    /// The same, by somebody else's line.
    pub(super) fn membership_of(
        &mut self,
        conn: &Conn,
        at: usize,
        nick: &str,
        line: &Line,
        change: MembershipChange,
        now: Timestamp,
    ) {
        if self.kin.has(&conn.isupport.fold(nick), now) {
            return;
        }
        let room = self.room(at);
        let event = Event {
            // One QUIT concerns several rooms, but each only once; keys are within rooms.
            id: EventId::from(format!("{} {}", room.key, key_of(conn, line))),
            room,
            at: told_time(line).unwrap_or(now),
            author: Some(Author::new(user_key(conn, nick, None), nick)),
            kind: EventKind::Membership(change),
        };
        self.emit(conn, at, line, event, now);
    }

    /// Tells an event now, or after the history that is being fetched.
    pub(super) fn emit(&mut self, conn: &Conn, at: usize, line: &Line, event: Event, now: Timestamp) {
        let mark = Self::mark(conn, line, &event, now);
        match &mut self.channels[at].fill {
            Some(fill) => fill.hold(event, mark),
            None => {
                self.tell_event(event);
                self.tell_seen(at, mark);
            }
        }
    }

    fn room(&self, at: usize) -> sameroom_model::RoomRef {
        sameroom_model::RoomRef { account: self.account.clone(), key: self.channels[at].key.clone() }
    }
}

/// The message of a PRIVMSG or NOTICE; `None` for CTCP and for nothing.
fn message(line: &Line, key: MessageKey) -> Option<Message> {
    let words = if line.params.len() > 1 { line.trailing() } else { "" };
    let (words, emote) = match words.strip_prefix('\u{1}') {
        Some(ctcp) => {
            // The closing byte may be missing: long lines are cut.
            let ctcp = ctcp.strip_suffix('\u{1}').unwrap_or(ctcp);
            let (command, rest) = ctcp.split_once(' ').unwrap_or((ctcp, ""));
            if !command.eq_ignore_ascii_case("ACTION") {
                return None;
            }
            (rest, true)
        }
        None => (words, false),
    };
    let body = text::read(words);
    if body.is_empty() {
        return None;
    }
    let reply_to = line.tag("+draft/reply").or(line.tag("+reply")).map(MessageKey::from);
    Some(Message { emote, reply_to, ..Message::new(key, body) })
}

/// The reaction of a TAGMSG.
fn reaction(line: &Line) -> Option<EventKind> {
    let key = line.tag("+draft/reply").or(line.tag("+reply"))?;
    let (emoji, on) = match line.tag("+draft/react") {
        Some(emoji) => (emoji, true),
        None => (line.tag("+draft/unreact")?, false),
    };
    Some(EventKind::Reacted { key: key.into(), emoji: emoji.to_owned(), on })
}

/// Who sent a line.
fn author(conn: &Conn, line: &Line) -> Option<Author> {
    let nick = line.nick()?;
    let bot = ["bot", "draft/bot", "inspircd.org/bot"].iter().any(|key| line.tags.contains_key(*key));
    Some(Author { bot, ..Author::new(user_key(conn, nick, line.tag("account")), nick) })
}

/// By account where there is one, since nicks change hands.
fn user_key(conn: &Conn, nick: &str, tag: Option<&str>) -> String {
    let folded = conn.isupport.fold(nick);
    let account = tag.or_else(|| conn.accounts.get(&folded).map(String::as_str));
    match account {
        Some(account) => format!("account:{account}"),
        None => format!("nick:{folded}"),
    }
}

/// The line's msgid, or what stands for one.
fn key_of(conn: &Conn, line: &Line) -> MessageKey {
    match line.tag("msgid") {
        Some(msgid) => msgid.into(),
        None => text::made_key(conn.opened.as_millisecond(), conn.lines).into(),
    }
}

/// When the server says that a line was sent.
pub(super) fn told_time(line: &Line) -> Option<Timestamp> {
    line.tag("time").and_then(|time| time.parse().ok())
}
