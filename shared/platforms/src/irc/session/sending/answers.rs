//! What became of the lines under way: echoes, acknowledgements, refusals and barriers, and which line each means.

use sameroom_model::{MessageKey, SignedDuration, Timestamp};

use super::super::super::codec::Line;
use super::super::super::text::{self, By, Kind, Piece};
use super::super::channels::{Channel, State};
use super::super::{Conn, IrcSession, Phase, later};
use super::{Flight, Refusal, SHORTFALL_MAX, Sending, Spot};

impl IrcSession {
    /// `PONG [server] :<token>`: the server has read everything before our PING.
    pub(in super::super) fn on_pong(&mut self, conn: &mut Conn, line: &Line, _now: Timestamp) {
        let Some(ticket) = line.trailing().strip_prefix("sr").and_then(|n| n.parse::<u64>().ok()) else { return };
        if !conn.barriers.iter().any(|(sent, _)| *sent == ticket) {
            return;
        }
        conn.barriers.retain(|(sent, _)| *sent > ticket);
        for at in 0..self.channels.len() {
            let refusals = std::mem::take(&mut self.channels[at].refusals);
            let passed: Vec<(u64, bool)> = self.channels[at]
                .flights()
                .filter(|(_, _, flight, _)| flight.ticket < ticket)
                .map(|(_, _, flight, _)| (flight.ticket, flight.answered))
                .collect();
            // Whatever made the server refuse came in between: it was the last ones that it refused.
            let unlabelled = passed.iter().filter(|(_, answered)| !answered).count();
            let mut taken = unlabelled.saturating_sub(refusals.len());
            let mut refusals = refusals.into_iter();
            for (flight, answered) in passed {
                let Some(spot) = self.flight(|found| found.ticket == flight) else { continue };
                if answered {
                    self.refuse(spot, "the server neither passed it on nor said why".to_owned());
                } else if taken > 0 {
                    taken -= 1;
                    self.confirm(spot, None);
                } else {
                    match refusals.next() {
                        Some(Refusal { again: true, .. }) => self.put_back(spot),
                        Some(Refusal { why, .. }) => self.refuse(spot, why),
                        None => self.confirm(spot, None),
                    }
                }
            }
        }
    }

    /// One of our own lines came back: it is there, with this msgid.
    pub(in super::super) fn on_echo(&mut self, conn: &mut Conn, line: &Line) {
        if let Some(source) = &line.source
            && conn.is_me(&source.nick)
            && let (Some(user), Some(host)) = (&source.user, &source.host)
        {
            conn.learn_mask(&format!("{user}@{host}"));
        }
        let Some(spot) = self.labelled(line).or_else(|| self.echoed(conn, line)) else { return };
        let key = line.tag("msgid").map(MessageKey::from);
        let rest = self.sending(spot).and_then(|sending| {
            let Kind::Say { parts, .. } = &sending.piece.kind else { return None };
            let flight = sending.flight.as_ref()?;
            if parts.len() > 1 || line.command != "PRIVMSG" {
                return None;
            }
            Some((missing(&flight.text, &line.last)?, line.last.len(), flight.text.len()))
        });
        if let Some((rest, arrived, sent)) = rest {
            // The server passes on less than it should: say the rest, and shorter lines from now on.
            self.shortfall = (self.shortfall + sent - arrived).min(SHORTFALL_MAX);
            self.say_rest(spot, rest);
        }
        self.confirm(spot, key);
    }

    /// The line under way that an echo without label means.
    fn echoed(&self, conn: &Conn, line: &Line) -> Option<Spot> {
        let at = self.channel(conn, line.param(0))?;
        let fits = |piece: &Piece| match line.command.as_str() {
            "PRIVMSG" => matches!(piece.kind, Kind::Say { .. }),
            "TAGMSG" => matches!(piece.kind, Kind::React { .. }),
            "REDACT" => matches!(piece.kind, Kind::Redact),
            _ => false,
        };
        let mut candidates = self.channels[at].flights().filter(|(_, _, flight, piece)| flight.answered && fits(piece));
        let first = candidates.next()?;
        let same = |flight: &Flight| flight.text.as_bytes() == line.last;
        let found =
            if same(first.2) { first } else { candidates.find(|(_, _, flight, _)| same(flight)).unwrap_or(first) };
        Some(Spot(at, found.0, found.1))
    }

    /// `ACK` with our label: the server took it and has nothing to say.
    pub(in super::super) fn on_ack(&mut self, _conn: &mut Conn, line: &Line) {
        if let Some(spot) = self.labelled(line) {
            self.confirm(spot, None);
        }
    }

