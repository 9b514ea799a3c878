//! How Slack is added: an app once, then workspace after workspace, each by a visit to Slack; tokens that end and are
//! renewed.

use std::collections::BTreeMap;
use std::time::Duration;

use sameroom_engine::{Onboarding, Status};
use sameroom_model::{AccountId, AccountState, OwnerId};
use sameroom_platforms::Answer;
use sameroom_tests::worlds::slack::{Consent, Ear, Slack};
use sameroom_tests::worlds::{Kind, Server, Town};

pub(crate) fn back(town: &Town) -> String {
    format!("http://{}/oauth/return", town.address)
}

/// The operator gives an app's credentials, as its page shows them; gives the app's account, and the page to visit.
async fn adds_app(town: &Town, slack: &Slack) -> (AccountId, Onboarding) {
    adds_app_by(town, slack, Ear::Hooks).await
}

/// Likewise, by either way.
pub(crate) async fn adds_app_by(town: &Town, slack: &Slack, ear: Ear) -> (AccountId, Onboarding) {
    let owner = OwnerId::from("operator");
    let begun = town.engine.start_onboarding(&owner, "slack", None, &back(town)).await.unwrap();
    assert!(matches!(&begun.status, Status::Ask(form) if form.fields.iter().any(|field| field.name == "client_id")));
    let keys = slack.keys();
    let fields: BTreeMap<String, String> = [
        ("client_id", keys.client_id),
        ("client_secret", keys.client_secret),
        match ear {
            Ear::Hooks => ("signing_secret", keys.signing_secret),
            Ear::Socket => ("app_token", keys.app_token),
        },
        ("endpoint", slack.api()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let asked = town.engine.answer_onboarding(&owner, &begun.id, Answer::Fields(fields)).await.unwrap();
    let app = asked.app.clone().expect("the app was added");
    // They paste both addresses into the app's settings.
    slack.redirects_to(&back(town));
    slack.socket_mode(ear == Ear::Socket);
    if ear == Ear::Hooks {
        slack.set_request_url(&town.hooks(&app)).await.unwrap();
    }
    (app, asked)
}

fn page(onboarding: &Onboarding) -> String {
    match &onboarding.status {
        Status::Visit(url) => url.clone(),
        other => panic!("a visit is asked, not {other:?}"),
    }
}

/// Somebody of a workspace allows the app there; gives the account.
pub(crate) async fn allows(town: &Town, slack: &Slack, who: &str, begun: &Onboarding) -> AccountId {
    slack.person(who);
    let target = slack.visits(&page(begun), &Consent::Agrees(who.into())).unwrap();
    let answer = reqwest::get(target).await.unwrap();
    assert!(answer.status().is_success());
    let words = answer.text().await.unwrap();
    assert!(words.contains("The account is connected."), "{words}");
    match town.engine.onboarding(&begun.owner, &begun.id).await.unwrap().unwrap().status {
        Status::Done(account) => account,
        other => panic!("{other:?}"),
    }
}

stories! {
    async fn an_app_is_installed_by_a_visit_and_messages_cross(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack_world().await);
        let (_, begun) = adds_app(town, &slack).await;
        let account = allows(town, &slack, "ann", &begun).await;
        town.knows_slack("acme", &slack, &account);
        town.tube("irc #ops", "acme general").await;
        irc.says("bob", "#ops", "hi").await;
        slack.hears("general", "bob", "hi").await;
        slack.says("general", "ann", "hello");
        irc.hears("#ops", "<ann> hello").await;
        // The address is good once.
        let again = slack.visits(&page(&begun), &Consent::Agrees("ann".into())).unwrap();
        assert_eq!(reqwest::get(again).await.unwrap().status().as_u16(), 404);
        slack.settled().await;
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn a_browser_is_sent_to_slack_and_back_by_itself(town) {
        let slack = town.slack_world().await;
        let (_, begun) = adds_app(town, &slack).await;
        slack.person("ann");
        slack.decides(Consent::Agrees("ann".into()));
        let words = reqwest::get(page(&begun)).await.unwrap().text().await.unwrap();
        assert!(words.contains("The account is connected."), "{words}");
    }

    async fn who_says_no_at_slack_is_told_how_to_begin_again(town) {
        let slack = town.slack_world().await;
        let (_, begun) = adds_app(town, &slack).await;
        slack.decides(Consent::Denies);
        let words = reqwest::get(page(&begun)).await.unwrap().text().await.unwrap();
        assert!(words.contains("The app was not allowed in the workspace."), "{words}");
        let ended = town.engine.onboarding(&begun.owner, &begun.id).await.unwrap().unwrap();
        assert!(matches!(ended.status, Status::Failed(_)));
    }

    async fn two_workspaces_of_two_owners_share_one_request_url(town) {
        let slack = town.slack_world().await;
        let (app, begun) = adds_app(town, &slack).await;
        let acme = allows(town, &slack, "ann", &begun).await;
        town.knows_slack("acme", &slack, &acme);
        let beta = slack.team("beta");
        beta.channel("general", &["bob"]);
        let begun = town.engine.start_onboarding(&"another".into(), "slack", Some(&app), &back(town)).await.unwrap();
        let other = allows(town, &beta, "bob", &begun).await;
        assert_ne!(acme, other);
        // What goes with the app counts the other owner's installation, and tells nothing else of it.
        let impact = town.engine.account_impact(&"operator".into(), &app).await.unwrap().unwrap();
        assert_eq!(impact.installations, Some((1, 1)));
        let impact = town.engine.account_impact(&"operator".into(), &acme).await.unwrap().unwrap();
        assert_eq!(impact.installations, None, "it is no app");
        town.knows_slack("beta", &beta, &other);
        town.tube_of(["operator", "another"], "acme general", "beta general").await;
        slack.says("general", "ann", "hello beta");
        let copy = beta.hears("general", "ann", "hello beta").await;
        beta.reply("general", "bob", &copy, "hello acme");
        slack.hears_what("general", "the answer", |said| said.who == "bob" && said.text == "hello acme").await;
        // A third workspace, which nobody connected, is answered and left out.
        let gamma = slack.team("gamma");
        gamma.install();
        gamma.channel("general", &["mal"]);
        gamma.invites_bot("general");
        gamma.says("general", "mal", "let me in");
        gamma.settled().await;
        slack.settled().await;
        town.settled().await;
        assert!(slack.pushes().iter().all(|push| push.status == Some(200)));
        assert!(town.engine.unrouted() > 0);
        assert!(slack.messages("general").iter().chain(&beta.messages("general")).all(|said| said.text != "let me in"));
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn a_workspace_of_another_owner_is_not_taken_over(town) {
        let slack = town.slack_world().await;
        let (app, begun) = adds_app(town, &slack).await;
        allows(town, &slack, "ann", &begun).await;
        let begun = town.engine.start_onboarding(&"another".into(), "slack", Some(&app), &back(town)).await.unwrap();
        slack.person("bob");
        let target = slack.visits(&page(&begun), &Consent::Agrees("bob".into())).unwrap();
        let words = reqwest::get(target).await.unwrap().text().await.unwrap();
        assert!(words.contains("is connected already, by another owner"), "{words}");
    }

    async fn a_token_that_ends_soon_is_renewed_before_it_does(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack_world().await);
        slack.rotates_tokens(true);
        let (_, begun) = adds_app(town, &slack).await;
        let account = allows(town, &slack, "ann", &begun).await;
        town.knows_slack("acme", &slack, &account);
        town.tube("irc #ops", "acme general").await;
        irc.says("bob", "#ops", "before").await;
        slack.hears("general", "bob", "before").await;
        let kept = town.engine.open_account(&account).await.unwrap().unwrap();
        let left: i64 = kept.secrets.get("expires_at").unwrap().parse().unwrap();
        let left = left - town.engine.clock().now().as_second();
        assert!((43_000..=43_200).contains(&left), "{left} s");
        if town.memory.is_some() {
            town.pass(Duration::from_secs(43_200 - 9 * 60)).await;
            irc.says("bob", "#ops", "nearly").await;
            slack.hears("general", "bob", "nearly").await;
            let calls = slack.calls("*");
            let renewals: Vec<_> = slack.calls("oauth.v2.access");
            assert_eq!(renewals.iter().filter(|call| call.args["grant_type"] == "refresh_token").count(), 1);
            assert!(calls.iter().all(|call| call.error() != "token_expired"), "no call was refused for it");
        }
    }

    async fn a_token_that_expires_is_renewed_once_and_what_waited_is_posted(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack_world().await);
        slack.rotates_tokens(true);
        let (_, begun) = adds_app(town, &slack).await;
        let account = allows(town, &slack, "ann", &begun).await;
        town.knows_slack("acme", &slack, &account);
        town.tube("irc #ops", "acme general").await;
        irc.says("bob", "#ops", "before").await;
        slack.hears("general", "bob", "before").await;
        slack.pass(Duration::from_secs(13 * 3600));
        for n in 0..3 {
            irc.says("bob", "#ops", &format!("after {n}")).await;
        }
        for n in 0..3 {
            slack.hears("general", "bob", &format!("after {n}")).await;
        }
        town.settled().await;
        let renewals = slack.calls("oauth.v2.access");
        let renewals: Vec<_> = renewals.iter().filter(|call| call.args["grant_type"] == "refresh_token").collect();
        assert_eq!(renewals.len(), 1);
        let kept = town.engine.open_account(&account).await.unwrap().unwrap();
        assert_eq!(kept.secrets.get("token"), slack.calls("chat.postMessage").last().unwrap().token.as_deref());
        assert_eq!(slack.odd(), [""; 0]);
    }
}

#[tokio::test]
async fn an_account_whose_token_was_revoked_is_renewed_in_place() {
    let town = Town::of(Kind::Memory).await;
    let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack_world().await);
    let (_, begun) = adds_app(&town, &slack).await;
    let account = allows(&town, &slack, "ann", &begun).await;
    town.knows_slack("acme", &slack, &account);
    town.tube("irc #ops", "acme general").await;
    irc.says("bob", "#ops", "before").await;
    slack.hears("general", "bob", "before").await;
    slack.revokes_tokens();
    slack.settled().await;
    let state = town.engine.account(&account).await.unwrap().unwrap().state;
    assert!(matches!(&state, AccountState::NeedsOwner(why) if why.contains("install the app")), "{state:?}");
    for n in 0..3 {
        irc.says("bob", "#ops", &format!("line {n}")).await;
    }
    slack.is_called("chat.postMessage", 3).await;
    town.pass(Duration::ZERO).await;
    let begun = town.engine.renew_onboarding(&"operator".into(), &account, &back(&town)).await.unwrap();
    assert_eq!(allows(&town, &slack, "ann", &begun).await, account);
    assert_eq!(town.engine.account(&account).await.unwrap().unwrap().state, AccountState::Ok);
    // What waited goes on at once.
    for n in 0..3 {
        slack.hears("general", "bob", &format!("line {n}")).await;
    }
    slack.says("general", "ann", "back again");
    irc.hears("#ops", "<ann> back again").await;
    assert_eq!(slack.odd(), [""; 0]);
    town.settled().await;
    town.law().await;
}

