//! The connections of one session, by their ids: those that are being opened and those that stand. All are driven from
//! one task, none before the others. It must not know what is said over them.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::ops::Bound;
use std::pin::Pin;
use std::task::{Context, Poll};

use sameroom_platforms::LinkId;

use super::conn::{Conn, Heard};

/// The connections of a session.
#[derive(Default)]
pub(super) struct Links {
    slots: BTreeMap<LinkId, Slot>,
    /// How many have stood so far.
    opened: u64,
    /// The one that was heard of last: the others come first now.
    last: LinkId,
}

enum Slot {
    Dialing(Pin<Box<dyn Future<Output = Result<Conn, String>> + Send>>),
    Open { conn: Conn, number: u64 },
}

/// What came of a connection.
pub(super) enum Came {
    /// It stands, or could not be opened; a sentence says why.
    Dialed(Result<(), String>),
    /// Something was heard on it.
    Heard(Heard),
}

impl Links {
    /// Begins to open one.
    pub(super) fn dial(&mut self, id: LinkId, dialing: impl Future<Output = Result<Conn, String>> + Send + 'static) {
        self.slots.insert(id, Slot::Dialing(Box::pin(dialing)));
    }

    /// One that stands.
    pub(super) fn get(&mut self, id: LinkId) -> Option<&mut Conn> {
        match self.slots.get_mut(&id) {
            Some(Slot::Open { conn, .. }) => Some(conn),
            _ => None,
        }
    }

    /// The number of one that stands, which no other of this session ever had or has.
    pub(super) fn number(&self, id: LinkId) -> Option<u64> {
        match self.slots.get(&id) {
            Some(Slot::Open { number, .. }) => Some(*number),
            _ => None,
        }
    }

    /// Forgets one, be it open or not yet; an open one is the caller's now.
    pub(super) fn remove(&mut self, id: LinkId) -> Option<Conn> {
        match self.slots.remove(&id) {
            Some(Slot::Open { conn, .. }) => Some(conn),
            _ => None,
        }
    }

    /// Forgets all, and gives those that were open.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Conn> {
        std::mem::take(&mut self.slots).into_values().filter_map(|slot| match slot {
            Slot::Open { conn, .. } => Some(conn),
            Slot::Dialing(_) => None,
        })
    }

    /// Whether the other sides take what we write.
    pub(super) fn keep_up(&self) -> bool {
        self.slots.values().all(|slot| match slot {
            Slot::Open { conn, .. } => conn.keeps_up(),
            Slot::Dialing(_) => true,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Opens and writes what waits, and meanwhile waits for something to be heard, if that is wanted. May be dropped at
    /// any time.
    pub(super) async fn drive(&mut self, wanted: bool) -> (LinkId, Came) {
        let (id, came) = poll_fn(|cx| self.poll(cx, wanted)).await;
        self.last = id;
        (id, came)
    }

    fn poll(&mut self, cx: &mut Context<'_>, wanted: bool) -> Poll<(LinkId, Came)> {
        let Self { slots, opened, last } = self;
        // Those behind the last one first, so that one that talks without end keeps none of the others waiting.
        for range in [(Bound::Excluded(*last), Bound::Unbounded), (Bound::Unbounded, Bound::Included(*last))] {
            for (id, slot) in slots.range_mut::<LinkId, _>(range) {
                let id = *id;
                match slot {
                    Slot::Open { conn, .. } => {
                        if let Poll::Ready(heard) = conn.poll(cx, wanted) {
                            return Poll::Ready((id, Came::Heard(heard)));
                        }
                    }
                    Slot::Dialing(dialing) => match dialing.as_mut().poll(cx) {
                        Poll::Pending => {}
                        Poll::Ready(Ok(conn)) => {
                            *opened += 1;
                            *slot = Slot::Open { conn, number: *opened };
                            return Poll::Ready((id, Came::Dialed(Ok(()))));
                        }
                        Poll::Ready(Err(why)) => {
                            slots.remove(&id);
                            return Poll::Ready((id, Came::Dialed(Err(why))));
                        }
                    },
                }
            }
        }
        Poll::Pending
    }
}
