//! From an open connection to a joined channel, on servers of all ages.

use sameroom_model::{AccountState, Outcome};

use super::world::Setup;
use crate::{Dial, Input, LinkId, Pin};

#[test]
fn an_old_server_without_capabilities() {
    let mut irc = Setup::default().start();
    assert_eq!(irc.dials.pop_front(), Some(Dial::Tcp { host: "irc.test".into(), port: 6667, tls: None }));
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.client("CAP LS 302");
    irc.client("NICK bot");
    irc.client("USER bot 0 * :Sameroom, a bridge between rooms");
    irc.server(":irc.test CAP * LS :multi-prefix");
    irc.client("CAP REQ :multi-prefix");
    irc.server(":irc.test CAP * ACK :multi-prefix");
    irc.client("CAP END");
    irc.server(":irc.test 001 bot :Welcome to the Internet Relay Network bot!~bot@localhost");
    irc.server(":irc.test 005 bot NETWORK=test CHANTYPES=#&+ CASEMAPPING=ascii :are supported on this server");
    irc.server(":irc.test 422 bot :MOTD file is missing");
    irc.client("JOIN #c");
    irc.silence();
    irc.server(":bot!~bot@localhost JOIN :#c");
    assert_eq!(irc.states.pop_back(), Some(AccountState::Ok));
    assert_eq!(irc.identity.as_ref().unwrap().key.as_ref().unwrap().as_str(), "nick:bot");
    let id = irc.says("ann", "hello");
    irc.client("PRIVMSG #c :<ann> hello");
    irc.pong();
    irc.done(&id);
}

#[test]
fn a_server_that_does_not_know_cap() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test 421 bot CAP :Unknown command");
    irc.server(":irc.test 001 bot :Welcome");
    irc.server(":irc.test 376 bot :End of MOTD");
    assert_eq!(irc.sent.pop_back().as_deref(), Some("JOIN #c"));
}

#[test]
fn a_server_that_forgets_us_is_begun_with_anew() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test 451 * CAP :You have not registered");
    irc.server(":irc.test 001 bot :Welcome");
    irc.server(":irc.test 376 bot :End of MOTD");
    assert_eq!((irc.sent.pop_back().as_deref(), irc.closed), (Some("JOIN #c"), 0));
    irc.dials.clear();
    irc.server(":irc.test 451 bot :You have not registered");
    assert_eq!(irc.closed, 1);
    irc.passes(2);
    assert_eq!(irc.dials.len(), 1);
}

#[test]
fn a_pin_goes_with_the_connection() {
    let settings = serde_json::json!({ "pin": format!("sha256:{}", "0a".repeat(32)) });
    let irc = Setup { endpoint: Some("ircs://irc.test"), settings, ..Setup::default() }.start();
    let Some(Dial::Tcp { tls: Some(tls), .. }) = irc.dials.front() else { panic!("TLS") };
    assert_eq!((tls.pin, tls.pinnable), (Some(Pin([10; 32])), true));
}

#[test]
fn only_known_capabilities_are_asked_for() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.sent.clear();
    irc.server(":irc.test CAP * LS * :inspircd.org/poison account-tag away-notify");
    irc.silence();
    irc.server(":irc.test CAP * LS :sasl=EXTERNAL,PLAIN server-time message-tags");
    irc.client("CAP REQ :account-tag message-tags server-time");
    irc.silence();
}

#[test]
fn a_refused_request_is_tried_one_by_one() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test CAP * LS :batch echo-message server-time");
    irc.sent.clear();
    irc.server(":irc.test CAP * NAK :batch echo-message server-time");
    irc.client("CAP REQ :batch");
    irc.client("CAP REQ :echo-message");
    irc.client("CAP REQ :server-time");
    irc.server(":irc.test CAP * ACK :batch");
    irc.server(":irc.test CAP * NAK :echo-message");
    irc.silence();
    irc.server(":irc.test CAP * ACK :server-time");
    irc.client("CAP END");
}

#[test]
fn a_request_that_is_never_answered_does_not_keep_us_out() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test CAP * LS :batch");
    irc.sent.clear();
    irc.passes(10);
    irc.client("CAP END");
}

