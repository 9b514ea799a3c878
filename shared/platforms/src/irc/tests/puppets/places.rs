//! Who has a connection, and who waits for one.

use super::*;

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
    assert_eq!(irc.writes(ONE), "QUIT :Sameroom closes this connection");
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
    let mut irc = ann_is_in();
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
    let mut irc = ann_is_in();
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
    // Ann herself not before a day has passed.
    irc.says("ann", "3");
    irc.speaks(LinkId::MAIN, "<ann> 3");
    irc.says("bob", "4");
    assert_eq!(irc.asked, [TWO]);
}

#[test]
fn who_was_cut_off_by_an_operator_is_not_brought_back_at_once() {
    let mut irc = ann_is_in();
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

#[test]
fn a_ban_of_one_who_was_in_meets_that_one_alone() {
    let mut irc = Setup { secrets: vec![("webirc", "sesame")], ..setup(5) }.joined("", ISUPPORT);
    irc.says("ann", "1");
    assert_eq!(irc.asked.pop_front(), Some(ONE));
    irc.handle(Input::Opened(ONE));
    irc.server_to(ONE, "ERROR :Closing link: [Z-lined: spam]");
    irc.speaks(LinkId::MAIN, "<ann> 1");
    irc.says("bob", "2");
    assert_eq!(irc.asked, [TWO]);
}

#[test]
fn nobody_comes_for_a_room_that_is_gone_or_before_the_bot_is_there() {
    let mut irc = Setup { rooms: vec!["#c", "#d"], ..careful_setup(5) }.joined("", ISUPPORT);
    irc.says("ann", "1");
    irc.lets_in(ONE, "ann|sr");
    irc.speaks(ONE, "1");
    irc.says_in("#d", "bob", "2");
    irc.says("carl", "3");
    irc.has_rooms(&["#c"], None);
    irc.handle(Input::Closed(LinkId::MAIN, "the connection was reset"));
    irc.lives(20);
    assert!(irc.asked.is_empty(), "{:?}", irc.asked);
    irc.connects("", ISUPPORT);
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.lives(1);
    irc.lets_in(TWO, "carl|sr");
    irc.lives(20);
    assert!(irc.asked.is_empty(), "{:?}", irc.asked);
}

#[test]
fn where_the_bot_stays_away_its_people_go_so_that_it_finds_a_place() {
    let mut irc = ann_is_in();
    irc.settled.clear();
    let two = irc.says("ann", "2");
    assert_eq!(irc.writes(ONE), "PRIVMSG #c :2");
    irc.handle(Input::Closed(LinkId::MAIN, "the connection was reset"));
    irc.passes(61);
    assert_eq!(irc.left, [ONE]);
    // What was not confirmed the bot says once it is back.
    irc.unsettled();
    irc.connects("", ISUPPORT);
    irc.sent.clear();
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.speaks(LinkId::MAIN, "<ann> 2");
    irc.done(&two);
}
