//! Moving one side of a Tube to another room, on another platform perhaps. The Tube's id is derived from its rooms, so it
//! is another Tube in the store; to its owners it is the same one.

use sameroom_model::{OwnerId, Portal, Room, RoomRef, Text, Tube, TubeId};

use crate::changes::ChangeKind;
use crate::leaves::EdgeChange;
use crate::link::{LinkError, tube_id};
use crate::owners::version;
use crate::page::{Changed, as_expected};
use crate::portals::PortalRow;
use crate::ports::{Commit, CommitError, Unavailable, When};
use crate::tube_rows::{self, Label, Line};
use crate::tubes::TubeView;
use crate::{Engine, keys, rows};

/// How many Portals can move with a side at once: what a transaction holds.
const PORTALS_MAX: usize = 30;

/// What to move. See [`Engine::move_side`].
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// The room that the viewer's side is at now.
    pub from: &'a RoomRef,
    /// The room of the viewer's that it moves to.
    pub to: &'a RoomRef,
    /// Whether the viewer's Portals for `from` lead to `to` from now on.
    pub portals: bool,
}

impl Engine {
    /// Moves an owner's side of a Tube to another room of theirs, in one transaction: the side's direction and pauses,
    /// the room's options and, if wanted, its Portals come with it, and it is said in all three rooms. The Tube has
    /// another id then, since that is derived from its rooms.
    pub async fn move_side(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        what: &Move<'_>,
        expected: Option<u64>,
    ) -> Result<Changed<TubeView>, LinkError> {
        loop {
            let Some(kept) = self.tube_of(owner, id).await? else { return Ok(Changed::Gone) };
            if !as_expected(expected, kept.value.version) {
                return Ok(Changed::Stale);
            }
            let Some(at) = kept.value.ends.iter().position(|end| end.owner == *owner && end.room == *what.from) else {
                return Ok(Changed::Gone);
            };
            let Some(to) = self.owned_room(owner, what.to).await? else {
                return Err(LinkError::UnknownRoom(what.to.key.to_string()));
            };
            let old = self.line(kept.value).await?;
            let other = &old.tube.ends[1 - at].room;
            if other == what.to {
                return Err(LinkError::SameRoom(to.value.name));
            }
            if what.from == what.to {
                return Ok(Changed::Done(old.view(owner)));
            }
            let new = self.moved(&old, at, &to.value);
            if rows::load::<Tube>(&*self.inner.store, &keys::tube(&new.tube.id)).await?.is_some() {
                return Err(LinkError::AlreadyConnected(to.value.name));
            }
            let mut commit =
                Commit { writes: tube_rows::delete(&old.tube, When::Version(kept.version)), ..Commit::default() };
            commit.writes.extend(new.put(When::Absent));
            let mut changes = tube_rows::news(&old.tube, ChangeKind::TubeRemoved);
            changes.extend(tube_rows::news(&new.tube, ChangeKind::TubeMade));
            let mut options = None;
            if let Some(from) = self.room(what.from).await? {
                options = Some(from.options);
                let room = Room { options: from.options, ..to.value.clone() };
                commit.writes.push(rows::put(keys::room(what.to), &room, None, When::Version(to.version)));
            }
            for (room, change) in [
                (what.from, EdgeChange { removed: Some(other), ..EdgeChange::default() }),
                (what.to, EdgeChange { added: Some(other), options, ..EdgeChange::default() }),
                (other, EdgeChange { removed: Some(what.from), added: Some(what.to), options: None }),
            ] {
                self.rewire(room, change, &mut commit).await?;
            }
            if let Some((key, mut guest)) = self.guest_of(&old.tube).await? {
                let theirs = &new.labels[1];
                guest.value.guest.tube = Some(new.tube.id.clone());
                guest.value.guest.name.clone_from(&theirs.name);
                guest.value.guest.site.clone_from(&theirs.site);
                commit.writes.push(rows::put(key, &guest.value, None, When::Version(guest.version)));
            }
            let portals = if what.portals { self.portals_of(owner, what.from).await? } else { Vec::new() };
            if portals.len() > PORTALS_MAX {
                return Err(LinkError::TooManyPortals(PORTALS_MAX));
            }
            for portal in portals {
                let row = self.led_to(portal.value, &to.value);
                changes.push((owner, ChangeKind::PortalChanged, row.portal.id.to_string()));
                let key = keys::owner_portal(owner, &row.portal.id);
                commit.writes.push(rows::put(key, &row, None, When::Version(portal.version)));
            }
            self.tell_moved(&old, &new, at, &mut commit).await?;
            let news = self.note(&mut commit, &changes).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.changed();
                    self.wake(news);
                    return Ok(Changed::Done(new.view(owner)));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e.into()),
            }
        }
    }

    fn moved(&self, old: &Line, at: usize, to: &Room) -> Line {
        let mut new = old.clone();
        new.tube.ends[at].room = to.at.clone();
        new.tube.id = tube_id(&new.tube.ends[0].room, &new.tube.ends[1].room);
        new.tube.version = version(self.inner.clock.now(), old.tube.version);
        new.labels[at] = Label::of(to);
        new
    }

    fn led_to(&self, row: PortalRow, to: &Room) -> PortalRow {
        let portal = Portal {
            room: to.at.clone(),
            name: to.name.clone(),
            site: to.site.clone(),
            version: version(self.inner.clock.now(), row.portal.version),
            ..row.portal
        };
        PortalRow { portal, ..row }
    }

    async fn tell_moved(&self, old: &Line, new: &Line, at: usize, commit: &mut Commit) -> Result<(), Unavailable> {
        let (from, to, other) = (&old.labels[at], &new.labels[at], &new.labels[1 - at]);
        let words = [
            (
                &new.tube.ends[1 - at].room,
                format!(
                    "The connection to {} on {} has moved: it is to {} on {} now.",
                    from.name, from.site, to.name, to.site
                ),
            ),
            (&new.tube.ends[at].room, format!("This room is now connected to {} on {}.", other.name, other.site)),
            (
                &old.tube.ends[at].room,
                format!(
                    "The connection to {} on {} has moved from here to {} on {}.",
                    other.name, other.site, to.name, to.site
                ),
            ),
        ];
        for (room, words) in words {
            self.notice(room, &Text::plain(&words), commit).await?;
        }
        Ok(())
    }
}
