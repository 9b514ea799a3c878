//! Names for keys: authors and mentions that a platform tells by key alone are completed before their event is relayed.
//! What is learned is kept in memory, and for a day in the store. It must not know how a platform is asked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use sameroom_model::{
    AccountId, Author, Block, Event, EventKind, Inline, MentionKind, Outcome, RoomRef, Text, Timestamp, UserKey,
};
use sameroom_platforms::{Profile, Subject};
use serde::{Deserialize, Serialize};

use crate::ports::{Commit, Key, Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// How many names are remembered.
const MAX: usize = 10_000;
/// How long a name is used without asking again.
const KEEP_MS: i64 = 24 * 3_600_000;
/// How long it is remembered that a key stands for nothing.
const NOTHING_MS: i64 = 5 * 60_000;
/// How long nobody is asked again who did not answer.
const SILENT_MS: i64 = 30_000;
/// How many keys of one event are looked up.
const ASKED_MAX: usize = 20;
/// How many of them at once.
const AT_ONCE: usize = 4;
/// How long an event waits for names at most. Later answers are left out.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many of an account's kept people are read back after a start.
const READ_BACK: usize = 2000;

/// A person that an account knows, by the names that are shown there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The platform's key of them.
    pub key: UserKey,
    /// What is known.
    pub profile: Profile,
}

/// What is known, in memory.
#[derive(Default)]
pub(crate) struct People(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    known: HashMap<(AccountId, Subject), Remembered>,
    /// People by account and folded name.
    names: HashMap<AccountId, HashMap<String, BTreeSet<UserKey>>>,
    /// Accounts whose kept people were read back.
    read_back: BTreeSet<AccountId>,
    tick: u64,
}

struct Remembered {
    /// `None`: it stands for nothing, as far as is known.
    profile: Option<Profile>,
    until: i64,
    used: u64,
}

/// What is kept of a key.
#[derive(Serialize, Deserialize)]
struct Kept {
    at: Timestamp,
    profile: Profile,
}

impl Engine {
    /// The people that an account knows by name. From memory alone.
    pub fn known_people(&self, account: &AccountId) -> Vec<Known> {
        let Ok(memory) = self.inner.people.0.lock() else { return Vec::new() };
        let keys: BTreeSet<_> = memory.names.get(account).into_iter().flat_map(HashMap::values).flatten().collect();
        keys.into_iter()
            .filter_map(|key| {
                let known = memory.known.get(&(account.clone(), Subject::User(key.clone())))?;
                Some(Known { key: key.clone(), profile: known.profile.clone()? })
            })
            .collect()
    }

    /// The people of that name there, in any case of letters; from memory alone.
    pub(crate) fn people_named(&self, account: &AccountId, folded: &str) -> Vec<UserKey> {
        let Ok(memory) = self.inner.people.0.lock() else { return Vec::new() };
        let named = memory.names.get(account).and_then(|names| names.get(folded));
        named.into_iter().flatten().cloned().collect()
    }

    /// Reads back, once, the people that an account knew before this engine began. Whether it knows any now.
    pub(crate) async fn recall_people(&self, account: &AccountId) -> Result<bool, Unavailable> {
        let first = self.inner.people.0.lock().is_ok_and(|mut memory| memory.read_back.insert(account.clone()));
        if first {
            let partition = keys::account(account).partition;
            for (sort, row) in self.inner.store.query(&partition, keys::WHO_USER, None, READ_BACK).await? {
                let Some(user) = keys::last_part(&sort) else { continue };
                let kept: Kept = rows::decode(&Key { partition: partition.clone(), sort }, &row)?.value;
                self.inner.people.put(
                    account,
                    &Subject::User(user.into()),
                    Some(kept.profile),
                    until(kept.at, KEEP_MS),
                );
            }
        }
        Ok(self.inner.people.0.lock().is_ok_and(|memory| memory.names.contains_key(account)))
    }

