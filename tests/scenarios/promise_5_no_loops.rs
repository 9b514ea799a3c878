//! Promise 5: a message is in each room at most once, in any graph, other people's bridges included.

use std::time::Duration;

use sameroom_engine::LinkError;
use sameroom_model::{AccountState, Lane, MadeBy};
use sameroom_tests::worlds::{Kind, Mood, Town};
use serde_json::json;

stories! {
    async fn f60_in_a_triangle_every_room_hears_it_once(town) {
        let hook = town.hook("hook").await;
        let tea = town.local("tea").await;
        town.tube("hook a", "hook b").await;
        town.tube("hook b", "local tea").await;
        town.tube("local tea", "hook a").await;
        hook.says("ann", "a", "1").await;
        hook.says("bob", "b", "2").await;
        tea.says("cy", "3").await;
        town.settled().await;
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        assert_eq!(sorted(hook.texts("a")), ["2", "3"]);
        assert_eq!(sorted(hook.texts("b")), ["1", "3"]);
        assert_eq!(sorted(tea.shows().await.into_iter().map(|(_, text)| text).collect()), ["1", "2", "3"]);
    }

    async fn along_a_chain_every_room_hears_it_once(town) {
        let hook = town.hook("hook").await;
        for n in 0..9 {
            town.tube(&format!("hook {n}"), &format!("hook {}", n + 1)).await;
        }
        hook.says("ann", "4", "hi").await;
        for n in (0..10).filter(|n| *n != 4) {
            hook.hears(&n.to_string(), "ann", "hi").await;
        }
        town.settled().await;
        assert!((0..10).filter(|n| *n != 4).all(|n| hook.texts(&n.to_string()) == ["hi"]));
    }

    async fn our_own_copy_that_comes_back_goes_no_further(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        hook.says("ann", "a", "hi").await;
        let copy = hook.hears("b", "ann", "hi").await;
        town.settled().await;
        let echo = json!({ "type": "message.posted", "room": "b", "author": { "name": "our bot" },
            "message": { "id": copy, "text": "hi" } });
        hook.posts(echo).await;
        town.settled().await;
        hook.shows("a", &[]).await;
    }

    async fn our_own_copy_that_comes_back_under_the_receivers_id_goes_no_further(town) {
        let hook = town.hook("hook").await;
        hook.is("b", Mood::Naming);
        town.tube("hook a", "hook b").await;
        let key = hook.says("ann", "a", "hi").await;
        let copy = format!("own/{}", hook.hears("b", "ann", "hi").await);
        town.settled().await;
        hook.posts(json!({ "type": "message.posted", "room": "b", "author": { "name": "our bot" },
            "message": { "id": copy, "text": "hi" } })).await;
        // That is the name under which it is changed, and answered.
        hook.edits("ann", "a", &key, "hello").await;
        hook.hears_what("b", "the edit", |post| post.body["type"] == "message.edited" && post.body["message"]["id"] == copy).await;
        hook.replies("bob", "b", &copy, "hello, ann").await;
        hook.hears_what("a", "the answer", |post| post.body["message"]["reply_to"] == key).await;
        town.settled().await;
        hook.shows("a", &[("bob", "hello, ann")]).await;
    }

    async fn a_room_is_not_connected_to_itself(town) {
        let _hook = town.hook("hook").await;
        let (room, owner) = (town.room("hook a").await, "operator".into());
        let refused = town.engine.connect([&owner, &owner], [&room, &room], MadeBy::Operator).await;
        assert!(matches!(refused, Err(LinkError::SameRoom(_))));
    }

    async fn two_rooms_have_one_tube_whichever_way_it_is_made(town) {
        let hook = town.hook("hook").await;
        let one = town.tube("hook a", "hook b").await;
        assert_eq!(town.tube("hook b", "hook a").await.id, one.id);
        hook.says("ann", "a", "hi").await;
        town.settled().await;
        hook.shows("b", &[("ann", "hi")]).await;
    }
}

/// Somebody else's bridge carries our copies from one room of ours back into the other, by its own bot.
#[tokio::test]
async fn f60_a_foreign_bridge_in_the_cycle_is_stopped_and_the_lanes_can_be_resumed() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    hook.says("ann", "a", "round we go").await;
    let (mut from, mut to, mut heard) = ("a", "b", 0);
    for _ in 0..20 {
        town.store.quiet().await;
        let Some((who, text)) = hook.said(to).get(heard / 2).cloned() else { break };
        heard += 1;
        // What our copy says in `to` the foreign bot says in `from`.. of which we make a copy in `to`, and so on.
        hook.says("bridgebot", to, &format!("<{who}> {text}")).await;
        std::mem::swap(&mut from, &mut to);
    }
    assert!((3..=6).contains(&heard), "it went round {heard} times");
    let (a, b) = (town.room("hook a").await, town.room("hook b").await);
    let mut held = Vec::new();
    for (from, to) in [(&a, &b), (&b, &a)] {
        let lanes = town.engine.lanes(from).await.unwrap();
        if lanes.iter().any(|(_, _, parked)| parked.as_deref().is_some_and(|why| why.contains("loop"))) {
            held.push(Lane { from: from.clone(), to: to.clone() });
        }
    }
    assert_eq!(held.len(), 1);
    // The account is not to blame: nobody has to sign in again.
    let state = town.engine.account(&town.account("hook")).await.unwrap().unwrap().state;
    assert_eq!(state, AccountState::Ok);
    // People's words wait behind, and go on once somebody has looked at it.
    let (talker, listener) = if held[0].from == a { ("a", "b") } else { ("b", "a") };
    hook.says("cy", talker, "hello?").await;
    town.pass(Duration::from_mins(10)).await;
    assert!(!hook.texts(listener).contains(&"hello?".to_owned()));
    assert!(town.engine.resume_lane(&held[0]).await.unwrap());
    town.settled().await;
    assert_eq!(hook.texts(listener).last().unwrap(), "hello?");
    town.law().await;
}
