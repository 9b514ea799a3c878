//! Joining, being refused, kicked, banned, invited; netsplits.

use sameroom_model::{Availability, EventKind, MembershipChange, Outcome};

use super::world::{Setup, World, plain};
use crate::{Input, LinkId};

fn three() -> World {
    let mut irc =
        Setup { rooms: vec!["#open", "#Secret", "#also"], secrets: vec![("key #secret", "sesame")], ..Setup::fast() }
            .start();
    irc.connects("", "CASEMAPPING=ascii CHANLIMIT=#:20");
    irc
}

#[test]
fn many_channels_in_one_line_keys_first() {
    let mut irc = three();
    assert_eq!(irc.sent.pop_back().as_deref(), Some("JOIN #Secret,#open,#also sesame"));
}

#[test]
fn many_channels_in_several_lines() {
    let names: Vec<String> = (0..100).map(|n| format!("#channel-number-{n}")).collect();
    let mut irc = Setup { rooms: names.iter().map(|n| &*n.clone().leak()).collect(), ..Setup::fast() }.start();
    irc.connects("", "CASEMAPPING=ascii");
    let joins: Vec<String> = irc.sent.drain(..).filter_map(|l| l.strip_prefix("JOIN ").map(str::to_owned)).collect();
    assert!(joins.iter().all(|join| join.len() <= 505), "{joins:?}");
    assert_eq!(joins.iter().map(|join| join.split(',').count()).sum::<usize>(), 100);
    let mut irc = Setup { rooms: vec!["#a", "#b", "#c"], ..Setup::fast() }.start();
    irc.connects("", "TARGMAX=JOIN:2");
    irc.sent.retain(|line| line.starts_with("JOIN"));
    irc.client("JOIN #a,#b");
    irc.client("JOIN #c");
}

#[test]
fn the_server_s_limit_of_channels() {
    let mut irc = Setup { rooms: vec!["#a", "#b"], ..Setup::fast() }.start();
    irc.connects("", "CHANLIMIT=#:1");
    assert_eq!(irc.sent.pop_back().as_deref(), Some("JOIN #a"));
    assert!(
        matches!(irc.rooms.pop_back(), Some((room, Availability::Closed(why))) if room == "#b" && why.contains("second account"))
    );
}

#[test]
fn a_limit_of_0_is_none() {
    let mut irc = Setup::fast().start();
    irc.connects("", "CHANLIMIT=#&+:0");
    assert_eq!(irc.sent.pop_back().as_deref(), Some("JOIN #c"));
}

#[track_caller]
fn closed(irc: &mut World, part: &str) {
    let Some((_, Availability::Closed(why))) = irc.rooms.pop_back() else { panic!("closed") };
    assert!(why.contains(part), "{why}");
}

#[test]
fn refusals_say_what_to_do() {
    for (numeric, part) in [
        ("475 bot #c :Cannot join channel (+k)", "?key="),
        ("473 bot #c :Cannot join channel (+i)", "invite bot"),
        ("474 bot #c :Cannot join channel (+b)", "lift the ban"),
        ("477 bot #c :You need a registered nick", "nickserv=1"),
        ("489 bot #c :Secure only", "ircs://"),
        ("405 bot #c :Too many channels", "second account"),
        ("476 bot #c :Bad mask", "no channel's name"),
        ("403 bot #c :No such channel", "check the room's URL"),
        ("470 bot #c ##c :Forwarding to another channel", "sends us on to ##c"),
    ] {
        let mut irc = Setup::fast().start();
        irc.connects("", "CASEMAPPING=ascii");
        let id = irc.says("ann", "waits");
        irc.unsettled();
        irc.server(&format!(":irc.test {numeric}"));
        closed(&mut irc, part);
        assert!(matches!(irc.outcome(&id), Outcome::RoomClosed { .. }), "{numeric}");
        let id = irc.says("ann", "no better");
        assert!(matches!(irc.outcome(&id), Outcome::RoomClosed { .. }), "{numeric}");
    }
}

#[test]
fn a_forward_is_left_again() {
    let mut irc = Setup::fast().start();
    irc.connects("", "CASEMAPPING=ascii");
    irc.server(":irc.test 470 bot #c ##c :Forwarding to another channel");
    irc.sent.clear();
    irc.server(":bot!~bot@host.test JOIN ##c");
    irc.client("PART ##c");
}

#[test]
fn an_invitation_opens_the_door() {
    let mut irc = Setup::fast().start();
    irc.connects("", "CASEMAPPING=ascii");
    irc.server(":irc.test 473 bot #c :Cannot join channel (+i)");
    irc.rooms.clear();
    irc.sent.clear();
    irc.server(":op!o@h INVITE bot #elsewhere");
    irc.silence();
    irc.server(":op!o@h INVITE bot :#C");
    irc.client("JOIN #c");
    irc.server(":bot!~bot@host.test JOIN #c");
    assert_eq!(irc.rooms.pop_back(), Some(("#c".into(), Availability::Open)));
}

