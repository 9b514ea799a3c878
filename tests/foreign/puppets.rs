//! People with connections of their own, on servers as they are shipped: seen under their own names, in order, from
//! their own addresses where the server takes that; and spoken for where it takes no more.

use std::net::Ipv6Addr;
use std::time::Duration;

use sameroom_tests::hook::{Hook, Sender};
use tokio::time::sleep;

use crate::people::{Person, SOON};
use crate::scene::{BOT, Bridge};
use crate::servers::{Kind, Options, Server};

/// Somebody on a server, our binary, and people who come in by a webhook.
struct Stage {
    ada: Person,
    sender: Sender,
    hook: Hook,
    bridge: Bridge,
    said: usize,
    _server: Server,
}

impl Stage {
    async fn on(server: Server, more: &str) -> Self {
        let hook = Hook::start().await;
        let mut ada = Person::joins(&server, "ada", "#one").await;
        let bridge = Bridge::between(&[hook.room("source", "in"), server.room("#one", more)]).await;
        ada.meets(BOT).await;
        let sender = Sender::new(bridge.sameroom.url(), &bridge.sameroom.account("in"), "in");
        Self { ada, sender, hook, bridge, said: 0, _server: server }
    }

    async fn says(&mut self, who: &str, text: &str) {
        self.said += 1;
        self.sender.insist(&format!("evt-{}", self.said), who, text).await;
    }

    /// Somebody talks until they do so under a name of their own. Until then the bot speaks for them.
    async fn arrives(&mut self, who: &str, nick: &str) {
        for n in 0..60 {
            let words = format!("{who} is here: {n}");
            self.says(who, &words).await;
            let (by, heard) = self.ada.hears_next(BOT).await;
            if by == nick {
                assert_eq!(heard, words);
                return;
            }
            assert_eq!((by.as_str(), heard), (BOT, format!("<{who}> {words}")));
            sleep(Duration::from_millis(300)).await;
        }
        panic!("{nick} does not come");
    }
}

#[tokio::test]
async fn people_are_seen_under_their_own_names_and_in_order() {
    for kind in [Kind::Ngircd, Kind::Inspircd] {
        let mut stage = Stage::on(Server::unlimited(kind).await, "?puppets=5&rate=0").await;
        let people = ["Cy", "Zoë", "Dee D.", "Анна"];
        let nicks = ["Cy|sr", "Zoe|sr", "Dee-D|sr", BOT];
        for who in 0..3 {
            stage.arrives(people[who], nicks[who]).await;
        }
        // They talk all at once.
        let order = |n: usize| n * n % 7 % 4;
        for n in 0..60 {
            stage.says(people[order(n)], &format!("line {n}")).await;
        }
        for n in 0..60 {
            let nick = nicks[order(n)];
            let lead = if nick == BOT { format!("<{}> ", people[order(n)]) } else { String::new() };
            assert_eq!(stage.ada.hears_next(BOT).await, (nick.to_owned(), format!("{lead}line {n}")));
        }
        // What they said nobody took for somebody else's, and what Ada says comes once however many hear it.
        stage.ada.says("#one", "welcome, all").await;
        stage.hook.hears(1, SOON).await;
        sleep(Duration::from_secs(1)).await;
        let heard: Vec<String> = stage.hook.ledger().iter().map(|entry| entry.text().to_owned()).collect();
        assert_eq!(heard, ["welcome, all"], "{kind:?}");
        let (_, name) = stage.ada.looks_up("Dee-D|sr").await;
        assert_eq!(name, format!("Dee D., by way of {BOT}"));
        stage.ada.says("Cy|sr", "psst").await;
        let told = |event: &serde_json::Value| event["nick"] == "Cy|sr" && event["type"] == "notice";
        let told = stage.ada.sees("message", told, SOON).await;
        assert!(told["text"].as_str().is_some_and(|text| text.contains("reaches nobody")), "{told}");
    }
}

#[tokio::test]
async fn under_the_limits_that_servers_are_shipped_with() {
    for kind in [Kind::Ngircd, Kind::Inspircd] {
        let mut stage = Stage::on(Server::start(kind).await, "?puppets=5").await;
        stage.arrives("Cy", "Cy|sr").await;
        stage.arrives("Dee", "Dee|sr").await;
        for n in 0..20 {
            stage.says(["Cy", "Dee"][n % 2], &format!("line {n}")).await;
        }
        for n in 0..20 {
            assert_eq!(stage.ada.hears_next(BOT).await, (["Cy|sr", "Dee|sr"][n % 2].to_owned(), format!("line {n}")));
        }
    }
}

#[tokio::test]
async fn a_server_that_takes_no_more_connections_loses_us_no_word() {
    let options = Options { unlimited: true, per_address: 3, ..Options::default() };
    let server = Server::with(Kind::Ngircd, options).await;
    // Ada and the bot are two.
    let mut stage = Stage::on(server, "?puppets=5&rate=0").await;
    stage.arrives("Cy", "Cy|sr").await;
    for n in 0..20 {
        stage.says(["Cy", "Dee"][n % 2], &format!("line {n}")).await;
    }
    for n in 0..20 {
        let heard = stage.ada.hears_next(BOT).await;
        let (nick, lead) = [("Cy|sr", ""), (BOT, "<Dee> ")][n % 2];
        assert_eq!(heard, (nick.to_owned(), format!("{lead}line {n}")));
    }
    // The owner hears why.
    stage.bridge.sameroom.program.says("takes no connection for Dee|sr", SOON).await;
}

#[tokio::test]
async fn a_gateway_says_whose_connection_it_opens() {
    for kind in [Kind::Ngircd, Kind::Inspircd] {
        let options = Options { unlimited: true, webirc: Some("sesame-1"), ..Options::default() };
        let server = Server::with(kind, options).await;
        let mut stage = Stage::on(server, "?puppets=5&rate=0&webirc=sesame-1").await;
        let mut hosts = Vec::new();
        for who in ["Cy", "Dee"] {
            let nick = format!("{who}|sr");
            stage.arrives(who, &nick).await;
            let (host, _) = stage.ada.looks_up(&nick).await;
            let address: Ipv6Addr = host.parse().unwrap_or_else(|_| panic!("{kind:?}: {host:?} is an address"));
            assert!(address.is_unique_local(), "{address}");
            hosts.push(address);
        }
        assert_ne!(hosts[0], hosts[1], "each has their own");
    }
}

#[tokio::test]
async fn a_gateway_with_a_wrong_password_is_told_and_the_bot_speaks() {
    for kind in [Kind::Ngircd, Kind::Inspircd] {
        let options = Options { unlimited: true, webirc: Some("sesame-1"), ..Options::default() };
        let server = Server::with(kind, options).await;
        let mut stage = Stage::on(server, "?puppets=5&rate=0&webirc=sesame-2").await;
        stage.says("Cy", "hello").await;
        assert_eq!(stage.ada.hears_next(BOT).await, (BOT.to_owned(), "<Cy> hello".to_owned()));
        stage.bridge.sameroom.program.says("takes no connection for Cy|sr", SOON).await;
    }
}
