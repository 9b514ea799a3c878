//! For tests of this crate alone: a platform that speaks plain JSON, a wire that answers by script, a store of rows in
//! memory that notes what is sent, a clock that is turned.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sameroom_model::{
    Account, Action, Attachment, Author, Block, Delivery, Event, EventKind, Identity, Inline, Job, Mention,
    MentionKind, Message, Opened, Outcome, Place, RoomKey, RoomRef, Sealed, Secrets, Text, Timestamp,
};
use sameroom_platforms::{
    About, Answer, AuthorShown, BadUrl, Capabilities, Carrier, Desk, Draft, Echo, Field, Files, Form, Limit, Listing,
    Located, Once, Platform, Problem, Profile, Rejected, RoomDraft, Step, Subject, Support, Turn, Unit, Webhook,
};
use sameroom_text::Markup;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use url::Url;

use crate::ports::{
    Batch, Census, Clock, Commit, CommitError, Committed, Key, Leased, NoAnswer, QueueName, Receipt, Row, Store,
    Unavailable, Vault, When, Wire, Write,
};
use crate::{Config, Engine};

/// Its name.
pub(crate) const TOY: &str = "toy";

/// A platform that has everything.
pub(crate) struct Toy;

static ABOUT: About = About {
    name: TOY,
    title: "Toy",
    schemes: &["toy"],
    example: "toy://host/#room",
    proven: "not at all",
    capabilities: Capabilities {
        carrier: Carrier::Http,
        markup: Markup::MRKDWN_MENTIONS,
        text: Limit { max: 1000, unit: Unit::Chars },
        edit: Support::Native,
        delete: Support::Native,
        reply: Support::Native,
        react: Support::Native,
        author: AuthorShown::Native,
        files: Files::Upload { max: 1000 },
        echo: Echo::Never,
        once: Once::AtLeast,
        rate: None,
    },
};

fn get(account: &Opened, path: &str) -> Option<http::Request<Bytes>> {
    let token = account.secrets.get("token").unwrap_or_default();
    http::Request::get(format!("https://toy.example/{path}")).header("token", token).body(Bytes::new()).ok()
}

