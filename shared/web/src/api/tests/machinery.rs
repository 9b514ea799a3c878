//! What is around the routes: doing once, versions, pages, limits, request ids, events.

use std::time::Duration;

use sameroom_model::Scope;
use serde_json::{Value, json};

use super::{Reply, World};
use crate::api::limit::{Rate, RateLimits};

/// Makes a key, with an Idempotency-Key.
async fn once(world: &World, id: &str, name: &str) -> Reply {
    let headers = [("authorization", format!("Bearer {}", world.admin)), ("idempotency-key", id.to_owned())];
    let body = json!({ "name": name, "scopes": ["read"] }).to_string();
    world.send("POST", "/api/v1/keys", &headers, Some(body)).await
}

#[tokio::test]
async fn a_post_sent_again_is_done_once_and_answered_alike_even_after_a_restart() {
    let mut world = World::new().await;
    let first = once(&world, "a1", "k").await;
    assert_eq!(first.status.as_u16(), 201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = once(&world, "a1", "k").await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    world.restart();
    assert_eq!(once(&world, "a1", "k").await.text, first.text);
    assert_ne!(once(&world, "a2", "k").await.text, first.text, "another key is another request");
    once(&world, "a1", "other").await.is_problem(422, "key-reused");
    assert_eq!(world.admin("GET", "/keys", None).await.json()["items"].as_array().unwrap().len(), 3);
    for no in [&"x".repeat(256), "", "\"\"", "\" \"", "a\tb", "ä"] {
        once(&world, no, "k").await.is_problem(400, "malformed");
    }
    assert_eq!(once(&world, "\"a1\"", "k").await.text, first.text, "quotes are no part of it");
    world.clock.advance(Duration::from_hours(25));
    assert_ne!(once(&world, "a1", "k").await.text, first.text, "a day later it is new");
}

#[tokio::test]
async fn an_answer_that_is_kept_shows_no_token_to_who_reads_the_store() {
    let world = World::new().await;
    let token = once(&world, "a1", "k").await.json()["token"].as_str().unwrap().to_owned();
    let rows = world.store.rows();
    assert!(rows.iter().any(|(key, _)| key.partition.starts_with("once/operator")), "it is kept");
    assert!(rows.iter().all(|(_, body)| !String::from_utf8_lossy(body).contains(&token)));
}

#[tokio::test]
async fn what_was_refused_is_judged_anew() {
    let world = World::new().await;
    let room = world.room("one").await;
    let headers = [("authorization", format!("Bearer {}", world.admin)), ("idempotency-key", "k".to_owned())];
    let two = crate::api::shapes::room_id(&sameroom_model::RoomRef::new("local", "nothing"));
    let body = json!({ "rooms": [room, two] }).to_string();
    for _ in 0..2 {
        let reply = world.send("POST", "/api/v1/tubes", &headers, Some(body.clone())).await;
        reply.is_problem(422, "invalid");
        assert_eq!(reply.json()["errors"][0]["pointer"], "/rooms/1");
    }
}

#[tokio::test]
async fn the_same_request_at_once_is_done_once() {
    let world = World::new().await;
    let all = futures_util::future::join_all((0..20).map(|_| once(&world, "same", "k"))).await;
    let made: Vec<&Reply> = all.iter().filter(|reply| reply.status.as_u16() == 201).collect();
    assert!(made.iter().all(|reply| reply.text == made[0].text));
    assert!(all.iter().all(|reply| matches!(reply.status.as_u16(), 201 | 409)), "{all:?}");
    assert_eq!(world.admin("GET", "/keys", None).await.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn another_owner_has_idempotency_keys_of_their_own() {
    let world = World::new().await;
    let first = once(&world, "a1", "k").await;
    let eve = world.stranger().await;
    let headers = [("authorization", format!("Bearer {eve}")), ("idempotency-key", "a1".to_owned())];
    let body = json!({ "name": "k", "scopes": ["read"] }).to_string();
    let theirs = world.send("POST", "/api/v1/keys", &headers, Some(body)).await;
    assert_eq!(theirs.status.as_u16(), 201);
    assert_ne!(theirs.text, first.text);
}

#[tokio::test]
async fn a_change_of_what_somebody_changed_is_refused() {
    let world = World::new().await;
    let (a, b) = (world.room("one").await, world.room("two").await);
    let tube = format!("/tubes/{}", world.tube(&a, &b).await);
    let room = format!("/rooms/{a}");
    let portal = world.admin("POST", "/portals", Some(json!({ "room": a }))).await.json();
    let portal = format!("/portals/{}", portal["portal"]["id"].as_str().unwrap());
    for (path, change) in [
        (tube.as_str(), json!({ "paused": true })),
        (room.as_str(), json!({ "team": true })),
        (portal.as_str(), json!({ "label": "x" })),
        ("/owners/operator", json!({ "name": "Me" })),
    ] {
        let read = world.admin("GET", path, None).await;
        let tag = read.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 2, "{path}: {read:?}");
        let send = async |tag: &str| {
            let headers = [("authorization", format!("Bearer {}", world.admin)), ("if-match", tag.to_owned())];
            world.send("PATCH", &format!("/api/v1{path}"), &headers, Some(change.to_string())).await
        };
        send("\"other\"").await.is_problem(412, "stale");
        send("W/\"1\"").await.is_problem(412, "stale");
        send("no tag").await.is_problem(400, "malformed");
        let changed = send(&tag).await;
        assert_eq!(changed.status.as_u16(), 200, "{path}: {changed:?}");
        assert_ne!(changed.header("etag"), tag);
        send(&tag).await.is_problem(412, "stale");
        assert_eq!(send("*").await.status.as_u16(), 200);
        let headers = [("authorization", format!("Bearer {}", world.admin)), ("if-match", tag)];
        if !path.starts_with("/owners") {
            world.send("DELETE", &format!("/api/v1{path}"), &headers, None).await.is_problem(412, "stale");
        }
    }
}

#[tokio::test]
async fn of_two_changes_at_once_that_expect_the_same_version_one_is_made() {
    let world = World::new().await;
    let room = format!("/api/v1/rooms/{}", world.room("one").await);
    let auth = || ("authorization", format!("Bearer {}", world.admin));
    let tag = world.send("GET", &room, &[auth()], None).await.header("etag").to_owned();
    let change = async |body: &'static str| {
        world.send("PATCH", &room, &[auth(), ("if-match", tag.clone())], Some(body.to_owned())).await
    };
    let (a, b) = tokio::join!(change(r#"{"team": true}"#), change(r#"{"system": true}"#));
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    // Without a condition each keeps the other's.
    let change = async |body: &'static str| world.send("PATCH", &room, &[auth()], Some(body.to_owned())).await;
    tokio::join!(change(r#"{"team": true}"#), change(r#"{"system": true}"#));
    let now = world.send("GET", &room, &[auth()], None).await;
    assert_eq!((&now.json()["options"]["team"], &now.json()["options"]["system"]), (&json!(true), &json!(true)));
    // Somebody came first between what was read and what is written.
    world.store.conflict_next(1);
    let tag = now.header("etag").to_owned();
    let late = [auth(), ("if-match", tag.clone())];
    world.send("DELETE", &room, &late, None).await.is_problem(412, "stale");
    assert_eq!(world.send("DELETE", &room, &late, None).await.status.as_u16(), 204);
    // An account's version is its row's, too.
    let key = world.admin.clone();
    let hook = world.hook(&key, "general").await;
    let room = world.admin("GET", &format!("/rooms/{hook}"), None).await.json();
    let account = format!("/api/v1/accounts/{}", room["account"].as_str().unwrap());
    let tag = world.send("GET", &account, &[auth()], None).await.header("etag").to_owned();
    let id = room["account"].as_str().unwrap().into();
    world.engine.set_state(&id, sameroom_model::AccountState::Trouble("away".into())).await.unwrap();
    world.send("DELETE", &account, &[auth(), ("if-match", tag)], None).await.is_problem(412, "stale");
    let tag = world.send("GET", &account, &[auth()], None).await.header("etag").to_owned();
    let gone = world.send("DELETE", &account, &[auth(), ("if-match", tag)], None).await;
    assert_eq!(gone.status.as_u16(), 204, "{gone:?}");
}

#[tokio::test]
async fn rooms_and_accounts_are_listed_in_order_whatever_the_page() {
    let world = World::new().await;
    let key = world.admin.clone();
    for name in ["b", "a", "c", "a/b", "%2F"] {
        world.room(name).await;
        world.hook(&key, name).await;
    }
    let walk = async |list: &str, limit: usize| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world.admin("GET", &format!("{list}?limit={limit}{cursor}"), None).await;
            let page = page.json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            found.extend(items.iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    for (list, total) in [("/rooms", 10), ("/accounts", 2)] {
        let whole = walk(list, 200).await;
        assert_eq!(whole.len(), total, "{whole:?}");
        for limit in [1, 2, 3, 7] {
            assert_eq!(walk(list, limit).await, whole, "{list} by {limit}");
        }
    }
    let order = |of: &Value| (of["account"].as_str().unwrap().to_owned(), of["key"].as_str().unwrap().to_owned());
    let rooms: Vec<_> = walk("/rooms", 3).await.iter().map(order).collect();
    let accounts: Vec<_> = rooms.iter().map(|(account, _)| account).collect();
    assert!(accounts.is_sorted(), "{rooms:?}");
    // Somebody else's cursor shows nothing of theirs.
    let page = world.admin("GET", "/rooms?limit=3", None).await.json();
    let eve = world.stranger().await;
    let told = world.ask(&eve, "GET", &format!("/rooms?cursor={}", page["next"].as_str().unwrap()), None).await;
    assert_eq!(told.json(), json!({ "items": [] }));
}

#[tokio::test]
async fn a_list_is_walked_by_its_cursors() {
    let world = World::new().await;
    for n in 0..7 {
        world.room(&format!("room {n}")).await;
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = world.admin("GET", &format!("/rooms{query}"), None).await;
        let body = page.json();
        seen.extend(body["items"].as_array().unwrap().iter().map(|room| room["id"].clone()));
        let Some(next) = body["next"].as_str() else {
            assert_eq!(page.header("link"), "");
            break;
        };
        query = format!("?limit=3&cursor={next}");
        assert_eq!(page.header("link"), format!("<{query}>; rel=\"next\""));
    }
    assert_eq!(seen.len(), 7);
    seen.dedup();
    assert_eq!(seen.len(), 7);
    let cursor = query.rsplit('=').next().unwrap();
    for bad in ["x", cursor] {
        world.admin("GET", &format!("/tubes?cursor={bad}"), None).await.is_problem(400, "malformed");
    }
    let refused = world.admin("GET", "/tubes?limit=201", None).await;
    assert_eq!(refused.json()["errors"][0]["parameter"], "limit");
    world.admin("GET", "/tubes?unknown=1", None).await.is_problem(400, "malformed");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let limits = RateLimits { key: Rate { per_minute: 60, burst: 3 }, address: Rate { per_minute: 60, burst: 2 } };
    let world = World::with(limits).await;
    for left in ["2", "1", "0"] {
        let reply = world.admin("GET", "/tubes", None).await;
        assert_eq!(reply.status.as_u16(), 200);
        assert_eq!(reply.header("ratelimit-policy"), "\"key\";q=60;w=60");
        assert!(reply.header("ratelimit").contains(&format!("r={left};")), "{reply:?}");
    }
    let reply = world.admin("GET", "/tubes", None).await;
    reply.is_problem(429, "too-many");
    assert_eq!(reply.header("retry-after"), "1");
    let other = world.key("operator", &[Scope::Read]).await;
    assert_eq!(world.ask(&other, "GET", "/tubes", None).await.status.as_u16(), 200, "other keys are not held back");
    for status in [401, 401, 429, 429] {
        assert_eq!(world.ask("sr_guess", "GET", "/tubes", None).await.status.as_u16(), status);
    }
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.admin("GET", "/tubes", None).await.status.as_u16(), 200, "nor is a valid key by guesses");
}

#[tokio::test]
async fn a_request_keeps_its_name() {
    let world = World::new().await;
    let send = async |id: &str| {
        let headers = [("x-request-id", id.to_owned())];
        world.send("GET", "/api/v1/tubes", &headers, None).await
    };
    assert_eq!(send("deploy-7").await.header("x-request-id"), "deploy-7");
    assert_eq!(send("deploy-7").await.json()["request_id"], "deploy-7");
    assert_ne!(send("a b").await.header("x-request-id"), "a b");
}

#[tokio::test]
async fn a_key_that_is_revoked_or_over_opens_nothing() {
    let world = World::new().await;
    let body = json!({ "name": "short", "scopes": ["read"], "expires": "2026-06-01T13:00:00Z" });
    let made = world.admin("POST", "/keys", Some(body)).await.json();
    let token = made["token"].as_str().unwrap();
    assert_eq!(world.ask(token, "GET", "/tubes", None).await.status.as_u16(), 200);
    world.clock.advance(Duration::from_hours(2));
    world.ask(token, "GET", "/tubes", None).await.is_problem(401, "unauthorized");
    let made = world.admin("POST", "/keys", Some(json!({ "name": "k", "scopes": ["read"] }))).await.json();
    let token = made["token"].as_str().unwrap();
    assert_eq!(world.ask(token, "GET", "/tubes", None).await.status.as_u16(), 200);
    world.admin("DELETE", &format!("/keys/{}", made["key"]["id"].as_str().unwrap()), None).await;
    world.ask(token, "GET", "/tubes", None).await.is_problem(401, "unauthorized");
    assert!(!world.admin("GET", "/keys", None).await.text.contains(token));
}

#[tokio::test]
async fn events_tell_what_came_after_the_last_one_seen() {
    let world = World::new().await;
    let (a, b) = (world.room("one").await, world.room("two").await);
    let follow = async |last: &str| {
        let headers = [("authorization", format!("Bearer {}", world.admin)), ("last-event-id", last.to_owned())];
        world.send("GET", "/api/v1/events", &headers, None).await
    };
    let before = follow("0").await;
    assert_eq!(before.header("content-type"), "text/event-stream");
    let last = before.text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap_or("0").to_owned();
    let tube = world.tube(&a, &b).await;
    let told = follow(&last).await.text;
    let data = told.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    assert!(events.iter().any(|event| event["kind"] == "tube.made" && event["id"] == tube.as_str()), "{told}");
    assert!(follow("999999").await.text.contains("event: reset"));
    follow("x").await.is_problem(400, "malformed");
    // A room's event names it by the id that it has here.
    world.admin("PATCH", &format!("/rooms/{a}"), Some(json!({ "team": true }))).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let told = follow(&last).await.text;
    assert!(told.contains(&format!("\"id\":\"{a}\"")), "{told}");
}

#[tokio::test]
async fn words_are_told_only_by_an_admins_key_and_with_what_crosses() {
    let world = World::new().await;
    for scopes in [&[Scope::Read][..], &[Scope::Tubes, Scope::Portals]] {
        let key = world.key("operator", scopes).await;
        let reply = world.ask(&key, "GET", "/events?crossings=true&text=true", None).await;
        reply.is_problem(403, "scope");
        assert!(reply.header("www-authenticate").contains("scope=\"admin\""), "{reply:?}");
        assert_eq!(world.ask(&key, "GET", "/events?crossings=true", None).await.status.as_u16(), 200);
    }
    assert_eq!(world.admin("GET", "/events?crossings=true&text=true", None).await.status.as_u16(), 200);
    world.admin("GET", "/events?text=true", None).await.is_problem(400, "malformed");
}

#[tokio::test]
async fn a_store_that_fails_is_our_failure_and_says_so() {
    let world = World::new().await;
    world.admin("GET", "/tubes", None).await;
    world.store.fail_next_reads(1);
    let reply = world.admin("GET", "/tubes", None).await;
    reply.is_problem(503, "unavailable");
    assert_eq!(reply.header("retry-after"), "5");
}

#[tokio::test]
async fn a_browser_that_comes_back_with_nothing_is_told_what_to_do() {
    let world = World::new().await;
    for (path, status) in [("/oauth/return", 400), ("/oauth/return?state=x&code=y", 404)] {
        let reply = world.send("GET", path, &[], None).await;
        assert_eq!(reply.status.as_u16(), status);
        assert!(reply.header("content-type").starts_with("text/html"));
        assert!(!reply.text.contains("code=y"));
    }
    assert_eq!(world.send("GET", "/files/nothing/a.txt", &[], None).await.status.as_u16(), 404);
}
