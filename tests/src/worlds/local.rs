//! A room that lives in Sameroom itself, seen as the browser's page sees it: posts go to the router, what is shown comes
//! from the engine's history and whoever follows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use sameroom_engine::{Engine, Entry};
use sameroom_model::RoomRef;
use sameroom_platforms::{Located, by_name};
use sameroom_wire::HttpClient;
use serde_json::{Value, json};

use super::{Town, WAIT, lines};

/// One hosted room and the people who have its page open.
pub struct LocalRoom {
    engine: Engine,
    client: Arc<HttpClient>,
    url: String,
    /// The room.
    pub room: RoomRef,
    deeds: AtomicU64,
}

impl LocalRoom {
    pub(super) fn new(town: &Town, room: RoomRef) -> Self {
        let url = format!("http://{}/hooks/local/{}/{}", town.address, room.account, room.key);
        let (engine, client) = (town.engine.clone(), town.client.clone());
        Self { engine, client, url, room, deeds: AtomicU64::new(1) }
    }

    /// Somebody writes something; gives the message's key.
    pub async fn says(&self, who: &str, text: &str) -> String {
        self.does(who, json!({ "type": "post", "text": text })).await
    }

    /// Somebody answers a message.
    pub async fn replies(&self, who: &str, key: &str, text: &str) -> String {
        self.does(who, json!({ "type": "post", "text": text, "reply_to": key })).await
    }

    /// Somebody edits a message of theirs.
    pub async fn edits(&self, who: &str, key: &str, text: &str) {
        self.does(who, json!({ "type": "edit", "key": key, "text": text })).await;
    }

    /// Somebody deletes a message of theirs.
    pub async fn deletes(&self, who: &str, key: &str) {
        self.does(who, json!({ "type": "delete", "key": key })).await;
    }

    /// Somebody reacts to a message.
    pub async fn reacts(&self, who: &str, key: &str, emoji: &str) {
        self.does(who, json!({ "type": "react", "key": key, "emoji": emoji })).await;
    }

    async fn does(&self, who: &str, mut deed: Value) -> String {
        deed["id"] = json!(format!("c{}", self.deeds.fetch_add(1, Ordering::Relaxed)));
        deed["author"] = json!({ "id": format!("browser-secret-of-{who}"), "name": who });
        let request = http::Request::post(&self.url).body(Bytes::from(deed.to_string())).unwrap();
        let response = self.client.send(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{:?}", response.body());
        let reply: Value = serde_json::from_slice(response.body()).unwrap();
        reply["key"].as_str().unwrap().to_owned()
    }

    /// Waits until the page shows what `look` looks for.
    pub async fn sees<T>(&self, mut look: impl FnMut(&[Entry]) -> Option<T>) -> T {
        let mut follows = self.engine.follow(&self.room);
        let looking = async {
            loop {
                let entries = self.engine.history(&self.room).await.unwrap();
                if let Some(found) = look(&entries) {
                    return found;
                }
                let _ = follows.recv().await;
            }
        };
        match tokio::time::timeout(WAIT, looking).await {
            Ok(found) => found,
            Err(_) => panic!("waited {WAIT:?} in vain; the page shows{}", lines(self.shows().await)),
        }
    }

    /// Waits until the page shows words by an author; gives the entry.
    pub async fn hears(&self, who: &str, words: &str) -> Entry {
        self.sees(|entries| {
            entries.iter().find(|entry| entry.shown == who && entry.body.words() == words && !entry.deleted).cloned()
        })
        .await
    }

    /// Waits until the page is told something by us that holds these words; gives all of it.
    pub async fn is_told(&self, words: &str) -> String {
        self.sees(|entries| {
            let told = entries.iter().filter(|entry| entry.author.is_none()).map(|entry| entry.body.words());
            told.into_iter().find(|told| told.contains(words))
        })
        .await
    }

    /// Who said what, notices left out, deleted ones too.
    pub async fn shows(&self) -> Vec<(String, String)> {
        let entries = self.engine.history(&self.room).await.unwrap();
        let said = entries.into_iter().filter(|entry| entry.author.is_some() && !entry.deleted);
        said.map(|entry| (entry.shown, entry.body.words())).collect()
    }

    /// What the page was told by us.
    pub async fn notices(&self) -> Vec<String> {
        let entries = self.engine.history(&self.room).await.unwrap();
        entries.into_iter().filter(|entry| entry.author.is_none()).map(|entry| entry.body.words()).collect()
    }
}

/// A room's token: made from its name, so that a scenario can name it.
pub(super) fn token(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, name.as_bytes()).as_ref())
}

pub(super) fn draft(name: &str) -> Located {
    let url = format!("local:room?token={}", token(name)).parse().unwrap();
    by_name("local").unwrap().locate(&url).unwrap()
}
