//! The JSON that Slack sends, as far as it is read. `null` counts as missing everywhere. Must not know what follows from
//! it.

use sameroom_model::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// What the Events API posts.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) team_id: Option<String>,
    pub(super) enterprise_id: Option<String>,
    pub(super) api_app_id: Option<String>,
    pub(super) event: Option<Value>,
    pub(super) event_id: Option<String>,
    pub(super) event_time: Option<i64>,
    pub(super) authorizations: Option<Vec<Authorization>>,
}

/// On whose behalf an event is told.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Authorization {
    pub(super) enterprise_id: Option<String>,
    pub(super) team_id: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) is_bot: Option<bool>,
    pub(super) is_enterprise_install: Option<bool>,
}

/// A message, alone or within an event about it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Msg {
    pub(super) subtype: Option<String>,
    pub(super) hidden: Option<bool>,
    pub(super) channel: Option<String>,
    pub(super) user: Option<String>,
    pub(super) bot_id: Option<String>,
    pub(super) app_id: Option<String>,
    pub(super) username: Option<String>,
    pub(super) icons: Option<Value>,
    pub(super) bot_profile: Option<BotProfile>,
    pub(super) user_profile: Option<Person>,
    pub(super) text: Option<String>,
    pub(super) blocks: Option<Vec<Value>>,
    pub(super) attachments: Option<Vec<Value>>,
    pub(super) files: Option<Vec<File>>,
    pub(super) ts: Option<String>,
    pub(super) event_ts: Option<String>,
    pub(super) thread_ts: Option<String>,
    pub(super) deleted_ts: Option<String>,
    pub(super) edited: Option<Edited>,
    pub(super) metadata: Option<Metadata>,
    pub(super) message: Option<Box<Self>>,
    pub(super) previous_message: Option<Box<Self>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Edited {
    pub(super) ts: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) event_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct BotProfile {
    pub(super) app_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) icons: Option<Value>,
}

/// A person: `users.info`'s, or the short form within a message.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Person {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) real_name: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) image_72: Option<String>,
    pub(super) is_bot: Option<bool>,
    pub(super) profile: Option<Box<Self>>,
    pub(super) image_192: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) name: Option<String>,
    pub(super) title: Option<String>,
    pub(super) mimetype: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) mode: Option<String>,
    pub(super) is_external: Option<bool>,
    #[serde(rename = "file_access")]
    pub(super) access: Option<String>,
    pub(super) url_private: Option<String>,
    pub(super) url_private_download: Option<String>,
    pub(super) external_url: Option<String>,
    pub(super) permalink: Option<String>,
}

/// A reaction.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Reaction {
    pub(super) user: Option<String>,
    #[serde(rename = "reaction")]
    pub(super) name: Option<String>,
    pub(super) item: Option<Item>,
    pub(super) event_ts: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Item {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) channel: Option<String>,
    pub(super) ts: Option<String>,
}

/// Something that happened to a channel. Its channel is an id, or an object.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Change {
    pub(super) channel: Option<Value>,
    pub(super) user: Option<Value>,
    pub(super) event_ts: Option<String>,
    pub(super) tokens: Option<Tokens>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Tokens {
    pub(super) bot: Option<Vec<String>>,
}

/// Whether it is a message's time stamp, which is its key within a channel: seconds, a full stop and six digits.
pub(super) fn is_ts(ts: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    ts.split_once('.')
        .is_some_and(|(seconds, micros)| seconds.len() <= 11 && digits(seconds) && micros.len() == 6 && digits(micros))
}

/// When that was. `None`: no time stamp.
pub(super) fn at(ts: &str) -> Option<Timestamp> {
    let (seconds, micros) = ts.split_once('.').filter(|_| is_ts(ts))?;
    Timestamp::new(seconds.parse().ok()?, micros.parse::<i32>().ok()? * 1000).ok()
}

/// Whether it has the shape of an id: letters and digits, one of those letters first.
pub(super) fn is_id(id: &str, first: &[char]) -> bool {
    id.starts_with(first) && (2..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