/// Somebody fills in the form with a bot's token; gives what comes of it.
async fn fills_in(town: &Town, slack: &Slack, begun: &Onboarding, token: &str, signing: &str) -> Status {
    let fields = [("bot_token", token.to_owned()), ("signing_secret", signing.to_owned()), ("endpoint", slack.api())];
    let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
    town.engine.answer_onboarding(&begun.owner, &begun.id, Answer::Fields(fields)).await.unwrap().status
}

#[tokio::test]
async fn an_account_that_was_added_by_its_url_is_renewed_by_the_form() {
    let town = Town::of(Kind::Memory).await;
    let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
    let account = town.account("acme");
    town.tube("irc #ops", "acme general").await;
    irc.says("bob", "#ops", "before").await;
    slack.hears("general", "bob", "before").await;
    slack.revokes_tokens();
    slack.settled().await;
    irc.says("bob", "#ops", "while it was out").await;
    slack.is_called("chat.postMessage", 3).await;
    town.pass(Duration::ZERO).await;
    let again = slack.install();
    let keys = slack.keys();
    let begun = town.engine.renew_onboarding(&"operator".into(), &account, &back(&town)).await.unwrap();
    let status = fills_in(&town, &slack, &begun, &again.token, &keys.signing_secret).await;
    assert_eq!(status, Status::Done(account.clone()));
    slack.hears("general", "bob", "while it was out").await;
    // Added anew by the form it is the same bot, and so the same account; and by its URL once more.
    let begun = town.engine.start_onboarding(&"operator".into(), "slack", None, &back(&town)).await.unwrap();
    let status = fills_in(&town, &slack, &begun, &again.token, &keys.signing_secret).await;
    assert_eq!(status, Status::Done(account.clone()));
    assert_eq!(town.pastes("acme", &slack, &again, Ear::Hooks).await, account);
    assert_eq!(town.engine.accounts(&"operator".into()).await.unwrap().len(), 2, "Slack's and IRC's");
    slack.says("general", "ann", "back again");
    irc.hears("#ops", "<ann> back again").await;
    // Another workspace's bot is another account, and none that this one can be renewed with.
    let beta = slack.team("beta");
    let other = beta.install();
    let begun = town.engine.renew_onboarding(&"operator".into(), &account, &back(&town)).await.unwrap();
    let status = fills_in(&town, &slack, &begun, &other.token, &keys.signing_secret).await;
    assert!(matches!(&status, Status::Failed(why) if why.contains("as another account")), "{status:?}");
    let begun = town.engine.start_onboarding(&"operator".into(), "slack", None, &back(&town)).await.unwrap();
    let status = fills_in(&town, &slack, &begun, &other.token, &keys.signing_secret).await;
    assert!(matches!(&status, Status::Done(id) if *id != account), "{status:?}");
    assert_eq!(slack.odd(), [""; 0]);
    town.settled().await;
    town.law().await;
}
