//! Deliveries on their way: whose turn it is, what is under way, and what became of it.
//!
//! Every piece is confirmed. Where the server answers each line (`labeled-response`, `echo-message`), by that answer;
//! elsewhere by a barrier: a PING behind the lines, whose PONG says that the server has read them, so that a refusal
//! would have come by then. What is not confirmed when the connection breaks is sent again over the next one.

mod answers;

use std::collections::VecDeque;

use sameroom_model::{Delivery, MessageKey, Outcome, SignedDuration, Timestamp};

use super::super::codec::{self, LINE_MAX, Unsafe};
use super::super::nicks::Shape;
use super::super::text::{self, By, Kind, Piece, Relay, Voice};
use super::channels::Channel;
use super::{Conn, IrcSession, later};

/// The most bytes under way to a server that limits us; half of what ircd-hybrid holds before it kills.
const UNANSWERED_MAX: usize = 1500;
/// The same for a server that the owner trusts to read as fast as we write; half of InspIRCd's default.
const UNANSWERED_TRUSTED: usize = 4000;
/// How long an echo may take before a barrier settles the matter.
const ECHO_WAIT: SignedDuration = SignedDuration::from_secs(10);
/// What a host may have at most (RFC 1035 allows more, servers do not).
const HOST_MAX: usize = 63;
/// What a user name may have, with its `~`.
const USER_MAX: usize = 11;
/// The most that echoes may make us shorten lines by.
const SHORTFALL_MAX: usize = 200;

/// A delivery in a channel's queue.
pub(super) struct Pending {
    pub(super) delivery: Box<Delivery>,
    /// What is left of it; `None` before it was written.
    pieces: Option<VecDeque<Sending>>,
    /// Whether anything of it has ever been sent.
    pub(super) touched: bool,
    /// The keys of what was confirmed.
    keys: Vec<MessageKey>,
    confirmed: usize,
    refused: Option<String>,
    /// Not to be relayed under the author's own nick: the server does not like it.
    plain: bool,
    /// Not to be said over this connection: the author's own was refused.
    pub(super) handed_back: bool,
}

struct Sending {
    piece: Piece,
    flight: Option<Flight>,
}

struct Flight {
    ticket: u64,
    at: Timestamp,
    bytes: usize,
    /// The text parameter as it was sent.
    text: String,
    /// Whether an echo or a labelled answer is to come.
    answered: bool,
}

/// A refusal that names only the channel.
pub(super) struct Refusal {
    why: String,
    /// Whether it is to be sent again: we were not in the channel.
    again: bool,
}

/// Where a piece is: channel, delivery, piece.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Spot(usize, usize, usize);

impl Pending {
    pub(super) fn new(delivery: Box<Delivery>) -> Self {
        Self {
            delivery,
            pieces: None,
            touched: false,
            keys: Vec::new(),
            confirmed: 0,
            refused: None,
            plain: false,
            handed_back: false,
        }
    }

    /// What became of it, once nothing of it is left.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        if !self.pieces.as_ref().is_some_and(VecDeque::is_empty) {
            return None;
        }
        Some(match &self.refused {
            Some(why) => Outcome::refused(why.clone()),
            None => Outcome::Done { keys: self.keys.clone() },
        })
    }

    /// Whether an answer about some of it is awaited.
    pub(super) fn under_way(&self) -> bool {
        self.pieces.iter().flatten().any(|sending| sending.flight.is_some())
    }

    /// The connection is gone: what was under way is to be sent again.
    pub(super) fn disconnected(&mut self) {
        if self.refused.is_some() {
            self.pieces = Some(VecDeque::new());
        } else if self.confirmed == 0 {
            // Nothing of it is there: it may be written anew for the next connection.
            self.pieces = None;
        } else {
            self.pieces.iter_mut().flatten().for_each(|sending| sending.flight = None);
        }
    }

    fn unsent(&self) -> bool {
        self.refused.is_none()
            && !self.handed_back
            && self.pieces.as_ref().is_none_or(|pieces| pieces.iter().any(|sending| sending.flight.is_none()))
    }

    fn flights(&self) -> impl Iterator<Item = (usize, &Flight, &Piece)> {
        self.pieces
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(at, sending)| Some((at, sending.flight.as_ref()?, &sending.piece)))
    }
}

impl Channel {
    /// What is under way, oldest first.
    fn flights(&self) -> impl Iterator<Item = (usize, usize, &Flight, &Piece)> {
        self.queue
            .iter()
            .enumerate()
            .take_while(|(_, pending)| pending.pieces.is_some())
            .flat_map(|(at, pending)| pending.flights().map(move |(piece, flight, what)| (at, piece, flight, what)))
    }
}

impl IrcSession {
    /// Sends what may be sent now: lines about channels first, then the channels in turn.
    pub(super) fn pump(&mut self, conn: &mut Conn, now: Timestamp) {
        if conn.hush_until.is_some_and(|until| now < until) {
            return;
        }
        conn.hush_until = None;
        while !conn.control.is_empty() && conn.bucket.ready(now) {
            if let Some(line) = conn.control.pop_front() {
                conn.bucket.take(1);
                self.write(line);
            }
        }
        if conn.control.is_empty() {
            while conn.bucket.ready(now) {
                let Some(at) = self.next_channel() else { break };
                if !self.send_next(conn, at, now) {
                    break;
                }
                self.turn = at + 1;
            }
        }
        self.raise_barrier(conn, now);
    }

