//! Rooms listed, searched, added and entered.

use std::time::Duration;

use sameroom_model::{AccountId, MadeBy, Place};
use serde_json::{Value, json};

use crate::testing::{Bench, room};
use crate::{LinkError, Refreshed, RoomsError};

#[allow(clippy::unnecessary_wraps, reason = "it is an answer of a script")]
fn listing(names: &[&str], next: Option<&str>) -> Option<(u16, Value)> {
    let rooms: Vec<_> = names.iter().map(|name| json!({"key": format!("C-{name}"), "name": name})).collect();
    Some((200, json!({"rooms": rooms, "next": next})))
}

async fn account(bench: &Bench) -> AccountId {
    bench.account("ann", "one", Place::Alone, &[("token", "t")]).await.id
}

fn pages(path: &str) -> Option<(u16, Value)> {
    match path {
        "/list/" => listing(&["General", "ops"], Some("2")),
        "/list/2" => listing(&["dev-ops", "a/b"], None),
        "/who/room/C-secret" => Some((200, json!({"name": "secret"}))),
        _ => None,
    }
}

async fn found(bench: &Bench, text: &str) -> Vec<String> {
    let found = bench.engine.search_rooms(&"ann".into(), text, None, 10).await.unwrap();
    found.into_iter().map(|listed| listed.name).collect()
}

#[tokio::test]
async fn rooms_are_listed_page_by_page_and_found_as_somebody_types() {
    let bench = Bench::new();
    let account = account(&bench).await;
    bench.answers(pages);
    let refreshed = bench.engine.refresh_rooms(&"ann".into(), &account).await.unwrap();
    assert_eq!(refreshed, Refreshed { found: 4, gone: 0 });
    assert_eq!(found(&bench, "OP").await, ["ops", "dev-ops"], "what begins so comes first");
    assert_eq!(found(&bench, "a/").await, ["a/b"]);
    assert_eq!(found(&bench, "").await, ["a/b", "dev-ops", "General", "ops"]);
    assert!(bench.engine.rooms(&account).await.unwrap().is_empty(), "what is listed is not added");
    bench.answers(|path| (path == "/list/").then(|| listing(&["ops"], None)).flatten());
    let refreshed = bench.engine.refresh_rooms(&"ann".into(), &account).await.unwrap();
    assert_eq!(refreshed, Refreshed { found: 1, gone: 3 });
    assert_eq!(found(&bench, "").await, ["ops"]);
}

#[tokio::test]
async fn f16_a_platform_that_asks_to_wait_is_heard_and_nothing_is_taken_for_gone() {
    let bench = Bench::new();
    let account = account(&bench).await;
    bench.answers(pages);
    bench.engine.refresh_rooms(&"ann".into(), &account).await.unwrap();
    bench.answers(|path| match path {
        "/list/" => listing(&["new"], Some("2")),
        _ => Some((429, Value::Null)),
    });
    let busy = bench.engine.refresh_rooms(&"ann".into(), &account).await;
    assert!(matches!(busy, Err(RoomsError::Retry { after: Some(after), .. }) if after.as_secs() == 7));
    assert_eq!(found(&bench, "").await.len(), 5);
}

#[tokio::test]
async fn pages_that_never_end_do() {
    let bench = Bench::new();
    let account = account(&bench).await;
    bench.answers(|path| {
        let page: u32 = path.strip_prefix("/list/")?.parse().unwrap_or_default();
        listing(&[path], Some(&(page + 1).to_string()))
    });
    bench.engine.refresh_rooms(&"ann".into(), &account).await.unwrap();
    assert_eq!(bench.asked().len(), 100);
}

#[tokio::test]
async fn an_old_listing_is_refreshed_behind_a_search() {
    let bench = Bench::new();
    account(&bench).await;
    bench.answers(pages);
    assert_eq!(found(&bench, "ops").await.len(), 2);
    assert_eq!(bench.asked().len(), 2);
    bench.pass(Duration::from_mins(11));
    found(&bench, "ops").await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.asked().len(), 2);
}