    /// Takes in what a platform told of people and rooms by itself; the writes that keep it.
    pub(crate) fn learn(&self, account: &AccountId, learned: &[(Subject, Profile)]) -> Vec<Write> {
        let at = self.inner.clock.now();
        let mut writes: HashMap<Key, Write> = HashMap::new();
        for (subject, profile) in learned {
            self.inner.people.put(account, subject, Some(profile.clone()), until(at, KEEP_MS));
            writes.insert(place(account, subject), keep(account, subject, at, profile.clone()));
        }
        writes.into_values().collect()
    }

    /// Fills in the names that an event's author and mentions lack. What can't be told is shown by its key. Costs
    /// nothing where all are named. Returns whether there was anything to fill in, and so time may have passed.
    pub(crate) async fn complete(&self, event: &mut Event) -> Result<bool, Unavailable> {
        let mut missing = Vec::new();
        if let Some(author) = event.author.as_ref().filter(|author| author.name.is_empty()) {
            missing.push(Subject::User(author.key.clone()));
        }
        if let EventKind::Posted(message) | EventKind::Edited(message) = &mut event.kind {
            each_mention(&mut message.body, &mut |kind, label| {
                if label.is_empty()
                    && let Some(subject) = subject(kind)
                    && !missing.contains(&subject)
                {
                    missing.push(subject);
                }
            });
        }
        if missing.is_empty() {
            return Ok(false);
        }
        let account = event.room.account.clone();
        missing.truncate(ASKED_MAX);
        let found = self.profiles(&account, missing).await?;
        if let Some(author) = event.author.as_mut().filter(|author| author.name.is_empty()) {
            fill(author, found.get(&Subject::User(author.key.clone())));
        }
        if let EventKind::Posted(message) | EventKind::Edited(message) = &mut event.kind {
            each_mention(&mut message.body, &mut |kind, label| {
                if label.is_empty()
                    && let Some(subject) = subject(kind)
                {
                    let told = found.get(&subject).map(|profile| profile.name.as_str());
                    let told = told.unwrap_or_else(|| key_of(&subject));
                    // A room's name has its sign, a mention gets it where it is shown.
                    let sign = if matches!(subject, Subject::Room(_)) { "#" } else { "" };
                    told.strip_prefix(sign).unwrap_or(told).clone_into(label);
                }
            });
        }
        Ok(true)
    }

    /// What a room is called, and where it is, where its platform tells that.
    pub(crate) async fn known_room(&self, at: &RoomRef) -> Result<Option<Profile>, Unavailable> {
        let subject = Subject::Room(at.key.clone());
        Ok(self.profiles(&at.account, vec![subject.clone()]).await?.remove(&subject))
    }

