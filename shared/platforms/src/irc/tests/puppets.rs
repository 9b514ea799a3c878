//! People who speak over connections of their own, and the bot beside them.

use std::collections::VecDeque;

use sameroom_model::{
    AccountState, Action, Author, Delivery, Lane, Origin, Outcome, Quote, RoomRef, Sent, SignedDuration, Text,
};
use serde_json::json;

use super::world::{Setup, World, post};
use crate::{Input, LinkId};

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

/// With the flood limits that servers are shipped with.
fn careful(most: u32) -> World {
    Setup { settings: json!({ "puppets": most }), ..Setup::default() }.joined("", ISUPPORT)
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
}

#[test]
fn somebody_speaks_under_their_own_nick_and_is_not_heard_back() {
    let mut irc = world(5);
    let one = irc.says("Ann Smith", "hello");
    irc.unsettled();
    irc.lets_in(ONE, "Ann-Smith|sr");
    irc.speaks(ONE, "hello");
    irc.done(&one);
    // The channel tells the bot what ann said, as everybody.
    irc.server(":Ann-Smith|sr!~p@host.test PRIVMSG #c :hello");
    irc.hears_nothing();
    let two = irc.says("Ann Smith", "again");
    irc.speaks(ONE, "again");
    irc.done(&two);
    irc.quiet(LinkId::MAIN);
    // Others are heard, once: what the puppet sees of them is not told again.
    for link in [LinkId::MAIN, ONE] {
        irc.server_to(link, ":carl!c@h PRIVMSG #c :hi ann");
        irc.server_to(link, ":carl!c@h QUIT :bye");
    }
    irc.hears("carl", "hi ann");
    assert!(irc.events.len() <= 1, "{:?}", irc.events);
}

#[test]
fn emotes_corrections_and_notices() {
    let mut irc = world(5);
    irc.says("ann", "x");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "x");
    irc.does("#c", "ann", Action::Post { body: Text::plain("waves"), emote: true, attachments: vec![], reply: None });
    irc.speaks(ONE, "\u{1}ACTION waves\u{1}");
    irc.does("#c", "ann", Action::Edit { body: Text::plain("y"), emote: false });
    irc.speaks(ONE, "(edited) y");
    let quote = Quote { author: Some("carl".into()), excerpt: Some("why?".into()), ..Quote::default() };
    let body = Text::plain("so");
    irc.does("#c", "ann", Action::Post { body, emote: false, attachments: vec![], reply: Some(quote) });
    irc.speaks(ONE, "(re carl: \"why?\") so");
    // What nobody wrote the bot says.
    irc.does("#c", "", Action::Notice { body: Text::plain("#c is connected with #d") });
    irc.speaks(LinkId::MAIN, "#c is connected with #d");
    irc.quiet(ONE);
    assert_eq!(irc.settled.len(), 5);
}

#[test]
fn the_order_holds_over_all_connections() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.says("bob", "2");
    irc.says("ann", "3");
    irc.says("ann", "4");
    irc.does("#c", "", Action::Notice { body: Text::plain("5") });
    irc.says("bob", "6");
    // Nobody comes for what is not to be said yet.
    assert_eq!(irc.asked.len(), 1);
    irc.lets_in(ONE, "ann|sr");
    irc.quiet(LinkId::MAIN);
    irc.speaks(ONE, "1");
    irc.lets_in(TWO, "bob|sr");
    irc.quiet(ONE);
    irc.speaks(TWO, "2");
    assert_eq!(irc.aside[&ONE].len(), 2, "one at a time: {:?}", irc.aside);
    irc.speaks(ONE, "3");
    irc.quiet(LinkId::MAIN);
    irc.speaks(ONE, "4");
    irc.quiet(TWO);
    irc.speaks(LinkId::MAIN, "5");
    irc.speaks(TWO, "6");
    let settled: Vec<_> = irc.settled.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(settled, ["d1", "d2", "d3", "d4", "d5", "d6"]);
    assert!(irc.settled.iter().all(|(_, outcome)| *outcome == Outcome::done()));
}

