//! Rows as the engine reads and writes them: JSON bodies, typed. What they mean is said where they are used.

use sameroom_model::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ports::{Key, Row, Store, Unavailable, When, Write};

/// A row, decoded, with the version to write it back under.
#[derive(Clone, Debug)]
pub(crate) struct Kept<T> {
    pub(crate) value: T,
    pub(crate) version: u64,
}

/// Reads a row and decodes it.
pub(crate) async fn load<T: DeserializeOwned>(store: &dyn Store, key: &Key) -> Result<Option<Kept<T>>, Unavailable> {
    store.get(key).await?.map(|row| decode(key, &row)).transpose()
}

/// Decodes a row. A row that is not what it should be is our own failure, named by its key.
pub(crate) fn decode<T: DeserializeOwned>(key: &Key, row: &Row) -> Result<Kept<T>, Unavailable> {
    match serde_json::from_slice(&row.body) {
        Ok(value) => Ok(Kept { value, version: row.version }),
        Err(e) => Err(Unavailable::new(format!(
            "the row {}:{} can't be read (line {}, column {}); it was written by another version, or is damaged",
            key.partition,
            key.sort,
            e.line(),
            e.column()
        ))),
    }
}

/// Encodes a value. Our own types always encode.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// A write of a row.
pub(crate) fn put<T: Serialize>(key: Key, value: &T, expires: Option<Timestamp>, when: When) -> Write {
    Write::Put { key, body: encode(value), expires, when }
}

/// The condition that a row is as it was read.
pub(crate) fn unchanged<T>(kept: Option<&Kept<T>>) -> When {
    kept.map_or(When::Absent, |kept| When::Version(kept.version))
}