fn judge(response: &http::Response<Bytes>) -> Result<Value, Outcome> {
    match response.status().as_u16() {
        200 => Ok(serde_json::from_slice(response.body()).unwrap_or(Value::Null)),
        401 => Err(Outcome::disconnected("sign in anew")),
        429 => Err(Outcome::Retry {
            after: Some(Duration::from_secs(7)),
            why: "busy".into(),
            sent: sameroom_model::Sent::No,
        }),
        status => Err(Outcome::refused(format!("no: {status}"))),
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn heard(account: &Opened, body: &Bytes, now: Timestamp) -> Result<Webhook, Rejected> {
    let value: Value = serde_json::from_slice(body).map_err(|e| Rejected::Malformed(e.to_string()))?;
    if let Some(why) = value["strange"].as_str() {
        return Err(Rejected::Undecodable(why.to_owned()));
    }
    let mut webhook = Webhook::reply(http::Response::new(Bytes::from_static(b"ok")));
    webhook.tenant = value["tenant"].as_str().map(str::to_owned);
    if let Some(words) = value["text"].as_str() {
        webhook.events.push(Event {
            id: text(&value, "id").into(),
            room: RoomRef { account: account.account.id.clone(), key: text(&value, "room").into() },
            at: now,
            author: Some(Author::new(text(&value, "user"), "")),
            kind: EventKind::Posted(Message::new(text(&value, "id"), Text::plain(words))),
        });
    }
    if let Some(name) = value["renamed"].as_str() {
        let profile = Profile { name: name.to_owned(), ..Profile::default() };
        webhook.learned.push((Subject::User(text(&value, "user").into()), profile));
    }
    if value["gone"].as_bool() == Some(true) {
        webhook.state = Some(sameroom_model::AccountState::NeedsOwner("uninstalled".into()));
    }
    Ok(webhook)
}

impl Platform for Toy {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn locate(&self, _url: &Url) -> Result<Located, BadUrl> {
        Err(BadUrl("toys have no addresses".into()))
    }

    fn onboard(&self, desk: &Desk<'_>, answers: &[Answer]) -> Result<Step, Problem> {
        let draft = |name: &str, place, secrets: Secrets, settings| {
            let identity = Identity { key: Some(format!("bot-{name}").into()), name: name.to_owned() };
            let endpoint = "https://toy.example".to_owned();
            Ok(Step::Done(Box::new(Draft { platform: TOY, endpoint, identity, settings, secrets, place })))
        };
        let send = |path: &str| Ok(Step::Send(Box::new(http::Request::get(path).body(Bytes::new()).unwrap())));
        let Some(app) = desk.app else {
            return match answers {
                [] => {
                    let fields =
                        vec![Field { name: "secret", label: "Secret", help: "", optional: false, secret: true }];
                    Ok(Step::Ask(Form { title: "Your app.", fields }))
                }
                [Answer::Fields(fields)] => match fields.get("secret").map(String::as_str) {
                    Some("loop") | None => send("https://toy.example/again"),
                    Some("bad") => Err(Problem { field: Some("secret"), message: "no such secret".into() }),
                    Some("check") => send("https://toy.example/check"),
                    Some(secret) => {
                        draft("app", Place::App, [("client", secret)].into_iter().collect(), json!({"app": 1}))
                    }
                },
                [Answer::Fields(fields), .., Answer::Response(response)] => match fields["secret"].as_str() {
                    "check" if response.status() == 200 => {
                        draft("alone", Place::Alone, Secrets::default(), Value::Null)
                    }
                    "check" => Err(Problem { field: Some("secret"), message: "refused there".into() }),
                    _ => send("https://toy.example/again"),
                },
                _ => Err(Problem { field: None, message: "what?".into() }),
            };
        };
        match answers {
            [] => {
                let url = format!("https://toy.example/auth?state={}&back={}", desk.state, desk.back);
                Ok(Step::Visit(Url::parse(&url).unwrap()))
            }
            [Answer::Returned(query)] => match query.get("code") {
                Some(code) => send(&format!("https://toy.example/exchange/{code}")),
                None => Err(Problem { field: None, message: "you said no".into() }),
            },
            [Answer::Returned(_), Answer::Response(response)] => {
                let team: Value = serde_json::from_slice(response.body()).unwrap_or_default();
                let place = Place::Installed { app: app.account.id.clone(), tenant: text(&team, "team") };
                let secrets = [("token", text(&team, "token"))].into_iter().collect();
                draft(&text(&team, "team"), place, secrets, json!({"own": 1}))
            }
            _ => Err(Problem { field: None, message: "what?".into() }),
        }
    }

    fn receive(&self, account: &Opened, request: &http::Request<Bytes>, now: Timestamp) -> Result<Webhook, Rejected> {
        if request.headers().get("signed").is_none() {
            return Err(Rejected::Unauthorized);
        }
        heard(account, request.body(), now)
    }

    fn overhear(&self, account: &Opened, body: &Bytes, now: Timestamp) -> Result<Webhook, Rejected> {
        heard(account, body, now)
    }

    fn render(
        &self,
        account: &Opened,
        delivery: &Delivery,
        _now: Timestamp,
    ) -> Result<Vec<http::Request<Bytes>>, Outcome> {
        let (words, files) = match &delivery.action {
            Action::Post { body, attachments, .. } => (shown(body), attachments.clone()),
            _ => return Err(Outcome::done()),
        };
        let files: Vec<_> = files.iter().map(file).collect();
        // One part for the words, one for each file.
        let body = [words].into_iter().chain(files);
        Ok(body
            .map(|part| {
                let token = account.secrets.get("token").unwrap_or_default();
                let request = http::Request::post("https://toy.example/post").header("token", token);
                request.body(Bytes::from(part)).unwrap()
            })
            .collect())
    }

    fn settle(
        &self,
        _account: &Opened,
        _delivery: &Delivery,
        _part: usize,
        _memo: &str,
        response: &http::Response<Bytes>,
        _now: Timestamp,
    ) -> Turn {
        match judge(response) {
            Ok(_) => Turn::Over(Outcome::done()),
            Err(outcome @ Outcome::Disconnected { .. }) => Turn::Renew(outcome),
            Err(outcome) => Turn::Over(outcome),
        }
    }

    fn expires(&self, account: &Opened) -> Option<Timestamp> {
        Timestamp::from_second(account.secrets.get("expires_at")?.parse().ok()?).ok()
    }

    fn renew(&self, account: &Opened) -> Option<http::Request<Bytes>> {
        let refresh = account.secrets.get("refresh")?;
        get(account, &format!("renew/{refresh}"))
    }

    fn renewed(
        &self,
        _account: &Opened,
        response: &http::Response<Bytes>,
        _now: Timestamp,
    ) -> Result<Secrets, Outcome> {
        let value = judge(response)?;
        let pairs = value.as_object().cloned().unwrap_or_default();
        Ok(pairs.into_iter().map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned())).collect())
    }

    fn list(&self, account: &Opened, cursor: Option<&str>) -> Option<http::Request<Bytes>> {
        get(account, &format!("list/{}", cursor.unwrap_or_default()))
    }

    fn listed(&self, _account: &Opened, response: &http::Response<Bytes>, _now: Timestamp) -> Result<Listing, Outcome> {
        let value = judge(response)?;
        let rooms = value["rooms"].as_array().cloned().unwrap_or_default();
        let room = |room: &Value| RoomDraft {
            key: text(room, "key").into(),
            name: text(room, "name"),
            site: "toy".to_owned(),
            settings: Value::Null,
        };
        Ok(Listing { rooms: rooms.iter().map(room).collect(), next: value["next"].as_str().map(str::to_owned) })
    }

    fn enter(&self, account: &Opened, room: &RoomKey) -> Option<http::Request<Bytes>> {
        get(account, &format!("enter/{room}"))
    }

    fn entered(&self, _: &Opened, _: &RoomKey, response: &http::Response<Bytes>, _: Timestamp) -> Outcome {
        judge(response).map_or_else(|outcome| outcome, |_| Outcome::done())
    }

    fn look_up(&self, account: &Opened, what: &Subject) -> Option<http::Request<Bytes>> {
        let (kind, key) = match what {
            Subject::User(key) => ("user", key.to_string()),
            Subject::Room(key) => ("room", key.to_string()),
            Subject::Group(key) => ("group", key.clone()),
        };
        get(account, &format!("who/{kind}/{key}"))
    }

    fn looked_up(
        &self,
        _: &Opened,
        _: &Subject,
        response: &http::Response<Bytes>,
        _: Timestamp,
    ) -> Result<Profile, Outcome> {
        serde_json::from_value(judge(response)?).map_err(|_| Outcome::refused("no profile"))
    }

    fn download(&self, account: &Opened, file: &Attachment) -> Option<http::Request<Bytes>> {
        get(account, file.url.strip_prefix("https://toy.example/")?)
    }
}

