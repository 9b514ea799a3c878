//! People who speak over connections of their own, under nicks of their own, beside the account's connection, the bot:
//! "puppets". Only where the owner asked for them (`puppets=N`), since networks limit connections from one address, and
//! operators want to be asked.
//!
//! The bot reads, and alone: what puppets see is not told again, and what they say is no news to it. A room's
//! deliveries stay in one line. Over a puppet goes one at a time, and who speaks changes once all is settled, so that
//! the order holds over all connections. What a puppet can't say, or not soon, the bot says, with the author before it:
//! no word waits long for a connection, and none is lost with one.
//!
//! This file is the whole as one [`Session`]; who speaks is decided in `floor`, who has a connection in `places`. It
//! must not know lines.

mod floor;
mod places;
mod who;

use std::collections::VecDeque;

use sameroom_model::{AccountState, Delivery, DeliveryId, Opened, Outcome, RoomKey, Sent, Timestamp};

use self::floor::Room;
use self::places::Places;
use super::super::settings::Settings;
use super::IrcSession;
use super::random::Random;
use crate::{Input, Joined, LinkId, Output, Session};

/// The account's connection and those of people.
pub(in super::super) struct Puppeteer {
    account: Opened,
    bot: IrcSession,
    rooms: Vec<Room>,
    places: Places,
    random: Random,
    out: VecDeque<Output>,
    /// What was last heard of the bot, and what was last told of the account.
    bot_state: Option<AccountState>,
    told_state: Option<AccountState>,
    stopping: bool,
    stopped: bool,
}

impl Puppeteer {
    /// The session of an account that has puppets.
    pub(in super::super) fn new(account: &Opened, seed: u128) -> Self {
        let settings = Settings::of(&account.account.settings);
        Self {
            account: account.clone(),
            bot: IrcSession::new(account, seed),
            rooms: Vec::new(),
            places: Places::new(&settings),
            random: Random::new(seed ^ 1 << 127),
            out: VecDeque::new(),
            bot_state: None,
            told_state: None,
            stopping: false,
            stopped: false,
        }
    }

    /// Gives one connection an input, then takes what it says.
    fn feed(&mut self, link: LinkId, input: Input<'_>, now: Timestamp) {
        if link == LinkId::MAIN {
            self.bot.handle(input, now);
            while let Some(output) = self.bot.poll() {
                self.bot_says(output);
            }
            return;
        }
        let Some(puppet) = self.places.puppets.get_mut(&link) else { return };
        puppet.session.handle(input, now);
        let mut gone = false;
        while let Some(output) = puppet.session.poll() {
            match output {
                Output::Open(_, dial) => self.out.push_back(Output::Open(link, dial)),
                Output::Send(_, bytes) => self.out.push_back(Output::Send(link, bytes)),
                Output::Close(_) => self.out.push_back(Output::Close(link)),
                Output::Settled { id, outcome } => {
                    Room::settled(&mut self.rooms, link, &id);
                    self.out.push_back(Output::Settled { id, outcome });
                }
                Output::Stopped => gone = true,
                // The bot tells all of this, or it concerns this one alone.
                _ => {}
            }
        }
        let nick = puppet.session.folded_nick();
        if nick != puppet.nick {
            let old = std::mem::replace(&mut puppet.nick, nick.clone());
            if let Some(old) = old {
                self.bot.kin.gone(old, now);
            }
            if let Some(new) = nick {
                self.bot.kin.came(new, now);
            }
        }
        if gone || puppet.session.is_over() {
            self.lost(link, now);
        } else if self.places.welcomed(link) {
            self.tell_state();
        }
    }

    fn bot_says(&mut self, output: Output) {
        match output {
            Output::Settled { id, outcome } => {
                Room::settled(&mut self.rooms, LinkId::MAIN, &id);
                self.out.push_back(Output::Settled { id, outcome });
            }
            Output::State(state) => {
                self.bot_state = Some(state);
                self.tell_state();
            }
            // The last of all is said once all are gone.
            Output::Stopped => {}
            other => self.out.push_back(other),
        }
    }

    /// The account fares as its bot does; if that is well, the owner hears why people have no connections.
    fn tell_state(&mut self) {
        let state = match (&self.bot_state, self.places.trouble()) {
            (Some(AccountState::Ok), Some(why)) => AccountState::Trouble(why.to_owned()),
            (Some(state), _) => state.clone(),
            (None, _) => return,
        };
        if self.told_state.as_ref() != Some(&state) {
            self.told_state = Some(state.clone());
            self.out.push_back(Output::State(state));
        }
    }