    /// `401`, `403`, `404`, `408`, `442`: a target can't be spoken to, or is none.
    pub(in super::super) fn on_refused_target(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let target = line.param(1).to_owned();
        if conn.isupport.same(&target, "NickServ") {
            self.no_services(conn, now);
            return;
        }
        let Some(at) = self.channel(conn, &target) else { return };
        let name = self.channels[at].name.clone();
        let words: String = line.trailing().chars().filter(|c| !c.is_control()).take(200).collect();
        let joined = self.channels[at].joined();
        if !joined && self.channels[at].flights().next().is_none() {
            if matches!(line.command.as_str(), "403" | "401")
                && matches!(self.channels[at].state, State::Joining { .. })
            {
                let why = format!("{} has no channel {name} ({words}): check the room's URL", self.place());
                self.block(at, why, Some(later(now, SignedDuration::from_hours(1))));
            }
            return;
        }
        if joined && matches!(line.command.as_str(), "404" | "408") && self.put_back_bare(at, line) {
            return;
        }
        let again = !joined || line.command == "442";
        if joined && line.command == "442" {
            self.channels[at].state = State::Away { at: Some(later(now, SignedDuration::from_secs(5))) };
        }
        let why = format!("{name} does not take it: {words}");
        // With answers to every line the refusal means the oldest, else it waits for the barrier.
        let spot = self.labelled(line).or_else(|| {
            let (which, piece, _, _) =
                self.channels[at].flights().next().filter(|(_, _, flight, _)| flight.answered)?;
            Some(Spot(at, which, piece))
        });
        match spot {
            Some(spot) if again => self.put_back(spot),
            Some(spot) => self.refuse(spot, why),
            None => self.channels[at].refusals.push(Refusal { why, again }),
        }
    }

    /// `411`, `412`, `417`, `461`: the server could not use a line.
    pub(in super::super) fn on_bad_line(&mut self, conn: &mut Conn, line: &Line) {
        if conn.phase != Phase::Ready {
            return;
        }
        if line.command == "417" {
            let longest = self
                .channels
                .iter()
                .flat_map(Channel::flights)
                .max_by_key(|(_, _, flight, _)| flight.bytes)
                .map(|(_, _, flight, _)| flight.ticket);
            self.shortfall = (self.shortfall + 32).min(SHORTFALL_MAX);
            if let Some(spot) = self.labelled(line).or_else(|| self.flight(|found| Some(found.ticket) == longest)) {
                self.put_back(spot);
            }
        } else if let Some(spot) = self.labelled(line) {
            self.refuse(spot, format!("the server could not use the line ({})", line.command));
        }
    }

    /// `421`: a command that some servers lack.
    pub(in super::super) fn on_unknown_delivery_command(&mut self, _conn: &mut Conn, line: &Line, _now: Timestamp) {
        let command = line.param(1).to_ascii_uppercase();
        self.on_command_failed(&command, "", line);
    }

    /// `FAIL <command> <code> [context …] :text`.
    pub(in super::super) fn on_fail(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let command = line.param(0).to_ascii_uppercase();
        match command.as_str() {
            "CHATHISTORY" => self.history_failed(conn, line, now),
            "RELAYMSG" | "REDACT" | "TAGMSG" => self.on_command_failed(&command, line.param(1), line),
            "BATCH" | "MULTILINE" => {
                conn.multiline_off = true;
                let many = |piece: &Piece| matches!(&piece.kind, Kind::Say { parts, .. } if parts.len() > 1);
                if let Some(spot) = self.labelled(line).or_else(|| self.oldest(many)) {
                    self.put_back(spot);
                }
            }
            _ => {
                if let Some(spot) = self.labelled(line) {
                    let words: String = line.trailing().chars().filter(|c| !c.is_control()).take(200).collect();
                    self.refuse(spot, format!("the server does not take it: {words}"));
                }
            }
        }
    }

    fn on_command_failed(&mut self, command: &str, code: &str, line: &Line) {
        let meant = |piece: &Piece| match command {
            "RELAYMSG" => matches!(&piece.kind, Kind::Say { by: By::Relayed(_), .. }),
            "REDACT" => matches!(piece.kind, Kind::Redact),
            "TAGMSG" => matches!(piece.kind, Kind::React { .. }),
            _ => false,
        };
        let Some(spot) = self.labelled(line).or_else(|| self.oldest(meant)) else { return };
        if command == "RELAYMSG" {
            let Spot(at, which, _) = spot;
            if code == "INVALID_NICK" {
                self.channels[at].queue[which].plain = true;
            } else {
                self.channels[at].relay_off = true;
            }
            self.put_back(spot);
        } else if self.persona.is_some() {
            // The bot may be allowed what its author is not.
            self.hand_back(spot);
        } else {
            // What the server can't do is left out.
            self.confirm(spot, None);
        }
    }

