//! Slack at both ends: its events come in by the function's URL, and what is posted is posted to it.

use std::time::{Duration, Instant};

use sameroom_tests::worlds::slack::{Mood, Slack};
use serde_json::json;

use crate::cloud::{Stack, shared};

/// How long something may take that takes several functions, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Two workspaces, each a world of its own, whose channels `general` are connected.
pub(crate) struct Pair {
    pub(crate) acme: Slack,
    pub(crate) globex: Slack,
    pub(crate) tube: String,
    pub(crate) rooms: [String; 2],
}

/// A world that a stack hears.
pub(crate) async fn world(stack: &Stack, name: &str) -> (Slack, String, String) {
    let slack = Slack::open().await;
    let (installed, keys, general) = (slack.install(), slack.keys(), slack.id_of("general"));
    let (token, signing, base) = (&installed.token, &keys.signing_secret, slack.api());
    let url = format!("slack://{name}/{general}?name=general&token={token}&signing={signing}&endpoint={base}");
    let (room, account) = stack.api().room(&url).await;
    // A function's first call is slow on a machine that does ten things at once; Slack tries again as well.
    slack.waits_for_answers(Duration::from_secs(20));
    slack.retries_after(&[0, 1, 5, 30].map(Duration::from_secs));
    slack.set_request_url(&stack.hook("slack", &account)).await.expect("it answers the challenge");
    (slack, room, account)
}

/// Waits until something is so in a world.
pub(crate) async fn becomes(slack: &Slack, what: &str, so: impl Fn(&Slack) -> bool) {
    within(SOON, slack, what, so).await;
}

