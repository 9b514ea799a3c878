//! Who speaks in a room: the line of its deliveries, and whose turn it is. It must not know when a connection may be
//! opened.

use std::collections::VecDeque;

use sameroom_model::{Action, Delivery, DeliveryId, RoomKey, SignedDuration, Timestamp};

use super::super::later;
use super::super::persona::Stands;
use super::super::sending::Pending;
use super::who::Who;
use super::{LinkId, Puppeteer};
use crate::{Input, Joined};

/// How long somebody's words wait for their connection, at most.
const PATIENCE: SignedDuration = SignedDuration::from_secs(3);
/// How long a puppet is silent in a room where it was refused.
const SILENT: SignedDuration = SignedDuration::from_mins(10);

/// A room and what is to be said there.
pub(super) struct Room {
    joined: Joined,
    line: VecDeque<Box<Delivery>>,
    floor: Floor,
    /// Until when the first in the line waits for its author's connection.
    waits: Option<Timestamp>,
}

/// Who speaks in a room.
enum Floor {
    /// Nobody.
    Free,
    /// The bot, which was given these.
    Bot(VecDeque<DeliveryId>),
    /// A puppet, which was given one.
    Puppet(LinkId, DeliveryId),
}

/// Who is to say something.
enum Speaker {
    Bot,
    Puppet(LinkId),
    /// Nobody before then; `None`: before the bot is there.
    Wait(Option<Timestamp>),
}

impl Room {
    pub(super) fn new(joined: &Joined) -> Self {
        Self { joined: joined.clone(), line: VecDeque::new(), floor: Floor::Free, waits: None }
    }

    /// The same room, as it is now.
    pub(super) fn told(self, joined: &Joined) -> Self {
        Self { joined: joined.clone(), ..self }
    }

    pub(super) fn key(&self) -> &RoomKey {
        &self.joined.key
    }

    /// As a puppet is told of it: what was seen there is not its business.
    pub(super) fn joined(&self) -> Joined {
        Joined { seen: None, ..self.joined.clone() }
    }

    pub(super) fn push(&mut self, delivery: Box<Delivery>) {
        self.line.push_back(delivery);
    }

    /// What nobody was given.
    pub(super) fn drain(&mut self) -> VecDeque<Box<Delivery>> {
        std::mem::take(&mut self.line)
    }

    /// The puppet that speaks.
    pub(super) fn puppet(&self) -> Option<LinkId> {
        match self.floor {
            Floor::Puppet(link, _) => Some(link),
            Floor::Free | Floor::Bot(_) => None,
        }
    }

    pub(super) fn wakes(&self) -> Option<Timestamp> {
        self.waits.filter(|_| !self.line.is_empty())
    }

    /// One is settled, by that connection: the floor may be free.
    pub(super) fn settled(rooms: &mut [Self], by: LinkId, id: &DeliveryId) {
        for room in rooms {
            match &mut room.floor {
                Floor::Bot(given) if by == LinkId::MAIN => {
                    given.retain(|given| given != id);
                    if given.is_empty() {
                        room.floor = Floor::Free;
                    }
                }
                Floor::Puppet(link, given) if *link == by && given == id => room.floor = Floor::Free,
                _ => {}
            }
        }
    }
}

impl Puppeteer {
    /// Hands out what can be said now, and takes back what can't be said where it was given.
    pub(super) fn hand_out(&mut self, now: Timestamp) {
        loop {
            let mut moved = false;
            for at in 0..self.rooms.len() {
                moved |= self.reconsider(at, now);
                moved |= self.next_in(at, now);
            }
            if !moved {
                return;
            }
        }
    }

