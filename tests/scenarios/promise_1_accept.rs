//! Promise 1: a request is answered with 2xx only after its event is durable.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use sameroom_embedded::{Sqlite, SqliteOptions};
use sameroom_engine::ports::{Commit, Key, QueueName, Store, Tally, When, Write};
use sameroom_tests::worlds::{Hook, Kind, Outage, Town};
use serde_json::{Value, json};

fn hi() -> Value {
    json!({ "type": "message.posted", "room": "a", "author": { "name": "ann" }, "message": { "text": "hi" } })
}

async fn two_rooms(town: &Town) -> Hook {
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    town.settled().await;
    hook
}

stories! {
    async fn what_is_not_durable_is_not_accepted_and_not_relayed(town) {
        let hook = two_rooms(town).await;
        town.store.outage(Some(Outage::Gone));
        let answered = hook.tells("e1", hi()).await;
        assert_eq!((answered.status, answered.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(5)));
        town.store.outage(None);
        assert_eq!(town.census().await.count(Tally::Accepted), 0);
        // The sender tries again, under the same id, and is heard once.
        assert_eq!(hook.tells("e1", hi()).await.status, StatusCode::ACCEPTED);
        hook.shows("b", &[("ann", "hi")]).await;
    }

    async fn f9_a_full_store_says_so_and_takes_events_again_once_there_is_room(town) {
        let hook = two_rooms(town).await;
        town.store.outage(Some(Outage::Full));
        let answered = hook.tells("e1", hi()).await;
        assert_eq!((answered.status, answered.retry_after), (StatusCode::INSUFFICIENT_STORAGE, Some(5)));
        assert_eq!(answered.body["type"], "urn:sameroom:problem:full");
        town.store.outage(None);
        hook.tells("e1", hi()).await;
        hook.shows("b", &[("ann", "hi")]).await;
    }

    async fn what_a_hosted_room_shows_is_durable_or_refused(town) {
        let tea = town.local("tea").await;
        let hook = town.hook("hook").await;
        town.tube("local tea", "hook b").await;
        town.settled().await;
        town.store.outage(Some(Outage::Gone));
        let body = json!({ "type": "post", "id": "c1", "author": { "id": "browser-secret-0001", "name": "Ada" }, "text": "x" });
        let url = format!("http://{}/hooks/local/{}/{}", town.address, tea.room.account, tea.room.key);
        let request = || http::Request::post(&url).body(Bytes::from(body.to_string())).unwrap();
        assert_eq!(hook.sends(request()).await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(tea.shows().await, []);
        town.store.outage(None);
        assert_eq!(hook.sends(request()).await.status, StatusCode::OK);
        assert_eq!(hook.sends(request()).await.status, StatusCode::OK);
        hook.shows("b", &[("Ada", "x")]).await;
        assert_eq!(tea.shows().await.len(), 1);
    }
}

/// The store itself says that it is full, not only the scenario.
#[tokio::test]
async fn f9_sqlite_that_reaches_its_size_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { max_size: Some(256 * 1024), ..SqliteOptions::default() };
    let store = Sqlite::open(folder.path(), options).unwrap();
    let mut full = None;
    for n in 0..100 {
        let key = Key { partition: "p".into(), sort: format!("{n}") };
        let write = Write::Put { key, body: vec![b'x'; 8192], expires: None, when: When::Always };
        if let Err(e) = store.commit(Commit { writes: vec![write], ..Commit::default() }).await {
            full = Some(e);
            break;
        }
    }
    assert!(matches!(full, Some(sameroom_engine::ports::CommitError::Unavailable(e)) if e.full));
}

/// Intake is slowed before it is refused, and refused before the relay starves.
#[tokio::test]
async fn when_nobody_keeps_up_intake_is_slowed_and_then_refused() {
    let town = Town::resting(Kind::Memory, |_| ()).await;
    let hook = two_rooms_at_rest(&town).await;
    let engine = &town.engine;
    let account = town.account("hook");
    let tells = async |id: &str| {
        let request = hook.signed(id, hi());
        let before = tokio::time::Instant::now();
        let response = engine.receive("webhook", &account, request).await;
        (response, before.elapsed())
    };
    tokio::time::pause();
    let (response, took) = tells("e1").await;
    assert_eq!((response.status(), took), (StatusCode::ACCEPTED, Duration::ZERO));
    town.turn(Duration::from_secs(4));
    assert_eq!(town.store.lag(QueueName::Events), Duration::from_secs(4));
    let (response, took) = tells("e2").await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert!((400..=401).contains(&took.as_millis()), "slowed by a tenth of the lag, and not by {took:?}");
    town.turn(Duration::from_secs(27));
    let (response, _) = tells("e3").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "5");
    tokio::time::resume();
    // Somebody works again: what was accepted is heard, what was refused comes again.
    town.start();
    town.settled().await;
    assert_eq!(tells("e3").await.0.status(), StatusCode::ACCEPTED);
    town.settled().await;
    assert_eq!(hook.texts("b"), ["hi", "hi", "hi"]);
    town.law().await;
}

async fn two_rooms_at_rest(town: &Town) -> Hook {
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    hook
}
