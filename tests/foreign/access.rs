//! Getting in: nicks, keys, logins, TLS; and clear sentences where we can't.

use std::time::Duration;

use sameroom_tests::process::Program;
use serde_json::Value;
use tempfile::TempDir;

use crate::certs::Ca;
use crate::people::{Manner, Person, SOON};
use crate::scene::{BOT, Bridge};
use crate::servers::{Kind, Options, Server};

/// How long to watch that somebody does not come.
const QUIET: Duration = Duration::from_secs(4);

#[tokio::test]
async fn f49_a_nick_in_use_is_no_obstacle() {
    let (ngircd, inspircd) = (Server::start(Kind::Ngircd).await, Server::start(Kind::Inspircd).await);
    let mut holders = [Person::joins(&ngircd, BOT, "#one").await, Person::joins(&inspircd, BOT, "#two").await];
    let _bridge = Bridge::between(&[ngircd.room("#one", ""), inspircd.room("#two", "")]).await;
    for holder in &mut holders {
        let other = |event: &Value| event["nick"].as_str().is_some_and(|nick| nick != BOT && nick.starts_with(BOT));
        holder.sees("join", other, SOON).await;
    }
    let [one, two] = &mut holders;
    // Whoever holds our nick is a person like others: relayed, and not highlighted where they are present.
    one.says("#one", "I was here first").await;
    two.hears("<s\u{200b}ameroom> I was here first").await;
    two.says("#two", "So was I").await;
    one.hears("<s\u{200b}ameroom> So was I").await;
}

#[tokio::test]
async fn a_channels_key_opens_it_and_its_absence_is_named() {
    let (ngircd, inspircd) = (Server::start(Kind::Ngircd).await, Server::start(Kind::Inspircd).await);
    let mut ada = Person::joins(&ngircd, "ada", "#one").await;
    let mut ivo = Person::joins(&inspircd, "ivo", "#two").await;
    for (person, room) in [(&mut ada, "#one"), (&mut ivo, "#two")] {
        person.raw(&format!("MODE {room} +k sesam")).await;
        person.sees("mode", |event| event["channel"] == room, SOON).await;
    }
    for more in ["", "?key=wrong"] {
        let mut bridge = Bridge::between(&[ngircd.room("#one", more), inspircd.room("#two", more)]).await;
        for room in ["#one", "#two"] {
            let sentence = sentence(&mut bridge.sameroom.program, room).await;
            assert!(sentence.contains("key"), "{sentence}");
            println!("foreign: '{more}': {sentence}");
        }
    }
    let _bridge =
        Bridge::set_up(&[ngircd.room("#one", "?key=sesam"), inspircd.room("#two", "?key=env:SESAM")], |setup| {
            setup.with("SESAM", "sesam")
        })
        .await;
    ada.meets(BOT).await;
    ivo.meets(BOT).await;
    ada.says("#one", "You are in").await;
    ivo.hears("<ada> You are in").await;
}

#[tokio::test]
async fn sasl_logs_in() {
    let net = Network::new().await;
    let mut ivo = Person::joins(&net.inspircd, "ivo", "#two").await;
    let mut ada = Person::joins(&net.ngircd, "ada", "#one").await;
    let _bridge = net.bridge("correct-horse").await;
    ada.meets(BOT).await;
    ivo.meets("bridge").await;
    ada.says("#one", "Who are you?").await;
    let line = ivo.sees("message", |event| event["text"] == "<ada> Who are you?", SOON).await;
    assert_eq!(line["account"], "bridge", "services vouch for us");
}

#[tokio::test]
async fn a_refused_sasl_login_is_named_and_nothing_is_joined() {
    let net = Network::new().await;
    let mut ivo = Person::joins(&net.inspircd, "ivo", "#two").await;
    let mut bridge = net.bridge("wrong").await;
    let said = sentence(&mut bridge.sameroom.program, "refused the login of bridge").await;
    assert!(said.contains("give the right account and password"), "{said}");
    assert!(!bridge.sameroom.program.said().contains("wrong"), "the password is in the log");
    println!("foreign: {said}");
    assert!(ivo.absence_of("bridge", QUIET).await, "somebody joined without a login");
}