/// Words with mentions by key.
fn shown(text: &Text) -> String {
    let Some(Block::Paragraph(inlines)) = text.blocks.first() else { return String::new() };
    let one = |inline: &Inline| match inline {
        Inline::Mention(Mention { kind: MentionKind::User(key), label }) => format!("<{key}|{label}>"),
        Inline::Text(text) => text.clone(),
        other => format!("{other:?}"),
    };
    inlines.iter().map(one).collect()
}

fn file(file: &Attachment) -> String {
    match &file.content {
        Some(content) => format!("{}: {} bytes", file.name, content.len()),
        None => format!("{}: {}", file.name, file.url),
    }
}

/// Answers a request: status and body, or nobody there.
pub(crate) type Script = Box<dyn Fn(&Account, &http::Request<Bytes>) -> Option<(u16, String)> + Send + Sync>;

/// A wire by script. What is asked is noted: token, path.
#[derive(Default)]
pub(crate) struct Scripted {
    script: Mutex<Option<Script>>,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) posted: Mutex<Vec<String>>,
    owners: Mutex<Vec<String>>,
}

#[async_trait]
impl Wire for Scripted {
    async fn http(&self, account: &Account, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NoAnswer> {
        let token = request.headers().get("token").and_then(|value| value.to_str().ok()).unwrap_or("-");
        self.asked.lock().unwrap().push(format!("{token} {}", request.uri().path()));
        self.owners.lock().unwrap().push(account.owner.to_string());
        if request.uri().path().ends_with("slow") {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        tokio::task::yield_now().await;
        let answer = self.script.lock().unwrap().as_ref().and_then(|script| script(account, &request));
        let Some((status, body)) = answer else { return Err(NoAnswer::Unreachable("nobody is there".into())) };
        if request.uri().path() == "/post" && status == 200 {
            self.posted.lock().unwrap().push(String::from_utf8_lossy(request.body()).into_owned());
        }
        Ok(http::Response::builder().status(status).body(Bytes::from(body)).unwrap())
    }

    async fn download(
        &self,
        account: &Account,
        request: http::Request<Bytes>,
        max: u64,
    ) -> Result<http::Response<Bytes>, NoAnswer> {
        let response = self.http(account, request).await?;
        if response.body().len() as u64 > max {
            return Err(NoAnswer::Broken(format!("the answer is longer than {max} bytes")));
        }
        Ok(response)
    }

    fn session(&self, _account: &Account, _delivery: Delivery) -> oneshot::Receiver<Outcome> {
        oneshot::channel().1
    }
}

/// Rows in memory; jobs are noted, and never leased but by hand.
#[derive(Default)]
pub(crate) struct Rows {
    kept: Mutex<BTreeMap<Key, (Row, Option<Timestamp>)>>,
    jobs: Mutex<VecDeque<(QueueName, String, Vec<u8>)>>,
    clock: Arc<Turned>,
}

impl Rows {
    fn live(&self, key: &Key) -> Option<Row> {
        let rows = self.kept.lock().unwrap();
        let (row, expires) = rows.get(key)?;
        expires.is_none_or(|at| at > self.clock.now()).then(|| row.clone())
    }
}

#[async_trait]
impl Store for Rows {
    async fn get(&self, key: &Key) -> Result<Option<Row>, Unavailable> {
        Ok(self.live(key))
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Unavailable> {
        let keys: Vec<Key> = self.kept.lock().unwrap().keys().cloned().collect();
        let wanted = keys.into_iter().filter(|key| {
            key.partition == partition && key.sort.starts_with(prefix) && after.is_none_or(|after| *key.sort > *after)
        });
        Ok(wanted.filter_map(|key| Some((key.sort.clone(), self.live(&key)?))).take(limit).collect())
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        for write in &commit.writes {
            let (Write::Put { key, when, .. } | Write::Delete { key, when }) = write;
            let known = self.live(key).map(|row| row.version);
            let holds = match when {
                When::Always => true,
                When::Absent => known.is_none(),
                When::Version(version) => known == Some(*version),
            };
            if !holds {
                return Err(CommitError::Conflict);
            }
        }
        for write in commit.writes {
            match write {
                Write::Put { key, body, expires, .. } => {
                    let version = self.live(&key).map_or(0, |row| row.version) + 1;
                    self.kept.lock().unwrap().insert(key, (Row { body, version }, expires));
                }
                Write::Delete { key, .. } => drop(self.kept.lock().unwrap().remove(&key)),
            }
        }
        let mut jobs = self.jobs.lock().unwrap();
        let duplicates = commit.sends.iter().map(|_| false).collect();
        jobs.extend(commit.sends.into_iter().map(|job| (job.queue, job.group, job.body)));
        Ok(Committed { duplicates })
    }

    async fn lease(&self, _queue: QueueName, _max: usize) -> Result<Batch, Unavailable> {
        std::future::pending().await
    }

    fn lag(&self, _queue: QueueName) -> Duration {
        Duration::ZERO
    }

    async fn census(&self) -> Result<Census, Unavailable> {
        Ok(Census::default())
    }

    fn dedup_window(&self) -> Duration {
        Duration::from_mins(5)
    }
}

/// A vault that binds its context, and shows nothing to who looks for words.
struct Turner;

#[async_trait]
impl Vault for Turner {
    async fn seal(&self, context: &str, clear: &[u8]) -> Result<Sealed, Unavailable> {
        let turned: Vec<u8> = clear.iter().map(|byte| !byte).collect();
        Ok(Sealed(format!("{}:{context}", data_encoding::HEXLOWER.encode(&turned))))
    }

    async fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, Unavailable> {
        let (turned, bound) = sealed.0.split_once(':').unwrap();
        assert_eq!(bound, context, "sealed elsewhere");
        Ok(data_encoding::HEXLOWER.decode(turned.as_bytes()).unwrap().iter().map(|byte| !byte).collect())
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        aws_lc_rs::rand::fill(bytes).map_err(Unavailable::new)
    }
}

/// A clock that is turned.
pub(crate) struct Turned(AtomicI64);

impl Default for Turned {
    fn default() -> Self {
        Self(AtomicI64::new(1_780_315_200_000))
    }
}

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// An engine with all that a test looks at.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) wire: Arc<Scripted>,
    pub(crate) store: Arc<Rows>,
    clock: Arc<Turned>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let clock = Arc::new(Turned::default());
        let wire = Arc::new(Scripted::default());
        let store = Arc::new(Rows { clock: clock.clone(), ..Rows::default() });
        let engine = Engine::new(store.clone(), wire.clone(), Arc::new(Turner), clock.clone(), config);
        Self { engine, wire, store, clock }
    }

    /// The same rows, seen by an engine that has just begun.
    pub(crate) fn restarted(&self) -> Self {
        let (store, wire, clock) = (self.store.clone(), self.wire.clone(), self.clock.clone());
        let config = self.engine.config().clone();
        let engine = Engine::new(store.clone(), wire.clone(), Arc::new(Turner), clock.clone(), config);
        Self { engine, wire, store, clock }
    }

    /// Answers requests by their path from now on; what is not named is not found.
    pub(crate) fn answers(&self, script: impl Fn(&str) -> Option<(u16, Value)> + Send + Sync + 'static) {
        self.scripted(Box::new(move |_, request| {
            let answer = script(request.uri().path());
            Some(answer.map_or((404, String::new()), |(status, body)| (status, body.to_string())))
        }));
    }

    pub(crate) fn scripted(&self, script: Script) {
        *self.wire.script.lock().unwrap() = Some(script);
    }

    /// What was asked since this was called last, as `token path`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.wire.asked.lock().unwrap())
    }

