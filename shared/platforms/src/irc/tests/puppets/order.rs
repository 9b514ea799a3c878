//! The order of rooms over many connections, against a server that reads them in any order, refuses what it likes, throws
//! people out, renames them and loses connections: what a channel hears first is in the order in which it was to be said,
//! nothing is settled that was not heard, everything is settled, and nothing of ours is news.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use sameroom_model::{Action, Author, Delivery, Lane, Origin, Outcome, RoomRef, SignedDuration, Text};
use serde_json::json;

use super::super::world::{Setup, World, post};
use crate::{Input, LinkId};

const ROOMS: [&str; 2] = ["#c", "#d"];

/// Two of them have one name; the first is nobody, whose words are notices.
const PEOPLE: [(&str, &str); 5] = [("", ""), ("ann", "u1"), ("bob", "u2"), ("carl", "u3"), ("ann", "u4")];

#[derive(Clone, Debug)]
enum Step {
    /// Somebody says something in a room, of one line or of three.
    Says(usize, usize, bool),
    /// The server reads so many lines of one connection.
    Reads(usize, usize),
    /// It reads all there is.
    ReadsAll,
    /// It opens what was asked for, or refuses.
    Opens(bool),
    /// A connection is lost, with what was not read.
    Loses(usize),
    /// From now on nobody but the bot may speak, or all may.
    Mutes(bool),
    /// The bot's connection is lost.
    LosesBot,
    /// Seconds go by.
    Waits(i64),
    /// The second room comes or goes.
    Rooms(bool),
    /// Somebody is thrown out of a room.
    Kicks(usize, usize),
    /// The server ends somebody's connection, and says why.
    Errors(usize, usize),
    /// It gives somebody another name; whether they hear of it before the others.
    Renames(usize, bool),
}

/// A server, as far as the rooms go.
#[derive(Default)]
struct Server {
    unread: BTreeMap<LinkId, VecDeque<String>>,
    nicks: BTreeMap<LinkId, String>,
    welcomed: BTreeSet<LinkId>,
    inside: BTreeSet<(LinkId, String)>,
    heard: Vec<(String, String)>,
    mute: bool,
    renamed: usize,
}

impl Server {
    /// Takes what was written meanwhile; what a connection that is gone wrote last is lost.
    fn collects(&mut self, irc: &mut World) {
        let main = std::mem::take(&mut irc.sent);
        self.unread.entry(LinkId::MAIN).or_default().extend(main);
        for (link, sent) in std::mem::take(&mut irc.aside) {
            self.unread.entry(link).or_default().extend(sent);
        }
        for link in irc.left.drain(..) {
            self.forgets(link);
        }
        if std::mem::take(&mut irc.closed) > 0 {
            self.forgets(LinkId::MAIN);
        }
    }

    fn forgets(&mut self, link: LinkId) {
        self.unread.remove(&link);
        self.welcomed.remove(&link);
        self.inside.retain(|(inside, _)| *inside != link);
        self.nicks.remove(&link);
    }

    /// Who is in a room.
    fn those_in(&self, room: &str) -> Vec<LinkId> {
        self.inside.iter().filter(|(_, inside)| inside == room).map(|(link, _)| *link).collect()
    }

    fn is_in(&self, link: LinkId, room: &str) -> bool {
        self.inside.contains(&(link, room.to_owned()))
    }

    fn tells(&self, irc: &mut World, room: &str, line: &str) {
        for link in self.those_in(room) {
            irc.server_to(link, line);
        }
    }

    /// Somebody who is let in, other than the bot.
    fn somebody(&self, nth: usize) -> Option<LinkId> {
        let people: Vec<LinkId> = self.welcomed.iter().filter(|link| **link != LinkId::MAIN).copied().collect();
        people.get(nth % people.len().max(1)).copied()
    }

