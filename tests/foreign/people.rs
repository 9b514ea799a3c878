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

    /// Where somebody is said to come from, and their real name.
    pub(crate) async fn looks_up(&mut self, nick: &str) -> (String, String) {
        self.does(json!({"do": "whois", "nick": nick})).await;
        let event = self.sees("whois", |event| event["nick"] == nick, SOON).await;
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        (text("host"), text("name"))
    }

    /// Who speaks next in a channel, and what they say. What our binary, of that nick, itself has to say is left out.
    pub(crate) async fn hears_next(&mut self, bot: &str) -> (String, String) {
        let theirs = |event: &Value| {
            let in_channel = event["target"].as_str().is_some_and(|to| to.starts_with('#'));
            in_channel && event["type"] == "privmsg" && (event["nick"] != bot || relayed(event).is_some())
        };
        let event = self.sees("message", theirs, SOON).await;
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        (text("nick"), text("text"))
    }

    async fn does(&mut self, order: Value) {
        self.program.tell(&order.to_string()).await;
    }

    /// Waits until somebody joins.
    pub(crate) async fn meets(&mut self, nick: &str) {
        self.sees("join", |event| event["nick"] == nick, SOON).await;
    }

    /// Registers the own nick with services, which may still be on their way to the server.
    pub(crate) async fn register(&mut self, password: &str) {
        let order = format!("PRIVMSG NickServ :REGISTER {password} {}@example.org", self.name);
        for _ in 0..40 {
            self.raw(&order).await;
            let answers = |event: &Value| {
                event["nick"] == "NickServ" || event["text"].as_str().is_some_and(|text| text.contains("no_such_nick"))
            };
            if let Some(event) = self.watch(answers, Duration::from_millis(500)).await
                && event["nick"] == "NickServ"
            {
                let said = event["text"].as_str().unwrap_or_default();
                assert!(said.contains("registered"), "services said: {said}");
                return;
            }
        }
        panic!("there are no services");
    }

    /// Whether nobody of that nick joins within that time.
    pub(crate) async fn absence_of(&mut self, nick: &str, within: Duration) -> bool {
        self.watch(|event| event["event"] == "join" && event["nick"] == nick, within).await.is_none()
    }

    /// Waits for the next thing that is relayed; it must be exactly this.
    pub(crate) async fn hears(&mut self, text: &str) {
        let heard = self.next_line(SOON).await;
        assert_eq!(heard, text, "what {} hears", self.name);
    }

    /// The next thing that is relayed to a channel.
    pub(crate) async fn next_line(&mut self, within: Duration) -> String {
        let event = self.sees("message", |event| relayed(event).is_some(), within).await;
        relayed(&event).unwrap_or_default().to_owned()
    }

    /// Waits for the next event of that name which fits, and passes over those before it.
    pub(crate) async fn sees(&mut self, name: &str, fits: impl Fn(&Value) -> bool, within: Duration) -> Value {
        let event = self.watch(|event| event["event"] == name && fits(event), within).await;
        event.unwrap_or_else(|| panic!("{} waited {within:?} for a '{name}' that did not come", self.name))
    }

    /// The next event that fits, if there is one within that time.
    async fn watch(&mut self, fits: impl Fn(&Value) -> bool, within: Duration) -> Option<Value> {
        let until = Instant::now() + within;
        loop {
            for line in self.program.lines(self.seen) {
                self.seen += 1;
                let event = serde_json::from_str(&line).unwrap_or_default();
                if fits(&event) {
                    return Some(event);
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if !self.program.news(left).await && self.program.lines(self.seen).is_empty() {
                return None;
            }
        }
    }

    /// Everything that is relayed until nothing more comes for that long.
    pub(crate) async fn hears_no_more(&mut self, quiet: Duration) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            for line in self.program.lines(self.seen) {
                self.seen += 1;
                let event = serde_json::from_str(&line).unwrap_or_default();
                heard.extend(relayed(&event).map(str::to_owned));
            }
            if !self.program.news(quiet).await {
                return heard;
            }
        }
    }
}

/// The words, if this was said elsewhere: it names its author. What our binary itself has to say doesn't.
fn relayed(event: &Value) -> Option<&str> {
    let in_channel = event["target"].as_str().is_some_and(|to| to.starts_with('#'));
    let text = event["text"].as_str().filter(|text| text.starts_with(['<', '*']));
    text.filter(|_| event["event"] == "message" && event["type"] == "privmsg" && in_channel)
}
