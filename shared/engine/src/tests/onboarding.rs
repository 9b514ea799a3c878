//! Adding accounts step by step, and renewing them in place.

use std::collections::BTreeMap;
use std::time::Duration;

use sameroom_model::{AccountState, OwnerId, Place};
use sameroom_platforms::Answer;
use serde_json::json;

use crate::testing::{Bench, TOY};
use crate::{OnboardError, Onboarding, Status};

const BACK: &str = "https://sameroom.example/back";

fn fields(secret: &str) -> Answer {
    Answer::Fields([("secret".to_owned(), secret.to_owned())].into())
}

fn query(code: &str) -> BTreeMap<String, String> {
    [("code".to_owned(), code.to_owned())].into()
}

fn ann() -> OwnerId {
    "ann".into()
}

/// The state in the address that a browser is sent to.
fn state(onboarding: &Onboarding) -> String {
    let Status::Visit(url) = &onboarding.status else { panic!("a visit, not {:?}", onboarding.status) };
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned()
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.answers(|path| match path {
        "/exchange/acme" => Some((200, json!({"team": "T1", "token": "xoxb-1"}))),
        "/exchange/other" => Some((200, json!({"team": "T2", "token": "xoxb-2"}))),
        "/check" | "/again" => Some((200, json!({}))),
        _ => None,
    });
    bench
}

#[tokio::test]
async fn an_app_is_added_and_installed_in_one_go() {
    let bench = bench();
    let begun = bench.engine.start_onboarding(&ann(), TOY, None, BACK).await.unwrap();
    let Status::Ask(form) = &begun.status else { panic!("a form") };
    assert!(form.fields[0].secret);
    let visit = bench.engine.answer_onboarding(&ann(), &begun.id, fields("s3cret")).await.unwrap();
    let app = visit.app.clone().expect("the app is there");
    assert_eq!(bench.engine.account(&app).await.unwrap().unwrap().place, Place::App);
    let done = bench.engine.returned(&state(&visit), query("acme")).await.unwrap();
    let Status::Done(id) = done.status else { panic!("done") };
    let account = bench.engine.account(&id).await.unwrap().unwrap();
    assert_eq!(account.place, Place::Installed { app: app.clone(), tenant: "T1".into() });
    assert_eq!(account.owner, ann());
    let opened = bench.engine.open_account(&id).await.unwrap().unwrap();
    assert_eq!(opened.secrets.get("token"), Some("xoxb-1"));
    assert_eq!(opened.secrets.get("client"), Some("s3cret"), "what it has none of its own of is the app's");
    assert_eq!(opened.account.settings, json!({"app": 1, "own": 1}));
    assert!(bench.owners().iter().all(|owner| owner == "ann"), "an owner's addresses are guarded as that owner's");
}

#[tokio::test]
async fn nothing_that_was_answered_rests_in_the_clear_or_outlives_the_end() {
    let bench = bench();
    let begun = bench.engine.start_onboarding(&ann(), TOY, None, BACK).await.unwrap();
    let visit = bench.engine.answer_onboarding(&ann(), &begun.id, fields("s3cret")).await.unwrap();
    assert!(!bench.at_rest().contains("s3cret"));
    assert!(!bench.at_rest().contains(&state(&visit)), "a state is found by its hash");
    bench.engine.returned(&state(&visit), query("acme")).await.unwrap();
    assert!(!bench.at_rest().contains("onboarding-state"));
    let seen = bench.engine.onboarding(&ann(), &begun.id).await.unwrap().unwrap();
    assert!(matches!(seen.status, Status::Done(_)), "who asks what became of it is told");
}

#[tokio::test]
async fn a_state_is_good_once_and_for_half_an_hour() {
    let bench = bench();
    let app = bench.app().await;
    let visit = bench.engine.start_onboarding(&ann(), TOY, Some(&app.id), BACK).await.unwrap();
    let good = state(&visit);
    let gone = bench.engine.returned("guessed", query("acme")).await;
    assert!(matches!(gone, Err(OnboardError::Gone)));
    bench.engine.returned(&good, query("acme")).await.unwrap();
    assert!(matches!(bench.engine.returned(&good, query("acme")).await, Err(OnboardError::Gone)));
    let late = bench.engine.start_onboarding(&ann(), TOY, Some(&app.id), BACK).await.unwrap();
    bench.pass(Duration::from_mins(31));
    assert!(matches!(bench.engine.returned(&state(&late), query("acme")).await, Err(OnboardError::Gone)));
    assert!(bench.engine.onboarding(&ann(), &late.id).await.unwrap().is_none());
}

#[tokio::test]
async fn of_two_returns_at_once_one_is_taken() {
    let bench = bench();
    let app = bench.app().await;
    let visit = bench.engine.start_onboarding(&ann(), TOY, Some(&app.id), BACK).await.unwrap();
    let state = state(&visit);
    let (a, b) =
        tokio::join!(bench.engine.returned(&state, query("acme")), bench.engine.returned(&state, query("acme")));
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
    assert_eq!(bench.asked().iter().filter(|asked| asked.contains("exchange")).count(), 1);
}

#[tokio::test]
async fn p6_nobody_sees_answers_or_cancels_anothers() {
    let bench = bench();
    let begun = bench.engine.start_onboarding(&ann(), TOY, None, BACK).await.unwrap();
    let mallory = "mallory".into();
    assert!(bench.engine.onboarding(&mallory, &begun.id).await.unwrap().is_none());
    let answered = bench.engine.answer_onboarding(&mallory, &begun.id, fields("x")).await;
    assert!(matches!(answered, Err(OnboardError::Gone)));
    assert!(!bench.engine.cancel_onboarding(&mallory, &begun.id).await.unwrap());
    assert!(bench.engine.cancel_onboarding(&ann(), &begun.id).await.unwrap());
    assert!(bench.engine.onboarding(&ann(), &begun.id).await.unwrap().is_none());
}