#[test]
fn new_capabilities_are_taken_and_lost_ones_let_go() {
    let mut irc = Setup::default().joined("batch", "CASEMAPPING=ascii");
    irc.server(":irc.test CAP bot NEW :echo-message inspircd.org/poison");
    irc.client("CAP REQ :echo-message");
    irc.server(":irc.test CAP bot ACK :echo-message");
    let id = irc.says("ann", "one");
    irc.client("PRIVMSG #c :<ann> one");
    irc.silence();
    irc.server(":bot!~bot@host.test PRIVMSG #c :<ann> one");
    irc.done(&id);
    irc.server(":irc.test CAP bot DEL :echo-message");
    irc.says("ann", "two");
    irc.client("PRIVMSG #c :<ann> two");
    irc.pong();
}

#[test]
fn server_password_realname_and_bot_mode() {
    let mut irc = Setup {
        secrets: vec![("server_password", "open sesame")],
        settings: serde_json::json!({ "realname": "A bridge" }),
        ..Setup::default()
    }
    .start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.client("CAP LS 302");
    irc.client("PASS :open sesame");
    irc.client("NICK bot");
    irc.client("USER bot 0 * :A bridge");
    irc.registers("", "BOT=B");
    irc.client("CAP END");
    irc.client("MODE bot +B");
    irc.client("JOIN #c");
}

fn sasl() -> Setup {
    Setup {
        endpoint: Some("ircs://irc.test"),
        settings: serde_json::json!({ "sasl": "plain", "user": "jilles" }),
        secrets: vec![("password", "sesame")],
        ..Setup::default()
    }
}

#[test]
fn sasl_plain_before_anything_is_joined() {
    let mut irc = sasl().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.sent.clear();
    irc.server(":irc.test CAP * LS :sasl=EXTERNAL,PLAIN account-tag");
    irc.client("CAP REQ :account-tag sasl");
    irc.server(":irc.test CAP * ACK :account-tag sasl");
    irc.client("AUTHENTICATE PLAIN");
    irc.server("AUTHENTICATE :+");
    irc.client("AUTHENTICATE AGppbGxlcwBzZXNhbWU=");
    irc.server(":irc.test 900 bot bot!~bot@10.0.0.1 jilles :You are now logged in as jilles");
    irc.server(":irc.test 903 bot :SASL authentication successful");
    irc.client("CAP END");
    irc.server(":irc.test 001 bot :Welcome");
    irc.server(":irc.test 422 bot :No MOTD");
    irc.client("JOIN #c");
}

#[test]
fn sasl_refused_joins_nothing() {
    let mut irc = sasl().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    let id = irc.says("ann", "hello");
    irc.server(":irc.test CAP * LS :sasl=PLAIN");
    irc.server(":irc.test CAP * ACK :sasl");
    irc.server("AUTHENTICATE +");
    irc.sent.clear();
    irc.server(":irc.test 904 bot :SASL authentication failed");
    irc.client("QUIT :no login");
    irc.silence();
    assert_eq!(irc.closed, 1);
    assert_eq!(irc.needs_owner(), "irc.test refused the login of jilles: give the right account and password");
    assert!(matches!(irc.outcome(&id), Outcome::Disconnected { .. }));
    irc.passes(100_000);
    assert_eq!(irc.dials.len(), 1, "a wrong password is not tried again");
    let id = irc.says("ann", "still there?");
    assert!(matches!(irc.outcome(&id), Outcome::Disconnected { .. }));
}

#[test]
fn sasl_asked_for_by_name_and_not_offered_is_tried_again_later() {
    let mut irc = sasl().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test CAP * LS :account-tag");
    irc.server(":irc.test CAP * ACK :account-tag");
    assert_eq!(irc.sent.pop_back().as_deref(), Some("QUIT :no login"));
    assert!(matches!(irc.states.pop_back(), Some(AccountState::Trouble(why)) if why.contains("offers no SASL")));
    irc.passes(150);
    assert_eq!(irc.dials.len(), 2);
}

