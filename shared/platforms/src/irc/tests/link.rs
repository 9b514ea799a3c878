//! Reconnecting: soon after an accident, late after a refusal.

use sameroom_model::AccountState;

use super::world::{Setup, World, plain};
use crate::{Input, LinkId};

/// Seconds until the next dial.
fn until_dial(irc: &mut World) -> i64 {
    irc.dials.clear();
    let mut seconds = 0;
    while irc.dials.is_empty() {
        irc.passes(1);
        seconds += 1;
        assert!(seconds < 200_000, "never dials");
    }
    seconds
}

#[test]
fn a_lost_connection_is_soon_back_and_the_first_minute_is_quick() {
    let mut irc = plain();
    irc.handle(Input::Closed(LinkId::MAIN, "connection reset by peer"));
    assert!(
        matches!(irc.states.pop_back(), Some(AccountState::Trouble(why)) if why.contains("connection reset by peer"))
    );
    assert!(until_dial(&mut irc) <= 2);
    let mut passed = 2;
    while passed < 55 {
        irc.handle(Input::Closed(LinkId::MAIN, "connection refused"));
        let wait = until_dial(&mut irc);
        assert!(wait <= 5, "{wait}");
        passed += wait;
    }
    let mut longest = 0;
    for _ in 0..30 {
        irc.handle(Input::Closed(LinkId::MAIN, "connection refused"));
        longest = longest.max(until_dial(&mut irc));
    }
    assert!((60..=300).contains(&longest), "{longest}");
    irc.connects("", "CASEMAPPING=ascii");
    assert_eq!(irc.states.pop_back(), Some(AccountState::Ok));
}

#[test]
fn the_server_is_named_once() {
    for (words, expected) in [
        ("irc.test:6667: the connection was refused", "irc.test:6667: the connection was refused; connecting again"),
        ("connection reset by peer", "irc.test: connection reset by peer; connecting again"),
    ] {
        let mut irc = plain();
        irc.handle(Input::Closed(LinkId::MAIN, words));
        assert_eq!(irc.states.pop_back(), Some(AccountState::Trouble(expected.to_owned())));
    }
}

#[test]
fn jitter_is_the_seed_s() {
    let waits = || {
        let mut irc = plain();
        irc.handle(Input::Closed(LinkId::MAIN, "gone"));
        irc.session.wakes_at()
    };
    assert_eq!(waits(), waits());
}

#[test]
fn what_the_server_says_decides_how_long() {
    for (words, at_least, at_most) in [
        ("Closing Link: 10.0.0.1 (Ping timeout: 120 seconds)", 0, 2),
        ("Closing link: (bot@10.0.0.1) [Connection throttled]", 120, 600),
        ("Trying to reconnect too fast.", 120, 600),
        ("Closing Link: 10.0.0.1 (Excess Flood)", 15, 60),
        ("Closing link: (bot@10.0.0.1) [RecvQ exceeded]", 15, 60),
        ("Closing Link: 10.0.0.1 (Too many host connections)", 300, 1200),
        ("Closing Link: 10.0.0.1 (Killed (oper (spam)))", 300, 1200),
        ("Closing Link: 10.0.0.1 (Killed (services (GHOST command used by bot_)))", 15, 60),
        ("Closing Link: 10.0.0.1 (K-Lined)", 3600, 4300),
        ("Closing Link: 10.0.0.1 (*** You are banned from this server)", 3600, 4300),
    ] {
        let mut irc = plain();
        irc.server(&format!("ERROR :{words}"));
        assert_eq!(irc.closed, 1);
        let wait = until_dial(&mut irc);
        assert!((at_least..=at_most).contains(&wait), "{words}: {wait}");
    }
}

#[test]
fn a_kill_is_remembered_when_the_line_just_ends() {
    let mut irc = plain();
    irc.server(":oper!o@h KILL bot :spam");
    irc.handle(Input::Closed(LinkId::MAIN, "end of stream"));
    assert!(until_dial(&mut irc) >= 300);
}

#[test]
fn a_throttled_join_or_registration_waits() {
    let mut irc = plain();
    irc.server(":irc.test 439 bot :Please wait while we process your connection");
    irc.says("ann", "hi");
    irc.silence();
    irc.passes(10);
    irc.client("PRIVMSG #c :<ann> hi");
}

#[test]
fn a_dial_that_nobody_answers_is_given_up() {
    let mut irc = Setup::default().start();
    irc.dials.clear();
    irc.passes(59);
    assert_eq!(irc.closed, 0);
    irc.passes(3);
    assert_eq!((irc.closed, irc.dials.len()), (1, 1));
}

#[test]
fn what_is_no_irc_server_is_for_the_owner() {
    let mut irc = Setup { endpoint: Some("https://irc.test"), ..Setup::default() }.start();
    assert!(irc.needs_owner().contains("not a scheme of IRC"));
    assert!(irc.dials.is_empty());
}

#[test]
fn secrets_show_in_no_state_and_no_dial() {
    let secrets = vec![("password", "s3cret"), ("cert", "s3cret"), ("certkey", "s3cret"), ("ca", "s3cret")];
    let mut irc = Setup { endpoint: Some("ircs://irc.test"), secrets, ..Setup::default() }.start();
    assert!(!format!("{:?}", irc.dials).contains("s3cret"));
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.registers("", "CASEMAPPING=ascii");
    irc.server(":NickServ!s@services NOTICE bot :Invalid password for bot.");
    assert!(!format!("{:?}", irc.states).contains("s3cret"));
}
