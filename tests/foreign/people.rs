//! People on IRC: each is a Node process that runs `person.js`. What they see is kept in order, and looked through from
//! where the last look ended.

use std::time::Duration;

use sameroom_tests::process::{Program, command, target};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::servers::Server;

/// How long something that is to happen at once may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Somebody in a channel.
pub(crate) struct Person {
    name: String,
    program: Program,
    /// How many of the events were looked at.
    seen: usize,
}

/// How somebody connects.
#[derive(Default)]
pub(crate) struct Manner<'a> {
    /// Account and password, for SASL.
    pub(crate) account: Option<(&'a str, &'a str)>,
    /// By TLS.
    pub(crate) tls: bool,
    /// What their client writes and reads, where it is not UTF-8.
    pub(crate) encoding: Option<&'a str>,
}

impl Person {
    /// Somebody who comes to a server, and to a channel there.
    pub(crate) async fn joins(server: &Server, name: &str, channel: &str) -> Self {
        let mut person = Self::comes(server, name, &Manner::default()).await;
        person.enters(channel).await;
        person
    }

    /// Somebody who comes to a server.
    pub(crate) async fn comes(server: &Server, name: &str, manner: &Manner<'_>) -> Self {
        let mut node = command("node");
        node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/person.js"));
        node.env("NODE_PATH", target().join("node/node_modules"));
        let mut person = Self { name: name.to_owned(), program: Program::start(name, node), seen: 0 };
        let port = if manner.tls { server.tls_port } else { server.port };
        let account = manner.account.map(|(account, password)| json!({"account": account, "password": password}));
        person
            .does(json!({
                "do": "connect", "port": port, "nick": name, "tls": manner.tls, "account": account,
                "encoding": manner.encoding,
            }))
            .await;
        person.sees("registered", |_| true, SOON).await;
        person
    }

    /// Goes into a channel.
    pub(crate) async fn enters(&mut self, channel: &str) {
        self.does(json!({"do": "join", "channel": channel})).await;
        self.sees("names", |event| event["channel"] == channel, SOON).await;
    }

    pub(crate) async fn says(&mut self, to: &str, text: &str) {
        self.does(json!({"do": "say", "to": to, "text": text})).await;
    }

    pub(crate) async fn acts(&mut self, to: &str, text: &str) {
        self.does(json!({"do": "action", "to": to, "text": text})).await;
    }

    pub(crate) async fn raw(&mut self, line: &str) {
        self.does(json!({"do": "raw", "line": line})).await;
    }

    async fn does(&mut self, order: Value) {
        self.program.tell(&order.to_string()).await;
    }

    /// Waits until somebody joins.
    pub(crate) async fn meets(&mut self, nick: &str) {
        self.sees("join", |event| event["nick"] == nick, SOON).await;
    }

    /// Waits until exactly this is said, and by our binary.
    pub(crate) async fn hears(&mut self, text: &str) {
        let heard = self.next_line(SOON).await;
        assert_eq!(heard, text, "what {} hears", self.name);
    }

    /// The next thing that somebody says in a channel.
    pub(crate) async fn next_line(&mut self, within: Duration) -> String {
        let said = |event: &Value| event["type"] != "notice" && event["target"].as_str().is_some_and(|to| to.starts_with('#'));
        let event = self.sees("message", said, within).await;
        event["text"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for the next event of that name which fits, and passes over those before it.
    pub(crate) async fn sees(&mut self, name: &str, fits: impl Fn(&Value) -> bool, within: Duration) -> Value {
        let until = Instant::now() + within;
        loop {
            for line in self.program.lines(self.seen) {
                self.seen += 1;
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                if event["event"] == name && fits(&event) {
                    return event;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            let more = self.program.news(left).await || self.program.lines(self.seen).len() > 0;
            assert!(more, "{} waited {within:?} for a '{name}' that did not come", self.name);
        }
    }

    /// Everything that was said in a channel from now on until nothing more comes for that long.
    pub(crate) async fn hears_no_more(&mut self, quiet: Duration) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            for line in self.program.lines(self.seen) {
                self.seen += 1;
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                if event["event"] == "message" && event["target"].as_str().is_some_and(|to| to.starts_with('#')) {
                    heard.push(event["text"].as_str().unwrap_or_default().to_owned());
                }
            }
            if !self.program.news(quiet).await {
                return heard;
            }
        }
    }
}
