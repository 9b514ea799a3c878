//! What goes wrong between Slack and us: calls that fail, events that come twice, late or out of order, channels and
//! tokens that are taken away.

use std::time::Duration;

use sameroom_model::{AccountState, MadeBy, OwnerId, RoomRef};
use sameroom_tests::worlds::slack::{Ear, Mood, Order};
use sameroom_tests::worlds::{Kind, Server, Town};

/// How the account of a world fares.
async fn state(town: &Town, world: &str) -> AccountState {
    town.engine.account(&town.account(world)).await.unwrap().unwrap().state
}

/// Waits until the account of a world fares so.
async fn fares(town: &Town, world: &str, wanted: impl Fn(&AccountState) -> bool) {
    for _ in 0..2000 {
        if wanted(&state(town, world).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{world} is {:?}", state(town, world).await);
}

stories! {
    async fn events_that_come_twice_or_late_or_in_another_order_are_each_relayed_once(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.is_joined("#ops").await;
        slack.duplicates_events(3);
        for n in 0..5 {
            slack.says("general", "ann", &format!("twice {n}"));
            irc.hears("#ops", &format!("<ann> twice {n}")).await;
        }
        slack.holds_events();
        for n in 0..5 {
            slack.says("general", "ann", &format!("held {n}"));
        }
        slack.releases_events(Order::Shuffled(3));
        for n in 0..5 {
            irc.hears("#ops", &format!("<ann> held {n}")).await;
        }
        slack.settled().await;
        town.settled().await;
        let said: Vec<_> = irc.ours("#ops").into_iter().filter(|said| said.starts_with('<')).collect();
        assert_eq!(said.len(), 10, "{said:?}");
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn a_retry_after_a_lost_answer_has_no_second_effect(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        slack.says("general", "ann", "first");
        irc.hears("#ops", "<ann> first").await;
        slack.settled().await;
        // Slack lost our answer, and tells it once more, ten minutes later.
        let push = slack.pushes().into_iter().rfind(|push| push.kind == "message").unwrap();
        town.pass(Duration::from_secs(600)).await;
        slack.happens(push.envelope["event"].clone());
        slack.says("general", "ann", "second");
        irc.hears("#ops", "<ann> second").await;
        slack.settled().await;
        town.settled().await;
        assert_eq!(irc.ours("#ops").iter().filter(|said| said.contains("first")).count(), 1);
    }

    async fn who_is_asked_to_wait_waits_and_keeps_the_order(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        slack.hears_what("general", "the notice", |said| said.text.contains("connected")).await;
        slack.script("chat.postMessage", [Mood::Busy(1), Mood::Busy(1)]);
        for n in 0..5 {
            irc.says("bob", "#ops", &format!("line {n}")).await;
        }
        for called in 2..4 {
            slack.is_called("chat.postMessage", called).await;
            town.pass(Duration::from_secs(5)).await;
        }
        town.settled().await;
        slack.hears("general", "bob", "line 4").await;
        let said: Vec<_> = slack.messages("general").into_iter().filter(|said| said.who == "bob").map(|said| said.text).collect();
        assert_eq!(said, (0..5).map(|n| format!("line {n}")).collect::<Vec<_>>());
        let posts = slack.calls("chat.postMessage");
        let busy: Vec<_> = posts.iter().enumerate().filter(|(_, call)| call.status == 429).collect();
        assert_eq!(busy.len(), 2);
        for (at, call) in busy {
            assert!(posts[at + 1].at - call.at >= 1_000_000, "{} µs", posts[at + 1].at - call.at);
        }
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn a_sick_slack_gets_everything_once_it_is_well(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        slack.hears_what("general", "the notice", |said| said.text.contains("connected")).await;
        slack.script("chat.postMessage", [Mood::Status(503), Mood::CutBefore, Mood::Fails("service_unavailable".into())]);
        for n in 0..4 {
            irc.says("bob", "#ops", &format!("line {n}")).await;
        }
        slack.is_called("chat.postMessage", 2).await;
        town.settled().await;
        let said: Vec<_> = slack.messages("general").into_iter().filter(|said| said.who == "bob").map(|said| said.text).collect();
        assert_eq!(said, (0..4).map(|n| format!("line {n}")).collect::<Vec<_>>());
    }

    async fn a_channel_that_we_are_not_in_is_joined(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        slack.channel("plans", &["ann"]);
        town.tube("irc #ops", "acme plans").await;
        slack.hears_what("plans", "the notice", |said| said.text.contains("connected")).await;
        assert!(slack.members("plans").contains(&slack.bot()));
        irc.says("bob", "#ops", "hi").await;
        slack.hears("plans", "bob", "hi").await;
        slack.says("plans", "ann", "hello");
        irc.hears("#ops", "<ann> hello").await;
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn an_app_that_was_removed_needs_its_owner(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.is_joined("#ops").await;
        // Nothing waits for it any more.
        slack.hears_what("general", "the notice", |said| said.text.contains("connected")).await;
        slack.uninstalls();
        fares(town, "acme", |state| matches!(state, AccountState::NeedsOwner(why) if why.contains("again"))).await;
    }

    async fn an_app_that_gets_too_many_events_is_in_trouble_for_a_while(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.is_joined("#ops").await;
        slack.drops_events(0);
        fares(town, "acme", |state| matches!(state, AccountState::Trouble(_))).await;
        irc.says("bob", "#ops", "hi").await;
        slack.hears("general", "bob", "hi").await;
        fares(town, "acme", |state| *state == AccountState::Ok).await;
    }

    async fn a_message_that_can_never_be_posted_is_told_of_and_holds_nobody_up(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        slack.hears_what("general", "the notice", |said| said.text.contains("connected")).await;
        slack.script("chat.postMessage", [Mood::Fails("msg_blocks_too_long".into())]);
        irc.says("bob", "#ops", "bad").await;
        irc.says("bob", "#ops", "good").await;
        slack.hears("general", "bob", "good").await;
        town.settled().await;
        let failed = town.failed().await;
        assert_eq!(failed.len(), 1);
        assert!(failed[0].why.contains("too long"), "{}", failed[0].why);
    }

    async fn forged_stale_and_unsigned_events_are_refused(town) {
        let slack = town.slack("acme").await;
        let tea = town.local("tea").await;
        town.tube("acme general", "local tea").await;
        let url = town.hooks(&town.account("acme"));
        let general = slack.id_of("general");
        let body = serde_json::json!({ "type": "event_callback", "team_id": slack.team_id(), "event_id": "Ev1", "event":
            { "type": "message", "channel": general, "user": "U1", "text": "forged", "ts": "1700000000.000100" } }).to_string();
        let client = reqwest::Client::builder().build().expect("a client can be made");
        for (stamp, signature) in [(None, None), (Some("1"), Some("v0=00")), (Some("99999999999"), Some("v0="))] {
            let mut request = client.post(&url).header("content-type", "application/json").body(body.clone());
            if let (Some(stamp), Some(signature)) = (stamp, signature) {
                request = request.header("x-slack-request-timestamp", stamp).header("x-slack-signature", signature);
            }
            assert_eq!(request.send().await.unwrap().status().as_u16(), 401);
        }
        slack.says("general", "ann", "true");
        tea.hears("ann", "true").await;
        assert!(tea.shows().await.iter().all(|(_, text)| text != "forged"));
        let known = town.engine.room(&RoomRef { account: town.account("acme"), key: general.into() }).await.unwrap();
        assert!(known.is_some());
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_parks_the_lane_and_a_new_one_frees_it() {
    let town = Town::of(Kind::Memory).await;
    let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
    town.tube("irc #ops", "acme general").await;
    irc.says("bob", "#ops", "before").await;
    slack.hears("general", "bob", "before").await;
    slack.revokes_tokens();
    fares(&town, "acme", |state| matches!(state, AccountState::NeedsOwner(_))).await;
    for n in 0..3 {
        irc.says("bob", "#ops", &format!("line {n}")).await;
    }
    slack.is_called("chat.postMessage", 3).await;
    town.pass(Duration::ZERO).await;
    // The owner installs the app again, and gives the new token to the same account.
    let again = slack.install();
    let account = town.pastes("acme", &slack, &again, Ear::Hooks).await;
    assert_eq!(account, town.account("acme"));
    // What waited goes on at once.
    slack.hears("general", "bob", "line 2").await;
    fares(&town, "acme", |state| *state == AccountState::Ok).await;
    town.settled().await;
    let said: Vec<_> =
        slack.messages("general").into_iter().filter(|said| said.who == "bob").map(|said| said.text).collect();
    assert_eq!(said, ["before", "line 0", "line 1", "line 2"]);
    slack.says("general", "ann", "back again");
    irc.hears("#ops", "<ann> back again").await;
    assert_eq!(slack.odd(), [""; 0]);
    town.settled().await;
    town.law().await;
}

#[tokio::test]
async fn a_private_channel_is_connected_once_the_bot_is_invited_and_waited_for_when_it_was_removed() {
    let town = Town::of(Kind::Memory).await;
    let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
    slack.private("plans", &["ann"]);
    let (ops, plans) = (town.room("irc #ops").await, town.room("acme plans").await);
    let owner = OwnerId::from("operator");
    let refused = town.engine.connect([&owner, &owner], [&ops, &plans], MadeBy::Operator).await.unwrap_err();
    assert!(refused.to_string().contains("/invite"), "{refused}");
    slack.invites_bot("plans");
    town.tube("irc #ops", "acme plans").await;
    irc.says("bob", "#ops", "in").await;
    slack.hears("plans", "bob", "in").await;
    slack.removes_bot("plans");
    slack.settled().await;
    let posts = slack.calls("chat.postMessage").len();
    irc.says("bob", "#ops", "out").await;
    slack.is_called("chat.postMessage", posts + 1).await;
    town.pass(Duration::ZERO).await;
    // It is the channel's fault, and not the account's: said once in the other room, and shown with the lane.
    assert_eq!(state(&town, "acme").await, AccountState::Ok);
    irc.says("bob", "#ops", "still out").await;
    town.pass(Duration::from_secs(61)).await;
    let told: Vec<_> = irc.ours("#ops").into_iter().filter(|said| said.contains("can't be reached")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let lanes = town.engine.lanes(&ops).await.unwrap();
    let (_, waiting, why) = lanes.into_iter().find(|(to, ..)| *to == plans).expect("something waits");
    assert_eq!(waiting, 2);
    assert!(why.is_some_and(|why| why.contains("/invite")));
    slack.invites_bot("plans");
    town.pass(Duration::from_secs(61)).await;
    slack.hears("plans", "bob", "out").await;
    slack.hears("plans", "bob", "still out").await;
    town.settled().await;
    assert_eq!(state(&town, "acme").await, AccountState::Ok);
    assert_eq!(slack.odd(), [""; 0]);
    town.law().await;
}

#[tokio::test]
async fn an_archived_channel_is_not_the_accounts_fault_and_others_flow_on() {
    let town = Town::of(Kind::Memory).await;
    let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
    let plans = slack.channel("plans", &["ann"]);
    let tube = town.tube("irc #ops", "acme plans").await;
    town.tube("irc #dev", "acme general").await;
    irc.is_joined("#dev").await;
    irc.says("bob", "#ops", "before").await;
    slack.hears("plans", "bob", "before").await;
    // Slack does not tell that it was archived; its answer to what is posted does.
    slack.is("chat.postMessage", Mood::Well);
    slack.script("chat.postMessage", (0..4).map(|_| Mood::Fails("is_archived".into())));
    irc.says("bob", "#ops", "first").await;
    irc.says("bob", "#ops", "second").await;
    irc.hears_what("#ops", "#plans on acme.slack.com can't be reached: the channel is archived").await;
    town.pass(Duration::from_secs(1)).await;
    assert_eq!(state(&town, "acme").await, AccountState::Ok);
    let operator = OwnerId::from("operator");
    let view = town.engine.tube(&operator, &tube.id).await.unwrap().expect("it is there");
    let side = view.sides.iter().find(|side| side.name == "#plans").expect("its side");
    assert!(side.parked.as_deref().is_some_and(|why| why.contains("archived")), "{view:?}");
    assert!(view.sides.iter().any(|side| side.parked.is_none()), "the other way is free");
    drop(plans);
    town.settled().await;
    slack.hears("plans", "bob", "second").await;
    let told = irc.ours("#ops").into_iter().filter(|said| said.contains("can't be reached")).count();
    assert_eq!(told, 1, "once for as long as it lasts");
    let view = town.engine.tube(&operator, &tube.id).await.unwrap().expect("it is there");
    assert!(view.sides.iter().all(|side| side.parked.is_none()), "{view:?}");
    irc.says("bob", "#dev", "hi").await;
    slack.hears("general", "bob", "hi").await;
    town.settled().await;
    town.law().await;
}
