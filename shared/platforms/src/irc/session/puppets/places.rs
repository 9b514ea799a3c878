//! Who has a connection of their own: whose is opened, when the next may be, and who makes room. Connections from one
//! address are few everywhere, and looked at with suspicion. It must not know what is said.

use std::collections::{BTreeMap, VecDeque};

use sameroom_model::{RoomKey, SignedDuration, Timestamp};

use super::super::super::settings::{Settings, WEBIRC};
use super::super::IrcSession;
use super::super::later;
use super::super::link::End;
use super::super::persona::{Introduced, Stands};
use super::who::Who;
use super::{Puppeteer, joined_of};
use crate::{Input, LinkId};

/// From one connection to the next, at least. None where the owner says by `rate=0` that the server takes all.
const SPACING: SignedDuration = SignedDuration::from_secs(5);
/// Who has said nothing for so long goes.
const IDLE: SignedDuration = SignedDuration::from_hours(3);
/// Who has said nothing for so long goes if others want the place.
const PLACE: SignedDuration = SignedDuration::from_mins(10);
/// For how long one waits for a place after having said something.
const WANTED: SignedDuration = SignedDuration::from_mins(10);
/// A connection that lasts less has failed.
const STABLE: SignedDuration = SignedDuration::from_mins(1);
/// For how long there is none for somebody whose connection failed, was cut, or found no nick.
const FAILED: SignedDuration = SignedDuration::from_mins(5);
const CUT: SignedDuration = SignedDuration::from_hours(1);
/// For how long there is none for anybody once one was refused: twice as long each time, up to an hour.
const REFUSED: SignedDuration = SignedDuration::from_mins(1);
/// The most people who are remembered as barred.
const BARRED_MAX: usize = 1000;
/// For how long there is none for somebody who was banned.
const BANNED: SignedDuration = SignedDuration::from_hours(24);
/// Where the bot is away for so long nobody stays: a server that counts connections must have a place for it.
const ALONE: SignedDuration = SignedDuration::from_mins(1);
/// The most graphemes and bytes of a name in WHOIS.
const NAME_MAX: usize = 40;
const NAME_BYTES_MAX: usize = 100;

/// One person's connection.
pub(super) struct Puppet {
    who: Who,
    pub(super) session: IrcSession,
    /// Its nick, folded, as far as it has one.
    pub(super) nick: Option<String>,
    opened: Timestamp,
    /// When it last was given something.
    spoke: Timestamp,
    /// The rooms that it was sent to, and since when.
    rooms: BTreeMap<RoomKey, Timestamp>,
    /// Where it may not speak, and until when.
    pub(super) silent: BTreeMap<RoomKey, Timestamp>,
    /// Whether it was told to go.
    leaving: bool,
    welcomed: bool,
}

/// Somebody who wants a connection.
struct Wanted {
    who: Who,
    shown: String,
    /// When they spoke last, and where.
    since: Timestamp,
    room: RoomKey,
}

/// Those who have a connection, those who want one, and those who can have none.
pub(super) struct Places {
    most: usize,
    spacing: SignedDuration,
    pub(super) puppets: BTreeMap<LinkId, Puppet>,
    /// The last id that was used.
    last: u32,
    /// Who wants one, whoever has waited longest first.
    wanted: VecDeque<Wanted>,
    barred: BTreeMap<Who, Timestamp>,
    /// When the next may be opened.
    next: Option<Timestamp>,
    /// Whether those who want one wait for the bot, rather than for a place.
    waiting_for_bot: bool,
    /// Since when the bot is away.
    alone: Option<Timestamp>,
    /// Whether somebody has gone, has come or wants to since this was last looked at.
    pub(super) stirred: bool,
    /// How often in a row one was refused, and a sentence about the last.
    refusals: u32,
    trouble: Option<String>,
}

