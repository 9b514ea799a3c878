//! One conversation that uses every operation. What was asked and answered goes into the document as its examples, so each
//! example is one that worked; each answer is held against the schema that the document gives for it.

use std::time::Duration;

use sameroom_engine::Pump;
use sameroom_engine::ports::{Commit, NewJob, QueueName, Store as _};
use serde_json::{Map, Value, json};

use super::{Reply, World, hook_url};
use crate::api::document;

/// Operations that the platforms at hand can't show.
const WITHOUT: [&str; 1] = ["POST /accounts/{id}/refresh"];

/// A conversation, written down.
struct Play {
    world: World,
    document: Value,
    examples: Map<String, Value>,
    /// What is random even in tests, and what it is called instead.
    masks: Vec<(String, &'static str)>,
}

impl Play {
    /// Asks as somebody; the answer has to be as expected and as the document says.
    async fn step(
        &mut self,
        key: &str,
        method: &str,
        path: &str,
        parts: &[(&str, &str)],
        body: Option<Value>,
        status: u16,
    ) -> Value {
        let mut url = path.to_owned();
        for (name, value) in parts {
            url = if name.starts_with('?') {
                format!("{url}{value}")
            } else {
                url.replace(&format!("{{{name}}}"), value)
            };
        }
        let reply = self.world.ask(key, method, &url, body.clone()).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {url}: {reply:?}");
        self.write_down(method, path, body, &reply)
    }

    async fn admin(
        &mut self,
        method: &str,
        path: &str,
        parts: &[(&str, &str)],
        body: Option<Value>,
        status: u16,
    ) -> Value {
        let key = self.world.admin.clone();
        self.step(&key, method, path, parts, body, status).await
    }

    fn write_down(&mut self, method: &str, path: &str, request: Option<Value>, reply: &Reply) -> Value {
        let operation = &self.document["paths"][path][method.to_lowercase()];
        let stream = reply.header("content-type") == "text/event-stream";
        let answer = match reply.text.as_str() {
            "" => None,
            text if stream => Some(Value::from(text)),
            _ => Some(reply.json()),
        };
        let told = &operation["responses"][reply.status.as_str()];
        assert!(told.is_object(), "{method} {path} answers {}, which is not documented", reply.status);
        if let (Some(answer), Some(content)) = (&answer, told["content"].get("application/json")) {
            holds(&self.document, &content["schema"], answer, &format!("{method} {path}"));
        }
        if let Some(request) = &request {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            holds(&self.document, schema, request, &format!("{method} {path} request"));
        }
        let mut example = Map::new();
        example.insert("status".to_owned(), reply.status.as_u16().into());
        example.extend(request.map(|request| ("request".to_owned(), request)));
        example.extend(answer.clone().map(|answer| ("answer".to_owned(), answer)));
        self.examples.entry(format!("{method} {path}")).or_insert(Value::Object(example));
        answer.unwrap_or_default()
    }

    /// Calls something random by another name.
    fn mask(&mut self, value: &Value, name: &'static str) {
        self.masks.push((value.as_str().unwrap().to_owned(), name));
    }
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}")).to_owned()
}

#[tokio::test]
async fn the_examples_are_what_happens() {
    let world = World::new().await;
    let document = document::document();
    let mut play = Play { world, document, examples: Map::new(), masks: Vec::new() };
    owners_and_keys(&mut play).await;
    accounts(&mut play).await;
    rooms_and_tubes(&mut play).await;
    portals(&mut play).await;
    trouble(&mut play).await;
    letters(&mut play).await;
    play.admin("GET", "/platforms", &[], None, 200).await;
    events(&mut play).await;

    let mut text = serde_json::to_string_pretty(&play.examples).unwrap();
    for (secret, name) in &play.masks {
        text = text.replace(secret, name);
    }
    for (method, path, _) in document::operations(&play.document) {
        let name = format!("{method} {path}");
        let shown = play.examples.contains_key(&name);
        assert_ne!(shown, WITHOUT.contains(&name.as_str()), "{name} has no example in this conversation");
    }
    super::docs::same("shared/web/src/api/examples.json", &format!("{text}\n"));
}