#[test]
fn who_may_knock_knocks_once_for_each_time_that_it_is_turned_away() {
    let knock = "KNOCK #c :Sameroom, a bridge between rooms, asks for an invitation";
    let mut irc = Setup::fast().start();
    irc.connects("", "CASEMAPPING=ascii KNOCK");
    irc.sent.clear();
    irc.server(":irc.test 473 bot #c :Cannot join channel (+i)");
    irc.client(knock);
    closed(&mut irc, "invite bot there");
    irc.server(":irc.test 711 bot #c :Your KNOCK has been delivered");
    irc.silence();
    // Connecting the room again, or the server again, is no reason to knock anew.
    irc.has_rooms(&["#c"], None);
    irc.client("JOIN #c");
    irc.server(":irc.test 473 bot #c :Cannot join channel (+i)");
    irc.silence();
    irc.handle(Input::Closed(LinkId::MAIN, "reset"));
    irc.passes(10);
    irc.connects("", "CASEMAPPING=ascii KNOCK");
    irc.sent.clear();
    answering(&mut irc, 3600);
    irc.sent.retain(|line| !line.starts_with("PING"));
    irc.client("JOIN #c");
    irc.server(":irc.test 473 bot #c :Cannot join channel (+i)");
    irc.client(knock);
    irc.server(":op!o@h INVITE bot :#c");
    irc.client("JOIN #c");
}

#[test]
fn a_knock_that_was_no_use_changes_nothing_and_one_on_an_open_door_lets_us_in() {
    let mut irc = Setup::fast().start();
    irc.connects("", "CASEMAPPING=ascii KNOCK");
    irc.server(":irc.test 473 bot #c :Cannot join channel (+i)");
    irc.sent.clear();
    irc.server(":irc.test 480 bot #c :Cannot knock on #c, you are banned");
    irc.server(":irc.test 712 bot #c :Too many KNOCKs");
    irc.passes(50);
    irc.silence();
    irc.server(":irc.test 713 bot #c :Channel is open.");
    irc.client("JOIN #c");
}

#[test]
fn throttled_joins_are_tried_again_after_a_while() {
    for numeric in ["480", "495", "500", "437"] {
        let mut irc = Setup::fast().start();
        irc.connects("", "CASEMAPPING=ascii");
        let id = irc.says("ann", "waits");
        irc.sent.clear();
        irc.server(&format!(":irc.test {numeric} bot #c :Cannot join channel: wait a while"));
        irc.passes(29);
        irc.silence();
        irc.passes(1);
        irc.client("JOIN #c");
        irc.unsettled();
        irc.server(":bot!~bot@host.test JOIN #c");
        irc.client("PRIVMSG #c :<ann> waits");
        irc.pong();
        irc.done(&id);
    }
}

#[test]
fn a_join_of_too_many_channels_becomes_several() {
    let mut irc = Setup { rooms: vec!["#a", "#b"], ..Setup::fast() }.start();
    irc.connects("", "CASEMAPPING=ascii");
    irc.sent.retain(|line| line.starts_with("JOIN"));
    irc.client("JOIN #a,#b");
    irc.server(":irc.test 407 bot #a,#b :Too many targets");
    irc.client("JOIN #a");
    irc.client("JOIN #b");
    irc.server(":irc.test 407 bot #a :Duplicate recipients");
    irc.silence();
}

fn answering(irc: &mut World, seconds: i64) {
    for _ in 0..seconds / 10 {
        irc.passes(10);
        irc.server(":irc.test PONG irc.test :sr-there");
    }
}

#[test]
fn a_ban_is_tried_again_after_1_6_and_24_hours() {
    let mut irc = Setup::fast().start();
    irc.connects("", "CASEMAPPING=ascii");
    for hours in [1, 6, 24] {
        irc.server(":irc.test 474 bot #c :Cannot join channel (+b)");
        irc.sent.clear();
        answering(&mut irc, hours * 3600 - 60);
        assert!(!irc.sent.iter().any(|line| line.starts_with("JOIN")));
        answering(&mut irc, 60);
        assert!(irc.sent.iter().any(|line| line == "JOIN #c"));
    }
}

#[test]
fn a_full_channel_is_tried_again_and_said_so_only_later() {
    let mut irc = Setup::fast().start();
    irc.connects("", "CASEMAPPING=ascii");
    let id = irc.says("ann", "waits");
    for seconds in [30, 60] {
        irc.server(":irc.test 471 bot #c :Cannot join channel (+l)");
        irc.unsettled();
        irc.sent.clear();
        answering(&mut irc, seconds);
        assert!(irc.sent.iter().any(|line| line == "JOIN #c"));
    }
    irc.server(":irc.test 471 bot #c :Cannot join channel (+l)");
    closed(&mut irc, "is full");
    assert!(matches!(irc.outcome(&id), Outcome::RoomClosed { .. }));
}

