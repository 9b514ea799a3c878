//! Writes a consistent copy of the store, while it is in use or not.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sameroom_embedded::Sqlite;
use serde_json::{Value, json};

/// The key's name in the data folder.
const KEY: &str = "sameroom.key";

/// Writes the copy; the file must not exist yet.
pub(crate) async fn write(store: &Sqlite, path: &Path) -> anyhow::Result<Value> {
    store.backup(path).await?;
    let size = std::fs::metadata(path).map_or(0, |about| about.len());
    Ok(json!({ "file": path, "bytes": size }))
}

/// Where the key's copy goes: beside the store's.
pub(crate) fn key_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

/// Refuses to write over what is there.
pub(crate) fn must_not_exist(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        bail!("{} exists already; name a file that does not", path.display());
    }
    Ok(())
}

/// Copies the key, for its owner alone.
pub(crate) fn write_key(folder: &Path, target: &Path) -> anyhow::Result<()> {
    let source = folder.join(KEY);
    let key = std::fs::read(&source).with_context(|| format!("the key file {} can't be read", source.display()))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let written = file.as_mut().map_err(|e| std::io::Error::new(e.kind(), e.to_string())).and_then(|file| {
        file.write_all(&key)?;
        file.sync_all()
    });
    written.with_context(|| format!("the key's copy {} can't be written", target.display()))
}
