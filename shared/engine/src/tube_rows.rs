//! The rows of a Tube: its own, one under each room so that the walk needs one read a room, one under each owner so that
//! a list needs one query a page. It must not know why a Tube changes.

use sameroom_model::{OwnerId, Room, Tube, TubeId};
use serde::{Deserialize, Serialize};

use crate::changes::ChangeKind;
use crate::ports::{Key, Unavailable, When, Write};
use crate::tubes::{Made, OwnSide, Side, TubeView};
use crate::{Engine, keys, rows};

/// A Tube with what is shown of its rooms: the row under an owner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) tube: Tube,
    /// In the order of its ends.
    pub(crate) labels: [Label; 2],
}

/// What is shown of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) site: String,
}

impl Label {
    pub(crate) fn of(room: &Room) -> Self {
        Self { name: room.name.clone(), site: room.site.clone() }
    }
}

impl Line {
    /// The writes that keep it; the condition is on the Tube's own row.
    pub(crate) fn put(&self, when: When) -> Vec<Write> {
        let id = &self.tube.id;
        let mut writes = vec![rows::put(keys::tube(id), &self.tube, None, when)];
        for end in &self.tube.ends {
            writes.push(rows::put(keys::room_tube(&end.room, id), &self.tube, None, When::Always));
        }
        let owners = owners(&self.tube);
        writes.extend(owners.iter().map(|owner| rows::put(keys::owner_tube(owner, id), self, None, When::Always)));
        writes
    }

    /// The Tube as one of its owners sees it.
    pub(crate) fn view(&self, viewer: &OwnerId) -> TubeView {
        let tube = &self.tube;
        let side = |at: usize| {
            let (end, label) = (&tube.ends[at], &self.labels[at]);
            let own = (end.owner == *viewer).then(|| OwnSide {
                room: end.room.clone(),
                direction: end.direction,
                paused: end.paused,
            });
            Side { name: label.name.clone(), site: label.site.clone(), own, parked: None }
        };
        let first = usize::from(tube.ends[0].owner != *viewer);
        let made_by = match &tube.made_by {
            sameroom_model::MadeBy::Operator => Made::Operator,
            sameroom_model::MadeBy::Command => Made::Command,
            // The Portal's own room is the first end.
            sameroom_model::MadeBy::Portal(id) => Made::Portal((tube.ends[0].owner == *viewer).then(|| id.clone())),
        };
        TubeView {
            id: tube.id.clone(),
            state: tube.state,
            sides: [side(first), side(1 - first)],
            made_by,
            made_at: tube.made_at,
            version: tube.version,
        }
    }
}

/// The writes that remove a Tube; the condition is on its own row.
pub(crate) fn delete(tube: &Tube, when: When) -> Vec<Write> {
    let rooms = tube.ends.iter().map(|end| keys::room_tube(&end.room, &tube.id));
    let owners = owners(tube).into_iter().map(|owner| keys::owner_tube(owner, &tube.id));
    let others = rooms.chain(owners).map(|key| Write::Delete { key, when: When::Always });
    [Write::Delete { key: keys::tube(&tube.id), when }].into_iter().chain(others).collect()
}

/// A Tube's owners, each once: a transaction names each row once.
pub(crate) fn owners(tube: &Tube) -> Vec<&OwnerId> {
    let [a, b] = &tube.ends;
    if a.owner == b.owner { vec![&a.owner] } else { vec![&a.owner, &b.owner] }
}

/// What to tell a Tube's owners.
pub(crate) fn news(tube: &Tube, kind: ChangeKind) -> Vec<(&OwnerId, ChangeKind, String)> {
    owners(tube).into_iter().map(|owner| (owner, kind, tube.id.to_string())).collect()
}

impl Engine {
    /// A Tube that one of its owners asks for.
    pub(crate) async fn tube_of(&self, owner: &OwnerId, id: &TubeId) -> Result<Option<rows::Kept<Tube>>, Unavailable> {
        let kept = rows::load::<Tube>(&*self.inner.store, &keys::tube(id)).await?;
        Ok(kept.filter(|kept| kept.value.ends.iter().any(|end| end.owner == *owner)))
    }

    /// A Tube with what is shown of its rooms, as they are now.
    pub(crate) async fn line(&self, tube: Tube) -> Result<Line, Unavailable> {
        let mut labels = Vec::with_capacity(2);
        for end in &tube.ends {
            let gone = || Label { name: end.room.key.to_string(), site: "(gone)".to_owned() };
            labels.push(self.room(&end.room).await?.as_ref().map_or_else(gone, Label::of));
        }
        let [a, b] = <[Label; 2]>::try_from(labels).map_err(|_| Unavailable::new("a Tube has two ends"))?;
        Ok(Line { tube, labels: [a, b] })
    }

    /// Reads a row under an owner. Rows of the first version hold nothing but the Tube's id, in their key.
    pub(crate) async fn owners_line(&self, key: &Key, row: &crate::ports::Row) -> Result<Option<Line>, Unavailable> {
        if let Some(line) = rows::decode::<Option<Line>>(key, row)?.value {
            return Ok(Some(line));
        }
        let id = TubeId::from(key.sort.trim_start_matches(keys::TUBE));
        match rows::load::<Tube>(&*self.inner.store, &keys::tube(&id)).await? {
            Some(kept) => self.line(kept.value).await.map(Some),
            None => Ok(None),
        }
    }

    /// Brings the names of a room up to date in its Tubes' rows under their owners.
    pub(crate) async fn relabel(&self, room: &Room) -> Result<(), Unavailable> {
        for tube in self.view(&room.at).await?.tubes.clone() {
            for owner in owners(&tube) {
                let key = keys::owner_tube(owner, &tube.id);
                let Some(kept) = rows::load::<Option<Line>>(&*self.inner.store, &key).await? else { continue };
                let Some(mut line) = kept.value else { continue };
                for (end, label) in line.tube.ends.iter().zip(&mut line.labels) {
                    if end.room == room.at {
                        *label = Label::of(room);
                    }
                }
                let writes = vec![rows::put(key, &line, None, When::Version(kept.version))];
                match self.inner.store.commit(crate::ports::Commit { writes, ..Default::default() }).await {
                    // Who changed the Tube in between has read the new name.
                    Ok(_) | Err(crate::ports::CommitError::Conflict) => {}
                    Err(crate::ports::CommitError::Unavailable(e)) => return Err(e),
                }
            }
        }
        Ok(())
    }
}