    /// A channel that blocks colours (`+c`) refuses with the words of any other refusal: a line with formatting is said
    /// once more without it, and so are those after it. Says whether there was one.
    fn put_back_bare(&mut self, at: usize, line: &Line) -> bool {
        let label = self.labelled(line);
        let spot = self.channels[at]
            .flights()
            .filter(|(_, _, flight, _)| text::formatted(&flight.text))
            .map(|(which, piece, _, _)| Spot(at, which, piece))
            .find(|spot| label.is_none_or(|label| label == *spot));
        if let Some(spot) = spot {
            self.channels[at].bare = true;
            self.put_back(spot);
        }
        spot.is_some()
    }

    fn labelled(&self, line: &Line) -> Option<Spot> {
        let ticket = line.tag("label")?.strip_prefix('s')?.parse::<u64>().ok()?;
        self.flight(|flight| flight.ticket == ticket)
    }

    fn flight(&self, is: impl Fn(&Flight) -> bool) -> Option<Spot> {
        self.channels.iter().enumerate().find_map(|(at, channel)| {
            channel.flights().find(|(_, _, flight, _)| is(flight)).map(|(which, piece, _, _)| Spot(at, which, piece))
        })
    }

    fn oldest(&self, is: impl Fn(&Piece) -> bool) -> Option<Spot> {
        self.channels
            .iter()
            .enumerate()
            .flat_map(|(at, channel)| channel.flights().map(move |found| (at, found)))
            .filter(|(_, (_, _, _, piece))| is(piece))
            .min_by_key(|(_, (_, _, flight, _))| flight.ticket)
            .map(|(at, (which, piece, _, _))| Spot(at, which, piece))
    }

    fn sending(&self, Spot(at, which, piece): Spot) -> Option<&Sending> {
        self.channels.get(at)?.queue.get(which)?.pieces.as_ref()?.get(piece)
    }

    pub(super) fn confirm(&mut self, Spot(at, which, piece): Spot, key: Option<MessageKey>) {
        let pending = &mut self.channels[at].queue[which];
        if pending.pieces.as_mut().and_then(|pieces| pieces.remove(piece)).is_some() {
            pending.confirmed += 1;
            pending.keys.extend(key);
        }
    }

    /// The delivery is refused: what of it was not sent yet never is. What is under way is waited for, so that its
    /// answers are not taken for those of others.
    pub(super) fn refuse(&mut self, Spot(at, which, piece): Spot, why: String) {
        if self.persona.is_some() {
            self.channels[at].mute = true;
            self.hand_back(Spot(at, which, piece));
            return;
        }
        let pending = &mut self.channels[at].queue[which];
        if let Some(pieces) = pending.pieces.as_mut() {
            pieces.remove(piece);
            pieces.retain(|sending| sending.flight.is_some());
        }
        pending.refused.get_or_insert(why);
    }

    /// Not taken from its author: the bot is to say it.
    fn hand_back(&mut self, spot: Spot) {
        let Spot(at, which, _) = spot;
        self.put_back(spot);
        self.channels[at].queue[which].handed_back = true;
    }

    /// To be sent again.
    pub(super) fn put_back(&mut self, Spot(at, which, piece): Spot) {
        let pending = &mut self.channels[at].queue[which];
        if pending.refused.is_some() {
            if let Some(pieces) = pending.pieces.as_mut() {
                pieces.remove(piece);
            }
        } else if let Some(sending) = pending.pieces.as_mut().and_then(|pieces| pieces.get_mut(piece)) {
            sending.flight = None;
        }
    }

    /// Puts the rest of a piece behind it.
    fn say_rest(&mut self, Spot(at, which, piece): Spot, rest: String) {
        let pieces = self.channels[at].queue[which].pieces.as_mut();
        if let Some(pieces) = pieces
            && let Some(Piece { kind: Kind::Say { lead, by, action, .. }, .. }) =
                pieces.get(piece).map(|sending| sending.piece.clone())
        {
            let parts = vec![text::Part { text: rest, concat: false }];
            let piece_of_rest = Piece { kind: Kind::Say { lead, parts, by, action }, about: None };
            pieces.insert(piece + 1, Sending { piece: piece_of_rest, flight: None });
        }
    }
}

/// What an echo lacks of what was sent, with the formatting that was open where it was cut.
fn missing(sent: &str, echo: &[u8]) -> Option<String> {
    if echo.len() >= sent.len() || !sent.as_bytes().starts_with(echo) {
        return None;
    }
    let mut cut = echo.len();
    while !sent.is_char_boundary(cut) {
        cut -= 1;
    }
    let (before, rest) = sent.split_at(cut);
    let rest = rest.trim_end_matches('\u{1}');
    let blank = rest.chars().all(|c| c.is_whitespace() || c.is_control());
    // An echo that has next to nothing in common says nothing about length.
    (!blank && !before.is_empty()).then(|| text::open_codes(before) + rest)
}