    /// In whose name requests were made.
    pub(crate) fn owners(&self) -> Vec<String> {
        std::mem::take(&mut self.wire.owners.lock().unwrap())
    }

    /// What was posted since this was called last.
    pub(crate) fn posted(&self) -> Vec<String> {
        std::mem::take(&mut self.wire.posted.lock().unwrap())
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) async fn account(&self, owner: &str, name: &str, place: Place, secrets: &[(&str, &str)]) -> Account {
        let draft = draft(name, place, secrets);
        self.engine.add_account(&owner.into(), &draft).await.unwrap()
    }

    /// An app of the operator's.
    pub(crate) async fn app(&self) -> Account {
        self.account("operator", "app", Place::App, &[("client", "c1")]).await
    }

    /// The events that wait to be relayed, taken off.
    pub(crate) fn events(&self) -> Vec<Event> {
        let jobs: Vec<_> = self.store.jobs.lock().unwrap().drain(..).collect();
        jobs.iter().filter_map(|(_, _, body)| serde_json::from_slice::<Job>(body).ok()?.event).collect()
    }

    /// Relays what waits, and makes the deliveries that come of it.
    pub(crate) async fn work(&self) {
        loop {
            let Some((queue, group, body)) = self.store.jobs.lock().unwrap().pop_front() else { return };
            let accepted = self.clock.now();
            let job = Leased { receipt: Receipt(1), body: body.into(), attempt: 1, maybe: false, accepted };
            let batch = Batch { group, jobs: vec![job] };
            match queue {
                QueueName::Events => self.engine.relay(batch).await,
                QueueName::Outbox | QueueName::Held => self.engine.deliver(batch).await,
            }
        }
    }