impl Places {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            most: settings.puppets as usize,
            spacing: if settings.flood.per_second > 0.0 { SPACING } else { SignedDuration::ZERO },
            puppets: BTreeMap::new(),
            last: 0,
            wanted: VecDeque::new(),
            barred: BTreeMap::new(),
            next: None,
            waiting_for_bot: false,
            alone: None,
            stirred: false,
            refusals: 0,
            trouble: None,
        }
    }

    /// Why people have no connections, where that is so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn links(&self) -> Vec<LinkId> {
        self.puppets.keys().copied().collect()
    }

    /// Somebody's connection.
    pub(super) fn of(&self, who: &Who) -> Option<LinkId> {
        self.puppets.iter().find(|(_, puppet)| puppet.who == *who).map(|(link, _)| *link)
    }

    /// It was given something.
    pub(super) fn speaks(&mut self, link: LinkId, now: Timestamp) {
        if let Some(puppet) = self.puppets.get_mut(&link) {
            puppet.spoke = now;
        }
    }

    /// Notes that one was let in. Says whether that ends a trouble.
    pub(super) fn welcomed(&mut self, link: LinkId) -> bool {
        let Some(puppet) = self.puppets.get_mut(&link) else { return false };
        if puppet.welcomed || !puppet.session.is_welcome() {
            return false;
        }
        puppet.welcomed = true;
        self.refusals = 0;
        self.trouble.take().is_some()
    }

    fn staying(&self) -> usize {
        self.puppets.values().filter(|puppet| !puppet.leaving).count()
    }

    /// Whether there is a place now.
    fn free(&self, now: Timestamp) -> bool {
        self.puppets.len() < self.most && self.next.is_none_or(|next| now >= next)
    }

    /// When time alone changes something.
    pub(super) fn wakes(&self) -> Option<Timestamp> {
        let staying = || self.puppets.values().filter(|puppet| !puppet.leaving);
        let mut wakes: Vec<Timestamp> = staying().map(|puppet| later(puppet.spoke, IDLE)).collect();
        if !wakes.is_empty() {
            wakes.extend(self.alone.map(|since| later(since, ALONE)));
        }
        if let Some(first) = self.wanted.iter().map(|wanted| wanted.since).min() {
            wakes.push(later(first, WANTED));
            if self.puppets.len() < self.most {
                wakes.extend(self.next.filter(|_| !self.waiting_for_bot));
            } else if self.staying() >= self.most {
                wakes.extend(staying().map(|puppet| later(puppet.spoke, PLACE)).min());
            }
        }
        wakes.into_iter().min()
    }

    fn bar(&mut self, who: Who, until: Timestamp, now: Timestamp) {
        self.barred.retain(|_, until| now < *until);
        if self.barred.len() < BARRED_MAX {
            self.barred.insert(who, until);
        }
    }
}

impl Puppeteer {
    /// Opens a connection for somebody who has none, if one may be had now; else it is opened once it may.
    pub(super) fn open_for(&mut self, who: Who, shown: &str, room: &RoomKey, now: Timestamp) -> Option<LinkId> {
        let places = &mut self.places;
        if places.barred.get(&who).is_some_and(|until| now < *until) {
            return None;
        }
        if places.free(now) {
            return Some(self.open(who, shown, now));
        }
        let (shown, room) = (shown.to_owned(), room.clone());
        if let Some(wanted) = places.wanted.iter_mut().find(|wanted| wanted.who == who) {
            (wanted.shown, wanted.room, wanted.since) = (shown, room, now);
        } else if places.wanted.len() < places.most {
            places.stirred = true;
            places.wanted.push_back(Wanted { who, shown, since: now, room });
        }
        None
    }

    fn open(&mut self, who: Who, shown: &str, now: Timestamp) -> LinkId {
        let places = &mut self.places;
        places.wanted.retain(|wanted| wanted.who != who);
        places.last = places.last.wrapping_add(1).max(1);
        while places.puppets.contains_key(&LinkId(places.last)) {
            places.last = places.last.wrapping_add(1).max(1);
        }
        places.next = Some(later(now, places.spacing));
        let link = LinkId(places.last);
        let secret = self.account.secrets.get(WEBIRC).unwrap_or_default();
        let introduced = Introduced { nick: who.nick.clone(), shown: name_of(shown), address: who.address(secret) };
        let seed = u128::from(self.random.next()) << 64 | u128::from(self.random.next());
        let session = IrcSession::of_person(&self.account, &self.bot, introduced, seed);
        let puppet = Puppet {
            who,
            session,
            nick: None,
            opened: now,
            spoke: now,
            rooms: BTreeMap::new(),
            silent: BTreeMap::new(),
            leaving: false,
            welcomed: false,
        };
        places.puppets.insert(link, puppet);
        link
    }

    /// Sends somebody to a room where they are to speak, unless they are there. Says since when they are, or on the
    /// way; `None`: they are not to speak there now.
    pub(super) fn enter(&mut self, link: LinkId, room: &RoomKey, now: Timestamp) -> Option<Timestamp> {
        let puppet = self.places.puppets.get_mut(&link).filter(|puppet| !puppet.leaving)?;
        if puppet.silent.get(room).is_some_and(|until| now < *until) {
            return None;
        }
        puppet.silent.remove(room);
        if let Some(since) = puppet.rooms.get(room) {
            return Some(*since);
        }
        puppet.rooms.insert(room.clone(), now);
        if let Some(key) = self.bot.key_to(room) {
            puppet.session.learn_key(room, key);
        }
        let keys: Vec<RoomKey> = puppet.rooms.keys().cloned().collect();
        let joined = joined_of(&self.rooms, &keys);
        self.feed(link, Input::Rooms(joined), now);
        Some(now)
    }

    /// A room is no longer ours.
    pub(super) fn leave_room(&mut self, room: &RoomKey, now: Timestamp) {
        self.places.wanted.retain(|wanted| wanted.room != *room);
        for link in self.places.links() {
            let Some(puppet) = self.places.puppets.get_mut(&link) else { continue };
            puppet.silent.remove(room);
            if puppet.rooms.remove(room).is_none() {
                continue;
            }
            let keys: Vec<RoomKey> = puppet.rooms.keys().cloned().collect();
            if keys.is_empty() {
                self.dismiss(link, now);
            } else {
                let joined = joined_of(&self.rooms, &keys);
                self.feed(link, Input::Rooms(joined), now);
            }
        }
    }

