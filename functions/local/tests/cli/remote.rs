//! Commands against a running Sameroom: by its socket without a key, and by URL and key.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;

use crate::world::{Place, Running, Said};

/// The id of a list's only item.
fn only(list: &Value) -> String {
    let items = list["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "{list}");
    items[0]["id"].as_str().expect("an id").to_owned()
}

/// A new owner with a profile of that name, whose key may do everything.
fn owner(place: &Place, running: &Running, name: &str) -> String {
    let owner = place.json(&["owners", "add", name]);
    let owner = owner["id"].as_str().expect("an id").to_owned();
    let file = place.path(&format!("{name}.key")).display().to_string();
    place.does(&["keys", "add", "--name", name, "--owner", &owner, "--to-file", &file]);
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    place.does(&["profile", "add", name, "--url", running.url(), "--key-file", &file]);
    place.does(&["profile", "use", "local"]);
    owner
}

#[test]
fn a_newcomer_needs_no_key_on_their_own_machine() {
    let place = Place::new();
    let running = place.start(&[]);
    let socket = place.data().join("sameroom.api.sock");
    assert_eq!(socket.metadata().expect("a socket").permissions().mode() & 0o777, 0o600);
    let tube = only(&place.json(&["tubes", "list"]));
    let shown = place.does(&["tubes"]);
    assert!(shown.contains("Kitchen on this Sameroom ⇄ Garden on this Sameroom  open"), "{shown}");
    assert!(place.does(&["tubes", "pause", &tube[..6]]).contains("paused by you"));
    assert!(place.does(&["tubes", "resume", &tube]).contains("open"));
    let changed = place.json(&["tubes", "change", &tube, "--side", "kitchen", "--direction", "not-out"]);
    assert_eq!(changed["id"], tube.as_str());
    assert!(place.does(&["tubes"]).contains("open, not-out at Kitchen"));
    let moved = place.json(&["tubes", "move", &tube, "Garden", "local:Attic"]);
    assert!(moved.to_string().contains("Attic"), "{moved}");
    assert!(running.terminate().success());
    assert!(!socket.exists());
    let said = place.run(&["tubes"]);
    said.refuses(&["no Sameroom runs on", "start one by `sameroom`"]);
    assert_eq!(said.code, Some(3));
}

#[test]
fn what_was_answered_no_is_a_sentence_and_a_status() {
    let place = Place::new();
    let running = place.start(&[]);
    let fails = |args: &[&str], code: i32, parts: &[&str]| {
        let said = place.run(args);
        said.refuses(parts);
        assert_eq!(said.code, Some(code), "{args:?}: {said:?}");
    };
    fails(&["tubes", "show", "nothing"], 5, &["no Tube has the id 'nothing'", "sameroom tubes list"]);
    fails(&["tubes", "add", "Kitchen", "Cellar"], 5, &["no room is called 'Cellar'", "give its URL"]);
    fails(&["tubes", "add", "Kitchen", "kitchen"], 6, &["(422, request "]);
    fails(&["rooms", "show", "kitchen@nowhere"], 5, &["no account is called 'nowhere'"]);
    fails(&["rooms", "add", "nonsense"], 6, &["'nonsense' is no room's URL"]);
    fails(&["rooms", "remove", "Kitchen"], 6, &["Remove Kitchen on this Sameroom", "--yes"]);
    fails(&["rooms", "change", "Kitchen"], 2, &["--author"]);
    fails(&["portals", "add", "Kitchen", "--expires", "soon"], 6, &["'soon' is not a time", "7d"]);
    fails(&["portals", "use", "sp_nothing", "Kitchen", "--yes"], 5, &["(404, request "]);
    fails(&["keys", "revoke", "zzz", "--yes"], 5, &["no key has the id 'zzz'"]);
    fails(&["owners", "show", "nobody"], 5, &["no owner of that id"]);
    fails(&["accounts", "show", "nobody"], 5, &["no account is called 'nobody'"]);
    fails(&["accounts", "add", "nonsense"], 6, &["nonsense"]);
    fails(&["--profile", "nobody", "tubes"], 5, &["no profile is called 'nobody'"]);
    fails(&["--url", running.url(), "tubes"], 4, &["there is no key for", "--key-file", "SAMEROOM_KEY"]);
    fails(&["--url", "http://127.0.0.1:9", "status"], 1, &["works on this machine"]);
    fails(&["map", "Cellar"], 5, &["no room is called 'Cellar'"]);
    fails(&["profile", "add", "local", "--url", running.url()], 6, &["can't be a profile's name"]);

    let key = place.write("bad.key", "sr_wrong\n");
    fails(&["--url", running.url(), "--key-file", &key, "tubes"], 4, &["the key is not valid at", "(401, request "]);
    fails(&["--url", "http://127.0.0.1:9", "--key-file", &key, "tubes"], 3, &["can't be reached", "check the URL"]);

    let file = place.path("read.key").display().to_string();
    place.does(&["keys", "add", "--name", "reader", "--scope", "read", "--to-file", &file]);
    let with = |args: &[&str]| -> Said { place.run(&[&["--url", running.url(), "--key-file", &file], args].concat()) };
    assert!(with(&["tubes"]).ok);
    let said = with(&["portals", "add", "Kitchen"]);
    said.refuses(&["lacks the scope `portals`", "sameroom keys add"]);
    assert_eq!(said.code, Some(4));
    // A key is revoked at once.
    let keys = place.json(&["keys"]);
    let key = keys["items"].as_array().expect("keys").iter().find(|key| key["name"] == "reader").expect("the key");
    place.does(&["keys", "revoke", key["id"].as_str().expect("an id"), "--yes"]);
    assert_eq!(with(&["tubes"]).code, Some(4));
}

#[test]
fn rooms_are_found_added_changed_and_removed() {
    let place = Place::new();
    let _running = place.start(&[]);
    let attic = place.json(&["rooms", "add", "local:Attic"]);
    assert_eq!(attic["name"], "Attic");
    let found = place.json(&["rooms", "find", "att"]);
    assert_eq!(only(&found), attic["id"].as_str().expect("an id"));
    let shown =
        place.does(&["rooms", "change", "attic", "--author", "both", "--direction", "not-in", "--team", "true"]);
    let shown: String = shown.lines().filter(|line| !line.starts_with("Id:")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(shown, @r"
    Room:            Attic
    Where:           this Sameroom
    Account:         local
    Authors as:      both
    Team shown:      yes
    System messages: no
    Direction:       not-in
    Edits as:        correction
    Replies as:      quote
    ");
    assert_eq!(place.json(&["rooms", "show", "attic@local"])["options"]["author"], "both");
    place.does(&["tubes", "add", "Attic", "Kitchen"]);
    let map = place.does(&["map", "attic"]);
    assert!(map.contains("Attic") && map.contains("Kitchen") && map.contains("Garden"), "{map}");
    let svg = place.path("map.svg").display().to_string();
    place.does(&["map", "--svg", &svg]);
    assert!(std::fs::read_to_string(svg).expect("a drawing").contains("<svg"));
    assert!(place.does(&["rooms", "remove", "attic", "--yes"]).contains("Attic on this Sameroom is removed."));
    place.run(&["rooms", "show", "attic"]).refuses(&["no room is called 'attic'"]);
    assert_eq!(place.json(&["tubes"])["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_portal_of_one_owner_is_used_by_another_approved_and_revoked_with_its_tubes() {
    let place = Place::new();
    let running = place.start(&[]);
    owner(&place, &running, "bob");
    let bob = |args: &[&str]| place.json(&[&["--profile", "bob"], args].concat());
    // A room of Bob's, on an account that never gets through; that is no matter here.
    let room = bob(&["rooms", "add", "irc://bobbot@127.0.0.1:6/#bobs"]);
    assert_eq!(room["name"], "#bobs");

    let made =
        place.json(&["portals", "add", "Kitchen", "--expires", "7d", "--uses", "2", "--approval", "--label", "b"]);
    let portal = made["portal"]["id"].as_str().expect("an id");
    let url = place.does(&["portals", "url", portal]).trim().to_owned();
    assert_eq!(made["url"], url.as_str());

    let said = place.run(&["--profile", "bob", "portals", "use", &url, "#bobs"]);
    said.refuses(&["--yes"]);
    assert!(said.out.contains("This Portal leads to Kitchen on this Sameroom."), "{said:?}");
    assert!(said.out.contains("has to approve"), "{said:?}");
    assert_eq!(bob(&["portals", "use", &url, "#bobs", "--yes"])["state"], "waiting");
    assert!(place.does(&["portals"]).contains("0 of 2"));
    let guest = only(&place.json(&["portals", "guests", portal]));
    place.run(&["portals", "approve", portal, "nobody"]).refuses(&["no guest has the id 'nobody'"]);
    assert!(place.does(&["portals", "approve", portal, &guest]).contains(" is approved."));
    let tube = only(&bob(&["tubes"]));
    assert!(place.does(&["tubes", "show", &tube]).contains("portal"));
    // Nobody sees more of the other than the room.
    place.run(&["--profile", "bob", "portals", "show", portal]).refuses(&["no Portal has the id"]);
    place.run(&["--profile", "bob", "rooms", "show", "Garden"]).refuses(&["no room is called 'Garden'"]);

    let rotated = place.json(&["portals", "rotate", portal]);
    assert_ne!(rotated["url"], url.as_str());
    place.run(&["--profile", "bob", "portals", "use", &url, "#bobs", "--yes"]).refuses(&["(404, request "]);
    assert!(place.does(&["portals", "change", portal, "--expires", "never", "--uses", "any"]).contains("1\n"));
    let revoked = place.does(&["portals", "revoke", portal, "--with-tubes", "--yes"]);
    assert!(
        revoked.contains("The Portal for Kitchen on this Sameroom is revoked, and 1 Tube is removed."),
        "{revoked}"
    );
    assert_eq!(bob(&["tubes"])["items"], serde_json::json!([]));
    let url = rotated["url"].as_str().expect("a URL");
    place.run(&["--profile", "bob", "portals", "use", url, "#bobs", "--yes"]).refuses(&["(404, request "]);
    place.run(&["portals", "url", portal]).refuses(&["revoked"]);
    place.does(&["--profile", "bob", "accounts", "remove", "bobbot", "--yes"]);
    assert_eq!(bob(&["rooms"])["items"], serde_json::json!([]));
}

#[test]
fn profiles_keep_keys_to_themselves() {
    let place = Place::new();
    let running = place.start(&[]);
    let token = place.does(&["keys", "add", "--name", "mine"]).trim().to_owned();
    let file = place.write("key", &token);
    assert!(place.does(&["profile", "add", "home", "--url", running.url(), "--key-file", &file]).contains("in use"));
    let kept = place.path(".config/sameroom/profiles.toml");
    assert_eq!(kept.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    for args in [&["profile"][..], &["profile", "show"], &["profile", "list", "--json"], &["tubes"], &["deliveries"]] {
        let said = place.run(args);
        assert!(said.ok && !said.out.contains(&token) && !said.err.contains(&token), "{args:?}: {said:?}");
    }
    assert!(place.does(&["deliveries"]).contains("Nothing failed."));
    place.run(&["deliveries", "replay", "nothing"]).refuses(&["(404, request "]);
    place.does(&["deliveries", "replay", "--all"]);
    place.does(&["deliveries", "resume", "--all"]);
    // What is wrong with the file is said without what is in it.
    std::fs::write(&kept, format!("[profiles.home]\nurl = \"x\"\nkey = \"{token}\n")).expect("written");
    let said = place.run(&["tubes"]);
    said.refuses(&["profiles.toml is wrong"]);
    assert!(!said.err.contains(&token), "{said:?}");
    std::fs::remove_file(&kept).expect("removed");
    place.run(&["profile", "use", "home"]).refuses(&["no profile is called 'home'"]);

    let mut place = place;
    place.variables = vec![("SAMEROOM_URL".to_owned(), running.url().to_owned()), ("SAMEROOM_KEY".to_owned(), token)];
    assert!(place.does(&["tubes"]).contains("Kitchen"));
}

#[test]
fn what_crosses_is_watched_without_its_words() {
    let place = Place::new();
    let running = place.start(&[]);
    let mut watch = place.command(&["watch", "--json"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines().map(|line| line.expect("a line"));
    let tokens = running.tokens();
    // It has to be watching first; a change that it tells of says so.
    let (told, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.try_for_each(|line| told.send(line)));
    let mut n = 0;
    let crossing = loop {
        n += 1;
        let deed = serde_json::json!({
            "type": "post", "id": n.to_string(), "author": { "id": "0123456789abcdef", "name": "Ada" },
            "text": format!("secretword{n}"),
        });
        running.post(&format!("/hooks/local/local/{}", tokens[0]), &[], &deed.to_string());
        if let Ok(line) = seen.recv_timeout(std::time::Duration::from_millis(500)) {
            break line;
        }
        assert!(n < 40, "nothing was told");
    };
    watch.kill().expect("killed");
    let _ = watch.wait();
    let crossing: Value = serde_json::from_str(&crossing).expect("JSON");
    assert_eq!(crossing["event"], "crossing");
    assert_eq!(crossing["data"]["kind"], "message");
    assert_eq!(crossing["data"]["outcome"], "delivered");
    assert_eq!(crossing["data"]["from"]["name"], "Kitchen");
    assert_eq!(crossing["data"]["to"]["name"], "Garden");
    assert!(!crossing.to_string().contains("secretword"), "{crossing}");
}

#[test]
fn what_crosses_is_watched_with_its_words_where_that_is_asked() {
    let place = Place::new();
    let running = place.start(&[]);
    let file = place.path("reader.key").display().to_string();
    place.does(&["keys", "add", "--name", "reader", "--scope", "read", "--to-file", &file]);
    let mut reader = place.command(&["watch", "--text", "--url", running.url(), "--key-file", &file]);
    let said = reader.output().expect("it runs");
    assert!(!said.status.success());
    assert!(String::from_utf8_lossy(&said.stderr).contains("lacks the scope `admin`"), "{said:?}");

    let mut watch = place.command(&["watch", "--text"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines().map(|line| line.expect("a line"));
    let (told, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.try_for_each(|line| told.send(line)));
    let mut shown = Vec::new();
    for n in 0..40 {
        let deed = serde_json::json!({
            "type": "post", "id": n.to_string(), "author": { "id": "0123456789abcdef", "name": "Ada" },
            "text": "plain\u{1b}[31mwords",
        });
        running.post(&format!("/hooks/local/local/{}", running.tokens()[0]), &[], &deed.to_string());
        while let Ok(line) = seen.recv_timeout(std::time::Duration::from_millis(300)) {
            shown.push(line);
        }
        if shown.len() > 1 {
            break;
        }
    }
    watch.kill().expect("killed");
    let _ = watch.wait();
    assert!(shown.iter().any(|line| line.contains("Ada: plain[31mwords")), "{shown:?}");
}

#[test]
fn an_account_is_added_by_its_form_and_missing_answers_are_named() {
    let place = Place::new();
    let _running = place.start(&[]);
    let said = place.run(&["accounts", "add", "webhook"]);
    said.refuses(&["some answers are missing", "--set "]);
    assert_eq!(said.code, Some(6));
    place.run(&["accounts", "add", "irc", "--set", "server"]).refuses(&["says no value"]);
    let said = place.run(&["accounts", "add", "irc", "--set", "password=env:NOT_SET"]);
    said.refuses(&["NOT_SET, which is not set"]);
    assert_eq!(place.json(&["accounts"])["items"].as_array().map(Vec::len), Some(1), "nothing was added");
    let account = place.json(&["accounts", "add", "irc", "--set", "url=irc://127.0.0.1:6", "--set", "nick=mybot"]);
    assert_eq!((&account["name"], &account["platform"]), (&"mybot".into(), &"irc".into()));
    assert!(place.does(&["accounts", "show", "mybot"]).contains("irc://127.0.0.1:6"));
    place.run(&["accounts", "refresh", "mybot"]).refuses(&["("]);
    place.run(&["accounts", "remove", "mybot"]).refuses(&["Remove mybot", "--yes"]);
    place.does(&["tubes", "add", "irc://mybot@127.0.0.1:6/#one", "Kitchen"]);
    let said = place.run(&["accounts", "remove", "mybot"]);
    assert!(said.out.contains("With mybot go 1 room, 1 Tube and 0 Portals."), "{said:?}");
    place.does(&["accounts", "remove", "mybot", "--yes"]);
    assert_eq!(place.json(&["tubes"])["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn secrets_are_taken_from_where_they_are_when_an_account_is_added_and_when_it_is_renewed() {
    let mut place = Place::new();
    let first = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk=";
    place.variables = vec![("HOOK_SECRET".to_owned(), first.to_owned())];
    let _running = place.start(&[]);
    let url = "url=https://tools.example/hook";
    let account = place.json(&["accounts", "add", "webhook", "--set", url, "--set", "secret=env:HOOK_SECRET"]);
    let id = account["id"].as_str().expect("an id").to_owned();
    let file = place.path("next.secret");
    std::fs::write(&file, format!("{}\n", first.replace("QUJD", "REVG"))).expect("written");
    let secret = format!("secret=file:{}", file.display());
    let renewed = place.json(&["accounts", "renew", &id, "--set", url, "--set", &secret]);
    assert_eq!(renewed["id"], id.as_str());
    let said = place.run(&["accounts", "renew", &id, "--set", url, "--set", "secret=env:NOT_SET"]);
    said.refuses(&["NOT_SET, which is not set"]);
    let said = place.run(&["accounts", "renew", &id, "--set", url, "--set", "secret=file:/not/there"]);
    said.refuses(&["/not/there, which can't be read"]);
}

#[test]
fn an_account_that_is_visited_waits_for_the_browser_or_takes_its_address() {
    let place = Place::new();
    let _running = place.start(&[]);
    let set = ["--set", "client_id=1.2", "--set", "client_secret=abc", "--set", "signing_secret=def"];
    let mut adding = place
        .command(&[&["accounts", "add", "slack"], &set[..]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(adding.stderr.take().expect("piped")).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.contains("/oauth/v2/authorize?client_id=1.2")));
    let mut paste = adding.stdin.take().expect("piped");
    writeln!(paste, "nonsense").expect("typed");
    assert!(lines.any(|line| line.contains("paste all of it")));
    writeln!(paste, "https://rooms.example.org/oauth/return?error=access_denied&state=wrong").expect("typed");
    let said = lines.find(|line| line.contains("error:")).expect("a sentence");
    assert!(!said.contains("abc") && !said.contains("def"), "{said}");
    assert!(!adding.wait().expect("it ends").success());
}

#[test]
fn nobody_watches_what_crosses_between_rooms_of_others() {
    let place = Place::new();
    let running = place.start(&[]);
    let bob = owner(&place, &running, "bob");
    let args = ["--profile", "bob", "watch", "--json"];
    let mut watch = place.command(&args).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines().map(|line| line.expect("a line"));
    let (told, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.try_for_each(|line| told.send(line)));
    let mut heard = 0;
    for n in 0..40 {
        let deed = serde_json::json!({
            "type": "post", "id": n.to_string(), "author": { "id": "0123456789abcdef", "name": "Ada" }, "text": "hi",
        });
        running.post(&format!("/hooks/local/local/{}", running.tokens()[0]), &[], &deed.to_string());
        running.hears(&running.tokens()[1], &["hi"]);
        place.does(&["--profile", "bob", "owners", "change", &bob, "--name", &format!("Bob {n}")]);
        while let Ok(line) = seen.recv_timeout(std::time::Duration::from_millis(300)) {
            assert!(!line.contains("crossing"), "{line}");
            heard += 1;
        }
        if heard > 1 {
            break;
        }
    }
    watch.kill().expect("killed");
    let _ = watch.wait();
    assert!(heard > 1, "nothing was told");
}

#[test]
fn a_manifest_is_printed_to_be_pasted() {
    let place = Place::new();
    let text = place.does(&["platforms", "slack", "manifest", "--url", "https://rooms.example.org"]);
    assert!(text.contains("https://rooms.example.org/oauth/return"), "{text}");
    place.does(&["platforms", "slack", "manifest", "--socket"]);
    place.run(&["platforms", "irc", "manifest"]).refuses(&["wants nothing pasted"]);
    place.run(&["platforms", "nonsense"]).refuses(&["no platform is called 'nonsense'"]);
}

#[test]
fn every_command_shows_an_example_and_completes() {
    let place = Place::new();
    for command in ["accounts", "rooms", "tubes", "portals", "keys", "owners", "map", "watch", "profile", "deliveries"]
    {
        let help = place.does(&[command, "--help"]);
        assert!(help.contains("Example") && help.contains(&format!("sameroom {command}")), "{command}: {help}");
    }
    let script = place.does(&["completions", "bash"]);
    assert!(script.contains("sameroom__portals__approve") || script.contains("sameroom__subcmd__portals"));
    assert!(place.does(&["--help"]).contains("Exit statuses"));
}
