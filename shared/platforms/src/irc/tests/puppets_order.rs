//! The order of a room over many connections, against a server that reads them in any order, refuses what it likes and
//! loses connections: what a channel hears first is in the order in which it was to be said, and nothing is settled
//! that was not heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use sameroom_model::{Action, Outcome, Text};
use serde_json::json;

use super::world::{Setup, World};
use crate::{Input, LinkId};

#[derive(Clone, Debug)]
enum Step {
    /// Somebody says something; 0 is nobody, a notice.
    Says(usize),
    /// The server reads so many lines of one connection.
    Reads(usize, usize),
    /// It reads all there is.
    ReadsAll,
    /// It opens what was asked for, or refuses.
    Opens(bool),
    /// A connection is lost, with what was not read.
    Loses(usize),
    /// From now on some may not speak.
    Mutes(bool),
    /// The bot's connection is lost.
    LosesBot,
    Waits(i64),
}

/// A server, as far as one channel goes.
#[derive(Default)]
struct Server {
    unread: BTreeMap<LinkId, VecDeque<String>>,
    nicks: BTreeMap<LinkId, String>,
    inside: BTreeSet<LinkId>,
    heard: Vec<String>,
    mute: bool,
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
    }

    fn forgets(&mut self, link: LinkId) {
        self.unread.remove(&link);
        self.inside.remove(&link);
        self.nicks.remove(&link);
    }

    /// How many it heard that are not settled.
    fn unanswered(&self, irc: &World) -> usize {
        let settled: BTreeSet<usize> = irc.settled.iter().map(|(id, _)| id[1..].parse().unwrap()).collect();
        self.heard.iter().map(|words| number(words)).filter(|n| !settled.contains(n)).collect::<BTreeSet<_>>().len()
    }

    fn reads(&mut self, irc: &mut World, link: LinkId) -> bool {
        let Some(line) = self.unread.get_mut(&link).and_then(VecDeque::pop_front) else { return false };
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let nick = self.nicks.get(&link).cloned().unwrap_or_default();
        match command {
            "CAP" if rest.starts_with("LS") => irc.server_to(link, ":irc.test CAP * LS :"),
            "NICK" => drop(self.nicks.insert(link, rest.to_owned())),
            "CAP" if rest == "END" => {
                irc.server_to(link, &format!(":irc.test 001 {nick} :Welcome"));
                irc.server_to(link, &format!(":irc.test 005 {nick} CASEMAPPING=ascii NICKLEN=20 :are supported"));
                irc.server_to(link, &format!(":irc.test 422 {nick} :No MOTD"));
            }
            "JOIN" => {
                self.inside.insert(link);
                for other in self.inside.clone() {
                    irc.server_to(other, &format!(":{nick}!~x@h JOIN {rest}"));
                }
            }
            "PRIVMSG" => {
                let words = rest.split_once(" :").unwrap().1;
                if self.inside.contains(&link) && (link == LinkId::MAIN || !self.mute) {
                    self.heard.push(words.to_owned());
                    for other in self.inside.clone() {
                        if other != link {
                            irc.server_to(other, &format!(":{nick}!~x@h PRIVMSG #c :{words}"));
                        }
                    }
                } else {
                    irc.server_to(link, &format!(":irc.test 404 {nick} #c :Cannot send to channel"));
                }
            }
            "PING" => irc.server_to(link, &format!(":irc.test PONG irc.test {rest}")),
            _ => {}
        }
        self.collects(irc);
        true
    }

    fn reads_all(&mut self, irc: &mut World) {
        let mut more = true;
        while more {
            more = false;
            for link in self.unread.keys().copied().collect::<Vec<_>>() {
                more |= self.reads(irc, link);
            }
        }
    }
}

