//! How a room of our own is named. Must not make tokens: whoever has randomness does.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use sameroom_model::{Identity, Place, RoomKey, Secrets};
use serde_json::Value;
use url::Url;

use super::ABOUT;
use crate::{BadUrl, Draft, Located, RoomDraft};

/// The bytes of a token: 256 bits, 43 characters of base64url.
const TOKEN_BYTES: usize = 32;

/// The longest name of a room, in characters.
const NAME_CHARS: usize = 64;

pub(super) fn locate(url: &Url) -> Result<Located, BadUrl> {
    let bad = |why: &str| Err(BadUrl(why.to_owned()));
    if url.scheme() != "local" || !url.cannot_be_a_base() {
        return bad("A room of Sameroom's own is written local:NAME, without slashes.");
    }
    let Ok(name) = percent_decode_str(url.path()).decode_utf8() else {
        return bad("The room's name after local: is not UTF-8.");
    };
    let name = name.trim();
    if !(1..=NAME_CHARS).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return bad("The room's name after local: must have 1 to 64 characters, for example local:tea-room.");
    }
    let token = url.query_pairs().find(|(key, _)| key == "token").map(|(_, value)| value);
    let Some(token) = token.filter(|token| is_token(token)) else {
        return bad(
            "A room of Sameroom's own is entered by its token, and this URL has none: let `sameroom` make the room, or \
             add `?token=` and 43 characters of base64url (32 random bytes).",
        );
    };
    let key = RoomKey::from(token.as_ref());
    let room = RoomDraft { key, name: name.to_owned(), site: ABOUT.title.to_owned(), settings: Value::Null };
    Ok(Located { account: draft(), room })
}

/// The one account that all rooms of our own belong to.
pub(super) fn draft() -> Draft {
    Draft {
        platform: ABOUT.name,
        endpoint: "local:".to_owned(),
        identity: Identity { key: None, name: ABOUT.name.to_owned() },
        settings: Value::Null,
        secrets: Secrets::default(),
        place: Place::Alone,
    }
}

/// Whether this can be a room's token.
pub(super) fn is_token(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == TOKEN_BYTES)
}
