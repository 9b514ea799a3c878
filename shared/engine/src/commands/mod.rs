//! Commands that people type in their rooms. What is asked is read in `parse`, what is said in return is worded in
//! `answers`; each group of commands has a file of its own. Neither a command nor its answer ever leaves its room.
//!
//! A command that is cut short by a crash is obeyed again from its start, so each made twice has one effect: what it
//! changes is changed by conditional commits, and its answer goes with the commit that settles the event.

mod answers;
mod around;
mod chart;
mod codes;
mod format;
mod limits;
mod parse;
mod ping;
mod portal;
mod rules;

use sameroom_model::{Event, EventKind, Identity, Lane, Room, RoomRef, Text, Timestamp};
use sameroom_platforms::RoomDraft;

use crate::accounts::Open;
use crate::ports::{Commit, Key, Unavailable, Write};
use crate::{Engine, keys, rows};
use limits::Limit;
use parse::{Command, Mistake};

pub(crate) use ping::pong;
pub use rules::{CommandRules, Who};

/// How many commands are answered in a minute, of a room and of a person in it. Some commands have limits of their own.
const OF_A_ROOM: u32 = 30;
const OF_A_PERSON: u32 = 15;
/// A command that was given longer than this before we heard of it is not obeyed, in milliseconds: a platform told its
/// history, and whoever asked has long since gone on.
const OLD_MS: i64 = 2 * 60_000;

/// What a message asks of us, understood or not.
pub(crate) type Asked = Result<Command, Mistake>;

/// A message that is for us.
pub(crate) enum Heard {
    /// It reads like a command, and must not be obeyed.
    Nothing,
    /// Somebody asks something.
    Asked(Asked),
}

/// What a command came to: what is said in its room, and what is written in the same transaction.
#[derive(Default)]
pub(crate) struct Reply {
    lines: Vec<String>,
    writes: Vec<Write>,
    round: Option<ping::Round>,
}

impl Reply {
    fn line(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], ..Self::default() }
    }

    fn lines(lines: Vec<String>) -> Self {
        Self { lines, ..Self::default() }
    }
}

/// Whether an event, no echo of ours, is for us rather than for people. People alone give commands, and only by saying
/// them: what a program writes, and what a message is edited into, is not obeyed, and does not cross either.
pub(crate) fn heard(event: &Event, open: Option<&Open>) -> Option<Heard> {
    let (message, said) = match &event.kind {
        EventKind::Posted(message) => (message, true),
        EventKind::Edited(message) => (message, false),
        _ => return None,
    };
    let nobody = Identity::default();
    let us = open.map_or(&nobody, |open| &open.opened.account.identity);
    let asked = parse::read(&message.body, us)?;
    let person = event.author.as_ref().is_some_and(|author| !author.bot);
    Some(if said && person && !message.emote { Heard::Asked(asked) } else { Heard::Nothing })
}

/// Whether a command comes too late to be obeyed.
pub(crate) fn too_old(event: &Event, accepted: Timestamp) -> bool {
    accepted.as_millisecond() - event.at.as_millisecond() > OLD_MS
}

impl Engine {
    /// Does what is asked.
    pub(crate) async fn obey(&self, event: &Event, asked: &Asked) -> Result<Reply, Unavailable> {
        if let Some(reply) = self.too_many(event).await? {
            return Ok(reply);
        }
        let command = match asked {
            _ if !self.inner.config.commands.enabled => return Ok(Reply::line(answers::SWITCHED_OFF)),
            Ok(command) => command,
            Err(mistake) => return Ok(Reply::lines(answers::mistake(mistake))),
        };
        tracing::debug!(account = %event.room.account, command = command.name(), "a command");
        if let Some(refusal) = self.refusal(event, command) {
            return Ok(Reply::line(refusal));
        }
        match command {
            Command::Help => Ok(Reply::lines(answers::help())),
            Command::Ping => self.ping(event).await,
            Command::Map => self.chart_of(event).await,
            Command::Open => self.open_code(event).await,
            Command::Connect(parse::Key::Code(code)) => self.connect_by_code(event, code).await,
            Command::Connect(parse::Key::Portal(token)) => self.connect_by_portal(event, token).await,
            Command::Portal => self.portal_of(event).await,
            Command::Format(format) => self.format(event, *format).await,
            Command::Disable => self.disable(event).await,
        }
    }

