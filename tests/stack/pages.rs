//! What browsers see: rooms that live in Sameroom, and streams of events, which a function has to end.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::cloud::shared;
use crate::queues::until;

#[tokio::test]
async fn rooms_that_live_here_are_written_in_and_read_by_asking_again() {
    let stack = shared();
    let api = stack.api();
    let mut tokens = Vec::new();
    let mut rooms = Vec::new();
    for name in ["kitchen", "garden"] {
        let room = api.post("/rooms", json!({"url": format!("local:{name}")})).await;
        tokens.push(room["key"].as_str().expect("a room has a key").to_owned());
        rooms.push(room["id"].as_str().expect("a room has an id").to_owned());
    }
    api.tube(&rooms[0], &rooms[1]).await;
    let said = json!({
        "type": "post", "id": "c1", "author": {"id": "browser-secret-0001", "name": "Ada"}, "text": "Hello **all**",
    });
    for base in [stack.local("Url"), stack.local("HooksUrl")] {
        // Sent again it is the same, whichever function it comes by.
        let post = reqwest::Client::new().post(format!("{base}/hooks/local/local/{}", tokens[0]));
        let answer = post.header("content-type", "application/json").body(said.to_string()).send().await;
        assert!(answer.expect("it answers").status().is_success());
    }
    let stream = format!("{}/rooms/{}/events", stack.local("Url"), tokens[1]);
    let told = until("the other room has it", async || {
        let told = reqwest::get(&stream).await.ok()?.text().await.ok()?;
        told.contains("Hello <strong>all</strong>").then_some(told)
    })
    .await;
    assert_eq!(told.matches("event: entry").count() - told.matches("\"notice\":true").count(), 1, "{told}");
    assert!(told.contains("retry: "), "the page is not told to come again: {told}");
}

#[tokio::test]
async fn a_stream_ends_once_it_told_something_and_says_where_to_go_on() {
    let api = shared().api();
    let began = Instant::now();
    let listening = tokio::spawn({
        let api = api.clone();
        async move { api.asks(Method::GET, "/events", None).await.text().await.expect("a stream") }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    api.post("/keys", json!({"name": "made meanwhile", "scopes": ["read"]})).await;
    let told = listening.await.expect("it ends");
    println!("aws: a stream told of a change, or ended, after {:.1} s", began.elapsed().as_secs_f64());
    assert!(told.starts_with("id: ") && told.contains("retry: 1000"), "{told}");
}
