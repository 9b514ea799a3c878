//! One call of the Web API: its arguments, read as strictly as Slack reads them, the token it came with, and the list of
//! methods. It knows nothing of HTTP but what a body was written in.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::methods::{chat, conversations, files, oauth, people, reactions};
use super::model::{Channel, Holder, Id, Kind, State, Token};

/// What a method gives: the fields of its answer, `ok` left out.
pub(super) type Done = Result<Value, Refusal>;

/// `ok:false`: an error, and what goes with it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub error: String,
    pub more: Value,
}

/// Something that happens after the answer.
pub(super) enum Later {
    Share { files: Vec<Id>, channels: Vec<Id>, thread: Option<String>, comment: String, user: Id },
}

/// A call that is being done.
pub(super) struct Call<'a> {
    pub state: &'a mut State,
    pub args: Map<String, Value>,
    /// Whether the arguments came as JSON.
    pub json: bool,
    pub token: Option<Token>,
    /// The token as it was written.
    pub bearer: Option<String>,
    /// From HTTP Basic.
    pub basic: Option<(String, String)>,
    pub warnings: Vec<&'static str>,
    pub messages: Vec<String>,
    pub odd: Vec<String>,
    pub later: Vec<(Duration, Later)>,
}

/// Whose tokens a method takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// None is needed.
    Nobody,
    /// A bot's or a person's.
    Anybody,
    /// Only a person's.
    Person,
    /// Only an app-level one.
    App,
}

pub(super) struct Method {
    pub name: &'static str,
    pub run: fn(&mut Call<'_>) -> Done,
    pub takes: Takes,
    /// Whether it reads a body of JSON.
    pub json: bool,
    /// Whether it only reads, so that it may be called with GET.
    pub reads: bool,
    /// Its arguments.
    pub args: &'static str,
}

const fn reads(name: &'static str, run: fn(&mut Call<'_>) -> Done, args: &'static str) -> Method {
    Method { name, run, takes: Takes::Anybody, json: false, reads: true, args }
}

const fn writes(name: &'static str, run: fn(&mut Call<'_>) -> Done, args: &'static str) -> Method {
    Method { name, run, takes: Takes::Anybody, json: true, reads: false, args }
}

const POST: &str = "channel text username icon_url icon_emoji thread_ts reply_broadcast unfurl_links unfurl_media \
                    link_names parse metadata mrkdwn blocks attachments as_user client_msg_id";

/// Every method there is. Which of them read JSON: <https://docs.slack.dev/apis/web-api>, "Methods supporting JSON".
#[rustfmt::skip]
pub(super) const METHODS: &[Method] = &[
    Method { takes: Takes::Nobody, json: true, ..reads("api.test", oauth::api_test, "error foo") },
    Method { takes: Takes::Nobody, json: false, ..writes("oauth.v2.access", oauth::access,
        "client_id client_secret code redirect_uri grant_type refresh_token") },
    Method { json: true, ..reads("auth.test", oauth::test, "") },
    reads("auth.revoke", oauth::revoke, "test"),
    reads("apps.uninstall", oauth::uninstall, "client_id client_secret"),
    Method { takes: Takes::App, ..writes("apps.connections.open", oauth::open, "") },
    reads("conversations.list", conversations::list, "types exclude_archived limit cursor team_id"),
    reads("users.conversations", conversations::mine, "types exclude_archived limit cursor team_id user"),
    reads("conversations.info", conversations::info, "channel include_num_members include_locale"),
    reads("conversations.members", conversations::members, "channel limit cursor"),
    reads("conversations.history", conversations::history,
        "channel oldest latest inclusive limit cursor include_all_metadata"),
    reads("conversations.replies", conversations::replies,
        "channel ts oldest latest inclusive limit cursor include_all_metadata"),
    writes("conversations.join", conversations::join, "channel"),
    reads("users.info", people::info, "user include_locale"),
    reads("users.list", people::list, "limit cursor team_id include_locale"),
    reads("bots.info", people::bot, "bot team_id"),
    reads("usergroups.list", people::groups, "include_count include_disabled include_users team_id"),
    reads("emoji.list", people::emoji, "include_categories"),
    reads("team.info", people::team, "team domain"),
    writes("chat.postMessage", chat::post, POST),
    writes("chat.meMessage", chat::me, "channel text"),
    writes("chat.update", chat::update,
        "channel ts text parse link_names metadata blocks attachments reply_broadcast file_ids as_user"),
    writes("chat.delete", chat::delete, "channel ts as_user"),
    writes("chat.postEphemeral", chat::whisper,
        "channel user text username icon_url icon_emoji thread_ts link_names parse blocks attachments as_user"),
    reads("chat.getPermalink", chat::permalink, "channel message_ts"),
    writes("reactions.add", reactions::add, "channel timestamp name"),
    writes("reactions.remove", reactions::remove, "channel timestamp name file file_comment"),
    Method { reads: true, json: false, ..writes("files.getUploadURLExternal", files::address,
        "filename length alt_txt snippet_type") },
    writes("files.completeUploadExternal", files::complete,
        "files channel_id channels thread_ts initial_comment blocks"),
    reads("files.info", files::info, "file count cursor limit page"),
    Method { takes: Takes::Person, ..writes("files.sharedPublicURL", files::public, "file") },
];

/// Refuses with that error.
pub(super) fn no<T>(error: &str) -> Result<T, Refusal> {
    Err(Refusal { error: error.to_owned(), more: json!({}) })
}

