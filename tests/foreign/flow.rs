//! Many lines, limits as servers are shipped, servers and our binary that die: nothing lost, nothing out of order.

use std::collections::BTreeMap;
use std::time::Duration;

use sameroom_tests::hook::{Hook, Sender};
use sameroom_tests::process::Setup;
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::people::{Person, SOON};
use crate::scene::{BOT, Bridge, Pair};
use crate::servers::{Kind, Server};

#[tokio::test]
async fn a_burst_arrives_complete_and_in_order_under_default_limits() {
    const LINES: usize = 100;
    let hook = Hook::start().await;
    let source = hook.room("source", "in");
    // ngIRCd slows whoever is too fast, so it may be written to as fast as it reads; InspIRCd kills them, so it gets
    // our default pace.
    let (ngircd, inspircd) = (Server::start(Kind::Ngircd).await, Server::start(Kind::Inspircd).await);
    let mut ada = Person::joins(&ngircd, "ada", "#one").await;
    let mut ivo = Person::joins(&inspircd, "ivo", "#two").await;
    let urls = [source.clone(), ngircd.room("#one", "?rate=0"), source, inspircd.room("#two", "")];
    let bridge = Bridge::between(&urls).await;
    ada.meets(BOT).await;
    ivo.meets(BOT).await;
    let sender = Sender::new(bridge.sameroom.url(), &bridge.sameroom.account("in"), "in");
    let line = |n: usize| format!("line {n} of a burst, as long as lines are when people paste logs");
    let began = Instant::now();
    for n in 1..=LINES {
        sender.insist(&format!("evt-{n}"), "Cy", &line(n)).await;
    }
    let taken = began.elapsed();
    let mut took = Vec::new();
    for (hearer, within) in [(&mut ada, 60), (&mut ivo, 150)] {
        for n in 1..=LINES {
            let heard = hearer.next_line(Duration::from_secs(within)).await;
            assert_eq!(heard, format!("<Cy> {}", line(n)));
        }
        took.push(began.elapsed());
    }
    println!(
        "foreign: {LINES} lines taken in {taken:?}; ngIRCd had all after {:?}, InspIRCd after {:?}",
        took[0], took[1]
    );
}

#[tokio::test]
async fn a_server_that_is_down_for_ten_seconds_misses_nothing() {
    const PER_SECOND: u64 = 20;
    let ngircd = Server::unlimited(Kind::Ngircd).await.behind_a_gate().await;
    let inspircd = Server::unlimited(Kind::Inspircd).await;
    let mut pair = Pair::on(ngircd, inspircd, "?rate=0").await;
    let gate = pair.ngircd.gate.take().expect("it has one");
    // Ivo types on InspIRCd all the time; ngIRCd dies after two seconds, for ten. The bridge is let in again only once
    // Ada is back: what it says to an empty room nobody hears.
    let mut clock = interval(Duration::from_millis(1000 / PER_SECOND));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut said = 0;
    let mut heard = Vec::new();
    let mut back = None;
    for _ in 0..PER_SECOND * 14 {
        clock.tick().await;
        said += 1;
        pair.ivo.says("#two", &format!("line {said}")).await;
        if said == PER_SECOND * 2 {
            heard = pair.ada.hears_no_more(Duration::ZERO).await;
            gate.close();
            pair.ngircd.kill().await;
            heard.extend(pair.ada.hears_no_more(Duration::from_millis(100)).await);
        }
        if said == PER_SECOND * 12 {
            pair.ngircd.restart().await;
            pair.ada = Person::joins(&pair.ngircd, "ada", "#one").await;
            gate.open();
            back = Some(Instant::now());
        }
    }
    let back = back.expect("it is back");
    let mut numbers: Vec<u64> = heard.iter().map(|line| number(line)).collect();
    while numbers.last() != Some(&said) {
        numbers.push(number(&pair.ada.next_line(Duration::from_secs(30)).await));
    }
    let caught_up = back.elapsed();
    // What Ada's server took with it when it died nobody can have read: those lines may come again, none may be missing.
    let mut first: Vec<u64> = Vec::new();
    let mut again = 0;
    for n in numbers {
        if first.contains(&n) {
            again += 1;
        } else {
            first.push(n);
        }
    }
    let lost: Vec<u64> = (1..=said).filter(|n| !first.contains(n)).collect();
    let metrics = pair.bridge.sameroom.metrics().await;
    println!(
        "foreign: ngIRCd down for 10 s under {PER_SECOND}/s: {said} lines, {} lost, caught up {caught_up:?} after its \
         return, {again} twice ({} ambiguous)",
        lost.len(),
        metrics["sameroom_ambiguous_sends_total"]
    );
    assert!(first.is_sorted(), "out of order: {first:?}");
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(caught_up < Duration::from_secs(20), "{caught_up:?}");
}

