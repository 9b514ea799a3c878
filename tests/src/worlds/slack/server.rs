//! The world's HTTP: which address is what, how a body is read, what is written into the ledger, and how connections are
//! cut. What a method does is not known here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method as Verb, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::call::{Call, Done, METHODS, Refusal, bad, no};
use super::ledger;
use super::methods::oauth;
use super::moods::Mood;
use super::{Shared, files, socket};

/// What is answered.
pub(super) struct Answer {
    /// 0: the connection is cut instead.
    pub status: u16,
    pub kind: String,
    pub body: Bytes,
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub fn new(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self { status, kind: kind.to_owned(), body: body.into(), headers: Vec::new() }
    }

    pub fn json(value: &Value) -> Self {
        Self::new(200, "application/json; charset=utf-8", value.to_string())
    }

    pub fn cut() -> Self {
        Self::new(0, "", "")
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Serves one connection, until it is cut: then the peer sees a reset.
pub(super) async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let linger = Some(std::time::Duration::ZERO);
    let raw = socket2::SockRef::from(&stream).try_clone();
    stream.set_nodelay(true).unwrap();
    let (cut, mut cut_this) = watch::channel(());
    let service = service_fn(move |request| answer(shared.clone(), cut.clone(), request));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = served.with_upgrades() => {}
        Ok(()) = cut_this.changed() => {
            if let Ok(raw) = raw { raw.set_linger(linger).unwrap() }
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    cut: watch::Sender<()>,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/link/" {
        return Ok(link(&shared, &mut request));
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(Response::default()) };
    let (path, query) = (parts.uri.path().to_owned(), pairs(parts.uri.query().unwrap_or_default().as_bytes()));
    let answer = match path.strip_prefix("/api/") {
        Some(method) => api(&shared, &parts.method, method, &parts.headers, query, &body.to_bytes()).await,
        None if path == "/oauth/v2/authorize" => authorize(&shared, &query),
        None => files::serve(&shared, &parts.method, &path, &parts.headers, &body.to_bytes()).await,
    };
    if answer.status == 0 {
        cut.send_replace(());
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(answer.status).header("content-type", answer.kind);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(answer.body)).unwrap())
}

async fn api(
    shared: &Arc<Shared>,
    verb: &Verb,
    name: &str,
    headers: &HeaderMap,
    query: Vec<(String, String)>,
    body: &[u8],
) -> Answer {
    let mood = shared.with(|state| state.moods.next(name));
    let came = read(verb, headers, query, body);
    let token = came.bearer.clone();
    let args = Value::from(came.args.as_ref().cloned().unwrap_or_default());
    let mut call =
        ledger::Call { at: 0, method: name.into(), token, args, status: 0, answer: Value::Null, odd: Vec::new() };
    let answer = match &mood {
        Mood::Busy(seconds) => {
            call.answer = json!({ "ok": false, "error": "ratelimited" });
            let mut answer = Answer::json(&call.answer).with("retry-after", seconds.to_string());
            answer.status = 429;
            answer
        }
        Mood::Fails(error) => {
            call.answer = json!({ "ok": false, "error": error });
            Answer::json(&call.answer)
        }
        Mood::Status(status) => Answer::new(*status, "text/plain", ""),
        Mood::CutBefore => Answer::cut(),
        Mood::Well | Mood::Slow(_) | Mood::CutAfter => return done(shared, verb, name, came, call, mood).await,
    };
    call.status = answer.status;
    shared.with(|state| {
        call.at = state.now;
        state.ledger.calls.push(call);
    });
    answer
}

