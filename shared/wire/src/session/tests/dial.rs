//! Where a session may connect to, and whom it trusts there.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sameroom_platforms::Pin;
use sha2::{Digest, Sha256};

use super::*;
use crate::testing::self_signed;

#[tokio::test]
async fn a_dial_that_fails_says_why() {
    let port = closed_port().await.port();
    for (guard, host, expected) in [
        (loopback(), "127.0.0.1", format!("127.0.0.1:{port}: the connection was refused")),
        (
            Arc::new(Guard::new(Vec::new())),
            "127.0.0.1",
            "127.0.0.1 is a loopback address, which is not allowed; the operator can allow its network".into(),
        ),
        (
            Arc::new(Guard::with_lookup(Vec::new(), Script::new("irc.example", &["10.0.0.1"]))),
            "irc.example",
            "irc.example leads to a private address, which is not allowed; the operator can allow its network".into(),
        ),
    ] {
        let sink = Arc::<Memory>::default();
        let dialer = Arc::new(Dialer::new(guard, Arc::default()));
        let handle = start(Toy::new(host, port, None), Arc::clone(&sink), dialer);
        handle.rooms(Vec::new());
        until(|| !sink.kept("state").is_empty()).await;
        assert_eq!(sink.kept("state")[0], format!("Trouble({expected:?})"));
    }
}

/// A server that secures the connection, and tells two events with an answer in between.
async fn secured(acceptor: TlsAcceptor) -> u16 {
    let address = server(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut peer = Peer(BufReader::new(stream));
            peer.hears("HELLO").await;
            peer.says("EVENT secured\nPING 1\n").await;
            peer.hears("WORLD").await;
            peer.hears("PONG 1").await;
            peer.says("EVENT answered\n").await;
            peer.next().await;
        }
    });
    address.await.port()
}

/// Connects to that port under a name, until the first trouble or the second event.
async fn connects(host: &str, port: u16, tls: Tls) -> Result<(), String> {
    let guard = Guard::with_lookup(nets("loopback"), Script::new(host, &["127.0.0.1"]));
    let dialer = Arc::new(Dialer::new(Arc::new(guard), Arc::new(Trust::default())));
    let sink = Arc::<Memory>::default();
    let handle = start(Toy::new(host, port, Some(tls)), Arc::clone(&sink), dialer);
    handle.rooms(Vec::new());
    let trouble = || sink.kept("state").into_iter().find(|state| state.starts_with("Trouble"));
    until(|| trouble().is_some() || sink.kept("event") == ["secured", "answered"]).await;
    trouble().map_or(Ok(()), Err)
}

#[tokio::test]
async fn f56_a_connection_by_tls_trusts_its_own_ca_and_no_other_name() {
    let ca = TestCa::new();
    let port = secured(ca.server("irc.example", false)).await;
    let own = Tls { ca: Some(ca.pem()), ..Tls::default() };
    assert_eq!(connects("irc.example", port, own.clone()).await, Ok(()));
    assert_eq!(connects("irc.example.", port, own.clone()).await, Ok(()));
    for (host, tls, expected) in [
        ("other.example", own, "its certificate is for another name"),
        ("irc.example", Tls::default(), "its certificate is from an issuer that is not trusted here"),
        (
            "irc.example",
            Tls { ca: Some(TestCa::new().pem()), ..Tls::default() },
            "from an issuer that is not trusted here",
        ),
        ("irc.example", Tls { ca: Some("no pem".into()), ..Tls::default() }, "there is no PEM certificate"),
    ] {
        let why = connects(host, port, tls).await.unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn a_connection_by_tls_proves_who_we_are_where_asked() {
    let ca = TestCa::new();
    let port = secured(ca.server("irc.example", true)).await;
    let with = |client| Tls { ca: Some(ca.pem()), client, ..Tls::default() };
    assert_eq!(connects("irc.example", port, with(Some(ca.leaf("bot")))).await, Ok(()));
    let why = connects("irc.example", port, with(None)).await.unwrap_err();
    assert!(why.contains("CertificateRequired"), "{why}");
    let (chain, _) = ca.leaf("bot");
    let why = connects("irc.example", port, with(Some((chain, "no key".into())))).await.unwrap_err();
    assert!(why.contains("the client key is no PEM private key"), "{why}");
}

fn sha256(bytes: &[u8]) -> Pin {
    Pin(Sha256::digest(bytes).into())
}

#[tokio::test]
async fn a_pin_takes_the_place_of_chain_and_name() {
    // As servers make them for themselves: some say that they may sign others, which no leaf may.
    for is_ca in [false, true] {
        let (acceptor, certificate, key) = self_signed(&["somewhere.else"], is_ca);
        let port = secured(acceptor).await;
        let unpinned = Tls { pinnable: true, ..Tls::default() };
        let why = connects("irc.example", port, unpinned).await.unwrap_err();
        let cure = format!("; if its fingerprint is the right one, add pin={} to the URL", sha256(&certificate));
        assert!(why.contains("its certificate ") && why.contains(&cure), "{why}");
        let why = connects("irc.example", port, Tls::default()).await.unwrap_err();
        assert!(!why.contains("pin="), "who can't be given a pin is not told one: {why}");
        for pin in [sha256(&certificate), sha256(&key)] {
            let pinned = Tls { pin: Some(pin), pinnable: true, ..Tls::default() };
            assert_eq!(connects("irc.example", port, pinned).await, Ok(()), "{is_ca}");
        }
    }
}

#[tokio::test]
async fn a_pin_is_the_only_thing_that_counts_where_there_is_one() {
    let ca = TestCa::new();
    let port = secured(ca.server("irc.example", false)).await;
    let pin = Pin([7; 32]);
    // Not even a chain and a name that are right make up for a certificate that is another.
    let pinned = Tls { ca: Some(ca.pem()), pin: Some(pin), pinnable: true, ..Tls::default() };
    let why = connects("irc.example", port, pinned).await.unwrap_err();
    assert!(why.contains(&format!("not the pinned one: pin={pin} was given, and it has sha256:")), "{why}");
    assert!(why.contains("give that as `pin`"), "{why}");
}

#[tokio::test]
async fn whoever_shows_the_pinned_certificate_has_to_have_its_key() {
    let (_, certificate, _) = self_signed(&["irc.example"], false);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        // A server that copied the certificate, and signs with a key of its own.
        let stolen = Stolen::new(certificate.clone());
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(stolen));
        let port = secured(TlsAcceptor::from(Arc::new(config))).await;
        let pinned = Tls { pin: Some(sha256(&certificate)), pinnable: true, ..Tls::default() };
        let why = connects("irc.example", port, pinned).await.unwrap_err();
        assert!(why.contains("certificate"), "{why}");
        assert!(!why.contains("pin="), "the pin is right: {why}");
    }
}

/// Shows one certificate, and has the key of another.
#[derive(Debug)]
struct Stolen(Arc<CertifiedKey>);

impl Stolen {
    fn new(certificate: Vec<u8>) -> Self {
        let (_, key) = TestCa::new().leaf("irc.example");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Self(Arc::new(CertifiedKey::new(vec![CertificateDer::from(certificate)], key)))
    }
}

impl ResolvesServerCert for Stolen {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
