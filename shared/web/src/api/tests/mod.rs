//! The API, asked over its router, on a store in memory, with a clock that stands still and randomness that is the same
//! every time: so that what it answers can be written down.

mod docs;
mod examples;
mod machinery;
mod routes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use sameroom_embedded::{Memory, TestClock};
use sameroom_engine::ports::{Clock as _, NoAnswer, Unavailable, Vault, Wire};
use sameroom_engine::{Config, Engine};
use sameroom_model::{Account, Delivery, Identity, Outcome, OwnerId, Place, Scope, Sealed, Secrets};
use sameroom_platforms::Draft;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use super::limit::{Rate, RateLimits};

/// What a test asks.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) store: Arc<Memory>,
    pub(super) clock: TestClock,
    pub(super) router: Router,
    /// The operator's key, with every scope.
    pub(super) admin: String,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// Refuses everything: what is delivered by requests fails for good.
struct Refusing;

#[async_trait]
impl Wire for Refusing {
    async fn http(&self, _: &Account, _: Request<Bytes>) -> Result<Response<Bytes>, NoAnswer> {
        let mut response = Response::new(Bytes::from_static(b"no"));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        Ok(response)
    }

    async fn download(&self, account: &Account, request: Request<Bytes>, _: u64) -> Result<Response<Bytes>, NoAnswer> {
        self.http(account, request).await
    }

    fn session(&self, _: &Account, _: Delivery) -> oneshot::Receiver<Outcome> {
        oneshot::channel().1
    }
}

/// Seals by turning bytes round, and counts instead of throwing dice.
#[derive(Default)]
struct Glass(AtomicU64);

#[async_trait]
impl Vault for Glass {
    async fn seal(&self, context: &str, clear: &[u8]) -> Result<Sealed, Unavailable> {
        let turned: Vec<u8> = clear.iter().map(|b| !b).collect();
        Ok(Sealed(format!(
            "{}.{}",
            data_encoding::HEXLOWER.encode(context.as_bytes()),
            data_encoding::HEXLOWER.encode(&turned)
        )))
    }

    async fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, Unavailable> {
        let (bound, turned) = sealed.0.split_once('.').ok_or_else(|| Unavailable::new("not sealed"))?;
        if bound != data_encoding::HEXLOWER.encode(context.as_bytes()) {
            return Err(Unavailable::new("sealed elsewhere"));
        }
        let turned = data_encoding::HEXLOWER.decode(turned.as_bytes()).map_err(Unavailable::new)?;
        Ok(turned.iter().map(|b| !b).collect())
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        let stream = Sha256::digest(format!("test {n}"));
        bytes.iter_mut().zip(stream.iter().cycle()).for_each(|(byte, from)| *byte = *from);
        Ok(())
    }
}

impl World {
    /// A world where nobody asks too often.
    pub(super) async fn new() -> Self {
        let plenty = Rate { per_minute: 1_000_000, burst: 1_000_000 };
        Self::with(RateLimits { key: plenty, address: plenty }).await
    }

    pub(super) async fn with(limits: RateLimits) -> Self {
        let clock = TestClock::default();
        let store = Memory::new(clock.clone());
        let engine = engine(&store, &clock);
        let local = Draft {
            platform: "local",
            endpoint: "local:".to_owned(),
            identity: Identity { key: None, name: "Sameroom".to_owned() },
            settings: Value::Null,
            secrets: Secrets::default(),
            place: Place::Alone,
        };
        engine.add_account_as("local".into(), &"operator".into(), &local).await.unwrap();
        let router = crate::router_with(engine.clone(), crate::Options { limits, ..crate::Options::default() });
        let mut world = Self { engine, store, clock, router, admin: String::new() };
        world.admin = world.key("operator", &[Scope::Admin]).await;
        world
    }

    /// The process ends, and another begins on the same store.
    pub(super) fn restart(&mut self) {
        self.engine = engine(&self.store, &self.clock);
        self.router = crate::router(self.engine.clone(), None);
    }

    /// A key of an owner's.
    pub(super) async fn key(&self, owner: &str, scopes: &[Scope]) -> String {
        let scopes: BTreeSet<Scope> = scopes.iter().copied().collect();
        let made = self.engine.add_key(&OwnerId::from(owner), "test", &scopes, None).await.unwrap();
        made.expect("an owner").1.expose_secret().to_owned()
    }

    /// Another owner, and a key of theirs with every scope.
    pub(super) async fn stranger(&self) -> String {
        let owner = self.engine.add_owner("Eve", None).await.unwrap();
        self.key(owner.id.as_str(), &[Scope::Admin]).await
    }

    /// Asks; `path` follows `/api/v1`.
    pub(super) async fn ask(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        let headers = [("authorization", format!("Bearer {key}"))];
        self.send(method, &format!("/api/v1{path}"), &headers, body.map(|body| body.to_string())).await
    }

    /// Asks as the operator.
    pub(super) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.ask(&self.admin, method, path, body).await
    }

    /// Asks with headers of one's own.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Option<String>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let stream = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let bytes = if stream { first(body).await } else { body.collect().await.unwrap().to_bytes().to_vec() };
        Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes).unwrap() }
    }

    /// A room that lives here.
    pub(super) async fn room(&self, name: &str) -> String {
        let reply = self.admin("POST", "/rooms", Some(json!({ "url": format!("local:{name}") }))).await;
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// A room reached by webhook, of whoever has the key.
    pub(super) async fn hook(&self, key: &str, name: &str) -> String {
        let reply = self.ask(key, "POST", "/rooms", Some(json!({ "url": hook_url(name) }))).await;
        reply.json()["id"].as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned()
    }

    /// A Tube of two rooms.
    pub(super) async fn tube(&self, a: &str, b: &str) -> String {
        let reply = self.admin("POST", "/tubes", Some(json!({ "rooms": [a, b] }))).await;
        reply.json()["id"].as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned()
    }
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// It is a problem of that kind.
    pub(super) fn is_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["type"], format!("urn:sameroom:problem:{kind}"), "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(!body["detail"].as_str().unwrap().is_empty());
    }
}

/// A webhook room's URL.
pub(super) fn hook_url(name: &str) -> String {
    format!("webhook+https://chat.example/hook?secret=whsec_{}#{name}", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk=")
}

fn engine(store: &Arc<Memory>, clock: &TestClock) -> Engine {
    let config = Config { public_url: Some("https://sameroom.example".to_owned()), ..Config::default() };
    // A second engine on the same store must not count from the beginning again.
    let vault = Glass(AtomicU64::new(u64::from(clock.now().as_millisecond() > 1_780_315_200_000) * 1000));
    Engine::new(store.clone(), Arc::new(Refusing), Arc::new(vault), Arc::new(clock.clone()), config)
}

/// What a stream says within a moment.
async fn first(mut body: Body) -> Vec<u8> {
    let mut out = Vec::new();
    let moment = std::time::Duration::from_millis(200);
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(moment, body.frame()).await {
        out.extend(frame.into_data().unwrap_or_default());
    }
    out
}
