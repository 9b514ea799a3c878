//! Promise 2: within a lane everything is applied in the order in which it was accepted.

use sameroom_tests::worlds::{Hook, Mood, Server};
use serde_json::json;

/// A target that fails now and then, in all ways that can be got over.
fn fails_now_and_then(hook: &Hook, room: &str, seed: u64, times: usize) {
    let mut state = seed;
    let moods = (0..times).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (state >> 33) % 20 {
            0 => Mood::Ailing,
            1 => Mood::Busy(Some(1)),
            2 => Mood::CutAfter,
            3 => Mood::Busy(None),
            _ => Mood::Well,
        }
    });
    hook.script(room, moods.collect::<Vec<_>>());
}

stories! {
    async fn a_thousand_messages_stay_in_order_whatever_the_target_does(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.settled().await;
        // With `Retry-After` a second is a second on disk too: there only few may ask for it.
        let troubled = if town.memory.is_some() { 1200 } else { 60 };
        fails_now_and_then(&hook, "b", 7, troubled);
        let wanted: Vec<String> = (0..1000).map(|n| format!("message {n}")).collect();
        for text in &wanted {
            hook.says("ann", "a", text).await;
        }
        town.settled().await;
        assert_eq!(hook.texts("b"), wanted);
        assert_eq!(hook.unproven(), 0);
    }

    async fn edits_and_deletes_come_after_their_posts(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.tube("hook a", "hook c").await;
        town.settled().await;
        hook.script("b", [Mood::Ailing, Mood::CutAfter, Mood::Ailing, Mood::Well, Mood::Ailing]);
        for n in 0..10 {
            let key = hook.says("ann", "a", &format!("first {n}")).await;
            hook.edits("ann", "a", &key, &format!("second {n}")).await;
            if n % 3 == 0 {
                hook.deletes("a", &key).await;
            }
        }
        town.settled().await;
        let wanted: Vec<String> = (0..10).filter(|n| n % 3 != 0).map(|n| format!("second {n}")).collect();
        assert_eq!(hook.texts("b"), wanted);
        assert_eq!(hook.texts("c"), wanted);
    }

    async fn f14_of_a_storm_of_edits_the_last_one_stands(town) {
        let hook = town.hook("hook").await;
        let tea = town.local("tea").await;
        town.tube("hook a", "hook b").await;
        town.tube("hook a", "local tea").await;
        let key = hook.says("ann", "a", "0").await;
        hook.script("b", [Mood::Ailing, Mood::Well, Mood::Ailing]);
        for n in 1..=100 {
            hook.edits("ann", "a", &key, &n.to_string()).await;
        }
        town.settled().await;
        hook.shows("b", &[("ann", "100")]).await;
        tea.hears("ann", "100").await;
    }

    async fn order_holds_over_a_held_connection_that_is_cut(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        town.tube("irc #ops", "hook a").await;
        irc.is_joined("#ops").await;
        for n in 0..40 {
            if n == 20 {
                irc.cuts();
            }
            hook.posts(json!({ "type": "message.posted", "room": "a", "author": { "name": "bob" }, "message": { "text": format!("line {n}") } })).await;
        }
        irc.hears("#ops", "<bob> line 39").await;
        // Some may be there twice, since a plain server does not say what it took before it was cut: none is missing,
        // and none is out of order once the second ones are taken away.
        let mut once: Vec<String> = Vec::new();
        for said in irc.ours("#ops").into_iter().filter(|said| said.starts_with("<bob>")) {
            if !once.contains(&said) {
                once.push(said);
            }
        }
        assert_eq!(once, (0..40).map(|n| format!("<bob> line {n}")).collect::<Vec<_>>());
    }
}
