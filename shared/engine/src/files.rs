//! Files on their way: fetched where the target takes files, and handed out under an address of our own where only the
//! account that received them may read them. Their bytes are never kept; how much memory they take is bounded. It must
//! not know where a platform keeps its files.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use sameroom_model::{
    Access, Account, AccountId, AccountState, Action, Attachment, Delivery, Identity, Outcome, OwnerId, Place, Sealed,
};
use sameroom_platforms::{Carrier, Files};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::accounts::Open;
use crate::attempt::no_answer;
use crate::ports::{Commit, Unavailable, When};
use crate::{Engine, keys, mentions, rows};

/// How many files of one message are copied; of the others links are given.
const FILES_MAX: usize = 10;
/// How many bytes the files of one message may have in memory.
const DELIVERY_MAX: u64 = 32 * MIB;
/// How many bytes all files on their way into rooms may have in memory. Twice one message's at least.
const ALL_MAX: u64 = 64 * MIB;
/// How many bytes a file may have whose size is not known.
const UNKNOWN_MAX: u64 = 8 * MIB;
/// How many files of one message are fetched at once.
const AT_ONCE: usize = 2;
/// How many bytes a file may have that is handed out, and all of them that are being read.
const HANDED_MAX: u64 = 50 * MIB;
const HANDED_ALL_MAX: u64 = 128 * MIB;
/// How long a file is handed out.
const HANDED_FOR: Duration = Duration::from_hours(7 * 24);
const MIB: u64 = 1024 * 1024;

/// How much memory there is for files, in KiB.
pub(crate) struct Memory {
    deliveries: Arc<Semaphore>,
    handed: Arc<Semaphore>,
}

impl Default for Memory {
    fn default() -> Self {
        let room = |bytes| Arc::new(Semaphore::new(kib(bytes) as usize));
        Self { deliveries: room(ALL_MAX), handed: room(HANDED_ALL_MAX) }
    }
}

/// Why a file can't be handed out.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The platform did not give it; a sentence.
    #[error("the file can't be read where it is: {0}")]
    Failed(String),
    /// The store failed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A delivery with all that is filled in just before it is made, and never kept.
pub(crate) struct Ready<'a> {
    pub(crate) delivery: Cow<'a, Delivery>,
    /// The memory that its files take.
    #[allow(dead_code, reason = "it is held as long as the files are, and given back with them")]
    memory: Option<OwnedSemaphorePermit>,
}

/// A file that is handed out. Its name is in the address alone.
#[derive(Serialize, Deserialize)]
struct Handed {
    account: AccountId,
    file: Attachment,
}

impl Engine {
    /// The file of an address that was handed out, fetched now. `None`: there is none, or its time is over. Its name is
    /// empty: the address has it.
    pub async fn file(&self, token: &str) -> Result<Option<(Attachment, Bytes)>, FileError> {
        let Some(kept) = rows::load::<Handed>(&*self.inner.store, &keys::file(token)).await? else { return Ok(None) };
        let Handed { account, file } = kept.value;
        let max = file.size.unwrap_or(HANDED_MAX);
        if max > HANDED_MAX {
            return Err(FileError::Failed(format!("it has more than {} MiB", HANDED_MAX / MIB)));
        }
        let _memory = self.inner.files.handed.clone().acquire_many_owned(kib(max)).await;
        let bytes = self.fetch(&account, &file, max).await.map_err(FileError::Failed)?;
        Ok(Some((file, bytes)))
    }