#[test]
fn a_kick_is_waited_out_once() {
    let mut irc = plain();
    irc.server(":op!o@h KICK #c bot :no bots");
    let id = irc.says("ann", "held");
    irc.passes(4);
    irc.silence();
    irc.passes(1);
    irc.client("JOIN #c");
    irc.unsettled();
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.client("PRIVMSG #c :<ann> held");
    irc.pong();
    irc.done(&id);
    assert!(irc.rooms.is_empty());
    irc.passes(50);
    irc.server(":op!o@h KICK #c bot :I said no bots");
    closed(&mut irc, "twice");
    irc.passes(50);
    irc.silence();
    // The owner connects the room again.
    irc.has_rooms(&["#c"], None);
    irc.client("JOIN #c");
}

#[test]
fn what_a_kick_kept_out_is_said_after_it() {
    let mut irc = plain();
    let id = irc.says("ann", "hi");
    irc.client("PRIVMSG #c :<ann> hi");
    irc.server(":op!o@h KICK #c bot");
    irc.server(":irc.test 404 bot #c :Cannot send to channel");
    irc.pong();
    irc.unsettled();
    irc.passes(5);
    irc.client("JOIN #c");
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.client("PRIVMSG #c :<ann> hi");
    irc.pong();
    irc.done(&id);
}

#[test]
fn the_channel_s_key_is_followed() {
    let mut irc = plain();
    irc.server(":op!o@h MODE #c +ok somebody newkey");
    irc.server(":op!o@h KICK #c bot");
    irc.passes(5);
    irc.client("JOIN #c newkey");
}

#[test]
fn rooms_come_and_go() {
    let mut irc = plain();
    irc.has_rooms(&["#c", "#d"], None);
    irc.client("JOIN #d");
    let id = irc.says_in("#d", "ann", "waits");
    irc.has_rooms(&["#c"], None);
    irc.client("PART #d");
    assert!(matches!(irc.outcome(&id), Outcome::Retry { .. }));
    let id = irc.says_in("#d", "ann", "nowhere");
    assert!(matches!(irc.outcome(&id), Outcome::Retry { .. }));
}

#[test]
fn people_come_go_and_are_renamed() {
    let mut irc = plain();
    let change = |irc: &mut World, line: &str| {
        irc.server(line);
        let event = irc.events.pop_front().expect("an event");
        let EventKind::Membership(change) = event.kind else { panic!("{event:?}") };
        (event.author.unwrap().name, change)
    };
    assert_eq!(change(&mut irc, ":ann!a@h JOIN :#c"), ("ann".into(), MembershipChange::Joined));
    assert_eq!(change(&mut irc, ":ann!a@h NICK anna"), ("ann".into(), MembershipChange::Renamed("anna".into())));
    assert_eq!(change(&mut irc, ":anna!a@h PART #c :bye"), ("anna".into(), MembershipChange::Left(Some("bye".into()))));
    assert_eq!(change(&mut irc, ":bob!b@h JOIN #c"), ("bob".into(), MembershipChange::Joined));
    let by = MembershipChange::Removed { by: "op".into(), why: Some("spam".into()) };
    assert_eq!(change(&mut irc, ":op!o@h KICK #c bob :spam"), ("bob".into(), by));
    irc.server(":nobody!n@h QUIT :was never here");
    irc.hears_nothing();
}

#[test]
fn f47_a_netsplit_is_no_flood() {
    let mut irc = plain();
    let nicks: Vec<String> = (0..200).map(|n| format!("u{n}")).collect();
    irc.server(&format!(":irc.test 353 bot = #c :{}", nicks[..50].join(" ")));
    for chunk in nicks[50..].chunks(50) {
        irc.server(&format!(":irc.test 353 bot = #c :{}", chunk.join(" ")));
    }
    for nick in &nicks {
        irc.server(&format!(":{nick}!u@h QUIT :hub.test leaf.test"));
    }
    irc.hears_nothing();
    irc.passes(100);
    irc.server(":irc.test PONG irc.test :sr-there");
    for nick in &nicks {
        irc.server(&format!(":{nick}!u@h JOIN #c"));
    }
    irc.hears_nothing();
    irc.server(":u1!u@h PRIVMSG #c :back");
    irc.hears("u1", "back");
    irc.server(":irc.test BATCH +s netsplit hub.test leaf.test");
    irc.server("@batch=s :u1!u@h QUIT :whatever");
    irc.server(":irc.test BATCH -s");
    irc.hears_nothing();
    irc.server(":u2!u@h QUIT :not a.split but words");
    assert_eq!(irc.events.len(), 1);
}
