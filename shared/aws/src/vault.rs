//! A vault whose key is in KMS. What is sealed is sealed by a data key (AES-256-GCM, NIST SP 800-38D, with a random nonce
//! of 96 bits), and travels with that data key, which only KMS can open. It must not know what it seals.
//!
//! What is sealed reads `k1.<data key as KMS sealed it>.<nonce and ciphertext>`, both in base64url. One data key serves
//! for many seals, and opened ones are remembered, so that a secret that is opened again costs no call.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use data_encoding::BASE64URL_NOPAD;
use sameroom_engine::ports::{Clock, Unavailable, Vault};
use sameroom_model::{Sealed, Timestamp};
use zeroize::Zeroizing;

use crate::Clients;
use crate::settings::{Settings, SettingsError};
use crate::trouble::Call;

/// For how long one data key seals.
const SEALS_FOR: Duration = Duration::from_hours(1);
/// How many seals one data key makes; far below the 2^32 that random nonces allow.
const SEALS_MAX: u32 = 10_000;
/// How many opened data keys are remembered.
const OPENED_MAX: usize = 256;
const KEY_LEN: usize = 32;
/// Bound into every data key: KMS opens it for nothing else.
const CONTEXT: (&str, &str) = ("app", "sameroom");

/// Seals under a KMS key.
pub struct KmsVault {
    keys: Box<dyn Keys>,
    clock: Arc<dyn Clock>,
    sealing: tokio::sync::Mutex<Option<Sealing>>,
    opened: Mutex<Opened>,
}

/// A data key, in the clear.
type DataKey = Arc<RandomizedNonceKey>;

struct Sealing {
    key: DataKey,
    /// As KMS sealed it, in base64url.
    wrapped: String,
    until: Timestamp,
    left: u32,
}

/// Opened data keys by what they were opened from; the oldest are forgotten first.
#[derive(Default)]
struct Opened {
    keys: HashMap<String, DataKey>,
    order: VecDeque<String>,
}

/// Makes data keys and opens them.
#[async_trait]
trait Keys: Send + Sync {
    /// A new data key: in the clear, and sealed.
    async fn generate(&self) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Unavailable>;

    async fn open(&self, wrapped: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Unavailable>;
}

struct Kms {
    client: aws_sdk_kms::Client,
    key: String,
}

impl KmsVault {
    /// A vault under the key that the settings name. Nothing is called yet.
    pub fn new(clients: &Clients, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Arc<Self>, SettingsError> {
        let kms = Kms { client: clients.kms.clone(), key: settings.key()?.to_owned() };
        Ok(Arc::new(Self::on(kms, clock)))
    }

    fn on(keys: impl Keys + 'static, clock: Arc<dyn Clock>) -> Self {
        Self { keys: Box::new(keys), clock, sealing: tokio::sync::Mutex::default(), opened: Mutex::default() }
    }

    /// The data key to seal with, and what it is opened from.
    async fn sealing_key(&self) -> Result<(DataKey, String), Unavailable> {
        let now = self.clock.now();
        // Held while KMS is called: of many who seal at once, one asks for a key.
        let mut sealing = self.sealing.lock().await;
        if let Some(sealing) = sealing.as_mut()
            && sealing.left > 0
            && sealing.until > now
        {
            sealing.left -= 1;
            return Ok((sealing.key.clone(), sealing.wrapped.clone()));
        }
        let (clear, wrapped) = self.keys.generate().await?;
        let (key, wrapped) = (data_key(&clear)?, BASE64URL_NOPAD.encode(&wrapped));
        self.opened().insert(wrapped.clone(), key.clone());
        let until = now.checked_add(SEALS_FOR).unwrap_or(Timestamp::MAX);
        *sealing = Some(Sealing { key: key.clone(), wrapped: wrapped.clone(), until, left: SEALS_MAX - 1 });
        Ok((key, wrapped))
    }

    async fn opening_key(&self, wrapped: &str) -> Result<DataKey, Unavailable> {
        let known = self.opened().keys.get(wrapped).cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        let bytes = BASE64URL_NOPAD.decode(wrapped.as_bytes()).map_err(|_| damaged())?;
        let key = data_key(&self.keys.open(bytes).await?)?;
        self.opened().insert(wrapped.to_owned(), key.clone());
        Ok(key)
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    fn insert(&mut self, wrapped: String, key: DataKey) {
        if self.keys.insert(wrapped.clone(), key).is_none() {
            self.order.push_back(wrapped);
        }
        if self.order.len() > OPENED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }
}

#[async_trait]
impl Vault for KmsVault {
    async fn seal(&self, context: &str, clear: &[u8]) -> Result<Sealed, Unavailable> {
        let (key, wrapped) = self.sealing_key().await?;
        let mut sealed = Zeroizing::new(clear.to_vec());
        let nonce = key
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut *sealed)
            .map_err(|_| Unavailable::new("a secret could not be sealed: the system gave no random numbers"))?;
        let bytes = [nonce.as_ref().as_slice(), &*sealed].concat();
        Ok(Sealed(format!("k1.{wrapped}.{}", BASE64URL_NOPAD.encode(&bytes))))
    }

    async fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, Unavailable> {
        let mut parts = sealed.0.splitn(3, '.');
        let (Some("k1"), Some(wrapped), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(damaged());
        };
        let mut bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| damaged())?;
        if bytes.len() < NONCE_LEN {
            return Err(damaged());
        }
        let key = self.opening_key(wrapped).await?;
        let mut clear = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| damaged())?;
        let opened = key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut clear);
        let length = opened.map_err(|_| damaged())?.len();
        clear.truncate(length);
        Ok(clear)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        rand::fill(bytes).map_err(|_| Unavailable::new("no token could be made: the system gave no random numbers"))
    }
}