/// Does a call, and tells what comes of it.
async fn done(
    shared: &Arc<Shared>,
    verb: &Verb,
    name: &str,
    came: Came,
    mut record: ledger::Call,
    mood: Mood,
) -> Answer {
    let status = if mood == Mood::CutAfter { 0 } else { 200 };
    let (value, scopes, later, wait) = shared.with(|state| {
        let echo_first = state.moods.echo_first;
        let Came { args, bearer, basic, json, odd, warnings } = came;
        let mut call = Call {
            state,
            args: Map::new(),
            json,
            token: None,
            bearer,
            basic,
            warnings,
            messages: Vec::new(),
            odd,
            later: Vec::new(),
        };
        let result = run(&mut call, verb, name, args);
        let mut value = match result {
            Ok(value) => value,
            Err(refusal) => {
                let mut value = refusal.more;
                value["error"] = json!(refusal.error);
                value
            }
        };
        value["ok"] = json!(value.get("error").is_none());
        if let Some(first) = call.warnings.first() {
            value["warning"] = json!(first);
            value["response_metadata"]["warnings"] = json!(call.warnings);
        }
        if !call.messages.is_empty() {
            value["response_metadata"]["messages"] = json!(call.messages);
        }
        record.odd = std::mem::take(&mut call.odd);
        let later = std::mem::take(&mut call.later);
        let scopes = call.token.as_ref().map(|token| token.scopes.join(","));
        (record.at, record.status, record.answer) = (call.state.now, status, value.clone());
        let state = call.state;
        state.ledger.calls.push(record);
        (value, scopes, later, echo_first)
    });
    for (after, later) in later {
        let shared = shared.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            shared.with(|state| state.does(later));
        });
    }
    if wait {
        let sent = shared.look(|state| state.pushes.sent);
        shared.wait(|state| (state.pushes.done >= sent).then_some(())).await;
    }
    if let Mood::Slow(time) = mood {
        tokio::time::sleep(time).await;
    }
    let mut answer = Answer::json(&value);
    answer.status = status;
    match scopes {
        Some(scopes) => answer.with("x-oauth-scopes", scopes),
        None => answer,
    }
}

fn run(call: &mut Call<'_>, verb: &Verb, name: &str, args: Result<Map<String, Value>, &'static str>) -> Done {
    let Some(method) = METHODS.iter().find(|method| method.name == name) else {
        return Err(Refusal { error: "unknown_method".into(), more: json!({ "req_method": name }) });
    };
    let args = match args {
        Ok(args) => args,
        Err(error) => return no(error),
    };
    if call.json && args.contains_key("token") {
        call.odd.push("a token in a body of JSON".into());
    }
    call.args = args;
    call.authenticate(method.takes)?;
    call.check_names(method);
    if verb == Verb::GET && !method.reads {
        return bad("this method is called with POST");
    }
    // Slack leaves such a body unread, so that a list comes unfiltered and a user is not found. Here nobody overlooks it.
    if call.json && !method.json && !call.args.is_empty() {
        return bad(&format!("{name} does not read JSON; send a form"));
    }
    (method.run)(call)
}

/// A request as it was written.
struct Came {
    args: Result<Map<String, Value>, &'static str>,
    bearer: Option<String>,
    basic: Option<(String, String)>,
    json: bool,
    odd: Vec<String>,
    warnings: Vec<&'static str>,
}

