//! Names for keys, before a message is relayed.

use std::time::Duration;

use bytes::Bytes;
use sameroom_model::{Author, Block, Inline, Mention, MentionKind, Message, Place, RoomRef, Text};
use serde_json::{Value, json};

use crate::Config;
use crate::testing::Bench;

fn mention(kind: MentionKind) -> Inline {
    Inline::Mention(Mention { kind, label: String::new() })
}

fn message(inlines: Vec<Inline>) -> Message {
    Message::new("m", Text { blocks: vec![Block::Paragraph(inlines)] })
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.answers(names);
    bench
}

fn names(path: &str) -> Option<(u16, Value)> {
    match path {
        "/who/user/U1" => Some((200, json!({"name": "Ann", "username": "ann.lee", "team": "acme", "bot": true}))),
        "/who/user/U2" => Some((200, json!({"name": "Bob"}))),
        "/who/room/C2" => Some((200, json!({"name": "random"}))),
        "/who/group/S1" => Some((200, json!({"name": "ops"}))),
        "/post" | "/enter/general" => Some((200, json!({}))),
        path if path.ends_with("slow") => Some((200, json!({"name": "late"}))),
        _ => None,
    }
}

fn looked_up(bench: &Bench) -> Vec<String> {
    bench.asked().into_iter().filter_map(|asked| Some(asked.split_once("/who/")?.1.to_owned())).collect()
}

async fn complete(bench: &Bench, room: &RoomRef, author: Author, message: Message) -> (Author, Vec<String>) {
    let kind = sameroom_model::EventKind::Posted(message);
    let at = bench.engine.clock().now();
    let mut event = sameroom_model::Event { id: "e".into(), room: room.clone(), at, author: Some(author), kind };
    bench.engine.complete(&mut event).await.unwrap();
    let mut labels = Vec::new();
    if let sameroom_model::EventKind::Posted(message) = &mut event.kind {
        crate::people::each_mention(&mut message.body, &mut |_, label| labels.push(label.clone()));
    }
    (event.author.unwrap(), labels)
}

#[tokio::test]
async fn authors_and_mentions_are_named_once_and_kept() {
    let bench = bench();
    let [room, _] = bench.two_rooms().await;
    let body = || {
        let mentions = [
            MentionKind::User("U2".into()),
            MentionKind::Room("C2".into()),
            MentionKind::Group("S1".into()),
            MentionKind::User("U9".into()),
            MentionKind::Everyone,
        ];
        message(mentions.into_iter().map(mention).collect())
    };
    let (author, labels) = complete(&bench, &room, Author::new("U1", ""), body()).await;
    assert_eq!(labels, ["Bob", "random", "ops", "U9", ""]);
    assert_eq!((author.name.as_str(), author.username.as_deref()), ("Ann", Some("ann.lee")));
    assert_eq!((author.team.as_deref(), author.bot), (Some("acme"), true));
    assert_eq!(looked_up(&bench).len(), 5);

    complete(&bench, &room, Author::new("U1", ""), body()).await;
    assert!(looked_up(&bench).is_empty(), "from memory");
    let bench = bench.restarted();
    complete(&bench, &room, Author::new("U1", ""), body()).await;
    assert_eq!(looked_up(&bench), ["user/U9"], "from the store, but for what stands for nothing");
    bench.pass(Duration::from_hours(25));
    complete(&bench, &room, Author::new("U1", ""), body()).await;
    assert_eq!(looked_up(&bench).len(), 5, "a day later names may have changed");
}

#[tokio::test]
async fn who_is_named_costs_nothing() {
    let bench = bench();
    let [room, _] = bench.two_rooms().await;
    bench.says(&room, Author::new("U1", "Ann"), "1", message(vec![Inline::Text("hi".into())])).await;
    assert_eq!(bench.posted(), ["hi"]);
    assert!(looked_up(&bench).is_empty());
}