#[test]
fn no_word_waits_long_for_a_connection() {
    let mut irc = world(5);
    let one = irc.says("ann", "hello?");
    irc.knocks(ONE, "ann|sr");
    irc.passes_ms(2900);
    irc.quiet(LinkId::MAIN);
    irc.passes_ms(200);
    irc.speaks(LinkId::MAIN, "<ann> hello?");
    irc.done(&one);
    // Once late, they wait no more; when it is there, it is used.
    irc.says("ann", "still me");
    irc.speaks(LinkId::MAIN, "<ann> still me");
    irc.welcomes(ONE, "ann|sr");
    irc.says("ann", "not in yet");
    irc.speaks(LinkId::MAIN, "<ann> not in yet");
    assert_eq!(irc.writes(ONE), "JOIN #c");
    irc.joins(ONE, "ann|sr", "#c");
    irc.says("ann", "now");
    irc.speaks(ONE, "now");
    assert_eq!(irc.settled.len(), 3);
}

#[test]
fn more_people_than_places() {
    let mut irc = world(1);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.says("bob", "2");
    irc.speaks(LinkId::MAIN, "<bob> 2");
    irc.lives(9 * 60);
    irc.says("bob", "3");
    irc.speaks(LinkId::MAIN, "<bob> 3");
    assert!(irc.left.is_empty() && irc.asked.is_empty());
    // Ann has said nothing for ten minutes, and bob has: she makes room.
    irc.lives(61);
    assert_eq!(irc.writes(ONE), "QUIT :Sameroom is restarting");
    irc.handle(Input::Closed(ONE, "bye"));
    irc.lets_in(TWO, "bob|sr");
    irc.says("bob", "4");
    irc.speaks(TWO, "4");
    irc.says("ann", "5");
    irc.speaks(LinkId::MAIN, "<ann> 5");
}

#[test]
fn connections_are_opened_one_after_the_other() {
    let mut irc = careful(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.says("bob", "2");
    irc.says("carl", "3");
    irc.speaks(LinkId::MAIN, "<bob> 2");
    irc.speaks(LinkId::MAIN, "<carl> 3");
    assert!(irc.asked.is_empty());
    irc.passes_ms(4900);
    assert!(irc.asked.is_empty());
    irc.passes_ms(200);
    irc.lets_in(TWO, "bob|sr");
    irc.passes(5);
    irc.lets_in(THREE, "carl|sr");
    irc.says("carl", "4");
    irc.speaks(THREE, "4");
}

#[test]
fn who_has_long_said_nothing_goes() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.lives(179 * 60);
    irc.quiet(ONE);
    irc.lives(61);
    assert!(irc.writes(ONE).starts_with("QUIT"));
    irc.passes(3);
    assert_eq!(irc.left, [ONE]);
    irc.says("ann", "2");
    irc.lets_in(TWO, "ann|sr");
    irc.speaks(TWO, "2");
}

#[test]
fn a_server_that_takes_no_more_connections_is_left_alone_for_a_while_and_the_owner_hears_why() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.says("bob", "2");
    irc.knocks(TWO, "bob|sr");
    irc.server_to(TWO, "ERROR :Connection refused, too many connections from your IP address!");
    irc.speaks(LinkId::MAIN, "<bob> 2");
    assert!(irc.trouble().contains("bob|sr") && irc.trouble().contains("puppets"), "{}", irc.trouble());
    assert_eq!(irc.left, [TWO]);
    irc.says("carl", "3");
    irc.speaks(LinkId::MAIN, "<carl> 3");
    // Who is in stays.
    irc.says("ann", "4");
    irc.speaks(ONE, "4");
    irc.lives(299);
    assert!(irc.asked.is_empty(), "{:?}", irc.asked);
    irc.lives(2);
    // Who spoke first comes first.
    irc.lets_in(THREE, "bob|sr");
    assert_eq!(irc.states.back(), Some(&AccountState::Ok));
}

#[test]
fn a_ban_of_connections_is_asked_about_in_hours() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.knocks(ONE, "ann|sr");
    irc.server_to(ONE, "ERROR :Closing link: (ann@h) [G-lined: no bridges]");
    irc.speaks(LinkId::MAIN, "<ann> 1");
    assert!(irc.trouble().contains("G-lined"), "{}", irc.trouble());
    irc.lives(50 * 60);
    irc.says("ann", "2");
    assert!(irc.asked.is_empty());
    irc.speaks(LinkId::MAIN, "<ann> 2");
    irc.lives(11 * 60);
    irc.says("ann", "3");
    assert_eq!(irc.asked, [TWO]);
}

