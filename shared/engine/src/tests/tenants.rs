//! Apps with many installations: what is told to the app reaches the right one, and no other.

use bytes::Bytes;
use http::StatusCode;
use sameroom_model::{Account, AccountState, Place};
use serde_json::{Value, json};

use crate::testing::{Bench, TOY};

async fn installed(bench: &Bench, owner: &str, app: &Account, tenant: &str) -> Account {
    let place = Place::Installed { app: app.id.clone(), tenant: tenant.to_owned() };
    bench.account(owner, tenant, place, &[("token", tenant)]).await
}

async fn told(bench: &Bench, app: &Account, body: Value) -> StatusCode {
    let request = http::Request::post("/").header("signed", "yes").body(Bytes::from(body.to_string())).unwrap();
    bench.engine.receive(TOY, &app.id, request).await.status()
}

#[tokio::test]
async fn what_an_app_hears_is_its_installations() {
    let bench = Bench::new();
    let app = bench.app().await;
    let one = installed(&bench, "ann", &app, "T1").await;
    let two = installed(&bench, "bob", &app, "T2").await;
    for (tenant, account) in [("T1", &one), ("T2", &two), ("T1", &one)] {
        let body = json!({"tenant": tenant, "room": "C1", "id": "1", "user": "U1", "text": "hi"});
        assert_eq!(told(&bench, &app, body).await, 200);
        assert_eq!(bench.events()[0].room.account, account.id);
    }
}

#[tokio::test]
async fn what_is_of_no_installation_is_taken_and_dropped() {
    let bench = Bench::new();
    let app = bench.app().await;
    let body = json!({"tenant": "T9", "room": "C1", "id": "1", "user": "U1", "text": "hi", "gone": true});
    assert_eq!(told(&bench, &app, body).await, 200);
    assert_eq!(told(&bench, &app, json!({"room": "C1", "id": "2", "user": "U1", "text": "hi"})).await, 200);
    assert!(bench.events().is_empty());
    assert_eq!(bench.engine.unrouted(), 1);
    assert_eq!(bench.engine.account(&app.id).await.unwrap().unwrap().state, AccountState::Ok);
    // Installed a moment later, it is heard at once.
    let one = installed(&bench, "ann", &app, "T9").await;
    told(&bench, &app, json!({"tenant": "T9", "room": "C1", "id": "3", "user": "U1", "text": "hi"})).await;
    assert_eq!(bench.events()[0].room.account, one.id);
}

#[tokio::test]
async fn an_installation_that_ends_is_the_one_that_is_noted() {
    let bench = Bench::new();
    let app = bench.app().await;
    let one = installed(&bench, "ann", &app, "T1").await;
    told(&bench, &app, json!({"tenant": "T1", "gone": true})).await;
    let state = async |account: &Account| bench.engine.account(&account.id).await.unwrap().unwrap().state;
    assert_eq!(state(&one).await, AccountState::NeedsOwner("uninstalled".into()));
    assert_eq!(state(&app).await, AccountState::Ok);
}

#[tokio::test]
async fn p6_a_second_owner_of_a_place_is_refused_whatever_way_they_come() {
    let bench = Bench::new();
    let app = bench.app().await;
    let one = installed(&bench, "ann", &app, "T1").await;
    let place = Place::Installed { app: app.id.clone(), tenant: "T1".into() };
    let draft = crate::testing::draft("renamed", place, &[]);
    assert!(bench.engine.add_account(&"bob".into(), &draft).await.is_err());
    let again = bench.engine.add_account(&"ann".into(), &draft).await.unwrap();
    assert_eq!((again.id, again.identity.name.as_str()), (one.id, "renamed"), "a place has one installation");
}

#[tokio::test]
async fn an_app_that_changes_is_seen_by_its_installations_at_once() {
    let bench = Bench::new();
    let app = bench.app().await;
    let one = installed(&bench, "ann", &app, "T1").await;
    let client = async || {
        let opened = bench.engine.open_account(&one.id).await.unwrap().unwrap();
        opened.secrets.get("client").map(str::to_owned)
    };
    assert_eq!(client().await.as_deref(), Some("c1"));
    bench.account("operator", "app", Place::App, &[("client", "c2")]).await;
    assert_eq!(client().await.as_deref(), Some("c2"));
    let row = bench.engine.account(&one.id).await.unwrap().unwrap();
    assert!(row.settings.get("app").is_none(), "what is shared is not written down twice");
}

#[tokio::test]
async fn a_held_connection_is_routed_likewise_and_strange_things_are_kept_and_replayed() {
    let bench = Bench::new();
    let app = bench.app().await;
    let one = installed(&bench, "ann", &app, "T1").await;
    let tell = async |body: Value| bench.engine.told(&app.id, &Bytes::from(body.to_string())).await.unwrap();
    tell(json!({"tenant": "T1", "room": "C1", "id": "1", "user": "U1", "text": "hi"})).await;
    assert_eq!(bench.events()[0].room.account, one.id);
    bench.engine.told(&app.id, &Bytes::from_static(b"no json")).await.unwrap();
    tell(json!({"strange": "a new kind"})).await;
    let operator = "operator".into();
    let letters = bench.engine.letters(&operator, None, 10).await.unwrap();
    assert_eq!(letters.len(), 1, "what is damaged is dropped, what is not understood is kept");
    let again = bench.engine.replay_letter(&operator, &letters[0].id).await.unwrap();
    assert_eq!(again, Err("a new kind".to_owned()), "it is read as it came: without a signature");
}