/// The number that words end with.
fn number(words: &str) -> usize {
    words.rsplit(' ').next().unwrap().parse().unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..5_usize).prop_map(Step::Says),
        12 => (0..6_usize, 1..4_usize).prop_map(|(link, lines)| Step::Reads(link, lines)),
        2 => Just(Step::ReadsAll),
        4 => prop::bool::weighted(0.9).prop_map(Step::Opens),
        1 => (1..6_usize).prop_map(Step::Loses),
        1 => any::<bool>().prop_map(Step::Mutes),
        1 => Just(Step::LosesBot),
        3 => (1..5_i64).prop_map(Step::Waits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn p2_a_channel_hears_all_in_order_whoever_says_it(steps in prop::collection::vec(step(), 0..120)) {
        let settings = json!({ "flood": { "burst": 4, "per_second": 0.0 }, "puppets": 3 });
        let mut irc = Setup { settings, ..Setup::default() }.joined("", "CASEMAPPING=ascii NICKLEN=20");
        let mut server = Server::default();
        server.inside.insert(LinkId::MAIN);
        server.nicks.insert(LinkId::MAIN, "bot".to_owned());
        let mut said = 0;
        // What was heard and not answered for when a connection was lost: it may be heard twice.
        let mut open = 0;
        for step in steps {
            match step {
                Step::Says(who) => {
                    said += 1;
                    let body = Text::plain(&format!("word {said}"));
                    match who {
                        0 => irc.does("#c", "", Action::Notice { body }),
                        who => irc.does("#c", ["", "ann", "bob", "carl", "dora"][who], super::world::post(body)),
                    };
                }
                Step::Reads(nth, lines) => {
                    let link = server.unread.keys().nth(nth % server.unread.len().max(1)).copied();
                    for _ in 0..lines {
                        link.map(|link| server.reads(&mut irc, link));
                    }
                }
                Step::ReadsAll => server.reads_all(&mut irc),
                Step::Opens(true) => {
                    for link in std::mem::take(&mut irc.asked) {
                        irc.handle(Input::Opened(link));
                    }
                    if irc.dials.len() > 1 {
                        irc.dials.truncate(1);
                        irc.handle(Input::Opened(LinkId::MAIN));
                    }
                }
                Step::Opens(false) => {
                    if let Some(link) = irc.asked.pop_front() {
                        irc.handle(Input::Closed(link, "connection refused"));
                    }
                }
                Step::Loses(nth) => {
                    let link = server.nicks.keys().filter(|link| **link != LinkId::MAIN).nth(nth - 1).copied();
                    if let Some(link) = link {
                        server.forgets(link);
                        open += server.unanswered(&irc);
                        irc.handle(Input::Closed(link, "the connection was reset"));
                    }
                }
                Step::LosesBot if server.nicks.contains_key(&LinkId::MAIN) => {
                    server.forgets(LinkId::MAIN);
                    open += server.unanswered(&irc);
                    irc.handle(Input::Closed(LinkId::MAIN, "the connection was reset"));
                }
                Step::LosesBot => {}
                Step::Mutes(mute) => server.mute = mute,
                Step::Waits(seconds) => irc.passes(seconds),
            }
            server.collects(&mut irc);
        }
        // In the end all is well, and all is said.
        server.mute = false;
        for _ in 0..40 {
            for link in std::mem::take(&mut irc.asked) {
                irc.handle(Input::Opened(link));
            }
            if irc.dials.len() > 1 {
                irc.dials.truncate(1);
                irc.handle(Input::Opened(LinkId::MAIN));
            }
            server.collects(&mut irc);
            server.reads_all(&mut irc);
            irc.passes(1);
            server.collects(&mut irc);
        }
        prop_assert_eq!(irc.settled.len(), said, "all are settled");
        prop_assert!(irc.settled.iter().all(|(_, outcome)| *outcome == Outcome::done()), "{:?}", irc.settled);
        let ids: Vec<_> = irc.settled.iter().map(|(id, _)| id[1..].parse::<usize>().unwrap()).collect();
        prop_assert!(ids.is_sorted(), "settled in order: {:?}", ids);
        let mut first = BTreeSet::new();
        let firsts: Vec<usize> = server.heard.iter().map(|words| number(words)).filter(|n| first.insert(*n)).collect();
        prop_assert_eq!(&firsts, &(1..=said).collect::<Vec<_>>(), "heard: {:?}", server.heard);
        prop_assert!(server.heard.len() - said <= open, "{} may be heard twice: {:?}", open, server.heard);
        prop_assert!(irc.events.is_empty(), "ours is no news: {:?}", irc.events);
    }
}
