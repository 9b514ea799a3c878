//! A delivery becomes calls of the Web API, and an answer an outcome, or the next call. Nothing here is random: the same
//! delivery makes the same calls at every attempt.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use sameroom_model::{Block, Delivery, Inline, Opened, Outcome, RoomRef, Sent, Text, Timestamp};
use sameroom_text::names;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::api::Api;
use super::errors::{Fault, Reaction, judge};
use super::messages::{NAME_MAX, OURS};
use super::parts::{Part, parts, thread};
use super::settings::REFRESH_TOKEN;
use super::wire::{is_id, is_ts};
use super::{files, rooms, text};
use crate::Turn;
use crate::answers::retry_after;

pub(super) fn render(account: &Opened, delivery: &Delivery) -> Result<Vec<Request<Bytes>>, Outcome> {
    parts(account, delivery)?.iter().map(|part| first(account, delivery, part, &Memo::default())).collect()
}

pub(super) fn settle(
    account: &Opened,
    delivery: &Delivery,
    part: usize,
    memo: &str,
    response: &Response<Bytes>,
    now: Timestamp,
) -> Turn {
    let memo = Memo::read(memo);
    let part = parts(account, delivery).ok().and_then(|parts| parts.into_iter().nth(part));
    if let (Step::Put, Some(Part::File(file, _))) = (memo.step, &part) {
        return next(put(account, delivery, &file.name, &memo, response, now));
    }
    let answer = judge(response, now);
    let Some(part) = part else {
        return answer.map_or_else(Fault::outcome, |_| Outcome::done()).into();
    };
    match answer {
        Ok(answer) => next(went(account, delivery, &part, &memo, &answer)),
        Err(fault) => next(failed(account, delivery, &part, &memo, fault)),
    }
}

/// What was asked, and what was tried before: noted with each further request of a part.
#[derive(Clone, Debug, Default, PartialEq)]
struct Memo {
    step: Step,
    /// Whether the channel was joined for it.
    joined: bool,
    /// Whether its thread is lost, so that it goes to the channel.
    flat: bool,
    /// The file that is under way.
    file: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Step {
    /// The part's own request.
    #[default]
    First,
    /// The channel is being joined.
    Join,
    /// A file's bytes are sent.
    Put,
    /// A file is shared.
    Share,
    /// Asked as which message a file was shared.
    Info,
}

const STEPS: [(&str, Step); 5] =
    [("first", Step::First), ("join", Step::Join), ("put", Step::Put), ("share", Step::Share), ("info", Step::Info)];

impl Memo {
    fn read(memo: &str) -> Self {
        let mut read = Self::default();
        for word in memo.split(' ') {
            match word {
                "joined" => read.joined = true,
                "flat" => read.flat = true,
                word => {
                    if let Some((_, step)) = STEPS.iter().find(|(name, _)| *name == word) {
                        read.step = *step;
                    } else if is_id(word, &['F']) {
                        read.file = Some(word.to_owned());
                    }
                }
            }
        }
        read
    }

    fn at(&self, step: Step) -> Self {
        Self { step, ..self.clone() }
    }

