//! `open` and `connect CODE`. A code is 40 random bits, kept by its hash for two minutes, one a room, good for one
//! connection. Tries are counted before a code is looked at, per room, per account and in all.

use std::time::Duration;

use sameroom_model::{Event, MadeBy, RoomRef};
use serde::{Deserialize, Serialize};

use super::limits::Limit;
use super::parse::{CODE_LENGTH, CODE_LETTERS};
use super::{Reply, answers};
use crate::link::LinkError;
use crate::ports::{Commit, CommitError, Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// How long a code is good for.
const GOOD: Duration = Duration::from_mins(2);
/// How many tries there are in a minute: by a room, by all rooms of an account, by all rooms of all. With a thousand
/// codes open, the last makes one hit in some fourteen years of guessing.
const TRIES: [u32; 3] = [5, 60, 600];

/// A code's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Code {
    room: RoomRef,
    /// Which room is being connected by it. Noted first: one code makes one Tube, and what a crash cut short is taken
    /// up again by the same room.
    #[serde(default)]
    used_by: Option<RoomRef>,
}

impl Engine {
    pub(super) async fn open_code(&self, event: &Event) -> Result<Reply, Unavailable> {
        let room = self.here(&event.room).await?.at;
        let mut random = [0; CODE_LENGTH];
        self.inner.vault.random(&mut random)?;
        // 32 letters divide 256, so none is likelier than another.
        let code: String = random.iter().map(|b| char::from(CODE_LETTERS[usize::from(b % 32)])).collect();
        let expires = self.inner.clock.now().checked_add(GOOD).ok();
        let hash = keys::secret_hash(&code);
        let mut reply = Reply::lines(answers::opened(&code));
        if let Some(earlier) = rows::load::<String>(&*self.inner.store, &keys::code_of(&room)).await?
            && earlier.value != hash
        {
            reply.writes.push(Write::Delete { key: keys::code(&earlier.value), when: When::Always });
        }
        reply.writes.push(rows::put(keys::code_of(&room), &hash, expires, When::Always));
        reply.writes.push(rows::put(keys::code(&hash), &Code { room, used_by: None }, expires, When::Always));
        Ok(reply)
    }

    pub(super) async fn connect_by_code(&self, event: &Event, code: &str) -> Result<Reply, Unavailable> {
        let (account, room) = (event.room.account.as_str(), event.room.key.as_str());
        let tries = [vec![account, room], vec![account], vec![]];
        let limits: Vec<Limit<'_>> =
            tries.into_iter().zip(TRIES).map(|(of, max)| Limit { what: "code", of, max }).collect();
        if !self.within(&limits).await? {
            tracing::warn!(account, "codes are being guessed, or mistyped often");
            return Ok(Reply::line(answers::TOO_MANY_GUESSES));
        }
        let hash = keys::secret_hash(code);
        let here = self.here(&event.room).await?;
        let there = match self.take_code(&hash, &here.at).await? {
            Some(there) if there == here.at => return Ok(Reply::line(answers::OWN_CODE)),
            Some(there) => there,
            None => return Ok(Reply::line(answers::UNKNOWN_CODE)),
        };
        let owners = (self.account(&here.at.account).await?, self.account(&there.account).await?);
        let (Some(mine), Some(theirs)) = owners else { return Ok(Reply::line(answers::UNKNOWN_CODE)) };
        let made = self.connect([&theirs.owner, &mine.owner], [&there, &here.at], MadeBy::Command).await;
        let mut reply = match made {
            // Both rooms are told by the Tube itself.
            Ok(linked) if linked.new => Reply::default(),
            Ok(_) => match self.room(&there).await? {
                Some(there) => {
                    Reply::line(format!("This room is connected with {} already.", answers::place_of(&there)))
                }
                None => Reply::line(answers::UNKNOWN_CODE),
            },
            Err(LinkError::Unavailable(e)) => return Err(e),
            Err(LinkError::SameRoom(_)) => Reply::line(answers::OWN_CODE),
            Err(e) => Reply::line(format!("This room could not be connected: {e}.")),
        };
        reply.writes.push(Write::Delete { key: keys::code(&hash), when: When::Always });
        reply.writes.push(Write::Delete { key: keys::code_of(&there), when: When::Always });
        Ok(reply)
    }

    /// Takes a code for a room; gives the room that it is of. `None`: there is no such code, or another took it. The
    /// code's own room does not use it up.
    async fn take_code(&self, hash: &str, by: &RoomRef) -> Result<Option<RoomRef>, Unavailable> {
        loop {
            let Some(kept) = rows::load::<Code>(&*self.inner.store, &keys::code(hash)).await? else { return Ok(None) };
            let code = kept.value;
            match &code.used_by {
                _ if code.room == *by => return Ok(Some(code.room)),
                Some(taken) if taken == by => return Ok(Some(code.room)),
                Some(_) => return Ok(None),
                None => {}
            }
            let expires = self.inner.clock.now().checked_add(GOOD).ok();
            let taken = Code { used_by: Some(by.clone()), ..code.clone() };
            let writes = vec![rows::put(keys::code(hash), &taken, expires, When::Version(kept.version))];
            match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
                Ok(_) => return Ok(Some(code.room)),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }
}