#[test]
fn who_may_not_speak_is_spoken_for() {
    let mut irc = world(5);
    let one = irc.says("ann", "1");
    irc.says("ann", "2");
    irc.lets_in(ONE, "ann|sr");
    assert_eq!(irc.writes(ONE), "PRIVMSG #c :1");
    irc.server_to(ONE, ":irc.test 404 ann|sr #c :Cannot send to channel (+m)");
    irc.unsettled();
    let barrier = irc.writes(ONE).replace("PING", "PONG irc.test");
    irc.server_to(ONE, &format!(":irc.test {barrier}"));
    irc.speaks(LinkId::MAIN, "<ann> 1");
    irc.done(&one);
    irc.speaks(LinkId::MAIN, "<ann> 2");
    irc.lives(9 * 60);
    irc.says("ann", "3");
    irc.speaks(LinkId::MAIN, "<ann> 3");
    irc.quiet(ONE);
    irc.lives(61);
    irc.says("ann", "4");
    irc.speaks(ONE, "4");
}

#[test]
fn who_is_not_let_into_a_channel_or_is_thrown_out_is_spoken_for() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.knocks(ONE, "ann|sr");
    irc.welcomes(ONE, "ann|sr");
    assert_eq!(irc.writes(ONE), "JOIN #c");
    irc.server_to(ONE, ":irc.test 473 ann|sr #c :Cannot join channel (+i)");
    irc.speaks(LinkId::MAIN, "<ann> 1");
    irc.quiet(ONE);
    assert!(irc.rooms.is_empty(), "the room is well: {:?}", irc.rooms);

    irc.says("bob", "2");
    irc.lets_in(TWO, "bob|sr");
    assert_eq!(irc.writes(TWO), "PRIVMSG #c :2");
    for link in [LinkId::MAIN, TWO] {
        irc.server_to(link, ":op!o@h KICK #c bob|sr :no");
    }
    irc.hears_nothing();
    let barrier = irc.writes(TWO).replace("PING", "PONG irc.test");
    irc.server_to(TWO, ":irc.test 404 bob|sr #c :Cannot send to channel");
    irc.server_to(TWO, &format!(":irc.test {barrier}"));
    irc.speaks(LinkId::MAIN, "<bob> 2");
    assert_eq!(irc.settled.len(), 2);
}

#[test]
fn what_a_lost_connection_did_not_say_the_bot_says_and_nothing_twice() {
    let mut irc = world(5);
    let one = irc.says("ann", "first\nsecond\nthird");
    let two = irc.says("ann", "fourth");
    irc.lets_in(ONE, "ann|sr");
    assert_eq!(irc.writes(ONE), "PRIVMSG #c :first");
    let barrier = irc.writes(ONE).replace("PING", "PONG irc.test");
    irc.server_to(ONE, &format!(":irc.test {barrier}"));
    irc.handle(Input::Closed(ONE, "the connection was reset"));
    irc.speaks(LinkId::MAIN, "<ann> second");
    irc.speaks(LinkId::MAIN, "<ann> third");
    irc.done(&one);
    // It did not last: there is none for five minutes.
    irc.speaks(LinkId::MAIN, "<ann> fourth");
    irc.done(&two);
    assert!(irc.asked.is_empty());
    irc.lives(301);
    irc.says("ann", "fifth");
    irc.lets_in(TWO, "ann|sr");
    irc.speaks(TWO, "fifth");
}

#[test]
fn coming_going_and_names_of_ours_are_no_news_and_what_comes_late_is_not_either() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.hears_nothing();
    // The server gives it another name; the bot may hear of that first.
    irc.server(":ann|sr!~p@host.test NICK :Guest7");
    irc.server(":Guest7!~p@host.test PRIVMSG #c :x");
    irc.server_to(ONE, ":ann|sr!~p@host.test NICK :Guest7");
    irc.server(":Guest7!~p@host.test PRIVMSG #c :y");
    irc.hears_nothing();
    irc.handle(Input::Closed(ONE, "the connection was reset"));
    irc.server(":Guest7!~p@host.test PRIVMSG #c :said just before");
    irc.server(":Guest7!~p@host.test QUIT :Connection reset");
    irc.hears_nothing();
    // Much later the name is somebody's.
    irc.lives(301);
    irc.server(":Guest7!g@h JOIN #c");
    irc.server(":Guest7!g@h PRIVMSG #c :I am new here");
    irc.events.retain(|event| matches!(event.kind, sameroom_model::EventKind::Posted(_)));
    irc.hears("Guest7", "I am new here");
}

