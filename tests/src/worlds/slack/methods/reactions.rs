//! `reactions.*`.

use serde_json::json;

use crate::worlds::slack::call::{Call, Done, Refusal, no};
use crate::worlds::slack::model::{Id, State};

pub(in super::super) fn add(call: &mut Call<'_>) -> Done {
    let (channel, ts, name) = item(call)?;
    let user = call.user();
    if !call.state.react(&channel, &ts, &user, &name) {
        return no("already_reacted");
    }
    Ok(json!({}))
}

pub(in super::super) fn remove(call: &mut Call<'_>) -> Done {
    let (channel, ts, name) = item(call)?;
    let user = call.user();
    if !call.state.unreact(&channel, &ts, &user, &name) {
        return no("no_reaction");
    }
    Ok(json!({}))
}

fn item(call: &Call<'_>) -> Result<(Id, String, String), Refusal> {
    call.scope("reactions:write")?;
    let name = call.need("name")?;
    if !known(call.state, &call.team(), &name) {
        return no("invalid_name");
    }
    if call.text("channel")?.is_none() || call.text("timestamp")?.is_none() {
        return no("no_item_specified");
    }
    let channel = call.channel("channel")?;
    let ts = call.need("timestamp")?;
    if !channel.messages.contains_key(&ts) {
        return no("message_not_found");
    }
    if !channel.has(&call.token().user) {
        return no("not_in_channel");
    }
    if channel.archived {
        return no("is_archived");
    }
    Ok((channel.id.clone(), ts, name))
}

/// Names that Slack has (<https://github.com/iamcal/emoji-data>) and that gemoji, which the others are looked up in, has
/// not.
const SLACKS: [&str; 12] = [
    "hugging_face",
    "thinking_face",
    "face_with_rolling_eyes",
    "robot_face",
    "face_with_thermometer",
    "the_horns",
    "white_frowning_face",
    "first_place_medal",
    "second_place_medal",
    "third_place_medal",
    "face_vomiting",
    "face_palm",
];

/// Whether there is an emoji of that name: one of the workspace's, or a standard one, perhaps with a skin tone.
fn known(state: &State, team: &str, name: &str) -> bool {
    let (plain, tone) = name.split_once("::").map_or((name, None), |(plain, tone)| (plain, Some(tone)));
    let toned = tone.is_none_or(|tone| {
        matches!(tone.strip_prefix("skin-tone-"), Some("2" | "3" | "4" | "5" | "6"))
            && emojis::get_by_shortcode(plain).is_some_and(|emoji| emoji.skin_tones().is_some())
    });
    let flag = plain.strip_prefix("flag-").is_some_and(|country| country.len() == 2);
    let standard = flag || SLACKS.contains(&plain) || emojis::get_by_shortcode(plain).is_some();
    toned && (standard || state.teams[team].emoji.contains_key(plain))
}