    fn reads(&mut self, irc: &mut World, link: LinkId) -> bool {
        let Some(line) = self.unread.get_mut(&link).and_then(VecDeque::pop_front) else { return false };
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let nick = self.nicks.get(&link).cloned().unwrap_or_default();
        match command {
            "CAP" if rest.starts_with("LS") => irc.server_to(link, ":irc.test CAP * LS :"),
            "NICK" if self.nicks.iter().any(|(other, nick)| *other != link && nick == rest) => {
                let me = if self.welcomed.contains(&link) { nick.as_str() } else { "*" };
                irc.server_to(link, &format!(":irc.test 433 {me} {rest} :Nickname is already in use"));
            }
            "NICK" if self.welcomed.contains(&link) => self.renames(irc, link, rest, true),
            "NICK" => {
                self.nicks.insert(link, rest.to_owned());
            }
            // Before it has a nick, nobody is let in.
            "CAP" if rest == "END" && nick.is_empty() => {
                let unread = self.unread.entry(link).or_default();
                unread.push_back(line.clone());
                return unread.iter().any(|line| line.starts_with("NICK"));
            }
            "CAP" if rest == "END" => {
                self.welcomed.insert(link);
                irc.server_to(link, &format!(":irc.test 001 {nick} :Welcome"));
                irc.server_to(link, &format!(":irc.test 005 {nick} CASEMAPPING=ascii NICKLEN=20 :are supported"));
                irc.server_to(link, &format!(":irc.test 422 {nick} :No MOTD"));
            }
            "JOIN" => {
                for room in rest.split(',') {
                    self.inside.insert((link, room.to_owned()));
                    self.tells(irc, room, &format!(":{nick}!~x@h JOIN {room}"));
                }
            }
            "PART" if self.is_in(link, rest) => {
                self.tells(irc, rest, &format!(":{nick}!~x@h PART {rest}"));
                self.inside.remove(&(link, rest.to_owned()));
            }
            "QUIT" => {
                irc.server_to(link, "ERROR :bye");
                self.forgets(link);
                irc.handle(Input::Closed(link, "bye"));
            }
            "PRIVMSG" => {
                let (room, words) = rest.split_once(" :").unwrap();
                if self.is_in(link, room) && (link == LinkId::MAIN || !self.mute) {
                    self.heard.push((room.to_owned(), words.to_owned()));
                    for other in self.those_in(room).into_iter().filter(|other| *other != link) {
                        irc.server_to(other, &format!(":{nick}!~x@h PRIVMSG {room} :{words}"));
                    }
                } else {
                    irc.server_to(link, &format!(":irc.test 404 {nick} {room} :Cannot send to channel"));
                }
            }
            "PING" => irc.server_to(link, &format!(":irc.test PONG irc.test {rest}")),
            _ => {}
        }
        self.collects(irc);
        true
    }

    fn renames(&mut self, irc: &mut World, link: LinkId, to: &str, own_first: bool) {
        let Some(from) = self.nicks.insert(link, to.to_owned()) else { return };
        let others: BTreeSet<LinkId> =
            self.inside.iter().map(|(other, _)| *other).filter(|other| *other != link).collect();
        let order: Vec<LinkId> = if own_first {
            [link].into_iter().chain(others).collect()
        } else {
            others.into_iter().chain([link]).collect()
        };
        for other in order {
            irc.server_to(other, &format!(":{from}!~x@h NICK :{to}"));
        }
    }

    fn reads_all(&mut self, irc: &mut World) {
        for _ in 0..10_000 {
            let links: Vec<LinkId> = self.unread.keys().copied().collect();
            if links.into_iter().filter(|link| self.reads(irc, *link)).count() == 0 {
                return;
            }
        }
        panic!("they write without end");
    }

    /// Seconds go by; a server that is there reads meanwhile, if they are many.
    fn lives(&mut self, irc: &mut World, seconds: i64) {
        let end = irc.now + SignedDuration::from_secs(seconds);
        let mut wakes = 0;
        while let Some(at) = irc.session.wakes_at().filter(|at| *at <= end) {
            irc.now = irc.now.max(at);
            irc.handle(Input::Wake);
            let next = irc.session.wakes_at();
            assert!(next.is_none_or(|next| next > irc.now), "woken at {}, to be woken at {next:?}", irc.now);
            wakes += 1;
            assert!(wakes < 5000, "woken without end");
            self.collects(irc);
            if seconds > 10 {
                self.reads_all(irc);
            }
        }
        irc.now = end;
        irc.handle(Input::Wake);
        self.collects(irc);
    }
}

