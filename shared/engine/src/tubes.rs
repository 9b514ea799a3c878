//! Tubes as their owners manage them: listing, pausing, one-way by side, moving a side to another room, closing. A Tube
//! has up to two owners; each sees of the other's side the room's name and where it is, and nothing else (promise 6).

use sameroom_model::{
    Direction, GuestState, Lane, MadeBy, OwnerId, PortalId, RoomRef, Text, Timestamp, Tube, TubeId, TubeState,
};

use crate::changes::ChangeKind;
use crate::joining::GuestRow;
use crate::leaves::EdgeChange;
use crate::owners::version;
use crate::page::{Changed, Page, as_expected, read};
use crate::ports::{Commit, CommitError, Unavailable, When};
use crate::tube_rows::{self, Line};
use crate::{Engine, keys, rows};

/// A Tube as one of its owners sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TubeView {
    /// Its id.
    pub id: TubeId,
    /// Whether it carries messages.
    pub state: TubeState,
    /// The two sides. Where one of them is the other owner's, the viewer's is first.
    pub sides: [Side; 2],
    /// How it came to be.
    pub made_by: Made,
    /// When.
    pub made_at: Timestamp,
    /// Grows with every change.
    pub version: u64,
}

/// A side of a Tube, as one of the Tube's owners sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The room's name.
    pub name: String,
    /// Where it is.
    pub site: String,
    /// What only its owner sees; `None`: it is the other owner's.
    pub own: Option<OwnSide>,
    /// Why nothing reaches this room from the other one just now, when nothing does. Looked up only where one Tube is
    /// read.
    pub parked: Option<String>,
}

/// What only a side's owner sees of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSide {
    /// The room.
    pub room: RoomRef,
    /// Which way messages cross on this side.
    pub direction: Direction,
    /// Whether they paused the Tube. It is paused as long as either owner wants it so.
    pub paused: bool,
}

/// How a Tube came to be, as one of its owners sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// By the management interfaces.
    Operator,
    /// Through a Portal; its id where the viewer is its owner.
    Portal(Option<PortalId>),
    /// By a command in a room.
    Command,
}

impl Engine {
    /// A Tube of an owner.
    pub async fn tube(&self, owner: &OwnerId, id: &TubeId) -> Result<Option<TubeView>, Unavailable> {
        let Some(kept) = self.tube_of(owner, id).await? else { return Ok(None) };
        let mut view = self.line(kept.value.clone()).await?.view(owner);
        let [a, b] = &kept.value.ends;
        // The viewer's own side comes first.
        let swapped = a.owner != *owner;
        for (n, (from, to)) in [(b, a), (a, b)].into_iter().enumerate() {
            let lane = Lane { from: from.room.clone(), to: to.room.clone() };
            let row = self.lane_row(&lane).await?;
            view.sides[if swapped { 1 - n } else { n }].parked = row.and_then(|kept| kept.value.parked);
        }
        Ok(Some(view))
    }

