//! Files both ways: copied where they are taken, handed out where they are not.

use sameroom_model::{Access, Attachment, Author, Message, RoomRef, Text};
use serde_json::{Value, json};

use crate::testing::Bench;
use crate::{Config, FileError};

fn file(name: &str, path: &str, size: Option<u64>) -> Attachment {
    let url = format!("https://toy.example/{path}");
    Attachment { name: name.into(), mime: None, size, url, access: Access::Account, content: None }
}

async fn sends(bench: &Bench, room: &RoomRef, files: Vec<Attachment>) -> Vec<String> {
    let mut message = Message::new("m", Text::plain("see"));
    message.attachments = files;
    bench.says(room, Author::new("U1", "Ann"), "1", message).await;
    bench.posted()
}

fn bench(config: Config) -> Bench {
    let bench = Bench::with(config);
    bench.answers(|path| match path {
        "/f/small" => Some((200, json!("x".repeat(98)))),
        "/f/liar" => Some((200, json!("x".repeat(2000)))),
        "/f/denied" => Some((403, Value::Null)),
        "/f/public" => Some((200, json!("y"))),
        "/post" | "/enter/general" => Some((200, json!({}))),
        _ => None,
    });
    bench
}

#[tokio::test]
async fn a_file_is_copied_with_the_secret_of_the_account_that_got_it() {
    let bench = bench(Config::default());
    let [here, _] = bench.two_rooms().await;
    let files = vec![file("a.png", "f/small", Some(100)), file("b.png", "f/small", None)];
    assert_eq!(sends(&bench, &here, files).await, ["see", "a.png: 100 bytes", "b.png: 100 bytes"]);
    assert_eq!(bench.asked().iter().filter(|asked| *asked == "t1 /f/small").count(), 2);
    assert!(!bench.at_rest().contains("a.png"), "nothing of a file is kept");
}

#[tokio::test]
async fn a_file_that_can_t_be_copied_goes_as_its_link() {
    let bench = bench(Config::default());
    let [here, _] = bench.two_rooms().await;
    let files = vec![
        file("big", "f/big", Some(1001)),
        file("liar", "f/liar", Some(10)),
        file("denied", "f/denied", None),
        file("elsewhere", "../../other.example", None),
    ];
    let posted = sends(&bench, &here, files).await;
    assert_eq!(posted[1], "big: https://toy.example/f/big");
    assert_eq!(posted[2], "liar: https://toy.example/f/liar");
    assert_eq!(posted[3], "denied: https://toy.example/f/denied");
    assert!(
        bench.asked().iter().all(|asked| !asked.ends_with("/f/big")),
        "what is known to be too long is not asked for"
    );
}

#[tokio::test]
async fn a_public_file_is_fetched_in_nobodys_name() {
    let bench = bench(Config::default());
    let [here, _] = bench.two_rooms().await;
    bench.owners();
    let public = |url: &str| Attachment { access: Access::Public, url: url.into(), ..file("p", "", None) };
    let files = vec![public("https://toy.example/f/public"), public("http://toy.example/f/public")];
    let posted = sends(&bench, &here, files).await;
    assert_eq!(posted, ["see", "p: 3 bytes", "p: http://toy.example/f/public"]);
    assert!(bench.owners().contains(&"nobody".to_owned()), "nobody's addresses are guarded, the operator's may not be");
    assert!(bench.asked().contains(&"- /f/public".to_owned()), "no token goes along");
}

#[tokio::test]
async fn more_files_than_are_copied_go_as_links() {
    let bench = bench(Config::default());
    let [here, _] = bench.two_rooms().await;
    let files = (0..12).map(|i| file(&i.to_string(), "f/small", Some(100))).collect();
    let posted = sends(&bench, &here, files).await;
    assert_eq!(posted.iter().filter(|part| part.ends_with("bytes")).count(), 10);
    assert_eq!(posted.len(), 13);
}

#[tokio::test]
async fn a_file_that_only_its_account_may_read_is_handed_out_under_our_own_address() {
    let config = Config { public_url: Some("https://rooms.example/x".into()), ..Config::default() };
    let bench = bench(config);
    let [here, _] = bench.two_rooms().await;
    let posted = sends(&bench, &here, vec![file("my plan?.png", "f/big", Some(5000))]).await;
    let (_, url) = posted[1].split_once(": ").unwrap();
    let path = url.strip_prefix("https://rooms.example/x/files/").expect(url);
    let (token, name) = path.split_once('/').unwrap();
    assert_eq!((token.len(), name), (43, "my%20plan%3F.png"));
    assert!(!bench.at_rest().contains(token), "a token is found by its hash");

    assert!(matches!(bench.engine.file(token).await, Err(FileError::Failed(_))), "it is not there now");
    bench.answers(|path| (path == "/f/big").then(|| (200, json!("z".repeat(100)))));
    let (_, bytes) = bench.engine.file(token).await.unwrap().unwrap();
    assert_eq!(bytes.len(), 102);
    assert!(bench.engine.file("guessed").await.unwrap().is_none());
    bench.pass(std::time::Duration::from_hours(8 * 24));
    assert!(bench.engine.file(token).await.unwrap().is_none());
}