/// The number that words end with.
fn number(words: &str) -> usize {
    words.rsplit(' ').next().unwrap().parse().unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..PEOPLE.len(), 0..2_usize, any::<bool>()).prop_map(|(who, room, long)| Step::Says(who, room, long)),
        12 => (0..6_usize, 1..4_usize).prop_map(|(link, lines)| Step::Reads(link, lines)),
        3 => Just(Step::ReadsAll),
        4 => prop::bool::weighted(0.9).prop_map(Step::Opens),
        1 => (0..6_usize).prop_map(Step::Loses),
        1 => any::<bool>().prop_map(Step::Mutes),
        1 => Just(Step::LosesBot),
        3 => (1..5_i64).prop_map(Step::Waits),
        1 => prop::sample::select(vec![61_i64, 599, 601, 3700, 11_000]).prop_map(Step::Waits),
        1 => any::<bool>().prop_map(Step::Rooms),
        1 => (0..6_usize, 0..2_usize).prop_map(|(who, room)| Step::Kicks(who, room)),
        1 => (0..6_usize, 0..4_usize).prop_map(|(who, why)| Step::Errors(who, why)),
        1 => (0..6_usize, any::<bool>()).prop_map(|(who, own_first)| Step::Renames(who, own_first)),
    ]
}

fn opens(irc: &mut World) {
    for link in std::mem::take(&mut irc.asked) {
        irc.handle(Input::Opened(link));
    }
    if irc.dials.len() > 1 {
        irc.dials.truncate(1);
        irc.handle(Input::Opened(LinkId::MAIN));
    }
}

fn says(irc: &mut World, n: usize, who: usize, room: &str, long: bool) {
    let (shown, user) = PEOPLE[who];
    let words = if long { format!("a {n}\nb {n}\nc {n}") } else { format!("word {n}") };
    let body = Text::plain(&words);
    let id = format!("d{n}");
    let delivery = Delivery {
        id: id.as_str().into(),
        lane: Lane { from: RoomRef::new("else", "where"), to: RoomRef::new("acc", room) },
        origin: Origin { event: id.as_str().into(), key: None, at: irc.now },
        author: (who != 0).then(|| Author::new(user, shown)),
        shown: shown.to_owned(),
        action: if who == 0 { Action::Notice { body } } else { post(body) },
        copies: vec![],
    };
    irc.handle(Input::Deliver(Box::new(delivery)));
}

fn does(irc: &mut World, server: &mut Server, step: &Step) {
    match *step {
        Step::Says(..) => {}
        Step::Reads(nth, lines) => {
            let link = server.unread.keys().nth(nth % server.unread.len().max(1)).copied();
            for _ in 0..lines {
                link.map(|link| server.reads(irc, link));
            }
        }
        Step::ReadsAll => server.reads_all(irc),
        Step::Opens(true) => opens(irc),
        Step::Opens(false) => {
            if let Some(link) = irc.asked.pop_front() {
                irc.handle(Input::Closed(link, "connection refused"));
            }
        }
        Step::Loses(nth) => {
            if let Some(link) = server.somebody(nth) {
                server.forgets(link);
                irc.handle(Input::Closed(link, "the connection was reset"));
            }
        }
        Step::LosesBot => {
            if server.nicks.contains_key(&LinkId::MAIN) {
                server.forgets(LinkId::MAIN);
                irc.handle(Input::Closed(LinkId::MAIN, "the connection was reset"));
            }
        }
        Step::Mutes(mute) => server.mute = mute,
        Step::Waits(seconds) => server.lives(irc, seconds),
        Step::Rooms(both) => irc.has_rooms(if both { &ROOMS } else { &ROOMS[..1] }, None),
        Step::Kicks(nth, room) => {
            let room = ROOMS[room];
            if let Some(link) = server.somebody(nth).filter(|link| server.is_in(*link, room)) {
                server.tells(irc, room, &format!(":op!o@h KICK {room} {} :no", server.nicks[&link]));
                server.inside.remove(&(link, room.to_owned()));
            }
        }
        Step::Errors(nth, why) => {
            if let Some(link) = server.somebody(nth) {
                let why = ["Killed (op (no))", "[K-lined]", "Excess Flood", "too many connections"][why];
                irc.server_to(link, &format!("ERROR :Closing link: {why}"));
            }
        }
        Step::Renames(nth, own_first) => {
            if let Some(link) = server.somebody(nth) {
                server.renamed += 1;
                server.renames(irc, link, &format!("Guest{}", server.renamed), own_first);
            }
        }
    }
    server.collects(irc);
}

