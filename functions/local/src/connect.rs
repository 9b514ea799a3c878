//! Rooms by URL: from what a person types to accounts, rooms and Tubes in the engine.

use anyhow::{Context as _, bail};
use sameroom_engine::Engine;
use sameroom_model::{AccountId, MadeBy, OwnerId, Room, Tube};
use sameroom_platforms::{Located, by_scheme};
use url::Url;

use crate::secrets;

/// A pair of rooms to be connected, as typed.
pub(crate) type Pair = [Located; 2];

/// A Tube, and the rooms at its ends.
pub(crate) struct Made {
    pub(crate) tube: Tube,
    pub(crate) rooms: [Room; 2],
    pub(crate) new: bool,
}

/// Understands room URLs, two by two. Nothing is changed yet, so a mistake in the last one leaves nothing half made.
pub(crate) fn pairs(urls: &[String]) -> anyhow::Result<Vec<Pair>> {
    if !urls.len().is_multiple_of(2) {
        bail!(
            "rooms are connected two by two, and {} were given; add the room that {} is to be connected to",
            urls.len(),
            urls.last().map_or("the last one", String::as_str)
        );
    }
    urls.chunks(2).map(|pair| Ok([locate(&pair[0])?, locate(&pair[1])?])).collect()
}

/// Understands one room URL, and resolves the secrets that it refers to.
pub(crate) fn locate(text: &str) -> anyhow::Result<Located> {
    let url = Url::parse(text)
        .map_err(|e| anyhow::anyhow!("'{text}' is not a room URL ({e}); for example: {}", examples()))?;
    let Some(platform) = by_scheme(url.scheme()) else {
        bail!("no platform reads '{}:' URLs; for example: {}", url.scheme(), examples());
    };
    let mut located = platform.locate(&url).map_err(|e| anyhow::anyhow!("'{}': {e}", shown(&url)))?;
    located.account.secrets = secrets::resolve(&located.account.secrets)?;
    Ok(located)
}

/// Adds accounts and rooms of a pair, and connects them.
pub(crate) async fn make(engine: &Engine, owner: &OwnerId, pair: &Pair) -> anyhow::Result<Made> {
    let [a, b] = pair;
    let (a, b) = (add(engine, owner, a).await?, add(engine, owner, b).await?);
    let linked = engine
        .connect([owner, owner], [&a.at, &b.at], MadeBy::Operator)
        .await
        .with_context(|| format!("{} and {} can't be connected", a.name, b.name))?;
    Ok(Made { tube: linked.tube, rooms: [a, b], new: linked.new })
}

/// Adds a room and its account.
pub(crate) async fn add(engine: &Engine, owner: &OwnerId, located: &Located) -> anyhow::Result<Room> {
    let id: AccountId = if located.account.platform == sameroom_web::LOCAL_ACCOUNT {
        sameroom_web::LOCAL_ACCOUNT.into()
    } else {
        sameroom_engine::account_id(located.account.platform, &located.account.endpoint, &located.account.identity.name)
    };
    let account = engine.add_account_as(id, owner, &located.account).await?;
    Ok(engine.add_room(&account.id, &located.room).await?)
}

/// A URL as it may be shown: without what may be secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

fn examples() -> String {
    sameroom_platforms::all().iter().map(|platform| platform.about().example).collect::<Vec<_>>().join(", ")
}
