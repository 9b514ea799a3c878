//! Files: read with the bot's token, and nowhere but at Slack; sent in three steps
//! (<https://docs.slack.dev/messaging/working-with-files>). Must not know what became of them.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use sameroom_model::{Access, Attachment, Opened, Outcome, Sent, Timestamp};
use serde_json::{Value, json};
use url::Url;

use super::api::{Api, secret};
use super::settings::TOKEN;
use crate::answers::retry_after;

/// The request for a file's bytes, where it lies at Slack.
pub(super) fn download(account: &Opened, file: &Attachment) -> Option<Request<Bytes>> {
    let url = Url::parse(&file.url).ok()?;
    if file.access != Access::Account || !is_slacks(account, &url) {
        return None;
    }
    let token = account.secrets.get(TOKEN).filter(|token| !token.is_empty())?;
    Request::get(url.as_str()).header(AUTHORIZATION, secret(&format!("Bearer {token}"))?).body(Bytes::new()).ok()
}

pub(super) fn downloaded(file: &Attachment, response: Response<Bytes>) -> Result<Bytes, Outcome> {
    let status = response.status();
    // A date has nothing to be compared with here, and counts as passed.
    let after = retry_after(response.headers(), Timestamp::MAX);
    let why = format!("Slack answered {status} for a file");
    match status.as_u16() {
        200..=299 => {}
        408 | 429 | 500..=599 => return Err(Outcome::Retry { after, why, sent: Sent::No }),
        300..=399 | 401 | 403 => return Err(Outcome::refused(NO_ACCESS)),
        _ => return Err(Outcome::refused(why)),
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let page = |kind: &str| kind.trim_start().to_ascii_lowercase().starts_with("text/html");
    if page(kind) && !file.mime.as_deref().is_some_and(page) {
        return Err(Outcome::refused(NO_ACCESS));
    }
    Ok(response.into_body())
}

const NO_ACCESS: &str = "Slack shows a login page instead of the file: the app needs the scope files:read, and has to \
     be installed again after it was added";

/// Whether the token may be shown there.
pub(super) fn is_slacks(account: &Opened, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    if url.scheme() == "https" && url.port().is_none() && (host == "slack.com" || host.ends_with(".slack.com")) {
        return url.username().is_empty() && url.password().is_none();
    }
    Url::parse(&account.account.endpoint).is_ok_and(|own| own.origin() == url.origin() && own.host_str().is_some())
}

/// The first step: asks where to put a file.
pub(super) fn place(account: &Opened, file: &Attachment, length: usize) -> Result<Request<Bytes>, Outcome> {
    let length = length.to_string();
    Api::of(account)?.form("files.getUploadURLExternal", &[("filename", &file.name), ("length", &length)])
}

/// The second step: the bytes, without the token. Answers with the file's id, too.
pub(super) fn put(account: &Opened, answer: &Value, content: &Bytes) -> Result<(Request<Bytes>, String), Outcome> {
    let odd = || Outcome::retry("Slack did not say where to put the file");
    let id =
        answer.get("file_id").and_then(Value::as_str).filter(|id| super::wire::is_id(id, &['F'])).ok_or_else(odd)?;
    let url = answer.get("upload_url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok()).ok_or_else(odd)?;
    if !is_slacks(account, &url) {
        return Err(Outcome::refused("Slack named an address for the file that is not its own"));
    }
    let request = Request::post(url.as_str())
        .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
        .body(content.clone())
        .map_err(|_| odd())?;
    Ok((request, id.to_owned()))
}

/// The third step: shares the file in a channel.
pub(super) fn share(
    account: &Opened,
    channel: &str,
    thread: Option<&str>,
    id: &str,
    title: &str,
    comment: &str,
) -> Result<Request<Bytes>, Outcome> {
    let files = json!([{ "id": id, "title": title }]).to_string();
    let mut fields = vec![("files", files.as_str()), ("channel_id", channel)];
    fields.extend(thread.map(|thread| ("thread_ts", thread)));
    if !comment.is_empty() {
        fields.push(("initial_comment", comment));
    }
    Api::of(account)?.form("files.completeUploadExternal", &fields)
}

/// Asks as which message a file was shared, which happens by itself after the third step.
pub(super) fn info(account: &Opened, id: &str) -> Result<Request<Bytes>, Outcome> {
    Api::of(account)?.form("files.info", &[("file", id)])
}

/// The message as which a file was shared, if that is known by now.
pub(super) fn shared(answer: &Value, channel: &str) -> Option<String> {
    let file = answer.get("file").or_else(|| answer.get("files")?.get(0))?;
    let shares = file.get("shares")?;
    let found = ["public", "private"].into_iter().find_map(|kind| shares.get(kind)?.get(channel)?.get(0)?.get("ts"))?;
    found.as_str().filter(|ts| super::wire::is_ts(ts)).map(str::to_owned)
}