    /// Who has long said nothing goes, and who waits comes.
    pub(super) fn tend(&mut self, now: Timestamp) {
        let places = &mut self.places;
        places.wanted.retain(|wanted| now < later(wanted.since, WANTED));
        places.alone = if self.bot.is_ready() { None } else { places.alone.or(Some(now)) };
        while let Some(link) = self.goes(now) {
            if self.rooms.iter().any(|room| room.puppet() == Some(link)) && self.places.alone.is_none() {
                // It waits for an answer, and is not idle.
                self.places.speaks(link, now);
            } else {
                self.dismiss(link, now);
            }
        }
        self.places.waiting_for_bot = false;
        while self.places.free(now) {
            let next = self.places.wanted.iter().position(|wanted| self.bot.stands(&wanted.room) == Stands::In);
            let Some(wanted) = next.and_then(|at| self.places.wanted.remove(at)) else {
                self.places.waiting_for_bot = true;
                break;
            };
            let link = self.open(wanted.who, &wanted.shown, now);
            self.enter(link, &wanted.room, now);
            self.places.stirred = true;
        }
    }

    /// The next who is to go.
    fn goes(&self, now: Timestamp) -> Option<LinkId> {
        let places = &self.places;
        let staying = || places.puppets.iter().filter(|(_, puppet)| !puppet.leaving);
        if places.alone.is_some_and(|since| now >= later(since, ALONE)) {
            return staying().map(|(link, _)| *link).next();
        }
        let wanting = !places.wanted.is_empty() && places.staying() >= places.most;
        let patience = if wanting { PLACE } else { IDLE };
        let oldest = staying().min_by_key(|(_, puppet)| puppet.spoke);
        oldest.filter(|(_, puppet)| now >= later(puppet.spoke, patience)).map(|(link, _)| *link)
    }

    fn dismiss(&mut self, link: LinkId, now: Timestamp) {
        let Some(mut puppet) = self.places.puppets.remove(&link) else { return };
        puppet.leaving = true;
        self.take_over(link, &mut puppet.session, now);
        self.places.puppets.insert(link, puppet);
        self.feed(link, Input::Stop, now);
    }

    /// A connection is gone.
    pub(super) fn lost(&mut self, link: LinkId, now: Timestamp) {
        let Some(mut puppet) = self.places.puppets.remove(&link) else { return };
        self.places.stirred = true;
        if let Some(nick) = puppet.nick.take() {
            self.bot.kin.gone(nick, now);
        }
        let end = puppet.session.take_end();
        let lasted = now.duration_since(puppet.opened);
        let (who, leaving, welcomed) = (puppet.who, puppet.leaving, puppet.welcomed);
        let (nameless, introduced) = (puppet.session.is_nameless(), puppet.session.is_introduced());
        self.take_over(link, &mut puppet.session, now);
        if leaving || self.stopping {
            return;
        }
        match end {
            Some(End::Barred(why)) => {
                self.places.bar(who.clone(), later(now, BANNED), now);
                // One who was in, or who is at an address of their own, is meant alone.
                if !welcomed && !introduced {
                    self.refused(&who, &why, SignedDuration::from_hours(1), now);
                }
            }
            Some(End::Network(_)) if welcomed && lasted >= STABLE => {}
            Some(End::Network(_)) if welcomed => self.places.bar(who, later(now, FAILED), now),
            _ if welcomed || nameless => self.places.bar(who, later(now, CUT), now),
            Some(End::Network(why) | End::Wrong(why)) => self.refused(&who, &why, REFUSED, now),
            Some(End::Refused { why, wait }) => {
                self.refused(&who, &why, REFUSED.max(SignedDuration::from_millis(wait)), now);
            }
            // On to TLS: the bot knows the way by now, and the next one does.
            Some(End::Secure) | None => self.places.bar(who, later(now, FAILED), now),
        }
    }

    /// The server takes no connection of somebody's own, for now.
    fn refused(&mut self, who: &Who, why: &str, wait: SignedDuration, now: Timestamp) {
        let places = &mut self.places;
        let longest = SignedDuration::from_hours(1).max(wait);
        let wait = (wait * (1 << places.refusals.min(6))).min(longest);
        places.refusals += 1;
        places.next = Some(later(now, wait));
        places.wanted.clear();
        let minutes = wait.as_secs() / 60;
        let place = self.bot.place();
        let why = why.strip_prefix(&place).unwrap_or(why).trim_start();
        places.trouble = Some(format!(
            "{place} takes no connection for {} ({why}): authors without one are named before their words; tried again \
             in {minutes} min. Its operators know how many it allows: give no more as `puppets`",
            who.nick
        ));
        self.tell_state();
    }
}

/// A name on one line, of which a line can have more than enough.
fn name_of(shown: &str) -> String {
    let mut name = sameroom_text::names::clean(shown, NAME_MAX);
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name
}
