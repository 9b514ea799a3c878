//! A vault whose key is in a file beside the data. It must not know what it seals.
//!
//! AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits; with one key, 2^32 seals are safe. What is sealed reads
//! `v1.<key id>.<nonce and ciphertext>`, the last two in base64url; the key id is a hash of the key, so that a key file
//! of another installation is told from damage.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, rand};
use data_encoding::BASE64URL_NOPAD;
use sameroom_engine::ports::{Unavailable, Vault};
use sameroom_model::Sealed;
use zeroize::Zeroizing;

/// The key's name in the data folder.
const FILE: &str = "sameroom.key";
const KEY_LEN: usize = 32;

/// Seals with the key in a file.
pub struct KeyFile {
    path: PathBuf,
    key: RandomizedNonceKey,
    id: String,
}

/// Why the key file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Others could read it.
    #[error("the key file {} can be read by other users (mode {mode:03o}): run chmod 600 on it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold a key.
    #[error(
        "the key file {} does not hold a key of 32 bytes: put its backup in its place; or move it away, and give all \
         secrets anew",
        path.display()
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// It can't be made or read.
    #[error("the key file {} can't be made or read: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The system gave no random numbers.
    #[error("no key could be made: the system gave no random numbers")]
    NoRandom,
}

impl KeyFile {
    /// Reads the key in that folder; makes one if there is none. The folder must be there.
    pub fn open(folder: &Path) -> Result<Self, KeyFileError> {
        let path = folder.join(FILE);
        let key = match make(&path) {
            Ok(key) => key,
            Err(KeyFileError::Io { why, .. }) if why.kind() == ErrorKind::AlreadyExists => read(&path)?,
            Err(error) => return Err(error),
        };
        let hash = digest::digest(&digest::SHA256, &[b"sameroom key id".as_slice(), &*key].concat());
        let id = BASE64URL_NOPAD.encode(&hash.as_ref()[..6]);
        let sealer = RandomizedNonceKey::new(&AES_256_GCM, &*key);
        let key = sealer.map_err(|_| KeyFileError::NotAKey { path: path.clone() })?;
        Ok(Self { path, key, id })
    }

    fn unreadable(&self) -> Unavailable {
        let file = self.path.display();
        Unavailable::new(format_args!(
            "a secret that the key file {file} sealed can't be opened: it is damaged, or was moved from another record"
        ))
    }
}

#[async_trait]
impl Vault for KeyFile {
    async fn seal(&self, context: &str, clear: &[u8]) -> Result<Sealed, Unavailable> {
        let mut sealed = Zeroizing::new(clear.to_vec());
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut *sealed)
            .map_err(|_| Unavailable::new("a secret could not be sealed: the system gave no random numbers"))?;
        let bytes = [nonce.as_ref().as_slice(), &*sealed].concat();
        Ok(Sealed(format!("v1.{}.{}", self.id, BASE64URL_NOPAD.encode(&bytes))))
    }

    async fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, Unavailable> {
        let mut parts = sealed.0.splitn(3, '.');
        let (Some("v1"), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(self.unreadable());
        };
        if id != self.id {
            let file = self.path.display();
            return Err(Unavailable::new(format_args!(
                "the key file {file} is not the one this data was sealed with: put the right one in its place"
            )));
        }
        let mut bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| self.unreadable())?;
        if bytes.len() < NONCE_LEN {
            return Err(self.unreadable());
        }
        let mut clear = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| self.unreadable())?;
        let length = self
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut clear)
            .map_err(|_| self.unreadable())?
            .len();
        clear.truncate(length);
        Ok(clear)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        rand::fill(bytes).map_err(|_| Unavailable::new("no token could be made: the system gave no random numbers"))
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Makes the file with a new key, and sees it to the disk, before anything is sealed with it.
fn make(path: &Path) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyFileError> {
    let trouble = |why| KeyFileError::Io { path: path.to_owned(), why };
    let mut key = Zeroizing::new([0; KEY_LEN]);
    rand::fill(&mut *key).map_err(|_| KeyFileError::NoRandom)?;
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(path).map_err(trouble)?;
    let written = file.write_all(&*key).and_then(|()| file.sync_all()).and_then(|()| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    });
    if let Err(why) = written {
        // Nothing was sealed with it; half a key must not be found at the next start.
        let _ = std::fs::remove_file(path);
        return Err(trouble(why));
    }
    Ok(key)
}

fn read(path: &Path) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyFileError> {
    let trouble = |why| KeyFileError::Io { path: path.to_owned(), why };
    let mut file = File::open(path).map_err(trouble)?;
    let about = file.metadata().map_err(trouble)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Open { path: path.to_owned(), mode });
        }
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if about.len() != KEY_LEN as u64 || file.read_exact(&mut *key).is_err() {
        return Err(KeyFileError::NotAKey { path: path.to_owned() });
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[tokio::test]
    async fn what_is_sealed_opens_in_its_context_only() {
        let folder = folder();
        let vault = KeyFile::open(folder.path()).unwrap();
        let sealed = vault.seal("owner/account", b"token").await.unwrap();
        assert!(sealed.0.starts_with("v1."));
        assert_ne!(sealed, vault.seal("owner/account", b"token").await.unwrap());
        assert_eq!(vault.open("owner/account", &sealed).await.unwrap(), b"token");
        assert!(vault.open("owner/other", &sealed).await.is_err());
        let again = KeyFile::open(folder.path()).unwrap();
        assert_eq!(again.open("owner/account", &sealed).await.unwrap(), b"token");
    }

    #[tokio::test]
    async fn damage_is_an_error_wherever_it_is() {
        let folder = folder();
        let vault = KeyFile::open(folder.path()).unwrap();
        let sealed = vault.seal("context", b"token").await.unwrap().0;
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let damaged = Sealed(String::from_utf8(bytes).unwrap());
            assert!(vault.open("context", &damaged).await.is_err(), "{at}");
            assert!(vault.open("context", &Sealed(sealed[..at].into())).await.is_err(), "{at}");
        }
    }

    #[tokio::test]
    async fn another_key_file_is_told_from_damage() {
        let (mine, other) = (folder(), folder());
        let sealed = KeyFile::open(other.path()).unwrap().seal("context", b"token").await.unwrap();
        let error = KeyFile::open(mine.path()).unwrap().open("context", &sealed).await.unwrap_err();
        assert!(error.why.ends_with("is not the one this data was sealed with: put the right one in its place"));
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        drop(KeyFile::open(folder.path()).unwrap());
        let path = folder.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = KeyFile::open(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("can be read by other users (mode 640): run chmod 600 on it"), "{error}");
    }

    #[test]
    fn a_key_file_without_a_key_is_refused() {
        use std::os::unix::fs::OpenOptionsExt;
        let folder = folder();
        let path = folder.path().join(FILE);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap().write_all(b"short").unwrap();
        assert!(matches!(KeyFile::open(folder.path()), Err(KeyFileError::NotAKey { .. })));
    }

    #[test]
    fn debug_shows_no_key() {
        let folder = folder();
        let vault = KeyFile::open(folder.path()).unwrap();
        let shown = format!("{vault:?}");
        assert!(shown.contains("sameroom.key") && shown.ends_with(".. }"), "{shown}");
    }
}