    /// Fills in what a delivery needs at this target and what is not kept with it: its files, and who its mentions mean.
    pub(crate) async fn ready<'a>(&self, open: &Open, delivery: &'a Delivery) -> Result<Ready<'a>, Unavailable> {
        let capabilities = &open.platform.about().capabilities;
        let mut ready = Ready { delivery: Cow::Borrowed(delivery), memory: None };
        let (from, to) = (&delivery.lane.from.account, &delivery.lane.to.account);
        if capabilities.markup.mention
            && from != to
            && matches!(delivery.action, Action::Post { .. } | Action::Edit { .. })
        {
            let known = self.recall_people(to).await?;
            let by_name = known && self.inner.config.mention_by_name;
            if let Action::Post { body, .. } | Action::Edit { body, .. } = &mut ready.delivery.to_mut().action {
                mentions::localise(body, from, to, by_name, &|name| self.people_named(to, name));
            }
        }
        let Action::Post { attachments, .. } = &delivery.action else { return Ok(ready) };
        if attachments.is_empty() {
            return Ok(ready);
        }
        if let Files::Upload { max } = capabilities.files
            && capabilities.carrier == Carrier::Http
        {
            let (memory, contents) = self.contents(from, attachments, max).await;
            ready.memory = memory;
            if let Action::Post { attachments, .. } = &mut ready.delivery.to_mut().action {
                for (i, content) in contents {
                    attachments[i].content = Some(content);
                }
            }
        }
        if attachments.iter().any(|file| file.access == Access::Account)
            && let Action::Post { attachments, .. } = &mut ready.delivery.to_mut().action
        {
            for file in attachments.iter_mut().filter(|file| file.content.is_none()) {
                self.hand_out(from, file).await?;
            }
        }
        Ok(ready)
    }

    /// The bytes of those files that can be had, by their place, and the memory that they take. Of the others links are
    /// given.
    async fn contents(
        &self,
        from: &AccountId,
        files: &[Attachment],
        max: u64,
    ) -> (Option<OwnedSemaphorePermit>, Vec<(usize, Bytes)>) {
        let mut left = DELIVERY_MAX;
        let mut wanted = Vec::new();
        for (i, file) in files.iter().enumerate().take(FILES_MAX) {
            let need = file.size.unwrap_or(UNKNOWN_MAX.min(max));
            if need <= max && need <= left {
                left -= need;
                wanted.push((i, file.clone(), need));
            }
        }
        if wanted.is_empty() {
            return (None, Vec::new());
        }
        // All at once: two deliveries that each held a part of what they need would wait for each other.
        let permits = kib(DELIVERY_MAX - left);
        let memory = self.inner.files.deliveries.clone().acquire_many_owned(permits).await.ok();
        let mut fetched = stream::iter(wanted)
            .map(|(i, file, need)| async move { (i, self.fetch(from, &file, need).await) })
            .buffer_unordered(AT_ONCE);
        let mut contents = Vec::new();
        while let Some((i, content)) = fetched.next().await {
            match content {
                Ok(content) => contents.push((i, content)),
                Err(why) => tracing::info!(account = %from, why, "a file can't be copied; its link is given"),
            }
        }
        (memory, contents)
    }

    /// A file's bytes. `Err`: why it can't be had, without its name or address.
    async fn fetch(&self, account: &AccountId, file: &Attachment, max: u64) -> Result<Bytes, String> {
        if file.access == Access::Public {
            return self.fetch_public(file, max).await;
        }
        let open = self.open(account).await.map_err(|e| e.to_string())?;
        let mut open = open.ok_or_else(|| format!("the account {account} is gone"))?;
        open = self.fresh(&open).await.map_err(|e| e.to_string())?;
        let mut renewed = false;
        loop {
            let request = open.platform.download(&open.opened, file);
            let request = request.ok_or("its address is not one that the account may ask for")?;
            let answered = match self.inner.wire.download(&open.opened.account, request, max).await {
                Ok(response) => open.platform.downloaded(file, response),
                Err(e) => Err(no_answer(e)),
            };
            match answered {
                Ok(bytes) => return within(bytes, max),
                Err(outcome @ Outcome::Disconnected { .. }) if !renewed => {
                    let again = self.renew(&open, outcome).await.map_err(|e| e.to_string())?;
                    (open, renewed) = (again.map_err(|outcome| why(&outcome).to_owned())?, true);
                }
                Err(outcome) => return Err(why(&outcome).to_owned()),
            }
        }
    }

    async fn fetch_public(&self, file: &Attachment, max: u64) -> Result<Bytes, String> {
        if !file.url.starts_with("https://") {
            return Err("its address does not begin with https://".to_owned());
        }
        let request = http::Request::get(&file.url).body(Bytes::new());
        let request = request.map_err(|_| "its address can't be called".to_owned())?;
        let answered = self.inner.wire.download(&stranger(OwnerId::from("nobody"), ""), request, max).await;
        let response = answered.map_err(|e| why(&no_answer(e)).to_owned())?;
        if !response.status().is_success() {
            return Err(format!("it was answered {}", response.status()));
        }
        within(response.into_body(), max)
    }

    /// Gives a file that only its account may read an address of our own, if there is one to give.
    async fn hand_out(&self, account: &AccountId, file: &mut Attachment) -> Result<(), Unavailable> {
        if file.access != Access::Account {
            return Ok(());
        }
        let Some(public) = self.inner.config.public_url.as_deref().and_then(|url| Url::parse(url).ok()) else {
            return Ok(());
        };
        let Some(open) = self.open(account).await? else { return Ok(()) };
        if open.platform.download(&open.opened, file).is_none() {
            return Ok(());
        }
        let token = self.random_token()?;
        let mut url = public;
        let name = if file.name.trim_matches('.').is_empty() { "file" } else { &file.name };
        match url.path_segments_mut() {
            Ok(mut path) => drop(path.pop_if_empty().extend(["files", &token, name])),
            Err(()) => return Ok(()),
        }
        let handed = Handed { account: account.clone(), file: Attachment { name: String::new(), ..file.clone() } };
        let expires = self.inner.clock.now().checked_add(HANDED_FOR).ok();
        let writes = vec![rows::put(keys::file(&token), &handed, expires, When::Always)];
        self.commit_always(Commit { writes, ..Commit::default() }).await?;
        file.url = url.into();
        file.access = Access::Public;
        Ok(())
    }
}

/// An account of an owner that is not there yet, or is nobody's: what is asked in its name is guarded as that owner's.
pub(crate) fn stranger(owner: OwnerId, platform: &str) -> Account {
    Account {
        id: AccountId::from("stranger"),
        owner,
        platform: platform.to_owned(),
        endpoint: String::new(),
        identity: Identity::default(),
        settings: serde_json::Value::Null,
        secrets: Sealed::default(),
        state: AccountState::Ok,
        place: Place::Alone,
        unknown: serde_json::Map::new(),
    }
}

/// The sentence of an outcome.
pub(crate) fn why(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Done { .. } => "it was over",
        Outcome::Retry { why, .. } | Outcome::Refused { why } => why,
        Outcome::RoomClosed { why } | Outcome::Disconnected { why } => why,
    }
}

fn within(bytes: Bytes, max: u64) -> Result<Bytes, String> {
    if bytes.len() as u64 > max { Err(format!("it has more than {max} bytes")) } else { Ok(bytes) }
}

/// In KiB, rounded up, so that it fits a count of permits.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}