#[tokio::test]
async fn a_room_is_added_by_name_or_key_listed_or_not() {
    let bench = Bench::new();
    let account = account(&bench).await;
    bench.answers(pages);
    let ann = "ann".into();
    bench.engine.refresh_rooms(&ann, &account).await.unwrap();
    let add = async |typed: &str| bench.engine.add_listed_room(&ann, &account, typed).await;
    assert_eq!(add("#general").await.unwrap().at.key.as_str(), "C-General");
    assert_eq!(add("C-ops").await.unwrap().name, "ops");
    let secret = add(" C-secret ").await.unwrap();
    assert_eq!((secret.name.as_str(), secret.site.as_str()), ("secret", "toy"));
    let none = add("nowhere").await.unwrap_err().to_string();
    assert!(none.contains("no room called nowhere is listed"), "{none}");
    for bad in ["", "  ", "a\nb"] {
        assert!(matches!(add(bad).await, Err(RoomsError::NoRoom(_))));
    }
}

/// Somebody added an account, looked for its rooms at once, and was told that there are none.
#[tokio::test]
async fn the_first_search_after_an_account_was_added_finds_its_rooms() {
    let bench = Bench::new();
    let account = account(&bench).await;
    bench.answers(pages);
    let found = bench.engine.search_rooms(&"ann".into(), "general", Some(&account), 10).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
}

#[tokio::test]
async fn rooms_of_one_name_are_told_apart_by_key() {
    let bench = Bench::new();
    let account = account(&bench).await;
    bench.answers(|_| {
        let rooms = json!([{"key": "C1", "name": "ops"}, {"key": "C2", "name": "Ops"}]);
        Some((200, json!({"rooms": rooms})))
    });
    let ann = "ann".into();
    bench.engine.refresh_rooms(&ann, &account).await.unwrap();
    let several = bench.engine.add_listed_room(&ann, &account, "ops").await.unwrap_err();
    insta::assert_snapshot!(several, @"several rooms are called ops; give the key of one: C1, C2");
    assert!(bench.engine.add_listed_room(&ann, &account, "C2").await.is_ok());
}

#[tokio::test]
async fn a_room_that_can_t_be_entered_is_not_connected() {
    let bench = Bench::new();
    let account = account(&bench).await;
    bench.answers(|path| (path == "/enter/open").then(|| (200, json!({}))));
    let mut rooms = Vec::new();
    for name in ["open", "closed"] {
        rooms.push(bench.engine.add_room(&account, &room(name)).await.unwrap().at);
    }
    let ann = "ann".into();
    let refused = bench.engine.connect([&ann, &ann], [&rooms[0], &rooms[1]], MadeBy::Operator).await.unwrap_err();
    assert!(matches!(refused, LinkError::Closed(..)));
    insta::assert_snapshot!(refused, @"the room closed can't be entered: no: 404");
    assert!(bench.engine.tubes(&ann).await.unwrap().is_empty(), "nothing half made");
    assert!(bench.engine.enter_room(&ann, &rooms[0]).await.is_ok());
}

#[tokio::test]
async fn p6_nobody_lists_searches_adds_or_enters_anothers() {
    let bench = Bench::new();
    let account = account(&bench).await;
    let app = bench.app().await;
    bench.answers(pages);
    bench.engine.refresh_rooms(&"ann".into(), &account).await.unwrap();
    let mallory = "mallory".into();
    let no = |refused: &RoomsError| assert!(matches!(refused, RoomsError::NoAccount(_)));
    no(&bench.engine.refresh_rooms(&mallory, &account).await.unwrap_err());
    no(&bench.engine.search_rooms(&mallory, "", Some(&account), 10).await.unwrap_err());
    no(&bench.engine.add_listed_room(&mallory, &account, "ops").await.unwrap_err());
    let at = sameroom_model::RoomRef::new(account, "C-ops");
    no(&bench.engine.enter_room(&mallory, &at).await.unwrap_err());
    assert!(bench.engine.search_rooms(&mallory, "", None, 10).await.unwrap().is_empty());
    let refused = bench.engine.refresh_rooms(&"operator".into(), &app.id).await.unwrap_err();
    assert!(matches!(refused, RoomsError::App(_)));
}
