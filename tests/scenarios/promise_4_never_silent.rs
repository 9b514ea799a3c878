//! Promise 4: whatever was accepted is delivered, or waits, or is listed with its reason; at any instant, as the store
//! itself counts. In memory the law is checked after every commit.

use std::time::Duration;

use sameroom_engine::ports::{QueueName, Tally};
use sameroom_tests::worlds::{Kind, Mood, Outage, Server, Town};

stories! {
    async fn the_law_holds_while_everything_goes_wrong(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        let tea = town.local("tea").await;
        for (a, b) in [("irc #ops", "hook a"), ("hook a", "hook b"), ("hook b", "local tea"), ("hook b", "hook c")] {
            town.tube(a, b).await;
        }
        irc.is_joined("#ops").await;
        for room in ["a", "b", "c"] {
            hook.script(room, [Mood::Ailing, Mood::Well, Mood::CutAfter, Mood::Refusing, Mood::Well, Mood::Busy(Some(1))]);
        }
        for n in 0..15 {
            let key = hook.says("ann", "a", &format!("a {n}")).await;
            irc.says("bob", "#ops", &format!("i {n}")).await;
            let mine = tea.says("cy", &format!("t {n}")).await;
            match n % 5 {
                0 => hook.edits("ann", "a", &key, "edited").await,
                1 => hook.deletes("a", &key).await,
                2 => tea.reacts("cy", &mine, "👍").await,
                3 => irc.cuts(),
                _ => {
                    town.store.outage(Some(Outage::Gone));
                    assert_eq!(hook.tells("e", serde_json::json!({})).await.status.as_u16() / 100, 4);
                    town.store.outage(None);
                }
            }
            assert!(town.census().await.conserves());
        }
        town.settled().await;
        let census = town.census().await;
        assert!(census.conserves() && census.waiting(QueueName::Outbox) == 0, "{census:?}");
        assert_eq!(census.count(Tally::Dead), town.failed().await.len() as i64);
    }
}

#[tokio::test]
async fn the_law_holds_over_restarts() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.tube("hook a", "hook c").await;
    town.tube("hook x", "hook y").await;
    town.settled().await;
    let memory = town.memory.clone().unwrap();
    for round in 0..10 {
        for room in ["b", "c", "y"] {
            hook.script(room, [Mood::CutAfter, Mood::Well, Mood::Ailing]);
        }
        for n in 0..5 {
            hook.says("ann", "a", &format!("{round} {n}")).await;
            hook.says("ann", "x", &format!("{round} {n}")).await;
        }
        town.stop().await;
        memory.restart();
        assert!(town.census().await.conserves());
        town.start();
        town.pass(Duration::from_secs(2)).await;
    }
    town.settled().await;
    let wanted: Vec<String> = (0..10).flat_map(|round| (0..5).map(move |n| format!("{round} {n}"))).collect();
    for room in ["b", "c", "y"] {
        assert_eq!(hook.texts(room), wanted, "{room}");
    }
    town.law().await;
}
