//! Rooms' URLs, and the form.

use std::collections::BTreeMap;

use url::Url;

use crate::irc::Irc;
use crate::suite::desk;
use crate::{Answer, Located, Platform as _, Step};

fn locate(url: &str) -> Result<Located, String> {
    Irc.locate(&Url::parse(url).unwrap()).map_err(|e| e.0)
}

#[test]
fn the_channel_however_it_is_typed() {
    for url in ["irc://irc.test/#Two", "irc://irc.test/%23Two", "irc://irc.test/Two", "irc://irc.test:6667/#Two"] {
        let located = locate(url).unwrap();
        assert_eq!((located.room.key.as_str(), located.room.name.as_str()), ("#two", "#Two"), "{url}");
        assert_eq!(located.account.endpoint, "irc://irc.test:6667");
        assert_eq!(located.account.identity.name, "sameroom");
        assert_eq!(located.room.site, "irc.test");
    }
    assert_eq!(locate("ircs://h/##c").unwrap().room.name, "##c");
    assert_eq!(locate("ircs://h/&local").unwrap().room.name, "&local");
    assert_eq!(locate("ircs://h/%26local#1").unwrap().room.name, "&local#1");
    assert_eq!(locate("ircs://h:7000/#c").unwrap().account.endpoint, "ircs://h:7000");
    assert_eq!(locate("ircs://h:7000/#c").unwrap().room.site, "h:7000");
    assert_eq!(locate("ircs://[::1]/#c").unwrap().account.endpoint, "ircs://[::1]:6697");
}

#[test]
fn parameters_before_and_behind_the_hash() {
    for url in [
        "ircs://robot:env:PW@irc.test/#c?key=env:K&user=jilles&sasl=plain&burst=10&rate=0&ca=file:/ca.pem",
        "ircs://robot:env:PW@irc.test/%23c?key=env:K&user=jilles&sasl=plain&burst=10&rate=0&ca=file:/ca.pem",
    ] {
        let located = locate(url).unwrap();
        let account = located.account;
        assert_eq!((account.identity.name.as_str(), located.room.key.as_str()), ("robot", "#c"));
        let secrets: Vec<_> = account.secrets.expose().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let expected = [("ca", "file:/ca.pem"), ("key #c", "env:K"), ("password", "env:PW")];
        assert_eq!(secrets, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(account.settings["sasl"], "plain");
        assert_eq!(account.settings["user"], "jilles");
        assert_eq!(account.settings["flood"], serde_json::json!({ "burst": 10, "per_second": 0.0 }));
        assert!(!account.settings.to_string().contains("PW"));
    }
}

#[test]
fn connections_of_peoples_own_are_asked_for() {
    let none = locate("irc://irc.test/#a").unwrap().account;
    assert_eq!(none.settings.get("puppets"), None, "older accounts' settings stay as they are");
    let located = locate("irc://irc.test/#a?puppets=20&webirc=env:PW&relay_suffix=acme").unwrap().account;
    assert_eq!((&located.settings["puppets"], located.secrets.get("webirc")), (&20.into(), Some("env:PW")));
    assert_eq!(locate("irc://irc.test/#a?puppets=0").unwrap().account.settings.get("puppets"), None);
}

#[test]
fn pins_as_tools_print_them() {
    let hex = "0aff".repeat(16);
    let colons = vec!["0A:FF"; 16].join(":");
    for url in [format!("ircs://h/#c?pin=sha256:{hex}"), format!("ircs://h/c?pin=SHA256:{colons}")] {
        assert_eq!(locate(&url).unwrap().account.settings["pin"], format!("sha256:{hex}"));
    }
    assert_eq!(locate("ircs://h/#c").unwrap().account.settings.get("pin"), None);
    let scram = locate("ircs://h/#c?sasl=SCRAM-SHA-256&password=env:PW").unwrap();
    assert_eq!(scram.account.settings["sasl"], "scram-sha-256");
    for (more, part) in
        [("irc://h/#c?", "begin the URL with ircs://"), ("ircs://h/#c?ca=file:x&", "give `ca` or `pin`")]
    {
        let why = locate(&format!("{more}pin=sha256:{hex}")).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn what_does_not_do_is_named_with_its_cure() {
    for (url, part) in [
        ("irc://irc.test", "names no channel"),
        ("irc://irc.test/#a,b", "no space, comma"),
        ("irc://irc.test/#a%20b", "no space, comma"),
        ("irc://irc.test/#a%0d%0aQUIT", "no space, comma"),
        ("irc://irc.test/#a%07", "no space, comma"),
        ("irc://irc.test/#", "1 to 200 bytes"),
        ("irc://9lives@irc.test/#a", "can't be a nick"),
        ("irc://irc.test/#a?colour=red", "those are key, sasl"),
        ("irc://irc.test/#a?sasl=scram", "sasl=plain or sasl=external"),
        ("irc://irc.test/#a?sasl=scram-sha-256", "`sasl=scram-sha-256` needs a password"),
        ("ircs://irc.test/#a?pin=sha256:0a", "give pin=sha256:HEX"),
        ("irc://irc.test/#a?sasl=plain", "needs a password"),
        ("irc://irc.test/#a?sasl=external", "needs ircs://"),
        ("irc://irc.test/#a?rate=-1", "`rate`"),
        ("irc://irc.test/#a?burst=0", "`burst`"),
        ("irc://irc.test/#a?nickserv=perhaps", "a switch"),
        ("irc://irc.test/#a?ca=file:x", "ircs://"),
        ("ircs://irc.test/#a?cert=file:x", "go together"),
        ("irc:///#a", "names no server"),
        ("irc://irc.test/#a?puppets=201", "a number up to 200"),
        ("irc://irc.test/#a?puppets=many", "a number up to 200"),
        ("irc://irc.test/#a?webirc=env:PW", "give `puppets=N` too"),
        ("irc://irc.test/#a?puppets=5&webirc=a%20b", "one word"),
        ("irc://irc.test/#a?puppets=5&relay_suffix=.x", "letters and digits"),
    ] {
        let why = locate(url).err().unwrap_or_else(|| panic!("{url} was taken"));
        assert!(why.contains(part), "{url}: {why}");
    }
}

#[test]
fn the_form() {
    let Step::Ask(form) = Irc.onboard(&desk(), &[]).unwrap() else { panic!("a form") };
    assert_eq!(form.fields.iter().map(|f| f.name).collect::<Vec<_>>(), ["url", "nick", "account", "password"]);
    let answer = |pairs: &[(&str, &str)]| {
        let fields: BTreeMap<_, _> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Irc.onboard(&desk(), &[Answer::Fields(fields)])
    };
    let done = answer(&[("url", "irc.libera.chat"), ("nick", "robot"), ("account", "jilles"), ("password", "s ")]);
    let Ok(Step::Done(draft)) = done else { panic!("done") };
    assert_eq!((draft.endpoint.as_str(), draft.identity.name.as_str()), ("ircs://irc.libera.chat:6697", "robot"));
    assert_eq!((draft.secrets.get("password"), &draft.settings["user"]), (Some("s "), &"jilles".into()));
    assert_eq!(answer(&[("url", "")]).unwrap_err().field, Some("url"));
    assert_eq!(answer(&[("url", "https://x")]).unwrap_err().field, Some("url"));
    assert_eq!(answer(&[("url", "x.test"), ("nick", "a b")]).unwrap_err().field, Some("nick"));
    assert_eq!(answer(&[("url", "x.test"), ("account", "a")]).unwrap_err().field, Some("password"));
}
