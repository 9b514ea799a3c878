//! Lines that belong together, and lines of the past: batches, multi-line messages, and the gap that an outage left,
//! fetched from servers that keep history.
//!
//! Sources: <https://ircv3.net/specs/extensions/batch>, <https://ircv3.net/specs/extensions/multiline>,
//! <https://ircv3.net/specs/extensions/chathistory>.

use sameroom_model::{Event, EventKind, SignedDuration, Timestamp};

use super::super::codec::Line;
use super::{Conn, IrcSession, later};
use crate::Output;

/// The most batches open at once.
const OPEN_MAX: usize = 32;
/// The most lines and bytes that are kept of one batch.
const LINES_MAX: usize = 1000;
const BYTES_MAX: usize = 512 * 1024;
/// How many messages are asked for at once.
const PAGE: usize = 100;
/// The most pages of one gap; a longer one is told from its beginning.
const PAGES_MAX: u32 = 20;
/// How long the server may take for a page. What came in meanwhile waits no longer.
const WAIT: SignedDuration = SignedDuration::from_secs(30);
/// The most events that wait for history.
const HELD_MAX: usize = 1000;

/// A batch that is open.
pub(super) struct Batch {
    kind: String,
    target: String,
    /// The line that opened it.
    opening: Line,
    lines: Vec<Line>,
    bytes: usize,
}

/// What the batch around a line says about it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around {
    /// It comes of a netsplit, or of its end.
    pub(super) netsplit: bool,
}

/// A gap that is being filled.
pub(super) struct Fill {
    /// When to go on without the server's answer.
    pub(super) until: Timestamp,
    pages: u32,
    limit: usize,
    /// Whether the next request goes by time, since the server no longer knows the msgid.
    by_time: bool,
    held: Vec<(Event, Option<String>)>,
}

impl Fill {
    /// Keeps an event until history is told. When too many wait, the oldest order is given up rather than an event.
    pub(super) fn hold(&mut self, event: Event, mark: Option<String>) {
        self.held.push((event, mark));
        if self.held.len() >= HELD_MAX {
            self.until = Timestamp::MIN;
        }
    }
}

impl IrcSession {
    /// Takes a line that belongs to a batch out of the stream, or gives the line its batch's label. `None`: the batch
    /// has it now.
    pub(super) fn unbatch(conn: &mut Conn, line: &mut Line, _now: Timestamp) -> Option<Around> {
        let mut around = Around::default();
        let Some(mut id) = line.tag("batch").map(str::to_owned) else { return Some(around) };
        // BATCH lines keep their place: the batch that they open or close knows its parent.
        let nested = line.command == "BATCH";
        for _ in 0..OPEN_MAX {
            let Some(batch) = conn.batches.get_mut(&id) else { break };
            match batch.kind.as_str() {
                "draft/multiline" | "multiline" | "chathistory" | "draft/chathistory" if !nested => {
                    let bytes = line.last.len() + 64;
                    if batch.lines.len() < LINES_MAX && batch.bytes + bytes <= BYTES_MAX {
                        batch.bytes += bytes;
                        batch.lines.push(line.clone());
                    }
                    return None;
                }
                "znc.in/playback" => return None,
                "netsplit" | "netjoin" => around.netsplit = true,
                _ => {}
            }
            if let (Some(label), None) = (batch.opening.tags.get("label"), line.tags.get("label")) {
                line.tags.insert("label".to_owned(), label.clone());
            }
            match batch.opening.tag("batch") {
                Some(parent) => id = parent.to_owned(),
                None => break,
            }
        }
        Some(around)
    }

    /// `BATCH +id type [params]` and `BATCH -id`.
    pub(super) fn on_batch(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let reference = line.param(0);
        if let Some(id) = reference.strip_prefix('+') {
            if conn.batches.len() < OPEN_MAX {
                let batch = Batch {
                    kind: line.param(1).to_owned(),
                    target: line.param(2).to_owned(),
                    opening: line.clone(),
                    lines: Vec::new(),
                    bytes: 0,
                };
                conn.batches.insert(id.to_owned(), batch);
            }
        } else if let Some(batch) = reference.strip_prefix('-').and_then(|id| conn.batches.remove(id)) {
            match batch.kind.as_str() {
                "draft/multiline" | "multiline" => self.on_multiline(conn, batch, now),
                "chathistory" | "draft/chathistory" => self.on_history(conn, &batch, now),
                _ => {}
            }
        }
    }

    /// The lines of a multi-line message become one, with the tags of the batch.
    fn on_multiline(&mut self, conn: &mut Conn, batch: Batch, now: Timestamp) {
        let Some(first) = batch.lines.first() else { return };
        let mut words = String::new();
        for (i, line) in batch.lines.iter().enumerate() {
            let concat = line.tags.contains_key("draft/multiline-concat") || line.tags.contains_key("multiline-concat");
            if i > 0 && !concat {
                words.push('\n');
            }
            words.push_str(line.trailing());
        }
        let mut tags = first.tags.clone();
        tags.remove("batch");
        tags.extend(batch.opening.tags.clone());
        let mut whole = Line {
            tags,
            source: batch.opening.source.clone().filter(|source| !source.nick.is_empty()).or(first.source.clone()),
            command: first.command.clone(),
            params: vec![batch.target, words],
            last: Vec::new(),
        };
        if Self::unbatch(conn, &mut whole, now).is_some() {
            self.on_words(conn, &whole, now);
        }
    }