    /// The next channel, after the last, that has something to send.
    fn next_channel(&self) -> Option<usize> {
        let count = self.channels.len();
        (0..count)
            .map(|step| (self.turn + step) % count)
            .find(|at| self.channels[*at].joined() && self.channels[*at].queue.iter().any(Pending::unsent))
    }

    /// Sends the next piece of a channel. `false`: nothing more may be sent before an answer comes.
    fn send_next(&mut self, conn: &mut Conn, at: usize, now: Timestamp) -> bool {
        let Some(which) = self.channels[at].queue.iter().position(Pending::unsent) else { return true };
        if self.channels[at].queue[which].pieces.is_none() {
            let pieces = self.with_voice(conn, at, which, |voice, pending| text::pieces(&pending.delivery, voice));
            let pieces = pieces.into_iter().map(|piece| Sending { piece, flight: None }).collect();
            self.channels[at].queue[which].pieces = Some(pieces);
        }
        self.refit(conn, at, which);
        let pending = &self.channels[at].queue[which];
        let Some(index) = pending.pieces.iter().flatten().position(|sending| sending.flight.is_none()) else {
            return true;
        };
        let Some(sending) = pending.pieces.as_ref().and_then(|pieces| pieces.get(index)) else { return true };
        let piece = sending.piece.clone();
        let ticket = self.tickets + 1;
        let labelled = conn.caps.on("labeled-response");
        let target = self.channels[at].name.clone();
        let (wire, text) = match wire(&piece, &target, ticket, labelled, self.channels[at].bare, conn.isupport.linelen)
        {
            Ok(wire) => wire,
            Err(e) => {
                self.refuse(Spot(at, which, index), format!("it can't be written as an IRC line: {e}"));
                return true;
            }
        };
        let unanswered: usize =
            self.channels.iter().flat_map(Channel::flights).map(|(_, _, flight, _)| flight.bytes).sum();
        let most = if conn.bucket.unlimited() { UNANSWERED_TRUSTED } else { UNANSWERED_MAX };
        if unanswered > 0 && unanswered + wire.len() > most {
            return false;
        }
        self.tickets = ticket;
        let lines = wire.split(|b| *b == b'\n').count() - 1;
        conn.bucket.take(lines);
        let echoed = conn.caps.on("echo-message") && !matches!(piece.kind, Kind::Redact);
        let flight = Flight { ticket, at: now, bytes: wire.len(), text, answered: labelled || echoed };
        let answered = flight.answered;
        let pending = &mut self.channels[at].queue[which];
        pending.touched = true;
        if let Some(sending) = pending.pieces.as_mut().and_then(|pieces| pieces.get_mut(index)) {
            sending.flight = Some(flight);
        }
        self.write(wire);
        if conn.bucket.unlimited() && !answered {
            // A barrier behind every line tells which of them a refusal means.
            self.barrier(conn, now);
        }
        true
    }

    /// Makes the unsent pieces of a delivery fit the connection as it is now: our mask may have grown, the server may
    /// have withdrawn what they were written for.
    fn refit(&mut self, conn: &Conn, at: usize, which: usize) {
        let Some(pieces) = self.channels[at].queue[which].pieces.take() else { return };
        let fitted = pieces
            .into_iter()
            .flat_map(|sending| {
                if sending.flight.is_some() {
                    return vec![sending];
                }
                let pieces = self.with_voice(conn, at, which, |voice, pending| {
                    text::fit(sending.piece, &pending.delivery.shown, voice)
                });
                pieces.into_iter().map(|piece| Sending { piece, flight: None }).collect()
            })
            .collect();
        self.channels[at].queue[which].pieces = Some(fitted);
    }

