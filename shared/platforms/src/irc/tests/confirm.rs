//! Every delivery is settled by what the server says: an echo, a refusal, a barrier; or it is sent again.

use sameroom_model::{Action, Block, Inline, Outcome, Sent, Text};

use super::world::{Setup, World, plain, post};
use crate::{Input, LinkId};

const LABELS: &str = "message-tags batch echo-message labeled-response";

fn label(line: &str) -> String {
    line.strip_prefix("@label=").unwrap_or_else(|| panic!("a label: {line:?}")).split(' ').next().unwrap().to_owned()
}

fn refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { .. })
}

#[test]
fn by_a_barrier_where_nothing_is_echoed() {
    let mut irc = plain();
    let id = irc.says("ann", "hi");
    irc.client("PRIVMSG #c :<ann> hi");
    irc.unsettled();
    irc.server(":irc.test PONG irc.test :something-else");
    irc.unsettled();
    irc.pong();
    irc.done(&id);
    irc.silence();
}

#[test]
fn a_404_before_the_pong_refuses() {
    for numeric in
        ["404 bot #c :Cannot send to channel", "401 bot #C :No such nick or channel", "403 bot #c :No such channel"]
    {
        let mut irc = plain();
        let id = irc.says("ann", "hi");
        irc.client("PRIVMSG #c :<ann> hi");
        irc.server(&format!(":irc.test {numeric}"));
        irc.unsettled();
        irc.pong();
        assert!(refused(&irc.outcome(&id)));
        let id = irc.says("ann", "again");
        irc.client("PRIVMSG #c :<ann> again");
        irc.pong();
        irc.done(&id);
    }
}

#[test]
fn a_404_of_a_message_of_several_lines_refuses_it_once_and_no_other() {
    let mut irc = plain();
    let long = irc.says("ann", "one\ntwo\nthree");
    let next = irc.says("bob", "hi");
    let pings: Vec<String> = irc.sent.iter().filter_map(|l| l.strip_prefix("PING :")).map(str::to_owned).collect();
    assert_eq!(pings.len(), 4);
    for (n, token) in pings.iter().enumerate() {
        if n < 3 {
            irc.server(":irc.test 404 bot #c :Cannot send to channel");
        }
        irc.server(&format!(":irc.test PONG irc.test :{token}"));
    }
    assert!(refused(&irc.outcome(&long)));
    irc.done(&next);
    irc.unsettled();
}

#[test]
fn with_one_barrier_for_several_lines_the_last_are_the_refused() {
    let mut irc = Setup::default().joined("", "CASEMAPPING=ascii");
    irc.passes(10);
    let ids: Vec<String> = (0..4).map(|n| irc.says("ann", &n.to_string())).collect();
    irc.sent.retain(|line| line.starts_with("PING"));
    irc.pong();
    irc.done(&ids[0]);
    irc.server(":irc.test 404 bot #c :You are muted");
    irc.pong();
    irc.done(&ids[1]);
    irc.done(&ids[2]);
    assert!(refused(&irc.outcome(&ids[3])));
}

#[test]
fn by_a_labelled_echo_with_its_msgid() {
    let mut irc = Setup::fast().joined(LABELS, "CASEMAPPING=ascii");
    let (one, two) = (irc.says("ann", "same"), irc.says("ann", "same"));
    let labels: Vec<String> = irc.sent.drain(..).map(|line| label(&line)).collect();
    irc.server(&format!("@label={};msgid=m1 :bot!~bot@host.test PRIVMSG #c :<ann> same", labels[0]));
    assert_eq!(irc.outcome(&one), Outcome::Done { keys: vec!["m1".into()] });
    irc.server(&format!("@label={} :irc.test 404 bot #c :Cannot send", labels[1]));
    assert!(refused(&irc.outcome(&two)));
    irc.hears_nothing();
}

#[test]
fn a_label_on_the_batch_around_the_echo() {
    let mut irc = Setup::fast().joined(LABELS, "CASEMAPPING=ascii");
    let id = irc.says("ann", "hi");
    let label = label(&irc.sent.pop_front().unwrap());
    irc.server(&format!("@label={label} :irc.test BATCH +1 labeled-response"));
    irc.server("@batch=1;msgid=m1 :bot!~bot@host.test PRIVMSG #c :<ann> hi");
    irc.server(":irc.test BATCH -1");
    assert_eq!(irc.outcome(&id), Outcome::Done { keys: vec!["m1".into()] });
}

#[test]
fn labels_without_echoes_are_acknowledged() {
    let mut irc = Setup::fast().joined("message-tags batch labeled-response", "CASEMAPPING=ascii");
    let id = irc.says("ann", "hi");
    let label = label(&irc.sent.pop_front().unwrap());
    irc.server(&format!("@label={label} :irc.test ACK"));
    irc.done(&id);
}