    fn tell_rooms(&mut self, joined: Vec<Joined>, now: Timestamp) {
        let mut old = std::mem::take(&mut self.rooms);
        for room in &joined {
            let known = old.iter().position(|old| old.key() == &room.key).map(|at| old.swap_remove(at));
            self.rooms.push(match known {
                Some(known) => known.told(room),
                None => Room::new(room),
            });
        }
        // What the bot was given of rooms that are gone it settles by itself, and before what is behind it.
        self.feed(LinkId::MAIN, Input::Rooms(joined), now);
        let why = "the room is no longer among those of this connection";
        for mut room in old {
            if let Some(link) = room.puppet()
                && let Some(pending) = self.take_back(link, room.key())
            {
                let outcome = pending.interrupted(why);
                self.settle(pending.delivery.id.clone(), outcome);
            }
            for delivery in room.drain() {
                self.settle(delivery.id, not_sent(why));
            }
            self.leave_room(room.key(), now);
        }
    }

    fn settle(&mut self, id: DeliveryId, outcome: Outcome) {
        self.out.push_back(Output::Settled { id, outcome });
    }

    fn deliver(&mut self, delivery: Box<Delivery>, now: Timestamp) {
        match self.rooms.iter_mut().find(|room| *room.key() == delivery.lane.to.key) {
            Some(room) if !self.stopped => room.push(delivery),
            // It knows what to say of rooms that are none of ours.
            _ => self.feed(LinkId::MAIN, Input::Deliver(delivery), now),
        }
    }

    fn stop(&mut self, now: Timestamp) {
        self.stopping = true;
        self.feed(LinkId::MAIN, Input::Stop, now);
        for link in self.places.links() {
            self.feed(link, Input::Stop, now);
        }
    }

    /// Ends once every connection is gone.
    fn stop_tick(&mut self) {
        if !self.stopping || self.stopped || !self.bot.stopped || !self.places.puppets.is_empty() {
            return;
        }
        let waiting: Vec<_> = self.rooms.iter_mut().flat_map(Room::drain).collect();
        for delivery in waiting {
            self.settle(delivery.id, not_sent("the connection was closed by us"));
        }
        self.stopped = true;
        self.out.push_back(Output::Stopped);
    }
}

impl Session for Puppeteer {
    fn handle(&mut self, input: Input<'_>, now: Timestamp) {
        match input {
            Input::Rooms(joined) if !self.stopped => self.tell_rooms(joined, now),
            Input::Deliver(delivery) => self.deliver(delivery, now),
            Input::Opened(link) | Input::Received(link, _) | Input::Closed(link, _) => self.feed(link, input, now),
            Input::Stop if !self.stopping => self.stop(now),
            Input::Rooms(_) | Input::Wake | Input::Answered(_) | Input::Stop => {}
        }
        if self.stopped {
            return;
        }
        // Whom time alone concerns.
        let due = |wakes: Option<Timestamp>| wakes.is_some_and(|at| at <= now);
        if due(self.bot.wakes_at()) {
            self.feed(LinkId::MAIN, Input::Wake, now);
        }
        for link in self.places.links() {
            if due(self.places.puppets.get(&link).and_then(|puppet| puppet.session.wakes_at())) {
                self.feed(link, Input::Wake, now);
            }
        }
        if !self.stopping {
            self.tend(now);
            self.hand_out(now);
            // Who went meanwhile has left a place, and who came may want that of another.
            while std::mem::take(&mut self.places.stirred) {
                self.tend(now);
                self.hand_out(now);
            }
        }
        self.stop_tick();
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn wakes_at(&self) -> Option<Timestamp> {
        if self.stopped {
            return None;
        }
        let own = self.rooms.iter().filter_map(Room::wakes).chain(self.places.wakes());
        let own = own.filter(|_| !self.stopping);
        let puppets = self.places.puppets.values().filter_map(|puppet| puppet.session.wakes_at());
        self.bot.wakes_at().into_iter().chain(puppets).chain(own).min()
    }
}

/// What becomes of what nobody was given.
fn not_sent(why: &str) -> Outcome {
    Outcome::Retry { after: None, why: why.to_owned(), sent: Sent::No }
}

/// The rooms of one puppet, as it is told them.
fn joined_of(rooms: &[Room], keys: &[RoomKey]) -> Vec<Joined> {
    rooms.iter().filter(|room| keys.contains(room.key())).map(Room::joined).collect()
}
