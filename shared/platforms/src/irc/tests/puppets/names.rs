//! What they are called, who they are to others, and that they are ours.

use super::*;

#[test]
fn coming_going_and_names_of_ours_are_no_news_and_what_comes_late_is_not_either() {
    let mut irc = ann_is_in();
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

#[test]
fn a_name_that_is_ours_stays_ours_whoever_is_told_first() {
    let mut irc = ann_is_in();
    irc.server_to(ONE, ":ann|sr!~p@host.test NICK :Guest7");
    irc.server(":ann|sr!~p@host.test NICK :Guest7");
    irc.lives(600);
    irc.server(":Guest7!~p@host.test PRIVMSG #c :x");
    irc.hears_nothing();
}

#[test]
fn a_name_that_one_of_ours_takes_over_from_another_stays_ours() {
    let mut irc = ann_is_in();
    irc.says("bob", "2");
    irc.lets_in(TWO, "bob|sr");
    irc.speaks(TWO, "2");
    // The server has noticed that the first connection is dead, and we have not.
    irc.server_to(TWO, ":bob|sr!~p@host.test NICK :ann|sr");
    irc.server(":bob|sr!~p@host.test NICK :ann|sr");
    irc.handle(Input::Closed(ONE, "it fell silent"));
    irc.lives(600);
    irc.server(":ann|sr!~p@host.test PRIVMSG #c :x");
    irc.hears_nothing();
}

#[test]
fn history_of_an_earlier_run_is_ours_by_its_names() {
    let caps = "server-time message-tags batch draft/chathistory";
    let mut irc = Setup { seen: Some("2026-11-22T09:00:00Z"), ..setup(5) }.joined(caps, ISUPPORT);
    irc.server(":irc.test BATCH +1 chathistory #c");
    for (nick, words) in
        [("ann|sr", "said by us"), ("ann|sr_2", "this too"), ("ann|srx", "not this"), ("carl", "nor this")]
    {
        irc.server(&format!("@batch=1;time=2026-11-22T09:30:00Z :{nick}!p@h PRIVMSG #c :{words}"));
    }
    irc.server(":irc.test BATCH -1");
    irc.hears("ann|srx", "not this");
    irc.hears("carl", "nor this");
    irc.hears_nothing();
}

#[test]
fn where_nicks_may_have_any_letters_people_keep_theirs() {
    let mut irc = setup(2).joined("", "CASEMAPPING=precis NICKLEN=20");
    irc.says("Анна", "1");
    irc.lets_in(ONE, "Анна|sr");
    irc.speaks(ONE, "1");
}

#[test]
fn a_name_longer_than_a_line_does_no_harm() {
    let mut irc = world(5);
    irc.says(&format!("ann{}", "e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}".repeat(40)), "1");
    assert_eq!(irc.asked.pop_front(), Some(ONE));
    irc.handle(Input::Opened(ONE));
    let user = irc.aside[&ONE].iter().find(|line| line.starts_with("USER ")).expect("it says who it is");
    assert!(user.len() < 200, "{user}");
}

#[test]
fn a_gateways_password_that_is_not_one_word_is_named() {
    for secret in ["open sesame", "", ":sesame"] {
        let mut irc = Setup { secrets: vec![("webirc", secret)], ..setup(5) }.joined("", ISUPPORT);
        irc.says("ann", "1");
        assert_eq!(irc.asked.pop_front(), Some(ONE));
        irc.handle(Input::Opened(ONE));
        assert_eq!(irc.left, [ONE]);
        irc.speaks(LinkId::MAIN, "<ann> 1");
        assert!(irc.trouble().contains("not one word"), "{}", irc.trouble());
    }
}

#[test]
fn where_the_bot_was_led_to_tls_nobody_goes_in_the_clear() {
    let mut irc = Setup { secrets: vec![("server_password", "hush")], ..setup(5) }.start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test CAP * LS :sts=port=6697");
    irc.passes(1);
    irc.connects("sts=duration=300", ISUPPORT);
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.aside.clear();
    irc.dials.clear();
    irc.lives(400);
    irc.says("ann", "1");
    assert_eq!(irc.asked, [ONE]);
    let Some(Dial::Tcp { port, tls, .. }) = irc.dials_aside.pop_front() else { panic!("a dial") };
    assert!(tls.is_some());
    assert_eq!(port, 6697);
}
