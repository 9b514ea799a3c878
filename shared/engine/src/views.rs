//! Rooms as they were last read, decoded. Every message looks at the rooms on its way, and most rooms seldom change: what
//! the store says is compared with what it said last time, and decoded again only where it differs. Nothing is believed
//! without having been read, so this can't be stale.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::ports::Row;
use crate::walk::RoomView;

/// How many rooms are kept.
const MAX: usize = 4096;
/// Rooms with more rows are decoded each time.
const ROWS_MAX: usize = 256;

/// A partition's rows by sort key.
type Rows = Vec<(String, Row)>;

/// Decoded rooms by partition, with the rows that they were decoded from.
#[derive(Default)]
pub(crate) struct Views(Mutex<HashMap<String, (Rows, Arc<RoomView>)>>);

impl Views {
    /// The room that these rows make, if they made one before.
    pub(crate) fn get(&self, partition: &str, rows: &[(String, Row)]) -> Option<Arc<RoomView>> {
        let views = self.0.lock().ok()?;
        views.get(partition).filter(|(known, _)| known == rows).map(|(_, view)| view.clone())
    }

    /// Keeps a room with the rows that it was made of.
    pub(crate) fn put(&self, partition: String, rows: Rows, view: &Arc<RoomView>) {
        let Ok(mut views) = self.0.lock() else { return };
        if rows.len() > ROWS_MAX {
            views.remove(&partition);
            return;
        }
        if views.len() >= MAX {
            views.clear();
        }
        views.insert(partition, (rows, view.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_known_again_by_its_rows_alone() {
        let views = Views::default();
        let rows = |body: &str| vec![("@".to_owned(), Row { body: body.into(), version: 1 })];
        let view = Arc::new(RoomView::default());
        views.put("a".to_owned(), rows("one"), &view);
        assert!(views.get("a", &rows("one")).is_some_and(|found| Arc::ptr_eq(&found, &view)));
        // Deleted and made anew, a row begins with version 1 again.
        assert!(views.get("a", &rows("two")).is_none());
        assert!(views.get("b", &rows("one")).is_none());
        views.put("a".to_owned(), vec![rows("one").remove(0); ROWS_MAX + 1], &view);
        assert!(views.get("a", &rows("one")).is_none());
    }
}
