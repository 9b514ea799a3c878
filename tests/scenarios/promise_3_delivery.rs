//! Promise 3: at least once to the platform, exactly once in effect where it collapses retries by an id.

use sameroom_engine::ports::{QueueName, Tally};
use sameroom_tests::worlds::{Kind, Mood, Outage, Server, Town};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

stories! {
    async fn every_attempt_carries_the_same_id_and_the_receiver_collapses_them(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.settled().await;
        let known = hook.attempts("b").len();
        hook.script("b", [Mood::CutAfter, Mood::CutAfter, Mood::Ailing, Mood::Well]);
        hook.says("ann", "a", "hi").await;
        town.settled().await;
        let tries = &hook.attempts("b")[known..];
        let ids: BTreeSet<_> = tries.iter().map(|attempt| &attempt.id).collect();
        assert_eq!((tries.len(), ids.len()), (4, 1), "{tries:?}");
        assert_eq!(tries.iter().filter(|attempt| attempt.taken).count(), 3);
        hook.shows("b", &[("ann", "hi")]).await;
        assert_eq!(hook.collapsed(), 2);
        // Nothing is ambiguous where the receiver collapses by id.
        assert_eq!(town.census().await.count(Tally::Ambiguous), 0);
    }

    async fn f22_a_connection_reset_before_it_was_read_is_tried_again(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.settled().await;
        hook.cuts_before_reading(2);
        hook.says("ann", "a", "hi").await;
        town.settled().await;
        hook.shows("b", &[("ann", "hi")]).await;
    }

    async fn a_target_that_is_down_gets_all_of_it_once_it_is_back(town) {
        let hook = town.hook("hook").await;
        let away = town.hook("away").await;
        town.tube("hook a", "away b").await;
        town.settled().await;
        away.down().await;
        for n in 0..5 {
            hook.says("ann", "a", &n.to_string()).await;
        }
        away.up().await;
        town.settled().await;
        assert_eq!(away.texts("b"), ["0", "1", "2", "3", "4"]);
    }

    async fn f10_the_same_event_seconds_apart_is_one_message(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        let hi = json!({ "type": "message.posted", "room": "a", "author": { "name": "ann" }, "message": { "text": "hi" } });
        for _ in 0..3 {
            hook.tells("e1", hi.clone()).await;
            town.pass(Duration::from_secs(5)).await;
        }
        town.settled().await;
        hook.shows("b", &[("ann", "hi")]).await;
        assert_eq!(hook.collapsed(), 0, "it was not even sent twice");
    }
}

/// What is posted and not recorded is posted again if the process dies, so little is while nothing can be recorded.
#[tokio::test]
async fn f24_while_what_was_posted_can_not_be_recorded_nothing_more_is_posted() {
    let town = Town::of(Kind::Disk).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.settled().await;
    let known = hook.attempts("b").len();
    // So that they are worked on together.
    town.store.late(QueueName::Events, Duration::from_millis(300));
    hook.is("b", Mood::Slow(Duration::from_millis(60)));
    for n in 0..12 {
        hook.says("ann", "a", &n.to_string()).await;
    }
    hook.is_tried("b", known + 2).await;
    town.store.outage(Some(Outage::Gone));
    let before = hook.attempts("b").len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let more = hook.attempts("b").len() - before;
    assert!(more <= 3, "{more} were posted while nothing could be recorded");
    town.store.outage(None);
    town.settled().await;
    assert_eq!(hook.texts("b"), (0..12).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Should the process die while a post waits for its answer, that one alone may come again.
#[tokio::test]
async fn f24_what_was_posted_is_recorded_while_the_next_post_waits_for_its_answer() {
    let town = Town::of(Kind::Disk).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.settled().await;
    let (known, told) = (hook.attempts("b").len(), town.census().await.count(Tally::Delivered));
    // So that they are worked on together.
    town.store.late(QueueName::Events, Duration::from_millis(300));
    hook.script("b", [Mood::Well, Mood::Well, Mood::Well]);
    hook.is("b", Mood::Held);
    for n in 0..5 {
        hook.says("ann", "a", &n.to_string()).await;
    }
    let recorded = async {
        while town.census().await.count(Tally::Delivered) < told + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // Less than it takes until the fourth is given up.
    tokio::time::timeout(Duration::from_secs(10), recorded).await.expect("three are recorded");
    assert_eq!(hook.attempts("b").len(), known + 3, "nobody answered the fourth");
    hook.is("b", Mood::Well);
    town.settled().await;
    assert_eq!(hook.texts("b"), (0..5).map(|n| n.to_string()).collect::<Vec<_>>());
    town.law().await;
}

#[tokio::test]
async fn f11_the_same_event_minutes_and_a_day_later_is_one_message() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    let tea = town.local("tea").await;
    town.tube("hook a", "hook b").await;
    town.tube("hook a", "local tea").await;
    let hi = json!({ "type": "message.posted", "room": "a", "author": { "name": "ann" }, "message": { "id": "m", "text": "hi" } });
    for pass in [Duration::ZERO, Duration::from_mins(6), Duration::from_hours(25), Duration::from_hours(300)] {
        town.pass(pass).await;
        hook.tells("e1", hi.clone()).await;
        town.settled().await;
    }
    let copies = hook.attempts("b").iter().filter(|attempt| attempt.body.get("author").is_some()).count();
    assert_eq!(copies, 1, "{:?}", hook.attempts("b"));
    assert!(tea.shows().await.len() <= 1);
    town.law().await;
}

/// What a plain IRC server took cannot be known once the process has died over it: it is sent again, and counted once.
#[tokio::test]
async fn f4_a_second_attempt_that_may_be_a_duplicate_is_counted_once() {
    let town = Town::of(Kind::Memory).await;
    let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
    town.tube("irc #ops", "hook a").await;
    irc.hears("#ops", "This room is now connected to a on hook.").await;
    town.settled().await;
    town.stop().await;
    hook.says("ann", "a", "hi").await;
    // A worker leases the event and dies over it.
    use sameroom_engine::ports::{QueueName, Store};
    let memory = town.memory.clone().unwrap();
    drop(memory.lease(QueueName::Events, 1).await.unwrap());
    memory.restart();
    town.start();
    irc.hears("#ops", "<ann> hi").await;
    town.settled().await;
    assert_eq!(town.census().await.count(Tally::Ambiguous), 1);
    town.law().await;
}