    /// The first in a room's line goes to whoever is to say it, if the floor is theirs to have.
    fn next_in(&mut self, at: usize, now: Timestamp) -> bool {
        self.rooms[at].waits = None;
        if self.rooms[at].puppet().is_some() {
            return false;
        }
        let Some(first) = self.rooms[at].line.pop_front() else { return false };
        let speaker = self.speaker(at, &first, now);
        let room = &mut self.rooms[at];
        let link = match (speaker, &mut room.floor) {
            (Speaker::Bot, Floor::Bot(given)) => {
                given.push_back(first.id.clone());
                LinkId::MAIN
            }
            (Speaker::Bot, floor @ Floor::Free) => {
                *floor = Floor::Bot(VecDeque::from([first.id.clone()]));
                LinkId::MAIN
            }
            (Speaker::Puppet(link), floor @ Floor::Free) => {
                *floor = Floor::Puppet(link, first.id.clone());
                link
            }
            (Speaker::Wait(until), _) => {
                room.waits = until;
                room.line.push_front(first);
                return false;
            }
            // Who spoke before has not finished.
            (Speaker::Bot | Speaker::Puppet(_), _) => {
                room.line.push_front(first);
                return false;
            }
        };
        self.places.speaks(link, now);
        self.feed(link, Input::Deliver(first), now);
        true
    }

    /// Who is to say this.
    fn speaker(&mut self, at: usize, delivery: &Delivery, now: Timestamp) -> Speaker {
        let key = self.rooms[at].key().clone();
        match self.bot.stands(&key) {
            Stands::In => {}
            // Where nobody listens nobody speaks.
            Stands::Waiting => return Speaker::Wait(None),
            // It says why not.
            Stands::Out => return Speaker::Bot,
        }
        let who = self.bot.nick_for(&delivery.shown).and_then(|nick| Who::of(delivery, nick));
        let Some(who) = who else { return Speaker::Bot };
        let link = match self.places.of(&who) {
            Some(link) => link,
            // For these alone nobody comes.
            None if !matches!(delivery.action, Action::Post { .. } | Action::Edit { .. }) => return Speaker::Bot,
            None => match self.open_for(who, &delivery.shown, &key, now) {
                Some(link) => link,
                None => return Speaker::Bot,
            },
        };
        let Some(since) = self.enter(link, &key, now) else { return Speaker::Bot };
        let Some(puppet) = self.places.puppets.get(&link) else { return Speaker::Bot };
        match puppet.session.stands(&key) {
            Stands::In => Speaker::Puppet(link),
            Stands::Waiting if now < later(since, PATIENCE) => Speaker::Wait(Some(later(since, PATIENCE))),
            Stands::Waiting | Stands::Out => Speaker::Bot,
        }
    }

    /// What a puppet was given and can't say is the bot's to say.
    fn reconsider(&mut self, at: usize, now: Timestamp) -> bool {
        let room = &self.rooms[at];
        let Some(link) = room.puppet() else { return false };
        let key = room.key().clone();
        let Some(puppet) = self.places.puppets.get_mut(&link) else { return false };
        if !puppet.session.gives_up(&key) {
            return false;
        }
        if puppet.session.is_mute(&key) {
            puppet.silent.insert(key.clone(), later(now, SILENT));
        }
        match self.take_back(link, &key) {
            Some(pending) => self.bot_goes_on(at, pending, now),
            None => self.rooms[at].floor = Floor::Free,
        }
        true
    }

    pub(super) fn take_back(&mut self, link: LinkId, room: &RoomKey) -> Option<Pending> {
        self.places.puppets.get_mut(&link)?.session.take_back(room)
    }

    /// The bot says what another connection did not, or not to the end.
    pub(super) fn bot_goes_on(&mut self, at: usize, pending: Pending, now: Timestamp) {
        let id = pending.delivery.id.clone();
        match self.bot.go_on_with(pending) {
            Ok(()) => {
                self.rooms[at].floor = Floor::Bot(VecDeque::from([id]));
                self.feed(LinkId::MAIN, Input::Wake, now);
            }
            Err(pending) => {
                self.rooms[at].floor = Floor::Free;
                let outcome = pending.interrupted("its author's connection was lost");
                self.settle(id, outcome);
            }
        }
    }

    /// A connection is gone, or about to go: what it was given is the bot's to say.
    pub(super) fn take_over(&mut self, link: LinkId, session: &mut super::IrcSession, now: Timestamp) {
        for at in 0..self.rooms.len() {
            if self.rooms[at].puppet() == Some(link) {
                let key = self.rooms[at].key().clone();
                match session.take_back(&key) {
                    Some(pending) => self.bot_goes_on(at, pending, now),
                    None => self.rooms[at].floor = Floor::Free,
                }
            }
        }
    }
}
