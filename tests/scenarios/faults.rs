//! Faults by their numbers in the reference, as they look from the rooms.

use std::time::Duration;

use http::StatusCode;
use sameroom_engine::ports::{Commit, NewJob, QueueName, Tally};
use sameroom_model::{AccountState, Direction, OwnerId, TubeState};
use sameroom_platforms::{Draft, by_name};
use sameroom_tests::worlds::{Kind, Mood, Server, Town};
use serde_json::json;

fn operator() -> OwnerId {
    "operator".into()
}

stories! {
    async fn f5_a_message_of_several_parts_goes_on_where_it_was_cut(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.settled().await;
        let known = hook.attempts("b").len();
        let text = "forty thousand! ".repeat(2500);
        hook.script("b", [Mood::Well, Mood::Ailing, Mood::Busy(None), Mood::Well]);
        hook.says("ann", "a", &text).await;
        town.settled().await;
        let parts = hook.texts("b");
        assert_eq!(parts.len(), 3);
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(squeezed(&parts.concat()), squeezed(&text));
        // The first part was not sent again.
        assert_eq!(hook.attempts("b").len() - known, 3 + 2);
        assert_eq!(hook.collapsed(), 0);
    }

    async fn f15_what_is_deleted_before_it_was_delivered_is_not_left_there(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.settled().await;
        hook.script("b", [Mood::Ailing, Mood::Ailing]);
        let key = hook.says("ann", "a", "oops").await;
        hook.deletes("a", &key).await;
        hook.says("ann", "a", "better").await;
        town.settled().await;
        hook.shows("b", &[("ann", "better")]).await;
    }

    async fn f24_what_is_proven_but_not_understood_is_kept_and_can_be_read_again(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        // A job that a newer version put on the queue, and that we were rolled back under.
        let lost = json!({ "v": 2, "shape": "of the future" }).to_string().into_bytes();
        let send = |queue, group: &str| NewJob {
            queue,
            group: group.to_owned(),
            dedup: None,
            body: lost.clone(),
            attempts: 0,
            maybe: false,
            delay: Duration::ZERO,
        };
        let (account, store) = (town.account("hook"), town.engine.store());
        let sends = vec![
            send(QueueName::Events, &format!("room/{account}/a")),
            send(QueueName::Outbox, &format!("{account}/a/{account}/b")),
        ];
        store.commit(Commit { sends, tally: vec![(Tally::Owed, 1)], ..Commit::default() }).await.unwrap();
        town.settled().await;
        // The room and the lane go on.
        hook.says("ann", "a", "hi").await;
        town.settled().await;
        hook.shows("b", &[("ann", "hi")]).await;
        let letters = town.engine.letters(&operator(), None, 10).await.unwrap();
        assert_eq!(letters.iter().filter(|letter| letter.why.contains("newer version")).count(), 2, "{letters:?}");
        // As long as nobody understands it it stays.
        for letter in &letters {
            assert!(town.engine.replay_letter(&operator(), &letter.id).await.unwrap().is_err());
        }
        assert_eq!(town.engine.letters(&operator(), None, 10).await.unwrap().len(), 2);
        assert_eq!(town.engine.letters(&"mallory".into(), None, 10).await.unwrap().len(), 0);
    }

    async fn f61_what_waits_for_a_tube_that_is_removed_is_not_delivered(town) {
        let hook = town.hook("hook").await;
        let tube = town.tube("hook a", "hook b").await;
        town.settled().await;
        hook.is("b", Mood::Ailing);
        let known = hook.attempts("b").len();
        for n in 0..5 {
            hook.says("ann", "a", &format!("secret {n}")).await;
        }
        hook.is_tried("b", known + 1).await;
        // What is taken up after the Tube is removed never goes there.
        town.store.taken_up().await;
        town.cut(&tube).await;
        hook.is("b", Mood::Well);
        town.settled().await;
        hook.shows("b", &[]).await;
        assert_eq!(town.census().await.count(Tally::LeftOut), 5);
    }

    async fn what_waits_for_a_room_that_wants_nothing_any_more_is_not_delivered(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.settled().await;
        hook.is("b", Mood::Ailing);
        let known = hook.attempts("b").len();
        hook.says("ann", "a", "too late").await;
        hook.is_tried("b", known + 1).await;
        town.options("hook b", |options| options.direction = Direction::NotIn).await;
        hook.is("b", Mood::Well);
        town.settled().await;
        hook.shows("b", &[]).await;
    }

    async fn what_was_refused_is_listed_and_can_be_replayed(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.settled().await;
        hook.script("b", [Mood::Refusing]);
        hook.says("ann", "a", "try me").await;
        hook.says("ann", "a", "next").await;
        town.settled().await;
        hook.shows("b", &[("ann", "next")]).await;
        let failed = town.failed().await;
        assert_eq!(failed.len(), 1);
        assert!(failed[0].why.contains("400"), "{}", failed[0].why);
        assert!(town.engine.replay(&operator(), &failed[0].id).await.unwrap());
        assert!(!town.engine.replay(&operator(), &failed[0].id).await.unwrap(), "it is replayed once");
        town.settled().await;
        hook.shows("b", &[("ann", "next"), ("ann", "try me")]).await;
        assert_eq!(town.failed().await.len(), 0);
    }

    async fn a_held_connection_that_is_cut_catches_up(town) {
        let (irc, hook) = (town.irc("irc", Server::Modern).await, town.hook("hook").await);
        town.tube("irc #ops", "hook a").await;
        irc.is_joined("#ops").await;
        irc.cuts();
        hook.says("ann", "a", "are you back?").await;
        irc.hears("#ops", "<ann> are you back?").await;
        irc.says("bob", "#ops", "yes").await;
        hook.hears("a", "bob", "yes").await;
    }

    async fn a_channel_that_does_not_let_us_talk_refuses_and_it_is_listed(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        town.tube("irc #ops", "hook a").await;
        irc.hears("#ops", "This room is now connected to a on hook.").await;
        irc.bans_us("#ops", true);
        hook.says("ann", "a", "hello?").await;
        town.store.drained().await;
        assert_eq!(town.failed().await.len(), 1);
        irc.bans_us("#ops", false);
        assert!(town.engine.replay(&operator(), &town.failed().await[0].id).await.unwrap());
        irc.hears("#ops", "<ann> hello?").await;
    }
}