#[tokio::test]
async fn p6_an_app_is_the_operators_or_ones_own() {
    let bench = bench();
    let bobs = bench.account("bob", "bobs", Place::App, &[]).await;
    let refused = bench.engine.start_onboarding(&ann(), TOY, Some(&bobs.id), BACK).await;
    assert!(matches!(refused, Err(OnboardError::NoAccount(_))));
    assert!(bench.engine.start_onboarding(&"bob".into(), TOY, Some(&bobs.id), BACK).await.is_ok());
    let none = bench.engine.start_onboarding(&ann(), "nothing", None, BACK).await;
    assert!(matches!(none, Err(OnboardError::NoPlatform(_))));
}

#[tokio::test]
async fn a_form_that_does_not_do_is_filled_in_again() {
    let bench = bench();
    let begun = bench.engine.start_onboarding(&ann(), TOY, None, BACK).await.unwrap();
    let bad = bench.engine.answer_onboarding(&ann(), &begun.id, fields("bad")).await;
    let Err(OnboardError::Problem { field, message }) = bad else { panic!("a problem") };
    assert_eq!((field.as_deref(), message.as_str()), (Some("secret"), "no such secret"));
    bench.answers(|_| Some((500, json!({}))));
    let refused = bench.engine.answer_onboarding(&ann(), &begun.id, fields("check")).await;
    assert!(matches!(refused, Err(OnboardError::Problem { .. })));
    bench.answers(|_| Some((200, json!({}))));
    let done = bench.engine.answer_onboarding(&ann(), &begun.id, fields("check")).await.unwrap();
    assert!(matches!(done.status, Status::Done(_)));
    let over = bench.engine.answer_onboarding(&ann(), &begun.id, fields("check")).await;
    assert!(matches!(over, Err(OnboardError::Unasked(_))));
}

#[tokio::test]
async fn who_says_no_over_there_is_told_that_it_failed() {
    let bench = bench();
    let app = bench.app().await;
    let visit = bench.engine.start_onboarding(&ann(), TOY, Some(&app.id), BACK).await.unwrap();
    let said_no = bench.engine.returned(&state(&visit), BTreeMap::new()).await.unwrap();
    assert_eq!(said_no.status, Status::Failed("you said no".into()));
    let form = bench.engine.answer_onboarding(&ann(), &visit.id, fields("x")).await;
    assert!(matches!(form, Err(OnboardError::Unasked(_))));
}

#[tokio::test]
async fn a_platform_that_asks_for_ever_is_stopped() {
    let bench = bench();
    let begun = bench.engine.start_onboarding(&ann(), TOY, None, BACK).await.unwrap();
    let ended = bench.engine.answer_onboarding(&ann(), &begun.id, fields("loop")).await.unwrap();
    assert!(matches!(ended.status, Status::Failed(_)));
    assert_eq!(bench.asked().len(), 16);
}

#[tokio::test]
async fn an_account_is_renewed_in_place_and_by_itself_alone() {
    let bench = bench();
    let app = bench.app().await;
    let visit = bench.engine.start_onboarding(&ann(), TOY, Some(&app.id), BACK).await.unwrap();
    let Status::Done(id) = bench.engine.returned(&state(&visit), query("acme")).await.unwrap().status else {
        panic!("done")
    };
    bench.engine.add_room(&id, &crate::testing::room("general")).await.unwrap();
    bench.engine.set_state(&id, AccountState::NeedsOwner("token revoked".into())).await.unwrap();

    let wrong = bench.engine.renew_onboarding(&ann(), &id, BACK).await.unwrap();
    let Status::Failed(why) = bench.engine.returned(&state(&wrong), query("other")).await.unwrap().status else {
        panic!("refused")
    };
    insta::assert_snapshot!(why, @"this account is T1, and you signed in as T2: sign in as T1, or add T2 as another account");

    bench.answers(|_| Some((200, json!({"team": "T1", "token": "xoxb-new"}))));
    let right = bench.engine.renew_onboarding(&ann(), &id, BACK).await.unwrap();
    let done = bench.engine.returned(&state(&right), query("acme")).await.unwrap();
    assert_eq!(done.status, Status::Done(id.clone()));
    let opened = bench.engine.open_account(&id).await.unwrap().unwrap();
    assert_eq!(opened.secrets.get("token"), Some("xoxb-new"));
    assert_eq!(opened.account.state, AccountState::Ok);
    assert_eq!(bench.engine.rooms(&id).await.unwrap().len(), 1);

    let mallory = bench.engine.renew_onboarding(&"mallory".into(), &id, BACK).await;
    assert!(matches!(mallory, Err(OnboardError::NoAccount(_))));
}

#[tokio::test]
async fn p6_a_place_that_another_owner_connected_is_refused() {
    let bench = bench();
    let app = bench.app().await;
    let install = async |owner: &str| {
        let visit = bench.engine.start_onboarding(&owner.into(), TOY, Some(&app.id), BACK).await.unwrap();
        bench.engine.returned(&state(&visit), query("acme")).await.unwrap().status
    };
    let Status::Done(anns) = install("ann").await else { panic!("done") };
    let Status::Failed(why) = install("bob").await else { panic!("refused") };
    insta::assert_snapshot!(why, @"T1 is connected already, by another owner; only they can change that");
    assert_eq!(install("ann").await, Status::Done(anns), "one's own is brought up to date");
}