async fn owners_and_keys(play: &mut Play) {
    let new = json!({ "name": "Ada", "email": "ada@example.com" });
    let ada = id(&play.admin("POST", "/owners", &[], Some(new), 201).await);
    play.admin("GET", "/owners", &[], None, 200).await;
    play.admin("GET", "/owners/{id}", &[("id", &ada)], None, 200).await;
    play.admin("PATCH", "/owners/{id}", &[("id", &ada)], Some(json!({ "email": null })), 200).await;
    let new = json!({ "name": "Ada's laptop", "scopes": ["admin"] });
    let made = play.admin("POST", "/owners/{id}/keys", &[("id", &ada)], Some(new), 201).await;
    play.mask(&made["token"], "sr_...");
    let new = json!({ "name": "dashboard", "scopes": ["read"], "expires": "2027-01-01T00:00:00Z" });
    let made = play.admin("POST", "/keys", &[], Some(new), 201).await;
    play.mask(&made["token"], "sr_...");
    play.admin("GET", "/keys", &[], None, 200).await;
    let key = id(&made["key"]);
    play.admin("GET", "/keys/{id}", &[("id", &key)], None, 200).await;
    play.admin("DELETE", "/keys/{id}", &[("id", &key)], None, 200).await;
}

async fn accounts(play: &mut Play) {
    let begun = play.admin("POST", "/accounts", &[], Some(json!({ "platform": "webhook" })), 201).await;
    play.mask(&begun["id"], "x4vbd2zk7qmn3tcw5hya");
    let begun = id(&begun);
    assert_eq!(play.admin("GET", "/onboardings/{id}", &[("id", &begun)], None, 200).await["state"], "ask");
    let fields = json!({
        "url": "https://tools.example/hook",
        "secret": "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk=",
        "secret_next": "",
    });
    let wrong = json!({ "fields": { "url": "ftp://tools.example", "secret": fields["secret"], "secret_next": "" } });
    let key = play.world.admin.clone();
    let refused = play.world.ask(&key, "POST", &format!("/onboardings/{begun}/answers"), Some(wrong)).await;
    refused.is_problem(422, "invalid");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/fields/url");
    let answer = Some(json!({ "fields": fields }));
    let done = play.admin("POST", "/onboardings/{id}/answers", &[("id", &begun)], answer, 200).await;
    assert_eq!(done["state"], "done", "{done}");
    let account = done["account"].as_str().unwrap().to_owned();
    let given_up = play.admin("POST", "/accounts", &[], Some(json!({ "renew": account })), 201).await;
    play.admin("DELETE", "/onboardings/{id}", &[("id", &id(&given_up))], None, 204).await;
    play.admin("GET", "/accounts", &[], None, 200).await;
    play.admin("GET", "/accounts/{id}", &[("id", &account)], None, 200).await;
    let room = Some(json!({ "account": account, "room": "builds" }));
    let builds = play.world.admin("POST", "/rooms", room).await.json();
    let portal = Some(json!({ "room": id(&builds), "label": "for the builders" }));
    play.world.admin("POST", "/portals", portal).await;
    play.admin("GET", "/accounts/{id}/impact", &[("id", &account)], None, 200).await;
    play.admin("DELETE", "/accounts/{id}", &[("id", &account)], None, 204).await;
}

async fn rooms_and_tubes(play: &mut Play) {
    let tea = id(&play.admin("POST", "/rooms", &[], Some(json!({ "url": "local:tea-room" })), 201).await);
    let garden = play.world.room("garden").await;
    let library = play.world.room("library").await;
    play.admin("GET", "/rooms", &[("?q", "?q=tea")], None, 200).await;
    play.admin("GET", "/rooms/{id}", &[("id", &tea)], None, 200).await;
    let options = json!({ "author": "both", "system": true });
    play.admin("PATCH", "/rooms/{id}", &[("id", &tea)], Some(options), 200).await;
    let tube = id(&play.admin("POST", "/tubes", &[], Some(json!({ "rooms": [tea, garden] })), 201).await);
    play.admin("GET", "/tubes", &[], None, 200).await;
    play.admin("GET", "/tubes/{id}", &[("id", &tube)], None, 200).await;
    let change = json!({ "side": { "room": tea, "direction": "not-out" } });
    let changed = play.admin("PATCH", "/tubes/{id}", &[("id", &tube)], Some(change), 200).await;
    assert_eq!(changed["sides"].as_array().unwrap().iter().filter(|s| s["direction"] == "not-out").count(), 1);
    let moved = json!({ "from": garden, "to": library });
    let tube = id(&play.admin("POST", "/tubes/{id}/move", &[("id", &tube)], Some(moved), 200).await);
    play.admin("GET", "/map", &[], None, 200).await;
    play.admin("GET", "/rooms/{id}/map", &[("id", &tea)], None, 200).await;
    play.admin("DELETE", "/tubes/{id}", &[("id", &tube)], None, 204).await;
    play.admin("DELETE", "/rooms/{id}", &[("id", &library)], None, 204).await;
}

