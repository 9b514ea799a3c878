//! What lists and changes answer: a page with a way on, and whether a change could be made.

use crate::ports::{Key, Row, Store, Unavailable};

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it, in the list's order.
    pub items: Vec<T>,
    /// Ask for what comes after this one; `None`: that was all.
    pub next: Option<String>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed<T> {
    /// It was made, or things were so already.
    Done(T),
    /// The owner has nothing of that id.
    Gone,
    /// It was changed since the version expected; read it again.
    Stale,
}

impl<T> Changed<T> {
    /// What there is now, if the change was made.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Gone | Self::Stale => None,
        }
    }
}

impl<T> Page<T> {
    /// Makes something else of each item.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(make).collect(), next: self.next }
    }
}

/// Reads one page of the rows of a partition that begin with `prefix`. `after` and the page's `next` are without it, so
/// that nobody can ask for other rows by them.
pub(crate) async fn read(
    store: &dyn Store,
    partition: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<(Key, Row)>, Unavailable> {
    let after = after.map(|after| format!("{prefix}{after}"));
    let limit = limit.max(1);
    let mut rows = store.query(partition, prefix, after.as_deref(), limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more);
    let next = last.map(|(sort, _)| sort[prefix.len()..].to_owned());
    let key = |sort| Key { partition: partition.to_owned(), sort };
    Ok(Page { items: rows.into_iter().map(|(sort, row)| (key(sort), row)).collect(), next })
}

/// Whether a thing of that version is the one expected.
pub(crate) fn as_expected(expected: Option<u64>, version: u64) -> bool {
    expected.is_none_or(|expected| expected == version)
}