#[test]
fn outcomes_come_in_order_whatever_the_answers_order() {
    let mut irc = Setup::fast().joined(LABELS, "CASEMAPPING=ascii");
    let (one, two) = (irc.says("ann", "1"), irc.says("ann", "2"));
    let labels: Vec<String> = irc.sent.drain(..).map(|line| label(&line)).collect();
    irc.server(&format!("@label={} :bot!~bot@host.test PRIVMSG #c :<ann> 2", labels[1]));
    irc.unsettled();
    irc.server(&format!("@label={} :bot!~bot@host.test PRIVMSG #c :<ann> 1", labels[0]));
    irc.done(&one);
    irc.done(&two);
}

#[test]
fn by_plain_echoes_in_order() {
    let mut irc = Setup::fast().joined("echo-message", "CASEMAPPING=ascii");
    let (one, two) = (irc.says("ann", "1"), irc.says("ann", "2"));
    irc.client("PRIVMSG #c :<ann> 1");
    irc.client("PRIVMSG #c :<ann> 2");
    irc.server(":bot!~bot@host.test PRIVMSG #c :<ann> 1");
    irc.done(&one);
    irc.server(":irc.test 404 bot #c :Cannot send to channel");
    assert!(refused(&irc.outcome(&two)));
}

#[test]
fn a_cut_echo_sends_the_rest_and_shortens_later_lines() {
    let mut irc = Setup::fast().joined("echo-message", "CASEMAPPING=ascii");
    let text = "x".repeat(440);
    let id = irc.says("ann", &text);
    irc.client(&format!("PRIVMSG #c :<ann> {text}"));
    irc.server(&format!(":bot!~bot@host.test PRIVMSG #c :<ann> {}", "x".repeat(400)));
    irc.unsettled();
    irc.client(&format!("PRIVMSG #c :<ann> {}", "x".repeat(40)));
    irc.server(&format!(":bot!~bot@host.test PRIVMSG #c :<ann> {}", "x".repeat(40)));
    irc.done(&id);
    irc.says("ann", &"y".repeat(470));
    let lines: Vec<usize> = irc.sent.iter().map(|line| line.bytes().filter(|b| *b == b'y').count()).collect();
    assert_eq!(lines.iter().sum::<usize>(), 470);
    assert!(lines[0] <= 437, "{lines:?}");
}

#[test]
fn an_echo_without_colours_is_an_echo() {
    let mut irc = Setup::fast().joined("echo-message", "CASEMAPPING=ascii");
    let bold = sameroom_model::Inline::Strong(vec![sameroom_model::Inline::Text("hi".into())]);
    let text = sameroom_model::Text { blocks: vec![sameroom_model::Block::Paragraph(vec![bold])] };
    let id = irc.does("#c", "ann", super::world::post(text));
    irc.client("PRIVMSG #c :<ann> \u{2}hi\u{2}");
    irc.server(":bot!~bot@host.test PRIVMSG #c :<ann> hi");
    irc.done(&id);
    irc.silence();
}

#[test]
fn an_echo_that_never_comes_is_asked_after() {
    let mut irc = Setup::fast().joined("echo-message", "CASEMAPPING=ascii");
    let id = irc.says("ann", "filtered");
    irc.client("PRIVMSG #c :<ann> filtered");
    irc.passes(9);
    irc.silence();
    irc.passes(1);
    irc.pong();
    assert!(refused(&irc.outcome(&id)));
}

fn back(irc: &mut World) {
    irc.handle(Input::Closed(LinkId::MAIN, "connection reset"));
    irc.passes(2);
    irc.sent.clear();
    irc.connects("", "CASEMAPPING=ascii");
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.sent.retain(|line| line.starts_with("PRIVMSG") || line.starts_with("PING"));
}

#[test]
fn what_was_not_confirmed_is_sent_again_in_order_after_a_reconnect() {
    let mut irc = plain();
    let ids: Vec<String> = ["1", "2", "3"].iter().map(|text| irc.says("ann", text)).collect();
    irc.client("PRIVMSG #c :<ann> 1");
    irc.pong();
    irc.done(&ids[0]);
    irc.handle(Input::Closed(LinkId::MAIN, "connection reset"));
    let late = irc.says("ann", "4");
    irc.unsettled();
    irc.handle(Input::Opened(LinkId::MAIN));
    back(&mut irc);
    for (text, id) in [("2", &ids[1]), ("3", &ids[2]), ("4", &late)] {
        irc.client(&format!("PRIVMSG #c :<ann> {text}"));
        let ping = irc.sent.pop_front().unwrap();
        let token = ping.strip_prefix("PING :").unwrap().to_owned();
        irc.server(&format!(":irc.test PONG irc.test :{token}"));
        irc.done(id);
    }
}

#[test]
fn of_a_long_message_only_the_unconfirmed_lines_are_sent_again() {
    let mut irc = plain();
    let id = irc.says("ann", "one\ntwo\nthree");
    irc.client("PRIVMSG #c :<ann> one");
    irc.pong();
    back(&mut irc);
    irc.client("PRIVMSG #c :<ann> two");
    irc.pong();
    irc.client("PRIVMSG #c :<ann> three");
    irc.pong();
    irc.done(&id);
}

