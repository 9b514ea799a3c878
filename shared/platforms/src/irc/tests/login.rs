//! Logging in by SCRAM, and which mechanism is taken: with a server that checks our proof, and proves itself or fails to.

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use sameroom_model::AccountState;

use super::world::{Setup, World};
use crate::{Input, LinkId};

/// An account as a server keeps it, and what it knows of the exchange.
struct Services {
    password: &'static str,
    iterations: u32,
    salt: &'static [u8],
    client_first: String,
    server_first: String,
}

impl Services {
    fn of(password: &'static str) -> Self {
        Self { password, iterations: 4096, salt: b"a salt", client_first: String::new(), server_first: String::new() }
    }

    /// Its answer to `n,,n=account,r=nonce`.
    fn challenge(&mut self, client_first: &str) -> String {
        let bare = client_first.strip_prefix("n,,").expect("no channel binding");
        bare.clone_into(&mut self.client_first);
        let nonce = bare.split_once(",r=").expect("a nonce").1;
        self.server_first = format!("r={nonce}-and-ours,s={},i={}", STANDARD.encode(self.salt), self.iterations);
        self.server_first.clone()
    }

    /// Whether the proof is that of the password; and our own.
    fn check(&self, client_final: &str) -> (bool, String) {
        let (bare, proof) = client_final.split_once(",p=").expect("a proof");
        assert!(bare.starts_with("c=biws,r=") && bare.ends_with("-and-ours"), "{bare}");
        let salted = {
            let mut salted = [0; 32];
            let times = self.iterations.try_into().unwrap();
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, times, self.salt, self.password.as_bytes(), &mut salted);
            salted
        };
        let sign = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
        };
        let said = format!("{},{},{bare}", self.client_first, self.server_first);
        let stored = digest::digest(&digest::SHA256, &sign(&salted, "Client Key"));
        // What was signed with is the proof without the signature; it has to hash to what is stored.
        let proof = STANDARD.decode(proof).unwrap();
        let key: Vec<u8> = proof.iter().zip(sign(stored.as_ref(), &said)).map(|(proof, sign)| proof ^ sign).collect();
        let right = digest::digest(&digest::SHA256, &key).as_ref() == stored.as_ref();
        (right, format!("v={}", STANDARD.encode(sign(&sign(&salted, "Server Key"), &said))))
    }
}

fn named(sasl: &str) -> Setup {
    Setup {
        endpoint: Some("ircs://irc.test"),
        settings: serde_json::json!({ "sasl": sasl, "user": "jilles" }),
        secrets: vec![("password", "sesame")],
        ..Setup::default()
    }
}

fn unnamed() -> Setup {
    Setup { settings: serde_json::json!({ "user": "jilles" }), ..named("plain") }
}

/// Up to the mechanism that the client chose from an offer.
fn offers(setup: Setup, offer: &str) -> World {
    let mut irc = setup.start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(&format!(":irc.test CAP * LS :sasl{offer}"));
    irc.server(":irc.test CAP * ACK :sasl");
    irc.sent.retain(|line| line.starts_with("AUTH") || line.starts_with("QUIT") || line == "CAP END");
    irc
}

impl World {
    /// The server's payload, cut into lines as it does.
    fn asks(&mut self, payload: &str) {
        let encoded = STANDARD.encode(payload);
        let mut chunks: Vec<&str> = encoded.as_bytes().chunks(400).map(|c| std::str::from_utf8(c).unwrap()).collect();
        if chunks.last().is_none_or(|last| last.len() == 400) {
            chunks.push("+");
        }
        for chunk in chunks {
            self.server(&format!("AUTHENTICATE {chunk}"));
        }
    }

    /// The client's payload, from its lines.
    #[track_caller]
    fn answers(&mut self) -> String {
        let mut encoded = String::new();
        loop {
            let line = self.sent.pop_front().expect("an answer");
            let chunk = line.strip_prefix("AUTHENTICATE ").unwrap_or_else(|| panic!("{line}")).to_owned();
            encoded += chunk.trim_matches('+');
            if chunk.len() < 400 {
                return String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
            }
        }
    }

    /// Up to the proof, which is the answer.
    fn proves(&mut self, services: &mut Services) -> String {
        self.client("AUTHENTICATE SCRAM-SHA-256");
        self.server("AUTHENTICATE +");
        let first = self.answers();
        let challenge = services.challenge(&first);
        self.asks(&challenge);
        self.answers()
    }
}