async fn portals(play: &mut Play) {
    let tea = play.world.room("tea-room").await;
    let eve = play.world.stranger().await;
    let shed = play.world.hook(&eve, "shed").await;
    let pond = play.world.hook(&eve, "pond").await;
    let new =
        json!({ "room": tea, "approval": true, "uses": 5, "expires": "2027-01-01T00:00:00Z", "label": "friends" });
    let made = play.admin("POST", "/portals", &[], Some(new), 201).await;
    let portal = id(&made["portal"]);
    play.admin("GET", "/portals", &[], None, 200).await;
    play.admin("GET", "/portals/{id}", &[("id", &portal)], None, 200).await;
    play.admin("PATCH", "/portals/{id}", &[("id", &portal)], Some(json!({ "uses": null })), 200).await;
    play.admin("POST", "/portals/{id}/rotate", &[("id", &portal)], None, 200).await;
    let shown = play.admin("GET", "/portals/{id}/url", &[("id", &portal)], None, 200).await;
    let token = shown["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    play.step(&eve, "GET", "/invitations/{token}", &[("token", &token)], None, 200).await;
    let accept = "/invitations/{token}/accept";
    let waits = play.step(&eve, "POST", accept, &[("token", &token)], Some(json!({ "room": shed })), 202).await;
    assert_eq!(waits["state"], "waiting");
    let second = play.step(&eve, "POST", accept, &[("token", &token)], Some(json!({ "room": pond })), 202).await;
    play.admin("GET", "/portals/{id}/guests", &[("id", &portal)], None, 200).await;
    let guest = id(&waits["guest"]);
    let approve = "/portals/{id}/guests/{guest}/approve";
    let approved = play.admin("POST", approve, &[("id", &portal), ("guest", &guest)], None, 200).await;
    assert_eq!(approved["state"], "approved");
    let guest = id(&second["guest"]);
    let refuse = "/portals/{id}/guests/{guest}/refuse";
    play.admin("POST", refuse, &[("id", &portal), ("guest", &guest)], None, 200).await;
    let connected = play.step(&eve, "POST", accept, &[("token", &token)], Some(json!({ "room": shed })), 200).await;
    assert_eq!(connected["state"], "connected");
    // Of the other side there is the room's name and where it is, and nothing else.
    let other = connected["tube"]["sides"].as_array().unwrap().iter().find(|side| side["mine"] == false).unwrap();
    assert_eq!(other.as_object().unwrap().keys().collect::<Vec<_>>(), ["mine", "name", "site"]);
    play.admin("DELETE", "/portals/{id}", &[("id", &portal), ("?tubes", "?tubes=true")], None, 200).await;
}

/// A delivery that is refused, and a lane that waits.
async fn trouble(play: &mut Play) {
    let tea = play.world.room("tea-room").await;
    let admin = play.world.admin.clone();
    let hook = play.world.hook(&admin, "general").await;
    let pump = Pump::start(&play.world.engine);
    play.world.tube(&tea, &hook).await;
    let mut failed = Value::Null;
    for _ in 0..200 {
        failed = play.world.admin("GET", "/deliveries", None).await.json()["items"].clone();
        if failed.as_array().is_some_and(|all| !all.is_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pump.stop(Duration::from_secs(1)).await;
    assert_eq!(failed[0]["what"], "notice", "{failed}");
    play.admin("GET", "/deliveries", &[], None, 200).await;
    let delivery = id(&failed[0]);
    play.admin("POST", "/deliveries/{id}/replay", &[("id", &delivery)], None, 200).await;
    play.admin("GET", "/lanes", &[], None, 200).await;
    play.admin("POST", "/lanes/resume", &[], Some(json!({})), 200).await;
    play.admin("POST", "/deliveries/replay", &[], None, 200).await;
}

/// A request that was proven and not understood, and what a newer version left behind.
async fn letters(play: &mut Play) {
    let job = NewJob {
        queue: QueueName::Events,
        group: "room/local/tea-room".to_owned(),
        dedup: None,
        body: br#"{"v": 99, "text": "secretword"}"#.to_vec(),
        attempts: 0,
        maybe: false,
        delay: Duration::ZERO,
    };
    play.world.store.commit(Commit { sends: vec![job], ..Commit::default() }).await.unwrap();
    let pump = Pump::start(&play.world.engine);
    let mut letters = Value::Null;
    for _ in 0..200 {
        letters = play.world.admin("GET", "/letters", None).await.json()["items"].clone();
        if letters.as_array().is_some_and(|all| !all.is_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pump.stop(Duration::from_secs(1)).await;
    let listed = play.admin("GET", "/letters", &[], None, 200).await;
    assert_eq!((&listed["items"][0]["what"], &listed["items"][0]["account"]), (&json!("event"), &json!("local")));
    assert!(!listed.to_string().contains("secretword"));
    let letter = id(&letters[0]);
    // It is as unreadable as before, and stays.
    let refused = play.admin("POST", "/letters/{id}/replay", &[("id", &letter)], None, 409).await;
    play.mask(&refused["request_id"], "7e1f0c5b9a3d2468");
    let reread = play.admin("POST", "/letters/replay", &[], None, 200).await;
    assert_eq!(reread, json!({ "replayed": 0, "kept": 1 }));
    assert_eq!(play.world.admin("GET", "/letters", None).await.json()["items"].as_array().unwrap().len(), 1);
}

async fn events(play: &mut Play) {
    let key = format!("Bearer {}", play.world.admin);
    let headers = [("authorization", key), ("last-event-id", "0".to_owned())];
    let mut reply = play.world.send("GET", "/api/v1/events", &headers, None).await;
    assert_eq!(reply.status.as_u16(), 200);
    assert!(reply.text.contains("event: tube.made"), "{}", reply.text);
    let first: Vec<&str> = reply.text.split_inclusive("\n\n").take(3).collect();
    reply.text = first.concat();
    play.write_down("GET", "/events", None, &reply);
}

/// What of a value is not as a schema says: types, required and known fields, enums.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(path) = schema["$ref"].as_str() {
        return check(document, document.pointer(&path[1..]).unwrap_or(&Value::Null), value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().any(|choice| check(document, choice, value, at).is_ok());
        return if fits { Ok(()) } else { Err(format!("{at}: {value} is none of {choices:?}")) };
    }
    for all in schema["allOf"].as_array().into_iter().flatten() {
        check(document, all, value, at)?;
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let named = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![is],
    };
    if !named.contains(&is) {
        return Err(format!("{at}: {value} is no {named:?}"));
    }
    if let Some(choices) = schema["enum"].as_array().filter(|choices| !choices.contains(value)) {
        return Err(format!("{at}: {value} is none of {choices:?}"));
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], item, &format!("{at}/{n}"))?;
    }
    if let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
        let needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if let Some(name) = needed.into_iter().find(|name| !fields.contains_key(*name)) {
            return Err(format!("{at}: {name} is missing in {value}"));
        }
        for (name, field) in fields {
            let schema = known.get(name).ok_or_else(|| format!("{at}: {name} is not documented"))?;
            check(document, schema, field, &format!("{at}/{name}"))?;
        }
    }
    Ok(())
}

fn holds(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Err(why) = check(document, schema, value, at) {
        panic!("{why}");
    }
}

#[test]
fn secrets_of_the_conversation_are_not_real() {
    let text = include_str!("../examples.json");
    assert!(!text.contains("\"sr_") || text.contains("\"sr_...\""));
    assert!(hook_url("x").contains("whsec_"));
}