#[async_trait]
impl Keys for Kms {
    async fn generate(&self) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Unavailable> {
        let call = Call { name: "KMS GenerateDataKey", on: &self.key };
        let asked = self.client.generate_data_key().key_id(&self.key).key_spec(DataKeySpec::Aes256);
        let answer = asked.encryption_context(CONTEXT.0, CONTEXT.1).send().await.map_err(|e| call.failed(&e))?;
        match (answer.plaintext, answer.ciphertext_blob) {
            (Some(clear), Some(wrapped)) => Ok((Zeroizing::new(clear.into_inner()), wrapped.into_inner())),
            _ => Err(Unavailable::new(format_args!("{} on {} gave no key", call.name, call.on))),
        }
    }

    async fn open(&self, wrapped: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Unavailable> {
        let call = Call { name: "KMS Decrypt", on: &self.key };
        let asked = self.client.decrypt().key_id(&self.key).ciphertext_blob(Blob::new(wrapped));
        let answer = asked.encryption_context(CONTEXT.0, CONTEXT.1).send().await.map_err(|e| call.failed(&e))?;
        let clear = answer.plaintext.map(|clear| Zeroizing::new(clear.into_inner()));
        clear.ok_or_else(|| Unavailable::new(format_args!("{} on {} gave no key", call.name, call.on)))
    }
}

impl fmt::Debug for KmsVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsVault").finish_non_exhaustive()
    }
}

fn data_key(clear: &[u8]) -> Result<DataKey, Unavailable> {
    let key = (clear.len() == KEY_LEN).then(|| RandomizedNonceKey::new(&AES_256_GCM, clear).ok()).flatten();
    key.map(Arc::new).ok_or_else(|| Unavailable::new("KMS gave a data key that is none of 32 bytes"))
}

fn damaged() -> Unavailable {
    Unavailable::new(
        "a sealed secret can't be opened: it is damaged, was moved from another record, or another vault sealed it",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Wraps a key by turning its bits over.
    #[derive(Clone, Default)]
    struct Fake {
        made: Arc<AtomicU32>,
        opened: Arc<AtomicU32>,
    }

    #[async_trait]
    impl Keys for Fake {
        async fn generate(&self) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Unavailable> {
            self.made.fetch_add(1, Ordering::SeqCst);
            let mut clear = vec![0; KEY_LEN];
            rand::fill(&mut clear).unwrap();
            let wrapped = clear.iter().map(|byte| !byte).collect();
            Ok((Zeroizing::new(clear), wrapped))
        }

        async fn open(&self, wrapped: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Unavailable> {
            self.opened.fetch_add(1, Ordering::SeqCst);
            Ok(Zeroizing::new(wrapped.iter().map(|byte| !byte).collect()))
        }
    }

    #[derive(Clone)]
    struct Turned(Arc<Mutex<Timestamp>>);

    impl Clock for Turned {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    fn turned() -> Turned {
        Turned(Arc::new(Mutex::new(Timestamp::from_second(1_780_315_200).unwrap())))
    }

    fn vault(fake: &Fake) -> KmsVault {
        KmsVault::on(fake.clone(), Arc::new(turned()))
    }

    #[tokio::test]
    async fn what_is_sealed_opens_in_its_context_only() {
        let fake = Fake::default();
        let sealed = vault(&fake).seal("owner/account", b"token").await.unwrap();
        assert!(sealed.0.starts_with("k1."));
        let other = vault(&fake);
        assert_eq!(other.open("owner/account", &sealed).await.unwrap(), b"token");
        assert!(other.open("owner/other", &sealed).await.is_err());
        assert_ne!(sealed, other.seal("owner/account", b"token").await.unwrap());
        assert_eq!(fake.opened.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn one_data_key_serves_for_a_while() {
        let (fake, clock) = (Fake::default(), turned());
        let vault = KmsVault::on(fake.clone(), Arc::new(clock.clone()));
        for _ in 0..=SEALS_MAX {
            let sealed = vault.seal("c", b"x").await.unwrap();
            assert_eq!(vault.open("c", &sealed).await.unwrap(), b"x");
        }
        assert_eq!((fake.made.load(Ordering::SeqCst), fake.opened.load(Ordering::SeqCst)), (2, 0));
        *clock.0.lock().unwrap() += SEALS_FOR;
        vault.seal("c", b"x").await.unwrap();
        assert_eq!(fake.made.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn opened_keys_are_forgotten_in_the_end() {
        let fake = Fake::default();
        let first = vault(&fake).seal("c", b"x").await.unwrap();
        let reader = vault(&fake);
        reader.open("c", &first).await.unwrap();
        for _ in 0..OPENED_MAX {
            let sealed = vault(&fake).seal("c", b"x").await.unwrap();
            reader.open("c", &sealed).await.unwrap();
        }
        assert_eq!(reader.opened().keys.len(), OPENED_MAX);
        let before = fake.opened.load(Ordering::SeqCst);
        reader.open("c", &first).await.unwrap();
        assert_eq!(fake.opened.load(Ordering::SeqCst), before + 1);
    }

    #[tokio::test]
    async fn damage_is_an_error_wherever_it_is() {
        let fake = Fake::default();
        let vault = vault(&fake);
        let sealed = vault.seal("context", b"token").await.unwrap().0;
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(vault.open("context", &Sealed(String::from_utf8(bytes).unwrap())).await.is_err(), "{at}");
            assert!(vault.open("context", &Sealed(sealed[..at].into())).await.is_err(), "{at}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", vault(&Fake::default())), "KmsVault { .. }");
    }
}
