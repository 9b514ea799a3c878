//! Where a session may connect to, and whom it trusts there.

use super::*;

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