#[tokio::test]
async fn f16_a_target_that_asks_for_time_gets_it() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.tube("hook a", "hook c").await;
    town.settled().await;
    let known = hook.attempts("b").len();
    hook.script("b", [Mood::Busy(Some(30))]);
    hook.says("ann", "a", "1").await;
    hook.says("ann", "a", "2").await;
    town.store.quiet().await;
    assert_eq!(hook.texts("c"), ["1", "2"], "the sibling flows");
    for _ in 0..40 {
        town.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(hook.texts("b"), ["1", "2"]);
    let tries: Vec<_> = hook.attempts("b").drain(known..).map(|attempt| attempt.at).collect();
    assert_eq!(tries.len(), 3);
    let waited = tries[1].duration_since(tries[0]).as_secs();
    assert!((30..=37).contains(&waited), "{waited}");
    town.law().await;
}

#[tokio::test]
async fn f17_absurd_waits_are_cut_to_an_hour() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.settled().await;
    hook.script("b", [Mood::Busy(Some(1_000_000_000)), Mood::Busy(Some(0))]);
    hook.says("ann", "a", "1").await;
    town.pass(Duration::from_mins(59)).await;
    hook.shows("b", &[]).await;
    town.pass(Duration::from_mins(14)).await;
    town.pass(Duration::from_secs(2)).await;
    hook.shows("b", &[("ann", "1")]).await;
}

#[tokio::test]
async fn f19_after_two_hours_of_trouble_everything_is_delivered_in_order() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.settled().await;
    hook.is("b", Mood::Ailing);
    let mut wanted = Vec::new();
    for n in 0..120 {
        hook.says("ann", "a", &n.to_string()).await;
        wanted.push(n.to_string());
        town.pass(Duration::from_mins(1)).await;
    }
    hook.shows("b", &[]).await;
    assert!(hook.attempts("b").len() < 20, "it was not stormed: {}", hook.attempts("b").len());
    hook.is("b", Mood::Well);
    town.settled().await;
    assert_eq!(hook.texts("b"), wanted);
    town.law().await;
}