    /// What those keys stand for: from memory, from the store, from the platform.
    async fn profiles(
        &self,
        account: &AccountId,
        wanted: Vec<Subject>,
    ) -> Result<HashMap<Subject, Profile>, Unavailable> {
        let now = self.inner.clock.now();
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        for subject in wanted {
            let known = match self.inner.people.get(account, &subject, now) {
                Some(known) => Some(known),
                None => self.kept(account, &subject, now).await?.map(Some),
            };
            match known {
                Some(Some(profile)) => drop(found.insert(subject, profile)),
                Some(None) => {}
                None => unknown.push(subject),
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        let mut writes = Vec::new();
        let mut silent: BTreeSet<usize> = (0..unknown.len()).collect();
        let told = stream::iter(unknown.clone().into_iter().enumerate())
            .map(|(i, subject)| async move { (i, self.look_up(account, &subject).await) })
            .buffer_unordered(AT_ONCE);
        let mut told = std::pin::pin!(told);
        let patience = tokio::time::sleep(PATIENCE);
        let mut patience = std::pin::pin!(patience);
        loop {
            let (i, told) = tokio::select! {
                told = told.next() => match told { Some(told) => told, None => break },
                () = &mut patience => break,
            };
            silent.remove(&i);
            let subject = &unknown[i];
            match told? {
                Ok(profile) => {
                    self.inner.people.put(account, subject, Some(profile.clone()), until(now, KEEP_MS));
                    writes.push(keep(account, subject, now, profile.clone()));
                    found.insert(subject.clone(), profile);
                }
                Err(outcome) => {
                    let patient = matches!(outcome, Outcome::Retry { .. });
                    let long = if patient { SILENT_MS } else { NOTHING_MS };
                    self.inner.people.put(account, subject, None, until(now, long));
                }
            }
        }
        for i in silent {
            self.inner.people.put(account, &unknown[i], None, until(now, SILENT_MS));
        }
        if !writes.is_empty() {
            // A name that is not kept is asked for again: no reason to hold the message up.
            let kept = self.inner.store.commit(Commit { writes, ..Commit::default() }).await;
            if let Err(e) = kept {
                tracing::warn!(error = %e, "names that were looked up could not be kept");
            }
        }
        Ok(found)
    }

    async fn kept(
        &self,
        account: &AccountId,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Option<Profile>, Unavailable> {
        let row = rows::load::<Kept>(&*self.inner.store, &place(account, subject)).await?;
        let Some(Kept { at, profile }) = row.map(|row| row.value) else { return Ok(None) };
        if until(at, KEEP_MS) <= now.as_millisecond() {
            return Ok(None);
        }
        self.inner.people.put(account, subject, Some(profile.clone()), until(at, KEEP_MS));
        Ok(Some(profile))
    }

    /// Asks the platform. A name that is empty is none.
    pub(crate) async fn look_up(
        &self,
        account: &AccountId,
        subject: &Subject,
    ) -> Result<Result<Profile, Outcome>, Unavailable> {
        let Some(mut open) = self.open(account).await? else {
            return Ok(Err(Outcome::refused("the account is gone")));
        };
        let told = self
            .ask(
                &mut open,
                |platform, opened| platform.look_up(opened, subject),
                |platform, opened, response, now| platform.looked_up(opened, subject, response, now),
            )
            .await?;
        Ok(match told {
            None => Err(Outcome::refused("this platform tells no names")),
            Some(Ok(profile)) if profile.name.trim().is_empty() => match profile.username.clone() {
                Some(name) if !name.trim().is_empty() => Ok(Profile { name, ..profile }),
                _ => Err(Outcome::refused("the platform told an empty name")),
            },
            Some(told) => told,
        })
    }
}

impl People {
    /// `Some(None)`: it stands for nothing.
    #[allow(clippy::option_option, reason = "unknown, known to be nothing, and known are three things")]
    fn get(&self, account: &AccountId, subject: &Subject, now: Timestamp) -> Option<Option<Profile>> {
        let mut memory = self.0.lock().ok()?;
        memory.tick += 1;
        let tick = memory.tick;
        let known = memory.known.get_mut(&(account.clone(), subject.clone()))?;
        if known.until <= now.as_millisecond() {
            return None;
        }
        known.used = tick;
        Some(known.profile.clone())
    }

    fn put(&self, account: &AccountId, subject: &Subject, profile: Option<Profile>, until: i64) {
        let Ok(mut memory) = self.0.lock() else { return };
        memory.take(account, subject);
        if memory.known.len() >= MAX {
            memory.shrink();
        }
        memory.tick += 1;
        let used = memory.tick;
        if let (Subject::User(key), Some(profile)) = (subject, &profile) {
            let names = memory.names.entry(account.clone()).or_default();
            for name in names_of(profile) {
                names.entry(name).or_default().insert(key.clone());
            }
        }
        memory.known.insert((account.clone(), subject.clone()), Remembered { profile, until, used });
    }
}

impl Memory {
    /// Forgets one, by its names too.
    fn take(&mut self, account: &AccountId, subject: &Subject) {
        let Some(old) = self.known.remove(&(account.clone(), subject.clone())) else { return };
        let (Subject::User(key), Some(profile)) = (subject, &old.profile) else { return };
        let Some(names) = self.names.get_mut(account) else { return };
        for name in names_of(profile) {
            if let Some(keys) = names.get_mut(&name) {
                keys.remove(key);
                if keys.is_empty() {
                    names.remove(&name);
                }
            }
        }
        if names.is_empty() {
            self.names.remove(account);
        }
    }

    /// Forgets the quarter that was not used for the longest time.
    fn shrink(&mut self) {
        let mut ticks: Vec<u64> = self.known.values().map(|known| known.used).collect();
        let (_, &mut limit, _) = ticks.select_nth_unstable(MAX / 4);
        let old: Vec<_> =
            self.known.iter().filter(|(_, known)| known.used <= limit).map(|(at, _)| at.clone()).collect();
        for (account, subject) in old {
            self.take(&account, &subject);
        }
    }
}

/// Calls for every mention in a text.
pub(crate) fn each_mention(text: &mut Text, see: &mut impl FnMut(&MentionKind, &mut String)) {
    each_in_blocks(&mut text.blocks, see);
}

fn each_in_blocks(blocks: &mut [Block], see: &mut impl FnMut(&MentionKind, &mut String)) {
    for block in blocks {
        match block {
            Block::Paragraph(inlines) => each_in_inlines(inlines, see),
            Block::Quote(inner) => each_in_blocks(inner, see),
            Block::List { items, .. } => items.iter_mut().for_each(|item| each_in_blocks(item, see)),
            Block::Code { .. } => {}
        }
    }
}

fn each_in_inlines(inlines: &mut [Inline], see: &mut impl FnMut(&MentionKind, &mut String)) {
    for inline in inlines {
        match inline {
            Inline::Mention(mention) => see(&mention.kind, &mut mention.label),
            Inline::Strong(inner) | Inline::Emphasis(inner) | Inline::Struck(inner) => each_in_inlines(inner, see),
            Inline::Link { label, .. } => each_in_inlines(label, see),
            Inline::Text(_) | Inline::Code(_) | Inline::Emoji(_) | Inline::Break => {}
        }
    }
}

/// The names that a person goes by, folded.
fn names_of(profile: &Profile) -> BTreeSet<String> {
    let names = [Some(&profile.name), profile.username.as_ref()].into_iter().flatten();
    names.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect()
}

fn fill(author: &mut Author, profile: Option<&Profile>) {
    let Some(profile) = profile else {
        author.name = author.username.clone().unwrap_or_else(|| author.key.to_string());
        return;
    };
    author.name.clone_from(&profile.name);
    let or = |own: &mut Option<String>, told: &Option<String>| {
        if own.is_none() {
            own.clone_from(told);
        }
    };
    or(&mut author.username, &profile.username);
    or(&mut author.team, &profile.team);
    or(&mut author.avatar, &profile.avatar);
    author.bot |= profile.bot;
}

fn subject(kind: &MentionKind) -> Option<Subject> {
    match kind {
        MentionKind::User(key) => Some(Subject::User(key.clone())),
        MentionKind::Room(key) => Some(Subject::Room(key.clone())),
        MentionKind::Group(key) => Some(Subject::Group(key.clone())),
        MentionKind::Everyone => None,
    }
}

fn key_of(subject: &Subject) -> &str {
    match subject {
        Subject::User(key) => key.as_str(),
        Subject::Room(key) => key.as_str(),
        Subject::Group(key) => key,
    }
}

fn place(account: &AccountId, subject: &Subject) -> Key {
    let kind = match subject {
        Subject::User(_) => "user",
        Subject::Room(_) => "room",
        Subject::Group(_) => "group",
    };
    keys::who(account, kind, key_of(subject))
}

fn keep(account: &AccountId, subject: &Subject, at: Timestamp, profile: Profile) -> Write {
    let expires = Timestamp::from_millisecond(until(at, KEEP_MS)).ok();
    rows::put(place(account, subject), &Kept { at, profile }, expires, When::Always)
}

fn until(at: Timestamp, ms: i64) -> i64 {
    at.as_millisecond().saturating_add(ms)
}
