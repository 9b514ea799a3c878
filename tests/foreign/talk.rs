//! Two people on two servers talk: what one types the other reads.

use std::time::Duration;

use sameroom_tests::hook::{Hook, Sender};
use tokio::time::{Instant, sleep};

use crate::people::{Manner, Person, SOON};
use crate::scene::{BOT, Bridge, Pair};
use crate::servers::{Kind, Server};

#[tokio::test]
async fn a_line_crosses_both_ways_within_a_second() {
    let mut pair = Pair::meet().await;
    pair.ada.says("#one", "Hello there").await;
    pair.ivo.hears("<ada> Hello there").await;

    pair.ivo.says("#two", "Hello yourself").await;
    pair.ada.hears("<ivo> Hello yourself").await;

    // Once what begins a connection is past, which servers and we ourselves count as lines, too.
    sleep(Duration::from_secs(5)).await;
    let asked = Instant::now();
    pair.ada.says("#one", "How are you?").await;
    pair.ivo.hears("<ada> How are you?").await;
    let there = asked.elapsed();
    let asked = Instant::now();
    pair.ivo.says("#two", "Well, and you?").await;
    pair.ada.hears("<ivo> Well, and you?").await;
    let back = asked.elapsed();
    println!("foreign: a line from ngIRCd to InspIRCd took {there:?}, back {back:?}");
    assert!(there < Duration::from_secs(1) && back < Duration::from_secs(1), "{there:?}, {back:?}");
}

#[tokio::test]
async fn what_people_do_and_how_they_mark_it_crosses() {
    let mut pair = Pair::meet().await;
    pair.ada.acts("#one", "waves").await;
    pair.ivo.hears("* ada waves").await;
    pair.ivo.acts("#two", "waves back").await;
    pair.ada.hears("* ivo waves back").await;

    // Bold and italics stay; colours don't.
    pair.ada.says("#one", "\u{2}bold\u{2} and \u{1d}italic\u{1d} and \u{3}04red\u{3}").await;
    let heard = pair.ivo.next_line(SOON).await;
    assert_eq!(heard.replace('\u{f}', ""), "<ada> \u{2}bold\u{2} and \u{1d}italic\u{1d} and red", "{heard:?}");
}

#[tokio::test]
async fn every_script_crosses() {
    let mut pair = Pair::meet().await;
    for text in ["Привет, как дела?", "日本語のテスト", "مرحبا بالعالم", "👩‍👩‍👧‍👦 and 🇨🇭", "e\u{301}a\u{308}"]
    {
        pair.ada.says("#one", text).await;
        pair.ivo.hears(&format!("<ada> {text}")).await;
    }
}

#[tokio::test]
async fn windows_1252_arrives_as_utf_8() {
    let mut pair = Pair::meet().await;
    for (server, room, hearer) in [(&pair.ngircd, "#one", &mut pair.ivo), (&pair.inspircd, "#two", &mut pair.ada)] {
        let manner = Manner { encoding: Some("windows-1252"), ..Manner::default() };
        let mut old = Person::comes(server, "old", &manner).await;
        old.enters(room).await;
        old.says(room, "Grüße für 5 € – “naïve”").await;
        hearer.hears("<old> Grüße für 5 € – “naïve”").await;
    }
}

#[tokio::test]
async fn a_long_line_is_split_without_loss_at_both_ends() {
    let (ngircd, inspircd) = (Server::start(Kind::Ngircd).await, Server::start(Kind::Inspircd).await);
    let mut ada = Person::joins(&ngircd, "ada", "#one").await;
    let mut ivo = Person::joins(&inspircd, "ivo", "#two").await;
    let hook = Hook::start().await;
    let source = hook.room("source", "in");
    let urls = [source.clone(), ngircd.room("#one", ""), source, inspircd.room("#two", "")];
    let bridge = Bridge::between(&urls).await;
    ada.meets(BOT).await;
    ivo.meets(BOT).await;

    // Characters of one to four bytes, words of many lengths: 2,000 bytes at least.
    let words = ["word", "größer", "слово", "日本語日本語", "👍👍", "a", "antidisestablishmentarianism"];
    let mut long = String::new();
    for i in 0.. {
        if long.len() >= 2_000 {
            break;
        }
        long.push_str(&i.to_string());
        long.push_str(words[i % words.len()]);
        long.push(' ');
    }
    let long = long.trim_end();
    Sender::new(bridge.sameroom.url(), &bridge.sameroom.account("in"), "in").insist("evt-1", "Cy", long).await;
    for hearer in [&mut ada, &mut ivo] {
        let mut heard: Vec<String> = Vec::new();
        while heard.join(" ").len() < long.len() {
            let line = hearer.next_line(SOON).await;
            heard.push(line.strip_prefix("<Cy> ").expect("each piece names its author").to_owned());
        }
        assert!(heard.len() >= 5, "{heard:?}");
        assert_eq!(heard.join(" "), long);
    }

    // The longest line that a person can type does not fit once their name stands before it.
    let line = "0123456789".repeat(43);
    ada.raw(&format!("PRIVMSG #one :{line}")).await;
    let mut heard = String::new();
    while heard.len() < line.len() {
        heard.push_str(ivo.next_line(SOON).await.strip_prefix("<ada> ").expect("each piece names its author"));
    }
    assert_eq!(heard, line);
}