#[test]
fn scram_proves_both_sides_and_tells_no_password() {
    for setup in [named("scram-sha-256"), unnamed()] {
        let mut irc = offers(setup, "=PLAIN,SCRAM-SHA-256,EXTERNAL");
        let mut services = Services::of("sesame");
        let proof = irc.proves(&mut services);
        assert!(services.client_first.starts_with("n=jilles,r="), "{}", services.client_first);
        let (right, ours) = services.check(&proof);
        assert!(right, "the proof is of another password");
        irc.asks(&ours);
        irc.client("AUTHENTICATE +");
        irc.server(":irc.test 900 bot bot!~bot@10.0.0.1 jilles :You are now logged in as jilles");
        irc.server(":irc.test 903 bot :SASL authentication successful");
        irc.client("CAP END");
        irc.server(":irc.test 001 bot :Welcome");
        irc.server(":irc.test 422 bot :No MOTD");
        irc.client("JOIN #c");
    }
}

#[test]
fn scram_long_messages_are_cut_at_400_both_ways() {
    let account = "j".repeat(500);
    let settings = serde_json::json!({ "sasl": "scram-sha-256", "user": account });
    let mut irc = offers(Setup { settings, ..named("plain") }, "=SCRAM-SHA-256");
    irc.client("AUTHENTICATE SCRAM-SHA-256");
    irc.server("AUTHENTICATE +");
    assert!(irc.sent.iter().map(String::len).eq([413, 413 - 400 + 320]), "{:?}", irc.sent);
    let mut services = Services { salt: &[7; 300], ..Services::of("sesame") };
    let first = irc.answers();
    let challenge = services.challenge(&first);
    assert!(challenge.len() > 300);
    irc.asks(&challenge);
    let proof = irc.answers();
    assert!(services.check(&proof).0);
}

#[test]
fn scram_nonces_are_never_the_same() {
    let mut irc = offers(unnamed(), "=SCRAM-SHA-256");
    let mut nonces = std::collections::BTreeSet::new();
    for _ in 0..3 {
        irc.client("AUTHENTICATE SCRAM-SHA-256");
        irc.server("AUTHENTICATE +");
        assert!(nonces.insert(irc.answers()));
        irc.handle(Input::Closed(LinkId::MAIN, "reset"));
        irc.passes(10);
        irc.handle(Input::Opened(LinkId::MAIN));
        irc.server(":irc.test CAP * LS :sasl=SCRAM-SHA-256");
        irc.server(":irc.test CAP * ACK :sasl");
        irc.sent.retain(|line| line.starts_with("AUTH"));
    }
}

/// The client left for good, without a word more than goodbye.
#[track_caller]
fn left(irc: &mut World, part: &str) {
    irc.client("QUIT :no login");
    irc.silence();
    let why = irc.needs_owner();
    assert!(why.contains(part), "{why}");
    assert!(!why.contains("sesame"), "{why}");
    irc.dials.clear();
    irc.passes(100_000);
    assert!(irc.dials.is_empty(), "it is not tried again");
}

#[test]
fn scram_a_server_that_does_not_know_the_password_gets_nothing() {
    for ours in ["v=bm90IHRoaXMgb25l", "v=", "x=unheard-of"] {
        let mut irc = offers(unnamed(), "=PLAIN,SCRAM-SHA-256");
        irc.proves(&mut Services::of("sesame"));
        irc.asks(ours);
        left(&mut irc, if ours.starts_with('x') { "does not speak SCRAM-SHA-256" } else { "did not prove" });
    }
    // Nor one that lets us in without its proof, by whatever words.
    for welcome in [":irc.test 903 bot :fine", ":irc.test 907 bot :fine", ":irc.test 001 bot :Welcome"] {
        let mut irc = offers(unnamed(), "=PLAIN,SCRAM-SHA-256");
        irc.proves(&mut Services::of("sesame"));
        irc.server(welcome);
        left(&mut irc, "irc.test did not prove that it knows the password of jilles");
    }
}

#[test]
fn scram_a_foreign_nonce_and_too_many_or_few_rounds() {
    for (challenge, part) in [
        ("r=another,s=c2FsdA==,i=4096".to_owned(), "a login that is not ours"),
        ("r=NONCEx,s=c2FsdA==,i=1000001".to_owned(), "hashed 1000001 times"),
        ("r=NONCEx,s=c2FsdA==,i=1".to_owned(), "hashed 1 times"),
        ("what?".to_owned(), "does not speak SCRAM-SHA-256"),
        ("e=unknown-user".to_owned(), "refused the login of jilles (unknown-user)"),
    ] {
        let mut irc = offers(unnamed(), "=PLAIN,SCRAM-SHA-256");
        irc.client("AUTHENTICATE SCRAM-SHA-256");
        irc.server("AUTHENTICATE +");
        let first = irc.answers();
        let nonce = first.split_once(",r=").unwrap().1;
        irc.asks(&challenge.replace("NONCE", nonce));
        left(&mut irc, part);
    }
    let mut irc = offers(unnamed(), "=SCRAM-SHA-256");
    irc.sent.clear();
    irc.server("AUTHENTICATE +");
    irc.sent.clear();
    irc.server("AUTHENTICATE !!!");
    left(&mut irc, "does not speak SCRAM-SHA-256");
}

