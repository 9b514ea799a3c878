//! The world of Slack as a program, for programs in other languages: prints one line of JSON with its address and keys,
//! then reads commands from standard input, one JSON array a line (`["says", "general", "ann", "hi"]`), and answers each
//! with one line of JSON, `{"error": …}` where it can't. Ends when its input does.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for tests")]
#![allow(clippy::unit_arg, reason = "a line a command, and what it does")]

use std::time::Duration;

use sameroom_tests::worlds::slack::{Consent, Disconnect, Mood, Order, Slack, Upload};
use serde_json::{Value, json};
use tokio::sync::mpsc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let slack = Slack::open().await;
    let keys = slack.keys();
    println!(
        "{}",
        json!({
            "ready": true, "base": slack.base(), "api": slack.api(), "authorize": slack.authorize_url(),
            "team_id": slack.team_id(), "app_id": keys.app_id, "client_id": keys.client_id,
            "client_secret": keys.client_secret, "signing_secret": keys.signing_secret, "app_token": keys.app_token,
        })
    );
    let (read, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).for_each(|line| read.send(line).unwrap_or_default());
    });
    while let Some(line) = lines.recv().await {
        let Ok(Value::Array(words)) = serde_json::from_str(&line) else {
            println!("{}", json!({ "error": "a command is an array of JSON" }));
            continue;
        };
        // A command that a person mistyped fails alone.
        let (slack, command) = (slack.clone(), Command(words));
        let done = tokio::spawn(async move { command.run(&slack).await }).await;
        println!("{}", done.unwrap_or_else(|failed| json!({ "error": failed.to_string() })));
    }
}

struct Command(Vec<Value>);

impl Command {
    async fn run(&self, slack: &Slack) -> Value {
        let s = |at: usize| self.0.get(at).and_then(Value::as_str).unwrap_or_default();
        let n = |at: usize| self.0.get(at).and_then(Value::as_u64).unwrap_or_default();
        let on = |at: usize| self.0.get(at).and_then(Value::as_bool).unwrap_or_default();
        let list = |at: usize| -> Vec<&str> {
            self.0.get(at).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
        };
        match s(0) {
            "install" => {
                let one = if list(1).is_empty() { slack.install() } else { slack.install_with(&list(1)) };
                json!({ "team_id": one.team_id, "bot_user_id": one.bot_user_id, "bot_id": one.bot_id, "token": one.token })
            }
            "user_token" => json!(slack.user_token(s(1), &list(2))),
            "scopes" => done(slack.has_scopes(&list(1))),
            "uninstalls" => done(slack.uninstalls()),
            "revokes_tokens" => done(slack.revokes_tokens()),
            "rotates" => done(slack.rotates_tokens(on(1))),
            "redirects_to" => done(slack.redirects_to(s(1))),
            "agrees" => done(slack.decides(Consent::Agrees(s(1).to_owned()))),
            "denies" => done(slack.decides(Consent::Denies)),
            "person" => json!(slack.person(s(1))),
            "profile" => done(slack.changes_profile(s(1), &self.0[2])),
            "channel" => json!(slack.channel(s(1), &list(2))),
            "private" => json!(slack.private(s(1), &list(2))),
            "dm" => json!(slack.dm(s(1))),
            "group" => json!(slack.group(s(1), &list(2))),
            "emoji" => done(slack.emoji(s(1), s(2))),
            "says" => json!(slack.says(s(1), s(2), s(3))),
            "reply" => json!(slack.reply(s(1), s(2), s(3), s(4))),
            "broadcasts" => json!(slack.broadcasts(s(1), s(2), s(3), s(4))),
            "me" => json!(slack.me(s(1), s(2), s(3))),
            "bot_says" => json!(slack.bot_says(s(1), s(2), s(3))),
            "edits" => done(slack.edits(s(1), s(2), s(3))),
            "unfurls" => done(slack.unfurls(s(1), s(2), s(3))),
            "deletes" => done(slack.deletes(s(1), s(2))),
            "reacts" => json!(slack.reacts(s(1), s(2), s(3), s(4))),
            "unreacts" => json!(slack.unreacts(s(1), s(2), s(3), s(4))),
            "upload" => json!(slack.uploads(s(1), s(2), s(3), &[Upload::new(s(4), s(5).as_bytes())])),
            "joins" => done(slack.joins(s(1), s(2))),
            "leaves" => done(slack.leaves(s(1), s(2))),
            "invites_bot" => done(slack.invites_bot(s(1))),
            "removes_bot" => done(slack.removes_bot(s(1))),
            "topic" => done(slack.sets_topic(s(1), s(2), s(3))),
            "renames" => done(slack.renames(s(1), s(2), s(3))),
            "archives" => done(slack.archives(s(1), s(2))),
            "unarchives" => done(slack.unarchives(s(1), s(2))),
            "request_url" => json!(slack.set_request_url(s(1)).await.err()),
            "socket_mode" => done(slack.socket_mode(on(1))),
            "is_connected" => done(slack.is_connected(n(1) as usize).await),
            "disconnects" => done(slack.disconnects(match s(1) {
                "warning" => Disconnect::Warning,
                "link_disabled" => Disconnect::LinkDisabled,
                _ => Disconnect::RefreshRequested,
            })),
            "cuts_sockets" => done(slack.cuts_sockets()),
            "retries_after_ms" => {
                let times: Vec<Duration> = (1..self.0.len()).map(|at| Duration::from_millis(n(at))).collect();
                done(slack.retries_after(&times))
            }
            "timeout_ms" => done(slack.waits_for_answers(Duration::from_millis(n(1)))),
            "holds" => done(slack.holds_events()),
            "releases" => done(slack.releases_events(if on(1) { Order::Reversed } else { Order::Straight })),
            "duplicates" => done(slack.duplicates_events(n(1) as u32)),
            "drops" => done(slack.drops_events(n(1) as u32)),
            "keeps_impersonated" => done(slack.keeps_impersonated(on(1))),
            "echoes_first" => done(slack.echoes_first(on(1))),
            "busy" => done(slack.script(s(1), (0..n(2)).map(|_| Mood::Busy(n(3))))),
            "fails" => done(slack.script(s(1), (0..n(2)).map(|_| Mood::Fails(s(3).to_owned())))),
            "pass_s" => done(slack.pass(Duration::from_secs(n(1)))),
            "settled" => done(slack.settled().await),
            "whispers" => json!(slack.whispers(s(1), s(2))),
            "bytes" => json!(slack.bytes(s(1)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
            "messages" => {
                let said = slack.messages(s(1));
                said.into_iter().map(|one| json!({ "ts": one.ts, "who": one.who, "text": one.text })).collect()
            }
            "odd" => json!(slack.odd()),
            "dump" => slack.dump(),
            other => json!({ "error": format!("no command {other}") }),
        }
    }
}

fn done((): ()) -> Value {
    json!(true)
}
