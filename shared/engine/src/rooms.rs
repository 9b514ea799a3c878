//! The rooms that an account can see, as far as its platform lists them: kept, found as somebody types, and added by
//! name or key. Rooms that are listed are not yet added; nothing is read in them. It must not know how a platform lists.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sameroom_model::{Account, AccountId, Outcome, OwnerId, Place, Room, RoomKey, RoomRef, Timestamp};
use sameroom_platforms::{RoomDraft, Subject};
use serde::{Deserialize, Serialize};

use crate::accounts::Open;
use crate::files::why;
use crate::ports::{Commit, CommitError, Key, Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// How many pages one listing has at most.
const PAGES_MAX: usize = 100;
/// How many rooms of one account are listed.
const ROOMS_MAX: usize = 50_000;
/// How many rows are written or read at once.
const CHUNK: usize = 500;
/// How long the first listing of an account is waited for.
const FIRST_MAX: Duration = Duration::from_secs(3);
/// A listing that is older is refreshed when somebody searches.
const STALE_MS: i64 = 10 * 60_000;
/// For how long a listing in memory is used: others may have refreshed it.
const FRESH_MS: i64 = 60_000;
/// How many listings are held in memory.
const HELD_MAX: usize = 64;
/// The longest room key that somebody may type, in bytes.
const KEY_MAX: usize = 256;

/// A room that an account can see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Which. Not necessarily one that was added.
    pub at: RoomRef,
    /// The name shown to people.
    pub name: String,
    /// Where it is, shown next to its name.
    pub site: String,
    /// What the platform alone understands.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub settings: serde_json::Value,
}

/// What a refresh found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// How many rooms there are.
    pub found: usize,
    /// How many are there no longer.
    pub gone: usize,
}

/// Why rooms can't be listed, added or entered.
#[derive(Debug, thiserror::Error)]
pub enum RoomsError {
    /// The owner has no such account.
    #[error("there is no account {0}; list your accounts and give one of them")]
    NoAccount(AccountId),
    /// The account is an app: its installations have the rooms.
    #[error("{0} is an app, which has no rooms of its own; give one of its installations")]
    App(AccountId),
    /// The platform lists no rooms.
    #[error("this platform lists no rooms; give the room's own name")]
    NotListed,
    /// No room is called so, or several are.
    #[error("{0}")]
    NoRoom(String),
    /// The platform asks to wait.
    #[error("not now: {why}")]
    Retry {
        /// How long, where it says so.
        after: Option<Duration>,
        /// A sentence.
        why: String,
    },
    /// The platform refused; a sentence.
    #[error("{0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Rooms with their folded names.
type Folded = Arc<Vec<(String, Listed)>>;

/// Listings in memory, and those being refreshed in the background.
#[derive(Default)]
pub(crate) struct Listings {
    held: Mutex<HashMap<AccountId, (Timestamp, Folded)>>,
    busy: Mutex<HashSet<AccountId>>,
}

impl Engine {
    /// Lists an account's rooms anew. What was found before the platform asked to wait is kept, and nothing is taken for
    /// gone then.
    pub async fn refresh_rooms(&self, owner: &OwnerId, account: &AccountId) -> Result<Refreshed, RoomsError> {
        self.with_rooms(owner, account).await?;
        self.refresh(account).await
    }