#[tokio::test]
async fn a_name_that_nobody_tells_is_the_key_and_is_not_asked_for_again_soon() {
    let bench = bench();
    let [room, _] = bench.two_rooms().await;
    let mut author = Author::new("U9", "");
    let (named, _) = complete(&bench, &room, author.clone(), message(vec![])).await;
    assert_eq!(named.name, "U9");
    author.username = Some("nine".into());
    let (named, _) = complete(&bench, &room, author.clone(), message(vec![])).await;
    assert_eq!(named.name, "nine");
    assert_eq!(looked_up(&bench).len(), 1);
    bench.pass(Duration::from_mins(6));
    complete(&bench, &room, author, message(vec![])).await;
    assert_eq!(looked_up(&bench).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_two_seconds_for_names_and_no_longer() {
    let bench = bench();
    let [room, _] = bench.two_rooms().await;
    let begun = tokio::time::Instant::now();
    let slow = [MentionKind::User("slow".into()), MentionKind::User("U2".into())];
    let body = message(slow.into_iter().map(mention).collect());
    let (_, labels) = complete(&bench, &room, Author::new("U1", "Ann"), body.clone()).await;
    assert_eq!(labels, ["slow", "Bob"]);
    assert_eq!(begun.elapsed().as_secs(), 2);
    complete(&bench, &room, Author::new("U1", "Ann"), body).await;
    assert_eq!(begun.elapsed().as_secs(), 2, "the next one does not wait again");
}

#[tokio::test]
async fn look_ups_of_one_message_are_bounded() {
    let bench = bench();
    let [room, _] = bench.two_rooms().await;
    let many = (0..100).map(|i| mention(MentionKind::User(format!("X{i}").into()))).collect();
    let (_, labels) = complete(&bench, &room, Author::new("U1", "Ann"), message(many)).await;
    assert_eq!(looked_up(&bench).len(), 20);
    assert_eq!(labels[99], "X99");
}

#[tokio::test]
async fn what_a_platform_tells_by_itself_takes_the_place_of_what_was_known() {
    let bench = bench();
    let [room, _] = bench.two_rooms().await;
    complete(&bench, &room, Author::new("U2", ""), message(vec![])).await;
    let body = json!({"user": "U2", "renamed": "Robert"}).to_string();
    bench.engine.told(&room.account, &Bytes::from(body)).await.unwrap();
    looked_up(&bench);
    for bench in [&bench, &bench.restarted()] {
        let (author, _) = complete(bench, &room, Author::new("U2", ""), message(vec![])).await;
        assert_eq!(author.name, "Robert");
        assert_eq!(bench.engine.known_people(&room.account)[0].profile.name, "Robert");
    }
    assert!(looked_up(&bench).is_empty());
}

#[tokio::test]
async fn names_written_elsewhere_reach_the_person_who_is_known_in_the_room() {
    let bench = bench();
    let [here, there] = bench.two_rooms().await;
    complete(&bench, &there, Author::new("U2", ""), message(vec![])).await;
    let words = |words: &str| message(vec![Inline::Text(words.to_owned())]);
    bench.says(&here, Author::new("U7", "Cy"), "1", words("@bob and @ann and @here")).await;
    assert_eq!(bench.posted(), ["<U2|bob> and @ann and @here"]);
    // Another account's key means somebody else here, or nobody.
    let foreign = Inline::Mention(Mention { kind: MentionKind::User("U2".into()), label: "Dee".into() });
    bench.says(&here, Author::new("U7", "Cy"), "2", message(vec![foreign])).await;
    assert_eq!(bench.posted(), ["@Dee"]);
    let bench = bench.restarted();
    bench.says(&here, Author::new("U7", "Cy"), "3", words("@bob")).await;
    assert_eq!(bench.posted(), ["<U2|bob>"], "who was known is known after a restart");
}

#[tokio::test]
async fn names_stay_words_where_the_operator_wants_that() {
    let bench = Bench::with(Config { mention_by_name: false, ..Config::default() });
    bench.answers(names);
    let [here, there] = bench.two_rooms().await;
    complete(&bench, &there, Author::new("U2", ""), message(vec![])).await;
    bench.says(&here, Author::new("U7", "Cy"), "1", message(vec![Inline::Text("@bob".into())])).await;
    assert_eq!(bench.posted(), ["@bob"]);
}

#[tokio::test]
async fn p6_what_one_account_knows_is_not_known_to_another() {
    let bench = bench();
    let [here, _] = bench.two_rooms().await;
    complete(&bench, &here, Author::new("U2", ""), message(vec![])).await;
    let other = bench.account("bob", "other", Place::Alone, &[]).await;
    assert!(bench.engine.known_people(&other.id).is_empty());
}
