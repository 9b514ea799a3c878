//! Rooms by URL: from what a person types to accounts, rooms and Tubes in the engine.

use anyhow::{Context as _, bail};
use sameroom_engine::Engine;
use sameroom_model::{AccountId, MadeBy, OwnerId, Room};
use sameroom_platforms::{Draft, Located, RoomDraft, by_scheme};
use sameroom_web::LOCAL_ACCOUNT;
use url::Url;

use crate::{secrets, serve};

/// Stands for the token of a room living here that is named without one. No room has it: it is not random.
const NAMELESS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A pair of rooms to be connected, as typed.
pub(crate) type Pair = [Located; 2];

/// Understands room URLs, two by two. Nothing is changed yet, so a mistake in the last one leaves nothing half made.
pub(crate) fn pairs(urls: &[String]) -> anyhow::Result<Vec<Pair>> {
    if !urls.len().is_multiple_of(2) {
        bail!(
            "rooms are connected two by two, and {} were given; add the room that {} is to be connected to",
            urls.len(),
            urls.last().map_or_else(|| "the last one".to_owned(), |url| shown_text(url))
        );
    }
    urls.chunks(2).map(|pair| two(locate(&pair[0])?, locate(&pair[1])?)).collect()
}

fn two(a: Located, b: Located) -> anyhow::Result<Pair> {
    if account_id(&a.account) == account_id(&b.account) && a.room.key == b.room.key && a.room.name == b.room.name {
        bail!("both ends are the same room, {}; give two different rooms", a.room.name);
    }
    Ok([a, b])
}

/// Understands one room URL, and resolves the secrets that it refers to.
pub(crate) fn locate(text: &str) -> anyhow::Result<Located> {
    let mut located = understand(text)?;
    located.account.secrets = secrets::resolve(&located.account.secrets)?;
    Ok(located)
}

/// Understands one room URL. Secrets stay as they are written; a room living here that is named without its token gets
/// one by [`give_token`].
pub(crate) fn understand(text: &str) -> anyhow::Result<Located> {
    let mut url = Url::parse(text)
        .map_err(|e| anyhow::anyhow!("'{}' is not a room URL ({e}); for example: {}", shown_text(text), examples()))?;
    let Some(platform) = by_scheme(url.scheme()) else {
        bail!("no platform reads '{}:' URLs; for example: {}", url.scheme(), examples());
    };
    let local = platform.about().name == LOCAL_ACCOUNT;
    if local && !url.query_pairs().any(|(name, _)| name == "token") {
        url.query_pairs_mut().append_pair("token", NAMELESS);
    }
    let mut located = platform.locate(&url).map_err(|e| anyhow::anyhow!("'{}': {e}", shown(&url)))?;
    if local {
        located.account = sameroom_web::local_draft();
        serve::LOCAL_SITE.clone_into(&mut located.room.site);
    }
    Ok(located)
}

/// The id of an account to be.
pub(crate) fn account_id(draft: &Draft) -> AccountId {
    if draft.platform == LOCAL_ACCOUNT {
        return LOCAL_ACCOUNT.into();
    }
    sameroom_engine::account_id(draft.platform, &draft.endpoint, &draft.identity.name)
}

/// Whether the rooms of an account live here.
pub(crate) fn is_local(account: &AccountId) -> bool {
    account.as_str() == LOCAL_ACCOUNT
}

/// Whether a room living here was named without its token.
pub(crate) fn is_nameless(room: &RoomDraft) -> bool {
    room.key.as_str() == NAMELESS
}

/// Gives a room living here its token: that of the room of its name, or a new one.
pub(crate) async fn give_token(engine: &Engine, room: &mut RoomDraft) -> anyhow::Result<()> {
    let known = engine.rooms(&LOCAL_ACCOUNT.into()).await?;
    let mut known = known.into_iter().filter(|known| known.name == room.name);
    room.key = match (known.next(), known.next()) {
        (Some(known), None) => known.at.key,
        (None, _) => serve::token()?.into(),
        (Some(_), Some(_)) => {
            bail!("several rooms living here are called {}; say which by local:{}?token=…", room.name, room.name)
        }
    };
    Ok(())
}

/// Adds accounts and rooms of a pair, and connects them.
pub(crate) async fn make(engine: &Engine, owner: &OwnerId, pair: &Pair) -> anyhow::Result<()> {
    let [a, b] = pair;
    let (a, b) = (add(engine, owner, a).await?, add(engine, owner, b).await?);
    engine
        .connect([owner, owner], [&a.at, &b.at], MadeBy::Operator)
        .await
        .with_context(|| format!("{} and {} can't be connected", a.name, b.name))?;
    Ok(())
}

/// Adds a room and its account.
pub(crate) async fn add(engine: &Engine, owner: &OwnerId, located: &Located) -> anyhow::Result<Room> {
    let account = engine.add_account_as(account_id(&located.account), owner, &located.account).await?;
    let mut room = located.room.clone();
    if is_nameless(&room) && is_local(&account.id) {
        give_token(engine, &mut room).await?;
    }
    Ok(engine.add_room(&account.id, &room).await?)
}

/// What was typed as a URL, as it may be shown: without what may be secret.
pub(crate) fn shown_text(text: &str) -> String {
    if let Ok(url) = Url::parse(text) {
        return shown(&url);
    }
    let text = text.split('?').next().unwrap_or_default();
    text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, rest)| format!("…@{rest}"))
}

/// A URL as it may be shown: without what may be secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    url.set_query(None);
    if let Some((fragment, _)) = url.fragment().and_then(|fragment| fragment.split_once('?')) {
        let fragment = fragment.to_owned();
        url.set_fragment(Some(&fragment));
    }
    url.to_string()
}

fn examples() -> String {
    sameroom_platforms::all().iter().map(|platform| platform.about().example).collect::<Vec<_>>().join(", ")
}
