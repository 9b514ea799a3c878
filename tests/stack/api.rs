//! The API of a deployed Sameroom, asked with a key.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// Somebody with a key.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    key: String,
    client: Client,
}

impl Api {
    pub(crate) fn new(base: &str, key: &str) -> Self {
        Self { base: base.to_owned(), key: key.to_owned(), client: Client::builder().build().expect("a client") }
    }

    /// Asks, whatever the answer.
    pub(crate) async fn asks(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self.client.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send().await.expect("the API answers")
    }

    async fn done(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let response = self.asks(method.clone(), path, body).await;
        let (status, text) = (response.status(), response.text().await.expect("an answer"));
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.done(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.done(Method::POST, path, Some(body).filter(|body| !body.is_null())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Value {
        self.done(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) {
        self.done(Method::DELETE, path, None).await;
    }

    /// Adds a room by its URL, and the account with it; gives the room's id and the account's.
    pub(crate) async fn room(&self, url: &str) -> (String, String) {
        let room = self.post("/rooms", json!({"url": url})).await;
        let text = |name: &str| room[name].as_str().unwrap_or_else(|| panic!("no {name} in {room}")).to_owned();
        (text("id"), text("account"))
    }

    /// Connects two rooms; gives the Tube's id.
    pub(crate) async fn tube(&self, one: &str, two: &str) -> String {
        let tube = self.post("/tubes", json!({"rooms": [one, two]})).await;
        tube["id"].as_str().expect("a Tube has an id").to_owned()
    }
}