#[test]
fn sasl_external_by_certificate() {
    let mut irc = Setup {
        endpoint: Some("ircs://irc.test:6698"),
        settings: serde_json::json!({ "sasl": "external" }),
        secrets: vec![("cert", "CERT"), ("certkey", "KEY"), ("ca", "CA")],
        ..Setup::default()
    }
    .start();
    let Some(Dial::Tcp { port: 6698, tls: Some(tls), .. }) = irc.dials.pop_front() else { panic!("TLS to 6698") };
    assert_eq!((tls.ca.as_deref(), tls.client), (Some("CA"), Some(("CERT".into(), "KEY".into()))));
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test CAP * LS :sasl=EXTERNAL,PLAIN");
    irc.server(":irc.test CAP * ACK :sasl");
    irc.sent.retain(|line| line.starts_with("AUTH"));
    irc.client("AUTHENTICATE EXTERNAL");
    irc.server("AUTHENTICATE +");
    irc.client("AUTHENTICATE +");
    irc.server(":irc.test 903 bot :ok");
    irc.client("CAP END");
}

#[test]
fn nickserv_where_there_is_no_sasl() {
    let mut irc = Setup { secrets: vec![("password", "sesame")], ..Setup::default() }.start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.registers("", "CASEMAPPING=ascii");
    assert_eq!(irc.sent.pop_back().as_deref(), Some("PRIVMSG NickServ :IDENTIFY sesame"));
    irc.sent.clear();
    irc.server(
        ":NickServ!services@services.test NOTICE bot :This nickname is registered. Please choose a different nickname",
    );
    irc.silence();
    irc.server(":NickServ!services@services.test NOTICE bot :You are now identified for \u{2}bot\u{2}.");
    irc.client("JOIN #c");
}

#[test]
fn nickserv_says_no() {
    let mut irc = Setup { secrets: vec![("password", "wrong")], ..Setup::default() }.start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.registers("", "CASEMAPPING=ascii");
    irc.server(":NickServ!services@services.test NOTICE bot :Invalid password for \u{2}bot\u{2}.");
    assert!(irc.needs_owner().contains("refused the login of bot"));
    assert!(!irc.sent.iter().any(|line| line.starts_with("JOIN")));
}

#[test]
fn nickserv_absent_or_mute_keeps_nobody_out() {
    for answer in [Some(":irc.test 401 bot NickServ :No such nick"), Some(":bot MODE bot :+r"), None] {
        let mut irc = Setup { secrets: vec![("password", "sesame")], ..Setup::default() }.start();
        irc.handle(Input::Opened(LinkId::MAIN));
        irc.registers("", "CASEMAPPING=ascii");
        irc.sent.clear();
        match answer {
            Some(line) => irc.server(line),
            None => irc.passes(10),
        }
        irc.client("JOIN #c");
    }
}

#[test]
fn sts_leads_from_the_clear_to_tls() {
    let mut irc = Setup { secrets: vec![("password", "sesame")], ..Setup::default() }.start();
    irc.dials.clear();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.sent.clear();
    irc.server(":irc.test CAP * LS :sts=port=16698,duration=300 sasl=PLAIN");
    irc.silence();
    assert_eq!(irc.closed, 1);
    let Some(Dial::Tcp { port: 16698, tls: Some(_), .. }) = irc.dials.pop_front() else { panic!("TLS to 16698") };
    // There the policy gets its lifetime: the next connection is secured from the start.
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.registers("sts=duration=300", "CASEMAPPING=ascii");
    irc.handle(Input::Closed(LinkId::MAIN, "reset"));
    irc.passes(2);
    let Some(Dial::Tcp { port: 16698, tls: Some(_), .. }) = irc.dials.pop_front() else { panic!("TLS again") };
    // Out of date, it is asked for again.
    irc.handle(Input::Closed(LinkId::MAIN, "refused"));
    irc.passes(400);
    irc.dials.retain(|dial| matches!(dial, Dial::Tcp { tls: None, .. }));
    assert!(!irc.dials.is_empty() || irc.session.wakes_at().is_some());
}

#[test]
fn registration_takes_30_seconds_at_most() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.dials.clear();
    irc.passes(29);
    assert_eq!(irc.closed, 0);
    irc.passes(4);
    assert_eq!(irc.closed, 1);
    assert_eq!(irc.dials.len(), 1);
}

