//! Owners: adding, finding, changing. The operator is one that there always is.

use sameroom_model::{Owner, OwnerId, Timestamp};
use sameroom_text::names;

use crate::changes::ChangeKind;
use crate::page::{Changed, Page, as_expected, read};
use crate::ports::{Commit, CommitError, Unavailable, When};
use crate::{Engine, keys, rows};

/// The longest name, in graphemes.
const NAME_MAX: usize = 80;

/// What to change about an owner. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerChange {
    /// The name.
    pub name: Option<String>,
    /// The address; `Some(None)` takes it away.
    pub mail: Option<Option<String>>,
}

impl Engine {
    /// Adds an owner.
    pub async fn add_owner(&self, name: &str, mail: Option<&str>) -> Result<Owner, Unavailable> {
        loop {
            let id = OwnerId::new(format!("owner-{}", self.random_id()?));
            let now = self.inner.clock.now();
            let name = names::clean(name, NAME_MAX);
            let mail = mail.map(ToOwned::to_owned);
            let owner = Owner { id, name, mail, made_at: now, version: version(now, 0) };
            let writes = vec![rows::put(keys::owner_row(&owner.id), &owner, None, When::Absent)];
            match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
                Ok(_) => return Ok(owner),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// One owner.
    pub async fn owner(&self, id: &OwnerId) -> Result<Option<Owner>, Unavailable> {
        Ok(self.owner_row(id).await?.map(|(owner, _)| owner))
    }

    /// All owners, in order of id. The operator is among them.
    pub async fn owners(&self, after: Option<&str>, limit: usize) -> Result<Page<Owner>, Unavailable> {
        let operator = OwnerId::from(Owner::OPERATOR);
        if let Some((owner, None)) = self.owner_row(&operator).await? {
            let writes = vec![rows::put(keys::owner_row(&operator), &owner, None, When::Absent)];
            match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
                Ok(_) | Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
        let page = read(&*self.inner.store, keys::OWNERS, keys::OWNER, after, limit).await?;
        let items = page.items.iter().map(|(key, row)| rows::decode(key, row).map(|kept| kept.value));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next: page.next })
    }

    /// Changes an owner.
    pub async fn change_owner(
        &self,
        id: &OwnerId,
        change: &OwnerChange,
        expected: Option<u64>,
    ) -> Result<Changed<Owner>, Unavailable> {
        loop {
            let Some((mut owner, row)) = self.owner_row(id).await? else { return Ok(Changed::Gone) };
            if !as_expected(expected, owner.version) {
                return Ok(Changed::Stale);
            }
            if let Some(name) = &change.name {
                owner.name = names::clean(name, NAME_MAX);
            }
            if let Some(mail) = &change.mail {
                owner.mail.clone_from(mail);
            }
            owner.version = version(self.inner.clock.now(), owner.version);
            let when = row.map_or(When::Absent, When::Version);
            let mut commit = Commit::default();
            commit.writes.push(rows::put(keys::owner_row(id), &owner, None, when));
            let news = self.note(&mut commit, &[(id, ChangeKind::OwnerChanged, id.to_string())]).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.wake(news);
                    return Ok(Changed::Done(owner));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// An owner, and the version of their row. The operator may have none.
    async fn owner_row(&self, id: &OwnerId) -> Result<Option<(Owner, Option<u64>)>, Unavailable> {
        let kept = rows::load::<Owner>(&*self.inner.store, &keys::owner_row(id)).await?;
        let known = kept.map(|kept| (kept.value, Some(kept.version)));
        let operator = || {
            let name = "Operator".to_owned();
            let made_at = Timestamp::UNIX_EPOCH;
            (Owner { id: id.clone(), name, mail: None, made_at, version: 0 }, None)
        };
        Ok(known.or_else(|| (id.as_str() == Owner::OPERATOR).then(operator)))
    }
}

/// The version of what is changed now: microseconds since 1970, or one more than before.
pub(crate) fn version(now: Timestamp, before: u64) -> u64 {
    (now.as_microsecond().max(0) as u64).max(before + 1)
}
