//! The bytes of files: where they are uploaded to and downloaded from.

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::Shared;
use super::ledger::Call;
use super::model::State;
use super::moods::Mood;
use super::server::{Answer, header, multipart};

const LOGIN: &str = "<!DOCTYPE html><html><head><title>Sign in | Slack</title></head><body>Sign in</body></html>";

/// Answers a request for a path, and notes what is odd in it.
type Serve = fn(&mut State, &str, &HeaderMap, &[u8], &mut Vec<String>) -> Answer;

/// A request for anything that is neither the Web API nor the page of OAuth.
pub(super) async fn serve(shared: &Shared, verb: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
    let (name, run): (_, Serve) = match path {
        _ if path.starts_with("/upload/v1/") && verb == Method::POST => ("upload", upload),
        _ if path.starts_with("/files-pri/") && verb == Method::GET => ("download", download),
        _ if path.starts_with("/avatars/") => return Answer::new(200, "image/png", PIXEL),
        _ => return public(shared, path),
    };
    let mood = shared.with(|state| state.moods.next(name));
    let mut odd = Vec::new();
    let mut answer = match &mood {
        Mood::Busy(seconds) => Answer::new(429, "text/plain", "").with("retry-after", seconds.to_string()),
        Mood::Fails(_) => Answer::new(500, "text/plain", "error"),
        Mood::Status(status) => Answer::new(*status, "text/plain", ""),
        Mood::CutBefore => Answer::cut(),
        Mood::Well | Mood::Slow(_) | Mood::CutAfter => shared.with(|state| run(state, path, headers, body, &mut odd)),
    };
    if let Mood::Slow(time) = mood {
        tokio::time::sleep(time).await;
    } else if mood == Mood::CutAfter {
        answer.status = 0;
    }
    shared.with(|state| {
        let token = header(headers, "authorization").strip_prefix("Bearer ").map(str::to_owned);
        let (args, status) = (json!({ "path": path, "bytes": body.len() }), answer.status);
        let (at, method, answer) = (state.now, name.to_owned(), Value::Null);
        state.ledger.calls.push(Call { at, method, token, args, status, answer, odd });
    });
    answer
}

/// Takes raw bytes, or the first part of a multipart body. No token belongs here.
fn upload(state: &mut State, path: &str, headers: &HeaderMap, body: &[u8], odd: &mut Vec<String>) -> Answer {
    if headers.contains_key("authorization") {
        odd.push("a token sent to an upload URL".into());
    }
    let secret = path.trim_start_matches("/upload/v1/");
    let Some(id) = state.uploads.get(secret).cloned() else {
        return Answer::new(404, "text/plain", "no such upload");
    };
    let kind = header(headers, "content-type");
    let bytes = if kind.starts_with("multipart/form-data") {
        match multipart(&kind, body).and_then(|parts| parts.into_iter().next()) {
            Some((_, bytes)) => bytes,
            None => return Answer::new(400, "text/plain", "bad multipart body"),
        }
    } else {
        body.to_vec()
    };
    let file = state.files.get_mut(&id).expect("made with its upload URL");
    if bytes.len() != file.length {
        let why = format!("{} bytes came, {} were announced", bytes.len(), file.length);
        return Answer::new(400, "text/plain", why);
    }
    let said = format!("OK - {}", bytes.len());
    file.bytes = Some(bytes);
    Answer::new(200, "text/plain; charset=utf-8", said)
}

/// Gives a file to whoever may see it; everybody else gets the page to log in at, with status 200.
fn download(state: &mut State, path: &str, headers: &HeaderMap, _: &[u8], _: &mut Vec<String>) -> Answer {
    let login = || Answer::new(200, "text/html; charset=utf-8", LOGIN);
    let place = path.trim_start_matches("/files-pri/").split('/').next().unwrap_or_default();
    let Some(file) = place.split_once('-').and_then(|(_, id)| state.files.get(id)) else {
        return Answer::new(404, "text/html; charset=utf-8", "<title>Slack</title>");
    };
    let written = header(headers, "authorization");
    let Some(token) = written.strip_prefix("Bearer ").and_then(|bearer| state.tokens.get(bearer)) else {
        return login();
    };
    let live = token.dead.is_none() && token.expires.is_none_or(|at| at > state.now);
    let scoped = token.scopes.iter().any(|scope| scope == "files:read");
    match &file.bytes {
        Some(bytes) if live && scoped && state.may_see(file, &token.team, &token.user) => {
            Answer::new(200, &file.mime, bytes.clone())
        }
        _ => login(),
    }
}

/// A file that was made public, by its secret.
fn public(shared: &Shared, path: &str) -> Answer {
    shared.with(|state| {
        let mut parts = path.trim_start_matches('/').splitn(3, '-').skip(1);
        let file = parts.next().and_then(|id| state.files.get(id));
        let secret = parts.next().unwrap_or_default();
        match file.filter(|file| file.public_secret.is_some() && file.secret == secret) {
            Some(file) => Answer::new(200, "text/html; charset=utf-8", format!("<title>{}</title>", file.title)),
            None => Answer::new(404, "text/html; charset=utf-8", "<title>Slack</title>"),
        }
    })
}

/// A picture of one pixel, for avatars: PNG.
const PIXEL: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0cIDATx\xdac\xd0\xdbV\x0b\x00\x02w\x01b\x9bx\x9e\x1f\x00\x00\x00\x00IEND\xaeB`\x82";