    /// An owner's listed rooms whose names hold the text, in any case of letters; those that begin with it first. Of one
    /// account, or of all. Listings that have grown old are refreshed behind this.
    pub async fn search_rooms(
        &self,
        owner: &OwnerId,
        text: &str,
        account: Option<&AccountId>,
        limit: usize,
    ) -> Result<Vec<Listed>, RoomsError> {
        let accounts = match account {
            Some(id) => vec![self.with_rooms(owner, id).await?],
            None => self.accounts(owner).await?,
        };
        let wanted = fold(text);
        let mut found: Vec<((bool, String), Listed)> = Vec::new();
        for account in accounts.into_iter().filter(|account| account.place != Place::App) {
            self.refresh_behind(&account.id).await?;
            for (folded, listed) in self.listing(&account.id).await?.iter() {
                if folded.contains(&wanted) {
                    found.push(((!folded.starts_with(&wanted), folded.clone()), listed.clone()));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.at.cmp(&b.1.at)));
        Ok(found.into_iter().take(limit).map(|(_, listed)| listed).collect())
    }

    /// Adds a room by its listed key or name, or by a key that is not listed, as a person types it.
    pub async fn add_listed_room(&self, owner: &OwnerId, account: &AccountId, typed: &str) -> Result<Room, RoomsError> {
        self.with_rooms(owner, account).await?;
        let typed = typed.trim();
        if typed.is_empty() || typed.len() > KEY_MAX || typed.chars().any(char::is_control) {
            return Err(RoomsError::NoRoom(format!("give a room's name or key, at most {KEY_MAX} bytes")));
        }
        let listing = self.listing(account).await?;
        let draft = match pick(&listing, typed)? {
            Some(listed) => draft_of(listed),
            None => self.typed_room(account, typed, &listing).await?,
        };
        Ok(self.add_room(account, &draft).await?)
    }

    /// Makes a room's account a member of it, where that takes a request.
    pub async fn enter_room(&self, owner: &OwnerId, room: &RoomRef) -> Result<(), RoomsError> {
        self.with_rooms(owner, &room.account).await?;
        self.enter(room).await
    }

    pub(crate) async fn enter(&self, room: &RoomRef) -> Result<(), RoomsError> {
        let Some(mut open) = self.open(&room.account).await? else {
            return Err(RoomsError::NoAccount(room.account.clone()));
        };
        let entered = self
            .ask(
                &mut open,
                |platform, opened| platform.enter(opened, &room.key),
                |platform, opened, response, now| match platform.entered(opened, &room.key, response, now) {
                    Outcome::Done { .. } => Ok(()),
                    outcome => Err(outcome),
                },
            )
            .await?;
        match entered {
            None | Some(Ok(())) => Ok(()),
            Some(Err(outcome)) => Err(refused(outcome)),
        }
    }

    /// The owner's account, if it can have rooms.
    async fn with_rooms(&self, owner: &OwnerId, id: &AccountId) -> Result<Account, RoomsError> {
        let account = self.account(id).await?.filter(|account| account.owner == *owner);
        let account = account.ok_or_else(|| RoomsError::NoAccount(id.clone()))?;
        if account.place == Place::App {
            return Err(RoomsError::App(id.clone()));
        }
        Ok(account)
    }

    #[allow(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough in lifetimes")]
    async fn refresh(&self, account: &AccountId) -> Result<Refreshed, RoomsError> {
        let mut open = self.open(account).await?.ok_or_else(|| RoomsError::NoAccount(account.clone()))?;
        let mut found: HashMap<RoomKey, RoomDraft> = HashMap::new();
        let mut cursor: Option<String> = None;
        let mut whole = false;
        let mut stopped = None;
        for _ in 0..PAGES_MAX {
            let page = self
                .ask(
                    &mut open,
                    |platform, opened| platform.list(opened, cursor.as_deref()),
                    |platform, opened, response, now| platform.listed(opened, response, now),
                )
                .await?;
            let page = match page.ok_or(RoomsError::NotListed)? {
                Ok(page) => page,
                Err(outcome) => {
                    stopped = Some(refused(outcome));
                    break;
                }
            };
            found.extend(page.rooms.into_iter().map(|room| (room.key.clone(), room)));
            let next = page.next.filter(|next| Some(next) != cursor.as_ref() && found.len() < ROOMS_MAX);
            let Some(next) = next else {
                whole = true;
                break;
            };
            cursor = Some(next);
        }
        let gone = self.keep_listing(account, &found, whole).await?;
        match stopped {
            Some(e) => Err(e),
            None => Ok(Refreshed { found: found.len(), gone }),
        }
    }

    /// Writes a listing. Where it is whole, what is not in it is gone; how many were.
    async fn keep_listing(
        &self,
        account: &AccountId,
        found: &HashMap<RoomKey, RoomDraft>,
        whole: bool,
    ) -> Result<usize, Unavailable> {
        let known: HashMap<Key, Listed> = self.kept_listing(account).await?.into_iter().collect();
        let mut writes = Vec::new();
        let mut now_there = HashSet::new();
        for room in found.values() {
            let key = keys::listing(account, &fold(&room.name), &room.key);
            let listed = Listed {
                at: RoomRef { account: account.clone(), key: room.key.clone() },
                name: room.name.clone(),
                site: room.site.clone(),
                settings: room.settings.clone(),
            };
            if known.get(&key) != Some(&listed) {
                writes.push(rows::put(key.clone(), &listed, None, When::Always));
            }
            now_there.insert(key);
        }
        let mut gone = HashSet::new();
        for (key, listed) in known {
            // One that has another name by now is there still, in another place.
            let renamed = found.contains_key(&listed.at.key);
            if (whole || renamed) && !now_there.contains(&key) {
                if !renamed {
                    gone.insert(listed.at.key);
                }
                writes.push(Write::Delete { key, when: When::Always });
            }
        }
        if whole {
            writes.push(rows::put(keys::listed(account), &self.inner.clock.now(), None, When::Always));
        }
        for chunk in writes.chunks(CHUNK) {
            match self.inner.store.commit(Commit { writes: chunk.to_vec(), ..Commit::default() }).await {
                Ok(_) => {}
                Err(CommitError::Conflict) => return Err(Unavailable::new("a commit without condition conflicted")),
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
        if let Ok(mut held) = self.inner.listings.held.lock() {
            held.remove(account);
        }
        Ok(gone.len())
    }

    async fn kept_listing(&self, account: &AccountId) -> Result<Vec<(Key, Listed)>, Unavailable> {
        let partition = keys::account(account).partition;
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.inner.store.query(&partition, keys::LISTING, after.as_deref(), CHUNK).await?;
            let more = page.len() == CHUNK;
            after = page.last().map(|(sort, _)| sort.clone());
            for (sort, row) in page {
                let key = Key { partition: partition.clone(), sort };
                let listed = rows::decode::<Listed>(&key, &row)?.value;
                found.push((key, listed));
            }
            if !more {
                return Ok(found);
            }
        }
    }

    /// A listing with its folded names, from memory where it is fresh.
    async fn listing(&self, account: &AccountId) -> Result<Folded, Unavailable> {
        let now = self.inner.clock.now();
        if let Ok(held) = self.inner.listings.held.lock()
            && let Some((read_at, listing)) = held.get(account)
            && now.as_millisecond() - read_at.as_millisecond() < FRESH_MS
        {
            return Ok(listing.clone());
        }
        let kept = self.kept_listing(account).await?;
        let listing = Arc::new(kept.into_iter().map(|(_, listed)| (fold(&listed.name), listed)).collect::<Vec<_>>());
        if let Ok(mut held) = self.inner.listings.held.lock() {
            if held.len() >= HELD_MAX {
                held.clear();
            }
            held.insert(account.clone(), (now, listing.clone()));
        }
        Ok(listing)
    }

    /// Refreshes a listing in the background, if it is old and nobody does so already. One that was never made is
    /// waited for a little: whoever has just added an account looks for its rooms next.
    async fn refresh_behind(&self, account: &AccountId) -> Result<(), Unavailable> {
        let Some(open) = self.open(account).await? else { return Ok(()) };
        if open.platform.list(&open.opened, None).is_none() {
            return Ok(());
        }
        let at = rows::load::<Timestamp>(&*self.inner.store, &keys::listed(account)).await?;
        let now = self.inner.clock.now().as_millisecond();
        if at.as_ref().is_some_and(|at| now - at.value.as_millisecond() < STALE_MS) {
            return Ok(());
        }
        if !self.inner.listings.busy.lock().is_ok_and(|mut busy| busy.insert(account.clone())) {
            return Ok(());
        }
        let (engine, account) = (self.clone(), account.clone());
        let under_way = tokio::spawn(async move {
            if let Err(e) = engine.refresh(&account).await {
                tracing::info!(%account, error = %e, "an account's rooms could not be listed anew");
            }
            if let Ok(mut busy) = engine.inner.listings.busy.lock() {
                busy.remove(&account);
            }
        });
        if at.is_none() {
            // What is not there by then is there at the next look.
            let _ = tokio::time::timeout(FIRST_MAX, under_way).await;
        }
        Ok(())
    }

    /// A room that is not listed, by its key.
    async fn typed_room(
        &self,
        account: &AccountId,
        typed: &str,
        listing: &[(String, Listed)],
    ) -> Result<RoomDraft, RoomsError> {
        let open = self.open(account).await?.ok_or_else(|| RoomsError::NoAccount(account.clone()))?;
        let key = RoomKey::from(typed);
        let subject = Subject::Room(key.clone());
        if open.platform.look_up(&open.opened, &subject).is_some() {
            return match self.look_up(account, &subject).await? {
                Ok(profile) => {
                    let site = listing.first().map(|(_, listed)| listed.site.clone()).or(profile.team);
                    let site = site.unwrap_or_else(|| site_of(&open));
                    Ok(RoomDraft { key, name: profile.name, site, settings: serde_json::Value::Null })
                }
                Err(Outcome::Refused { why }) => Err(RoomsError::NoRoom(format!(
                    "no room called {typed} is listed, and none has that key ({why}); refresh the list, or invite the \
                     account to the room"
                ))),
                Err(outcome) => Err(refused(outcome)),
            };
        }
        if open.platform.list(&open.opened, None).is_some() {
            let advice = "refresh the list, or invite the account to the room";
            return Err(RoomsError::NoRoom(format!("no room called {typed} is listed; {advice}")));
        }
        Ok(as_written(&open, typed))
    }
}

/// The listed room of that key, or else of that name. Several of one name are told apart by their keys alone.
fn pick<'a>(listing: &'a [(String, Listed)], typed: &str) -> Result<Option<&'a Listed>, RoomsError> {
    if let Some((_, listed)) = listing.iter().find(|(_, listed)| listed.at.key.as_str() == typed) {
        return Ok(Some(listed));
    }
    let bare = |name: &str| fold(name).trim_start_matches('#').to_owned();
    let wanted = bare(typed);
    let named: Vec<_> = listing.iter().filter(|(_, listed)| bare(&listed.name) == wanted).collect();
    match named.as_slice() {
        [] => Ok(None),
        [(_, listed)] => Ok(Some(listed)),
        several => {
            let keys: Vec<_> = several.iter().take(10).map(|(_, listed)| listed.at.key.as_str()).collect();
            let keys = keys.join(", ");
            Err(RoomsError::NoRoom(format!("several rooms are called {typed}; give the key of one: {keys}")))
        }
    }
}

fn draft_of(listed: &Listed) -> RoomDraft {
    RoomDraft {
        key: listed.at.key.clone(),
        name: listed.name.clone(),
        site: listed.site.clone(),
        settings: listed.settings.clone(),
    }
}

/// A room of a platform that can't be asked: as the platform reads its own URLs, or else as it was typed.
fn as_written(open: &Open, typed: &str) -> RoomDraft {
    let endpoint = &open.opened.account.endpoint;
    let hash = if typed.starts_with(char::is_alphanumeric) { "#" } else { "" };
    let url = url::Url::parse(&format!("{}/{hash}{typed}", endpoint.trim_end_matches('/')));
    if let Ok(url) = url
        && open.platform.about().schemes.contains(&url.scheme())
        && let Ok(located) = open.platform.locate(&url)
        && located.account.endpoint == *endpoint
    {
        return located.room;
    }
    RoomDraft { key: typed.into(), name: typed.to_owned(), site: site_of(open), settings: serde_json::Value::Null }
}

fn site_of(open: &Open) -> String {
    let host = url::Url::parse(&open.opened.account.endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| open.platform.about().title.to_owned())
}

fn refused(outcome: Outcome) -> RoomsError {
    match outcome {
        Outcome::Retry { after, why, .. } => RoomsError::Retry { after, why },
        outcome => RoomsError::Refused(why(&outcome).to_owned()),
    }
}

/// A name as it is ordered and searched by.
fn fold(name: &str) -> String {
    name.trim().to_lowercase().chars().take(80).collect()
}
