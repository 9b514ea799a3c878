//! A workspace of the world of Slack at one end, ngIRCd at the other, and our binary between them.

use sameroom_tests::process::port;
use sameroom_tests::worlds::slack::{Slack, Upload};

use crate::people::{Person, SOON};
use crate::scene::{BOT, Bridge};
use crate::servers::{Kind, Server};

#[tokio::test]
async fn what_is_said_in_slack_reads_right_on_ngircd_and_back() {
    let (slack, ngircd) = (Slack::open().await, Server::start(Kind::Ngircd).await);
    let mut ada = Person::joins(&ngircd, "ada", "#one").await;
    let (installed, keys) = (slack.install(), slack.keys());
    let general = slack.id_of("general");
    let (token, signing, base) = (&installed.token, &keys.signing_secret, slack.api());
    let url = format!("slack://acme/{general}?name=general&token={token}&signing={signing}&endpoint={base}");
    let port = port();
    let bridge = Bridge::set_up(&[url, ngircd.room("#one", "")], |mut setup| {
        setup.port = port;
        setup.option("--public-url", &format!("http://127.0.0.1:{port}"))
    })
    .await;
    let account = bridge.sameroom.account("#general");
    slack.set_request_url(&format!("{}/hooks/slack/{account}", bridge.sameroom.url())).await.expect("it answers");
    ada.meets(BOT).await;

    ada.says("#one", "Hello there").await;
    slack.hears("general", "ada", "Hello there").await;
    let zoe = slack.person("zoe");
    let ts = slack.says("general", "ann", &format!("*Where* is <@{zoe}>? :tada:"));
    let heard = ada.next_line(SOON).await;
    assert_eq!(heard.replace('\u{f}', ""), "<ann> \u{2}Where\u{2} is @zoe? \u{1f389}");
    slack.edits("general", &ts, "Where is he?");
    ada.hears("<ann> (edited) Where is he?").await;
    slack.reply("general", "zoe", &ts, "Here.");
    ada.hears("<zoe> (re ann: \"Where is he?\") Here.").await;

    slack.uploads("general", "ann", "the plan", &[Upload::new("plan.txt", b"step one")]);
    let mut line = ada.next_line(SOON).await;
    if !line.contains("/files/") {
        line = ada.next_line(SOON).await;
    }
    let link = line.split_whitespace().find(|word| word.contains("/files/")).expect("a link to the file");
    assert_eq!(sameroom_tests::hook::get(link).await, "step one");

    // An answer to a copy finds the words that were written here.
    ada.says("#one", "Thanks, all").await;
    let copy = slack.hears("general", "ada", "Thanks, all").await;
    slack.reply("general", "ann", &copy, "You are welcome.");
    ada.hears("<ann> (re ada: \"Thanks, all\") You are welcome.").await;
    slack.settled().await;
    assert_eq!(slack.odd(), [""; 0]);
}
