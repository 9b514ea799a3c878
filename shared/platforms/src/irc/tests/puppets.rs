//! People who speak over connections of their own, and the bot beside them.

use std::collections::VecDeque;

use sameroom_model::{
    AccountState, Action, Author, Delivery, Lane, Origin, Outcome, Quote, RoomRef, Sent, SignedDuration, Text,
};
use serde_json::json;

use super::world::{Setup, World, post};
use crate::{Dial, Input, LinkId};

mod names;
mod order;
mod places;
mod speaking;

const ONE: LinkId = LinkId(1);
const TWO: LinkId = LinkId(2);
const THREE: LinkId = LinkId(3);

const ISUPPORT: &str = "CASEMAPPING=ascii NICKLEN=20";

/// As fast as the server reads, and no pause between connections.
fn setup(most: u32) -> Setup {
    Setup { settings: json!({ "flood": { "burst": 4, "per_second": 0.0 }, "puppets": most }), ..Setup::default() }
}

fn world(most: u32) -> World {
    setup(most).joined("", ISUPPORT)
}

/// Ann has a connection, and has said `1` over it.
fn ann_is_in() -> World {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc
}

/// With the flood limits that servers are shipped with.
fn careful(most: u32) -> World {
    careful_setup(most).joined("", ISUPPORT)
}

fn careful_setup(most: u32) -> Setup {
    Setup { settings: json!({ "puppets": most }), ..Setup::default() }
}

impl World {
    /// A connection was asked for; it stands, and the server lets it in under a nick.
    #[track_caller]
    fn lets_in(&mut self, link: LinkId, nick: &str) {
        self.knocks(link, nick);
        self.welcomes(link, nick);
        assert_eq!(self.writes(link), "JOIN #c");
        self.joins(link, nick, "#c");
    }

    /// Up to where the server has to answer.
    #[track_caller]
    fn knocks(&mut self, link: LinkId, nick: &str) {
        assert_eq!(self.asked.pop_front(), Some(link));
        self.handle(Input::Opened(link));
        assert_eq!(self.writes(link), "CAP LS 302");
        assert_eq!(self.writes(link), format!("NICK {nick}"));
        assert!(self.writes(link).starts_with("USER "));
    }

    #[track_caller]
    fn welcomes(&mut self, link: LinkId, nick: &str) {
        self.server_to(link, ":irc.test CAP * LS :");
        assert_eq!(self.writes(link), "CAP END");
        self.server_to(link, &format!(":irc.test 001 {nick} :Welcome"));
        self.server_to(link, &format!(":irc.test 005 {nick} {ISUPPORT} :are supported by this server"));
        self.server_to(link, &format!(":irc.test 422 {nick} :No MOTD"));
    }

    /// All who are there see it join, itself too.
    fn joins(&mut self, link: LinkId, nick: &str, channel: &str) {
        for link in [LinkId::MAIN, link] {
            self.server_to(link, &format!(":{nick}!~p@host.test JOIN {channel}"));
        }
    }

    /// The next line on one connection.
    #[track_caller]
    fn writes(&mut self, link: LinkId) -> String {
        let sent = if link == LinkId::MAIN { &mut self.sent } else { self.aside.entry(link).or_default() };
        sent.pop_front().unwrap_or_else(|| panic!("{link:?} writes something"))
    }

    /// Nothing more on one connection.
    #[track_caller]
    fn quiet(&self, link: LinkId) {
        let sent = if link == LinkId::MAIN { Some(&self.sent) } else { self.aside.get(&link) };
        assert!(sent.is_none_or(VecDeque::is_empty), "{link:?} wrote {sent:?}");
    }

    /// The next lines on one connection are these words and a barrier, which the server answers.
    #[track_caller]
    fn speaks(&mut self, link: LinkId, words: &str) {
        assert_eq!(self.writes(link), format!("PRIVMSG #c :{words}"));
        let barrier = self.writes(link);
        let token = barrier.strip_prefix("PING :").unwrap_or_else(|| panic!("a barrier, not {barrier:?}")).to_owned();
        self.server_to(link, &format!(":irc.test PONG irc.test :{token}"));
    }

    /// Time passes on servers that are there: they ask whether we are, too. What was written meanwhile is forgotten but
    /// for goodbyes.
    fn lives(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while self.now < end {
            self.passes_ms((end.duration_since(self.now).as_millis() as i64).min(50_000));
            let links: Vec<_> = self.aside.keys().copied().filter(|link| !self.left.contains(link)).collect();
            for link in links.into_iter().chain([LinkId::MAIN]) {
                self.server_to(link, "PING :x");
            }
        }
        self.sent.clear();
        self.aside.values_mut().for_each(|sent| sent.retain(|line| line.starts_with("QUIT")));
    }

    fn trouble(&self) -> &str {
        match self.states.back() {
            Some(AccountState::Trouble(why)) => why,
            other => panic!("a trouble, not {other:?}"),
        }
    }

    fn knocks_with_password(&mut self, link: LinkId) {
        assert_eq!(self.asked.pop_front(), Some(link));
        self.handle(Input::Opened(link));
        self.aside.clear();
    }

    #[track_caller]
    fn unsettled_but(&self, settled: usize) {
        assert_eq!(self.settled.len(), settled, "{:?}", self.settled);
    }
}
