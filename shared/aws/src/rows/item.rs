//! How a row is written as items of the table. Partition key `p` and sort key `s` are strings: `=` and the engine's key,
//! since empty ones are not allowed. `b` is the body, `v` the version, `e` when it expires in milliseconds since 1970, and
//! `x` the same in whole seconds for DynamoDB's own removal, which comes days late: expiry is judged by `e`.
//!
//! A body that an item has no room for lies in parts, items of the same partition whose sort keys begin with `+`, which
//! no row's does; the row itself has their number `n` instead of a body. Row and parts carry the same version, so that
//! parts of another write are told apart.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use sameroom_engine::ports::{Key, Unavailable};
use sameroom_model::Timestamp;

/// An item as the client takes and gives it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A body longer than this is parted. Items have at most 400 KB, names and keys included.
pub(crate) const PART: usize = 390_000;
/// As many parts as one transaction can hold: 4 MB.
pub(crate) const PARTS_MAX: usize = 10;
/// The longest partition and sort keys, in bytes.
const PARTITION_MAX: usize = 2048;
const SORT_MAX: usize = 1024;

/// A row as its item tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The engine's sort key.
    pub(crate) sort: String,
    /// The body, if it is not parted.
    pub(crate) body: Vec<u8>,
    pub(crate) version: u64,
    /// When it expires, in milliseconds since 1970.
    pub(crate) expires: Option<i64>,
    /// How many parts the body lies in; 0: none.
    pub(crate) parts: usize,
}

impl Head {
    /// Whether the row is there for whoever asks at that time.
    pub(crate) fn lives(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|at| at > now.as_millisecond())
    }
}

/// The partition key of a row.
pub(crate) fn partition(partition: &str) -> String {
    format!("={partition}")
}

/// The sort key of a row, or what those of rows begin with.
pub(crate) fn sort(sort: &str) -> String {
    format!("={sort}")
}

/// The sort key of a part of a row's body.
pub(crate) fn part_sort(sort: &str, part: usize) -> String {
    format!("+{part:02}{sort}")
}

/// The least string above all that begin with `prefix`, which must not be empty of ASCII at its start.
pub(crate) fn above(prefix: &str) -> String {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The code points of surrogates are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            chars.push(next);
            break;
        }
    }
    chars.into_iter().collect()
}

/// The primary key of an item.
pub(crate) fn primary(p: String, s: String) -> Item {
    HashMap::from([("p".to_owned(), AttributeValue::S(p)), ("s".to_owned(), AttributeValue::S(s))])
}

/// The primary key of a row.
pub(crate) fn row_key(key: &Key) -> Item {
    primary(partition(&key.partition), sort(&key.sort))
}

/// The primary key of a part.
pub(crate) fn part_key(key: &Key, part: usize) -> Item {
    primary(partition(&key.partition), part_sort(&key.sort, part))
}

/// Whether the table takes keys as long as these.
pub(crate) fn check(key: &Key) -> Result<(), Unavailable> {
    if key.partition.len() < PARTITION_MAX && key.sort.len() + 3 <= SORT_MAX {
        return Ok(());
    }
    Err(Unavailable::new(format_args!(
        "a row's key is too long for DynamoDB ({} and {} bytes; {PARTITION_MAX} and {SORT_MAX} are allowed): some name \
         in it is too long",
        key.partition.len(),
        key.sort.len()
    )))
}

/// The items of a row: itself, then its parts.
pub(crate) fn items(key: &Key, body: Vec<u8>, expires: Option<Timestamp>, version: u64) -> Vec<Item> {
    let mut head = stamped(row_key(key), version, expires);
    if body.len() <= PART {
        head.insert("b".to_owned(), AttributeValue::B(Blob::new(body)));
        return vec![head];
    }
    let parts: Vec<Item> = body
        .chunks(PART)
        .enumerate()
        .map(|(i, chunk)| {
            let mut part = stamped(part_key(key, i), version, expires);
            part.insert("b".to_owned(), AttributeValue::B(Blob::new(chunk)));
            part
        })
        .collect();
    head.insert("n".to_owned(), number(parts.len() as u64));
    std::iter::once(head).chain(parts).collect()
}