fn holds(steps: &[Step], rate: f64, most: u32) -> Result<(), TestCaseError> {
    let settings = json!({ "flood": { "burst": 4, "per_second": rate }, "puppets": most });
    let mut irc =
        Setup { settings, rooms: ROOMS.to_vec(), ..Setup::default() }.joined("", "CASEMAPPING=ascii NICKLEN=20");
    let mut server = Server {
        inside: ROOMS.iter().map(|room| (LinkId::MAIN, (*room).to_owned())).collect(),
        nicks: [(LinkId::MAIN, "bot".to_owned())].into(),
        welcomed: [LinkId::MAIN].into(),
        ..Server::default()
    };
    let mut said: Vec<&str> = Vec::new();
    for step in steps {
        if let Step::Says(who, room, long) = *step {
            said.push(ROOMS[room]);
            says(&mut irc, said.len(), who, ROOMS[room], long);
        }
        does(&mut irc, &mut server, step);
        prop_assert!(irc.events.is_empty(), "ours is no news: {:?}", irc.events);
    }
    // In the end all is well, and all is said.
    server.mute = false;
    for _ in 0..60 {
        opens(&mut irc);
        server.collects(&mut irc);
        server.reads_all(&mut irc);
        server.lives(&mut irc, 10);
    }
    prop_assert!(irc.events.is_empty(), "ours is no news: {:?}", irc.events);
    prop_assert_eq!(irc.settled.len(), said.len(), "all are settled: {:?}", irc.settled);
    let calm = |step: &Step| {
        matches!(step, Step::Says(..) | Step::Reads(..) | Step::ReadsAll | Step::Opens(_) | Step::Waits(..=10))
    };
    for room in ROOMS {
        let done = irc.settled.iter().filter(|(_, outcome)| *outcome == Outcome::done());
        let done: Vec<usize> =
            done.map(|(id, _)| id[1..].parse().unwrap()).filter(|n: &usize| said[n - 1] == room).collect();
        prop_assert!(done.is_sorted(), "settled in order: {:?}", irc.settled);
        let heard: Vec<usize> =
            server.heard.iter().filter(|(in_, _)| in_ == room).map(|(_, words)| number(words)).collect();
        let mut seen = BTreeSet::new();
        let first: Vec<usize> = heard.iter().copied().filter(|n| seen.insert(*n)).collect();
        prop_assert!(first.is_sorted(), "heard in order: {:?}", heard);
        prop_assert!(done.iter().all(|n| seen.contains(n)), "heard what is done: {:?}, {:?}", done, heard);
        if steps.iter().all(calm) {
            let long: Vec<bool> = steps
                .iter()
                .filter_map(|step| if let Step::Says(_, _, long) = step { Some(*long) } else { None })
                .collect();
            let lines = |n: &usize| if long[n - 1] { 3 } else { 1 };
            prop_assert_eq!(heard.len(), first.iter().map(lines).sum::<usize>(), "nothing twice: {:?}", heard);
        }
    }
    irc.handle(Input::Stop);
    server.lives(&mut irc, 5);
    prop_assert!(irc.stopped);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn p2_rooms_hear_all_in_order_whoever_says_it(steps in prop::collection::vec(step(), 0..120)) {
        holds(&steps, 0.0, 3)?;
    }

    #[test]
    fn p2_rooms_hear_all_in_order_within_limits(steps in prop::collection::vec(step(), 0..120)) {
        holds(&steps, 1.0, 2)?;
    }
}