    /// How a channel may be spoken to now.
    fn with_voice<R>(&self, conn: &Conn, at: usize, which: usize, write: impl FnOnce(&Voice<'_>, &Pending) -> R) -> R {
        let channel = &self.channels[at];
        let pending = &channel.queue[which];
        let tags = conn.caps.on("message-tags");
        let reply = tags && !(conn.isupport.denies("draft/reply") && conn.isupport.denies("reply"));
        let user = conn.user.as_ref().map_or(USER_MAX, String::len);
        let host = conn.host.as_ref().map_or(HOST_MAX, String::len);
        // `:nick!user@host PRIVMSG #channel :text` and CRLF is what everybody else must be able to read.
        let fixed = 1 + 1 + user + 1 + host + 1 + "PRIVMSG ".len() + channel.name.len() + " :".len() + 2;
        let line = conn.isupport.linelen.saturating_sub(self.shortfall);
        let relay = conn.caps.relaymsg().filter(|_| !channel.relay_off && !pending.plain).map(|signs| Relay {
            nick: Shape {
                sign: signs.chars().next().unwrap_or('/'),
                suffix: &self.settings.relay_suffix,
                max: conn.isupport.nicklen.unwrap_or(30).max(12),
                unicode: true,
            },
            // Whose user name and host a relayed line carries is the server's to choose.
            room: line.saturating_sub(fixed - user - host + user.max(USER_MAX) + host.max(HOST_MAX)),
        });
        let multiline = conn.caps.on("draft/multiline") && conn.caps.on("batch") && tags && !conn.multiline_off;
        let number = |field: &str| conn.caps.field("draft/multiline", field).and_then(|n| n.parse().ok());
        let multiline =
            if multiline { number("max-bytes").map(|bytes| (bytes, number("max-lines").unwrap_or(100))) } else { None };
        let present = |nick: &str| {
            self.settings.ping_safe && channel.members.contains(&conn.isupport.fold(nick)) && !conn.is_me(nick)
        };
        let voice = Voice {
            room: line.saturating_sub(fixed + conn.nick.len()),
            own: self.persona.is_some(),
            relay,
            reply,
            react: reply && !conn.isupport.denies("draft/react"),
            redact: conn.caps.on("draft/message-redaction"),
            multiline,
            present: &present,
        };
        write(&voice, pending)
    }

    /// Puts a barrier behind what is under way, where one is needed and none is out.
    fn raise_barrier(&mut self, conn: &mut Conn, now: Timestamp) {
        if !conn.barriers.is_empty() {
            return;
        }
        let waiting = self
            .channels
            .iter()
            .flat_map(Channel::flights)
            .any(|(_, _, flight, _)| !flight.answered || now.duration_since(flight.at) >= ECHO_WAIT);
        if waiting {
            self.barrier(conn, now);
        }
    }

    fn barrier(&mut self, conn: &mut Conn, now: Timestamp) {
        self.tickets += 1;
        conn.barriers.push_back((self.tickets, now));
        let token = format!("sr{}", self.tickets);
        self.say_now("PING", &[], Some(&token));
    }

    /// When something may be sent, or a barrier is due.
    pub(super) fn sending_wakes(&self, conn: &Conn) -> Option<Timestamp> {
        let waiting = !conn.control.is_empty() || self.next_channel().is_some();
        let echoes = self
            .channels
            .iter()
            .flat_map(Channel::flights)
            .map(|(_, _, flight, _)| later(flight.at, ECHO_WAIT))
            .min()
            .filter(|_| conn.barriers.is_empty());
        // With a token left it is the window that is full: then an answer wakes us, not time.
        let tokens = conn.hush_until.or_else(|| (!conn.bucket.has_token()).then(|| conn.bucket.ready_at()));
        tokens.filter(|_| waiting).into_iter().chain(echoes).min()
    }
}

/// The bytes of a piece, and its text as an echo will show it.
fn wire(
    piece: &Piece,
    target: &str,
    ticket: u64,
    labelled: bool,
    bare: bool,
    max: usize,
) -> Result<(Vec<u8>, String), Unsafe> {
    let safe = |text: &str| if bare { text::bare(&text::safe(text)) } else { text::safe(text) };
    let label = format!("s{ticket}");
    let about = piece.about.as_deref().unwrap_or_default();
    let mut tags: Vec<(&str, &str)> = Vec::new();
    if labelled {
        tags.push(("label", &label));
    }
    match &piece.kind {
        Kind::Say { lead, parts, by, action } => {
            if !about.is_empty() {
                tags.push(("+draft/reply", about));
            }
            if parts.len() > 1 {
                let batch = format!("m{ticket}");
                let mut bytes =
                    codec::line(&tags, "BATCH", &[&format!("+{batch}"), "draft/multiline", target], None, max)?;
                for (i, part) in parts.iter().enumerate() {
                    let mut tags = vec![("batch", batch.as_str())];
                    if part.concat {
                        tags.push(("draft/multiline-concat", ""));
                    }
                    let lead = if i == 0 { lead.as_str() } else { "" };
                    let text = safe(&format!("{lead}{}", part.text));
                    bytes.extend(codec::line(&tags, "PRIVMSG", &[target], Some(&text), max)?);
                }
                bytes.extend(codec::line(&[], "BATCH", &[&format!("-{batch}")], None, LINE_MAX)?);
                return Ok((bytes, String::new()));
            }
            let words = parts.first().map_or("", |part| part.text.as_str());
            let mut text = safe(&format!("{lead}{words}"));
            if *action {
                text = format!("\u{1}ACTION {text}\u{1}");
            }
            let line = match by {
                By::Relayed(nick) => codec::line(&tags, "RELAYMSG", &[target, nick], Some(&text), max)?,
                By::Bot | By::Author => codec::line(&tags, "PRIVMSG", &[target], Some(&text), max)?,
            };
            Ok((line, text))
        }
        Kind::React { emoji, on } => {
            tags.push(("+draft/reply", about));
            tags.push((if *on { "+draft/react" } else { "+draft/unreact" }, emoji));
            Ok((codec::line(&tags, "TAGMSG", &[target], None, max)?, String::new()))
        }
        Kind::Redact => Ok((codec::line(&tags, "REDACT", &[target], Some(about), max)?, String::new())),
    }
}