/// Reads an item. `None`: it is none of ours, or damaged.
pub(crate) fn read(mut item: Item) -> Option<Head> {
    let sort = match item.remove("s") {
        Some(AttributeValue::S(sort)) => sort.strip_prefix('=')?.to_owned(),
        _ => return None,
    };
    let parts = match item.get("n") {
        Some(AttributeValue::N(n)) => n.parse().ok()?,
        _ => 0,
    };
    let body = match item.remove("b") {
        Some(AttributeValue::B(body)) => body.into_inner(),
        _ if parts > 0 => Vec::new(),
        _ => return None,
    };
    Some(Head { sort, body, version: read_number(&item, "v")?, expires: read_number(&item, "e"), parts })
}

/// Reads a part: its version and its piece of the body.
pub(crate) fn read_part(mut item: Item) -> Option<(u64, Vec<u8>)> {
    let version = read_number(&item, "v")?;
    match item.remove("b") {
        Some(AttributeValue::B(body)) => Some((version, body.into_inner())),
        _ => None,
    }
}

pub(crate) fn number(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

fn stamped(mut item: Item, version: u64, expires: Option<Timestamp>) -> Item {
    item.insert("v".to_owned(), number(version));
    if let Some(at) = expires {
        item.insert("e".to_owned(), number(at.as_millisecond()));
        // Not before its time.
        item.insert("x".to_owned(), number(at.as_second() + 1));
    }
    item
}

fn read_number<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    match item.get(name) {
        Some(AttributeValue::N(number)) => number.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sort: &str) -> Key {
        Key { partition: "p".into(), sort: sort.into() }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let expires = Timestamp::from_millisecond(1_780_315_200_123).unwrap();
        for body in [vec![], b"body".to_vec(), vec![7; PART]] {
            let [item] = items(&key("a/b"), body.clone(), Some(expires), 9).try_into().unwrap();
            assert_eq!(item["x"], number(1_780_315_201));
            let head = read(item).unwrap();
            assert_eq!((head.sort.as_str(), head.version, head.parts), ("a/b", 9, 0));
            assert_eq!((&head.body, head.expires), (&body, Some(1_780_315_200_123)));
            assert!(head.lives(Timestamp::from_millisecond(1_780_315_200_122).unwrap()) && !head.lives(expires));
        }
        assert!(!items(&key(""), vec![], None, 1)[0].contains_key("x"));
    }

    #[test]
    fn a_long_body_lies_in_parts_that_no_query_of_rows_meets() {
        let body: Vec<u8> = (0..=255).cycle().take(2 * PART + 1).collect();
        let all = items(&key("a"), body.clone(), None, 9);
        assert_eq!(all.len(), 4);
        let head = read(all[0].clone()).unwrap();
        assert_eq!((head.parts, head.body.len()), (3, 0));
        let parts: Vec<_> = all[1..].iter().map(|part| read_part(part.clone()).unwrap()).collect();
        assert!(parts.iter().all(|(version, _)| *version == 9));
        assert_eq!(parts.into_iter().flat_map(|(_, piece)| piece).collect::<Vec<_>>(), body);
        assert!(all[1..].iter().all(|part| read(part.clone()).is_none()));
    }

    #[test]
    fn above_is_the_least_string_above_a_prefix() {
        assert_eq!(above("="), ">");
        assert_eq!(above("=b/"), "=b0");
        assert_eq!(above("=b\u{10ffff}\u{10ffff}"), "=c");
        assert_eq!(above("=\u{d7ff}"), "=\u{e000}");
        assert!(above("=é").as_str() > "=é\u{10ffff}");
    }

    #[test]
    fn keys_that_are_too_long_are_told() {
        assert!(check(&key(&"x".repeat(1021))).is_ok());
        assert!(check(&key(&"x".repeat(1022))).unwrap_err().why.contains("too long"));
        assert!(check(&Key { partition: "x".repeat(2048), sort: String::new() }).is_err());
    }
}