    /// Two rooms of two accounts of one owner, connected, and all notices said: each `account, room`.
    pub(crate) async fn two_rooms(&self) -> [RoomRef; 2] {
        let mut rooms = Vec::new();
        for name in ["one", "two"] {
            let secrets = [("token", "t1"), ("refresh", "r1")];
            let account = self.account("ann", name, Place::Alone, &secrets).await;
            rooms.push(self.engine.add_room(&account.id, &room("general")).await.unwrap().at);
        }
        let ann = "ann".into();
        self.engine
            .connect([&ann, &ann], [&rooms[0], &rooms[1]], sameroom_model::MadeBy::Operator)
            .await
            .expect("they can be connected");
        self.work().await;
        self.asked();
        self.posted();
        rooms.try_into().unwrap()
    }

    /// Somebody says something in a room.
    pub(crate) async fn says(&self, room: &RoomRef, user: Author, id: &str, message: Message) {
        let kind = EventKind::Posted(Message { key: id.into(), ..message });
        let event = Event { id: id.into(), room: room.clone(), at: self.clock.now(), author: Some(user), kind };
        self.engine.ingest(&[event]).await.unwrap();
        self.work().await;
    }

    /// All rows, as they are kept, for looking for what must not be there.
    pub(crate) fn at_rest(&self) -> String {
        let rows = self.store.kept.lock().unwrap();
        let one = |(key, (row, _)): (&Key, &(Row, Option<Timestamp>))| {
            format!("{}:{} {}\n", key.partition, key.sort, String::from_utf8_lossy(&row.body))
        };
        rows.iter().map(one).collect()
    }
}

/// An account of the toy's to be.
pub(crate) fn draft(name: &str, place: Place, secrets: &[(&str, &str)]) -> Draft {
    Draft {
        platform: TOY,
        endpoint: "https://toy.example".to_owned(),
        identity: Identity { key: Some(format!("bot-{name}").into()), name: name.to_owned() },
        settings: json!({}),
        secrets: secrets.iter().copied().collect(),
        place,
    }
}

/// A room of the toy's to be.
pub(crate) fn room(name: &str) -> RoomDraft {
    RoomDraft { key: name.into(), name: name.to_owned(), site: "toy".to_owned(), settings: Value::Null }
}