#[test]
fn a_wrong_server_password_and_a_ban_are_for_the_owner() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test 464 bot :Password incorrect");
    assert!(irc.needs_owner().contains("server_password"));

    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test 465 bot :You are banned from this server");
    assert!(irc.needs_owner().contains("bars us"));
    let mut early = Setup::default().start();
    early.handle(Input::Opened(LinkId::MAIN));
    early.server(":irc.test 466 bot :You will be banned");
    assert!(early.needs_owner().contains("bars us"));
    irc.dials.clear();
    irc.passes(3500);
    assert_eq!(irc.dials.len(), 0);
    for _ in 0..80 {
        irc.passes(if irc.dials.is_empty() { 10 } else { 0 });
    }
    assert_eq!(irc.dials.len(), 1, "bans are lifted: tried again after an hour");
    irc.connects("", "CASEMAPPING=ascii");
    assert_eq!(irc.states.pop_back(), Some(AccountState::Ok));
}

#[test]
fn f49_nick_in_use_before_001() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.sent.clear();
    irc.server(":irc.test 433 * bot :Nickname is already in use");
    irc.client("NICK bot_");
    irc.server(":irc.test 433 * bot_ :Nickname is already in use");
    irc.client("NICK bot__");
    irc.server(":irc.test 436 * bot__ :Nickname collision");
    irc.client("NICK bot1");
    irc.registers("", "CASEMAPPING=ascii");
    irc.sent.clear();
    irc.server(":irc.test 433 bot bot :in use");
    assert_eq!(irc.identity.as_ref().unwrap().name, "bot");
}

#[test]
fn f49_the_nick_is_regained_when_its_holder_goes() {
    for going in [":bot!x@y QUIT :bye", ":bot!x@y NICK else"] {
        let mut irc = Setup::default().start();
        irc.handle(Input::Opened(LinkId::MAIN));
        irc.server(":irc.test 433 * bot :in use");
        irc.server(":irc.test 001 bot_ :Welcome");
        irc.server(":irc.test 422 bot_ :No MOTD");
        irc.server(":bot_!~bot@host JOIN #c");
        irc.sent.clear();
        irc.server(going);
        irc.client("NICK bot");
        irc.server(":bot_!~bot@host NICK :bot");
        assert_eq!(irc.identity.as_ref().unwrap().name, "bot");
        irc.passes(59);
        irc.silence();
    }
}

#[test]
fn f49_the_nick_is_watched_or_asked_for_from_time_to_time() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test 433 * bot :in use");
    irc.server(":irc.test 001 bot_ :Welcome");
    irc.server(":irc.test 005 bot_ MONITOR=100 :are supported");
    irc.sent.clear();
    irc.server(":irc.test 422 bot_ :No MOTD");
    irc.client("MONITOR + bot");
    irc.client("JOIN #c");
    irc.server(":irc.test 731 bot_ :bot");
    irc.client("NICK bot");
    irc.server(":irc.test 433 bot_ bot :in use");
    irc.server(":bot_!~bot@host JOIN #c");
    irc.passes(50);
    irc.silence();
    irc.passes(500);
    assert!(irc.sent.iter().any(|line| line == "NICK bot"));
}

#[test]
fn f49_who_is_logged_in_ghosts_the_session_before() {
    let mut irc = sasl().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test 433 * bot :in use");
    irc.server(":irc.test CAP * LS :sasl=PLAIN");
    irc.server(":irc.test CAP * ACK :sasl");
    irc.server("AUTHENTICATE +");
    irc.server(":irc.test 900 bot_ bot_!~bot@h jilles :You are now logged in as jilles");
    irc.server(":irc.test 903 bot_ :ok");
    irc.server(":irc.test 001 bot_ :Welcome");
    irc.sent.clear();
    irc.server(":irc.test 422 bot_ :No MOTD");
    irc.client("PRIVMSG NickServ :GHOST bot sesame");
    irc.client("JOIN #c");
    irc.passes(3);
    irc.client("NICK bot");
}

#[test]
fn a_nick_that_the_server_cuts_is_what_we_want_there() {
    let mut irc = Setup::default().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test 001 bo :Welcome");
    irc.server(":irc.test 422 bo :No MOTD");
    irc.server(":bo!~bot@host JOIN #c");
    irc.sent.clear();
    irc.passes(59);
    irc.silence();
    assert_eq!(irc.identity.as_ref().unwrap().name, "bo");
}