#[test]
fn a_nick_that_is_taken_or_not_given_yet_is_not_ours() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.knocks(ONE, "ann|sr");
    irc.server_to(ONE, ":irc.test CAP * LS :");
    irc.server_to(ONE, ":irc.test 433 * ann|sr :Nickname is already in use");
    // Somebody else has it, and is heard.
    irc.server(":ann|sr!x@h PRIVMSG #c :I was first");
    irc.hears("ann|sr", "I was first");
    assert_eq!(irc.writes(ONE), "CAP END");
    assert_eq!(irc.writes(ONE), "NICK ann|sr_");
    irc.server_to(ONE, ":irc.test 001 ann|sr_ :Welcome");
    irc.server_to(ONE, ":irc.test 422 ann|sr_ :No MOTD");
    assert_eq!(irc.writes(ONE), "JOIN #c");
    irc.joins(ONE, "ann|sr_", "#c");
    irc.speaks(ONE, "1");
    irc.server(":ann|sr_!~p@host.test PRIVMSG #c :1");
    irc.hears_nothing();
    irc.server(":ann|sr!x@h PRIVMSG #c :still here");
    irc.hears("ann|sr", "still here");
}

#[test]
fn two_of_one_name_are_two_and_names_without_letters_are_the_bots() {
    let mut irc = world(5);
    let says = |irc: &mut World, id: &str, user: &str, shown: &str| {
        let delivery = Delivery {
            id: id.into(),
            lane: Lane { from: RoomRef::new("else", "where"), to: RoomRef::new("acc", "#c") },
            origin: Origin { event: id.into(), key: None, at: irc.now },
            author: Some(Author::new(user, shown)),
            shown: shown.to_owned(),
            action: post(Text::plain(id)),
            copies: vec![],
        };
        irc.handle(Input::Deliver(Box::new(delivery)));
    };
    says(&mut irc, "a", "u1", "Ann");
    irc.lets_in(ONE, "Ann|sr");
    irc.speaks(ONE, "a");
    says(&mut irc, "b", "u2", "Ann");
    irc.knocks(TWO, "Ann|sr");
    irc.server_to(TWO, ":irc.test CAP * LS :");
    irc.server_to(TWO, ":irc.test 433 * Ann|sr :Nickname is already in use");
    assert_eq!((irc.writes(TWO), irc.writes(TWO)), ("CAP END".into(), "NICK Ann|sr_".into()));
    irc.server_to(TWO, ":irc.test 001 Ann|sr_ :Welcome");
    irc.server_to(TWO, ":irc.test 422 Ann|sr_ :No MOTD");
    assert_eq!(irc.writes(TWO), "JOIN #c");
    irc.joins(TWO, "Ann|sr_", "#c");
    irc.speaks(TWO, "b");
    says(&mut irc, "c", "u3", "Анна");
    irc.speaks(LinkId::MAIN, "<Анна> c");
    assert!(irc.asked.is_empty());
}

#[test]
fn private_words_are_answered_once_and_notices_never() {
    let mut irc = world(5);
    irc.says("Ann", "1");
    irc.lets_in(ONE, "Ann|sr");
    irc.speaks(ONE, "1");
    irc.server_to(ONE, ":carl!c@h NOTICE ann|sr :psst");
    irc.server_to(ONE, ":carl!c@h PRIVMSG Ann|sr :\u{1}VERSION\u{1}");
    irc.server_to(ONE, ":irc.test PRIVMSG Ann|sr :I am a server");
    irc.quiet(ONE);
    irc.server_to(ONE, ":carl!c@h PRIVMSG Ann|sr :are you there?");
    let answer = irc.writes(ONE);
    assert!(answer.starts_with("NOTICE carl :I pass on what Ann writes elsewhere."), "{answer}");
    irc.server_to(ONE, ":carl!c@h PRIVMSG Ann|sr :hello?");
    irc.quiet(ONE);
    irc.hears_nothing();
    irc.lives(601);
    irc.server_to(ONE, ":carl!c@h PRIVMSG Ann|sr :hello?");
    assert_eq!(irc.writes(ONE), answer);
}