#[tokio::test]
async fn what_nobody_takes_for_a_day_is_given_up_and_listed() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.settled().await;
    hook.is("b", Mood::Ailing);
    hook.says("ann", "a", "old news").await;
    for _ in 0..27 {
        town.pass(Duration::from_hours(1)).await;
    }
    town.settled().await;
    assert_eq!(town.census().await.count(Tally::Expired), 1);
    assert!(town.failed().await[0].why.contains("24 hours"));
    hook.is("b", Mood::Well);
    assert!(town.engine.replay(&operator(), &town.failed().await[0].id).await.unwrap());
    town.settled().await;
    hook.shows("b", &[("ann", "old news")]).await;
    town.law().await;
}

#[tokio::test]
async fn f36_an_account_that_is_gone_is_parked_told_once_and_goes_on_when_added_again() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    let away = town.hook("away").await;
    town.tube("hook a", "away b").await;
    town.settled().await;
    let known = away.attempts("b").len();
    away.is("b", Mood::Gone);
    for n in 0..3 {
        hook.says("ann", "a", &n.to_string()).await;
    }
    town.pass(Duration::from_secs(10)).await;
    let account = town.account("away");
    let known_state = town.engine.account(&account).await.unwrap().unwrap();
    assert!(matches!(&known_state.state, AccountState::NeedsOwner(why) if why.contains("410")), "{known_state:?}");
    assert!(!town.engine.set_state(&account, known_state.state.clone()).await.unwrap(), "that is no news any more");
    for _ in 0..30 {
        town.pass(Duration::from_mins(1)).await;
    }
    let storm = away.attempts("b").len() - known;
    assert!(storm <= 35, "asked {storm} times in half an hour");
    let lanes = town.engine.lanes(&town.room("hook a").await).await.unwrap();
    assert!(lanes.iter().any(|(_, pending, why)| *pending == 3 && why.as_deref().unwrap_or_default().contains("410")));
    // The owner adds it again.
    away.is("b", Mood::Well);
    let draft = Draft {
        platform: "webhook",
        endpoint: known_state.endpoint.clone(),
        identity: known_state.identity.clone(),
        settings: known_state.settings.clone(),
        secrets: town.engine.open_account(&account).await.unwrap().unwrap().secrets,
        place: known_state.place.clone(),
    };
    assert!(by_name(draft.platform).is_some());
    let again = town.engine.add_account(&operator(), &draft).await.unwrap();
    assert_eq!((again.id, again.state), (account, AccountState::Ok));
    town.settled().await;
    assert_eq!(away.texts("b"), ["0", "1", "2"]);
    town.law().await;
}

#[tokio::test]
async fn what_waits_for_a_paused_tube_waits_until_it_is_opened() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    let tube = town.tube("hook a", "hook b").await;
    town.settled().await;
    hook.script("b", [Mood::Ailing]);
    hook.says("ann", "a", "before the pause").await;
    town.store.quiet().await;
    town.set_tube(&tube, TubeState::Paused).await;
    town.pass(Duration::from_mins(5)).await;
    hook.shows("b", &[]).await;
    town.set_tube(&tube, TubeState::Open).await;
    town.settled().await;
    hook.shows("b", &[("ann", "before the pause")]).await;
    town.law().await;
}

/// The store fails for minutes while deliveries are under way. Nothing stays stuck once it is back.
#[tokio::test]
async fn f9_after_a_long_outage_of_the_store_everything_goes_on() {
    use sameroom_tests::worlds::Outage;
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.tube("hook a", "hook c").await;
    town.tube("hook x", "hook y").await;
    town.settled().await;
    hook.is("b", Mood::Held);
    hook.is("y", Mood::Held);
    for n in 0..3 {
        hook.says("ann", "a", &n.to_string()).await;
        hook.says("ann", "x", &n.to_string()).await;
    }
    hook.hears("c", "ann", "2").await;
    town.store.outage(Some(Outage::Gone));
    hook.is("b", Mood::Well);
    hook.is("y", Mood::Well);
    let refused = hook.tells(
        "e",
        json!({ "type": "message.posted", "room": "a", "author": { "name": "ann" }, "message": { "text": "?" } }),
    );
    assert_eq!(refused.await.status, StatusCode::SERVICE_UNAVAILABLE);
    // The engine's own pauses are on tokio's clock.
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(3)).await;
    for _ in 0..200 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    town.store.outage(None);
    town.settled().await;
    assert_eq!(hook.texts("b"), ["0", "1", "2"]);
    assert_eq!(hook.texts("y"), ["0", "1", "2"]);
    town.law().await;
}