/// Refuses arguments, and says which.
pub(super) fn bad<T>(why: &str) -> Result<T, Refusal> {
    let more = json!({ "response_metadata": { "messages": [format!("[ERROR] {why}")] } });
    Err(Refusal { error: "invalid_arguments".into(), more })
}

impl Call<'_> {
    /// The token; whoever asks is a method that needs one.
    pub fn token(&self) -> &Token {
        self.token.as_ref().expect("this method takes a token")
    }

    pub fn team(&self) -> Id {
        self.token().team.clone()
    }

    pub fn user(&self) -> Id {
        self.token().user.clone()
    }

    pub fn may(&self, scope: &str) -> bool {
        self.token().scopes.iter().any(|had| had == scope)
    }

    pub fn scope(&self, needed: &str) -> Result<(), Refusal> {
        if self.may(needed) {
            return Ok(());
        }
        let more = json!({ "needed": needed, "provided": self.token().scopes.join(",") });
        Err(Refusal { error: "missing_scope".into(), more })
    }

    /// A string, where it was given.
    pub fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        match self.args.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => bad(&format!("must provide a string [json-pointer:/{name}]")),
        }
    }

    /// A string that must be there.
    pub fn need(&self, name: &str) -> Result<String, Refusal> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => bad(&format!("missing required field: {name}")),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.args.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) => match text.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" | "" => Ok(false),
                _ => bad(&format!("must be a boolean [json-pointer:/{name}]")),
            },
            Some(_) => bad(&format!("must be a boolean [json-pointer:/{name}]")),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.args.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) if number.is_i64() => Ok(number.as_i64()),
            Some(Value::String(text)) if text.parse::<i64>().is_ok() => Ok(text.parse().ok()),
            Some(_) => bad(&format!("must be a valid number [json-pointer:/{name}]")),
        }
    }

    /// An array or object: itself in JSON, written as JSON in a string elsewhere.
    pub fn object(&self, name: &str) -> Result<Value, Refusal> {
        match self.args.get(name) {
            None | Some(Value::Null) => Ok(Value::Null),
            Some(Value::String(text)) if text.is_empty() => Ok(Value::Null),
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(value @ (Value::Array(_) | Value::Object(_))) => Ok(value),
                _ => bad(&format!("must be JSON [json-pointer:/{name}]")),
            },
            Some(value @ (Value::Array(_) | Value::Object(_))) => Ok(value.clone()),
            Some(_) => bad(&format!("must be an array or object [json-pointer:/{name}]")),
        }
    }

    /// The `channel` argument: an id of a channel that the caller can see. Names are refused, since they change.
    pub fn channel(&self, name: &str) -> Result<&Channel, Refusal> {
        let id = self.need(name)?;
        self.visible(&id)
    }

    pub fn visible(&self, id: &str) -> Result<&Channel, Refusal> {
        let (team, user) = (&self.token().team, &self.token().user);
        let seen = |channel: &&Channel| channel.seen_by(team) && (channel.kind == Kind::Public || channel.has(user));
        match self.state.channels.get(id).filter(seen) {
            Some(channel) => Ok(channel),
            None => no("channel_not_found"),
        }
    }

    /// One page of a list: `limit` and `cursor` in, `next_cursor` out. `key` names an item for the cursor.
    pub fn page(&self, all: Vec<(String, Value)>, most: i64) -> Result<(Vec<Value>, String), Refusal> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let limit = match self.number("limit")? {
            None | Some(0) => 100,
            Some(limit) if (1..=most).contains(&limit) => limit as usize,
            Some(_) => return no("invalid_limit"),
        };
        let mut from = 0;
        if let Some(cursor) = self.text("cursor")?.filter(|cursor| !cursor.is_empty()) {
            let known = STANDARD.decode(&cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let at = known.as_deref().and_then(|known| known.strip_prefix("next:"));
            let Some(at) = at.and_then(|at| all.iter().position(|(key, _)| key == at)) else {
                return no("invalid_cursor");
            };
            from = at;
        }
        let next = all.get(from + limit).map(|(key, _)| STANDARD.encode(format!("next:{key}"))).unwrap_or_default();
        Ok((all.into_iter().skip(from).take(limit).map(|(_, value)| value).collect(), next))
    }

    /// Notes an argument that the method does not have.
    pub fn check_names(&mut self, method: &Method) {
        let common = ["token", "pretty"];
        for name in self.args.keys() {
            if !common.contains(&name.as_str()) && !method.args.split_whitespace().any(|known| known == name) {
                self.odd.push(format!("{} has no argument {name}", method.name));
            }
        }
    }

    /// Checks the token; gives the error of a bad one.
    pub fn authenticate(&mut self, takes: Takes) -> Result<(), Refusal> {
        if takes == Takes::Nobody {
            if self.bearer.is_some() {
                self.odd.push("a token where none belongs".into());
            }
            return Ok(());
        }
        let Some(bearer) = self.bearer.clone().filter(|bearer| !bearer.is_empty()) else { return no("not_authed") };
        let Some(token) = self.state.tokens.get(&bearer) else { return no("invalid_auth") };
        if let Some(error) = token.dead {
            return no(error);
        }
        if token.expires.is_some_and(|at| at <= self.state.now) {
            return no("token_expired");
        }
        let right = match takes {
            Takes::App => token.holder == Holder::App,
            Takes::Person => token.holder == Holder::Person,
            Takes::Anybody | Takes::Nobody => token.holder != Holder::App,
        };
        if !right {
            return no("not_allowed_token_type");
        }
        self.token = Some(token.clone());
        Ok(())
    }
}