#[test]
fn a_gateway_says_first_whose_connection_it_is_and_always_the_same() {
    let address = |user: &str| {
        let mut setup = setup(5);
        setup.secrets = vec![("webirc", "sesame")];
        let mut irc = setup.joined("", ISUPPORT);
        irc.says(user, "1");
        assert_eq!(irc.asked.pop_front(), Some(ONE));
        irc.handle(Input::Opened(ONE));
        let first = irc.writes(ONE);
        assert_eq!(irc.writes(ONE), "CAP LS 302");
        let rest = first.strip_prefix("WEBIRC sesame sameroom ").unwrap_or_else(|| panic!("{first}"));
        let (host, ip) = rest.split_once(' ').unwrap();
        assert_eq!(host, ip);
        assert!(ip.parse::<std::net::Ipv6Addr>().unwrap().is_unique_local(), "{ip}");
        ip.to_owned()
    };
    // All of a test are one user of that platform; what they are called makes no difference.
    assert_eq!(address("ann"), address("annie"));
}

#[test]
fn the_login_stays_with_the_bot_and_the_servers_password_and_keys_go_along() {
    let mut setup = setup(5);
    setup.secrets = vec![("password", "of-the-bot"), ("server_password", "of-the-server"), ("key #c", "of-the-room")];
    let mut irc = setup.start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.registers("", ISUPPORT);
    irc.server(":NickServ!s@h NOTICE bot :You are now identified");
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.sent.clear();
    irc.says("ann", "1");
    assert_eq!(irc.asked.pop_front(), Some(ONE));
    irc.handle(Input::Opened(ONE));
    assert_eq!(irc.writes(ONE), "CAP LS 302");
    assert_eq!(irc.writes(ONE), "PASS :of-the-server");
    assert_eq!(irc.writes(ONE), "NICK ann|sr");
    assert!(irc.writes(ONE).ends_with(":ann, by way of bot"));
    irc.welcomes(ONE, "ann|sr");
    assert_eq!(irc.writes(ONE), "JOIN #c of-the-room");
    irc.joins(ONE, "ann|sr", "#c");
    irc.speaks(ONE, "1");
    // The room has a new key: who comes later is told it by the bot.
    irc.server(":op!o@h MODE #c +k changed");
    irc.says("bob", "2");
    irc.knocks_with_password(TWO);
    irc.welcomes(TWO, "bob|sr");
    assert_eq!(irc.writes(TWO), "JOIN #c changed");
}

impl World {
    fn knocks_with_password(&mut self, link: LinkId) {
        assert_eq!(self.asked.pop_front(), Some(link));
        self.handle(Input::Opened(link));
        self.aside.clear();
    }
}

#[test]
fn rooms_come_and_go() {
    let mut irc = Setup { rooms: vec!["#c", "#d"], ..setup(5) }.joined("", ISUPPORT);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    // Only where somebody speaks do they come.
    let two = irc.says_in("#d", "ann", "2");
    irc.unsettled_but(1);
    assert_eq!(irc.writes(ONE), "JOIN #d");
    irc.joins(ONE, "ann|sr", "#d");
    assert_eq!(irc.writes(ONE), "PRIVMSG #d :2");
    irc.settled.clear();
    // The room goes while something is under way, and something waits.
    let three = irc.says_in("#d", "ann", "3");
    irc.has_rooms(&["#c"], None);
    assert!(matches!(irc.outcome(&two), Outcome::Retry { sent: Sent::Maybe, .. }));
    assert!(matches!(irc.outcome(&three), Outcome::Retry { sent: Sent::No, .. }));
    assert_eq!(irc.writes(LinkId::MAIN), "PART #d");
    assert_eq!(irc.aside.get_mut(&ONE).unwrap().pop_back().as_deref(), Some("PART #d"));
    irc.aside.clear();
    // With the last one goes the connection.
    irc.has_rooms(&[], None);
    assert!(irc.writes(ONE).starts_with("QUIT"));
    irc.passes(3);
    assert_eq!(irc.left, [ONE]);
}

impl World {
    #[track_caller]
    fn unsettled_but(&self, settled: usize) {
        assert_eq!(self.settled.len(), settled, "{:?}", self.settled);
    }
}

