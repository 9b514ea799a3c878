//! How somebody from elsewhere is named in a room.

use sameroom_model::{Author, AuthorStyle, Room, RoomOptions};
use sameroom_text::names;

/// The longest name shown, in graphemes.
const NAME_MAX: usize = 48;

/// The author's name as the target room's options want it, made safe to show.
pub(crate) fn author(author: &Author, options: RoomOptions, origin: Option<&Room>) -> String {
    let username = author.username.as_deref().filter(|username| !username.is_empty());
    let name = match (options.author, username) {
        (AuthorStyle::Name, _) | (_, None) => author.name.clone(),
        (AuthorStyle::Username, Some(username)) => username.to_owned(),
        (AuthorStyle::Both, Some(username)) if username == author.name => author.name.clone(),
        (AuthorStyle::Both, Some(username)) => format!("{} ({username})", author.name),
    };
    let mut shown = names::clean(&name, NAME_MAX);
    if shown.is_empty() {
        "somebody".clone_into(&mut shown);
    }
    let team = author.team.as_deref().or_else(|| origin.map(|room| room.site.as_str()));
    if let Some(team) = team.filter(|team| options.team && !team.is_empty()) {
        shown = format!("{shown} · {}", names::clean(team, NAME_MAX));
    }
    shown
}
