//! Secrets that end by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sameroom_model::{AccountState, Author, Message, RoomRef, Text};
use serde_json::json;

use crate::testing::Bench;

/// A platform that takes the token `t2` alone, and gives it for the refresh token `r1`, once.
fn turns_over(bench: &Bench, gives: serde_json::Value) -> Arc<AtomicU32> {
    let renewals = Arc::new(AtomicU32::new(0));
    let counted = renewals.clone();
    bench.scripted(Box::new(move |_, request| {
        let token = request.headers().get("token").unwrap().to_str().unwrap();
        Some(match request.uri().path() {
            "/renew/r1" if counted.fetch_add(1, Ordering::Relaxed) == 0 => (200, gives.to_string()),
            path if path.starts_with("/renew") => (401, String::new()),
            _ if token == "t2" => (200, "{}".to_owned()),
            _ => (401, String::new()),
        })
    }));
    renewals
}

async fn says(bench: &Bench, room: &RoomRef, words: &str) {
    bench.says(room, Author::new("U1", "Ann"), words, Message::new(words, Text::plain(words))).await;
}

async fn rooms(bench: &Bench) -> [RoomRef; 2] {
    bench.answers(|_| Some((200, json!({}))));
    bench.two_rooms().await
}

#[tokio::test]
async fn an_ended_token_is_renewed_and_the_message_made_again() {
    let bench = Bench::new();
    let [here, there] = rooms(&bench).await;
    turns_over(&bench, json!({"token": "t2", "refresh": "r2"}));
    says(&bench, &here, "hi").await;
    assert_eq!(bench.posted(), ["hi"]);
    assert_eq!(bench.asked(), ["t1 /post", "t1 /renew/r1", "t2 /post"]);
    let kept = bench.restarted().engine.open_account(&there.account).await.unwrap().unwrap();
    assert_eq!((kept.secrets.get("token"), kept.secrets.get("refresh")), (Some("t2"), Some("r2")));
    says(&bench, &here, "again").await;
    assert_eq!(bench.asked(), ["t2 /post"]);
}

#[tokio::test]
async fn of_many_who_find_it_ended_one_renews_it() {
    let bench = Bench::new();
    let [_, there] = rooms(&bench).await;
    let renewals = turns_over(&bench, json!({"token": "t2", "refresh": "r2"}));
    let enter = || bench.engine.enter(&there);
    let (a, b, c) = tokio::join!(enter(), enter(), enter());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(renewals.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_can_t_be_renewed_waits_for_its_owner() {
    let bench = Bench::new();
    let [here, there] = rooms(&bench).await;
    bench.answers(|_| Some((401, json!({}))));
    says(&bench, &here, "hi").await;
    let state = bench.engine.account(&there.account).await.unwrap().unwrap().state;
    assert_eq!(state, AccountState::NeedsOwner("sign in anew".into()));
}

#[tokio::test]
async fn a_token_that_ends_soon_is_renewed_before_it_does() {
    for (minutes, first) in [(60, "t1 /post"), (11, "t1 /post"), (9, "t1 /renew/r1")] {
        let bench = Bench::new();
        let [here, there] = rooms(&bench).await;
        let now = bench.engine.clock().now().as_second();
        let changed = bench.engine.change_secrets(&there.account, |_, secrets| {
            secrets.set("expires_at", (now + minutes * 60).to_string());
            Ok::<(), ()>(())
        });
        changed.await.unwrap().unwrap().unwrap();
        turns_over(&bench, json!({"token": "t2", "expires_at": (now + 43_200).to_string()}));
        says(&bench, &here, "early").await;
        assert_eq!(bench.asked()[0], first);
        says(&bench, &here, "later").await;
        assert_eq!(bench.asked(), ["t2 /post"]);
        assert_eq!(bench.posted(), ["early", "later"]);
    }
}