    fn write(&self) -> String {
        let mut words: Vec<&str> = STEPS.iter().filter(|(_, step)| *step == self.step).map(|(name, _)| *name).collect();
        words.extend(self.joined.then_some("joined"));
        words.extend(self.flat.then_some("flat"));
        words.extend(self.file.as_deref());
        words.join(" ")
    }
}

/// A further request with its memo, or the end. An error is an end, too.
type Next = Result<(Request<Bytes>, Memo), Turn>;

fn next(next: Next) -> Turn {
    match next {
        Ok((request, memo)) => Turn::Then { request: Box::new(request), memo: memo.write() },
        Err(turn) => turn,
    }
}

fn over(outcome: Outcome) -> Next {
    Err(Turn::Over(outcome))
}

/// The first request of a part.
fn first(account: &Opened, delivery: &Delivery, part: &Part<'_>, memo: &Memo) -> Result<Request<Bytes>, Outcome> {
    let api = Api::of(account)?;
    let channel = delivery.lane.to.key.as_str();
    match part {
        Part::Say(words) => {
            let mut body = message(delivery, words);
            if let Some(author) = delivery.author.as_ref() {
                let shown = names::clean(&delivery.shown, NAME_MAX);
                body["username"] = if shown.is_empty() { names::clean(&author.name, NAME_MAX) } else { shown }.into();
                if let Some(avatar) = author.avatar.as_deref().filter(|url| url.starts_with("https://")) {
                    body["icon_url"] = avatar.into();
                }
            }
            if let Some(root) = thread(delivery).filter(|_| !memo.flat) {
                body["thread_ts"] = root.into();
                body["reply_broadcast"] = false.into();
            }
            body["unfurl_links"] = false.into();
            body["unfurl_media"] = true.into();
            api.json("chat.postMessage", &body)
        }
        Part::Update(key, words) => {
            let mut body = message(delivery, words);
            body["ts"] = (*key).into();
            api.json("chat.update", &body)
        }
        Part::Delete(key) => api.json("chat.delete", &json!({ "channel": channel, "ts": key })),
        Part::React(key, name, on) => {
            let method = if *on { "reactions.add" } else { "reactions.remove" };
            api.json(method, &json!({ "channel": channel, "timestamp": key, "name": name }))
        }
        Part::File(file, content) => files::place(account, file, content.len()),
    }
}

/// What posts and edits share. Nothing in the text is looked for again: neither names nor links.
fn message(delivery: &Delivery, words: &str) -> Value {
    let origin = opaque(&delivery.lane.from);
    json!({
        "channel": delivery.lane.to.key.as_str(),
        "text": words,
        "parse": "none",
        "link_names": false,
        "metadata": { "event_type": OURS, "event_payload": { "origin": origin, "id": delivery.id.as_str() } },
    })
}

/// A request was answered with yes.
fn went(account: &Opened, delivery: &Delivery, part: &Part<'_>, memo: &Memo, answer: &Value) -> Next {
    let channel = delivery.lane.to.key.as_str();
    let keyed = |ts: Option<&str>| {
        over(Outcome::Done { keys: ts.filter(|ts| is_ts(ts)).map(Into::into).into_iter().collect() })
    };
    match (memo.step, part) {
        (Step::Join, part) => again(account, delivery, part, &Memo { joined: true, ..memo.clone() }),
        (Step::First, Part::File(_, content)) => {
            let (request, id) = files::put(account, answer, content).map_err(Turn::Over)?;
            Ok((request, Memo { step: Step::Put, file: Some(id), ..memo.clone() }))
        }
        (Step::Share, Part::File(..)) => match (files::shared(answer, channel), &memo.file) {
            (None, Some(id)) => Ok((files::info(account, id).map_err(Turn::Over)?, memo.at(Step::Info))),
            (ts, _) => keyed(ts.as_deref()),
        },
        (Step::Info, _) => keyed(files::shared(answer, channel).as_deref()),
        (_, Part::Say(_)) => keyed(answer.get("ts").and_then(Value::as_str)),
        _ => over(Outcome::done()),
    }
}

/// A file's bytes were answered: by a status, and some words that nobody has to understand.
fn put(
    account: &Opened,
    delivery: &Delivery,
    title: &str,
    memo: &Memo,
    response: &Response<Bytes>,
    now: Timestamp,
) -> Next {
    let status = response.status();
    if !status.is_success() {
        let after = retry_after(response.headers(), now);
        let why = format!("Slack answered {status} to a file's bytes");
        return over(Outcome::Retry { after, why, sent: Sent::No });
    }
    share(account, delivery, title, memo)
}

fn share(account: &Opened, delivery: &Delivery, title: &str, memo: &Memo) -> Next {
    let Some(id) = &memo.file else { return over(Outcome::retry("a file's id got lost")) };
    let root = thread(delivery).filter(|_| !memo.flat);
    let request = files::share(account, delivery.lane.to.key.as_str(), root, id, title, &comment(delivery));
    Ok((request.map_err(Turn::Over)?, memo.at(Step::Share)))
}

/// Who sent a file: it is shared as the bot, whatever its author.
fn comment(delivery: &Delivery) -> String {
    let shown = names::clean(&delivery.shown, NAME_MAX);
    if delivery.author.is_none() || shown.is_empty() {
        return String::new();
    }
    let name = Inline::Strong(vec![Inline::Text(shown)]);
    text::write(&Text { blocks: vec![Block::Paragraph(vec![name])] }, false).concat()
}

/// The request that a part was at, once more.
fn again(account: &Opened, delivery: &Delivery, part: &Part<'_>, memo: &Memo) -> Next {
    if let (Part::File(file, _), Some(_)) = (part, &memo.file) {
        return share(account, delivery, &file.name, memo);
    }
    let memo = memo.at(Step::First);
    Ok((first(account, delivery, part, &memo).map_err(Turn::Over)?, memo))
}

/// A request was answered with no.
fn failed(account: &Opened, delivery: &Delivery, part: &Part<'_>, memo: &Memo, fault: Fault) -> Next {
    let wants = |reaction| fault.reaction == reaction;
    if memo.step == Step::Info {
        // The file is there; only its key is not known.
        return over(Outcome::done());
    }
    if memo.step == Step::Join {
        return match fault.reaction {
            Reaction::Retry | Reaction::Doubt | Reaction::Login | Reaction::Scope => over(fault.outcome()),
            _ => over(Outcome::room_closed(
                "The bot is not in the channel, and can't join it by itself: type /invite and its name there.",
            )),
        };
    }
    if wants(Reaction::Renew) && account.secrets.get(REFRESH_TOKEN).is_some_and(|token| !token.is_empty()) {
        return Err(Turn::Renew(fault.outcome()));
    }
    if wants(Reaction::Join) && !memo.joined {
        let request = rooms::join(account, &delivery.lane.to.key).map_err(Turn::Over)?;
        return Ok((request, memo.at(Step::Join)));
    }
    // Of a message in no thread, these say that the channel takes none.
    if wants(Reaction::Thread) && !memo.flat && thread(delivery).is_some() {
        return again(account, delivery, part, &Memo { flat: true, ..memo.clone() });
    }
    match part {
        // Deleted is deleted, and what is deleted has no reactions.
        Part::Delete(_) | Part::React(_, _, false) if wants(Reaction::Gone) => over(Outcome::done()),
        _ => over(fault.outcome()),
    }
}

/// A name for a room that tells nothing of its key, which may be all that it takes to enter it.
fn opaque(room: &RoomRef) -> String {
    let digest =
        Sha256::new_with_prefix(room.account.as_str()).chain_update([0]).chain_update(room.key.as_str()).finalize();
    URL_SAFE_NO_PAD.encode(&digest[..12])
}