#[test]
fn f48_a_half_open_connection_is_given_up_and_nothing_is_lost() {
    let mut irc = plain();
    let id = irc.says("ann", "hi");
    irc.client("PRIVMSG #c :<ann> hi");
    irc.passes(59);
    assert_eq!(irc.closed, 0);
    irc.passes(3);
    assert_eq!(irc.closed, 1, "a barrier unanswered for 60 seconds");
    assert_eq!(irc.dials.len(), 2);
    irc.unsettled();
    irc.sent.clear();
    irc.connects("", "CASEMAPPING=ascii");
    irc.server(":bot!~bot@host.test JOIN #c");
    irc.sent.retain(|line| line.starts_with("PRIVMSG") || line.starts_with("PING :sr"));
    irc.client("PRIVMSG #c :<ann> hi");
    irc.pong();
    irc.done(&id);
}

#[test]
fn f48_a_silent_server_is_asked_after_60_seconds_and_dead_after_120() {
    let mut irc = plain();
    irc.passes(59);
    irc.silence();
    irc.passes(1);
    irc.client("PING :sr-there");
    irc.server(":irc.test PONG irc.test :sr-there");
    irc.passes(60);
    irc.client("PING :sr-there");
    irc.passes(59);
    assert_eq!(irc.closed, 0);
    irc.passes(1);
    assert_eq!(irc.closed, 1);
}

#[test]
fn stop_says_goodbye_and_settles_everything() {
    let mut irc = Setup::default().joined("", "CASEMAPPING=ascii");
    irc.passes(10);
    let ids: Vec<String> = (0..6).map(|n| irc.says("ann", &n.to_string())).collect();
    irc.sent.retain(|line| line.starts_with("PING"));
    irc.handle(Input::Stop);
    assert_eq!(irc.sent.pop_back().as_deref(), Some("QUIT :Sameroom is restarting"));
    // What the server read before our goodbye is still confirmed.
    irc.pong();
    irc.done(&ids[0]);
    irc.server("ERROR :Closing link: (bot@10.0.0.1) [Quit: Sameroom is restarting]");
    assert!(irc.stopped);
    for (n, id) in ids.iter().enumerate().skip(1) {
        let Outcome::Retry { sent, .. } = irc.outcome(id) else { panic!("retry") };
        assert_eq!(sent, if n < 4 { Sent::Maybe } else { Sent::No });
    }
    let late = irc.says("ann", "too late");
    assert!(matches!(irc.outcome(&late), Outcome::Retry { sent: Sent::No, .. }));
    assert_eq!(irc.session.wakes_at(), None);
}

#[test]
fn stop_waits_two_seconds_for_the_server_and_not_at_all_without_one() {
    let mut irc = plain();
    irc.handle(Input::Stop);
    assert!(!irc.stopped);
    irc.passes(2);
    assert!(irc.stopped);
    let mut irc = Setup::default().start();
    irc.handle(Input::Stop);
    assert!(irc.stopped);
}

fn bold(word: &str) -> Action {
    let strong = Inline::Strong(vec![Inline::Text(word.into())]);
    post(Text { blocks: vec![Block::Paragraph(vec![strong])] })
}

#[test]
fn where_colours_are_blocked_it_is_said_without_them() {
    for (caps, numeric) in [("", "404"), ("", "408"), ("labeled-response batch", "404"), ("echo-message", "404")] {
        let mut irc = Setup::fast().joined(caps, "CASEMAPPING=ascii");
        let says = |irc: &mut World, text: &str| {
            let line = irc.sent.pop_front().expect("a line");
            let (label, line) =
                line.strip_prefix("@label=").map_or(("", line.as_str()), |l| l.split_once(' ').unwrap());
            assert_eq!(line, format!("PRIVMSG #c :<ann> {text}"));
            if label.is_empty() { String::new() } else { format!("@label={label} ") }
        };
        let taken = |irc: &mut World, label: &str, text: &str| match caps {
            "" => irc.pong(),
            _ => irc.server(&format!("{label}:bot!~bot@host.test PRIVMSG #c :<ann> {text}")),
        };
        let id = irc.does("#c", "ann", bold("loud"));
        let label = says(&mut irc, "\u{2}loud\u{2}");
        irc.server(&format!("{label}:irc.test {numeric} bot #c :Cannot send to channel (+c)"));
        if caps.is_empty() {
            irc.pong();
        }
        let label = says(&mut irc, "loud");
        taken(&mut irc, &label, "loud");
        irc.done(&id);
        let id = irc.does("#c", "ann", bold("again"));
        let label = says(&mut irc, "again");
        taken(&mut irc, &label, "again");
        irc.done(&id);
        // What is refused without formatting is refused.
        let id = irc.does("#c", "ann", bold("muted"));
        let label = says(&mut irc, "muted");
        irc.server(&format!("{label}:irc.test {numeric} bot #c :Cannot send to channel"));
        if caps.is_empty() {
            irc.pong();
        }
        assert!(matches!(irc.outcome(&id), Outcome::Refused { .. }), "{caps}");
        irc.server(":op!o@h MODE #c -c");
        irc.does("#c", "ann", bold("loud"));
        says(&mut irc, "\u{2}loud\u{2}");
    }
}