#[test]
fn scram_a_wrong_password() {
    // Either the server says so in the exchange, or ends it.
    for words in ["e=invalid-proof", ""] {
        let mut irc = offers(unnamed(), "=PLAIN,SCRAM-SHA-256");
        let mut services = Services::of("another");
        let proof = irc.proves(&mut services);
        assert!(!services.check(&proof).0);
        if words.is_empty() {
            irc.server(":irc.test 904 bot :SASL authentication failed");
        } else {
            irc.asks(words);
        }
        left(&mut irc, "give the right account and password");
    }
    // An error of the server's own passes.
    let mut irc = offers(unnamed(), "=PLAIN,SCRAM-SHA-256");
    irc.proves(&mut Services::of("sesame"));
    irc.asks("e=no-resources");
    irc.client("QUIT :no login");
    assert!(matches!(irc.states.pop_back(), Some(AccountState::Trouble(why)) if why.contains("no-resources")));
}

#[test]
fn scram_refused_before_the_proof_leads_to_plain_unless_it_was_named() {
    // The server lacks it, or the account is of before SCRAM.
    for lists in [true, false] {
        let mut irc = offers(unnamed(), "");
        irc.client("AUTHENTICATE SCRAM-SHA-256");
        if lists {
            irc.server(":irc.test 908 bot EXTERNAL,PLAIN :are available SASL mechanisms");
        } else {
            irc.server("AUTHENTICATE +");
            irc.answers();
        }
        irc.server(":irc.test 904 bot :SASL authentication failed");
        irc.client("AUTHENTICATE PLAIN");
        irc.server("AUTHENTICATE +");
        assert_eq!(irc.answers(), "\0jilles\0sesame");
        irc.server(":irc.test 904 bot :SASL authentication failed");
        left(&mut irc, "give the right account and password");
    }
    let mut irc = offers(named("scram-sha-256"), "");
    irc.client("AUTHENTICATE SCRAM-SHA-256");
    irc.server(":irc.test 908 bot EXTERNAL,PLAIN :are available SASL mechanisms");
    irc.server(":irc.test 904 bot :SASL authentication failed");
    irc.client("QUIT :no login");
    irc.silence();
    let Some(AccountState::Trouble(why)) = irc.states.pop_back() else { panic!("trouble") };
    assert!(why.contains("it offers SASL EXTERNAL,PLAIN, and not SCRAM-SHA-256"), "{why}");
}

#[test]
fn the_safest_mechanism_of_both_sides_is_taken() {
    let certificate =
        || Setup { secrets: vec![("password", "sesame"), ("cert", "CERT"), ("certkey", "KEY")], ..unnamed() };
    for (setup, offer, chosen) in [
        (certificate(), "=PLAIN,SCRAM-SHA-256,EXTERNAL", "AUTHENTICATE EXTERNAL"),
        (certificate(), "=PLAIN,SCRAM-SHA-256", "AUTHENTICATE SCRAM-SHA-256"),
        (Setup { endpoint: Some("irc://irc.test"), ..certificate() }, "=PLAIN,EXTERNAL", "AUTHENTICATE PLAIN"),
        (unnamed(), "=PLAIN,SCRAM-SHA-256,EXTERNAL", "AUTHENTICATE SCRAM-SHA-256"),
        (unnamed(), "=PLAIN,SCRAM-SHA-256-PLUS,SCRAM-SHA-512", "AUTHENTICATE PLAIN"),
        (named("plain"), "=PLAIN,SCRAM-SHA-256", "AUTHENTICATE PLAIN"),
        (named("scram-sha-256"), "=PLAIN", "QUIT :no login"),
        (unnamed(), "=EXTERNAL", "CAP END"),
    ] {
        let mut irc = offers(setup, offer);
        irc.client(chosen);
    }
}