    /// After a JOIN: asks for what was said since the last message that we saw.
    pub(super) fn fill_gap(&mut self, conn: &mut Conn, at: usize, join: &Line, now: Timestamp) {
        if !keeps_history(conn) || self.persona.is_some() {
            return;
        }
        if self.channels[at].seen.is_none() {
            // Before our first JOIN nothing is missing; after it everything would be.
            self.tell_seen(at, join.tag("time").map(str::to_owned));
            return;
        }
        let most = conn.isupport.chathistory;
        let limit = if most == 0 { PAGE } else { most.min(PAGE) };
        let fill = Fill { until: later(now, WAIT), pages: 0, limit, by_time: false, held: Vec::new() };
        self.channels[at].fill = Some(fill);
        self.next_page(conn, at, now);
    }

    fn next_page(&mut self, conn: &mut Conn, at: usize, now: Timestamp) {
        let channel = &mut self.channels[at];
        let Some(fill) = channel.fill.as_mut() else { return };
        let mark = channel.seen.as_deref().unwrap_or_default();
        let (time, msgid) = mark.split_once(' ').unwrap_or((mark, ""));
        let from = match (msgid, fill.by_time) {
            ("", _) | (_, true) => format!("timestamp={time}"),
            (msgid, false) => format!("msgid={msgid}"),
        };
        fill.pages += 1;
        fill.until = later(now, WAIT);
        let (name, limit) = (channel.name.clone(), fill.limit.to_string());
        conn.control("CHATHISTORY", &["AFTER", &name, &from, &limit], None);
    }

    /// A page of history. One that we did not ask for is a server's or bouncer's playback, and is left aside.
    fn on_history(&mut self, conn: &mut Conn, batch: &Batch, now: Timestamp) {
        let Some(at) = self.channel(conn, &batch.target) else { return };
        let Some(limit) = self.channels[at].fill.as_ref().map(|fill| fill.limit) else { return };
        let full = batch.lines.len() >= limit;
        let before = self.channels[at].seen.clone();
        for line in &batch.lines {
            conn.lines += 1;
            let kin = |nick: &str| self.kin.has(&conn.isupport.fold(nick), now) || self.looks_like_kin(nick);
            let ours = line.nick().is_some_and(|nick| conn.is_me(nick) || kin(nick))
                || line.tag("draft/relaymsg").is_some_and(|by| conn.is_me(by));
            if !ours && let Some(event) = self.event(conn, at, line, now) {
                let mark = Self::mark(conn, line, &event, now);
                self.tell_event(event);
                self.tell_seen(at, mark);
            } else if let Some(mark) = mark_of(line) {
                // Not told: what came in meanwhile, and waits, may be older.
                self.channels[at].seen = Some(mark);
            }
        }
        let pages = self.channels[at].fill.as_ref().map_or(PAGES_MAX, |fill| fill.pages);
        if full && pages < PAGES_MAX && self.channels[at].seen != before {
            self.next_page(conn, at, now);
        } else {
            self.filled(at);
        }
    }

    /// `FAIL CHATHISTORY <code> …`: by time, if it was the msgid that the server does not know; else without.
    pub(super) fn history_failed(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let named = line.params.iter().find_map(|param| self.channel(conn, param));
        let filling = |at: &usize| self.channels[*at].fill.is_some();
        let Some(at) = named.filter(|at| filling(at)).or_else(|| (0..self.channels.len()).find(filling)) else {
            return;
        };
        let retry = self.channels[at].fill.as_mut().is_some_and(|fill| !std::mem::replace(&mut fill.by_time, true));
        let has_msgid = self.channels[at].seen.as_deref().is_some_and(|mark| mark.contains(' '));
        if retry && has_msgid && line.param(1) != "INVALID_TARGET" {
            self.next_page(conn, at, now);
        } else {
            self.filled(at);
        }
    }

    /// What came in while history was fetched is told after it.
    fn filled(&mut self, at: usize) {
        let Some(fill) = self.channels[at].fill.take() else { return };
        for (event, mark) in fill.held {
            self.tell_event(event);
            self.tell_seen(at, mark);
        }
    }

    pub(super) fn history_tick(&mut self, _conn: &mut Conn, now: Timestamp) {
        for at in 0..self.channels.len() {
            if self.channels[at].fill.as_ref().is_some_and(|fill| now >= fill.until) {
                self.filled(at);
            }
        }
    }

    /// A message of our own, over another connection: it is seen, though not told.
    pub(super) fn pass_over(&mut self, conn: &Conn, line: &Line) {
        if let Some(at) = self.channel(conn, line.param(0))
            && keeps_history(conn)
            && self.channels[at].fill.is_none()
        {
            self.tell_seen(at, mark_of(line));
        }
    }

    /// The mark of a message, on servers that keep history.
    pub(super) fn mark(conn: &Conn, line: &Line, event: &Event, _now: Timestamp) -> Option<String> {
        if !keeps_history(conn) || !matches!(event.kind, EventKind::Posted(_)) {
            return None;
        }
        mark_of(line)
    }

    pub(super) fn tell_seen(&mut self, at: usize, mark: Option<String>) {
        if let Some(mark) = mark {
            let channel = &mut self.channels[at];
            channel.seen = Some(mark.clone());
            let key = channel.key.clone();
            self.out.push_back(Output::Seen { key, mark });
        }
    }
}

/// Time and msgid of a line, as far as they are told.
fn mark_of(line: &Line) -> Option<String> {
    let time = line.tag("time")?;
    if time.contains(' ') || time.len() > 64 {
        return None;
    }
    Some(match line.tag("msgid").filter(|msgid| !msgid.contains(' ') && msgid.len() <= 256) {
        Some(msgid) => format!("{time} {msgid}"),
        None => time.to_owned(),
    })
}

fn keeps_history(conn: &Conn) -> bool {
    conn.caps.on("draft/chathistory") && conn.caps.on("batch") && conn.caps.on("server-time")
}