fn number(line: &str) -> u64 {
    line.strip_prefix("<ivo> line ").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[tokio::test]
async fn f4_our_death_loses_no_line_and_counts_what_may_come_twice() {
    const LINES: usize = 200;
    let hook = Hook::start().await;
    let inspircd = Server::unlimited(Kind::Inspircd).await;
    let mut ivo = Person::joins(&inspircd, "ivo", "#two").await;
    let data = TempDir::new().expect("a folder can be made");
    let mut setup = Setup::new(data.path(), &[hook.room("source", "in"), inspircd.room("#two", "?rate=0")]);
    setup.port = sameroom_tests::process::port();
    let mut sameroom = setup.start().await;
    ivo.meets(BOT).await;
    let sender = Sender::new(sameroom.url(), &sameroom.account("in"), "in");
    let sending = tokio::spawn(async move {
        for n in 1..=LINES {
            sender.insist(&format!("evt-{n}"), "Cy", &n.to_string()).await;
            sleep(Duration::from_millis(15)).await;
        }
    });
    let mut deaths = 0;
    while !sending.is_finished() {
        sleep(Duration::from_millis(700)).await;
        sameroom.program.kill().await;
        deaths += 1;
        sameroom = setup.start().await;
        sleep(Duration::from_millis(1200)).await;
    }
    sending.await.expect("all are taken");
    let metrics = sameroom.drained(Duration::from_mins(1)).await;
    let mut heard: Vec<usize> = Vec::new();
    while heard.last() != Some(&LINES) {
        let line = ivo.next_line(SOON).await;
        heard.push(line.strip_prefix("<Cy> ").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}")));
    }
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    let mut first = Vec::new();
    for n in heard {
        let count = counts.entry(n).or_default();
        *count += 1;
        if *count == 1 {
            first.push(n);
        }
    }
    let again: usize = counts.values().map(|count| count - 1).sum();
    let ambiguous = metrics["sameroom_ambiguous_sends_total"] as usize;
    println!(
        "foreign: killed {deaths} times: {LINES} lines, 0 lost, {again} twice, {ambiguous} ambiguous sends counted"
    );
    assert_eq!(first, (1..=LINES).collect::<Vec<_>>(), "all, in order");
    assert!(again <= ambiguous, "{again} came twice, {ambiguous} were counted");
}

#[tokio::test]
async fn f36_who_is_kicked_comes_back_once() {
    let mut pair = Pair::meet().await;
    // Two people on two servers: what is said just then may be on its way before the kick is. A channel takes it from
    // outside unless it is told not to, and then there would be nothing to wait for.
    pair.ada.raw("MODE #one +n").await;
    let began = Instant::now();
    pair.ada.raw(&format!("KICK #one {BOT} :out")).await;
    pair.ada.sees("kick", |event| event["nick"] == BOT, SOON).await;
    pair.ivo.says("#two", "Anybody there?").await;
    pair.ada.meets(BOT).await;
    let back = began.elapsed();
    println!("foreign: back {back:?} after a kick");
    assert!(back >= Duration::from_secs(4), "back at once: {back:?}");
    // What was said meanwhile waited.
    pair.ada.hears("<ivo> Anybody there?").await;
    // A second time it is meant.
    pair.ada.raw(&format!("KICK #one {BOT} :out")).await;
    pair.bridge.sameroom.program.says("kicked us twice", SOON).await;
    assert!(pair.ada.absence_of(BOT, Duration::from_secs(8)).await, "came back after a second kick");
}
