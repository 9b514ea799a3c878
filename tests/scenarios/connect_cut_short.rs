//! Connecting two rooms, cut short at each of its commits: it is done whole or not at all, and trying again works.

use std::time::Duration;

use sameroom_model::{OwnerId, RoomRef, Scope};
use sameroom_tests::worlds::{Kind, LocalRoom, Town};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// More commits than either way of connecting takes.
const STEPS: u32 = 12;

/// Whether the two rooms are connected: by both their rows, by their owner's list, and each in the other's network.
async fn connected(town: &Town, a: &RoomRef, b: &RoomRef) -> bool {
    let tubes = town.engine.tubes(&OwnerId::from("operator")).await.unwrap();
    let reaches = async |from: &RoomRef, to: &RoomRef| {
        town.engine.network(from).await.unwrap().rooms.iter().any(|room| room.at == *to)
    };
    let all = [!tubes.is_empty(), reaches(a, b).await, reaches(b, a).await];
    assert!(all == [true; 3] || all == [false; 3], "half of it was done: {all:?}");
    assert!(tubes.len() < 2, "{tubes:?}");
    all[0]
}

/// Each of the two rooms was told once that they are connected.
async fn told_once(town: &Town, rooms: [&LocalRoom; 2]) {
    town.settled().await;
    for room in rooms {
        let told = room.notices().await;
        let told = told.iter().filter(|said| said.contains("now connected to")).count();
        assert_eq!(told, 1, "{:?}", room.notices().await);
    }
    town.law().await;
}

#[tokio::test]
async fn by_a_command() {
    let mut cut = 0;
    for step in 0..STEPS {
        let town = Town::of(Kind::Memory).await;
        let (tea, garden) = (town.local("tea").await, town.local("garden").await);
        tea.says("ann", "-sameroom open").await;
        let said = tea.is_told("The code is ").await;
        let code = &said["The code is ".len()..][..9];
        garden.says("bob", "hi").await;
        town.settled().await;
        let memory = town.memory.clone().unwrap();
        // The words themselves are accepted; what is cut short is what follows.
        memory.fail_after(1 + step, 1);
        garden.says("bob", &format!("-sameroom connect {code}")).await;
        town.store.quiet().await;
        let at_once = connected(&town, &tea.room, &garden.room).await;
        // Nobody has to ask again: a command that was cut short is obeyed again from its start.
        town.settled().await;
        assert!(connected(&town, &tea.room, &garden.room).await, "step {step}");
        cut += u32::from(!at_once);
        memory.fail_next(0);
        told_once(&town, [&tea, &garden]).await;
        let answers = garden.notices().await;
        let answers: Vec<_> = answers.iter().filter(|said| said.contains("onnected")).collect();
        assert!(!answers.is_empty() && answers.iter().all(|said| !said.contains("not valid")), "{answers:?}");
    }
    assert!(cut > 0, "no step was cut short before it was done");
}

#[tokio::test]
async fn by_the_api() {
    let mut cut = 0;
    for step in 0..STEPS {
        let town = Town::of(Kind::Memory).await;
        let (tea, garden) = (town.local("tea").await, town.local("garden").await);
        let scopes = [Scope::Admin].into();
        let key = town.engine.add_key(&"operator".into(), "test", &scopes, None).await.unwrap().unwrap().1;
        let ask = async |method: reqwest::Method, path: &str, body: Option<Value>| {
            let url = format!("http://{}/api/v1{path}", town.address);
            let request =
                reqwest::Client::builder().build().unwrap().request(method, url).bearer_auth(key.expose_secret());
            let request = request.header("idempotency-key", "connect");
            let request = match body {
                Some(body) => request.header("content-type", "application/json").body(body.to_string()),
                None => request,
            };
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
        };
        let (_, rooms) = ask(reqwest::Method::GET, "/rooms", None).await;
        let ids: Vec<&str> =
            rooms["items"].as_array().unwrap().iter().map(|room| room["id"].as_str().unwrap()).collect();
        let body = json!({ "rooms": ids });
        town.settled().await;
        town.memory.clone().unwrap().fail_after(step, 1);
        let (status, answer) = ask(reqwest::Method::POST, "/tubes", Some(body.clone())).await;
        assert!([201, 503].contains(&status), "step {step}: {answer}");
        let done = connected(&town, &tea.room, &garden.room).await;
        assert!(done || status != 201, "step {step}: what was answered was not done");
        cut += u32::from(!done);
        town.memory.clone().unwrap().fail_next(0);
        let (mut status, mut answer) = ask(reqwest::Method::POST, "/tubes", Some(body.clone())).await;
        if status == 409 {
            // What could not be written was that the request is over: it counts as running for two minutes.
            town.pass(Duration::from_secs(121)).await;
            (status, answer) = ask(reqwest::Method::POST, "/tubes", Some(body)).await;
        }
        assert!([200, 201].contains(&status), "step {step}: {status} {answer}");
        assert!(connected(&town, &tea.room, &garden.room).await, "step {step}");
        told_once(&town, [&tea, &garden]).await;
    }
    assert!(cut > 0, "no step was cut short before it was done");
}