fn read(verb: &Verb, headers: &HeaderMap, query: Vec<(String, String)>, body: &[u8]) -> Came {
    let mut came =
        Came { args: Ok(Map::new()), bearer: None, basic: None, json: false, odd: vec![], warnings: Vec::new() };
    let kind = header(headers, "content-type");
    let (essence, charset) = (kind.split(';').next().unwrap_or_default().trim(), kind.contains("charset"));
    let form = |list: Vec<(String, String)>| -> Map<String, Value> {
        list.into_iter().map(|(name, value)| (name, value.into())).collect()
    };
    came.args = match essence {
        _ if verb == Verb::GET => Ok(form(query.clone())),
        _ if verb != Verb::POST => Err("method_not_allowed"),
        "application/json" => {
            came.json = true;
            if !charset {
                came.warnings.push("missing_charset");
            }
            match serde_json::from_slice(body) {
                // Clients that have nothing to say say it so.
                _ if body.is_empty() => Ok(Map::new()),
                Ok(Value::Object(map)) => Ok(map),
                Ok(_) => Err("json_not_object"),
                Err(_) => Err("invalid_json"),
            }
        }
        "application/x-www-form-urlencoded" => {
            if charset {
                came.warnings.push("superfluous_charset");
            }
            Ok(form(pairs(body)))
        }
        "multipart/form-data" => multipart(&kind, body).map_or(Err("invalid_form_data"), |parts| {
            let text = |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into());
            Ok(parts.into_iter().map(text).collect())
        }),
        "" if body.is_empty() => Ok(Map::new()),
        "" => Err("missing_post_type"),
        _ => Err("invalid_post_type"),
    };
    if verb == Verb::POST && !query.is_empty() {
        came.odd.push("arguments in the query of a POST".into());
        if let Ok(args) = &mut came.args {
            args.extend(form(query));
        }
    }
    let authorization = header(headers, "authorization");
    if let Some(bearer) = authorization.strip_prefix("Bearer ") {
        came.bearer = Some(bearer.trim().to_owned());
    } else if let Some(basic) = authorization.strip_prefix("Basic ") {
        let text = STANDARD.decode(basic.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        came.basic = text.and_then(|text| text.split_once(':').map(|(id, secret)| (id.into(), secret.into())));
    } else if let Ok(args) = &came.args
        && !came.json
        && verb == Verb::POST
    {
        came.bearer = args.get("token").and_then(Value::as_str).map(str::to_owned);
    }
    came
}

/// The page of OAuth: a redirect, where somebody has made up their mind; else a page that waits.
fn authorize(shared: &Shared, query: &[(String, String)]) -> Answer {
    let query: BTreeMap<String, String> = query.iter().cloned().collect();
    shared.with(|state| {
        let Some((team, consent)) = state.consents.pop_front().map(|consent| (shared.home.clone(), consent)) else {
            return Answer::new(200, "text/html; charset=utf-8", "<title>Slack</title><p>Allow or cancel?");
        };
        match oauth::authorize(state, &team, &query, &consent) {
            Ok(target) => Answer::new(302, "text/html", "").with("location", target),
            Err(why) => Answer::new(200, "text/html; charset=utf-8", format!("<title>Slack</title><p>{why}")),
        }
    })
}

/// Begins a WebSocket of Socket Mode, for whoever has a fresh ticket.
fn link(shared: &Arc<Shared>, request: &mut Request<Incoming>) -> Response<Full<Bytes>> {
    let query = pairs(request.uri().query().unwrap_or_default().as_bytes());
    let ticket = query.iter().find(|(name, _)| name == "ticket").map(|(_, ticket)| ticket.clone());
    let app = ticket.and_then(|ticket| shared.with(|state| state.tickets.remove(&ticket)));
    let key = header(request.headers(), "sec-websocket-key");
    let (Some(app), false) = (app, key.is_empty()) else {
        return Response::builder().status(StatusCode::FORBIDDEN).body(Full::default()).unwrap();
    };
    tokio::spawn(socket::serve(shared.clone(), app, hyper::upgrade::on(request)));
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", derive_accept_key(key.as_bytes()))
        .body(Full::default())
        .unwrap()
}

/// The parts of a multipart body: name and content.
pub(super) fn multipart(kind: &str, body: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let boundary = kind.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?.trim_matches('"');
    let mark = format!("--{boundary}");
    let find = |from: usize, what: &[u8]| {
        body[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let mut parts = Vec::new();
    let mut at = find(0, mark.as_bytes())? + mark.len();
    while !body[at..].starts_with(b"--") {
        let head_end = find(at, b"\r\n\r\n")?;
        let next = find(head_end, format!("\r\n{mark}").as_bytes())?;
        let head = String::from_utf8_lossy(&body[at..head_end]);
        let name = head.split("name=\"").nth(1)?.split('"').next()?.to_owned();
        parts.push((name, body[head_end + 4..next].to_vec()));
        at = next + 2 + mark.len();
    }
    Some(parts)
}

pub(super) fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}