/// Likewise, for that long.
pub(crate) async fn within(patience: Duration, slack: &Slack, what: &str, so: impl Fn(&Slack) -> bool) {
    let until = Instant::now() + patience;
    while !so(slack) {
        if Instant::now() >= until {
            let refused: Vec<_> = slack.pushes().into_iter().filter(|push| push.status != Some(200)).collect();
            let said: Vec<_> = slack.messages("general").into_iter().map(|said| said.text).collect();
            panic!("waited {patience:?} until {what}; the room has {said:?}; refused were {refused:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a message is in the channel `general`.
pub(crate) async fn has(slack: &Slack, text: &str) {
    becomes(slack, text, |slack| slack.messages("general").iter().any(|said| said.text == text)).await;
}

/// What stands in the channel `general` that begins so.
pub(crate) fn lines(slack: &Slack, prefix: &str) -> Vec<String> {
    let said = slack.messages("general").into_iter().map(|said| said.text);
    said.filter(|text| text.starts_with(prefix)).collect()
}

impl Pair {
    pub(crate) async fn meet(stack: &Stack) -> Self {
        Self::of(stack, "globex").await
    }

    /// Likewise, the second of another name.
    pub(crate) async fn of(stack: &Stack, second: &str) -> Self {
        let (acme, one, _) = world(stack, "acme").await;
        let (globex, two, _) = world(stack, second).await;
        let tube = stack.api().tube(&one, &two).await;
        Self { acme, globex, tube, rooms: [one, two] }
    }
}

#[tokio::test]
async fn what_is_said_in_one_workspace_is_posted_in_the_other_with_its_edits_threads_and_reactions() {
    let pair = Pair::meet(shared()).await;
    let (acme, globex) = (&pair.acme, &pair.globex);
    let ts = acme.says("general", "ann", "*Where* is the plan?");
    let copy = globex.hears("general", "ann", "*Where* is the plan?").await;
    globex.reply("general", "bob", &copy, "On the table.");
    let answer = acme.hears("general", "bob", "On the table.").await;
    let threads = acme.message("general", &answer).expect("it is there")["thread_ts"].clone();
    assert_eq!(threads.as_str(), Some(ts.as_str()), "a thread stays a thread");
    acme.edits("general", &ts, "Where is _the_ plan?");
    becomes(globex, "the copy is edited", |slack| {
        slack.message("general", &copy).is_some_and(|message| message["text"] == "Where is _the_ plan?")
    })
    .await;
    acme.reacts("general", "zoe", &ts, "eyes");
    becomes(globex, "the copy has a reaction", |slack| {
        slack.message("general", &copy).is_some_and(|message| message["reactions"][0]["name"] == "eyes")
    })
    .await;
    let slip = acme.says("general", "ann", "a slip of the tongue");
    has(globex, "a slip of the tongue").await;
    acme.deletes("general", &slip);
    becomes(globex, "the copy is deleted", |slack| lines(slack, "a slip").is_empty()).await;
    assert_eq!((acme.odd(), globex.odd()), (vec![], vec![]));
}

#[tokio::test]
async fn promise_2_a_hundred_messages_arrive_once_and_in_order() {
    let pair = Pair::meet(shared()).await;
    pair.acme.duplicates_events(30);
    let began = Instant::now();
    for n in 0..100 {
        pair.acme.says("general", "ann", &format!("line {n}"));
    }
    has(&pair.globex, "line 99").await;
    println!("aws: a hundred messages in {:.1} s", began.elapsed().as_secs_f64());
    pair.acme.settled().await;
    assert_eq!(lines(&pair.globex, "line "), (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_target_that_is_busy_gets_everything_later_and_in_order() {
    let pair = Pair::meet(shared()).await;
    pair.globex.script("chat.postMessage", [Mood::Busy(2), Mood::Status(503)]);
    for n in 0..5 {
        pair.acme.says("general", "ann", &format!("held {n}"));
    }
    has(&pair.globex, "held 4").await;
    assert_eq!(lines(&pair.globex, "held "), (0..5).map(|n| format!("held {n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn portals_and_tubes_are_made_by_the_api() {
    let stack = shared();
    let (api, pair) = (stack.api(), Pair::meet(stack).await);
    let portal = api.post("/portals", json!({"room": pair.rooms[0], "label": "for friends"})).await;
    let url = portal["url"].as_str().expect("a Portal has a URL");
    assert!(url.starts_with(stack.output("Url").trim_end_matches('/')), "{url} is not where the API is");
    let path = url.strip_prefix(stack.output("Url").trim_end_matches('/')).unwrap_or_default();
    let page = reqwest::get(format!("{}{path}", stack.local("Url"))).await.expect("the page is there");
    assert!(page.status().is_success() && page.text().await.expect("a page").contains("general"));

    // Through it comes a third workspace.
    let (initech, third, _) = world(stack, "initech").await;
    let token = url.rsplit('/').next().unwrap_or_default();
    api.post(&format!("/invitations/{token}/accept"), json!({"room": third})).await;
    pair.acme.says("general", "ann", "welcome");
    has(&initech, "welcome").await;
    has(&pair.globex, "welcome").await;

    let tubes = api.get(&format!("/tubes/{}", pair.tube)).await;
    assert_eq!(tubes["state"], "open", "{tubes}");
    api.patch(&format!("/tubes/{}", pair.tube), json!({"paused": true})).await;
    pair.acme.says("general", "ann", "not for globex");
    has(&initech, "not for globex").await;
    api.delete(&format!("/tubes/{}", pair.tube)).await;
    assert!(lines(&pair.globex, "not for").is_empty());
}

#[tokio::test]
async fn a_forged_event_and_an_unknown_account_are_answered_alike() {
    let stack = shared();
    let (_slack, _, account) = world(stack, "acme").await;
    let mut answers = Vec::new();
    for account in [account.as_str(), "nobody"] {
        let body = r#"{"type":"event_callback","event":{}}"#;
        let request = reqwest::Client::new().post(stack.hook("slack", account)).body(body);
        let answer = request.header("x-slack-signature", "v0=00").send().await.expect("it answers");
        answers.push((answer.status().as_u16(), answer.text().await.expect("words")));
    }
    assert_eq!(answers[0].0, 401, "{answers:?}");
    assert_eq!(answers[0], answers[1]);
}
