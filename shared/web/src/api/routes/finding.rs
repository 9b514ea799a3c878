//! How rooms are found and added: among those that were added, among those that accounts see, by what a person types, by
//! URL. A URL comes from a caller, so nothing of this machine is read for it: no `env:`, no `file:`.

use std::collections::HashSet;

use sameroom_engine::{Engine, RoomsError};
use sameroom_model::{AccountId, OwnerId, Room as Kept, RoomRef};
use sameroom_platforms::{Carrier, Located, Platform, by_scheme};
use secrecy::ExposeSecret as _;
use url::Url;

use super::rooms::Room;
use super::tubes::sentence;
use crate::App;
use crate::api::problem::{Kind, Problem};
use crate::api::shapes::owned_account;
use crate::rooms::LOCAL_ACCOUNT;

/// The longest URL.
const URL_MAX: usize = 2048;

/// The rooms that were added, of one account or of all.
pub(crate) async fn added(app: &App, owner: &OwnerId, account: Option<&AccountId>) -> Result<Vec<Room>, Problem> {
    let accounts: Vec<AccountId> = match account {
        Some(id) => vec![id.clone()],
        None => app.engine.accounts(owner).await?.into_iter().map(|account| account.id).collect(),
    };
    let mut rooms = Vec::new();
    for id in &accounts {
        rooms.extend(app.engine.rooms(id).await?.into_iter().map(Room::from));
    }
    Ok(rooms)
}

/// Rooms whose names hold the text: those that were added first.
pub(crate) async fn search(
    app: &App,
    owner: &OwnerId,
    text: &str,
    account: Option<&AccountId>,
    limit: usize,
) -> Result<Vec<Room>, Problem> {
    let wanted = text.to_lowercase();
    let mut found = added(app, owner, account).await?;
    found.retain(|room| room.name.to_lowercase().contains(&wanted));
    found.sort_by_key(|room| {
        let name = room.name.to_lowercase();
        (!name.starts_with(&wanted), name, room.id.clone())
    });
    let known: HashSet<String> = found.iter().map(|room| room.id.clone()).collect();
    let listed = app.engine.search_rooms(owner, text, account, limit).await.map_err(|e| problem(e, "account"))?;
    let listed = listed.into_iter().map(|room| Room::listed(&room.at, room.name, room.site));
    found.extend(listed.filter(|room| !known.contains(&room.id)));
    found.truncate(limit);
    Ok(found)
}

/// Adds a room by what a person types. Whether it is new.
pub(crate) async fn add(app: &App, owner: &OwnerId, account: &AccountId, typed: &str) -> Result<(Kept, bool), Problem> {
    let before: HashSet<RoomRef> = app.engine.rooms(account).await?.into_iter().map(|room| room.at).collect();
    let room = app.engine.add_listed_room(owner, account, typed).await.map_err(|e| problem(e, "/room"))?;
    let is_new = !before.contains(&room.at);
    Ok((listened(&app.engine, room).await?, is_new))
}

/// Adds a room by its URL, and its account with it. Whether the room is new.
pub(crate) async fn add_by_url(app: &App, owner: &OwnerId, text: &str) -> Result<(Kept, bool), Problem> {
    let bad = |why: &str| Problem::field("/url", sentence(why));
    if text.len() > URL_MAX {
        return Err(bad("the URL is too long"));
    }
    let url = Url::parse(text).map_err(|_| bad("this is no room URL; GET /platforms has examples"))?;
    let platform =
        by_scheme(url.scheme()).ok_or_else(|| bad("no platform reads such URLs; GET /platforms has examples"))?;
    if platform.about().capabilities.carrier == Carrier::Hosted {
        return add_hosted(app, owner, platform, url).await;
    }
    let Located { account, room } = platform.locate(&url).map_err(|e| bad(&e.0))?;
    let references = |value: &str| value.starts_with("env:") || value.starts_with("file:");
    if account.secrets.expose().any(|(_, value)| references(value)) || holds(&room.settings, &references) {
        return Err(bad("secrets are given as they are by this API, not as env: or file:"));
    }
    let account = app.engine.add_account(owner, &account).await?;
    let at = RoomRef::new(account.id.clone(), room.key.clone());
    let is_new = app.engine.room(&at).await?.is_none();
    let room = app.engine.add_room(&account.id, &room).await?;
    Ok((listened(&app.engine, room).await?, is_new))
}

/// Adds a room that lives here. Named without its token it is the owner's room of that name, or a new one.
async fn add_hosted(
    app: &App,
    owner: &OwnerId,
    platform: &dyn Platform,
    mut url: Url,
) -> Result<(Kept, bool), Problem> {
    let account = AccountId::from(LOCAL_ACCOUNT);
    if owned_account(app, owner, &account).await?.is_none() {
        return Err(Problem::field(
            "/url",
            "Only the operator of this Sameroom makes rooms that live in it. Ask them to.",
        ));
    }
    let named = url.query_pairs().any(|(name, _)| name == "token");
    if !named {
        url.query_pairs_mut().append_pair("token", new_token(&app.engine)?.as_str());
    }
    let mut room = platform.locate(&url).map_err(|e| Problem::field("/url", sentence(&e.0)))?.room;
    let known = app.engine.rooms(&account).await?;
    if let Some(known) = known.iter().find(|known| known.name == room.name).filter(|_| !named) {
        return Ok((known.clone(), false));
    }
    if let Some(site) = known.first().map(|known| known.site.clone()) {
        room.site = site;
    }
    let at = RoomRef::new(account.clone(), room.key.clone());
    let is_new = !known.iter().any(|known| known.at == at);
    Ok((app.engine.add_room(&account, &room).await?, is_new))
}

/// A room that was asked for by itself is one to be in before the first Tube, so that people there can connect it by a
/// command.
async fn listened(engine: &Engine, room: Kept) -> Result<Kept, Problem> {
    if room.listen {
        return Ok(room);
    }
    // Removed in between: then what was added is what there is to show.
    Ok(engine.listen(&room.at, true).await?.unwrap_or(room))
}

fn new_token(engine: &Engine) -> Result<String, Problem> {
    Ok(engine.room_token()?.expose_secret().to_owned())
}

/// Whether a text anywhere in it is such.
fn holds(value: &serde_json::Value, such: &impl Fn(&str) -> bool) -> bool {
    match value {
        serde_json::Value::String(text) => such(text),
        serde_json::Value::Array(items) => items.iter().any(|item| holds(item, such)),
        serde_json::Value::Object(fields) => fields.values().any(|field| holds(field, such)),
        _ => false,
    }
}

/// Why rooms can't be listed or added.
pub(crate) fn problem(e: RoomsError, field: &str) -> Problem {
    let detail = sentence(&e.to_string());
    match e {
        RoomsError::Unavailable(e) => e.into(),
        RoomsError::NoAccount(_) => Problem::not_found("account"),
        RoomsError::Retry { after, .. } => {
            let seconds = after.map_or(5, |after| after.as_secs().max(1));
            Problem::new(Kind::Platform, detail).retry_after(seconds)
        }
        RoomsError::Refused(_) => Problem::new(Kind::Platform, detail),
        RoomsError::App(_) | RoomsError::NotListed => Problem::new(Kind::Conflict, detail),
        RoomsError::NoRoom(_) if field.starts_with('/') => Problem::field(field, detail),
        RoomsError::NoRoom(_) => Problem::parameter(field, detail),
    }
}