#[test]
fn where_nobody_listens_nobody_speaks() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.handle(Input::Closed(LinkId::MAIN, "the connection was reset"));
    irc.settled.clear();
    let two = irc.says("ann", "2");
    irc.passes(4);
    irc.unsettled();
    irc.quiet(ONE);
    irc.connects("", ISUPPORT);
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.speaks(ONE, "2");
    irc.done(&two);
}

#[test]
fn a_room_that_is_shut_is_shut_for_all() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.settled.clear();
    for _ in 0..2 {
        irc.server(":op!o@h KICK #c bot :no bridges");
    }
    let (two, three) = (irc.says("ann", "2"), irc.says("bob", "3"));
    for id in [two, three] {
        assert!(matches!(irc.outcome(&id), Outcome::RoomClosed { .. }));
    }
    irc.quiet(ONE);
}

#[test]
fn all_say_goodbye() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.settled.clear();
    irc.sent.clear();
    let two = irc.says("ann", "2");
    let three = irc.says("bob", "3");
    irc.handle(Input::Stop);
    let four = irc.says("ann", "4");
    assert!(irc.aside[&ONE].iter().any(|line| line.starts_with("QUIT")));
    assert!(irc.sent.iter().any(|line| line.starts_with("QUIT")));
    assert!(!irc.stopped);
    irc.handle(Input::Closed(LinkId::MAIN, "bye"));
    irc.passes(3);
    assert!(irc.stopped);
    assert!(matches!(irc.outcome(&two), Outcome::Retry { sent: Sent::Maybe, .. }));
    assert!(matches!(irc.outcome(&three), Outcome::Retry { sent: Sent::No, .. }));
    assert!(matches!(irc.outcome(&four), Outcome::Retry { sent: Sent::No, .. }));
    let five = irc.says("ann", "5");
    assert!(matches!(irc.outcome(&five), Outcome::Retry { .. }));
}

#[test]
fn who_was_cut_off_by_an_operator_is_not_brought_back_at_once() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.server_to(ONE, ":op!o@h KILL ann|sr :no");
    irc.server_to(ONE, "ERROR :Closing link: Killed (op (no))");
    irc.says("ann", "2");
    irc.speaks(LinkId::MAIN, "<ann> 2");
    // Others are.
    irc.says("bob", "3");
    irc.lets_in(TWO, "bob|sr");
    irc.speaks(TWO, "3");
    assert!(!matches!(irc.states.back(), Some(AccountState::Trouble(_))));
    irc.lives(59 * 60);
    irc.says("ann", "4");
    irc.speaks(LinkId::MAIN, "<ann> 4");
    assert!(irc.asked.is_empty());
}

#[test]
fn reactions_and_deletions_bring_nobody_and_go_where_somebody_is() {
    let caps = "message-tags echo-message batch labeled-response draft/message-redaction";
    let mut irc = setup(5).joined(caps, ISUPPORT);
    let react = || Action::React { emoji: "👍".into(), on: true };
    irc.does_to("#c", "ann", react(), &["m1"]);
    assert!(irc.asked.is_empty());
    assert!(irc.writes(LinkId::MAIN).contains("+draft/react=👍"));
    // A tag of the answer settles it.
    irc.server("@label=s1 :irc.test ACK");
    assert_eq!(irc.settled.len(), 1);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.does_to("#c", "ann", Action::Delete, &["m1"]);
    // Her own connection has no such capability here: there is nothing to do.
    irc.quiet(ONE);
    assert_eq!(irc.settled.len(), 3);
}

#[test]
fn an_idle_hour_asks_for_little() {
    let mut irc = world(50);
    for n in 0..20_u32 {
        let who = format!("p{n:02}");
        irc.says(&who, "1");
        irc.lets_in(LinkId(n + 1), &format!("{who}|sr"));
        irc.speaks(LinkId(n + 1), "1");
    }
    let end = irc.now + SignedDuration::from_mins(10);
    let mut wakes = 0;
    while let Some(at) = irc.session.wakes_at().filter(|at| *at <= end) {
        assert!(at > irc.now, "woken at {}, to be woken at {at}", irc.now);
        irc.now = at;
        irc.handle(Input::Wake);
        for n in 0..=20 {
            irc.server_to(LinkId(n), "PING :x");
        }
        wakes += 1;
    }
    assert!(wakes <= 11, "{wakes} wakes in ten minutes");
}