    /// An owner's Tubes, in order of id. One query a page.
    pub async fn tubes_page(
        &self,
        owner: &OwnerId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<TubeView>, Unavailable> {
        Ok(self.lines(owner, after, limit).await?.map(|line| line.view(owner)))
    }

    /// An owner's Tubes.
    pub async fn tubes(&self, owner: &OwnerId) -> Result<Vec<Tube>, Unavailable> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.lines(owner, after.as_deref(), 1000).await?;
            found.extend(page.items.into_iter().map(|line| line.tube));
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Pauses a Tube for an owner, and says so in both rooms.
    pub async fn pause_tube(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        expected: Option<u64>,
    ) -> Result<Changed<TubeView>, Unavailable> {
        Ok(seen_by(owner, self.alter(owner, id, expected, |tube| set_state(tube, owner, TubeState::Paused)).await?))
    }

    /// Takes back an owner's pause, and mends a Tube that broke. If the other owner has paused it, too, it stays
    /// paused.
    pub async fn resume_tube(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        expected: Option<u64>,
    ) -> Result<Changed<TubeView>, Unavailable> {
        Ok(seen_by(owner, self.alter(owner, id, expected, |tube| set_state(tube, owner, TubeState::Open)).await?))
    }

    /// Pauses, breaks or resumes a Tube for an owner. `None`: they have none of that id.
    pub async fn set_tube(&self, owner: &OwnerId, id: &TubeId, state: TubeState) -> Result<Option<Tube>, Unavailable> {
        let changed = self.alter(owner, id, None, |tube| set_state(tube, owner, state)).await?;
        Ok(changed.done().map(|line| line.tube))
    }

    /// Sets which way messages cross on an owner's own side. A room that is not theirs, or not an end of that Tube, is
    /// [`Changed::Gone`].
    pub async fn set_side(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        room: &RoomRef,
        direction: Direction,
        expected: Option<u64>,
    ) -> Result<Changed<TubeView>, Unavailable> {
        let Some(kept) = self.tube_of(owner, id).await? else { return Ok(Changed::Gone) };
        if !kept.value.ends.iter().any(|end| end.owner == *owner && end.room == *room) {
            return Ok(Changed::Gone);
        }
        let set = |tube: &mut Tube| {
            let mine = tube.ends.iter_mut().filter(|end| end.owner == *owner && end.room == *room);
            mine.for_each(|end| end.direction = direction);
        };
        Ok(seen_by(owner, self.alter(owner, id, expected, set).await?))
    }

    /// Closes a Tube, and says so in both rooms.
    pub async fn close_tube(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        expected: Option<u64>,
    ) -> Result<Changed<()>, Unavailable> {
        loop {
            let Some(kept) = self.tube_of(owner, id).await? else { return Ok(Changed::Gone) };
            if !as_expected(expected, kept.value.version) {
                return Ok(Changed::Stale);
            }
            if self.close(kept).await? {
                return Ok(Changed::Done(()));
            }
        }
    }

    /// Removes a Tube and says so in both rooms. Returns whether there was one.
    pub async fn remove_tube(&self, owner: &OwnerId, id: &TubeId) -> Result<bool, Unavailable> {
        Ok(self.close_tube(owner, id, None).await?.done().is_some())
    }

    /// Closes every Tube of a room, whoever made them, and says so on both sides: what anyone in a room may ask for.
    /// Returns how many there were.
    pub async fn disable_room(&self, room: &RoomRef) -> Result<usize, Unavailable> {
        let mut closed = 0;
        for tube in self.view(room).await?.tubes.clone() {
            while let Some(kept) = rows::load::<Tube>(&*self.inner.store, &keys::tube(&tube.id)).await? {
                if self.close(kept).await? {
                    closed += 1;
                    break;
                }
            }
        }
        Ok(closed)
    }

    async fn lines(&self, owner: &OwnerId, after: Option<&str>, limit: usize) -> Result<Page<Line>, Unavailable> {
        let page = read(&*self.inner.store, &keys::owner(owner), keys::TUBE, after, limit).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for (key, row) in &page.items {
            items.extend(self.owners_line(key, row).await?);
        }
        Ok(Page { items, next: page.next })
    }

    /// Changes a Tube. Where it carries messages no more, or again, that is said in both rooms.
    async fn alter(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        expected: Option<u64>,
        change: impl Fn(&mut Tube),
    ) -> Result<Changed<Line>, Unavailable> {
        loop {
            let Some(kept) = self.tube_of(owner, id).await? else { return Ok(Changed::Gone) };
            if !as_expected(expected, kept.value.version) {
                return Ok(Changed::Stale);
            }
            let mut line = self.line(kept.value.clone()).await?;
            change(&mut line.tube);
            if line.tube == kept.value {
                return Ok(Changed::Done(line));
            }
            line.tube.version = version(self.inner.clock.now(), kept.value.version);
            let mut commit = Commit { writes: line.put(When::Version(kept.version)), ..Commit::default() };
            if line.tube.state != kept.value.state {
                let word = match line.tube.state {
                    TubeState::Open => "carries messages again",
                    TubeState::Paused => "is paused",
                    TubeState::Broken => "is broken and carries no messages",
                };
                self.tell_both(&line, word, &mut commit).await?;
            }
            let news = self.note(&mut commit, &tube_rows::news(&line.tube, ChangeKind::TubeChanged)).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.changed();
                    self.wake(news);
                    if line.tube.state == TubeState::Open && kept.value.state != TubeState::Open {
                        // What is changed is changed, whatever becomes of this.
                        let _ = self.tube_is_mended(&line.tube).await;
                    }
                    return Ok(Changed::Done(line));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Closes a Tube as it was read. `false`: something changed in between; read it again.
    async fn close(&self, kept: rows::Kept<Tube>) -> Result<bool, Unavailable> {
        let line = self.line(kept.value).await?;
        let tube = &line.tube;
        let mut commit = Commit { writes: tube_rows::delete(tube, When::Version(kept.version)), ..Commit::default() };
        let mut changes = tube_rows::news(tube, ChangeKind::TubeRemoved);
        if let Some((key, mut guest)) = self.guest_of(tube).await? {
            (guest.value.guest.state, guest.value.guest.tube) = (GuestState::Removed, None);
            let id = GuestRow::news(tube, &guest.value.guest.id);
            commit.writes.push(rows::put(key, &guest.value, None, When::Version(guest.version)));
            changes.push((&tube.ends[0].owner, ChangeKind::GuestChanged, id));
        }
        for end in &tube.ends {
            let removed = tube.across(&end.room).map(|(there, _)| &there.room);
            self.rewire(&end.room, EdgeChange { removed, ..EdgeChange::default() }, &mut commit).await?;
        }
        self.tell_both(&line, "is closed", &mut commit).await?;
        let news = self.note(&mut commit, &changes).await?;
        match self.inner.store.commit(commit).await {
            Ok(_) => {
                self.changed();
                self.wake(news);
                Ok(true)
            }
            Err(CommitError::Conflict) => Ok(false),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }

    /// The guest of a Portal that a Tube was made for.
    pub(crate) async fn guest_of(
        &self,
        tube: &Tube,
    ) -> Result<Option<(crate::ports::Key, rows::Kept<GuestRow>)>, Unavailable> {
        let (MadeBy::Portal(portal), Some(guest)) = (&tube.made_by, &tube.guest) else { return Ok(None) };
        let key = keys::guest(&tube.ends[0].owner, portal, guest);
        let kept = rows::load::<GuestRow>(&*self.inner.store, &key).await?;
        // One that was connected anew since has another Tube.
        Ok(kept.filter(|kept| kept.value.guest.tube.as_ref() == Some(&tube.id)).map(|kept| (key, kept)))
    }

    async fn tell_both(&self, line: &Line, word: &str, commit: &mut Commit) -> Result<(), Unavailable> {
        for (here, there) in [(0, 1), (1, 0)] {
            let label = &line.labels[there];
            let words = format!("The connection to {} on {} {word}.", label.name, label.site);
            self.notice(&line.tube.ends[here].room, &Text::plain(&words), commit).await?;
        }
        Ok(())
    }
}

fn seen_by(owner: &OwnerId, changed: Changed<Line>) -> Changed<TubeView> {
    match changed {
        Changed::Done(line) => Changed::Done(line.view(owner)),
        Changed::Gone => Changed::Gone,
        Changed::Stale => Changed::Stale,
    }
}

/// Sets the state that an owner wants. What the other owner paused stays paused.
fn set_state(tube: &mut Tube, owner: &OwnerId, wanted: TubeState) {
    let mine = tube.ends.iter_mut().filter(|end| end.owner == *owner);
    match wanted {
        TubeState::Paused => mine.for_each(|end| end.paused = true),
        TubeState::Open => mine.for_each(|end| end.paused = false),
        TubeState::Broken => {}
    }
    let paused = tube.ends.iter().any(|end| end.paused);
    tube.state = if paused && wanted != TubeState::Broken { TubeState::Paused } else { wanted };
}
