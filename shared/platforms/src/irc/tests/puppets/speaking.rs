//! What they say, who says it for them, and in which order.

use super::*;

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

#[test]
fn where_nobody_listens_nobody_speaks() {
    let mut irc = ann_is_in();
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
    let mut irc = ann_is_in();
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
    let mut irc = ann_is_in();
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
fn somebody_in_two_rooms_at_once_is_answered_for_each() {
    let mut irc = Setup { rooms: vec!["#c", "#d"], ..setup(5) }.joined("", ISUPPORT);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.settled.clear();
    let two = irc.says_in("#d", "ann", "2");
    assert_eq!(irc.writes(ONE), "JOIN #d");
    irc.joins(ONE, "ann|sr", "#d");
    assert_eq!(irc.writes(ONE), "PRIVMSG #d :2");
    let pong = irc.writes(ONE).replace("PING", "PONG irc.test");
    let three = irc.says("ann", "3");
    assert_eq!(irc.writes(ONE), "PRIVMSG #c :3");
    irc.server_to(ONE, &format!(":irc.test {pong}"));
    irc.done(&two);
    // What was said in one room is not taken for what was said in the other.
    irc.does("#c", "", Action::Notice { body: Text::plain("4") });
    irc.quiet(LinkId::MAIN);
    irc.handle(Input::Closed(ONE, "the connection was reset"));
    irc.speaks(LinkId::MAIN, "<ann> 3");
    irc.done(&three);
    irc.speaks(LinkId::MAIN, "4");
}

#[test]
fn a_channel_that_wants_a_login_to_speak_hears_the_bot() {
    let mut irc = world(5);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    assert_eq!(irc.writes(ONE), "PRIVMSG #c :1");
    // InspIRCd's `+M`.
    let why = "You need to be identified to a registered account to message this channel";
    irc.server_to(ONE, &format!(":irc.test 477 ann|sr #c :{why}"));
    let pong = irc.writes(ONE).replace("PING", "PONG irc.test");
    irc.server_to(ONE, &format!(":irc.test {pong}"));
    irc.unsettled();
    irc.speaks(LinkId::MAIN, "<ann> 1");
}