#[tokio::test]
async fn tls_is_verified_against_the_ca_that_was_given() {
    let (ours, theirs) = (Ca::new(), Ca::new());
    let options = Options { tls: Some(&theirs), ..Options::default() };
    let (ngircd, inspircd) = (Server::with(Kind::Ngircd, options).await, Server::with(Kind::Inspircd, options).await);
    let manner = Manner { tls: true, ..Manner::default() };
    let mut ada = Person::comes(&ngircd, "ada", &manner).await;
    ada.enters("#one").await;
    let mut ivo = Person::comes(&inspircd, "ivo", &manner).await;
    ivo.enters("#two").await;

    let folder = TempDir::new().expect("a folder can be made");
    let right = Bridge::file(folder.path(), "theirs.pem", &theirs.pem());
    let wrong = Bridge::file(folder.path(), "ours.pem", &ours.pem());
    let url = |server: &Server, channel: &str, more: &str| {
        let host = if server.kind == Kind::Ngircd { "localhost" } else { "127.0.0.1" };
        format!("ircs://{host}:{}/{channel}{more}", server.tls_port)
    };
    // Unknown to the system, and signed by another than the CA that was given.
    for more in [String::new(), format!("?ca=file:{wrong}")] {
        let mut bridge = Bridge::between(&[url(&ngircd, "#one", &more), url(&inspircd, "#two", &more)]).await;
        for server in [&ngircd, &inspircd] {
            let sentence = sentence(&mut bridge.sameroom.program, &server.tls_port.to_string()).await;
            assert!(sentence.to_lowercase().contains("certificate"), "{sentence}");
            println!("foreign: {sentence}");
        }
        assert!(ada.absence_of(BOT, Duration::from_millis(300)).await, "joined a server that nobody vouches for");
    }
    // Given for one connection, or for all.
    let more = format!("?ca=file:{right}");
    let urls = [url(&ngircd, "#one", &more), url(&inspircd, "#two", "")];
    let _bridge = Bridge::set_up(&urls, |setup| setup.option("--ca", &right)).await;
    ada.meets(BOT).await;
    ivo.meets(BOT).await;
    ada.says("#one", "Nobody listens").await;
    ivo.hears("<ada> Nobody listens").await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_can_be_pinned() {
    let theirs = Ca::new();
    let options = Options { tls: Some(&theirs), ..Options::default() };
    let (ngircd, inspircd) = (Server::with(Kind::Ngircd, options).await, Server::with(Kind::Inspircd, options).await);
    let mut people = Vec::new();
    for (server, nick, room) in [(&ngircd, "ada", "#one"), (&inspircd, "ivo", "#two")] {
        let mut person = Person::comes(server, nick, &Manner { tls: true, ..Manner::default() }).await;
        person.enters(room).await;
        people.push(person);
    }
    let servers = [&ngircd, &inspircd];
    let urls = |more: [&str; 2]| -> [String; 2] {
        std::array::from_fn(|at| {
            format!("ircs://127.0.0.1:{}/{}{}", servers[at].tls_port, ["#one", "#two"][at], more[at])
        })
    };
    // The error says which pin to give; that of another server is none.
    let mut pins = Vec::new();
    let mut bridge = Bridge::between(&urls(["", ""])).await;
    for server in servers {
        let sentence = sentence(&mut bridge.sameroom.program, &server.tls_port.to_string()).await;
        let pin = sentence.split_once("pin=").expect("the pin is named").1.split(' ').next().unwrap_or_default();
        pins.push(format!("?pin={pin}"));
        println!("foreign: {sentence}");
    }
    drop(bridge);
    let mut bridge = Bridge::between(&urls([&pins[1], &pins[0]])).await;
    for server in servers {
        let sentence = sentence(&mut bridge.sameroom.program, &server.tls_port.to_string()).await;
        assert!(sentence.contains("not the pinned one"), "{sentence}");
        println!("foreign: {sentence}");
    }
    drop(bridge);
    for person in &mut people {
        assert!(person.absence_of(BOT, Duration::from_millis(300)).await, "joined a server that nobody vouches for");
    }
    let _bridge = Bridge::between(&urls([&pins[0], &pins[1]])).await;
    for person in &mut people {
        person.meets(BOT).await;
    }
    people[0].says("#one", "Nobody vouches").await;
    people[1].hears("<ada> Nobody vouches").await;
}

/// Waits for a line of our binary that says those words and is a warning or worse, and gives its sentence.
async fn sentence(program: &mut Program, words: &str) -> String {
    let mut looked = 0;
    loop {
        let said = program.said();
        for line in said[looked..].split_inclusive('\n') {
            if !line.ends_with('\n') {
                break;
            }
            looked += line.len();
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let warns = line["level"] == "WARN" || line["level"] == "ERROR";
            let fields = line["fields"].to_string();
            if warns && fields.contains(words) {
                return line["fields"]["why"].as_str().map_or(fields, str::to_owned);
            }
        }
        assert!(program.news(SOON).await, "our binary does not say '{words}'");
    }
}

/// InspIRCd with services, on which `bridge` is registered; and ngIRCd.
struct Network {
    ngircd: Server,
    inspircd: Server,
}

impl Network {
    async fn new() -> Self {
        let inspircd = Server::with(Kind::Inspircd, Options { services: true, ..Options::default() }).await;
        let mut owner = Person::comes(&inspircd, "bridge", &Manner::default()).await;
        owner.register("correct-horse").await;
        Self { ngircd: Server::start(Kind::Ngircd).await, inspircd }
    }

    async fn bridge(&self, password: &str) -> Bridge {
        let two = format!("irc://bridge@127.0.0.1:{}/#two?sasl=plain&password=env:IRC_PASSWORD", self.inspircd.port);
        Bridge::set_up(&[self.ngircd.room("#one", ""), two], |setup| setup.with("IRC_PASSWORD", password)).await
    }
}