    /// Adds to a commit what a command came to.
    pub(crate) async fn reply(&self, event: &Event, reply: &Reply, commit: &mut Commit) -> Result<(), Unavailable> {
        commit.writes.extend(reply.writes.iter().cloned());
        if let Some(round) = &reply.round {
            self.send_round(round, commit).await?;
        }
        if reply.lines.is_empty() {
            return Ok(());
        }
        let here = Lane { from: event.room.clone(), to: event.room.clone() };
        let id = format!("answer-{}", event.id).into();
        self.say(here, id, &Text::plain(&reply.lines.join("\n")), commit).await
    }

    /// What is said where too much is asked: once, and then nothing until the minute is over.
    async fn too_many(&self, event: &Event) -> Result<Option<Reply>, Unavailable> {
        let (account, room) = (event.room.account.as_str(), event.room.key.as_str());
        let who = event.author.as_ref().map_or("", |author| author.key.as_str());
        let asked = [
            Limit { what: "commands", of: vec![account, room], max: OF_A_ROOM },
            Limit { what: "commands-by", of: vec![account, room, who], max: OF_A_PERSON },
        ];
        if self.within(&asked).await? {
            return Ok(None);
        }
        let told = [Limit { what: "commands-told", of: vec![account, room], max: 1 }];
        let first = self.within(&told).await?;
        Ok(Some(if first { Reply::line(answers::TOO_MANY_COMMANDS) } else { Reply::default() }))
    }

    /// Why somebody may not do that, if so.
    fn refusal(&self, event: &Event, command: &Command) -> Option<String> {
        let rules = &self.inner.config.commands;
        let who = match command {
            Command::Open | Command::Connect(_) | Command::Portal => &rules.connect,
            Command::Disable => &rules.disable,
            Command::Format(format) if *format != parse::Format::Show => &rules.format,
            Command::Help | Command::Ping | Command::Map | Command::Format(_) => return None,
        };
        let may = who.allows(event.room.account.as_str(), event.author.as_ref());
        (!may).then(|| answers::refusal(who, rules.ask.as_deref()))
    }

    /// Removes every Tube of the room. Both sides are told of each.
    async fn disable(&self, event: &Event) -> Result<Reply, Unavailable> {
        let closed = self.disable_room(&event.room).await?;
        Ok(Reply::line(answers::disabled(closed)))
    }

    /// The room that a command was given in. One that nobody has added, but that its account hears, is added: somebody
    /// there wants it connected.
    async fn here(&self, at: &RoomRef) -> Result<Room, Unavailable> {
        if let Some(room) = self.room(at).await? {
            return Ok(room);
        }
        let known = self.known_room(at).await?.unwrap_or_default();
        // It is where the account's other rooms are.
        let partition = keys::account(&at.account).partition;
        let sibling = self.inner.store.query(&partition, keys::ROOM, None, 1).await?.into_iter().next();
        let site = match sibling {
            Some((sort, row)) => {
                let sibling: RoomRef = rows::decode(&Key { partition, sort }, &row)?.value;
                self.room(&sibling).await?.map(|room| room.site)
            }
            None => None,
        };
        let draft = RoomDraft {
            key: at.key.clone(),
            name: if known.name.is_empty() { at.key.to_string() } else { known.name },
            site: site.or(known.team).unwrap_or_else(|| at.account.to_string()),
            settings: serde_json::Value::Null,
        };
        self.add_room(&at.account, &draft).await
    }
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Ping => "ping",
            Self::Map => "map",
            Self::Open => "open",
            Self::Connect(_) => "connect",
            Self::Portal => "portal",
            Self::Format(_) => "format",
            Self::Disable => "disable",
        }
    }
}