#[test]
fn a_certificate_that_nobody_knows_is_followed_by_the_password_or_by_nothing() {
    for (secrets, next) in [
        (vec![("password", "sesame"), ("cert", "CERT"), ("certkey", "KEY")], "AUTHENTICATE SCRAM-SHA-256"),
        (vec![("cert", "CERT"), ("certkey", "KEY")], "CAP END"),
    ] {
        let mut irc = offers(Setup { secrets, ..unnamed() }, "=EXTERNAL,SCRAM-SHA-256,PLAIN");
        irc.client("AUTHENTICATE EXTERNAL");
        irc.server("AUTHENTICATE +");
        irc.client("AUTHENTICATE +");
        irc.server(":irc.test 904 bot :SASL authentication failed");
        irc.client(next);
    }
}

#[test]
fn who_did_not_tell_the_password_does_not_tell_it_to_ghost_either() {
    let mut irc = unnamed().start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.server(":irc.test 433 * bot :in use");
    irc.server(":irc.test CAP * LS :sasl=SCRAM-SHA-256");
    irc.server(":irc.test CAP * ACK :sasl");
    irc.sent.retain(|line| line.starts_with("AUTH"));
    let mut services = Services::of("sesame");
    let proof = irc.proves(&mut services);
    irc.asks(&services.check(&proof).1);
    irc.server(":irc.test 900 bot_ bot_!~bot@h jilles :You are now logged in as jilles");
    irc.server(":irc.test 903 bot_ :ok");
    irc.server(":irc.test 001 bot_ :Welcome");
    irc.sent.clear();
    irc.server(":irc.test 422 bot_ :No MOTD");
    irc.client("PRIVMSG NickServ :GHOST bot");
}

#[test]
fn services_that_come_back_are_told_when_a_channel_wants_a_login() {
    let mut irc = Setup { secrets: vec![("password", "sesame")], ..Setup::fast() }.start();
    irc.handle(Input::Opened(LinkId::MAIN));
    irc.registers("", "CASEMAPPING=ascii");
    irc.passes(10);
    irc.sent.clear();
    irc.server(":irc.test 477 bot #c :You need a registered nick");
    irc.silence();
    assert!(irc.rooms.pop_back().is_some(), "NickServ has just been mute");
    for _ in 0..361 {
        irc.passes(10);
        irc.server(":irc.test PONG irc.test :sr-there");
    }
    assert!(irc.sent.iter().any(|line| line == "JOIN #c"));
    irc.sent.clear();
    irc.server(":irc.test 477 bot #c :You need a registered nick");
    irc.client("PRIVMSG NickServ :IDENTIFY sesame");
    irc.passes(9);
    irc.silence();
    irc.passes(1);
    irc.client("JOIN #c");
    irc.server(":bot!~bot@host.test JOIN #c");
}

proptest! {
    #[test]
    fn t7_whatever_a_server_says_scram_by_name_tells_it_no_password_and_joins_nothing_unproven(
        lines in proptest::collection::vec(proptest::sample::select(&[
            "AUTHENTICATE +", "AUTHENTICATE AAAA", "AUTHENTICATE dj0=", "AUTHENTICATE =", "challenge", "challenge",
            ":irc.test 900 bot bot!b@h jilles :hello", ":irc.test 901 bot :out", ":irc.test 902 bot :locked",
            ":irc.test 903 bot :fine", ":irc.test 904 bot :no", ":irc.test 907 bot :already",
            ":irc.test 908 bot PLAIN :are available", ":irc.test CAP * NEW :sasl=PLAIN", ":irc.test CAP * DEL :sasl",
            ":irc.test 001 bot :Welcome", ":irc.test 376 bot :End", ":irc.test 477 bot #c :registered",
            ":bot MODE bot :+r", ":NickServ!s@s NOTICE bot :identify yourself",
        ][..]), 0..20),
    ) {
        let mut irc = offers(named("scram-sha-256"), "=PLAIN,SCRAM-SHA-256");
        let mut said = Vec::new();
        for line in lines {
            said.extend(irc.sent.drain(..));
            let first = said.iter().rev().find_map(|line: &String| {
                let payload = STANDARD.decode(line.strip_prefix("AUTHENTICATE ")?).ok()?;
                String::from_utf8(payload).ok()?.strip_prefix("n,,").map(str::to_owned)
            });
            match first {
                Some(first) if line == "challenge" => {
                    let nonce = first.split_once(",r=").unwrap().1;
                    irc.asks(&format!("r={nonce}x,s=c2FsdA==,i=4096"));
                }
                _ => irc.server(line),
            }
            irc.handle(Input::Wake);
        }
        said.extend(irc.sent.drain(..));
        let told = STANDARD.encode("\0jilles\0sesame");
        prop_assert!(said.iter().all(|line| !line.contains("sesame") && !line.contains(&told)), "{said:?}");
        prop_assert!(!said.iter().any(|line| line.starts_with("JOIN") || line == "AUTHENTICATE PLAIN"), "{said:?}");
    }
}
